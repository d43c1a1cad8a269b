#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk capture: disks into folders, images and receivers; connections cut, either side killed, bad sectors, disks that vanish, file systems that are
written to all the while.  What arrived is judged by qemu-img, sha256 and fsck, and the digest by its definition."""
import sys, os
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from receiver import *

CAPTURE = os.path.join(BUILD, "vdisk-capture")
ROOT = os.geteuid() == 0
LEAF = MIB


def env(**more):
	os.makedirs("tmp", exist_ok=True)
	return dict({"XDG_STATE_HOME": os.path.abspath("state"), "TMPDIR": os.path.abspath("tmp")}, **more)


def capture(*args, rc=0, **kw):
	kw["env"] = env(**kw.pop("env", {}))
	r = run(CAPTURE, *args, **kw)
	if r.rc != rc:
		fail("exit status %s is due\n    %s" % (rc, r.show()))
	eq([], os.listdir("tmp"), "left behind by %s" % r)
	return r


def declined(*args, mentions=(), **kw):
	r = capture(*args, rc=2, **kw)
	one_line(r)
	for m in [mentions] if isinstance(mentions, str) else mentions:
		check(m in r.err, "does not mention %r: %s" % (m, r.err))
	return r


def receiver(*args, **kw):
	return Receiver(*args, token=TOKEN, **kw)


def tree_digest(path):
	"""As man/vdisk-digest.5 defines it."""
	h, size = hashlib.sha256(), os.path.getsize(path)
	with open(path, "rb") as f:
		while leaf := f.read(LEAF):
			h.update(hashlib.sha256(leaf).digest())
	h.update(size.to_bytes(8, "big"))
	return h.hexdigest()


def image_of(folder, disk):
	return os.path.join(folder, disk + ".qcow2")


def same(report, disk, raw, folder):
	"""What the report says and what lies there is `raw`."""
	said = [d for d in report["disks"] if d["name"] == disk][0]
	eq(tree_digest(raw), said["digest"], "digest of %s" % disk)
	same_as_raw(raw, image_of(folder, disk), "qcow2")
	qemu_check(image_of(folder, disk), "qcow2")


def full(path, rng, size):
	"""Every chunk another one, most of them packing badly."""
	with open(path, "wb") as f:
		for i in range(-(-size // MIB)):
			n = min(MIB, size - i * MIB)
			f.write(bytes(n) if i % 7 == 3 else rng.randbytes(n // 2) + b"vdisk" * (n // 10) + bytes(n - n // 2 - 5 * (n // 10)))
	return path


def started(*args, **more):
	return subprocess.Popen([CAPTURE, *map(str, args)], stdout=open("client.out", "wb"), stderr=open("client.err", "ab"), stdin=subprocess.DEVNULL,
	                        env=dict(os.environ, LC_ALL="C.UTF-8", **env(**more)))


def ended(p, what, seconds=240):
	try:
		return p.wait(seconds)
	except subprocess.TimeoutExpired:
		p.kill()
		p.wait()
		fail("%s: no end after %d seconds: %s" % (what, seconds, open("client.err").read()[-800:]))


def report():
	with open("client.out") as f:
		return json.load(f)


def until(truth, what, seconds=60):
	end = time.monotonic() + seconds
	while not truth():
		if time.monotonic() > end:
			fail("%s: not in %d seconds" % (what, seconds))
		time.sleep(0.01)


# ---------------------------------------------------------------- here

@case
def into_a_folder():
	rng = rng_for("folder")
	make_raw("one.raw", rng, 9 * MIB + 4096 + 512)
	make_raw("two", rng, 3 * MIB)
	os.mkdir("out")
	r = capture("--to", "out", "--json", "--everything", "one.raw", "two").json()
	eq((True, False, 1), (r["complete"], r["resumed"], r["passes"]), "the report")
	eq(r["capture"], os.path.join("out", os.listdir("out")[0]), "where it is")
	for disk in ("one.raw", "two"):
		same(r, disk, disk, r["capture"])
		vdisk("verify-manifest", image_of(r["capture"], disk), os.path.join(r["capture"], disk + ".manifest"))
	machine = json.load(open(os.path.join(r["capture"], "machine.json")))
	eq([("one.raw", "one.raw.qcow2", "qcow2", 9 * MIB + 4608), ("two", "two.qcow2", "qcow2", 3 * MIB)],
	   [(d["name"], d["path"], d["format"], d["size"]) for d in machine["disks"]], "the machine's disks")
	eq("whole", json.load(open(os.path.join(r["capture"], "capture.json")))["state"], "state of the capture")
	# Another one of the same day goes beside it.
	capture("--to", "out", "two")
	eq(2, len([n for n in os.listdir("out") if not n.endswith(".partial")]), "captures in the folder")


@case
def into_an_image():
	rng = rng_for("image")
	make_raw("disk", rng, 5 * MIB + 512)
	for fmt, ending in (("raw", "raw"), ("qcow2", "qcow2"), ("vmdk", "vmdk")):
		r = capture("--to", "new." + ending, "--json", "disk").json()
		eq("new." + ending, r["capture"], "where it is")
		same_as_raw("disk", "new." + ending, fmt)
		machine = json.load(open("new.%s.machine.json" % ending))
		eq([("disk", "new." + ending, fmt)], [(d["name"], d["path"], d["format"]) for d in machine["disks"]], "the machine's disks")
	eq([], [n for n in os.listdir(".") if n.endswith(".partial")], "unfinished captures")
	before = sha256("new.raw")
	declined("--to", "new.raw", "disk", mentions=["new.raw", "--force"])
	eq(before, sha256("new.raw"), "the image that was there")
	make_raw("disk", rng, 5 * MIB)
	capture("--to", "new.raw", "--force", "disk")
	same_bytes("disk", "new.raw")


@case
def what_a_kill_leaves_of_an_image():
	"""A folder without a capture.json is nobody's, and is in nobody's way; with anything in it, it is left alone."""
	make_raw("disk", rng_for("leftover"), 3 * MIB)
	for left in ((), (".capture.json.new",)):
		os.mkdir("new.raw.partial")
		for name in left:
			open(os.path.join("new.raw.partial", name), "w").write('{"schema')
		capture("--to", "new.raw", "--everything", "disk")
		same_bytes("disk", "new.raw")
		eq([], [n for n in os.listdir(".") if n.endswith(".partial")], "unfinished captures")
		os.unlink("new.raw")
	for name in "capture.json", "mine":
		os.mkdir("new.raw.partial")
		open(os.path.join("new.raw.partial", name), "w").write("not ours")
		declined("--to", "new.raw", "disk", mentions=["new.raw.partial"])
		eq([name], os.listdir("new.raw.partial"), "what was in it")
		eq("not ours", open(os.path.join("new.raw.partial", name)).read(), "its content")
		shutil.rmtree("new.raw.partial")
	with open("new.raw.partial", "w") as f:
		f.write("a file")
	declined("--to", "new.raw", "disk", mentions=["new.raw.partial"])
	eq("a file", open("new.raw.partial").read(), "a file of that name")


@case
def long_image_names():
	"""The longest name that stands beside the image is its description's before that is whole: it is seen to at the beginning."""
	make_raw("disk", rng_for("long"), 2 * MIB)
	longest = "a" * (255 - len(".machine.json") - len("..new"))
	other = "." + longest[:86] # the image's own description was written under a name cut off there
	open(other, "w").write("somebody's")
	for name in longest, longest[:100]:
		capture("--to", name, "-O", "raw", "--everything", "disk")
		same_bytes("disk", name)
		eq([name], [d["path"] for d in json.load(open(name + ".machine.json"))["disks"]], "the machine's disk")
	eq("somebody's", open(other).read(), "another file")
	before = sorted(os.listdir("."))
	declined("--to", longest + "a", "-O", "raw", "--everything", "disk", mentions=["too long"])
	eq(before, sorted(os.listdir(".")), "what is there")


@case
def says_no():
	make_raw("disk", rng_for("no"), MIB)
	os.mkdir("out")
	os.symlink("disk", "link")
	open("empty", "w").close()
	for args, mentions in (
		(["--to", "out", "nothing-here"], "nothing-here"),
		(["--to", "out", "empty"], "empty"),
		(["--to", "out", "disk", "link"], "twice"),
		(["--to", "out", "/dev/null"], "/dev/null"),
		(["--to", "no/such/folder", "disk"], "no/such"),
		(["--to", "new.qcow2", "disk", "link"], "twice"),
		(["--to", "http://127.0.0.1/", "disk"], "https"),
		(["--to", "https://127.0.0.1/", "disk"], "--token"),
		(["--to", "https://127.0.0.1/store", "--token", "x", "disk"], "PORT"),
		(["--to", "https://127.0.0.1/", "--resume", "disk"], "--token"),
		(["--to", "out", "--token", "x", "disk"], "receiver"),
		(["--to", "out", "-O", "nonsense", "disk"], "nonsense"),
		(["--to", "out", "all", "disk"], "all"),
		(["--to", "out"], "DEV"),
		(["disk"], "--to"),
		(["--to", "out", "--freeze", "--no-freeze", "disk"], "--freeze"),
	):
		declined(*args, mentions=mentions)
	eq([], os.listdir("out"), "left behind")


@case
def sizes_that_the_format_cannot_hold():
	"""Said before anything is made, and with a way out that there is."""
	make_raw("odd", rng_for("odd"), 1000001)
	for to in ("out", "out.qcow2"):
		r = capture("--to", to, "odd", rc=2)
		one_line(r)
		check("-O raw" in r.err and "1000001" in r.err, r.show())
		eq(["odd", "tmp"], sorted(os.listdir(".")), "what was made")
	capture("--to", "out", "-O", "raw", "odd")


@case
def lists_the_machine():
	text = capture("--list").out
	machine = capture("--list", "--json").json()
	eq(machine["host"]["hostname"], os.uname().nodename, "the host's name")
	check(text.startswith(machine["name"]), "the list does not begin with the machine: %s" % text)
	eq(os.cpu_count(), machine["cpus"], "processors")
	for d in machine["disks"]:
		eq(int(open("/sys/block/%s/size" % d["name"]).read()) * 512, d["size"], "size of %s" % d["name"])
		check(d["name"] in text, "%s is not in the list" % d["name"])
	eq(sorted(n for n in os.listdir("/sys/class/net") if os.path.exists("/sys/class/net/%s/device" % n)),
	   sorted(n["name"] for n in machine["nics"]), "NICs")
	# A file with partitions and file systems in it.
	need("sfdisk", "mke2fs")
	with open("disk", "wb") as f:
		f.truncate(40 * MIB)
	ran("sfdisk", "-q", "disk", stdin=b"label: gpt\nsize=8MiB, type=swap, name=pagefile\nsize=24MiB, name=system\n")
	ran("mke2fs", "-q", "-F", "-L", "roots", "-E", "offset=%d" % (9 * MIB), "disk", "24M")
	machine = capture("--list", "--json", "disk").json()
	eq([(1, MIB, 8 * MIB, None, "pagefile"), (2, 9 * MIB, 24 * MIB, "ext2", "roots")],
	   [(p["number"], p["start"], p["size"], p["filesystem"], p["label"]) for p in machine["partitions"]], "partitions")


@case
def used_blocks_only():
	need("mke2fs", "e2fsck", "partclone.extfs")
	rng = rng_for("used")
	os.mkdir("tree")
	for i in range(5):
		write_file("tree/f%d" % i, rng.randbytes(700 * KIB))
	full("disk", rng, 64 * MIB)
	ran("mke2fs", "-q", "-F", "-t", "ext4", "-E", "nodiscard", "-d", "tree", "disk", "64M")
	os.mkdir("out")
	r = capture("--to", "out", "--json", "disk").json()
	d = r["disks"][0]
	check(d["skipped"] > 40 * MIB, "only %d bytes were skipped" % d["skipped"])
	check(d["sent"] < 20 * MIB, "%d bytes were sent" % d["sent"])
	qemu_img("convert", "-O", "raw", image_of(r["capture"], "disk"), "back")
	eq(d["digest"], tree_digest("back"), "digest of what lies there")
	ran("e2fsck", "-fn", "back")
	os.mkdir("rdump")
	ran("debugfs", "-R", "rdump / rdump", "back")
	for i in range(5):
		same_bytes("tree/f%d" % i, "rdump/f%d" % i)
	# What is not free lies at the same place.
	free = vdisk("map", "--free", "--json", "-f", "raw", "disk").json()["free"]
	with open("disk", "r+b") as f:
		for x in free:
			f.seek(x["offset"])
			f.write(bytes(x["length"]))
	same_bytes("disk", "back", "the disk with zeros where it is free")


@case
def bad_sectors():
	rng = rng_for("bad")
	full("failing", rng, 8 * MIB)
	bad = [(MIB + 4096, 512), (3 * MIB - 1024, 2048), (5 * MIB, MIB)] # in one chunk, over two, a whole one
	os.mkdir("out")
	r = capture("--to", "out", "--json", "--everything", "-v", "failing", env={
		"LD_PRELOAD": os.path.join(BUILD, "tests", "libshim.so"), "SHIM_MATCH": "/failing", "SHIM_BAD": ",".join("%d+%d" % b for b in bad)})
	check("cannot be read" in r.err, "nothing is said of bad sectors: %s" % r.err)
	d = r.json()["disks"][0]
	eq([list(b) for b in bad], d["bad"], "bad ranges")
	for off, length in bad:
		write_file("failing", bytes(length), off)
	same(r.json(), "failing", "failing", r.json()["capture"])
	eq([list(b) for b in bad], json.load(open(os.path.join(r.json()["capture"], "failing.pass")))["bad"], "bad ranges that are kept")


@case
def killed_and_resumed_here():
	rng = rng_for("here")
	full("disk", rng, 48 * MIB)
	os.mkdir("out")
	shim = os.path.join(BUILD, "tests", "libshim.so")
	kills = 10 if ALL else 3
	for i in range(kills):
		r = run(CAPTURE, "--to", "out", "--everything", "--resume", "disk",
		        env=env(LD_PRELOAD=shim, SHIM_OP="write,sync,name", SHIM_NTH=str(rng.randrange(20, 120)), SHIM_DO="kill"))
		eq(-signal.SIGKILL, r.rc, "the kill\n    %s" % r.show())
		partial = os.listdir("out")
		eq([True], [n.endswith(".partial") for n in partial], "what a killed capture leaves: %r" % partial)
	declined("--to", "out", "--everything", "disk", mentions="--resume")
	r = capture("--to", "out", "--everything", "--resume", "--json", "disk").json()
	check(r["resumed"], "it did not go on")
	same(r, "disk", "disk", r["capture"])


@case
def clusters_that_nobody_uses_are_given_back():
	"""What a kill left reserved in the image."""
	need("qemu-io")
	full("disk", rng_for("leaks"), 24 * MIB)
	os.mkdir("out")
	r = run(CAPTURE, "--to", "out", "--everything", "-j", "2", "disk", env=env(LD_PRELOAD=os.path.join(BUILD, "tests", "libshim.so"), SHIM_OP="write",
	        SHIM_NTH="60", SHIM_DO="kill"))
	eq(-signal.SIGKILL, r.rc, "the kill\n    %s" % r.show())
	image = os.path.join("out", os.listdir("out")[0], "disk.qcow2")
	# One leak for certain: a cluster that is counted twice, and used once.
	size = os.path.getsize(image)
	with open(image, "r+b") as f:
		f.seek(48)
		table = int.from_bytes(f.read(8), "big")
		f.seek(table)
		block = int.from_bytes(f.read(8), "big")
		f.seek(block + 2)
		was = f.read(2)
		f.seek(block + 2)
		f.write((int.from_bytes(was, "big") + 1).to_bytes(2, "big"))
	r = run("qemu-img", "check", "-f", "qcow2", "--output=json", image)
	check(json.loads(r.out).get("leaks", 0) > 0, "there is nothing to give back: %s" % r.show())
	r = capture("--to", "out", "--everything", "--resume", "--json", "disk").json()
	check(r["resumed"], "it did not go on")
	same(r, "disk", "disk", r["capture"])


@case
def killed_when_it_was_whole():
	"""Between the word that all is there and the name: by the last of the renames, and by what comes after it."""
	full("disk", rng_for("whole"), 5 * MIB)
	shim = os.path.join(BUILD, "tests", "libshim.so")
	for to in "out", "new.qcow2", "new.raw":
		if to == "out":
			os.mkdir(to)
		seen, count = set(), env(LD_PRELOAD=shim, SHIM_OP="name", SHIM_COUNT=os.path.abspath("count"))
		r = run(CAPTURE, "--to", to, "--everything", "--json", "disk", env=count).json()
		names = int(open("count").read())
		shutil.rmtree(r["capture"]) if to == "out" else os.unlink(to)
		for nth in range(1 if ALL else names - 6, names + 1):
			r = run(CAPTURE, "--to", to, "--everything", "--json", "disk", env=env(LD_PRELOAD=shim, SHIM_OP="name", SHIM_NTH=str(nth), SHIM_DO="kill"))
			eq(-signal.SIGKILL, r.rc, "the kill\n    %s" % r.show())
			partial = [os.path.join(d, n) for d in {"out", "."} if os.path.isdir(d) for n in os.listdir(d) if n.endswith(".partial")]
			eq(1, len(partial), "unfinished captures after a kill at name %d: %r" % (nth, partial))
			try:
				whole = json.load(open(os.path.join(partial[0], "capture.json")))["state"] == "whole"
			except FileNotFoundError: # before or after it all
				if to == "out":
					shutil.rmtree(partial[0])
					continue
				if os.path.exists(to):
					os.unlink(to)
				capture("--to", to, "--everything", "disk")
				same_as_raw("disk", to, "raw" if to.endswith("raw") else "qcow2")
				eq([], [n for n in os.listdir(".") if n.endswith(".partial")], "left behind by a kill at name %d" % nth)
				os.unlink(to)
				continue
			seen.add(whole)
			told = not whole or os.path.exists(os.path.join(partial[0], "disk.pass")) # it goes last but one
			declined("--to", to, "--everything", "disk", mentions=["lacks nothing but its name" if whole else "incomplete", "--resume"])
			r = capture("--to", to, "--everything", "--resume", "--json", "disk").json()
			eq((True, True), (r["resumed"], r["complete"]), "what it says")
			if whole:
				eq((0, 0), (r["passes"], r["disks"][0]["sent"]), "what was read again")
			eq(tree_digest("disk") if told else None, r["disks"][0]["digest"], "digest")
			image = image_of(r["capture"], "disk") if to == "out" else to
			same_as_raw("disk", image, "raw" if to.endswith("raw") else "qcow2")
			eq([], [n for d in {"out", "."} if os.path.isdir(d) for n in os.listdir(d) if n.endswith(".partial")], "left behind")
			if to == "out":
				eq("whole", json.load(open(os.path.join(r["capture"], "capture.json")))["state"], "state")
				shutil.rmtree(r["capture"])
			else:
				os.unlink(to)
				os.unlink(to + ".machine.json")
		eq({True, False}, seen, "kills before and after all was whole")


@case
def file_systems_that_know_less():
	make_raw("disk", rng_for("oldfs"), 3 * MIB)
	old = {"LD_PRELOAD": os.path.join(BUILD, "tests", "libshim.so"), "SHIM_OLDFS": "1"}
	os.mkdir("out")
	for _ in range(2):
		r = capture("--to", "out", "--json", "--everything", "disk", env=old).json()
		same(r, "disk", "disk", r["capture"])
	eq([False, False], [n.endswith(".partial") for n in os.listdir("out")], "captures in the folder")
	capture("--to", "new.raw", "disk", env=old)
	same_bytes("disk", "new.raw")
	declined("--to", "new.raw", "disk", mentions="--force", env=old)


# ---------------------------------------------------------------- to a receiver

@case
def to_a_receiver():
	rng = rng_for("receiver")
	full("sda", rng, 20 * MIB)
	make_raw("sdb", rng, 7 * MIB + 512)
	with receiver() as s:
		declined(*s.words()[:2], "--token", "not-the-token-at-all", *s.words()[4:], "sda", mentions="token")
		other = s.hello["fingerprint"][:-1] + ("0" if s.hello["fingerprint"][-1] != "0" else "1")
		declined(*s.words()[:4], "--fingerprint", other, "sda", mentions="fingerprint")
		declined(*s.words()[:4], "sda", mentions="--fingerprint") # its certificate is nobody's
		r = capture(*s.words(), "--json", "--everything", "sda", "sdb").json()
		for disk in ("sda", "sdb"):
			same(r, disk, disk, s.folder())
		eq([], os.listdir("state/vdisk"), "secrets that are kept")
		declined(*s.words(), "sda", mentions="token") # it is used up... by this machine's whole capture
		capture(*s.words()[:2], "--token-file", "/dev/null", *s.words()[4:], "sda", rc=2)


@case
def levels_and_limits():
	full("disk", rng_for("levels"), 6 * MIB)
	with receiver("--token-uses", "unlimited") as s:
		for options in ((["--level", "0"], ["--level", "19", "-j", "1"], ["--limit-rate", "3M"]) if ALL else (["--limit-rate", "3M", "-j", "1"],)):
			begin = time.monotonic()
			r = capture(*s.words(), "--json", "--everything", *options, "disk").json()
			seconds = time.monotonic() - begin
			eq(tree_digest("disk"), r["disks"][0]["digest"], "digest")
			if "--limit-rate" in options: # 5 MiB that pack to about 3
				check(seconds > 0.7, "no limit: %.2f s" % seconds)


@case
def a_receiver_that_ends():
	"""With --once the receiver goes when it has all, but not before it said so."""
	make_raw("disk", rng_for("once"), 2 * MIB)
	for i in range(8):
		with receiver("--once", store="store%d" % i) as s:
			capture(*s.words(), "--everything", "--give-up", "3", "disk")
			eq(0, s.p.wait(60), "the receiver's exit status")


def progressed(s, n):
	"""Bytes of data in the store's images."""
	total = 0
	for base, _, names in os.walk(s.store):
		for name in names:
			if name.endswith(".qcow2"):
				with contextlib.suppress(FileNotFoundError):
					total += os.stat(os.path.join(base, name)).st_blocks * 512
	return total >= n


def slow(rate="12M"):
	return ["--everything", "--json", "--limit-rate", rate, "--level", "0", "-j", "3"]


@case
def connection_cut():
	rng = rng_for("cut")
	times = 20 if ALL else 4
	full("disk", rng, (60 if ALL else 24) * MIB)
	with receiver() as s, Proxy(s.port) as proxy:
		p = started(*s.words(proxy.port), *slow(), "disk")
		cuts = 0
		for i in range(times):
			at = proxy.moved + rng.randrange(200 * KIB, MIB)
			until(lambda: proxy.moved >= at or p.poll() is not None, "bytes on their way")
			cuts += proxy.cut() > 0
		eq(0, ended(p, "a capture whose connections are cut"), "exit status: %s" % open("client.err").read())
		eq(times, cuts, "connections that were cut")
		same(report(), "disk", "disk", s.folder())


@case
def receiver_killed():
	rng = rng_for("receiver killed")
	times = 10 if ALL else 3
	full("disk", rng, (40 if ALL else 20) * MIB)
	with receiver() as s:
		p = started(*s.words(), *slow(), "disk")
		for i in range(times):
			until(lambda: progressed(s, (i + 1) * MIB) or p.poll() is not None, "data in the store")
			eq(None, p.poll(), "the client's end: %s" % open("client.err").read())
			s.kill()
			s.start()
		eq(0, ended(p, "a capture whose receiver is killed"), "exit status: %s" % open("client.err").read())
		same(report(), "disk", "disk", s.folder())


@case
def client_killed():
	rng = rng_for("client killed")
	times = 10 if ALL else 3
	full("disk", rng, (40 if ALL else 20) * MIB)
	with receiver() as s:
		for i in range(times):
			p = started(*s.words(), *slow(), "--resume", "disk")
			until(lambda: progressed(s, (i + 1) * MIB) or p.poll() is not None, "data in the store")
			eq(None, p.poll(), "the client's end: %s" % open("client.err").read())
			p.kill()
			p.wait()
			check(all(n.startswith(".") or n.endswith(".partial") for n in os.listdir(s.store)), "an incomplete capture looks whole")
		# Without the token: by what it kept.
		words = s.words()
		r = capture(*words[:2], *words[4:], *slow("100M"), "--resume", "disk", timeout=240).json()
		check(r["resumed"], "it did not go on")
		check(r["disks"][0]["sent"] < os.path.getsize("disk"), "everything was sent again")
		same(r, "disk", "disk", s.folder())


@case
def two_of_one_machine():
	full("disk", rng_for("two"), 12 * MIB)
	with receiver() as s:
		p = started(*s.words(), *slow("2M"), "disk")
		until(lambda: progressed(s, MIB) or p.poll() is not None, "data in the store")
		second = started(*s.words(), "--everything", "disk")
		until(lambda: b"another client" in open("client.err", "rb").read() or second.poll() is not None, "a word about the other client")
		eq(None, second.poll(), "the second client's end: %s" % open("client.err").read())
		second.terminate()
		eq(2, ended(second, "the second client"), "the second client's exit status")
		eq(0, ended(p, "the first client"), "the first client's exit status: %s" % open("client.err").read())
		same_as_raw("disk", image_of(s.folder(), "disk"), "qcow2")


@case
def disk_shrinks():
	full("disk", rng_for("shrinks"), 16 * MIB)
	with receiver() as s:
		p = started(*s.words(), *slow("4M"), "disk")
		until(lambda: progressed(s, MIB) or p.poll() is not None, "data in the store")
		os.truncate("disk", 2 * MIB)
		eq(2, ended(p, "a capture whose disk has shrunk"), "exit status")
		err = open("client.err").read()
		eq(1, len(err.splitlines()), "lines: %s" % err)
		check("shrunk from %d to %d" % (16 * MIB, 2 * MIB) in err, "what is said: %s" % err)
		# It is another disk now.
		declined(*s.words(), "--resume", "disk", mentions="disk")
		full("disk", rng_for("shrinks"), 16 * MIB)
		r = capture(*s.words(), "--everything", "--resume", "--json", "disk").json()
		same(r, "disk", "disk", s.folder())


@case
def receiver_full():
	if not ALL:
		skip("long tier")
	if not ROOT:
		skip("wants root, for a small file system")
	full("disk", rng_for("full"), 64 * MIB)
	os.mkdir("small")
	ran("mount", "-t", "tmpfs", "-o", "size=72M", "tmpfs", "small") # of which it begins nothing in the last 64, and leaves 32 free
	try:
		with receiver(store="small") as s:
			r = declined(*s.words(), "--everything", "--give-up", "3", "-q", "disk", mentions="receiver")
			check(any(w in r.err.lower() for w in ("space", "full")), "no word of a full disk: %s" % r.err)
			check(all(n.startswith(".") or n.endswith(".partial") for n in os.listdir("small")), "an incomplete capture looks whole")
			ran("mount", "-o", "remount,size=256M", "small")
			r = capture(*s.words(), "--everything", "--resume", "--json", "disk").json()
			check(r["disks"][0]["sent"] < 40 * MIB, "what had arrived was sent again: %d bytes" % r["disks"][0]["sent"])
			same(r, "disk", "disk", s.folder())
	finally:
		ran("umount", "small")


@case
def progress_for_programs():
	full("disk", rng_for("progress"), 6 * MIB)
	os.mkdir("out")
	r = capture("--to", "out", "--everything", "--progress", "json", "disk")
	lines = [json.loads(line) for line in r.err.splitlines()]
	last = [e for e in lines if e["event"] == "progress"][-1]
	eq(("disk", 6 * MIB, 6 * MIB, 1, 1), (last["disk"], last["done"], last["total"], last["pass"], last["passes"]), "the last line")


# ---------------------------------------------------------------- live

@contextlib.contextmanager
def live_disk(size):
	"""An ext4 file system on a loop device, mounted on "live", that is written to all the time; yields the device and the writer."""
	if not ROOT:
		skip("wants root, for a loop device")
	need("mke2fs", "e2fsck", "losetup", "partclone.extfs")
	with open("live.img", "wb") as f:
		f.truncate(size)
	ran("mke2fs", "-q", "-F", "-t", "ext4", "live.img")
	device = ran("losetup", "-f", "--show", "live.img").out.strip()
	os.mkdir("live")
	try:
		ran("mount", device, "live")
		try:
			with Writer("live") as w:
				yield device, w
		finally:
			ran("umount", "live")
	finally:
		ran("losetup", "-d", device)


class Writer(threading.Thread):
	"""Writes, renames and removes files, each with its digest in its name."""
	def __init__(self, folder):
		super().__init__(daemon=True)
		self.folder, self.over, self.rounds, self.rng = folder, False, 0, rng_for("writer")

	def run(self):
		while not self.over:
			data = self.rng.randbytes(self.rng.randrange(1, 200 * KIB))
			with open(os.path.join(self.folder, "new"), "wb") as f:
				f.write(data)
				f.flush()
				os.fsync(f.fileno())
			os.rename(os.path.join(self.folder, "new"), os.path.join(self.folder, hashlib.sha256(data).hexdigest()))
			names = [n for n in os.listdir(self.folder) if len(n) == 64]
			if len(names) > 12:
				os.unlink(os.path.join(self.folder, self.rng.choice(names)))
			self.rounds += 1
			time.sleep(0.01)

	def __enter__(self):
		self.start()
		until(lambda: self.rounds > 3, "the writer's first files")
		return self

	def __exit__(self, *_):
		self.over = True
		self.join()


def files_whole(raw):
	"""fsck is content without changing anything, and each file holds what its name says."""
	ran("e2fsck", "-fn", raw)
	shutil.rmtree("rdump", ignore_errors=True)
	os.mkdir("rdump")
	ran("debugfs", "-R", "rdump / rdump", raw)
	names = [n for n in os.listdir("rdump") if len(n) == 64]
	check(len(names) > 3, "there are only %d files" % len(names))
	for n in names:
		eq(n, sha256(os.path.join("rdump", n)), "content of a file")


@case
def written_to_all_the_time():
	with live_disk(160 * MIB) as (device, writer):
		rng = rng_for("ballast")
		with open("live/ballast", "wb") as f: # what does not change
			for _ in range(48):
				f.write(rng.randbytes(MIB))
			f.flush()
			os.fsync(f.fileno())
		name = os.path.basename(device)
		with receiver() as s:
			first = capture(*s.words(), "--resync", "--json", "-q", device).json()
			eq((False, False), (first["complete"], first["disks"][0]["frozen"]), "the first pass")
			check(first["disks"][0]["sent"] >= 48 * MIB, "sent at first: %d" % first["disks"][0]["sent"])
			again = capture(*s.words(), "--resync", "--json", "-q", device).json()
			check(again["resumed"] and not again["complete"], "the second pass")
			rounds = writer.rounds
			r = capture(*s.words(), "--resume", "--json", device).json()
			d = r["disks"][0]
			eq((True, True, 1), (r["complete"], d["frozen"], r["passes"]), "the last pass")
			until(lambda: writer.rounds > rounds + 5, "the writer goes on after the thaw")
			for x in (again["disks"][0], d): # a few files of 200 KiB and the journal
				check(0 < x["sent"] <= 16 * MIB, "%d bytes were sent again, %d at first" % (x["sent"], first["disks"][0]["sent"]))
			qemu_img("convert", "-O", "raw", image_of(s.folder(), name), "back")
			eq(d["digest"], tree_digest("back"), "digest of what lies there")
			files_whole("back")
		os.mkdir("live/sub")
		for where in ("live", "live/sub/new.qcow2"):
			declined("--to", where, device, mentions="to be captured")
		# Two passes in one run, into a folder.
		os.mkdir("out")
		r = capture("--to", "out", "--json", device).json()
		eq((2, True), (r["passes"], r["disks"][0]["frozen"]), "passes of a live disk")
		check(r["disks"][0]["last-sent"] <= 16 * MIB, "sent in the last pass: %d" % r["disks"][0]["last-sent"])
		qemu_img("convert", "-O", "raw", image_of(r["capture"], name), "back")
		files_whole("back")
		# Not frozen, and said so.
		os.mkdir("loose")
		r = capture("--to", "loose", "--json", "--no-freeze", device)
		eq(False, r.json()["disks"][0]["frozen"], "what is not frozen")
		check("could not be frozen" in r.err, "no warning: %s" % r.err)


@contextlib.contextmanager
def loops(*images):
	"""Loop devices of these files."""
	if not ROOT:
		skip("wants root, for loop devices")
	need("losetup")
	devices = []
	try:
		for image in images:
			devices.append(ran("losetup", "-f", "--show", image).out.strip())
		yield devices
	finally:
		for device in devices:
			ran("losetup", "-d", device)


@case
def a_btrfs_on_two_disks():
	"""One freeze holds both; who captures one of them hears of the other."""
	need("mkfs.btrfs", "btrfs")
	for name in ("one.img", "two.img"):
		with open(name, "wb") as f:
			f.truncate(256 * MIB)
	os.mkdir("live")
	with loops("one.img", "two.img") as (one, two):
		ran("mkfs.btrfs", "-q", "-f", "-d", "raid1", "-m", "raid1", one, two)
		mounted_it = run("mount", "-t", "btrfs", "-o", "device=%s,device=%s" % (one, two), one, "live")
		if mounted_it.rc:
			skip("no btrfs here: " + mounted_it.err.strip())
		try:
			with Writer("live"):
				os.mkdir("out")
				r = capture("--to", "out", "--json", one, two)
				d = r.json()["disks"]
				eq([True, True], [x["frozen"] for x in d], "frozen: %s" % r.err)
				check("is not captured" not in r.err, "a warning: %s" % r.err)
				os.mkdir("half")
				r = capture("--to", "half", "--json", two)
				check("live (btrfs) lies on %s, too, which is not captured" % os.path.basename(one) in r.err, "nothing is said of the other disk: %s" % r.err)
				eq(True, r.json()["disks"][0]["frozen"], "frozen")
		finally:
			ran("umount", "live")
	run("btrfs", "device", "scan", "--forget")
	folder = os.path.join("out", os.listdir("out")[0])
	back = []
	for x in d:
		qemu_img("convert", "-O", "raw", image_of(folder, x["name"]), x["name"] + ".back")
		back.append(x["name"] + ".back")
	with loops(*back) as devices:
		ran("btrfs", "device", "scan", *devices)
		ran("btrfs", "check", "--readonly", devices[0])
		ran("mount", "-t", "btrfs", "-o", "ro,device=%s,device=%s" % tuple(devices), devices[0], "live")
		try:
			names = [n for n in os.listdir("live") if len(n) == 64]
			check(len(names) > 3, "there are only %d files" % len(names))
			for n in names:
				eq(n, sha256(os.path.join("live", n)), "content of a file")
			ran("btrfs", "scrub", "start", "-B", "-r", "live")
		finally:
			ran("umount", "live")
			run("btrfs", "device", "scan", "--forget")


@case
def thawed_whatever_happens():
	with live_disk(64 * MIB) as (device, writer):
		full("live/ballast", rng_for("thaw"), 16 * MIB)
		for how in ("kill", "time") if ALL else ("kill",):
			with receiver(store="store-" + how) as s:
				p = started(*s.words(), *slow("3M"), "--passes", "1", "--freeze-seconds", "2" if how == "time" else "300", device)
				until(lambda: progressed(s, MIB) or p.poll() is not None, "data in the store")
				eq(None, p.poll(), "the client's end: %s" % open("client.err").read())
				if how == "kill":
					rounds = writer.rounds
					time.sleep(0.2)
					check(writer.rounds <= rounds + 1, "it is not frozen: %d rounds" % (writer.rounds - rounds))
					p.kill()
					p.wait()
				rounds = writer.rounds
				until(lambda: writer.rounds > rounds + 3, "the writer goes on")
				if how == "time":
					eq(0, ended(p, "a capture that was thawed"), "exit status")
					eq(False, report()["disks"][0]["frozen"], "frozen, after it was thawed before the end")


if not os.path.exists(CAPTURE):
	print("SKIP: the build has no vdisk-capture")
	sys.exit(77)
main()

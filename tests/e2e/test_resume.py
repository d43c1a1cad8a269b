#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Conversions that are killed, stopped or fail: --resume yields the bytes of an uninterrupted run, or says why it will not; nothing is ever
under the destination's name before it is whole; the source is untouched.

Kills come from tests/lib/shim.c, at the nth call that matters, so that every moment has its chance on any machine."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import glob, shlex

SHIM = os.path.join(BUILD, "tests", "libshim.so")
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
TARGETS = {
	"raw": ["-O", "raw"],
	"qcow2": ["-O", "qcow2"],
	"qcow2-zlib": ["-O", "qcow2", "-c"],
	"vmdk-stream": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
	"vmdk-twogb": ["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"],
	"vhd": ["-O", "vhd"],
}
MORE = {
	"qcow2-4K": ["-O", "qcow2", "-o", "cluster_size=4K"],
	"qcow2-ext": ["-O", "qcow2", "-o", "extended_l2=on"],
	"qcow2-zstd": ["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
	"qcow2-prealloc": ["-O", "qcow2", "-o", "preallocation=metadata"],
	"qcow2-full": ["-O", "qcow2", "-o", "preallocation=full"],
	"qcow2-data-file": ["-O", "qcow2", "-o", "data_file=disk.data,data_file_raw=on"],
	"raw-full": ["-O", "raw", "-o", "preallocation=full"],
	"vmdk": ["-O", "vmdk"],
	"vmdk-flat": ["-O", "vmdk", "-o", "subformat=monolithicFlat"],
	"vmdk-twogb-flat": ["-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"],
	"vmdk-vmfs": ["-O", "vmdk", "-o", "subformat=vmfsSparse"],
	"vhd-fixed": ["-O", "vhd", "-o", "subformat=fixed"],
}
SIZE = 40 * MIB


def shim(**kw):
	if not os.path.exists(SHIM):
		(fail if "VDISK_BUILD" in os.environ else skip)("no %s: set VDISK_BUILD" % SHIM)
	if sanitized():
		skip("a sanitizer wants to be preloaded first")
	env = dict(EPOCH, LD_PRELOAD=SHIM)
	env.update({"SHIM_" + k.upper(): str(v) for k, v in kw.items()})
	return env


def source(name="source.raw", size=SIZE):
	"""Much data, so that there is something to do."""
	rng = rng_for(name)
	make_raw(name, rng, size, pieces=150)
	with open(name, "r+b") as f:
		for i in range(8):
			f.seek(rng.randrange(0, size - 2 * MIB))
			f.write(rng.randbytes(MIB))
	return name


def files_of(folder):
	return {n: sha256(os.path.join(folder, n)) for n in sorted(os.listdir(folder))}


def dst_of(args, folder="out"):
	return os.path.join(folder, "disk." + args[args.index("-O") + 1])


def words(args, folder="out", *more):
	return ["convert", "-j", "2", "-f", "raw", *more, *args, "source.raw", dst_of(args, folder)]


def fresh(folder):
	shutil.rmtree(folder, ignore_errors=True)
	os.mkdir(folder)


def nothing_left(folder, what):
	eq([], [n for n in os.listdir(folder) if n.startswith(".")], what)


def reference(args, ops="write,sync,name", match="disk"):
	"""The files of an uninterrupted run, and how many calls one makes."""
	fresh("ref")
	r = vdisk(*words(args, "ref"), env=shim(op=ops, match=match, count="count.txt"))
	with open("count.txt") as f:
		return files_of("ref"), int(f.read()), r.seconds


class Watched:
	"""A conversion to its end, with how far it said it was, and when."""

	def __init__(self, argv, env):
		self.begin = time.monotonic()
		p = subprocess.Popen(argv, env=dict(os.environ, LC_ALL="C.UTF-8", **env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
		timer = threading.Timer(300, p.kill)
		timer.start()
		self.seen, self.err = [], []
		for line in p.stderr:
			try:
				self.seen.append((time.monotonic(), json.loads(line)["done"]))
			except ValueError:
				self.err.append(line)
		self.out = p.stdout.read()
		self.rc = p.wait()
		self.end = time.monotonic()
		timer.cancel()
		p.stdout.close()
		p.stderr.close()

	def lost(self, resumed):
		"""Seconds of this run's work that one which went on from `resumed` had to do again; up to a tenth too many."""
		return self.end - max([t for t, done in self.seen if done <= resumed] or [self.begin])


def kill_rounds(name, args, least):
	"""Killed at random moments until it was killed `least` times, each image being finished in between."""
	rng = rng_for("kill " + name)
	source()
	want, calls, _ = reference(args)
	# So slow that the record (five times a second) has something to say.
	delay = int(0.8e6 * 2 / calls)
	resumed = kills = rounds = 0
	most = 0.0
	while kills < least:
		fresh("out")
		last = None
		for attempt in range(5):
			argv = [VDISK, *words(args, "out", "--json", "--progress", "json", *(["--resume"] if attempt else []))]
			kill = {"do": "kill", "nth": rng.randrange(1, calls + 2)} if attempt < 4 else {}
			r = Watched(argv, shim(op="write,sync,name", match="disk", delay=delay, **kill) if kill else EPOCH)
			check(r.rc in (0, -9), "round %d, attempt %d: exit status %d: %s" % (rounds, attempt, r.rc, b"".join(r.err).decode()))
			at = json.loads(r.out)["resumed"] if r.rc == 0 else r.seen[0][1] if r.seen else None
			if last and at is not None:
				most = max(most, last.lost(at))
				# Zeros of a full preallocation come first, and are written again.
				check(last.lost(at) <= 5 or "preallocation=full" in args[-1], "round %d: killed after %.1f s at %s, went on from %d: more than 5 s of work lost" %
				      (rounds, last.end - last.begin, last.seen[-1:], at))
			if r.rc == 0:
				break
			last = r
			kills += 1
			resumed += os.path.exists(record(args))
		eq(want, files_of("out"), "round %d: the files after being killed and resumed, against an uninterrupted run" % rounds)
		rounds += 1
	print("    %d kills in %d rounds, %d of them with something to go on with, %d calls; at most %.2f s of work lost" %
	      (kills, rounds, resumed, calls, most))
	return resumed


def killed(name, args):
	resumed = kill_rounds(name, args, min(ITERATIONS or (50 if ALL else 1), 50))
	check(resumed or not ALL, "no run ever found anything to go on with")


for name, args in TARGETS.items():
	add("kill -9 " + name, killed, name, args)
if ALL:
	for name, args in MORE.items():
		add("kill -9 " + name, killed, name, args)


def start_slow(args, *more, delay=None, folder="out", calls=None, env=None):
	"""Starts a conversion that takes some seconds; its calls are slowed."""
	if delay is None:
		delay = int(3e6 * 2 / calls)
	e = dict(os.environ, **shim(op="write", match="partial", delay=delay))
	e.update(env or {})
	return subprocess.Popen([VDISK, *words(args, folder, *more)], env=e, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(truth, p, what, seconds=30):
	end = time.monotonic() + seconds
	while not truth():
		if p.poll() is not None:
			fail("%s: it ended with %s before: %s" % (what, p.returncode, p.stderr.read().decode()))
		if time.monotonic() > end:
			p.kill()
			p.wait()
			fail("%s: not after %d s" % (what, seconds))
		time.sleep(0.005)


def record(args, folder="out"):
	path = dst_of(args, folder)
	return os.path.join(os.path.dirname(path), "." + os.path.basename(path) + ".vdisk-resume")


def recorded(path, blocks=2):
	"""Whether that many blocks stand in the record: for wait_for()."""
	seen = set()

	def look():
		if os.path.exists(path):
			seen.add(os.path.getsize(path))
		return len(seen - {0}) > blocks
	return look


def leave_unfinished(args, *more, sig=signal.SIGKILL):
	"""A conversion that is killed (or stopped) when the record has grown some times."""
	source()
	want, calls, _ = reference(args)
	fresh("out")
	p = start_slow(args, *more, calls=calls)
	wait_for(recorded(record(args)), p, "a record that grows")
	p.send_signal(sig)
	_, err = p.communicate(timeout=30)
	return want, p.returncode, err.decode()


@case
def every_way_to_end():
	"""A kill at each call of the end, when several files get their names: what is whole stays, what is not can be resumed."""
	args = MORE["vmdk-twogb-flat"]
	source(size=8 * MIB)
	want, calls, _ = reference(args, ops="name,sync")
	for nth in range(1, calls + 1):
		fresh("out")
		r = run(VDISK, *words(args), env=shim(op="name,sync", match="disk", do="kill", nth=nth, delay=20000))
		eq(-9, r.rc, "exit status when killed at call %d of %d: %s" % (nth, calls, r.show()))
		if os.path.exists(dst_of(args)):
			eq(want, {n: h for n, h in files_of("out").items() if not n.startswith(".")}, "what has its name, killed at call %d" % nth)
		r = run(VDISK, *words(args, "out", "--resume"), env=EPOCH)
		if r.rc == 2 and "exists" in r.err: # all was done; what remained is the record
			nothing = [n for n in os.listdir("out") if n.endswith("partial")]
			eq([], nothing, "partial files beside the whole image")
		else:
			eq(0, r.rc, "the run that resumes, killed at call %d: %s" % (nth, r.show()))
			eq(want, files_of("out"), "the files, killed at call %d of %d" % (nth, calls))


@case
def little_is_lost():
	"""At most five seconds of work, said the design; here a run is watched, and a second is plenty."""
	args = TARGETS["qcow2"]
	source()
	_, calls, _ = reference(args)
	fresh("out")
	p = start_slow(args, "--progress", "json", delay=int(8e6 * 2 / calls))
	done = []
	for line in p.stderr:
		done.append((time.monotonic(), json.loads(line)["done"]))
		if done[-1][1] > SIZE * 0.4:
			break
	p.kill()
	p.communicate()
	at = time.monotonic()
	before = max([d for t, d in done if t < at - 1] or [0])
	check(before > 0, "the run was to last longer than a second: %r" % done)
	r = vdisk(*words(args, "out", "--resume", "--json"), env=EPOCH)
	check(r.json()["resumed"] >= before, "resumed at %d, a second before the kill it was at %d" % (r.json()["resumed"], before))


@case
def without_resume():
	args = TARGETS["vhd"]
	want, rc, _ = leave_unfinished(args)
	eq(-9, rc, "exit status")
	refused(*words(args), folder="out", mentions=["unfinished", "--resume", "--force"])
	# Nor is one begun anew by an option that has nothing to do with it.
	refused(*words(args, "out", "--verify"), folder="out", mentions="--resume")
	vdisk(*words(args, "out", "--force"), env=EPOCH)
	eq(want, files_of("out"), "the files made anew with --force")


@case
def nothing_to_resume():
	args = TARGETS["qcow2"]
	source()
	want, _, _ = reference(args)
	fresh("out")
	r = vdisk(*words(args, "out", "--resume", "--json"), env=EPOCH)
	eq(0, r.json()["resumed"], "bytes resumed of nothing")
	eq(want, files_of("out"), "the files")
	# A record whose files are gone, and one that is none.
	for text in (b"", b"vdiskrsm garbage", open("/bin/true", "rb").read()[:5000]):
		fresh("out")
		write_file(record(args), text)
		vdisk(*words(args, "out", "--resume"), env=EPOCH)
		eq(want, files_of("out"), "the files, with %d bytes of garbage for a record" % len(text))


@case
def something_changed():
	args = TARGETS["qcow2"]
	want, _, _ = leave_unfinished(args)
	st = os.stat("source.raw")

	def no(*more, mentions, change=None, args=args, env=EPOCH):
		refused(*words(args, "out", "--resume", *more), folder="out", mentions=mentions, env=env)

	no("-o", "cluster_size=4K", mentions=["cannot be resumed", "asked for"])
	no("-c", mentions="asked for")
	no("-S", "64K", mentions="sparse 65536")
	no("--digest", mentions="digest yes")
	no(mentions="epoch", env={"SOURCE_DATE_EPOCH": "1700000001"})
	# Time of change, content of the same length, another file of the same content.
	os.utime("source.raw", ns=(st.st_atime_ns, st.st_mtime_ns + 1))
	no(mentions="source")
	write_file("source.raw", b"another first sector", 0)
	os.utime("source.raw", ns=(st.st_atime_ns, st.st_mtime_ns))
	no(mentions="source")
	source("source.raw") # in place: the same inode and bytes, another time
	no(mentions="source")
	os.utime("source.raw", ns=(st.st_atime_ns, st.st_mtime_ns))
	os.rename("source.raw", "old.raw")
	shutil.copy2("old.raw", "source.raw")
	no(mentions="source")
	os.rename("old.raw", "source.raw")
	with open("source.raw", "ab") as f:
		f.write(bytes(512))
	os.utime("source.raw", ns=(st.st_atime_ns, st.st_mtime_ns))
	no(mentions="source")
	os.truncate("source.raw", SIZE)
	os.utime("source.raw", ns=(st.st_atime_ns, st.st_mtime_ns))
	# Threads and memory do not matter; and all is as it was.
	vdisk(*words(args, "out", "--resume", "-j", "5", "--memory", "4M", "--json"), env=EPOCH)
	eq(want, files_of("out"), "the files after it was refused and resumed")


@case
def a_parent_changed():
	"""The fingerprint is of every file of the chain, and of the backing image that the target gets."""
	source("base.raw", 8 * MIB)
	qemu_img("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2")
	args = TARGETS["qcow2"]
	fresh("out")
	argv = ["convert", "--resume", *args, "--allow-parent", ".", "top.qcow2", dst_of(args)]
	e = shim(op="write", match="partial", delay=100000)
	p = subprocess.Popen([VDISK, *argv], env=dict(os.environ, **e), stderr=subprocess.PIPE)
	wait_for(recorded(record(args)), p, "a record")
	p.kill()
	p.communicate()
	st = os.stat("base.raw")
	os.utime("base.raw", ns=(st.st_atime_ns, st.st_mtime_ns + 1))
	refused(*argv, folder="out", mentions=["source 1.0", "changed"], env=EPOCH)
	os.utime("base.raw", ns=(st.st_atime_ns, st.st_mtime_ns))
	r = vdisk(*argv, "--json", env=EPOCH)
	check(r.json()["resumed"] > 0, "nothing was resumed")
	vdisk("compare", "top.qcow2", dst_of(args))


@case
def stopped_by_signal():
	"""The first signal leaves everything and the command that goes on; names are quoted for a shell."""
	source()
	args = ["-O", "qcow2", "-o", "cluster_size=4K"]
	want, calls, _ = reference(args)
	os.mkdir("it's here")
	dst = "it's here/disk $1.qcow2"
	for sig in (signal.SIGINT, signal.SIGTERM):
		argv = [VDISK, "convert", "-f", "raw", *args, "source.raw", dst]
		e = dict(os.environ, **shim(op="write", match="partial", delay=int(3e6 * 2 / calls)))
		p = subprocess.Popen(argv, env=e, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
		side = "it's here/.disk $1.qcow2.vdisk-resume"
		wait_for(recorded(side, 1), p, "a record")
		p.send_signal(sig)
		out, err = p.communicate(timeout=30)
		eq(2, p.returncode, "exit status after signal %d" % sig)
		eq(b"", out, "stdout")
		text = err.decode()
		eq(1, len(text.splitlines()), "lines on stderr: %s" % text)
		check("to go on: " in text, "no word of how to go on: %s" % text)
		check(not os.path.exists(dst), "a stopped conversion left something under the destination's name")
		again = text.split("to go on: ", 1)[1].strip()
		check("--resume" in again, "the command: %s" % again)
		r = run("sh", "-c", again + " --json", env=EPOCH)
		eq(0, r.rc, "the command that was told: %s" % r.show())
		check(r.json()["resumed"] > 0, "nothing was resumed")
		eq(want, {"disk.qcow2": sha256(dst)}, "the file")
		eq(1, len(os.listdir("it's here")), "files left")
		os.unlink(dst)


def calls_of(pid):
	"""The system calls that its threads are in, by number."""
	calls = set()
	for path in glob.glob("/proc/%d/task/*/syscall" % pid):
		with contextlib.suppress(OSError), open(path) as f:
			calls.add(f.read().split()[0])
	return calls


@case
def second_signal():
	source()
	args = TARGETS["raw"]
	fresh("out")
	# Each call takes so long that the first signal has to wait.
	p = start_slow(args, delay=60000000)
	wait_for(lambda: any("partial" in n for n in os.listdir("out")), p, "the partial file")
	wait_for(lambda: "230" in calls_of(p.pid), p, "a thread in clock_nanosleep()")
	p.send_signal(signal.SIGINT)
	begin = time.monotonic()
	while p.poll() is None and time.monotonic() < begin + 30:
		p.send_signal(signal.SIGINT)
		time.sleep(0.02)
	check(p.poll() is not None, "it did not end at the second signal")
	p.communicate()
	check(p.returncode in (-signal.SIGINT, 2), "exit status %s" % p.returncode)
	check(not os.path.exists(dst_of(args)), "something is under the destination's name")


@case
def digests_and_manifests():
	source()
	args = TARGETS["qcow2-zlib"]
	fresh("ref")
	extra = ["--verify", "--digest", "--manifest"]
	whole = vdisk(*words(args, "ref", *extra, "ref/manifest"), env=EPOCH).out.split()[0]
	fresh("out")
	e = shim(op="write", match="partial", delay=60000)
	p = subprocess.Popen([VDISK, *words(args, "out", *extra, "out/manifest")], env=dict(os.environ, **e), stdout=subprocess.DEVNULL,
	                     stderr=subprocess.PIPE)
	wait_for(recorded(record(args)), p, "a record")
	p.kill()
	p.communicate()
	r = vdisk(*words(args, "out", "--resume", *extra, "out/manifest", "--json"), env=EPOCH)
	check(r.json()["resumed"] > 0, "nothing was resumed")
	eq(whole, r.json()["digest"], "digest of the resumed conversion")
	eq(files_of("ref"), files_of("out"), "the files, the manifest included")


@case
def over_a_backing_image():
	source("base.raw")
	shutil.copy("base.raw", "source.raw")
	rng = rng_for("over")
	for i in range(60):
		write_file("source.raw", rng.randbytes(rng.randrange(1, 400000)), rng.randrange(0, SIZE - 400000))
	args = ["-O", "qcow2", "-b", "../base.raw", "-F", "raw", "--allow-parent", "."]
	want, calls, _ = reference(args)
	fresh("out")
	p = start_slow(args, calls=calls)
	wait_for(recorded(record(args)), p, "a record")
	p.kill()
	p.communicate()
	r = vdisk(*words(args, "out", "--resume", "--json"), env=EPOCH)
	check(r.json()["resumed"] > 0, "nothing was resumed")
	eq(want, files_of("out"), "the files")


@case
def after_a_reboot():
	"""After a power cut only what was flushed counts: what a run that was stopped in order had done, not what a killed one had."""
	args = TARGETS["qcow2"]
	want, rc, _ = leave_unfinished(args, sig=signal.SIGINT)
	eq(2, rc, "exit status")
	_, calls, _ = reference(args)
	size = os.path.getsize(record(args))
	p = start_slow(args, "--resume", calls=calls)
	wait_for(lambda: os.path.getsize(record(args)) > size, p, "a record that grows")
	p.kill()
	p.communicate()
	write_file("boot", b"01234567-89ab-cdef-0123-456789abcdef\n")
	r = vdisk(*words(args, "out", "--resume", "--json"), env=shim(boot="boot"))
	check(0 < r.json()["resumed"] < SIZE, "resumed at %s" % r.json()["resumed"])
	eq(want, files_of("out"), "the files")


@case
def soft_records_do_not_survive_a_reboot():
	args = TARGETS["qcow2"]
	want, rc, _ = leave_unfinished(args)
	eq(-9, rc, "exit status")
	write_file("boot", b"01234567-89ab-cdef-0123-456789abcdef\n")
	r = vdisk(*words(args, "out", "--resume", "--json"), env=shim(boot="boot"))
	eq(0, r.json()["resumed"], "bytes resumed that were never flushed")
	eq(want, files_of("out"), "the files")


@case
def two_at_once():
	args = TARGETS["qcow2"]
	source()
	want, calls, _ = reference(args)
	fresh("out")
	p = start_slow(args, calls=calls)
	wait_for(recorded(record(args)), p, "a record")
	p.send_signal(signal.SIGSTOP) # what it has locked stays
	for more in ([], ["--resume"], ["--force"], ["--resume", "--force"]):
		r = run(VDISK, *words(args, "out", *more), env=EPOCH)
		eq(2, r.rc, "exit status of a second run with %s: %s" % (more, r.show()))
		check("written by another run" in r.err, r.show())
	p.send_signal(signal.SIGCONT)
	eq(0, p.wait(60), "exit status of the first run: %s" % p.stderr.read())
	p.stderr.close()
	eq(want, files_of("out"), "the files")


def blocks_of(data):
	"""Where the record's blocks begin and end: the first is the header."""
	import struct
	at = 16 + struct.unpack("<I", data[12:16])[0] + 4
	ends = [(0, at)]
	while at + 8 < len(data):
		n = 8 + struct.unpack("<I", data[at + 4:at + 8])[0] + 4
		ends.append((at, at + n))
		at += n
	return ends


@case
def damaged_records():
	"""A record that was cut or damaged counts up to there; one that was forged, checksums and all, is refused or does no harm."""
	import struct, zlib
	args = TARGETS["vhd"]
	want, rc, _ = leave_unfinished(args)
	eq(-9, rc, "exit status")
	rng = rng_for("damage")
	with open(record(args), "rb") as f:
		good = f.read()
	blocks = blocks_of(good)
	check(len(blocks) > 2, "only %d blocks" % len(blocks))
	partial = os.path.join("out", ".disk.vhd.vdisk-partial")
	ran("cp", "--sparse=always", partial, "keep")
	refusals = 0
	for i in range(200 if ALL else 8):
		fresh("out")
		ran("cp", "--sparse=always", "keep", partial)
		bad = bytearray(good)
		how = rng.choice(("cut", "flip", "forge", "forge", "forge"))
		if how == "cut":
			del bad[rng.randrange(blocks[0][1], len(bad)):]
		elif how == "flip":
			bad[rng.randrange(blocks[0][1], len(bad))] ^= 1 << rng.randrange(8)
		else:
			begin, end = rng.choice(blocks[1:])
			for k in range(rng.choice((1, 1, 1, 5))):
				at = rng.randrange(begin + 8 + 37, end - 4)
				bad[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff, bad[at] ^ 1, bad[at] ^ 0x80, rng.randrange(256)))
			bad[end - 4:end] = struct.pack("<I", zlib.crc32(bytes(bad[begin:end - 4])))
		# The record is about the copy now.
		text = good[16:blocks[0][1] - 4].decode()
		st = os.stat(partial)
		text = text[:text.index("file ")] + "file %d %d 0\n" % (st.st_dev, st.st_ino)
		header = good[:12] + struct.pack("<I", len(text)) + text.encode()
		write_file(record(args), header + struct.pack("<I", zlib.crc32(header)) + bytes(bad[blocks[0][1]:]))
		r = run(VDISK, *words(args, "out", "--resume", "--json"), env=EPOCH, timeout=60)
		check(r.rc in (0, 2), "%s: neither done nor refused: %s" % (how, r.show()))
		if r.rc == 2:
			refusals += 1
			one_line(r)
			check(not os.path.exists(dst_of(args)), "%s: refused, and something is under the destination's name" % how)
		elif how != "forge":
			eq(want, files_of("out"), "the files with a record that was %s" % how)
			check(r.json()["resumed"] < SIZE, "all of it was resumed")
	print("    %d refused" % refusals)


# ---------------------------------------------------------------- failures

def failing(name, args, op, match, code, word):
	source()
	before = tree(".")
	_, calls, _ = reference(args, ops=op, match=match)
	rng = rng_for("fail %s %s" % (name, op))
	for nth in (1, rng.randrange(1, max(calls * 3 // 4, 2))):
		fresh("out")
		r = run(VDISK, *words(args), env=shim(op=op, match=match, do=code, nth=nth))
		eq(2, r.rc, "exit status with errno %d at call %d of %d: %s" % (code, nth, calls, r.show()))
		one_line(r)
		check(word in r.err, "the message names the reason: %s" % r.show())
		eq([], os.listdir("out"), "what the failed conversion left")
	eq(before["source.raw"], tree(".")["source.raw"], "the source")


for name, args in {**TARGETS, **MORE}.items():
	if ALL or name in ("raw", "qcow2-zlib", "vmdk-twogb", "vhd"):
		add("no space " + name, failing, name, args, "write", "partial", errno.ENOSPC, "No space left")
		add("write error " + name, failing, name, args, "write,sync", "partial", errno.EIO, "Input/output error")
	if ALL or name == "qcow2":
		add("read error " + name, failing, name, args, "read", "source.", errno.EIO, "Input/output error")


@case
def failed_and_resumed():
	"""Asked to resume, a failure of the host's leaves what there is."""
	source()
	args = TARGETS["qcow2"]
	want, calls, _ = reference(args, ops="write")
	fresh("out")
	r = run(VDISK, *words(args, "out", "--resume"), env=shim(op="write", match="partial", do=errno.ENOSPC, nth=calls * 3 // 4,
	                                                        delay=int(1e6 * 2 / calls)))
	eq(2, r.rc, "exit status: %s" % r.show())
	one_line(r)
	check("No space left" in r.err and "to go on: " in r.err, r.show())
	again = shlex.split(r.err.split("to go on: ", 1)[1])
	eq(1, again.count("--resume"), "how often the command says it")
	r = run(*again, "--json", env=EPOCH)
	eq(0, r.rc, r.show())
	check(r.json()["resumed"] > 0, "nothing was resumed")
	eq(want, files_of("out"), "the files")


def source_shrinks(args):
	source()
	with open("source.raw", "r+b") as f: # data to the end
		f.seek(SIZE - 4 * MIB)
		f.write(rng_for("tail").randbytes(4 * MIB))
	fresh("out")
	p = start_slow(args, "-j", "1", delay=30000)
	wait_for(recorded(record(args)), p, "a record")
	os.truncate("source.raw", SIZE // 2)
	_, err = p.communicate(timeout=60)
	eq(2, p.returncode, "exit status: %s" % err)
	eq(1, len(err.splitlines()), "lines on stderr: %s" % err)
	check(b"cut short" in err, "the message: %s" % err)
	eq([], os.listdir("out"), "what is left")


for name, args in {**TARGETS, **MORE}.items():
	if ALL or name == "qcow2":
		add("source shrinks " + name, source_shrinks, args)


# ---------------------------------------------------------------- moving

def move_words(args, *more):
	return words(args, "out", "--punch-source", "destroy-source", *more)


@case
def punch_on_a_full_disk():
	"""A file system with room for one and a bit."""
	args = TARGETS["qcow2"]
	fresh("out")
	if os.geteuid() != 0 or run("mount", "-t", "tmpfs", "-o", "size=52M", "tmpfs", "out").rc:
		skip("no file system can be mounted here")
	try:
		data = rng_for("full").randbytes(SIZE)
		write_file("out/source.raw", data)
		write_file("source.raw", data)
		# Without, there is no room.
		here = ["convert", "-f", "raw", *args, "out/source.raw", dst_of(args)]
		r = run(VDISK, *here)
		eq(2, r.rc, r.show())
		eq(["source.raw"], os.listdir("out"), "what is there")
		r = vdisk(*here, "--punch-source", "destroy-source", "-j", "2", "--verify")
		eq(["disk.qcow2"], os.listdir("out"), "what is there")
		same_as_raw("source.raw", dst_of(args), "qcow2")
	finally:
		run("umount", "out")


@case
def punch_killed():
	"""Killed anywhere, the disk is either whole in the source or can be resumed; never begun anew."""
	args = TARGETS["qcow2"]
	rng = rng_for("punch")
	source("keep.raw")
	shutil.copy("keep.raw", "source.raw")
	want, _, _ = reference(args)
	fresh("out")
	vdisk(*move_words(args), env=shim(op="write,sync,name,punch", count="count.txt"))
	with open("count.txt") as f:
		calls = int(f.read())
	eq(want, files_of("out"), "the files of a move")
	check(not os.path.exists("source.raw"), "the source is still there")
	kills = punched = 0
	for i in range(30 if ALL else 2):
		fresh("out")
		shutil.copy("keep.raw", "source.raw")
		for attempt in range(6):
			e = shim(op="write,sync,name,punch", do="kill", nth=rng.randrange(1, calls + 1)) if attempt < 5 else EPOCH
			r = run(VDISK, *move_words(args, *(["--resume"] if attempt else [])), env=e)
			if r.rc == 0:
				break
			eq(-9, r.rc, "round %d: %s" % (i, r.show()))
			if not os.path.exists("source.raw"): # the last of all; the image has its name
				break
			intact = sha256("source.raw") == sha256("keep.raw")
			kills += 1
			punched += not intact
			if not intact and not os.path.exists(dst_of(args)):
				refused(*move_words(args), folder="out", mentions="--resume")
				refused(*move_words(args, "--force"), folder="out", mentions="--resume")
				refused("create", "--force", "-f", "qcow2", dst_of(args), "1M", folder="out", mentions="nowhere else")
				if b"moved" in subprocess.run(["getfattr", "-d", "source.raw"], stdout=subprocess.PIPE).stdout:
					refused("digest", "-f", "raw", "source.raw", mentions="given up")
					refused("convert", "-f", "raw", "source.raw", "another.qcow2", mentions="given up")
		eq(want[os.path.basename(dst_of(args))], sha256(dst_of(args)), "round %d: the file" % i)
	print("    %d kills, %d of them when the source had given up something" % (kills, punched))


@case
def punch_refused():
	args = TARGETS["raw"]
	fresh("out")
	source("base.raw", 4 * MIB)
	qemu_img("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2")
	qemu_img("create", "-q", "-f", "qcow2", "snap.qcow2", "4M")
	qemu_img("snapshot", "-c", "one", "snap.qcow2")
	say = ["--punch-source", "destroy-source"]
	refused("convert", *say, *args, "top.qcow2", "out/disk.raw", mentions="layer over")
	refused("convert", *say, *args, "snap.qcow2", "out/disk.raw", mentions="internal snapshot")
	vdisk("convert", "-f", "raw", "-O", "qcow2", "base.raw", "parent.qcow2")
	vdisk("clone", "--linked", "parent.qcow2", "child.qcow2")
	if os.geteuid() != 0 or "children" in run("getfattr", "parent.qcow2").out:
		refused("convert", *say, *args, "parent.qcow2", "out/disk.raw", mentions="linked")
	with open("base.raw", "rb") as f:
		refused("convert", *say, "-f", "raw", *args, "-", "out/disk.raw", stdin=f.read())
	refused("convert", "--punch-source", "yes", "-f", "raw", *args, "base.raw", "out/disk.raw", mentions="destroy-source")
	eq([], os.listdir("out"), "what is left")


@case
def not_resumable():
	source()
	write_file("key", b"secret")
	refused("convert", "--resume", "-f", "raw", "-O", "qcow2", "-o", "encrypt.format=luks,encrypt.key-file=key,encrypt.iter-time=10",
	        "source.raw", "disk.qcow2", mentions=["encrypted", "cannot be resumed"])
	refused("convert", "--resume", "-f", "raw", "-O", "raw", "source.raw", "-", mentions="pipe")
	vdisk("convert", "-f", "raw", "-O", "qcow2", "-o", "encrypt.format=luks,encrypt.key-file=key,encrypt.iter-time=10", "source.raw",
	      "disk.qcow2")


@case
def shared_blocks():
	"""On a file system that shares blocks between files."""
	need("mkfs.xfs")
	if os.geteuid() != 0:
		skip("no file system can be mounted here")
	with open("fs.img", "wb") as f:
		f.truncate(400 * MIB)
	ran("mkfs.xfs", "-q", "-m", "reflink=1", "fs.img")
	os.mkdir("mnt")
	if run("mount", "-o", "loop", "fs.img", "mnt").rc:
		skip("no file system can be mounted here")
	here = os.getcwd()
	try:
		os.chdir("mnt")
		args = TARGETS["qcow2"]
		source()
		want, _, _ = reference(args)
		fresh("out")
		for nth in (30, 60, 90, 120):
			e = shim(op="write,name,sync", match="disk", delay=10000, do="kill", nth=nth)
			r = run(VDISK, *words(args, "out", "--resume"), env=e)
			if r.rc == 0:
				break
		else:
			r = vdisk(*words(args, "out", "--resume", "--json"), env=EPOCH)
		eq(want, files_of("out"), "the files")
	finally:
		os.chdir(here)
		run("umount", "mnt")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""qcow2's dirty bitmaps: what was written is in them, whoever wrote it, and QEMU reads them as we do; those that are not to be believed are
not used."""
import os, signal, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

ROUNDS = 12 if ALL else 2
STEPS = 40 if ALL else 14
KILLS = 100 if ALL else 6


def bitmap(*args, **kw):
	return vdisk("bitmap", *args, **kw)


def listed(path):
	return {b["name"]: b for b in bitmap("list", "--json", path).json()["bitmaps"]}


def vdio(path, commands, rc=0):
	need_vdio()
	return ran(VDIO, "-f", "qcow2", path, stdin="".join(c + "\n" for c in commands).encode(), rc=rc)


def joined(runs):
	out = []
	for off, end in sorted(runs):
		if out and out[-1][1] >= off:
			out[-1][1] = max(end, out[-1][1])
		else:
			out.append([off, end])
	return out


def ours(path, name):
	"""[from, to) of what the bitmap calls changed, as vdisk reads it."""
	r = vdisk("map", "--json", "-f", "qcow2", "--since", "bitmap:" + name, path).json()
	return joined((e["offset"], e["offset"] + e["length"]) for e in r["extents"])


def wait_for(what, truth, seconds=60):
	end = time.monotonic() + seconds
	while not truth():
		check(time.monotonic() < end, "waited %d s for %s" % (seconds, what))
		time.sleep(0.02)


def theirs(path, name):
	"""The same, as QEMU's NBD server exports it."""
	need("qemu-nbd", "nbdinfo")
	socket = os.path.abspath("qemu.sock")
	p = subprocess.Popen(["qemu-nbd", "-r", "-t", "-f", "qcow2", "-B", name, "-k", socket, path], stderr=subprocess.PIPE)
	try:
		wait_for("qemu-nbd", lambda: os.path.exists(socket) or p.poll() is not None)
		if p.poll() is not None:
			fail("qemu-nbd -B %s: %s" % (name, p.stderr.read().decode()))
		r = ran("nbdinfo", "--map=qemu:dirty-bitmap:" + name, "--json", "nbd+unix:///?socket=" + socket)
		return joined((e["offset"], e["offset"] + e["length"]) for e in r.json() if e["type"] & 1)
	finally:
		p.kill()
		p.wait()
		p.stderr.close()
		if os.path.exists(socket):
			os.unlink(socket)


class Model:
	"""What each bitmap should call changed: its granules."""

	def __init__(self, size):
		self.size, self.maps = size, {}

	def create(self, name, granularity, enabled):
		self.maps[name] = {"granularity": granularity, "enabled": enabled, "dirty": set()}

	def touch(self, off, length):
		for m in self.maps.values():
			if m["enabled"]:
				m["dirty"].update(range(off // m["granularity"], (off + length - 1) // m["granularity"] + 1))

	def runs(self, name):
		g = self.maps[name]["granularity"]
		return joined((i * g, min((i + 1) * g, self.size)) for i in self.maps[name]["dirty"])

	def merge(self, to, name):
		g = self.maps[to]["granularity"]
		for off, end in self.runs(name):
			self.maps[to]["dirty"].update(range(off // g, (end - 1) // g + 1))

	def resize(self, size):
		"""A new end counts as changed where a bitmap follows changes."""
		for m in self.maps.values():
			g = m["granularity"]
			m["dirty"] = {i for i in m["dirty"] if i * g < size}
			if size > self.size and m["enabled"]:
				m["dirty"].update(range(self.size // g, (size - 1) // g + 1))
		self.size = size

	def judge(self, path, why, qemu):
		have = listed(path)
		eq(sorted(self.maps), sorted(have), why + ": names")
		for name, m in self.maps.items():
			b = have[name]
			eq((m["granularity"], m["enabled"], False, None), (b["granularity"], b["enabled"], b["in-use"], b["problem"]), "%s: %s" % (why, name))
			eq(self.runs(name), ours(path, name), "%s: what %s calls changed" % (why, name))
			eq(sum(e - o for o, e in self.runs(name)), b["dirty"], "%s: how much %s calls changed" % (why, name))
		if qemu and self.maps:
			name = sorted(self.maps)[0]
			eq(self.runs(name), theirs(path, name), "%s: what %s calls changed, says QEMU" % (why, name))
			told = qemu_img("info", "--output=json", path).json()["format-specific"]["data"]["bitmaps"]
			eq(sorted((n, m["granularity"], ["auto"] if m["enabled"] else []) for n, m in self.maps.items()),
			   sorted((b["name"], b["granularity"], b["flags"]) for b in told), why + ": qemu-img info")


# ---------------------------------------------------------------- two programs, one image

def step(rng, m, path):
	"""One change by one of the two programs; what was done, as text."""
	we = rng.random() < 0.5
	names = sorted(m.maps)
	what = rng.choice(("create", "create", "write", "write", "write", "write", "clear", "merge", "delete", "switch"))
	if what == "create" and len(names) < 5:
		name, g, on = "b%d" % rng.randrange(1000), 1 << rng.randrange(9, 21), rng.random() < 0.7
		if name in names:
			return "nothing"
		if we:
			bitmap("create", *([] if on else ["--disabled"]), "-g", str(g), path, name)
		else:
			qemu_img("bitmap", "--add", *([] if on else ["--disable"]), "-g", str(g), path, name)
		m.create(name, g, on)
		return "create %s" % name
	if what == "write" or not names:
		commands, theirs_ = [], []
		for _ in range(rng.randrange(1, 4)):
			length = rng.choice((512, 4096, 65536, rng.randrange(1, 500) * 512))
			off = rng.randrange(0, (m.size - length) // 512 + 1) * 512
			kind = rng.choice(("write", "write", "zero", "discard")) if we else rng.choice(("write", "write", "zero"))
			commands.append("%s %d %d%s" % (kind, off, length, " 7" if kind == "write" else ""))
			theirs_.append("write %s %d %d" % ("-P 7" if kind == "write" else "-z", off, length))
			m.touch(off, length)
		vdio(path, commands) if we else qemu_io(path, "qcow2", *theirs_)
		return "; ".join(commands if we else theirs_)
	name, other = rng.choice(names), rng.choice(names)
	if what == "clear":
		bitmap("clear", path, name) if we else qemu_img("bitmap", "--clear", path, name)
		m.maps[name]["dirty"] = set()
	elif what == "merge":
		if not we and m.maps[name]["granularity"] != m.maps[other]["granularity"]:
			we = True # QEMU 7.2 merges such, others refuse
		bitmap("merge", path, name, other) if we else qemu_img("bitmap", "--merge", other, path, name)
		m.merge(name, other)
	elif what == "delete":
		bitmap("delete", path, name) if we else qemu_img("bitmap", "--remove", path, name)
		del m.maps[name]
	elif what == "switch":
		on = not m.maps[name]["enabled"]
		bitmap("enable" if on else "disable", path, name) if we else qemu_img("bitmap", "--enable" if on else "--disable", path, name)
		m.maps[name]["enabled"] = on
	return "%s %s %s by %s" % (what, name, other, "us" if we else "QEMU")


def in_turns(options, size, i):
	rng = rng_for("turns/%s/%d" % (options, i))
	qemu_img("create", "-q", "-f", "qcow2", "-o", options, "disk.qcow2", size)
	m, done = Model(size), []
	for s in range(STEPS):
		done.append(step(rng, m, "disk.qcow2"))
		m.judge("disk.qcow2", "step %d: %s" % (s, done[-1]), s % 5 == 4 or s == STEPS - 1)
	qemu_check("disk.qcow2", "qcow2")
	vdisk("check", "-q", "disk.qcow2")


for _options, _size in (("compat=v3", 10 * MIB + 512), ("cluster_size=512", 9 * MIB), ("extended_l2=on", 40 * MIB), ("cluster_size=2M,lazy_refcounts=on", 64 * MIB)):
	for _i in range(ROUNDS if ALL or _options.startswith("compat") else 1):
		add("in turns %s #%d" % (_options, _i), in_turns, _options, _size, _i)


@case
def qemu_writes_while_it_is_running():
	"""A storage daemon that keeps the image open, and stores the bitmap when it ends."""
	need("qemu-storage-daemon", "nbdcopy")
	vdisk("create", "-f", "qcow2", "disk.qcow2", "8M")
	bitmap("create", "-g", "4K", "disk.qcow2", "b")
	socket = os.path.abspath("d.sock")
	p = subprocess.Popen(["qemu-storage-daemon", "--blockdev", "driver=file,node-name=f,filename=disk.qcow2", "--blockdev", "driver=qcow2,node-name=q,file=f",
	                      "--nbd-server", "addr.type=unix,addr.path=" + socket, "--export", "type=nbd,id=e,node-name=q,name=,writable=on"])
	try:
		wait_for("the daemon", lambda: os.path.exists(socket) or p.poll() is not None)
		with open("part", "wb") as f:
			f.truncate(8 * MIB)
			f.seek(5 * MIB)
			f.write(b"x" * 10000)
		ran("qemu-io", "-f", "raw", "nbd+unix:///?socket=" + socket, stdin=b"write 5242880 10240\nflush\nquit\n")
		in_use = run(VDISK, "bitmap", "list", "--json", "--force-share", "disk.qcow2")
		if in_use.rc == 0:
			eq(True, in_use.json()["bitmaps"][0]["in-use"], "while QEMU has it")
	finally:
		p.send_signal(signal.SIGTERM)
		p.wait()
	eq([[5 * MIB, 5 * MIB + 12288]], ours("disk.qcow2", "b"), "what QEMU stored")
	vdio("disk.qcow2", ["write 0 1 9"])
	eq([[0, 4096], [5 * MIB, 5 * MIB + 12288]], theirs("disk.qcow2", "b"), "and what we added")


# ---------------------------------------------------------------- the use of it

@case
def incremental_backups():
	rng = rng_for("incremental")
	size = 32 * MIB
	make_raw("disk.raw", rng, size)
	vdisk("convert", "-O", "qcow2", "disk.raw", "disk.qcow2")
	bitmap("create", "disk.qcow2", "since")
	vdisk("convert", "-O", "qcow2", "disk.qcow2", "full.qcow2")
	base = "full.qcow2"
	for n in range(3):
		commands = ["%s %d %d%s" % (k, rng.randrange(size - 300000), rng.randrange(1, 300000), " %d" % rng.randrange(256) if k == "write" else "")
		            for k in ("write", "write", "zero", "discard")]
		vdio("disk.qcow2", commands)
		out = "inc%d.qcow2" % n
		changed = sum(e - o for o, e in ours("disk.qcow2", "since"))
		r = vdisk("convert", "--json", "--since", "bitmap:since", "-O", "qcow2", "-b", base, "-F", "qcow2", "disk.qcow2", out)
		check(r.json()["data"] <= changed, "no more is written than was changed (%d): %s" % (changed, r.out))
		bitmap("clear", "disk.qcow2", "since")
		ran("qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", "disk.qcow2", out)
		stored = sum(e["length"] for e in qemu_img("map", "--output=json", out).json() if e["depth"] == 0 and not e["zero"])
		check(stored <= changed, "increment %d holds %d bytes, %d were changed" % (n, stored, changed))
		base = out
	# The parts that no bitmap tells of are not read: a base that is wrong there stays wrong.
	qemu_io("full.qcow2", "qcow2", "write -P 99 0 %d" % size)
	r = run("qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", "disk.qcow2", base)
	eq(1, r.rc, "only what was changed is in the increments")
	refused("convert", "--since", "bitmap:since", "-O", "qcow2", "disk.qcow2", "x.qcow2", mentions="-b")
	refused("map", "--since", "bitmap:nobody", "disk.qcow2", mentions=("nobody", "none of its 1"))


def exported(*args, context):
	"""What our NBD server says of a context: [from, to) with the flag."""
	need("nbdinfo")
	p = subprocess.Popen([VDISK, "nbd", "--socket", "ours.sock", *args], stdout=subprocess.PIPE)
	try:
		uri = p.stdout.readline().decode().strip()
		check(uri.startswith("nbd"), "the server prints no URI: %r" % uri)
		told = ran("nbdinfo", "--json", "--list", uri).json()["exports"][0]["contexts"]
		check(context in told, "the list of contexts: %r" % told)
		r = ran("nbdinfo", "--map=" + context, "--json", uri)
		return joined((e["offset"], e["offset"] + e["length"]) for e in r.json() if e["type"] & 1)
	finally:
		p.send_signal(signal.SIGTERM)
		eq(0, p.wait(), "the server's exit status")
		p.stdout.close()


@case
def our_nbd_server():
	need("sfdisk")
	rng = rng_for("nbd")
	vdisk("create", "-f", "qcow2", "disk.qcow2", "64M")
	vdisk("create", "-f", "raw", "table.raw", "64M")
	ran("sfdisk", "-q", "table.raw", stdin=b"label: dos\n8192 40960\n")
	with open("table.raw", "rb") as f:
		write_file("mbr", f.read(512))
	bitmap("create", "-g", "4K", "disk.qcow2", "b 1")
	bitmap("create", "disk.qcow2", "none")
	vdio("disk.qcow2", ["writef 0 512 mbr"] + ["write %d %d 1" % (rng.randrange(63 * MIB), rng.randrange(1, 100000)) for _ in range(50)])
	bitmap("clear", "disk.qcow2", "none")
	want = theirs("disk.qcow2", "b 1")
	eq(want, exported("--bitmap", "b 1", "disk.qcow2", context="qemu:dirty-bitmap:b 1"), "as QEMU exports it")
	eq(want, exported("--rw", "--bitmap", "b 1", "disk.qcow2", context="qemu:dirty-bitmap:b 1"), "with --rw")
	eq([], exported("--bitmap", "none", "disk.qcow2", context="qemu:dirty-bitmap:none"), "nothing changed")
	off, end = 8192 * 512, (8192 + 40960) * 512
	eq([[max(a, off) - off, min(b, end) - off] for a, b in want if a < end and b > off],
	   exported("--partition", "1", "--bitmap", "b 1", "disk.qcow2", context="qemu:dirty-bitmap:b 1"), "of a partition")
	refused("nbd", "--socket", "x", "--bitmap", "nobody", "disk.qcow2", mentions="nobody")
	refused("nbd", "--socket", "x", "--bitmap", "b 1", "--overlay", "tmp", "disk.qcow2", mentions="exclude")
	run(VDIO, "-f", "qcow2", "disk.qcow2", stdin=b"write 0 1 7\nabort\n")
	refused("nbd", "--socket", "x", "--bitmap", "b 1", "disk.qcow2", mentions="in use")


@case
def merged_from_another_image():
	for name in ("a.qcow2", "b.qcow2", "small.qcow2"):
		vdisk("create", "-f", "qcow2", name, "1M" if name[0] == "s" else "4M")
		bitmap("create", name, "x")
	vdio("a.qcow2", ["write 0 1 1"])
	vdio("b.qcow2", ["write 1000000 1 1"])
	bitmap("merge", "--from", "b.qcow2", "a.qcow2", "x", "x")
	eq([[0, 65536], [983040, 1048576]], theirs("a.qcow2", "x"), "merged")
	refused("bitmap", "merge", "--from", "small.qcow2", "a.qcow2", "x", "x", mentions="size")
	refused("bitmap", "merge", "--from", "b.qcow2", "a.qcow2", "x", "y", mentions=("called", "\"y\""))


# ---------------------------------------------------------------- what is not to be believed

@case
def left_in_use():
	vdisk("create", "-f", "qcow2", "disk.qcow2", "4M")
	bitmap("create", "disk.qcow2", "on")
	bitmap("create", "--disabled", "disk.qcow2", "off")
	vdio("disk.qcow2", ["write 0 100000 1"])
	bitmap("merge", "disk.qcow2", "off", "on")
	run(VDIO, "-f", "qcow2", "disk.qcow2", stdin=b"write 3000000 10 7\nflush\nabort\n")
	b = listed("disk.qcow2")
	eq((True, False), (b["on"]["in-use"], b["off"]["in-use"]), "who is in use")
	told = {x["name"]: x["flags"] for x in qemu_img("info", "--output=json", "disk.qcow2").json()["format-specific"]["data"]["bitmaps"]}
	eq(["in-use", "auto"], told["on"], "as QEMU sees it")
	check("in use" in vdisk("info", "disk.qcow2").out, "info says so")
	for words in (("clear", "disk.qcow2", "on"), ("disable", "disk.qcow2", "on"), ("merge", "disk.qcow2", "on", "off"), ("merge", "disk.qcow2", "off", "on"),
	              ("create", "disk.qcow2", "on")):
		r = run(VDISK, "bitmap", *words)
		eq(2, r.rc, "%s: %s" % (words, r.show()))
		one_line(r)
		check("on" in r.err and ("in use" in r.err or "already" in r.err), r.show())
	refused("map", "--since", "bitmap:on", "disk.qcow2", mentions=("\"on\"", "in use"))
	refused("convert", "--since", "bitmap:on", "-b", "disk.qcow2", "-F", "qcow2", "-O", "qcow2", "disk.qcow2", "x.qcow2", mentions=("\"on\"", "in use"))
	eq([[0, 131072]], theirs("disk.qcow2", "off"), "the other one")
	bitmap("delete", "disk.qcow2", "on")
	qemu_check("disk.qcow2", "qcow2")
	eq(["off"], list(listed("disk.qcow2")), "what is left")


@case
def left_in_use_by_qemu():
	vdisk("create", "-f", "qcow2", "disk.qcow2", "4M")
	bitmap("create", "disk.qcow2", "b")
	ran("qemu-io", "-f", "qcow2", "disk.qcow2", stdin=b"write 0 65536\nabort\n", rc=-signal.SIGABRT)
	eq(True, listed("disk.qcow2")["b"]["in-use"], "in use")
	vdio("disk.qcow2", ["write 100 100 1"])
	eq(True, listed("disk.qcow2")["b"]["in-use"], "and stays so")
	bitmap("delete", "disk.qcow2", "b")
	eq([], list(listed("disk.qcow2")), "deleted")
	qemu_check("disk.qcow2", "qcow2")


@case
def killed():
	"""kill -9 while it writes: the bitmap is marked, or tells of every byte that is another."""
	need_vdio()
	rng = rng_for("killed")
	size, counts = 16 * MIB, [0, 0]
	vdisk("create", "-f", "qcow2", "disk.qcow2", str(size))
	for n in range(KILLS):
		if "b" in listed("disk.qcow2"):
			bitmap("delete", "disk.qcow2", "b")
		qemu_img("convert", "-O", "raw", "disk.qcow2", "before.raw")
		bitmap("create", "-g", "4K", "disk.qcow2", "b")
		p = subprocess.Popen([VDIO, "-f", "qcow2", "disk.qcow2"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
		many = "".join("write %d 3000 %d\n" % (rng.randrange(size - 3000), rng.randrange(256)) for _ in range(60))
		try:
			p.stdin.write(many.encode())
			p.stdin.close()
		except BrokenPipeError:
			pass
		time.sleep(rng.random() * 0.03)
		p.kill()
		p.wait()
		b = listed("disk.qcow2")["b"]
		counts[not b["in-use"]] += 1
		vdisk("check", "-q", "--repair", "disk.qcow2")
		if not b["in-use"]:
			judge_honest("before.raw", "disk.qcow2", "b")
	print("    %d marked, %d stored" % tuple(counts))


def judge_honest(before, path, name):
	"""Where the bitmap says nothing, the content is what it was."""
	qemu_img("convert", "-f", "qcow2", "-O", "raw", path, "after.raw")
	with open(before, "rb") as a, open("after.raw", "rb") as b:
		x, y = a.read(), b.read()
	at = 0
	x = x.ljust(len(y), b"\0")
	for off, end in ours(path, name) + [[len(y), len(y)]]:
		if x[at:off] != y[at:off]:
			i = next(i for i in range(at, off) if x[i] != y[i])
			fail("%s: offset %d differs, and bitmap %s does not tell" % (path, i, name))
		at = end


# ---------------------------------------------------------------- what else changes a disk

@case
def resized():
	rng = rng_for("resized")
	size = 10 * MIB
	vdisk("create", "-f", "qcow2", "disk.qcow2", str(size))
	m = Model(size)
	for name, g, on in (("a", 512, True), ("b", 65536, True), ("c", 4096, False)):
		bitmap("create", *([] if on else ["--disabled"]), "-g", str(g), "disk.qcow2", name)
		m.create(name, g, on)
	for n in range(6):
		off = rng.randrange(m.size - 70000)
		vdio("disk.qcow2", ["write %d 65000 %d" % (off, n)])
		m.touch(off, 65000)
		if n == 2:
			bitmap("merge", "disk.qcow2", "c", "a")
			m.merge("c", "a")
		new = rng.randrange(MIB // 512, 40 * MIB // 512) * 512
		vdisk("resize", "--shrink", "disk.qcow2", str(new))
		m.resize(new)
		m.judge("disk.qcow2", "resize %d to %d" % (n, new), True)
		qemu_check("disk.qcow2", "qcow2")
	qemu_img("resize", "disk.qcow2", "50M")
	m.size = 50 * MIB # QEMU does not call the new end changed
	m.judge("disk.qcow2", "resized by QEMU", True)


@case
def other_changes():
	"""Snapshots, amend, compact, commit, flatten: the bitmaps tell, or the content is the same."""
	rng = rng_for("other")
	size = 8 * MIB
	make_raw("disk.raw", rng, size)
	vdisk("convert", "-O", "qcow2", "disk.raw", "disk.qcow2")
	bitmap("create", "disk.qcow2", "b")
	vdio("disk.qcow2", ["write 0 4096 1"])
	vdisk("snapshot", "create", "disk.qcow2", "s")
	eq([[0, 65536]], theirs("disk.qcow2", "b"), "a snapshot changes nothing of the disk")
	vdio("disk.qcow2", ["write 1000000 4096 2"])
	vdisk("snapshot", "apply", "disk.qcow2", "s")
	eq([[0, size]], theirs("disk.qcow2", "b"), "going back may have changed all")
	bitmap("clear", "disk.qcow2", "b")
	vdisk("snapshot", "delete", "disk.qcow2", "s")
	vdisk("amend", "-o", "lazy_refcounts=on", "disk.qcow2")
	eq([], theirs("disk.qcow2", "b"), "amended")
	r = run(VDISK, "amend", "-o", "compat=0.10", "disk.qcow2")
	eq(2, r.rc, r.show())
	check("bitmaps" in r.err, r.show())
	qemu_img("convert", "-O", "raw", "disk.qcow2", "before.raw")
	vdisk("compact", "--zeros-only", "disk.qcow2")
	judge_honest("before.raw", "disk.qcow2", "b")
	vdisk("create", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "leaf.qcow2")
	bitmap("create", "leaf.qcow2", "l")
	vdio("leaf.qcow2", ["write 3000000 200000 5"])
	bitmap("clear", "disk.qcow2", "b")
	vdisk("commit", "leaf.qcow2")
	eq([[2949120, 3211264]], ours("disk.qcow2", "b"), "what was committed")
	eq([[2949120, 3211264]], ours("leaf.qcow2", "l"), "the leaf's own")
	bitmap("clear", "leaf.qcow2", "l")
	vdisk("flatten", "leaf.qcow2")
	eq([], theirs("leaf.qcow2", "l"), "flattening changes nothing of the disk")
	for path in ("disk.qcow2", "leaf.qcow2"):
		qemu_check(path, "qcow2")


@case
def snapshots_as_layers():
	"""A snapshot below the disk is deleted: the bitmap stays with the disk, though the other way would be less to copy."""
	make_raw("disk.raw", rng_for("layers"), 8 * MIB)
	for bitmaps in (False, True):
		vdisk("convert", "--force", "-O", "qcow2", "disk.raw", "disk.qcow2")
		leaf = vdisk("snapshot", "create", "--json", "--external", "disk.qcow2", "s").json()["leaf"]
		if bitmaps:
			bitmap("create", leaf, "b")
		vdio(leaf, ["write 100000 10 1"])
		qemu_img("convert", "-O", "raw", leaf, "before.raw")
		r = vdisk("snapshot", "delete", "--json", "--external", leaf, "s")
		eq("up" if bitmaps else "down", r.json()["direction"], "direction")
		qemu_img("convert", "-O", "raw", leaf, "after.raw")
		same_bytes("before.raw", "after.raw", "the disk")
		if bitmaps:
			eq([[65536, 131072]], theirs(leaf, "b"), "the bitmap")
		os.unlink(leaf)


@case
def with_other_features():
	"""A backing file, a data file, and names in the header beside the bitmaps."""
	vdisk("create", "-f", "qcow2", "base.qcow2", "4M")
	vdisk("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "leaf.qcow2")
	vdisk("create", "-f", "qcow2", "-o", "data_file=data.raw,data_file_raw=on", "ext.qcow2", "4M")
	for path in ("leaf.qcow2", "ext.qcow2"):
		bitmap("create", path, "é à")
		vdio(path, ["write 70000 10 1"])
		eq([[65536, 131072]], theirs(path, "é à"), path)
		qemu_check(path, "qcow2")
	eq("base.qcow2", qemu_img("info", "--output=json", "leaf.qcow2").json()["backing-filename"], "the backing file")


@case
def refusals():
	vdisk("create", "-f", "qcow2", "-o", "compat=0.10", "v2.qcow2", "1M")
	vdisk("create", "-f", "qcow2", "disk.qcow2", "1M")
	vdisk("create", "-f", "vhd", "disk.vhd", "1M")
	refused("bitmap", "create", "v2.qcow2", "b", mentions="compat=1.1")
	refused("bitmap", "create", "disk.vhd", "b", mentions="vhd images have no bitmaps")
	eq([], list(listed("disk.vhd")), "none there")
	refused("bitmap", "create", "-g", "5000", "disk.qcow2", "b", mentions=("5000", "power of two"))
	refused("bitmap", "create", "disk.qcow2", "", mentions="empty")
	refused("bitmap", "create", "disk.qcow2", "x" * 1024, mentions="1024")
	refused("bitmap", "create", "disk.qcow2", "a\nb", mentions="0x0a")
	refused("bitmap", "clear", "disk.qcow2", "b", mentions="\"b\"")
	bitmap("create", "disk.qcow2", "x" * 1023)
	eq(["x" * 1023], list(listed("disk.qcow2")), "the longest name")
	refused("bitmap", "create", "disk.qcow2", "x" * 1023, mentions="already")
	refused("bitmap", "frob", "disk.qcow2", "b", mentions="frob")
	refused("bitmap", "create", "disk.qcow2", mentions="name is missing")
	refused("bitmap", "merge", "disk.qcow2", "b", mentions="name is missing")
	refused("bitmap", "list", "disk.qcow2", "b", mentions="too many")
	refused("bitmap", "clear", "-g", "4K", "disk.qcow2", "b", mentions="for create")
	refused("bitmap", "clear", "--from", "x", "disk.qcow2", "b", mentions="for merge")


# ---------------------------------------------------------------- bytes that lie

def entry_of(path):
	"""Where the first entry of the bitmap directory is."""
	with open(path, "rb") as f:
		head = f.read(4096)
	at = int.from_bytes(head[100:104], "big")
	while True:
		kind, n = int.from_bytes(head[at:at + 4], "big"), int.from_bytes(head[at + 4:at + 8], "big")
		check(kind, "no bitmaps extension")
		if kind == 0x23852875:
			return int.from_bytes(head[at + 24:at + 32], "big")
		at += 8 + (n + 7) // 8 * 8


def forged(name, at, value, problem, deletable=True):
	vdisk("create", "-f", "qcow2", "disk.qcow2", "4M")
	bitmap("create", "disk.qcow2", "b")
	write_file("disk.qcow2", value, entry_of("disk.qcow2") + at)
	b = list(listed("disk.qcow2").values())[0]
	check(problem in (b["problem"] or ""), "%s: %r" % (name, b))
	r = run(VDISK, "map", "--since", "bitmap:b", "disk.qcow2")
	eq(2, r.rc, r.show())
	check(problem in r.err and "deleted" in r.err, r.show())
	# One that follows writes and cannot be kept is marked by the first write.
	vdio("disk.qcow2", ["write 0 1 1"])
	eq(True, list(listed("disk.qcow2").values())[0]["in-use"], "marked")
	bitmap("delete", "disk.qcow2", "b")
	eq([], list(listed("disk.qcow2")), "deleted")


for _name, _at, _value, _problem in (
		("type", 16, b"\2", "type"), ("flags", 12, b"\0\0\1\2", "flags"), ("granularity", 17, b"\x3f", "granularity"), ("small granularity", 17, b"\x08", "granularity"),
		("table size", 8, b"\0\0\0\2", "size"), ("no table", 0, bytes(8), "table"), ("table outside", 0, b"\0\0\0\x10\0\0\0\0", "table"),
		("table off the cluster", 0, b"\0\0\0\0\0\5\1\0", "table"), ("huge table", 8, b"\x7f\xff\xff\xff", "table")):
	add("forged " + _name, forged, _name, _at, _value, _problem)


@case
def forged_tables():
	vdisk("create", "-f", "qcow2", "disk.qcow2", "4M")
	bitmap("create", "disk.qcow2", "b")
	with open("disk.qcow2", "rb") as f:
		f.seek(entry_of("disk.qcow2"))
		table = int.from_bytes(f.read(8), "big")
	for value in (1 << 63, 0x200, 0x10000 | 1, 1 << 40, 0x10000, 0x30000, 2):
		write_file("disk.qcow2", value.to_bytes(8, "big"), table)
		refused("map", "--since", "bitmap:b", "disk.qcow2", mentions="bitmap table entry")
		r = run(VDISK, "bitmap", "merge", "disk.qcow2", "b", "b")
		eq(2, r.rc, r.show())
	# The disk is written to all the same; that the bitmap was not stored is said, and the bitmap is marked.
	r = run(VDIO, "-f", "qcow2", "disk.qcow2", stdin=b"write 0 100000 7\n")
	check(r.rc == 2 and "bitmap" in r.err, r.show())
	eq(True, listed("disk.qcow2")["b"]["in-use"], "marked")
	eq(7, vdisk("convert", "-O", "raw", "disk.qcow2", "out.raw") and open("out.raw", "rb").read(1)[0], "the write")
	bitmap("delete", "disk.qcow2", "b")


@case
def forged_sharing():
	"""Two parts of a bitmap in one cluster."""
	vdisk("create", "-f", "qcow2", "-o", "cluster_size=4K", "disk.qcow2", "64M")
	bitmap("create", "-g", "512", "disk.qcow2", "b")
	vdio("disk.qcow2", ["write 0 512 1", "write 33554432 512 2"]) # 16 MiB for each entry: the first, and the third
	with open("disk.qcow2", "rb") as f:
		f.seek(entry_of("disk.qcow2"))
		f.seek(int.from_bytes(f.read(8), "big"))
		table = f.tell()
		entries = [int.from_bytes(f.read(8), "big") for _ in range(4)]
	check(entries[0] and entries[2] and not entries[1] and not entries[3], "the table: %r" % entries)
	vdisk("map", "--since", "bitmap:b", "disk.qcow2")
	write_file("disk.qcow2", entries[0].to_bytes(8, "big"), table + 16)
	refused("map", "--since", "bitmap:b", "disk.qcow2", mentions=("names a cluster that one before it names", "%#x" % (table + 16)))
	r = run(VDISK, "bitmap", "merge", "disk.qcow2", "b", "b")
	check(r.rc == 2 and "names a cluster" in r.err, r.show())


@case
def forged_directory():
	vdisk("create", "-f", "qcow2", "disk.qcow2", "4M")
	bitmap("create", "disk.qcow2", "b")
	at = entry_of("disk.qcow2")
	write_file("disk.qcow2", b"\xff\xff", at + 18) # the name passes the directory's end
	refused("bitmap", "list", "disk.qcow2", mentions="passes its end")
	check("cannot be read" in vdisk("info", "disk.qcow2").out, "info goes on")
	check("passes its end" in vdisk("info", "--json", "disk.qcow2").json()["bitmaps-problem"], "info --json goes on")
	vdisk("convert", "-O", "raw", "disk.qcow2", "out.raw")
	r = run(VDIO, "-f", "qcow2", "disk.qcow2", stdin=b"write 0 1 1\n")
	eq(2, r.rc, "no write goes by bitmaps that cannot be found: %s" % r.show())


main()

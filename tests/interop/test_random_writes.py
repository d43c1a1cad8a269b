#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Overlapping random writes, zeroes and discards, by qemu-io and by us (tests/tools/vdio.c) in turn on one image, against a flat
array; after each turn the other program reads the image back and both checks are clean.  VDISK_ITERATIONS: runs of each
variant."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

ROUNDS = 4 if ALL else ITERATIONS or 1
TURNS = 6
OPS = 40
QFMT = {"vhd": "vpc"}


class Model:
	"""What the disk must hold.  `loose` bytes may be zero instead (a discard), or any that was written since freeze() (never
	flushed)."""
	def __init__(self, size, content=None):
		self.size = size
		self.bytes = bytearray(content if content is not None else size)
		self.bytes.extend(bytes(size - len(self.bytes)))
		self.loose = bytearray(size)
		self.before = None
		self.unflushed = []

	def write(self, off, data):
		if self.before is not None:
			self.unflushed.append((off, data))
		self.bytes[off:off + len(data)] = data
		self.loose[off:off + len(data)] = bytes(len(data))

	def discard(self, off, length):
		self.loose[off:off + length] = b"\1" * length

	def freeze(self):
		self.before = bytes(self.bytes)
		self.unflushed = []

	def possible(self, at):
		"""What a byte may be after a crash: the order of writes to the same place is kept by nobody before a flush."""
		return {self.before[at]} | {data[at - off] for off, data in self.unflushed if off <= at < off + len(data)}

	def compare(self, path, what):
		eq(self.size, os.path.getsize(path), "size of %s" % what)
		step = 4096
		with open(path, "rb") as f:
			content = f.read()
		for at in range(0, self.size, step):
			x, y = self.bytes[at:at + step], content[at:at + step]
			if x == y:
				continue
			for i in range(len(x)):
				if x[i] == y[i] or (self.loose[at + i] and y[i] == 0):
					continue
				if self.before is not None and y[i] in self.possible(at + i):
					continue
				fail("%s: byte %d is %#x, %#x is due%s" % (what, at + i, y[i], x[i],
				                                           " or 0" if self.loose[at + i] else ""))
		self.bytes[:] = content
		self.loose = bytearray(self.size)
		self.before = None


def random_range(rng, size, grain):
	kind = rng.random()
	if kind < 0.3:
		length = rng.randrange(1, 3 * 512)
	elif kind < 0.7:
		length = rng.randrange(1, 4 * grain)
	else:
		length = rng.choice((512, 4096, grain, 2 * grain))
	length = max(1, min(length, size, 700 * KIB))
	off = rng.randrange(size - length + 1)
	if rng.random() < 0.5:
		off -= off % rng.choice((512, 4096, grain))
	if rng.random() < 0.05:
		off = size - length
	return off, length


def pattern(rng, n):
	name = "pattern%d" % n
	with open(name, "wb") as f:
		f.write(rng.randbytes(rng.randrange(100, 5000)))
	return name


def repeated(name, length):
	with open(name, "rb") as f:
		b = f.read()
	return (b * (length // len(b) + 1))[:length]


def turn(rng, model, grain, ops, discards, names):
	"""Commands for qemu-io and for vdio that do the same, and what they do to the model."""
	q, v = [], []
	for n in range(ops):
		off, length = random_range(rng, model.size, grain)
		kind = rng.random()
		if kind < 0.35:
			byte = rng.randrange(1, 256)
			q.append("write -q -P %d %d %d" % (byte, off, length))
			v.append("write %d %d %d" % (off, length, byte))
			model.write(off, bytes([byte]) * length)
		elif kind < 0.65:
			name = rng.choice(names)
			data = repeated(name, length)
			q.append("write -q -s %s %d %d" % (name, off, length))
			v.append("writef %d %d %s" % (off, length, name))
			model.write(off, data)
		elif kind < 0.85 or not discards:
			q.append("write -q -z %s%d %d" % (rng.choice(("", "-u ")), off, length))
			v.append("zero %d %d" % (off, length))
			model.write(off, bytes(length))
		elif kind < 0.97:
			q.append("discard -q %d %d" % (off, length))
			v.append("discard %d %d" % (off, length))
			model.discard(off, length)
		else:
			q.append("flush")
			v.append("flush")
	return q, v


def vdio(path, fmt, commands, *opts, rc=0):
	return ran(VDIO, "-f", fmt, *opts, path, stdin="".join(c + "\n" for c in commands).encode(), rc=rc)


def clean(path, fmt):
	if fmt == "raw":
		return
	r = run(VDISK, "check", "-f", fmt, path)
	check(r.rc == 0, "vdisk check is not clean: %s" % r.show())
	if fmt in ("qcow2", "vmdk"):
		qemu_check(path, fmt)


def read_back(path, fmt, model, ours_wrote):
	out = "back.raw"
	if ours_wrote:
		qemu_img("convert", "-f", QFMT.get(fmt, fmt), "-O", "raw", path, out)
		model.compare(out, "what qemu-img reads")
		# Both readers, the second against what the first one settled.
		vdisk("convert", "--force", "-f", fmt, "-O", "raw", path, out)
		model.compare(out, "what vdisk reads of its own")
	else:
		vdisk("convert", "--force", "-f", fmt, "-O", "raw", path, out)
		model.compare(out, "what vdisk reads")
	os.unlink(out)


def create(fmt, options, path, size, by_us):
	opts = ["-o", options.replace("@", path)] if options else []
	if by_us:
		vdisk("create", "-f", fmt, *opts, path, size)
	else:
		if fmt == "vhd":
			opts = ["-o", ",".join(filter(None, [options, "force_size=on"]))]
		qemu_img("create", "-q", "-f", QFMT.get(fmt, fmt), *opts, path, size)


def alternate(name, fmt, options, grain, size, discards, i, backing=None):
	need_vdio()
	rng = rng_for("%s/%d" % (name, i))
	path = "disk." + fmt
	content = None
	if backing:
		kind, back_size = backing
		raw = make_raw("base.raw", rng, back_size, pieces=20, longest=200 * KIB)
		with open(raw, "rb") as f:
			content = f.read()[:size]
		if kind != "raw":
			qemu_img("convert", "-f", "raw", "-O", QFMT.get(kind, kind),
			         *(["-o", "force_size=on"] if kind == "vhd" else []), raw,
			         "base." + kind)
		opts = ["-o", options] if options else []
		qemu_img("create", "-q", "-f", fmt, *opts, "-b", "base." + kind, "-F", QFMT.get(kind, kind), path, size)
		if kind == "vhd": # known to QEMU as vpc, and to us by either name
			pass
		before = {n: s for n, s in tree(".").items() if n.startswith("base.")}
	else:
		create(fmt, options, path, size, by_us=i % 2 == 0)
	model = Model(size, content)
	names = [pattern(rng, n) for n in range(5)]
	for t in range(TURNS):
		ours = (t + i) % 2 == 0
		q, v = turn(rng, model, grain, OPS, discards, names)
		try:
			if ours:
				vdio(path, fmt, v)
			else:
				qemu_io(path, QFMT.get(fmt, fmt), *q)
			clean(path, fmt)
			read_back(path, fmt, model, ours)
		except Failed as e:
			with open("commands", "w") as f:
				f.write("\n".join(v if ours else q) + "\n")
			fail("turn %d, written by %s: %s" % (t, "vdio" if ours else "qemu-io", e))
	if backing:
		eq(before, {n: s for n, s in tree(".").items() if n.startswith("base.")}, "the backing file")


def with_snapshots(i):
	"""Clusters that a snapshot shares are copied, not overwritten."""
	need_vdio()
	rng = rng_for("snapshots/%d" % i)
	size = 4 * MIB
	qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=4K", "disk.qcow2", size)
	model = Model(size)
	names = [pattern(rng, n) for n in range(5)]
	kept = {}
	for t in range(4):
		q, v = turn(rng, model, 4096, OPS, False, names)
		if t % 2:
			vdio("disk.qcow2", "qcow2", v)
		else:
			qemu_io("disk.qcow2", "qcow2", *q)
		clean("disk.qcow2", "qcow2")
		read_back("disk.qcow2", "qcow2", model, t % 2)
		kept["s%d" % t] = bytes(model.bytes)
		qemu_img("snapshot", "-c", "s%d" % t, "disk.qcow2")
	q, v = turn(rng, model, 4096, OPS, True, names)
	vdio("disk.qcow2", "qcow2", v)
	clean("disk.qcow2", "qcow2")
	read_back("disk.qcow2", "qcow2", model, True)
	for name, content in kept.items():
		qemu_img("convert", "-l", "snapshot.name=" + name, "-f", "qcow2", "-O", "raw", "disk.qcow2", name + ".q")
		vdisk("convert", "--snapshot", name, "-f", "qcow2", "-O", "raw", "disk.qcow2", name + ".v")
		for out in (name + ".q", name + ".v"):
			with open(out, "rb") as f:
				check(f.read() == content, "snapshot %s changed under our writes (%s)" % (name, out))


def encrypted(i):
	"""LUKS: sectors are keyed by where they lie in the file, which every move and fill must keep."""
	need_vdio()
	rng = rng_for("luks/%d" % i)
	size = 4 * MIB + 512
	write_file("key", b"correct horse")
	secret = ["--object", "secret,id=s,file=key"]
	opts = "driver=qcow2,encrypt.key-secret=s,file.driver=file,file.filename=disk.qcow2"
	qemu_img("create", "-q", *secret, "-f", "qcow2",
	         "-o", "cluster_size=4K,encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "disk.qcow2", size)
	model = Model(size)
	names = [pattern(rng, n) for n in range(5)]
	for t in range(4):
		q, v = turn(rng, model, 4096, OPS, True, names)
		if t % 2:
			qemu_io("disk.qcow2", None, *q, opts=[*secret, "--image-opts", opts])
		else:
			vdio("disk.qcow2", "qcow2", v, "-o", "key-file=key")
		vdisk("check", "--key-file", "key", "disk.qcow2")
		qemu_img("convert", *secret, "--image-opts", opts, "-O", "raw", "back.raw")
		model.compare("back.raw", "what qemu-img reads")
		vdisk("convert", "--force", "--key-file", "key", "-O", "raw", "disk.qcow2", "back.raw")
		model.compare("back.raw", "what vdisk reads")
	write_file("wrong", b"incorrect horse")
	refused("convert", "--key-file", "wrong", "-O", "raw", "disk.qcow2", "out.raw")
	refused("convert", "-O", "raw", "disk.qcow2", "out.raw", mentions="key-file")


def crash(name, fmt, options, grain, i):
	"""A writer that dies: what was flushed reads back, what was not is old or new, and the image is repaired or clean."""
	need_vdio()
	rng = rng_for("crash/%s/%d" % (name, i))
	size = 4 * MIB
	path = "disk." + fmt
	create(fmt, options, path, size, True)
	model = Model(size)
	names = [pattern(rng, n) for n in range(5)]
	for t in range(4):
		_, first = turn(rng, model, grain, 15, False, names)
		model.freeze()
		_, second = turn(rng, model, grain, 15, False, names)
		vdio(path, fmt, first + ["flush"] + [c for c in second if c != "flush"] + ["abort"])
		r = run(VDISK, "check", "--repair", "-f", fmt, path)
		check(r.rc in (0, 1), "check --repair after the crash: %s" % r.show())
		clean(path, fmt)
		read_back(path, fmt, model, True)


def two_copies(fmt, options, grain, i):
	"""The same commands by qemu-io on one copy and by us on another."""
	need_vdio()
	rng = rng_for("copies/%s/%s/%d" % (fmt, options, i))
	size = 5 * MIB + 1024
	raw = make_raw("source.raw", rng, size, pieces=20)
	opts = ",".join(filter(None, [options, "force_size=on" if fmt == "vhd" else ""]))
	qemu_img("convert", "-f", "raw", "-O", QFMT.get(fmt, fmt), *(["-o", opts] if opts else []), raw, "one." + fmt)
	qemu_img("convert", "-f", "raw", "-O", QFMT.get(fmt, fmt), *(["-o", opts] if opts else []), raw, "two." + fmt)
	with open(raw, "rb") as f:
		model = Model(size, f.read())
	names = [pattern(rng, n) for n in range(5)]
	q, v = turn(rng, model, grain, 150, False, names)
	qemu_io("one." + fmt, QFMT.get(fmt, fmt), *q)
	vdio("two." + fmt, fmt, v)
	clean("two." + fmt, fmt)
	ran("qemu-img", "compare", "-f", QFMT.get(fmt, fmt), "-F", QFMT.get(fmt, fmt), "one." + fmt, "two." + fmt)
	vdisk("compare", "-f", fmt, "-F", fmt, "one." + fmt, "two." + fmt)
	vdisk("convert", "-f", fmt, "-O", "raw", "two." + fmt, "out.raw")
	model.compare("out.raw", "the copy that we wrote")


VARIANTS = [
	# name, format, options, grain, size, discards
	("raw", "raw", "", 4096, 3 * MIB + 512, True),
	("qcow2", "qcow2", "", 65536, 8 * MIB, True),
	("qcow2 512", "qcow2", "cluster_size=512", 512, 2 * MIB + 1536, True),
	("qcow2 2M", "qcow2", "cluster_size=2M", 65536, 9 * MIB + 512, True),
	("qcow2 v2", "qcow2", "compat=0.10,cluster_size=4K", 4096, 4 * MIB, True),
	("qcow2 extended L2", "qcow2", "extended_l2=on", 65536, 8 * MIB, True),
	("qcow2 extended L2 16K", "qcow2", "extended_l2=on,cluster_size=16K", 16384, 4 * MIB + 512, True),
	("qcow2 refcount 1", "qcow2", "refcount_bits=1,cluster_size=1K", 1024, 2 * MIB, True),
	("qcow2 refcount 64", "qcow2", "refcount_bits=64,cluster_size=512", 512, 2 * MIB, True),
	("qcow2 lazy refcounts", "qcow2", "lazy_refcounts=on", 65536, 8 * MIB, True),
	("qcow2 preallocated", "qcow2", "preallocation=metadata", 65536, 4 * MIB, True),
	("qcow2 data file", "qcow2", "data_file=@.data", 65536, 4 * MIB, True),
	("qcow2 data file raw", "qcow2", "data_file=@.data,data_file_raw=on", 65536, 4 * MIB, True),
	("vmdk sparse", "vmdk", "subformat=monolithicSparse", 65536, 6 * MIB + 512, False),
	("vmdk twoGb", "vmdk", "subformat=twoGbMaxExtentSparse", 65536, 6 * MIB, False),
	("vmdk flat", "vmdk", "subformat=monolithicFlat", 4096, 4 * MIB, False),
	("vhd dynamic", "vhd", "subformat=dynamic", 65536, 9 * MIB + 512, False),
	("vhd fixed", "vhd", "subformat=fixed", 4096, 4 * MIB, False),
	("vdi", "vdi", "", 65536, 9 * MIB + 512, False),
]
for i in range(ROUNDS):
	for v in VARIANTS:
		add("%s #%d" % (v[0], i), alternate, *v, i)
	for kind, size in (("raw", 3 * MIB), ("qcow2", 8 * MIB), ("vhd", 2 * MIB + 512), ("vmdk", 5 * MIB)):
		add("qcow2 over %s #%d" % (kind, i), alternate, "over " + kind, "qcow2", "", 65536, 6 * MIB, True, i, (kind, size))
	add("qcow2 extended L2 over qcow2 #%d" % i, alternate, "x over", "qcow2", "extended_l2=on", 65536, 6 * MIB, True, i,
	    ("qcow2", 5 * MIB))
	add("qcow2 512 over raw #%d" % i, alternate, "512 over", "qcow2", "cluster_size=512", 512, 2 * MIB, True, i,
	    ("raw", MIB + 512))
	add("vmdk over vmdk #%d" % i, alternate, "vmdk over", "vmdk", "", 65536, 6 * MIB, False, i, ("vmdk", 6 * MIB))
	add("snapshots #%d" % i, with_snapshots, i)
	add("LUKS #%d" % i, encrypted, i)
	for name, fmt, options, grain in (("qcow2", "qcow2", "", 65536), ("qcow2 512", "qcow2", "cluster_size=512", 512),
	                                  ("qcow2 lazy", "qcow2", "lazy_refcounts=on", 65536),
	                                  ("vmdk", "vmdk", "", 65536), ("vhd", "vhd", "", 65536), ("vdi", "vdi", "", 65536)):
		add("crash %s #%d" % (name, i), crash, name, fmt, options, grain, i)
	for fmt, options, grain in (("qcow2", "", 65536), ("qcow2", "extended_l2=on", 65536), ("vmdk", "", 65536),
	                            ("vhd", "", 65536), ("vdi", "", 65536),
	                            ("raw", "", 4096)):
		add("two copies %s %s #%d" % (fmt, options, i), two_copies, fmt, options, grain, i)
main()

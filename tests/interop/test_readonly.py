#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Formats that are only read: QCOW version 1, QED and Parallels as qemu-img makes them, packed QCOW and Bochs as their documentation says (QEMU reads them, too);
what is cut short or out of bounds is refused, and nothing is written to."""
import os, struct, sys, zlib
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

ROUNDS = 4 if ALL else ITERATIONS or 1


def bochs_make(path, content, extent=65536, version=0x20000, rng=None):
	"""A growing image: extents in a random order, sectors of zeros left out."""
	n = -(-len(content) // extent)
	bitmap = -(-extent // 512 // 8)
	catalog, extents = [0xffffffff] * (n + 3), []
	order = list(range(n))
	rng.shuffle(order)
	for i in order:
		part = content[i * extent:(i + 1) * extent].ljust(extent, b"\0")
		if not part.strip(b"\0"):
			continue
		bits, data = bytearray(-(-bitmap // 512) * 512), bytearray(b"\xdd" * extent)
		for s in range(extent // 512):
			sector = part[s * 512:(s + 1) * 512]
			if sector.strip(b"\0"):
				bits[s // 8] |= 1 << s % 8
				data[s * 512:(s + 1) * 512] = sector
		catalog[i] = len(extents)
		extents.append(bytes(bits + data))
	head = b"Bochs Virtual HD Image".ljust(32, b"\0") + b"Redolog".ljust(16, b"\0") + b"Growing".ljust(16, b"\0")
	head += struct.pack("<IIIII", version, 512, len(catalog), bitmap, extent)
	head += struct.pack("<Q", len(content)) if version == 0x10000 else struct.pack("<IQ", 0, len(content))
	with open(path, "wb") as f:
		f.write(head.ljust(512, b"\0") + struct.pack("<%dI" % len(catalog), *catalog) + b"".join(extents))


def reads_right(path, fmt, raw):
	"""With the format said and found, on one thread and several, by its map, and as qemu-img reads it."""
	before = sha256(path)
	same_as_raw(raw, path, fmt)
	vdisk("convert", "-f", fmt, "-O", "raw", path, "said.raw")
	same_bytes(raw, "said.raw", "with -f")
	vdisk("convert", "-j", "1", "-O", "raw", path, "found.raw")
	same_bytes(raw, "found.raw", "found by its bytes, on one thread")
	vdisk("compare", "-F", "raw", path, raw)
	vdisk("convert", "-O", "qcow2", path, "out.qcow2")
	same_as_raw(raw, "out.qcow2", "qcow2")
	at = 0
	for x in vdisk("map", "--json", path).json()["extents"]:
		eq(at, x["offset"], "where the next extent begins")
		at += x["length"]
	eq(os.path.getsize(raw), at, "the map's end")
	info = vdisk("info", "--json", path).json()
	eq([fmt, os.path.getsize(raw)], [info["format"], info["virtual-size"]], "info")
	need_vdio()
	check(run(VDIO, "-f", fmt, path, stdin=b"write 0 512 1\n").rc != 0, "it is written to")
	eq(before, sha256(path), "the file")
	for p in ("said.raw", "found.raw", "out.qcow2"):
		os.unlink(p)


def cut_is_refused(path, to):
	"""A part of the file is no disk of zeros; --salvage reads what is there."""
	os.truncate(path, to)
	refused("convert", "-O", "raw", path, "cut.raw")
	r = run(VDISK, "convert", "--salvage", "-O", "raw", path, "cut.raw")
	check(r.rc in (0, 1, 2) and (r.rc == 2) == (not os.path.exists("cut.raw")), "--salvage: %s" % r.show())


def qcow_packed_make(path, content, bits, rng):
	"""What qemu-img 7.2 fails to make: clusters packed and plain, by chance, one behind the other.  Returns how much of the file the disk
	needs: behind its end, what fills its last cluster is nobody's."""
	cluster, l2_bits = 1 << bits, bits - 3
	n = -(-len(content) // cluster)
	n_l2 = -(-n // (1 << l2_bits))
	l1_at = 48
	l2_at = 512 * (1 + (48 + n_l2 * 8) // 512)
	at = l2_at + n_l2 * cluster
	entries, data, needed = [0] * (n_l2 << l2_bits), b"", 0
	for i in range(n):
		part = content[i * cluster:(i + 1) * cluster].ljust(cluster, b"\0")
		packer = zlib.compressobj(9, zlib.DEFLATED, -12)
		small = packer.compress(part) + packer.flush()
		if not part.strip(b"\0"):
			continue
		if len(small) < cluster and rng.random() < 0.8:
			entries[i] = 1 << 63 | len(small) << 63 - bits | at + len(data)
			data += small
			needed = at + len(data)
		else:
			data += bytes(-(at + len(data)) % 512)
			entries[i] = at + len(data)
			needed = entries[i] + min(cluster, len(content) - i * cluster)
			data += part
	head = b"QFI\xfb" + struct.pack(">IQIIQBBHIQ", 1, 0, 0, 0, len(content), bits, l2_bits, 0, 0, l1_at)
	l1 = struct.pack(">%dQ" % n_l2, *(l2_at + i * cluster for i in range(n_l2)))
	with open(path, "wb") as f:
		f.write((head + l1).ljust(l2_at, b"\0") + struct.pack(">%dQ" % len(entries), *entries) + data)
	return needed


def packed(bits, i):
	rng = rng_for("packed/%d/%d" % (bits, i))
	raw = make_raw("source.raw", rng, 512 * rng.randrange(1, 8000))
	with open(raw, "rb") as f:
		content = f.read()
	needed = qcow_packed_make("a.qcow", content, bits, rng)
	reads_right("a.qcow", "qcow", raw)
	if content.strip(b"\0"):
		cut_is_refused("a.qcow", needed - rng.randrange(1, 1500))


for i in range(ROUNDS):
	for bits in (9, 12, 16):
		add("qcow packed, clusters of %d #%d" % (1 << bits, i), packed, bits, i)


def theirs(fmt, options, i):
	rng = rng_for("%s/%s/%d" % (fmt, options, i))
	raw = make_raw("source.raw", rng, rng.choice((512, 65536, 3 * MIB + 512, rng.randrange(1, 12000) * 512)))
	path = "disk." + fmt
	qemu_img("convert", "-f", "raw", "-O", fmt, *(["-o", options] if options else []), raw, path)
	reads_right(path, fmt, raw)
	with open(raw, "rb") as f:
		if f.read().rstrip(b"\0"):
			cut_is_refused(path, os.path.getsize(path) // 2)


for i in range(ROUNDS):
	for fmt, options in (("qcow", ""), ("qed", ""), ("qed", "cluster_size=16K,table_size=2"), ("qed", "cluster_size=1M,table_size=16"),
	                     ("parallels", ""), ("parallels", "cluster_size=65536")):
		add("%s %s #%d" % (fmt, options, i), theirs, fmt, options, i)


def backed(fmt):
	"""Over a backing file, whose format only the user knows, unless the image says raw."""
	rng = rng_for("backed " + fmt)
	raw = make_raw("base.raw", rng, 4 * MIB)
	qemu_img("create", "-q", "-f", fmt, "-b", "base.raw", "-F", "raw", "top." + fmt)
	qemu_io("top." + fmt, fmt, "write -q -P 7 100k 300k", "write -q -P 9 3M 5000")
	with open(raw, "rb") as f:
		now = bytearray(f.read())
	now[102400:409600] = b"\7" * 307200
	now[3 * MIB:3 * MIB + 5000] = b"\t" * 5000
	write_file("expected.raw", bytes(now))
	said = []
	if fmt == "qcow":
		refused("convert", "-O", "raw", "top." + fmt, "out.raw", mentions="--parent")
		said = ["--parent", "base.raw=base.raw,format=raw"]
	vdisk("convert", *said, "-O", "raw", "top." + fmt, "out.raw")
	same_bytes("expected.raw", "out.raw", "over its backing file")
	os.rename("base.raw", "gone.raw")
	refused("convert", *said, "-O", "raw", "top." + fmt, "out2.raw")


for fmt in ("qcow", "qed"):
	add("backed " + fmt, backed, fmt)


def salvaged(fmt, path, lost, raw):
	"""All but the range is read, and it is said to be lost."""
	refused("convert", "-O", "raw", path, "cut.raw")
	r = run(VDISK, "convert", "--salvage", "-O", "raw", path, "saved.raw")
	off, length = lost
	check(r.rc == 0 and "lost: %d bytes at offset %d are" % (length, off) in r.err, "convert --salvage: %s" % r.show())
	with open(raw, "rb") as f:
		want = bytearray(f.read())
	want[off:off + length] = bytes(length)
	write_file("expected.raw", bytes(want))
	same_bytes("expected.raw", "saved.raw", "what is saved of " + fmt)
	os.unlink("saved.raw")
	os.unlink("expected.raw")


@case
def large_and_empty():
	"""Tables that are left out are passed over as a whole."""
	for fmt, size, at in (("qed", 60 << 40, (60 << 40) - (1 << 30)), ("qcow", 1 << 40, 600 << 30)):
		qemu_img("create", "-q", "-f", fmt, "large." + fmt, str(size))
		qemu_io("large." + fmt, fmt, "write -q -P 7 %d 64k" % (at + 65536))
		extents = vdisk("map", "--json", "large." + fmt).json()["extents"]
		eq([[0, at + 65536], [at + 65536, 65536], [at + 131072, size - at - 131072]], [[x["offset"], x["length"]] for x in extents], "extents of " + fmt)
		need_vdio()
		ran(VDIO, "-f", fmt, "-r", "large." + fmt, stdin=b"read %d 262144 part" % at)
		write_file("expected", bytes(65536) + b"\7" * 65536 + bytes(131072))
		same_bytes("expected", "part", "what is read of " + fmt)


def parallels_plain():
	"""Without Ext entries count sectors, and clusters have any number of them."""
	rng = rng_for("plain")
	sectors, n = 63, 40
	size = n * sectors * 512 - 512 * 20
	content = bytearray(size)
	entries, data = [0] * n, b""
	first = 8
	for i in rng.sample(range(n), 25):
		part = rng.randbytes(sectors * 512)
		entries[i] = first + len(data) // 512
		data += part
		content[i * sectors * 512:(i + 1) * sectors * 512] = part
	content = bytes(content[:size])
	head = b"WithoutFreeSpace" + struct.pack("<IIIIIQIIIQ", 2, 16, 10, sectors, n, size // 512, 0, 8, 0, 0)
	write_file("a.hds", (head.ljust(64, b"\0") + struct.pack("<%dI" % n, *entries)).ljust(first * 512, b"\0") + data)
	write_file("source.raw", content)
	reads_right("a.hds", "parallels", "source.raw")


add("parallels without Ext", parallels_plain)


def bochs(version, extent, i):
	rng = rng_for("bochs/%d/%d/%d" % (version, extent, i))
	raw = make_raw("source.raw", rng, rng.choice((512, MIB, 3 * MIB + 512, rng.randrange(1, 9000) * 512)))
	with open(raw, "rb") as f:
		content = f.read()
	bochs_make("a.bochs", content, extent, version, rng)
	reads_right("a.bochs", "bochs", raw)
	if content.strip(b"\0"):
		cut_is_refused("a.bochs", 512 + 4 * (-(-len(content) // extent) + 3) + 100)


for i in range(ROUNDS):
	for version, extent in ((0x20000, 65536), (0x10000, 65536), (0x20000, 512), (0x20000, 8 << 20)):
		add("bochs %#x, extents of %d #%d" % (version, extent, i), bochs, version, extent, i)


@case
def headers_that_lie():
	"""Sizes, offsets and bits that cannot be: refused by what is wrong, with no memory spent."""
	make_raw("source.raw", rng_for("lie"), 2 * MIB)
	with open("source.raw", "rb") as f:
		content = f.read()
	for fmt in ("qcow", "qed", "parallels"):
		qemu_img("convert", "-f", "raw", "-O", fmt, "source.raw", "good." + fmt)
	bochs_make("good.bochs", content, rng=rng_for("lie bochs"))
	for fmt, at, value in (("qcow", 32, b"\x3f"), ("qcow", 33, b"\x1f"), ("qcow", 24, b"\x7f" * 8), ("qcow", 36, b"\0\0\0\1"), ("qcow", 40, b"\x7f" * 8),
	                       ("qcow", 8, b"\0\0\0\0\0\0\0\1\xff\xff\xff\xff"), ("qed", 4, b"\0\0\0\0"), ("qed", 8, b"\xff\xff\0\0"), ("qed", 16, b"\x08"),
	                       ("qed", 40, b"\x10"), ("qed", 48, b"\0" * 7 + b"\x7f"), ("parallels", 16, b"\x05"), ("parallels", 28, b"\0" * 4),
	                       ("parallels", 32, b"\xff" * 4), ("parallels", 36, b"\xff" * 7 + b"\x7f"), ("bochs", 64, b"\x09\0\0\0"),
	                       ("bochs", 80, b"\x01\0\0\0"), ("bochs", 76, b"\0" * 4), ("bochs", 72, b"\xff" * 4), ("bochs", 88, b"\xff" * 8)):
		with open("good." + fmt, "rb") as f:
			b = bytearray(f.read())
		b[at:at + len(value)] = value
		with open("bad." + fmt, "wb") as f:
			f.write(b)
		refused("convert", "-f", fmt, "-O", "raw", "bad." + fmt, "out.raw", memory=64 * MIB)


@case
def tables_that_are_refused():
	"""A table that cannot be is lost as a whole, one that is cut short from there on; the rest is read."""
	rng = rng_for("refused tables")
	raw = make_raw("source.raw", rng, 5 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qed", "-o", "cluster_size=4K,table_size=2", raw, "a.qed")
	with open("a.qed", "r+b") as f:
		f.seek(40)
		f.seek(struct.unpack("<Q", f.read(8))[0] + 8)
		f.write(struct.pack("<Q", 0x1001))
	salvaged("qed", "a.qed", (4 * MIB, MIB), raw)
	content = rng.randbytes(200 * KIB)
	raw = "small.raw"
	write_file(raw, content)
	qcow_packed_make("a.qcow", content, 9, rng) # tables of 64 clusters: 32 KiB
	with open("a.qcow", "rb") as f:
		b = bytearray(f.read())
	second = struct.unpack(">Q", b[56:64])[0]
	b[56:64] = struct.pack(">Q", 1 << 40)
	write_file("far.qcow", bytes(b))
	salvaged("qcow", "far.qcow", (32 * KIB, 32 * KIB), raw)
	end = len(b) + -len(b) % 512
	b[56:64] = struct.pack(">Q", end)
	write_file("half.qcow", bytes(b).ljust(end, b"\0") + bytes(b[second:second + 8 * 20]))
	salvaged("qcow", "half.qcow", (42 * KIB, 22 * KIB), raw)
	bochs_make("a.bochs", content, rng=rng)
	with open("a.bochs", "r+b") as f:
		f.seek(512)
		f.write(struct.pack("<I", 0xfffffff0))
	salvaged("bochs", "a.bochs", (0, 64 * KIB), raw)


@case
def none_is_made():
	for fmt in ("qcow", "qed", "parallels", "bochs"):
		refused("create", "-f", fmt, "x." + fmt, "1M", mentions="not made")
		refused("convert", "-f", "raw", "-O", fmt, "/dev/null", "x.out")


main()

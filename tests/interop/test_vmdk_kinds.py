#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VMDKs that only VMware's products make: seSparse, custom, device and raw-map descriptors, other encodings; and damaged tables,
repaired from their copies.  qemu-img is the second opinion where it reads them."""
import os, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

SECTOR = 512


def descriptor(create_type, *lines, encoding="UTF-8", parent="ffffffff", hint=""):
	text = "# Disk DescriptorFile\nversion=1\nencoding=\"%s\"\nCID=12345678\nparentCID=%s\ncreateType=\"%s\"\n" % (
		encoding, parent, create_type)
	if hint:
		text += "parentFileNameHint=\"%s\"\n" % hint
	return (text + "".join(line + "\n" for line in lines) + "ddb.adapterType = \"lsilogic\"\n").encode(encoding)


def contents_are(path, data, *opts):
	if os.path.exists("expected.bin"):
		os.unlink("expected.bin")
	write_file("expected.bin", data)
	vdisk("convert", "--force", "-f", "vmdk", "-O", "raw", *opts, path, "read.bin")
	same_bytes("expected.bin", "read.bin", path)


# ---------------------------------------------------------------- seSparse

def sesparse(rng, capacity, grains):
	"""The extent's bytes and the guest's: `grains` maps guest grains to grains of the file; two more say zeros."""
	gd, tables, data, span = 16, 32, 1024, 4096
	numbers = list(range(2, 2 + len(grains)))
	rng.shuffle(numbers)
	image = bytearray(data * SECTOR + (len(grains) + 2) * 4096)
	guest = bytearray(capacity)

	def words(at, *values):
		struct.pack_into("<%dQ" % len(values), image, at, *values)
	words(0, 0xcafebabe, 0x200000001, capacity // SECTOR, 8, 64, 0, 0, 0, 0, 0, 1, 1, 2, 1, 3, 1, gd, 1, tables, 128, 200, 1, 300, 1,
	      data, len(grains) * 8)
	words(SECTOR, 0xcafecafe, 0, 0, 0)
	used = sorted({g // span for g in grains})
	for place, table in enumerate(reversed(used)):
		words(gd * SECTOR + 8 * table, 1 << 60 | place)
		for g in (g for g in grains if g // span == table):
			n, bytes_ = numbers.pop(), rng.randbytes(4096)
			words((tables + 64 * place) * SECTOR + 8 * (g % span), 3 << 60 | (n & 0xfff) << 48 | n >> 12)
			image[data * SECTOR + n * 4096:data * SECTOR + (n + 1) * 4096] = bytes_
			guest[g * 4096:(g + 1) * 4096] = bytes_
		words((tables + 64 * place) * SECTOR + 8 * 50, 1 << 60, 2 << 60)
	return image, guest


@case
def sesparse_is_read():
	size = 40 * MIB
	image, guest = sesparse(rng_for("sesparse"), size, [0, 1, 2, 7, 1000, 4095, 8192, 8197, 10239])
	write_file("x-sesparse.vmdk", image)
	write_file("x.vmdk", descriptor("seSparse", "RW %d SESPARSE \"x-sesparse.vmdk\"" % (size // SECTOR)))
	contents_are("x.vmdk", guest)
	same_as_raw("expected.bin", "x.vmdk", "vmdk")
	vdisk("check", "x.vmdk")
	contents_are("x-sesparse.vmdk", guest)
	write_file("x-sesparse.vmdk", struct.pack("<Q", 1), SECTOR + 24)
	refused("convert", "-O", "raw", "x.vmdk", "out.raw", mentions="journal")


# ---------------------------------------------------------------- descriptors

@case
def extents_of_all_kinds():
	rng = rng_for("kinds")
	flat = rng.randbytes(MIB)
	write_file("f.bin", flat)
	make_raw("source.raw", rng, 2 * MIB)
	with open("source.raw", "rb") as f:
		source = f.read()
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "source.raw", "tw.vmdk")
	vdisk("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=vmfsSparse", "source.raw", "co.vmdk")
	write_file("c.vmdk", descriptor(
		"custom", "RW 100 FLAT \"f.bin\" 63", "RDONLY 200 ZERO", "RW 1000 VMFS \"f.bin\" 500",
		"RW 4096 SPARSE \"tw-s001.vmdk\"", "RW 4096 VMFSSPARSE \"co-delta.vmdk\""))
	contents_are("c.vmdk", flat[63 * 512:163 * 512] + bytes(200 * 512) + flat[500 * 512:1500 * 512] + source + source)


@case
def device_maps():
	data = rng_for("maps").randbytes(MIB)
	write_file("disk.bin", data)
	for kind, line in (("fullDevice", "FLAT \"disk.bin\" 0"), ("vmfsRawDeviceMap", "VMFSRDM \"disk.bin\""),
	                   ("vmfsPassthroughRawDeviceMap", "VMFSRAW \"disk.bin\"")):
		write_file("map.vmdk", descriptor(kind, "RW 2048 " + line))
		contents_are("map.vmdk", data)
		os.unlink("map.vmdk")
	write_file("part.vmdk", descriptor("partitionedDevice", "RW 63 FLAT \"disk.bin\" 0", "NOACCESS 10 FLAT \"disk.bin\" 63", "RW 9 ZERO"))
	refused("convert", "-O", "raw", "part.vmdk", "out.raw", mentions="NOACCESS")
	contents_are("part.vmdk", data[:63 * 512] + bytes(19 * 512), "--salvage")
	os.unlink("part.vmdk")
	write_file("part.vmdk", descriptor("partitionedDevice", "RW 2049 FLAT \"disk.bin\" 0"))
	refused("convert", "-O", "raw", "part.vmdk", "out.raw", mentions="cut short")


@case
def names_in_another_encoding():
	data = rng_for("names").randbytes(4096)
	write_file("gr\u00fc\u00df.bin", data)
	write_file("x.vmdk", descriptor("monolithicFlat", "RW 8 FLAT \"gr\u00fc\u00df.bin\" 0", encoding="windows-1252"))
	contents_are("x.vmdk", data)


@case
def a_missing_extent():
	write_file("here.bin", b"x" * 4096)
	write_file("x.vmdk", descriptor("custom", "RW 8 FLAT \"gone.bin\" 0", "RW 8 FLAT \"here.bin\" 0"))
	refused("convert", "-O", "raw", "x.vmdk", "out.raw", mentions="gone.bin")
	vdisk("info", "x.vmdk")
	contents_are("x.vmdk", bytes(4096) + b"x" * 4096, "--salvage")


@case
def a_stream_that_lost_its_end():
	make_raw("source.raw", rng_for("lost end"), 16 * MIB)
	with open("source.raw", "r+b") as f:
		f.write(rng_for("bytes").randbytes(4 * MIB))
		f.seek(0)
		data = f.read()
	vdisk("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "source.raw", "s.vmdk")
	os.truncate("s.vmdk", 2 * MIB + 1000)
	refused("convert", "-O", "raw", "s.vmdk", "out.raw", mentions="cut short")
	r = vdisk("convert", "--salvage", "-O", "raw", "s.vmdk", "out.raw")
	check("lost" in r.err, "says what is lost: %s" % r.show())
	with open("out.raw", "rb") as f:
		got = f.read()
	keep = 2 * MIB - 128 * KIB
	check(got[:keep] == data[:keep], "what came before the cut")
	check(not any(got[2 * MIB:]), "what came after is zeros")


# ---------------------------------------------------------------- repair

def field(at, fmt):
	with open("a.vmdk", "rb") as f:
		f.seek(at)
		return struct.unpack(fmt, f.read(struct.calcsize(fmt)))[0]


def poke(at, fmt, value):
	write_file("a.vmdk", struct.pack(fmt, value), at)


def damaged(what, damage, same):
	make_raw("a.raw", rng_for(what), 4 * MIB)
	with open("a.raw", "r+b") as f:
		f.write(b"all grains taken" * (4 * MIB // 16))
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "a.raw", "a.vmdk")
	rgd, gd = field(48, "<Q") * SECTOR, field(56, "<Q") * SECTOR
	damage(gd, rgd, field(gd, "<I") * SECTOR, field(rgd, "<I") * SECTOR)
	vdisk("check", "a.vmdk", rc=1)
	vdisk("check", "--repair", "a.vmdk", rc=0 if same else 1)
	vdisk("check", "a.vmdk", rc=0 if same else 1)
	if same:
		same_as_raw("a.raw", "a.vmdk", "vmdk")
		qemu_check("a.vmdk", "vmdk")
		vdisk("compare", "a.raw", "a.vmdk")


for name, damage, same in (
		("redundant entry", lambda gd, rgd, gt, rgt: poke(rgt + 12, "<I", 0), True),
		("primary entry", lambda gd, rgd, gt, rgt: poke(gt + 12, "<I", 0x7fffffff), True),
		("primary directory", lambda gd, rgd, gt, rgt: poke(56, "<Q", 0x7fffff), True),
		("primary table", lambda gd, rgd, gt, rgt: poke(gd, "<I", 0x7fffff), True),
		("redundant table", lambda gd, rgd, gt, rgt: poke(rgd, "<I", 0x7fffff), True),
		("both tables", lambda gd, rgd, gt, rgt: (poke(gd, "<I", 0x7fffff), poke(rgd, "<I", 0x7fffff)), False)):
	add("damaged " + name, damaged, name, damage, same)


@case
def repair_gives_nothing_back_where_damage_is_left():
	"""What the damaged entries meant is still there, for whoever finds out."""
	make_raw("a.raw", rng_for("left"), 4 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "-S", "0", "a.raw", "a.vmdk")
	gd, rgd = field(56, "<Q") * SECTOR, field(48, "<Q") * SECTOR
	gt = field(gd, "<I")
	poke(gd, "<I", 0x7fffff)
	poke(rgd, "<I", 0x7fffff)
	vdisk("check", "--repair", "a.vmdk", rc=1)
	poke(gd, "<I", gt)
	vdisk("compare", "a.raw", "a.vmdk")


main()

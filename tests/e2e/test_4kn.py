#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""convert --sector-size: disks with sectors of 4,096 bytes and of 512, judged by fdisk, sgdisk, blkid and the kernel; what stands in the way."""
import os, re, struct, sys, zlib
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

SIZE = 96 * MIB
os.environ["PATH"] += ":/sbin:/usr/sbin"


def partition(path, script, size=SIZE):
	need("sfdisk", "fdisk")
	with open(path, "wb") as f:
		f.truncate(size)
	ran("sfdisk", "-q", path, stdin=script.encode())
	return path


def fs(path, kind, at, size, *options):
	program = "mkfs." + kind if kind != "swap" else "mkswap"
	need(program)
	with open("fs.img", "wb") as f:
		f.truncate(size)
	ran(program, *options, "fs.img")
	with open("fs.img", "rb") as f:
		write_file(path, f.read(), at)
	os.unlink("fs.img")


def partitions(path, sector):
	"""By fdisk: [(first byte, bytes, type, name, UUID)]."""
	r = ran("fdisk", "-b", str(sector), "-l", "-o", "Start,Sectors,UUID,Type-UUID,Attrs,Name", path)
	check("Sector size (logical/physical): %d" % sector in r.out, r.out)
	check("primary" not in r.err and "backup" not in r.err and "corrupt" not in r.err and "PMBR" not in r.err, "fdisk complains: %s" % r.err)
	rows = re.findall(r"^ *(\d+) +(\d+) +(\S+-\S+) +(.*?) *$", r.out, re.M)
	return [(int(a) * sector, int(n) * sector, u, rest) for a, n, u, rest in rows]


GOOD = "label: gpt\nstart=2048, size=40960, name=root\nstart=43008, size=40960, type=linux, name=data\nstart=83968, size=16384, type=swap, name=paging\n"


def good(path="disk.raw"):
	partition(path, GOOD)
	fs(path, "ext4", MIB, 20 * MIB, "-q", "-b", "4096", "-F")
	fs(path, "ext4", 21 * MIB, 20 * MIB, "-q", "-b", "4096", "-F", "-L", "data")
	fs(path, "swap", 41 * MIB, 8 * MIB)
	return path


@case
def there_and_back():
	good()
	before = sha256("disk.raw")
	vdisk("convert", "--verify", "--sector-size", "4096", "disk.raw", "four.raw")
	eq(before, sha256("disk.raw"), "the source")
	eq(3, len(partitions("disk.raw", 512)), "partitions")
	eq(partitions("disk.raw", 512), partitions("four.raw", 4096), "the same partitions by fdisk")
	with open("disk.raw", "rb") as a, open("four.raw", "rb") as b:
		a.seek(MIB), b.seek(MIB)
		eq(True, a.read(49 * MIB) == b.read(49 * MIB), "content")
	vdisk("convert", "--sector-size", "512", "four.raw", "back.raw")
	same_bytes("disk.raw", "back.raw")
	vdisk("convert", "--sector-size", "512", "disk.raw", "same.raw")
	same_bytes("disk.raw", "same.raw")


@case
def formats():
	"""From and to other formats; a VHDX knows its disk's sectors."""
	good()
	vdisk("convert", "--sector-size", "4096", "disk.raw", "a.raw")
	vdisk("convert", "disk.raw", "disk.qcow2")
	for name in ("b.vhdx", "b.qcow2", "b.vhd"):
		r = vdisk("convert", "--json", "--sector-size", "4096", "disk.qcow2", name).json()
		eq(("disk.qcow2", "qcow2"), (r["source"]["path"], r["source"]["format"]), "the source is told as it is")
		vdisk("compare", "a.raw", name)
	eq(4096, vdisk("info", "--json", "b.vhdx").json()["layers"][0]["details"]["logical-sector-size"], "VHDX")
	eq(0, run(VDISK, "lint", "--for", "hyperv-gen2", "b.vhdx").rc, "lint")
	eq(1, run(VDISK, "lint", "--for", "proxmox", "a.raw").rc, "lint of what shows 512")
	with open("s.raw", "wb") as f:
		vdisk("convert", "-O", "raw", "--sector-size", "4096", "disk.qcow2", "-", stdout=f)
	same_bytes("a.raw", "s.raw")


@case
def by_the_kernel():
	"""A loop device with such sectors: sgdisk finds nothing wrong, blkid the table, and ext4 mounts."""
	need("losetup", "sgdisk", "mount", "blkid")
	if os.geteuid():
		skip("not root")
	good()
	vdisk("convert", "--sector-size", "4096", "disk.raw", "four.raw")
	os.mkdir("mnt")

	def loop(offset, length):
		r = run("losetup", "--show", "-f", "-b", "4096", "-o", str(offset), "--sizelimit", str(length), "four.raw")
		if r.rc:
			skip("no loop devices: %s" % r.err.strip())
		return r.out.strip()
	device = loop(0, SIZE)
	try:
		r = ran("sgdisk", "-v", device)
		check("No problems found" in r.out, r.out)
		r = ran("blkid", "-p", "-o", "export", device)
		check("PTTYPE=gpt" in r.out, r.out)
	finally:
		run("losetup", "-d", device)
	for at in (MIB, 21 * MIB):
		device = loop(at, 20 * MIB)
		try:
			r = run("mount", "-t", "ext4", device, "mnt")
			if r.rc and "permission denied" in r.err:
				skip("mounting is not allowed here")
			eq(0, r.rc, "mount: %s" % r.err)
			with open("mnt/file", "w") as f:
				f.write("written with sectors of 4096 bytes")
			ran("umount", "mnt")
			ran("e2fsck", "-f", "-n", device)
		finally:
			run("umount", "mnt")
			run("losetup", "-d", device)


@case
def crooked_size():
	partition("disk.raw", GOOD, SIZE + 512)
	r = run(VDISK, "convert", "--sector-size", "4096", "disk.raw", "x.raw")
	eq((2, "", False), (r.rc, r.out, os.path.exists("x.raw")), "refused")
	check("--size-rounding up" in r.err, r.err)
	vdisk("convert", "--sector-size", "4096", "--size-rounding", "up", "disk.raw", "x.raw")
	eq(SIZE + 4096, os.path.getsize("x.raw"), "length")
	eq(partitions("disk.raw", 512), partitions("x.raw", 4096), "partitions")


def blocks(kind, *options, at=MIB, size=24 * MIB, script="label: gpt\nstart=2048, size=49152\n"):
	def make():
		partition("disk.raw", script)
		if kind:
			fs("disk.raw", kind, at, size, *options)
	return make


def unknown():
	partition("disk.raw", "label: gpt\nstart=2048, size=49152\n")
	write_file("disk.raw", b"something else", MIB + 4096)


def luks():
	partition("disk.raw", "label: gpt\nstart=2048, size=49152\n")
	write_file("disk.raw", b"LUKS\xba\xbe\0\1", MIB)


def gap():
	partition("disk.raw", GOOD)
	write_file("disk.raw", b"a boot loader", 20480)


def entries_at_the_end():
	size = 4 * MIB
	disk, entries, sectors = bytearray(size), bytes(16384), size // 512
	at = sectors - 32
	disk[510:512] = b"\x55\xaa"
	disk[450] = 0xee
	struct.pack_into("<II", disk, 454, 1, sectors - 1)
	header = bytearray(struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, sectors - 1, 34, at - 1, bytes(range(16)), at, 128, 128, zlib.crc32(entries)))
	struct.pack_into("<I", header, 16, zlib.crc32(header))
	disk[512:512 + 92] = header
	write_file("disk.raw", bytes(disk))


ESP = "label: gpt\nstart=2048, size=49152, type=uefi\n"
IN_THE_WAY = {
	"ESP": (blocks("fat", "-S", "512", script=ESP), ["partition 1", "FAT", "512"]),
	"ext4 of small blocks": (blocks("ext4", "-q", "-F", "-b", "1024"), ["partition 1", "ext", "1024"]),
	"NTFS": (blocks("ntfs", "-q", "-F", "-s", "512"), ["partition 1", "NTFS", "512"]),
	"MBR": (blocks(None, script="label: dos\nstart=2048, size=49152, type=83\n"), ["MBR"]),
	"begins between": (blocks(None, script="label: gpt\nstart=2049, size=49152\n"), ["partition 1", "begins", "1049088"]),
	"ends between": (blocks(None, script="label: gpt\nstart=2048, size=49153\n"), ["partition 1", "ends"]),
	"BIOS": (blocks(None, script="label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\nstart=4096, size=8192\n"), ["BIOS"]),
	"unknown": (unknown, ["partition 1", "not known"]),
	"LUKS": (luks, ["partition 1", "LUKS"]),
	"entries at the end": (entries_at_the_end, ["entries", "byte 4177920"]),
	"between the table and the first partition": (gap, ["byte 20480"]),
}


def in_the_way(make, words):
	make()
	before = tree(".")
	r = run(VDISK, "convert", "--sector-size", "4096", "disk.raw", "x.raw")
	eq((2, "", 1), (r.rc, r.out, r.err.count("\n")), "refused: %s" % r.err)
	for w in words:
		check(w in r.err, "%r is named in %s" % (w, r.err))
	eq(before, tree("."), "the folder")


for name, (make, words) in IN_THE_WAY.items():
	add("in the way: " + name, in_the_way, make, words)


@case
def fitting():
	"""What has the new sectors already is no hindrance."""
	partition("disk.raw", ESP)
	fs("disk.raw", "fat", MIB, 24 * MIB, "-S", "4096")
	vdisk("convert", "--sector-size", "4096", "disk.raw", "x.raw")
	r = run(VDISK, "convert", "--sector-size", "512", "x.raw", "y.raw")
	eq(2, r.rc, "and is one on the way back")
	check("FAT" in r.err and "4096" in r.err, r.err)
	eq(0, run(VDISK, "lint", "--for", "kvm", "x.raw").rc, "lint of a whole disk")


@case
def words():
	good()
	for more in (["--for", "azure", "x.vhd"], ["-o", "logical_sector_size=512", "x.vhdx"], ["--resume", "x.raw"], ["--in-place", "x.vhd"],
	             ["--snapshots", "keep", "x.qcow2"], ["--used-only", "x.raw"], ["-b", "disk.raw", "x.qcow2"]):
		r = run(VDISK, "convert", "--sector-size", "4096", *more[:-1], "disk.raw", more[-1])
		eq((2, 1, False), (r.rc, r.err.count("\n"), os.path.exists(more[-1])), "refused: %s %s" % (more, r.err))
	eq(2, run(VDISK, "convert", "--sector-size", "1024", "disk.raw", "x.raw").rc, "1024")
	with open("disk.raw", "rb") as f:
		r = run(VDISK, "convert", "-f", "raw", "--sector-size", "4096", "-", "x.raw", stdin=f.read())
	eq(2, r.rc, "from a pipe: %s" % r.err)


@case
def volumes():
	"""Logical volumes are looked into."""
	need("pvcreate", "losetup")
	if os.geteuid():
		skip("not root")
	partition("disk.raw", "label: gpt\nstart=2048, size=131072, type=lvm\n")
	r = run("losetup", "--show", "-f", "-o", str(MIB), "--sizelimit", str(64 * MIB), "disk.raw")
	if r.rc:
		skip("no loop devices: %s" % r.err.strip())
	device, group = r.out.strip(), "vdisk4kn%d" % os.getpid()
	lvm = ["--config", 'devices { filter=["a|^%s$|","r|.*|"] use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } global { locking_type=1 }'
	       % device]
	try:
		for command in (["pvcreate", device], ["vgcreate", group, device], ["lvcreate", "-an", "-Zn", "-Wn", "-L", "16M", "-n", "one", group]):
			r = run(command[0], *lvm, "--driverloaded", "n", *command[1:])
			if r.rc:
				skip("no LVM here: %s" % r.err.strip())
	finally:
		run("losetup", "-d", device)
	vdisk("convert", "--sector-size", "4096", "disk.raw", "x.raw")
	eq(partitions("disk.raw", 512), partitions("x.raw", 4096), "an empty volume")
	with open("disk.raw", "rb") as f:
		f.seek(MIB + MIB)
		check(not any(f.read(65536)), "the first extent lies 1 MiB into the partition")
	fs("disk.raw", "ext4", 2 * MIB, 16 * MIB, "-q", "-F", "-b", "1024")
	in_the_way_of_volume = run(VDISK, "convert", "--sector-size", "4096", "disk.raw", "y.raw")
	eq(2, in_the_way_of_volume.rc, "ext4 of small blocks in a volume")
	check(group + "/one" in in_the_way_of_volume.err and "1024" in in_the_way_of_volume.err, in_the_way_of_volume.err)


main()

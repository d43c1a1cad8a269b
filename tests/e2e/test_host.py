#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the host's file systems and devices do to a new image: blocks that are shared or reserved, space that runs out, devices of a
fixed size.  Most of it wants to mount or to attach something, hence root."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *


@contextlib.contextmanager
def file_system(kind, size, *options, at="mnt"):
	"""A new file system of that kind, mounted at `at`."""
	if os.geteuid():
		skip("not root: nothing can be mounted")
	os.mkdir(at)
	if kind == "tmpfs":
		mount = ["-t", "tmpfs", "-o", "size=%d" % size, "tmpfs"]
	else:
		need("mkfs." + kind)
		with open("fs.img", "wb") as f:
			f.truncate(size)
		ran("mkfs." + kind, *options, "fs.img")
		mount = ["-o", "loop", "fs.img"]
	r = run("mount", *mount, at)
	if r.rc:
		skip("no %s can be mounted here: %s" % (kind, r.err.strip()))
	try:
		yield at
	finally:
		run("umount", at)


@contextlib.contextmanager
def device(size):
	need("losetup")
	with open("backing", "wb") as f:
		f.truncate(size)
	r = run("losetup", "--show", "-f", "backing")
	if r.rc:
		skip("no loop device: %s" % r.err.strip())
	try:
		yield r.out.strip()
	finally:
		run("losetup", "-d", r.out.strip())


# ---------------------------------------------------------------- shared blocks

def shared_bytes(path):
	"""Of a file, what the file system says other files have, too."""
	total = 0
	for line in ran("filefrag", "-v", "-b4096", path).out.splitlines():
		words = line.replace(":", " ").replace("..", " ").split()
		if words and words[0].isdigit() and "shared" in line:
			total += int(words[5]) * 4096
	return total


def reflink(source_args, target_args, least):
	"""Stretches that lie on blocks in both are not copied, but shared; whatever is shared, the content is right."""
	need("filefrag")
	rng = rng_for("reflink")
	with file_system("xfs", 400 * MIB, "-q", "-m", "reflink=1"):
		with open("mnt/disk.raw", "wb") as f:
			f.write(rng.randbytes(16 * MIB))
			f.seek(24 * MIB)
			f.write(rng.randbytes(4 * MIB))
			f.truncate(40 * MIB)
		if source_args:
			vdisk("convert", "--no-reflink", *source_args, "mnt/disk.raw", "mnt/source." + source_args[1])
		source = "mnt/source." + source_args[1] if source_args else "mnt/disk.raw"
		fmt = target_args[1]
		for name, more in (("copied", ("--no-reflink",)), ("shared", ())):
			vdisk("convert", *more, *target_args, source, "mnt/%s.%s" % (name, fmt))
			vdisk("compare", "-f", "raw", "mnt/disk.raw", "mnt/%s.%s" % (name, fmt))
		ran("sync", "-f", "mnt")
		eq(0, shared_bytes("mnt/copied." + fmt), "bytes shared in spite of --no-reflink")
		got = shared_bytes("mnt/shared." + fmt)
		check(got >= least, "%d of 20 MiB are shared, %d MiB are due" % (got, least // MIB))
		# Writing to one leaves the other alone.
		before = sha256(source)
		need_vdio()
		ran(VDIO, "-f", fmt, "mnt/shared." + fmt, stdin=b"write 0 1048576 7\n")
		eq(before, sha256(source), "the source's content after writing to what shares its blocks")


RAW, QCOW2 = ("-O", "raw"), ("-O", "qcow2")
VMDK = ("-O", "vmdk")
add("reflink raw to raw", reflink, (), RAW, 20 * MIB)
add("reflink raw to qcow2", reflink, (), QCOW2, 19 * MIB)
add("reflink qcow2 to raw", reflink, QCOW2, RAW, 19 * MIB)
add("reflink raw to vmdk", reflink, (), VMDK, 19 * MIB)
add("reflink vmdk to qcow2", reflink, VMDK, QCOW2, 19 * MIB)


# ---------------------------------------------------------------- reserved blocks

def allocated(path):
	return os.stat(path).st_blocks * 512


def reserved(fmt, options, data, how):
	"""Space of a new image that is there before it is written to, and stays when zeros are written."""
	with file_system("ext4", 200 * MIB, "-q"):
		vdisk("create", "-f", fmt, "-o", options + "preallocation=" + how, "mnt/a." + fmt, "16M")
		check(allocated("mnt/" + data) >= 16 * MIB, "%d bytes are reserved" % allocated("mnt/" + data))
		with open("source.raw", "wb") as f:
			f.truncate(16 * MIB)
			f.seek(3 * MIB)
			f.write(b"x" * 5000)
		vdisk("convert", "--force", "-O", fmt, "-o", options + "preallocation=" + how, "source.raw", "mnt/a." + fmt)
		check(allocated("mnt/" + data) >= 16 * MIB, "%d bytes are reserved after a conversion" % allocated("mnt/" + data))
		vdisk("compare", "-f", "raw", "source.raw", "mnt/a." + fmt)


for h in ("falloc", "full"):
	add("reserved raw " + h, reserved, "raw", "", "a.raw", h)
	add("reserved qcow2 " + h, reserved, "qcow2", "", "a.qcow2", h)
	add("reserved vmdk flat " + h, reserved, "vmdk", "subformat=monolithicFlat,", "a-flat.vmdk", h)
	add("reserved vmdk in pieces " + h, reserved, "vmdk", "subformat=twoGbMaxExtentFlat,", "a-f001.vmdk", h)


# ---------------------------------------------------------------- space that runs out

def full_at_create(kind, size, fmt, options):
	"""One line, exit status 2, and nothing is left."""
	with file_system(kind, size, *(("-q",) if kind != "tmpfs" else ())):
		left = set(os.listdir("mnt"))
		for how in ("falloc", "full"):
			refused("create", "-f", fmt, "-o", options + "preallocation=" + how, "mnt/a." + fmt, "64M", mentions="space",
			        folder="mnt", seconds=30)
			eq(left, set(os.listdir("mnt")), "what is left")


for k, s in (("tmpfs", 8 * MIB), ("ext4", 32 * MIB)):
	add("no space to create raw on " + k, full_at_create, k, s, "raw", "")
	add("no space to create qcow2 on " + k, full_at_create, k, s, "qcow2", "")
	add("no space to create vmdk on " + k, full_at_create, k, s, "vmdk", "subformat=monolithicFlat,")


def full_at_convert(fmt, *options):
	"""ext4 finds places for blocks late: the error may come from fsync() only."""
	write_file("source.raw", rng_for("ext4").randbytes(40 * MIB))
	with file_system("ext4", 96 * MIB, "-q", "-m", "0"):
		room = os.statvfs("mnt")
		filler = room.f_bavail * room.f_frsize - 24 * MIB
		with open("mnt/filler", "wb") as f:
			os.posix_fallocate(f.fileno(), 0, filler)
		left = set(os.listdir("mnt"))
		args = ("-f", "raw", "-O", fmt, *options, "source.raw", "mnt/a." + fmt)
		refused("convert", *args, mentions="space", folder="mnt", seconds=30)
		eq(left, set(os.listdir("mnt")), "what is left")
		with open("mnt/a." + fmt, "wb") as f: # and what was there before stays
			f.write(b"precious")
		refused("convert", "--force", *args, mentions="space", folder="mnt", seconds=30)
		eq(b"precious", open("mnt/a." + fmt, "rb").read(), "what was there before")


add("no space to convert to raw on ext4", full_at_convert, "raw")
add("no space to convert to qcow2 on ext4", full_at_convert, "qcow2")
add("no space to convert to packed qcow2 on ext4", full_at_convert, "qcow2", "-c")
add("no space to convert to vmdk on ext4", full_at_convert, "vmdk")


def full_at_write(fmt):
	"""Writing to an image whose file cannot grow: refused, and what it held before is there."""
	need_vdio()
	with file_system("tmpfs", 24 * MIB):
		path = "mnt/a." + fmt
		write_file("source.raw", rng_for("full").randbytes(MIB) + bytes(63 * MIB))
		vdisk("convert", "-f", "raw", "-O", fmt, "source.raw", path)
		r = run(VDIO, "-f", fmt, path, stdin=b"write 33554432 31457280 7\n")
		eq(2, r.rc, "exit status of %s" % r.show())
		check("space" in r.err.lower(), "the message names the reason: %s" % r.show())
		vdisk("convert", "-f", fmt, "-O", "raw", path, "out.raw")
		eq(sha256("source.raw", 0, 32 * MIB), sha256("out.raw", 0, 32 * MIB), "what was there before")
		if fmt != "vhd":
			found = vdisk("check", "--json", path).json()
			eq(0, found["corruptions"], "corruptions")


for f in ("qcow2", "vmdk", "vhd"):
	add("no space to write to " + f, full_at_write, f)


# ---------------------------------------------------------------- devices

def onto_device(fmt, *options):
	"""A device keeps its size; only --force writes over it, and what is too large for it is refused before the first byte."""
	write_file("source.raw", rng_for("device").randbytes(3 * MIB) + bytes(5 * MIB))
	need_vdio()
	with device(32 * MIB) as dev:
		with open("backing", "r+b") as f:
			f.write(b"\xaa" * 32 * MIB) # what the guest must not see
		ran("blockdev", "--flushbufs", dev)
		before = sha256(dev)
		refused("convert", "-f", "raw", "-O", fmt, *options, "source.raw", dev, mentions="--force")
		with open("large.raw", "wb") as f:
			f.write(b"x" * 4096)
			f.truncate(64 * MIB)
		if fmt == "raw" or "full" in str(options):
			refused("convert", "--force", "-f", "raw", "-O", fmt, *options, "large.raw", dev)
			eq(before, sha256(dev), "the device's content after the refusals")
		vdisk("convert", "--force", "-f", "raw", "-O", fmt, *options, "source.raw", dev)
		ran("blockdev", "--flushbufs", dev)
		if fmt == "raw":
			eq(sha256("source.raw"), sha256(dev, 0, 8 * MIB), "the device's content")
			return
		vdisk("compare", "-f", "raw", "-F", fmt, "source.raw", dev)
		qemu_img("compare", "-f", "raw", "-F", fmt, "source.raw", dev)
		ran(VDIO, "-f", fmt, dev, stdin=b"write 4194304 1048576 9\n")
		vdisk("check", "-f", fmt, dev)
		r = run(VDISK, "convert", "-f", fmt, "-O", "raw", dev, "out.raw")
		eq(0, r.rc, r.show())
		eq(b"\x09" * MIB, open("out.raw", "rb").read()[4 * MIB:5 * MIB], "what was written")


add("device raw", onto_device, "raw")
add("device qcow2", onto_device, "qcow2")
add("device vmdk", onto_device, "vmdk")


main()

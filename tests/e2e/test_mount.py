#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk mount: the disk and its partitions as files, for every format, judged with cmp, fsck, sfdisk and SEEK_DATA."""
import contextlib, os, stat, subprocess, sys, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

PART_AT, PART_LEN = MIB, 24 * MIB


def make_disk(path):
	"""A GPT disk with an ext4 file system in its first partition and random bytes in its second; returns the file system's file."""
	need("sfdisk", "mke2fs")
	os.makedirs("tree/sub")
	write_file("tree/sub/hello", b"hello, world\n" * 1000)
	ran("mke2fs", "-q", "-t", "ext4", "-L", "vdisk root", "-U", "01234567-89ab-cdef-0123-456789abcdef", "-d", "tree", "part.img", "24M")
	with open(path, "wb") as f:
		f.truncate(40 * MIB)
	ran("sfdisk", "-q", path, stdin=b"label: gpt\nstart=2048,size=49152,name=root\nstart=53248,size=2048,name=\"a/b\"\n")
	ran("dd", "if=part.img", "of=" + path, "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
	write_file(path, rng_for("second").randbytes(100000), 53248 * 512)
	return "part.img"


@contextlib.contextmanager
def served(*args):
	if not os.path.exists("/dev/fuse"):
		skip("no /dev/fuse")
	os.makedirs("m", exist_ok=True)
	r = run(VDISK, "mount", *args, "m")
	if r.rc:
		fail("does not mount\n    %s" % r.show())
	try:
		yield "m"
	finally:
		vdisk("unmount", "m")
		check(not os.path.ismount("m"), "still mounted")


def seek_map(path):
	"""(offset, length) of the data in a file, by SEEK_DATA."""
	fd = os.open(path, os.O_RDONLY)
	out, at, end = [], 0, os.fstat(fd).st_size
	try:
		while at < end:
			try:
				start = os.lseek(fd, at, os.SEEK_DATA)
			except OSError:
				break
			at = os.lseek(fd, start, os.SEEK_HOLE)
			out.append((start, at - start))
	finally:
		os.close(fd)
	return out


def shows(fmt, *options):
	part = make_disk("disk.raw")
	image = "disk.raw"
	if fmt != "raw":
		image = "disk." + fmt
		vdisk("convert", "-O", fmt, *options, "disk.raw", image)
	before = sha256(image)
	with served(image):
		same_bytes("disk.raw", "m/disk", "disk of %s" % fmt)
		same_bytes(part, "m/partitions/1", "partition 1 of %s" % fmt)
		eq("../1", os.readlink("m/partitions/by-label/vdisk root"), "by-label")
		eq("../1", os.readlink("m/partitions/by-uuid/01234567-89ab-cdef-0123-456789abcdef"), "by-uuid")
		eq("../1", os.readlink("m/partitions/by-type/ext4-1"), "by-type")
		ran("e2fsck", "-fn", "m/partitions/by-label/vdisk root")
		a, b = ran("sfdisk", "-d", "disk.raw").out, ran("sfdisk", "-d", "m/disk").out
		eq(a.replace("disk.raw", "X"), b.replace("m/disk", "X"), "sfdisk's reading")
		info = json.load(open("m/info.json"))
		eq([40 * MIB, "gpt", "a/b"], [info["virtual-size"], info["partition-table"], info["partitions"][1]["name"]], "info.json")
		# What is a hole reads as zeros; all data lies in what is called data.
		data = open("disk.raw", "rb").read()
		at = 0
		for off, length in seek_map("m/disk"):
			check(not any(data[at:off]), "bytes in a hole before %d" % off)
			at = off + length
		check(not any(data[at:]), "bytes in the last hole")
		ran("cp", "--sparse=always", "m/disk", "copy.raw")
		check(os.stat("copy.raw").st_blocks * 512 < 8 * MIB, "the copy is sparse: %d blocks" % os.stat("copy.raw").st_blocks)
		check(os.stat("m/disk").st_blocks * 512 < 40 * MIB, "blocks count data only")
		with contextlib.suppress(OSError):
			os.open("m/disk", os.O_RDWR)
			fail("opened for writing")
		eq(errno.ENOENT, run("ls", "m/nothing").rc and errno.ENOENT, "a name that is not there")
	eq(before, sha256(image), "the image is unchanged")


for f, o in (("raw", ()), ("qcow2", ()), ("qcow2", ("-c",)), ("vmdk", ()), ("vmdk", ("-o", "subformat=streamOptimized")), ("vhd", ())):
	add("shows %s %s" % (f, " ".join(o)), shows, f, *o)


@case
def many_readers():
	make_disk("disk.raw")
	vdisk("convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2")
	data = open("disk.raw", "rb").read()
	rng, wrong = rng_for("many"), []

	def reader(seed):
		r = random.Random(seed)
		for _ in range(60):
			off, n = r.randrange(len(data)), r.randrange(1, 300000)
			with open("m/disk", "rb", buffering=0) as f: # opened each time: opens and closes beside reads
				if os.pread(f.fileno(), n, off) != data[off:off + n]:
					wrong.append((off, n))
	with served("disk.qcow2"):
		threads = [threading.Thread(target=reader, args=(rng.random(),)) for _ in range(8)]
		[t.start() for t in threads]
		[t.join() for t in threads]
	eq([], wrong, "ranges (offset, length) that read wrong")


@case
def killed_daemon_is_cleared():
	make_disk("disk.raw")
	with served("disk.raw"):
		pid = [p for p in os.listdir("/proc") if p.isdigit() and link_quiet("/proc/%s/exe" % p).endswith("/vdisk-mount")
		       and os.getcwd() == link_quiet("/proc/%s/cwd" % p)]
		eq(1, len(pid), "daemons of this mount")
		os.kill(int(pid[0]), signal.SIGKILL)
	eq([], os.listdir("m"), "the folder is plain again")


def link_quiet(path):
	try:
		return os.readlink(path)
	except OSError:
		return ""


@case
def refusals():
	os.makedirs("m")
	write_file("short.qcow2", b"QFI\xfb\0\0\0\3")
	refused("mount", "short.qcow2", "m")
	refused("mount", "missing.img", "m")
	refused("mount", "m")
	write_file("x.raw", bytes(4096))
	refused("mount", "x.raw", "nowhere")
	refused("unmount", "m")


main()

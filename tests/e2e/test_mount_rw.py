#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk mount --rw and --overlay: what is written through the files is in the image, for every format that can be written to; judged against
a plain array, with fio's verification, with kernel file systems over a loop device, and by the checks of the image afterwards."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mounts import *

SIZE = 24 * MIB


def flat_is(image, model, what):
	"""The image's content, as somebody else reads it where somebody else can."""
	fmt = image.rsplit(".", 1)[1]
	if fmt == "raw":
		flat = image
	elif fmt in ("qcow2", "vmdk"):
		flat = "flat.raw"
		qemu_img("convert", "-f", fmt, "-O", "raw", image, flat)
	else:
		flat = "flat.raw"
		vdisk("convert", "--force", "-O", "raw", image, flat)
	with open("model.raw", "wb") as f:
		f.write(model[:])
	same_bytes("model.raw", flat, what)


def suffix(fmt):
	return fmt.split("-")[0]


def against_an_array(fmt):
	image = make(fmt, "disk." + suffix(fmt), SIZE)
	with served("--rw", image):
		model = random_writes("m/disk", "array " + fmt)
		same = open("m/disk", "rb").read()
		check(same == model[:], "%s reads differently through the mount" % fmt)
	flat_is(image, model, "%s after unmount" % fmt)
	checks_clean(image)
	with served(image): # and once more, by a new mount
		check(open("m/disk", "rb").read() == model[:], "%s, mounted again" % fmt)


for f in FORMATS:
	add("against an array %s" % f, against_an_array, f)


@case
def over_a_snapshot():
	"""Writes to what a snapshot shares, with the snapshot looked at meanwhile."""
	make("qcow2", "disk.qcow2", SIZE)
	qemu_io("disk.qcow2", "qcow2", "write -P 17 1M 9M")
	qemu_img("convert", "-f", "qcow2", "-O", "raw", "disk.qcow2", "before.raw")
	qemu_img("snapshot", "-c", "first", "disk.qcow2")
	qemu_img("snapshot", "-c", "second", "disk.qcow2")
	with served("--rw", "disk.qcow2"):
		same_bytes("before.raw", "m/snapshots/first/disk", "the snapshot before")
		model = random_writes("m/disk", "over a snapshot")
		same_bytes("before.raw", "m/snapshots/first/disk", "the snapshot after")
		same_bytes("before.raw", "m/snapshots/second/disk", "one that nobody looked at before")
	flat_is("disk.qcow2", model, "the disk after unmount")
	checks_clean("disk.qcow2")
	with served("disk.qcow2"):
		same_bytes("before.raw", "m/snapshots/first/disk", "the snapshot, mounted again")


def overlay(fmt):
	make_raw("disk.raw", rng_for("overlay " + fmt), SIZE)
	image = "disk." + suffix(fmt)
	if fmt != "raw":
		vdisk("convert", "-O", *FORMATS[fmt][1:], "disk.raw", image)
	before = sha256(image)
	with served("--overlay", "over.qcow2", image):
		model = random_writes("m/disk", "overlay " + fmt)
		same_bytes("disk.raw", "m/snapshots/%s/disk" % image, "the image below the layer")
	eq(before, sha256(image), "the image is unchanged")
	flat_is("over.qcow2", model, "the layer")
	checks_clean("over.qcow2")
	with served("--overlay", "over.qcow2", image): # goes on with it
		check(open("m/disk", "rb").read() == model[:], "the layer, mounted again")
	vdisk("commit", "over.qcow2")
	flat_is(image, model, "the image after commit")
	checks_clean(image)


for f in ("raw", "qcow2", "vmdk", "vhd"):
	add("overlay %s" % f, overlay, f)


@case
def overlay_that_nobody_keeps():
	make_raw("disk.raw", rng_for("tmp"), SIZE)
	vdisk("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "disk.vmdk")
	before, here = sha256("disk.vmdk"), sorted(os.listdir("."))
	os.makedirs("tmp")
	os.environ["TMPDIR"] = os.path.abspath("tmp")
	try:
		with served("--overlay", "tmp", "disk.vmdk"):
			model = random_writes("m/disk", "tmp")
			check(open("m/disk", "rb").read() == model[:], "reads differently through the mount")
			eq([], os.listdir("tmp"), "files in the temporary folder")
	finally:
		del os.environ["TMPDIR"]
	eq(before, sha256("disk.vmdk"), "the image is unchanged")
	eq(here, sorted(set(os.listdir(".")) - {"m", "tmp"}), "what is left behind")


def killed(fmt):
	"""What was flushed is there after kill -9, and the image has leaks at most."""
	image = make(fmt, "disk." + suffix(fmt), SIZE)
	rng = rng_for("killed " + fmt)
	for turn in range(6 if ALL else 2):
		with served("--rw", image):
			model = bytearray(open("m/disk", "rb").read())
			fd = os.open("m/disk", os.O_RDWR)
			for _ in range(60):
				off, n = rng.randrange(SIZE // 2 - 90000), rng.randrange(1, 90000)
				data = rng.randbytes(n)
				os.pwrite(fd, data, off)
				model[off:off + n] = data
			os.fsync(fd)
			for _ in range(40): # to the other half: not flushed, so it may be there or not
				off, n = SIZE // 2 + rng.randrange(SIZE // 2 - 90000), rng.randrange(1, 90000)
				os.pwrite(fd, rng.randbytes(n), off)
				if rng.random() < 0.3:
					fallocate(fd, PUNCH_HOLE | KEEP_SIZE, off & ~0xffff, 1 << 17)
			kill_server()
			os.close(fd)
		eq([], os.listdir("m"), "the folder is plain again")
		checks_but_for_leaks(image)
		r = run(VDISK, "convert", "--force", "-O", "raw", image, "flat.raw")
		eq(0, r.rc, "reading it again: %s" % r.show())
		with open("flat.raw", "rb") as f:
			check(f.read(SIZE // 2) == model[:SIZE // 2], "%s: flushed bytes are lost in turn %d" % (fmt, turn))


for f in FORMATS:
	add("killed %s" % f, killed, f)


def fio_verify(fmt, *how):
	need("fio")
	image = make(fmt, "disk." + suffix(fmt), 48 * MIB)
	with served(*how, image):
		for direct in (0, 1):
			r = run("fio", "--name=v", "--filename=m/disk", "--rw=randrw", "--bsrange=4k-96k", "--size=16M", "--numjobs=2", "--offset_increment=20M",
			        "--verify=crc32c", "--verify_fatal=1", "--randrepeat=0", "--randseed=%d" % SEED, "--direct=%d" % direct, "--fsync=64",
			        "--ioengine=%s" % ("libaio" if direct else "psync"), "--iodepth=4", "--thread", "--group_reporting", "--do_verify=1", "--loops=1")
			eq(0, r.rc, "fio with --direct=%d: %s" % (direct, r.show()))
			check("err= 0" in r.out, "fio found a difference: %s" % r.show())
	checks_clean("over.qcow2" if how[0] == "--overlay" else image)


for f in FORMATS:
	add("fio %s" % f, fio_verify, f, "--rw")
add("fio overlay", fio_verify, "qcow2", "--overlay", "over.qcow2")


@case
def windows_agree():
	"""disk and partitions/1 show the same bytes from close to open."""
	need("sfdisk")
	make("qcow2", "disk.qcow2", SIZE)
	rng = rng_for("windows")
	with served("--rw", "disk.qcow2"):
		ran("sfdisk", "-q", "m/disk", stdin=b"label: gpt\nstart=2048,size=20480\n")
	with served("--rw", "disk.qcow2"):
		for turn in range(30):
			off, data = rng.randrange(10 * MIB - 5000), rng.randbytes(rng.randrange(1, 5000))
			with open("m/disk" if turn % 2 else "m/partitions/1", "r+b", buffering=0) as f:
				os.pwrite(f.fileno(), data, off + (MIB if turn % 2 else 0))
			for path, at in (("m/disk", off + MIB), ("m/partitions/1", off)):
				with open(path, "rb", buffering=0) as f:
					check(os.pread(f.fileno(), len(data), at) == data, "turn %d: %s is stale at %d" % (turn, path, at))


@case
def sizes_and_space():
	make("qcow2", "disk.qcow2", SIZE)
	with served("--rw", "disk.qcow2"):
		eq(0, os.stat("m/disk").st_blocks, "blocks of an empty disk")
		write_file("m/disk", rng_for("space").randbytes(4 * MIB), MIB)
		until("blocks count what was written", lambda: os.stat("m/disk").st_blocks == 4 * MIB // 512)
		check(abs(os.stat("m/disk").st_mtime - time.time()) < 60, "mtime is that of the write")
		with open("m/disk", "r+b", buffering=0) as f:
			fallocate(f.fileno(), PUNCH_HOLE | KEEP_SIZE, MIB, 2 * MIB)
			until("blocks count what was punched", lambda: os.stat("m/disk").st_blocks == 2 * MIB // 512)
			eq(3 * MIB, os.lseek(f.fileno(), 0, os.SEEK_DATA), "SEEK_DATA")
			eq(5 * MIB, os.lseek(f.fileno(), 3 * MIB, os.SEEK_HOLE), "SEEK_HOLE")
			os.lseek(f.fileno(), SIZE - 100, os.SEEK_SET)
			eq(100, f.write(bytes(200)), "bytes written at the end")
			with contextlib.suppress(OSError):
				f.write(b"x")
				fail("wrote past the end")
			with contextlib.suppress(OSError):
				f.truncate(SIZE // 2)
				fail("cut off")
			with contextlib.suppress(OSError):
				fallocate(f.fileno(), 0, 0, MIB)
				fail("promised space")
		eq(SIZE, os.stat("m/disk").st_size, "size")
		write_file("small", b"hello")
		ran("dd", "if=small", "of=m/disk", "status=none") # opens with O_TRUNC
		eq(SIZE, os.stat("m/disk").st_size, "size after dd")
		eq(b"hello", open("m/disk", "rb").read(5), "what dd wrote")
		r = run("dd", "if=/dev/zero", "of=m/disk", "bs=1M")
		check(r.rc == 1 and "No space left" in r.err, "writing to the end stops there: %s" % r.show())
	checks_clean("disk.qcow2")


def loop_tree(fmt, kind):
	"""A file system over a loop device over partitions/1: a tree is unpacked, read back, deleted; the file system checks clean."""
	need("sfdisk", "losetup", "mkfs." + kind)
	small = 40 * MIB if kind == "ext4" else 320 * MIB
	size = 900 * MIB if ALL else small
	image = make(fmt, "disk." + suffix(fmt), size + 2 * MIB)
	rng = rng_for("tree %s %s" % (fmt, kind))
	total = 300 * MIB if ALL else 8 * MIB
	with served("--rw", image):
		ran("sfdisk", "-q", "m/disk", stdin=b"label: dos\nstart=2048,size=%d\n" % (size // 512))
	with served("--rw", image):
		with loop("m/partitions/1") as dev:
			ran("mkfs." + kind, "-q", dev)
			with kernel_mount(dev, kind, "discard"):
				sums, done, n = {}, 0, 0
				while done < total:
					data = rng.randbytes(min(int(rng.expovariate(1 / 60000)) + 1, 2 * MIB))
					path = "k/d%d/e%d/f%d" % (n % 7, n % 31, n)
					os.makedirs(os.path.dirname(path), exist_ok=True)
					write_file(path, data)
					sums[path] = hashlib.sha256(data).digest()
					done, n = done + len(data), n + 1
			with kernel_mount(dev, kind, "discard"):
				for path, sum in sums.items():
					if hashlib.sha256(open(path, "rb").read()).digest() != sum:
						fail("%s on %s reads differently" % (path, fmt))
				for i in range(0, 7, 2):
					shutil.rmtree("k/d%d" % i)
		fs_check(kind, "m/partitions/1")
	checks_clean(image)
	with served("--rw", image):
		fs_check(kind, "m/partitions/1")
		used = os.stat("m/partitions/1").st_blocks
		with loop("m/partitions/1") as dev, kernel_mount(dev, kind):
			for path, sum in sums.items():
				if int(path.split("/")[1][1:]) % 2 and hashlib.sha256(open(path, "rb").read()).digest() != sum:
					fail("%s on %s reads differently in a new mount" % (path, fmt))
			for i in range(1, 7, 2):
				shutil.rmtree("k/d%d" % i)
			ran("sync")
			ran("fstrim", "k")
		fs_check(kind, "m/partitions/1")
		if fmt.startswith("qcow2") or fmt == "raw": # a sparse VMDK or VHD gives space back where its zero states allow
			until("fstrim gives space back (%d blocks before)" % used, lambda: os.stat("m/partitions/1").st_blocks < used - total // 3 // 512)
	checks_clean(image)


def fs_check(kind, path):
	if kind == "ext4":
		ran("e2fsck", "-fn", path)
	else:
		ran("xfs_repair", "-n", "-f", path)


for f, k in [(f, "ext4") for f in ("raw", "qcow2", "vmdk", "vhd")] + [(f, "xfs") for f in (("raw", "qcow2", "vmdk", "vhd") if ALL else ("qcow2",))]:
	add("loop %s %s" % (k, f), loop_tree, f, k)


@case
def locks():
	"""As qemu does it: nobody opens what is written to, and nobody writes to what is read."""
	make("qcow2", "disk.qcow2", SIZE)
	with served("--rw", "disk.qcow2"):
		r = run("qemu-img", "info", "disk.qcow2")
		check(r.rc and "lock" in r.err, "qemu-img opens what is written to: %s" % r.show())
		os.makedirs("n")
		refused("mount", "disk.qcow2", "n", mentions=("disk.qcow2",))
		refused("mount", "--rw", "disk.qcow2", "n", mentions=("disk.qcow2",))
	with served("disk.qcow2"):
		refused("mount", "--rw", "disk.qcow2", "n", mentions=("disk.qcow2",))
		with served("disk.qcow2", at="n"):
			same_bytes("m/disk", "n/disk", "two readers")


@case
def refusals():
	os.makedirs("m")
	write_file("x.raw", bytes(MIB))
	vdisk("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "x.raw", "x.vmdk")
	refused("mount", "--rw", "x.vmdk", "m", mentions=("x.vmdk", "writing"))
	refused("mount", "--rw", "--overlay", "o.qcow2", "x.raw", "m", mentions=("--overlay",))
	refused("mount", "--overlay", "x.vmdk", "x.raw", "m", mentions=("x.vmdk",))
	refused("mount", "--overlay", "nowhere/o.qcow2", "x.raw", "m", mentions=("nowhere",))
	refused("mount", "--rw", "-U", "x.raw", "m", mentions=("force-share",))
	vdisk("create", "-f", "qcow2", "other.qcow2", "1M")
	refused("mount", "--overlay", "other.qcow2", "x.raw", "m", mentions=("no layer over",))
	refused("mount", "--overlay", "o.qcow2", "x.raw", "nowhere", mentions=("nowhere",))
	refused("mount", "--overlay", "o.qcow2", "x.raw", "x.vmdk", mentions=("x.vmdk",)) # no folder
	# A raw disk that carries a forged header is not believed because of a layer over it.
	write_file("secret.raw", b"secret!!" * 1024)
	vdisk("create", "-f", "qcow2", "forged.qcow2", "-b", "secret.raw", "-F", "raw")
	os.rename("forged.qcow2", "guest.img")
	refused("mount", "--overlay", "o.qcow2", "guest.img", "m", mentions=("guest.img",))
	check(not os.path.exists("o.qcow2"), "a layer was left behind")


main()

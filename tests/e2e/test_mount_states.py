#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk mount: logical volumes that lvm2's own tools made, read by GRUB's LVM for comparison, and the other states of a disk below snapshots/."""
import os, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mounts import *

PV = 64 * MIB


def lvm(devices, *words):
	"""One of lvm2's commands, without a device mapper."""
	config = ('devices { filter=[%s"r|.*|"] use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }' %
	          "".join('"a|^%s$|",' % d for d in devices))
	return ran("lvm", words[0], "--driverloaded", "n", "-qq", "--config", config, *words[1:])


@contextlib.contextmanager
def physical(*files):
	"""Loop devices over files of one PV's size each."""
	with contextlib.ExitStack() as stack:
		for f in files:
			with open(f, "ab") as out:
				out.truncate(PV)
		yield [stack.enter_context(loop(f)) for f in files]


def in_partitions(path, *files):
	"""A GPT disk with one partition for each file."""
	with open(path, "wb") as f:
		f.truncate(PV * len(files) + 2 * MIB)
	ran("sfdisk", "-q", path, stdin=b"label: gpt\n" + b"".join(b"start=%d,size=%d\n" % (2048 + i * PV // 512, PV // 512) for i in range(len(files))))
	for i, f in enumerate(files):
		ran("dd", "if=" + f, "of=" + path, "bs=1M", "seek=%d" % (1 + i * PV // MIB), "conv=notrunc,sparse", "status=none")


RAID1 = """
		%(name)s {
			id = "%(id)s"
			status = ["READ", "WRITE"%(visible)s]
			flags = []
			segment_count = 1
			segment1 {
				start_extent = 0
				extent_count = 1
				%(what)s
			}
		}
"""


def add_raid1(devices, group, name):
	"""lvcreate makes none without a device mapper; vgcfgrestore takes its description."""
	lvm(devices, "vgcfgbackup", "-f", "backup", group)
	text = open("backup").read()
	parts, extents = "", (10, 11, 12, 13)
	for i, (part, extent) in enumerate(zip(("_rmeta_0", "_rimage_0", "_rmeta_1", "_rimage_1"), extents)):
		parts += RAID1 % {"name": name + part, "id": "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGG%d" % i, "visible": "",
		                  "what": 'type = "striped"\nstripe_count = 1\nstripes = ["pv%d", %d]' % (i // 2, extent)}
	parts += RAID1 % {"name": name, "id": "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG", "visible": ', "VISIBLE"',
	                  "what": 'type = "raid1"\ndevice_count = 2\nregion_size = 1024\nraids = ["%s"]' % '", "'.join(
	                          name + p for p in ("_rmeta_0", "_rimage_0", "_rmeta_1", "_rimage_1"))}
	with open("backup", "w") as f:
		f.write(text.replace("logical_volumes {", "logical_volumes {" + parts, 1))
	lvm(devices, "vgcfgrestore", "-f", "backup", group)


def make_group(devices):
	"""vg0 over two devices: root in two pieces on both, a striped one, a read-only one, raid1."""
	lvm(devices, "pvcreate", *devices)
	lvm(devices, "vgcreate", "vg0", *devices)
	for words in (("-n", "root", "-L", "12M", "vg0", devices[0]), ("-n", "data-1.x+_", "-i2", "-I", "16k", "-L", "16M", "vg0"),
	              ("-n", "between", "-L", "4M", "vg0", devices[0]), ("-n", "old", "-L", "4M", "vg0", devices[0])):
		lvm(devices, "lvcreate", "-an", "-Zn", "-Wn", *words)
	lvm(devices, "lvextend", "-L", "+8M", "vg0/root", devices[1])
	lvm(devices, "lvchange", "-pr", "vg0/between")
	add_raid1(devices, "vg0", "mirrored")


def need_lvm():
	need("lvm", "sfdisk", "grub-fstest", "mke2fs", "losetup")


@case
def volumes_of_partitions():
	need_lvm()
	with physical("a", "b") as devices:
		make_group(devices)
	in_partitions("disk.raw", "a", "b")
	os.makedirs("tree/d")
	write_file("tree/d/f", rng_for("volumes").randbytes(5 * MIB))
	vdisk("convert", "-O", "qcow2", "disk.raw", "disk.qcow2")
	with served("--rw", "disk.qcow2"):
		info = {v["name"]: v for v in json.load(open("m/info.json"))["volumes"]}
		eq({"root", "data-1.x+_", "between", "old", "mirrored"}, set(info), "volumes in info.json")
		check("raid1" in info["mirrored"]["problem"], "why mirrored is not shown: %s" % info["mirrored"]["problem"])
		eq(["between", "data-1.x+_", "old", "root"], sorted(os.listdir("m/volumes/vg0")), "volumes")
		eq([20 * MIB, 16 * MIB], [os.stat("m/volumes/vg0/" + n).st_size for n in ("root", "data-1.x+_")], "sizes")
		eq(0o444, os.stat("m/volumes/vg0/between").st_mode & 0o777, "mode of a read-only volume")
		for n in ("root", "data-1.x+_"):
			eq(0, os.stat("m/volumes/vg0/" + n).st_blocks, "blocks of the empty " + n)
			ran("mke2fs", "-q", "-t", "ext4", "-b", "1024", "-d", "tree", "m/volumes/vg0/" + n)
			ran("e2fsck", "-fn", "m/volumes/vg0/" + n)
			until("blocks of %s count" % n, lambda: 5 * MIB <= os.stat("m/volumes/vg0/" + n).st_blocks * 512 <= 12 * MIB)
	qemu_img("convert", "-f", "qcow2", "-O", "raw", "disk.qcow2", "flat.raw")
	for n in ("root", "data-1.x+_"): # another reader's view of the metadata
		with open("got", "wb") as f:
			ran("grub-fstest", "flat.raw", "cat", "(lvm/vg0-%s)/d/f" % n.replace("-", "--"), stdout=f)
		same_bytes("tree/d/f", "got", n)
	with served("disk.qcow2"): # holes and data of a striped volume lie where they do in a copy
		path = "m/volumes/vg0/data-1.x+_"
		ran("cp", "--sparse=always", path, "copy")
		same_bytes(path, "copy", "a sparse copy")
		holes_are_zeros(path)


def text_wraps(pv):
	with open(pv, "rb") as f:
		header = f.read(4096 + 512)[4096:]
	size, off, length = struct.unpack("<QQQ", header[32:56])
	return off + length > size


@case
def volumes_against_an_array():
	"""Written at random, zeroed and punched, by several processes: in both kinds; the volumes beside them stay as they are."""
	need_lvm()
	with physical("a", "b") as devices:
		make_group(devices)
	in_partitions("disk.raw", "a", "b")
	vdisk("convert", "-O", "qcow2", "disk.raw", "disk.qcow2")
	models = {}
	with served("--rw", "disk.qcow2"):
		write_file("m/volumes/vg0/old", b"\7" * 4 * MIB)
		for n in ("root", "data-1.x+_"):
			models[n] = random_writes("m/volumes/vg0/" + n, "volume " + n)
	checks_clean("disk.qcow2")
	with served("disk.qcow2"):
		for n, model in models.items():
			path = "m/volumes/vg0/" + n
			check(open(path, "rb").read() == model[:], "%s reads differently" % n)
			holes_are_zeros(path)
		eq({7}, set(open("m/volumes/vg0/old", "rb").read()), "bytes of a neighbour")
		eq({0}, set(open("m/volumes/vg0/between", "rb").read()), "bytes of another one")


def holes_are_zeros(path):
	data, at = open(path, "rb").read(), 0
	with open(path, "rb", buffering=0) as f:
		while at < len(data):
			try:
				start = os.lseek(f.fileno(), at, os.SEEK_DATA)
			except OSError:
				start = len(data)
			check(not any(data[at:start]), "%s: bytes in a hole before %d" % (path, start))
			at = os.lseek(f.fileno(), start, os.SEEK_HOLE) if start < len(data) else start
			check(at > start or start == len(data), "%s: no data at %d, though SEEK_DATA says so" % (path, start))


@case
def volumes_of_a_whole_disk():
	need_lvm()
	with physical("pv") as devices:
		lvm(devices, "pvcreate", "--dataalignment", "64k", "--metadatasize", "60k", *devices)
		lvm(devices, "vgcreate", "-s", "1M", "all", *devices)
		n = 0
		while not text_wraps("pv") and n < 60: # the newest text goes on at the beginning of its ring
			lvm(devices, "lvcreate", "-an", "-Zn", "-Wn", "-n", "v%02d" % n, "-l", "1", "all")
			n += 1
		check(text_wraps("pv"), "the ring of metadata did not wrap")
	with served("--rw", "--format", "raw", "pv"):
		eq(["v%02d" % i for i in range(n)], sorted(os.listdir("m/volumes/all")), "volumes")
		for i in range(n):
			write_file("m/volumes/all/v%02d" % i, b"volume %d" % i)
		data = open("m/disk", "rb").read()
		starts = [data.index(b"volume %d\0" % i) for i in range(n)]
		eq(sorted(starts), starts, "volumes lie one after the other")
		eq({MIB}, {b - a for a, b in zip(starts, starts[1:])}, "and close to each other")


@case
def volumes_with_a_snapshot():
	"""An old-style snapshot's store is no disk, and its origin is not written to."""
	need_lvm()
	with physical("pv") as devices:
		lvm(devices, "pvcreate", *devices)
		lvm(devices, "vgcreate", "vg", *devices)
		for name, size in (("origin", "8M"), ("snap", "4M")):
			lvm(devices, "lvcreate", "-an", "-Zn", "-Wn", "-n", name, "-L", size, "vg")
		lvm(devices, "lvconvert", "-y", "-Zn", "-s", "vg/origin", "vg/snap")
	with served("--rw", "--format", "raw", "pv"):
		eq(["origin"], os.listdir("m/volumes/vg"), "volumes")
		eq(0o444, os.stat("m/volumes/vg/origin").st_mode & 0o777, "mode of the origin")
		problems = {v["name"]: v["problem"] for v in json.load(open("m/info.json"))["volumes"]}
		eq(["origin", "snap"], sorted(problems), "volumes in info.json")
		check("snapshot" in problems["snap"], "why the snapshot is not shown: %s" % problems)


@case
def volumes_that_are_damaged():
	need_lvm()
	with physical("a", "b") as devices:
		make_group(devices)
	in_partitions("disk.raw", "a", "b")
	good = open("disk.raw", "rb").read()
	at = {i: [good.index(b"LABELONE", MIB + i * PV), good.index(b"\x20LVM2\x20x[5A%r0N*>", MIB + i * PV) - 4] for i in (0, 1)}

	def volumes(*changes):
		for off, data in changes:
			write_file("disk.raw", data, off)
		with served("disk.raw"):
			names = sorted(os.listdir("m/volumes/vg0")) if os.path.isdir("m/volumes") else []
		for off, data in changes:
			write_file("disk.raw", good[off:off + len(data)], off)
		return names
	all_of_them = ["between", "data-1.x+_", "old", "root"]
	eq(all_of_them, volumes(), "undamaged")
	eq(all_of_them, volumes((at[0][1] + 40, b"\xff" * 8)), "one metadata area is damaged: the other one serves")
	eq([], volumes((at[0][1], b"\0"), (at[1][1], b"\0")), "both are")
	eq(["between", "old"], volumes((at[1][0] + 30, b"x")), "the second label is damaged: what lies wholly on the first is there")
	# Every byte of a label and of an area's header, one after the other: never worse than nothing.
	rng = rng_for("damage")
	for _ in range(200 if ALL else 12):
		off = rng.choice([at[0][0] + rng.randrange(512), at[0][1] + rng.randrange(512), at[0][1] + 512 + rng.randrange(4096)])
		got = volumes((off, bytes([good[off] ^ (1 << rng.randrange(8))])))
		check(set(got) <= set(all_of_them), "after a flip at %d: %s" % (off, got))


@case
def snapshots_and_ancestors():
	need("qemu-img")
	rng = rng_for("states")
	make_raw("one.raw", rng, 8 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "one.raw", "base.qcow2")
	qemu_img("snapshot", "-c", "first", "base.qcow2")
	qemu_io("base.qcow2", "qcow2", "write -P 1 0 3M")
	qemu_img("snapshot", "-c", "a/b", "base.qcow2")
	qemu_io("base.qcow2", "qcow2", "write -P 2 2M 3M")
	for out, how in (("first.raw", ("-l", "snapshot.name=first")), ("second.raw", ("-l", "snapshot.name=a/b")), ("base.raw", ())):
		qemu_img("convert", "-f", "qcow2", *how, "-O", "raw", "base.qcow2", out)
	vdisk("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "leaf.qcow2")
	qemu_io("leaf.qcow2", "qcow2", "write -P 3 4M 3M")
	qemu_img("convert", "-f", "qcow2", "-O", "raw", "leaf.qcow2", "leaf.raw")
	before = sha256("base.qcow2"), sha256("leaf.qcow2")
	with served("leaf.qcow2"):
		eq(["base.qcow2"], os.listdir("m/snapshots"), "states of the leaf")
		base = "m/snapshots/base.qcow2"
		eq(["a_b", "first"], sorted(os.listdir(base + "/snapshots")), "states of the base")
		same_bytes("leaf.raw", "m/disk", "leaf")
		same_bytes("base.raw", base + "/disk", "base")
		same_bytes("first.raw", base + "/snapshots/first/disk", "first")
		same_bytes("second.raw", base + "/snapshots/a_b/disk", "a/b")
		eq("base.qcow2", os.path.basename(json.load(open(base + "/info.json"))["path"]), "info.json of the base")
		check(not os.path.exists(base + "/snapshots/first/snapshots"), "a snapshot has no states of its own")
	eq(before, (sha256("base.qcow2"), sha256("leaf.qcow2")), "the images are unchanged")
	with served("base.qcow2"):
		eq(["a_b", "first"], sorted(os.listdir("m/snapshots")), "states of the base")
		same_bytes("first.raw", "m/snapshots/first/disk", "first")


@case
def states_have_partitions():
	"""Links too, and however many look at once."""
	need("sfdisk", "mke2fs")
	with open("disk.raw", "wb") as f:
		f.truncate(10 * MIB)
	ran("sfdisk", "-q", "disk.raw", stdin=b"label: gpt\nstart=2048,size=16384\n")
	ran("mke2fs", "-q", "-L", "root", "part.img", "8M")
	ran("dd", "if=part.img", "of=disk.raw", "bs=1M", "seek=1", "conv=notrunc", "status=none")
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2")
	names = ["s%d" % i for i in range(24)]
	for n in names:
		qemu_img("snapshot", "-c", n, "disk.qcow2")
	wrong = []

	def look(name, link):
		with contextlib.suppress(OSError):
			if link and os.readlink("m/snapshots/%s/partitions/by-label/root" % name) == "../1":
				return
			if not link and sorted(os.listdir("m/snapshots/%s/partitions" % name)) == ["1", "by-label", "by-type", "by-uuid"]:
				return
		wrong.append((name, "link" if link else "list"))
	with served("disk.qcow2"):
		threads = [threading.Thread(target=look, args=(n, link)) for n in names for link in (False, True)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		eq([], wrong, "snapshots with wrong links")
		same_bytes("part.img", "m/snapshots/s7/partitions/1", "a partition of a snapshot")


@case
def names_that_are_no_names():
	"""Snapshots called "..", with control bytes, three of one name, one too long for a file: each is shown, under some name."""
	vdisk("create", "-f", "qcow2", "disk.qcow2", "1M")
	names = ["..", "a/../b", "tab\there", "twice", "twice ", "x" * 300, "x" * 299]
	for i, n in enumerate(names):
		qemu_io("disk.qcow2", "qcow2", "write -P %d 0 64k" % (i + 1))
		qemu_img("snapshot", "-c", n, "disk.qcow2")
	os.makedirs("other")
	vdisk("create", "-f", "qcow2", "other/disk.qcow2", "1M", "-b", os.path.abspath("disk.qcow2"), "-F", "qcow2", "--allow-parent", os.getcwd())
	vdisk("create", "-f", "qcow2", "leaf.qcow2", "1M", "-b", "other/disk.qcow2", "-F", "qcow2", "--allow-parent", os.getcwd())
	with served("--allow-parent", os.getcwd(), "leaf.qcow2"):
		eq(["disk.qcow2", "disk.qcow2~2"], sorted(os.listdir("m/snapshots")), "ancestors")
		folder = "m/snapshots/disk.qcow2~2/snapshots/"
		got = os.listdir(folder)
		eq(len(names), len(got), "snapshots: %r" % got)
		eq(set(range(1, len(names) + 1)), {open(folder + n + "/disk", "rb").read(1)[0] for n in got}, "what they hold")


@case
def ancestor_that_is_broken():
	"""What cannot be opened says so in its folder, and hurts nothing else."""
	vdisk("create", "-f", "qcow2", "base.qcow2", "4M")
	qemu_io("base.qcow2", "qcow2", "write -P 5 0 1M")
	qemu_img("snapshot", "-c", "one", "base.qcow2")
	with open("base.qcow2", "r+b") as f: # the snapshot's L1 table, made to point outside
		f.seek(60)
		count, off = struct.unpack(">IQ", f.read(12))
		f.seek(off)
		l1 = struct.unpack(">Q", f.read(8))[0]
		f.seek(l1)
		f.write(struct.pack(">Q", 1 << 50))
	with served("base.qcow2"):
		eq(b"\5", open("m/disk", "rb").read(1), "the disk")
		with contextlib.suppress(OSError):
			open("m/snapshots/one/disk", "rb").read()
			check(os.path.exists("m/snapshots/one/error"), "a broken snapshot is read without a word")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""convert --used-only and compact: a disk whose free space is full of old data loses that, and nothing else.  Judged by each file system's
own checker and by every file; what is not at rest is refused, what is unknown is taken whole."""
import os, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mounts import *

ROOT = os.geteuid() == 0
OLD = bytes(range(1, 256)) * 4112 + b"old" # no zeros, and no multiple of a block


def used(*args, **kw):
	"""vdisk, which leaves nothing in its folder for temporary files."""
	os.makedirs("tmp", exist_ok=True)
	r = run(VDISK, *args, env={"TMPDIR": os.path.abspath("tmp")}, **kw)
	eq([], os.listdir("tmp"), "left behind by %s" % r)
	return r


def done(*args, **kw):
	r = used(*args, **kw)
	if r.rc:
		fail("is due to work\n    %s" % r.show())
	return r


def declined(*args, mentions):
	before = {n: sha256(n) for n in os.listdir(".") if os.path.isfile(n)}
	r = used(*args)
	eq((2, ""), (r.rc, r.out), "exit status and stdout\n    %s" % r.show())
	one_line(r)
	for m in mentions:
		check(m in r.err, "does not mention %r: %s" % (m, r.err))
	eq(before, {n: sha256(n) for n in os.listdir(".") if os.path.isfile(n)}, "files")


def full(path, size):
	"""Old data everywhere."""
	with open(path, "wb") as f:
		while f.tell() < size:
			f.write(OLD[:size - f.tell()])


def tree(folder, rng, files=24, longest=400 * KIB):
	for i in range(files):
		name = os.path.join(folder, "d%d" % (i % 3), "file-%d" % i)
		os.makedirs(os.path.dirname(name), exist_ok=True)
		write_file(name, rng.randbytes(rng.randrange(1, longest)))
	return folder


def files_of(folder):
	return {os.path.relpath(os.path.join(b, n), folder): sha256(os.path.join(b, n)) for b, _, names in os.walk(folder) for n in names}


# ---------------------------------------------------------------- file systems: made over old data; judged

def make_ext(path, kind, folder, *options):
	need("mke2fs")
	ran("mke2fs", "-q", "-F", "-t", kind, "-E", "nodiscard", "-O", "^resize_inode", *options, "-d", folder, path)


def judge_ext(path, folder):
	ran("e2fsck", "-fn", path)
	os.makedirs("back")
	ran("debugfs", "-R", "rdump / back", path)
	shutil.rmtree("back/lost+found", ignore_errors=True)
	eq(files_of(folder), files_of("back"), "files of %s" % path)
	shutil.rmtree("back")


def make_fat(path, bits, folder):
	need("mkfs.vfat", "mcopy")
	ran("mkfs.vfat", "-F", bits, path)
	ran("mcopy", "-i", path, "-s", *[os.path.join(folder, n) for n in os.listdir(folder)], "::")


def judge_fat(path, folder):
	ran("fsck.vfat", "-n", path)
	os.makedirs("back")
	ran("mcopy", "-i", path, "-s", "::*", "back")
	eq(files_of(folder), files_of("back"), "files of %s" % path)
	shutil.rmtree("back")


def make_ntfs(path, folder):
	need("mkntfs", "ntfscp", "ntfscat", "ntfsfix")
	ran("mkntfs", "-qFf", path)
	for name in files_of(folder):
		ran("ntfscp", "-f", path, os.path.join(folder, name), os.path.basename(name))


def judge_ntfs(path, folder):
	ran("ntfsfix", "-n", path)
	for name, want in files_of(folder).items():
		with open("back", "wb") as f:
			ran("ntfscat", "-f", path, os.path.basename(name), stdout=f)
		eq(want, sha256("back"), "%s of %s" % (name, path))
	os.unlink("back")


@contextlib.contextmanager
def mounted_loop(path, kind):
	os.makedirs("mnt", exist_ok=True)
	ran("mount", "-o", "loop", "-t", kind, path, "mnt")
	try:
		yield "mnt"
	finally:
		ran("umount", "mnt")


def make_xfs(path, folder, before_unmount=None):
	need("mkfs.xfs", "xfs_logprint")
	if not ROOT:
		skip("XFS is filled through a mount")
	ran("mkfs.xfs", "-q", "-K", "-f", path)
	with mounted_loop(path, "xfs") as m:
		ran("cp", "-r", folder, m + "/tree")
		write_file(m + "/gone", b"gone" * 500000)
		ran("sync", "-f", m)
		os.unlink(m + "/gone")
		if before_unmount:
			before_unmount(m)


def judge_xfs(path, folder):
	ran("xfs_repair", "-n", "-f", path)
	with mounted_loop(path, "xfs") as m:
		eq(files_of(folder), files_of(m + "/tree"), "files of %s" % path)


def make_btrfs(path, folder, *options):
	"""With data whose places in its own address space and on the disk differ, data without checksums, snapshots and what is gone."""
	need("mkfs.btrfs", "btrfs")
	if not ROOT:
		skip("btrfs is filled through a mount")
	ran("mkfs.btrfs", "-q", "-f", "-K", *options, path)
	with mounted_loop(path, "btrfs") as m:
		os.makedirs(m + "/tree/plain")
		ran("chattr", "+C", m + "/tree/plain")
		for i in range(3):
			write_file(m + "/tree/plain/%d" % i, rng_for("plain").randbytes(2 * MIB))
			shutil.copyfile(m + "/tree/plain/%d" % i, os.path.join(folder, "plain-%d" % i))
		for name in files_of(folder):
			os.makedirs(os.path.dirname(os.path.join(m, "tree", name)), exist_ok=True)
			if not name.startswith("plain-"):
				shutil.copyfile(os.path.join(folder, name), os.path.join(m, "tree", name))
		write_file(m + "/gone", b"gone" * 2000000)
		ran("btrfs", "subvolume", "snapshot", m, m + "/snap")
		ran("btrfs", "balance", "start", "--full-balance", m)
		ran("fallocate", "-l", "4M", m + "/reserved")
		os.unlink(m + "/gone")
		os.unlink(m + "/snap/gone")
		ran("sync", "-f", m)


def judge_btrfs(path, folder):
	ran("btrfs", "check", "--check-data-csum", path)
	want = {("plain/" + n[6:] if n.startswith("plain-") else n): s for n, s in files_of(folder).items()}
	with mounted_loop(path, "btrfs") as m:
		eq(want, files_of(m + "/tree"), "files of %s" % path)
		eq(want, files_of(m + "/snap/tree"), "files of the snapshot in %s" % path)
		r = ran("btrfs", "scrub", "start", "-B", m)
		check("no errors found" in r.out, "scrub: %s" % r.out)


def table(path, label, *parts):
	"""A disk full of old data with these files as partitions (file, more words for sfdisk), a gap of 3 MiB behind each; their offsets."""
	need("sfdisk")
	sizes = [os.path.getsize(p[0]) // MIB for p in parts]
	full(path, (sum(sizes) + 3 * len(parts) + 4) * MIB)
	at, text, offsets = 1, "label: %s\n" % label, []
	for (file, *words), size in zip(parts, sizes):
		text += ",".join(["start=%d" % (at * 2048), "size=%d" % (size * 2048), *words]) + "\n"
		offsets.append(at * MIB)
		at += size + 3
	ran("sfdisk", "-q", "--wipe", "never", "--wipe-partitions", "never", path, stdin=text.encode())
	for (file, *_), off in zip(parts, offsets):
		ran("dd", "if=" + file, "of=" + path, "bs=1M", "seek=%d" % (off // MIB), "conv=notrunc", "status=none")
	return offsets


def part(disk, path, off, size):
	ran("dd", "if=" + disk, "of=" + path, "bs=1M", "skip=%d" % (off // MIB), "count=%d" % (size // MIB), "conv=sparse", "status=none")
	return path


def same_but(disk, result, ranges):
	"""Outside the ranges, all bytes are the same."""
	a, b = open(disk, "rb"), open(result, "rb")
	at = 0
	for off, size in [*ranges, (os.path.getsize(disk), 0)]:
		while at < off:
			n = min(MIB, off - at)
			a.seek(at), b.seek(at)
			check(a.read(n) == b.read(n), "between %d and %d something is lost" % (at, at + n))
			at += n
		at = off + size


# ---------------------------------------------------------------- the guest's disk

def guest(name="guest.raw"):
	"""GPT: ext4, swap, FAT, a BIOS boot partition, NTFS and, by root, XFS."""
	need("partclone.extfs", "partclone.ntfs", "partclone.fat", "partclone.xfs", "blkid", "mkswap")
	need_fuse()
	rng, parts = rng_for("guest"), []
	makers = [("ext4", 96, lambda p, f: make_ext(p, "ext4", f), judge_ext), ("swap", 32, lambda p, f: ran("mkswap", "-q", p), None),
	          ("vfat", 48, lambda p, f: make_fat(p, "16", f), judge_fat), (None, 2, lambda p, f: None, None), ("ntfs", 48, make_ntfs, judge_ntfs)]
	if ROOT and shutil.which("mkfs.xfs"):
		makers.append(("xfs", 304, make_xfs, judge_xfs))
	for i, (kind, size, maker, judge) in enumerate(makers):
		file, folder = "p%d" % (i + 1), tree("tree%d" % (i + 1), rng)
		full(file, size * MIB)
		maker(file, folder)
		parts.append({"type": kind, "size": size * MIB, "folder": folder, "judge": judge, "file": file})
	types = {"swap": "type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", None: "type=21686148-6449-6E6F-744E-656564454649"}
	offsets = table(name, "gpt", *[[p["file"], *([types[p["type"]]] if p["type"] in types else [])] for p in parts])
	write_file(name, b"bootcode" * 50, 0)
	for p, off in zip(parts, offsets):
		p["off"] = off
		os.unlink(p["file"])
	return name, parts


def judge_guest(disk, result, parts):
	"""`result`: raw."""
	for p in parts:
		if p["judge"]:
			p["judge"](part(result, "judged", p["off"], p["size"]), p["folder"])
			os.unlink("judged")
	same_but(disk, result, [(p["off"], p["size"]) for p in parts if p["type"]])
	for p in parts: # heads: boot loaders and labels
		eq(sha256(disk, p["off"], MIB), sha256(result, p["off"], MIB), "first MiB of %s" % p["type"])


def stored(path, fmt=None):
	return sum(l["allocated"] for l in vdisk("info", "--json", *(["-f", fmt] if fmt else []), path).json()["layers"][:1])


@case
def guest_disk():
	disk, parts = guest()
	fixed = sum(p["size"] for p in parts if not p["type"]) + 3 * MIB * len(parts) + 4 * MIB
	r = done("convert", "--json", "--digest", "--verify", "--used-only", disk, "lean.qcow2")
	o = r.json()
	eq([("partition %d" % (i + 1), p["type"], p["size"]) for i, p in enumerate(parts)],
	   [(g["name"], g["type"], g["length"]) for g in o["regions"]], "regions")
	need_bytes = fixed + sum(g["length"] - g["free"] for g in o["regions"])
	check(stored("lean.qcow2") < need_bytes + 12 * MIB, "%d bytes stored for %d in use" % (stored("lean.qcow2"), need_bytes))
	for p, g in zip(parts, o["regions"]):
		if p["judge"]:
			check(g["length"] - g["free"] < sum(map(os.path.getsize, (os.path.join(b, n) for b, _, ns in os.walk(p["folder"]) for n in ns))) +
			      (80 if p["type"] == "xfs" else 16) * MIB, "%s: too much is said to be in use: %r" % (p["type"], g))
	vdisk("convert", "-O", "raw", "lean.qcow2", "lean.raw")
	eq(o["digest"], vdisk("digest", "lean.raw").out.split()[0], "the digest is of the result")
	judge_guest(disk, "lean.raw", parts)
	# The formats agree, and the number of threads changes nothing.
	done("convert", "--used-only", "-j", "1", disk, "lean.vhd")
	vdisk("compare", "lean.vhd", "lean.raw")
	os.unlink("lean.vhd")
	# From another format.
	vdisk("convert", disk, "fat.qcow2")
	done("convert", "--used-only", "fat.qcow2", "again.qcow2")
	vdisk("compare", "again.qcow2", "lean.raw")
	# In place.
	for image in ("fat.qcow2", disk):
		want = sha256("lean.raw")
		before = stored(image)
		text = json.loads(done("compact", "--json", image).out)
		check(text["allocated-after"] <= text["allocated-before"] - o["skipped"] * 9 // 10, "compact gives back: %r" % text)
		check(stored(image) < before - o["skipped"] * 9 // 10, "%s takes %d, took %d" % (image, stored(image), before))
		os.unlink("lean.qcow2")
		done("convert", "--used-only", image, "lean.qcow2")
		vdisk("compare", "lean.qcow2", "lean.raw")
		vdisk("convert", "--force", "-O", "raw", image, "compacted.raw")
		if image == disk:
			eq(want, sha256("compacted.raw"), "a raw disk in place")
		else:
			qemu_check(image, "qcow2")
			judge_guest(disk, "compacted.raw", parts)
		os.unlink("compacted.raw")


# ---------------------------------------------------------------- kinds of file systems

EXT = {"ext2": ("ext2", ()), "ext3": ("ext3", ()), "blocks of 1 KiB": ("ext4", ("-b", "1024")), "of 2 KiB": ("ext4", ("-b", "2048")),
       "meta_bg": ("ext4", ("-O", "meta_bg")), "no flex_bg": ("ext4", ("-O", "^flex_bg")), "sparse_super2": ("ext4", ("-O", "sparse_super2")),
       "no checksums": ("ext4", ("-O", "^metadata_csum,^64bit"))}


def ext_kinds(kind, options):
	"""The file system is the whole disk, which is longer than it."""
	need("partclone.extfs", "blkid")
	need_fuse()
	folder = tree("tree", rng_for("ext"))
	full("fs", 64 * MIB)
	make_ext("fs", kind, folder, *options)
	with open("fs", "ab") as f:
		f.write(OLD * 3)
		f.truncate((f.tell() + 511) & ~511)
	size = os.path.getsize("fs")
	o = done("convert", "--json", "--used-only", "-f", "raw", "fs", "lean.raw").json()
	eq([("the disk", kind)], [(g["name"], g["type"]) for g in o["regions"]], "region")
	judge_ext("lean.raw", folder)
	check(os.stat("lean.raw").st_blocks * 512 < 24 * MIB, "%d bytes stored" % (os.stat("lean.raw").st_blocks * 512))
	eq(sha256("fs", 64 * MIB), sha256("lean.raw", 64 * MIB), "what the file system does not cover")
	eq(size, os.path.getsize("lean.raw"), "size")


for name, (kind, options) in EXT.items():
	add("ext: " + name, ext_kinds, kind, options)


def fat_kinds(bits, size):
	need("partclone.fat", "blkid")
	need_fuse()
	folder = tree("tree", rng_for("fat"))
	full("fs", size * MIB)
	make_fat("fs", bits, folder)
	offsets = table("disk.raw", "dos", ("fs", "type=c"))
	done("convert", "--used-only", "disk.raw", "lean.raw")
	judge_fat(part("lean.raw", "judged", offsets[0], size * MIB), folder)
	same_but("disk.raw", "lean.raw", [(offsets[0], size * MIB)])
	check(os.stat("lean.raw").st_blocks * 512 < 24 * MIB, "%d bytes stored" % (os.stat("lean.raw").st_blocks * 512))


for bits, size in (("16", 40), ("32", 80)):
	add("FAT" + bits, fat_kinds, bits, size)


def btrfs_kinds(*options):
	need("partclone.btrfs", "blkid")
	need_fuse()
	folder = tree("tree", rng_for("btrfs"))
	full("fs", 400 * MIB)
	make_btrfs("fs", folder, *options)
	offsets = table("disk.raw", "gpt", ("fs",))
	o = done("convert", "--json", "--used-only", "disk.raw", "lean.raw").json()
	check(o["regions"][0]["free"] > 300 * MIB, "told: %r" % o)
	judge_btrfs(part("lean.raw", "judged", offsets[0], 400 * MIB), folder)
	same_but("disk.raw", "lean.raw", [(offsets[0], 400 * MIB)])


add("btrfs", btrfs_kinds)
add("btrfs: one copy", btrfs_kinds, "-m", "single")
if ALL:
	add("btrfs: mixed", btrfs_kinds, "--mixed")
	add("btrfs: nodes of 64 KiB", btrfs_kinds, "-n", "65536")
	for checksum in ("xxhash", "sha256", "blake2"):
		add("btrfs: " + checksum, btrfs_kinds, "--csum", checksum)


@case
def btrfs_not_at_rest():
	need("partclone.btrfs", "blkid", "mkfs.btrfs")
	need_fuse()
	if not ROOT:
		skip("a mount is wanted")
	full("fs", 128 * MIB)
	ran("mkfs.btrfs", "-q", "-f", "-K", "fs")
	with mounted_loop("fs", "btrfs") as m:
		fd = os.open(m + "/f", os.O_CREAT | os.O_WRONLY)
		os.write(fd, b"x" * 100000)
		os.fsync(fd)
		os.close(fd)
		ran("cp", "fs", "torn")
	table("disk.raw", "gpt", ("torn",))
	declined("convert", "--used-only", "disk.raw", "out.qcow2", mentions=["partition 1 (btrfs)", "log"])


def taken_whole(word, maker):
	"""Nothing is left out, and where one may wonder, it is said."""
	need_fuse()
	full("fs", 40 * MIB)
	maker("fs")
	table("disk.raw", "gpt", ("fs",))
	r = done("convert", "--used-only", "disk.raw", "out.raw")
	same_bytes("disk.raw", "out.raw")
	check(("partition 1" in r.err and word in r.err) if word else not r.err, "stderr: %r" % r.err)


add("whole: nothing known", taken_whole, None, lambda p: None)
add("whole: LUKS", taken_whole, "crypto_LUKS", lambda p: write_file(p, b"LUKS\xba\xbe\x00\x01aes\0" + bytes(64) + b"12345678-1234-1234-1234-123456789abc".rjust(100, b"\0")))
add("whole: ext4 with bigalloc", taken_whole, "ext4", lambda p: make_ext(p, "ext4", tree("t", rng_for("t"), 3), "-O", "bigalloc"))
add("whole: FAT12", taken_whole, "relied upon", lambda p: make_fat(p, "12", tree("t", rng_for("t"), 3)))
add("whole: two at once", taken_whole, "several", lambda p: (make_ext(p, "ext4", tree("t", rng_for("t"), 3)), write_file(p, b"\x01CD001\x01", 32768)))


@case
def overlapping_partitions():
	"""What the one calls free may be the other's."""
	need("partclone.extfs", "blkid", "sfdisk")
	need_fuse()
	full("fs", 32 * MIB)
	make_ext("fs", "ext4", tree("t", rng_for("t"), 3))
	full("disk.raw", 48 * MIB)
	ran("sfdisk", "-q", "--wipe", "never", "--wipe-partitions", "never", "disk.raw", stdin=b"label: dos\nstart=2048,size=65536\n")
	with open("disk.raw", "r+b") as f: # the second entry, which sfdisk refuses to make
		f.seek(446 + 16)
		f.write(struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", 0xda, b"\xfe\xff\xff", 2048 + 32768, 49152))
	ran("dd", "if=fs", "of=disk.raw", "bs=1M", "seek=1", "conv=notrunc", "status=none")
	done("convert", "--used-only", "disk.raw", "out.raw")
	eq(sha256("disk.raw", 17 * MIB), sha256("out.raw", 17 * MIB), "what both cover")
	check(os.stat("out.raw").st_blocks * 512 < 47 * MIB, "the rest of the first one is looked at")


@case
def damaged_table():
	need_fuse()
	full("fs", 20 * MIB)
	table("disk.raw", "gpt", ("fs",))
	size = os.path.getsize("disk.raw")
	write_file("disk.raw", b"damage", 512 + 40)
	write_file("disk.raw", b"damage", size - 512 + 40)
	r = done("convert", "--used-only", "disk.raw", "out.raw")
	same_bytes("disk.raw", "out.raw")
	check("damaged" in r.err, "stderr: %r" % r.err)


# ---------------------------------------------------------------- not at rest

def ext_debugfs(*words):
	return lambda p: (make_ext(p, "ext4", tree("t", rng_for("t"), 3)), ran("debugfs", "-w", "-R", " ".join(words), p))


def ntfs_dirty(p):
	make_ntfs(p, tree("t", rng_for("t"), 3))
	with open(p, "r+b") as f:
		boot = f.read(512)
		mft, mirror = (lcn * boot[13] * 512 for lcn in struct.unpack_from("<QQ", boot, 0x30))
		f.seek(mft + 3 * 1024)
		record = bytearray(f.read(1024))
		at = struct.unpack_from("<H", record, 20)[0]
		while struct.unpack_from("<I", record, at)[0] != 0x70: # $VOLUME_INFORMATION
			at += struct.unpack_from("<I", record, at + 4)[0]
		record[at + struct.unpack_from("<H", record, at + 20)[0] + 10] |= 1
		for table in (mft, mirror):
			f.seek(table + 3 * 1024)
			f.write(record)


def ntfs_file(name, data):
	def maker(p):
		make_ntfs(p, tree("t", rng_for("t"), 3))
		write_file("special", data)
		ran("ntfscp", "-f", p, "special", name)
	return maker


def ntfs_log(client, flags):
	pages = bytearray(65536)
	for i, at in enumerate((0, 4096)):
		struct.pack_into("<4sHHQIIHHH", pages, at, b"RSTR", 0x1e, 9, 0, 4096, 4096, 0x30, 1, 1)
		struct.pack_into("<QHHHH", pages, at + 0x30, 100 + i, 1, 0xffff, client if i else 0xffff, flags if i else 2)
	return ntfs_file("$LogFile", bytes(pages))


def fat_dirty(p):
	make_fat(p, "16", tree("t", rng_for("t"), 3))
	with open(p, "r+b") as f:
		boot = f.read(512)
		f.seek(struct.unpack_from("<H", boot, 14)[0] * 512 + 3)
		b = f.read(1)[0]
		f.seek(-1, 1)
		f.write(bytes([b & 0x7f]))


RESTLESS = {
	"ext4, journal": ("ext4", "journal", False, ext_debugfs("feature", "needs_recovery")),
	"ext4, not unmounted": ("ext4", "not unmounted", False, ext_debugfs("ssv", "state", "0")),
	"ext4, errors": ("ext4", "errors", False, ext_debugfs("ssv", "state", "3")),
	"ntfs, dirty": ("ntfs", "not unmounted", True, ntfs_dirty),
	"ntfs, hibernated": ("ntfs", "hibernated", False, ntfs_file("hiberfil.sys", b"hibr" + bytes(8192))),
	"ntfs, log": ("ntfs", "log", False, ntfs_log(0, 0)),
	"vfat, dirty": ("vfat", "not unmounted", True, fat_dirty),
}


def not_at_rest(kind, word, slow, maker):
	need("partclone.extfs", "partclone.ntfs", "partclone.fat", "blkid")
	need_fuse()
	full("other", 4 * MIB)
	full("fs", 40 * MIB)
	maker("fs")
	table("disk.raw", "gpt", ("other",), ("fs",))
	# partclone waits three seconds before it ends in an error: once will do where it is asked.
	for args in (["convert", "--used-only", "disk.raw", "out.qcow2"], ["compact", "disk.raw"])[:1 if slow else 2]:
		declined(*args, mentions=["disk.raw: partition 2 (%s)" % kind, word])
	check(not os.path.exists("out.qcow2"), "no destination")
	done("convert", "disk.raw", "out.qcow2") # as it is, it can be copied
	vdisk("compare", "disk.raw", "out.qcow2")


for name, row in RESTLESS.items():
	add("not at rest: " + name, not_at_rest, *row)


@case
def ntfs_logs_at_rest():
	"""A log that Windows left clean, in either of the two ways."""
	need("partclone.ntfs")
	need_fuse()
	for client, flags in ((0xffff, 0), (0, 2)):
		full("fs", 40 * MIB)
		ntfs_log(client, flags)("fs")
		table("disk.raw", "gpt", ("fs",))
		done("convert", "--force", "--used-only", "disk.raw", "out.raw")
		check(os.stat("out.raw").st_blocks * 512 < 30 * MIB, "it is at rest")
		shutil.rmtree("t")


@case
def xfs_not_at_rest():
	need("xfs_io", "partclone.xfs", "blkid")
	need_fuse()
	full("fs", 304 * MIB)
	make_xfs("fs", tree("t", rng_for("t"), 3), lambda m: (write_file(m + "/new", b"new" * 100000), ran("xfs_io", "-x", "-c", "shutdown -f", m)))
	table("disk.raw", "gpt", ("fs",))
	declined("convert", "--used-only", "disk.raw", "out.qcow2", mentions=["partition 1 (xfs)", "log"])


# ---------------------------------------------------------------- logical volumes

@case
def logical_volumes():
	"""ext4 on a linear volume of two pieces, and on a striped one; a read-only volume stays whole."""
	need("lvm", "partclone.extfs", "blkid")
	need_fuse()
	if not ROOT:
		skip("lvm2's tools want devices")
	devices = []

	def lvm(*words):
		config = ('devices { filter=[%s"r|.*|"] use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }' %
		          "".join('"a|^%s$|",' % d for d in devices))
		return ran("lvm", words[0], "--driverloaded", "n", "-qq", "--config", config, *words[1:])
	with contextlib.ExitStack() as stack:
		for f in ("pv1", "pv2"):
			full(f, 96 * MIB)
			devices.append(stack.enter_context(loop(f)))
		lvm("pvcreate", *devices)
		lvm("vgcreate", "vg", *devices)
		for words in (("-n", "linear", "-L", "40M", "vg", devices[0]), ("-n", "striped", "-i2", "-I", "64k", "-L", "48M", "vg"),
		              ("-n", "fixed", "-L", "16M", "vg", devices[0])):
			lvm("lvcreate", "-an", "-Zn", "-Wn", *words)
		lvm("lvextend", "-L", "+24M", "vg/linear", devices[1])
	table("disk.raw", "gpt", ("pv1",), ("pv2",))
	os.unlink("pv1")
	os.unlink("pv2")
	sizes = {"linear": 64 * MIB, "striped": 48 * MIB, "fixed": 16 * MIB}
	with served("--rw", "disk.raw"):
		for name, size in sizes.items():
			full(name, size)
			make_ext(name, "ext4", tree("tree-" + name, rng_for(name), 8))
			ran("dd", "if=" + name, "of=m/volumes/vg/" + name, "bs=1M", "conv=notrunc,fsync", "status=none")
	o = done("convert", "--json", "--used-only", "disk.raw", "lean.qcow2").json()
	eq([("partition 1", "LVM2_member"), ("partition 2", "LVM2_member"), ("volume vg/fixed", "ext4"), ("volume vg/linear", "ext4"),
	    ("volume vg/striped", "ext4")], sorted((g["name"], g["type"]) for g in o["regions"]), "regions")
	with served("lean.qcow2"):
		for name, size in sizes.items():
			ran("cp", "m/volumes/vg/" + name, "judged")
			judge_ext("judged", "tree-" + name)
	free = sum(g["free"] for g in o["regions"])
	check(free > 100 * MIB and o["skipped"] > free * 9 // 10, "%d bytes are free, %d left out" % (free, o["skipped"]))
	same_outside_volumes = os.path.getsize("disk.raw") - sum(sizes.values())
	check(o["data"] >= same_outside_volumes, "what no volume covers is there: %r" % o)


# ---------------------------------------------------------------- manners

@case
def what_does_not_go():
	full("disk.raw", 2 * MIB)
	with open("disk.raw", "rb") as f:
		r = used("convert", "-f", "raw", "--used-only", "-O", "qcow2", "-", "out.qcow2", stdin=f)
	eq(2, r.rc, "from standard input")
	check("--used-only" in r.err, "stderr: %r" % r.err)
	vdisk("convert", "disk.raw", "a.qcow2")
	vdisk("create", "-b", "a.qcow2", "top.qcow2")
	for words in (["--snapshot", "x"], ["--open-opt", "snapshot=x"]):
		r = used("convert", "--used-only", *words, "a.qcow2", "out.qcow2")
		eq(2, r.rc, "with %s" % words)
		one_line(r)
	check(not os.path.exists("out.qcow2"), "no destination")


@case
def compact_zeros_only():
	make_raw("disk.raw", rng_for("zeros"), 32 * MIB)
	write_file("disk.raw", bytes(9 * MIB), 7 * MIB + 5000)
	for fmt in ("raw", "qcow2", "vmdk"):
		image = "z." + fmt
		qemu_img("convert", "-f", "raw", "-O", fmt, "-S", "0", "disk.raw", image)
		before = os.stat(image).st_blocks
		check(before * 512 >= 32 * MIB, "%s is full before: %d" % (image, before * 512))
		done("compact", "--zeros-only", "-q", image)
		after = os.stat(image).st_blocks
		check(after < before - 16 * MIB // 512, "%s takes %d blocks, took %d" % (image, after, before))
		same_as_raw("disk.raw", image, fmt)
	# A layer: what it hides stays hidden.
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "disk.raw", "base.qcow2")
	vdisk("create", "-b", "base.qcow2", "top.qcow2")
	qemu_io("top.qcow2", "qcow2", "write -P 0 0 8M", "write -P 7 20M 1M")
	want = vdisk("digest", "top.qcow2").out.split()[0]
	base = sha256("base.qcow2")
	done("compact", "--zeros-only", "top.qcow2")
	eq(want, vdisk("digest", "top.qcow2").out.split()[0], "content of the layer")
	eq(base, sha256("base.qcow2"), "the parent")
	check(os.stat("top.qcow2").st_blocks * 512 < 3 * MIB, "the layer's zeros are gone")


@case
def dry_run():
	need("partclone.extfs", "blkid")
	need_fuse()
	full("fs", 40 * MIB)
	make_ext("fs", "ext4", tree("t", rng_for("t"), 3))
	table("disk.raw", "gpt", ("fs",))
	before = sha256("disk.raw")
	o = done("compact", "--dry-run", "--json", "disk.raw").json()
	check(o["dry-run"] and o["regions"][0]["free"] > 20 * MIB, "told: %r" % o)
	done("convert", "--dry-run", "--used-only", "disk.raw", "out.qcow2")
	eq((before, False), (sha256("disk.raw"), os.path.exists("out.qcow2")), "nothing was changed")


main()

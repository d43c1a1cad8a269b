#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk capture as one file that carries its loader and libraries: in a root folder with nothing but busybox, and (long tier) in a Debian 11."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from receiver import *


def bundle():
	if not os.path.exists(os.path.join(BUILD, "vdisk-capture")) or not os.path.exists(os.path.join(BUILD, "vdisk-mount")):
		skip("the build has no vdisk-capture, or no vdisk-mount")
	ran("sh", os.path.join(SOURCE, "p2v", "capture", "bundle.sh"), BUILD, os.path.abspath("vdisk-capture.run"), timeout=300)
	return "vdisk-capture.run"


# In mounts of its own, which nobody else sees and which go with it: a /dev with what is wanted and no more.
INSIDE = """set -e
mount -t tmpfs -o mode=755 tmpfs "$0/dev"
mknod -m 666 "$0/dev/null" c 1 3
mknod -m 666 "$0/dev/urandom" c 1 9
mknod -m 666 "$0/dev/fuse" c 10 229
mount -t proc proc "$0/proc"
mount -t sysfs -o ro sysfs "$0/sys"
exec chroot "$0" "$@"
"""


def inside(root, *words, **kw):
	if os.geteuid():
		skip("wants root, for a chroot")
	for what in ("proc", "sys", "dev", "tmp"):
		os.makedirs(os.path.join(root, what), exist_ok=True)
	return ran("unshare", "--mount", "--propagation", "slave", "sh", "-c", INSIDE, os.path.abspath(root), *words, env={"TMPDIR": "/tmp"}, **kw)


def captures_there(root):
	need("mke2fs", "partclone.extfs")
	rng = rng_for("bundle")
	os.mkdir("tree")
	for i in range(3):
		write_file("tree/f%d" % i, rng.randbytes(300 * KIB))
	with open("disk", "wb") as f: # old data in free space
		f.write(rng.randbytes(32 * MIB))
	ran("mke2fs", "-q", "-F", "-t", "ext4", "-E", "nodiscard", "-d", "tree", "disk", "32M")
	for name in ("disk", "vdisk-capture.run"):
		shutil.copy(name, root)
	with receiver() as s:
		r = inside(root, "/vdisk-capture.run", *s.words(), "--json", "/disk").json()
		check(r["disks"][0]["skipped"] > 20 * MIB, "its programs did not tell which blocks are free: %r" % r)
		ran("qemu-img", "convert", "-O", "raw", os.path.join(s.folder(), "disk.qcow2"), "back")
		ran("e2fsck", "-fn", "back")
		for i in range(3):
			ran("debugfs", "-R", "dump f%d file" % i, "back")
			same_bytes("tree/f%d" % i, "file")
	r = inside(root, "/vdisk-capture.run", "--list")
	check("CPU" in r.out, "the list: %s" % r.show())
	# Its own folder goes when it has ended.
	end = time.monotonic() + 60
	while os.listdir(os.path.join(root, "tmp")):
		check(time.monotonic() < end, "left behind: %r" % os.listdir(os.path.join(root, "tmp")))
		time.sleep(0.1)


def receiver(*args, **kw):
	return Receiver(*args, token=TOKEN, **kw)


@case
def without_any_libc():
	need("busybox")
	if run("ldd", shutil.which("busybox")).rc == 0:
		skip("busybox is not the static one")
	bundle()
	os.makedirs("root/bin")
	shutil.copy(shutil.which("busybox"), "root/bin/busybox")
	for name in ("sh", "tail", "gzip", "tar", "mkdir", "rm", "sleep", "kill"):
		os.symlink("busybox", "root/bin/" + name)
	captures_there("root")


@case
def debian_11():
	if not ALL:
		skip("long tier")
	need("mmdebstrap")
	r = run("mmdebstrap", "--variant=essential", "bullseye", "root", "http://deb.debian.org/debian", timeout=900)
	if r.rc:
		skip("no Debian 11 to be had: %s" % r.err.strip().splitlines()[-1:])
	check("11" in open("root/etc/debian_version").read(), "its version")
	bundle()
	captures_there("root")


main()

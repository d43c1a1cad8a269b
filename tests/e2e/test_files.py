#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk mount --files: the tree that comes out is the tree that the disk was made of.  What starts libguestfs's appliance is in the long tier."""
import contextlib, os, signal, stat, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guestdisks import *

if not os.path.exists(os.path.join(BUILD, "vdisk-files")):
	print("SKIP: this build has no vdisk-files")
	sys.exit(77)
NO_GUESTFS = {"LIBGUESTFS_PATH": "/nonsense"} # so that what is sent to libguestfs fails at once


def make_tree(folder, rng, files=60, links=True):
	"""A system's root, as far as anybody looks."""
	for d in ("etc", "usr/lib", "var/deep/er/est", "home/with space", "boot", "bin", "empty"):
		os.makedirs(os.path.join(folder, d))
	write_file(folder + "/etc/fstab", b"/dev/sda2 / auto defaults 0 1\n")
	write_file(folder + "/etc/os-release", b'ID=debian\nNAME="Debian"\nVERSION_ID="12"\nPRETTY_NAME="Test"\n')
	for i in range(files):
		where = rng.choice(("usr/lib", "var/deep/er/est", "home/with space", "etc"))
		data = rng.randbytes(rng.choice((0, 1, 4096, rng.randrange(1, 200000))))
		# mke2fs -d makes a hole of zeros, and GRUB 2.06 cannot read a file of ext4 that is one hole.
		write_file("%s/%s/file%d" % (folder, where, i), data if any(data) else b"x" * len(data))
	if links:
		os.symlink("../../etc/os-release", folder + "/usr/lib/link")
	return folder


def make_fs(kind, tree, path, mib=40):
	with open(path, "wb") as f:
		f.truncate(mib * MIB)
	if kind == "ext4":
		need("mke2fs")
		ran("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, path)
	elif kind == "btrfs":
		need("mkfs.btrfs")
		os.truncate(path, 128 * MIB)
		ran("mkfs.btrfs", "-q", "--rootdir", tree, path)
	elif kind == "vfat":
		need("mkfs.vfat", "mcopy")
		ran("mkfs.vfat", path)
		ran("sh", "-c", 'mcopy -s -i "$0" "$1"/* ::', path, tree)
	elif kind == "xfs":
		need("mkfs.xfs")
		os.truncate(path, 320 * MIB)
		ran("mkfs.xfs", "-q", path)
		with looped(path):
			ran("cp", "-a", tree + "/.", "loop")
	return path


def listing(folder, deep=False):
	"""path -> content's digest (a link's: of what it leads to; `deep`: its target, and owner, mode, times)."""
	out = {}
	for base, folders, files in os.walk(folder):
		folders[:] = [d for d in folders if d != "lost+found"]
		for name in folders + files:
			path = os.path.join(base, name)
			key = os.path.relpath(path, folder)
			st = os.lstat(path)
			if os.path.isdir(path) and not os.path.islink(path):
				what = "folder"
			elif deep and os.path.islink(path):
				what = os.readlink(path)
			else:
				what = sha256(path)
			out[key] = (what, st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode) if not os.path.islink(path) else 0,
			            int(st.st_mtime)) if deep else what
	return out


def same_tree(a, b, deep=False):
	x, y = listing(a, deep), listing(b, deep)
	wrong = sorted(k for k in set(x) | set(y) if x.get(k) != y.get(k))
	eq([], [(k, x.get(k), y.get(k)) for k in wrong[:5]], "paths (of the tree, of the mount) that differ, %d in all" % len(wrong))
	check(len(x) > 20, "the tree is too small to tell")


def processes():
	"""Those of ours that serve a mount of this folder."""
	found = {}
	for p in os.listdir("/proc"):
		with contextlib.suppress(OSError):
			if p.isdigit():
				name = os.path.basename(os.readlink("/proc/%s/exe" % p))
				line = open("/proc/%s/cmdline" % p).read().split("\0")
				if name in ("grub-mount", "vdisk-mount", "vdisk-files") and \
				   (os.getcwd() == os.readlink("/proc/%s/cwd" % p) or any(a.startswith(os.path.abspath("tmp")) for a in line)):
					found[int(p)] = name
	return found


def settle(due, what, got):
	end = time.monotonic() + 60
	while got() != due and time.monotonic() < end:
		time.sleep(0.02)
	eq(due, got(), what)


@contextlib.contextmanager
def served(*args, files="--files=quick", timeout=400, warns=None):
	if not os.path.exists("/dev/fuse"):
		skip("no /dev/fuse")
	if files == "--files=quick":
		need("grub-mount", "grub-fstest")
	os.makedirs("m", exist_ok=True)
	os.makedirs("tmp", exist_ok=True)
	r = run(VDISK, "mount", files, *args, "m", timeout=timeout, env={"TMPDIR": os.path.abspath("tmp")})
	if r.rc:
		fail("does not mount\n    %s" % r.show())
	eq(warns or "", r.err, "warnings") if warns is None else check(warns in r.err, "a warning of %r is due\n    %s" % (warns, r.show()))
	try:
		yield "m"
	finally:
		vdisk("unmount", "m")
		check(not os.path.ismount("m"), "still mounted")
		settle({}, "processes left", processes)
		settle([], "files left in TMPDIR", lambda: [n for n in os.listdir("tmp") if not n.startswith(".guestfs-")]) # libguestfs's cache


def quick(fmt, fs="ext4"):
	make_fs(fs, make_tree("tree", rng_for("quick"), links=fs != "vfat"), "part.img")
	make_disk("disk.raw", None, "part.img")
	image = "disk.raw"
	if fmt != "raw":
		image = "disk." + fmt
		vdisk("convert", "disk.raw", image)
	before = sha256(image)
	with served(image):
		same_tree("tree", "m")
		with contextlib.suppress(OSError):
			open("m/etc/new", "w")
			fail("a file was made")
	eq(before, sha256(image), "the image is unchanged")


@case
def quick_idle():
	"""A handle, or somebody who looks again and again, keeps it; then it goes by itself."""
	make_fs("ext4", make_tree("tree", rng_for("idle"), 5), "disk.raw")
	need("grub-mount", "grub-fstest")
	os.makedirs("m")
	vdisk("mount", "--files=quick", "--idle-timeout", "3", "disk.raw", "m")
	last, begin = time.monotonic(), time.monotonic()
	while time.monotonic() < begin + 4 and time.monotonic() < last + 1: # unless this machine lets us look too seldom
		last = time.monotonic()
		check(os.path.exists("m/etc"), "it is gone %.1f s after the mount, %.1f s after a look" % (last - begin, time.monotonic() - last))
		time.sleep(0.2)
	if time.monotonic() < last + 1:
		with open("m/etc/fstab", "rb"):
			time.sleep(4)
			check(os.path.exists("m/etc"), "it is gone while a file is open")
	here = " %s " % os.path.realpath("m")
	settle(False, "still mounted when idle", lambda: here in open("/proc/self/mounts").read()) # to ask the mount itself would be a look
	settle({}, "processes left", processes)
	refused("mount", "--files=quick", "--idle-timeout", "0", "disk.raw", "m", mentions="--idle-timeout")


for f in ("raw", "qcow2", "vmdk", "vhd"):
	add("quick " + f, quick, f)
for f in ("btrfs", "xfs", "vfat"):
	add("quick qcow2 " + f, quick, "qcow2", f)


@case
def quick_finds_the_root():
	"""Several file systems, one of them with a system on it; several systems; none; no table at all."""
	rng = rng_for("root")
	make_fs("ext4", make_tree("tree", rng), "root.img")
	os.makedirs("data/x")
	write_file("data/x/y", b"data")
	make_fs("ext4", "data", "data.img", 8)
	make_fs("vfat", "data", "esp.img", 36)
	make_disk("disk.raw", "esp.img", "data.img", "root.img", None, label="dos")
	with served("disk.raw"):
		same_tree("tree", "m")
	with served("--root", "/dev/sda2", "disk.raw"):
		eq(b"data", open("m/x/y", "rb").read(), "the partition that was asked for")
	make_disk("two.raw", "root.img", "root.img")
	refused("mount", "--files=quick", "two.raw", "m", mentions=("/dev/sda1, /dev/sda2", "--root"))
	make_disk("none.raw", "data.img", "data.img")
	sent_on("none.raw", "several file systems")
	with served("root.img"):
		same_tree("tree", "m")
	refused("mount", "--files=quick", "--root", "/dev/sda9", "disk.raw", "m", mentions="/dev/sda9")


@case
def quick_volume():
	need("lvm")
	make_fs("ext4", make_tree("tree", rng_for("volume")), "root.img")
	with open("pv.img", "wb") as f:
		f.truncate(64 * MIB)
	dev = ran("losetup", "-f", "--show", "pv.img") if run("losetup", "-f").rc == 0 else skip("no loop devices")
	loop = dev.out.strip()
	try:
		config = 'devices { filter=["a|%s$|","r|.*|"] use_devicesfile=0 } global { use_lvmpolld=0 event_activation=0 } backup { backup=0 archive=0 }' % loop
		for args in (("pvcreate", loop), ("vgcreate", "-s", "4M", "vg0", loop), ("lvcreate", "-an", "-Zn", "-Wn", "-y", "-L", "40M", "-n", "root", "vg0")):
			r = run("lvm", args[0], "--driverloaded", "n", "-qq", "--config", config, *args[1:], timeout=30)
			if r.rc:
				skip("no LVM here: " + r.err.strip()[:200])
		start = ran("lvm", "pvs", "--driverloaded", "n", "-qq", "--config", config, "--noheadings", "--units", "b", "-o", "pe_start", loop).out.strip().rstrip("B")
	finally:
		ran("losetup", "-d", loop)
	write_file("pv.img", open("root.img", "rb").read(), int(start))
	make_disk("disk.raw", None, "pv.img")
	with served("disk.raw"):
		same_tree("tree", "m")
	with served("--root", "/dev/vg0/root", "disk.raw"):
		same_tree("tree", "m")


def sent_on(image, why, *args):
	"""It is named why GRUB's readers will not do, and libguestfs is tried."""
	os.makedirs("m", exist_ok=True)
	r = run(VDISK, "mount", "--files=quick", *args, image, "m", env=NO_GUESTFS)
	eq(2, r.rc, "libguestfs cannot work here\n    " + r.show())
	lines = r.err.splitlines()
	check(len(lines) == 2 and why in lines[0] and "libguestfs" in lines[0] and "appliance does not start" in lines[1], "the reason (%s) is to be named\n    %s" %
	      (why, r.show()))


@case
def quick_sends_on_what_is_stale_or_locked():
	need("debugfs", "cryptsetup", "grub-mount")
	os.makedirs("data")
	write_file("data/file", b"x" * 5000)
	make_fs("ext4", "data", "fs.img", 8)
	ran("debugfs", "-w", "-R", "feature needs_recovery", "fs.img")
	sent_on("fs.img", "journal is dirty")
	make_disk("disk.raw", None, "fs.img")
	vdisk("convert", "disk.raw", "disk.vmdk")
	sent_on("disk.vmdk", "/dev/sda2: its journal is dirty")
	write_file("key", b"secret")
	for options, why in ((("--type", "luks2", "--pbkdf", "argon2id", "--pbkdf-memory", "32768", "--pbkdf-force-iterations", "4"), "argon2id"),
	                     (("--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"), "(LUKS2)"),
	                     (("--type", "luks1", "--pbkdf-force-iterations", "1000"), "(LUKS1)")):
		with open("luks.img", "wb") as f:
			f.truncate(32 * MIB)
		ran("cryptsetup", "-q", "luksFormat", *options, "luks.img", "key")
		sent_on("luks.img", why)


@case
def quick_sends_on_xfs_with_a_dirty_log():
	need("mkfs.xfs", "xfs_io")
	make_tree("tree", rng_for("xfs"), 200)
	make_fs("xfs", "tree", "fs.img")
	with served("fs.img"): # clean
		pass
	with looped("fs.img"):
		ran("cp", "-a", "tree", "loop/more")
		ran("sync", "-f", "loop")
		write_file("loop/last", b"x" * 100)
		ran("xfs_io", "-x", "-c", "shutdown -f", "loop")
	sent_on("fs.img", "log is dirty")
	with looped("fs.img"): # replays it
		pass
	with served("fs.img"):
		eq(listing("tree"), listing("m/more"), "the tree after the replay")
	with looped("fs.img"): # round the log more than once
		for i in range(6):
			ran("cp", "-a", "tree", "loop/round%d" % i)
			ran("rm", "-r", "loop/round%d" % i)
	with served("fs.img"):
		same_tree("tree", "m/more")


@case
def quick_sends_on_btrfs_and_ntfs_that_are_not_clean():
	need("mkfs.ntfs")
	with open("ntfs.img", "wb") as f:
		f.truncate(16 * MIB)
	ran("mkfs.ntfs", "-q", "-F", "-f", "ntfs.img")
	with served("ntfs.img"):
		pass
	data = open("ntfs.img", "rb").read()
	cluster = int.from_bytes(data[11:13], "little") * data[13]
	record = int.from_bytes(data[48:56], "little") * cluster + 3 * 1024
	at = record + int.from_bytes(data[record + 20:record + 22], "little")
	while int.from_bytes(data[at:at + 4], "little") != 0x70:
		at += int.from_bytes(data[at + 4:at + 8], "little")
	flags = at + int.from_bytes(data[at + 20:at + 22], "little") + 10
	write_file("ntfs.img", bytes([data[flags] | 1]), flags)
	sent_on("ntfs.img", "marked dirty")


@case
def quick_reader_is_confined():
	if os.geteuid():
		skip("the filter is for root")
	make_fs("ext4", make_tree("tree", rng_for("confined"), 5), "fs.img")
	with served("fs.img"):
		reader = [p for p, name in processes().items() if name == "grub-mount"]
		eq(1, len(reader), "readers")
		facts = dict(l.rstrip("\n").split(":\t", 1) for l in open("/proc/%d/status" % reader[0]) if ":\t" in l)
		eq("2", facts["Seccomp"], "its filter of system calls")
		limits = {l[:26].strip(): l[26:].split()[0] for l in open("/proc/%d/limits" % reader[0])}
		eq(["0", str(2 << 30), "64"], [limits["Max file size"], limits["Max address space"], limits["Max open files"]], "its limits")


@case
def quick_ends_by_signals():
	make_fs("ext4", make_tree("tree", rng_for("signals"), 5), "fs.img")
	with served("fs.img"):
		main = [p for p, name in processes().items() if name == "vdisk-files"]
		os.kill(main[0], signal.SIGTERM)
		settle(False, "still mounted after SIGTERM", lambda: os.path.ismount("m"))
		settle({}, "processes left", processes)
		run(VDISK, "mount", "--files=quick", "fs.img", "m") # for served() to unmount
	run(VDISK, "mount", "--files=quick", "fs.img", "m")
	main = [p for p, name in processes().items() if name == "vdisk-files"]
	os.kill(main[0], signal.SIGKILL)
	vdisk("unmount", "m")
	settle({}, "processes left after kill -9", processes)


@case
def refusals():
	os.makedirs("m")
	write_file("x.raw", bytes(MIB))
	refused("mount", "--files=slow", "x.raw", "m", mentions="slow")
	refused("mount", "--files=quick", "--rw", "x.raw", "m", mentions="--rw")
	refused("mount", "--files", "--rw", "--overlay", "tmp", "x.raw", "m")
	refused("mount", "--files=quick", "x.raw", "nowhere", mentions="nowhere")
	refused("mount", "--files=quick", "x.raw", "m", mentions="no file system")
	refused("mount", "--files=quick", "missing.raw", "m")
	refused("mount", "--files", "missing.raw", "m", mentions="missing.raw")
	write_file("short.qcow2", b"QFI\xfb\0\0\0\3")
	refused("mount", "--files", "short.qcow2", "m")
	eq({}, processes(), "processes left")


# ---------------------------------------------------------------- libguestfs

def with_guestfs(name):
	"""Registers a case of the long tier."""
	def register(fn):
		add("libguestfs " + name, lambda: fn() if ALL else skip("VDISK_ALL=1 runs it"))
		return fn
	return register


def true_tree():
	make_tree("tree", rng_for("true"), 80)
	os.chown("tree/etc/fstab", 1234, 5678)
	os.chmod("tree/etc/os-release", 0o4751)
	os.symlink("/etc/fstab", "tree/absolute")
	if shutil.which("setfattr"):
		ran("setfattr", "-n", "user.colour", "-v", "blue", "tree/etc/fstab")
	return "tree"


def apart():
	"""The appliance and the server of the mount are two sessions: two shares of a busy machine."""
	parents = {}
	for p in os.listdir("/proc"):
		with contextlib.suppress(OSError, ValueError):
			with open("/proc/%d/stat" % int(p)) as f:
				parents[int(p)] = int(f.read().rsplit(")", 1)[1].split()[1])
	ours = [p for p, name in processes().items() if name == "vdisk-files"]
	server = [p for p in ours if parents.get(p) not in ours] # the other one is libguestfs's, and clears up after a crash
	eq(1, len(server), "servers")
	children = [p for p in parents if parents[p] == server[0]]
	check(children, "the appliance is no child of the server")
	for p in children:
		check(os.getsid(p) != os.getsid(server[0]), "process %d is in the server's session" % p)
	check(os.getsid(server[0]) != os.getsid(0), "the server is in our session")


@with_guestfs("shows the tree as it is, from a chain")
def guestfs_tree():
	make_fs("ext4", true_tree(), "root.img")
	make_disk("disk.raw", None, "root.img")
	vdisk("convert", "disk.raw", "disk.vhd")
	vdisk("convert", "disk.raw", "base.qcow2")
	vdisk("create", "-b", "base.qcow2", "top.qcow2")
	for image in ("disk.vhd", "top.qcow2"):
		before = sha256(image)
		with served(image, files="--files"):
			apart()
			same_tree("tree", "m", deep=True)
			if shutil.which("setfattr"):
				eq(b"blue", os.getxattr("m/etc/fstab", "user.colour"), "an extended attribute")
			with contextlib.suppress(OSError):
				open("m/etc/new", "w")
				fail("a file was made")
		eq(before, sha256(image), "%s is unchanged" % image)


@with_guestfs("opens LUKS, with the right key only")
def guestfs_luks():
	make_fs("ext4", make_tree("tree", rng_for("luks"), 30), "root.img")
	write_file("key", b"correct horse\n")
	write_file("other", b"battery staple\n")
	qemu_img("convert", "-f", "raw", "-O", "luks", "--object", "secret,id=s,data=correct horse", "-o", "key-secret=s,iter-time=10", "root.img", "luks.img")
	os.truncate("luks.img", -(-os.path.getsize("luks.img") // MIB) * MIB)
	make_disk("disk.raw", None, "luks.img")
	vdisk("convert", "disk.raw", "disk.qcow2")
	os.makedirs("m")
	refused("mount", "--files", "disk.qcow2", "m", mentions=("encrypted", "--key-file"), seconds=400, timeout=400, memory=4 * GIB)
	refused("mount", "--files", "--key-file", "other", "disk.qcow2", "m", mentions="no key file opens it", seconds=400, timeout=400, memory=4 * GIB)
	with served("--key-file", "other", "--key-file", "key", "disk.qcow2", files="--files"):
		same_tree("tree", "m")
	with served("--key-file", "key", "disk.qcow2", warns="(LUKS1)"):
		same_tree("tree", "m")


@with_guestfs("writes into the image, or over it")
def guestfs_writes():
	make_fs("ext4", make_tree("tree", rng_for("write")), "root.img")
	make_disk("disk.raw", None, "root.img")
	vdisk("convert", "disk.raw", "disk.vmdk")
	before = sha256("disk.vmdk")
	new = rng_for("new").randbytes(3 * MIB + 17)
	for args in (("--overlay", "layer.qcow2"), ("--overlay", "tmp"), ("--rw",)):
		with served(*args, "disk.vmdk", files="--files"):
			os.makedirs("m/new/folder")
			write_file("m/new/folder/file", new)
			os.unlink("m/etc/os-release")
			os.chmod("m/etc/fstab", 0o600)
		image = "layer.qcow2" if args[1:] == ("layer.qcow2",) else "disk.vmdk"
		vdisk("convert", "--force", "-O", "raw", image, "after.raw")
		write_file("after.img", open("after.raw", "rb").read()[6144 * SECTOR:][:40 * MIB])
		if args[1:] == ("tmp",):
			eq(before, sha256("disk.vmdk"), "the image below a scratch layer")
			continue
		ran("e2fsck", "-fn", "after.img")
		got = ran("debugfs", "-R", "cat /new/folder/file", "after.img").raw
		check(got == new, "what was written is in %s" % image)
		check(b"os-release" not in ran("debugfs", "-R", "ls /etc", "after.img").raw, "what was deleted is gone")
		vdisk("check", image)


@with_guestfs("mounts nothing for who has given up")
def nobody_waits():
	make_fs("ext4", make_tree("tree", rng_for("given up"), 5), "fs.img")
	os.makedirs("m")
	with open("said", "wb") as said:
		p = subprocess.Popen([VDISK, "mount", "--files", "fs.img", "m"], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
	end = time.monotonic() + 60
	while not [pid for pid, name in processes().items() if name == "vdisk-files" and pid != p.pid] and time.monotonic() < end:
		time.sleep(0.02)
	p.kill()
	p.wait()
	end = time.monotonic() + 300 # the appliance starts first
	while processes() and time.monotonic() < end:
		check(not os.path.ismount("m"), "it is mounted")
		time.sleep(0.1)
	eq({}, processes(), "processes left")
	check(not os.path.ismount("m") and "who asked for the mount is gone" in open("said").read(), "what it said: %s" % open("said").read())


@with_guestfs("subvolumes of btrfs, and a disk without a system")
def guestfs_subvolumes():
	need("guestfish")
	make_tree("tree", rng_for("sub"), 30)
	ran("sh", "-c", "echo '/dev/sda1 / btrfs subvol=@ 0 0\n/dev/sda1 /home btrfs subvol=@home 0 0' > tree/etc/fstab")
	ran("tar", "-C", "tree", "--exclude=./home/*", "-cf", "root.tar", ".")
	ran("tar", "-C", "tree/home", "-cf", "home.tar", ".")
	with open("disk.raw", "wb") as f:
		f.truncate(256 * MIB)
	script = "run\npart-disk /dev/sda mbr\nmkfs btrfs /dev/sda1\nmount /dev/sda1 /\nbtrfs-subvolume-create /@\nbtrfs-subvolume-create /@home\n" \
	         "tar-in root.tar /@\ntar-in home.tar /@home\numount-all\n"
	env = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
	ran("guestfish", "--format=raw", "-a", "disk.raw", stdin=script.encode(), env=env, timeout=600)
	with served("disk.raw", files="--files"):
		same_tree("tree", "m")
	os.makedirs("data")
	write_file("data/one", b"1")
	make_fs("ext4", "data", "a.img", 8)
	make_fs("vfat", "data", "b.img", 36)
	make_disk("two.raw", "a.img", "b.img")
	with served("two.raw", files="--files"):
		eq(b"1", open("m/sda1/one", "rb").read(), "the first one")
		eq(b"1", open("m/sda2/one", "rb").read(), "the second one")


main()

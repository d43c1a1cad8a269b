#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk inspect: what it tells of disks that were made here, told apart from what other programs say of the same (blkid, lsinitramfs, libguestfs)."""
import contextlib, gzip, json, os, re, shutil, signal, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from guestdisks import *

INSPECT = os.path.join(BUILD, "vdisk-inspect")
if not os.path.exists(INSPECT):
	print("SKIP: this build has no vdisk-inspect")
	sys.exit(77)
RELEASE = "6.1.0-18-amd64"
NO_GUESTFS = {"LIBGUESTFS_PATH": "/nonsense"} # so that it fails at once
GUESTFS = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
UUID = "6f4a5f3c-52f4-4b8e-9d7e-2f1f6f0b7a11"


# ---------------------------------------------------------------- disks

def cpio(names):
	"""A newc archive of empty files with their folders."""
	out, made = b"", set()
	def member(name, mode, n):
		name = name.encode() + b"\0"
		head = b"070701" + b"".join(b"%08x" % v for v in (n, mode, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(name), 0)) + name
		return head + bytes(-len(head) % 4)
	for i, name in enumerate(names, 1):
		parts = name.split("/")
		for k in range(1, len(parts)):
			folder = "/".join(parts[:k])
			if folder not in made:
				made.add(folder)
				out += member(folder, 0o40755, 1000 + len(made))
		out += member(name, 0o100644, i)
	out += member("TRAILER!!!", 0, 0)
	return out + bytes(-len(out) % 512)


def put(folder, files):
	for name, text in files.items():
		path = os.path.join(folder, name)
		os.makedirs(os.path.dirname(path), exist_ok=True)
		write_file(path, text if isinstance(text, bytes) else text.encode())


def modules(*paths):
	return "".join("kernel/%s:\n" % p for p in paths).encode()


def make_debian(folder, fstab, boot="boot"):
	"""A Debian as an installer leaves it, as far as anybody looks.  `boot`: the folder in which /boot's files go."""
	drivers = ["drivers/ata/ahci.ko", "drivers/ata/ata_piix.ko", "drivers/scsi/sd_mod.ko", "drivers/block/virtio_blk.ko", "drivers/net/virtio_net.ko"]
	put(folder, {
		"etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
		"etc/fstab": "# a comment\n" + fstab,
		"etc/hostname": "old-server\n",
		"etc/network/interfaces": "auto lo eth0\niface lo inet loopback\niface eth0 inet static\n\taddress 192.0.2.5\n\tnetmask 255.255.255.0\n",
		"etc/udev/rules.d/70-persistent-net.rules": 'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:0C:29:AA:BB:CC", NAME="eth0"\n',
		"usr/bin/vmtoolsd": b"x", "usr/bin/true": b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0" + bytes(40),
		"usr/lib/systemd/systemd": b"systemd", "usr/sbin/mkinitramfs": b"x", "var/lib/dpkg/status": b"",
		"usr/lib/modules/%s/modules.dep" % RELEASE: modules(*drivers),
		"usr/lib/modules/%s/modules.builtin" % RELEASE: b"kernel/drivers/scsi/scsi_mod.ko\n",
		boot + "/vmlinuz-" + RELEASE: b"kernel" * 100,
		boot + "/grub/i386-pc/core.img": b"x",
		boot + "/initrd.img-" + RELEASE: gzip.compress(cpio(["conf/initramfs.conf", "scripts/local", "init"] +
			["usr/lib/modules/%s/kernel/%s" % (RELEASE, d) for d in drivers[:3]]), mtime=0),
		boot + "/grub/grub.cfg": "set default=\"0\"\nmenuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {\n"
			"\tsearch --no-floppy --fs-uuid --set=root %s\n\tlinux\t%s/vmlinuz-%s root=/dev/sda1 ro\n\tinitrd %s/initrd.img-%s\n}\n" %
			(UUID, "/boot" if boot == "boot" else "", RELEASE, "/boot" if boot == "boot" else "", RELEASE),
	})
	if not os.path.lexists(folder + "/lib"):
		os.makedirs(folder + "/sbin", exist_ok=True)
		os.symlink("usr/lib", folder + "/lib")
		os.symlink("/lib/systemd/systemd", folder + "/sbin/init")
		os.symlink("loop", folder + "/loop")
	return folder


def make_ext4(tree, path, mib=40, uuid=None, label=""):
	need("mke2fs")
	with open(path, "wb") as f:
		f.truncate(mib * MIB)
	ran("mke2fs", "-q", "-F", "-t", "ext4", "-L", label, *(("-U", uuid) if uuid else ()), *(("-d", tree) if tree else ()), path)
	return path


# ---------------------------------------------------------------- asking

def left():
	"""What a run leaves: files in TMPDIR, mounts below it, processes."""
	found = os.listdir("tmp") + [l for l in open("/proc/mounts") if os.path.abspath("tmp") in l]
	for p in os.listdir("/proc"):
		with contextlib.suppress(OSError):
			if p.isdigit():
				line = open("/proc/%s/cmdline" % p).read()
				if os.path.abspath("tmp") in line:
					found.append(line.replace("\0", " "))
	return found


def settle(due, what, got):
	end = time.monotonic() + 60
	while got() != due and time.monotonic() < end:
		time.sleep(0.02)
	eq(due, got(), what)


def asked(*args, rc=0, env=None, need_fuse=True):
	if need_fuse and not os.path.exists("/dev/fuse"):
		skip("no /dev/fuse")
	need("grub-fstest", "grub-mount")
	os.makedirs("tmp", exist_ok=True)
	r = run(VDISK, "inspect", *args, env={"TMPDIR": os.path.abspath("tmp"), **(env or {})}, timeout=800)
	if r.rc != rc:
		fail("exit status %d is due\n    %s" % (rc, r.show()))
	settle([], "left behind", left)
	return r


def told(*args, rc=0, **kw):
	r = asked("--json", *args, rc=rc, **kw)
	eq("", r.err, "standard error")
	o = json.loads(r.out)
	eq(1, o["schema-version"], "schema")
	return o


def one_system(o):
	eq(1, len(o["systems"]), "systems")
	return o["systems"][0]


def places(s):
	return {m["mount"] or "swap": (m["where"], m["fstab"], m["named-by"]) for m in s["mounts"]}


def debian_told(s, **due):
	"""What make_debian() made."""
	eq(("linux", "debian", "Debian GNU/Linux 12 (bookworm)", "12", "x86_64", "old-server", "systemd", "deb", "initramfs-tools"),
	   tuple(s[k] for k in ("kind", "os", "product", "version", "arch", "hostname", "init", "package-format", "initramfs-tool")), "the system")
	eq([{"release": RELEASE, "path": "/boot/vmlinuz-" + RELEASE, "initramfs": "/boot/initrd.img-" + RELEASE,
	     "modules": "/usr/lib/modules/" + RELEASE, "default": True, "installed": True, "storage": ["ahci", "ata_piix", "scsi_mod", "sd_mod"],
	     "network": []}], s["kernels"], "kernels")
	eq((["grub2"], "/boot/grub/grub.cfg"), (s["boot-loaders"], s["boot-loader-config"]), "boot loader")
	eq([{"name": "eth0", "mac": "00:0c:29:aa:bb:cc", "driver": None, "addresses": ["192.0.2.5/24"], "source": "/etc/network/interfaces"}], s["nics"], "NICs")
	eq([{"name": "open-vm-tools", "of": "vmware", "source": "/usr/bin/vmtoolsd"}], s["agents"], "agents")
	for k, v in due.items():
		eq(v, s[k.replace("_", "-")], k)


def debian_disk(path="disk.raw"):
	"""/boot, swap and / in partitions, each named in another way."""
	need("mkswap")
	make_debian("tree", "UUID=%s / ext4 errors=remount-ro 0 1\n/dev/sda1 /boot ext4 defaults 0 2\nLABEL=swapping none swap sw 0 0\n"
	            "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n" % UUID, boot="../booted")
	os.makedirs("tree/boot", exist_ok=True)
	make_ext4("booted", "boot.img", 16, label="boots")
	make_ext4("tree", "root.img", uuid=UUID, label="the root")
	with open("swap.img", "wb") as f:
		f.truncate(4 * MIB)
	ran("mkswap", "-L", "swapping", "swap.img")
	make_disk(path, "boot.img", "swap.img", "root.img", types=("83", "82", "83"), label="dos")
	return path


# ---------------------------------------------------------------- cases

def a_debian(fmt):
	image = debian_disk()
	if fmt != "raw":
		image = "disk." + fmt
		vdisk("convert", "disk.raw", image)
	before = sha256(image)
	o = told(image)
	s = one_system(o)
	debian_told(s, root="partitions/3", root_disk=0, root_folder="/", esp=None, remarks=[])
	eq({"/": ("partitions/3", "UUID=" + UUID, "uuid"), "/boot": ("partitions/1", "/dev/sda1", "device"), "swap": ("partitions/2", "LABEL=swapping", "label")},
	   places(s), "mounts")
	for fs, name in zip(o["filesystems"], ("boot.img", "swap.img", "root.img")):
		r = dict(l.split("=", 1) for l in ran("blkid", "-p", "-o", "export", name).out.splitlines() if "=" in l)
		eq((r.get("TYPE"), r.get("UUID"), r.get("LABEL", "").replace("\\ ", " "), None, None),
		   tuple(fs[k] for k in ("type", "uuid", "label", "doubt", "closed")), "%s, by blkid" % name)
	eq((image, fmt, "mbr"), tuple(o["disks"][0][k] for k in ("path", "format", "partition-table")), "the disk")
	eq(before, sha256(image), "the image is unchanged")
	text = asked(image).out
	for due in ("Debian GNU/Linux 12 (bookworm), x86_64, host old-server", "ahci ata_piix sd_mod", "tied to 00:0c:29:aa:bb:cc", "open-vm-tools (vmware)"):
		check(due in text, "%r is due in\n%s" % (due, text))


for f in ("raw", "qcow2", "vmdk", "vhd"):
	add("a Debian, " + f, a_debian, f)


@case
def without_fuse():
	"""The same answer by grub-fstest alone, over the raw disk and over a copy of another format's."""
	debian_disk()
	vdisk("convert", "-c", "disk.raw", "disk.qcow2")
	due = told("disk.raw") if os.path.exists("/dev/fuse") else None
	for image in ("disk.raw", "disk.qcow2"):
		got = told("--no-mount", image, need_fuse=False)
		check(any("without FUSE" in r for r in got["remarks"]), "it says so: %r" % got["remarks"])
		debian_told(one_system(got))
		if due:
			eq((due["filesystems"], due["systems"]), (got["filesystems"], got["systems"]), "with and without FUSE")


@case
def separate_usr():
	"""Links lead from the root into /usr, which GRUB's reader of the root cannot follow."""
	make_debian("tree", "/dev/hda2 / ext3 defaults 0 1\n/dev/disk/by-id/ata-WDC_WD800-part1 /usr ext4 defaults 0 2\n")
	os.rename("tree/etc/os-release", "tree/usr/lib/os-release")
	os.symlink("../usr/lib/os-release", "tree/etc/os-release")
	os.rename("tree/usr", "user")
	os.makedirs("tree/usr")
	make_ext4("user", "usr.img", 16)
	make_ext4("tree", "root.img")
	s = one_system(told(make_disk("disk.raw", "usr.img", "root.img", label="dos")))
	debian_told(s, root="partitions/2")
	eq({"/": ("partitions/2", "/dev/hda2", "device"), "/usr": ("partitions/1", "/dev/disk/by-id/ata-WDC_WD800-part1", "link")}, places(s), "mounts")


@case
def uefi_and_a_fallback():
	"""An EFI system partition that only NVRAM leads to, and one with a fallback; a GPT."""
	need("mkfs.vfat", "mcopy", "mmd")
	make_debian("tree", "PARTLABEL=rooty / ext4 defaults 0 1\n/dev/disk/by-uuid/ABCD-1234 /boot/efi vfat umask=0077 0 1\n")
	make_ext4("tree", "root.img")
	for fallback in (False, True):
		with open("esp.img", "wb") as f:
			f.truncate(34 * MIB)
		ran("mkfs.vfat", "-i", "ABCD1234", "esp.img")
		write_file("x.efi", b"MZ")
		ran("mmd", "-i", "esp.img", "::EFI", "::EFI/debian", "::EFI/Boot")
		ran("mcopy", "-i", "esp.img", "x.efi", "::EFI/debian/shimx64.efi")
		if fallback:
			ran("mcopy", "-i", "esp.img", "x.efi", "::EFI/Boot/bootx64.efi")
		make_disk("disk.raw", "esp.img", "root.img", label="gpt", types=("uefi", "linux"))
		ran("sfdisk", "-q", "--part-label", "disk.raw", "2", "rooty")
		s = one_system(told("disk.raw"))
		eq({"bios": False, "uefi": True, "uefi-fallback": fallback}, s["firmware"], "firmware")
		eq("/boot/efi", s["esp"], "where the ESP is mounted")
		eq({"/": ("partitions/2", "PARTLABEL=rooty", "partlabel"), "/boot/efi": ("partitions/1", "/dev/disk/by-uuid/ABCD-1234", "uuid")}, places(s), "mounts")


@case
def subvolumes():
	"""btrfs: GRUB sees subvolumes as folders; the root is one of them, /home another."""
	need("mkfs.btrfs", "btrfs")
	with open("root.img", "wb") as f:
		f.truncate(128 * MIB)
	ran("mkfs.btrfs", "-q", "-U", UUID, "root.img")
	with looped("root.img"):
		for name in ("@", "@home", "@boot"):
			ran("btrfs", "-q", "subvolume", "create", "loop/" + name)
		make_debian("loop/@", "UUID=%s / btrfs subvol=@ 0 0\nUUID=%s /home btrfs defaults,subvol=/@home 0 0\n/dev/sda1 /boot btrfs subvol=@boot 0 0\n" % (UUID, UUID),
		            boot="../@boot")
		os.makedirs("loop/@/boot")
		os.makedirs("loop/@/home")
	make_disk("disk.raw", "root.img", label="dos")
	s = one_system(told("disk.raw"))
	debian_told(s, root="partitions/1", root_folder="/@")
	eq({"/": "@", "/home": "/@home", "/boot": "@boot"}, {m["mount"]: m["subvolume"] for m in s["mounts"]}, "subvolumes")


@case
def snapshots_of_snapper():
	"""SUSE's layout: the root is a snapshot, that which btrfs mounts by default."""
	need("mkfs.btrfs", "btrfs")
	with open("root.img", "wb") as f:
		f.truncate(128 * MIB)
	ran("mkfs.btrfs", "-q", "-U", UUID, "root.img")
	with looped("root.img"):
		for name in ("@", "@/var", "@/.snapshots"):
			ran("btrfs", "-q", "subvolume", "create", "loop/" + name)
		for n in (1, 2):
			os.makedirs("loop/@/.snapshots/%d" % n)
			if n == 1:
				ran("btrfs", "-q", "subvolume", "create", "loop/@/.snapshots/1/snapshot")
				make_debian("loop/@/.snapshots/1/snapshot", "UUID=%s / btrfs defaults 0 0\nUUID=%s /var btrfs subvol=/@/var 0 0\n" % (UUID, UUID))
			else:
				ran("btrfs", "-q", "subvolume", "snapshot", "-r", "loop/@/.snapshots/1/snapshot", "loop/@/.snapshots/2/snapshot")
		ran("cp", "-r", "loop/@/.snapshots/1/snapshot/var/.", "loop/@/var/")
		ran("rm", "-r", "loop/@/.snapshots/1/snapshot/var/lib")
	make_disk("disk.raw", "root.img", label="dos")
	s = one_system(told("disk.raw"))
	debian_told(s, root_folder="/@/.snapshots/1/snapshot")
	check(any("of 2 snapshots" in r and "number 1 " in r for r in s["remarks"]), "a remark: %r" % s["remarks"])


def volume_group(images, lvs):
	"""A volume group over those files, and where the extents of each volume begin: [(name, file, byte)].  LVM's own programs make it."""
	need("lvm")
	loops = []
	try:
		for image in images:
			r = run("losetup", "-f", "--show", image)
			if r.rc:
				skip("no loop devices")
			loops.append(r.out.strip())
		config = 'devices { filter=[%s,"r|.*|"] use_devicesfile=0 } global { use_lvmpolld=0 event_activation=0 } backup { backup=0 archive=0 }' % \
			",".join('"a|%s$|"' % l for l in loops)
		def lvm(command, *args):
			r = run("lvm", command, "--driverloaded", "n", "-qq", "--config", config, *args, timeout=60)
			if r.rc:
				skip("no LVM here: " + r.err.strip()[:200])
			return r.out
		for l in loops:
			lvm("pvcreate", l)
		lvm("vgcreate", "-s", "4M", "vg-0", *loops)
		for name, mib in lvs:
			lvm("lvcreate", "-an", "-Zn", "-Wn", "-y", "-L", "%dM" % mib, "-n", name, "vg-0")
		where, start = [], {}
		for line in lvm("pvs", "--noheadings", "--units", "b", "--separator", " ", "-o", "pv_name,pe_start").splitlines():
			start[line.split()[0]] = int(line.split()[1].rstrip("B"))
		for line in lvm("lvs", "--noheadings", "--units", "b", "--separator", " ", "-o", "lv_name,seg_start,seg_size,devices").splitlines():
			name, at, size, device = line.split()
			dev, extent = device.rstrip(")").split("(")
			where.append((name, images[loops.index(dev)], start[dev] + int(extent) * 4 * MIB, int(at.rstrip("B")), int(size.rstrip("B"))))
		return where
	finally:
		for l in loops:
			ran("losetup", "-d", l)


@case
def volumes():
	"""LVM on one disk; and a root that lies on two disks, which vdisk-mount cannot show and GRUB can."""
	make_debian("tree", "/dev/mapper/vg--0-root--fs / ext4 defaults 0 1\n/dev/vg-0/data /data ext4 defaults 0 1\n")
	make_ext4("tree", "root.img")
	make_ext4(None, "data.img", 16)
	for sizes in ((100,), (24, 60)):
		names = ["pv%d.img" % i for i in range(len(sizes))]
		for name, mib in zip(names, sizes):
			with open(name, "wb") as f:
				f.truncate(mib * MIB)
		for name, image, to, at, n in volume_group(names, (("data", 16), ("root-fs", 40))):
			with open("root.img" if name == "root-fs" else "data.img", "rb") as f:
				f.seek(at)
				write_file(image, f.read(n), to)
		disks = [make_disk("disk%d.raw" % i, name, types=("8e",), label="dos") for i, name in enumerate(names)]
		for extra in ((), ("--no-mount",)):
			o = told(*extra, *disks)
			s = one_system(o)
			debian_told(s, root="volumes/vg-0/root-fs")
			eq({"/": ("volumes/vg-0/root-fs", "/dev/mapper/vg--0-root--fs", "volume"), "/data": ("volumes/vg-0/data", "/dev/vg-0/data", "volume")}, places(s),
			   "mounts")
		if len(disks) > 1: # one of them alone
			o = told(disks[0], rc=1)
			eq([], o["systems"], "systems on half a volume")
			check(any(f["where"] == "volumes/vg-0/root-fs" and f["closed"] for f in o["filesystems"]), "it is told why: %r" % o["filesystems"])


@case
def luks():
	"""With the right key, a wrong one, none; and what GRUB cannot open is named."""
	need("cryptsetup")
	make_debian("tree", "/dev/mapper/cryptroot / ext4 defaults 0 1\n")
	put("tree", {"etc/crypttab": "cryptroot UUID=%s none luks\n" % UUID})
	make_ext4("tree", "root.img", label="the root")
	write_file("key", b"correct horse\n")
	write_file("other", b"battery staple\n")
	qemu_img("convert", "-f", "raw", "-O", "luks", "--object", "secret,id=s,data=correct horse", "-o", "key-secret=s,iter-time=10", "root.img", "luks.img")
	os.truncate("luks.img", -(-os.path.getsize("luks.img") // MIB) * MIB)
	ran("cryptsetup", "-q", "luksUUID", "--uuid", UUID, "luks.img")
	make_disk("disk.raw", "luks.img", label="dos")
	o = told("disk.raw", rc=1)
	eq("it is encrypted (LUKS1); --key-file FILE gives its passphrase", o["filesystems"][0]["closed"], "without a key")
	o = told("--key-file", "other", "disk.raw", rc=1)
	eq("it is encrypted (LUKS1); no key file opens it", o["filesystems"][0]["closed"], "with a wrong key")
	# GRUB tells what is inside; the files in there are libguestfs's business, which cannot start here
	o = told("--key-file", "other", "--key-file", "key", "disk.raw", rc=1, env=NO_GUESTFS)
	eq(("luks/" + UUID, "ext4", "the root"), tuple(o["filesystems"][1][k] for k in ("where", "type", "label")), "what is in it")
	check("vdisk mount --files" in o["filesystems"][0]["closed"], "the way on: %r" % o["filesystems"])
	o = told("--no-mount", "--key-file", "key", "disk.raw", rc=1)
	check("FUSE" in o["filesystems"][0]["closed"], "without FUSE: %r" % o["filesystems"])
	refused("inspect", "--key-file", "missing", "disk.raw", mentions="missing")
	if not ALL:
		return
	need("guestfish")
	for image in ("disk.raw", argon()):
		s = one_system(told("--key-file", "other", "--key-file", "key", image))
		debian_told(s)
		if image == "disk.raw":
			eq({"/": ("luks/" + UUID, "/dev/mapper/cryptroot", "volume")}, places(s), "mounts")


def argon():
	"""root.img in LUKS2 with cryptsetup's own kind of key, which takes libguestfs to fill."""
	with open("argon.img", "wb") as f:
		f.truncate(60 * MIB)
	write_file("plain", b"correct horse")
	ran("cryptsetup", "-q", "luksFormat", "--type", "luks2", "--pbkdf", "argon2id", "--pbkdf-memory", "32768", "--pbkdf-force-iterations", "4",
	    "--sector-size", "512", "argon.img", "plain") # no larger than root.img's blocks
	ran("guestfish", "--format=raw", "-a", "argon.img", "--format=raw", "-a", "root.img", "--keys-from-stdin", timeout=600, env=GUESTFS,
	    stdin=b"run\ncryptsetup-open /dev/sda inside\ncorrect horse\ncopy-device-to-device /dev/sdb /dev/mapper/inside\n")
	return "argon.img"


@case
def volumes_in_luks():
	need("cryptsetup")
	make_debian("tree", "/dev/mapper/vg--0-root / ext4 defaults 0 1\n/dev/vg-0/swap none swap sw 0 0\n")
	make_ext4("tree", "root.img")
	with open("pv.img", "wb") as f:
		f.truncate(64 * MIB)
	for name, image, to, at, n in volume_group(["pv.img"], (("root", 40), ("swap", 4))):
		if name == "root":
			write_file(image, open("root.img", "rb").read(), to)
	write_file("key", b"correct horse")
	qemu_img("convert", "-f", "raw", "-O", "luks", "--object", "secret,id=s,data=correct horse", "-o", "key-secret=s,iter-time=10", "pv.img", "luks.img")
	os.truncate("luks.img", -(-os.path.getsize("luks.img") // MIB) * MIB)
	make_disk("disk.raw", "luks.img", label="dos")
	o = told("--key-file", "key", "disk.raw", rc=1, env=NO_GUESTFS)
	found = {f["where"]: (f["type"], f["size"]) for f in o["filesystems"]}
	eq((("ext4", 40 * MIB), (None, 4 * MIB)), (found.get("volumes/vg-0/root"), found.get("volumes/vg-0/swap")), "volumes in LUKS: %r" % found)


def raid_member(data, path, number, array):
	"""A member of a mirror of two: version 1.2 of the superblock (linux/raid/md_p.h), data from 1 MiB on."""
	size = os.path.getsize(data)
	sb = bytearray(256 + 4)
	def le(at, n, v):
		sb[at:at + n] = v.to_bytes(n, "little")
	le(0, 4, 0xa92b4efc)
	le(4, 4, 1)
	sb[16:32] = array
	sb[32:64] = b"old-server:0".ljust(32, b"\0")
	le(72, 4, 1) # level
	le(80, 8, size // SECTOR)
	le(92, 4, 2) # disks
	le(128, 8, 2048) # data_offset
	le(136, 8, size // SECTOR)
	le(144, 8, 8) # super_offset
	le(160, 4, number)
	sb[168:184] = bytes([number + 1]) * 16
	le(200, 8, 7) # events
	le(220, 4, 2) # max_dev
	le(256, 2, 0)
	le(258, 2, 1)
	total = sum(int.from_bytes(sb[i:i + 4], "little") for i in range(0, 260, 4))
	le(216, 4, (total & 0xffffffff) + (total >> 32) & 0xffffffff)
	with open(path, "wb") as f:
		f.truncate(size + MIB)
	write_file(path, bytes(sb), 4096)
	write_file(path, open(data, "rb").read(), MIB)


@case
def mirror():
	make_debian("tree", "/dev/md0 / ext4 defaults 0 1\n")
	make_ext4("tree", "root.img")
	array = bytes.fromhex(UUID.replace("-", ""))
	for i in range(2):
		raid_member("root.img", "member%d.img" % i, i, array)
		make_disk("disk%d.raw" % i, "member%d.img" % i, types=("fd",), label="dos")
	r = run("mdadm", "--examine", "member0.img") if shutil.which("mdadm") else None
	if r and r.rc == 0:
		check("Checksum" in r.out and "correct" in r.out, "mdadm of the superblock that was made here\n" + r.out)
	for disks in (("disk0.raw", "disk1.raw"), ("disk0.raw",)): # and with one half alone
		s = one_system(told(*disks))
		debian_told(s, root="md/0")
		eq({"/": ("md/0", "/dev/md0", "volume")}, places(s), "mounts")


@case
def several_and_none():
	make_debian("tree", "/dev/sda1 / ext4 defaults 0 1\n")
	make_ext4("tree", "a.img")
	write_file("tree/etc/hostname", b"second\n")
	make_ext4("tree", "b.img", uuid=UUID)
	make_disk("disk.raw", "a.img", "b.img", label="dos")
	eq(["old-server", "second"], [s["hostname"] for s in told("disk.raw")["systems"]], "both systems")
	for name in ("/dev/sda2", "partitions/2", "UUID=" + UUID):
		eq("second", one_system(told("--root", name, "disk.raw"))["hostname"], "--root " + name)
	refused("inspect", "--root", "/dev/sda3", "disk.raw", mentions="/dev/sda3")
	make_ext4(None, "empty.img", 8)
	eq([], told("empty.img", rc=1)["systems"], "systems in an empty file system")
	write_file("zeros.raw", bytes(MIB))
	check("no system was found" in asked("zeros.raw", rc=1).out, "a word is due")
	refused("inspect", "missing.raw", mentions="missing.raw")
	refused("inspect", mentions="IMG")
	refused("inspect", "--json=x", "disk.raw", mentions=())
	write_file("short.qcow2", b"QFI\xfb\0\0\0\3")
	refused("inspect", "short.qcow2", mentions="short.qcow2")


@case
def what_is_not_clean_is_told():
	need("debugfs")
	make_debian("tree", "/dev/sda1 / ext4 defaults 0 1\n")
	make_ext4("tree", "root.img")
	ran("debugfs", "-w", "-R", "feature needs_recovery", "root.img")
	o = told("root.img")
	eq("its journal is dirty", o["filesystems"][0]["doubt"], "the doubt")
	check(any("journal is dirty" in r for r in one_system(o)["remarks"]), "a remark: %r" % o["systems"][0]["remarks"])


@case
def a_file_that_cannot_be_read():
	"""It is named, and all else is told."""
	need("debugfs")
	make_debian("tree", "/dev/sda1 / ext4 defaults 0 1\n")
	make_ext4("tree", "root.img")
	ran("debugfs", "-w", "-R", "sif /etc/network/interfaces block[0] 0", "root.img")
	s = one_system(told("root.img"))
	eq(("Debian GNU/Linux 12 (bookworm)", "old-server", RELEASE), (s["product"], s["hostname"], s["kernels"][0]["release"]), "the rest")
	check(any("/etc/network/interfaces" in r for r in s["remarks"]), "a remark: %r" % s["remarks"])


@case
def many_kernels():
	make_debian("tree", "/dev/sda1 / ext4 defaults 0 1\n")
	for i in range(12):
		put("tree", {"usr/lib/modules/6.1.0-%d-amd64/modules.dep" % i: b"", "boot/vmlinuz-6.1.0-%d-amd64" % i: b"x"})
		shutil.copy("tree/boot/initrd.img-" + RELEASE, "tree/boot/initrd.img-6.1.0-%d-amd64" % i)
	make_ext4("tree", "root.img")
	s = one_system(told("root.img"))
	eq(["6.1.0-%d-amd64" % i for i in range(12)] + [RELEASE], [k["release"] for k in s["kernels"]], "kernels, the newest last")
	eq([5, 8], [sum(not k["storage"] for k in s["kernels"]), sum("ahci" in k["storage"] for k in s["kernels"])], "those without drivers, and with")
	eq(["of 5 older kernels no drivers were looked for"], s["remarks"], "remarks")


@case
def hostile_files():
	"""Nothing of the guest's reaches the terminal as an order, nor this machine's files."""
	secret = os.path.abspath("secret")
	write_file("secret", b"ID=secret\n")
	tree = make_debian("tree", "/dev/sda1 / ext4 defaults 0 1\n/dev/sda1 /../../%s ext4 x 0 0\n/dev/sda1 /boot/../.. ext4 x 0 0\n" % secret)
	write_file("tree/etc/hostname", b"a\x1b]0;owned\x07b\xff\xc2\x9b1m\n")
	for name in ("etc/os-release", "etc/crypttab"):
		if os.path.exists(tree + "/" + name):
			os.unlink(tree + "/" + name)
	os.symlink(secret, tree + "/etc/os-release")
	os.symlink("../" * 40 + secret.lstrip("/"), tree + "/etc/crypttab")
	put(tree, {"usr/lib/os-release": 'ID=evil\nPRETTY_NAME="x\x1b[31m$(touch owned)`id`"\n', "etc/network/interfaces.d/long": b"iface " + b"e" * 100000 + b" inet dhcp\n",
		"etc/netplan/a.yaml": b"network:\n  ethernets:\n" + b" " * 200 + b"x: {" * 5000, "boot/grub/grubenv": bytes(range(256)) * 64,
		"etc/udev/rules.d/x-net.rules": b'NAME="' * 9999, "etc/systemd/network/a.link": b"[Link]\nName=" + b"\xfe" * 3000 + b"\n"})
	for i in range(20):
		put(tree, {"usr/lib/modules/9.%d/modules.dep" % i: b""})
	make_ext4(tree, "root.img")
	for args in (("--json",), (), ("--no-mount", "--json")):
		r = asked(*args, "root.img")
		check(not any(ord(ch) < 32 and ch not in "\n" for ch in r.out) and "\x7f" not in r.out and "\x9b" not in r.out, "control characters in\n%r" % r.out[:2000])
		check("secret" not in r.out.replace(secret, ""), "a file of this machine was read")
		if "--json" in args:
			o = json.loads(r.out)
			eq("evil", one_system(o)["os"], "the system")
			eq(21, len(o["systems"][0]["kernels"]), "kernels")
	check(not os.path.exists("owned"), "something was run")


@case
def ends_by_signals():
	"""Killed at moments of which most are in the middle, it leaves nothing mounted, running or lying about."""
	debian_disk()
	rng = rng_for("signals")
	os.makedirs("tmp", exist_ok=True)
	hit = 0
	for i in range(8):
		p = subprocess.Popen([INSPECT, "--json", "disk.raw"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
		                     env={**os.environ, "TMPDIR": os.path.abspath("tmp")})
		time.sleep(rng.uniform(0.0, 0.4)) # any moment will do
		sig = rng.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
		p.send_signal(sig)
		rc = p.wait(60)
		check(rc in (0, -sig), "ends by %d with %d" % (sig, rc))
		hit += rc != 0
		settle([], "left behind after signal %d" % sig, left)
	print("    %d of 8 were ended" % hit)


def lab():
	r = run("bash", os.path.join(SOURCE, "tests/lab/debian.sh"), env={"VDISK_BUILD": BUILD, "VDISK_SOURCE": SOURCE}, timeout=1200)
	if r.rc:
		skip(r.err.strip().splitlines()[-1] if r.err.strip() else "no Debian disk")
	return r.out.strip()


@case
def a_whole_debian():
	"""Long: the lab's disks; lsinitramfs, and libguestfs, say the same."""
	if not ALL:
		skip("VDISK_ALL=1 runs it")
	cache = lab()
	s = {}
	for name in ("bios", "uefi"):
		start = time.monotonic()
		s[name] = one_system(told("%s/%s.raw" % (cache, name)))
		print("    %s: %.2f s" % (name, time.monotonic() - start))
	eq([{"bios": True, "uefi": False, "uefi-fallback": False}, {"bios": False, "uefi": True, "uefi-fallback": True}],
	   [s["bios"]["firmware"], s["uefi"]["firmware"]], "firmware")
	k = s["bios"]["kernels"]
	eq(1, len(k), "kernels")
	need("lsinitramfs")
	paths = {os.path.basename(l).split(".ko")[0].replace("-", "_"): l for l in ran("lsinitramfs", cache + "/initrd").out.split() if ".ko" in l}
	drivers = {n for n, l in paths.items() if re.search("/drivers/(ata|scsi)/", l)} | {"virtio_blk", "xen_blkfront"} & set(paths)
	check({"ata_piix", "virtio_blk"} <= drivers, "lsinitramfs: %r" % drivers)
	eq([], sorted(drivers - set(k[0]["storage"])), "storage drivers that lsinitramfs lists, and that are not told")
	cards = {n for n, l in paths.items() if "/drivers/net/ethernet/" in l or n in ("virtio_net", "vmxnet3", "xen_netfront", "hv_netvsc")}
	eq([], sorted(cards - set(k[0]["network"])), "network drivers that lsinitramfs lists, and that are not told")
	eq([], [n for n in ("ahci", "e1000", "e1000e") if n in k[0]["storage"] + k[0]["network"]], "drivers that this kernel does not have")
	if shutil.which("virt-inspector"):
		x = ran("virt-inspector", "--no-applications", "--no-icon", "--format=raw", "-a", cache + "/bios.raw", timeout=600, env=GUESTFS).out
		for tag, due in (("name", "linux"), ("distro", s["bios"]["os"]), ("arch", s["bios"]["arch"]), ("hostname", s["bios"]["hostname"]),
		                 ("package_format", s["bios"]["package-format"])):
			check("<%s>%s</%s>" % (tag, due, tag) in x, "virt-inspector's %s is not %r\n%s" % (tag, due, x[:1500]))


main()

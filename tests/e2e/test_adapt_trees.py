#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk adapt over other distributions' systems: five of them on one disk, each as it is installed on a physical machine, changed at once by the whole program
with libguestfs behind it.  What comes out is told by programs that had no part in it: GRUB's syntax checker, dracut's lsinitrd, modprobe, depmod's
index, util-linux' findmnt (where the file systems are mounted, so that each UUID must be there), debugfs and mtools.

The trees are made here, of this machine's kernel package; whole Debian guests, which boot, are in test_adapt.py."""
import glob, os, re, shutil, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from guests import *
from guestdisks import make_disk

TCG = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
SMALL = ["ahci", "sd_mod", "sr_mod", "ext4", "vfat", "nls_cp437", "nls_ascii", "virtio_blk", "virtio_scsi", "virtio_pci", "virtio_net", "virtio_console", "vmw_pvscsi", "mptspi",
         "mptsas", "vmxnet3", "e1000", "e1000e", "nvme"]
UUIDS = ["%s1111111-1111-4111-8111-11111111111%d" % (c, i) for i, c in enumerate("abcde")]
ESP = ["1111-AAAA", "2222-BBBB"]
LABEL = "system_u:object_r:etc_t:s0"
# partition 1: the EFI system partition of three; 2 to 6: the roots, in this order; 7: Arch's /boot
NAMES = ["rhel", "fedora", "suse", "alpine", "arch"]


def root_of(name):
	return "/dev/sda%d" % (NAMES.index(name) + 2)


def uuid_of(name):
	return UUIDS[NAMES.index(name)]


def put(name, files):
	for path, content in files.items():
		write_file("%s/%s" % (name, path), content if isinstance(content, bytes) else content.encode())


def common(name, rel, os_release, usr=True, suffix=""):
	"""What any system has; its initramfs comes by itself."""
	guest(rel, SMALL, suffix=suffix, usr=usr, root=name)
	for old in ("boot/config-", "boot/vmlinuz-"):
		if os.path.lexists("%s/%s%s" % (name, old, rel)):
			os.unlink("%s/%s%s" % (name, old, rel))
	os.unlink(name + "/boot/vmlinuz")
	put(name, {"etc/os-release": os_release, "etc/hostname": name + "\n", "usr/bin/true": read("/bin/true"), "etc/machine-id": "0123456789abcdef0123456789abcdef\n"})
	os.symlink("usr/bin", name + "/bin")
	for folder in ("dev", "proc", "sys", "run", "tmp", "var/lib", "usr/sbin", "root", "boot/efi"):
		os.makedirs("%s/%s" % (name, folder))
	os.symlink("usr/sbin", name + "/sbin")


def systemd(name):
	put(name, {"usr/lib/systemd/systemd": "", "usr/lib/systemd/systemd-udevd": "", "usr/bin/udevadm": ""})


DRACUT = {"usr/lib/dracut/dracut-0": b"", "usr/lib/systemd/systemd": b"", "usr/lib/systemd/systemd-modules-load": b""}


def rhel(rel):
	common("rhel", rel, 'ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="9.3"\nPRETTY_NAME="Red Hat Enterprise Linux 9.3 (Plow)"\n', suffix=".xz")
	systemd("rhel")
	put("rhel", {
		"etc/fstab": "/dev/sda2 / ext4 defaults 1 1\n/dev/sda1 /boot/efi vfat umask=0077,shortname=winnt 0 2\n",
		"boot/vmlinuz-" + rel: read("/boot/vmlinuz-" + rel),
		"boot/initramfs-%s.img" % rel: likeness(rel, DRACUT, suffix=".xz", packing="xz", folder="rhel.i"),
		"boot/loader/entries/0123456789abcdef0123456789abcdef-%s.conf" % rel: "title Red Hat Enterprise Linux (%s) 9.3 (Plow)\nversion %s\nlinux /boot/vmlinuz-%s\n"
		"initrd /boot/initramfs-%s.img $tuned_initrd\noptions root=/dev/sda2 ro crashkernel=1G-4G:192M $tuned_params\ngrub_users $grub_users\n" % (rel, rel, rel, rel),
		"boot/grub2/grub.cfg": "set pager=1\nif [ -f ${config_directory}/grubenv ]; then\n  load_env -f ${config_directory}/grubenv\nfi\ninsmod part_gpt\ninsmod ext2\n"
		"search --no-floppy --fs-uuid --set=root %s\ninsmod blscfg\nblscfg\n" % uuid_of("rhel"),
		"etc/default/grub": 'GRUB_TIMEOUT=5\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX="crashkernel=1G-4G:192M"\nGRUB_ENABLE_BLSCFG=true\n',
		"etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n", "etc/dracut.conf.d/.keep": "",
		"etc/NetworkManager/system-connections/eno1.nmconnection": "[connection]\nid=eno1\ntype=ethernet\ninterface-name=eno1\n\n[ethernet]\nmac-address=3C:EC:EF:00:00:01\n\n"
		"[ipv4]\naddress1=192.0.2.9/24,192.0.2.1\nmethod=manual\n"})
	os.chmod("rhel/etc/NetworkManager/system-connections/eno1.nmconnection", 0o600)
	labelled = True
	for path in ("etc/fstab", "etc/default/grub", "boot/initramfs-%s.img" % rel):
		try:
			os.setxattr("rhel/" + path, "security.selinux", LABEL.encode() + b"\0")
		except OSError: # not as root, or a file system that keeps none
			labelled = False
	return labelled


def fedora(rel):
	common("fedora", rel, 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=39\nPRETTY_NAME="Fedora Linux 39 (Server Edition)"\n', suffix=".xz")
	systemd("fedora")
	put("fedora", {
		"etc/fstab": "/dev/disk/by-id/ata-WDC_WD10-part3 / ext4 defaults 1 1\n/dev/disk/by-id/ata-WDC_WD10-part1 /boot/efi vfat umask=0077 0 2\n",
		"boot/vmlinuz-" + rel: read("/boot/vmlinuz-" + rel),
		"boot/initramfs-%s.img" % rel: likeness(rel, DRACUT, suffix=".xz", packing="zstd", folder="fedora.i"),
		"boot/loader/entries/fedora-%s.conf" % rel: "title Fedora Linux (%s) 39\nversion %s\nlinux /boot/vmlinuz-%s\ninitrd /boot/initramfs-%s.img\noptions root=/dev/sda3 ro rhgb quiet\n" % (rel, rel, rel, rel),
		"boot/grub2/grub.cfg": "search --no-floppy --fs-uuid --set=root %s\nset kernelopts=\"root=/dev/sda3 ro\"\ninsmod blscfg\nblscfg\n" % uuid_of("fedora"),
		"etc/kernel/cmdline": "root=/dev/sda3 ro rhgb quiet\n", "etc/selinux/config": "SELINUX=disabled\n", "etc/dracut.conf.d/.keep": "",
		"etc/sysconfig/network-scripts/ifcfg-enp3s0": "TYPE=Ethernet\nDEVICE=enp3s0\nHWADDR=3c:ec:ef:00:00:02\nBOOTPROTO=none\nIPADDR=192.0.2.7\nPREFIX=24\n"})


def suse(rel):
	common("suse", rel, 'NAME="openSUSE Leap"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.5"\nPRETTY_NAME="openSUSE Leap 15.5"\n')
	systemd("suse")
	put("suse", {
		"etc/fstab": "/dev/disk/by-id/ata-WDC_WD10-part4  /  ext4  defaults  0  1\n/dev/disk/by-id/ata-WDC_WD10-part1  /boot/efi  vfat  utf8  0  2\n",
		"boot/vmlinuz-" + rel: read("/boot/vmlinuz-" + rel), "boot/initrd-" + rel: likeness(rel, DRACUT, packing="xz", folder="suse.i"),
		"boot/grub2/grub.cfg": "menuentry 'openSUSE Leap 15.5' --class opensuse {\n\tset root='hd0,gpt4'\n\tsearch --no-floppy --fs-uuid --set=root %s\n"
		"\tlinux\t/boot/vmlinuz-%s root=/dev/disk/by-id/ata-WDC_WD10-part4 ${extra_cmdline} splash=silent quiet\n\tinitrd\t/boot/initrd-%s\n}\n" % (uuid_of("suse"), rel, rel),
		"boot/grub2/device.map": "(hd0) /dev/disk/by-id/ata-WDC_WD10\n", "etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="splash=silent root=/dev/sda4 quiet"\n', "etc/dracut.conf.d/.keep": "",
		"etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='192.0.2.4/24'\n",
		"etc/udev/rules.d/70-persistent-net.rules": 'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="3c:ec:ef:00:00:04", ATTR{dev_id}=="0x0", ATTR{type}=="1", KERNEL=="eth*", NAME="eth0"\n'})


def alpine(rel):
	common("alpine", rel, 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.18.4\nPRETTY_NAME="Alpine Linux v3.18"\n', usr=False, suffix=".gz")
	old = likeness(rel, {"sbin/nlplug-findfs": b"", ".modloop/x": b"", "etc/modules": b"loop\n"}, usr=False, packing="gzip", folder="alpine.i")
	flavor = rel.rsplit("-", 1)[-1]
	put("alpine", {
		"etc/alpine-release": "3.18.4\n", "etc/fstab": "/dev/sda5\t/\text4\trw,relatime 0 1\n/dev/cdrom\t/media/cdrom\tiso9660\tnoauto,ro 0 0\n",
		"boot/vmlinuz-" + flavor: read("/boot/vmlinuz-" + rel), "boot/initramfs-" + flavor: old,
		"boot/extlinux.conf": "# Generated by update-extlinux\nDEFAULT lts\nPROMPT 0\nLABEL lts\n  MENU DEFAULT\n  LINUX vmlinuz-%s\n  INITRD initramfs-%s\n"
		"  APPEND root=/dev/sda5 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4\n" % (flavor, flavor),
		"boot/ldlinux.sys": "", "etc/update-extlinux.conf": "root=/dev/sda5\nmodules=sd-mod,usb-storage,ext4\n", "etc/mkinitfs/mkinitfs.conf": 'features="ata base ext4 scsi"\n',
		"etc/network/interfaces": "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.3/24\n", "lib/apk/db/installed": ""})


def arch(rel):
	common("arch", rel, "NAME='Arch Linux'\nID=arch\nPRETTY_NAME='Arch Linux'\n", suffix=".zst")
	systemd("arch")
	put("arch", {
		"etc/fstab": "/dev/sda6 / ext4 rw,relatime 0 1\n/dev/sda7 /boot vfat rw,relatime,fmask=0077,dmask=0077 0 2\n",
		"usr/lib/modules/%s/pkgbase" % rel: "linux\n", "etc/mkinitcpio.conf": "MODULES=(ahci)\nHOOKS=(base udev block filesystems)\n",
		"etc/systemd/network/20-wired.network": "[Match]\nMACAddress=3c:ec:ef:00:00:05\n\n[Network]\nAddress=192.0.2.2/24\n"})
	put("arch.boot", {
		"vmlinuz-linux": read("/boot/vmlinuz-" + rel),
		"initramfs-linux.img": likeness(rel, {"init_functions": b"", "buildconfig": b"", "config": b'EARLYHOOKS="udev"\nMODULES="ahci"\n'}, flat=True, suffix=".zst", texts=False, folder="arch.i"),
		"loader/loader.conf": "default arch.conf\ntimeout 3\n", "EFI/systemd/systemd-bootx64.efi": "sdboot",
		"loader/entries/arch.conf": "title   Arch Linux\nlinux   /vmlinuz-linux\ninitrd  /initramfs-linux.img\noptions root=/dev/sda6 rw\n"})


def fat(path, folder, serial, size):
	with open(path, "wb") as f:
		f.truncate(size)
	ran("mkfs.vfat", "-i", serial.replace("-", ""), path)
	ran("mcopy", "-s", "-Q", "-i", path, *["%s/%s" % (folder, n) for n in sorted(os.listdir(folder))], "::")


def disk_make(rel):
	labelled = rhel(rel)
	for make in (fedora, suse, alpine, arch):
		make(rel)
	put("esp", {"EFI/redhat/shimx64.efi": "shim of RHEL", "EFI/redhat/grubx64.efi": "grub of RHEL", "EFI/fedora/shimx64.efi": "shim", "EFI/fedora/grubx64.efi": "grub",
	            "EFI/opensuse/shim.efi": "shim", "EFI/opensuse/grub.efi": "grub"})
	fat("1.part", "esp", ESP[0], 33 * MIB)
	fat("7.part", "arch.boot", ESP[1], 64 * MIB)
	parts = ["1.part"]
	for i, name in enumerate(NAMES):
		parts.append("%d.part" % (i + 2))
		ran("mke2fs", "-q", "-t", "ext4", "-U", uuid_of(name), "-d", name, parts[-1], "72M")
	make_disk("disk.raw", *parts, "7.part", types=["uefi"] + ["linux"] * 5 + ["uefi"])
	return labelled


def read_back(rel):
	"""The file systems as they are now: roots below after/NAME, the EFI system partitions below after/esp and after/arch.boot."""
	table = json.loads(ran("sfdisk", "-J", "disk.raw").out)["partitiontable"]["partitions"]
	for i, name in enumerate(["esp"] + NAMES + ["arch.boot"]):
		start = table[i]["start"] * 512
		os.makedirs("after/" + name)
		if name in NAMES:
			ran("dd", "if=disk.raw", "of=part", "bs=1M", "skip=%d" % (start // MIB), "count=72", "conv=sparse", "status=none")
			ran("e2fsck", "-fn", "part", timeout=600)
			ran("debugfs", "-R", "rdump / after/" + name, "part", timeout=600)
			if name == "rhel":
				shutil.move("part", "rhel.after")
		else:
			ran("mcopy", "-s", "-n", "-Q", "-i", "disk.raw@@%d" % start, "::*", "after/" + name)


def initrd_judge(rel, name, path, old, *drivers):
	"""modprobe finds the drivers in what the kernel would unpack of it, and their files; a listing of ours has them, too."""
	new = read(path)
	check(new.startswith(old), "%s: the image's own bytes have been changed" % name)
	x = "x." + name
	extract(unpacked(old), x)
	ours = new[len(old):].lstrip(b"\0")
	extract(unpacked(ours), x)
	loads(x, rel, "ahci", "virtio_blk", "virtio_pci", "virtio_scsi", *drivers)
	write_file("ours.img", ours)
	return "ours.img"


@case
def five_systems():
	for program in ("vdisk-adapt", "vdisk"):
		if not os.path.exists(os.path.join(BUILD, program)):
			skip("%s is not built" % program)
	need("modprobe", "depmod", "cpio", "zstd", "xz", "gzip", "mkfs.vfat", "mcopy", "mke2fs", "debugfs", "sfdisk")
	rel = release()
	labelled = disk_make(rel)
	olds = {n: read(p) for n, p in (("rhel", "rhel/boot/initramfs-%s.img" % rel), ("fedora", "fedora/boot/initramfs-%s.img" % rel), ("suse", "suse/boot/initrd-" + rel),
	                                ("alpine", "alpine/boot/initramfs-" + rel.rsplit("-", 1)[-1]), ("arch", "arch.boot/initramfs-linux.img"))}
	shutil.copyfile("disk.raw", "before.raw")
	answer = vdisk("adapt", "--target", "kvm,vmware", "--json", "disk.raw", timeout=1800, env=TCG).json()
	systems = {s["root"]: s for s in answer["systems"]}
	eq(sorted(root_of(n) for n in NAMES), sorted(systems), "the systems")
	eq(["Red Hat Enterprise Linux 9.3 (Plow)", "Fedora Linux 39 (Server Edition)", "openSUSE Leap 15.5", "Alpine Linux v3.18", "Arch Linux"],
	   [systems[root_of(n)]["product"] for n in NAMES], "what they are")
	read_back(rel)
	entries(rel)
	device_names()
	initrds(rel, olds)
	networks()
	selinux(labelled, systems[root_of("rhel")])
	eq("shim of RHEL", read("after/esp/EFI/BOOT/BOOTX64.EFI").decode(), "what UEFI finds without an entry in NVRAM")
	eq("sdboot", read("after/arch.boot/EFI/BOOT/BOOTX64.EFI").decode(), "Arch's, on its own partition")
	if ALL:
		mounted()
		again = vdisk("adapt", "--target", "kvm,vmware", "--plan", "--json", "disk.raw", timeout=1800, env=TCG).json()
		eq([[]] * 5, [s["changes"] for s in again["systems"]], "what a second run would change")


def entries(rel):
	"""The kernel's lines, in each boot loader's own files and in what those are made from."""
	def has(path, *texts):
		text = read("after/" + path).decode()
		for t in texts:
			check(t in text, "%s lacks %r: %r" % (path, t, text))
		check("/dev/sd" not in text and "by-id" not in text, "%s: an old name is left: %r" % (path, text))
	has("rhel/boot/loader/entries/0123456789abcdef0123456789abcdef-%s.conf" % rel, "options root=UUID=%s ro crashkernel=1G-4G:192M $tuned_params\n" % uuid_of("rhel"))
	has("fedora/boot/loader/entries/fedora-%s.conf" % rel, "options root=UUID=%s ro rhgb quiet\n" % uuid_of("fedora"))
	has("fedora/boot/grub2/grub.cfg", 'set kernelopts="root=UUID=%s ro"\n' % uuid_of("fedora"))
	has("fedora/etc/kernel/cmdline", "root=UUID=%s ro rhgb quiet\n" % uuid_of("fedora"))
	has("suse/boot/grub2/grub.cfg", "root=UUID=%s ${extra_cmdline} splash=silent quiet\n" % uuid_of("suse"))
	has("suse/etc/default/grub", "splash=silent root=UUID=%s quiet" % uuid_of("suse"))
	has("alpine/boot/extlinux.conf", "APPEND root=UUID=%s modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4\n" % uuid_of("alpine"))
	has("alpine/etc/update-extlinux.conf", "root=UUID=%s\n" % uuid_of("alpine"))
	has("arch.boot/loader/entries/arch.conf", "options root=UUID=%s rw\n" % uuid_of("arch"))
	check(not os.path.exists("after/suse/boot/grub2/device.map"), "SUSE's device.map is left")
	need("grub-script-check")
	for name in ("rhel", "fedora", "suse"):
		ran("grub-script-check", "after/%s/boot/grub2/grub.cfg" % name)


def device_names():
	"""findmnt reads the tables as the guest would."""
	want = {"rhel": {"/": "UUID=" + uuid_of("rhel"), "/boot/efi": "UUID=" + ESP[0]}, "fedora": {"/": "UUID=" + uuid_of("fedora"), "/boot/efi": "UUID=" + ESP[0]},
	        "suse": {"/": "UUID=" + uuid_of("suse"), "/boot/efi": "UUID=" + ESP[0]}, "alpine": {"/": "UUID=" + uuid_of("alpine"), "/media/cdrom": "/dev/cdrom"},
	        "arch": {"/": "UUID=" + uuid_of("arch"), "/boot": "UUID=" + ESP[1]}}
	for name in NAMES:
		found = dict(reversed(l.split()) for l in ran("findmnt", "--tab-file", "after/%s/etc/fstab" % name, "-rno", "SOURCE,TARGET").out.splitlines())
		eq(want[name], found, "%s: its fstab" % name)


def initrds(rel, olds):
	flavor = rel.rsplit("-", 1)[-1]
	for name, path in (("rhel", "rhel/boot/initramfs-%s.img" % rel), ("fedora", "fedora/boot/initramfs-%s.img" % rel), ("suse", "suse/boot/initrd-" + rel)):
		ours = initrd_judge(rel, name, "after/" + path, olds[name], "vmw_pvscsi")
		if shutil.which("lsinitrd"):
			listed = ran("lsinitrd", "after/" + path, timeout=600).out
			check("ahci.ko" in listed, "%s: lsinitrd does not read it any more: %s" % (name, listed[-600:]))
			listed = ran("lsinitrd", ours, timeout=600).out
			for driver in ("virtio_blk.ko", "vmw_pvscsi.ko", "etc/modules-load.d/90-vdisk-adapt.conf"):
				check(driver in listed, "%s: lsinitrd does not see %s in what was appended: %s" % (name, driver, listed[-600:]))
		conf = ran("bash", "-c", "add_drivers=' x '; . after/%s/etc/dracut.conf.d/90-vdisk-adapt.conf; echo $add_drivers" % name).out.split()
		check({"x", "virtio_blk", "vmw_pvscsi", "vmxnet3", "virtio_net"} <= set(conf), "%s: add_drivers: %s" % (name, conf))
	initrd_judge(rel, "alpine", "after/alpine/boot/initramfs-" + flavor, olds["alpine"], "vmw_pvscsi")
	eq("ata base ext4 scsi vdisk-adapt", ran("sh", "-c", ". after/alpine/etc/mkinitfs/mkinitfs.conf; echo $features").out.strip(), "Alpine's features")
	initrd_judge(rel, "arch", "after/arch.boot/initramfs-linux.img", olds["arch"], "vmw_pvscsi")
	modules = ran("bash", "-c", ". after/arch/etc/mkinitcpio.conf; echo ${MODULES[@]}").out.split()
	check({"ahci", "virtio_blk", "vmw_pvscsi"} <= set(modules), "Arch's MODULES: %s" % modules)


def networks():
	"""What tied a configuration to the old card is gone, and the cards get their names by a program of ours."""
	for name, card in (("rhel", "eno1"), ("fedora", "enp3s0"), ("suse", "eth0"), ("arch", "nic0")):
		lines = [l.split() for l in read("after/%s/etc/udev/vdisk-net-names" % name).decode().splitlines() if not l.startswith("#")]
		eq([card], [l[0] for l in lines], "%s: its cards' names" % name)
	for path in ("rhel/etc/NetworkManager/system-connections/eno1.nmconnection", "fedora/etc/sysconfig/network-scripts/ifcfg-enp3s0", "arch/etc/systemd/network/20-wired.network",
	             "suse/etc/udev/rules.d/70-persistent-net.rules"):
		old, new = (read("%s%s" % (f, path)).decode() for f in ("", "after/"))
		live = [l for l in new.splitlines() if l and l[0] != "#"]
		check(not re.search("3c:ec:ef", "\n".join(live), re.I), "%s: still tied to the old card: %r" % (path, live))
		check(re.search("3c:ec:ef", new, re.I), "%s: what it was tied to is not kept as a comment: %r" % (path, new))
	eq(0o600, os.stat("after/rhel/etc/NetworkManager/system-connections/eno1.nmconnection").st_mode & 0o777, "mode of a file with secrets")


def selinux(labelled, system):
	"""Files that were there keep their labels; new ones have none, so the guest is told to label itself."""
	check(os.path.exists("after/rhel/.autorelabel"), "RHEL is not told to label itself anew")
	check(not os.path.exists("after/fedora/.autorelabel"), "Fedora's SELinux is off")
	check(any("SELinux" in r for r in system["remarks"]), "nothing is said of SELinux: %s" % system["remarks"])
	changed = {c["path"] for c in system["changes"] if "path" in c}
	for path in ("/etc/fstab", "/boot/initramfs-%s.img" % release()):
		check(path in changed, "%s is not changed: %s" % (path, sorted(changed)))
		if labelled:
			said = ran("debugfs", "-R", "ea_get -V %s security.selinux" % path, "rhel.after").out
			check(LABEL in said, "%s has lost its label: %r" % (path, said))
	if not labelled:
		print("    labels could not be given here")


def mounted():
	"""findmnt in libguestfs's appliance, which has the file systems: each source is there, and of that type."""
	need("guestfish")
	commands = ["run"]
	for name in NAMES:
		commands += [":", "mount-ro", root_of(name), "/", ":", "debug", "sh", "mkdir -p /boot/efi /media/cdrom; findmnt --verify --tab-file /sysroot/etc/fstab 2>&1; echo %s: $?" % name, ":", "umount", "/"]
	out = ran("guestfish", "--ro", "--format=raw", "-a", "disk.raw", *commands, env=TCG, timeout=1800).out
	for part, name in zip(re.split(r"^\w+: \d+$", out, flags=re.M), NAMES):
		check("[E]" not in part or name == "alpine", "%s: findmnt says: %s" % (name, part))
		check("UUID=" not in "".join(l for l in part.splitlines() if "[E]" in l or "unreachable" in l), "%s: findmnt does not find a UUID: %s" % (name, part))


main()

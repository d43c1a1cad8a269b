#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drivers put into an initramfs without running the guest's code.

The images are made by the distributions' own tools or with cpio in their likeness; what comes out is read by modprobe and depmod, unpacked and
started by a real kernel."""
import glob, os, re, shutil, sys, tempfile
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from guests import *

STEPS = os.path.join(BUILD, "tests", "adapt_steps")
UUID = "6f4a5f3c-52f4-4b8e-9d7e-2f1f6f0b7a12"


def need_all(*programs):
	if not os.path.exists(STEPS):
		skip("no %s: this build has no vdisk-adapt" % STEPS)
	need("modprobe", "depmod", "cpio", "zstd", "xz", "gzip", *programs)
	return release()


# ---------------------------------------------------------------- guests

_debian = {}


def debian(rel):
	"""An initramfs as on a machine with a SATA disk: MODULES=list.  Made once."""
	need("mkinitramfs", "lsinitramfs")
	if rel not in _debian:
		conf = tempfile.mkdtemp(prefix="vdisk-initramfs.")
		try:
			shutil.copytree("/etc/initramfs-tools", conf + "/c", symlinks=True)
			write_file(conf + "/c/initramfs.conf", b"MODULES=list\nBUSYBOX=auto\nKEYMAP=n\nCOMPRESS=zstd\nRUNSIZE=10%\n")
			write_file(conf + "/c/modules", b"# of this machine\nahci\nata_piix\nsd_mod\next4\n")
			ran("mkinitramfs", "-d", conf + "/c", "-o", conf + "/out", rel, timeout=600)
			_debian[rel] = read(conf + "/out")
		finally:
			shutil.rmtree(conf)
	return _debian[rel]


def debian_guest(rel, packing="zstd"):
	path = guest(rel)
	image = debian(rel)
	write_file(path, image if packing == "zstd" else pack(packing, unpacked(image)))
	shutil.copytree("/etc/initramfs-tools", "root/etc/initramfs-tools", symlinks=True)
	write_file("root/etc/initramfs-tools/initramfs.conf", b"MODULES=list\nBUSYBOX=auto\nKEYMAP=n\nCOMPRESS=zstd\nRUNSIZE=10%\n")
	write_file("root/etc/initramfs-tools/modules", b"# of this machine\nahci\nata_piix\nsd_mod\next4\n")
	return path


def adapt(targets="kvm", *options, rc=0):
	return ran(STEPS, "root", targets, *options, rc=rc, timeout=900).out.splitlines()


def whole(old, new, folder):
	"""What the kernel would have unpacked: the image as it was, and ours over it.  Answers the names in ours."""
	check(new.startswith(old), "the image's own bytes have been changed")
	tail = new[len(old):]
	ours = unpacked(tail.lstrip(b"\0"))
	extract(unpacked(old), folder)
	extract(ours, folder)
	return ran("cpio", "-it", "--quiet", stdin=ours).out.splitlines()


def like_depmod(folder, rel):
	"""depmod itself, run over the same modules, writes the same indices."""
	shutil.copytree(folder, folder + ".depmod", symlinks=True)
	ran("depmod", "-b", folder + ".depmod", rel)
	for name in ("modules.alias", "modules.symbols"):
		a, b = (sorted(read("%s/lib/modules/%s/%s" % (f, rel, name)).splitlines()) for f in (folder, folder + ".depmod"))
		check(a == b, "%s: only depmod says %s, only we %s" % (name, [l for l in b if l not in a][:5], [l for l in a if l not in b][:5]))
	for name in ("modules.alias.bin", "modules.symbols.bin", "modules.dep.bin"):
		a, b = (os.path.getsize("%s/lib/modules/%s/%s" % (f, rel, name)) for f in (folder, folder + ".depmod"))
		eq(b, a, "size of %s: depmod's and ours" % name)


# ---------------------------------------------------------------- initramfs-tools

@case
def debian_with_a_list_of_modules():
	rel = need_all()
	path = debian_guest(rel)
	old = read(path)
	check("virtio" not in ran("lsinitramfs", path).out, "virtio is in it already")
	said = adapt("kvm")
	new = read(path)
	names = whole(old, new, "x")
	check(not [n for n in names if n in ("lib", "usr", "usr/lib", "conf")], "a folder that is there is made again: %s" % names[:40])
	loads("x", rel, "virtio_blk", "virtio_pci", "virtio_scsi", "virtio_net", "ahci", "ext4", "pci:v00001AF4d00001001sv0sd0bc01sc00i00", "virtio:d00000002v00001AF4")
	like_depmod("x", rel)
	listed = [l.strip() for l in read("x/conf/modules").decode().split("\n")]
	for name in ("ahci", "ext4", "virtio_pci", "virtio_blk", "sd_mod"):
		eq(1, listed.count(name), "times that conf/modules has %s" % name)
	check(listed.index("virtio_pci") < listed.index("virtio_blk"), "a driver before its bus")
	eq([], [l for l in adapt("kvm") if not l.startswith("remark")], "changes of a second run")
	adapt("kvm,hyperv")
	third = read(path)
	names = whole(old, third, "y")
	loads("y", rel, "virtio_blk", "hv_storvsc", "hv_netvsc")
	eq(1, names.count(".vdisk-adapt"), "marks: one archive took the other's place")
	check("hv_storvsc" not in read("y/conf/modules").decode(), "what complains elsewhere is loaded everywhere")


@case
def debian_makes_its_next():
	"""What is registered with initramfs-tools gets into what mkinitramfs makes of it."""
	rel = need_all()
	debian_guest(rel)
	adapt("kvm")
	text = read("root/etc/initramfs-tools/modules").decode()
	check(text.startswith("# of this machine\nahci\n"), "the administrator's lines: %r" % text)
	check(os.stat("root/etc/initramfs-tools/hooks/vdisk-adapt").st_mode & 0o777 == 0o755, "the hook is no program")
	ran("sh", "-n", "root/etc/initramfs-tools/hooks/vdisk-adapt")
	ran("mkinitramfs", "-d", os.path.abspath("root/etc/initramfs-tools"), "-o", "next", rel, timeout=600)
	names = ran("lsinitramfs", "next").out
	for name in ("virtio_blk.ko", "virtio_pci.ko", "virtio_scsi.ko", "virtio_net.ko", "e1000.ko", "conf/modules"):
		check(name in names, "%s is not in it" % name)
	shutil.copy("next", "root/boot/initrd.img-" + rel)
	eq([], [l for l in adapt("kvm") if not l.startswith("remark")], "changes of a run over what was made anew")


@case
def settings_of_the_old_machine():
	"""The swap space to wake from, by its name: of the guest, and of the copy in its initramfs, which gets all drivers' company."""
	rel = need_all()
	path = guest(rel)
	files = {"conf/initramfs.conf": b"", "conf/conf.d/resume": b"RESUME=/dev/sda5\n", "etc/modprobe.d/x.conf": b"blacklist virtio_blk\n"}
	old = likeness(rel, files, packing="gzip")
	write_file(path, old)
	adapt("kvm")
	names = whole(old, read(path), "x")
	loads("x", rel, "virtio_blk")
	check("etc/modprobe.d/x.conf" in names and not re.search("^blacklist virtio_blk", read("x/etc/modprobe.d/x.conf").decode(), re.M), "still blacklisted: %s" % names)
	eq([], [l for l in adapt("kvm") if not l.startswith("remark")], "changes of a second run")


@case
def every_target():
	rel = need_all()
	path = debian_guest(rel)
	old = read(path)
	adapt("kvm,vmware,hyperv,xen,virtualbox")
	whole(old, read(path), "x")
	loads("x", rel, "virtio_blk", "vmw_pvscsi", "vmxnet3", "mptspi", "hv_vmbus", "hv_storvsc", "hv_netvsc", "xen_blkfront", "xen_netfront", "e1000", "e1000e", "nvme")
	like_depmod("x", rel)


def packed_as(name):
	rel = need_all()
	path = debian_guest(rel, name)
	old = read(path)
	adapt("kvm")
	new = read(path)
	if name == "lzma": # one stream
		extract(unpacked(old), "x")
		both = unpacked(new)
		eq(unpacked(old), both[:len(unpacked(old))], "what was there before")
		extract(both[len(unpacked(old)):].lstrip(b"\0"), "x")
	else:
		whole(old, new, "x")
		eq({"xz": "gzip"}.get(name, name), UNPACKERS[new[len(old):].lstrip(b"\0")[:2]], "packing of ours")
		if name == "lz4":
			check(new[len(old)] != 0, "zeros within a stream of LZ4")
	loads("x", rel, "virtio_blk", "virtio_pci")
	eq([], [l for l in adapt("kvm") if not l.startswith("remark")], "changes of a second run")
	if ALL:
		boots(rel, path)


for name in PACKERS if ALL else ("xz", "lz4"):
	add("packed as " + name, packed_as, name)


# ---------------------------------------------------------------- a real kernel

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "The root is there: $(/bin/busybox grep ' / ' /proc/mounts)"
/bin/busybox poweroff -f
"""


def disk():
	os.makedirs("r/sbin")
	for name in ("bin", "dev", "proc", "sys", "run", "etc", "root", "tmp", "usr/bin"):
		os.makedirs("r/" + name)
	shutil.copy(shutil.which("busybox"), "r/bin/busybox")
	write_file("r/sbin/init", INIT.encode())
	write_file("r/etc/os-release", b"ID=tiny\n")
	os.chmod("r/sbin/init", 0o755)
	ran("mke2fs", "-q", "-t", "ext4", "-U", UUID, "-d", "r", "disk.img", "32M")


def start(rel, initrd, device, more=""):
	need("qemu-system-x86_64", "busybox", "mke2fs")
	if not os.path.exists("disk.img"):
		disk()
	drive = {"virtio-blk": ["-device", "virtio-blk-pci,drive=d"], "virtio-scsi": ["-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=d"],
	         "ahci": ["-device", "ahci,id=a", "-device", "ide-hd,bus=a.0,drive=d"], "nvme": ["-device", "nvme,serial=1,drive=d"]}[device]
	return run("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "512", "-smp", "2", "-display", "none", "-serial", "stdio", "-monitor", "none",
	           "-no-reboot", "-nic", "none", "-kernel", "/boot/vmlinuz-" + rel, "-initrd", initrd, "-append", "root=UUID=%s console=ttyS0 panic=-1 ro quiet no_timer_check tsc=reliable %s" % (UUID, more),
	           "-drive", "file=disk.img,format=raw,if=none,snapshot=on,id=d", *drive, timeout=600)


def boots(rel, initrd, device="virtio-blk"):
	r = start(rel, initrd, device)
	check(re.search(r"The root is there: /dev/\S+ / ext4", r.out), "%s did not get to its root on %s: %s" % (initrd, device, r.out[-1500:]))


@case
def debian_boots_on_virtio():
	rel = need_all()
	path = debian_guest(rel)
	if ALL:
		r = start(rel, path, "virtio-blk", "rootdelay=3")
		check("does not exist" in r.out and "The root is there" not in r.out, "it boots before: %s" % r.out[-600:])
	adapt("kvm")
	for device in ("virtio-blk", "virtio-scsi", "ahci", "nvme") if ALL else ("virtio-blk",):
		boots(rel, path, device)


# ---------------------------------------------------------------- dracut

def dracut(rel, systemd, packing="--gzip"):
	need("dracut", "lsinitrd")
	path = guest(rel)
	os.makedirs("root/etc/dracut.conf.d")
	modules = "base kernel-modules rootfs-block udev-rules fs-lib" + (" systemd systemd-initrd dracut-systemd" if systemd else "")
	ran("dracut", "--conf", "/dev/null", "--confdir", "root/etc/dracut.conf.d", "--no-hostonly", "--no-hostonly-cmdline", "--no-early-microcode", "--modules", modules,
	    "--drivers", "ahci sd_mod ext4", "--kver", rel, packing, "--force", os.path.abspath(path), timeout=900)
	return path


def dracut_boots(systemd):
	rel = need_all()
	if not ALL:
		skip("in the long tier")
	path = dracut(rel, systemd)
	old = read(path)
	check("virtio_blk" not in ran("lsinitrd", path).out, "virtio is in it already")
	adapt("kvm")
	whole(old, read(path), "x")
	loads("x", rel, "virtio_blk", "virtio_pci", "ahci", "ext4")
	like_depmod("x", rel)
	where = "etc/modules-load.d/90-vdisk-adapt.conf" if systemd else "etc/cmdline.d/90-vdisk-adapt.conf"
	check("virtio_blk" in read("x/" + where).decode(), "the list of what to load")
	boots(rel, path)
	# and the one that it makes next
	conf = read("root/etc/dracut.conf.d/90-vdisk-adapt.conf").decode()
	check(re.search(r'^add_drivers\+=" .*virtio_blk .*"$', conf, re.M), conf)
	ran("dracut", "--conf", "/dev/null", "--confdir", "root/etc/dracut.conf.d", "--no-hostonly", "--no-hostonly-cmdline", "--no-early-microcode", "--modules", "base kernel-modules",
	    "--drivers", "ahci sd_mod ext4", "--kver", rel, "--gzip", "--force", os.path.abspath("next"), timeout=900)
	check("virtio_blk" in ran("lsinitrd", "next").out, "the next one lacks it")


add("dracut boots", dracut_boots, False)
add("dracut with systemd boots", dracut_boots, True)


# ---------------------------------------------------------------- in the likeness of others

@case
def arch_with_busybox():
	rel = need_all()
	path = guest(rel, suffix=".zst")
	write_file("root/etc/mkinitcpio.conf", b"# vim\nMODULES=(ahci)\nHOOKS=(base udev block)\n")
	write_file("e/kernel/x86/microcode/GenuineIntel.bin", b"\1" * 3000)
	write_file("e/early_cpio", b"1\n")
	early = archive("e")
	old = likeness(rel, {"init_functions": b"", "buildconfig": b"", "config": b'EARLYHOOKS="udev"\nMODULES="ahci"\n'}, flat=True, suffix=".zst", texts=False, early=early)
	write_file(path, old)
	adapt("kvm")
	new = read(path)
	check(new.startswith(old), "the image's own bytes have been changed")
	extract(unpacked(old[len(early):]), "x")
	extract(unpacked(new[len(old):].lstrip(b"\0")), "x")
	loads("x", rel, "ahci", "ext4", "virtio_blk", "virtio_pci", "pci:v00001AF4d00001001sv0sd0bc01sc00i00")
	like_depmod("x", rel)
	eq(["ahci"], ran("sh", "-c", ". ./config; echo $MODULES", cwd="i").out.split(), "its modules before")
	after = ran("sh", "-c", ". ./config; echo $MODULES $EARLYHOOKS", cwd="x").out.split()
	check({"ahci", "virtio_pci", "virtio_blk", "udev"} <= set(after), "its modules: %s" % after)
	conf = ran("bash", "-c", ". root/etc/mkinitcpio.conf; echo ${#MODULES[@]} ${MODULES[@]}").out.split()
	eq(len(conf) - 1, int(conf[0]), "MODULES is an array")
	check({"ahci", "virtio_blk", "virtio_net"} <= set(conf), "MODULES: %s" % conf)
	eq([], [l for l in adapt("kvm") if not l.startswith("remark")], "changes of a second run")


@case
def arch_with_systemd():
	rel = need_all()
	path = guest(rel, suffix=".zst")
	write_file("root/etc/mkinitcpio.conf", b'MODULES="ahci"\n')
	old = likeness(rel, {"buildconfig": b"", "config": b"", "usr/lib/systemd/systemd": b"", "etc/modules-load.d/MODULES.conf": b"ahci\n"}, flat=True, texts=False)
	write_file(path, old)
	adapt("kvm")
	whole(old, read(path), "x")
	check("virtio_blk" in read("x/etc/modules-load.d/90-vdisk-adapt.conf").decode().split(), "the list of what to load")
	loads("x", rel, "virtio_blk", "ahci")
	check("virtio_blk" in ran("bash", "-c", ". root/etc/mkinitcpio.conf; echo \"$MODULES\"").out.split(), "a string stays one")


@case
def red_hat():
	"""dracut with systemd, packed modules in it, microcode before it, xz."""
	rel = need_all()
	path = guest(rel, suffix=".xz")
	os.makedirs("root/etc/dracut.conf.d")
	write_file("e/early_cpio", b"1\n")
	write_file("e/kernel/x86/microcode/GenuineIntel.bin", b"\1" * 3000)
	early = archive("e")
	old = likeness(rel, {"usr/lib/dracut/dracut-0": b"", "usr/lib/systemd/systemd": b"", "usr/lib/systemd/systemd-modules-load": b""}, suffix=".xz", early=early, packing="xz")
	write_file(path, old)
	adapt("kvm,vmware")
	new = read(path)
	check(new.startswith(old), "the image's own bytes have been changed")
	extract(unpacked(old[len(early):]), "x")
	extract(unpacked(new[len(old):].lstrip(b"\0")), "x")
	loads("x", rel, "ahci", "ext4", "virtio_blk", "virtio_pci", "vmw_pvscsi", "scsi:t-0x00")
	like_depmod("x", rel)
	listed = read("x/etc/modules-load.d/90-vdisk-adapt.conf").decode().split()
	check(listed.index("virtio_pci") < listed.index("virtio_blk") and "vmw_pvscsi" in listed, listed)
	conf = ran("bash", "-c", "add_drivers=' x '; . root/etc/dracut.conf.d/90-vdisk-adapt.conf; echo $add_drivers").out.split()
	check({"x", "virtio_blk", "vmw_pvscsi", "vmxnet3", "virtio_net"} <= set(conf), "add_drivers: %s" % conf)
	eq([], [l for l in adapt("kvm,vmware") if not l.startswith("remark")], "changes of a second run")
	shutil.rmtree("root/etc/dracut.conf.d")
	write_file("root/etc/dracut.conf", b"hostonly=yes\n")
	adapt("kvm,vmware")
	text = read("root/etc/dracut.conf").decode()
	check(text.startswith("hostonly=yes\n# vdisk adapt: begin") and "virtio_blk" in text, "an old dracut's: %r" % text)


@case
def xz_streams():
	"""Whatever xz makes of an archive that holds xz itself: where it ends is found, and what was cut off is refused."""
	rel = need_all()
	path = guest(rel, suffix=".xz")
	plain = likeness(rel, {"usr/lib/dracut/dracut-0": b"", "usr/lib/systemd/systemd": b""}, suffix=".xz", packing="plain")
	for i, options in enumerate((["--check=none"], ["--check=crc64", "--block-size=300KiB"], ["--check=sha256", "--x86", "--lzma2=preset=0,dict=64KiB"], ["--delta=dist=4", "--lzma2=preset=9e,lc=0,lp=2"])):
		old = ran("xz", "-c", *options, stdin=plain, timeout=600).raw
		write_file(path, old)
		adapt("kvm")
		whole(old, read(path), "x%d" % i)
		loads("x%d" % i, rel, "ext4", "virtio_blk", "virtio_pci")
		eq([], [l for l in adapt("kvm") if not l.startswith("remark")], "changes of a second run: %s" % options)
		for cut in (len(old) - 1, len(old) - 12, len(old) // 2, 40):
			write_file(path, old[:cut])
			said = adapt("kvm", rc=1)
			check(said[-1].startswith("no corrupt") and "cut off" in said[-1], "cut at %d of %d: %s" % (cut, len(old), said))


@case
def alpine():
	rel = need_all()
	path = guest(rel, suffix=".gz", usr=False)
	write_file("root/etc/mkinitfs/mkinitfs.conf", b'features="ata base ext4 scsi"\n')
	old = likeness(rel, {"sbin/nlplug-findfs": b"", ".modloop/x": b"", "etc/modules": b"loop\n"}, usr=False, packing="gzip")
	write_file(path, old)
	adapt("kvm")
	names = whole(old, read(path), "x")
	check("lib/modules/%s/modules.dep" % rel in names, names)
	loads("x", rel, "virtio_blk", "virtio_pci")
	listed = read("x/etc/modules").decode().split("\n")
	check(listed[0] == "loop" and "virtio_blk" in listed, "etc/modules: %s" % listed)
	eq("ata base ext4 scsi vdisk-adapt", ran("sh", "-c", ". root/etc/mkinitfs/mkinitfs.conf; echo $features").out.strip(), "features")
	feature = read("root/etc/mkinitfs/features.d/vdisk-adapt.modules").decode().split("\n")
	for line in (l for l in feature if l and l[0] != "#"):
		eq(1, len(glob.glob("root/lib/modules/%s/%s" % (rel, line))), "files of the feature's line %s" % line)
	check("kernel/drivers/block/virtio_blk.ko*" in feature, feature)


@case
def nothing_in_it_yet():
	"""No module at all, a real /lib, packed modules in the guest: made from nothing."""
	rel = need_all()
	path = guest(rel, suffix=".xz")
	write_file("i/lib/modules/x", b"")
	write_file("i/conf/initramfs.conf", b"")
	old = pack("gzip", archive("i"))
	write_file(path, old)
	adapt("kvm")
	whole(old, read(path), "x")
	loads("x", rel, "virtio_blk", "virtio_net", "ahci")
	like_depmod("x", rel)
	eq("virtio_pci" in read("x/conf/modules").decode().split(), True, "conf/modules is made")


# ---------------------------------------------------------------- refusals, and the guest's own tool

@case
def refusals():
	rel = need_all()
	path = guest(rel, names=["ahci", "sd_mod"])
	good = likeness(rel, {"conf/initramfs.conf": b""}, names=["ahci"], packing="gzip")
	write_file(path, good)
	said = adapt("hyperv", rc=1)
	check(said[-1].startswith("no refused kernel %s has no storage driver for hyperv" % rel), said)
	said = adapt("kvm")
	check(any(l.startswith("remark kernel %s has no virtio_blk, virtio_scsi" % rel) for l in said), said)
	for damaged, word in ((good[:len(good) // 2], "corrupt"), (good + b"\0\0\0\0junk", "corrupt"), (b"", "unsupported"), (b"\x89LZO" + good, "unsupported"),
	                      (pack("gzip", b"070701" + b"f" * 200), "corrupt")):
		write_file(path, damaged)
		before = read(path)
		said = adapt("virtualbox,kvm", rc=1)
		check(said[-1].startswith("no %s" % word) and "initrd.img" in said[-1], "%r…: %s" % (damaged[:8], said))
		eq(before, read(path), "the image that was refused")
	write_file("j/init", b"")
	write_file(path, pack("gzip", archive("j")))
	said = adapt("kvm", rc=1)
	check("not known" in said[-1] and said[-1].startswith("no unsupported"), said)
	write_file("j/bin/nash", b"")
	write_file(path, pack("gzip", archive("j")))
	said = adapt("kvm", rc=1)
	check("mkinitrd" in said[-1], said)
	write_file("s/squash-root.img", b"hsqs")
	write_file("s/usr/lib/dracut/x", b"")
	write_file(path, pack("gzip", archive("s")))
	said = adapt("kvm", rc=1)
	check("squash-root.img" in said[-1] and said[-1].startswith("no unsupported"), said)
	os.unlink(glob.glob("root/lib/modules/*/kernel/drivers/ata/ahci.ko")[0])
	write_file("k/conf/initramfs.conf", b"")
	write_file(path, pack("gzip", archive("k")))
	said = adapt("kvm", rc=1)
	check("ahci.ko: modules.dep names it, but it is not there" in said[-1], said)


@case
def the_guests_own_tool():
	rel = need_all()
	path = debian_guest(rel)
	old = read(path)
	said = adapt("kvm", "--regenerate")
	eq(old, read(path), "the initramfs")
	check("run update-initramfs -u -k " + rel in said, said)
	check("virtio_blk" in read("root/etc/initramfs-tools/modules").decode().split(), "it is told before")
	for files, line in (({"usr/lib/dracut/x": b""}, "dracut --force /boot/initrd.img-%s %s" % (rel, rel)),
	                    ({"buildconfig": b""}, "mkinitcpio -g /boot/initrd.img-%s -k %s" % (rel, rel)),
	                    ({"sbin/nlplug-findfs": b""}, "mkinitfs -o /boot/initrd.img-%s %s" % (rel, rel)),
	                    ({"bin/nash": b""}, "mkinitrd -f --with=virtio ")):
		shutil.rmtree("i", ignore_errors=True)
		write_file(path, likeness(rel, files))
		said = adapt("kvm", "--regenerate", "--dry")
		check(any(l.startswith("run " + line) for l in said), "%s: %s" % (line, said))
	write_file("root/etc/sysconfig/kernel", b'# SUSE\nINITRD_MODULES="ata_piix ahci"\n')
	said = adapt("kvm", "--regenerate")
	check("run mkinitrd -k /boot/vmlinuz-%s -i /boot/initrd.img-%s" % (rel, rel) in said, said)
	words = ran("sh", "-c", ". root/etc/sysconfig/kernel; echo $INITRD_MODULES").out.split()
	check(words[:2] == ["ata_piix", "ahci"] and words.count("ahci") == 1 and "virtio_blk" in words, words)


main()

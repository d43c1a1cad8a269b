#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk adapt: a Debian that is physical in nature (tests/lab/physical.sh) stops in its initramfs on virtio, and comes up there when it was adapted, with
its address on the new card; undone, its image is what it was to the byte; killed at any moment, it is that or can be brought to either end.  Other file
systems, layers of storage, firmware and generators of the initramfs, and what is left when the guest makes its own anew, are in the long tier."""
import os, select, shutil, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from guests import guest, likeness, release

KILLS = ITERATIONS or (50 if ALL else 3)
BOOT = 900 # seconds that a boot may take on a busy machine
MAC = "52:54:00:77:88:99" # another one than the old machine's
TCG = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}


def machine(**variant):
	"""The paths of its disks."""
	for program in ("vdisk-adapt", "vdisk-verify"):
		if not os.path.exists(os.path.join(BUILD, program)):
			skip("%s is not built" % program)
	need("qemu-system-x86_64")
	r = run("bash", os.path.join(SOURCE, "tests", "lab", "physical.sh"), timeout=1800, env={k.upper(): v for k, v in variant.items()})
	if r.rc == 77:
		skip(r.err.strip().splitlines()[-1])
	check(r.rc == 0, r.show())
	return r.out.split("\n")[:-1]


def physical():
	return machine()[0]


def copy(disk, name="disk.raw"):
	ran("cp", "--sparse=always", "--reflink=auto", disk, name)
	return name


def adapt(*args, rc=0, timeout=900, **kw):
	return vdisk("adapt", *args, rc=rc, timeout=timeout, **kw)


def boot(disk, expect, *args, rc=0, bus="virtio-blk"):
	"""What the line says that matches; or without one, why it did not come up."""
	r = run(VDISK, "verify", "--engine", "qemu", "--bus", bus, "--nic", "user,mac=" + MAC, "--timeout", BOOT, "--json", "--serial", "serial",
	        "--expect", expect, *args, *([disk] if isinstance(disk, str) else disk), timeout=BOOT + 60)
	if r.rc != rc:
		with open("serial", errors="replace") as f:
			tail = "".join(f.readlines()[-25:])
		fail("exit status %d is due of a boot on %s: %s\n%s" % (rc, bus, r.show(), tail))
	return r.json()["cause"]


def same(a, b):
	"""Byte by byte and in length; a hash of a whole disk costs seconds."""
	r = run("cmp", "-s", a, b, timeout=600)
	check(r.rc in (0, 1), r.show())
	return r.rc == 0


TELLS = r"guest: address .*\."


def told(text, root, nic=True):
	check("guest: address " in text, "the guest says: %r" % text)
	check("root /dev/" + root in text, "its root: %r" % text)
	if nic:
		check("lan0 10.0.2.77/24" in text, "its address: %r" % text)


def hidden():
	return [n for n in os.listdir(".") if n.startswith(".")]


@case
def plans_and_says_no():
	disk = copy(physical())
	for args, says in ((("--target", "kvm", "nothing.raw"), "nothing.raw"), ((disk,), "--target"), (("--target", "vax", disk), "vax"),
	                   (("--target", "kvm", "--undo", disk), "--undo"), (("--resume", disk), "no change of it was broken off"),
	                   (("--undo", disk), "no change of it was broken off"), (("--target", "kvm", "--overlay", disk, disk), "exists")):
		r = adapt(*args, rc=2)
		check(says in r.err, r.show())
		one_line(r)
	r = adapt("--target", "kvm", "--plan", "--json", disk, env={"LIBGUESTFS_TRACE": "1"})
	check("inspect_os" not in r.err and "trace: pread" in r.err, "libguestfs's inspection of a plain disk, which takes long: %.2000s" % r.err)
	a = r.json()
	eq(1, a["schema-version"], "schema-version")
	eq(True, a["planned-only"], "planned-only")
	eq(["/dev/sda1"], [s["root"] for s in a["systems"]], "roots")
	changes = {c["path"]: c for c in a["systems"][0]["changes"] if "path" in c}
	for path in ("/etc/fstab", "/boot/grub/grub.cfg"):
		check(path in changes and changes[path]["why"], "%s is not in the plan: %s" % (path, sorted(changes)))
	check("-/dev/sda1 / ext4" in changes["/etc/fstab"]["difference"], changes["/etc/fstab"]["difference"])
	check(any(p.startswith("/boot/initrd.img-") for p in changes), "no initramfs in the plan: %s" % sorted(changes))
	check(same(physical(), disk), "a plan has changed the image")
	eq([], hidden(), "what was left behind")


@case
def boots_on_virtio():
	disk = copy(physical())
	cause = boot(disk, TELLS, rc=1)
	check("/dev/sda1 does not exist" in cause, "why it does not come up before: %r" % cause)
	adapt("--target", "kvm", "--keep-undo", "way.back", disk)
	eq([], hidden(), "what was left behind")
	check(not same(physical(), disk), "nothing was changed")
	told(boot(disk, TELLS), "vda1")
	adapt("--undo", "--keep-undo", "way.back", disk)
	check(same(physical(), disk), "undone, the image is not what it was")


@case
def signals():
	"""Who hangs up ends it, unless it was told not to hear that (nohup): the layer goes, the image stays."""
	if not os.path.exists(os.path.join(BUILD, "vdisk-adapt")):
		skip("vdisk-adapt is not built")
	content = b"no system".ljust(4 * MIB, b".")
	with open("disk.raw", "wb") as f:
		f.write(content)
	for ignored, ends in (((), signal.SIGHUP), ((signal.SIGHUP,), signal.SIGTERM)):
		p = subprocess.Popen([VDISK, "adapt", "--target", "kvm", "disk.raw"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ, **TCG),
		                     preexec_fn=lambda: [signal.signal(n, signal.SIG_IGN if n in ignored else signal.SIG_DFL) for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)])
		end = time.monotonic() + 60
		while not hidden(): # the layer
			check(p.poll() is None and time.monotonic() < end, "it never began: %r" % p.poll())
			time.sleep(0.01)
		with open("/proc/%d/status" % p.pid) as f:
			masks = {k: int(v, 16) for k, _, v in (l.partition(":") for l in f) if k in ("SigIgn", "SigCgt")}
		bits = {n: tuple(masks[k] >> (n - 1) & 1 for k in ("SigIgn", "SigCgt")) for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
		eq({n: (1, 0) if n in ignored else (0, 1) for n in bits}, bits, "what is ignored and what is caught")
		p.send_signal(ends)
		said = p.communicate(timeout=60)[1]
		eq(128 + ends, p.returncode, "exit status: %s" % said)
		eq(["disk.raw"], os.listdir("."), "the folder")
		with open("disk.raw", "rb") as f:
			check(f.read() == content, "the image was changed")


# ---------------------------------------------------------------- kills

def small():
	"""A disk that is adapted in little time: a system of some megabytes, with a kernel, whose initramfs has drivers of a SATA controller alone."""
	need("mke2fs", "sfdisk", "debugfs", "modprobe", "depmod", "cpio", "zstd")
	rel = release()
	path = guest(rel, ["ahci", "sd_mod", "ext4", "virtio_blk", "virtio_pci", "virtio_scsi", "virtio_net"])
	for name, text in {path: likeness(rel, {"conf/initramfs.conf": b"MODULES=list\n", "scripts/init": b""}), "root/etc/fstab": b"/dev/sda1 / ext4 defaults 0 1\n",
	                   "root/etc/initramfs-tools/modules": b"ahci\n", "root/etc/initramfs-tools/initramfs.conf": b"MODULES=list\n", "root/bin/sh": b"",
	                   "root/boot/grub/grub.cfg": b"menuentry x {\n\tlinux /boot/vmlinuz root=/dev/sda1 ro\n\tinitrd /boot/initrd.img\n}\n"}.items():
		os.makedirs(os.path.dirname(name), exist_ok=True)
		with open(name, "wb") as f:
			f.write(text)
	ran("mke2fs", "-q", "-t", "ext4", "-U", SMALL, "-d", "root", "part", "64M")
	with open("small.raw", "wb") as f:
		f.truncate(66 * MIB)
	ran("sfdisk", "-q", "small.raw", stdin=b"start=2048,size=131072,type=83,bootable\n")
	ran("dd", "if=part", "of=small.raw", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
	return "small.raw"


SHIM = os.path.join(BUILD, "tests", "libshim.so")
CALLS = "write,sync,name,punch" # that change a file
SMALL = "5a5a0f8f-7f0a-4b55-8c8e-5f5a1f6f0b12"


def begun(disk, **shim):
	"""A run over it that tells what it does; in the midst of which tests/lib/shim.c may kill it."""
	env = {"SHIM_" + k.upper(): str(v) for k, v in shim.items()}
	if shim:
		env["LD_PRELOAD"] = SHIM
	return subprocess.Popen([VDISK, "adapt", "--target", "kvm", "-v", disk], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
	                        env=dict(os.environ, **TCG, **env))


def heard(p, word, seconds):
	"""Reads on until it says the word, or the time is over, or it ends; what it has said."""
	end, said = time.monotonic() + seconds, b""
	while word not in said:
		left = end - time.monotonic()
		if left <= 0 or not select.select([p.stderr], [], [], left)[0]:
			break
		piece = os.read(p.stderr.fileno(), 4096)
		if not piece:
			break
		said += piece
	return said


def must_be_adapted(disk, why):
	"""By what e2fsck and debugfs say of the file system in it."""
	shutil.rmtree("now", ignore_errors=True)
	os.mkdir("now")
	vdisk("convert", "-O", "raw", disk, "now/disk.raw", timeout=600)
	ran("dd", "if=now/disk.raw", "of=now/part", "bs=1M", "skip=1", "count=64", "status=none")
	ran("e2fsck", "-fn", "now/part")
	eq("UUID=%s / ext4 defaults 0 1\n" % SMALL, ran("debugfs", "-R", "cat /etc/fstab", "now/part").out, why + ": its fstab")
	check("root=UUID=" + SMALL in ran("debugfs", "-R", "cat /boot/grub/grub.cfg", "now/part").out, why + ": its grub.cfg")
	check("virtio_blk" in ran("debugfs", "-R", "cat /etc/initramfs-tools/modules", "now/part").out, why + ": its modules")


def killed(fmt, kills):
	"""Before the commit the image is what it was to the byte; in the commit it is refused until one of the two ends is reached."""
	rng, disk = rng_for("kills " + fmt), "disk." + fmt
	vdisk("convert", "-O", fmt, small(), disk, timeout=600)
	shutil.copyfile(disk, "aside")
	vdisk("create", "-f", "qcow2", "." + disk + ".vdisk-adapt", MIB) # as a killed run leaves one
	shim = os.path.exists(SHIM) and not sanitized() # which want to be preloaded first
	begin = time.monotonic()
	p = begun(disk, **(dict(op=CALLS, match="/" + disk, count="count.txt") if shim else {}))
	said = heard(p, b"committing", BOOT)
	before = time.monotonic() - begin
	p.communicate()
	eq(0, p.returncode, "exit status; it said %r" % said)
	check(b"committing" in said, "it said %r" % said)
	eq([], hidden(), "what was left behind")
	must_be_adapted(disk, "undisturbed")
	calls = int(open("count.txt").read()) if shim else 0
	check(calls > 5 or not shim, "calls that change the image: %d" % calls)
	moments = [0, 0, 0]
	for n in range(kills):
		shutil.copyfile("aside", disk)
		if n % 2 or not shim: # at any moment
			why = "kill %d, after %.2f s" % (n, rng.random() * before * 1.05)
			p = begun(disk)
			said = heard(p, b"\0", float(why.split()[-2]))
			p.kill()
			said += p.communicate()[1]
		else: # in the commit: of the image itself, or of the journal beside it
			match, nth = ("/" + disk, rng.randrange(1, calls + 1)) if n % 8 else (disk + ".vdisk-undo", rng.randrange(1, 20))
			why = "kill %d, at call %d for %s" % (n, nth, match)
			p = begun(disk, op=CALLS, match=match, do="kill", nth=nth)
			said = p.communicate()[1]
		check(p.returncode in (0, -9), "exit status %d: %r" % (p.returncode, said))
		r = run(VDISK, "info", disk)
		if r.rc == 0:
			if same("aside", disk):
				check(p.returncode, why + ": done, and nothing is changed")
				moments[0] += 1
			else:
				check(b"committing" in said, why + ": it is changed before the commit")
				must_be_adapted(disk, why)
				moments[1] += 1
			continue
		moments[2] += 1
		check("--resume" in r.err and "--undo" in r.err, "%s: %s" % (why, r.show()))
		if moments[2] % 2:
			adapt("--undo", disk)
			check(same("aside", disk), why + ": undone, the image is not what it was")
		else:
			adapt("--resume", disk)
			must_be_adapted(disk, why + ", resumed")
		eq([], hidden(), why + ": left behind")
	print("    %s: %d as before, %d adapted, %d killed in the commit; %.1f s before it, %d calls in it" % (fmt, *moments, before, calls))
	check(not shim or kills < 10 or moments[2] >= kills // 4, "too few kills in the commit: %s" % moments)


add("killed", killed, "qcow2", KILLS - KILLS // 2 if ALL else KILLS)
if ALL:
	add("killed: raw", killed, "raw", KILLS // 2)


# ---------------------------------------------------------------- other ways

@case
def block_device():
	"""Nothing lasting can stand beside one: refused at once, and --overlay serves."""
	with open(small(), "rb") as f:
		before = f.read()
	r = run("losetup", "-f", "--show", "small.raw")
	if r.rc:
		skip("no loop devices here: " + r.err.strip())
	device = r.out.strip()
	try:
		r = adapt("--target", "kvm", device, rc=2)
		check("--overlay" in r.err, r.show())
		one_line(r)
		eq([], [n for n in os.listdir("/dev") if "vdisk-" in n], "what was left behind in /dev")
		if ALL:
			adapt("--target", "kvm", "--overlay", "layer.qcow2", device, env=TCG)
			with open("small.raw", "rb") as f:
				check(f.read() == before, "the device below the layer was changed")
			vdisk("commit", "--allow-parent", "/dev", "layer.qcow2")
	finally:
		ran("losetup", "-d", device)
	if ALL:
		must_be_adapted("small.raw", "committed to the device")


@case
def leaves_a_layer():
	"""--overlay: the image stays; over it, it comes up on another bus, too, and once its initramfs was made anew by itself."""
	if not ALL:
		skip("the long tier only (VDISK_ALL=1)")
	disk = copy(physical())
	adapt("--target", "kvm,vmware", "--overlay", "layer.qcow2", disk)
	check(same(physical(), disk), "the image below the layer was changed")
	told(boot("layer.qcow2", TELLS, bus="virtio-scsi"), "sda1")
	told(boot("layer.qcow2", TELLS, bus="ahci"), "sda1")
	told(boot("layer.qcow2", TELLS, bus="ide"), "sda1")
	adapt("--target", "kvm", "--regenerate", "--overlay", "again.qcow2", disk)
	told(boot("again.qcow2", TELLS), "vda1")


@case
def too_little_space():
	"""Is found out before anything is written."""
	if not ALL:
		skip("the long tier only (VDISK_ALL=1)")
	need("guestfish")
	disk = copy(physical())

	def fish(*commands):
		return ran("guestfish", "--format=raw", "-a", disk, "-m", "/dev/sda1", *commands, env=TCG, timeout=900).out
	vfs = dict(line.split(": ") for line in fish("statvfs", "/").splitlines())
	fish("fallocate64", "/fill", int(vfs["bfree"]) * int(vfs["bsize"]) - 20 * MIB) # 16 MiB of which ext4 keeps for itself
	ran("cp", "--sparse=always", disk, "full.raw")
	r = adapt("--target", "kvm", disk, rc=2)
	check("free" in r.err and "make room" in r.err, r.show())
	one_line(r)
	check(same("full.raw", disk), "the refusal has changed the image")
	eq([], hidden(), "what was left behind")


def regenerated(disks, tool, key):
	"""The guest's own program has made its initramfs anew, as it does for its next kernel."""
	need("guestfish")
	args = [a for d in disks for a in ("-a", d)]
	# Inspection gives an encrypted root another name than the guest's fstab has for it.
	args += ["--keys-from-stdin", "run", ":", "cryptsetup-open", "/dev/sda2", "cryptroot", ":", "mount", "/dev/mapper/cryptroot", "/", ":",
	         "mount", "/dev/sda1", "/boot", ":"] if key else ["-i"]
	sums = ("glob", "checksum", "md5", "/boot/initrd*")
	out = ran("guestfish", "--rw", "--format=raw", *args, *sums, ":", "sh", tool, ":", *sums, env=TCG, timeout=1800,
	          stdin=(key + "\n").encode() if key else None).out.split("\n")
	sums = [l for l in out if len(l) == 32 and not l.strip("0123456789abcdef")]
	check(len(sums) == 2 and sums[0] != sums[1], "the guest's program has made nothing: %s" % out)


def variant(root, of, buses=(), key=None):
	"""Another machine: stops before; comes up after, also on other buses, and when it has made its initramfs anew."""
	disks = [copy(d, "disk%d.raw" % i) for i, d in enumerate(machine(**of))]
	options = ()
	if key:
		with open("key", "w") as f:
			f.write(key)
		options = ("--key-file", "key")
	cause = boot(disks, TELLS, rc=1)
	print("    before: %s" % cause)
	begin = time.monotonic()
	adapt("--target", "kvm,vmware", *options, *disks)
	print("    adapted in %.1f s" % (time.monotonic() - begin))
	for bus in ("virtio-blk", *buses):
		told(boot(disks, TELLS, bus=bus), root if bus == "virtio-blk" else root.replace("vda", "sda"))
	regenerated(disks, "dracut --force --regenerate-all" if of.get("tool") == "dracut" else "update-initramfs -u -k all", key)
	told(boot(disks, TELLS), root)


if ALL:
	others = ("virtio-scsi", "ahci")
	add("LVM", variant, "mapper/old-root", dict(layout="lvm"), others)
	add("LUKS", variant, "mapper/cryptroot", dict(layout="luks"), (), "correct horse")
	add("RAID 1", variant, "md0", dict(layout="raid1"))
	add("XFS", variant, "vda2", dict(layout="xfs"), others)
	add("btrfs", variant, "vda2", dict(layout="btrfs"))
	add("dracut", variant, "vda1", dict(tool="dracut"))
	add("Debian 11", variant, "vda1", dict(suite="bullseye"))
	add("UEFI", variant, "vda1", dict(boot="uefi"), others)
	add("UEFI and LVM", variant, "mapper/old-root", dict(boot="uefi", layout="lvm"))
main()

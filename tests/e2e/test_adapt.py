#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk adapt: a Debian that is physical in nature (tests/lab/physical.sh) stops in its initramfs on virtio, and comes up there when it was adapted, with
its address on the new card; undone, its image is what it was to the byte; killed at any moment, it is that or can be brought to either end."""
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

KILLS = ITERATIONS or (50 if ALL else 3)
BOOT = 900 # seconds that a boot may take on a busy machine
MAC = "52:54:00:77:88:99" # another one than the old machine's


def physical(**variant):
	for program in ("vdisk-adapt", "vdisk-verify"):
		if not os.path.exists(os.path.join(BUILD, program)):
			skip("%s is not built" % program)
	need("qemu-system-x86_64")
	r = run("bash", os.path.join(SOURCE, "tests", "lab", "physical.sh"), timeout=1800, env={k.upper(): v for k, v in variant.items()})
	if r.rc == 77:
		skip(r.err.strip().splitlines()[-1])
	check(r.rc == 0, r.show())
	return r.out.strip()


def copy(disk, name="disk.raw"):
	ran("cp", "--sparse=always", "--reflink=auto", disk, name)
	return name


def adapt(*args, rc=0, timeout=900, **kw):
	return vdisk("adapt", *args, rc=rc, timeout=timeout, **kw)


def boot(disk, expect, *args, rc=0, bus="virtio-blk"):
	"""What the line says that matches; or without one, why it did not come up."""
	r = run(VDISK, "verify", "--engine", "qemu", "--bus", bus, "--nic", "user,mac=" + MAC, "--timeout", BOOT, "--json", "--serial", "serial",
	        "--expect", expect, *args, disk, timeout=BOOT + 60)
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
	a = adapt("--target", "kvm", "--plan", "--json", disk).json()
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


def kills(disk, fmt):
	"""Of each: the image is what it was, or refused until one of the two ends is reached."""
	rng = rng_for("kills " + fmt)
	shutil.copyfile(disk, "aside")
	vdisk("create", "-f", "qcow2", "." + disk + ".vdisk-adapt", MIB) # as a killed run leaves one
	begin = time.monotonic()
	adapt("--target", "kvm", disk)
	longest = time.monotonic() - begin
	eq([], hidden(), "what was left behind")
	check(not same("aside", disk), "nothing was changed")
	moments = [0, 0, 0]
	for n in range(KILLS):
		shutil.copyfile("aside", disk)
		# Half of them near the end, where the commit is.
		delay = longest * (rng.random() if n % 2 else 0.85 + rng.random() * 0.2)
		p = subprocess.Popen([VDISK, "adapt", "--target", "kvm", disk], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
		try:
			p.wait(timeout=delay)
		except subprocess.TimeoutExpired:
			p.kill()
		_, err = p.communicate()
		check(p.returncode in (0, -9), "exit status %d: %r" % (p.returncode, err))
		r = run(VDISK, "info", disk)
		if r.rc == 0:
			moments[p.returncode == 0] += 1
			check(same("aside", disk) == (p.returncode != 0), "kill %d after %.2f s: neither as before nor done" % (n, delay))
			continue
		moments[2] += 1
		check("--resume" in r.err, r.show())
		if n % 2:
			adapt("--undo", disk)
			check(same("aside", disk), "kill %d after %.2f s: undone, the image is not what it was" % (n, delay))
		else:
			adapt("--resume", disk)
			check(not same("aside", disk), "kill %d: resumed, and nothing is changed" % n)
		eq([], hidden(), "what was left behind")
	print("    %d killed before the commit, %d came to their end, %d were killed in the commit" % tuple(moments))


@case
def killed():
	disk = physical()
	vdisk("convert", "-O", "qcow2", disk, "disk.qcow2", timeout=600)
	kills("disk.qcow2", "qcow2")


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
	env = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}

	def fish(*commands):
		return ran("guestfish", "--format=raw", "-a", disk, "-m", "/dev/sda1", *commands, env=env, timeout=900).out
	vfs = dict(line.split(": ") for line in fish("statvfs", "/").splitlines())
	fish("fallocate64", "/fill", int(vfs["bfree"]) * int(vfs["bsize"]) - 3 * MIB)
	ran("cp", "--sparse=always", disk, "full.raw")
	r = adapt("--target", "kvm", disk, rc=2)
	check("free" in r.err and "make room" in r.err, r.show())
	one_line(r)
	check(same("full.raw", disk), "the refusal has changed the image")
	eq([], hidden(), "what was left behind")


def variant(root, of):
	"""Another machine: stops before, comes up after, also on another bus."""
	disk = copy(physical(**of))
	cause = boot(disk, TELLS, rc=1)
	check(cause, "it comes up before")
	adapt("--target", "kvm,vmware", disk)
	told(boot(disk, TELLS), root)
	told(boot(disk, TELLS, bus="virtio-scsi"), root.replace("vda", "sda"))


if ALL:
	add("Debian 11", variant, "vda1", dict(suite="bullseye"))
	add("UEFI and LVM", variant, "mapper/old-root", dict(boot="uefi", layout="lvm"))
	add("UEFI", variant, "vda1", dict(boot="uefi"))
	add("LVM", variant, "mapper/old-root", dict(layout="lvm"))
	add("btrfs", variant, "vda2", dict(layout="btrfs"))
	add("XFS", variant, "vda2", dict(layout="xfs"))
	add("dracut", variant, "vda1", dict(tool="dracut"))
main()

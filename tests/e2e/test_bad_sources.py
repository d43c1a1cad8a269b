#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is no disk, or no whole one, given to the programs that start machines and appliances: refused in a line, before anything is begun."""
import os, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

PROGRAMS = {
	"inspect": ["vdisk-inspect"],
	"adapt": ["vdisk-adapt", "--target", "kvm"],
	"plan": ["vdisk-adapt", "--plan", "--target", "kvm"],
	"verify": ["vdisk-verify", "--engine", "qemu", "--timeout", "30"],
	"migrate": ["vdisk-migrate", "--target", "kvm", "--out", "result"],
	"p2v": ["vdisk-p2v", "--target", "kvm", "--out", "result"],
}
VMX = 'config.version = "8"\nvirtualHW.version = "13"\ndisplayName = "t"\nguestOS = "debian11-64"\nmemsize = "512"\n' \
      'scsi0.present = "TRUE"\nscsi0.virtualDev = "lsilogic"\nscsi0:0.present = "TRUE"\nscsi0:0.fileName = "%s"\n'


def write(path, b):
	with open(path, "wb") as f:
		f.write(b)


def host():
	"""Machines and appliances that tell when they are started, and do nothing."""
	os.mkdir("bin")
	for name in ("qemu-system-x86_64", "qemu-kvm"):
		with open("bin/" + name, "w") as f:
			f.write("#!/bin/sh\ntouch %s/started\nexit 1\n" % os.getcwd())
		os.chmod("bin/" + name, 0o755)
	here = os.path.join(os.getcwd(), "bin")
	return {"PATH": here + ":" + os.environ["PATH"], "LIBGUESTFS_HV": here + "/qemu-kvm", "LIBGUESTFS_BACKEND": "direct"}


def judge(env, name, path, *mentions, options=()):
	argv = PROGRAMS[name] + list(options)
	if not os.path.exists(os.path.join(BUILD, argv[0])):
		return
	before = tree(".")
	r = run(os.path.join(BUILD, argv[0]), *argv[1:], path, env=env, timeout=120)
	eq(2, r.rc, "exit status: %s" % r.show())
	one_line(r)
	eq("", r.out, "standard output: %s" % r.show())
	check(not os.path.exists("started"), "something was started: %s" % r.show())
	eq(before, tree("."), "files, after %s" % r)
	check(r.cpu < 10 * (10 if sanitized() else 1), "%.1f s of work: %s" % (r.cpu, r))
	for m in mentions:
		check(m in r.err, "%r is due: %s" % (m, r.show()))


def disks():
	"""Whole ones, in each format."""
	with open("a.raw", "wb") as f:
		f.truncate(24 * MIB)
		r = random.Random(SEED)
		for at in range(0, 24, 2):
			f.seek(at * MIB)
			f.write(r.randbytes(MIB))
	for fmt in ("qcow2", "vmdk", "vhd", "vhdx", "vdi"):
		vdisk("convert", "-O", fmt, "a.raw", "whole." + fmt)
	os.unlink("a.raw")


@case
def cut_short():
	env = host()
	disks()
	for fmt in ("qcow2", "vmdk", "vhd", "vhdx", "vdi"):
		path = "whole." + fmt
		os.truncate(path, os.path.getsize(path) // 3)
		for name in ("inspect", "adapt", "plan", "verify"):
			judge(env, name, path)
		write("m.vmx", (VMX % path).encode())
		judge(env, "migrate", "m.vmx")


def capture(fmt, path):
	"""The folder of one whose only disk is that."""
	os.makedirs("box", exist_ok=True)
	shutil.copy(path, "box/sda." + fmt)
	size = 24 * MIB
	with open("box/machine.json", "w") as f:
		json.dump({"schema-version": 1, "name": "box", "firmware": "bios", "cpus": 1, "memory": 268435456,
		           "disks": [{"name": "sda", "bus": "sata", "size": size}], "nics": []}, f)


@case
def cut_captures():
	"""With the appliance that would adapt the guest, and without."""
	env = host()
	disks()
	for fmt in ("qcow2", "vmdk"):
		capture(fmt, "whole." + fmt)
		os.truncate("box/sda." + fmt, os.path.getsize("box/sda." + fmt) // 3)
		judge(env, "p2v", "box", "sda." + fmt)
		judge(env, "p2v", "box", "sda." + fmt, options=["--no-adapt"])
		os.unlink("box/sda." + fmt)


def full(name, path):
	"""Each of some writes, flushes and renames finds no room: told in a line, and nothing is left."""
	argv = PROGRAMS[name]
	if not os.path.exists(os.path.join(BUILD, argv[0])):
		return
	before, shim = tree("."), os.path.join(BUILD, "tests", "libshim.so")
	for op, numbers in (("write", (1, 9, 20, 33)), ("sync", range(1, 60)), ("name", range(1, 60, 3))):
		for n in numbers:
			r = run(os.path.join(BUILD, argv[0]), *argv[1:], "--no-adapt", path, timeout=120,
			        env={"LD_PRELOAD": shim, "SHIM_OP": op, "SHIM_NTH": str(n), "SHIM_DO": str(errno.ENOSPC), "SHIM_MATCH": "result"})
			if not r.rc and op != "write":
				shutil.rmtree("result")
				break
			eq(2, r.rc, "%s %d finds no room: exit status: %s" % (op, n, r.show()))
			one_line(r)
			check("No space left" in r.err, "the reason: %s" % r.show())
			eq(before, tree("."), "files, where %s %d finds no room" % (op, n))
		check(n > 4, "only %d calls of %s" % (n, op))


@case
def a_full_disk_for_a_machine():
	if not os.path.exists(os.path.join(BUILD, "tests", "libshim.so")):
		skip("there is no libshim.so")
	disks()
	write("m.vmx", (VMX % "whole.vmdk").encode())
	full("migrate", "m.vmx")
	capture("qcow2", "whole.qcow2")
	full("p2v", "box")


@case
def no_disks():
	env = host()
	disks()
	head = open("whole.qcow2", "rb").read(100)
	write("empty.qcow2", b"")
	write("empty", b"")
	write("head.qcow2", head)
	write("png.raw", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(5000))
	shutil.copy("/bin/true", "elf")
	write("zip.img", b"PK\x03\x04" + bytes(5000))
	write("jpeg", b"\xff\xd8\xff\xe0" + bytes(5000))
	os.mkdir("folder")
	os.mkfifo("fifo")
	for path, *mentions in (("empty.qcow2", "is empty"), ("empty", "is empty"), ("head.qcow2", "cut short"), ("png.raw", "PNG", "no disk"), ("elf", "ELF", "no disk"),
	                        ("zip.img", "ZIP"), ("jpeg", "JPEG"), ("folder",), ("fifo",), ("/dev/null",), ("nothing", "No such file")):
		for name in PROGRAMS:
			judge(env, name, path, *(mentions if name not in ("migrate", "p2v") else ()))
	for path in ("empty.ova", "empty.vmx", "empty.xml", "empty.vbox", "empty.xva", "empty.vma"):
		write(path, b"")
		judge(env, "migrate", path)
	for path in ("elf.ova", "elf.vmx", "elf.vbox"):
		shutil.copy("elf", path)
		judge(env, "migrate", path)
	if os.geteuid():
		write("secret.raw", bytes(4096))
		os.chmod("secret.raw", 0)
		for name in ("inspect", "adapt", "plan", "verify"):
			judge(env, name, "secret.raw", "Permission denied")


@case
def forged():
	"""Sizes that no file has."""
	env = host()
	disks()
	for path, at, value in (("whole.qcow2", 24, struct.pack(">Q", 1 << 62)), ("whole.qcow2", 40, struct.pack(">Q", 1 << 62)),
	                        ("whole.vdi", 0x170, struct.pack("<Q", 1 << 60)), ("whole.vmdk", 12, struct.pack("<Q", 1 << 52))):
		b = bytearray(open(path, "rb").read())
		b[at:at + 8] = value
		write("forged" + os.path.splitext(path)[1], b)
		for name in ("inspect", "adapt", "plan", "verify"):
			judge(env, name, "forged" + os.path.splitext(path)[1])


@case
def blank():
	"""Nothing is on it, however large: no appliance looks for a system there."""
	env = host()
	for fmt, size in (("raw", "8T"), ("qcow2", "64T"), ("vhdx", "64T")):
		vdisk("create", "-f", fmt, "blank." + fmt, size)
		for name in ("adapt", "plan"):
			judge(env, name, "blank." + fmt, "blank")
	if not os.path.exists(os.path.join(BUILD, "vdisk-adapt")):
		return
	# A disk with something at its beginning is looked into.
	write("some.raw", bytes(510) + b"\x55\xaa" + bytes(MIB))
	r = run(os.path.join(BUILD, "vdisk-adapt"), "--plan", "--target", "kvm", "some.raw", env=env)
	check(os.path.exists("started"), "the appliance was not started: %s" % r.show())


@case
def asked_for_as_raw():
	"""-f raw takes the bytes, whatever they look like."""
	write("png", b"\x89PNG\r\n\x1a\n" + bytes(4088))
	refused("info", "png", mentions=("PNG", "-f raw"))
	eq(4096, vdisk("info", "-f", "raw", "--json", "png").json()["virtual-size"], "size")
	vdisk("convert", "-f", "raw", "-O", "qcow2", "png", "out.qcow2")


@case
def answers_that_cannot_be_written():
	"""Told before the machine runs."""
	env = host()
	vdisk("create", "-f", "raw", "blank.raw", "1M")
	os.mkdir("folder")
	for option in ("--junit", "--screenshot", "--firmware-log", "--serial"):
		for path in ("none/answer", "folder"):
			judge(env, "verify", "blank.raw", path, options=[option, path])


main()

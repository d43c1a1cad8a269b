#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk verify: small guests that come up, fail in each of the ways that there are, or hang; under both engines."""
import glob, os, re, struct, subprocess, sys, time, xml.etree.ElementTree, zlib
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from bootsectors import *

VERIFY = os.path.join(BUILD, "vdisk-verify")
SEABIOS = "/usr/share/seabios/bios-256k.bin"


def engines():
	"""Those that serve here; at least one."""
	if not os.path.exists(VERIFY):
		skip("vdisk-verify is not built")
	found = []
	if shutil.which("qemu-system-x86_64"):
		found.append("qemu")
	if os.access("/dev/kvm", os.R_OK | os.W_OK) and os.path.exists(SEABIOS):
		found.append("kvm")
	if not found:
		skip("neither QEMU nor /dev/kvm")
	return found


def verify(engine, *args, rc=0, timeout=120, **kw):
	r = run(VDISK, "verify", "--engine", engine, "--mem", "64", "--timeout", timeout, *args, **kw)
	if r.rc != rc:
		fail("exit status %d is due\n    %s" % (rc, r.show()))
	return r


def answer(engine, *args, **kw):
	r = verify(engine, "--json", *args, **kw)
	a = r.json()
	eq(1, a["schema-version"], "schema-version")
	eq(engine, a["engine"], "engine")
	return a


@case
def comes_up():
	disk = boot_disk("up", "\\r\\nsmall system\\r\\n\\033[1mhost login: ")
	before = sha256(disk)
	for engine in engines():
		r = verify(engine, "--serial", "serial.txt", "--junit", "junit.xml", disk)
		# The loader stands on the screen alone, for a moment before the login comes over the line: it may not have been looked at.
		check(re.match(r"^up\.raw: booted after \d+\.\d s: host login: \(firmware [\d.]+, (loader [\d.]+, )?login [\d.]+\)\n$", r.out),
		      "what it says: %r" % r.out)
		eq(b"\r\nsmall system\r\n\033[1mhost login: ", open("serial.txt", "rb").read(), "the serial line")
		suite = xml.etree.ElementTree.parse("junit.xml").getroot()
		eq(("1", "0", "0"), (suite.get("tests"), suite.get("failures"), suite.get("errors")), "JUnit's counts")
		eq("up.raw", suite.find("testcase").get("name"), "JUnit's name")
		eq(None, suite.find("testcase/failure"), "JUnit's failure")
		eq(before, sha256(disk), "the image")


@case
def formats():
	"""Both engines boot what only our own drivers need to know, over a chain, and the images stay."""
	disk = boot_disk("up", "login: ")
	vdisk("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", disk, "up.vmdk")
	vdisk("convert", "-O", "vhd", disk, "up.vhd")
	vdisk("create", "-f", "qcow2", "-b", "up.vhd", "-F", "vhd", "mid.qcow2")
	vdisk("create", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", "top.qcow2")
	before = tree(".")
	engine = engines()[0]
	for image in ("up.vmdk", "up.vhd", "top.qcow2"):
		eq("login:", answer(engine, image)["cause"], "cause of %s" % image)
	eq(before, tree("."), "the folder")


@case
def text_screen():
	disk = boot_disk("screen", "\\r\\nThis is it\\r\\n", how=SCREEN)
	for engine in engines():
		a = answer(engine, "--expect", "^This is (it|that)$", "--screenshot", "screen.png", disk)
		eq(("booted", "This is it", "screen.png"), (a["verdict"], a["cause"], a["screenshot"]), "the answer")
		width, height, pixels = png_read("screen.png")
		check((width, height) in ((640, 400), (720, 400)), "a picture of %d by %d" % (width, height))
		check(len(set(pixels[i:i + 3] for i in range(0, len(pixels), 3))) >= 2, "the picture shows nothing")
		verify(engine, "--expect", "^no such words$", "--reference", "screen.png", disk) # the picture is enough


def png_read(path):
	"""Width, height and RGB bytes, by our own reading of the format: 8 bits, no interlace."""
	data = open(path, "rb").read()
	eq(b"\x89PNG\r\n\x1a\n", data[:8], "the signature of %s" % path)
	at, packed = 8, b""
	while at < len(data):
		size, kind = struct.unpack_from(">I4s", data, at)
		body = data[at + 8:at + 8 + size]
		eq(zlib.crc32(kind + body), struct.unpack_from(">I", data, at + 8 + size)[0], "the checksum of a chunk of %s" % path)
		if kind == b"IHDR":
			width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", body)
			eq((8, 2, 0), (depth, color, interlace), "depth, colour type, interlace")
		elif kind == b"IDAT":
			packed += body
		at += 12 + size
	raw, stride, rows, above = zlib.decompress(packed), 3 * width, [], bytes(3 * width)
	for y in range(height):
		kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
		for x in range(stride):
			a, b, c = (line[x - 3] if x > 2 else 0), above[x], (above[x - 3] if x > 2 else 0)
			p = a + b - c
			paeth = a if abs(p - a) <= abs(p - b) and abs(p - a) <= abs(p - c) else b if abs(p - b) <= abs(p - c) else c
			line[x] = (line[x] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
		rows.append(bytes(line))
		above = line
	return width, height, b"".join(rows)


FAILURES = [
	("prompt", "\\r\\nALERT!  /dev/sda1 does not exist.  Dropping to a shell!\\r\\n(initramfs) ", HANG, "ALERT!  /dev/sda1 does not exist"),
	("panic", "\\r\\n[    1.000000] Kernel panic - not syncing: no init\\r\\n", HANG, "Kernel panic - not syncing: no init"),
	("triple", "here\\r\\n", TRIPLE, "triple fault"),
	("loop", "again\\r\\n", RESET, "boot loop: 3 resets; the last line was: again"),
	("off", "bye\\r\\n", POWEROFF, "the guest switched itself off before it was up; its last line was: bye"),
]


@case
def failures():
	for name, text, then, cause in FAILURES:
		disk = boot_disk(name, text, then=then)
		for engine in engines() if ALL or name in ("prompt", "triple") else engines()[:1]:
			a = answer(engine, "--junit", "junit.xml", disk, rc=1)
			eq("failed", a["verdict"], "verdict of %s under %s" % (name, engine))
			check(cause in a["cause"], "cause of %s under %s: %r" % (name, engine, a["cause"]))
			failure = xml.etree.ElementTree.parse("junit.xml").getroot().find("testcase/failure")
			eq(("failed", a["cause"]), (failure.get("type"), failure.get("message")), "JUnit's failure")


@case
def within_five_seconds():
	"""How long the judge takes once the guest has shown that it failed: the best of three, where a machine is busy."""
	disk = boot_disk("stall", "\\r\\n\\r\\n(initramfs) ")
	took = []
	while len(took) < 3 and (not took or took[-1] >= 5):
		took.append(verdict_seconds(disk))
	check(took[-1] < 5, "the verdict took %s s" % took)


def verdict_seconds(disk):
	engine = engines()[0]
	p = subprocess.Popen([VDISK, "verify", "--engine", engine, "--mem", "64", "--timeout", "120", "--serial", "serial.txt", disk],
	                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
	shown, deadline = None, time.monotonic() + 120
	while p.poll() is None and time.monotonic() < deadline:
		if shown is None and os.path.exists("serial.txt") and b"(initramfs) " in open("serial.txt", "rb").read():
			shown = time.monotonic()
		time.sleep(0.02)
	ended = time.monotonic()
	p.kill()
	eq(1, p.wait(), "exit status")
	check(shown is not None, "the guest never showed its prompt")
	return ended - shown


@case
def no_boot_loader():
	write_file("zero.raw", bytes(MIB))
	for engine in engines():
		a = answer(engine, "zero.raw", rc=1)
		eq("failed", a["verdict"], "verdict")
		check(a["cause"].startswith("No bootable device."), "cause: %r" % a["cause"])


@case
def hangs():
	disk = boot_disk("hang", "waiting\\r\\n")
	for engine in engines() if ALL else engines()[:1]:
		a = answer(engine, disk, rc=1, timeout=8)
		eq("timed-out", a["verdict"], "verdict")
		check(a["cause"] in ["no sign of success within 8 s; the last line was: " + line for line in ("waiting", "Booting from Hard Disk...")],
		      "cause: %r" % a["cause"])
		check(8 <= a["seconds"] < 60, "after %s s" % a["seconds"])


@case
def resets_once():
	"""A guest that resets itself at its first start, as some do, comes up at its second; what it wrote is in the overlay alone."""
	write_file("once.s", b"""
	.code16
	.globl _start
_start:	xor %ax, %ax
	mov %ax, %ds
	mov $packet, %si
	mov $0x80, %dl
	mov $0x42, %ah
	int $0x13
	cmpb $1, 0x8000
	je up
	movb $1, 0x8000
	mov $packet, %si
	mov $0x80, %dl
	mov $0x4300, %ax
	int $0x13
	mov $6, %al
	mov $0xcf9, %dx
	out %al, %dx
1:	hlt
	jmp 1b
up:	mov $text, %si
	mov $12, %cx
	mov $0x3f8, %dx
	rep outsb
	jmp 1b
text:	.ascii "once login: "
packet:	.byte 16, 0, 1, 0
	.word 0x8000, 0
	.quad 3
	.org 510
	.word 0xaa55
""")
	need("as", "ld")
	ran("as", "--32", "once.s", "-o", "once.o")
	ran("ld", "-m", "elf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o", "once.raw", "once.o")
	os.truncate("once.raw", MIB)
	before = sha256("once.raw")
	for engine in engines() if ALL else engines()[:1]:
		a = answer(engine, "once.raw")
		eq(("booted", "once login:", 1), (a["verdict"], a["cause"], a["resets"]), "the answer of %s" % engine)
		eq(before, sha256("once.raw"), "the image")
		a = answer(engine, "--no-reboot", "once.raw", rc=1)
		eq(("failed", "the guest reset itself"), (a["verdict"], a["cause"][:22]), "with --no-reboot")


@case
def buses():
	if "qemu" not in engines():
		skip("QEMU is not installed")
	disk = boot_disk("bus", "bus login: ")
	for bus in ("virtio-blk", "virtio-scsi", "ide", "ahci"):
		eq("bus login:", answer("qemu", "--bus", bus, disk)["cause"], "cause on %s" % bus)
	eq("bus login:", answer("qemu", "--nic", "user,mac=52:54:00:01:02:03,model=e1000", disk, disk)["cause"], "with a card and two disks")


@case
def boots_with_qemu():
	"""vdisk boot, too: output, and input that reaches the guest."""
	if "qemu" not in engines():
		skip("QEMU is not installed")
	disk = boot_disk("echo", "type: ", then="mov $0x3fd, %dx; in %dx, %al; test $1, %al; jz 2b; mov $0x3f8, %dx; in %dx, %al; cmp $'q, %al; "
	                 "je 4f; inc %al; out %al, %dx; jmp 2b; 4: " + POWEROFF)
	r = run(VDISK, "boot", "--engine", "qemu", "--mem", "64", "--timeout", "40", disk, stdin=b"HALq")
	eq((0, "type: IBM", ""), (r.rc, r.out, r.err), "what came of it")


@case
def engine_auto():
	disk = boot_disk("auto", "auto login: ")
	if "qemu" not in engines():
		skip("QEMU is not installed")
	r = run(VDISK, "verify", "--json", "--mem", "64", "--timeout", "40", disk)
	eq(0, r.rc, "exit status")
	a = r.json()
	if a["engine"] == "qemu": # and it says why
		check(a["engine-reason"].startswith(("/dev/kvm", "there is no /dev/kvm")), "the reason: %r" % a["engine-reason"])
		eq("vdisk verify: %s\n" % a["engine-reason"], r.err, "stderr")
	else:
		eq((None, ""), (a["engine-reason"], r.err), "the reason")
	r = run(VDISK, "verify", "--json", "--bus", "ide", "--mem", "64", "--timeout", "40", disk)
	eq((0, "qemu"), (r.rc, r.json()["engine"]), "a bus that the own machine lacks")
	os.mkdir("empty")
	r = run(VERIFY, "--engine", "qemu", disk, env={"PATH": os.path.abspath("empty")})
	eq((2, "vdisk verify: qemu-system-x86_64 is not installed\n"), (r.rc, r.err), "without QEMU")


def kernel_needed():
	found = sorted(glob.glob("/boot/vmlinuz-*"))
	found = [k for k in found if os.access(k, os.R_OK)]
	if not found or "qemu" not in engines():
		skip("no kernel in /boot, or no QEMU")
	need("grub-fstest", "mke2fs", "sfdisk")
	return found[-1]


def partitioned(folder, path, fs="ext4"):
	"""An MBR disk whose only partition holds the folder's files."""
	size = 96 * MIB
	write_file("part.img", b"")
	os.truncate("part.img", size)
	if fs == "ext4":
		ran("mke2fs", "-q", "-F", "-t", "ext4", "-U", "11111111-2222-3333-4444-555555555555", "-d", folder, "part.img")
	else:
		need("mkfs.vfat", "mcopy")
		ran("mkfs.vfat", "part.img")
		ran("mcopy", "-s", "-i", "part.img", *[os.path.join(folder, n) for n in sorted(os.listdir(folder))], "::")
	write_file(path, b"")
	os.truncate(path, size + 2 * MIB)
	ran("sfdisk", "-q", path, stdin=b"start=2048,size=%d,type=%s\n" % (size // 512, b"83" if fs == "ext4" else b"ef"))
	with open("part.img", "rb") as f, open(path, "r+b") as t:
		t.seek(MIB)
		shutil.copyfileobj(f, t)
	os.unlink("part.img")


def unified_kernel(kernel, cmdline, path):
	"""A PE file with the sections of a unified kernel image."""
	parts = [(b".linux", open(kernel, "rb").read()), (b".cmdline", cmdline)]
	at, head, body = 0x400, b"", b""
	for name, data in parts:
		padded = data + bytes(-len(data) % 512)
		head += struct.pack("<8sIIIIIIHHI", name, len(data), 0, len(padded), at + len(body), 0, 0, 0, 0, 0)
		body += padded
	pe = b"MZ" + bytes(0x3a) + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(parts), 0, 0, 0, 0, 0) + head
	write_file(path, pe + bytes(0x400 - len(pe)) + body)


GRUB_CFG = """
if [ -s $prefix/grubenv ]; then load_env; fi
set default="${saved_entry}"
menuentry 'wrong' --id wrong { linux /boot/vmlinuz wrong }
submenu 'more' --id more {
	menuentry 'right' --id right {
		search --no-floppy --fs-uuid --set=root 11111111-2222-3333-4444-555555555555
		linux /boot/vmlinuz console=ttyS0 right
	}
}
"""


@case
def firmware_none():
	"""The kernel that the disk's own boot loader names, with its command line: GRUB on ext4, by way of FUSE or a copy; a unified kernel
	image on FAT."""
	kernel = kernel_needed()
	os.makedirs("root/boot/grub")
	shutil.copy(kernel, "root/boot/vmlinuz")
	write_file("root/boot/grub/grub.cfg", GRUB_CFG.encode())
	write_file("root/boot/grub/grubenv", b"# GRUB Environment Block\nsaved_entry=more>right\n" + b"#" * 900)
	partitioned("root", "grub.raw")
	vdisk("convert", "-O", "vmdk", "grub.raw", "grub.vmdk")
	before = sha256("grub.vmdk")
	os.mkdir("tmp")
	args = ["--firmware", "none", "--expect", "Command line: BOOT_IMAGE=/boot/vmlinuz console=ttyS0 right also$", "--append", "also", "--mem",
	        "256"]
	env = {"TMPDIR": os.path.abspath("tmp")}
	for image in ("grub.raw", "grub.vmdk"):
		a = answer("qemu", *args, image, timeout=120, env=env)
		eq(("booted", "none"), (a["verdict"], a["firmware"]), "the answer for %s" % image)
		eq([], os.listdir("tmp"), "what was left in TMPDIR")
	eq(before, sha256("grub.vmdk"), "the image")

	os.makedirs("esp/EFI/Linux")
	unified_kernel(kernel, b"console=ttyS0 one and all\n", "esp/EFI/Linux/system-1.efi")
	partitioned("esp", "uki.raw", "vfat")
	a = answer("qemu", "--firmware", "none", "--expect", "Command line: console=ttyS0 one and all$", "--mem", "256", "uki.raw", timeout=120)
	eq("booted", a["verdict"], "verdict of the unified kernel image")

	os.unlink("root/boot/grub/grub.cfg")
	write_file("root/boot/grub/grub.cfg", b"menuentry W { chainloader +1 }\n")
	partitioned("root", "other.raw")
	for image, words in (("other.raw", "chainloader +1"), (boot_disk("nothing", "x"), "no boot loader's configuration")):
		r = refused("verify", "--engine", "qemu", "--firmware", "none", image, stdin=b"")
		check(words in r.err, "no %r in %r" % (words, r.err))


PVH = """
	.section .note.Xen,"a",@note
	.long 4, 4, 18
	.asciz "Xen"
	.long start
	.text
	.code32
	.globl start
start:	mov $0x90000, %esp
	mov %ebx, %edi
	cmpl $0x336ec578, (%edi)
	jne 9f
	mov $text, %esi
	call say
	mov 24(%edi), %esi
	call say
	mov 16(%edi), %eax
	test %eax, %eax
	jz 9f
	mov (%eax), %esi
	call say
9:	mov $0x604, %dx
	mov $0x2000, %ax
	out %ax, %dx
	hlt
say:	mov $0x3f8, %dx
1:	lodsb
	test %al, %al
	jz 2f
	out %al, %dx
	jmp 1b
2:	ret
	.data
text:	.asciz "pvh: "
"""


@case
def pvh():
	"""An ELF file with Xen's note: its entry, command line and initial RAM disk, under both engines."""
	need("cc")
	write_file("pvh.s", PVH.encode())
	ran("cc", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-Ttext=0x200000", "-Wl,--section-start=.note.Xen=0x300000",
	    "-Wl,-e,start", "-o", "pvh", "pvh.s")
	write_file("initrd", b" and its disk\0")
	for engine in engines():
		a = answer(engine, "--kernel", "pvh", "--initrd", "initrd", "--append", "its words", "--expect", "^pvh: its words and its disk$")
		eq("booted", a["verdict"], "verdict under %s" % engine)
	write_file("pvh.s", PVH.replace(".long 4, 4, 18", ".long 4, 4, 17").encode())
	ran("cc", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-Ttext=0x200000", "-Wl,-e,start", "-o", "none", "pvh.s")
	if "kvm" in engines():
		check("PVH" in refused("verify", "--engine", "kvm", "--kernel", "none", stdin=b"").err, "which entry is missing")


@case
def panic():
	"""A real kernel that finds no root."""
	kernel = kernel_needed()
	a = answer("qemu", "--kernel", kernel, "--append", "console=ttyS0 quiet", "--mem", "256", rc=1, timeout=120)
	eq("failed", a["verdict"], "verdict")
	check("Kernel panic - not syncing" in a["cause"], "cause: %r" % a["cause"])
	check(a["stages"]["kernel"] is not None, "the kernel's time")


@case
def broken_root():
	"""Debian's own initial RAM disk, which finds no root: its prompt."""
	if not ALL:
		skip("the long tier")
	kernel = kernel_needed()
	initrd = kernel.replace("vmlinuz", "initrd.img")
	if not os.access(initrd, os.R_OK):
		skip("no initial RAM disk for %s" % kernel)
	a = answer("qemu", "--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0 root=/dev/sda9 rootdelay=1", "--mem", "512", rc=1,
	           timeout=300)
	eq("failed", a["verdict"], "verdict")
	check(a["cause"].startswith("ALERT!  /dev/sda9 does not exist."), "cause: %r" % a["cause"])


@case
def uefi_without_a_loader():
	if not ALL:
		skip("the long tier")
	if "qemu" not in engines() or not os.path.exists("/usr/share/OVMF/OVMF_CODE_4M.fd"):
		skip("no QEMU, or no OVMF")
	write_file("zero.raw", bytes(MIB))
	a = answer("qemu", "--firmware", "uefi", "--mem", "256", "zero.raw", rc=1, timeout=300)
	eq(("failed", "uefi"), (a["verdict"], a["firmware"]), "the answer")
	check("found nothing to boot" in a["cause"] or "No bootable option" in a["cause"], "cause: %r" % a["cause"])


@case
def refusals():
	engines()
	disk = boot_disk("x", "x")
	write_file("notes.txt", b"no picture")
	for args, word in ((["--expect", "(", disk], "--expect ("), (["--reference", "notes.txt", disk], "notes.txt"), ([], "--help"),
	                   (["--engine", "bochs", disk], "bochs"), (["--bus", "scsi", disk], "scsi"), (["--nic", "tap", disk], "tap"),
	                   (["--nic", "user,mac=zz", disk], "mac=zz"), (["--nic", "user,mac=01:00:00:00:00:01", disk], "mac="),
	                   (["--engine", "kvm", "--bus", "ide", disk], "ide"), (["nowhere.qcow2"], "nowhere.qcow2"),
	                   (["--timeout", "0", disk], "seconds"), (["--serial", "no/where", disk], "no/where"),
	                   (["--engine", "qemu", "--bus", "ide", disk, disk, disk, disk, disk], "4"),
	                   (["--engine", "qemu", "--nic", "user,model=nonesuch", disk], "nonesuch")):
		r = refused("verify", *args, stdin=b"")
		check(word in r.err, "no %r in %r" % (word, r.err))


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk boot: small guests (tests/runner) look at one device each.  They run on an emulated KVM, too."""
import fcntl, glob, os, signal, struct, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

FOLDER = os.path.join(SOURCE, "tests", "runner")


def usable():
	if not os.path.exists(os.path.join(BUILD, "vdisk-boot")):
		skip("vdisk-boot is not built")
	try:
		fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
	except OSError as e:
		skip("/dev/kvm: %s" % e.strerror)
	try:
		for cap in (0, 36, 77, 136): # interrupt controllers, ioeventfd, MSI, immediate exit
			if fcntl.ioctl(fd, 0xae03, cap) <= 0:
				skip("/dev/kvm lacks capability %d" % cap)
	finally:
		os.close(fd)
	need("cc", "ld")


def kernel():
	"""The guest as a bzImage: a setup header and its code."""
	if not os.path.exists("guest.bin"):
		ran("cc", "-O1", "-ffreestanding", "-fno-pic", "-fno-pie", "-static", "-nostdlib", "-mno-red-zone", "-mgeneral-regs-only",
		    "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none",
		    "-Wl,--oformat=binary", "-Wl,--no-warn-rwx-segments", "-Wl,-e,entry",
		    "-Wl,-T," + os.path.join(FOLDER, "guest.ld"), "-o", "guest.bin", *sorted(glob.glob(os.path.join(FOLDER, "guest*.c"))))
		head = bytearray(1024)
		head[0x1f1] = 1
		struct.pack_into("<H", head, 0x1fe, 0xaa55)
		head[0x202:0x206] = b"HdrS"
		struct.pack_into("<H", head, 0x206, 0x20f)
		struct.pack_into("<I", head, 0x22c, 0x7fffffff)
		struct.pack_into("<H", head, 0x236, 1)
		struct.pack_into("<I", head, 0x238, 255)
		struct.pack_into("<QI", head, 0x258, 0x100000, 0x100000)
		with open("guest.bin", "rb") as f:
			code = f.read()
		with open("guest", "wb") as f:
			f.write(bytes(head) + bytes(512) + code) # the entry is 0x200 into the code
	return "guest"


def boot(word, *args, rc=0, timeout=120, mem="64", **kw):
	usable()
	r = run(VDISK, "boot", "--engine", "kvm", "--kernel", kernel(), "--append", word, "--mem", mem, "--timeout", str(timeout), *args, **kw)
	if r.rc != rc:
		fail("exit status %d is due\n    %s" % (rc, r.show()))
	return r


def says(word, lines, *args, **kw):
	r = boot(word, *args, **kw)
	eq(lines, r.out.replace("\r", "").strip("\n").split("\n"), "what the guest %r says" % word)
	return r


def make_disk(path="disk.raw", size=MIB):
	write_file(path, rng_for("disk").randbytes(size))
	return path


@case
def serial():
	r = says("serial one two", ["serial one two"])
	eq("", r.err, "stderr")


@case
def serial_to_a_file():
	r = boot("serial x", "--serial", "out.txt")
	eq("", r.out, "stdout")
	eq("serial x", open("out.txt").read(), "the file")


@case
def serial_input():
	says("echo", ["abcde"], stdin=b"abcdefgh")


@case
def serial_input_waits():
	text = bytes(97 + i % 26 for i in range(5000))
	r = boot("cat", stdin=text)
	eq(text, r.raw, "5000 bytes through the serial line")


@case
def nobody_listens():
	"""The guest's output goes to a pipe that nobody reads: the time-out still ends it, also when all that lies between is full."""
	usable()
	k = kernel()
	read, write = os.pipe()
	p = subprocess.Popen([VDISK, "boot", "--engine", "kvm", "--kernel", k, "--append", "flood", "--mem", "64", "--timeout", "6"], stdin=subprocess.DEVNULL,
	                     stdout=write, stderr=subprocess.PIPE)
	os.close(write)
	try:
		err = p.communicate(timeout=120)[1].decode()
	finally:
		p.kill()
		os.close(read)
	eq((1, "vdisk boot: not done after 6 s\n"), (p.returncode, err), "how it ended")


def threads_of(pid):
	with contextlib.suppress(OSError):
		return len(os.listdir("/proc/%d/task" % pid))
	return 0


@case
def stopped_by_a_signal():
	usable()
	p = subprocess.Popen([VDISK, "boot", "--engine", "kvm", "--kernel", kernel(), "--append", "hang", "--mem", "64"], stdin=subprocess.DEVNULL,
	                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
	try:
		end = time.monotonic() + 60
		while threads_of(p.pid) < 2 and time.monotonic() < end: # until a processor runs
			time.sleep(0.02)
		p.send_signal(signal.SIGTERM)
		eq((1, b"vdisk boot: stopped by a signal\n"), (p.wait(60), p.stderr.read()), "how it ended")
	finally:
		p.kill()


@case
def timer_interrupt():
	says("pit", ["ticks 5"])


@case
def cmos_and_acpi_timer():
	year = time.gmtime().tm_year % 100
	says("cmos", ["battery 80", "year %02d" % year, "cpus 02", "timer runs"], "--cpus", "3")


@case
def clock_interrupts():
	says("clock", ["ticks 16", "seconds 1", "year 2000", "day 0101", "weekday 07", "hour 00", "hour 0c", "more 0"])


@case
def processors():
	"""Four are started by the first one."""
	says("processors", ["others 03"], "--cpus", "4")


@case
def keyboard_controller():
	says("keyboard", ["self-test 55", "reset fa00", "ready aa", "status 00"])


@case
def initrd():
	write_file("initrd", b"an initial RAM disk\n\0")
	says("initrd", ["an initial RAM disk"], "--initrd", "initrd")


@case
def pci_configuration():
	says("pci", ["pci 00 12378086", "pci 08 70008086", "pci 0b 71138086", "pci 18 10011af4", "pci 98 10051af4", "off ffffffff", "bus1 ffffffff",
	             "bar0 ffffff81", "bar4 ffffc000", "ro 10011af4"], make_disk())


DISK = ["status 0f", "sectors 00000800", "read 00", None, "write 00", "flush 00", "zeroes 00", "back 23", "beyond 01", "far 01",
        "odd 01", "unknown 02", "vdisk0"]


def disk_session(image, *args):
	raw = open("disk.raw", "rb").read()
	lines = list(DISK)
	lines[3] = raw[512:528].hex()
	says("disk", lines, *args, image)


@case
def disk_overlay():
	make_disk()
	for fmt in ("raw", "qcow2", "vmdk", "vhd"):
		image = "disk.raw"
		if fmt != "raw":
			image = "disk." + fmt
			vdisk("convert", "-O", fmt, "disk.raw", image)
		before = sha256(image)
		os.mkdir("tmp")
		os.environ["TMPDIR"] = os.path.abspath("tmp")
		try:
			disk_session(image)
		finally:
			del os.environ["TMPDIR"]
		eq(before, sha256(image), "the image %s" % fmt)
		os.rmdir("tmp") # nothing was left there


@case
def disk_written():
	make_disk()
	vdisk("convert", "-O", "qcow2", "disk.raw", "disk.qcow2")
	disk_session("disk.qcow2", "--rw")
	want = bytearray(open("disk.raw", "rb").read())
	want[16 * 512:16 * 512 + 4096] = bytes(i * 7 & 255 for i in range(4096))
	want[32 * 512:40 * 512] = bytes(4096)
	write_file("want.raw", bytes(want))
	same_as_raw("want.raw", "disk.qcow2", "qcow2")
	qemu_check("disk.qcow2", "qcow2")


@case
def disk_over_a_chain():
	make_disk()
	vdisk("convert", "-O", "qcow2", "disk.raw", "base.qcow2")
	vdisk("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2")
	disk_session("top.qcow2")


@case
def hostile_rings():
	make_disk()
	begin = ["status 0f", "sectors 00000800"]
	says("hostile", (begin + ["hostile 4f"]) * 6 + begin + ["read 00"], "disk.raw")


@case
def random_numbers():
	says("rng", ["status 0f", "bytes 00000040", "bytes 00001000", "random 1"])


@case
def network():
	answer = ["bytes 1", "buffers 01", "type 0806", "answer 02", "from 0a000202"]
	says("net", ["status 0f", "525400123456"] + answer, "--nic", "user")
	says("net", ["status 0f", "520000aabbcc"] + answer, "--nic", "user,mac=52:00:00:aa:BB:cc")


SATA = ["signature 00000101", "link 00000133", "identify 0050", "moved 00000200", "sectors 00000800", "vd", "read 0050", None, "write 0050",
        "pio 0050", "flush 0050", "back 0050", "byte 23", "trim 0050", "verify 0050", "queued 20", "queued 20", "beyond 0451", "far 0451",
        "short 0451", "unknown 0451", "nowhere 0451", "log 0050", "tag 09", "no list", "read 0050", "link 00000000", "link 00000133"]


@case
def sata():
	make_disk()
	raw = open("disk.raw", "rb").read()
	lines = list(SATA)
	lines[7] = raw[512:528].hex()
	before = sha256("disk.raw")
	says("sata", lines, "--bus", "ahci", "disk.raw")
	eq(before, sha256("disk.raw"), "the image")
	vdisk("convert", "-O", "qcow2", "disk.raw", "disk.qcow2")
	says("sata", lines, "--bus", "ahci", "--rw", "disk.qcow2")
	want = bytearray(raw)
	want[16 * 512:24 * 512] = bytes(i * 7 & 255 for i in range(4096))
	want[24 * 512:25 * 512] = want[16 * 512:17 * 512]
	want[128 * 512:256 * 512] = bytes(128 * 512) # a whole cluster, which can be given back
	for i in range(32):
		at = (256 + 8 * (31 - i)) * 512
		want[at:at + 4096] = bytes(i + j * 3 & 255 for j in range(4096))
	write_file("want.raw", bytes(want))
	same_as_raw("want.raw", "disk.qcow2", "qcow2")
	qemu_check("disk.qcow2", "qcow2")


@case
def disk_many_at_once():
	make_disk()
	vdisk("convert", "-O", "qcow2", "disk.raw", "disk.qcow2")
	begin, end = ["status 0f", "sectors 00000800"], ["once 40", "good 40"]
	says("many", begin + (end * 2 + ["right 40"]) * 5 + ["late 0000"] + begin + end, "disk.qcow2")


@case
def resets():
	for word in ("reset-cf9", "reset-8042", "reset-92"):
		r = boot(word, "--no-reboot", rc=1)
		check("reset by" in r.err, "stderr of %s: %r" % (word, r.err))


@case
def triple_fault():
	r = boot("crash", rc=1)
	eq("vdisk boot: triple fault on processor 0\n", r.err, "stderr")
	r = boot("crash", "-v", rc=1)
	for word in ("processor 0: rip 0x", "cr0 0x", "its last exits", "vdisk boot: triple fault on processor 0\n"):
		check(word in r.err, "-v tells %r\n    %s" % (word, r.show()))


@case
def hanging():
	r = boot("hang", rc=1, timeout=1)
	eq("vdisk boot: not done after 1 s\n", r.err, "stderr")
	check(r.seconds < 60, "it took %.1f s" % r.seconds)


BOOT_SECTOR = """
	.code16
	.globl _start
_start:	xor %ax, %ax
	mov %ax, %ds
	mov $text, %si
1:	lodsb
	test %al, %al
	jz 2f
	mov $0x3f8, %dx
	out %al, %dx
	mov $0x0e, %ah
	mov $7, %bx
	int $0x10
	jmp 1b
2:	mov $packet, %si
	mov $0x80, %dl
	mov $0x42, %ah
	int $0x13
	jc 3f
	mov $0x8000, %si
	mov $4, %cx
	mov $0x3f8, %dx
	rep outsb
3:	mov $0x604, %dx
	mov $0x2000, %ax
	out %ax, %dx
	hlt
text:	.asciz "boot sector "
packet:	.byte 16, 0, 1, 0
	.word 0x8000, 0
	.quad 3
	.org 510
	.word 0xaa55
"""


@case
def seabios():
	usable()
	if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
		skip("seabios is not installed")
	need("as")
	write_file("boot.s", BOOT_SECTOR.encode())
	ran("as", "--32", "boot.s", "-o", "boot.o")
	ran("ld", "-m", "elf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o", "boot.bin", "boot.o")
	for fmt, bus, driver in (("raw", "virtio-blk", "using modern (1.0) virtio mode"), ("qcow2", "ahci", "AHCI/0: registering: ")):
		shutil.copy("boot.bin", "disk.raw")
		os.truncate("disk.raw", MIB)
		write_file("disk.raw", b"disk", 3 * 512)
		if fmt != "raw":
			vdisk("convert", "-O", fmt, "disk.raw", "disk." + fmt)
		r = run(VDISK, "boot", "--engine", "kvm", "--mem", "128", "--timeout", "60", "--firmware-log", "log", "--bus", bus, "disk." + fmt)
		eq((0, "boot sector disk"), (r.rc, r.out), "what the boot sector says\n    %s" % r.show())
		log = open("log").read()
		for words in ("QEMU fw_cfg DMA interface supported", driver, "Start SeaVGABIOS",
		              "Booting from Hard Disk"):
			check(words in log, "no %r in the firmware's log:\n%s" % (words, log))


@case
def no_boot_loader():
	usable()
	if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
		skip("seabios is not installed")
	write_file("disk.raw", bytes(MIB))
	for seconds in ("5", "40"): # on a busy machine the first is not enough
		r = run(VDISK, "boot", "--engine", "kvm", "--mem", "128", "--timeout", seconds, "--firmware-log", "log", "disk.raw")
		eq(1, r.rc, "exit status")
		if "not a bootable disk" in open("log").read():
			break
	check("not a bootable disk" in open("log").read(), "the firmware's log: %s" % open("log").read())


@case
def refusals():
	usable()
	k = kernel()
	write_file("zeros", bytes(4096))
	write_file("big", bytes(1000))
	os.truncate("big", 200 * MIB)
	for args, word in ((["--kernel", "zeros"], "bzImage"), (["--kernel", "nowhere"], "nowhere"), ([], "--kernel"),
	                   (["--firmware", "coreboot", "x"], "coreboot"),
	                   (["--firmware", "bios", "--kernel", k], "--kernel"), (["--append", "x", "x"], "--kernel"),
	                   (["--kernel", k, "--mem", "1.5G"], "memory"), (["--kernel", k, "--mem", "8"], "memory"),
	                   (["--kernel", k, "--cpus", "17"], "17"), (["--kernel", k, "--cpus", "0"], "processors"),
	                   (["--kernel", k, "--initrd", "big", "--mem", "64"], "fit"),
	                   (["--kernel", k, "--append", "x" * 256], "255"),
	                   (["--kernel", k, "nowhere.qcow2"], "nowhere.qcow2")):
		r = refused("boot", "--engine", "kvm", *args, stdin=b"")
		check(word in r.err, "no %r in %r" % (word, r.err))


main()

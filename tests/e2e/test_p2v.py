#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""From a machine under a desk to a virtual one that boots: a "physical" Debian (tests/lab/physical.sh: SATA disk, e1000, no virtio in its initramfs) is booted
from the capture ISO, unattended; its disk goes over TLS to vdisk receive, which adapts it to KVM and boots it; the page says so.  The long tier does
it with UEFI, with Secure Boot, from a USB stick, with a volume group over two disks and two paths to one, live by snapshots, and by PXE up to the first
screen; drives the screens on the serial console, and builds the ISO twice."""
import http.client, os, re, socket, ssl, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from terminal import *

WAIT = 1800 # seconds for a step on a busy machine
CACHE = os.environ.get("VDISK_LAB_CACHE") or os.path.join(BUILD, "lab")
MAC = "00:25:90:12:34:56"
EPOCH = "1700000000"
OURS = ("vdisk", "vdisk-capture", "vdisk-capture-ui", "vdisk-mount", "vdisk-unmount")


def look():
	"""For all that any step will take, before the first one takes its minutes."""
	for p in (*OURS, "vdisk-receive", "vdisk-p2v", "vdisk-adapt", "vdisk-verify"):
		if not os.path.exists(os.path.join(BUILD, p)):
			skip("%s is not built" % p)
	need("mmdebstrap", "mksquashfs", "xorriso", "grub-mkimage", "mkfs.vfat", "mcopy", "cpio", "qemu-system-x86_64", "mke2fs", "mkswap", "sfdisk")


def iso(name="capture.iso", *args, cache=None):
	look()
	r = run("bash", os.path.join(SOURCE, "p2v", "iso", "build.sh"), "--programs", BUILD, "--cache", cache or os.path.join(CACHE, "iso"), *args, name,
	        env={"SOURCE_DATE_EPOCH": EPOCH}, timeout=WAIT)
	if r.rc and "mmdebstrap failed" in r.err:
		skip("mmdebstrap does not get Debian's packages here: " + r.err.strip()[:300])
	check(r.rc == 0, r.show())
	return name


def physical(**variant):
	look()
	r = run("bash", os.path.join(SOURCE, "tests", "lab", "physical.sh"), timeout=WAIT, env={k.upper(): v for k, v in variant.items()})
	if r.rc == 77:
		skip(r.err.strip().splitlines()[-1])
	check(r.rc == 0, r.show())
	ran("cp", "--sparse=always", "--reflink=auto", r.out.strip(), "disk.raw")
	return r.out.strip()


class Receive:
	"""vdisk receive, until the end of the block."""
	def __init__(self, *args):
		self.args = args

	def __enter__(self):
		self.out = open("receive.out", "w+")
		self.err = open("receive.err", "w+")
		self.p = subprocess.Popen([VDISK, "receive", "--json", "--store", "store", "--listen", "127.0.0.1:0", *self.args], stdout=self.out, stderr=self.err)
		self.facts = None
		end = time.monotonic() + 120
		while not self.facts:
			check(self.p.poll() is None, "vdisk receive ended: " + self.said())
			check(time.monotonic() < end, "vdisk receive does not begin: " + self.said())
			with open("receive.out") as f:
				for line in f:
					if line.endswith("\n") and json.loads(line).get("event") == "listening":
						self.facts = json.loads(line)
			time.sleep(0.1)
		return self

	def said(self):
		return "".join(open(n, errors="replace").read()[-3000:] for n in ("receive.out", "receive.err"))

	def get(self, path):
		c = http.client.HTTPSConnection("127.0.0.1", self.facts["port"], context=ssl._create_unverified_context(), timeout=60)
		c.request("GET", path, headers={"Authorization": "Bearer " + self.facts["view-key"]})
		r = c.getresponse()
		body = r.read()
		check(r.status == 200, "GET %s: %d %.300r" % (path, r.status, body))
		return body

	def captures(self):
		return json.loads(self.get("/v1/captures"))["captures"]

	def verdict(self):
		"""Of the one capture, when it is known."""
		end = time.monotonic() + WAIT
		while True:
			check(self.p.poll() is None, "vdisk receive ended: " + self.said())
			found = self.captures()
			eq(1, len(found), "captures on the page")
			if found[0]["state"] in ("done", "failed"):
				return found[0]
			check(time.monotonic() < end, "no verdict after %d s: %r" % (WAIT, found))
			time.sleep(1)

	def words(self):
		"""What the technician would type, as words of the kernel's command line."""
		return "vdisk.auto vdisk.server=10.0.2.2:%d vdisk.token=%s vdisk.fingerprint=%s" % (self.facts["port"], self.facts["token"], self.facts["fingerprint"])

	def __exit__(self, *exc):
		self.p.terminate()
		try:
			self.p.wait(60)
		except subprocess.TimeoutExpired:
			self.p.kill()
			self.p.wait()
		self.out.close()
		self.err.close()


def disks(*paths):
	"""The first one on SATA; the others on NVMe, since a kernel names SATA disks in the order in which it meets them, and the machine knows its
	first one as /dev/sda."""
	args = ["-device", "ahci,id=ahci"]
	for i, path in enumerate(paths):
		args += ["-drive", "if=none,id=disk%d,format=raw,cache=unsafe,file=%s" % (i, path),
		         "-device", "%s,drive=disk%d,serial=DISK-%d" % ("nvme" if i else "ide-hd,bus=ahci.0", i, i)]
	return args


def two_paths(path):
	"""One disk that two adapters lead to; the bus for the CD."""
	args = ["-device", "ahci,id=ahci"]
	for i in range(2):
		args += ["-device", "mptsas1068,id=sas%d" % i, "-drive", "if=none,id=path%d,format=raw,cache=unsafe,file.locking=off,file=%s" % (i, path),
		         "-device", "scsi-hd,drive=path%d,bus=sas%d.0,share-rw=on,serial=LUN-1,wwn=0x5000c50011223344" % (i, i)]
	return args


def cd(path):
	return ["-drive", "if=none,id=cd,media=cdrom,format=raw,readonly=on,file=" + path, "-device", "ide-cd,drive=cd,bus=ahci.5,bootindex=1"]


def stick(path):
	return ["-device", "qemu-xhci", "-drive", "if=none,id=stick,format=raw,snapshot=on,file=" + path, "-device", "usb-storage,drive=stick,bootindex=1"]


def firmware(secure=False):
	code = "/usr/share/OVMF/OVMF_CODE_4M.ms.fd" if secure else "/usr/share/OVMF/OVMF_CODE_4M.fd"
	names = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" if secure else "/usr/share/OVMF/OVMF_VARS_4M.fd"
	if not os.path.exists(code) or not os.path.exists(names):
		skip("there is no " + code)
	shutil.copy(names, "vars.fd")
	args = ["-machine", "q35,smm=on" if secure else "q35", "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + code, "-drive", "if=pflash,unit=1,format=raw,file=vars.fd"]
	return args + (["-global", "driver=cfi.pflash01,property=secure,value=on"] if secure else [])


@contextlib.contextmanager
def machine(*args, kind=("-machine", "pc"), serial="file:serial", nic=("-nic", "user,model=e1000,mac=" + MAC)):
	"""The physical machine, of 1 GiB."""
	with open("qemu.err", "w") as err:
		p = subprocess.Popen(["qemu-system-x86_64", *kind, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024", "-display", "none", "-monitor",
		                      "none", "-no-reboot", "-serial", serial, *nic, *args], stdin=subprocess.DEVNULL, stdout=err, stderr=err)
	try:
		yield p
	finally:
		p.kill()
		p.wait()


def serial_text():
	with open("serial", errors="replace") as f:
		return re.sub(r"\x1b\[[?0-9;]*[@-~]", "", f.read())


def ends(p, what):
	"""Waits until the machine has switched itself off."""
	try:
		rc = p.wait(WAIT)
	except subprocess.TimeoutExpired:
		fail("%s: the machine is still on after %d s:\n%s" % (what, WAIT, serial_text()[-3000:]))
	check(rc == 0, "%s: QEMU's exit status is %d: %s" % (what, rc, open("qemu.err").read()))
	text = serial_text()
	check("the capture is complete; power off" in text, "%s: the ISO does not say that it is done:\n%s" % (what, text[-3000:]))
	return text


NAMES = "stty -echo; dmesg -n 1; for i in 0 1 2; do eval D$i=$(readlink -f /dev/disk/by-id/*DISK-$i | cut -d/ -f3); done; "


def by_serial(m):
	return {d["serial"]: d["name"] for d in m["disks"]}


TELLS = r"guest: address .*\."

# Files whose names are their digests; a few of them, so that the disk does not fill.
WRITER = r"""mkdir -p /w
while :; do
	head -c 50000 /dev/urandom >/w/new
	sync /w/new
	mv /w/new /w/$(sha256sum </w/new | cut -c1-64)
	ls -t /w | tail -n +20 | while read -r f; do rm -f "/w/$f"; done
done
"""


@contextlib.contextmanager
def shown(image, folder):
	vdisk("mount", image, folder)
	try:
		yield
	finally:
		vdisk("unmount", folder)


def goes_through(what, boots, kind=("-machine", "pc"), sources=("disk.raw",), before=(), root="/dev/vda1", attached=None):
	"""The whole way; `before` are the paths that the disks were copied from."""
	with Receive("--adapt", "kvm", "--verify", "--engine", "qemu", "--expect", TELLS, "--timeout", str(WAIT)) as r:
		image = iso("capture.iso", "--append", r.words() + " vdisk.after=poweroff")
		check(os.path.getsize(image) < 300 * MIB, "the ISO has %d bytes" % os.path.getsize(image))
		with machine(*(attached or disks(*sources)), *boots(image), kind=kind) as p:
			text = ends(p, what)
		for was, now in zip(before, sources):
			check(run("cmp", "-s", was, now, timeout=600).rc == 0, "%s: the disk %s was written to" % (what, now))
		c = r.verdict()
		eq(("done", "booted", True), (c["state"], c["verdict"], c["complete"]), "%s: %s\n%s" % (what, c["message"], r.get("/v1/captures/%s/log" % c["id"]).decode()[-3000:]))
		check("root " + root in c["message"], "%s: the adapted guest's root: %r" % (what, c["message"]))
		check(r.get("/v1/captures/%s/screenshot.png" % c["id"]).startswith(b"\x89PNG"), "no screenshot")
		eq(len(sources), len(c["disks"]), "disks of the capture")
		with open(os.path.join("store", c["folder"], "machine.json")) as f:
			return json.load(f), c, text


@case
def with_bios():
	was = physical()
	m, c, text = goes_through("BIOS", cd, before=(was,))
	eq("bios", m["firmware"], "firmware of the description")
	d = m["disks"][0]
	eq((os.path.getsize("disk.raw"), "DISK-0"), (d["size"], d["serial"]), "the disk of the description")
	check(any(n["mac"] == MAC for n in m["nics"]), "the card of the description: %r" % m["nics"])
	check(c["disks"][0]["skipped"] > 0, "free blocks were sent, too: %r" % c["disks"])


@case
def the_same_bytes_again():
	"""Of the same packages; the long tier makes those anew, too."""
	iso("a.iso", "--append", "vdisk.server=192.0.2.1", "--pxe", "pxe")
	check(os.path.getsize("a.iso") < 300 * MIB, "the ISO has %d bytes" % os.path.getsize("a.iso"))
	fresh = os.path.abspath("fresh") if ALL else None
	iso("b.iso", "--append", "vdisk.server=192.0.2.1", cache=fresh)
	eq(sha256("a.iso"), sha256("b.iso"), "SHA-256 of two builds")
	r = ran("xorriso", "-indev", "a.iso", "-report_el_torito", "plain", "-report_system_area", "plain")
	check("BIOS" in r.out and "UEFI" in r.out and "grub2-mbr" in r.out, r.show())
	ran("xorriso", "-osirrox", "on", "-indev", "a.iso", "-extract", "/boot/grub/grub.cfg", "grub.cfg", "-extract", "/live", "live")
	with open("grub.cfg") as f:
		check("vdisk.server=192.0.2.1" in f.read(), "--append is not in grub.cfg")
	for name in ("vmlinuz", "initrd.img", "root.img"):
		eq(sha256("live/" + name), sha256("pxe/" + name), "--pxe's " + name)
	for name in ("boot.ipxe", "grub/grub.cfg"):
		with open("pxe/" + name) as f:
			text = f.read()
		check("vdisk.server=192.0.2.1" in text and "/live/" not in text, "--pxe's %s: %s" % (name, text))
	eq(["boot.ipxe", "grub", "grub.0", "grubx64.efi", "initrd.img", "mmx64.efi", "root.img", "shimx64.efi", "vmlinuz"], sorted(os.listdir("pxe")), "--pxe's files")
	with open("a.iso", "rb") as f: # by which a capture of all disks leaves out the one that it was started from
		f.seek(32768)
		eq(b"\1CD001\1", f.read(7), "the volume's descriptor")
		f.seek(32808)
		eq(b"VDISK_CAPTURE".ljust(32), f.read(32), "the volume's name")
	r = run("bash", os.path.join(SOURCE, "p2v", "iso", "build.sh"), "--programs", BUILD, "--append", "a; reboot", "c.iso")
	eq(2, r.rc, "exit status of a command line that GRUB would run")
	check(not os.path.exists("c.iso"), "it was made")


if ALL:
	@case
	def with_uefi():
		m, _, _ = goes_through("UEFI", cd, kind=firmware(), before=(physical(boot="uefi"),))
		eq(("uefi", False), (m["firmware"], m["secure-boot"]), "firmware of the description")

	@case
	def with_secure_boot():
		m, _, _ = goes_through("Secure Boot", cd, kind=firmware(secure=True), before=(physical(boot="uefi"),))
		eq(("uefi", True), (m["firmware"], m["secure-boot"]), "firmware of the description")

	@case
	def packages_by_options():
		"""What the registry has: firmware and an SSH server come only if they are asked for."""
		look()

		def listed(*args):
			r = run("bash", os.path.join(SOURCE, "p2v", "iso", "build.sh"), "--programs", BUILD, "--list", *args, timeout=WAIT)
			if r.rc and "mmdebstrap failed" in r.err:
				skip("mmdebstrap does not get Debian's packages here: " + r.err.strip()[:300])
			check(r.rc == 0, r.show())
			return dict(line.split() for line in r.out.splitlines())
		with open("key.pub", "w") as f:
			f.write("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7Zk9r1Wm3l1oVbYQ0bqk6Yz3yV6l3o7m3R1o2n4p5q technician\n")
		plain, firmware_too, ssh = listed(), listed("--firmware"), listed("--ssh", "key.pub")
		check("partclone" in plain and "firmware-linux-free" in plain, "packages: %r" % plain)
		check(not any(p.startswith("firmware-") and p != "firmware-linux-free" or "ssh" in p and "server" in p for p in plain), "packages: %r" % plain)
		for p in ("firmware-bnx2", "firmware-bnx2x", "firmware-misc-nonfree", "firmware-qlogic", "firmware-realtek"):
			check(p in firmware_too, "%s is not there: %r" % (p, firmware_too))
		eq(plain, {p: v for p, v in firmware_too.items() if p in plain}, "the others")
		check("openssh-server" in ssh and "openssh-server" not in firmware_too, "packages: %r" % ssh)
		with open("none.pub", "w") as f:
			f.write("not a key\n")
		r = run("bash", os.path.join(SOURCE, "p2v", "iso", "build.sh"), "--programs", BUILD, "--ssh", "none.pub", "c.iso")
		check(r.rc == 2 and "holds no public key" in r.err, r.show())

	def by_pxe(loader, secure=False):
		"""The ISO's files from a TFTP server: up to the first screen."""
		iso("capture.iso", "--append", "vdisk.server=192.0.2.99", "--pxe", "pxe")
		net = ",tftp=%s,bootfile=%s" % (os.path.abspath("pxe"), loader)
		listener = socket.create_server(("127.0.0.1", 0))
		serial = "tcp:127.0.0.1:%d" % listener.getsockname()[1]
		if secure: # by the firmware's own drivers: iPXE of 2019, which QEMU's cards have, tells shim of bytes that it has not got
			nic = ("-netdev", "user,id=net" + net, "-device", "virtio-net-pci,netdev=net,romfile=,mac=" + MAC, "-device", "virtio-rng-pci")
			started = machine("-boot", "n", kind=firmware(secure=True), serial=serial, nic=nic)
		else:
			started = machine("-boot", "n", serial=serial, nic=("-nic", "user,model=e1000,mac=" + MAC + net))
		with started:
			line, _ = listener.accept()
			Terminal(line.fileno()).until("Capture this machine.*Server.*192.0.2.99.*Token.*Fingerprint", WAIT)
			line.close()

	add("by PXE, iPXE", by_pxe, "boot.ipxe")
	add("by PXE, GRUB", by_pxe, "grub.0")
	add("by PXE, Secure Boot", by_pxe, "shimx64.efi", True)

	@case
	def from_a_stick():
		m, _, _ = goes_through("USB stick", stick, before=(physical(),))
		eq(["sda"], [d["name"] for d in m["disks"]], "disks of the description: the stick is none of them")

	@case
	def over_two_paths():
		m, _, _ = goes_through("two paths", cd, before=(physical(),), attached=two_paths("disk.raw"))
		eq(["mpatha"], [d["name"] for d in m["disks"]], "disks of the description: paths are none")

	@case
	def with_a_volume_group_over_two_disks():
		"""The machine itself spreads its root over a second disk before it is captured."""
		physical(layout="lvm")
		with open("second.raw", "wb") as f:
			f.truncate(512 * MIB)
		listener = socket.create_server(("127.0.0.1", 0))
		with machine(*disks("disk.raw", "second.raw"), serial="tcp:127.0.0.1:%d" % listener.getsockname()[1]) as p:
			line, _ = listener.accept()
			t = Terminal(line.fileno())
			t.said("login: ", WAIT)
			t.key("root\r")
			t.said(r"root@\w+:~# ", WAIT)
			t.key(NAMES + "pvcreate -y /dev/$D1 && vgextend old /dev/$D1 && lvextend -L +300M old/root /dev/$D1 && resize2fs /dev/old/root; echo spread-$?.; "
			      "sync; poweroff\r")
			eq("spread-0.", t.said(r"spread-\d+\.", WAIT)[0], "what the machine says")
			eq(0, p.wait(WAIT), "QEMU's exit status")
		m, c, _ = goes_through("LVM over two disks", cd, sources=("disk.raw", "second.raw"), root="/dev/mapper/old-root")
		eq(["DISK-0", "DISK-1"], sorted(by_serial(m)), "disks of the description")
		eq([("DISK-0", 1), ("DISK-1", 0)], sorted((d["serial"], d.get("boot") or 0) for d in m["disks"]), "which one it starts from")
		root = [v for v in m["logical-volumes"] if v["name"] == "root"]
		check(len(root) == 1 and sorted(root[0]["on"].split()) == sorted(by_serial(m).values()), "where the root lies: %r" % m["logical-volumes"])

	@case
	def live_by_snapshots():
		"""A running Debian whose root lies on LVM, written to all the time: its root is read from a snapshot, /boot is frozen; what a kill leaves goes with the next one."""
		need("mke2fs", "e2fsck", "debugfs", "partclone.extfs")
		physical(layout="lvm")
		for name, size in (("second.raw", 1024), ("tools.raw", 512)):
			with open(name, "wb") as f:
				f.truncate(size * MIB)
		os.mkdir("tools")
		ran("sh", os.path.join(SOURCE, "p2v", "capture", "bundle.sh"), BUILD, "tools/capture", timeout=WAIT)
		with open("tools/writer", "w") as f:
			f.write(WRITER)
		ran("mke2fs", "-q", "-F", "-t", "ext4", "-d", "tools", "tools.raw")
		listener = socket.create_server(("127.0.0.1", 0))
		with Receive("--adapt", "kvm", "--verify", "--engine", "qemu", "--expect", TELLS, "--timeout", str(WAIT)) as r:
			to = "TMPDIR=/mnt /mnt/capture --to https://10.0.2.2:%d/ --token %s --fingerprint %s" % (r.facts["port"], r.facts["token"], r.facts["fingerprint"])
			with machine(*disks("disk.raw", "second.raw", "tools.raw"), serial="tcp:127.0.0.1:%d" % listener.getsockname()[1]) as p:
				line, _ = listener.accept()
				t = Terminal(line.fileno())
				t.said("login: ", WAIT)
				t.key("root\r")
				t.said(r"root@\w+:~# ", WAIT)

				def does(command, word, status=0, before=""):
					"""What comes before the word, which ends with the command's exit status."""
					t.raw = b""
					t.key("%s; echo %s-$?.\r" % (command, word))
					text = t.said(r"(?s:(.*))%s-(\d+)\." % word, WAIT)
					eq(str(status), text[2], "exit status of %s: %s" % (command, text[1]))
					check(re.search(before, text[1]), "%s says %r" % (command, text[1]))
					return text[1]
				does(NAMES + "mount /dev/$D2 /mnt && pvcreate -y /dev/$D1 && vgextend old /dev/$D1", "ready")
				does("{ sh /mnt/writer & }", "begun")
				begins = to + " -v --limit-rate 1M --passes 1 $D0 $D1 "
				does(begins + ">/mnt/1 2>&1 & P=$!; until lvs --noheadings -o lv_name | grep vdisk-capture- || ! kill -0 $P; do sleep 1; done; "
				     "kill -9 $P; wait $P", "killed", 137)
				does(begins + "--resume >/mnt/2 2>&1 & P=$!; until grep -q 'read from a snapshot' /mnt/2 || ! kill -0 $P; do sleep 1; done; "
				     "kill -TERM $P; wait $P", "ended", 2)
				volumes = "lvs --noheadings -o lv_name | tr -d ' \\n'; echo ."
				does(volumes, "listed", before=r"rootswap\.")
				does("cat /mnt/2", "told", before="which an earlier capture left, was removed")
				does(to + " -v --json --resume $D0 $D1 >/mnt/3 2>/mnt/4", "captured")
				said = does("cat /mnt/4", "told")
				check("was removed" not in said, "a snapshot was left by SIGTERM: %s" % said)
				does(volumes, "listed", before=r"rootswap\.")
				t.key("sync; poweroff\r")
				eq(0, p.wait(WAIT), "QEMU's exit status")
			c = r.verdict()
			eq(("done", "booted", True), (c["state"], c["verdict"], c["complete"]), "live: %s\n%s" % (c["message"], r.get("/v1/captures/%s/log" % c["id"]).decode()[-3000:]))
			folder = os.path.join("store", c["folder"])
		ran("debugfs", "-R", "dump 3 report", "tools.raw")
		report = json.load(open("report"))
		with open(os.path.join(folder, "machine.json")) as f:
			disk = by_serial(json.load(f))
		eq({disk["DISK-0"]: (["old/root"], True), disk["DISK-1"]: ([], True)}, {d["name"]: (d["snapshots"], d["frozen"]) for d in report["disks"]},
		   "what was read from snapshots")
		os.mkdir("mnt")
		with shown(os.path.join(folder, disk["DISK-0"] + ".qcow2"), "mnt"):
			eq(["root", "swap"], sorted(os.listdir("mnt/volumes/old")), "volumes in the capture")
			ran("e2fsck", "-fn", "mnt/volumes/old/root", timeout=WAIT)
			os.mkdir("rdump")
			ran("debugfs", "-R", "rdump /w rdump", "mnt/volumes/old/root", timeout=WAIT)
		names = [n for n in os.listdir("rdump/w") if len(n) == 64]
		check(len(names) > 3, "files: %r" % names)
		for n in names:
			eq(n, sha256(os.path.join("rdump/w", n)), "content of a file")

	@case
	def screens_on_the_serial_console():
		was = physical()
		with Receive("--adapt", "kvm", "--verify", "--engine", "qemu", "--expect", TELLS, "--timeout", str(WAIT)) as r:
			image = iso()
			listener = socket.create_server(("127.0.0.1", 0))
			with machine(*disks("disk.raw"), *cd(image), serial="tcp:127.0.0.1:%d" % listener.getsockname()[1]) as p:
				line, _ = listener.accept()
				t = Terminal(line.fileno())
				t.until("Capture this machine.*Server.*Token.*Fingerprint", WAIT)
				t.key(ERASE, "10.0.2.2:%d" % r.facts["port"], TAB, ERASE, r.facts["token"], TAB, ERASE, r.facts["fingerprint"], TAB, TAB, ENTER)
				t.until("it takes the token", 300)
				t.key(ENTER)
				t.until("Next", 60)
				for _ in range(6):
					t.key(TAB)
				t.key(ENTER)
				t.until(r"\[\*\] sda", 300)
				t.key(TAB, ENTER)
				t.until("Begin\\?", 60)
				t.key(ENTER)
				t.until("The capture is complete", WAIT)
				t.key(ENTER)
				t.until("Power off", 60)
				t.key(DOWN, ENTER)
				eq(0, p.wait(WAIT), "QEMU's exit status")
			check(run("cmp", "-s", was, "disk.raw", timeout=600).rc == 0, "the disk was written to")
			eq("booted", r.verdict()["verdict"], "verdict")

main()

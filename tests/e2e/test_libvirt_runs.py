#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Domains that we write, started by libvirt: by virt-qemu-run, which needs no daemon.  The guest is a boot sector that says something on the serial
line and switches the machine off."""
import glob, os, re, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from bootsectors import *


def disk(bus, unit=0, path="b.raw", **facts):
	return dict({"name": bus + str(unit), "medium": "disk", "bus": bus, "unit": unit, "path": path, "format": "raw"}, **facts)


def machine(**facts):
	m = {"schema-version": 1, "type": "vdisk-machine", "name": "web", "uuid": "564dc598-db65-ae42-d489-15cf1c43cf9a", "arch": "x86_64", "firmware": "bios",
	     "cpus": 1, "memory": 128 << 20, "disks": [], "nics": [], "serial-ports": [{"kind": "file", "path": os.path.abspath("serial.log")}]}
	m.update(facts)
	with open("m.json", "w") as f:
		json.dump(m, f)
	return "m.json"


def start(xml, until=None):
	"""Runs a domain to its end, or until it has said something; as somebody who is not root: then libvirt wants no user of its own."""
	need("virt-qemu-run", "qemu-system-x86_64")
	text = open(xml).read()
	text = text.replace('<domain type="kvm">', '<domain type="qemu">') # emulated, as everywhere here
	text = re.sub(r'<interface type="(?:network|bridge)">(\s*<mac [^>]*>)?\s*<source [^>]*>', r'<interface type="user">\1', text) # networks are a daemon's
	write_file("domain.xml", text.encode())
	shutil.rmtree("root", ignore_errors=True)
	os.makedirs("root/etc")
	write_file("root/etc/qemu.conf", b'security_driver = "none"\nstdio_handler = "file"\n')
	if os.path.exists("serial.log"):
		os.unlink("serial.log")
	words = ["virt-qemu-run", "--root", os.path.abspath("root"), "domain.xml"]
	if os.geteuid() == 0:
		need("setpriv")
		os.chmod(".", 0o755)
		for d, _, names in os.walk("."):
			for n in [d] + [os.path.join(d, n) for n in names]:
				os.chown(n, 65534, 65534)
		words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] + words
	with open("messages", "wb") as messages:
		p = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages, env=dict(os.environ, HOME=os.getcwd(), XDG_RUNTIME_DIR=os.path.abspath("root")))
	ended, said, deadline = None, b"", time.monotonic() + 300
	while not ended and not (until and until in said) and p.poll() is None and time.monotonic() < deadline: # it may stay when the guest has gone
		said = open("serial.log", "rb").read() if os.path.exists("serial.log") else b""
		time.sleep(0.05)
		ended = re.search(r"shutting down, reason=(\w+)", "".join(open(os.path.join(d, n)).read() for d, _, names in os.walk("root") for n in names if n.endswith(".log")))
	p.terminate()
	p.wait()
	about = "%s\n%s\n%s" % (ended and ended.group(1), open("messages").read(), text)
	if until:
		check(until in said, "the guest says %r: %r\n%s" % (until, said[-2000:], about))
		return
	check(ended and ended.group(1) == "shutdown", "libvirt runs it to its end: %s" % about)
	with open("serial.log", "rb") as f:
		eq(b"it lives\r\n", f.read()[-10:], "what the guest said\n%s" % text)


def runs(**facts):
	vdisk("machine", "--to", "libvirt", "-q", "--force", "-o", "web.xml", machine(**facts))
	start("web.xml")


def on_bus(bus, **facts):
	boot_disk("b", "it lives\\r\\n", then=POWEROFF)
	runs(disks=[disk(bus, **facts)])


for what, bus, facts, usual in (("IDE", "ide", {}, True), ("SATA", "sata", {}, False), ("virtio", "virtio", {}, True),
                                ("SCSI, virtio", "scsi", {"adapter": "virtio"}, False), ("SCSI, LSI", "scsi", {"adapter": "lsi"}, False),
                                ("SCSI, PVSCSI", "scsi", {"adapter": "pvscsi"}, False), ("SCSI, MegaSAS", "scsi", {"adapter": "megasas"}, False),
                                ("USB", "usb", {}, False)):
	add("a disk on " + what, lambda b=bus, f=facts, u=usual: on_bus(b, **f) if u or ALL else skip("the long tier"))


@case
def all_at_once():
	boot_disk("b", "it lives\\r\\n", then=POWEROFF)
	write_file("cd.iso", bytes(MIB))
	for name in ("one.raw", "two.raw"):
		write_file(name, bytes(MIB))
	write_file("floppy.img", bytes(1440 * KIB))
	runs(name="a <web> & 'server' \u00e9", cpus=4, sockets=2, cores=2, chipset="q35",
	     disks=[disk("virtio", 0, "one.raw"), disk("sata", 0, boot=1), disk("scsi", 3, "two.raw", adapter="virtio", **{"read-only": True, "serial": "S 1"}),
	            disk("sata", 1, "cd.iso", medium="cdrom", format=None), disk("sata", 2, None, medium="cdrom", format=None),
	            disk("floppy", 0, "floppy.img", medium="floppy", format=None)],
	     nics=[{"model": m, "connection": "bridge", "network": "br0", "mac": "52:54:00:00:00:0%d" % i} for i, m in enumerate(("virtio", "e1000", "e1000e", "rtl8139", "pcnet", "ne2000"))])


@case
def graphics():
	boot_disk("b", "it lives\\r\\n", then=POWEROFF)
	for video in ("none", "vga", "cirrus", "vmware", "virtio") if ALL else ("none",):
		runs(disks=[disk("ide")], video=video)


@case
def uefi():
	"""To the firmware's shell, which Secure Boot does not let run."""
	if not ALL:
		skip("the long tier")
	if not glob.glob("/usr/share/qemu/firmware/*.json"):
		skip("no OVMF")
	boot_disk("b", "it lives\\r\\n", then=POWEROFF)
	for secure, due in ((False, b"Shell> "), (True, b"Security Violation")):
		vdisk("machine", "--to", "libvirt", "-q", "--force", "-o", "web.xml", machine(firmware="uefi", memory=256 << 20, disks=[disk("sata")], **{"secure-boot": secure}))
		start("web.xml", until=due)


@case
def what_migrate_makes():
	if not os.path.exists(os.path.join(BUILD, "vdisk-migrate")):
		skip("vdisk-migrate is not built")
	boot_disk("b", "it lives\\r\\n", then=POWEROFF)
	vdisk("migrate", "--target", "kvm", "--no-adapt", "--out", "out", machine(disks=[disk("ide")], nics=[{"model": "e1000", "connection": "nat"}]))
	start("out/web.xml")


main()

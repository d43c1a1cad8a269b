#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The VMX and OVA files that we write, as libvirt and virt-v2v understand them."""
import os, re, sys, xml.etree.ElementTree as ET
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

UUID = "564dc598-db65-ae42-d489-15cf1c43cf9a"


def described(**facts):
	m = {"schema-version": 1, "type": "vdisk-machine", "name": "web", "uuid": UUID, "arch": "x86_64", "firmware": "bios", "cpus": 2, "memory": 1 << 30,
	     "disks": [], "nics": [], "serial-ports": []}
	m.update((k.replace("_", "-"), v) for k, v in facts.items())
	with open("m.json", "w") as f:
		json.dump(m, f)
	return "m.json"


def disk(bus, unit, path, controller=0, **facts):
	if path.endswith(".vmdk") and not os.path.exists(path):
		vdisk("create", "-f", "vmdk", path, "4M")
	return dict({"name": "%s%d:%d" % (bus, controller, unit), "medium": "disk", "bus": bus, "controller": controller, "unit": unit, "path": path, "format": "vmdk"}, **facts)


def by_libvirt(**facts):
	"""What is written of it, in libvirt's XML, by its driver for VMware Player, which asks a program for no more than its version."""
	if not shutil.which("virsh"):
		skip("no virsh")
	vdisk("machine", "--to", "vmx", "-q", "-o", "m.vmx", "--force", described(**facts))
	if not os.path.exists("bin"):
		os.mkdir("bin")
		for name, says in (("vmplayer", "VMware Player 17.0.0 build-1"), ("vmrun", "Total running VMs: 0")):
			write_file("bin/" + name, ("#!/bin/sh\necho '%s'\n" % says).encode())
			os.chmod("bin/" + name, 0o755)
	r = run("virsh", "-q", "-c", "vmwareplayer:///session", "domxml-from-native", "vmware-vmx", "m.vmx",
	        env={"PATH": os.path.abspath("bin") + ":" + os.environ["PATH"], "XDG_RUNTIME_DIR": os.getcwd()})
	if "no connection driver" in r.err:
		skip("this libvirt has no driver for VMware Player")
	check(r.rc == 0, "libvirt does not take it\n    %s\n%s" % (r.show(), open("m.vmx").read()))
	return ET.fromstring(r.out)


def disks_of(root):
	return [(d.get("device"), d.find("target").get("bus"), d.find("target").get("dev"), d.find("source").get("file") if d.find("source") is not None else None)
	        for d in root.findall("devices/disk")]


def sd(controller, unit, n=15):
	"""libvirt's name for a place: of the sixteen on a SCSI bus one is the adapter's."""
	at = controller * n + unit - (n == 15 and unit > 7)
	return "sd" + ("" if at < 26 else chr(96 + at // 26)) + chr(97 + at % 26)


@case
def a_machine():
	root = by_libvirt(firmware="uefi", cpus=4, sockets=2, cores=2, memory=3 << 30, name='a "web" server, caf\u00e9 | #5',
	                  disks=[disk("scsi", 0, "sys.vmdk", adapter="pvscsi"), disk("scsi", 9, "one.vmdk", adapter="pvscsi"), disk("sata", 3, "da ta.vmdk"),
	                         disk("ide", 2, "cd.iso", medium="cdrom", format=None)],
	                  nics=[{"mac": "00:50:56:01:02:03", "model": "vmxnet3", "connection": "network", "network": "VM Network"}],
	                  serial_ports=[{"kind": "file", "path": "serial.log"}])
	eq(('a "web" server, caf\u00e9 | #5', UUID, str(3 << 20), "4", "efi"),
	   (root.findtext("name"), root.findtext("uuid"), root.findtext("memory"), root.findtext("vcpu"), root.find("os").get("firmware")), "the machine")
	eq("2", root.find("cpu/topology").get("cores") if root.find("cpu/topology") is not None else None, "cores of a socket")
	eq([("cdrom", "ide", "hdc", "cd.iso"), ("disk", "sata", sd(0, 3, 30), "da ta.vmdk"), ("disk", "scsi", sd(0, 0), "sys.vmdk"), ("disk", "scsi", sd(0, 9), "one.vmdk")],
	   sorted(disks_of(root), key=lambda d: d[1:]), "disks")
	eq(["vmpvscsi"], [c.get("model") for c in root.findall("devices/controller") if c.get("type") == "scsi"], "the adapter")
	n = root.find("devices/interface")
	eq(("bridge", "00:50:56:01:02:03", "VM Network", "vmxnet3"), (n.get("type"), n.find("mac").get("address"), n.find("source").get("bridge"), n.find("model").get("type")), "the NIC")
	eq(("file", "serial.log"), (root.find("devices/serial").get("type"), root.find("devices/serial/source").get("path")), "the serial port")


@case
def adapters():
	for adapter, due in (("lsi", "lsilogic"), ("lsi-sas", "lsisas1068"), ("pvscsi", "vmpvscsi"), ("buslogic", "buslogic")):
		root = by_libvirt(disks=[disk("scsi", 0, "a.vmdk", adapter=adapter), disk("scsi", 6, "b.vmdk", controller=1, adapter=adapter),
		                         disk("scsi", 15, "c.vmdk", controller=3, adapter=adapter)])
		eq({due}, {c.get("model") for c in root.findall("devices/controller") if c.get("type") == "scsi"}, adapter)
		eq([("disk", "scsi", sd(0, 0), "a.vmdk"), ("disk", "scsi", sd(1, 6), "b.vmdk"), ("disk", "scsi", sd(3, 15), "c.vmdk")], disks_of(root), "disks")
	root = by_libvirt(disks=[disk("ide", n, "%d.vmdk" % n) for n in range(4)])
	eq([("disk", "ide", "hd" + "abcd"[n], "%d.vmdk" % n) for n in range(4)], disks_of(root), "IDE")
	root = by_libvirt(disks=[disk("sata", n, "%d.vmdk" % n) for n in range(30)])
	eq([("disk", "sata", sd(0, n, 30), "%d.vmdk" % n) for n in range(30)], disks_of(root), "SATA")
	root = by_libvirt(disks=[disk("scsi", 0, "a.vmdk"), disk("floppy", 0, "boot.img", medium="floppy", format=None)])
	eq([("disk", "scsi"), ("floppy", "fdc")], [d[:2] for d in disks_of(root)], "a floppy")


@case
def nics():
	for model, due in (("pcnet", "vlance"), ("e1000", "e1000"), ("e1000e", "e1000e"), ("vmxnet", "vmxnet"), ("vmxnet3", "vmxnet3")):
		root = by_libvirt(nics=[{"model": model, "connection": "network", "network": "n %s" % model}])
		n = root.find("devices/interface")
		eq(due, n.find("model").get("type").replace("pcnet32", "vlance"), "model %s" % model)
		eq("n %s" % model, n.find("source").get("bridge"), "network")
	kinds = [{"connection": "nat"}, {"connection": "network", "network": "dv port 7"}] # for the others it wants a name that VMware does not
	root = by_libvirt(nics=[dict(k, model="e1000", mac="00:50:56:00:00:0%d" % i) for i, k in enumerate(kinds)])
	eq(["00:50:56:00:00:0%d" % i for i in range(2)], [n.find("mac").get("address") for n in root.findall("devices/interface")], "each with its address")
	eq("user", root.findall("devices/interface")[0].get("type"), "NAT")


@case
def names():
	rng = rng_for("names") # libvirt takes "%" for ESX's escape of names
	for i in range(30):
		name = "".join(rng.choice("ab |\"'#;,=[]{}()$&*~`<>?!^\u00e9\u4e2d") for _ in range(rng.randrange(1, 40))).strip() or "x"
		root = by_libvirt(name=name, disks=[disk("scsi", 0, "d.vmdk")])
		eq(name, root.findtext("name"), "the name")


@case
def by_virt_v2v():
	"""virt-v2v's own look at a VMX, and at an OVA that migrate made."""
	if not shutil.which("virt-v2v") or not os.path.exists(os.path.join(BUILD, "vdisk-migrate")):
		skip("no virt-v2v, or no vdisk-migrate")
	disks = [disk("scsi", 0, "sys.vmdk", adapter="lsi"), disk("scsi", 1, "data.vmdk", adapter="lsi"), disk("ide", 2, "cd.iso", medium="cdrom", format=None)]
	write_file("cd.iso", bytes(2 * MIB))
	facts = dict(firmware="uefi", cpus=3, memory=2 << 30, name="web 1", disks=disks,
	             nics=[{"mac": "00:50:56:01:02:03", "model": "e1000", "connection": "network", "network": "net 1"}, {"model": "vmxnet3"}])
	vdisk("machine", "--to", "vmx", "-q", "-o", "web.vmx", described(**facts))
	vdisk("migrate", "--target", "vmware", "--ova", "--no-adapt", "--out", "out", "web.vmx")
	(ova,) = [n for n in os.listdir("out") if n.endswith(".ova")]
	for kind, path in (("vmx", "web.vmx"), ("ova", "out/" + ova)):
		r = run("virt-v2v", "-i", kind, path, "--print-source", env={"LIBGUESTFS_BACKEND": "direct"})
		check(r.rc == 0, "virt-v2v does not take it: %s" % r.show())
		facts = dict(re.findall(r"^ *([a-zA-Z ]+?): *(\S.*)$", r.out, re.M))
		eq(("web 1", str(2 << 30) + " (bytes)", "3", "uefi"), tuple(facts.get(k) for k in ("source name", "memory", "nr vCPUs", "firmware")), "%s: the machine" % kind)
		eq(2, len(re.findall(r"^\t\d+ \[scsi\]", r.out, re.M)), "%s: its disks: %s" % (kind, r.out))
		eq(1, len(re.findall(r"^\tCD-ROM \[ide\]", r.out, re.M)), "%s: its drive: %s" % (kind, r.out))
		eq(2, len(re.findall(r"^\t(?:Bridge|Network) ", r.out, re.M)), "%s: its NICs: %s" % (kind, r.out))


main()

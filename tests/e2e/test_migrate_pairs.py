#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each kind of source to each target and profile: disks by qemu-img, descriptions by virt-xml-validate and by reading them back, and our own lint."""
import json, os, shutil, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from archives import *
import snapshot_trees

os.environ["PATH"] += ":/sbin:/usr/sbin"
TARGETS = ("kvm", "vmware", "hyperv", "xen", "virtualbox")
PROFILES = ("esxi", "workstation", "hyperv-gen1", "hyperv-gen2", "azure", "xcp-ng", "virtualbox", "openstack", "proxmox", "kvm")
SIZES = (30 * MIB, 21 * MIB)
NAME = "Büro & Söhne"
QEMU = {"qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vhdx": "vhdx", "vdi": "vdi", "raw": "raw"}


def raws(rng):
	"""Two disks with a partition each, of which one is booted from by BIOS."""
	need("sfdisk")
	for n, size in zip("ab", SIZES):
		make_raw(n + ".raw", rng, size)
		ran("sfdisk", "-q", n + ".raw", stdin=b"label: dos\nstart=2048, type=83, bootable\n")
		write_file(n + ".raw", b"\xfa\x33\xc0" * 100, 0)
	return ["a.raw", "b.raw"]


def images(folder, fmt, suffix, *opts):
	os.makedirs(folder, exist_ok=True)
	for n in "ab":
		qemu_img("convert", "-f", "raw", "-O", fmt, *opts, n + ".raw", "%s/%s disk.%s" % (folder, n, suffix))


def text_put(path, text):
	with open(path, "wb") as f:
		f.write(text if isinstance(text, bytes) else text.encode())
	return path


def envelope():
	return ovf("web", [{"file": "a disk.vmdk", "capacity": SIZES[0]}, {"file": "b disk.vmdk", "capacity": SIZES[1]}])


def from_ovf():
	images("vm", "vmdk", "vmdk", "-o", "subformat=streamOptimized")
	return text_put("vm/web.ovf", envelope())


def from_ova():
	from_ovf()
	members = [("web.ovf", envelope())] + [("%s disk.vmdk" % n, "vm/%s disk.vmdk" % n) for n in "ab"]
	return tar("web.ova", [members[0], ("web.mf", manifest(members))] + members[1:])


def from_vmx():
	images("vm", "vmdk", "vmdk")
	return text_put("vm/%s.vmx" % NAME, '.encoding = "UTF-8"\nconfig.version = "8"\nvirtualHW.version = "10"\ndisplayName = "%s"\nguestOS = "debian10-64"\nmemsize = "512"\nnumvcpus = "2"\n'
	                'scsi0.present = "TRUE"\nscsi0.virtualDev = "pvscsi"\nscsi0:0.present = "TRUE"\nscsi0:0.fileName = "a disk.vmdk"\nscsi0:1.present = "TRUE"\nscsi0:1.fileName = "b disk.vmdk"\n'
	                'ethernet0.present = "TRUE"\nethernet0.virtualDev = "vmxnet3"\nethernet0.networkName = "LAN 1"\nethernet0.addressType = "generated"\n'
	                'ethernet0.generatedAddress = "00:0c:29:01:02:03"\n' % NAME)


def from_vbox():
	images("vm", "vdi", "vdi")
	media = [snapshot_trees.Image("%s disk.vdi" % n, snapshot_trees.vdi_uuids("vm/%s disk.vdi" % n)[0], None) for n in "ab"]
	return text_put("vm/web.vbox", snapshot_trees.vbox_text("web", media, media, "", None))


def from_libvirt():
	images("vm", "qcow2", "qcow2")
	disks = "".join('<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="%s disk.qcow2"/><target dev="vd%s" bus="virtio"/></disk>' % (n, n) for n in "ab")
	return text_put("vm/web.xml", '<domain type="kvm"><name>web</name><memory unit="MiB">512</memory><vcpu>2</vcpu><os><type arch="x86_64" machine="q35">hvm</type></os><devices>%s'
	                '<interface type="bridge"><source bridge="br0"/><mac address="52:54:00:01:02:03"/><model type="virtio"/></interface></devices></domain>' % disks)


def from_xl():
	images("vm", "raw", "raw")
	return text_put("vm/web.cfg", "name = \"web\"\ntype = \"hvm\"\nmemory = 512\nvcpus = 2\ndisk = [ 'format=raw,vdev=xvda,access=rw,target=a disk.raw', "
	                "'format=raw,vdev=xvdb,access=rw,target=b disk.raw' ]\nvif = [ 'mac=00:16:3e:01:02:03,bridge=xenbr0' ]\n")


def from_hyperv():
	images("vm/Virtual Hard Disks", "vpc", "vhd", "-o", "force_size=on")
	os.makedirs("vm/Virtual Machines")
	return text_put("vm/Virtual Machines/4BF5D3C4-0000-4000-8000-0123456789AB.xml",
	                snapshot_trees.hyperv_text("web", ["C:\\vms\\Virtual Hard Disks\\%s disk.vhd" % n for n in "ab"]))


def from_vmc():
	images("vm", "vpc", "vhd", "-o", "force_size=on")
	location = "".join("<location id=\"%d\"><drive_type type=\"integer\">1</drive_type><pathname><absolute type=\"string\">C:\\%s disk.vhd</absolute><relative type=\"string\">.\\%s disk.vhd"
	                   "</relative></pathname></location>" % (i, n, n) for i, n in enumerate("ab"))
	return text_put("vm/XP.vmc", ("<?xml version=\"1.0\" encoding=\"UTF-16\"?><preferences><version type=\"string\">2.0</version><hardware><memory><ram_size type=\"integer\">512</ram_size></memory>"
	                              "<pci_bus><ide_adapter><ide_controller id=\"0\">%s</ide_controller></ide_adapter></pci_bus></hardware></preferences>" % location).encode("utf-16"))


def from_xva():
	return xva("web.xva", "web", [("Ref:%d" % i, content(n + ".raw")) for i, n in enumerate("ab", 10)])


def from_vma():
	Vma("web", [("drive-scsi0", content("a.raw")), ("drive-scsi1", content("b.raw"))]).write("web.vma")
	return "web.vma"


def from_capture():
	os.makedirs("box")
	for name, n in (("sda", "a"), ("sdb", "b")):
		qemu_img("convert", "-f", "raw", "-O", "qcow2", n + ".raw", "box/%s.qcow2" % name)
	text_put("box/machine.json", json.dumps({"schema-version": 1, "name": "box", "firmware": "bios", "cpus": 1, "memory": 268435456, "disks": [
		{"name": name, "medium": "disk", "bus": "sata", "size": size, "logical-sector": 512} for name, size in zip(("sda", "sdb"), SIZES)]}))
	return "box"


def outcome(out, report, disks, profile):
	eq([], [x for x in report["remarks"] if "would be refused" in x], "what its importer would refuse")
	for d, raw in zip(report["disks"], disks):
		path, fmt = os.path.join(out, d["file"]), QEMU[d["format"]]
		check(d["file"].isascii() and " " not in d["file"], "a plain name: %r" % d["file"])
		qemu_img("convert", "-f", fmt, "-O", "raw", path, "back.raw")
		check(os.path.getsize("back.raw") >= os.path.getsize(raw), "no shorter")
		with open("back.raw", "rb") as got, open(raw, "rb") as want:
			check(got.read(os.path.getsize(raw)) == want.read() and not any(got.read()), "%s holds %s, and zeros behind it" % (path, raw))
		if fmt in ("qcow2", "vdi", "vhdx") or (fmt == "vmdk" and profile != "esxi"):
			qemu_img("check", "-q", "-f", fmt, path)
		if profile:
			check("refused" not in run(VDISK, "lint", "--for", profile, path).out, "lint of %s" % path)
	path = os.path.join(out, report["description"])
	if path.endswith(".xml"):
		need("virt-xml-validate")
		ran("virt-xml-validate", path)
	if not path.endswith(".ps1"):
		told = vdisk("machine", "--json", path).json()["machines"][0]
		eq([os.path.realpath(os.path.join(out, d["file"])) for d in report["disks"]], [os.path.realpath(x["file"] or "") for x in told["disks"] if x["medium"] == "disk"], "disks in the description")
		eq(report["machine"], told["name"], "its name")


def pairs(make, number):
	for name in ("vdisk-migrate", "vdisk-machine"):
		if not os.path.exists(os.path.join(BUILD, name)):
			skip("%s is not built" % name)
	os.makedirs("Ordner mit Ümläuten")
	os.chdir("Ordner mit Ümläuten")
	disks = raws(rng_for(make.__name__))
	src = make()
	was = tree(".")
	ways = [("--target", t) for t in TARGETS] + [("--for", p) for i, p in enumerate(PROFILES) if ALL or i % 5 == number % 5]
	for word, name in ways:
		out = "nach %s" % name
		r = run(VDISK, "migrate", word, name, "--out", out, "--no-adapt", "--json", src)
		if name == "hyperv-gen2" and r.rc == 2:
			check("has a BIOS" in r.err and r.err.count("\n") == 1 and not os.path.exists(out), r.show())
			continue
		eq(0, r.rc, "%s %s: %s" % (word, name, r.err))
		report = r.json()
		eq(2, len(report["disks"]), "disks")
		outcome(out, report, disks, name if word == "--for" else None)
		shutil.rmtree(out)
		os.unlink("back.raw")
		eq(was, tree("."), "what there was before, after %s %s" % (word, name))


for number, make in enumerate((from_ova, from_ovf, from_vmx, from_vbox, from_xva, from_vma, from_libvirt, from_xl, from_hyperv, from_vmc, from_capture)):
	add(make.__name__, pairs, make, number)

main()

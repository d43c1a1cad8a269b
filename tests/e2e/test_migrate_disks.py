#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk migrate's disks: those that have no file, UUIDs that VirtualBox compares, 4Kn, and what is refused before it takes long."""
import hashlib, json, os, re, shutil, sys, uuid
import xml.etree.ElementTree as ET
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from archives import *


def need_migrate(*more):
	for name in ("vdisk-migrate",) + more:
		if not os.path.exists(os.path.join(BUILD, name)):
			skip("%s is not built" % name)


def migrate(src, *args, target="kvm", out="out", **kw):
	need_migrate()
	return vdisk("migrate", "--target", target, "--out", out, "--no-adapt", "--json", *args, src, timeout=300, **kw).json()


def no(src, *mentions, args=(), target="kvm", **kw):
	need_migrate()
	return refused("migrate", "--target", target, "--out", "out", "--no-adapt", *args, src, mentions=mentions, **kw)


def ova_of(path, disks, raw, lie=False):
	"""`disks` as ovf() has them; the file of one that has a file is `raw`, packed."""
	stream_vmdk(raw, "packed.vmdk")
	members = [("m.ovf", ovf("m", disks))] + [(d["file"], content("packed.vmdk")) for d in disks if d["file"]]
	text = manifest(members).decode()
	if lie:
		text = re.sub(r"(vmdk\) *= )[0-9a-f]{8}", r"\g<1>00000000", text)
	tar(path, members + [("m.mf", text.encode())])
	return path


@case
def empty_disks():
	"""A disk without a file is made, empty, at its place among the others; by OVA and by OVF, as files and into an OVA again."""
	raw = make_raw("disk.raw", rng_for("empty"), 3 * MIB)
	disks = [dict(file=None, capacity=5 * MIB), dict(file="b.vmdk", capacity=3 * MIB), dict(file=None, capacity=7 * GIB)]
	src = ova_of("m.ova", disks, raw)

	def holds(r, out, fmt):
		eq([5 * MIB, 3 * MIB, 7 * GIB], [d["size"] for d in r["disks"]], "sizes")
		eq([None, "b.vmdk", None], [d["source"] and os.path.basename(d["source"]) for d in r["disks"]], "where they come from")
		eq(2, len([x for x in r["remarks"] if "made empty" in x]), "remarks: %r" % r["remarks"])
		same_as_raw(raw, os.path.join(out, r["disks"][1]["file"]), fmt)
		for i, size in ((0, 5 * MIB), (2, 7 * GIB)):
			with open("zero.raw", "wb") as f:
				f.truncate(size)
			image = os.path.join(out, r["disks"][i]["file"])
			eq(size, qemu_img("info", "--output=json", image).json()["virtual-size"], "size, says qemu-img")
			qemu_img("compare", "-f", "raw", "-F", fmt, "zero.raw", image)
			vdisk("verify-manifest", "zero.raw", os.path.join(out, r["disks"][i]["manifest"]))
	holds(migrate(src), "out", "qcow2")
	holds(migrate(src, target="vmware", out="vm"), "vm", "vmdk")
	report = vdisk("migrate", "--target", "kvm", "--out", "x", "--no-adapt", "-n", "--json", src).json()
	eq([5 * MIB, 3 * MIB, 7 * GIB], [d["size"] for d in report["disks"]], "a rehearsal's sizes")
	# An OVA again: from front to back, with images of nothing in it.
	r = migrate(src, "--ova", target="vmware", out="packed")
	eq(["m.ova", "report.html", "report.json"], sorted(os.listdir("packed")), "files")
	with tarfile.open("packed/m.ova") as t:
		t.extractall("again")
	for d, due in zip(r["disks"], ("zero", raw, "zero")):
		if due == "zero":
			with open("zero.raw", "wb") as f:
				f.truncate(d["size"])
		qemu_img("compare", "-f", "raw", "-F", "vmdk", "zero.raw" if due == "zero" else due, os.path.join("again", d["member"]))
	# The envelope as a file.
	os.mkdir("folder")
	write_file("folder/m.ovf", ovf("m", disks))
	shutil.copy("packed.vmdk", "folder/b.vmdk")
	holds(migrate("folder/m.ovf", out="by-ovf"), "by-ovf", "qcow2")
	# All of them empty is a machine, too; one that lies over another disk is not empty.
	write_file("folder/e.ovf", ovf("m", [dict(file=None, capacity=MIB)]))
	eq([MIB], [d["size"] for d in migrate("folder/e.ovf", out="nothing")["disks"]], "the only disk")
	write_file("folder/p.ovf", ovf("m", [dict(file="b.vmdk", capacity=3 * MIB), dict(file=None, capacity=3 * MIB, parent=0)]))
	no("folder/p.ovf", "another disk's")


@case
def disks_that_no_device_shows():
	"""They are told of, and left."""
	raw = make_raw("disk.raw", rng_for("left"), 3 * MIB)
	disks = [dict(file="a.vmdk", capacity=3 * MIB), dict(file="b.vmdk", capacity=3 * MIB, shown=False), dict(file=None, capacity=MIB, shown=False),
	         dict(file="c.vmdk", capacity=3 * MIB, parent=0, shown=False)]
	r = migrate(ova_of("m.ova", disks, raw))
	eq([("disk d1", "b.vmdk"), ("disk d2", None), ("disk d3", "c.vmdk")], [(x["where"], x["value"]) for x in r["lost"] if x["where"].startswith("disk ")],
	   "what is left: %r" % r["lost"])
	eq(["a.vmdk"], [os.path.basename(d["source"]) for d in r["disks"]], "what is taken")
	same_as_raw(raw, "out/m.qcow2", "qcow2")


@case
def refused_before_it_is_hashed():
	"""Whatever is wrong with the words or the disks is heard before the archive is gone through: here, by what is said of one that is damaged as well."""
	raw = make_raw("disk.raw", rng_for("early"), 3 * MIB)
	one = [dict(file="b.vmdk", capacity=3 * MIB)]
	src = ova_of("m.ova", one, raw, lie=True)
	no(src, "b.vmdk", "the manifest says") # nothing else is wrong
	no(src, "can be read, but not made", args=["-O", "bochs"])
	no(src, "-c", args=["-O", "raw", "-c"])
	refused("migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--name", "a/b", src, mentions=["libvirt"])
	os.rename("packed.vmdk", "good.vmdk")
	write_file("bad.vmdk", content("good.vmdk"))
	members = [("m.ovf", ovf("m", one)), ("b.vmdk", b"no image at all" * 1000)]
	tar("bad.ova", members + [("m.mf", re.sub(rb"(vmdk\) *= )[0-9a-f]{8}", rb"\g<1>00000000", manifest(members)))])
	no("bad.ova", "b.vmdk", "VMDK")


# ---------------------------------------------------------------- UUIDs

def image_uuid(path):
	"""As VirtualBox reads it."""
	if path.endswith(".vdi"):
		with open(path, "rb") as f:
			f.seek(392)
			return str(uuid.UUID(bytes_le=f.read(16)))
	if path.endswith(".vhd"):
		with open(path, "rb") as f:
			f.seek(-512 + 68, 2)
			return str(uuid.UUID(bytes_le=f.read(16)))
	text = content(path)[:20480].decode("latin-1")
	return re.search(r'ddb\.uuid\.image="([0-9a-f-]{36})"', text).group(1)


@case
def virtualbox_knows_the_images():
	raw = make_raw("disk.raw", rng_for("uuid"), 3 * MIB)
	os.mkdir("folder")
	stream_vmdk(raw, "folder/a.vmdk")
	shutil.copy("folder/a.vmdk", "folder/b.vmdk")
	write_file("folder/m.ovf", ovf("m", [dict(file="a.vmdk", capacity=3 * MIB), dict(file="b.vmdk", capacity=3 * MIB)]))
	for fmt in ("vmdk", "vdi", "vhd"):
		seen = []
		for out in ("one-" + fmt, "two-" + fmt):
			r = migrate("folder/m.ovf", "-O", fmt, target="virtualbox", out=out)
			box = ET.parse(os.path.join(out, "m.vbox")).getroot()
			ns = {"v": "http://www.virtualbox.org/"}
			media = {x.get("location"): x.get("uuid").strip("{}") for x in box.iterfind(".//v:HardDisk", ns)}
			eq({d["file"]: image_uuid(os.path.join(out, d["file"])) for d in r["disks"]}, media, "UUIDs in the description and in the images, " + fmt)
			eq(sorted(media.values()), sorted(x.get("uuid").strip("{}") for x in box.iterfind(".//v:AttachedDevice/v:Image", ns)), "what is attached")
			eq(2, len(set(media.values())), "different ones")
			check(not any("UUID" in x["where"] for x in r["lost"]), "nothing is left to do: %r" % r["lost"])
			for d in r["disks"]:
				same_as_raw(raw, os.path.join(out, d["file"]), {"vhd": "vpc"}.get(fmt, fmt)) if fmt != "vhd" else vdisk("compare", raw, os.path.join(out, d["file"]))
				vdisk("check", os.path.join(out, d["file"]))
			seen.append(media)
		eq(seen[0], seen[1], "the same ones again")
	# From VirtualBox to VirtualBox it is another image, with another UUID; one that is asked for is had.
	r = migrate("one-vdi/m.vbox", "-O", "vdi", target="virtualbox", out="three")
	check(image_uuid("three/m-1.vdi") not in seen[0].values(), "a copy has the UUID of its source")
	write_file("folder/s.ovf", ovf("s", [dict(file="a.vmdk", capacity=3 * MIB)]))
	asked = "01234567-89ab-4cde-8f01-23456789abcd"
	for fmt in ("vmdk", "vdi", "vhd"):
		migrate("folder/s.ovf", "-O", fmt, "-o", "uuid=" + asked, target="virtualbox", out="asked-" + fmt)
		check(image_uuid("asked-%s/s.%s" % (fmt, fmt)) in open("asked-%s/s.vbox" % fmt).read(), "the UUID that was asked for, " + fmt)
	check(asked in open("asked-vdi/s.vbox").read(), "in the description")
	no("folder/m.ovf", "one UUID", args=["-O", "vdi", "-o", "uuid=" + asked], target="virtualbox")
	refused("create", "-f", "vmdk", "-o", "uuid=12", "x.vmdk", "1M", mentions=["uuid=12"])
	# Two names, by the translation alone: what is to be done is told, where the format has a place for a UUID.
	r = vdisk("machine", "--to", "vbox", "folder/s.ovf")
	check("sethduuid" in r.err, "what is left to do: " + r.err)


# ---------------------------------------------------------------- sectors of 4,096 bytes

def disk_4kn(path, rng, size=64 * MIB):
	"""A GPT that counts in sectors of 4,096 bytes, with one partition of noise."""
	raw = make_raw(path, rng, size)
	ran("sfdisk", "--quiet", "--sector-size", "4096", path, stdin=b"label: gpt\nstart=256, size=1024\n")
	return path


@case
def four_kn():
	need("sfdisk")
	if "--sector-size" not in run("sfdisk", "--help").out:
		make_4kn = gpt_write
	else:
		make_4kn = disk_4kn
	need_migrate()
	raw = make_4kn("disk.raw", rng_for("4kn"))
	vdisk("convert", "-O", "vhdx", "-o", "logical_sector_size=4096", raw, "disk.vhdx")
	os.mkdir("vm")
	shutil.copy("disk.vhdx", "vm/disk.vhdx")
	with open("vm/m.xml", "w") as f:
		f.write("<domain type='kvm'><name>m</name><memory unit='MiB'>256</memory><vcpu>1</vcpu><os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os><devices>"
		        "<disk type='file' device='disk'><driver name='qemu' type='vhdx'/><source file='disk.vhdx'/><target dev='sda' bus='sata'/></disk></devices></domain>")
	# KVM and Hyper-V's VHDX have such disks.
	r = migrate("vm/m.xml", out="kvm")
	check('logical_block_size="4096"' in open("kvm/m.xml").read().replace("'", '"'), open("kvm/m.xml").read())
	vdisk("compare", raw, "kvm/m.qcow2")
	r = migrate("vm/m.xml", target="hyperv", out="hv")
	facts = vdisk("info", "--json", "hv/m.vhdx").json()
	check(re.search(r'"logical-sector-size": ?4096', json.dumps(facts)), "the VHDX's sectors: %r" % facts)
	vdisk("compare", raw, "hv/m.vhdx")
	check(not any("ector" in x["where"] for x in r["lost"]), "nothing is lost: %r" % r["lost"])
	# The others have not: refused, with what to do, and that is done.
	for target, fmt in (("vmware", "vmdk"), ("virtualbox", "vmdk"), ("xen", "qcow2"), ("hyperv", "vhd")):
		args = ["-O", "vhd"] if fmt == "vhd" else []
		no("vm/m.xml", "4096", "--sector-size 512", args=args, target=target)
		r = migrate("vm/m.xml", *args, "--sector-size", "512", target=target, out="out-" + target)
		table = vdisk("convert", "-O", "raw", os.path.join("out-" + target, r["disks"][0]["file"]), "back-%s.raw" % target)
		out = ran("sfdisk", "--json", "back-%s.raw" % target).json()["partitiontable"]
		eq((512, 256 * 8, 1024 * 8), (out.get("sectorsize", 512), out["partitions"][0]["start"], out["partitions"][0]["size"]), "the partition, for " + target)
		eq(content(raw)[MIB:5 * MIB], content("back-%s.raw" % target)[MIB:5 * MIB], "its bytes")
	no("vm/m.xml", "4096", args=["--ova"], target="vmware")
	refused("migrate", "--target", "kvm", "--out", "out", "--sector-size", "1024", "vm/m.xml", mentions=["512 or 4096"])
	refused("migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--snapshots", "keep", "--sector-size", "512", "vm/m.xml", mentions=["--sector-size"])
	# Translated alone, it is listed.
	for to in ("vmx", "vbox", "xl"):
		r = vdisk("machine", "--to", to, "kvm/m.xml")
		check("4096 bytes" in r.err and "--sector-size 512" in r.err, "%s: %s" % (to, r.err))
	r = vdisk("machine", "--to", "hyperv", "kvm/m.xml")
	check("--sector-size 512" in r.err and "VHDX" in r.err, r.err)


def gpt_write(path, rng, size=64 * MIB):
	"""The same by hand, where sfdisk knows no such sectors."""
	import binascii, struct
	make_raw(path, rng, size)
	last = size // 4096 - 1
	entry = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le + uuid.UUID(int=rng.getrandbits(128)).bytes_le + struct.pack("<QQQ", 256, 1279, 0) + bytes(72)
	table = entry + bytes(128 * 127)
	disk = uuid.UUID(int=rng.getrandbits(128)).bytes_le

	def header(own, other, entries):
		h = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, own, other, 6, last - 5, disk, entries, 128, 128, binascii.crc32(table))
		return h[:16] + struct.pack("<I", binascii.crc32(h)) + h[20:] + bytes(4096 - 92)
	mbr = bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xee, 255, 255, 255, 1, last) + bytes(48) + b"\x55\xaa"
	write_file(path, mbr + bytes(4096 - 512) + header(1, last, 2) + table)
	write_file(path, table + header(last, 1, last - 4), at=(last - 4) * 4096)
	return path


# ---------------------------------------------------------------- the report

@case
def a_picture_too_large_for_the_page():
	"""It stays beside the page, and the report says so."""
	need_migrate()
	raw = make_raw("disk.raw", rng_for("picture"), MIB)
	os.mkdir("folder")
	stream_vmdk(raw, "folder/a.vmdk")
	write_file("folder/m.ovf", ovf("m", [dict(file="a.vmdk", capacity=MIB)]))
	os.mkdir("alone")
	shutil.copy(os.path.join(BUILD, "vdisk-migrate"), "alone")
	for size, inside in ((32 * MIB + 1, False), (1000, True)):
		with open("alone/vdisk-verify", "w") as f:
			f.write("#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --screenshot ] && truncate -s %d \"$2\"; shift; done\n"
			        "echo '{\"verdict\": \"booted\", \"cause\": \"it said so\"}'\n" % size)
		os.chmod("alone/vdisk-verify", 0o755)
		r = run("alone/vdisk-migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--verify", "--json", "folder/m.ovf", timeout=120)
		eq(0, r.rc, r.show())
		report = json.loads(r.out)
		eq(("booted", "screenshot.png"), (report["verdict"], report["screenshot"]), "the report")
		eq(size, os.path.getsize("out/screenshot.png"), "the picture")
		eq(inside, "data:image/png" in open("out/report.html").read(), "the picture in the page")
		eq(not inside, any("screenshot.png" in x for x in report["remarks"]), "a remark: %r" % report["remarks"])
		eq(not inside, "is not in this page" in open("out/report.html").read(), "the page says so")
		shutil.rmtree("out")


main()

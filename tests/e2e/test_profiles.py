#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--for: what is made for each system, as other people's software sees it; what contradicts it is refused and leaves nothing."""
import os, shutil, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

SIZE = 23 * MIB + 512 * 7

# system: the format as qemu-img calls it, what `vdisk info` calls the variant, the size that a disk of SIZE bytes gets
MADE = {
	"esxi": ("vmdk", "streamOptimized", SIZE), "workstation": ("vmdk", "monolithicSparse", SIZE), "hyperv-gen1": ("vhdx", "dynamic", SIZE),
	"hyperv-gen2": ("vhdx", "dynamic", SIZE), "azure": ("vpc", "fixed", 24 * MIB), "xcp-ng": ("vpc", "dynamic", SIZE),
	"virtualbox": ("vdi", "dynamic", SIZE), "openstack": ("qcow2", "v3", SIZE), "proxmox": ("qcow2", "v3", SIZE), "kvm": ("qcow2", "v3", SIZE),
}


def variant(path):
	layer = vdisk("info", "--json", path).json()["layers"][0]
	return layer["variant"], layer["details"]


def made(system):
	fmt, kind, size = MADE[system]
	raw = make_raw("disk.raw", rng_for("profiles " + system), SIZE)
	r = vdisk("convert", "--json", "--verify", "--for", system, raw, "out").json()
	eq(size, r["destination"]["virtual-size"], "the size that is told")
	eq(kind, variant("out")[0], "variant")
	# somebody else's reader, in the format that is expected, past the end of the source: zeros
	qemu_img("convert", "-f", fmt, "-O", "raw", "out", "back.raw")
	with open("back.raw", "rb") as f:
		data = f.read()
	with open(raw, "rb") as f:
		eq(True, data[:SIZE] == f.read(), "content by qemu-img")
	# qemu-img rounds VHD's sizes up to its geometry where the creator is not known to it: no shorter, and zeros
	check(len(data) >= size and not any(data[SIZE:]), "%d bytes, zeros behind the source's" % len(data))
	r = vdisk("lint", "--for", system, "out")
	check("refused" not in r.out, "its own lint: %s" % r.out)
	vdisk("create", "--for", system, "new", str(SIZE))
	eq((kind, size), (variant("new")[0], vdisk("info", "--json", "new").json()["virtual-size"]), "create")


for name in MADE:
	add("made for " + name, made, name)


@case
def azure_file():
	"""Whole MiB and a footer of 512 bytes, whose fields say so, and 20 MiB at least."""
	for size, due in ((MIB, 20 * MIB), (20 * MIB, 20 * MIB), (20 * MIB + 512, 21 * MIB), (33 * MIB - 512, 33 * MIB)):
		make_raw("disk.raw", rng_for("azure"), size)
		vdisk("convert", "--force", "--for", "azure", "disk.raw", "out.vhd")
		eq(due + 512, os.path.getsize("out.vhd"), "the file's length for %d" % size)
		with open("out.vhd", "rb") as f:
			f.seek(due)
			footer = f.read()
		eq((b"conectix", due, due, 2), (footer[:8], *struct.unpack(">QQ", footer[40:56]), struct.unpack(">I", footer[60:64])[0]), "footer")
		with open("out.vhd", "rb") as f, open("disk.raw", "rb") as g:
			eq(g.read(), f.read(size), "content")


@case
def choices():
	"""What the profile takes besides its first choice may be said."""
	raw = make_raw("disk.raw", rng_for("choices"), SIZE)
	vdisk("convert", "--for", "esxi", "-o", "subformat=vmfs", raw, "a.vmdk")
	eq(("vmfs", "lsilogic"), (variant("a.vmdk")[0], variant("a.vmdk")[1]["adapter-type"]), "flat for a datastore")
	vdisk("convert", "--for", "hyperv-gen1", raw, "b.vhd")
	eq("dynamic", variant("b.vhd")[0], "VHD by the suffix")
	vdisk("convert", "--for", "proxmox", "-O", "raw", raw, "c")
	eq(SIZE, os.path.getsize("c"), "raw by -O")
	same_bytes(raw, "c")
	vdisk("convert", "--for", "hyperv-gen2", "-o", "logical_sector_size=4096", raw, "d.vhdx", rc=2)
	vdisk("convert", "--for", "hyperv-gen2", "-o", "logical_sector_size=4096", "--size-rounding", "up", raw, "d.vhdx")
	vdisk("create", "-f", "qcow2", "base.qcow2", "1M")
	vdisk("create", "--for", "kvm", "-b", "base.qcow2", "leaf.qcow2")
	eq(MIB, virtual_size("leaf.qcow2"), "a layer's size")


# ---------------------------------------------------------------- vdisk-formats(7), line by line

TIB = 1 << 40
VMDK_HOSTED = ("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized")
VMDK_ALL = VMDK_HOSTED + ("vmfs", "vmfsThin")
# system: {format: (its option with kinds, those that are taken, the largest disk)}, of each the first is what is made; then the sectors, and whether parents are taken
TAKES = {
	"esxi": ({"vmdk": ("subformat", ("streamOptimized", "vmfs", "vmfsThin"), 62 * TIB)}, (512,), False),
	"workstation": ({"vmdk": ("subformat", VMDK_HOSTED, 8 * TIB)}, (512,), True),
	"hyperv-gen1": ({"vhdx": ("subformat", ("dynamic", "fixed"), 64 * TIB), "vhd": ("subformat", ("dynamic", "fixed"), 2040 * GIB)}, (512,), True),
	"hyperv-gen2": ({"vhdx": ("subformat", ("dynamic", "fixed"), 64 * TIB)}, (512, 4096), True),
	"azure": ({"vhd": ("subformat", ("fixed",), 2040 * GIB)}, (512,), False),
	"xcp-ng": ({"vhd": ("subformat", ("dynamic",), 2040 * GIB)}, (512,), False),
	"virtualbox": ({"vdi": (None, (), None), "vmdk": ("subformat", VMDK_HOSTED, None), "vhd": ("subformat", ("dynamic", "fixed"), 2040 * GIB)}, (512,), True),
	"openstack": ({"qcow2": (None, (), None), "raw": (None, (), None), "vmdk": ("subformat", ("streamOptimized", "monolithicSparse"), None)}, (512,), False),
	"proxmox": ({"qcow2": (None, (), None), "raw": (None, (), None), "vmdk": ("subformat", VMDK_HOSTED, None)}, (512,), False),
	"kvm": ({"qcow2": (None, (), None), "raw": (None, (), None)}, (512, 4096), True),
}
KINDS = {"vmdk": VMDK_ALL, "vhd": ("dynamic", "fixed"), "vhdx": ("dynamic", "fixed")}
FORMATS = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi")


def refusals_of(system, path):
	"""The codes of what its lint says would be refused."""
	r = run(VDISK, "lint", "--json", "--for", system, path)
	check(r.rc in (0, 1), r.show())
	return {f["code"] for x in r.json()["sources"] for f in x["findings"] if f["kind"] == "refused"}


def header_says(path, fmt, kind):
	"""What the format is made as, by its bytes."""
	with open(path, "rb") as f:
		head = f.read(1024)
		if fmt == "vmdk" and kind == "streamOptimized":
			eq((b"KDMV", 3), (head[:4], struct.unpack("<I", head[4:8])[0]), "the header's version")
			f.seek(512)
			text = f.read(20 * 512)
			check(b'createType="streamOptimized"' in text, "createType: %r" % text[:500])
			return text
		if fmt == "vmdk":
			f.seek(0)
			text = f.read(1 << 20)
			check(('createType="%s"' % ("vmfs" if kind == "vmfsThin" else kind)).encode() in text, "createType %s" % kind)
			eq(kind == "vmfsThin", b'ddb.thinProvisioned = "1"' in text, "thin")
			return text
		if fmt == "qcow2":
			eq((b"QFI\xfb", 3), (head[:4], struct.unpack(">I", head[4:8])[0]), "version 3")
			eq(0, struct.unpack(">I", head[32:36])[0], "encryption")
			eq(0, struct.unpack(">Q", head[72:80])[0] & 4, "the bit of an external data file")
		if fmt == "vhd":
			f.seek(-512, 2)
			foot = f.read()
			eq((b"conectix", {"fixed": 2, "dynamic": 3}[kind]), (foot[:8], struct.unpack(">I", foot[60:64])[0]), "the footer's kind")
			eq(kind == "fixed", head[:8] != b"conectix", "a copy of the footer in front")
		if fmt == "vhdx":
			eq(b"vhdxfile", head[:8], "signature")
		if fmt == "vdi":
			eq((0xbeda107f, 1), (struct.unpack("<I", head[64:68])[0], struct.unpack("<I", head[76:80])[0]), "VDI, dynamic")


def manual(system):
	"""Each format and kind that the manual says is taken is made, by create and by convert, and passes; each other one is refused, and lint tells."""
	takes, sectors, parents = TAKES[system]
	raw = make_raw("disk.raw", rng_for("manual " + system), 24 * MIB)
	for fmt in FORMATS:
		if fmt not in takes:
			refused("create", "--for", system, "-f", fmt, "x", "24M", mentions=[fmt, system])
			vdisk("convert", "-O", fmt, raw, "foreign." + fmt)
			check("format" in refusals_of(system, "foreign." + fmt), "%s for %s" % (fmt, system))
			continue
		option, kinds, most = takes[fmt]
		first = next(iter(takes)) == fmt
		for kind in KINDS.get(fmt, (None,)):
			args = ["--for", system, *([] if first and kind == (kinds[0] if kinds else None) else ["-f", fmt] + (["-o", "subformat=" + kind] if kind else []))]
			if option and kind not in kinds:
				refused("create", *args, "x", "24M", mentions=[kind, system])
				vdisk("convert", "-O", fmt, "-o", "subformat=" + kind, raw, "foreign-%s.%s" % (kind, fmt))
				eq({"subformat"}, refusals_of(system, "foreign-%s.%s" % (kind, fmt)) & {"subformat"}, "%s %s for %s" % (fmt, kind, system))
				continue
			new, copy = "new-%s.%s" % (kind, fmt), "copy-%s.%s" % (kind, fmt)
			if kind != "streamOptimized": # written once, from front to back: nothing could be written to it later
				vdisk("create", *args, new, "24M")
				header_says(new, fmt, kind)
				eq(set(), refusals_of(system, new), "create --for %s, %s %s" % (system, fmt, kind))
			vdisk("convert", *[("-O" if a == "-f" else a) for a in args], raw, copy)
			text = header_says(copy, fmt, kind)
			eq(set(), refusals_of(system, copy), "convert --for %s, %s %s" % (system, fmt, kind))
			vdisk("compare", raw, "-f", "raw", copy, "-F", fmt)
			if system == "esxi":
				check(b'ddb.adapterType = "lsilogic"' in text, "adapter of %s" % kind)
		if most and fmt in ("vhd", "vhdx") and "dynamic" in kinds or fmt == "vmdk" and most and "monolithicSparse" in kinds or (system, fmt) == ("esxi", "vmdk"):
			kind = "vmfsThin" if system == "esxi" else "twoGbMaxExtentSparse" if fmt == "vmdk" else "dynamic"
			if system != "esxi": # a flat one of 62 TiB is no file on every file system
				end = 4095 * 2047 * MIB if fmt == "vmdk" else most # what VMDKs in pieces can say
				vdisk("create", "--for", system, "-f", fmt, "-o", "subformat=" + kind, "most." + fmt, str(end))
				eq(set(), refusals_of(system, "most." + fmt), "the largest %s for %s" % (fmt, system))
			refused("create", "--for", system, "-f", fmt, "-o", "subformat=" + kind, "more." + fmt, str(most + MIB), mentions=[str(most >> 30)])
	if "vhdx" in takes:
		for n in (512, 4096):
			args = ["--for", system, "-f", "vhdx", "-o", "logical_sector_size=%d" % n, "s%d.vhdx" % n, "24M"]
			if n not in sectors:
				refused("create", *args, mentions=["logical_sector_size=4096", system])
				vdisk("create", *args[2:])
				check("logical_sector_size" in refusals_of(system, "s4096.vhdx"), "4096 for %s" % system)
				continue
			vdisk("create", *args)
			eq(n, vdisk("info", "--json", "s%d.vhdx" % n).json()["layers"][0]["details"]["logical-sector-size"], "sectors")
			eq(set(), refusals_of(system, "s%d.vhdx" % n), "sectors of %d for %s" % (n, system))
	fmt = next(f for f in ("qcow2", "vhd", "vhdx", "vmdk", "vdi") if f in takes)
	vdisk("create", "-f", fmt, "base." + fmt, "24M")
	vdisk("create", "-f", fmt, "-b", "base." + fmt, "leaf." + fmt)
	eq(not parents, "parent" in refusals_of(system, "leaf." + fmt), "a layer for %s" % system)
	vdisk("create", "--for", system, "-f", fmt, "-b", "base." + fmt, "own." + fmt, rc=0 if parents else 2)
	vdisk("create", "-f", "raw", "odd.raw", str(24 * MIB + 512))
	vdisk("convert", "--for", system, "odd.raw", "rounded")
	eq(25 * MIB if system == "azure" else 24 * MIB + 512, vdisk("info", "--json", "rounded").json()["virtual-size"], "rounding")
	if system == "azure":
		for size in (19 * MIB, 24 * MIB + 512):
			vdisk("create", "-f", "vhd", "-o", "subformat=fixed,force_size=on", "--force", "odd.vhd", str(size))
			check(refusals_of(system, "odd.vhd") & {"size-min", "size-multiple"}, "%d bytes for Azure" % size)
	if "qcow2" in takes and system != "kvm":
		vdisk("create", "-f", "qcow2", "-o", "data_file=d.data", "d.qcow2", "24M")
		check("data-file" in refusals_of(system, "d.qcow2"), "an external data file for %s" % system)


for name in TAKES:
	add("the manual of " + name, manual, name)


@case
def streams():
	"""To a pipe, and from one, whose size is known before."""
	raw = make_raw("disk.raw", rng_for("streams"), SIZE)
	with open("out.vhd", "wb") as f:
		vdisk("convert", "--for", "azure", raw, "-", stdout=f)
	eq(24 * MIB + 512, os.path.getsize("out.vhd"), "length")
	vdisk("convert", "--for", "esxi", raw, "s.vmdk")
	with open("s.vmdk", "rb") as f:
		r = run(VDISK, "convert", "-f", "vmdk", "--for", "azure", "-", "t.vhd", stdin=f.read())
	eq(0, r.rc, "from a pipe: %s" % r.err)
	same_bytes("out.vhd", "t.vhd") if os.environ.get("SOURCE_DATE_EPOCH") else eq("", vdisk("compare", "-s", "out.vhd", "t.vhd", "-q").err, "equal")


WRONG = {
	"format": (["convert", "--for", "azure", "-O", "qcow2", "disk.raw", "x"], ["qcow2", "azure", "vhd"]),
	"suffix": (["convert", "--for", "azure", "disk.raw", "x.qcow2"], ["qcow2", "azure"]),
	"subformat": (["convert", "--for", "azure", "-o", "subformat=dynamic", "disk.raw", "x.vhd"], ["subformat=dynamic", "azure", "fixed"]),
	"sizes that grow": (["convert", "--for", "azure", "-o", "force_size=off", "disk.raw", "x.vhd"], ["force_size=off", "azure"]),
	"hosted kind": (["convert", "--for", "esxi", "-o", "subformat=monolithicSparse", "disk.raw", "x.vmdk"], ["monolithicSparse", "esxi", "vmfs"]),
	"generation 2": (["convert", "--for", "hyperv-gen2", "disk.raw", "x.vhd"], ["vhd", "hyperv-gen2", "vhdx"]),
	"4Kn for generation 1": (["create", "--for", "hyperv-gen1", "-o", "logical_sector_size=4096", "x.vhdx", "1G"], ["logical_sector_size=4096"]),
	"rounding": (["convert", "--for", "azure", "--size-rounding", "refuse", "disk.raw", "x.vhd"], ["Azure", str(24 * MIB)]),
	"too large": (["create", "--for", "xcp-ng", "x.vhd", "2T"], ["XCP-ng", "2040"]),
	"parent": (["create", "--for", "openstack", "-b", "disk.raw", "-F", "raw", "x.qcow2"], ["-b", "openstack"]),
	"data file": (["create", "--for", "openstack", "-o", "data_file=x.data", "x.qcow2", "1G"], ["data_file", "openstack"]),
	"read only": (["create", "--for", "virtualbox", "-f", "parallels", "x", "1G"], ["parallels"]),
	"in place": (["convert", "--for", "azure", "--in-place", "disk.raw", "x.vhd"], ["--for", "--in-place"]),
	"snapshots": (["convert", "--for", "kvm", "--snapshots", "keep", "disk.raw", "x.qcow2"], ["--for", "--snapshots"]),
	"no such system": (["convert", "--for", "vax", "disk.raw", "x.vhd"], ["vax"]),
}


def wrong(words, mentions):
	make_raw("disk.raw", rng_for("wrong"), SIZE)
	before = tree(".")
	r = run(VDISK, *words)
	eq((2, "", 1), (r.rc, r.out, r.err.count("\n")), "refused in one line: %s" % r.err)
	for m in mentions:
		check(m in r.err, "%r is mentioned in %s" % (m, r.err))
	eq(before, tree("."), "the folder")


for name, (words, mentions) in WRONG.items():
	add("refused: " + name, wrong, words, mentions)


@case
def resumed():
	"""An unfinished conversion with another size is another one."""
	raw = make_raw("disk.raw", rng_for("resumed"), SIZE)
	vdisk("convert", "--for", "azure", "--resume", raw, "a.vhd")
	vdisk("convert", "-o", "subformat=fixed", raw, "b.vhd")
	eq(1, vdisk("compare", "-s", "a.vhd", "b.vhd", rc=1).rc, "they differ in size")
	vdisk("compare", "a.vhd", "b.vhd")


# ---------------------------------------------------------------- whole machines

VMX = """config.version = "8"
virtualHW.version = "13"
displayName = "web"
guestOS = "debian10-64"
memsize = "256"
numvcpus = "1"
%s
sata0.present = "TRUE"
sata0:0.present = "TRUE"
sata0:0.fileName = "disk.vmdk"
"""
TARGETS = {
	"esxi": ("vmware", "vmx"), "workstation": ("vmware", "vmx"), "hyperv-gen1": ("hyperv", "ps1"), "hyperv-gen2": ("hyperv", "ps1"),
	"azure": ("hyperv", "ps1"), "xcp-ng": ("xen", "cfg"), "virtualbox": ("virtualbox", "vbox"), "openstack": ("kvm", "xml"), "proxmox": ("kvm", "xml"),
	"kvm": ("kvm", "xml"),
}


def machine(rng, firmware, size=SIZE):
	if not os.path.exists(os.path.join(BUILD, "vdisk-migrate")):
		skip("vdisk-migrate is not built")
	os.makedirs("vm")
	raw = make_raw("disk.raw", rng, size)
	qemu_img("convert", "-f", "raw", "-O", "vmdk", raw, "vm/disk.vmdk")
	with open("vm/web.vmx", "w") as f:
		f.write(VMX % ('firmware = "efi"' if firmware == "uefi" else ""))
	return raw


def migrated(system):
	fmt, kind, size = MADE[system]
	target, suffix = TARGETS[system]
	raw = machine(rng_for("migrated " + system), "uefi" if system == "hyperv-gen2" else "bios")
	for words in (["--for", system], *([["--target", target, "--for", system]] if system == "azure" else [])):
		r = vdisk("migrate", *words, "--out", "out", "--no-adapt", "--json", "vm/web.vmx").json()
		eq((target, system, "web." + suffix, size), (r["target"], r["for"], r["description"], r["disks"][0]["size"]), "the report")
		check(size == SIZE or any("wants that" in x for x in r["remarks"]), "another size is told: %r" % r["remarks"])
		file = os.path.join("out", r["disks"][0]["file"])
		eq(kind, variant(file)[0], "variant")
		qemu_img("convert", "-f", fmt, "-O", "raw", file, "back.raw")
		with open("back.raw", "rb") as f, open(raw, "rb") as g:
			data = f.read()
			eq(True, data[:SIZE] == g.read() and not any(data[SIZE:]), "content by qemu-img")
		r = vdisk("lint", "--for", system, file)
		check("refused" not in r.out and "firmware" not in r.out, "its own lint: %s" % r.out)
		shutil.rmtree("out")
	for other in ("kvm", "vmware"):
		if other != target:
			refused("migrate", "--target", other, "--for", system, "--out", "out", "--no-adapt", "vm/web.vmx", mentions=("another hypervisor",))


for name in MADE:
	add("migrated for " + name, migrated, name)


@case
def migrated_to_an_ova():
	machine(rng_for("ova"), "bios", 23 * MIB)
	for system in ("esxi", "workstation", "virtualbox"):
		r = vdisk("migrate", "--for", system, "--ova", "--out", "out", "--no-adapt", "--json", "vm/web.vmx").json()
		eq(("web.ova", system), (r["description"], r["for"]), "the report")
		r = vdisk("lint", "--for", system, "out/web.ova")
		check("refused" not in r.out, r.out)
		shutil.rmtree("out")
	refused("migrate", "--for", "azure", "--ova", "--out", "out", "--no-adapt", "vm/web.vmx", mentions=("--ova is for",))


@case
def migrations_refused():
	"""Before anything is made, what contradicts."""
	machine(rng_for("no"), "uefi")
	for words, mentions in ((["--for", "hyperv-gen1"], ["UEFI"]), (["--for", "nowhere"], ["--for"]), (["--for", "azure", "-O", "qcow2"], ["azure", "vhd"]),
	                        (["--for", "azure", "-o", "subformat=dynamic"], ["subformat=dynamic", "azure"]),
	                        (["--for", "kvm", "--snapshots", "keep"], ["--snapshots keep"]), (["--findings", "--for", "kvm"], ["--findings"]), ([], ["--for"])):
		refused("migrate", *words, "--out", "out", "--no-adapt", "vm/web.vmx", mentions=mentions)
		check(not os.path.exists("out") and not os.path.exists("out.partial"), "nothing is left by %r" % words)
	# Of a guest that is adapted, a disk that can be written to.
	r = run(VDISK, "migrate", "--for", "esxi", "--out", "out", "--dry-run", "--json", "vm/web.vmx")
	if r.rc:
		check("adapt" in r.err, r.show()) # vdisk-adapt is not built
	else:
		check(any("vmfs" in x for x in r.json()["remarks"]), r.out)
	os.mkdir("large")
	qemu_img("create", "-f", "vmdk", "large/disk.vmdk", "3T")
	os.rename("vm/web.vmx", "large/web.vmx")
	refused("migrate", "--for", "xcp-ng", "--out", "out", "--no-adapt", "large/web.vmx", mentions=("past what",))


main()

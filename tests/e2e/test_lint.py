#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk lint: disks that other people's software made, each with one thing wrong for one system, and the same disk mended."""
import gzip, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from archives import *

SIZE = 64 * MIB
SYSTEMS = ("esxi", "workstation", "hyperv-gen1", "hyperv-gen2", "azure", "xcp-ng", "virtualbox", "openstack", "proxmox", "kvm")
os.environ["PATH"] += ":/sbin:/usr/sbin"


def write_file_new(path, data):
	with open(path, "wb") as f:
		f.write(data)


def disk(path, boot, table="gpt", sector=512, size=SIZE, fat=None):
	"""boot: "bios", "uefi", "both" or "": partitioned by sfdisk, with boot code and an ESP by mkfs.fat."""
	need("sfdisk", "mkfs.fat")
	with open(path, "wb") as f:
		f.truncate(size)
	esp = "uefi" in boot or boot == "both"
	kinds = {"gpt": ("uefi", "linux"), "dos": ("ef", "83")}[table]
	lines = ["label: %s" % table]
	if esp:
		lines.append("start=%d, size=%d, type=%s" % (MIB // sector, 40 * MIB // sector, kinds[0]))
	lines.append("start=%d, type=%s" % (48 * MIB // sector, kinds[1]))
	script = ("\n".join(lines) + "\n").encode()
	if sector == 512:
		ran("sfdisk", "-q", path, stdin=script)
	else: # Debian 12's sfdisk knows no other sectors of a file, its fdisk does
		write_file_new("script", script)
		ran("fdisk", "-b", str(sector), path, stdin=b"I\nscript\nw\n")
	if esp:
		ran("mkfs.fat", "-S", str(fat or sector), "-C", "esp.fat", str(40 * 1024))
		with open("esp.fat", "rb") as f:
			write_file(path, f.read(), MIB)
		os.unlink("esp.fat")
	if boot in ("bios", "both"):
		write_file(path, b"\xfa\x33\xc0" * 100, 0)
	return path


def lint(system, *paths, rc=None):
	r = run(VDISK, "lint", "--json", "--for", system, *paths)
	check(r.rc in (0, 1) and not r.err, "lint: %d %s" % (r.rc, r.err))
	o = r.json()
	eq(r.rc == 0, o["fine"], "status and answer")
	if rc is not None:
		eq(rc, r.rc, "status; %r" % o)
	for s in o["sources"]:
		eq(s["fine"], all(f["kind"] == "note" for f in s["findings"]), "fine")
		for f in s["findings"]:
			check(f["why"] and "\n" not in f["why"] and f["where"], "a whole finding: %r" % f)
			check(f["kind"] == "note" or f["mend"], "what is wrong says how to mend it: %r" % f)
	return {(f["kind"], f["code"]) for s in o["sources"] for f in s["findings"]}


def wrong(findings):
	return {f for f in findings if f[0] != "note"}


@case
def format_and_kind():
	raw = make_raw("disk.raw", rng_for("kind"), SIZE)
	eq({("refused", "format")}, wrong(lint("azure", raw, rc=1)), "raw for Azure")
	qemu_img("convert", "-O", "vpc", "-o", "subformat=dynamic,force_size", raw, "dyn.vhd")
	qemu_img("convert", "-O", "vpc", "-o", "subformat=fixed,force_size", raw, "fixed.vhd")
	eq({("refused", "subformat")}, wrong(lint("azure", "dyn.vhd", rc=1)), "dynamic for Azure")
	eq(set(), wrong(lint("azure", "fixed.vhd", rc=0)), "fixed for Azure")
	eq(set(), wrong(lint("xcp-ng", "dyn.vhd", rc=0)), "dynamic for XCP-ng")
	eq({("refused", "subformat")}, wrong(lint("xcp-ng", "fixed.vhd", rc=1)), "fixed for XCP-ng")
	eq({("refused", "format")}, wrong(lint("hyperv-gen2", "dyn.vhd", rc=1)), "VHD for generation 2")
	for kind in ("monolithicSparse", "twoGbMaxExtentSparse", "streamOptimized"):
		qemu_img("convert", "-O", "vmdk", "-o", "adapter_type=lsilogic,subformat=" + kind, raw, kind + ".vmdk")
		eq(set() if kind == "streamOptimized" else {("refused", "subformat")}, wrong(lint("esxi", kind + ".vmdk")), kind + " for ESXi")
		eq({("refused", "subformat")} if kind == "twoGbMaxExtentSparse" else set(), wrong(lint("openstack", kind + ".vmdk")), kind + " for OpenStack")
		eq(set(), wrong(lint("workstation", kind + ".vmdk")), kind + " for Workstation")


@case
def old_streams():
	"""ESXi wants version 3 in the header of a streamOptimized VMDK."""
	raw = make_raw("disk.raw", rng_for("old"), SIZE)
	vdisk("convert", "--for", "esxi", raw, "s.vmdk")
	eq(set(), wrong(lint("esxi", "s.vmdk")), "as it is made")
	write_file("s.vmdk", b"\1", 4)
	with open("s.vmdk", "rb") as f: # the footer's copy, 1024 bytes before the end
		f.seek(-1024, 2)
		at = f.tell() if f.read(4) == b"KDMV" else None
	check(at is not None, "a footer is there")
	write_file("s.vmdk", b"\1", at + 4)
	eq({("refused", "sparse-version")}, wrong(lint("esxi", "s.vmdk", rc=1)), "an old one")


@case
def sizes():
	for size, due in ((20 * MIB + 512, {"size-multiple"}), (19 * MIB, {"size-min"}), (20 * MIB, set())):
		make_raw("disk.raw", rng_for("sizes"), size)
		vdisk("convert", "--force", "-o", "subformat=fixed", "disk.raw", "a.vhd")
		eq(due, {c for _, c in wrong(lint("azure", "a.vhd"))}, "%d bytes" % size)
	qemu_img("create", "-f", "qcow2", "large.qcow2", "3T")
	eq({"format", "size-max"}, {c for _, c in wrong(lint("xcp-ng", "large.qcow2", rc=1))}, "3 TiB for XCP-ng")
	eq(set(), wrong(lint("kvm", "large.qcow2", rc=0)), "3 TiB for KVM")
	qemu_img("create", "-f", "vhdx", "large.vhdx", "3T")
	eq(set(), wrong(lint("hyperv-gen1", "large.vhdx", rc=0)), "a data disk of 3 TiB")


BOOT = {"uefi": {"hyperv-gen1"}, "bios": {"hyperv-gen2"}, "both": set(), "": set()}


def boots(boot, table):
	disk("disk.raw", boot, table)
	for system in SYSTEMS:
		vdisk("convert", "--force", "--for", system, "disk.raw", "out")
		due = {("no-boot", "firmware")} if system in BOOT[boot] else set()
		found = lint(system, "out")
		eq(due, wrong(found), "%s on %s" % (boot or "nothing", system))
		if boot:
			check(("note", "no-boot-code") not in found, "there is boot code: %r" % found)
			eq(boot != "both" and not system.startswith("hyperv"), ("note", "firmware") in found, "told on %s: %r" % (system, found))
		else:
			check(("note", "no-boot-code") in found, "nothing boots: %r" % found)


for table in ("gpt", "dos"):
	for boot in BOOT:
		add("boots: %s %s" % (table, boot or "nothing"), boots, boot, table)


@case
def esp():
	"""An EFI system partition without a file system, and one whose file system counts in other sectors."""
	disk("disk.raw", "uefi")
	write_file("disk.raw", b"\0" * 4096, MIB)
	eq({("no-boot", "esp")}, wrong(lint("kvm", "disk.raw", rc=1)), "empty")
	disk("disk.raw", "uefi", fat=4096)
	eq({("no-boot", "esp-sector-size")}, wrong(lint("kvm", "disk.raw", rc=1)), "other sectors")


@case
def sectors():
	"""A disk with sectors of 4,096 bytes, for those who can show such and those who cannot."""
	disk("disk.raw", "uefi", sector=4096)
	found = lint("kvm", "disk.raw", rc=0)
	check(("note", "sector-size") in found, "told: %r" % found)
	eq({("no-boot", "sector-size"), ("no-boot", "esp-sector-size")}, wrong(lint("proxmox", "disk.raw", rc=1)), "shown as 512")
	vdisk("convert", "-O", "vhdx", "-o", "logical_sector_size=4096", "disk.raw", "a.vhdx")
	eq(set(), wrong(lint("hyperv-gen2", "a.vhdx", rc=0)), "a VHDX that says so")
	check(("refused", "logical_sector_size") in lint("hyperv-gen1", "a.vhdx"), "generation 1 boots from 512 only")
	vdisk("convert", "-O", "vhdx", "disk.raw", "b.vhdx")
	check(("no-boot", "sector-size") in lint("hyperv-gen2", "b.vhdx", rc=1), "a VHDX that says 512")


@case
def tables():
	disk("disk.raw", "uefi")
	with open("disk.raw", "r+b") as f:
		f.truncate(SIZE + MIB)
	check(("note", "gpt-second") in lint("kvm", "disk.raw", rc=0), "a disk that was made longer")
	disk("disk.raw", "uefi")
	write_file("disk.raw", b"\xff" * 16, 512 + 40)
	eq({("no-boot", "gpt-first")}, wrong(lint("kvm", "disk.raw", rc=1)), "first header damaged")
	write_file("disk.raw", b"\xff" * 16, SIZE - 512 + 40)
	eq({("no-boot", "partition-table")}, wrong(lint("kvm", "disk.raw", rc=1)), "both damaged")
	with open("disk.raw", "wb") as f:
		f.truncate(SIZE)
	ran("sfdisk", "-q", "disk.raw", stdin=b"label: dos\nstart=63, size=2000, type=83\n")
	check(("note", "alignment") in lint("kvm", "disk.raw", rc=0), "the old first sector, 63")
	make_raw("plain.raw", rng_for("plain"), SIZE)
	write_file("plain.raw", b"\0" * 4096, 0)
	eq({("note", "no-table")}, lint("kvm", "plain.raw", rc=0), "no table")


@case
def layers():
	disk("base.raw", "both")
	qemu_img("convert", "-O", "qcow2", "base.raw", "base.qcow2")
	qemu_img("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "leaf.qcow2")
	eq({("refused", "parent")}, wrong(lint("openstack", "leaf.qcow2", rc=1)), "a layer for OpenStack")
	eq(set(), wrong(lint("kvm", "leaf.qcow2", rc=0)), "a layer for KVM")
	check(("note", "parent") in lint("kvm", "leaf.qcow2"), "told")
	qemu_img("snapshot", "-c", "one", "base.qcow2")
	check(("note", "snapshots") in lint("openstack", "base.qcow2", rc=0), "snapshots are told")
	os.unlink("base.qcow2")
	eq({("refused", "content")}, wrong(lint("kvm", "leaf.qcow2", rc=1)), "its parent is gone")
	qemu_img("create", "-f", "qcow2", "-o", "data_file=a.data", "a.qcow2", "64M")
	check(("refused", "data-file") in lint("openstack", "a.qcow2", rc=1), "a data file")


@case
def damaged():
	raw = make_raw("disk.raw", rng_for("damaged"), SIZE)
	qemu_img("convert", "-O", "qcow2", raw, "s.qcow2")
	os.truncate("s.qcow2", 2 * 65536)
	r = run(VDISK, "lint", "--for", "kvm", "s.qcow2")
	check(r.rc in (1, 2), "a file that lost its tables is not fine: %d %s %s" % (r.rc, r.out, r.err))
	eq(2, run(VDISK, "lint", "--for", "esxi", "nothing.vmdk").rc, "no such file")
	eq(2, run(VDISK, "lint", "s.qcow2").rc, "for whom?")


def bytes_read(*argv, rc=0):
	"""All that it and the programs that it starts read."""
	need("strace")
	ran("strace", "-f", "-qq", "-e", "trace=read,pread64,preadv", "-o", "trace", *argv, rc=rc)
	with open("trace") as f:
		return sum(int(line.rsplit("=", 1)[1].split()[0]) for line in f if "= " in line and line.rsplit("=", 1)[1].split()[0].isdigit())


def full(path, boot, size):
	"""A disk that is all data behind what it boots by."""
	disk(path, boot, size=size)
	block = random.Random(SEED).randbytes(MIB)
	with open(path, "r+b") as f:
		for at in range(60 * MIB, size - 2 * MIB, MIB):
			f.seek(at)
			f.write(block)
	return path


def cut(fmt, profile, options, victim=None):
	"""Of any length, what a conversion refuses is none that an importer takes: a finding, or trouble where it cannot be opened at all."""
	full("disk.raw", "bios", 96 * MIB)
	vdisk("convert", *options, "-O", fmt, "disk.raw", "disk." + fmt)
	path, found = "disk%s.%s" % (victim or "", fmt), 0
	whole = os.path.getsize(path)
	eq(set(), wrong(lint(profile, "disk." + fmt, rc=0)), "whole")
	for left in (whole - 512, whole - 70000, whole * 3 // 4, whole // 4, 70000):
		os.truncate(path, left)
		c = run(VDISK, "convert", "--dry-run", "-f", fmt, "-O", "raw", "disk." + fmt, "out.raw")
		r = run(VDISK, "lint", "--for", profile, "-f", fmt, "disk." + fmt)
		check(c.rc == 0 or r.rc, "cut to %d of %d bytes: a conversion refuses it, and %s" % (left, whole, r.show()))
		if r.rc == 1:
			check(": refused: file: " in r.out, "cut to %d of %d bytes: %s" % (left, whole, r.show()))
			found += 1
		elif r.rc:
			eq("", r.out, "half an answer")
			one_line(r)
	check(found >= 2 or "-flat" == victim or options[-1:] in (["subformat=streamOptimized"], ["subformat=fixed"]), "%d findings" % found)


for name, *how in (("qcow2", "kvm", []), ("qcow2", "openstack", ["-c"]), ("vmdk", "workstation", ["-o", "subformat=monolithicSparse"]),
                   ("vmdk", "workstation", ["-o", "subformat=twoGbMaxExtentSparse"], "-s001"), ("vmdk", "esxi", ["-o", "subformat=streamOptimized"]),
                   ("vmdk", "workstation", ["-o", "subformat=monolithicFlat"], "-flat"),
                   ("vhd", "xcp-ng", ["-o", "subformat=dynamic"]), ("vhd", "azure", ["-o", "subformat=fixed"]), ("vhdx", "hyperv-gen1", []), ("vdi", "virtualbox", [])):
	add("cut: %s %s" % (name, " ".join(how[1][-1:])), cut, name, *how)


@case
def stream_tables():
	"""A packed VMDK's tables are read, its grains are not, however many."""
	full("disk.raw", "bios", 128 * MIB)
	vdisk("convert", "-o", "subformat=streamOptimized", "disk.raw", "disk.vmdk")
	n = bytes_read(VDISK, "lint", "--for", "esxi", "disk.vmdk")
	whole = len(open("trace").readlines())
	check(n < 4 * MIB and whole < 400, "%d bytes by %d reads" % (n, whole))
	with open("disk.vmdk", "rb") as f:
		b = bytearray(f.read())
	grains = int.from_bytes(b[-1024 + 56:-1024 + 64], "little") * 512 # the footer's grain directory
	table = int.from_bytes(b[grains:grains + 4], "little") * 512
	b[table + 8:table + 12] = (len(b) // 512 + 7).to_bytes(4, "little")
	with open("bad.vmdk", "wb") as f:
		f.write(b)
	r = run(VDISK, "lint", "--for", "esxi", "bad.vmdk")
	check(r.rc == 1 and "grain 2 " in r.out, "a grain outside the file: %s" % r.show())


@case
def reads_little():
	"""A disk that is all data: a few pages of it are read."""
	full("disk.raw", "both", 256 * MIB)
	got = bytes_read(VDISK, "lint", "--for", "kvm", "disk.raw")
	check(got < 4 * MIB, "%d bytes were read" % got)


def need_archives():
	if not os.path.exists(os.path.join(BUILD, "vdisk-migrate")):
		skip("vdisk-migrate is not built")


@case
def ova_archives():
	need_archives()
	full("disk.raw", "bios", 128 * MIB)
	vdisk("convert", "--for", "esxi", "disk.raw", "a.vmdk")
	qemu_img("create", "-f", "raw", "b.raw", "30M")
	vdisk("convert", "--for", "esxi", "b.raw", "b.vmdk")
	members = [("web.ovf", ovf("web", [{"file": "a.vmdk", "capacity": 128 * MIB}, {"file": "b.vmdk", "capacity": 30 * MIB}])), ("a.vmdk", "a.vmdk"), ("b.vmdk", "b.vmdk")]
	tar("web.ova", members)
	check(os.path.getsize("web.ova") > 60 * MIB, "a large archive")
	got = bytes_read(VDISK, "lint", "--for", "esxi", "web.ova")
	check(got < 4 * MIB, "%d bytes were read" % got)
	eq(set(), wrong(lint("esxi", "web.ova", rc=0)), "for ESXi")
	o = run(VDISK, "lint", "--json", "--for", "hyperv-gen2", "web.ova").json()
	eq([(None, 0), ("vmdk", 128 * MIB), ("vmdk", 30 * MIB)], [(s["format"], s["virtual-size"]) for s in o["sources"]], "sources")
	check(o["sources"][1]["path"].endswith("web.ova: a.vmdk"), o["sources"][1]["path"])
	eq({("refused", "format"), ("no-boot", "firmware")}, wrong(lint("hyperv-gen2", "web.ova", rc=1)), "generation 2")
	# One whose disk is damaged, one that is packed, one that is cut.
	write_file("b.vmdk", b"\xff" * 64, 16)
	tar("bad.ova", members)
	check(("refused", "content") in lint("esxi", "bad.ova", rc=1), "a damaged disk")
	with open("b.vmdk.gz", "wb") as f:
		f.write(gzip.compress(b"x"))
	tar("packed.ova", [("web.ovf", ovf("web", [{"file": "b.vmdk.gz", "capacity": 30 * MIB, "compression": "gzip"}])), ("b.vmdk.gz", "b.vmdk.gz")])
	check(("note", "disk") in lint("esxi", "packed.ova", rc=0), "a packed disk is told of")
	tar("gone.ova", members[:2])
	for name in ("gone.ova", "none.ova"):
		r = run(VDISK, "lint", "--for", "esxi", name)
		eq((2, "", 1), (r.rc, r.out, r.err.count("\n")), "an archive that is not whole: %s" % r.err)
		check(name in r.err, r.err)


@case
def vma_and_xva_archives():
	need_archives()
	full("disk.raw", "bios", 68 * MIB)
	with open("disk.raw", "rb") as f:
		data = f.read()
	Vma("web", [("drive-scsi0", data)]).write("web.vma")
	xva("web.xva", "web", [("Ref:10", data)])
	for system, own, fmt in (("proxmox", "web.vma", "VMA"), ("xcp-ng", "web.xva", "XVA")):
		eq(set(), wrong(lint(system, own, rc=0)), "%s for its own system" % fmt)
		check(("refused", "format") in lint("kvm", own, rc=1), "%s for KVM" % fmt)
		got = bytes_read(VDISK, "lint", "--for", "kvm", own, rc=1)
		check(got < 4 * MIB, "%d bytes of %s were read" % (got, own))
	eq({("refused", "format"), ("no-boot", "firmware")}, wrong(lint("hyperv-gen2", "web.vma", rc=1)), "generation 2")
	eq({("refused", "format"), ("no-boot", "firmware")}, wrong(lint("hyperv-gen2", "web.xva", rc=1)), "generation 2, of an XVA")


def of_disk(system, *paths):
	"""What is said of each source's disk: its findings but those on the file, or on the machine."""
	r = run(VDISK, "lint", "--json", "--for", system, *paths)
	check(r.rc in (0, 1) and not r.err, "lint: %d %s" % (r.rc, r.err))
	return [sorted((f["kind"], f["code"], f["where"], f["why"]) for f in s["findings"] if f["where"] not in ("file", "archive", "machine")) for s in r.json()["sources"]]


def idle(members):
	"""Chunks without bytes, as they come from a slow storage: each takes a number."""
	grown = {}
	for i in range(len(members) - 1, 0, -1):
		if "/" in members[i][0] and "." not in members[i][0] and i % 14 == 1:
			members.insert(i, (members[i][0], b""))
	for i, (name, data) in enumerate(members):
		if "/" not in name:
			continue
		ref, number = name.split(".")[0].split("/")
		if "." not in name and not data:
			members[i] = ("%s/%08d" % (ref, int(number) + grown.get(ref, 0)), data)
			grown[ref] = grown.get(ref, 0) + 1
		else:
			members[i] = (name.replace(number, "%08d" % (int(number) + grown.get(ref, 0))), data)


@case
def xva_is_looked_into():
	"""What lint says of a disk in an XVA is what it says of the disk, wherever its tables and partitions lie and whatever was left out."""
	need_archives()
	rng = rng_for("xva lint")
	scripts = {"far": ("label: gpt\nstart=69632, size=20480, type=uefi\nstart=92160, type=linux\n", 50 * MIB + 512),
	           "logical": ("label: dos\nstart=2048, size=4096, type=83\nstart=8192, size=60000, type=5\nstart=10241, size=4096, type=83\nstart=33121, size=8192, type=83\n"
	                       "start=61059, size=2048, type=83\n", 35 * MIB),
	           "none": (None, 12 * MIB + 4096)}
	raws = {}
	for name, (script, size) in scripts.items():
		path = name + ".raw"
		with open(path, "wb") as f:
			f.truncate(size)
		if script:
			ran("sfdisk", "-q", path, stdin=script.encode())
		raws[name] = path
	raws["both"] = disk("both.raw", "both", fat=4096)
	raws["four"] = disk("four.raw", "uefi", sector=4096)
	raws["broken"] = disk("broken.raw", "uefi")
	write_file("broken.raw", b"broken", 512 + 16)
	write_file("far.raw", b"\xeb\x3c\x90mkfs.fat" + b"\0\2" + bytes(497) + b"\x55\xaa", 34 * MIB)
	for name, path in raws.items():
		size = os.path.getsize(path)
		with open(path, "r+b") as f: # data here and there: runs of chunks, and gaps between them
			for i in range(size // MIB // 3):
				at = rng.randrange(1, size // MIB - 1) * MIB + 700 * KIB
				f.seek(at)
				f.write(b"data")
	data = {n: open(p, "rb").read() for n, p in raws.items()}
	for kind, lie in (("xxhash", None), ("sha1", idle), (None, None)):
		for names in (["far", "logical"], ["none", "both"], ["four"], ["broken"]):
			xva("m.xva", "web", [("Ref:%d" % (7 + i), data[n]) for i, n in enumerate(names)], checksum=kind, lie=lie)
			for system in ("kvm", "hyperv-gen2"):
				due = [of_disk(system, raws[n])[0] for n in names]
				eq([[]] + due, of_disk(system, "m.xva"), "%s for %s, with checksums of the kind %s" % (names, system, kind))
	# With headers of another kind between its members, which are right and not looked through.
	import io, tarfile
	buf = io.BytesIO()
	with tarfile.open(fileobj=buf, mode="w", format=tarfile.PAX_FORMAT) as t:
		for name, piece in xva_members("web", [("Ref:7", data["far"])]):
			info = tarfile.TarInfo(name)
			info.size = len(piece)
			if name.startswith("Ref"):
				info.pax_headers = {"comment": "x"}
			t.addfile(info, io.BytesIO(piece))
	write_file("pax.xva", buf.getvalue())
	r = run(VDISK, "lint", "--json", "--for", "kvm", "pax.xva")
	check(r.rc in (0, 1), r.show())
	check(any(f["where"] == "archive" and f["kind"] == "note" for s in r.json()["sources"] for f in s["findings"]), "it says what it did not do: %s" % r.out)
	# Cut short, and a chunk that lies: told, not passed over.
	whole = content("m.xva")
	write_file("m.xva", whole[:len(whole) // 2])
	os.truncate("m.xva", len(whole) // 2 // 512 * 512)
	r = run(VDISK, "lint", "--for", "xcp-ng", "m.xva")
	check(r.rc == 2 and "m.xva" in r.err and r.err.count("\n") == 1, r.show())
	xva("m.xva", "web", [("Ref:7", data["far"])], lie=lambda m: m.__setitem__(-2, ("Ref:7/99999999", m[-2][1])))
	r = run(VDISK, "lint", "--for", "xcp-ng", "m.xva")
	check(r.rc == 2 and "m.xva" in r.err and r.err.count("\n") == 1, r.show())


@case
def xva_reads_little():
	"""3 GiB in an archive: a few MiB of it are read; so are they where it is in very many pieces, and then it says what it did not do."""
	need_archives()
	import tarfile
	size = 4 << 30
	disk("long.raw", "both", size=size)
	with open("long.raw", "rb") as f:
		table = f.read(2 * MIB)
		f.seek(size - MIB)
		tail = f.read()
	for name, numbers, looked in (("many.xva", [i for i in range(4096) if i % 4 != 3 or i == 4095], True), ("idle.xva", list(range(4096)), False)):
		with open(name, "wb") as f:
			def member(n, data, length):
				info = tarfile.TarInfo(n)
				info.size = length
				f.write(info.tobuf(tarfile.USTAR_FORMAT))
				f.write(data)
				f.seek((length - len(data) + 511) // 512 * 512 if not data else -len(data) % 512, 1)
			member("ova.xml", ova_xml("web", [("Ref:3", size)]), len(ova_xml("web", [("Ref:3", size)])))
			shift = 0
			for i in numbers:
				if not looked and i and i % 2 == 0: # an idle one before each second one: runs of two
					member("Ref:3/%08d" % (i + shift), b"", 0)
					shift += 1
				piece = table[i * MIB:(i + 1) * MIB] if i < 2 else tail if i == 4095 else b""
				member("Ref:3/%08d" % (i + shift), piece, MIB)
				member("Ref:3/%08d.xxhash" % (i + shift), b"0123456789ABCDEF", 16)
			f.write(bytes(1024))
		got = bytes_read(VDISK, "lint", "--for", "kvm", name, rc=1)
		check(got < 4 * MIB, "%d bytes of %s were read" % (got, name))
		r = run(VDISK, "lint", "--json", "--for", "kvm", name)
		notes = [f["why"] for s in r.json()["sources"] for f in s["findings"] if f["where"] == "archive" and f["kind"] == "note"]
		eq(looked, not notes, "%s: looked into: %r" % (name, r.json()))
		if looked:
			eq(of_disk("hyperv-gen2", "long.raw"), of_disk("hyperv-gen2", name)[1:], "what is found")


@case
def descriptions_from_windows():
	"""Disks are where vdisk migrate finds them: with backslashes, beside the description, and where Hyper-V exports them to."""
	need_archives()
	import snapshot_trees
	disk("disk.raw", "bios")
	os.makedirs("vm/Virtual Machines")
	os.makedirs("vm/Virtual Hard Disks")
	vdisk("convert", "-O", "vhd", "disk.raw", "vm/Virtual Hard Disks/a.vhd")
	vdisk("convert", "-O", "vhd", "disk.raw", "vm/b.vhd")
	write_file("vm/Virtual Machines/m.xml", snapshot_trees.hyperv_text("m", ["C:\\old\\Virtual Hard Disks\\a.vhd", "D:\\gone.vhd"]))
	location = "<location id=\"0\"><drive_type type=\"integer\">1</drive_type><pathname><absolute type=\"string\">C:\\b.vhd</absolute><relative type=\"string\">.\\b.vhd</relative></pathname></location>"
	write_file("vm/m.vmc", ("<?xml version=\"1.0\" encoding=\"UTF-16\"?><preferences><version type=\"string\">2.0</version><hardware><memory><ram_size type=\"integer\">64</ram_size></memory>"
	                        "<pci_bus><ide_adapter><ide_controller id=\"0\">%s</ide_controller></ide_adapter></pci_bus></hardware></preferences>" % location).encode("utf-16"))
	for path, files in (("vm/Virtual Machines/m.xml", ["a.vhd"]), ("vm/m.vmc", ["b.vhd"])):
		r = run(VDISK, "lint", "--json", "--for", "hyperv-gen1", path)
		sources = r.json()["sources"]
		eq([os.path.basename(path)] + files, [os.path.basename(s["path"]) for s in sources], "looked at: %s" % r.out)
		eq([SIZE], [s["virtual-size"] for s in sources[1:]], "its size")
	check(any("D:\\gone.vhd" in f["why"] for s in run(VDISK, "lint", "--json", "--for", "hyperv-gen1", "vm/Virtual Machines/m.xml").json()["sources"] for f in s["findings"]), "what is gone is told")


@case
def names_that_only_look_like_it():
	"""What stands behind a URL's '?' is no suffix; machines are not read from web servers."""
	for name, word in (("http://127.0.0.1:1/a.vmx?x=y", "download"), ("http://127.0.0.1:1/a.ova", "download"), ("http://127.0.0.1:1/a.qcow2?x=b.cfg", "onnect")):
		r = run(VDISK, "lint", "--for", "kvm", name, env={k: "" for k in ("http_proxy", "all_proxy", "ALL_PROXY")})
		eq((2, "", 1), (r.rc, r.out, r.err.count("\n")), name)
		check(word in r.err or "made without" in r.err, r.err)


VMX = """config.version = "8"
virtualHW.version = "13"
displayName = "web"
guestOS = "debian10-64"
memsize = "1024"
numvcpus = "1"
%s
scsi0.present = "TRUE"
scsi0.virtualDev = "lsilogic"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "%s"
"""


@case
def descriptions():
	if not os.path.exists(os.path.join(BUILD, "vdisk-machine")):
		skip("vdisk-machine is not built")
	disk("disk.raw", "bios")
	os.mkdir("m")
	vdisk("convert", "--for", "workstation", "disk.raw", "m/web.vmdk")
	with open("m/web.vmx", "w") as f:
		f.write(VMX % ("", "web.vmdk"))
	eq(set(), wrong(lint("workstation", "m/web.vmx", rc=0)), "as it was")
	eq({"format", "firmware"}, {c for _, c in wrong(lint("hyperv-gen2", "m/web.vmx", rc=1))}, "generation 2")
	with open("m/efi.vmx", "w") as f:
		f.write(VMX % ('firmware = "efi"', "web.vmdk"))
	check(("no-boot", "firmware") in lint("hyperv-gen1", "m/efi.vmx", rc=1), "UEFI for generation 1")
	with open("m/gone.vmx", "w") as f:
		f.write(VMX % ("", "gone.vmdk"))
	check(("refused", "disk") in lint("workstation", "m/gone.vmx", rc=1), "a disk that is not there")
	with open("m/away.vmx", "w") as f:
		f.write(VMX % ("", "../disk.raw"))
	found = lint("workstation", "m/away.vmx", rc=0)
	eq({("note", "disk")}, found, "a name that leads away is told, and not followed")
	with open("m/bad.xml", "w") as f:
		f.write("<frob/>")
	r = run(VDISK, "lint", "--for", "kvm", "m/bad.xml")
	eq((2, "", 1), (r.rc, r.out, r.err.count("\n")), "no description: %s" % r.err)


@case
def several():
	disk("a.raw", "both")
	disk("b.raw", "bios")
	r = run(VDISK, "lint", "--for", "kvm", "a.raw", "b.raw")
	eq(0, r.rc, "two that are fine")
	check("a.raw: fine" in r.out and "b.raw: fine" in r.out, r.out)
	eq("", run(VDISK, "lint", "-q", "--for", "kvm", "a.raw", "b.raw").out, "quiet")
	r = run(VDISK, "lint", "--for", "hyperv-gen2", "a.raw", "b.raw")
	eq(1, r.rc, "one that is not")
	r = run(VDISK, "lint", "--for", "kvm", "a.raw", "gone.raw")
	eq((2, ""), (r.rc, r.out), "one that is not there: no half answer")


main()

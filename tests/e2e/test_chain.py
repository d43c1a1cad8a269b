#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Chains: overlays over parents of every kind, shorter parents, zeros and discards over a parent's data, identities, conversion
with a backing file."""
import os, shutil, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import hostile, vhdmaker

QFMT = {"vhd": "vpc"}


def base_image(fmt, size, options=""):
	make_raw("base.raw", rng_for("base/%s/%d" % (fmt, size)), size)
	path = "base." + fmt
	if fmt != "raw":
		opts = ",".join(filter(None, [options, "force_size=on" if fmt == "vhd" else ""]))
		qemu_img("convert", "-f", "raw", "-O", QFMT.get(fmt, fmt), *(["-o", opts] if opts else []), "base.raw", path)
	return path


def read_same(path, fmt):
	"""qemu-img and vdisk read the same."""
	qemu_img("convert", "-f", QFMT.get(fmt, fmt), "-O", "raw", path, "q.raw")
	vdisk("convert", "-f", fmt, "-O", "raw", path, "v.raw")
	same_bytes("q.raw", "v.raw", "%s read by qemu-img and by vdisk" % path)
	os.unlink("v.raw")
	os.rename("q.raw", "read.raw")
	return "read.raw"


def over(kind, size, overlay_size, options=""):
	"""A qcow2 over a parent that is shorter, or longer."""
	base = base_image(kind, size)
	qemu_img("create", "-q", "-f", "qcow2", *(["-o", options] if options else []), "-b", base, "-F", QFMT.get(kind, kind),
	         "top.qcow2",
	         overlay_size)
	qemu_io("top.qcow2", "qcow2", "write -P 5 10000 100000", "write -z 1M 300000", "write -z -u 2M 65536", "discard 1900k 100k",
	        "write -P 6 %d 512" % (overlay_size - 512))
	flat = read_same("top.qcow2", "qcow2")
	eq(overlay_size, os.path.getsize(flat), "virtual size")
	vdisk("check", "top.qcow2")
	r = vdisk("info", "--json", "--chain", "top.qcow2").json()
	check(base in json.dumps(r), "info --chain names the parent: %r" % r)
	vdisk("compare", "-f", "raw", "-F", "qcow2", flat, "top.qcow2")
	# Flattened into other formats.
	for fmt in ("qcow2", "vmdk", "vhd"):
		vdisk("convert", "-O", fmt, "top.qcow2", "flat." + fmt)
		same_as_raw(flat, "flat." + fmt, QFMT.get(fmt, fmt))
	# A parent's data past the overlay's end, or past its own, shows nowhere.
	m = vdisk("map", "--json", "top.qcow2").json()
	eq(overlay_size, sum(x["length"] for x in m["extents"]), "what the map covers")


for kind in ("raw", "qcow2", "vhd", "vmdk"):
	for what, size, overlay_size in (("shorter", 3 * MIB - 512, 5 * MIB), ("longer", 6 * MIB, 4 * MIB + 512)):
		add("qcow2 over %s, %s" % (kind, what), over, kind, size, overlay_size)
add("extended L2 over qcow2", over, "qcow2", 3 * MIB - 512, 5 * MIB, "extended_l2=on")
add("512 B clusters over raw", over, "raw", 3 * MIB - 512, 5 * MIB, "cluster_size=512")


@case
def parent_end_inside_a_cluster():
	"""A write next to where the shorter parent ends: the copied rest of the cluster is zeros past it."""
	need_vdio()
	base_image("raw", 100 * 1024 + 512)
	qemu_img("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "top.qcow2", "1M")
	ran(VDIO, "-f", "qcow2", "top.qcow2", stdin=b"write 110000 100 9\nwrite 70000 10 8\nzero 65536 100\n")
	expected = bytearray(MIB)
	with open("base.raw", "rb") as f:
		b = f.read()
	expected[:len(b)] = b
	expected[110000:110100] = b"\x09" * 100
	expected[70000:70010] = b"\x08" * 10
	expected[65536:65636] = bytes(100)
	write_file("expected.raw", bytes(expected))
	same_bytes("expected.raw", read_same("top.qcow2", "qcow2"))
	qemu_check("top.qcow2", "qcow2")


def written_by_us(what, options):
	"""zero and discard over a parent's data never let it show through."""
	need_vdio()
	write_file("base.raw", b"\xaa" * (2 * MIB))
	qemu_img("create", "-q", "-f", "qcow2", *(["-o", options] if options else []), "-b", "base.raw", "-F", "raw", "top.qcow2")
	ops = [(0, 65536), (100000, 200000), (2 * MIB - 1000, 1000), (MIB, 1)]
	ran(VDIO, "-f", "qcow2", "top.qcow2", stdin="".join("%s %d %d\n" % (what, *o) for o in ops).encode())
	with open(read_same("top.qcow2", "qcow2"), "rb") as f:
		content = f.read()
	mask = bytearray(2 * MIB)
	for off, length in ops:
		mask[off:off + length] = b"\1" * length
	for off, length in ops:
		got = set(content[off:off + length])
		check(got <= ({0} if what == "zero" else {0, 0xaa}), "%s %d %d reads as %r" % (what, off, length, got))
	outside = bytes(c for c, m in zip(content, mask) if not m)
	check(not outside.strip(b"\xaa"), "%s changed bytes outside its ranges" % what)
	qemu_check("top.qcow2", "qcow2")


for what in ("zero", "discard"):
	for options in ("", "compat=0.10", "extended_l2=on", "cluster_size=512"):
		add("%s over backing, %s" % (what, options or "default"), written_by_us, what, options)


@case
def discarded_data_does_not_let_the_parent_through():
	"""Write over the parent, then discard what was written: zeros or the new bytes, never the parent's old ones."""
	need_vdio()
	for options in ("", "compat=0.10", "extended_l2=on"):
		write_file("base.raw", b"\xaa" * MIB)
		qemu_img("create", "-q", "-f", "qcow2", *(["-o", options] if options else []), "-b", "base.raw", "-F", "raw",
		         "top.qcow2")
		ran(VDIO, "-f", "qcow2", "top.qcow2",
		    stdin=b"write 0 524288 17\nflush\ndiscard 0 524288\nflush\ndiscard 1000 300000\n")
		with open(read_same("top.qcow2", "qcow2"), "rb") as f:
			got = set(f.read(524288))
		check(0xaa not in got, "the parent's bytes show through a discard (%s): %r" % (options, got))
		qemu_check("top.qcow2", "qcow2")
		os.unlink("top.qcow2")


@case
def convert_onto_a_backing_file():
	"""-b: only what differs is written; zeros over the parent's data are written as zeros."""
	rng = rng_for("onto")
	for kind in ("raw", "qcow2", "vhd"):
		base_image(kind, 8 * MIB)
		shutil.copy("base.raw", "changed.raw")
		write_file("changed.raw", rng.randbytes(100000), 3 * MIB + 17)
		write_file("changed.raw", bytes(500000), 5 * MIB + 100)
		vdisk("convert", "-f", "raw", "-O", "qcow2", "-b", "base." + kind, "-F", kind, "changed.raw", "top.qcow2")
		same_bytes("changed.raw", read_same("top.qcow2", "qcow2"))
		qemu_check("top.qcow2", "qcow2")
		vdisk("check", "top.qcow2")
		check(os.path.getsize("top.qcow2") < 3 * MIB,
		      "the overlay holds %d bytes, not only the difference" % os.path.getsize("top.qcow2"))
		info = qemu_img("info", "--output=json", "top.qcow2").json()
		eq("base." + kind, info["backing-filename"], "backing file's name")
		eq(QFMT.get(kind, kind), info["backing-filename-format"], "its format, by the name that QEMU knows")
		os.unlink("top.qcow2")


@case
def create_with_backing():
	base_image("qcow2", 3 * MIB)
	vdisk("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2")
	eq(3 * MIB, virtual_size("top.qcow2", "qcow2"), "the parent's size")
	same_bytes("base.raw", read_same("top.qcow2", "qcow2"))
	vdisk("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "longer.qcow2", "5M")
	eq(5 * MIB, virtual_size("longer.qcow2", "qcow2"), "the size that was asked for")
	read_same("longer.qcow2", "qcow2")
	refused("create", "-f", "qcow2", "-b", "missing.qcow2", "-F", "qcow2", "x.qcow2")
	refused("create", "-f", "vmdk", "-o", "subformat=streamOptimized", "-b", "base.qcow2", "-F", "qcow2", "x.vmdk")
	# In another folder: the name is relative to the image's.
	os.mkdir("sub")
	r = run(VDISK, "create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "sub/top.qcow2")
	eq(2, r.rc, "there is no sub/base.qcow2: %s" % r.show())


@case
def a_long_chain():
	base_image("raw", 2 * MIB)
	prev, fmt = "base.raw", "raw"
	for i in range(12):
		qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=%d" % (4096 << i % 5), "-b", prev, "-F", fmt,
		         "c%d.qcow2" % i)
		qemu_io("c%d.qcow2" % i, "qcow2", "write -P %d %d 50000" % (i + 1, i * 100000),
		        "write -z %d 3000" % (i * 90000 + 777))
		prev, fmt = "c%d.qcow2" % i, "qcow2"
	read_same(prev, "qcow2")
	r = vdisk("info", "--json", "--chain", prev).json()
	for i in range(12):
		check("c%d.qcow2" % i in json.dumps(r), "info --chain names c%d.qcow2" % i)


# ---------------------------------------------------------------- VHD

@case
def vhd_chain():
	"""Grandparent, parent, child; read by libvhdi too."""
	rng = rng_for("vhd_chain")
	size = 8 * MIB
	base_image("vhd", size)
	one = {8 * 100: rng.randbytes(4096), 8 * 800: rng.randbytes(4096 * 20)}
	two = {8 * 102: rng.randbytes(4096), 8 * 801: rng.randbytes(4096), 8 * 1500: rng.randbytes(4096 * 3)}
	shutil.copy("base.raw", "expected.raw")
	for writes in (one, two):
		for s, data in writes.items():
			write_file("expected.raw", data, s * 512)
	vhdmaker.differencing("one.vhd", "base.vhd", size, one)
	vhdmaker.differencing("two.vhd", "one.vhd", size, two)
	vdisk("convert", "-O", "raw", "two.vhd", "out.raw")
	same_bytes("expected.raw", "out.raw")
	with mounted("vhd", "two.vhd", "mnt"):
		last = sorted(os.listdir("mnt"))[-1]
		same_bytes("expected.raw", os.path.join("mnt", last), "the chain read by libvhdi")
	vdisk("check", "two.vhd")
	check("one.vhd" in vdisk("info", "--chain", "two.vhd").out, "info --chain names the parent")


@case
def vhd_locators():
	"""The parent is found by its relative locator, or by its name beside the image where absolute ones are another
	machine's."""
	rng = rng_for("vhd_locators")
	size = 4 * MIB
	base_image("vhd", size)
	write = {3: rng.randbytes(512)}
	shutil.copy("base.raw", "expected.raw")
	write_file("expected.raw", write[3], 3 * 512)
	elsewhere = "C:\\Virtual Machines\\base.vhd".encode("utf-16-le")
	for locators in ([(b"W2ru", ".\\base.vhd".encode("utf-16-le"))], [(b"W2ru", "base.vhd".encode("utf-16-le"))],
	                 [(b"W2ku", elsewhere), (b"W2ru", ".\\base.vhd".encode("utf-16-le"))], [(b"W2ku", elsewhere)], []):
		vhdmaker.differencing("child.vhd", "base.vhd", size, write, locators=locators)
		r = run(VDISK, "convert", "-O", "raw", "child.vhd", "out.raw")
		if not any(code == b"W2ru" for code, _ in locators) and r.rc == 2:
			one_line(r)
			continue
		eq(0, r.rc, "with the locators %r: %s" % (locators, r.show()))
		same_bytes("expected.raw", "out.raw")
		os.unlink("out.raw")
	# The user says where it is now.
	os.mkdir("moved")
	vhdmaker.differencing("child.vhd", "base.vhd", size, write, locators=[(b"W2ku", elsewhere)])
	os.rename("base.vhd", "moved/other.vhd")
	refused("convert", "-O", "raw", "child.vhd", "out.raw")


@case
def vhd_locator_to_outside():
	os.mkdir("in")
	base_image("vhd", 4 * MIB)
	vhdmaker.differencing("in/child.vhd", "../base.vhd", 4 * MIB, {3: b"x" * 512},
	                      locators=[(b"W2ru", "..\\base.vhd".encode("utf-16-le"))])
	refused("convert", "-O", "raw", "in/child.vhd", "out.raw", mentions="--allow-parent")
	vdisk("convert", "--allow-parent", ".", "-O", "raw", "in/child.vhd", "out.raw")


@case
def vhd_created_by_us():
	"""A differencing VHD of our making, read by libvhdi."""
	need_vdio()
	base_image("vhd", 8 * MIB)
	vdisk("create", "-f", "vhd", "-b", "base.vhd", "-F", "vhd", "child.vhd")
	# libvhdi 20210425 misreads the bitmap of single sectors: whole bytes of it.
	ran(VDIO, "-f", "vhd", "child.vhd", stdin=b"write 40960 8192 7\nwrite 4194304 4096 9\nzero 3145728 65536\n")
	shutil.copy("base.raw", "expected.raw")
	write_file("expected.raw", b"\7" * 8192, 40960)
	write_file("expected.raw", b"\x09" * 4096, 4194304)
	write_file("expected.raw", bytes(65536), 3145728)
	vdisk("convert", "-O", "raw", "child.vhd", "out.raw")
	same_bytes("expected.raw", "out.raw")
	vdisk("check", "child.vhd")
	with mounted("vhd", "child.vhd", "mnt"):
		last = sorted(os.listdir("mnt"))[-1]
		same_bytes("expected.raw", os.path.join("mnt", last), "read by libvhdi")


# ---------------------------------------------------------------- VMDK

@case
def vmdk_chain():
	base_image("vmdk", 6 * MIB)
	qemu_img("create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "one.vmdk")
	qemu_io("one.vmdk", "vmdk", "write -P 7 100000 70000", "write -P 8 4M 512")
	qemu_img("create", "-q", "-f", "vmdk", "-b", "one.vmdk", "-F", "vmdk", "two.vmdk")
	qemu_io("two.vmdk", "vmdk", "write -P 9 120000 7000", "write -z 4M 512", "write -P 1 5M 100")
	read_same("two.vmdk", "vmdk")
	vdisk("check", "two.vmdk")
	check("one.vmdk" in vdisk("info", "--chain", "two.vmdk").out, "info --chain names the parent")


@case
def vmdk_created_by_us():
	need_vdio()
	base_image("vmdk", 6 * MIB)
	vdisk("create", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "child.vmdk")
	ran(VDIO, "-f", "vmdk", "child.vmdk",
	    stdin=b"write 100000 70000 7\nwrite 4194304 512 8\nzero 1048576 65536\nzero 2000000 333\n")
	shutil.copy("base.raw", "expected.raw")
	write_file("expected.raw", b"\7" * 70000, 100000)
	write_file("expected.raw", b"\x08" * 512, 4194304)
	write_file("expected.raw", bytes(65536), 1048576)
	write_file("expected.raw", bytes(333), 2000000)
	same_bytes("expected.raw", read_same("child.vmdk", "vmdk"))
	qemu_check("child.vmdk", "vmdk")
	vdisk("check", "child.vmdk")


@case
def esx_snapshot():
	"""A vmfsSparse delta over a vmfs flat, as ESXi makes them; QEMU reads both kinds."""
	need_vdio()
	make_raw("base.raw", rng_for("esx"), 3 * MIB)
	vdisk("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=vmfs", "base.raw", "base.vmdk")
	vdisk("create", "-f", "vmdk", "-o", "subformat=vmfsSparse", "-b", "base.vmdk", "-F", "vmdk", "child.vmdk")
	ran(VDIO, "-f", "vmdk", "child.vmdk", stdin=b"write 1000000 70000 7\nwrite 512 512 3\nzero 2000000 9999\n")
	shutil.copy("base.raw", "expected.raw")
	write_file("expected.raw", b"\7" * 70000, 1000000)
	write_file("expected.raw", b"\3" * 512, 512)
	write_file("expected.raw", bytes(9999), 2000000)
	same_bytes("expected.raw", read_same("child.vmdk", "vmdk"))
	vdisk("check", "child.vmdk")


@case
def vmdk_writing_renews_the_cid():
	"""A parent that was written is no longer the one that its child was made over; --keep-id and a refusal to write guard
	it."""
	need_vdio()
	base_image("vmdk", 4 * MIB)
	qemu_img("create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "child.vmdk")
	vdisk("convert", "-O", "raw", "child.vmdk", "before.raw")
	ran(VDIO, "-f", "vmdk", "base.vmdk", stdin=b"write 0 512 1\n")
	refused("convert", "-O", "raw", "child.vmdk", "out.raw", mentions="CID")
	r = run("qemu-img", "convert", "-O", "raw", "child.vmdk", "q.raw")
	check(r.rc != 0, "qemu-img sees the changed CID too: %s" % r.show())


@case
def compare_windows_of_zeros_in_several_extents():
	"""Zero clusters and absent ones take turns behind data: equal to a hole."""
	with open("flat.raw", "wb") as f:
		f.write(rng_for("zeros").randbytes(8 * MIB))
		f.truncate(40 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "flat.raw", "a.qcow2")
	qemu_io("a.qcow2", "qcow2", *("write -z %d 65536" % at for at in range(8 * MIB, 40 * MIB, 262144)))
	vdisk("compare", "-f", "qcow2", "-F", "raw", "a.qcow2", "flat.raw")
	vdisk("compare", "-f", "raw", "-F", "qcow2", "flat.raw", "a.qcow2")


@case
def info_of_broken_chains():
	"""info --chain tells what is wrong between the layers, and of those that are there."""
	def problems(path):
		layers = vdisk("info", "--chain", "--json", path).json()["layers"]
		text = vdisk("info", "--chain", path).out
		for l in layers:
			check(("problem: " in text) == any(x["parent-problem"] for x in layers), "the text tells it too: %s" % text)
		return [l["parent-problem"] for l in layers]

	def one(found, n, where, *words):
		eq(n, len(found), "layers told of: %r" % found)
		for i, p in enumerate(found):
			check((p is not None) == (i == where), "problem of layer %d: %r" % (i, p))
		check(all(w in found[where] for w in words), "%r in %r" % (words, found[where]))

	for fmt in ("qcow2", "vmdk", "vhd"):
		vdisk("create", "a." + fmt, "4M")
		vdisk("create", "-b", "a." + fmt, "b." + fmt)
		vdisk("create", "-b", "b." + fmt, "c." + fmt)
		eq([None] * 3, problems("c." + fmt), "problems of a sound chain")
		os.utime("a." + fmt, (1000000000, 1000000000))
		if fmt == "vhd":
			one(problems("c.vhd"), 3, 1, "time stamp")
	vdisk("resize", "a.vmdk", "+1M") # another CID
	one(problems("c.vmdk"), 3, 1, "parentCID", "a.vmdk")
	vdisk("amend", "-o", "uuid=01234567-89ab-cdef-0123-456789abcdef", "a.vhd")
	one(problems("c.vhd"), 3, 1, "UUID", "a.vhd")
	os.unlink("a.qcow2")
	one(problems("c.qcow2"), 2, 1, "a.qcow2", "--parent")
	refused("map", "c.qcow2", mentions="a.qcow2")
	qemu_img("rebase", "-u", "-b", "c.qcow2", "-F", "qcow2", "b.qcow2")
	one(problems("c.qcow2"), 2, 1, "its own ancestor")
	qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "k000.qcow2", "-F", "qcow2", "first.qcow2", "1M")
	with open("first.qcow2", "rb") as f:
		b = f.read()
	for i in range(260):
		write_file("k%03d.qcow2" % i, b.replace(b"k000", b"k%03d" % (i + 1)))
	one(problems("k000.qcow2"), 256, 255, "longer than 256")



def second_name(fmt):
	"""Of the names that an image has for its parent the first one may lead to another image, or to itself: the one that fits is taken."""
	size = 4 * MIB
	os.mkdir("sub")
	vdisk("create", "-f", fmt, "real." + fmt, str(size))
	need_vdio()
	ran(VDIO, "-f", fmt, "real." + fmt, stdin=b"write 65536 4096 7\n")
	vdisk("create", "-f", fmt, "-b", "real." + fmt, "-F", fmt, "child." + fmt) # relative, and absolute
	vdisk("convert", "-O", "raw", "child." + fmt, "want.raw")
	# Beside it lies another one of that name.
	shutil.move("child." + fmt, "sub/child." + fmt)
	vdisk("create", "-f", fmt, "sub/real." + fmt, str(size))
	refused("convert", "-O", "raw", "sub/child." + fmt, "out.raw", mentions="UUID")
	vdisk("convert", "--allow-parent", ".", "-O", "raw", "sub/child." + fmt, "out.raw")
	same_bytes("want.raw", "out.raw")
	# It has that name itself.
	os.unlink("sub/real." + fmt)
	shutil.move("sub/child." + fmt, "sub/real." + fmt)
	refused("convert", "-O", "raw", "sub/real." + fmt, "out2.raw")
	vdisk("convert", "--allow-parent", ".", "-O", "raw", "sub/real." + fmt, "out2.raw")
	same_bytes("want.raw", "out2.raw")
	# None fits: the first one is told of.
	os.unlink("real." + fmt)
	vdisk("create", "-f", fmt, "real." + fmt, str(size))
	refused("convert", "--allow-parent", ".", "-O", "raw", "sub/real." + fmt, "out3.raw", mentions="UUID")


for fmt in ("vhd", "vhdx"):
	add("second name, " + fmt, second_name, fmt)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names, descriptors, permissions and places that are legal but seldom met, and damage beyond headers."""
import os, re, stat, struct, sys, zlib
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import hostile

QFMT = {"vhd": "vpc"}


def source(size=2 * MIB):
	return make_raw("source.raw", rng_for("source"), size)


# ---------------------------------------------------------------- names

@case
def names_of_files():
	source()
	for name in ("with space.vmdk", "ünïcode.vmdk", "a,b=c.vmdk", "-dash.vmdk", "#hash.vmdk", "a" * 245 + ".vmdk",
	             ".hidden.vmdk"):
		for args in ([], ["-o", "subformat=monolithicFlat"], ["-o", "subformat=twoGbMaxExtentSparse"],
		             ["-o", "subformat=streamOptimized"]):
			r = run(VDISK, "convert", "-f", "raw", "-O", "vmdk", *args, "source.raw", "./" + name)
			if r.rc == 2 and len(name) > 200: # no room for the extents' suffix
				one_line(r)
				eq(["source.raw"], os.listdir("."), "what is left")
				continue
			eq(0, r.rc, "exit status: %s" % r.show())
			eq(os.path.getsize("source.raw"), qemu_img("info", "--output=json", "--image-opts",
			   "driver=vmdk,file.driver=file,file.filename=./" + name.replace(",", ",,")).json()["virtual-size"],
			   "size, says qemu-img")
			vdisk("compare", "-f", "raw", "-F", "vmdk", "source.raw", "./" + name)
			for n in os.listdir("."):
				if n != "source.raw":
					os.unlink(n)
	for name in ("a" * 250 + ".raw", "b" * 255):
		r = run(VDISK, "convert", "-f", "raw", "-O", "raw", "source.raw", name)
		check(r.rc in (0, 2), r.show())
		if r.rc == 0:
			same_bytes("source.raw", name)
		else:
			one_line(r)


@case
def quotes_in_a_name():
	"""A descriptor cannot hold them: refused, or read back whole."""
	source()
	for name in ('a"b.vmdk', "a\nb.vmdk"):
		for kind in ("monolithicSparse", "monolithicFlat", "streamOptimized"):
			r = run(VDISK, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + kind, "source.raw", name)
			if r.rc == 0:
				vdisk("compare", "-f", "raw", "-F", "vmdk", "source.raw", name)
			else:
				eq(2, r.rc, "exit status: %s" % r.show())
				one_line(r)
			for n in os.listdir("."):
				if n != "source.raw":
					os.unlink(n)


@case
def control_characters_in_messages():
	"""What an image or a path says reaches a terminal escaped, and on one line."""
	for name in ("evil\x1b[31mname\n.raw", "bell\a\r.raw", "bad\udcff.raw"):
		qemu_img("create", "-q", "-f", "qcow2", "top.qcow2", "1M")
		raw = name.encode("utf-8", "surrogateescape")
		hostile.qcow2_extensions("top.qcow2", [(0xe2792aca, b"raw")])
		write_file("top.qcow2", raw, 512)
		hostile.put("top.qcow2", 8, ">Q", 512)
		hostile.put("top.qcow2", 16, ">I", len(raw))
		refused("convert", "-f", "qcow2", "-O", "raw", "top.qcow2", "out.raw")
		for args in (("info", "top.qcow2"), ("info", "--json", "top.qcow2")):
			r = vdisk(*args)
			check(not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", r.raw.replace(b"\t", b"")),
			      "control characters in %s: %r" % (r, r.raw))
		vdisk("info", "--json", "top.qcow2").json()
		refused("info", name)


# ---------------------------------------------------------------- places

@case
def permissions():
	source()
	old = os.umask(0o027)
	try:
		vdisk("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
		vdisk("create", "-f", "vmdk", "-o", "subformat=monolithicFlat", "b.vmdk", "1M")
	finally:
		os.umask(old)
	for n in ("a.qcow2", "b.vmdk", "b-flat.vmdk"):
		eq(0o640, stat.S_IMODE(os.stat(n).st_mode), "mode of %s under umask 027" % n)


@case
def a_link_as_destination():
	"""--force through a symlink never leaves half of anything."""
	source()
	os.mkdir("store")
	write_file("store/real.qcow2", b"old")
	os.symlink("store/real.qcow2", "link.qcow2")
	refused("convert", "-f", "raw", "-O", "qcow2", "source.raw", "link.qcow2", mentions="--force")
	r = run(VDISK, "convert", "--force", "-f", "raw", "-O", "qcow2", "source.raw", "link.qcow2")
	check(r.rc in (0, 2), r.show())
	if r.rc == 0:
		vdisk("compare", "-f", "raw", "-F", "qcow2", "source.raw", "link.qcow2")
	os.unlink("link.qcow2")
	os.symlink("nowhere/x.qcow2", "dangling.qcow2")
	r = run(VDISK, "convert", "-f", "raw", "-O", "qcow2", "source.raw", "dangling.qcow2")
	check(r.rc in (0, 2), r.show())


@case
def devices_that_are_no_disks():
	source()
	for args in (("convert", "-f", "raw", "-O", "raw", "/dev/zero", "out.raw"),
	             ("convert", "-f", "raw", "-O", "qcow2", "source.raw", "/dev/null"),
	             ("convert", "-f", "raw", "-O", "raw", "--force", "source.raw", "/dev/full"), ("info", "/dev/zero"),
	             ("digest", "/dev/null"),
	             ("compare", "/dev/zero", "source.raw"), ("check", "/dev/zero"), ("info", "/proc/self/mem")):
		r = run(VDISK, *args, timeout=60)
		check(r.rc == 2 or args[-1] == "/dev/null", "a refusal is due: %s" % r.show())
		if r.rc == 2:
			one_line(r)
	check(stat.S_ISCHR(os.stat("/dev/null").st_mode), "/dev/null was replaced")


@case
def a_folder_of_its_own():
	"""From another working folder, absolute and relative names alike."""
	os.mkdir("in")
	os.mkdir("out")
	make_raw("in/source.raw", rng_for("place"), MIB)
	vdisk("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", "../in/source.raw", "a.vmdk", cwd="out")
	same_as_raw("in/source.raw", "out/a.vmdk", "vmdk")
	vdisk("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", os.path.abspath("in/source.raw"),
	      os.path.abspath("out/b.vmdk"))
	same_as_raw("in/source.raw", "out/b.vmdk", "vmdk")
	os.rename("out", "moved")
	vdisk("compare", "-f", "raw", "-F", "vmdk", "in/source.raw", "moved/a.vmdk")


# ---------------------------------------------------------------- VMDK descriptors

def flat_pair(size=MIB):
	make_raw("x-flat.vmdk", rng_for("flat"), size)
	return size // 512


def written(text, encoding="utf-8"):
	if os.path.exists("x.vmdk"):
		os.unlink("x.vmdk")
	write_file("x.vmdk", text.encode(encoding))
	vdisk("convert", "-f", "vmdk", "-O", "raw", "--force", "x.vmdk", "out.raw")


@case
def descriptor_dialects():
	n = flat_pair()
	text = hostile.vmdk_text("monolithicFlat", ['RW %d FLAT "x-flat.vmdk" 0' % n])
	for what, t in (("as it is", text), ("CRLF", text.replace("\n", "\r\n")), ("trailing blanks", text.replace("\n", "  \n")),
	                ("blanks around =", text.replace("createType=", "createType = ")), ("NUL padding", text + "\0" * 3000),
	                ("tabs", text.replace('RW %d FLAT' % n, 'RW\t%d\tFLAT' % n)), ("no last newline", text.rstrip("\n")),
	                ("lower case key", text.replace("createType", "createtype")),
	                ("vmfs", text.replace("monolithicFlat", "vmfs")),
	                ("a comment", text.replace("# Extent description", "# encoding whatever\n#\n# Extent description")),
	                ("encoding", text.replace("version=1", 'version=1\nencoding="UTF-8"')),
	                ("isNativeSnapshot", text.replace("version=1", 'version=1\nisNativeSnapshot="no"'))):
		try:
			written(t)
		except Failed as e:
			fail("%s: %s" % (what, e))
		same_bytes("x-flat.vmdk", "out.raw", what)


@case
def descriptor_encodings():
	"""An extent's name in the encoding that the descriptor declares."""
	n = flat_pair()
	os.rename("x-flat.vmdk", "grün-flat.vmdk")
	text = hostile.vmdk_text("monolithicFlat", ['RW %d FLAT "grün-flat.vmdk" 0' % n])
	written(text)
	same_bytes("grün-flat.vmdk", "out.raw")
	written(text.replace("version=1", 'version=1\nencoding="windows-1252"'), "cp1252")
	same_bytes("grün-flat.vmdk", "out.raw")


@case
def mixed_extents():
	"""custom: flats with offsets, zeros, a sparse one."""
	rng = rng_for("mixed")
	one, two = rng.randbytes(300 * 512), rng.randbytes(2048 * 512)
	write_file("one.bin", one)
	write_file("two.raw", two)
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "two.raw", "two.vmdk")
	lines = ['RW 100 FLAT "one.bin" 200', "RW 64 ZERO", 'RW 2048 SPARSE "two.vmdk"', 'RW 50 FLAT "one.bin" 0']
	written(hostile.vmdk_text("custom", lines))
	with open("out.raw", "rb") as f:
		eq(hashlib.sha256(one[200 * 512:] + bytes(64 * 512) + two + one[:50 * 512]).hexdigest(),
		   hashlib.sha256(f.read()).hexdigest(), "content")


@case
def noaccess_extents():
	n = flat_pair()
	os.unlink("x.vmdk") if os.path.exists("x.vmdk") else None
	write_file("x.vmdk", hostile.vmdk_text("custom", ['RW %d FLAT "x-flat.vmdk" 0' % n,
	                                                  'NOACCESS 64 FLAT "x-flat.vmdk" 0']).encode())
	r = run(VDISK, "convert", "-f", "vmdk", "-O", "raw", "x.vmdk", "out.raw")
	check(r.rc in (0, 2), r.show())
	if r.rc == 2:
		one_line(r)


@case
def device_extents():
	"""A descriptor over a whole device: not below the image's folder, so only where the user allows it."""
	need("losetup")
	with open("backing", "wb") as f:
		f.write(rng_for("device").randbytes(MIB))
	r = run("losetup", "--show", "-f", "backing")
	if r.rc:
		skip("no loop device: %s" % r.err.strip())
	dev = r.out.strip()
	try:
		os.mkdir("d")
		write_file("d/x.vmdk", hostile.vmdk_text("fullDevice", ['RW 2048 FLAT "%s" 0' % dev]).encode())
		refused("convert", "-f", "vmdk", "-O", "raw", "d/x.vmdk", "out.raw", mentions="--allow-parent")
		vdisk("convert", "-f", "vmdk", "--allow-parent", "/dev", "-O", "raw", "d/x.vmdk", "out.raw")
		same_bytes("backing", "out.raw")
	finally:
		run("losetup", "-d", dev)


@case
def sparse_headers():
	"""Text-mode transfers, redundant tables, versions."""
	source()
	def fresh():
		qemu_img("convert", "-f", "raw", "-O", "vmdk", "source.raw", "a.vmdk")
	fresh()
	write_file("a.vmdk", b"\n \n\n", 73)
	refused("convert", "-O", "raw", "a.vmdk", "out.raw")
	# Version 2, no flags but the newline test's.
	fresh()
	hostile.put("a.vmdk", 4, "<I", 2)
	vdisk("convert", "-O", "raw", "a.vmdk", "out.raw")
	same_bytes("source.raw", "out.raw")
	# Without the redundant directory.
	fresh()
	hostile.put("a.vmdk", 8, "<I", 1)
	gd = hostile.get("a.vmdk", 48, "<Q")
	hostile.put("a.vmdk", 56, "<Q", gd)
	hostile.put("a.vmdk", 48, "<Q", 0)
	vdisk("convert", "--force", "-O", "raw", "a.vmdk", "out.raw")
	same_bytes("source.raw", "out.raw")
	# Unclean shutdown: readable.
	fresh()
	write_file("a.vmdk", b"\1", 72)
	vdisk("convert", "--force", "-O", "raw", "a.vmdk", "out.raw")
	same_bytes("source.raw", "out.raw")
	# The extent line promises more than the extent holds.
	fresh()
	with open("a.vmdk", "r+b") as f:
		b = f.read(20 * 512)
		i = b.index(b"RW 4096 ")
		f.seek(i)
		f.write(b"RW 8192 ")
	r = run(VDISK, "convert", "-O", "raw", "a.vmdk", "out2.raw")
	check(r.rc == 2, "a descriptor that contradicts its extent: %s" % r.show())


@case
def an_extent_missing_its_descriptor():
	"""-f with the extent alone works."""
	source()
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "source.raw", "a.vmdk")
	r = run(VDISK, "convert", "-f", "vmdk", "-O", "raw", "a-s001.vmdk", "out.raw")
	check(r.rc in (0, 2), r.show())
	if r.rc == 0:
		same_bytes("source.raw", "out.raw")


# ---------------------------------------------------------------- damage in tables and packed data

def vmdk_entry(value):
	"""The first grain's table entry, in both tables."""
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "source.raw", "a.vmdk")
	for field in (56, 48):
		gt = hostile.get("a.vmdk", hostile.get("a.vmdk", field, "<Q") * 512, "<I") * 512
		hostile.put("a.vmdk", gt, "<I", value(gt))
	return "a.vmdk"


@case
def vmdk_data_over_metadata():
	"""A grain that lies on the header, the descriptor, a table."""
	random = rng_for("over").randbytes(2 * MIB)
	write_file("source.raw", random)
	for value in (lambda gt: 1, lambda gt: 2, lambda gt: gt // 512):
		path = vmdk_entry(value)
		if hostile.get(path, hostile.get(path, hostile.get(path, 56, "<Q") * 512, "<I") * 512, "<I") == 1 and \
		   hostile.get(path, 8, "<I") & 4:
			continue
		refused("convert", "-O", "raw", path, "out.raw")
		eq(1, run(VDISK, "check", path).rc, "exit status of check")


@case
def vhd_data_over_metadata():
	write_file("source.raw", rng_for("over").randbytes(6 * MIB))
	for value in (0, 1, 3):
		qemu_img("convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", "source.raw", "a.vhd")
		hostile.put("a.vhd", hostile.get("a.vhd", 512 + 16, ">Q"), ">I", value)
		refused("convert", "-O", "raw", "a.vhd", "out.raw")
		eq(1, run(VDISK, "check", "a.vhd").rc, "exit status of check")


def packed_entry(path):
	l2 = hostile.get(path, hostile.get(path, 40, ">Q"), ">Q") & 0x00fffffffffffe00
	return l2, hostile.get(path, l2, ">Q")


def packed_damage(compression):
	write_file("source.raw", (b"some text that packs %d\n" * 100000)[:2 * MIB])
	def fresh():
		qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=" + compression, "source.raw",
		         "a.qcow2")
		return packed_entry("a.qcow2")
	l2, e = fresh()
	bits = 62 - 8
	host = e & ((1 << bits) - 1)
	faults = {
		"the data": lambda: write_file("a.qcow2", os.urandom(40), host + 2),
		"beyond the file": lambda: hostile.put("a.qcow2", l2, ">Q", 1 << 62 | 1 << 40),
		"at the file's start": lambda: hostile.put("a.qcow2", l2, ">Q", 1 << 62),
		"a length past the end": lambda: hostile.put("a.qcow2", l2, ">Q",
		                                             1 << 62 | 0xff << bits | (os.path.getsize("a.qcow2") - 512)),
		"zeros": lambda: write_file("a.qcow2", bytes(40), host), # the next unit begins soon
	}
	for what, damage in faults.items():
		fresh()
		damage()
		for args in ((), ("-j", "1")):
			try:
				refused("convert", *args, "-O", "raw", "a.qcow2", "out.raw")
			except Failed as f:
				fail("%s: %s" % (what, f))
		r = run(VDISK, "convert", "--salvage", "-O", "raw", "a.qcow2", "salvaged.raw")
		check(r.rc in (0, 1, 2), r.show())
		if r.rc < 2:
			check(r.err, "what was lost is said: %s" % r.show())
			eq(sha256("source.raw", 65536), sha256("salvaged.raw", 65536), "what was not lost")
			os.unlink("salvaged.raw")


for compression in ("zlib", "zstd"):
	add("damage in packed clusters " + compression, packed_damage, compression)


@case
def packed_bomb():
	"""A packed cluster that unpacks to more than a cluster."""
	write_file("source.raw", b"A" * 65536 + bytes(MIB))
	qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	l2, e = packed_entry("a.qcow2")
	c = zlib.compressobj(9, zlib.DEFLATED, -12)
	bomb = c.compress(bytes(64 * MIB)) + c.flush()
	end = -(-os.path.getsize("a.qcow2") // 65536) * 65536
	write_file("a.qcow2", bomb, end)
	os.truncate("a.qcow2", end + 65536 * 2)
	hostile.put("a.qcow2", l2, ">Q", 1 << 62 | 126 << 54 | end)
	r = run(VDISK, "convert", "-O", "raw", "a.qcow2", "out.raw")
	check(r.rc in (0, 2), r.show())
	check(sanitized() or r.rss < 128 * MIB, "%.0f MiB of memory" % (r.rss / MIB))
	check(r.cpu < 5, "%.1f s" % r.cpu)


@case
def truncated_zlib_of_a_stream():
	write_file("source.raw", (b"some text that packs %d\n" * 100000)[:2 * MIB])
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "source.raw", "a.vmdk")
	at = hostile.vmdk_first_grain("a.vmdk")
	size = hostile.get("a.vmdk", at + 8, "<I")
	for what, damage in {"a shorter length": lambda: hostile.put("a.vmdk", at + 8, "<I", size - 5),
	                     "a damaged byte": lambda: write_file("a.vmdk", b"\xff\x00\xff", at + 12 + size // 2),
	                     "a wrong adler32": lambda: write_file("a.vmdk", b"\0\0\0\1", at + 12 + size - 4),
	                     "a huge length": lambda: hostile.put("a.vmdk", at + 8, "<I", 0x7fffffff)}.items():
		qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "source.raw", "a.vmdk")
		damage()
		try:
			refused("convert", "-O", "raw", "a.vmdk", "out.raw")
		except Failed as f:
			fail("%s: %s" % (what, f))


@case
def huge_and_empty():
	"""The largest virtual sizes of each format, without data, are judged and converted at once."""
	for fmt, args, size, to in (("qcow2", ("-o", "cluster_size=2M"), "64T", "qcow2"), ("vhd", (), "2040G", "qcow2"),
	                            ("vmdk", (), "2047G", "qcow2"),
	                            ("vmdk", ("-o", "subformat=twoGbMaxExtentSparse"), "100G", "qcow2")):
		vdisk("create", "-f", fmt, *args, "a." + fmt, size)
		for command in (("info", "a." + fmt), ("map", "a." + fmt), ("check", "a." + fmt),
		                ("convert", "--force", "-O", to, "-o", "cluster_size=2M", "a." + fmt, "b.qcow2")):
			r = vdisk(*command)
			if not sanitized():
				check(r.cpu < 60, "%s took %.1f s" % (r, r.cpu))
				check(r.rss < 128 * MIB, "%s took %.0f MiB" % (r, r.rss / MIB))
		qemu_check("b.qcow2", "qcow2")
		for n in os.listdir("."):
			os.unlink(n)


@case
def a_snapshot_that_lies():
	"""Damage in an internal snapshot hurts only who reads it."""
	source()
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	qemu_img("snapshot", "-c", "s", "a.qcow2")
	table = hostile.get("a.qcow2", 64, ">Q")
	hostile.put("a.qcow2", table, ">Q", 1 << 50)
	r = run(VDISK, "convert", "--snapshot", "s", "-O", "raw", "a.qcow2", "out.raw")
	eq(2, r.rc, "exit status: %s" % r.show())
	one_line(r)
	refused("convert", "--snapshot", "nosuch", "-O", "raw", "a.qcow2", "out.raw", mentions="nosuch")
	check(run(VDISK, "check", "a.qcow2").rc in (1, 2), "check finds it")


main()

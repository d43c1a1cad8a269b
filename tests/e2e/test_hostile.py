#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Malformed and malicious images are refused: exit status 2, one line, bounded time and memory, nothing left behind; and no file
of the host gets into an output because an image names it."""
import json, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import hostile

KNOWN = {"qcow2": "qcow2", "vmdk": "vmdk", "vpc": "vhd", "vhdx": "vhdx", "vdi": "vdi", "qcow": "qcow"}
NO_DRIVER = {}
with open("/etc/passwd", "rb") as f:
	SECRET = f.read(200)


def no_secret(r):
	check(SECRET[:20] not in r.raw + r.err_raw, "the host's file shows in a message: %s" % r.show())
	for base, _, files in os.walk("."):
		for name in files:
			path = os.path.join(base, name)
			if os.path.isfile(path) and not os.path.islink(path):
				with open(path, "rb") as f:
					if SECRET[:20] in f.read(1 * MIB):
						fail("the host's file was copied into %s: %s" % (path, r.show()))


def no_crash(path, fmt):
	"""What may answer yes or no, but must end by itself in bounded memory."""
	for args in (("info", path), ("info", "--json", path), ("map", path), ("check", path),
	             ("convert", "--salvage", "-O", "raw", path, "salvaged.out"), ("info", "-f", fmt, path)):
		r = run(VDISK, *args, timeout=120)
		check(r.rc in (0, 1, 2), "ends by itself: %.3000s" % r.show())
		check(r.cpu < 10 or sanitized(), "%s took %.1f s" % (r, r.cpu))
		if not sanitized():
			check(r.rss < 256 * MIB, "%s took %.0f MiB" % (r, r.rss / MIB))
		if r.rc == 2:
			one_line(r)
		no_secret(r)
		if os.path.exists("salvaged.out"):
			os.unlink("salvaged.out")


def row(name, fmt, recipe, expected):
	if not hostile.make(name, fmt, recipe, name):
		skip("the recipe is not understood: %s" % recipe)
	if fmt in NO_DRIVER:
		refused("convert", "-O", "raw", name, "out.raw", mentions=NO_DRIVER[fmt])
		refused("info", name, mentions=NO_DRIVER[fmt])
		return
	fmt = KNOWN[fmt]
	if name.startswith("vmdk-extent-self"):
		r = run(VDISK, "convert", "-O", "raw", name, "out.raw")
		check(r.rc in (0, 2), r.show())
		if r.rc == 0:
			os.unlink("out.raw")
	elif expected.startswith("accept"):
		vdisk("convert", "-O", "raw", name, "out.raw")
		eq(json.loads(vdisk("info", "--json", name).out)["virtual-size"], os.path.getsize("out.raw"), "size")
		os.unlink("out.raw")
	else:
		for args in ((), ("-f", fmt), ("-j", "1")):
			no_secret(refused("convert", *args, "-O", "raw", name, "out.raw"))
		no_secret(refused("convert", "-O", "qcow2", name, "out.qcow2"))
	if "etc-passwd" in name or "hint-abs" in name:
		refused("convert", "-f", fmt, "-O", "raw", name, "out.raw", mentions="--allow-parent")
	if "info ok" in expected:
		vdisk("info", name)
	if "check must report" in expected:
		r = run(VDISK, "check", name)
		check(r.rc in (1, 2), "check finds it: %s" % r.show())
	no_crash(name, fmt)


def register_rows():
	table = os.path.join(FIXTURES, "HOSTILE.tsv")
	if not FIXTURES or not os.path.exists(table):
		# Without the table, the builders alone.
		for stem in sorted(hostile.BUILDERS):
			fmt = {"vhd": "vpc"}.get(stem.split("-")[0], stem.split("-")[0])
			name = stem + "." + hostile.SUFFIX[fmt]
			add("row " + name, row, name, fmt, "", "refuse")
		return
	with open(table) as f:
		for line in f.read().splitlines()[1:]:
			name, fmt, origin, recipe, expected = line.split("\t")
			if fmt != "ova":
				add("row " + name, row, name, fmt, recipe, expected)


register_rows()


# ---------------------------------------------------------------- names: which are followed, and when

def overlay(path, backing, fmt="raw", size="1M"):
	qemu_img("create", "-q", "-f", "qcow2", path, size)
	hostile.qcow2_set_backing(path, backing, fmt)
	return path


def neighbour(path="neighbour.raw", size=1 * MIB):
	with open(path, "wb") as f:
		f.write(b"another guest's secret\n" * 3000)
		f.truncate(size)
	return path


def forged(suffix):
	"""A guest wrote a qcow2 header into its raw disk."""
	neighbour()
	name = "guest." + suffix
	overlay(name, "neighbour.raw")
	with open(name, "r+b") as f:
		f.truncate(1 * MIB)
	r = refused("convert", "-O", "raw", name, "out.raw", mentions="-f")
	r = refused("convert", "-O", "qcow2", name, "out.qcow2")
	refused("compare", name, "neighbour.raw")
	refused("digest", name)
	# Said to be raw, it is the bytes that it is; said to be qcow2, it is followed.
	vdisk("convert", "-f", "raw", "-O", "raw", name, "asraw.raw")
	same_bytes(name, "asraw.raw")
	vdisk("convert", "-f", "qcow2", "-O", "raw", name, "followed.raw")
	same_bytes("neighbour.raw", "followed.raw")


for suffix in ("img", "raw", "bin", "vmdk"):
	add("forged qcow2 header in guest." + suffix, forged, suffix)


@case
def qcow2_suffix_is_enough():
	neighbour()
	overlay("disk.qcow2", "neighbour.raw")
	vdisk("convert", "-O", "raw", "disk.qcow2", "out.raw")
	same_bytes("neighbour.raw", "out.raw")


@case
def forged_descriptor_in_a_raw_disk():
	neighbour()
	hostile.vmdk_descriptor("monolithicFlat", 'RW 2048 FLAT "neighbour.raw" 0')("guest.img")
	with open("guest.img", "r+b") as f:
		f.truncate(1 * MIB)
	refused("convert", "-O", "raw", "guest.img", "out.raw")
	vdisk("convert", "-f", "raw", "-O", "raw", "guest.img", "asraw.raw")
	same_bytes("guest.img", "asraw.raw")


@case
def raw_parent_is_never_probed():
	"""A raw disk in a chain that carries a qcow2 header stays the bytes that it is."""
	neighbour()
	overlay("base.raw", "neighbour.raw", "raw", "1M")
	with open("base.raw", "r+b") as f:
		f.truncate(1 * MIB)
	overlay("top.qcow2", "base.raw", "raw")
	vdisk("convert", "-f", "qcow2", "-O", "raw", "top.qcow2", "out.raw")
	same_bytes("base.raw", "out.raw")


@case
def parent_without_a_declared_format():
	neighbour()
	overlay("top.qcow2", "neighbour.raw", None)
	r = run(VDISK, "convert", "-O", "raw", "top.qcow2", "out.raw")
	check(r.rc == 2, "an undeclared format of a parent is not guessed: %s" % r.show())


@case
def outside_the_folder():
	os.mkdir("images")
	os.mkdir("base")
	neighbour("base/x.raw")
	overlay("images/top.qcow2", "../base/x.raw")
	refused("convert", "-f", "qcow2", "-O", "raw", "images/top.qcow2", "out.raw", mentions=("--allow-parent", "x.raw"))
	vdisk("convert", "-f", "qcow2", "--allow-parent", "base", "-O", "raw", "images/top.qcow2", "out.raw")
	same_bytes("base/x.raw", "out.raw")
	os.unlink("out.raw")
	os.mkdir("elsewhere")
	refused("convert", "-f", "qcow2", "--allow-parent", "elsewhere", "-O", "raw", "images/top.qcow2", "out.raw",
	        mentions="--allow-parent")
	# The same file by its absolute name.
	overlay("images/abs.qcow2", os.path.abspath("base/x.raw"))
	refused("convert", "-f", "qcow2", "-O", "raw", "images/abs.qcow2", "out.raw", mentions="--allow-parent")
	vdisk("convert", "-f", "qcow2", "--allow-parent", os.path.abspath("base"), "-O", "raw", "images/abs.qcow2", "out.raw")
	same_bytes("base/x.raw", "out.raw")


@case
def below_the_folder_is_allowed():
	os.mkdir("base")
	neighbour("base/x.raw")
	overlay("top.qcow2", "base/x.raw")
	vdisk("convert", "-O", "raw", "top.qcow2", "out.raw")
	same_bytes("base/x.raw", "out.raw")
	# So is the absolute name of a file there.
	overlay("abs.qcow2", os.path.abspath("base/x.raw"))
	r = run(VDISK, "convert", "-O", "raw", "abs.qcow2", "out2.raw")
	check(r.rc in (0, 2), r.show())
	if r.rc == 0:
		same_bytes("base/x.raw", "out2.raw")


@case
def symlinks_do_not_lead_out():
	os.mkdir("in")
	os.mkdir("out")
	neighbour("out/secret.raw")
	os.symlink("/etc", "in/etc")
	os.symlink("/etc/passwd", "in/base.raw")
	os.symlink("../out/secret.raw", "in/rel.raw")
	os.symlink("../out", "in/outdir")
	for name in ("etc/passwd", "base.raw", "rel.raw", "outdir/secret.raw", "./../out/secret.raw"):
		overlay("in/top.qcow2", name)
		no_secret(refused("convert", "-f", "qcow2", "-O", "raw", "in/top.qcow2", "out.raw", mentions="--allow-parent"))
		hostile.vmdk_descriptor("monolithicFlat", 'RW 1 FLAT "%s" 0' % name)("in/top.vmdk")
		no_secret(refused("convert", "-f", "vmdk", "-O", "raw", "in/top.vmdk", "out.raw"))
		os.unlink("in/top.qcow2")
		os.unlink("in/top.vmdk")
	hostile.qcow2_data_file("base.raw")("in/data.qcow2")
	no_secret(refused("convert", "-f", "qcow2", "-O", "raw", "in/data.qcow2", "out.raw"))


@case
def symlink_inside_the_folder_is_followed():
	neighbour("real.raw")
	os.symlink("real.raw", "link.raw")
	overlay("top.qcow2", "link.raw")
	vdisk("convert", "-O", "raw", "top.qcow2", "out.raw")
	same_bytes("real.raw", "out.raw")


@case
def symlink_to_the_image_itself():
	"""The user names the link; the parent lies beside what the link points at, or beside the link: never elsewhere."""
	os.mkdir("store")
	neighbour("store/x.raw")
	overlay("store/top.qcow2", "x.raw")
	os.symlink("store/top.qcow2", "top.qcow2")
	r = run(VDISK, "convert", "-O", "raw", "top.qcow2", "out.raw")
	check(r.rc in (0, 2), r.show())
	if r.rc == 0:
		same_bytes("store/x.raw", "out.raw")


def remote(name):
	overlay("top.qcow2", name)
	r = refused("convert", "-f", "qcow2", "-O", "raw", "top.qcow2", "out.raw")
	vdisk("info", "top.qcow2")
	# Not even a folder that is allowed makes a protocol of it.
	if name != "/proc/self/environ": # a file like any other, to somebody who allows "/"
		no_secret(refused("convert", "-f", "qcow2", "--allow-parent", "/", "-O", "raw", "top.qcow2", "out.raw"))


for name in ("http://127.0.0.1:1/x", "https://127.0.0.1:1/x", "nbd://127.0.0.1:1/x", "nbd:127.0.0.1:1", "ssh://root@127.0.0.1/x",
             'json:{"driver":"file","filename":"/etc/passwd"}',
             'json:{"driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}',
             "file:/etc/passwd", "fat:/etc", "host_device:/dev/null", "/proc/self/environ", "/dev/stdin", "-", "/proc/self/fd/0"):
	add("remote parent " + name[:40], remote, name)


@case
def parent_is_a_fifo():
	os.mkfifo("pipe.raw")
	overlay("top.qcow2", "pipe.raw")
	refused("convert", "-f", "qcow2", "-O", "raw", "top.qcow2", "out.raw")
	hostile.vmdk_descriptor("monolithicFlat", 'RW 1 FLAT "pipe.raw" 0')("top.vmdk")
	refused("convert", "-f", "vmdk", "-O", "raw", "top.vmdk", "out.raw")


@case
def parent_is_a_folder():
	os.mkdir("folder.raw")
	overlay("top.qcow2", "folder.raw")
	refused("convert", "-f", "qcow2", "-O", "raw", "top.qcow2", "out.raw", mentions="folder.raw")
	refused("convert", "-O", "raw", "folder.raw", "out.raw", mentions="folder.raw")


@case
def parent_is_missing():
	overlay("top.qcow2", "missing.raw")
	refused("convert", "-O", "raw", "top.qcow2", "out.raw", mentions="missing.raw")
	vdisk("info", "top.qcow2")


@case
def parents_in_a_circle():
	overlay("self.qcow2", "self.qcow2", "qcow2")
	refused("convert", "-O", "raw", "self.qcow2", "out.raw")
	overlay("a.qcow2", "b.qcow2", "qcow2")
	overlay("b.qcow2", "a.qcow2", "qcow2")
	refused("convert", "-O", "raw", "a.qcow2", "out.raw")


@case
def a_chain_too_deep():
	neighbour("c0.qcow2.raw")
	overlay("c0.qcow2", "c0.qcow2.raw")
	for i in range(1, 2000):
		if i == 1:
			overlay("c1.qcow2", "c0.qcow2", "qcow2")
		else:
			# Each names the one before it.
			with open("c1.qcow2", "rb") as f:
				b = f.read()
			with open("c%d.qcow2" % i, "wb") as f:
				f.write(b)
			hostile.qcow2_set_backing("c%d.qcow2" % i, "c%d.qcow2" % (i - 1), "qcow2")
	r = run(VDISK, "convert", "-O", "raw", "c1999.qcow2", "out.raw", timeout=120)
	check(r.rc in (0, 2), "ends by itself: %s" % r.show())
	if r.rc == 2:
		one_line(r)
	check(sanitized() or r.rss < 512 * MIB, "%.0f MiB of memory" % (r.rss / MIB))
	vdisk("convert", "-O", "raw", "c10.qcow2", "ten.raw")
	same_bytes("c0.qcow2.raw", "ten.raw")


@case
def vmdk_names():
	"""The extents and the parent of a VMDK, by the same rules."""
	os.mkdir("d")
	neighbour("secret.raw")
	for line in ('RW 2048 FLAT "../secret.raw" 0', 'RW 2048 FLAT "%s" 0' % os.path.abspath("secret.raw"),
	             'RW 2048 SPARSE "../secret.raw"', 'RW 2048 VMFS "../secret.raw"', 'RW 2048 FLAT "http://127.0.0.1/x" 0',
	             'RW 2048 VMFSRDM "/dev/null"', 'RW 2048 FLAT "d" 0'):
		hostile.vmdk_descriptor("custom", line)("d/x.vmdk")
		refused("convert", "-f", "vmdk", "-O", "raw", "d/x.vmdk", "out.raw")
		os.unlink("d/x.vmdk")
	hostile.vmdk_parent_hint(os.path.abspath("secret.raw"))("d/child.vmdk")
	refused("convert", "-f", "vmdk", "-O", "raw", "d/child.vmdk", "out.raw", mentions="--allow-parent")


@case
def extents_may_not_overflow():
	"""Sectors that add up past 64 bits, or lie past the extent's end."""
	neighbour("x.raw")
	for lines in (['RW 18446744073709551615 ZERO'], ['RW 9223372036854775807 ZERO', 'RW 9223372036854775807 ZERO'],
	              ['RW 2048 FLAT "x.raw" 18446744073709551615'], ['RW 4096 FLAT "x.raw" 0'], ['RW 2048 FLAT "x.raw" 1'],
	              ['RW -1 ZERO'], ['RW 0x10 ZERO'], ['RW 2048 FLAT "x.raw'], ['RW 2048 WHAT "x.raw" 0'], []):
		hostile.vmdk_descriptor("custom", *lines)("x.vmdk")
		refused("convert", "-f", "vmdk", "-O", "raw", "x.vmdk", "out.raw")
		os.unlink("x.vmdk")


@case
def usage_is_refused():
	neighbour("x.raw")
	for args in (("convert",), ("convert", "x.raw"), ("convert", "-O", "nosuch", "x.raw", "y"),
	             ("convert", "--nosuch", "x.raw", "y"),
	             ("nosuch",), ("convert", "-O", "qcow2", "-o", "nosuch=1", "x.raw", "y"), ("convert", "-j", "x", "x.raw", "y"),
	             ("convert", "-O", "qcow2", "-o", "cluster_size=65537", "x.raw", "y"),
	             ("convert", "-O", "qcow2", "-o", "cluster_size=4M", "x.raw", "y"), ("convert", "-f", "nosuch", "-O", "raw",
	                                                                                 "x.raw", "y"),
	             ("create", "-f", "qcow2", "y", "12Q"), ("create", "-f", "qcow2", "y"), ("create", "-f", "qcow2", "y", "-1"),
	             ("convert", "-O", "raw", "missing.raw", "y")):
		r = run(VDISK, *args)
		check(r.rc == 2, "exit status 2 is due: %s" % r.show())
		check(not os.path.exists("y"), "something was written: %s" % r.show())
		check(r.err, "a message is due: %s" % r.show())


main()

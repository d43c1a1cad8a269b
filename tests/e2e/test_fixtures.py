#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images that other people's software made: each converts to the content that its manifest names, or is refused as it says."""
import os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

KNOWN = ("vmdk", "vhd", "vhdx", "vdi", "qcow2")
NO_DRIVER = ()
# What the manifest's notes name a bound for; everything else has the general one.
MEMORY = {"fuzz-large-memory": 64 * MIB}


def content(row):
	path = unpack(row, os.getcwd())
	before = tree(".")
	r = vdisk("convert", "-O", "raw", path, "out.raw")
	eq("", r.out, "stdout")
	eq(int(row["virtual_size"]), os.path.getsize("out.raw"), "virtual size")
	eq(row["sha256_of_raw_content"], sha256("out.raw"), "SHA-256 of the content")
	after = tree(".")
	del after["out.raw"]
	eq(before, after, "the source's files")
	if not sanitized():
		check(r.rss < 256 * MIB, "%.0f MiB of memory" % (r.rss / MIB))
	# The same where the format is said.
	vdisk("convert", "-f", row["format"], "-O", "raw", path, "said.raw")
	same_bytes("out.raw", "said.raw", "with -f and without")
	info = vdisk("info", "--json", path).json()
	check(re.search(r"\b%s\b" % row["virtual_size"], repr(info)), "info names the virtual size %s: %r" % (row["virtual_size"],
	                                                                                                      info))
	check(row["format"] in repr(info), "info names the format: %r" % info)
	r = vdisk("digest", "--sha256", path)
	check(row["sha256_of_raw_content"] in r.out, "digest --sha256 says the manifest's hash: %s" % r.out)


def large(row):
	"""So many GiB are hashed in the long tier; here its tables are looked at, and what it holds is compared."""
	path = unpack(row, os.getcwd())
	info = vdisk("info", "--json", path).json()
	eq(int(row["virtual_size"]), info["virtual-size"], "virtual size")
	vdisk("check", path)
	vdisk("convert", "-O", "qcow2", path, "out.qcow2")
	qemu_img("compare", path, "out.qcow2")


def refusal(row):
	path = unpack(row, os.getcwd())
	memory = next((m for k, m in MEMORY.items() if k in row["file"]), 256 * MIB)
	r = refused("convert", "-O", "raw", path, "out.raw", memory=memory)
	check(any(n in r.err for n in os.listdir(".")), "the message names the file, or one of its parents: %s" % r.err)
	refused("convert", "-f", row["format"], "-O", "raw", path, "out.raw", memory=memory)
	if "info alone must work" in row["notes"]:
		vdisk("info", path)
	else:
		r = run(VDISK, "info", path)
		check(r.rc in (0, 2), "info: %s" % r.show())


def no_driver(row):
	path = unpack(row, os.getcwd())
	name = row["format"]
	for out in ("raw", "qcow2"):
		refused("convert", "-O", out, path, "out", mentions=name)
	refused("info", path, mentions=name)
	refused("check", path, mentions=name)
	refused("convert", "-f", name, "-O", "raw", path, "out", mentions=name)
	# A name of another kind does not make it raw.
	os.rename(path, "disk.img")
	refused("convert", "-O", "raw", "disk.img", "out", mentions=name)
	vdisk("convert", "-f", "raw", "-O", "raw", "disk.img", "out.raw")
	same_bytes("disk.img", "out.raw", "said to be raw, it is copied as it is")


def fuzz_snapshots(row):
	"""65,536 empty snapshot entries: opens, prints a bounded amount, and check names the inconsistency."""
	path = unpack(row, os.getcwd())
	r = run(VDISK, "convert", "-O", "raw", path, "out.raw")
	if r.rc == 0:
		eq(row["sha256_of_raw_content"], sha256("out.raw"), "SHA-256 of the content")
	else:
		refused("convert", "-O", "raw", path, "out.raw")
	r = run(VDISK, "check", path)
	check(r.rc in (1, 2), "check reports an inconsistency: %.2000s" % r.show())
	check(len(r.raw) + len(r.err_raw) < 4 * MIB, "check prints %d bytes" % (len(r.raw) + len(r.err_raw)))
	for args in (("info", path), ("info", "--json", path)):
		r = run(VDISK, *args)
		check(r.rc in (0, 2), "info: %.2000s" % r.show())
		check(len(r.raw) < 32 * MIB, "info prints %d bytes" % len(r.raw))
		if not sanitized():
			check(r.rss < 256 * MIB, "info takes %d bytes of memory" % r.rss)


def bad_header_checksum(row):
	path = unpack(row, os.getcwd())
	refused("convert", "-O", "raw", path, "out.raw", mentions="checksum")
	r = run(VDISK, "convert", "--salvage", "-O", "raw", path, "salvaged.raw")
	check(os.path.exists("salvaged.raw"), "--salvage reads on\n    %s" % r.show())
	eq(row["sha256_of_raw_content"], sha256("salvaged.raw"), "SHA-256 of what --salvage reads")


def register():
	rows = fixtures()
	for row in rows:
		name = row["file"].replace("/", ".")
		if row["format"] in NO_DRIVER:
			add(name, no_driver, row)
		elif row["format"] not in KNOWN:
			continue
		elif "fuzz-65536-snapshots" in row["file"]:
			add(name, fuzz_snapshots, row)
		elif "bad-header-checksum" in row["file"]:
			add(name, bad_header_checksum, row)
		elif "EXPECT" in row["notes"]:
			add(name, refusal, row)
		else:
			add(name, content if ALL or int(row["virtual_size"]) < 2 * GIB else large, row)


try:
	register()
except Skipped as e:
	print("SKIP: %s" % e)
	sys.exit(77)
main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same source and SOURCE_DATE_EPOCH give the same bytes, whatever the number of threads, however often, and however the
source is stored."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

ENV = {"SOURCE_DATE_EPOCH": "1700000000"}
TARGETS = {
	"raw": ["-O", "raw"],
	"qcow2": ["-O", "qcow2"],
	"qcow2 4K": ["-O", "qcow2", "-o", "cluster_size=4K"],
	"qcow2 512, refcount 64": ["-O", "qcow2", "-o", "cluster_size=512,refcount_bits=64"],
	"qcow2 extended L2": ["-O", "qcow2", "-o", "extended_l2=on"],
	"qcow2 zlib": ["-O", "qcow2", "-c"],
	"qcow2 zlib level 9": ["-O", "qcow2", "-c", "--level", "9"],
	"qcow2 zlib 4K": ["-O", "qcow2", "-c", "-o", "cluster_size=4K"],
	"qcow2 zstd": ["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
	"qcow2 preallocated": ["-O", "qcow2", "-o", "preallocation=metadata"],
	"qcow2 data file": ["-O", "qcow2", "-o", "data_file=disk.data"],
	"vmdk sparse": ["-O", "vmdk"],
	"vmdk flat": ["-O", "vmdk", "-o", "subformat=monolithicFlat"],
	"vmdk twoGb sparse": ["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"],
	"vmdk twoGb flat": ["-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"],
	"vmdk stream": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
	"vmdk vmfsSparse": ["-O", "vmdk", "-o", "subformat=vmfsSparse"],
	"vhd dynamic": ["-O", "vhd"],
	"vhd fixed": ["-O", "vhd", "-o", "subformat=fixed"],
	"vhdx dynamic": ["-O", "vhdx", "-o", "block_size=2M"],
	"vhdx fixed": ["-O", "vhdx", "-o", "subformat=fixed"],
	"vdi": ["-O", "vdi"],
}


def files_of(folder):
	return {n: sha256(os.path.join(folder, n)) for n in sorted(os.listdir(folder))}


def source(size=40 * MIB):
	make_raw("source.raw", rng_for("source"), size, pieces=150)


def same(args):
	source()
	suffix = args[1]
	first = None
	runs = [["-j", "1"], ["-j", "2"], ["-j", "16"], ["-j", "16"], ["-j", "3", "--memory", "1M"], [], ["--no-reflink"]]
	for i, extra in enumerate(runs):
		os.mkdir("out")
		# In different seconds at least twice, were it to look at the clock.
		vdisk("convert", *extra, "-f", "raw", *args, "source.raw", "out/disk." + suffix, env=ENV)
		got = files_of("out")
		check(got, "no files")
		if first is None:
			first = got
			time.sleep(1.1)
		eq(first, got, "the files with %s, against those with %s" % (extra, runs[0]))
		shutil.rmtree("out")


def other_epoch(args):
	"""Where the format holds a time or an id at all, SOURCE_DATE_EPOCH is what sets it; without it two runs may differ, the
	content not."""
	source(2 * MIB)
	suffix = args[1]
	for name in ("a", "b"):
		os.mkdir(name)
		vdisk("convert", "-f", "raw", *args, "source.raw", "%s/disk.%s" % (name, suffix))
	vdisk("compare", "-f", suffix, "-F", suffix, "a/disk." + suffix, "b/disk." + suffix)


@case
def created_images():
	for args in (["-f", "qcow2"], ["-f", "qcow2", "-o", "preallocation=metadata"], ["-f", "vmdk"],
	             ["-f", "vmdk", "-o", "subformat=streamOptimized"], ["-f", "vhd"], ["-f", "vhd", "-o", "subformat=fixed"],
	             ["-f", "vhdx"], ["-f", "vhdx", "-o", "subformat=fixed"], ["-f", "vdi"], ["-f", "raw"]):
		got = []
		for name in ("a", "b"):
			os.mkdir(name)
			r = run(VDISK, "create", *args, "%s/disk.%s" % (name, args[1]), "10M", env=ENV)
			got.append((r.rc, files_of(name)))
			shutil.rmtree(name)
		eq(got[0], got[1], "two images made by create %s" % args)


@case
def source_format_does_not_matter():
	"""The same guest content out of raw, qcow2 and VMDK gives the same compressed image."""
	source(20 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "s.qcow2")
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "source.raw", "s.vmdk")
	got = {}
	for src in ("source.raw", "s.qcow2", "s.vmdk"):
		for name in ("qcow2 zlib", "vmdk stream", "qcow2"):
			os.mkdir("out")
			vdisk("convert", *TARGETS[name], *(["-f", "raw"] if src.endswith("raw") else []), src,
			      "out/disk." + TARGETS[name][1], env=ENV)
			got.setdefault(name, {})[src] = files_of("out")
			shutil.rmtree("out")
	for name, by_source in got.items():
		for src in by_source:
			eq(by_source["source.raw"], by_source[src], "%s made from %s, against that from source.raw" % (name, src))


for name, args in TARGETS.items():
	add("same bytes: " + name, same, args)
for name in ("qcow2", "vmdk sparse", "vhd dynamic"):
	add("no epoch: " + name, other_epoch, TARGETS[name])
main()

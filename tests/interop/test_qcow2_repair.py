#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""qcow2 images of qemu-img's with broken refcounts: check says so, --repair mends them, and afterwards qemu-img finds nothing and the
content is what it was."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import hostile

OFFSET = 0x00fffffffffffe00


def get(at):
	return hostile.get("a.qcow2", at, ">Q")


def put(at, value, how=">Q"):
	hostile.put("a.qcow2", at, how, value)


def table():
	return get(48)


def block(i=0):
	return get(table() + 8 * i)


def one_count_too_small():
	put(block() + 2 * 50, 0, ">H")


def counts_too_large():
	for i in range(20, 60):
		put(block() + 2 * i, 5, ">H")


def block_lost():
	put(table(), 0)


def block_misaligned():
	put(table(), 0x1234567)


def block_outside():
	put(table(), 0x7fff000000)


def table_outside():
	put(48, 0x7fff000000)


def table_lost():
	put(48, 0)
	put(56, 0, ">I")


def dirty_and_empty():
	put(72, 1)
	with open("a.qcow2", "r+b") as f:
		f.seek(block())
		f.write(bytes(4096))


def copied_bits_lost():
	l2 = get(get(40)) & OFFSET
	for i in range(512):
		entry = get(l2 + 8 * i)
		if entry and not entry >> 62 & 1:
			put(l2 + 8 * i, entry & ~(1 << 63))


def several_blocks_lost():
	for i in range(5):
		put(table() + 8 * i, 0)


def repaired(options, harm, verdict):
	make_raw("source.raw", rng_for(harm.__name__), 8 * MIB, pieces=60, longest=100 * KIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "-o", options, "source.raw", "a.qcow2")
	harm()
	r = run(VDISK, "check", "a.qcow2")
	eq(verdict, r.rc, "exit status of check: %s" % r.show())
	vdisk("check", "--repair", "a.qcow2")
	r = run(VDISK, "check", "a.qcow2")
	eq(0, r.rc, "exit status of the second check: %s" % r.show())
	qemu_check("a.qcow2", "qcow2")
	qemu_img("compare", "-f", "raw", "-F", "qcow2", "source.raw", "a.qcow2")


for harm in (one_count_too_small, block_lost, block_misaligned, block_outside, table_outside, table_lost, dirty_and_empty, copied_bits_lost):
	add(harm.__name__, repaired, "cluster_size=4K", harm, 1)
add("counts_too_large", repaired, "cluster_size=4K", counts_too_large, 0)
add("several_blocks_lost", repaired, "cluster_size=512,refcount_bits=64", several_blocks_lost, 1)


@case
def dirty_image_is_mended_by_a_write():
	"""What QEMU left dirty is rebuilt before the first write, and its mark cleared."""
	vdio = os.path.join(BUILD, "tests", "vdio")
	if not os.path.exists(vdio):
		skip("no %s" % vdio)
	qemu_img("create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", "a.qcow2", 20 * MIB)
	run("qemu-io", "-c", "write -P 7 0 3M", "-c", "write -P 8 10M 1M", "-c", "flush", "-c", "abort", "a.qcow2")
	eq(1, get(72) & 1, "the dirty bit as QEMU left it")
	ran(vdio, "-f", "qcow2", "a.qcow2", stdin=b"write 5000000 70000 9\n")
	eq(0, get(72) & 1, "the dirty bit")
	qemu_check("a.qcow2", "qcow2")
	r = qemu_io("a.qcow2", "qcow2", "read -P 7 0 3M", "read -P 8 10M 1M", "read -P 9 5000000 70000")
	check("failed" not in r.show(), "the content is there")


main()

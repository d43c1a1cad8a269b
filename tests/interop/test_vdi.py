#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Differencing VDIs, which name their parent by UUIDs alone; and what must not be written to."""
import os, struct, sys, uuid
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

FREE, ZERO = 0xffffffff, 0xfffffffe


def vdi_make(path, entries, blocks, size, kind=1, ids=None, version=0x10001, comment=b""):
	"""entries: places or FREE or ZERO; blocks: the places' bytes, 1 MiB each.  ids: of the disk, its state, its parent, that one's state."""
	ids = b"".join(i.bytes_le for i in ids or [uuid.uuid4(), uuid.uuid4(), uuid.UUID(int=0), uuid.UUID(int=0)])
	head = b"<<< another program >>>\n".ljust(64, b"\0") + struct.pack("<II", 0xbeda107f, version)
	geometry = struct.pack("<IIII", 0, 0, 0, 512)
	table = struct.pack("<%dI" % len(entries), *entries)
	if version >> 16:
		data = 1024 + (len(table) + 511) // 512 * 512
		head += struct.pack("<III256sII", 400, kind, 0, comment, 1024, data) + geometry + struct.pack("<I", 0)
		head += struct.pack("<QIIII", size, MIB, 0, len(entries), len(blocks)) + ids
		out = head.ljust(1024, b"\0") + table.ljust(data - 1024, b"\0")
	else:
		head += struct.pack("<II256s", kind, 0, comment) + geometry + struct.pack("<QIII", size, MIB, len(entries), len(blocks)) + ids[:48]
		assert len(head) == 420
		out = head + table
	with open(path, "wb") as f:
		f.write(out)
		for b in blocks:
			f.write(b.ljust(MIB, b"\0"))


def pair_made(rng, parent="base.vdi"):
	"""A parent, and a child as VirtualBox makes it."""
	disk, state = uuid.uuid4(), uuid.uuid4()
	below = [rng.randbytes(MIB) for _ in range(3)]
	vdi_make(parent, [2, 0, 1, FREE], below, 4 * MIB, ids=[disk, state, uuid.UUID(int=0), uuid.UUID(int=0)])
	over = rng.randbytes(MIB)
	vdi_make("child.vdi", [FREE, 0, ZERO, FREE], [over], 4 * MIB, 4, ids=[uuid.uuid4(), uuid.uuid4(), disk, state])
	return disk, below[2] + over + bytes(2 * MIB)


@case
def parent_by_its_uuid():
	disk, content = pair_made(rng_for("uuid"))
	write_file("expected.raw", content)
	refused("convert", "-O", "raw", "child.vdi", "out.raw", mentions="{%s}.vdi" % disk)
	vdisk("convert", "--parent", "{%s}.vdi=base.vdi" % disk, "-O", "raw", "child.vdi", "out.raw")
	same_bytes("expected.raw", "out.raw", "with the parent said")
	os.rename("base.vdi", "{%s}.vdi" % disk)
	vdisk("compare", "-F", "raw", "child.vdi", "expected.raw")
	need_vdio()
	ran(VDIO, "-f", "vdi", "child.vdi", stdin=b"write 100 5000 7\nwrite 2500000 10 8\nzero 1000000 200000\n")
	content = bytearray(content)
	content[100:5100] = b"\7" * 5000
	content[2500000:2500010] = b"\10" * 10
	content[1000000:1200000] = bytes(200000)
	write_file("expected.raw", bytes(content))
	vdisk("compare", "-F", "raw", "child.vdi", "expected.raw")
	vdisk("check", "child.vdi")
	ran(VDIO, "-f", "vdi", "{%s}.vdi" % disk, stdin=b"write 0 1 1\n")
	refused("convert", "-O", "raw", "child.vdi", "out2.raw", mentions="UUID")


@case
def ours():
	"""What we make finds its parent by the name in its comment, and has VirtualBox's links."""
	make_raw("base.raw", rng_for("ours"), 5 * MIB)
	vdisk("convert", "-O", "vdi", "base.raw", "base.vdi")
	vdisk("create", "-b", "base.vdi", "child.vdi")
	with open("base.vdi", "rb") as f, open("child.vdi", "rb") as g:
		base, child = f.read(512), g.read(512)
	eq(4, struct.unpack_from("<I", child, 76)[0], "type")
	eq(base[392:424].hex(), child[424:456].hex(), "UUIDs of the parent and of its state")
	vdisk("compare", "-F", "raw", "child.vdi", "base.raw")
	need_vdio()
	ran(VDIO, "-f", "vdi", "child.vdi", stdin=b"write 3000000 70000 5\n")
	with open("base.raw", "r+b") as f:
		f.seek(3000000)
		f.write(b"\5" * 70000)
	vdisk("compare", "-F", "raw", "child.vdi", "base.raw")
	vdisk("convert", "-O", "vdi", "child.vdi", "flat.vdi")
	same_as_raw("base.raw", "flat.vdi", "vdi")
	refused("create", "-b", "base.vdi", "x.vdi", "3M", mentions="size")
	vdisk("resize", "flat.vdi", "9M")
	os.truncate("base.raw", 9 * MIB)
	same_as_raw("base.raw", "flat.vdi", "vdi")


@case
def version_0():
	vdi_make("old.vdi", [0], [b"x" * MIB], MIB, version=0)
	refused("convert", "-O", "raw", "old.vdi", "out.raw", mentions="version 0.0")


@case
def damaged():
	"""Two blocks in one place, a place past the end, one that the header does not count: told, and not written to."""
	rng = rng_for("damaged")
	for entries, words in (([0, 0, FREE], "another block"), ([0, 7, FREE], "place 7"), ([0, 2, FREE], "past the end")):
		vdi_make("a.vdi", entries, [rng.randbytes(MIB)], 3 * MIB)
		r = run(VDISK, "check", "a.vdi")
		eq(1, r.rc, "check: %s" % r.show())
		check(words in r.out + r.err, "check says %s: %s" % (words, r.show()))
		need_vdio()
		before = sha256("a.vdi")
		check(run(VDIO, "-f", "vdi", "a.vdi", stdin=b"write 0 512 1\n").rc != 0, "it is written to")
		eq(before, sha256("a.vdi"), "the file")


main()

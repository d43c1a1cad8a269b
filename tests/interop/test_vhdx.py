#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""VHDX beyond what converting back and forth shows: logs that were not replayed, by us and by qemu-img alike; differencing disks, sectors
of 4,096 bytes and other people's parent locators, made by a small writer that knows nothing of ours (tests/lib/vhdxmaker.py)."""
import os, shutil, struct, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import vhdxmaker

CRASH = os.path.join(BUILD, "tests", "crash")


def details(path):
	return vdisk("info", "--json", path).json()["layers"][0]["details"]


# ---------------------------------------------------------------- the log

def qemu_replayed(path):
	"""A copy that qemu-img has replayed, as a raw file."""
	ran("cp", "--sparse=always", path, "copy.vhdx")
	ran("qemu-img", "check", "-q", "-r", "all", "-f", "vhdx", "copy.vhdx") # its way to open it for writing
	qemu_img("convert", "-f", "vhdx", "-O", "raw", "copy.vhdx", "theirs.raw")
	return "theirs.raw"


def crashed(variant, mode):
	"""At each write boundary of some work: what we read, without a byte written, is what qemu-img reads after its replay; and after ours
	qemu-img reads the same, read-only."""
	if not os.path.exists(CRASH):
		skip("no %s" % CRASH)
	ran(CRASH, variant, "all", mode, ".", env=dict(os.environ, VDISK_SEED=str(SEED)))
	names = sorted((n for n in os.listdir(".") if n.endswith(".vhdx")), key=lambda n: int(n.split("-")[0]))
	check(len(names) > 20, "moments: %d" % len(names))
	dirty = 0
	for i, name in enumerate(names):
		before = sha256(name) if i % 8 == 0 else None
		dirty += details(name)["log-to-replay"]
		vdisk("convert", "--force", "-O", "raw", name, "ours.raw")
		check(before in (None, sha256(name) if before else None), "the file was only read")
		same_bytes("ours.raw", qemu_replayed(name), "%s, read through its log and replayed by qemu-img" % name)
		if i % 4 == 0 or ALL:
			vdisk("check", "--repair", name)
			qemu_img("convert", "-f", "vhdx", "-O", "raw", name, "theirs.raw")
			same_bytes("ours.raw", "theirs.raw", "%s, replayed by us" % name)
		os.unlink(name)
	# All blocks of a fixed one have their places from the start.
	check(not dirty if variant == "vhdx_fixed" else dirty > 3 or mode == "drop", "%d of %d moments left a log to replay" % (dirty, len(names)))


for variant in ("vhdx_dynamic", "vhdx_fixed", "vhdx_large"):
	for mode in ("keep", "drop", "random", "tear"):
		if ALL or (variant, mode) == ("vhdx_dynamic", "tear"):
			add("crash %s, %s" % (variant, mode), crashed, variant, mode)


def log_made(path, raw):
	"""A disk whose BAT stands in its log alone."""
	m = vhdxmaker.Maker(8 * MIB, block=MIB)
	with open(raw, "rb") as f:
		m.fill(f.read())
	m.write(path, log="bat")


@case
def a_log_of_several_entries():
	make_raw("source.raw", rng_for("log"), 8 * MIB)
	log_made("a.vhdx", "source.raw")
	eq(True, details("a.vhdx")["log-to-replay"], "log-to-replay")
	before = sha256("a.vhdx")
	vdisk("compare", "-F", "raw", "a.vhdx", "source.raw")
	eq(before, sha256("a.vhdx"), "the file that was only read")
	same_bytes("source.raw", qemu_replayed("a.vhdx"), "replayed by qemu-img")
	need_vdio()
	ran(VDIO, "-f", "vhdx", "a.vhdx", stdin=b"write 3000000 70000 9\n")
	with open("source.raw", "r+b") as f:
		f.seek(3000000)
		f.write(b"\x09" * 70000)
	same_as_raw("source.raw", "a.vhdx", "vhdx")
	vdisk("check", "a.vhdx")


@case
def logs_that_do_not_count():
	"""Torn, of another opening, with a tail that is gone: not replayed.  Cut short: refused.  Its own headers as target: refused."""
	make_raw("source.raw", rng_for("log"), 8 * MIB)
	empty = bytes(8 * MIB)
	for what in ("torn", "other guid", "number"):
		m = vhdxmaker.Maker(8 * MIB, block=MIB)
		with open("source.raw", "rb") as f:
			m.fill(f.read())
		m.write("a.vhdx", log="bat", spoil=what)
		write_file("expected.raw", empty)
		vdisk("compare", "-F", "raw", "a.vhdx", "expected.raw")
		r = vdisk("map", "a.vhdx")
		eq(what != "number", "no entry of it is whole" in r.err, "a warning: %s" % r.show())
		if what != "number":
			same_bytes("expected.raw", qemu_replayed("a.vhdx"), what)
		os.unlink("a.vhdx")
	for what, words in (("cut", "cut short"), ("target", "must not"), ("far", "must not"), ("descriptor", "neither")):
		m = vhdxmaker.Maker(8 * MIB, block=MIB)
		m.write("a.vhdx", log="bat", spoil=what)
		refused("convert", "-O", "raw", "a.vhdx", "out.raw", mentions=words)
		vdisk("convert", "--salvage", "-O", "raw", "a.vhdx", "out.raw")
		unlink("a.vhdx", "out.raw")


def unlink(*paths):
	for p in paths:
		os.unlink(p)


@case
def a_log_longer_than_we_replay():
	"""Of another program's: what a kill leaves of our writing can be read by us, too."""
	qemu_img("create", "-q", "-f", "vhdx", "-o", "log_size=128M,block_size=1M", "a.vhdx", "8M")
	need_vdio()
	ran(VDIO, "-f", "vhdx", "a.vhdx", stdin=b"write 1000000 100000 7\nflush\nabort\n")
	write_file("expected.raw", bytes(1000000) + b"\7" * 100000 + bytes(8 * MIB - 1100000))
	vdisk("compare", "-F", "raw", "a.vhdx", "expected.raw")
	same_bytes("expected.raw", qemu_replayed("a.vhdx"), "replayed by qemu-img")


# ---------------------------------------------------------------- differencing disks

def pair_made(logical, rng, block=MIB, size=6 * MIB, keys=None):
	"""A parent and a child with sectors of its own; the child's content."""
	base = rng.randbytes(size)
	parent = vhdxmaker.Maker(size, block=block, logical=logical)
	parent.fill(base)
	parent.write("parent.vhdx")
	child = vhdxmaker.Maker(size, block=block, logical=logical, parent=keys or {
		"parent_linkage": "{%s}" % parent.data_guid, "relative_path": ".\\parent.vhdx", "absolute_win32_path": "C:\\vm\\parent.vhdx"})
	now = bytearray(base)
	child.block(0, rng.randbytes(block))
	now[:block] = child.data[0]
	child.state(1, vhdxmaker.ZERO)
	now[block:2 * block] = bytes(block)
	for sector in rng.sample(range(2 * block // logical, 3 * block // logical), 40):
		data = rng.randbytes(logical)
		child.sector(sector, data)
		now[sector * logical:(sector + 1) * logical] = data
	child.state(3, vhdxmaker.UNMAPPED)
	now[3 * block:4 * block] = bytes(block)
	child.write("child.vhdx")
	return bytes(now)


def differencing(logical):
	rng = rng_for("differencing %d" % logical)
	now = pair_made(logical, rng)
	write_file("expected.raw", now)
	vdisk("compare", "-F", "raw", "child.vhdx", "expected.raw")
	vdisk("check", "child.vhdx")
	before = sha256("parent.vhdx")
	eq("parent.vhdx", os.path.basename(vdisk("info", "--json", "child.vhdx").json()["layers"][0]["parent"]), "parent")
	need_vdio()
	now = bytearray(now)
	commands = []
	for _ in range(60):
		off, length = rng.randrange(0, len(now) - 70000), rng.choice((1, 512, 4096, rng.randrange(1, 70000)))
		value = rng.choice((0, rng.randrange(1, 256)))
		commands.append("write %d %d %d" % (off, length, value) if value else "zero %d %d" % (off, length))
		now[off:off + length] = bytes([value]) * length
	ran(VDIO, "-f", "vhdx", "child.vhdx", stdin=("\n".join(commands) + "\n").encode())
	write_file("expected.raw", bytes(now))
	vdisk("compare", "-F", "raw", "child.vhdx", "expected.raw")
	vdisk("check", "child.vhdx")
	eq(before, sha256("parent.vhdx"), "the parent")
	eq(bytes(now), vhdxmaker.read("child.vhdx", "parent.vhdx"), "what the other reader reads")
	vdisk("flatten", "child.vhdx")
	os.unlink("parent.vhdx")
	vdisk("compare", "-F", "raw", "child.vhdx", "expected.raw")
	if logical == 512:
		same_as_raw("expected.raw", "child.vhdx", "vhdx")


for logical in (512, 4096):
	add("differencing, sectors of %d" % logical, differencing, logical)


@case
def ours_read_by_others():
	"""A child that we make, by the other reader; its locator says what Windows wants."""
	make_raw("base.raw", rng_for("ours"), 9 * MIB)
	vdisk("convert", "-O", "vhdx", "-o", "block_size=1M", "base.raw", "base.vhdx")
	vdisk("create", "-b", "base.vhdx", "child.vhdx")
	need_vdio()
	ran(VDIO, "-f", "vhdx", "child.vhdx", stdin=b"write 1000 50000 3\nwrite 5000000 2000000 4\nzero 8000000 300000\n")
	with open("base.raw", "rb") as f:
		now = bytearray(f.read())
	now[1000:51000] = b"\3" * 50000
	now[5000000:7000000] = b"\4" * 2000000
	now[8000000:8300000] = bytes(300000)
	eq(bytes(now), vhdxmaker.read("child.vhdx", "base.vhdx"), "what the other reader reads")
	keys = vhdxmaker.locator("child.vhdx")
	eq("{%s}" % vhdxmaker.data_guid("base.vhdx"), keys["parent_linkage"].lower(), "parent_linkage")
	eq(".\\base.vhdx", keys["relative_path"], "relative_path")
	eq(os.path.realpath("base.vhdx").replace("/", "\\"), keys["absolute_win32_path"], "absolute_win32_path")


@case
def parents_that_are_not():
	"""Another data GUID, no linkage, no name, and names that lead out of the folder."""
	rng = rng_for("parents")
	pair_made(512, rng)
	vdisk("convert", "-O", "raw", "child.vhdx", "out.raw")
	need_vdio()
	ran(VDIO, "-f", "vhdx", "parent.vhdx", stdin=b"write 0 512 1\n")
	refused("convert", "-O", "raw", "child.vhdx", "out2.raw", mentions="UUID")
	for keys, words in (({"relative_path": ".\\parent.vhdx"}, "parent_linkage"),
	                    ({"parent_linkage": "{%s}" % vhdxmaker.data_guid("parent.vhdx")}, "relative_path"),
	                    ({"parent_linkage": "xyz", "relative_path": ".\\parent.vhdx"}, "parent_linkage"),
	                    ({"parent_linkage": "{%s}" % ("1" * 8 + "-1111-1111-1111-" + "1" * 12), "relative_path": "..\\..\\etc\\passwd"},
	                     "--allow-parent")):
		pair_made(512, rng, keys=keys)
		refused("convert", "-O", "raw", "child.vhdx", "out2.raw", mentions=words)
	# Moved along with the disk, the last part of an absolute path serves; a volume's path too.
	for key in ("absolute_win32_path", "volume_path"):
		pair_made(512, rng)
		pair_made(512, rng, keys={"parent_linkage": "{%s}" % vhdxmaker.data_guid("parent.vhdx"), key: "\\\\?\\Volume{x}\\vm\\parent.vhdx"})
		vhdxmaker.relink("child.vhdx", vhdxmaker.data_guid("parent.vhdx"))
		vdisk("convert", "--force", "-O", "raw", "child.vhdx", "out.raw")
	# Sectors or sizes of another kind.
	vdisk("create", "-o", "logical_sector_size=4096", "four.vhdx", "8M")
	refused("create", "-b", "four.vhdx", "-o", "logical_sector_size=512", "x.vhdx", mentions="logical sectors")
	refused("create", "-b", "four.vhdx", "x.vhdx", "4M", mentions="size")
	vdisk("create", "-b", "four.vhdx", "y.vhdx")
	eq(4096, details("y.vhdx")["logical-sector-size"], "sectors of the child")


@case
def onto_itself():
	"""Also while a log lies over the file."""
	rng = rng_for("itself")
	pair_made(512, rng)
	child = vhdxmaker.Maker(6 * MIB, block=MIB, parent={"parent_linkage": "{%s}" % vhdxmaker.data_guid("parent.vhdx"), "relative_path": ".\\parent.vhdx"})
	child.block(1, rng.randbytes(MIB))
	child.write("child.vhdx", log="bat")
	eq(True, details("child.vhdx")["log-to-replay"], "log-to-replay")
	os.symlink("child.vhdx", "other.vhdx")
	before = sha256("child.vhdx")
	for target in ("child.vhdx", "other.vhdx", "parent.vhdx"):
		refused("convert", "--force", "-O", "vhdx", "child.vhdx", target, mentions="source")
	eq(before, sha256("child.vhdx"), "the file")


# ---------------------------------------------------------------- tables

@case
def places_that_are_kept():
	"""A block that was unmapped may keep its place, which the program that did so uses again: no other block gets it."""
	m = vhdxmaker.Maker(6 * MIB, block=MIB)
	for i in range(4):
		m.block(i, b"%d" % i * MIB)
	m.state(1, vhdxmaker.UNMAPPED)
	m.state(2, vhdxmaker.UNDEFINED)
	m.kept = {1, 2}
	m.write("a.vhdx")
	before = vhdxmaker.places("a.vhdx")
	need_vdio()
	ran(VDIO, "-f", "vhdx", "a.vhdx", stdin=b"write 4500000 70000 5\nwrite 5500000 7000 6\n")
	after = vhdxmaker.places("a.vhdx")
	eq(before[:4], after[:4], "places of the blocks that were there")
	eq(6, len(set(after)), "places, each of one block: %r" % after)
	vdisk("check", "a.vhdx")
	expected = bytearray(b"0" * MIB + bytes(2 * MIB) + b"3" * MIB + bytes(2 * MIB))
	expected[4500000:4570000] = b"\5" * 70000
	expected[5500000:5507000] = b"\6" * 7000
	write_file("expected.raw", bytes(expected))
	same_as_raw("expected.raw", "a.vhdx", "vhdx")


@case
def damaged_tables():
	"""One of two headers, one of two region tables: the other serves, and check mends it."""
	make_raw("source.raw", rng_for("tables"), 5 * MIB)
	for at in (65536, 131072, 196608, 262144):
		vdisk("convert", "--force", "-O", "vhdx", "source.raw", "a.vhdx")
		with open("a.vhdx", "r+b") as f:
			f.seek(at + 100)
			f.write(b"\xff" * 8)
		vdisk("compare", "-F", "raw", "a.vhdx", "source.raw")
		r = run(VDISK, "check", "a.vhdx")
		eq(1 if at > 131072 else 0, r.rc, "check: %s" % r.show())
		vdisk("check", "--repair", "a.vhdx")
		vdisk("check", "a.vhdx")
		same_as_raw("source.raw", "a.vhdx", "vhdx")


@case
def damaged_bat():
	"""Two blocks in one place, one past the end, one over the log, states that there are not: told, and salvaged around."""
	make_raw("source.raw", rng_for("bat"), 4 * MIB)
	for entry, words in ((6 | 1 << 20, "tables"), (6 | 1 << 40, "past the end"), (4, "state"), (7 | 5 << 20, "state"), (6 | 5 << 20 | 8, "reserved"),
	                     (None, "something else")):
		vdisk("convert", "--force", "-O", "vhdx", "-o", "block_size=1M", "source.raw", "a.vhdx")
		with open("a.vhdx", "r+b") as f:
			f.seek(3 * MIB)
			first = struct.unpack("<Q", f.read(8))[0]
			f.seek(3 * MIB + 8)
			f.write(struct.pack("<Q", first if entry is None else entry))
		r = run(VDISK, "check", "a.vhdx")
		eq(1, r.rc, "check: %s" % r.show())
		check(words in r.out + r.err, "check says %s: %s" % (words, r.show()))
		need_vdio()
		r = run(VDIO, "-f", "vhdx", "a.vhdx", stdin=b"write 0 512 1\n")
		check(r.rc != 0, "it is written to")
		if entry is not None:
			refused("convert", "-O", "raw", "a.vhdx", "out.raw", mentions=words)
			run(VDISK, "convert", "--force", "--salvage", "-O", "raw", "a.vhdx", "out.raw")
			eq(sha256("source.raw", 0, MIB), sha256("out.raw", 0, MIB), "what is before the damage")
			os.unlink("out.raw")


main()

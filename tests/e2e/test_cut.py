#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An image whose file was cut short is not written to, by whatever command: the first change is refused, and changes nothing.  A write
would make the file longer over what was lost, and nobody would notice."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

SIZE = 8 * MIB


def source(size=SIZE):
	if not os.path.exists("source.raw"):
		write_file("source.raw", rng_for("source").randbytes(size))
	return "source.raw"


def by_vdisk(fmt, *args):
	def make(path):
		vdisk("convert", "-f", "raw", "-O", fmt, *args, source(), path)
	return make


def by_qemu(fmt, *args):
	def make(path):
		qemu_img("convert", "-f", "raw", "-O", {"vhd": "vpc"}.get(fmt, fmt), *args, source(), path)
	return make


def odd(path):
	"""The last cluster is as short as the disk ends in it, which is legal."""
	raw = source(SIZE + 1536)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, path)
	os.truncate(path, os.path.getsize(path) - 65536 + 1536)
	qemu_img("compare", raw, path)


def with_snapshot(path):
	"""The end of the file belongs to a snapshot alone."""
	qemu_img("convert", "-f", "raw", "-O", "qcow2", source(), path)
	qemu_img("snapshot", "-c", "before", path)
	qemu_img("snapshot", "-c", "again", path)


def dirty(path):
	"""The counts of a dirty image are not to be believed: here they end before the data do."""
	by_qemu("qcow2")(path)
	with open(path, "r+b") as f:
		f.seek(48)
		f.seek(int.from_bytes(f.read(8), "big"))
		f.seek(int.from_bytes(f.read(8), "big") + 40)
		f.write(bytes(65536 - 40))
		f.seek(79)
		f.write(b"\1") # the incompatible bit 0


MAKERS = {
	"qcow2": ("qcow2", by_vdisk("qcow2")),
	"qcow2 512": ("qcow2", by_vdisk("qcow2", "-o", "cluster_size=512")),
	"qcow2 2M": ("qcow2", by_vdisk("qcow2", "-o", "cluster_size=2M")),
	"qcow2 ext": ("qcow2", by_vdisk("qcow2", "-o", "extended_l2=on,cluster_size=128k")),
	"qcow2 packed": ("qcow2", by_vdisk("qcow2", "-c")),
	"qcow2 by qemu": ("qcow2", by_qemu("qcow2")),
	"qcow2 packed by qemu": ("qcow2", by_qemu("qcow2", "-c")),
	"qcow2 odd": ("qcow2", odd),
	"qcow2 snapshots": ("qcow2", with_snapshot),
	"qcow2 dirty": ("qcow2", dirty),
	"vmdk": ("vmdk", by_vdisk("vmdk")),
	"vmdk by qemu": ("vmdk", by_qemu("vmdk")),
	"vmdk cowd": ("vmdk", by_vdisk("vmdk", "-o", "subformat=vmfsSparse")),
	"vhd": ("vhd", by_vdisk("vhd")),
	"vhd by qemu": ("vhd", by_qemu("vhd")),
	"vhd fixed": ("vhd", by_vdisk("vhd", "-o", "subformat=fixed")),
}


def points(size):
	yield size // 2
	yield size // 2 + 513
	yield size - size % 65536 - 65536
	yield size - 4096 - 65536


def io(commands):
	def act(fmt, path):
		r = run(VDIO, "-f", fmt, path, stdin=commands)
		eq(2, r.rc, "exit status of %s: %s" % (commands, r.show()))
		lines = [x for x in r.err.splitlines() if "warning:" not in x]
		eq(1, len(lines), "lines of %s" % r.show())
	return act


def command(*args):
	def act(fmt, path):
		refused(*[path if a == "@" else a for a in args], lines=None)
	return act


ACTIONS = {
	"write": io(b"write 0 512 7\n"),
	"write to the lost part": io(b"write %d 512 7\n" % (SIZE - 512)),
	"zero": io(b"zero 0 65536\n"),
	"discard": io(b"discard 0 4194304\n"),
	"resize": command("resize", "@", "64M"),
	"compact": command("compact", "@"),
}


def tail_of(fmt, path):
	"""The file that holds the data."""
	stem = path[:-len(fmt) - 1]
	for suffix in ("-flat", "-s001", "-delta"):
		if os.path.exists(stem + suffix + ".vmdk"):
			return stem + suffix + ".vmdk"
	return path


def cut(name):
	need_vdio()
	fmt, make = MAKERS[name]
	make("whole." + fmt)
	held = tail_of(fmt, "whole." + fmt)
	size = os.path.getsize(held)
	actions = dict(ACTIONS)
	if fmt == "qcow2":
		actions["amend"] = command("amend", "-o", "lazy_refcounts=on", "@")
		actions["snapshot"] = command("snapshot", "create", "@", "now")
	for to in points(size):
		os.truncate(held, size) if to > size else None
		full = open(held, "rb").read()
		with open(held, "r+b") as f:
			f.truncate(to)
		before = tree(".")
		digest = sha256(held)
		for what, act in actions.items():
			try:
				act(fmt, "whole." + fmt)
			except Failed as e:
				fail("%s of %s cut to %d of %d bytes: %s" % (what, name, to, size, e))
			eq(before, tree("."), "files after %s" % what)
			eq(digest, sha256(held), "content after %s" % what)
		write_file(held, full)
	# And the whole one takes all that.
	ran(VDIO, "-f", fmt, "whole." + fmt, stdin=b"write 0 512 7\nzero 65536 65536\n")
	vdisk("check", "whole." + fmt) if fmt != "vhd" else None


for n in MAKERS:
	add("cut " + n, cut, n)


def commit_into_cut(fmt):
	source()
	vdisk("convert", "-f", "raw", "-O", fmt, "source.raw", "base." + fmt)
	vdisk("create", "-f", fmt, "-b", "base." + fmt, "top." + fmt)
	need_vdio()
	ran(VDIO, "-f", fmt, "top." + fmt, stdin=b"write 0 512 9\n")
	os.truncate("base." + fmt, os.path.getsize("base." + fmt) * 3 // 4)
	digests = [sha256(p + fmt) for p in ("base.", "top.")]
	refused("commit", "top." + fmt)
	eq(digests, [sha256(p + fmt) for p in ("base.", "top.")], "content after the refusal")


def cut_child(fmt):
	"""The layer that is to get another parent, or to leave it."""
	source()
	need_vdio()
	for name in ("base", "other"):
		vdisk("convert", "-f", "raw", "-O", fmt, "source.raw", "%s.%s" % (name, fmt))
	vdisk("create", "-f", fmt, "-b", "base." + fmt, "top." + fmt)
	ran(VDIO, "-f", fmt, "top." + fmt, stdin=b"write 0 4000000 9\n")
	os.truncate("top." + fmt, os.path.getsize("top." + fmt) * 3 // 4)
	digest = sha256("top." + fmt)
	refused("flatten", "top." + fmt)
	refused("rebase", "-b", "other." + fmt, "top." + fmt)
	refused("rebase", "-u", "-b", "other." + fmt, "top." + fmt)
	refused("commit", "top." + fmt)
	eq(digest, sha256("top." + fmt), "content after the refusals")


for f in ("qcow2", "vmdk", "vhd"):
	add("commit into a cut %s" % f, commit_into_cut, f)
	add("surgery on a cut %s" % f, cut_child, f)


@case
def cut_data_file():
	"""An external data file."""
	need_vdio()
	qemu_img("create", "-q", "-f", "qcow2", "-o", "data_file=a.data", "a.qcow2", str(SIZE))
	qemu_io("a.qcow2", "qcow2", "write -P 5 0 8M")
	os.truncate("a.data", SIZE // 2)
	digests = [sha256(p) for p in ("a.qcow2", "a.data")]
	io(b"write 0 512 7\n")("qcow2", "a.qcow2")
	refused("resize", "a.qcow2", "64M")
	eq(digests, [sha256(p) for p in ("a.qcow2", "a.data")], "content after the refusals")


@case
def leaks_past_the_end():
	"""Counts past the file's end, as a crash leaves them, are no loss: nothing refers there."""
	need_vdio()
	source()
	vdisk("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	size = os.path.getsize("a.qcow2")
	qemu_io("a.qcow2", "qcow2", "write -P 1 0 64k")
	data = bytearray(open("a.qcow2", "rb").read())
	table = int.from_bytes(data[48:56], "big")
	block = int.from_bytes(data[table:table + 8], "big")
	for i in range(5):
		data[block + 2 * (size // 65536 + i) + 1] = 1
	open("a.qcow2", "wb").write(data)
	ran(VDIO, "-f", "qcow2", "a.qcow2", stdin=b"write 512 512 3\n")
	found = vdisk("check", "--json", "a.qcow2").json()
	eq((0, 5), (found["corruptions"], found["leaks"]), "corruptions and leaks")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manifests: against ones made here from the raw bytes, the same from every format; what differs is found; what is no manifest is
refused."""
import hashlib, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

LEAF = 1 << 20


def manifest_of(path):
	"""By the words of vdisk-digest(5), from a raw disk."""
	size = os.path.getsize(path)
	lines = ["vdisk-manifest 1", "hash sha256", "leaf 1048576", "size %d" % size]
	leaves, zeros = b"", 0
	with open(path, "rb") as f:
		while leaf := f.read(LEAF):
			digest = hashlib.sha256(leaf).digest()
			leaves += digest
			if leaf == bytes(LEAF):
				zeros += 1
				continue
			if zeros:
				lines.append("zeros %d" % zeros)
			zeros = 0
			lines.append(digest.hex())
	if zeros:
		lines.append("zeros %d" % zeros)
	lines.append("digest " + hashlib.sha256(leaves + size.to_bytes(8, "big")).hexdigest())
	return "\n".join(lines) + "\n"


def disk(path, name, size):
	"""Data, holes, and zeros that are no holes."""
	make_raw(path, rng_for(name), size)
	if size > 4 * MIB:
		write_file(path, bytes(2 * MIB + 4096), 3 * MIB - 4096)
	return path


def same_from_everywhere(size):
	raw = disk("disk.raw", "same %d" % size, size)
	want = manifest_of(raw)
	images = {"raw": raw}
	for fmt, options in (("qcow2", ["-c"]), ("vmdk", []), ("vhd", [])):
		images[fmt] = "disk." + fmt
		vdisk("convert", *options, "--manifest", fmt + ".passing", raw, images[fmt])
		eq(want, open(fmt + ".passing").read(), "manifest made in passing to %s" % fmt)
	for fmt, image in images.items():
		r = vdisk("digest", "--manifest", fmt + ".manifest", image)
		eq(want, open(fmt + ".manifest").read(), "manifest of %s" % fmt)
		check(want.split()[-1] in r.out, "the digest is printed, too: %s" % r.out)
		vdisk("verify-manifest", image, "raw.manifest")


for size in (512, LEAF, LEAF + 512, 9 * MIB, 11 * MIB + 512 * 7):
	add("same from everywhere: %d" % size, same_from_everywhere, size)


@case
def streams():
	raw = disk("disk.raw", "streams", 8 * MIB)
	vdisk("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, "s.vmdk")
	with open("s.vmdk", "rb") as f:
		vdisk("digest", "-f", "vmdk", "--manifest", "s.manifest", "-", stdin=f)
	eq(manifest_of(raw), open("s.manifest").read(), "manifest of a stream")
	with open("s.vmdk", "rb") as f:
		vdisk("verify-manifest", "-f", "vmdk", "-", "s.manifest", stdin=f)
	with open("out.raw", "wb") as out:
		vdisk("convert", "-O", "raw", "--manifest", "p.manifest", "s.vmdk", "-", stdout=out)
	eq(manifest_of(raw), open("p.manifest").read(), "manifest of what went to a pipe")


@case
def differences_are_found():
	raw = disk("disk.raw", "differences", 12 * MIB + 512)
	vdisk("convert", "--manifest", "m", raw, "disk.qcow2")
	rng = rng_for("where")
	for _ in range(12):
		ran("cp", raw, "changed.raw")
		hit = set()
		for _ in range(rng.randrange(1, 5)):
			at = rng.randrange(12 * MIB + 512)
			with open("changed.raw", "r+b") as f:
				f.seek(at)
				old = f.read(1)[0]
				f.seek(at)
				f.write(bytes([old ^ 1 << rng.randrange(8)]))
			hit.add(at // LEAF)
		want, data = [], open("changed.raw", "rb").read()
		same = open(raw, "rb").read()
		for i in sorted(hit):
			a, b = i * LEAF, min((i + 1) * LEAF, len(data))
			if data[a:b] == same[a:b]:
				continue
			if want and want[-1]["offset"] + want[-1]["length"] == a:
				want[-1]["length"] += b - a
			else:
				want.append({"offset": a, "length": b - a})
		o = ran(VDISK, "verify-manifest", "--json", "changed.raw", "m", rc=1 if want else 0).json()
		eq(want, o["differences"], "ranges")
		eq((not want, sum(w["length"] for w in want)), (o["equal"], o["differing"]), "in all")
	r = ran(VDISK, "verify-manifest", "changed.raw", "m", rc=1)
	check("differ" in r.out, "as text: %s" % r.out)
	os.truncate("changed.raw", 12 * MIB)
	o = ran(VDISK, "verify-manifest", "--json", "changed.raw", "m", rc=1).json()
	eq((True, False, 12 * MIB + 512, []), (o["size-differs"], o["equal"], o["manifest-size"], o["differences"]), "another size")


@case
def no_manifest():
	raw = disk("disk.raw", "bad", 6 * MIB + 512)
	vdisk("digest", "--manifest", "good", raw)
	good = open("good").read()
	lines = good.splitlines(True)
	zeros = next(i for i, l in enumerate(lines) if l.startswith("zeros"))
	leaf = next(i for i, l in enumerate(lines) if len(l) == 65)

	def put(i, text):
		return "".join(lines[:i] + [text] + lines[i + 1:])
	flipped = lines[leaf].replace(lines[leaf][5], "0" if lines[leaf][5] != "0" else "1", 1)
	bad = {
		"empty": "", "cut in a line": good[:-30], "cut after a line": "".join(lines[:-1]), "no end of line": good[:-1], "more": good + "\n",
		"other": "hello\n", "binary": "\0" * 300, "long": "vdisk-manifest 1" + "1" * 500 + "\n", "crlf": good.replace("\n", "\r\n"),
		"version": put(0, "vdisk-manifest 2\n"), "hash": put(1, "hash md5\n"), "a NUL": put(1, "hash sha256\0\n"), "leaf": put(2, "leaf 65536\n"),
		"size": put(3, "size 0x600\n"), "zeros before": put(3, "size 06291968\n"), "negative": put(3, "size -1\n"),
		"huge": put(3, "size 99999999999999999999\n"), "other size": put(3, "size %d\n" % (8 * MIB)),
		"a leaf too few": put(leaf, ""), "a leaf too many": put(leaf, lines[leaf] * 2), "a leaf changed": put(leaf, flipped),
		"upper case": put(leaf, lines[leaf].upper()), "zeros 0": put(zeros, "zeros 0\n" + lines[zeros]),
		"zeros in two": put(zeros, lines[zeros] * 2), "zeros too many": put(zeros, "zeros 18446744073709551615\n"),
		"zeros plainly": put(zeros, (hashlib.sha256(bytes(MIB)).hexdigest() + "\n") * int(lines[zeros].split()[1])),
		"blank": put(zeros, lines[zeros] + " \n"), "another digest": put(len(lines) - 1, "digest " + "0" * 64 + "\n"),
	}
	for name, text in bad.items():
		check(text != good, "%s is no change" % name)
		with open("bad", "w", newline="") as f:
			f.write(text)
		r = ran(VDISK, "verify-manifest", raw, "bad", rc=2)
		one_line(r)
		eq("", r.out, "stdout of %s" % name)
		check("bad: " in r.err, "%s: names the file: %s" % (name, r.err))
	for name, mention in (("version", "'2'"), ("hash", "'md5'"), ("leaf", "'65536'"), ("zeros plainly", "not written as one")):
		with open("bad", "w") as f:
			f.write(bad[name])
		check(mention in ran(VDISK, "verify-manifest", raw, "bad", rc=2).err, "%s is named" % name)
	refused("verify-manifest", raw, "not-there", mentions=["not-there"])
	refused("verify-manifest", raw, ".", mentions=["folder"])


@case
def claims_cost_nothing():
	"""A manifest of 4 EiB in six lines."""
	raw = disk("disk.raw", "claims", 2 * MIB)
	write_file("m", b"vdisk-manifest 1\nhash sha256\nleaf 1048576\nsize %d\nzeros %d\ndigest %s\n" % (1 << 62, 1 << 42, b"0" * 64))
	r = ran(VDISK, "verify-manifest", "--json", raw, "m", rc=1)
	o = r.json()
	eq((True, False, 1 << 62, []), (o["size-differs"], o["equal"], o["manifest-size"], o["differences"]), "another size")
	check(r.cpu < 5, "%.1f s of processor time" % r.cpu)
	write_file("m", open("m", "rb").read().replace(b"zeros %d" % (1 << 42), b"zeros 5"))
	one_line(ran(VDISK, "verify-manifest", raw, "m", rc=2))


@case
def nothing_is_lost():
	raw = disk("disk.raw", "lost", 3 * MIB)
	write_file("old", b"somebody's")
	refused("convert", "--manifest", "old", raw, "a.qcow2", mentions=["old", "--force"])
	refused("digest", "--manifest", "old", raw, mentions=["old", "--force"])
	refused("digest", "--force", "--manifest", raw, raw, mentions=["file of the image"])
	refused("convert", "--force", "--manifest", raw, raw, "a.qcow2", mentions=["file of the image"])
	refused("convert", "--dry-run", "--manifest", "old", raw, "a.qcow2", mentions=["old"])
	refused("convert", "--manifest", "a.qcow2", raw, "a.qcow2", mentions=["a.qcow2"])
	refused("digest", "--force", "--manifest", "/dev/null", raw, mentions=["/dev/null"])
	refused("digest", "--sha256", "--manifest", "new", raw, mentions=["--sha256"], lines=2)
	eq(b"somebody's", open("old", "rb").read(), "what had the name")
	vdisk("convert", "--dry-run", "--manifest", "new", raw, "a.qcow2")
	eq({"disk.raw", "old"}, set(os.listdir(".")), "what is left")
	vdisk("digest", "--force", "--manifest", "old", raw)
	eq(manifest_of(raw), open("old").read(), "replaced when told to")
	# A source that is cut short leaves neither image nor manifest.
	vdisk("convert", raw, "whole.vmdk")
	os.truncate("whole.vmdk", os.path.getsize("whole.vmdk") - 70000)
	refused("convert", "--manifest", "new", "whole.vmdk", "b.qcow2")
	refused("digest", "--manifest", "new", "whole.vmdk")


@case
def sparse_and_large():
	"""1 TiB of holes costs a line, and no time."""
	with open("big.raw", "wb") as f:
		f.truncate(1 << 40)
		f.seek(700 * GIB)
		f.write(b"here")
	r = vdisk("digest", "--manifest", "m", "big.raw", timeout=30)
	text = open("m").read().splitlines()
	eq(["zeros %d" % (700 * 1024), "zeros %d" % (324 * 1024 - 1)], [l for l in text if l.startswith("zeros")], "holes")
	eq(8, len(text), "lines")
	vdisk("verify-manifest", "big.raw", "m", timeout=30)
	with open("big.raw", "r+b") as f:
		f.seek(900 * GIB + 5)
		f.write(b"x")
	o = ran(VDISK, "verify-manifest", "--json", "big.raw", "m", rc=1).json()
	eq([{"offset": 900 * GIB, "length": LEAF}], o["differences"], "ranges")


main()

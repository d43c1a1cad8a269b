#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random images, converted by vdisk and read by others, and the other way round, for each format and its options.
VDISK_ITERATIONS: images for each variant (default 1; 5 in the long tier)."""
import os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

ROUNDS = 5 if ALL else ITERATIONS or 1
KEY = "correct horse"


class Variant:
	"""ours, theirs: the -o of each program (None: it cannot write this); packed: with -c; libyal: which of its tools reads
	it."""
	def __init__(self, name, fmt, ours="", theirs="", packed=False, libyal=None, check=True, extra_size=0, luks=False,
	             qemu_reads=True):
		self.name, self.fmt, self.ours, self.theirs, self.packed, self.libyal = name, fmt, ours, theirs, packed, libyal
		self.check, self.extra_size, self.luks, self.qemu_reads = check, extra_size, luks, qemu_reads
		self.qfmt = {"vhd": "vpc"}.get(fmt, fmt)


def same(name, fmt, options, **kw):
	return Variant(name, fmt, options, options, **kw)


VARIANTS = [
	same("raw", "raw", "", check=False),
	same("raw falloc", "raw", "preallocation=falloc", check=False),
	same("raw full", "raw", "preallocation=full", check=False),
	same("qcow2", "qcow2", "", libyal="qcow2"),
	same("qcow2 512", "qcow2", "cluster_size=512", libyal="qcow2"),
	same("qcow2 4K", "qcow2", "cluster_size=4K", libyal="qcow2"),
	same("qcow2 2M", "qcow2", "cluster_size=2M", libyal="qcow2"),
	same("qcow2 v2", "qcow2", "compat=0.10", libyal="qcow2"),
	same("qcow2 v2 1K", "qcow2", "compat=0.10,cluster_size=1K", libyal="qcow2"),
	same("qcow2 refcount 1", "qcow2", "refcount_bits=1"),
	same("qcow2 refcount 4, 512", "qcow2", "refcount_bits=4,cluster_size=512"),
	same("qcow2 refcount 8", "qcow2", "refcount_bits=8"),
	same("qcow2 refcount 64, 512", "qcow2", "refcount_bits=64,cluster_size=512"),
	same("qcow2 extended L2", "qcow2", "extended_l2=on"),
	same("qcow2 extended L2 16K", "qcow2", "extended_l2=on,cluster_size=16K"),
	same("qcow2 extended L2 2M", "qcow2", "extended_l2=on,cluster_size=2M"),
	same("qcow2 zlib", "qcow2", "", packed=True, libyal="qcow2"),
	same("qcow2 zlib 512", "qcow2", "cluster_size=512", packed=True),
	same("qcow2 zlib 2M", "qcow2", "cluster_size=2M", packed=True),
	same("qcow2 zlib v2", "qcow2", "compat=0.10", packed=True, libyal="qcow2"),
	same("qcow2 zstd", "qcow2", "compression_type=zstd", packed=True),
	same("qcow2 zstd 4K", "qcow2", "compression_type=zstd,cluster_size=4K", packed=True),
	same("qcow2 zstd 2M", "qcow2", "compression_type=zstd,cluster_size=2M", packed=True),
	same("qcow2 zstd, not packed", "qcow2", "compression_type=zstd"),
	same("qcow2 extended L2 zlib", "qcow2", "extended_l2=on", packed=True),
	same("qcow2 lazy refcounts", "qcow2", "lazy_refcounts=on"),
	same("qcow2 data file", "qcow2", "data_file=@.data"),
	same("qcow2 data file raw", "qcow2", "data_file=@.data,data_file_raw=on"),
	same("qcow2 preallocated metadata", "qcow2", "preallocation=metadata"),
	same("qcow2 preallocated falloc", "qcow2", "preallocation=falloc"),
	same("qcow2 preallocated full", "qcow2", "preallocation=full"),
	Variant("qcow2 LUKS", "qcow2", "encrypt.format=luks,encrypt.key-file=key,encrypt.iter-time=10",
	        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", luks=True),
	Variant("qcow2 LUKS 4K", "qcow2", "encrypt.format=luks,encrypt.key-file=key,encrypt.iter-time=10,cluster_size=4K",
	        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,cluster_size=4K", luks=True),
	Variant("qcow2 AES", "qcow2", None, "encrypt.format=aes,encrypt.key-secret=s", luks=True),
	Variant("qcow2 LUKS aes-256-cbc essiv", "qcow2", None, "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,"
	        "encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256", luks=True),
	Variant("qcow2 LUKS serpent", "qcow2", None, "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,"
	        "encrypt.cipher-alg=serpent-256", luks="unsupported"),
	same("vmdk monolithicSparse", "vmdk", "subformat=monolithicSparse", libyal="vmdk"),
	same("vmdk monolithicFlat", "vmdk", "subformat=monolithicFlat", check=False),
	same("vmdk twoGbMaxExtentSparse", "vmdk", "subformat=twoGbMaxExtentSparse", libyal="vmdk"),
	same("vmdk twoGbMaxExtentFlat", "vmdk", "subformat=twoGbMaxExtentFlat", libyal="vmdk", check=False),
	Variant("vmdk flat falloc", "vmdk", "subformat=monolithicFlat,preallocation=falloc", None, check=False),
	Variant("vmdk twoGb flat full", "vmdk", "subformat=twoGbMaxExtentFlat,preallocation=full", None, check=False),
	same("vmdk streamOptimized", "vmdk", "subformat=streamOptimized", libyal="vmdk"),
	same("vmdk zeroed grains", "vmdk", "subformat=monolithicSparse,zeroed_grain=on"),
	Variant("vmdk grains of 4K", "vmdk", "subformat=monolithicSparse,grain_size=4K", None),
	Variant("vmdk grains of 16K", "vmdk", "subformat=monolithicSparse,grain_size=16K", None, libyal="vmdk"),
	Variant("vmdk vmfs", "vmdk", "subformat=vmfs", None, libyal="vmdk", check=False),
	Variant("vmdk vmfsThin", "vmdk", "subformat=vmfsThin", None, libyal="vmdk", check=False),
	Variant("vmdk vmfsSparse", "vmdk", "subformat=vmfsSparse", None, check=False),
	same("vhd fixed", "vhd", "subformat=fixed,force_size=on", libyal="vhd", check=False),
	same("vhd dynamic", "vhd", "subformat=dynamic,force_size=on", libyal="vhd", check=False),
	Variant("vhd blocks of 512K", "vhd", "subformat=dynamic,block_size=512K", None, libyal="vhd", check=False),
	same("vhd fixed CHS", "vhd", "subformat=fixed,force_size=off", libyal="vhd", check=False, extra_size=1),
	same("vhd dynamic CHS", "vhd", "subformat=dynamic,force_size=off", libyal="vhd", check=False, extra_size=1),
	same("vhdx dynamic", "vhdx", "subformat=dynamic", libyal="vhd"),
	same("vhdx fixed", "vhdx", "subformat=fixed", libyal="vhd"),
	same("vhdx blocks of 1M", "vhdx", "block_size=1M", libyal="vhd"),
	same("vdi dynamic", "vdi", ""),
	Variant("vdi fixed", "vdi", "subformat=fixed", "static=on"),
	same("vhdx blocks of 256M, log of 4M", "vhdx", "block_size=256M,log_size=4M", libyal="vhd"),
]
SUFFIX = {"vhd": "vhd", "vhdx": "vhdx", "vdi": "vdi", "raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk"}


def secret():
	with open("key", "w") as f:
		f.write(KEY)
	return ["--object", "secret,id=s,file=key"]


def opts_for(path):
	return "driver=qcow2,encrypt.key-secret=s,file.driver=file,file.filename=" + path


def option_list(text, path):
	return ["-o", text.replace("@", path.rsplit(".", 1)[0])] if text else []


def random_size(rng):
	return rng.choice((512, 4096, 65536, rng.randrange(1, 200) * 512, rng.randrange(1, 20000) * 512, 8 * MIB, 4 * MIB + 512,
	                   2 * MIB - 512))


def reads_by_qemu(v, raw, path):
	"""Through qemu-img; with the padding that a CHS size brings."""
	if v.luks:
		back = "back.raw"
		qemu_img("convert", *secret(), "--image-opts", opts_for(path), "-O", "raw", back)
		same_bytes(raw, back, "%s read by qemu-img" % path)
		os.unlink(back)
		return
	if v.extra_size:
		size = virtual_size(path, v.qfmt)
		check(size >= os.path.getsize(raw), "the CHS size %d is below %d" % (size, os.path.getsize(raw)))
		ran("qemu-img", "compare", "-f", "raw", "-F", v.qfmt, raw, path)
		return
	same_as_raw(raw, path, v.qfmt)


def qemu_clean(v, path):
	if v.luks:
		r = run("qemu-img", "check", *secret(), "--image-opts", opts_for(path))
		check(r.rc == 0, "qemu-img check is not clean\n    %s" % r.show())
	elif v.check:
		qemu_check(path, v.qfmt)


def key_args(v):
	return ["--key-file", "key"] if v.luks else []


def flat_equal(v, raw, path):
	if not v.extra_size:
		same_bytes(raw, path)
		return
	size = os.path.getsize(raw)
	check(os.path.getsize(path) >= size, "too short")
	eq(sha256(raw), sha256(path, 0, size), "content of %s" % path)
	with open(path, "rb") as f:
		f.seek(size)
		check(not f.read().strip(b"\0"), "the padding is not zero")


def map_holds(v, raw, path):
	"""The map covers the disk without gaps; what it calls zeros are zeros; the bytes lie where it says."""
	m = vdisk("map", "--json", "-f", v.fmt, *key_args(v), path).json()
	at = 0
	host = {}
	data = []
	with open(raw, "rb") as f:
		size = os.path.getsize(raw)
		for x in m["extents"]:
			eq(at, x["offset"], "where the next extent of the map begins")
			check(x["length"] > 0, "an empty extent: %r" % x)
			at += x["length"]
			f.seek(x["offset"])
			content = f.read(x["length"])
			if x["kind"] != "data":
				check(not content.strip(b"\0"), "the map calls this zeros, which it is not: %r" % x)
				continue
			data.append((x["offset"], x["offset"] + x["length"]))
			if "host-offset" in x and not x.get("compressed") and not x.get("encrypted"):
				name = x["file"]
				h = host.setdefault(name, open(name, "rb"))
				h.seek(x["host-offset"])
				there = h.read(x["length"])
				there += bytes(len(content) - len(there)) if len(there) < len(content) else b""
				check(there[:len(content)] == content, "the bytes do not lie where the map says: %r" % x)
	for h in host.values():
		h.close()
	check(at >= size, "the map ends at %d of %d" % (at, size))
	return data


def covered(ranges):
	out = []
	for a, b in sorted(ranges):
		if out and out[-1][1] >= a:
			out[-1] = (out[-1][0], max(b, out[-1][1]))
		else:
			out.append((a, b))
	return out


def ours(v, i):
	rng = rng_for("ours/%s/%d" % (v.name, i))
	raw = make_raw("source.raw", rng, random_size(rng))
	path = "image." + SUFFIX[v.fmt]
	if v.luks:
		secret()
	rounding = ["--size-rounding", "up"] if v.extra_size else []
	vdisk("convert", "-f", "raw", "-O", v.fmt, *(["-c"] if v.packed else []), *rounding, *option_list(v.ours, path), raw,
	      path if v.fmt != "raw" else "image.out")
	if v.fmt == "raw":
		same_bytes(raw, "image.out")
		return
	reads_by_qemu(v, raw, path)
	qemu_clean(v, path)
	vdisk("check", "-f", v.fmt, *key_args(v), path)
	vdisk("convert", "-f", v.fmt, *key_args(v), "-O", "raw", path, "own.raw")
	flat_equal(v, raw, "own.raw")
	map_holds(v, raw, path)
	if not v.luks:
		vdisk("compare", "-f", "raw", "-F", v.fmt, raw, path)
	if not v.extra_size:
		r = vdisk("digest", "--sha256", "-f", v.fmt, *key_args(v), path)
		check(sha256(raw) in r.out, "digest --sha256: %s" % r.show())
	if v.libyal:
		if v.extra_size:
			with mounted(v.libyal, path, "mnt") as flat:
				eq(sha256(raw), sha256(flat, 0, os.path.getsize(raw)), "content, says libyal")
		else:
			libyal_agrees(v.libyal, path, raw, "mnt")


def theirs(v, i):
	rng = rng_for("theirs/%s/%d" % (v.name, i))
	raw = make_raw("source.raw", rng, random_size(rng))
	path = "image." + SUFFIX[v.fmt]
	if v.fmt == "raw":
		skip("there is nothing to read")
	qemu_img("convert", *(secret() if v.luks else []), "-f", "raw", "-O", v.qfmt, *(["-c"] if v.packed else []),
	         *option_list(v.theirs, path), raw, path)
	if v.luks == "unsupported":
		refused("convert", "-f", v.fmt, *key_args(v), "-O", "raw", path, "out.raw")
		return
	vdisk("convert", "-f", v.fmt, *key_args(v), "-O", "raw", path, "out.raw")
	flat_equal(v, raw, "out.raw")
	vdisk("convert", "-j", "1", *key_args(v), "-O", "raw", path, "probed.raw")
	same_bytes("out.raw", "probed.raw", "probed, and with -j1")
	vdisk("check", "-f", v.fmt, *key_args(v), path)
	if not v.luks:
		vdisk("compare", "-f", "raw", "-F", v.fmt, raw, path)
	data = covered(map_holds(v, raw, path))
	if v.fmt == "qcow2" and not v.luks and not v.packed and "data_file" not in v.theirs and "prealloc" not in v.theirs:
		q = qemu_img("map", "--output=json", "-f", v.qfmt, path).json()
		eq(covered((x["start"], x["start"] + x["length"]) for x in q if x["data"]), data,
		   "where data lies, says qemu-img map")
	if not v.extra_size:
		r = vdisk("digest", "--sha256", "-f", v.fmt, *key_args(v), path)
		check(sha256(raw) in r.out, "digest --sha256: %s" % r.show())


def changed_is_seen(v):
	"""One byte that differs is told by compare, with its offset."""
	rng = rng_for("changed/" + v.name)
	raw = make_raw("source.raw", rng, 3 * MIB)
	path = "image." + SUFFIX[v.fmt]
	vdisk("convert", "-f", "raw", "-O", v.fmt, *option_list(v.ours, path), raw, path)
	at = rng.randrange(3 * MIB)
	with open(raw, "r+b") as f:
		f.seek(at)
		b = f.read(1)[0]
		f.seek(at)
		f.write(bytes([b ^ 0x40]))
	r = run(VDISK, "compare", "-f", "raw", "-F", v.fmt, raw, path)
	eq(1, r.rc, "exit status of compare: %s" % r.show())
	check(str(at) in r.out + r.err, "compare names the offset %d: %s" % (at, r.show()))


def large(fmt, options, packed, size):
	"""Sparse, with scattered data."""
	rng = rng_for("large/%s/%s" % (fmt, options))
	raw = make_raw("source.raw", rng, size, pieces=30, longest=MIB)
	path = "image." + SUFFIX[fmt]
	v = same("large", fmt, options, packed=packed, check=fmt != "vhd")
	vdisk("convert", "-f", "raw", "-O", fmt, *(["-c"] if packed else []), *option_list(options, path), raw, path)
	same_as_raw(raw, path, v.qfmt)
	qemu_clean(v, path)
	vdisk("convert", "-f", fmt, "-O", "raw", path, "own.raw")
	same_bytes(raw, "own.raw")
	os.unlink("own.raw")
	qemu_img("convert", "-f", "raw", "-O", v.qfmt, *(["-c"] if packed else []), *option_list(options, path), raw,
	         "their." + fmt)
	vdisk("convert", "-f", fmt, "-O", "raw", "their." + fmt, "own.raw")
	same_bytes(raw, "own.raw")
	spent = os.stat("own.raw").st_blocks * 512
	check(spent < 64 * MIB, "the raw output takes %d bytes on disk" % spent)


def split(kind):
	"""Over several extents of 2 GiB, with data across their seams."""
	rng = rng_for("split/" + kind)
	size = 5 * GIB + 512
	with open("source.raw", "wb") as f:
		f.truncate(size)
		for at in (0, 2047 * MIB - 100000, 2 * GIB - 100000, 4094 * MIB - 5000, 4 * GIB - 5000, size - 70000):
			f.seek(at)
			f.write(rng.randbytes(min(200000, size - at)))
	vdisk("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + kind, "source.raw", "disk.vmdk")
	eq(3, len([n for n in os.listdir(".") if n.startswith("disk-")]), "extents: %r" % os.listdir("."))
	same_as_raw("source.raw", "disk.vmdk", "vmdk")
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + kind, "source.raw", "their.vmdk")
	vdisk("compare", "-f", "raw", "-F", "vmdk", "source.raw", "their.vmdk")
	vdisk("compare", "-f", "vmdk", "-F", "vmdk", "disk.vmdk", "their.vmdk")
	vdisk("convert", "-f", "vmdk", "-O", "qcow2", "their.vmdk", "out.qcow2")
	same_as_raw("source.raw", "out.qcow2", "qcow2")


FORMATS = ("raw", "qcow2", "vmdk", "vhd", "vhdx")


def pair(a, b):
	"""From each format to each other one."""
	rng = rng_for("pair/%s/%s" % (a, b))
	raw = make_raw("source.raw", rng, 2 * MIB + 512 * rng.randrange(100))
	vdisk("convert", "-f", "raw", "-O", a, raw, "one." + SUFFIX[a])
	vdisk("convert", "-f", a, "-O", b, "one." + SUFFIX[a], "two." + SUFFIX[b])
	same_as_raw(raw, "two." + SUFFIX[b], {"vhd": "vpc"}.get(b, b))
	vdisk("compare", "-f", a, "-F", b, "one." + SUFFIX[a], "two." + SUFFIX[b])
	one = vdisk("digest", "-f", a, "one." + SUFFIX[a]).out.split()[0]
	eq(one, vdisk("digest", "-f", b, "two." + SUFFIX[b]).out.split()[0], "digest of the same disk in two formats")
	eq(tree_digest(raw), one, "digest, by its definition")


def tree_digest(path):
	h, size = hashlib.sha256(), os.path.getsize(path)
	with open(path, "rb") as f:
		while True:
			leaf = f.read(MIB)
			if not leaf:
				break
			h.update(hashlib.sha256(leaf).digest())
	h.update(size.to_bytes(8, "big"))
	return h.hexdigest()


for v in VARIANTS:
	for i in range(ROUNDS):
		if v.ours is not None:
			add("ours: %s #%d" % (v.name, i), ours, v, i)
		if v.theirs is not None and v.fmt != "raw":
			add("theirs: %s #%d" % (v.name, i), theirs, v, i)
for name in ("qcow2", "vmdk monolithicSparse", "vmdk streamOptimized", "vhd dynamic", "vhdx dynamic", "vdi dynamic"):
	add("changed byte: " + name, changed_is_seen, next(v for v in VARIANTS if v.name == name))
add("large qcow2", large, "qcow2", "", False, 200 * MIB)
add("large qcow2 zstd", large, "qcow2", "compression_type=zstd", True, 150 * MIB)
add("large vmdk", large, "vmdk", "subformat=monolithicSparse", False, 150 * MIB + 512)
add("large streamOptimized", large, "vmdk", "subformat=streamOptimized", False, 100 * MIB)
add("large vhd", large, "vhd", "subformat=dynamic,force_size=on", False, 150 * MIB)
add("large vhdx", large, "vhdx", "block_size=8M", False, 150 * MIB)
add("large vdi", large, "vdi", "", False, 150 * MIB)
for kind in ("twoGbMaxExtentSparse", "twoGbMaxExtentFlat"):
	add("several extents " + kind, split, kind)
for a in FORMATS:
	for b in FORMATS:
		if a != b or a == "qcow2":
			add("pair %s to %s" % (a, b), pair, a, b)
main()

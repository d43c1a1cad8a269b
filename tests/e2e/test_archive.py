#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines in one file (OVA, XVA, VMA): read in place, checked, and refused where they lie.  All through vdisk migrate, whose disks are compared."""
import gzip, os, shutil, struct, subprocess, sys, tarfile
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from archives import *

OUT = ("--target", "kvm", "--out", "out", "--no-adapt")


def need_migrate():
	if not os.path.exists(os.path.join(BUILD, "vdisk-migrate")):
		skip("vdisk-migrate is not built")


def migrate(src, *args, rc=0, out="out", **kw):
	need_migrate()
	r = run(VDISK, "migrate", "--target", "kvm", "--out", out, "--no-adapt", "--json", src, *args, **kw)
	if r.rc != rc:
		fail("exit status %d is due\n    %s" % (rc, r.show()))
	return r.json()


def no(src, *mentions, args=(), **kw):
	need_migrate()
	return refused("migrate", *OUT, *args, src, mentions=mentions, **kw)


def disk(rng, name="disk.raw", size=5 * MIB + 37 * 512):
	return make_raw(name, rng, size)


def same(raws, report, out="out"):
	eq(len(raws), len(report["disks"]), "disks")
	for raw, d in zip(raws, report["disks"]):
		path = os.path.join(out, d["file"])
		same_as_raw(raw, path, d["format"])
		eq(vdisk("digest", raw).out.split()[0], d["digest"], "the digest in the report")
		vdisk("verify-manifest", path, os.path.join(out, d["manifest"]))


# ---------------------------------------------------------------- OVA

def ova_parts(rng, **more):
	raw = disk(rng)
	vmdk = stream_vmdk(raw, "disk.vmdk")
	d = {"file": "disk.vmdk", "capacity": os.path.getsize(raw), "size": os.path.getsize(vmdk)}
	d.update(more)
	return raw, vmdk, d


@case
def ova_in_each_order():
	rng = rng_for("ova")
	raw, vmdk, d = ova_parts(rng)
	text = ovf("web", [d])
	for i, (alg, gap, order) in enumerate([("SHA1", "", "omd"), ("SHA256", "", "odm"), ("SHA512", " ", "omd"), ("SHA256", " ", "dom"), (None, "", "od")]):
		parts = {"o": ("web.ovf", text), "d": ("disk.vmdk", vmdk)}
		parts["m"] = ("web.mf", manifest([parts["o"], parts["d"]], alg or "SHA1", gap))
		fmt = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)[i % 3]
		out = "out-%d" % i
		report = migrate(tar("web.ova", [parts[c] for c in order], fmt), out=out)
		same([raw], report, out)
		eq("OVA", report["source"]["kind"], "kind")
		eq("web", report["machine"], "name")
		remarks = " ".join(report["remarks"])
		eq(order[0] != "o", "is not the first member" in remarks, "a remark on the order: %r" % remarks)
		eq(alg is None, "no manifest" in remarks, "a remark on the manifest: %r" % remarks)


@case
def ova_with_other_formats():
	"""What is in an OVA need not be streamOptimized, nor a VMDK."""
	rng = rng_for("formats")
	raw = disk(rng)
	for fmt, suffix, opts in (("vmdk", "vmdk", "subformat=monolithicSparse"), ("qcow2", "qcow2", "compression_type=zstd"), ("vpc", "vhd", "force_size=on"),
	                          ("raw", "raw", "")):
		name = "disk." + suffix
		if fmt == "raw":
			data = raw
		else:
			qemu_img("convert", "-f", "raw", "-O", fmt, "-o", opts, raw, name)
			data = name
		tar("m.ova", [("m.ovf", ovf("m", [{"file": name, "capacity": os.path.getsize(raw), "format": "http://example.org/" + suffix}])), (name, data)])
		report = migrate("m.ova", out="out-" + suffix)
		same([raw], report, "out-" + suffix)


@case
def references_are_uris():
	"""Whether the descriptor writes a name as it is or percent-encoded, the disk is found, in an archive, in pieces and in a folder; what is there as written counts first."""
	def put(text):
		with open("f/m.ovf", "wb") as f:
			f.write(text if isinstance(text, bytes) else text.encode())
	rng = rng_for("uris")
	raw, other = disk(rng), make_raw("other.raw", rng, 3 * MIB)
	name, size = "B\u00fcro & 100%.vmdk", os.path.getsize(raw)
	os.makedirs("f")
	stream_vmdk(raw, "f/" + name)
	data = content("f/" + name)
	for i, href in enumerate(("B\u00fcro &amp; 100%.vmdk", "B%C3%BCro%20%26%20100%25.vmdk", "B%c3%bcro%20&amp;%20100%25.vmdk")):
		text = ovf("m", [{"file": href, "capacity": size}])
		tar("m.ova", [("m.ovf", text), (name, data)])
		same([raw], migrate("m.ova", out="ova%d" % i), "ova%d" % i)
		tar("c.ova", [("m.ovf", ovf("m", [{"file": href, "capacity": size, "chunk": 65536}]))] +
		    [("%s.%09d" % (name, k), data[k * 65536:(k + 1) * 65536]) for k in range(-(-len(data) // 65536))])
		same([raw], migrate("c.ova", out="pieces%d" % i), "pieces%d" % i)
		put(text)
		same([raw], migrate("f/m.ovf", out="ovf%d" % i), "ovf%d" % i)
		check("is not there" not in run(VDISK, "lint", "--for", "kvm", "f/m.ovf").out, "lint finds it")
		eq(name, vdisk("machine", "--to", "json", "f/m.ovf").json()["disks"][0]["path"], "what others call it")
	stream_vmdk(other, "f/B%C3%BCro%20%26%20100%25.vmdk")
	put(content("f/m.ovf").replace(b"%c3%bcro%20&amp;%20", b"%C3%BCro%20%26%20"))
	same([other], migrate("f/m.ovf", out="own"), "own")
	# An encoded way out is none in.
	shutil.copy("f/" + name, "up.vmdk")
	for href in ("%2e%2e%2fup.vmdk", "%2e%2e/up.vmdk", "up.vmdk%00", "%zz.vmdk"):
		text = ovf("m", [{"file": href, "capacity": size}])
		put(text)
		no("f/m.ovf")
		tar("m.ova", [("m.ovf", text), (name, data)])
		no("m.ova")


@case
def ova_in_pieces_and_packed():
	rng = rng_for("pieces")
	raw, vmdk, d = ova_parts(rng)
	data = content(vmdk)
	for chunk in (64 * KIB, 100 * KIB + 1, len(data) - 1, len(data), len(data) + 1):
		pieces = [("disk.vmdk.%09d" % i, data[i * chunk:(i + 1) * chunk]) for i in range(-(-len(data) // chunk))]
		o = ("m.ovf", ovf("m", [dict(d, chunk=chunk)]))
		tar("m.ova", [o, ("m.mf", manifest([o] + pieces))] + pieces)
		same([raw], migrate("m.ova", out="out-%d" % chunk), "out-%d" % chunk)
	packed = gzip.compress(data)
	half = gzip.compress(data[:70000]) + gzip.compress(data[70000:]) # two streams are one
	for i, p in enumerate((packed, half)):
		tar("z.ova", [("m.ovf", ovf("m", [dict(d, compression="gzip", size=len(p))])), ("disk.vmdk", p)])
		same([raw], migrate("z.ova", out="out-z%d" % i), "out-z%d" % i)
	pieces = [("disk.vmdk.%09d" % i, packed[i * 50000:(i + 1) * 50000]) for i in range(-(-len(packed) // 50000))]
	tar("zp.ova", [("m.ovf", ovf("m", [dict(d, compression="gzip", chunk=50000)]))] + pieces)
	same([raw], migrate("zp.ova", out="out-zp"), "out-zp")
	# Packed, and damaged in each way: nothing is left, and the message names the disk.
	wrong_sum = bytearray(packed)
	wrong_sum[-6] ^= 1
	for name, p, words in (("cut", packed[:-30], ["disk.vmdk"]), ("middle", packed[:len(packed) // 2], ["disk.vmdk"]), ("sum", bytes(wrong_sum), ["disk.vmdk"]),
	                       ("no", b"x" * 5000, ["disk.vmdk"]), ("more", gzip.compress(data + b"\1" * (100 << 20), 1), ["disk.vmdk"])):
		tar(name + ".ova", [("m.ovf", ovf("m", [dict(d, compression="gzip", size=len(p))])), ("disk.vmdk", p)])
		no(name + ".ova", *words)
	tar("bz.ova", [("m.ovf", ovf("m", [dict(d, compression="bzip2")])), ("disk.vmdk", vmdk)])
	no("bz.ova", "bzip2")


@case
def ova_manifests_that_lie():
	rng = rng_for("manifest")
	raw, vmdk, d = ova_parts(rng)
	o, v = ("m.ovf", ovf("m", [d])), ("disk.vmdk", vmdk)
	good = manifest([o, v])
	wrong = good.replace(b"= ", b"= 0", 1)[:-2] + b"\n"
	other = good[:-9] + (b"0" if good[-9:-8] != b"0" else b"1") + good[-8:]
	for text, words in ((good.replace(b"m.ovf", b"x.ovf"), ["x.ovf"]), (other, ["disk.vmdk", "--no-check"]),
	                    (good.replace(b"SHA256", b"MD5"), ["line 1"]), (wrong, ["line 1"]), (good.replace(b"= ", b"= \0"), ["no text"]),
	                    (good + b"hello\n", ["line 3"]), (good + good.split(b"\n")[1] + b"\n", ["line 3", "disk.vmdk", "again"]),
	                    (good.replace(b"(disk.vmdk)", b"disk.vmdk"), ["line 2"])):
		tar("m.ova", [o, ("m.mf", text), v])
		no("m.ova", *words)
	tar("m.ova", [o, ("m.mf", other), v])
	same([raw], migrate("m.ova", "--no-check"), "out")
	# Blank lines, CR LF and capitals are no lies; nor is one that tells of less.
	tar("m.ova", [o, ("m.mf", b"\r\n" + good.upper().replace(b"M.OVF", b"m.ovf").replace(b"DISK.VMDK", b"disk.vmdk").replace(b"\n", b"\r\n")), v])
	migrate("m.ova", out="out2")
	tar("m.ova", [o, ("m.mf", manifest([v])), v, ("m.cert", b"x")])
	report = migrate("m.ova", out="out3")
	check(any("does not tell of m.ovf" in r for r in report["remarks"]), "a remark: %r" % report["remarks"])


@case
def ova_that_is_hostile():
	rng = rng_for("hostile")
	raw, vmdk, d = ova_parts(rng)
	v = ("disk.vmdk", vmdk)

	def o(**more):
		return ("m.ovf", ovf("m", [dict(d, **more)]))
	with open("secret.raw", "wb") as f:
		f.write(b"secret" * 10000)

	def link(name, target, kind):
		info = tarfile.TarInfo(name)
		info.type, info.linkname = kind, target
		return info
	cases = {
		"out of it": ([o(file="../secret.raw"), v], ["../secret.raw"]),
		"whole path": ([o(file="/etc/passwd"), v], ["/etc/passwd"]),
		"beside it": ([o(file="secret.raw"), v], ["secret.raw"]),
		"member that climbs": ([o(), v, ("../x", b"x")], ["../x"]),
		"member with a whole path": ([o(), v, ("/tmp/x", b"x")], ["/tmp/x"]),
		"backslashes": ([o(), v, ("..\\x", b"x")], ["..\\x"]),
		"control characters": ([o(), v, ("a\nb", b"x")], ["a?b"]),
		"twice": ([o(), v, v], ["two members", "disk.vmdk"]),
		"two envelopes": ([o(), v, ("n.ovf", o()[1])], ["more than one"]),
		"symbolic link": ([o(), link("disk.vmdk", "secret.raw", tarfile.SYMTYPE)], ["disk.vmdk", "no plain file"]),
		"hard link": ([o(), v, link("copy.vmdk", "disk.vmdk", tarfile.LNKTYPE)], ["copy.vmdk", "no plain file"]),
		"device": ([o(), v, link("dev", "", tarfile.CHRTYPE)], ["dev", "no plain file"]),
		"no envelope": ([v], [".ovf"]),
		"no disk": ([o()], ["disk.vmdk"]),
		"missing piece": ([o(chunk=50000), ("disk.vmdk.000000000", content(vmdk)[:50000])], []),
		"gap between pieces": ([o(chunk=50000)] + [("disk.vmdk.%09d" % i, content(vmdk)[i * 50000:(i + 1) * 50000]) for i in (0, 2)], ["missing", "000000001"]),
		"pieces too few": ([o(chunk=50000, size=len(content(vmdk))), ("disk.vmdk.000000000", content(vmdk)[:50000])], ["missing", "000000001"]),
		"wrong piece": ([o(chunk=50000), ("disk.vmdk.000000000", content(vmdk)[:4000]), ("disk.vmdk.000000001", content(vmdk)[4000:])], ["000000001"]),
		"huge envelope": ([("m.ovf", o()[1] + b" " * (9 << 20)), v], ["m.ovf"]),
		"many members": ([o(), v] + [("f%06d" % i, b"") for i in range(16384)], ["16384"]),
		"names a file beside it": ([o(), ("disk.vmdk", b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
		                                              b"RW 100 FLAT \"secret.raw\" 0\n")], ["secret.raw"]),
	}
	for name, (members, words) in cases.items():
		tar("m.ova", members, tarfile.GNU_FORMAT)
		r = no("m.ova", *words)
		check("secretsecret" not in r.err, "%s: %s" % (name, r.err))
	# A layer whose parent is outside.
	qemu_img("create", "-f", "qcow2", "-b", os.path.abspath("secret.raw"), "-F", "raw", "layer.qcow2")
	tar("m.ova", [o(file="layer.qcow2", format="http://example.org/qcow2"), ("layer.qcow2", "layer.qcow2")])
	no("m.ova", "parent")
	# Lengths that lie, and files that end early.
	tar("m.ova", [o(), v])
	whole = content("m.ova")
	at = whole.index(b"disk.vmdk", 512)
	for size in (b"77777777777\0", b"\x80" + b"\0" * 3 + struct.pack(">Q", 1 << 62), b"\xff" * 12):
		head = bytearray(whole[at:at + 512])
		head[124:136] = size[:12]
		head[148:156] = b" " * 8
		head[148:156] = b"%06o\0 " % sum(head)
		write_file("lie.ova", whole[:at] + bytes(head) + whole[at + 512:])
		no("lie.ova")
		os.unlink("lie.ova")
	for cut in (at - 100, at + 200, at + 512, at + 20000):
		write_file("cut.ova", whole[:cut])
		no("cut.ova")
		os.unlink("cut.ova")
	write_file("zip.ova.gz", gzip.compress(whole))
	no("zip.ova.gz", "unpack")
	r = run(VDISK, "migrate", *OUT, "-", stdin=whole)
	eq(2, r.rc, "an OVA from a pipe")
	need("mkfifo")
	os.mkfifo("pipe.ova")
	no("pipe.ova")


@case
def ova_of_others():
	"""Those among the fixtures; a digest of what is in them stands in the manifest."""
	need_migrate()
	seen = 0
	for row in fixtures("ova"):
		path = unpack(row, os.getcwd())
		seen += 1
		if row["sha256"] == "-" if "sha256" in row else list(row.values())[5] == "-":
			no(path)
			continue
		report = migrate(path, out="out-%d" % seen)
		qemu_img("convert", "-O", "raw", os.path.join("out-%d" % seen, report["disks"][0]["file"]), "flat")
		eq(list(row.values())[5], sha256("flat"), "content of %s" % path)
	check(seen >= 8, "%d fixtures" % seen)


# ---------------------------------------------------------------- XVA

def xva_disks(rng):
	"""Sizes at and around a chunk, with chunks of zeros in the middle."""
	a = bytearray(6 * MIB + 512)
	a[0:3000] = rng.randbytes(3000)
	a[2 * MIB + 7:2 * MIB + 70000] = rng.randbytes(70000 - 7)
	a[5 * MIB + 4096:5 * MIB + 8192] = rng.randbytes(4096)
	b = bytearray(2 * MIB)
	b[MIB:MIB + 5] = b"hello"
	for name, data in (("a.raw", a), ("b.raw", b)):
		write_file(name, bytes(data))
	return [("Ref:11", bytes(a)), ("Ref:7", bytes(b))]


@case
def xva_each_way():
	rng = rng_for("xva")
	disks = xva_disks(rng)
	for kind in ("xxhash", "sha1", "none"):
		xva("m.xva", "web", disks, checksum=kind)
		report = migrate("m.xva", out="out-" + kind)
		same(["a.raw", "b.raw"], report, "out-" + kind)
		eq("XVA", report["source"]["kind"], "kind")
		eq(kind == "none", any("no checksum" in r for r in report["remarks"]), "a remark: %r" % report["remarks"])
	# As a stream: packed as a whole.
	xva("m.xva", "web", disks)
	need("zstd", "lzop")
	for suffix, program in (("gz", ["gzip", "-k"]), ("zst", ["zstd", "-q"]), ("lzo", ["lzop", "-q"])):
		ran(*program, "m.xva")
		same(["a.raw", "b.raw"], migrate("m.xva." + suffix, out="out-" + suffix), "out-" + suffix)


@case
def xva_keeps_its_connection_alive():
	"""A chunk without bytes takes a number, and no space."""
	rng = rng_for("alive")
	disks = xva_disks(rng)
	moved = []

	def lie(members):
		at = next(i for i, (n, _) in enumerate(members) if n == "Ref:11/00000002")
		for i in range(at, len(members)):
			n, data = members[i]
			if n.startswith("Ref:11/"):
				members[i] = ("Ref:11/%08d%s" % (int(n[7:15]) + 1, n[15:]), data)
				moved.append(n)
		members[at:at] = [("Ref:11/00000001", b""), ("Ref:11/00000001.xxhash", xxh64(b"").encode())]
	xva("m.xva", "web", disks, lie=lie)
	check(len(moved) >= 4, "moved %r" % moved)
	same(["a.raw", "b.raw"], migrate("m.xva"), "out")


@case
def xva_that_lies():
	rng = rng_for("xva lies")
	disks = xva_disks(rng)

	def change(name, data):
		def lie(members):
			i = next(i for i, (n, _) in enumerate(members) if n == name)
			members[i] = (name, data(members[i][1]) if callable(data) else data)
		return lie

	def rename(name, to):
		def lie(members):
			i = next(i for i, (n, _) in enumerate(members) if n == name)
			members[i] = (to, members[i][1])
			if members[i + 1][0] == name + ".xxhash":
				members[i + 1] = (to + ".xxhash", members[i + 1][1])
		return lie

	def drop(*names):
		def lie(members):
			members[:] = [m for m in members if m[0] not in names and not m[0].endswith(tuple(n + ".xxhash" for n in names))]
		return lie
	flipped = change("Ref:11/00000002", lambda b: b[:100] + bytes([b[100] ^ 1]) + b[101:])
	cases = [
		(flipped, ["Ref:11/00000002", "checksum"]),
		(change("Ref:11/00000002.xxhash", b"0" * 16), ["Ref:11/00000002"]),
		(change("Ref:11/00000002.xxhash", b""), ["Ref:11/00000002"]),
		(change("Ref:11/00000002.xxhash", b"0" * 5000), ["Ref:11/00000002"]),
		(change("Ref:11/00000002", bytes(MIB + 1)), ["Ref:11/00000002"]),
		(change("Ref:11/00000002", bytes(1000)), ["Ref:11/00000002"]),
		(rename("Ref:11/00000002", "Ref:11/00000009"), ["Ref:11/00000009"]),
		(rename("Ref:11/00000002", "Ref:11/99999999999999999"), ["outside"]),
		(rename("Ref:11/00000002", "Ref:11/00000000"), ["Ref:11/00000000"]),
		(drop("Ref:11/00000006"), ["cut short", "Ref:11"]),
		(drop("Ref:7/00000001"), ["cut short", "Ref:7"]),
		(rename("ova.xml", "nova.xml"), []),
	]
	for lie, words in cases:
		members = xva_members("web", disks, lie=lie)
		tar("m.xva", members)
		no("m.xva", *words)
		ran("gzip", "-1kf", "m.xva") # and as a stream
		no("m.xva.gz", *words)
	xva("m.xva", "web", disks, lie=flipped)
	migrate("m.xva", "--no-check")
	whole = content("m.xva")
	for cut in (300, 5000, len(whole) // 2, len(whole) - 40000):
		write_file("cut.xva", whole[:cut])
		no("cut.xva", args=["--no-check"])
		os.unlink("cut.xva")


# ---------------------------------------------------------------- VMA

def vma_disks(rng):
	a = bytearray(9 * MIB + 3 * 4096)
	for _ in range(60):
		at = rng.randrange(len(a) - 9000)
		a[at:at + 9000] = rng.randbytes(9000)
	a[-4096:] = rng.randbytes(4096)
	b = bytearray(700 * KIB + 512) # its last block is not a whole one
	b[0:5000] = rng.randbytes(5000)
	b[-512:] = rng.randbytes(512)
	write_file("a.raw", bytes(a))
	write_file("b.raw", bytes(b))
	return [("drive-scsi0", bytes(a)), ("drive-scsi1", bytes(b))]


@case
def vma_each_way():
	rng = rng_for("vma")
	v = Vma("web", vma_disks(rng))
	v.write("in-order.vma")
	rng.shuffle(v.order) # guests write while the backup runs
	v.write("mixed.vma")
	for name in ("in-order", "mixed"):
		report = migrate(name + ".vma", out="out-" + name)
		same(["a.raw", "b.raw"], report, "out-" + name)
		eq("VMA", report["source"]["kind"], "kind")
	need("zstd", "lzop")
	for suffix, program in (("gz", ["gzip", "-k"]), ("zst", ["zstd", "-q"]), ("lzo", ["lzop", "-q"])):
		ran(*program, "mixed.vma")
		same(["a.raw", "b.raw"], migrate("mixed.vma." + suffix, out="out-" + suffix), "out-" + suffix)
	r = no("mixed.vma.gz", "packed", args=["-c"])


@case
def vma_that_lies():
	rng = rng_for("vma lies")
	disks = vma_disks(rng)
	v = Vma("web", disks)
	head, extents = v.header(), v.extents()

	def poke(b, at, new, sign=None):
		b = b[:at] + new + b[at + len(new):]
		return Vma.sign(b, sign) if sign is not None else b
	other = Vma("other", disks)
	other.uuid = b"x" * 16
	first = extents[0]
	cases = {
		"header's sum": (poke(head, 5000, b"\1"), extents, "MD5"),
		"version": (poke(head, 7, b"\2", 32), extents, "version 2"),
		"header's length": (poke(head, 56, b"\xff\xff\xff\xff"), extents, "header"),
		"name outside": (poke(head, 4096 + 32, b"\0\xff\xff\xff", 32), extents, "device 1"),
		"no configuration": (poke(head, 2044, bytes(4), 32), extents, "qemu-server.conf"),
		"size": (poke(head, 4096 + 40, b"\xff" * 8, 32), extents, "device 1"),
		"smaller": (poke(head, 4096 + 40, struct.pack(">Q", 65536), 32), extents, "behind its end"),
		"far larger": (poke(head, 4096 + 40, struct.pack(">Q", 64 << 40), 32), extents, "at most 70368744177664"),
		"larger": (poke(head, 4096 + 40, struct.pack(">Q", 10 << 40), 32), extents, "cut short"),
		"extent's sum": (head, [poke(first, 100, b"\1")] + extents[1:], "MD5"),
		"extent's magic": (head, [poke(first, 0, b"X")] + extents[1:], "begin"),
		"other backup": (head, [other.extents()[0]] + extents[1:], "another backup"),
		"count": (head, [poke(first[:512], 6, b"\0\1", 24) + first[512:]] + extents[1:], "two ways"),
		"twice": (head, [first] + extents, "twice"),
		"extent missing": (head, extents[:1] + extents[2:], "cut short"),
		"last missing": (head, extents[:-1], "cut short"),
		"device 9": (head, [poke(first[:512], 43, b"\x09", 24) + first[512:]] + extents[1:], "device 9"),
		"cut": (head, extents[:-1] + [extents[-1][:-1]], "cut short"),
		"cut extent header": (head, extents + [b"VMAE"], "cut short"),
		"cut header": (head[:9000], [], "cut short"),
	}
	for name, (h, e, word) in cases.items():
		write_file("m.vma", h + b"".join(e))
		no("m.vma", word)
		ran("gzip", "-1kf", "m.vma")
		no("m.vma.gz", word)
		os.unlink("m.vma")
	write_file("no.vma", b"no archive" * 1000)
	no("no.vma", "vma")


@case
def bombs_stay_small():
	"""A little that unpacks to very much: refused in bounded memory, and soon."""
	need("zstd")
	rng = rng_for("bombs")
	v = Vma("web", vma_disks(rng))
	with open("bomb.vma", "wb") as f:
		f.write(v.header())
		f.truncate(256 * MIB)
	ran("zstd", "-q", "bomb.vma")
	os.unlink("bomb.vma")
	no("bomb.vma.zst", "extent", seconds=30)
	tar("m.ova", [("m.ovf", b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
	    b"<!ENTITY a%d '%s'>" % (i, b"&a%s;" % (str(i - 1).encode() if i else b"") * 10) for i in range(9)) + b"]><Envelope>&a8;</Envelope>")])
	no("m.ova", "m.ova")
	tar("m.ova", [("m.ovf", b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Envelope>&a;</Envelope>")])
	r = no("m.ova", "m.ova")
	check("root:" not in r.err, r.err)


if __name__ == "__main__":
	main()

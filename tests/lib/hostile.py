# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makers of malformed images: bytes are changed in a small image that qemu-img wrote, each a case that some program got wrong.

Two kinds of recipe: "@20=00000008; @24=ff" (bytes at decimal offsets, in hex) and builders with a name for what takes more.
Every maker takes a folder's path prefix and leaves an image there."""
import os, re, struct, zlib
from vdtest import *

SUFFIX = {"qcow2": "qcow2", "qcow": "qcow", "vmdk": "vmdk", "vpc": "vhd", "vdi": "vdi", "vhdx": "vhdx"}


def base(path, fmt, *options):
	raw = path + ".src"
	make_text_base(raw)
	opts = ",".join(options)
	qemu_img("convert", "-f", "raw", "-O", fmt, *(["-o", opts] if opts else []), raw, path)
	os.unlink(raw)
	return path


def get(path, at, fmt):
	with open(path, "rb") as f:
		f.seek(at)
		return struct.unpack(fmt, f.read(struct.calcsize(fmt)))[0]


def put(path, at, fmt, value):
	write_file(path, struct.pack(fmt, value), at)


def poke(path, recipe):
	for step in (s.strip() for s in recipe.split(";")):
		m = re.fullmatch(r"@(\d+)=([0-9a-f]+)", step)
		t = re.fullmatch(r"truncate (\d+)", step)
		if m:
			write_file(path, bytes.fromhex(m[2]), int(m[1]))
		elif t:
			os.truncate(path, int(t[1]))
		else:
			return False
	return True


# ---------------------------------------------------------------- VHD

def vhd_sum(b, at):
	"""The one's complement of the byte sum, the field itself counted as zeros."""
	return ~(sum(b) - sum(b[at:at + 4])) & 0xffffffff


def vhd_fix(path):
	"""Recomputes the checksums of the copy of the footer, the dynamic header and the footer."""
	with open(path, "r+b") as f:
		head = f.read(512)
		if head[:8] == b"conectix":
			f.seek(0)
			f.write(head[:64] + struct.pack(">I", vhd_sum(head, 64)) + head[68:])
			at = struct.unpack(">Q", head[16:24])[0]
			f.seek(at)
			dyn = f.read(1024)
			if dyn[:8] == b"cxsparse":
				f.seek(at)
				f.write(dyn[:36] + struct.pack(">I", vhd_sum(dyn, 36)) + dyn[40:])
		f.seek(-512, 2)
		foot = f.read(512)
		f.seek(-512, 2)
		f.write(foot[:64] + struct.pack(">I", vhd_sum(foot, 64)) + foot[68:])


def vhd_dyn(field, fmt, value):
	def make(path):
		base(path, "vpc", "subformat=dynamic", "force_size=on")
		put(path, 512 + field, fmt, value)
		vhd_fix(path)
	return make


def vhd_both(*pokes):
	"""In the footer and in its copy."""
	def make(path):
		base(path, "vpc", "subformat=dynamic", "force_size=on")
		end = os.path.getsize(path) - 512
		for at, fmt, value in pokes:
			put(path, at, fmt, value)
			put(path, end + at, fmt, value)
		vhd_fix(path)
	return make


def vhd_bat_oob(path):
	base(path, "vpc", "subformat=dynamic", "force_size=on")
	put(path, get(path, 512 + 16, ">Q"), ">I", 0x7fffffff)


# ---------------------------------------------------------------- qcow2

def qcow2_l1_entry(value):
	def make(path):
		base(path, "qcow2")
		l1 = get(path, 40, ">Q")
		put(path, l1, ">Q", value(path, l1))
	return make


def qcow2_l2_entry(value):
	def make(path):
		base(path, "qcow2")
		l2 = get(path, get(path, 40, ">Q"), ">Q") & 0x00fffffffffffe00
		put(path, l2, ">Q", value)
	return make


def qcow2_extensions(path, extensions):
	"""Replaces the header extensions (type, bytes)."""
	at = get(path, 100, ">I")
	out = b""
	for kind, data in extensions:
		out += struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)
	write_file(path, out + bytes(8), at)


def qcow2_data_file(name, first_offset=0):
	def make(path):
		base(path, "qcow2")
		put(path, 72, ">Q", get(path, 72, ">Q") | 4)
		qcow2_extensions(path, [(0x44415441, name.encode())])
		l2 = get(path, get(path, 40, ">Q"), ">Q") & 0x00fffffffffffe00
		put(path, l2, ">Q", 1 << 63 | first_offset)
	return make


def qcow2_backing(name, fmt="raw"):
	"""An overlay with nothing of its own, made without a look at what it names."""
	def make(path):
		qemu_img("create", "-q", "-f", "qcow2", path, "64M")
		qcow2_set_backing(path, name, fmt)
	return make


def qcow2_set_backing(path, name, fmt):
	name, fmt = name.encode(), fmt.encode() if fmt else None
	qcow2_extensions(path, ([(0xe2792aca, fmt)] if fmt else []))
	at = 512
	write_file(path, name, at)
	put(path, 8, ">Q", at)
	put(path, 16, ">I", len(name))


# ---------------------------------------------------------------- VMDK

def vmdk_first_grain(path):
	"""Where the marker of the first grain of qemu's streamOptimized image lies."""
	gd = get(path, 56, "<Q")
	gt = get(path, gd * 512, "<I")
	return get(path, gt * 512, "<I") * 512


def vmdk_bomb(path):
	base(path, "vmdk", "subformat=streamOptimized")
	at = vmdk_first_grain(path)
	bomb = zlib.compress(bytes(16 * MIB), 9)
	write_file(path, struct.pack("<QI", 0, len(bomb)) + bomb, at)
	os.truncate(path, -(-os.path.getsize(path) // 512) * 512)


def vmdk_marker_lba(path):
	base(path, "vmdk", "subformat=streamOptimized")
	put(path, vmdk_first_grain(path), "<Q", 0x7fffffff)


def vmdk_text(kind, extents, parent="ffffffff", hint=None):
	out = '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=%s\ncreateType="%s"\n' % (parent, kind)
	if hint:
		out += 'parentFileNameHint="%s"\n' % hint
	out += "\n# Extent description\n" + "".join(e + "\n" for e in extents)
	out += '\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = "4"\nddb.geometry.cylinders = "16"\n'
	return out + 'ddb.geometry.heads = "16"\nddb.geometry.sectors = "63"\nddb.adapterType = "ide"\n'


def vmdk_descriptor(kind, *extents):
	def make(path):
		write_file(path, vmdk_text(kind, extents).encode())
	return make


def vmdk_self(path):
	write_file(path, vmdk_text("monolithicFlat", ['RW 1 FLAT "%s" 0' % os.path.basename(path)]).encode())


def vmdk_many(path):
	write_file(path, vmdk_text("custom", ('RW 8 FLAT "x-f%06d.vmdk" 0' % i for i in range(100000))).encode())


def vmdk_parent_hint(hint):
	def make(path):
		base(path, "vmdk", "subformat=monolithicSparse")
		at, sectors = get(path, 28, "<Q") * 512, get(path, 36, "<Q")
		with open(path, "rb") as f:
			f.seek(at)
			text = f.read(sectors * 512).split(b"\0")[0].decode()
		text = text.replace("parentCID=ffffffff", 'parentCID=deadbeef\nparentFileNameHint="%s"' % hint)
		write_file(path, text.encode().ljust(sectors * 512, b"\0"), at)
	return make


# ---------------------------------------------------------------- VHDX, VDI

def vhdx_metadata(item, fmt, value, at=0):
	guid = bytes.fromhex(item)
	def make(path):
		base(path, "vhdx")
		with open(path, "rb") as f:
			f.seek(192 * KIB)
			regions = f.read(64 * KIB)
			i = regions.index(b"\x06\xa2\x7c\x8b") # the metadata region's GUID
			meta = struct.unpack("<Q", regions[i + 16:i + 24])[0]
			f.seek(meta)
			table = f.read(64 * KIB)
		i = table.index(guid)
		off = struct.unpack("<I", table[i + 16:i + 20])[0]
		put(path, meta + off + at, fmt, value)
	return make


FILE_PARAMETERS = "3767a1ca36fa434db3b633f0aa44e76b"
LOGICAL_SECTOR = "1dbf41816fa90947ba47f233a8faab5f"
DISK_SIZE = "2442a52f1bcd7648b2115dbed83bf4b8"


def vdi_map_oob(path):
	base(path, "vdi")
	put(path, get(path, 340, "<I"), "<I", 0x7ffffff0)


BUILDERS = {
	"qcow2-l2-oob": qcow2_l1_entry(lambda path, l1: 1 << 63 | 1 << 40),
	"qcow2-l2-is-l1": qcow2_l1_entry(lambda path, l1: 1 << 63 | l1),
	"qcow2-data-misaligned": qcow2_l2_entry(1 << 63 | 0x50200),
	"qcow2-datafile-etc-passwd": qcow2_data_file("/etc/passwd"),
	"qcow2-backing-etc-passwd": qcow2_backing("/etc/passwd"),
	"qcow2-backing-nbd": qcow2_backing("nbd://127.0.0.1:1/x"),
	"vmdk-stream-bomb": vmdk_bomb,
	"vmdk-stream-marker-lba": vmdk_marker_lba,
	"vmdk-flat-etc-passwd": vmdk_descriptor("monolithicFlat", 'RW 1 FLAT "/etc/passwd" 0'),
	"vmdk-flat-json": vmdk_descriptor("monolithicFlat",
		'RW 1 FLAT "json:{\\"driver\\":\\"file\\",\\"filename\\":\\"/etc/passwd\\"}" 0'),
	"vmdk-extent-self": vmdk_self,
	"vmdk-100k-extents": vmdk_many,
	"vmdk-parent-hint-abs": vmdk_parent_hint("/etc/passwd"),
	"vhd-blocksize-128": vhd_dyn(32, ">I", 128),
	"vhd-maxbat-ffffffff": vhd_dyn(28, ">I", 0xffffffff),
	"vhd-batoff-oob": vhd_dyn(16, ">Q", 1 << 60),
	"vhd-size-huge": vhd_both((48, ">Q", 1 << 62), (56, ">I", 0xffff10ff)),
	"vhd-type-9": vhd_both((60, ">I", 9)),
	"vhd-bat-oob": vhd_bat_oob,
	"vdi-map-oob": vdi_map_oob,
	"vhdx-blocksize-3M": vhdx_metadata(FILE_PARAMETERS, "<I", 3 * MIB),
	"vhdx-lss-0": vhdx_metadata(LOGICAL_SECTOR, "<I", 0),
	"vhdx-lss-4096-bs-same": vhdx_metadata(LOGICAL_SECTOR, "<I", 4096),
	"vhdx-disksize-odd": vhdx_metadata(DISK_SIZE, "<Q", 64 * MIB + 1),
}


def make(name, fmt, recipe, path):
	"""Makes the image of one row; False where the recipe is not known."""
	stem = name.rsplit(".", 1)[0]
	if stem in BUILDERS:
		BUILDERS[stem](path)
		return True
	if not re.match(r"@\d|truncate", recipe):
		return False
	base(path, fmt)
	ok = poke(path, recipe)
	if fmt == "vpc":
		vhd_fix(path)
	return ok

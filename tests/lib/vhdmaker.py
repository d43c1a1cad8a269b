# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small writer of VHD images, independent of the one under test, for what qemu-img cannot make: differencing disks."""
import os, struct, uuid
from hostile import vhd_sum

BLOCK = 2 << 20


def geometry(size):
	return 65535 << 16 | 16 << 8 | 255


def footer(size, kind, ident, data_offset, when=0x20000000):
	b = bytearray(512)
	struct.pack_into(">8sIIQI4sI4sQQIII16s", b, 0, b"conectix", 2, 0x10000, data_offset, when, b"test", 0x10000, b"Wi2k",
	                 size, size, geometry(size), kind, 0, ident)
	struct.pack_into(">I", b, 64, vhd_sum(bytes(b), 64))
	return bytes(b)


def footer_uuid(path):
	with open(path, "rb") as f:
		f.seek(-512, 2)
		return f.read(512)[68:84]


def differencing(path, parent, size, writes, parent_uuid=None, locators=None, ident=None, when=None):
	"""A child of `parent` (a name relative to the child's folder) with the sectors of `writes` ({sector: bytes of whole
	sectors}). `locators`: [(code, bytes)], by default W2ru with ".\\NAME" in UTF-16LE."""
	here = os.path.dirname(os.path.abspath(path))
	parent_path = os.path.join(here, parent)
	parent_uuid = parent_uuid or footer_uuid(parent_path)
	if when is None:
		when = int(os.path.getmtime(parent_path)) - 946684800 if os.path.exists(parent_path) else 0
	ident = ident or uuid.uuid4().bytes
	entries = -(-size // BLOCK)
	if locators is None:
		locators = [(b"W2ru", (".\\" + parent.replace("/", "\\")).encode("utf-16-le"))]
	bat_off = 512 + 1024
	bat_len = -(-entries * 4 // 512) * 512
	loc_off = bat_off + bat_len
	dyn = bytearray(1024)
	struct.pack_into(">8sQQIIII16sII", dyn, 0, b"cxsparse", 0xffffffffffffffff, bat_off, 0x10000, entries, BLOCK, 0,
	                 parent_uuid,
	                 when, 0)
	name = os.path.basename(parent).encode("utf-16-be")
	dyn[64:64 + len(name)] = name
	at = loc_off
	for i, (code, data) in enumerate(locators):
		struct.pack_into(">4sIIIQ", dyn, 576 + 24 * i, code, 512, len(data), 0, at)
		at += -(-len(data) // 512) * 512
	struct.pack_into(">I", dyn, 36, vhd_sum(bytes(dyn), 36))
	blocks = {}
	for sector, data in sorted(writes.items()):
		for k in range(0, len(data), 512):
			s = sector + k // 512
			bitmap, body = blocks.setdefault(s * 512 // BLOCK, (bytearray(512), bytearray(BLOCK)))
			j = s % (BLOCK // 512)
			bitmap[j // 8] |= 0x80 >> j % 8
			body[j * 512:j * 512 + 512] = data[k:k + 512]
	bat = [0xffffffff] * entries
	with open(path, "wb") as f:
		f.write(footer(size, 4, ident, 512))
		f.write(dyn)
		f.seek(loc_off)
		for code, data in locators:
			f.write(data.ljust(-(-len(data) // 512) * 512, b"\0"))
		for i, (bitmap, body) in sorted(blocks.items()):
			bat[i] = f.tell() // 512
			f.write(bitmap + body)
		f.write(footer(size, 4, ident, 512))
		f.seek(bat_off)
		f.write(struct.pack(">%dI" % entries, *bat).ljust(bat_len, b"\xff"))
	return path

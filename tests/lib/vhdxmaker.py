# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small writer and reader of VHDX images, independent of the ones under test, for what qemu-img cannot make: differencing disks, sectors
of 4,096 bytes, logs that were not replayed."""
import struct, uuid

MIB = 1 << 20
NOT_PRESENT, UNDEFINED, ZERO, UNMAPPED, FULL, PARTIAL = 0, 1, 2, 3, 6, 7
BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
DISK_ID = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
LOGICAL = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL = uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556")
PARENT = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
LOCATOR = uuid.UUID("b04aefb7-d19e-4a81-b789-25b8e9445913")

_table = []
for _i in range(256):
	_c = _i
	for _ in range(8):
		_c = _c >> 1 ^ (0x82f63b78 if _c & 1 else 0)
	_table.append(_c)


def crc32c(b):
	c = 0xffffffff
	for x in b:
		c = c >> 8 ^ _table[(c ^ x) & 255]
	return c ^ 0xffffffff


def sealed(b):
	"""With its checksum, which stands at 4."""
	b = bytearray(b)
	b[4:8] = bytes(4)
	b[4:8] = struct.pack("<I", crc32c(b))
	return bytes(b)


def header(sequence, log_guid, data_guid, log_off, log_len):
	b = bytearray(4096)
	struct.pack_into("<4sIQ16s16s16sHHIQ", b, 0, b"head", 0, sequence, uuid.uuid4().bytes_le, data_guid.bytes_le, log_guid.bytes_le, 0, 1,
	                 log_len, log_off)
	return sealed(b)


def regions(entries):
	b = bytearray(65536)
	struct.pack_into("<4sIII", b, 0, b"regi", 0, len(entries), 0)
	for i, (guid, off, length) in enumerate(entries):
		struct.pack_into("<16sQII", b, 16 + 32 * i, guid.bytes_le, off, length, 1)
	return sealed(b)


def locator_bytes(keys):
	head = struct.pack("<16sHH", LOCATOR.bytes_le, 0, len(keys))
	at = len(head) + 12 * len(keys)
	entries, text = b"", b""
	for k, v in keys.items():
		k, v = k.encode("utf-16-le"), v.encode("utf-16-le")
		entries += struct.pack("<IIHH", at, at + len(k), len(k), len(v))
		text += k + v
		at += len(k) + len(v)
	return head + entries + text


class Maker:
	"""Layout: log at 1 MiB (1 MiB), BAT at 2 MiB (1 MiB), metadata at 3 MiB (1 MiB), blocks from 4 MiB on, in the order of their making."""
	LOG, BAT_AT, META_AT, DATA_AT = MIB, 2 * MIB, 3 * MIB, 4 * MIB

	def __init__(self, size, block=MIB, logical=512, parent=None):
		self.size, self.block_bytes, self.logical, self.keys = size, block, logical, parent
		self.blocks = -(-size // block)
		self.chunk = (logical << 23) // block
		self.guid = uuid.uuid4()
		self.data, self.bits, self.states = {}, {}, {}
		self.kept = set() # blocks whose entries name a place whatever their state

	@property
	def data_guid(self):
		return str(self.guid)

	def fill(self, content):
		for i in range(self.blocks):
			part = content[i * self.block_bytes:(i + 1) * self.block_bytes]
			if part.strip(b"\0"):
				self.block(i, part)

	def block(self, i, data):
		self.data[i] = bytearray(data.ljust(self.block_bytes, b"\0"))
		self.states[i] = FULL

	def state(self, i, state):
		self.states[i] = state

	def sector(self, s, data):
		i, at = divmod(s * self.logical, self.block_bytes)
		# What the bits leave to the parent holds anything.
		self.data.setdefault(i, bytearray(b"\xee" * self.block_bytes))
		self.states[i] = PARTIAL
		self.data[i][at:at + self.logical] = data
		self.bits.setdefault(s // (1 << 23), bytearray(MIB))[s % (1 << 23) // 8] |= 1 << s % 8

	def metadata(self):
		items = [(PARAMETERS, 4, struct.pack("<II", self.block_bytes, 2 if self.keys else 0)), (SIZE, 6, struct.pack("<Q", self.size)),
		         (DISK_ID, 6, uuid.uuid4().bytes_le), (LOGICAL, 6, struct.pack("<I", self.logical)),
		         (PHYSICAL, 6, struct.pack("<I", 4096))]
		if self.keys:
			items.append((PARENT, 4, locator_bytes(self.keys)))
		b = bytearray(MIB)
		struct.pack_into("<8sHH", b, 0, b"metadata", 0, len(items))
		at = 65536
		for i, (guid, flags, data) in enumerate(items):
			struct.pack_into("<16sIII", b, 32 * (i + 1), guid.bytes_le, at, len(data), flags)
			b[at:at + len(data)] = data
			at += len(data)
		return bytes(b)

	def bat(self):
		b, at = bytearray(MIB), self.DATA_AT
		places = []
		for i, state in sorted(self.states.items()):
			entry = state
			if state in (FULL, PARTIAL) or i in self.kept:
				entry |= at
				places.append((at, bytes(self.data[i])))
				at += self.block_bytes
			struct.pack_into("<Q", b, 8 * (i + i // self.chunk), entry)
		for k, bits in self.bits.items():
			struct.pack_into("<Q", b, 8 * ((k + 1) * self.chunk + k), FULL | at)
			places.append((at, bytes(bits)))
			at += MIB
		return bytes(b), places, at

	def log(self, guid, bat, end, spoil):
		"""Two entries: first a wrong BAT and zeros, then the right one; they wrap around the log's end."""
		out = bytearray(MIB)
		start = MIB - 2 * 4096
		second = (start + 2 * 4096) % MIB
		wrong = bytes(range(256)) * 16
		entries = [(7, start, start, [(self.BAT_AT, wrong), ("zero", self.BAT_AT + 4096, 8192)]),
		           (8, second, start, [(self.BAT_AT, bat[:4096])])]
		for number, at, tail, what in entries:
			n_data = sum(1 for w in what if w[0] != "zero")
			if spoil == "number" and number == 8:
				number = 9 # does not follow, and its tail is not its own
			b = bytearray(4096 * (1 + n_data))
			flushed = end + (64 * MIB if spoil == "cut" else 0)
			struct.pack_into("<4sIIIQII16sQQ", b, 0, b"loge", 0, len(b), tail, number, len(what), 0, guid.bytes_le, flushed, flushed)
			d, s = 64, 4096
			for w in what:
				if w[0] == "zero":
					struct.pack_into("<4sIQQQ", b, d, b"zero", 0, w[2], w[1], number)
				else:
					target = {"target": 65536, "far": 1 << 60}.get(spoil, w[0])
					mark = b"dexc" if spoil == "descriptor" else b"desc"
					struct.pack_into("<4s4s8sQQ", b, d, mark, w[1][4092:], w[1][:8], target, number)
					struct.pack_into("<4sI4084sI", b, s, b"data", number >> 32, w[1][8:4092], number & 0xffffffff)
					s += 4096
				d += 32
			b = bytearray(sealed(b))
			if spoil == "torn":
				b[5000] ^= 1
			for i, x in enumerate(b):
				out[(at + i) % MIB] = x
		return bytes(out)

	def write(self, path, log=None, spoil=None):
		bat, places, end = self.bat()
		log_guid = uuid.uuid4() if log else uuid.UUID(int=0)
		with open(path, "wb") as f:
			f.write(b"vhdxfile" + "another program".encode("utf-16-le"))
			for i in range(2):
				f.seek(65536 * (i + 1))
				f.write(header(i + 1, log_guid, self.guid, self.LOG, MIB))
				f.seek(65536 * (i + 3))
				f.write(regions([(BAT, self.BAT_AT, MIB), (METADATA, self.META_AT, MIB)]))
			if log:
				f.seek(self.LOG)
				f.write(self.log(uuid.uuid4() if spoil == "other guid" else log_guid, bat, end, spoil))
			else:
				f.seek(self.BAT_AT)
				f.write(bat)
			f.seek(self.META_AT)
			f.write(self.metadata())
			for at, data in places:
				f.seek(at)
				f.write(data)
			f.truncate(end)


# ---------------------------------------------------------------- reading

def places(path):
	"""Where the BAT's entries point, in its order; 0: nowhere."""
	with open(path, "rb") as f:
		b = f.read()
	bat, items = _items(b)
	block, = struct.unpack_from("<I", items[PARAMETERS][1])
	n = -(-struct.unpack("<Q", items[SIZE][1])[0] // block)
	chunk = (struct.unpack("<I", items[LOGICAL][1])[0] << 23) // block
	return [struct.unpack_from("<Q", b, bat + 8 * (i + i // chunk))[0] & ~(MIB - 1) for i in range(n)]


def _header(b):
	found = [b[o:o + 4096] for o in (65536, 131072) if b[o:o + 4] == b"head" and sealed(b[o:o + 4096]) == b[o:o + 4096]]
	return max(found, key=lambda h: struct.unpack_from("<Q", h, 8)[0])


def data_guid(path):
	with open(path, "rb") as f:
		return str(uuid.UUID(bytes_le=_header(f.read(MIB))[32:48]))


def _items(b):
	n = struct.unpack_from("<I", b, 196608 + 8)[0]
	table = {uuid.UUID(bytes_le=b[o:o + 16]): struct.unpack_from("<QI", b, o + 16) for o in range(196624, 196624 + 32 * n, 32)}
	meta = table[METADATA][0]
	out = {}
	for i in range(struct.unpack_from("<H", b, meta + 10)[0]):
		o = meta + 32 * (i + 1)
		off, length = struct.unpack_from("<II", b, o + 16)
		out[uuid.UUID(bytes_le=b[o:o + 16])] = (meta + off, b[meta + off:meta + off + length])
	return table[BAT][0], out


def locator(path):
	with open(path, "rb") as f:
		b = _items(f.read())[1][PARENT][1]
	assert b[:16] == LOCATOR.bytes_le
	out = {}
	for i in range(struct.unpack_from("<H", b, 18)[0]):
		k, v, kn, vn = struct.unpack_from("<IIHH", b, 20 + 12 * i)
		out[b[k:k + kn].decode("utf-16-le")] = b[v:v + vn].decode("utf-16-le")
	return out


def relink(path, guid):
	"""The child expects that data GUID."""
	old = locator(path)["parent_linkage"].encode("utf-16-le")
	with open(path, "r+b") as f:
		b = f.read()
		at, item = _items(b)[1][PARENT]
		f.seek(at + item.index(old))
		f.write(("{%s}" % guid).encode("utf-16-le"))


def read(path, parent=None):
	"""What the disk holds, without a look at its log, which must be empty."""
	with open(path, "rb") as f:
		b = f.read()
	assert _header(b)[48:64] == bytes(16), "the log is in use"
	bat, items = _items(b)
	block, flags = struct.unpack("<II", items[PARAMETERS][1])
	size, = struct.unpack("<Q", items[SIZE][1])
	logical, = struct.unpack("<I", items[LOGICAL][1])
	chunk = (logical << 23) // block
	below = read(parent) if flags & 2 else bytes(size)
	out = bytearray()
	for i in range(-(-size // block)):
		entry, = struct.unpack_from("<Q", b, bat + 8 * (i + i // chunk))
		state, at = entry & 7, entry & ~(MIB - 1)
		lower = below[i * block:(i + 1) * block].ljust(block, b"\0")
		if state == FULL:
			out += b[at:at + block].ljust(block, b"\0")
		elif state == PARTIAL:
			k = i // chunk
			bits, = struct.unpack_from("<Q", b, bat + 8 * ((k + 1) * chunk + k))
			assert bits & 7 == FULL
			bits &= ~(MIB - 1)
			for s in range(block // logical):
				n = i % chunk * (block // logical) + s
				here = b[bits + n // 8] >> n % 8 & 1
				out += (b[at + s * logical:at + (s + 1) * logical] if here else lower[s * logical:(s + 1) * logical])
		else:
			out += lower if state == NOT_PRESENT else bytes(block)
	return bytes(out[:size])

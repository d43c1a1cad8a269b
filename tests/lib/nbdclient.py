# SPDX-License-Identifier: LGPL-2.1-or-later
"""A plain NBD client, written from the protocol's specification alone: for what libnbd and QEMU would never send."""
import socket, struct, threading

IHAVEOPT, REPLY = 0x49484156454F5054, 0x3E889045565A9
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED, LIST_META, SET_META = 1, 2, 3, 5, 6, 7, 8, 9, 10
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO = 1, 2, 4, 8, 16
EPERM, EIO, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP = 1, 5, 22, 28, 75, 95


class Refused(Exception):
	"""The server's answer is an error: its number."""
	def __init__(self, error):
		super().__init__("NBD error %#x" % error)
		self.error = error


class Client:
	def __init__(self, path=None, address=None, timeout=120, greet=True, flags=3):
		if path:
			self.s = socket.socket(socket.AF_UNIX)
			self.s.settimeout(timeout)
			self.s.connect(path)
		else:
			self.s = socket.create_connection(address, timeout)
		self.cookie, self.structured, self.contexts = 0, False, {}
		if greet:
			assert self.recv(16) == b"NBDMAGICIHAVEOPT"
			self.hand_flags = struct.unpack(">H", self.recv(2))[0]
			self.s.sendall(struct.pack(">I", flags))

	def close(self):
		self.s.close()

	def recv(self, n):
		out = b""
		while len(out) < n:
			b = self.s.recv(n - len(out))
			if not b:
				raise EOFError("the server hung up after %d of %d bytes" % (len(out), n))
			out += b
		return out

	def ended(self):
		"""Has the server hung up?  Waits for it."""
		try:
			return self.s.recv(1) == b""
		except ConnectionError:
			return True

	# ---- haggling

	def send_option(self, option, data=b""):
		self.s.sendall(struct.pack(">QII", IHAVEOPT, option, len(data)) + data)

	def option(self, option, data=b""):
		"""The replies: [(type, data)…], the last being an ACK; an error is raised."""
		self.send_option(option, data)
		out = []
		while True:
			magic, opt, kind, n = struct.unpack(">QIII", self.recv(20))
			assert magic == REPLY and opt == option, (hex(magic), opt)
			payload = self.recv(n)
			if kind & 0x80000000:
				raise Refused(kind)
			out.append((kind, payload))
			if kind == 1:
				return out

	def structured_replies(self):
		self.option(STRUCTURED)
		self.structured = True

	def meta(self, *names, export=b""):
		data = struct.pack(">I", len(export)) + export + struct.pack(">I", len(names))
		for n in names:
			data += struct.pack(">I", len(n)) + n.encode()
		for kind, p in self.option(SET_META, data):
			if kind == 4:
				self.contexts[struct.unpack(">I", p[:4])[0]] = p[4:].decode()

	def go(self, export=b""):
		for kind, p in self.option(GO, struct.pack(">I", len(export)) + export + struct.pack(">H", 0)):
			if kind == 3 and p[:2] == b"\0\0":
				self.size, self.flags = struct.unpack(">QH", p[2:12])
		return self

	# ---- transmission

	def send(self, command, off=0, length=0, flags=0, data=b"", cookie=None):
		self.cookie += 1
		cookie = self.cookie if cookie is None else cookie
		self.s.sendall(struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, off, length) + data)
		return cookie

	def answer(self, command, length=0, off=0):
		"""One whole answer: (cookie, data); an error is raised.  For one request under way."""
		magic, = struct.unpack(">I", self.recv(4))
		if magic == 0x67446698:
			error, cookie = struct.unpack(">IQ", self.recv(12))
			assert not (self.structured and command == READ), "a simple reply to a read"
			if error:
				raise Refused(error)
			return cookie, self.recv(length) if command == READ else b""
		out, error, runs = bytearray(length), 0, {}
		covered = 0
		while True:
			assert magic == 0x668E33EF and self.structured, hex(magic)
			flags, kind, cookie, n = struct.unpack(">HHQI", self.recv(16))
			p = self.recv(n)
			if kind == 1:
				at, = struct.unpack(">Q", p[:8])
				out[at - off:at - off + n - 8] = p[8:]
				covered += n - 8
			elif kind == 2:
				at, hole = struct.unpack(">QI", p)
				out[at - off:at - off + hole] = bytes(hole)
				covered += hole
			elif kind == 5:
				v = struct.unpack(">%dI" % (n // 4), p)
				runs[self.contexts[v[0]]] = list(zip(v[1::2], v[2::2]))
			elif kind & 0x8000:
				error = struct.unpack(">I", p[:4])[0]
			else:
				assert kind == 0 and n == 0, kind
			if flags & 1:
				break
			magic, = struct.unpack(">I", self.recv(4))
		if error:
			raise Refused(error)
		if command == READ:
			assert covered == length and len(out) == length, (covered, length)
		return cookie, runs if command == STATUS else bytes(out)

	def do(self, command, off=0, length=0, flags=0, data=b""):
		cookie = self.send(command, off, length, flags, data)
		got, value = self.answer(command, length if command == READ else 0, off)
		assert got == cookie, (got, cookie)
		return value

	def read(self, off, length, flags=0):
		return self.do(READ, off, length, flags)

	def write(self, off, data, flags=0):
		self.do(WRITE, off, len(data), flags, data)


def error_of(fn, *args, **kw):
	"""The error that a call is refused with; None: it went through."""
	try:
		fn(*args, **kw)
	except Refused as e:
		return e.error
	return None

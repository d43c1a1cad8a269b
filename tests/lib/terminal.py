# SPDX-License-Identifier: LGPL-2.1-or-later
"""A terminal of 80 columns and 24 lines, as much of a VT102 as text interfaces use: what is on the screen, and keys."""
import os, re, select, time
from vdtest import fail

TAB, ENTER, SPACE, UP, DOWN, END, ERASE = b"\t", b"\r", b" ", b"\x1b[A", b"\x1b[B", b"\x05", b"\x15"


class Terminal:
	"""`fd` is read and written: a pty's master, a socket to a serial line."""
	def __init__(self, fd, columns=80, lines=24):
		self.fd, self.columns, self.lines = fd, columns, lines
		self.rows = [[" "] * columns for _ in range(lines)]
		self.y = self.x = 0
		self.rest = b""
		self.raw = b"" # all that ever came
		self.ended = False
		self.lined = False # letters are lines

	def text(self):
		return "\n".join("".join(r).rstrip() for r in self.rows)

	def has(self, pattern):
		return re.search(pattern, re.sub(r"[\s#]+", " ", self.text())) is not None

	def feed(self, data):
		self.raw += data
		data = self.rest + data
		i = 0
		while i < len(data):
			c = data[i:i + 1]
			if c == b"\x1b":
				m = re.match(rb"\x1b(\[[?0-9;]*[@-~]|[()][A-Z0-9]|[=>78DEMHc])", data[i:])
				if not m:
					if len(data) - i < 32:
						break # the rest of it comes later
					i += 1
					continue
				self.escape(m[1])
				i += len(m[0])
				continue
			i += 1
			if c == b"\r":
				self.x = 0
			elif c == b"\n":
				self.down()
			elif c == b"\b":
				self.x = max(0, self.x - 1)
			elif c in (b"\x0e", b"\x0f"):
				self.lined = c == b"\x0e"
			elif c >= b"\xc0": # UTF-8: one cell for all its bytes
				more = 1 if c < b"\xe0" else 2 if c < b"\xf0" else 3
				if i + more > len(data):
					i -= 1
					break
				i += more
				self.put("#")
			elif c >= b" ":
				self.put("#" if self.lined or c >= b"\x7f" else chr(c[0]))
		self.rest = data[i:]

	def put(self, c):
		if self.x >= self.columns:
			self.x = 0
			self.down()
		self.rows[self.y][self.x] = c
		self.x += 1

	def down(self):
		if self.y < self.lines - 1:
			self.y += 1
		else:
			self.rows = self.rows[1:] + [[" "] * self.columns]

	def escape(self, s):
		if s in (b"(0", b"(B"):
			self.lined = s == b"(0"
		if not s.startswith(b"["):
			if s == b"M":
				self.y = max(0, self.y - 1)
			return
		n = [int(v) if v else 0 for v in s[1:-1].strip(b"?").split(b";")]
		last, one = s[-1:], max(1, n[0])
		if last in b"Hf":
			self.y, self.x = min(self.lines, one) - 1, min(self.columns, max(1, n[1] if len(n) > 1 else 1)) - 1
		elif last == b"A":
			self.y = max(0, self.y - one)
		elif last == b"B":
			self.y = min(self.lines - 1, self.y + one)
		elif last == b"C":
			self.x = min(self.columns - 1, self.x + one)
		elif last == b"D":
			self.x = max(0, self.x - one)
		elif last == b"J":
			for y in range(self.lines):
				for x in range(self.columns):
					before = (y, x) < (self.y, self.x)
					if n[0] == 2 or (n[0] == 0 and not before) or (n[0] == 1 and before):
						self.rows[y][x] = " "
		elif last == b"K":
			for x in range(self.columns):
				if n[0] == 2 or (n[0] == 0 and x >= self.x) or (n[0] == 1 and x <= self.x):
					self.rows[self.y][x] = " "

	def read(self, seconds=0.2):
		if not select.select([self.fd], [], [], seconds)[0]:
			return
		try:
			data = os.read(self.fd, 65536)
		except OSError:
			data = b""
		if data:
			self.feed(data)
		else:
			self.ended = True

	def until(self, pattern, seconds=60):
		"""Waits until the screen, its blanks and lines joined, has it."""
		end = time.monotonic() + seconds
		while not self.has(pattern):
			if self.ended or time.monotonic() > end:
				fail("%s: the screen never shows %r:\n%s" % ("ended" if self.ended else "after %d s" % seconds, pattern, self.text()))
			self.read()

	def said(self, pattern, seconds=60):
		"""Waits until the line has said it, whatever the screen shows by now.  Returns the match."""
		end = time.monotonic() + seconds
		while True:
			m = re.search(pattern, re.sub(r"\x1b\[[?0-9;]*[@-~]", "", self.raw.decode("latin-1")))
			if m:
				return m
			if self.ended or time.monotonic() > end:
				fail("%s: nothing said %r:\n%s" % ("ended" if self.ended else "after %d s" % seconds, pattern,
				     self.raw[-3000:].decode("latin-1")))
			self.read()

	def key(self, *keys):
		for k in keys:
			os.write(self.fd, k if isinstance(k, bytes) else k.encode())
			time.sleep(0.05) # an escape sequence and the key behind it are two

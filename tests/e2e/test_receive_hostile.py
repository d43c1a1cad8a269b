#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk receive and clients that mean it harm: no token, huge lengths, tricks in names, lying records, slow ones, a thousand at once.  A capture that is under
way meanwhile comes to its end, and the memory stays bounded."""
import os, resource, socket, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from capturer import *

PROGRAM = os.path.join(BUILD, "vdisk-receive")
MEMORY = 96 * MIB # of the receiver, whatever they do; without clients it takes some 8, with a thousand 15


def receiver(*args, **kw):
	if not os.path.exists(PROGRAM):
		skip("vdisk-receive is not built")
	return Receiver(*args, **kw)


def raw(r):
	"""A TLS connection, below HTTP."""
	s = tls_context().wrap_socket(socket.create_connection(("127.0.0.1", r.port), 60))
	s.settimeout(60)
	return s


def said(s):
	"""All that comes until the other end closes; how it closes is its affair."""
	out = b""
	with contextlib.suppress(OSError):
		while True:
			b = s.recv(65536)
			if not b:
				break
			out += b
	s.close()
	return out


def bounded(r):
	eq(None, r.p.poll(), "the receiver lives")
	check(r.memory() < MEMORY, "the receiver's memory: %d MiB" % (r.memory() >> 20))


class Underway:
	"""A capture that goes on in the background, a chunk at a time, and is whole in the end."""
	def __init__(self, r):
		self.data = rng_for("underway").randbytes(16 * MIB)
		self.c, self.stop, self.fault = Capture(r, {"sda": self.data}, host="underway"), threading.Event(), None
		self.client, self.t = Client(self.c.r, self.c.secret), threading.Thread(target=self.run)

	def chunk(self, i):
		self.c.chunks("sda", data_record(i, self.data[i * CHUNK:(i + 1) * CHUNK]), client=self.client)

	def run(self):
		try:
			for i in range(1, 16):
				self.stop.wait(0.3)
				self.chunk(i)
			self.client.close()
		except BaseException as e:
			self.fault = e

	def __enter__(self):
		self.chunk(0) # it has its connection, and is known
		self.t.start()
		return self

	def __exit__(self, kind, *what):
		self.stop.set()
		self.t.join()
		if kind:
			return
		eq(None, self.fault, "the capture that is under way")
		self.c.say_pass("sda")
		self.c.complete()
		write_file("expected.raw", self.data)
		qemu_img("compare", "-f", "raw", "-F", "qcow2", "expected.raw", "%s/%s/sda.qcow2" % (self.c.r.store, self.c.view()["folder"]))


@case
def heads():
	with receiver("--token-uses", "2") as r, Underway(r):
		auth = b"Authorization: Bearer " + r.hello["token"].encode() + b"\r\n"
		for lines in (b"POST /v1/captures HTTP/1.1\r\nHost: x\r\n" + auth + b"Content-Length: 4611686018427387904\r\n\r\n",
		              b"POST /v1/captures HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
		              b"POST /v1/captures HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		              b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 300000 + b"\r\n\r\n",
		              b"GET /" + b"a" * 300000 + b" HTTP/1.1\r\n\r\n",
		              b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
		              b"\x00" * 5000, b"\r\n" * 5000, os.urandom(5000) + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n"):
			s = raw(r)
			with contextlib.suppress(OSError):
				s.sendall(lines)
			s.settimeout(1)
			a = said(s)
			check(b" 200 " not in a[:20], "answer to %.60r: %.100r" % (lines, a))
		plain = socket.create_connection(("127.0.0.1", r.port), 60)
		plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
		said(plain)
		bounded(r)
		status = Client(r, r.hello["token"]).ask("POST", "/v1/captures", b"x" * (5 * MIB))[0]
		eq(413, status, "too long a description")
		body = iter([b"y" * 65536] * 100) # in chunks, without a length
		eq(411, Client(r, r.hello["token"]).ask("POST", "/v1/captures", body)[0], "a description without a length")


@case
def names():
	data = bytes(MIB)
	os.mkdir("outside")
	write_file("outside/secret", b"not for you")
	with receiver("--token-uses", "unlimited", store="outside/store") as r, Underway(r):
		before = set(os.listdir(".")) | set(os.listdir("outside"))
		client = Client(r, r.hello["token"])
		for name in ("", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "-rf", "x" * 65, "a b", "ä", "a\nb", "a\0b", "con:", "%2e%2e", None, 7, ["sda"]):
			m = machine({"sda": data}, uuid="11111111-2222-3333-4444-555555555555")
			m["disks"][0]["name"] = name
			client.json("POST", "/v1/captures", m, 400)
		for disks in ([], [{}], [{"name": "sda", "medium": "disk", "size": 0}], [{"name": "sda", "medium": "disk", "size": 511}], [{"name": "sda", "medium": "disk", "size": -512}],
		              [{"name": "sda", "medium": "disk", "size": 1 << 63}], [{"name": "sda", "medium": "disk", "size": 1 << 52}], [{"name": "sda", "medium": "disk", "size": "512"}],
		              [{"name": n, "medium": "disk", "size": 512} for n in ("sda", "SDA")], [{"name": "d%d" % i, "medium": "disk", "size": 512} for i in range(65)],
		              [{"name": "d%d" % i, "medium": "disk", "size": 512} for i in range(20000)], [{"name": "cd", "medium": "cdrom"}]):
			client.json("POST", "/v1/captures", dict(machine({}, uuid="11111111-2222-3333-4444-555555555555"), disks=disks), 400)
		for uuid in (None, "", "../../etc", "x" * 1000, "11111111-2222-3333-4444-55555555555/", 7):
			client.json("POST", "/v1/captures", dict(machine({"sda": data}), uuid=uuid), 400)
		for text in (b"", b"{", b"[" * 100000, b'{"a":' * 100000, b"null", b"\xff\xfe", b'{"disks":[' + b"{}," * 500000 + b"{}]}"):
			client.json("POST", "/v1/captures", text, 400)
		for i, host in enumerate(("../../../tmp/x", "<script>alert(1)</script>", "/", "..", "\u202egnp.exe", "x" * 4000, "a\tb", "-", "-rf *", "$(id)", "CON")):
			c = client.ask("POST", "/v1/captures", json.dumps(machine({"sda": data}, uuid="11111111-2222-3333-4444-0000000000%02d" % i, host=host)).encode())
			check(c[0] in (201, 400), "a strange host's name: %r" % (c,))
		for name in os.listdir("outside/store"):
			check(re.fullmatch(r"[A-Za-z0-9._-]{1,120}", name), "a folder's name: %r" % name)
		o = r.view()
		for c in o["captures"]:
			check(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", c["name"]), "a name on the page: %r" % c["name"])
		secret = "not for you"
		key = Client(r, r.hello["view-key"])
		first = o["captures"][0]["id"]
		for path in ("/../outside/secret", "/v1/captures/../../secret", "/v1/captures/%2e%2e%2f%2e%2e%2fsecret/log", "/v1/captures/" + first + "/../../../secret",
		             "/v1/captures/" + first + "/disks/..%2f..%2fsecret/digests?from=0&count=1", "/v1/captures//log", "/v1/captures/" + first + "/log/x", "/v1/captures/%00/log",
		             "/v1/captures/" + "a" * 5000, "//etc/passwd", "/v1/captures/" + first + "/capture.json", "/.vdisk-receive/key.pem", "/v1/captures/.vdisk-receive/log"):
			status, _, body = key.ask("GET", path)
			check(status in (400, 401, 404) and secret.encode() not in body, "%s: %s %.200r" % (path, status, body))
		eq(before, set(os.listdir(".")) | set(os.listdir("outside")), "nothing appears outside of the store")
		bounded(r)


@case
def records_that_lie():
	data = rng_for("lies").randbytes(4 * MIB)
	good, zero = data_record(0, data[:CHUNK]), bytes(CHUNK)
	packed = ran("zstd", "-q", "-c", stdin=b"x" * CHUNK).raw
	bomb = ran("zstd", "-q", "-19", "-c", stdin=bytes(64 * MIB)).raw
	short = ran("zstd", "-q", "-c", stdin=b"x" * 1000).raw
	lies = {
		"another digest": record(DATA, 1, 1, data[CHUNK:2 * CHUNK], leaf(b"")),
		"another chunk's bytes": record(DATA, 1, 1, data[:CHUNK], leaf(data[CHUNK:2 * CHUNK])),
		"zeros with a digest": record(ZEROS, 1, 1, b"", leaf(zero)),
		"zeros with bytes": record(ZEROS, 1, 1, zero[:16], bytes(32)),
		"no zeros": record(ZEROS, 1, 0, b"", bytes(32)),
		"too many zeros": record(ZEROS, 1, 4, b"", bytes(32)),
		"4 G zeros": record(ZEROS, 0, 0xffffffff, b"", bytes(32)),
		"past the end": record(DATA, 4, 1, zero, leaf(zero)),
		"far past the end": record(DATA, 1 << 63, 1, zero, leaf(zero)),
		"an offset that overflows": record(DATA, (1 << 64) // CHUNK, 1, zero, leaf(zero)),
		"two chunks of data": record(DATA, 1, 2, data[:CHUNK], leaf(data[:CHUNK])),
		"short data": record(DATA, 1, 1, data[:100], leaf(data[:100])),
		"4 GiB of data": record(DATA, 1, 1, b"", leaf(b""), length=0xffffffff),
		"4 GiB of packed data": record(ZSTD, 1, 1, b"", leaf(b""), length=0xffffffff),
		"packed into nothing": record(ZSTD, 1, 1, b"", leaf(b"")),
		"no zstd": record(ZSTD, 1, 1, data[:1000], leaf(data[:CHUNK])),
		"cut zstd": record(ZSTD, 1, 1, packed[:-3], leaf(b"x" * CHUNK)),
		"a bomb": record(ZSTD, 1, 1, bomb, leaf(zero)),
		"unpacks to less": record(ZSTD, 1, 1, short, leaf(b"x" * 1000)),
		"packed, another digest": record(ZSTD, 1, 1, packed, leaf(b"y" * CHUNK)),
		"another magic": record(DATA, 1, 1, data[:CHUNK], leaf(data[:CHUNK]), magic=MAGIC + 1),
		"a kind of the future": record(4, 1, 1, data[:CHUNK], leaf(data[:CHUNK])),
		"flags": record(DATA, 1, 1, data[:CHUNK], leaf(data[:CHUNK]), flags=1),
		"garbage": rng_for("garbage").randbytes(3 * MIB),
		"half a head": good[:20],
		"half a body": data_record(1, data[CHUNK:2 * CHUNK])[:5000],
	}
	with receiver("--token-uses", "2") as r, Underway(r):
		for name, lie in lies.items():
			c = Capture(r, {"sda": data}, uuid="11111111-2222-3333-4444-555555555555")
			o = c.chunks("sda", good + lie + data_record(2, data[2 * CHUNK:3 * CHUNK]) if not name.startswith("half") else good + lie, status=422)
			o = c.say_pass("sda", status=409)
			eq([[1, 3]], o["differ"], "%s: the record before was taken, itself and those behind it were not" % name)
			c.client.json("DELETE", c.path())
		bounded(r)


@case
def bodies_without_end():
	data = rng_for("endless").randbytes(2 * MIB)
	with receiver("--token-uses", "2") as r, Underway(r):
		c = Capture(r, {"sda": data}, uuid="11111111-2222-3333-4444-555555555555")

		def endless(path, secret, piece):
			"""How many bytes were taken before it was cut off."""
			s, sent = raw(r), 0
			s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n" % (path.encode(), secret.encode()))
			with contextlib.suppress(OSError):
				while sent < 200 * MIB:
					s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
					sent += len(piece)
			s.close()
			return sent
		for path, secret in ((c.path("sda", "/pass"), c.secret), (c.path(what="/complete"), c.secret), ("/v1/captures", "no token"), ("/nothing", "x"), (c.path("sda", "/chunks"), "x")):
			sent = endless(path, secret, b" " * 65536)
			check(sent < 100 * MIB, "%s went on for %d MiB" % (path, sent >> 20))
		check(endless(c.path("sda", "/chunks"), c.secret, rng_for("junk").randbytes(65536)) < 100 * MIB, "records that are none")
		bounded(r)


@case
def a_thousand_connections():
	with receiver() as r:
		soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
		resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
		with Underway(r):
			crowd = []
			for i in range(1000):
				s = socket.socket()
				s.setblocking(False)
				s.connect_ex(("127.0.0.1", r.port))
				crowd.append(s)
			# Some say nothing, some begin the handshake, and go on with it byte by byte.
			for s in crowd[::3]:
				with contextlib.suppress(OSError):
					s.send(b"\x16\x03\x01\x02\x00\x01")
			begin = time.monotonic()
			while time.monotonic() - begin < 6:
				for s in crowd[::3]:
					with contextlib.suppress(OSError):
						s.send(b"\0")
				time.sleep(0.5)
			bounded(r)

			def looks():
				"""Somebody who means well gets in, perhaps not at the first try."""
				try:
					return r.view()["captures"]
				except OSError:
					return None
			wait_for("the page, while a thousand are there", looks)
			gone = 0
			for s in crowd:
				try:
					gone += s.recv(1) == b""
				except BlockingIOError:
					pass
				except OSError:
					gone += 1
			check(gone > 500, "those that do not come on are cut off: %d" % gone)
			for s in crowd:
				s.close()
		r.end()


@case
def slow_ones():
	with receiver("--token-uses", "2", "--connections", "24") as r, Underway(r):
		c = Capture(r, {"sda": rng_for("slow").randbytes(MIB)}, uuid="11111111-2222-3333-4444-555555555555")
		slow = []
		for i in range(20): # a head that never ends
			with contextlib.suppress(OSError):
				s = raw(r)
				s.sendall(b"GET / HTTP/1.1\r\n")
				slow.append(s)
		check(len(slow) > 10, "some got in: %d" % len(slow))
		begin, alive = time.monotonic(), set(slow)
		while alive and time.monotonic() - begin < 90:
			for s in list(alive):
				try:
					s.sendall(b"X")
					s.settimeout(0.01)
					if s.recv(1) == b"":
						alive.discard(s)
				except TimeoutError:
					pass
				except OSError:
					alive.discard(s)
			time.sleep(0.3)
		eq(0, len(alive), "heads that never end, after %d seconds" % (time.monotonic() - begin))
		whole = c.chunks("sda", data_record(0, c.disks["sda"]))
		eq(1, whole["taken"], "who knows the secret is still there")
		bounded(r)


if __name__ == "__main__":
	main()

# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sender of captures, written after man/vdisk-transfer.5: for the receiver's tests."""
import hashlib, http.client, json, os, re, signal, socket, ssl, struct, subprocess, threading, time
from receiver import *

CHUNK = 1 << 20
MAGIC = 0x31525456
DATA, ZSTD, ZEROS = 1, 2, 3
UUID = "4c4c4544-0044-4810-8031-b4c04f563232"


# ---------------------------------------------------------------- digests

def leaf(data):
	return hashlib.sha256(data).digest()


def leaves_of(data):
	return [leaf(data[i:i + CHUNK]) for i in range(0, len(data), CHUNK)]


def tree_of(data):
	return hashlib.sha256(b"".join(leaves_of(data)) + len(data).to_bytes(8, "big")).hexdigest()


def der(data, at=0):
	"""(tag, begin of the content, end) of the element there."""
	tag, length, at = data[at], data[at + 1], at + 2
	if length & 0x80:
		n = length & 0x7f
		length, at = int.from_bytes(data[at:at + n], "big"), at + n
	return tag, at, at + length


def fingerprint(cert):
	"""SHA-256 of the SubjectPublicKeyInfo: the seventh member of TBSCertificate, the version counted."""
	_, tbs, _ = der(cert)
	_, at, _ = der(cert, tbs)
	if cert[at] == 0xa0:
		at = der(cert, at)[2]
	for _ in range(5): # serial, algorithm, issuer, validity, subject
		at = der(cert, at)[2]
	return hashlib.sha256(cert[at:der(cert, at)[2]]).hexdigest()


# ---------------------------------------------------------------- records

def record(kind, index, count, packed, digest, magic=MAGIC, flags=0, length=None):
	return struct.pack("<IHHQII", magic, kind, flags, index, count, len(packed) if length is None else length) + digest + packed


def data_record(index, data):
	return record(DATA, index, 1, data, leaf(data))


def zeros_record(index, count):
	return record(ZEROS, index, count, b"", bytes(32))


def zstd_record(index, data):
	packed = ran("zstd", "-q", "-c", stdin=data).raw
	return record(ZSTD, index, 1, packed, leaf(data)) if len(packed) < len(data) else data_record(index, data)


# ---------------------------------------------------------------- the sender

def tls_context(cert=None):
	c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
	c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
	if cert:
		c.load_cert_chain(*cert)
	return c


class Client:
	"""Requests with one secret, over one connection that is kept."""
	def __init__(self, receiver, secret, cert=None):
		self.r, self.secret, self.cert, self.c = receiver, secret, cert, None

	def connect(self):
		self.c = http.client.HTTPSConnection("127.0.0.1", self.r.port, context=tls_context(self.cert), timeout=120)
		self.c.connect()
		eq(self.r.hello["fingerprint"], fingerprint(self.c.sock.getpeercert(True)), "the receiver's fingerprint")

	def close(self):
		if self.c:
			self.c.close()
		self.c = None

	def ask(self, method, path, body=None, headers=None):
		"""(status, headers, body)"""
		if not self.c:
			self.connect()
		h = dict(headers or {})
		if self.secret is not None:
			h.setdefault("Authorization", "Bearer " + self.secret)
		try:
			self.c.request(method, path, body=body, headers=h)
			a = self.c.getresponse()
			got = a.status, a.headers, a.read()
		except Exception:
			self.close()
			raise
		if a.will_close:
			self.close()
		return got

	def json(self, method, path, body=None, status=200, headers=None):
		s, h, b = self.ask(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body).encode(), headers)
		eq(status, s, "%s %s: %.500r" % (method, path, b))
		o = json.loads(b)
		if status >= 400:
			check(isinstance(o["error"], str) and o["error"] and "\n" not in o["error"], "an error's line: %r" % o)
		return o


def machine(disks, uuid=UUID, host="web1", **more):
	"""disks: name: bytes or size."""
	m = {"schema-version": 1, "type": "vdisk-machine", "name": host, "uuid": uuid, "firmware": "bios", "cpus": 2, "memory": 1 << 30,
	     "disks": [{"name": n, "medium": "disk", "bus": "sata", "size": d if isinstance(d, int) else len(d), "logical-sector-size": 512}
	               for n, d in disks.items()]}
	m.update(more)
	return m


class Capture:
	"""One machine's capture, as a sender sees it."""
	def __init__(self, receiver, disks, token=None, status=201, **how):
		self.r, self.disks = receiver, disks
		self.token, self.how = token or receiver.hello["token"], how
		self.begin(status=status)

	def begin(self, status=200, secret=None):
		self.client = Client(self.r, secret or self.token)
		o = self.client.json("POST", "/v1/captures", machine(self.disks, **self.how), status=status)
		self.client.close()
		eq([1, CHUNK], [o["version"], o["chunk"]], "version and chunk")
		self.id, self.secret = o["id"], o["secret"]
		self.have = {d["name"]: d["have"] for d in o["disks"]}
		eq({n: len(d) for n, d in self.disks.items() if not isinstance(d, int)},
		   {d["name"]: d["size"] for d in o["disks"] if not isinstance(self.disks[d["name"]], int)}, "sizes of the disks")
		self.client = Client(self.r, self.secret)
		return self

	def path(self, disk=None, what=""):
		return "/v1/captures/" + self.id + ("/disks/" + disk if disk else "") + what

	def digests(self, disk):
		n = -(-len(self.disks[disk]) // CHUNK)
		out = b""
		while len(out) < 32 * n:
			status, h, b = self.client.ask("GET", self.path(disk, "/digests?from=%d&count=1000" % (len(out) // 32)))
			eq([200, "application/octet-stream"], [status, h["Content-Type"]], "digests")
			out += b
		return [out[i:i + 32] for i in range(0, len(out), 32)]

	def chunks(self, disk, body, status=200, client=None):
		return (client or self.client).json("POST", self.path(disk, "/chunks"), body, status)

	def records(self, disk, wanted=None, packed=False):
		"""Of all chunks, or those in `wanted`; neighbouring zeros in one."""
		data, out, zeros = self.disks[disk], [], None
		for i in range(-(-len(data) // CHUNK)):
			c = data[i * CHUNK:(i + 1) * CHUNK]
			if wanted is not None and i not in wanted:
				continue
			if not any(c):
				if zeros is not None and out and zeros[0] + zeros[1] == i:
					zeros[1] += 1
					out[-1] = zeros_record(*zeros)
				else:
					zeros = [i, 1]
					out.append(zeros_record(i, 1))
			else:
				zeros = None
				out.append(zstd_record(i, c) if packed else data_record(i, c))
		return out

	def missing(self, disk):
		return {i for i, (a, b) in enumerate(zip(self.digests(disk), leaves_of(self.disks[disk]))) if a != b}

	def send(self, disk, wanted=None, packed=False, at_once=4):
		"""How many chunks were taken."""
		r, taken = self.records(disk, wanted, packed), 0
		for i in range(0, len(r), at_once):
			taken += self.chunks(disk, b"".join(r[i:i + at_once]))["taken"]
		return taken

	def say_pass(self, disk, n=1, status=200, **more):
		p = {"pass": n, "frozen": True, "digest": tree_of(self.disks[disk]), "skipped": 0, "bad": []}
		p.update(more)
		return self.client.json("POST", self.path(disk, "/pass"), p, status)

	def complete(self, status=200):
		return self.client.json("POST", self.path(what="/complete"), b"{}", status)

	def view(self):
		return self.client.json("GET", self.path())


def wait_for(what, truth, seconds=120):
	end = time.monotonic() + seconds
	while True:
		got = truth()
		if got:
			return got
		if time.monotonic() > end:
			fail("not in %d seconds: %s" % (seconds, what))
		time.sleep(0.05)

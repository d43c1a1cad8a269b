#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk nbd, judged by libnbd, QEMU and a client of our own that does what those never would."""
import contextlib, os, socket, struct, sys, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import nbdclient as nbd
from nbdclient import Client, error_of

SIZE = 24 * MIB
FORMATS = (("raw",), ("qcow2",), ("qcow2", "-c"), ("vmdk",), ("vhd",))


class Server:
	"""A running server; `uri` is what it printed."""
	def __init__(self, *args, err=None):
		self.p = subprocess.Popen([VDISK, "nbd", *args], stdout=subprocess.PIPE, stderr=err)
		self.uri = self.p.stdout.readline().decode().strip()

	def end(self, sig=signal.SIGTERM, rc=0):
		self.p.send_signal(sig)
		self.wait(rc)

	def wait(self, rc=0, seconds=120):
		try:
			got = self.p.wait(seconds)
		except subprocess.TimeoutExpired:
			self.p.kill()
			self.p.wait()
			fail("the server does not end")
		self.p.stdout.close()
		eq(rc, got, "the server's exit status")


@contextlib.contextmanager
def served(*args, socket="s"):
	s = Server("--socket", socket, *args)
	try:
		check(s.uri.startswith("nbd"), "the server prints no URI: %r" % s.uri)
		yield s
		s.end()
		check(not os.path.lexists(socket), "the socket is left behind")
	finally:
		if s.p.poll() is None:
			s.p.kill()
			s.p.wait()


def make(fmt, *options, size=SIZE, seed="make"):
	make_raw("disk.raw", rng_for(seed), size)
	if fmt == "raw":
		return "disk.raw"
	vdisk("convert", "-O", fmt, *options, "disk.raw", "disk." + fmt)
	return "disk." + fmt


def joined(runs):
	"""(offset, length, value)…, neighbours of the same value in one."""
	out = []
	for off, length, value in runs:
		if out and out[-1][2] == value:
			out[-1][1] += length
		else:
			out.append([off, length, value])
	return out


def our_map(image, value):
	return joined((e["offset"], e["length"], value(e)) for e in vdisk("map", "--json", image).json()["extents"])


def their_map(uri, context):
	return joined((e["offset"], e["length"], e["type"]) for e in ran("nbdinfo", "--map=" + context, "--json", uri).json())


def allocation(e):
	return 0 if e["kind"] == "data" else 2 if "file" in e else 3


def depth(e):
	return 0 if e["kind"] == "absent" else e["depth"] + 1


def reads(fmt, *options):
	need("nbdcopy", "nbdinfo")
	image = make(fmt, *options)
	before = sha256(image)
	with served(image) as s:
		ran("nbdcopy", s.uri, "copy.raw")
		same_bytes("disk.raw", "copy.raw", "nbdcopy of %s" % fmt)
		ran("nbdcopy", "--synchronous", "--connections=1", s.uri, "sync.raw")
		same_bytes("disk.raw", "sync.raw", "nbdcopy --synchronous of %s" % fmt)
		info = ran("nbdinfo", "--json", s.uri).json()["exports"][0]
		eq([SIZE, True, True], [info["export-size"], info["is_read_only"], info["can_multi_conn"]], "nbdinfo")
		qemu_img("compare", "-f", "raw", "-F", "raw", "disk.raw", s.uri)
		eq(our_map(image, allocation), their_map(s.uri, "base:allocation"), "map of %s" % fmt)
		eq(our_map(image, depth), their_map(s.uri, "qemu:allocation-depth"), "depths of %s" % fmt)
	eq(before, sha256(image), "the image is unchanged")


for f in FORMATS:
	add("reads " + " ".join(f), reads, *f)


@case
def reads_a_chain():
	need("nbdcopy", "nbdinfo")
	make("qcow2")
	vdisk("create", "-b", "disk.qcow2", "top.qcow2")
	qemu_io("top.qcow2", "qcow2", "write -P 7 1M 300k", "write -z 8M 1M")
	vdisk("convert", "top.qcow2", "flat.raw")
	with served("top.qcow2") as s:
		ran("nbdcopy", s.uri, "copy.raw")
		same_bytes("flat.raw", "copy.raw", "a chain")
		m = our_map("top.qcow2", depth)
		check({1, 2} <= {e[2] for e in m}, "the chain has data in both layers: %r" % m)
		eq(m, their_map(s.uri, "qemu:allocation-depth"), "depths")
		eq(our_map("top.qcow2", allocation), their_map(s.uri, "base:allocation"), "map")


def writes(fmt, *options):
	"""qemu-io writes, zeroes and discards; the image says so afterwards."""
	image = make(fmt, *options)
	with served("--rw", image) as s:
		qemu_io(None, None, "write -P 7 1M 300k", "write -z 3M 100k", "write -zu 4M 2M", "write -f -P 9 9000000 5000000", "discard 20M 1M",
		        "flush", "read -P 7 1M 300k", "read -P 0 3M 100k", "read -P 0 4M 2M", "read -P 9 9000000 5000000", opts=("-f", "raw", s.uri))
		refused("nbd", "--rw", "--socket", "s2", image, mentions=image) # it is in use
	with open("disk.raw", "r+b") as f:
		for off, data in ((MIB, b"\7" * 307200), (3 * MIB, bytes(102400)), (4 * MIB, bytes(2 * MIB)), (9000000, b"\11" * 5000000)):
			f.seek(off)
			f.write(data)
		f.truncate(20 * MIB) # what was discarded may read as either
	vdisk("convert", "-O", "raw", image, "after.raw")
	os.truncate("after.raw", 20 * MIB)
	same_bytes("disk.raw", "after.raw", "%s after writing" % fmt)
	if fmt != "raw":
		vdisk("check", image)


for f in FORMATS:
	add("writes " + " ".join(f), writes, *f)


# ---------------------------------------------------------------- parallel writes against a model

def connect(path="s", structured=True, export=b""):
	c = Client(path)
	if structured:
		c.structured_replies()
		c.meta("base:allocation", export=export)
	return c.go(export)


def storm(model, seed, lanes, lane, steps, wrong):
	"""Random commands on every lanes-th stripe of the disk, which nobody else touches, so that a flat array says what is right."""
	rng = random.Random(seed)
	c = connect(structured=rng.random() < 0.7)
	stripe = 96 * KIB + 512
	try:
		for step in range(steps):
			at = rng.randrange(len(model) // stripe // lanes) * stripe * lanes + lane * stripe
			off = at + rng.randrange(stripe)
			n = rng.choice((1, 512, 4096, rng.randrange(1, stripe)))
			n = min(n, at + stripe - off, len(model) - off)
			what = rng.random()
			if what < 0.4:
				data = rng.randbytes(n)
				c.write(off, data, nbd.FUA if rng.random() < 0.1 else 0)
				model[off:off + n] = data
			elif what < 0.6:
				flags = rng.choice((0, nbd.NO_HOLE, nbd.FAST_ZERO, nbd.FUA))
				error = error_of(c.do, nbd.ZEROES, off, n, flags)
				if error is None:
					model[off:off + n] = bytes(n)
				elif error != nbd.ENOTSUP or flags != nbd.FAST_ZERO:
					wrong.append(("zeroes", off, n, flags, error))
			elif what < 0.65:
				c.do(nbd.TRIM, off, n)
				got = c.read(off, n)
				bad = [i for i in range(n) if got[i] not in (0, model[off + i])]
				if bad:
					wrong.append(("trim", off + bad[0], got[bad[0]]))
				model[off:off + n] = got
			elif what < 0.67:
				c.do(nbd.FLUSH)
			elif what < 0.7 and c.structured:
				for length, flags in c.do(nbd.STATUS, off, n)["base:allocation"]:
					if flags & 2 and any(model[off:off + length]):
						wrong.append(("status", off, length))
					off += length
			else:
				got = c.read(off, n, nbd.DF if c.structured and rng.random() < 0.2 else 0)
				if got != model[off:off + n]:
					wrong.append(("read", off, n))
			if wrong:
				return
		c.send(nbd.DISC)
	except Exception as e:
		wrong.append((lane, step, repr(e)))
	finally:
		c.close()


def parallel(fmt, *options):
	image = make(fmt, *options)
	with open("disk.raw", "rb") as f:
		model = bytearray(f.read())
	rng, wrong, lanes = rng_for("parallel " + fmt), [], 6
	with served("--rw", image):
		threads = [threading.Thread(target=storm, args=(model, rng.random(), lanes, i, ITERATIONS or 150, wrong)) for i in range(lanes)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		eq([], wrong, "what went wrong")
	write_file("model.raw", bytes(model))
	r = run(VDISK, "compare", image, "model.raw")
	check(r.rc == 0, "the image differs from the model\n    " + r.show())
	if fmt != "raw":
		vdisk("check", image)


for f in FORMATS:
	add("parallel writes " + " ".join(f), parallel, *f)


@case
def many_requests_under_way():
	"""One connection, answers in any order."""
	make("qcow2")
	data = open("disk.raw", "rb").read()
	rng = rng_for("pipeline")
	with served("disk.qcow2"):
		c = connect(structured=False)
		asked = {}
		for _ in range(200):
			off = rng.randrange(SIZE - 70000)
			n = rng.randrange(1, 70000)
			asked[c.send(nbd.READ, off, n)] = (off, n)
			if len(asked) >= 24:
				take(c, asked, data)
		while asked:
			take(c, asked, data)
		c.close()


def take(c, asked, data):
	magic, error, cookie = struct.unpack(">IIQ", c.recv(16))
	eq((0x67446698, 0), (magic, error), "a simple reply")
	off, n = asked.pop(cookie)
	check(c.recv(n) == data[off:off + n], "%d bytes at %d are wrong" % (n, off))


@case
def large_requests():
	"""Up to the 32 MiB that are offered, in both kinds of reply, and one byte more."""
	make("qcow2", size=40 * MIB)
	data = open("disk.raw", "rb").read()
	new = rng_for("large").randbytes(32 * MIB)
	with served("--rw", "disk.qcow2"):
		for structured in (False, True):
			c = connect(structured=structured)
			check(c.read(12345, 32 * MIB) == data[12345:12345 + 32 * MIB], "a read of 32 MiB")
			eq(nbd.EINVAL, error_of(c.read, 0, 32 * MIB + 1), "a read of 32 MiB and a byte")
			eq(512, len(c.read(0, 512)), "the connection goes on")
			c.close()
		c = connect()
		eq(nbd.EOVERFLOW, error_of(c.read, 0, 3 * MIB, nbd.DF), "too long for one chunk")
		check(c.read(0, MIB, nbd.DF) == data[:MIB], "one chunk")
		c.write(4321, new)
		eq(nbd.EINVAL, error_of(c.write, 0, new + b"x"), "a write of 32 MiB and a byte")
		check(c.read(4321, 32 * MIB) == new, "what was written")
		eq([], list(c.read(0, 0)), "nothing is read")
		c.close()


# ---------------------------------------------------------------- errors and durability

@case
def errors_of_requests():
	make("raw")
	with served("disk.raw"):
		c = connect()
		for what, due, args in (
			("beyond the end", nbd.EINVAL, (nbd.READ, SIZE - 1, 2)), ("far beyond", nbd.EINVAL, (nbd.READ, 1 << 63, 1)),
			("off + len wraps", nbd.EINVAL, (nbd.READ, (1 << 64) - 1, 2)), ("unknown command", nbd.EINVAL, (99, 0, 1)),
			("unknown flag", nbd.EINVAL, (nbd.READ, 0, 1, 1 << 9)), ("write", nbd.EPERM, (nbd.WRITE, 0, 4, 0, b"abcd")),
			("trim", nbd.EPERM, (nbd.TRIM, 0, 4)), ("zeroes", nbd.EPERM, (nbd.ZEROES, 0, 4)), ("empty status", nbd.EINVAL, (nbd.STATUS, 0, 0)),
			("flush with an offset", nbd.EINVAL, (nbd.FLUSH, 1, 0))):
			eq(due, error_of(c.do, *args), what)
		eq(16, len(c.read(0, 16)), "the connection goes on")
		c.close()
		c = connect(structured=False)
		eq(nbd.EINVAL, error_of(c.do, nbd.STATUS, 0, 512), "status without a context")
		c.close()
	with served("--rw", "disk.raw"):
		c = connect()
		eq(nbd.ENOSPC, error_of(c.write, SIZE - 1, b"ab"), "a write beyond the end")
		eq(nbd.ENOSPC, error_of(c.do, nbd.ZEROES, SIZE - 1, 2), "zeroes beyond the end")
		c.write(SIZE - 1, b"z", nbd.FUA)
		eq(b"z", c.read(SIZE - 1, 1), "the last byte")
		c.close()


def survives_kill(fmt):
	"""What was flushed (or written with FUA) is there after kill -9; what was not may be old or new; the image is sound."""
	image = make(fmt)
	old = open("disk.raw", "rb").read()
	rng = rng_for("kill " + fmt)
	s = Server("--socket", "s", "--rw", image)
	c = connect()
	must, may = bytearray(old), []
	for i in range(30):
		off, data = rng.randrange(SIZE // 2), rng.randbytes(rng.randrange(1, 200000))
		c.write(off, data, nbd.FUA if i % 3 == 0 else 0)
		must[off:off + len(data)] = data
	c.do(nbd.FLUSH)
	for i in range(10):
		off, data = SIZE // 2 + MIB + i * MIB, rng.randbytes(100000)
		c.write(off, data)
		may.append((off, data))
	s.end(signal.SIGKILL, -9)
	c.close()
	if fmt != "raw":
		r = run(VDISK, "check", "--json", image) # 1: space is lost, or the mark of an unclean end is found
		check(r.rc in (0, 1), r.show())
		eq(0, r.json()["corruptions"], "corruptions")
	with served(image, socket="s"): # the socket that was left behind is replaced
		c = connect()
		got = b"".join(c.read(o, MIB) for o in range(0, SIZE, MIB))
		c.close()
	check(got[:SIZE // 2] == must[:SIZE // 2], "flushed bytes are lost")
	for off, data in may:
		for g, o, n in zip(got[off:off + len(data)], must[off:off + len(data)], data):
			check(g in (o, n), "bytes of nobody at %d" % off)


for f in ("raw", "qcow2", "vmdk", "vhd"):
	add("kill -9 " + f, survives_kill, f)


@case
def overlay():
	make("vmdk")
	before = sha256("disk.vmdk")
	for size, socket in ((100000, "a"), (200000, "b")): # the second time the layer is there
		with served("--overlay", "layer.qcow2", "disk.vmdk", socket=socket) as s:
			qemu_io(None, None, "write -P 5 %d 100000" % size, "flush", "read -P 5 100000 %d" % size, opts=("-f", "raw", s.uri))
	with served("--overlay", "tmp", "disk.vmdk") as s:
		qemu_io(None, None, "write -P 6 0 1M", "read -P 6 0 1M", opts=("-f", "raw", s.uri))
	eq(before, sha256("disk.vmdk"), "the image below")
	eq("disk.vmdk", vdisk("info", "--json", "layer.qcow2").json()["layers"][0]["parent"], "the parent's name")
	write_file("disk.raw", b"\5" * 200000, 100000)
	vdisk("compare", "layer.qcow2", "disk.raw")
	vdisk("create", "other.qcow2", "24M")
	shutil.copy("disk.vmdk", "twin.vmdk")
	vdisk("create", "-b", "twin.vmdk", "over.qcow2")
	for other in ("other.qcow2", "over.qcow2"):
		refused("nbd", "--overlay", other, "--socket", "s", "disk.vmdk", mentions="no layer over")
	vdisk("commit", "layer.qcow2")
	vdisk("compare", "disk.vmdk", "disk.raw")


@case
def partition_and_name():
	need("nbdcopy", "nbdinfo", "sfdisk")
	make("raw")
	ran("sfdisk", "-q", "disk.raw", stdin=b"label: gpt\nstart=2048,size=4096\nstart=8192,size=1000\n")
	vdisk("convert", "disk.raw", "disk.qcow2")
	with served("--partition", "2", "--name", "a/b c", "disk.qcow2") as s:
		ran("nbdcopy", s.uri, "part.raw")
		eq(sha256("disk.raw", 8192 * 512, 512000), sha256("part.raw"), "the partition")
		eq("a/b c", ran("nbdinfo", "--json", "--list", s.uri).json()["exports"][0]["export-name"], "the list")
		eq(0x80000006, error_of(connect, export=b"a/b"), "another name")
		c = Client("s")
		c.send_option(nbd.EXPORT_NAME, b"nothing")
		check(c.ended(), "an unknown export in the old way ends the session")
		connect().close() # the empty name leads there as well
	refused("nbd", "--partition", "3", "--socket", "s", "disk.qcow2", mentions="no partition 3")
	with served("--rw", "--partition", "2", "disk.qcow2"):
		c = connect()
		eq(nbd.ENOSPC, error_of(c.write, 512000 - 1, b"ab"), "beyond the partition")
		c.write(0, b"here")
		c.close()
	write_file("disk.raw", b"here", 8192 * 512)
	vdisk("compare", "disk.qcow2", "disk.raw")


# ---------------------------------------------------------------- TCP and TLS

def certificates(folder):
	need("certtool")
	os.makedirs(folder)
	def certtool(*args):
		ran("certtool", *args, cwd=folder)
	for name in ("ca", "server", "client", "stranger", "false"):
		certtool("--generate-privkey", "--key-type=ecdsa", "--outfile", name + "-key.pem")
	write_file(folder + "/ca.info", b"cn = test\nca\ncert_signing_key\n")
	write_file(folder + "/server.info", b"cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\nsigning_key\n")
	write_file(folder + "/client.info", b"cn = client\ntls_www_client\nsigning_key\n")
	certtool("--generate-self-signed", "--load-privkey", "ca-key.pem", "--template", "ca.info", "--outfile", "ca-cert.pem")
	# An authority of the same name, and whom it vouches for: a client sends a certificate whose issuer's name the server asks for.
	certtool("--generate-self-signed", "--load-privkey", "false-key.pem", "--template", "ca.info", "--outfile", "false-cert.pem")
	shutil.copy(folder + "/client.info", folder + "/stranger.info")
	for name, ca in (("server", "ca"), ("client", "ca"), ("stranger", "false")):
		certtool("--generate-certificate", "--load-ca-certificate", ca + "-cert.pem", "--load-ca-privkey", ca + "-key.pem", "--load-privkey",
		         name + "-key.pem", "--template", name + ".info", "--outfile", name + "-cert.pem")
	os.makedirs(folder + "/stranger")
	for a, b in (("ca-cert", "ca-cert"), ("stranger-cert", "client-cert"), ("stranger-key", "client-key")):
		shutil.copy("%s/%s.pem" % (folder, a), "%s/stranger/%s.pem" % (folder, b))
	os.makedirs(folder + "/bare")
	shutil.copy(folder + "/ca-cert.pem", folder + "/bare")
	return os.path.abspath(folder)


@contextlib.contextmanager
def served_tcp(*args):
	s = Server(*args)
	try:
		check(s.uri.startswith("nbd"), "the server prints no URI: %r" % s.uri)
		yield s, int(s.uri.split(":")[2].strip("/").split("/")[0])
		s.end()
	finally:
		if s.p.poll() is None:
			s.p.kill()
			s.p.wait()


@case
def tcp():
	need("nbdcopy")
	make("vhd")
	with served_tcp("--listen", ":0", "disk.vhd") as (s, port):
		ran("nbdcopy", s.uri, "copy.raw")
		same_bytes("disk.raw", "copy.raw", "over TCP")
		lines = []
		for table in ("/proc/net/tcp", "/proc/net/tcp6"):
			with contextlib.suppress(OSError), open(table) as f:
				lines += [l.split()[1] for l in f if l.split()[1].endswith(":%04X" % port) and l.split()[3] == "0A"]
		own = {"0100007F:%04X" % port, "0" * 24 + "01000000:%04X" % port} # 127.0.0.1, ::1
		check(lines and set(lines) <= own, "listens on this machine alone: %r" % lines)
	refused("nbd", "--listen", "0.0.0.0:0", "disk.vhd", mentions="--allow-plain")
	refused("nbd", "--listen", "[::]:0", "disk.vhd", mentions="--tls")
	with served_tcp("--listen", "0.0.0.0:0", "--allow-plain", "disk.vhd") as (s, port):
		ran("nbdinfo", "nbd://127.0.0.1:%d" % port)


@case
def tls_certificates():
	need("nbdcopy", "nbdinfo")
	make("qcow2")
	pki = certificates("pki")
	with served_tcp("--rw", "--listen", "localhost:0", "--tls", pki, "disk.qcow2") as (s, port):
		uri = "nbds://localhost:%d/?tls-certificates=" % port
		ran("nbdcopy", uri + pki, "copy.raw")
		same_bytes("disk.raw", "copy.raw", "through TLS")
		check("with TLS" in ran("nbdinfo", uri + pki).out, "nbdinfo sees TLS")
		for who in ("stranger", "bare"):
			r = run("nbdinfo", uri + pki + "/" + who)
			check(r.rc != 0, "a client with no good certificate (%s) was let in\n    %s" % (who, r.show()))
		check(run("nbdinfo", "nbd://localhost:%d" % port).rc != 0, "a client without TLS was let in")
		creds = "tls-creds-x509,id=t,endpoint=client,dir=" + pki
		opts = "driver=raw,file.driver=nbd,file.host=localhost,file.port=%d,file.tls-creds=t" % port
		qemu_io(None, None, "write -P 3 0 5M", "read -P 3 0 5M", "flush", opts=("--object", creds, "--image-opts", opts))
		c = Client(address=("localhost", port))
		eq(0x80000005, error_of(c.option, nbd.LIST), "a list before TLS")
		c.s.sendall(b"".join(struct.pack(">QII", nbd.IHAVEOPT, o, 0) for o in (nbd.STARTTLS, nbd.LIST))) # plain text behind STARTTLS
		check(len(c.recv(20)) == 20, "the answer to STARTTLS")
		check(c.ended(), "plain text is not taken for what came through TLS")
		c = Client(address=("localhost", port))
		c.send_option(nbd.EXPORT_NAME, b"")
		check(c.ended(), "no way around TLS")
	with served_tcp("--listen", "localhost:0", "--tls", pki, "--tls-any-client", "disk.qcow2") as (s, port):
		ran("nbdinfo", "nbds://localhost:%d/?tls-certificates=%s/bare" % (port, pki))
	refused("nbd", "--tls", "nowhere", "--socket", "s", "disk.qcow2", mentions="nowhere")


def patiently(fn):
	"""What fails with the server hanging up, because this machine is busy, is tried again."""
	end = time.monotonic() + 60
	while True:
		try:
			return fn()
		except (OSError, EOFError):
			if time.monotonic() > end:
				raise
			time.sleep(0.1)


def drained(c):
	"""The server hangs up, whatever it says before."""
	end = time.monotonic() + 60
	while time.monotonic() < end:
		try:
			if not c.s.recv(4096):
				return
		except ConnectionError:
			return
	fail("the server does not hang up")


@case
def tls_shared_keys():
	need("nbdinfo", "psktool", "nbdcopy")
	make("qcow2")
	ran("psktool", "-u", "alice", "-p", "keys.psk")
	ran("psktool", "-u", "alice", "-p", "other.psk")
	with served("--tls-psk", "keys.psk", "disk.qcow2") as s:
		uri = "nbds+unix://alice@/?socket=%s/s&tls-psk-file=%s/" % (os.getcwd(), os.getcwd())
		ran("nbdcopy", uri + "keys.psk", "copy.raw")
		same_bytes("disk.raw", "copy.raw", "through TLS with a key")
		check(run("nbdinfo", uri + "other.psk").rc != 0, "another key was let in")
		creds = "tls-creds-psk,id=t,endpoint=client,username=alice,dir=" + os.getcwd()
		opts = "driver=raw,file.driver=nbd,file.path=s,file.tls-creds=t"
		qemu_io(None, None, "read 0 5M", opts=("-r", "--object", creds, "--image-opts", opts))


# ---------------------------------------------------------------- hostile and hasty clients

def server_facts(pid):
	with open("/proc/%d/status" % pid) as f:
		rss = next(int(l.split()[1]) * 1024 for l in f if l.startswith("VmRSS"))
	return len(os.listdir("/proc/%d/fd" % pid)), len(os.listdir("/proc/%d/task" % pid)), rss


def at_rest(s):
	"""Its facts with nobody there, after a first client."""
	connect().close()
	end = time.monotonic() + 60
	while server_facts(s.p.pid)[1] > 1 and time.monotonic() < end:
		time.sleep(0.02)
	return server_facts(s.p.pid)


def settled(s, before, what):
	"""Descriptors and threads are what they were before, soon."""
	end = time.monotonic() + 60
	while server_facts(s.p.pid)[:2] != before[:2]:
		if time.monotonic() > end:
			eq(before[:2], server_facts(s.p.pid)[:2], what + ": descriptors and threads")
		time.sleep(0.02)


@case
def garbage():
	"""Nonsense in each place where something is parsed: the server hangs up, or says no, and serves on."""
	make("qcow2")
	opt = lambda o, d=b"", n=None: struct.pack(">QII", nbd.IHAVEOPT, o, len(d) if n is None else n) + d
	req = lambda c, off=0, n=0, f=0, magic=0x25609513: struct.pack(">IHHQQI", magic, f, c, 1, off, n)
	go = opt(nbd.STRUCTURED) + opt(nbd.GO, struct.pack(">IH", 0, 0))
	hello = struct.pack(">I", 3)
	rng = rng_for("garbage")
	lines = [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4, struct.pack(">I", 4), hello + b"\0" * 16, hello + opt(nbd.GO, b"\xff" * 6),
	         hello + opt(nbd.GO, b"", 0xffffffff), hello + opt(77, b"x" * 20000), hello + opt(nbd.EXPORT_NAME, b"x" * 5000),
	         hello + opt(nbd.GO, struct.pack(">I", 0xffffffff) + b"abcdef"), hello + opt(nbd.GO, struct.pack(">IH", 0, 9)),
	         hello + opt(nbd.STRUCTURED) + opt(nbd.SET_META, struct.pack(">II", 0, 0xffffffff)),
	         hello + opt(nbd.STRUCTURED) + opt(nbd.SET_META, struct.pack(">III", 0, 1, 0x80000000)),
	         hello + opt(nbd.STARTTLS), hello + opt(nbd.ABORT), struct.pack(">I", 0) + opt(nbd.LIST),
	         hello + go + req(nbd.READ, magic=1), hello + go + req(nbd.WRITE, 0, 0xffffffff), hello + go + req(nbd.READ, 0, 0xffffffff),
	         hello + go + req(nbd.DISC) * 3, hello + go + b"\x25"]
	lines += [hello + go + rng.randbytes(200) for _ in range(20)] + [rng.randbytes(300) for _ in range(20)]
	with served("disk.qcow2") as s:
		before = at_rest(s)
		for line in lines:
			c = Client("s", greet=False)
			with contextlib.suppress(ConnectionError):
				c.s.sendall(line)
				c.s.shutdown(socket.SHUT_WR)
			drained(c)
			c.close()
		settled(s, before, "after garbage")
		check(connect().read(0, 512) == open("disk.raw", "rb").read(512), "the server serves on")


@case
def half_requests_are_cut_off():
	make("qcow2")
	half = struct.pack(">IHHQQI", 0x25609513, 0, nbd.WRITE, 1, 0, 100000) + b"x" * 50
	with served("--rw", "--timeout", "2", "disk.qcow2") as s:
		idle = patiently(connect)
		slow = [Client("s", greet=False), patiently(connect), patiently(connect)]
		slow[1].s.sendall(half)
		slow[2].s.sendall(half[:10])
		for c in slow:
			drained(c)
			c.close()
		eq(512, len(idle.read(0, 512)), "who only waits may stay")
		idle.close()


@case
def waits_for_room():
	"""More clients than may be: the next is served when one has left."""
	make("raw")
	with served("--clients", "2", "disk.raw"):
		a, b = connect(), connect()
		c = Client("s", greet=False, timeout=0.3)
		try:
			c.recv(1)
			fail("a third client was served")
		except TimeoutError:
			pass
		a.send(nbd.DISC)
		c.s.settimeout(120)
		eq(b"NBDMAGIC", c.recv(8), "now it is its turn")
		b.close()
		c.close()


@case
def memory_is_bounded():
	"""Clients that ask for much and read nothing."""
	make("raw", size=64 * MIB)
	write_file("disk.raw", rng_for("much").randbytes(64 * MIB))
	s = Server("--socket", "s", "disk.raw")
	clients = [connect(structured=i % 2) for i in range(8)]
	for c in clients:
		c.s.settimeout(0.5)
		try:
			for i in range(100):
				c.send(nbd.READ, 0, 32 * MIB)
		except TimeoutError: # what the server does not take, the socket may have no room for
			check(i > 1, "%d requests were sent" % i)
	last = peak = 0
	end = time.monotonic() + 5
	while time.monotonic() < end and (peak < 20 * MIB or time.monotonic() < last + 0.5): # until it takes no more
		now = server_facts(s.p.pid)[2]
		if now > peak:
			peak, last = now, time.monotonic()
		time.sleep(0.02)
	check(sanitized() or peak < 8 * 20 * MIB + 40 * MIB, "the server takes %d MiB" % (peak // MIB))
	eq(512, len(connect().read(0, 512)), "another one is served")
	s.end() # although those never read
	[c.close() for c in clients]


@case
def thousand_connections():
	"""Opens and closes in parallel with reads: nothing is left."""
	make("qcow2")
	data = open("disk.raw", "rb").read()
	wrong = []

	def opener(seed):
		rng = random.Random(seed)
		for _ in range(125):
			try:
				c = connect(structured=rng.random() < 0.5) if rng.random() < 0.8 else Client("s")
				if rng.random() < 0.7 and hasattr(c, "size"):
					off = rng.randrange(SIZE - 5000)
					if c.read(off, 5000) != data[off:off + 5000]:
						wrong.append(off)
				if rng.random() < 0.5 and hasattr(c, "size"):
					c.send(nbd.READ, 0, 100000) # and leaves without the answer
				c.close()
			except Exception as e:
				wrong.append(repr(e))
	with served("disk.qcow2") as s:
		before = at_rest(s)
		rng = rng_for("thousand")
		threads = [threading.Thread(target=opener, args=(rng.random(),)) for _ in range(8)]
		[t.start() for t in threads]
		[t.join() for t in threads]
		eq([], wrong[:5], "what went wrong")
		settled(s, before, "after a thousand connections")


# ---------------------------------------------------------------- the program's manners

@case
def ends_as_asked():
	need("nbdinfo")
	make("raw")
	s = Server("--socket", "s", "--once", "disk.raw")
	Client("s").close() # does not count
	a, b = connect(), connect()
	a.close()
	eq(512, len(b.read(0, 512)), "one is still there")
	b.close()
	s.wait()
	def before_it_ends():
		s = Server("--socket", "s", "--idle-timeout", "1", "disk.raw")
		return s, time.monotonic(), connect()
	s, begin, a = patiently(before_it_ends)
	time.sleep(1.3) # longer than the limit, with a client
	eq(512, len(a.read(0, 512)), "a client keeps it alive")
	a.close()
	s.wait()
	check(time.monotonic() - begin >= 2.2, "it ended too early")
	eq(5, run(VDISK, "nbd", "--run", "nbdinfo --size $uri > size; exit 5", "disk.raw").rc, "the command's exit status")
	eq("%d\n" % SIZE, open("size").read(), "the command found the server")
	eq(137, run(VDISK, "nbd", "--run", "kill -9 $$", "disk.raw").rc, "a command that was killed")


@case
def in_the_background():
	make("raw")
	r = vdisk("nbd", "--fork", "--pid-file", "pid", "--socket", "s", "disk.raw")
	eq("nbd+unix:///?socket=%s/s\n" % os.path.realpath("."), r.out, "the URI")
	pid = int(open("pid").read())
	connect().close()
	refused("nbd", "--socket", "s", "disk.raw", mentions="s: ") # in use
	refused("nbd", "--pid-file", "pid", "--socket", "s", "disk.raw", mentions="s: ")
	eq(pid, int(open("pid").read()), "the first one's number")
	os.kill(pid, signal.SIGTERM)
	end = time.monotonic() + 60
	while (os.path.lexists("s") or os.path.exists("pid")) and time.monotonic() < end:
		time.sleep(0.02)
	eq([False, False], [os.path.lexists("s"), os.path.exists("pid")], "both files are gone")


@case
def sockets_that_were_passed():
	make("raw")
	listening = socket.socket(socket.AF_UNIX)
	listening.bind("passed")
	listening.listen(5)
	os.dup2(listening.fileno(), 3, inheritable=True) if listening.fileno() != 3 else os.set_inheritable(3, True)
	p = subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" nbd --once disk.raw', VDISK], pass_fds=(3,))
	c = connect("passed")
	eq(512, len(c.read(0, 512)), "through a passed socket")
	c.close()
	eq(0, p.wait(120), "exit status")
	check(os.path.exists("passed"), "it removes no socket that is not its own")


@case
def a_client_on_the_way_is_answered_at_the_end():
	make("qcow2")
	s = Server("--socket", "s", "--rw", "disk.qcow2")
	c = connect()
	for i in range(16):
		c.send(nbd.WRITE, i * MIB, 100000, 0, bytes([i + 1]) * 100000)
	c.send(nbd.FLUSH)
	for i in range(17):
		c.answer(nbd.WRITE)
	s.end()
	check(c.ended(), "the connection is closed")
	with served("disk.qcow2"):
		c = connect()
		for i in range(16):
			check(c.read(i * MIB, 100000) == bytes([i + 1]) * 100000, "write %d is lost" % i)
		c.close()


@case
def refusals():
	make("raw")
	write_file("short.qcow2", b"QFI\xfb\0\0\0\3")
	refused("nbd", "short.qcow2")
	refused("nbd", "missing.img")
	refused("nbd")
	refused("nbd", "a", "b")
	write_file("plain", b"precious")
	refused("nbd", "--socket", "plain", "disk.raw", mentions="plain")
	eq(b"precious", open("plain", "rb").read(), "a file in the socket's place")
	refused("nbd", "--socket", "x" * 200, "disk.raw")
	refused("nbd", "--rw", "--overlay", "o", "disk.raw")
	refused("nbd", "--socket", "s", "--listen", ":0", "disk.raw")
	refused("nbd", "--clients", "0", "disk.raw")
	refused("nbd", "--listen", "1.2.3.4.5:x", "disk.raw")
	with served("--rw", "disk.raw"):
		refused("nbd", "--rw", "--socket", "s2", "disk.raw")


main()

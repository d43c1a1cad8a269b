#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Exports of NBD servers, nbdkit's and qemu-nbd's, as sources and destinations: with TLS, with errors, with servers that die."""
import contextlib, os, re, shutil, signal, socket, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

if not re.search(r"[ ;]nbd\)| nbd ", run(VDISK, "--version").out):
	print("this build knows no exports of NBD servers")
	sys.exit(77)
SIZE = 24 * MIB
SOCKET = "nbd+unix:///?socket="


def disk(path="a.raw", size=SIZE, seed=SEED):
	"""Data at the beginning, the end and between; all else is holes."""
	r = random.Random(seed)
	with open(path, "wb") as f:
		f.truncate(size)
		for at in (0, 5 * MIB, 9 * MIB + 65536, size - 4096):
			f.seek(at)
			f.write(r.randbytes(min(700 * KIB, size - at)))
	return path


def read(path):
	with open(path, "rb") as f:
		return f.read()


@contextlib.contextmanager
def serve(*argv, ready="s.sock", uri=None):
	need(argv[0])
	with contextlib.suppress(OSError):
		os.unlink(ready)
	with open("server.err", "ab") as log:
		p = subprocess.Popen(argv, stderr=log)
	try:
		end = time.monotonic() + 60
		while not os.path.exists(ready):
			check(p.poll() is None and time.monotonic() < end, "%s did not start: %s" % (argv[0], read("server.err")))
			time.sleep(0.02)
		serve.process = p
		yield uri or SOCKET + os.path.abspath(ready)
	finally:
		if p.poll() is None:
			p.terminate()
		p.wait()


def nbdkit(*words):
	return serve("nbdkit", "-f", "-U", os.path.abspath("s.sock"), *words)


def qemu_nbd(*words):
	return serve("qemu-nbd", "-t", "-k", os.path.abspath("s.sock"), *words)


def port_free():
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		return s.getsockname()[1]


def asked(log):
	"""Bytes by kind of request, as nbdkit's log filter counted them."""
	sums = {}
	for line in open(log):
		m = re.search(r" (Read|Write|Zero|Trim|Flush|Extents) id=\d+(?:.* count=(\w+))?", line)
		if m and " ..." in line:
			n = sums.setdefault(m.group(1), [0, 0])
			n[0] += 1
			n[1] += int(m.group(2) or "0", 0)
	return sums


def whole(uri, raw="a.raw"):
	vdisk("compare", raw, uri)
	for jobs in ([], ["-j1"]):
		vdisk("convert", "--force", *jobs, "-O", "raw", uri, "out.raw")
		check(read(raw) == read("out.raw"), "content of %s %s" % (uri, jobs))


def refused(r, *words):
	eq(1, r.err.count("\n"), "lines on standard error of %s: %r" % (r, r.err))
	for w in words:
		check(w in r.err, "%r is due: %s" % (w, r.show()))


# ---------------------------------------------------------------- as sources

@case
def nbdkit_file():
	disk()
	with nbdkit("file", "a.raw") as uri:
		eq(SIZE, vdisk("info", "--json", uri).json()["virtual-size"], "size")
		check(vdisk("info", uri).out.startswith("image: %s\n" % uri), "info names the URI")
		whole(uri)
		eq(vdisk("digest", "a.raw").out.split()[0], vdisk("digest", uri).out.split()[0], "digest")
		eq([(x["offset"], x["kind"]) for x in vdisk("map", "--json", "a.raw").json()["extents"]],
		   [(x["offset"], x["kind"]) for x in vdisk("map", "--json", uri).json()["extents"]], "map")


@case
def zeros_are_not_read():
	disk()
	with nbdkit("--filter=log", "file", "a.raw", "logfile=log") as uri:
		vdisk("convert", "-O", "qcow2", uri, "out.qcow2")
	vdisk("compare", "a.raw", "out.qcow2")
	data = sum(x["length"] for x in vdisk("map", "--json", "a.raw").json()["extents"] if x["kind"] == "data")
	got = asked("log")
	check(data <= got["Read"][1] <= data + MIB, "%d bytes were read of %d of data" % (got["Read"][1], data))
	check(got["Extents"][0] <= 8, "%d questions for a map of 8 stretches" % got["Extents"][0])


@case
def lint_reads_little():
	with open("a.raw", "wb") as f:
		f.write(random.Random(SEED).randbytes(64 * MIB))
	with nbdkit("--filter=log", "file", "a.raw", "logfile=log") as uri:
		r = run(VDISK, "lint", "--for", "azure", uri)
		eq(1, r.rc, r.show())
		check("raw" in r.out, r.out)
	check(asked("log")["Read"][1] < 4 * MIB, "%d bytes" % asked("log")["Read"][1])


@case
def without_extents():
	disk()
	with nbdkit("--filter=noextents", "file", "a.raw") as uri:
		whole(uri)


@case
def large_blocks():
	"""A server that takes whole blocks of 4 KiB only, and no more than 64 KiB at once."""
	disk(size=SIZE)
	with nbdkit("--filter=blocksize-policy", "file", "a.raw", "blocksize-minimum=4096", "blocksize-maximum=64k", "blocksize-error-policy=error") as uri:
		whole(uri)
		vdisk("convert", "--force", "--verify", "-O", "raw", disk("b.raw", SIZE - 4096 - 512, 7), uri)
	check(read("a.raw")[:SIZE - 4096 - 512] == read("b.raw"), "what was written")


@case
def from_qemu_nbd():
	disk()
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "a.raw", "a.qcow2")
	for words in (["-e", "8", "-f", "qcow2", "a.qcow2"], ["-f", "raw", "a.raw"]): # the second one takes one client at a time
		with qemu_nbd("-r", *words) as uri:
			whole(uri)
	with qemu_nbd("-r", "-f", "raw", "a.qcow2") as uri: # a format inside of the export
		eq("qcow2", vdisk("info", "--json", uri).json()["format"], "format")
		whole(uri)


@case
def names_of_exports():
	disk()
	# The socket's name is no suffix that would say what the disk is, nor does it mislead.
	with serve("nbdkit", "-f", "-U", os.path.abspath("s.vmdk"), "file", "a.raw", ready="s.vmdk") as uri:
		vdisk("compare", "a.raw", uri)
	with qemu_nbd("-r", "-x", "my disk/%", "-f", "raw", "a.raw") as uri:
		named = uri.replace(":///", ":///my%20disk%2f%25")
		vdisk("compare", "a.raw", named)
		refused(vdisk("info", uri, rc=2), "cannot connect")


@case
def errors_that_pass():
	disk()
	with nbdkit("--filter=error", "file", "a.raw", "error-pread=EIO", "error-pread-rate=3%", "error-extents=EIO", "error-extents-rate=3%") as uri:
		whole(uri)


@case
def errors_that_last():
	disk()
	with nbdkit("--filter=error", "file", "a.raw", "error-pread=EIO", "error-pread-rate=100%", "error-pread-file=" + os.path.abspath("bad")) as uri:
		vdisk("info", uri)
		open("bad", "w").close()
		refused(vdisk("convert", "-O", "raw", uri, "out.raw", rc=2), "reading at offset", "Input/output error (tried 6 times)")
	check(not os.path.exists("out.raw"), "an image was left")
	refused(vdisk("info", uri, rc=2), "cannot connect")


def steps(program, *argv, until):
	"""Starts it and waits until the function says so."""
	p = subprocess.Popen([program, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
	end = time.monotonic() + 120
	while not until() and p.poll() is None:
		check(time.monotonic() < end, "nothing happened for two minutes")
		time.sleep(0.01)
	return p


def died(p):
	out, err = p.communicate(timeout=120)
	eq(2, p.returncode, "exit status; %r" % err)
	eq(1, err.count("\n"), "lines on standard error: %r" % err)
	return err


@case
def source_server_dies():
	disk()
	with nbdkit("--filter=delay", "--filter=log", "file", "a.raw", "logfile=log", "rdelay=500ms") as uri:
		p = steps(VDISK, "convert", "-j1", "-O", "raw", uri, "out.raw", until=lambda: os.path.exists("log") and " Read id" in open("log").read())
		serve.process.kill()
		err = died(p)
	check("cannot connect" in err or "reading" in err, err)
	check(not os.path.exists("out.raw"), "an image was left")


@case
def source_comes_back():
	"""The server is started anew while we read: the rest comes over new connections."""
	disk()
	words = ("--filter=delay", "--filter=log", "file", "a.raw", "logfile=log", "rdelay=500ms")
	with nbdkit(*words) as uri:
		p = steps(VDISK, "convert", "-j1", "-O", "raw", uri, "out.raw", until=lambda: os.path.exists("log") and " Read id" in open("log").read())
		serve.process.kill()
		serve.process.wait()
		with nbdkit("file", "a.raw"):
			out, err = p.communicate(timeout=120)
	eq((0, ""), (p.returncode, err), "the run")
	check(read("a.raw") == read("out.raw"), "content")


@case
def source_becomes_another():
	disk()
	disk("b.raw", SIZE + MIB)
	with nbdkit("--filter=delay", "--filter=log", "file", "a.raw", "logfile=log", "rdelay=500ms") as uri:
		p = steps(VDISK, "convert", "-j1", "-O", "raw", uri, "out.raw", until=lambda: os.path.exists("log") and " Read id" in open("log").read())
		serve.process.kill()
		serve.process.wait()
		with nbdkit("file", "b.raw"):
			check("is another one" in died(p), "told")
	check(not os.path.exists("out.raw"), "an image was left")


@case
def refusals():
	disk()
	qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", os.path.abspath("a.raw"), "top.qcow2")
	with nbdkit("file", "top.qcow2") as uri:
		refused(vdisk("digest", "-f", "qcow2", uri, rc=2), "nothing beside")
		refused(vdisk("resize", "-f", "raw", uri, "30M", rc=2), "convert")
		refused(vdisk("create", "--force", "-f", "raw", uri, "1M", rc=2), "vdisk convert")
		refused(vdisk("convert", "--resume", "-f", "raw", "-O", "qcow2", uri, "out.qcow2", rc=2), "cannot be resumed")
	for uri, words in (("nbd+unix:///", ["names no socket"]), ("nbd://localhost?socket=x", ["nbd+unix"]), ("nbd://h:0/", ["port"]),
	                   ("nbd://a:b@h/", ["password"]), ("nbd://h/?tls-verify-peer=false", ["parameter"]), ("nbd://h/%zz", ["%"])):
		refused(vdisk("info", uri, rc=2), *words)


# ---------------------------------------------------------------- TLS

def certificates(folder):
	"""An authority, and a certificate of localhost that it vouches for; a folder with the authority alone."""
	need("certtool")
	os.makedirs(folder)
	for who, how in (("ca", ["--generate-self-signed"]),
	                 ("server", ["--generate-certificate", "--load-ca-certificate", folder + "/ca-cert.pem", "--load-ca-privkey", folder + "/ca-key.pem"])):
		with open("c.cfg", "w") as f:
			f.write({"ca": "cn = %s\nca\ncert_signing_key\n" % folder, "server": "cn = localhost\ndns_name = localhost\ntls_www_server\nsigning_key\n"}[who])
			f.write("expiration_days = 2\n")
		ran("certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", "%s/%s-key.pem" % (folder, who))
		ran("certtool", *how, "--load-privkey", "%s/%s-key.pem" % (folder, who), "--template", "c.cfg", "--outfile", "%s/%s-cert.pem" % (folder, who))
	os.makedirs(folder + ".trust")
	shutil.copyfile(folder + "/ca-cert.pem", folder + ".trust/ca-cert.pem")
	return os.path.abspath(folder + ".trust")


def keys(path, *users):
	r = random.Random(SEED + len(path))
	with open(path, "w") as f:
		for u in users:
			f.write("%s:%s\n" % (u, r.randbytes(32).hex()))
	return os.path.abspath(path)


def tls_judged(base, trust, other):
	vdisk("compare", "a.raw", base + "?tls-certificates=" + trust)
	refused(vdisk("info", base + "?tls-certificates=" + other, rc=2), "cannot connect") # somebody else's CA
	refused(vdisk("info", base.replace("localhost", "127.0.0.1") + "?tls-certificates=" + trust, rc=2), "cannot connect") # another name
	refused(vdisk("info", base, rc=2), "whom to trust", "tls-certificates=DIR", "tls-psk-file=FILE")
	refused(vdisk("info", base + "?tls-certificates=" + os.path.abspath("nowhere"), rc=2), "ca-cert.pem", "No such file")
	os.makedirs("empty", exist_ok=True)
	open("empty/ca-cert.pem", "w").close()
	refused(vdisk("info", base + "?tls-certificates=" + os.path.abspath("empty"), rc=2), "cannot connect")
	refused(vdisk("info", base.replace("nbds", "nbd"), rc=2), "cannot connect")
	refused(vdisk("info", base.replace("nbds", "nbd") + "?tls-certificates=" + trust, rc=2), "without TLS")


@case
def tls():
	disk()
	trust, other, port = certificates("pki"), certificates("pki2"), port_free()
	base = "nbds://localhost:%d/" % port
	words = ["--tls=require", "--tls-certificates=" + os.path.abspath("pki")]
	with serve("nbdkit", "-f", "-P", os.path.abspath("pid"), "-i", "127.0.0.1", "-p", str(port), *words, "file", "a.raw", ready="pid"):
		tls_judged(base, trust, other)
		vdisk("convert", "--force", "--verify", "-O", "raw", disk("b.raw", SIZE, 8), base + "?tls-certificates=" + trust)
	check(read("a.raw") == read("b.raw"), "what was written through TLS")
	with nbdkit(*words, "file", "a.raw") as uri: # no host's name: libnbd would not verify
		refused(vdisk("info", uri.replace("nbd+", "nbds+") + "&tls-certificates=" + trust, rc=2), "Unix socket", "tls-psk-file")
		refused(vdisk("info", uri, rc=2), "cannot connect")


@case
def tls_of_qemu():
	disk()
	trust, other, port = certificates("pki"), certificates("pki2"), port_free()
	# qemu-nbd wants it so, whoever asks for no certificates of clients
	with serve("qemu-nbd", "-t", "-r", "-e", "8", "-b", "127.0.0.1", "-p", str(port), "--pid-file=" + os.path.abspath("pid"), "--object",
	           "tls-creds-x509,id=t,endpoint=server,verify-peer=no,dir=" + os.path.abspath("pki"), "--tls-creds", "t", "-f", "raw", "a.raw", ready="pid"):
		tls_judged("nbds://localhost:%d/" % port, trust, other)


@case
def tls_by_key():
	disk()
	right, wrong = keys("psk", "alice", "bob"), keys("wrong", "alice")
	certificates("pki")
	with nbdkit("--tls=require", "--tls-psk=" + right, "file", "a.raw") as uri:
		uri = uri.replace("nbd+unix://", "nbds+unix://alice@")
		vdisk("compare", "a.raw", uri + "&tls-psk-file=" + right)
		refused(vdisk("info", uri + "&tls-psk-file=" + wrong, rc=2), "cannot connect")
		refused(vdisk("info", uri.replace("alice", "carol") + "&tls-psk-file=" + right, rc=2), "carol")
		refused(vdisk("info", uri, rc=2), "whom to trust")
	with nbdkit("--tls=require", "--tls-certificates=" + os.path.abspath("pki"), "file", "a.raw") as uri: # a server that has not the key
		refused(vdisk("info", uri.replace("nbd+unix://", "nbds+unix://alice@") + "&tls-psk-file=" + right, rc=2), "cannot connect")


@case
def tls_server_dies():
	disk()
	trust, port = certificates("pki"), port_free()
	with serve("nbdkit", "-f", "-P", os.path.abspath("pid"), "-i", "127.0.0.1", "-p", str(port), "--tls=require",
	           "--tls-certificates=" + os.path.abspath("pki"), "--filter=delay", "--filter=log", "memory", str(SIZE), "logfile=log", "wdelay=500ms", ready="pid"):
		p = steps(VDISK, "convert", "-j1", "--force", "a.raw", "nbds://localhost:%d/?tls-certificates=%s" % (port, trust),
		          until=lambda: os.path.exists("log") and " Write id" in open("log").read())
		serve.process.kill()
		check("lost" in died(p), "told")


# ---------------------------------------------------------------- as destinations

def dirty(path, size=SIZE):
	with open(path, "wb") as f:
		f.write(b"\xaa" * size)
	return path


@case
def to_nbdkit():
	"""Over what was there, in each way that a server has of making zeros, and without holes of the source being sent."""
	disk()
	data = sum(x["length"] for x in vdisk("map", "--json", "a.raw").json()["extents"] if x["kind"] == "data")
	little = data + 64 * KIB
	ways = (([], little), (["--filter=noextents"], little), (["--filter=nozero"], little), (["--filter=nozero", "--filter=noextents"], SIZE))
	for i, (words, sent) in enumerate(ways):
		log = "log%d" % i
		with nbdkit("--filter=log", *words, "file", dirty("d.raw"), "logfile=" + log) as uri:
			vdisk("convert", "--force", "--verify", "a.raw", uri)
			vdisk("compare", "a.raw", uri)
		check(read("a.raw") == read("d.raw"), "content after %r" % words)
		got = asked(log)
		check(data <= got["Write"][1] <= sent, "%r: %d bytes were sent for %d of data" % (words, got["Write"][1], data))
		check("Flush" in got, "%r: it was flushed: %r" % (words, got))
		order = [m.group(1) for m in re.finditer(r" (Read|Write|Zero|Trim|Flush) id=", open(log).read())]
		last = max(i for i, w in enumerate(order) if w in ("Write", "Zero", "Trim"))
		check("Flush" in order[last:], "flushed behind the last change: %r" % order[-10:])


@case
def blank_exports():
	"""One that reads as zeros takes nothing but data."""
	disk()
	data = sum(x["length"] for x in vdisk("map", "--json", "a.raw").json()["extents"] if x["kind"] == "data")
	with nbdkit("--filter=log", "memory", str(SIZE), "logfile=log") as uri:
		vdisk("convert", "--force", "--verify", "a.raw", uri)
		got = asked("log")
		check("Zero" not in got and "Trim" not in got, "no zeros are made: %r" % got)
		check(data <= got["Write"][1] <= data + 64 * KIB, "%d bytes were sent for %d of data" % (got["Write"][1], data))
		whole(uri)


@case
def to_qemu_nbd():
	disk()
	qemu_img("create", "-f", "qcow2", "d.qcow2", str(SIZE))
	for share in ("1", "4"):
		with qemu_nbd("-e", share, "-f", "qcow2", "d.qcow2") as uri:
			vdisk("convert", "--force", "--verify", disk("b.raw", SIZE, int(share)), uri)
		same_as_raw("b.raw", "d.qcow2", "qcow2")
	eq(0, qemu_img("check", "d.qcow2").rc, "check")


@case
def sizes():
	disk()
	for size, rc in ((SIZE, 0), (SIZE + MIB, 0), (SIZE - 512, 2)):
		with nbdkit("file", dirty("d.raw", size)) as uri:
			for more in (["--dry-run"], []):
				r = vdisk("convert", "--force", "--verify", *more, "a.raw", uri, rc=rc)
				if rc:
					refused(r, "%d bytes" % size, "%d" % SIZE)
				if rc or more:
					check(read("d.raw") == b"\xaa" * size, "untouched")
		if not rc:
			check(read("d.raw") == read("a.raw") + b"\xaa" * (size - SIZE), "the disk, and behind it what was there")


@case
def destinations_refused():
	disk()
	with nbdkit("file", dirty("d.raw")) as uri:
		refused(vdisk("convert", "a.raw", uri, rc=2), "--force")
		for f in ("qcow2", "vhd", "vmdk"):
			refused(vdisk("convert", "--force", "-O", f, "a.raw", uri, rc=2), "-O raw")
		refused(vdisk("convert", "--force", "--for", "azure", "a.raw", uri, rc=2), "azure")
		refused(vdisk("convert", "--force", "--resume", "a.raw", uri, rc=2), "cannot be resumed", "export")
		refused(vdisk("convert", "--force", "--punch-source", "destroy-source", "a.raw", uri, rc=2), "cannot be resumed")
		refused(vdisk("convert", "--force", uri, uri, rc=2), "is a file of the source")
		refused(vdisk("convert", "--in-place", "a.raw", uri, rc=2))
		refused(vdisk("convert", "-c", "--force", "a.raw", uri, rc=2), "compressed")
		refused(vdisk("clone", "a.raw", uri, rc=2))
		check(read("d.raw") == b"\xaa" * SIZE, "untouched")
		vdisk("convert", "--force", "-O", "raw", "--for", "kvm", "a.raw", uri)
	check(read("d.raw") == read("a.raw"), "by a profile that takes raw disks")
	check(os.path.exists("a.raw"), "the source stays")
	with nbdkit("-r", "file", dirty("d.raw")) as uri:
		for more in ([], ["--dry-run"]):
			refused(vdisk("convert", "--force", *more, "a.raw", uri, rc=2), "lets nobody write", "Read-only")
	check(read("d.raw") == b"\xaa" * SIZE, "untouched")


@case
def dry_run():
	disk()
	with nbdkit("--filter=log", "file", dirty("d.raw"), "logfile=log") as uri:
		check("would make" in vdisk("convert", "--force", "--dry-run", "a.raw", uri).out, "told")
	check(not {"Write", "Zero", "Trim"} & set(asked("log")) and read("d.raw") == b"\xaa" * SIZE, "untouched")


@case
def writes_that_fail_at_times():
	disk()
	words = [w for k in ("pwrite", "zero", "trim") for w in ("error-%s=EIO" % k, "error-%s-rate=3%%" % k)]
	with nbdkit("--filter=error", "file", dirty("d.raw"), *words) as uri:
		vdisk("convert", "--force", "--verify", "a.raw", uri)
	check(read("a.raw") == read("d.raw"), "content")


@case
def writes_that_fail():
	disk()
	for kind, code, words in (("zero", "EIO", ("writing zeros at offset", "Input/output error (tried 6 times)")),
	                          ("pwrite", "ENOSPC", ("writing at offset", "No space left"))):
		with nbdkit("--filter=error", "file", dirty("d.raw"), "error-%s=%s" % (kind, code), "error-%s-rate=100%%" % kind) as uri:
			r = vdisk("convert", "--force", "a.raw", uri, rc=2)
			refused(r, *words)
			check("tried" in r.err or code == "ENOSPC", r.err)


@case
def zeroing_that_is_refused():
	"""A server that says it can, and then cannot: zeros are written."""
	need("nbdkit")
	disk()
	with nbdkit("--filter=error", "file", dirty("d.raw"), "error-zero=EINVAL", "error-zero-rate=100%") as uri:
		vdisk("convert", "--force", "--verify", "a.raw", uri)
	check(read("a.raw") == read("d.raw"), "content")


def flush_plugin():
	with open("flush.sh", "w") as f:
		f.write("""#!/bin/sh
case $1 in
get_size) echo %d ;;
can_write|can_flush) exit 0 ;;
pread) dd if=d.raw bs=64k iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none ;;
pwrite) dd of=d.raw bs=64k oflag=seek_bytes conv=notrunc seek=$4 status=none ;;
flush) echo flush >>flushes; echo "EIO it broke" >&2; exit 1 ;;
*) exit 2 ;;
esac
""" % SIZE)
	os.chmod("flush.sh", 0o755)
	return os.path.abspath("flush.sh")


@case
def flush_that_fails():
	disk()
	dirty("d.raw")
	with nbdkit("sh", flush_plugin()) as uri:
		refused(vdisk("convert", "--force", "a.raw", uri, rc=2), "flushing", "Input/output error")
	eq(1, len(open("flushes").readlines()), "flushes: a second one would say that all is well")


@case
def destination_server_dies():
	disk()
	words = ("--filter=delay", "--filter=log", "memory", str(SIZE), "logfile=log", "wdelay=500ms")
	with nbdkit(*words) as uri:
		p = steps(VDISK, "convert", "-j1", "--force", "a.raw", uri, until=lambda: os.path.exists("log") and " Write id" in open("log").read())
		serve.process.kill()
		serve.process.wait()
		with nbdkit("memory", str(SIZE)): # a new one has not what was written to the old one
			check("lost" in died(p), "told")


@case
def connections():
	"""Several where the server says that they show the same, one where it does not."""
	size = 48 * MIB
	for filters, options, most in (([], [], 8), (["--filter=multi-conn"], ["multi-conn-mode=disable"], 1)): # Debian 12's filter dies at the first client's end
		with open("d.raw", "wb") as f:
			f.truncate(size)
		with nbdkit("--filter=log", "--filter=delay", *filters, "file", "d.raw", "logfile=log", "wdelay=5ms", *options) as uri:
			vdisk("convert", "--force", "--verify", "-j4", disk("b.raw", size, 3), uri)
		check(read("b.raw") == read("d.raw"), "content")
		n = len(set(re.findall(r"connection=(\d+) Write id", open("log").read())))
		check((n == 1) if most == 1 else (2 <= n <= most), "%d connections with %r" % (n, filters))
		os.unlink("log")


@case
def to_a_pipe():
	"""What cannot be read ends it, though what comes behind has been read by then; and what went out is right."""
	disk()
	here = os.getcwd()
	pread = "if [ $4 -le 4194304 ] && [ $(($4 + $3)) -gt 4194304 ]; then echo EIO >&2; exit 1; fi; dd if=%s/a.raw iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none" % here
	with serve("nbdkit", "-f", "-U", os.path.abspath("s.sock"), "eval", "get_size=echo %d" % SIZE, "pread=" + pread) as uri:
		p = subprocess.Popen([VDISK, "convert", "-j4", "-f", "raw", "-O", "raw", uri, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
		try:
			out, err = p.communicate(timeout=120)
		except subprocess.TimeoutExpired:
			p.kill()
			p.communicate()
			fail("it waits for ever")
	eq(2, p.returncode, "exit status: %s" % err)
	check(b"Input/output error" in err, "what it says: %s" % err)
	check(len(out) <= 4 * MIB and read("a.raw").startswith(out), "%d bytes went out, or others than the disk's" % len(out))


@case
def stopped_beside_a_server_that_hangs():
	"""Requests, and a greeting, that are never answered: who asks to stop is not kept waiting, as a source or a destination."""
	disk()
	here, listener = os.getcwd(), socket.socket()
	hang = "touch %s/hung; while [ -e %s/hold ]; do sleep 0.1; done" % (here, here)
	data = "dd if=%s/a.raw iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none" % here
	reads = "if [ $4 -ge 1048576 ] && [ $4 -lt 20000000 ]; then %s; fi; %s" % (hang, data)
	listener.bind(("127.0.0.1", 0))
	listener.listen(16)
	source = ["convert", "-f", "raw", "-O", "qcow2", "URI", "out.qcow2"]
	for what, plugin, argv in (
			("reading", ["get_size=echo %d" % SIZE, "pread=" + reads], source),
			("reading, one thread", ["get_size=echo %d" % SIZE, "pread=" + reads], source[:1] + ["-j1", "--digest"] + source[1:]),
			("holes", ["get_size=echo %d" % SIZE, "pread=" + data, "can_extents=exit 0", "extents=" + hang + "; echo 0 %d" % SIZE], source),
			("writing", ["get_size=echo %d" % SIZE, "pread=" + data, "pwrite=%s; cat >/dev/null" % hang, "can_write=exit 0"],
			 ["convert", "--force", "-O", "raw", "a.raw", "URI"]),
			("greeting", None, ["convert", "--force", "-O", "raw", "a.raw", "nbd://127.0.0.1:%d/" % listener.getsockname()[1]])):
		for sig in (signal.SIGINT, signal.SIGTERM):
			with contextlib.suppress(OSError):
				os.unlink("hung")
			open("hold", "w").close()
			with nbdkit("eval", *plugin) if plugin else contextlib.nullcontext("") as uri:
				try:
					with open("err", "wb") as err:
						p = subprocess.Popen([VDISK] + [w.replace("URI", uri) for w in argv], stdout=subprocess.DEVNULL, stderr=err)
					end = time.monotonic() + 60
					if plugin:
						while not os.path.exists("hung") and time.monotonic() < end:
							time.sleep(0.02)
					else:
						listener.settimeout(60)
						peer = listener.accept()[0]
					check(p.poll() is None, "%s: it ended by itself: %s" % (what, read("err")))
					begin = time.monotonic()
					p.send_signal(sig)
					with contextlib.suppress(subprocess.TimeoutExpired):
						p.wait(20)
					p.kill()
					check(time.monotonic() - begin < 15, "%s: still waiting 15 s after signal %d" % (what, sig))
					eq(2, p.wait(), "exit status, %s: %s" % (what, read("err")))
					check(b"interrupted" in read("err"), "%s: told: %s" % (what, read("err")))
					eq([], [n for n in os.listdir(".") if "out" in n], "what is left, %s" % what)
				finally:
					os.unlink("hold")
	peer.close()
	listener.close()


@case
def stopped_while_many_write():
	"""Connections end while others wait for theirs: whoever comes first, what is told is the wish and not the loss."""
	with open("full.raw", "wb") as f:
		f.write(random.Random(SEED).randbytes(64 * MIB))
	for _ in range(8):
		with contextlib.suppress(OSError):
			os.unlink("log")
		with nbdkit("--filter=log", "--filter=delay", "memory", "64M", "wdelay=150ms", "logfile=log") as uri:
			with open("err", "wb") as err:
				p = subprocess.Popen([VDISK, "convert", "-j16", "--force", "-O", "raw", "full.raw", uri], stdout=subprocess.DEVNULL, stderr=err)
			end = time.monotonic() + 60
			while read("log").count(b" Write ") < 9 and p.poll() is None and time.monotonic() < end:
				time.sleep(0.01)
			p.send_signal(signal.SIGINT)
			eq(2, p.wait(60), "exit status: %s" % read("err"))
			check(b"interrupted" in read("err"), "told: %s" % read("err"))


@case
def both_at_once():
	disk()
	with serve("nbdkit", "-f", "-U", os.path.abspath("one.sock"), "file", "a.raw", ready="one.sock") as one:
		with nbdkit("memory", str(SIZE)) as two:
			vdisk("convert", "--force", "--verify", one, two)
			vdisk("compare", one, two)


main()

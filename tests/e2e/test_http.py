#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images on web servers: a server of our own that breaks its word in every way there is, and nginx, which does not."""
import contextlib, os, shutil, subprocess, sys, threading, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from websites import Site

if "http" not in run(VDISK, "--version").out:
	print("this build reads nothing from web servers")
	sys.exit(77)

CLEAN = {k: "" for k in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")}


def disk(n=3 * MIB + 1536, seed=SEED):
	"""Data with holes in it; the last bytes are data."""
	r = random.Random(seed)
	d = bytearray(n)
	for at in range(0, n - 65536, 262144):
		d[at:at + 131072] = r.randbytes(131072)
	d[n - 512:] = r.randbytes(512)
	return bytes(d)


def web(*args, rc=0, **kw):
	return vdisk(*args, rc=rc, env=dict(CLEAN, **kw.pop("env", {})), **kw)


def refused(r, *words):
	eq(1, r.err.count("\n"), "lines on standard error of %s: %r" % (r, r.err))
	for w in words:
		check(w in r.err, "%s: %r is due in %r" % (r, w, r.err))
	eq("", r.out, "standard output of %s" % r)


def read(path):
	with open(path, "rb") as f:
		return f.read()


def write(path, data):
	with open(path, "wb") as f:
		f.write(data)


@case
def every_command_reads_a_url():
	data = disk()
	write("a.raw", data)
	vdisk("convert", "-O", "qcow2", "a.raw", "a.qcow2")
	vdisk("convert", "-c", "-O", "qcow2", "a.raw", "c.qcow2")
	with Site({"/x/a.raw": data, "/x/a.qcow2": read("a.qcow2"), "/x/c.qcow2": read("c.qcow2")}) as site:
		for name, fmt in (("a.raw", "raw"), ("a.qcow2", "qcow2"), ("c.qcow2", "qcow2")):
			url = "%s/x/%s" % (site.base, name)
			info = web("info", "--json", url).json()
			eq(fmt, info["format"], "format of " + url)
			eq(vdisk("info", "--json", name).json()["virtual-size"], info["virtual-size"], "size of " + url)
			check(web("info", url).out.startswith("image: %s\n" % url), "info names the URL")
			eq(vdisk("digest", name).out.split()[0], web("digest", url).out.split()[0], "digest of " + url)
			web("compare", "a.raw", url)
			if fmt == "qcow2":
				web("check", url)
			web("map", url)
			for jobs in ([], ["-j1"], ["-j4"]):
				web("convert", *jobs, "-O", "raw", url, "out.raw")
				eq(hashlib.sha256(read("a.raw")).hexdigest(), hashlib.sha256(read("out.raw")[:len(data)]).hexdigest(), "content of %s, %s" % (url, jobs))
				os.unlink("out.raw")
			web("measure", "-O", "qcow2", url)
		other = bytearray(data)
		other[2 * MIB + 70000] ^= 1
		write("b.raw", bytes(other))
		web("compare", "b.raw", site.base + "/x/a.raw", rc=1)
		check(all("Range" in h for _, h in site.seen), "nothing but ranges was asked for")


@case
def few_requests_for_facts():
	"""What info takes is not the image: a few blocks of it, and a small read does not ask once per sector."""
	vdisk("create", "-f", "qcow2", "big.qcow2", "1T")
	data = read("big.qcow2") + bytes(64 * MIB)
	with Site({"/big.qcow2": data}) as site:
		web("info", site.base + "/big.qcow2")
		check(site.count <= 6, "info took %d requests" % site.count)


@case
def lint_reads_little():
	data = disk(64 * MIB)
	with Site({"/a.raw": data}) as site:
		r = run(VDISK, "lint", "--for", "azure", site.base + "/a.raw", env=CLEAN)
		check(r.rc in (0, 1) and r.out, r.show())
		eq(run(VDISK, "lint", "--for", "azure", write("a.raw", data) or "a.raw").out.replace("a.raw", "X"), r.out.replace(site.base + "/a.raw", "X"), "what lint says")
		check(site.count <= 20, "lint took %d requests" % site.count)
		check(site.sent <= 4 * MIB, "lint took %d bytes" % site.sent)


@case
def connections_are_kept():
	data = disk(24 * MIB)
	with Site({"/a.raw": data}) as site:
		web("convert", "-j4", "-O", "qcow2", site.base + "/a.raw", "a.qcow2")
		check(site.count > 12, "%d requests for 24 MiB" % site.count)
		check(2 <= len(site.peers) <= 5, "%d connections for %d requests by 4 threads" % (len(site.peers), site.count))
		web("compare", "a.qcow2", site.base + "/a.raw")


@case
def memory_stays_bounded():
	"""A disk of 256 MiB that the server makes up; our peak does not grow with it."""
	size = 256 * MIB
	block = random.Random(SEED).randbytes(MIB)

	class Endless:
		def __len__(self):
			return size

		def __getitem__(self, s):
			a, b, _ = s.indices(size)
			return (block * ((b - a) // MIB + 2))[a % MIB:a % MIB + b - a]
	with Site({"/a.raw": Endless()}) as site:
		# By a small process: what this one takes, the server in it, would be the floor of the figure.
		code = ("import resource, subprocess, sys; rc = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
		        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(rc)")
		rss = int(ran(sys.executable, "-c", code, VDISK, "digest", site.base + "/a.raw", env=CLEAN).out) * KIB
		check(rss < 160 * MIB, "%d MiB of memory for 256 MiB of disk" % (rss // MIB))
		print("peak memory: %d MiB" % (rss // MIB))


@case
def an_empty_file():
	with Site({"/a.raw": b""}) as site:
		refused(web("info", site.base + "/a.raw", rc=2), "empty")


@case
def no_ranges():
	data = disk()

	def whole(q, n):
		q.send_response(200)
		q.send_header("Content-Length", str(len(data)))
		q.end_headers()
		q.send(data)
		q.close_connection = True
		return True
	with Site({"/a.raw": data}, whole) as site:
		refused(web("convert", "-O", "qcow2", site.base + "/a.raw", "a.qcow2", rc=2), "download it first")
	check(os.listdir(".") == [], "something was left: %s" % os.listdir("."))


def fails(what, fault, *words, kind="convert"):
	"""The conversion fails with one line, and leaves no image."""
	data = disk()
	with Site({"/a.raw": data}, fault) as site:
		refused(web("convert", "-O", "raw", site.base + "/a.raw", "out.raw", rc=2), *words)
	check(not os.path.exists("out.raw"), "%s: an image was left" % what)


def passes(what, fault):
	"""Whatever the server did, the bytes are the right ones."""
	data = disk()
	with Site({"/a.raw": data}, fault) as site:
		web("convert", "-O", "raw", site.base + "/a.raw", "out.raw")
	eq(hashlib.sha256(data).hexdigest(), hashlib.sha256(read("out.raw")).hexdigest(), what)


@case
def faults_that_pass():
	def once(status, *headers):
		return lambda q, n: n in (2, 4) and q.status(status, headers, b"an error's page")

	def drop(q, n): # the connection ends in the middle, headers and all
		if n not in (2, 3, 5):
			return False
		a, b, data = q.span()
		q.serve(body=data[a:a + (b - a) // 3], length=b - a, close=True)
		q.connection.close()
		return True

	def drop_at_once(q, n):
		if n not in (2, 3):
			return False
		q.close_connection = True
		return True

	def less(q, n): # fewer bytes than asked for, and it says so
		a, b, data = q.span()
		end = min(b, a + 100000)
		q.serve(stop=end, body=data[a:end])
		return True
	for what, fault in (("503", once(503)), ("500", once(500)), ("429", once(429, ("Retry-After", "1"))), ("dropped", drop),
	                    ("dropped at once", drop_at_once), ("less", less)):
		passes(what, fault)
		os.unlink("out.raw")


@case
def faults_that_last():
	fails("503", lambda q, n: n > 2 and q.status(503), "503", "tried 7 times")
	fails("404", lambda q, n: q.status(404), "404")
	fails("401", lambda q, n: q.status(401), "401", "--header-file")

	def silent(q, n):
		q.close_connection = n > 2
		return n > 2
	fails("gone", silent, "tried 7 times")
	with Site({}) as site:
		dead = site.base
	refused(web("info", dead + "/a.raw", rc=2), dead)


@case
def a_file_that_changes():
	def tag(q, n):
		return n > 2 and (q.serve(tag='"two"'), True)[1]

	def size(q, n):
		return n > 2 and (q.serve(total=77777777), True)[1]

	def condition(q, n): # a server that knows If-Match
		return n > 2 and q.headers.get("If-Match") == '"one"' and q.status(412, [("ETag", '"two"')])
	fails("ETag", tag, "has changed", '"two"')
	fails("size", size, "has changed", "77777777")
	fails("412", condition, "has changed")

	def whole(q, n):
		return n > 2 and q.status(200, [("ETag", '"two"')], b"x" * 1000)
	fails("200", whole, "has changed")


@case
def lies():
	def at(lie):
		return lambda q, n: n > 2 and (lie(q), True)[1]

	def other_bytes(q):
		a, b, _ = q.span()
		q.serve(start=a + 512, stop=b + 512)

	def more(q): # behind the range that it says
		a, b, data = q.span()
		q.send_response(206)
		q.send_header("Content-Range", "bytes %d-%d/%d" % (a, b - 1, len(data)))
		q.send_header("Transfer-Encoding", "chunked")
		q.end_headers()
		body = data[a:b] + bytes(512)
		q.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

	def fewer(q): # the length and the range do not agree
		a, b, data = q.span()
		q.serve(body=data[a:a + 512])

	def none(q):
		a, b, data = q.span()
		q.status(206, [], data[a:b])

	def packed(q):
		q.serve(extra=[("Content-Encoding", "gzip")])
	fails("other bytes", at(other_bytes), "were asked for")
	fails("more", at(more), "more bytes than it said")
	fails("fewer", at(fewer), "contradicts itself")
	fails("no Content-Range", at(none), "Content-Range")
	fails("encoded", at(packed), "Content-Encoding")
	fails("huge", lambda q, n: (q.serve(total=1 << 64), True)[1], "Content-Range")


@case
def a_lost_tail_in_chunks():
	"""Chunked, and the last chunk says that this was all, though it was not: the rest is asked for, and nothing is made up."""
	def short(q, n):
		if n % 3 != 2:
			return False
		a, b, data = q.span()
		q.send_response(206)
		q.send_header("Content-Range", "bytes %d-%d/%d" % (a, b - 1, len(data)))
		q.send_header("Transfer-Encoding", "chunked")
		q.end_headers()
		body = data[a:a + (b - a) // 2]
		q.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
		return True
	passes("short chunks", short)


@case
def redirections():
	data = disk()

	def to(where, code=302):
		return lambda q, n: not q.path.startswith("/real") and q.status(code, [("Location", where)])
	with Site({"/real.raw": data, "/a.raw": data}) as other:
		for code in (301, 302, 303, 307, 308):
			with Site({"/real.raw": data}, to("/real.raw", code)) as site:
				web("compare", "-f", "raw", site.base + "/a.raw", other.base + "/a.raw")
		with Site({}, lambda q, n: q.status(302, [("Location", other.base + "/real.raw")])) as site:
			write("headers", b"# of the test\nX-Token: s3cret\nCookie: id=7\n")
			other.seen.clear()
			web("digest", "--header-file", "headers", site.base + "/a.raw")
			check(all(h.get("X-Token") == "s3cret" and h.get("Cookie") == "id=7" for _, h in site.seen), "headers went to the server: %s" % site.seen)
			check(other.seen and not any("X-Token" in h or "Cookie" in h for _, h in other.seen), "headers went to another server")
			eq(1, site.count, "redirections followed: the place is remembered")
	with Site({}, lambda q, n: q.status(302, [("Location", "/again")])) as site:
		refused(web("info", site.base + "/a.raw", rc=2), "redirected more than 5 times")
	for bad in ("ftp://127.0.0.1/a.raw", "file:///etc/passwd"):
		with Site({}, lambda q, n: q.status(302, [("Location", bad)])) as site:
			refused(web("info", site.base + "/a.raw", rc=2), "redirects to")


@case
def a_place_that_expires():
	"""Signed places last for minutes: the URL that the user gave is asked again."""
	data = disk()
	now = [0]

	def fault(q, n):
		if q.path == "/a.raw":
			now[0] += 1
			return q.status(302, [("Location", "/real.raw?key=%d" % now[0])])
		if q.path != "/real.raw?key=%d" % now[0] or (n == 4):
			return q.status(403)
		return False
	with Site({"/real.raw": data}, fault) as site:
		web("convert", "-j1", "-O", "raw", site.base + "/a.raw", "out.raw")
		eq(2, now[0], "how often the URL itself was asked")
	check(read("out.raw") == data, "content")


@case
def credentials():
	data = disk()

	def fault(q, n):
		return q.headers.get("Authorization") != "Basic dXNlcjpwYXNz" and q.status(401)
	write("netrc", b"machine 127.0.0.1 login user password pass\n")
	write("other", b"machine example.com login user password pass\n")
	with Site({"/a.raw": data}, fault) as site:
		web("digest", "--netrc-file", "netrc", site.base + "/a.raw")
		refused(web("digest", site.base + "/a.raw", rc=2), "401")
		refused(web("digest", "--netrc-file", "other", site.base + "/a.raw", rc=2), "401")
		refused(web("digest", "--netrc-file", "missing", site.base + "/a.raw", rc=2), "missing")
		url = site.base.replace("//", "//user:pass@") + "/a.raw"
		r = web("digest", url, rc=2)
		refused(r, "user name or password")
		check("pass@" not in r.err, "the password is shown")
	for text, word in ((b"no header\n", "line 1"), (b"\n# none\n", "no header"), (b"Range: bytes=0-1\n", "Range"), (b"X: a\x01b\n", "control"),
	                   (b"X: " + b"a" * 70000, "longer")):
		write("bad", text)
		refused(web("digest", "--header-file", "bad", "http://127.0.0.1:9/a.raw", rc=2), word)


@case
def tls():
	ran("certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", "key.pem")
	for name, host in (("cert", "localhost"), ("wrong", "elsewhere.example")):
		write(name + ".cfg", ("cn = %s\ndns_name = %s\ntls_www_server\nsigning_key\nca\nexpiration_days = 2\n" % (host, host)).encode())
		ran("certtool", "--generate-self-signed", "--load-privkey", "key.pem", "--template", name + ".cfg", "--outfile", name + ".pem")
	data = disk()
	with Site({"/a.raw": data}, tls=("cert.pem", "key.pem")) as site:
		refused(web("info", site.base + "/a.raw", rc=2), site.base)
		refused(web("info", "--cacert", "wrong.pem", site.base + "/a.raw", rc=2), site.base)
		refused(web("info", "--cacert", "missing.pem", site.base + "/a.raw", rc=2), "missing.pem")
		web("convert", "--cacert", "cert.pem", "-O", "raw", site.base + "/a.raw", "out.raw")
		check(read("out.raw") == data, "content")
		with Site({}) as plain: # https to http
			site.fault = lambda q, n: q.status(302, [("Location", plain.base + "/a.raw")])
			refused(web("info", "--cacert", "cert.pem", site.base + "/a.raw", rc=2), "from https to http")
			eq(0, plain.count, "requests without TLS")
	with Site({"/a.raw": data}, tls=("wrong.pem", "key.pem")) as site:
		refused(web("info", "--cacert", "wrong.pem", site.base + "/a.raw", rc=2), site.base)


@case
def esxi():
	"""/folder/NAME.vmdk?dcPath=…&dsName=… with a cookie: the descriptor, and the flat extent beside it by the same query."""
	data = disk(4 * MIB)
	write("a.raw", data)
	vdisk("convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", "a.raw", "vm.vmdk")
	flat = [n for n in os.listdir(".") if n.endswith("-flat.vmdk")][0]

	def fault(q, n):
		if q.headers.get("Cookie") != "vmware_soap_session=abc":
			return q.status(401)
		return not q.path.endswith("?dcPath=ha-datacenter&dsName=datastore1") and q.status(404)
	write("cookie", b"Cookie: vmware_soap_session=abc\n")
	with Site({"/folder/v%20m/vm.vmdk": read("vm.vmdk"), "/folder/v%20m/" + flat: read(flat)}, fault) as site:
		url = site.base + "/folder/v%20m/vm.vmdk?dcPath=ha-datacenter&dsName=datastore1"
		refused(web("info", url, rc=2), "401")
		info = web("info", "--json", "--header-file", "cookie", url).json()
		eq("vmdk", info["format"], "format")
		web("convert", "--header-file", "cookie", "-O", "raw", url, "out.raw")
		check(read("out.raw") == data, "content")


@case
def names_lead_nowhere_else():
	"""What an image names is followed beneath its own folder, where its format was said, and nowhere else."""
	data = disk(2 * MIB)
	write("base.raw", data)
	for name in ("base.raw", "sub/base.raw"):
		os.makedirs("sub", exist_ok=True)
		shutil.copyfile("base.raw", "sub/base.raw")
		qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", name, "top.qcow2")
		with Site({"/d/top.qcow2": read("top.qcow2"), "/d/top": read("top.qcow2"), "/d/" + name: data}) as site:
			web("convert", "-O", "raw", site.base + "/d/top.qcow2", "out.raw")
			check(read("out.raw") == data, "content over " + name)
			os.unlink("out.raw")
			refused(web("digest", site.base + "/d/top", rc=2), "only the image's own bytes say")
			web("digest", "-f", "qcow2", site.base + "/d/top")
	with Site({"/secret.raw": data, "/d/x/secret.raw": data}) as site:
		for name in ("../secret.raw", "/secret.raw", "x/../x/secret.raw", "%s/secret.raw" % site.base, "http://127.0.0.1/secret.raw", "./secret.raw"):
			qemu_img("create", "-u", "-f", "qcow2", "-F", "raw", "-b", "json:{}" if "://" in name else name, "top.qcow2", "2M")
			top = read("top.qcow2")
			if "://" in name: # qemu-img would look
				vdisk("create", "--force", "-f", "qcow2", "plain.qcow2", "2M")
				qemu_img("rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", name, "plain.qcow2")
				top = read("plain.qcow2")
			site.files["/d/top.qcow2"] = top
			site.seen.clear()
			refused(web("digest", site.base + "/d/top.qcow2", rc=2), "names")
			check(not any("secret" in p for p, _ in site.seen), "%s was followed: %s" % (name, site.seen))
	# and a local image does not lead to a server
	with Site({"/base.raw": data}) as site:
		vdisk("create", "--force", "-f", "qcow2", "plain.qcow2", "2M")
		qemu_img("rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", site.base + "/base.raw", "plain.qcow2")
		refused(web("digest", "plain.qcow2", rc=2), "never followed")
		eq(0, site.count, "requests")


@case
def not_for_writing():
	data = disk()
	write("a.raw", data)
	with Site({"/a.raw": data}) as site:
		url = site.base + "/a.raw"
		refused(web("resize", "-f", "raw", url, "10M", rc=2), "a file is wanted")
		refused(web("convert", "-O", "raw", "a.raw", site.base + "/b.raw", rc=2), "web server")
		refused(web("convert", "--used-only", url, "b.qcow2", rc=2), "--used-only")
		refused(web("convert", "--punch-source=destroy-source", url, "b.qcow2", rc=2), "a file is wanted")
		eq(0, site.count, "requests")
	for bad, word in (("http://", "no server"), ("http:///a.raw", "no server"), ("http://h/a b.raw", "space")):
		refused(web("info", bad, rc=2), word)


@case
def resumed():
	"""A conversion that the server broke off goes on, of the same version only."""
	data = disk(48 * MIB)
	bad = [True]

	def fault(q, n):
		if bad[0] and n > 10:
			time.sleep(0.05) # the record is written five times a second
		return bad[0] and n > 30 and q.status(404)
	with Site({"/a.raw": data}, fault) as site:
		url = site.base + "/a.raw"
		r = web("convert", "-j1", "--resume", "-O", "raw", url, "out.raw", rc=2)
		check("404" in r.err and "--resume" in r.err, r.err)
		bad[0] = False
		site.tag = '"two"'
		refused(web("convert", "-j1", "--resume", "-O", "raw", url, "out.raw", rc=2), "cannot be resumed")
		site.tag = '"one"'
		r = web("convert", "-j1", "--json", "--resume", "-O", "raw", url, "out.raw").json()
		check(r["resumed"] > 0, "nothing was gone on with: %s" % r)
	check(read("out.raw") == data, "content")


@case
def stopped_beside_a_server_that_hangs():
	"""An answer that stops in its midst, and a server that wants to be asked again later: who asks to stop is not kept waiting."""
	data = disk()
	for what in ("body", "later"):
		hung, hold = threading.Event(), threading.Event()

		def fault(q, n):
			if n <= 3:
				return False
			hung.set()
			if what == "later":
				return q.status(503, [("Retry-After", "10")])
			a, b, _ = q.span()
			q.serve(body=data[a:a + 10], length=b - a)
			q.wfile.flush()
			return hold.wait(60) or True
		with Site({"/a.raw": data}, fault) as site:
			with open("err", "wb") as err:
				p = subprocess.Popen([VDISK, "convert", "--force", "-f", "raw", "-O", "qcow2", site.base + "/a.raw", "out.qcow2"], stderr=err,
				                     env=dict(os.environ, **CLEAN))
			check(hung.wait(60) and p.poll() is None, "%s: it ended by itself: %s" % (what, read("err")))
			begin = time.monotonic()
			p.send_signal(signal.SIGINT)
			try:
				p.wait(20)
			except subprocess.TimeoutExpired:
				p.kill()
			check(time.monotonic() - begin < 15, "%s: still waiting after 15 s" % what)
			eq(2, p.wait(), "exit status, %s: %s" % (what, read("err")))
			check(b"interrupted" in read("err"), "%s: told: %s" % (what, read("err")))
			check(not os.path.exists("out.qcow2"), "%s: something appeared under the destination's name" % what)
			hold.set()


@case
def nginx():
	"""A real server: ranges by sendfile, conditions, several connections."""
	if not shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
		skip("nginx is not installed")
	data = disk(40 * MIB)
	os.mkdir("www")
	write("www/a.raw", data)
	vdisk("convert", "-c", "-O", "qcow2", "www/a.raw", "www/c.qcow2")
	with nginx_on("www") as base:
		web("convert", "-O", "raw", base + "/a.raw", "out.raw")
		check(read("out.raw") == data, "content")
		web("compare", "www/a.raw", base + "/c.qcow2")
		refused(web("info", base + "/missing.raw", rc=2), "404")


@contextlib.contextmanager
def nginx_on(folder):
	import socket
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		port = s.getsockname()[1]
	here = os.getcwd()
	os.chmod(here, 0o755)
	with open("nginx.conf", "w") as f:
		f.write("daemon off; master_process off; pid %s/pid; error_log %s/error.log; events { worker_connections 64; }\n"
		        "http { access_log off; sendfile on; keepalive_requests 100000; client_body_temp_path %s/t1; proxy_temp_path %s/t2;\n"
		        "fastcgi_temp_path %s/t3; uwsgi_temp_path %s/t4; scgi_temp_path %s/t5;\n"
		        "server { listen 127.0.0.1:%d; root %s/%s; } }\n" % ((here,) * 7 + (port, here, folder)))
	p = subprocess.Popen(["nginx", "-p", here, "-c", here + "/nginx.conf"], stderr=subprocess.DEVNULL,
	                     env=dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin"))
	try:
		end = time.monotonic() + 60
		while True:
			with socket.socket() as s:
				if s.connect_ex(("127.0.0.1", port)) == 0:
					break
			check(p.poll() is None and time.monotonic() < end, "nginx did not start")
			time.sleep(0.02)
		yield "http://127.0.0.1:%d" % port
	finally:
		p.terminate()
		p.wait()


main()

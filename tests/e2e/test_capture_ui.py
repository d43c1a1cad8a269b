#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk capture-ui, driven through its screens on a pty: what it asks, what it refuses, what it runs.  vdisk-capture is a script here that says what the real one
says; the receiver that "Test" talks to is a TLS server that knows one token.  Then the real ones, when they are built."""
import http.server, os, pty, ssl, struct, sys, fcntl, termios
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from terminal import *

UI = os.path.join(BUILD, "vdisk-capture-ui")
TOKEN = "Token-1234"
MACHINE = {
	"schema-version": 1, "type": "vdisk-machine", "name": "old", "uuid": "11111111-2222-3333-4444-555555555555", "firmware": "bios", "cpus": 2, "memory": 1 << 30,
	"host": {"vendor": "Testco", "product": "Tower 9"},
	"disks": [
		{"name": "sda", "medium": "disk", "size": 8 << 30, "model": "ROTATOR 8", "path": "/dev/sda"},
		{"name": "sdb", "medium": "disk", "size": 4 << 30, "model": "STICK", "removable": True, "path": "/dev/sdb"},
		{"name": "sr0", "medium": "cdrom", "size": 1 << 20, "path": "/dev/sr0"},
	],
	"partitions": [{"disk": "sda", "name": "sda1", "filesystem": "ext4", "label": "rootfs"}],
}
STUB = """#!%s
import json, os, sys, time
a = sys.argv[1:]
if "--list" in a:
	sys.stdout.write(open("machine.json").read())
	sys.exit(0)
json.dump({"argv": a, "token": open(a[a.index("--token-file") + 1]).read(), "mode": os.stat(a[a.index("--token-file") + 1]).st_mode & 0o777}, open("ran.json.new", "w"))
os.rename("ran.json.new", "ran.json")
def say(**o):
	sys.stderr.write(json.dumps(dict(o, event="progress")) + "\\n"); sys.stderr.flush()
sys.stderr.write("vdisk capture: warning: sda: a sector cannot be read\\n")
say(phase="reading", disk="sda", **{"pass": 1}, done=2 << 30, total=8 << 30, **{"bytes-per-second": 100 << 20, "seconds-left": 61.4})
while not os.path.exists("go"): # what the test wants to see stays on the screen until then
	time.sleep(0.05)
say(phase="reading", disk="sda", **{"pass": 1}, done=8 << 30, total=8 << 30, **{"bytes-per-second": 100 << 20, "seconds-left": 0})
if os.path.exists("bad"):
	sys.stderr.write("vdisk capture: the server is full\\n"); sys.exit(2)
""" % sys.executable


def prepare():
	if not os.path.exists(UI):
		skip("vdisk-capture-ui is not built")
	with open("machine.json", "w") as f:
		json.dump(MACHINE, f)
	for name, text in (("capture", STUB), ("power", "#!/bin/sh\necho $1 >>power.said\n"), ("net", "#!/bin/sh\necho \"$@\" >>net.said\n")):
		with open(name, "w") as f:
			f.write(text)
		os.chmod(name, 0o755)
	return ["--capture-program", os.path.abspath("capture"), "--power-program", os.path.abspath("power")]


@contextlib.contextmanager
def screens(*args, term="vt102"):
	"""The interface on a pty."""
	pid, fd = pty.fork()
	if not pid:
		os.environ.update(TERM=term, LC_ALL="C.UTF-8")
		os.execv(UI, [UI, *args])
	fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
	t = Terminal(fd)
	t.pid = pid
	try:
		yield t
	finally:
		with contextlib.suppress(ProcessLookupError):
			os.kill(pid, signal.SIGKILL)
		if t.pid:
			os.waitpid(pid, 0)
		os.close(fd)


def left(t, seconds=60):
	end = time.monotonic() + seconds
	while time.monotonic() < end:
		pid, status = os.waitpid(t.pid, os.WNOHANG)
		if pid:
			t.pid = 0
			return os.waitstatus_to_exitcode(status)
		t.read(0.05)
	fail("does not end:\n" + t.text())


class Receiver(http.server.BaseHTTPRequestHandler):
	def do_POST(self):
		self.rfile.read(int(self.headers.get("Content-Length", 0)))
		self.server.asked.append(self.headers.get("Authorization"))
		good = self.headers.get("Authorization") == "Bearer " + TOKEN
		body = b'{"error": "no"}'
		self.send_response(400 if good else 401)
		self.send_header("Content-Length", str(len(body)))
		self.end_headers()
		self.wfile.write(body)

	def log_message(self, *args):
		pass


@contextlib.contextmanager
def receiver():
	"""Yields (port, fingerprint, tokens that were asked about)."""
	need("certtool")
	with open("template", "w") as f:
		f.write("cn = receiver\nexpiration_days = 10\n")
	ran("certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", "key.pem")
	ran("certtool", "--generate-self-signed", "--load-privkey", "key.pem", "--template", "template", "--outfile", "cert.pem")
	der = ran("certtool", "--load-privkey", "key.pem", "--pubkey-info", "--outder", "--outfile", "pub.der")
	with open("pub.der", "rb") as f:
		fingerprint = hashlib.sha256(f.read()).hexdigest()
	server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
	server.asked = []
	tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
	tls.load_cert_chain("cert.pem", "key.pem")
	server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
	thread = threading.Thread(target=server.serve_forever, daemon=True)
	thread.start()
	try:
		yield server.server_port, fingerprint, server.asked
	finally:
		server.shutdown()
		server.server_close()


def fill(t, server, token, fingerprint):
	"""From any place of the first screen where the first field has the cursor."""
	t.key(ERASE, server, TAB, ERASE, token, TAB, ERASE, fingerprint, TAB)


@case
def from_the_server_to_power_off():
	common = prepare()
	with receiver() as (port, fingerprint, asked), screens(*common) as t:
		t.until("Capture this machine")
		t.until("Testco Tower 9, 2 CPUs, 1.0 GiB, bios")
		fill(t, "localhost:%d" % port, TOKEN, fingerprint)
		t.key(TAB, ENTER) # from Next to Test
		t.until("it takes the token")
		t.key(ENTER)
		t.until("Next")
		t.key(TAB, TAB, TAB, TAB, TAB, ENTER) # more, the fields, Next
		t.until("Which disks are to be captured")
		check(t.has(r"\[\*\] sda +8.0 GiB ROTATOR 8: ext4 .rootfs"), "sda is not ticked:\n" + t.text())
		check(t.has(r"\[ \] sdb"), "the removable one is ticked:\n" + t.text())
		check(not t.has("sr0"), "the CD-ROM drive is offered:\n" + t.text())
		t.key(TAB, ENTER)
		t.until("Begin\\?")
		t.until("1 disk \\(8.0 GiB")
		t.key(ENTER)
		t.until("a sector cannot be read")
		t.until(r"25 %.*2.0 GiB of 8.0 GiB 100.0 MiB/s time left: 0:01:01 reading")
		open("go", "w").close()
		t.until("Captured.*The capture is complete")
		t.key(ENTER)
		t.until("Power off")
		t.key(DOWN, ENTER)
		eq(0, left(t), "exit status")
	with open("power.said") as f:
		eq("poweroff\n", f.read(), "what the power program was told")
	with open("ran.json") as f:
		done = json.load(f)
	eq((TOKEN + "\n", 0o600), (done["token"], done["mode"]), "the token's file")
	a = done["argv"]
	eq("https://localhost:%d/" % port, a[a.index("--to") + 1], "--to")
	eq(fingerprint, a[a.index("--fingerprint") + 1], "--fingerprint")
	eq(["/dev/sda"], a[a.index("--") + 1:], "disks")
	check(TOKEN not in " ".join(a), "the token stands on the command line")
	check(not os.path.exists(a[a.index("--token-file") + 1]), "the token's file is still there")
	eq({"Bearer " + TOKEN}, set(asked), "tokens that were sent")


@case
def what_is_wrong_is_said():
	common = prepare()
	with receiver() as (port, fingerprint, asked), screens(*common) as t:
		t.until("Capture this machine")
		for server, token, print_, says in (
			("http://localhost", TOKEN, "", "reached by https"),
			("localhost:99999", TOKEN, "", "port"),
			("localhost:%d" % port, "", "", "token is empty"),
			("localhost:%d" % port, TOKEN, "abc", "64 digits"),
		):
			t.key(ERASE, server, TAB, ERASE, token, TAB, ERASE, print_, TAB, TAB, ENTER)
			t.until(says)
			t.key(ENTER)
			t.until("Next")
			# Wherever the cursor stands now, the fields are reached by name.
			to_server(t)
		fill(t, "localhost:%d" % port, TOKEN, "0" * 64)
		t.key(TAB, ENTER)
		t.until("another server answers")
		check(fingerprint[:32] in t.text() or fingerprint[:20] in re_joined(t), "the fingerprint is not shown:\n" + t.text())
		eq([], asked, "tokens sent to a server that is not the one")
		t.key(ENTER)
		to_server(t)
		fill(t, "localhost:%d" % port, "wrong", fingerprint)
		t.key(TAB, ENTER)
		t.until("know this token")
		t.key(ENTER)
		to_server(t)
		fill(t, "localhost:1", TOKEN, fingerprint)
		t.key(TAB, ENTER)
		t.until("no connection to|onnection refused")
		check(not os.path.exists("ran.json"), "a capture was begun")


def re_joined(t):
	return "".join(t.text().split())


def to_server(t):
	"""Puts the cursor into the first field: it is there when what is typed shows.  Each try has a word of its own, since what was typed
	before may show late; on a button none shows."""
	t.until("Fingerprint")
	for i in range(30):
		word = "here%02d" % i
		t.key(ERASE, word)
		end = time.monotonic() + 0.5
		while not t.has(word) and time.monotonic() < end:
			t.read(0.1)
		if t.has("Server " + word):
			return
		t.key(TAB)
	fail("the first field is never reached:\n" + t.text())


@case
def a_stranger_is_compared():
	"""No fingerprint was typed: it is shown, and taken when somebody says that it is the same."""
	common = prepare()
	with receiver() as (port, fingerprint, asked), screens(*common) as t:
		t.until("Capture this machine")
		fill(t, "localhost:%d" % port, TOKEN, "")
		t.key(TAB, ENTER)
		t.until("Is it the same")
		check(t.has(fingerprint[:32] + ".*" + fingerprint[32:]), "the fingerprint is not shown:\n" + t.text())
		eq([], asked, "tokens sent to a stranger")
		t.key(ENTER)
		t.until("it takes the token")
		eq(["Bearer " + TOKEN], asked, "tokens sent")


@case
def a_failure_and_again():
	common = prepare()
	open("bad", "w").close()
	open("go", "w").close()
	with open("token", "w") as f:
		f.write(TOKEN + "\n")
	with receiver() as (port, fingerprint, asked), screens(*common, "--server", "localhost:%d" % port, "--token-file", "token", "--fingerprint", fingerprint,
	                                                       "--disks", "sdb,sda") as t:
		t.until("Capture this machine")
		t.key(TAB, TAB, TAB, ENTER)
		t.until(r"\[\*\] sdb")
		t.key(TAB, ENTER)
		t.until("2 disks")
		t.key(ENTER)
		t.until("Not captured.*the server is full")
		os.unlink("bad")
		t.key(TAB, ENTER)
		t.until("Captured.*The capture is complete")


@case
def networks():
	common = prepare()
	if not any(os.path.exists("/sys/class/net/%s/device" % n) for n in os.listdir("/sys/class/net")):
		skip("there is no network card with hardware here")
	with screens(*common, "--net-program", os.path.abspath("net")) as t:
		t.until("Capture this machine")
		t.key(TAB, TAB, TAB, TAB, TAB, ENTER)
		t.until("Network cards")
		t.key(TAB, TAB, ENTER) # the list, DHCP, Address
		t.until("Address/prefix")
		t.key("192.0.2.7", TAB, TAB, TAB, ENTER)
		t.until("no address with its prefix")
		t.key(ENTER)
		t.until("Address/prefix")
		t.key(ERASE, "192.0.2.7/24", TAB, "192.0.2.1", TAB, TAB, ENTER)
		until_file("net.said")
	with open("net.said") as f:
		words = f.read().split()
	eq(["static", "192.0.2.7/24", "192.0.2.1"], words[:1] + words[2:], "what the network program was told")


def until_file(path, seconds=60):
	"""Until something stands in it: what is written here comes at once."""
	end = time.monotonic() + seconds
	while not os.path.exists(path) or not os.path.getsize(path):
		if time.monotonic() > end:
			fail("there is no %s after %d s" % (path, seconds))
		time.sleep(0.05)


@case
def unattended():
	common = prepare()
	open("go", "w").close()
	with open("cmdline", "w") as f:
		f.write("quiet vdisk.auto vdisk.server=192.0.2.1 vdisk.token=%s vdisk.fingerprint=%s vdisk.after=reboot vdisk.disks=sda\n" % (TOKEN, "ab" * 32))
	r = ran(UI, "--auto", "--cmdline", "cmdline", *common)
	check("the capture is complete; reboot" in r.out and "ROTATOR 8" in r.out, r.show())
	with open("power.said") as f:
		eq("reboot\n", f.read(), "what the power program was told")
	with open("ran.json") as f:
		a = json.load(f)["argv"]
	eq(["/dev/sda"], a[a.index("--") + 1:], "disks")
	eq("https://192.0.2.1:8443/", a[a.index("--to") + 1], "--to")
	open("bad", "w").close()
	r = ran(UI, "--auto", "--cmdline", "cmdline", *common, rc=2)
	check("the server is full" in r.out and "not complete" in r.out, r.show())
	with open("power.said") as f:
		eq("reboot\n", f.read(), "the power after a failure")
	r = ran(UI, "--auto", "--cmdline", "cmdline", "--disks", "sda,sdz", *common, rc=2)
	check("no disk sdz" in r.out, r.show())
	with open("cmdline", "w") as f:
		f.write("vdisk.auto vdisk.servre=x\n")
	r = ran(UI, "--auto", "--cmdline", "cmdline", *common, rc=2)
	check("vdisk.servre=x" in r.err, r.show())


main()

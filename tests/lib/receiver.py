# SPDX-License-Identifier: LGPL-2.1-or-later
"""A running `vdisk receive`, which can be killed and started again under the same address, and a proxy whose connections can be cut."""
import http.client, json, os, re, select, signal, socket, ssl, subprocess, threading
from vdtest import *

RECEIVE = os.path.join(BUILD, "vdisk-receive")
TOKEN = "a-token-for-tests"


class Receiver:
	"""A running `vdisk receive --json`; `hello` is what it said of itself, `lines` what it said since."""
	def __init__(self, *args, store="store", token=None, preexec=None, err=None, program=None):
		if not os.path.exists(RECEIVE):
			skip("the build has no vdisk-receive")
		self.args = args + (("--token", token) if token else ())
		self.store, self.token, self.preexec, self.program = store, token, preexec, program or [VDISK, "receive"]
		self.lines, self.port, self.err = [], 0, err
		self.start()

	def start(self):
		"""Returns when it listens: where it did before."""
		listen = [] if "--listen" in self.args else ["--listen", "127.0.0.1:%d" % self.port]
		self.p = subprocess.Popen([*self.program, "--json", "--store", self.store, *listen, *self.args], stdout=subprocess.PIPE, stderr=self.err,
		                          preexec_fn=self.preexec)
		line = self.p.stdout.readline()
		check(line, "the receiver said nothing: exit status %s" % (self.p.wait() if not line else ""))
		self.hello = json.loads(line)
		eq("listening", self.hello["event"], "the first event")
		self.port = self.hello["port"]
		self.reader = threading.Thread(target=self.read, args=(self.p,), daemon=True)
		self.reader.start()

	def read(self, p):
		for line in p.stdout:
			self.lines.append(json.loads(line))

	def kill(self):
		self.p.kill()
		self.p.wait()
		self.reader.join()
		self.p.stdout.close()

	def again(self):
		"""Killed like by the power, and begun anew on the same port."""
		self.kill()
		self.start()

	def end(self, rc=0, sig=signal.SIGTERM, seconds=120):
		if sig:
			self.p.send_signal(sig)
		try:
			got = self.p.wait(seconds)
		except subprocess.TimeoutExpired:
			self.kill()
			fail("the receiver does not end")
		self.reader.join()
		self.p.stdout.close()
		eq(rc, got, "the receiver's exit status")

	def __enter__(self):
		return self

	def __exit__(self, *what):
		if self.p.poll() is None:
			self.kill()

	def memory(self):
		"""The most that it had in memory, in bytes."""
		with open("/proc/%d/status" % self.p.pid) as f:
			return int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1]) << 10

	def moved(self):
		"""Bytes that it has read and written, files and sockets."""
		with open("/proc/%d/io" % self.p.pid) as f:
			return sum(int(n) for n in re.findall(r"^[rw]char: (\d+)", f.read(), re.M))

	def view(self, path="/v1/captures", key=True):
		status, body = self.get(path, self.hello["view-key"] if key else None)
		eq(200, status, path)
		return json.loads(body)

	def get(self, path, secret):
		"""(status, body), as a browser without cookies would get them."""
		c = http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl._create_unverified_context(), timeout=120)
		c.request("GET", path, headers={"Authorization": "Bearer " + secret} if secret else {})
		a = c.getresponse()
		got = a.status, a.read()
		c.close()
		return got

	def words(self, port=None):
		"""What a client is told."""
		return ["--to", "https://127.0.0.1:%d/" % (port or self.port), "--token", self.token or self.hello["token"], "--fingerprint", self.hello["fingerprint"]]

	def folder(self):
		"""Of the one capture that is whole."""
		found = [n for n in os.listdir(self.store) if not n.startswith(".") and not n.endswith(".partial")]
		eq(1, len(found), "whole captures in %s: %r" % (self.store, os.listdir(self.store)))
		return os.path.join(self.store, found[0])


class Proxy:
	"""Between a client and a port; cut() breaks every connection that there is, with a reset."""
	def __init__(self, port):
		self.target, self.pairs, self.lock, self.moved, self.open = port, [], threading.Lock(), 0, True
		self.listener = socket.socket()
		self.listener.bind(("127.0.0.1", 0))
		self.listener.listen(64)
		self.port = self.listener.getsockname()[1]
		threading.Thread(target=self.accept, daemon=True).start()

	def accept(self):
		while self.open:
			try:
				a, _ = self.listener.accept()
			except OSError:
				return
			try:
				b = socket.create_connection(("127.0.0.1", self.target))
			except OSError:
				a.close()
				continue
			with self.lock:
				self.pairs.append((a, b))
			threading.Thread(target=self.carry, args=(a, b), daemon=True).start()

	def carry(self, a, b):
		try:
			while True:
				ready, _, _ = select.select([a, b], [], [])
				for s in ready:
					data = s.recv(65536)
					if not data:
						return
					(b if s is a else a).sendall(data)
					self.moved += len(data)
		except (OSError, ValueError):
			pass
		finally:
			with self.lock:
				if (a, b) in self.pairs:
					self.pairs.remove((a, b))
			self.drop(a, b)

	@staticmethod
	def drop(*sockets):
		for s in sockets:
			with contextlib.suppress(OSError):
				s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
				s.shutdown(socket.SHUT_RDWR)
			with contextlib.suppress(OSError):
				s.close()

	def cut(self):
		with self.lock:
			pairs, self.pairs = self.pairs, []
		for pair in pairs:
			self.drop(*pair)
		return len(pairs)

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.open = False
		self.listener.close()
		self.cut()

# SPDX-License-Identifier: LGPL-2.1-or-later
"""A receiver for the tests of captures, which can be killed and started again under the same address, and a proxy whose connections can be cut."""
import select, socket
from vdtest import *

RECEIVE = os.path.join(BUILD, "vdisk-receive")
TOKEN = "a-token-for-tests"


def free_port():
	with socket.socket() as s:
		s.bind(("127.0.0.1", 0))
		return s.getsockname()[1]


class Receiver:
	def __init__(self, store="store", *options, token=TOKEN):
		if not os.path.exists(RECEIVE):
			skip("the build has no vdisk-receive")
		self.store, self.options, self.token, self.port = store, options, token, free_port()
		self.process = self.fingerprint = None
		self.start()

	def start(self):
		"""Returns when it listens."""
		log = open("receiver.log", "ab")
		self.process = subprocess.Popen([RECEIVE, "--store", self.store, "--listen", "127.0.0.1:%d" % self.port, "--token", self.token, "--json",
		                                 *self.options], stdout=subprocess.PIPE, stderr=log, env=dict(os.environ, LC_ALL="C.UTF-8"))
		log.close()
		for line in self.process.stdout:
			event = json.loads(line)
			if event["event"] == "listening":
				self.fingerprint = event["fingerprint"]
				break
		else:
			fail("the receiver does not start: %s" % open("receiver.log").read()[-800:])
		# What it says later must not fill the pipe.
		threading.Thread(target=self.process.stdout.read, daemon=True).start()

	def kill(self):
		self.process.kill()
		self.process.wait()

	def stop(self):
		if self.process.poll() is None:
			self.process.terminate()
			try:
				self.process.wait(60)
			except subprocess.TimeoutExpired:
				self.kill()

	def words(self, port=None):
		return ["--to", "https://127.0.0.1:%d/" % (port or self.port), "--token", self.token, "--fingerprint", self.fingerprint]

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.stop()

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

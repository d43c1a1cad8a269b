# SPDX-License-Identifier: LGPL-2.1-or-later
"""A web server of our own, which can break its word in every way there is."""
import contextlib, http.server, ssl, threading


class Site:
	"""What the server has and how it behaves: `files` by path; fault(self, request, n) is asked before each answer, n counts them from 1, and
	returns True where it has answered itself."""
	def __init__(self, files, fault=None, tls=None):
		site = self

		class Request(http.server.BaseHTTPRequestHandler):
			protocol_version = "HTTP/1.1"

			def log_message(self, *args):
				pass

			def do_GET(self):
				with site.lock:
					site.count += 1
					n = site.count
					site.seen.append((self.path, dict(self.headers)))
					site.peers.add(self.client_address)
				if not (site.fault and site.fault(self, n)):
					self.serve()

			def span(self):
				"""[from, to) of the range asked for, and the file."""
				data = site.files[self.path.split("?")[0]]
				a, b = self.headers["Range"].split("=")[1].split("-")
				return int(a), min(int(b) + 1, len(data)), data

			def serve(self, tag=None, start=None, stop=None, total=None, length=None, body=None, extra=(), close=False):
				path = self.path.split("?")[0]
				if path not in site.files:
					return self.status(404)
				if "Range" not in self.headers:
					return self.status(400)
				a, b, data = self.span()
				if a >= len(data):
					return self.status(416, [("Content-Range", "bytes */%d" % len(data))])
				if body is None:
					body = data[a:b]
				self.send_response(206)
				self.send_header("Content-Range", "bytes %d-%d/%d" % (a if start is None else start, (b if stop is None else stop) - 1,
				                                                        len(data) if total is None else total))
				self.send_header("Content-Length", str(len(body) if length is None else length))
				if (tag or site.tag) is not None:
					self.send_header("ETag", tag or site.tag)
				for k, v in extra:
					self.send_header(k, v)
				self.end_headers()
				self.send(body)
				if close:
					self.close_connection = True

			def send(self, body):
				with site.lock:
					site.sent += len(body)
				with contextlib.suppress(OSError):
					self.wfile.write(body)

			def status(self, code, headers=(), body=b""):
				self.send_response(code)
				for k, v in headers:
					self.send_header(k, v)
				self.send_header("Content-Length", str(len(body)))
				self.end_headers()
				self.send(body)
				return True

		class Server(http.server.ThreadingHTTPServer):
			daemon_threads = True
			request_queue_size = 64

			def handle_error(self, request, address):
				pass

		self.files, self.fault, self.tag = files, fault, '"one"'
		self.lock, self.count, self.seen, self.peers = threading.Lock(), 0, [], set()
		self.sent = 0
		self.server = Server(("127.0.0.1", 0), Request)
		if tls:
			context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
			context.load_cert_chain(*tls)
			self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
		self.port = self.server.server_address[1]
		self.base = "%s://%s:%d" % ("https" if tls else "http", "localhost" if tls else "127.0.0.1", self.port)

	def __enter__(self):
		self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
		self.thread.start()
		return self

	def __exit__(self, *args):
		self.server.shutdown()
		self.server.server_close()

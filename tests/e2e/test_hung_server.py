#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk mount and vdisk nbd over a web server that answers no more: who asks them to stop does not wait as long as they would for it."""
import os, signal, subprocess, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mounts import *
from websites import Site

if "http" not in run(VDISK, "--version").out:
	print("this build reads nothing from web servers")
	sys.exit(77)

SIZE = 64 * MIB
PATIENCE = 60 # half of what an answer may take


class Hung(Site):
	"""A disk of zeros; once `hangs` is set, no request is answered any more."""
	def __init__(self):
		self.hangs, self.hung, self.over = threading.Event(), threading.Event(), threading.Event()
		super().__init__({"/a.raw": bytes(SIZE)}, self.hang)
		self.url = self.base + "/a.raw"

	def hang(self, request, n):
		if not self.hangs.is_set():
			return False
		self.hung.set()
		self.over.wait(300)
		request.close_connection = True
		return True

	def __exit__(self, *args):
		self.over.set()
		super().__exit__(*args)


def started(program, words, url):
	os.mkdir("m")
	argv = [VDISK, "mount", *words, "--format", "raw", url, "m"] if program == "mount" else \
		[VDISK, "nbd", *words, "-f", "raw", "--socket", "socket", "--pid-file", "pid", url]
	proxies = {k: "" for k in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY")}
	return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
	                        env=dict(os.environ, **proxies), start_new_session=True)


def ended(p, what):
	"""Its output ends when nobody has it open any more, who goes on in the background too."""
	try:
		said = p.communicate(timeout=PATIENCE)[0].decode()
	except subprocess.TimeoutExpired:
		os.killpg(p.pid, signal.SIGKILL)
		fail("%s: not after %d s" % (what, PATIENCE))
	check(not os.path.ismount("m"), "%s: it is mounted" % what)
	eq([], [n for n in ("socket", "pid") if os.path.exists(n)], "what is left, %s" % what)
	return said


def while_opening(program, words, to_group):
	if program == "mount":
		need_fuse()
	with Hung() as site:
		site.hangs.set()
		p = started(program, words, site.url)
		check(site.hung.wait(60), "the server was not asked")
		(os.killpg if to_group else os.kill)(p.pid, signal.SIGINT if to_group else signal.SIGTERM)
		said = ended(p, "while opening")
		check(p.returncode not in (0, None), "exit status %s: %s" % (p.returncode, said))


for program, background, foreground in (("mount", [], ["--foreground"]), ("nbd", ["--fork"], [])):
	add("%s: while it opens the image, in the foreground" % program, while_opening, program, foreground, False)
	add("%s: while it opens the image, in the background, by a signal to who waits for it" % program, while_opening, program, background, False)
	add("%s: while it opens the image, in the background, by Ctrl+C" % program, while_opening, program, background, True)


@case
def a_mount_in_use():
	need_fuse()
	with Hung() as site:
		p = started("mount", [], site.url)
		p.communicate(timeout=60)
		eq(0, p.returncode, "exit status")
		pid = server_pid()
		site.hangs.set()
		reader = subprocess.Popen(["dd", "if=m/disk", "of=/dev/null", "bs=4k", "count=1", "skip=8192"], stderr=subprocess.DEVNULL)
		check(site.hung.wait(60), "the server was not asked")
		os.kill(pid, signal.SIGTERM)
		until("the mount has ended", lambda: gone(pid), PATIENCE)
		check(reader.wait(60) != 0, "something was read")
		check(not os.path.ismount("m"), "it is mounted")


@case
def an_export_in_use():
	with Hung() as site:
		p = started("nbd", [], site.url)
		until("the socket is there", lambda: os.path.exists("pid") or p.poll() is not None)
		site.hangs.set()
		reader = subprocess.Popen([VDISK, "convert", "-O", "raw", "-f", "raw", "nbd+unix:///?socket=socket", "out.raw"], stderr=subprocess.DEVNULL)
		check(site.hung.wait(60), "the server was not asked")
		p.send_signal(signal.SIGTERM)
		ended(p, "while serving")
		reader.terminate()
		check(reader.wait(60) != 0, "something was read")


main()

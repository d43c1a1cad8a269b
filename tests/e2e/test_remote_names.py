#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names of images on servers where only a file of this host will do: refused by name, each by the same words."""
import os, re, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

WEB = "http://127.0.0.1:9/d/web.raw?signature=secret"
WORDS = "; \"vdisk convert\" makes one of a disk"

# What is refused by the name alone, before anybody is asked.  URL stands for the server's name.
BY_NAME = [
	"vdisk create -f qcow2 -b URL -F raw out/n.qcow2",
	"vdisk convert -b URL -F raw -O qcow2 a.raw out/n.qcow2",
	"vdisk convert --manifest URL --force a.raw out/n.qcow2",
	"vdisk convert --in-place -O raw v.vhd URL",
	"vdisk digest --manifest URL a.raw",
	"vdisk verify-manifest a.raw URL",
	"vdisk rebase -b URL -F raw l.qcow2",
	"vdisk info --allow-parent URL l.qcow2",
	"vdisk digest --parent b.qcow2=URL l.qcow2",
	"vdisk resize URL 9M",
	"vdisk amend -o lazy_refcounts=on URL",
	"vdisk flatten URL",
	"vdisk check --repair URL",
	"vdisk bitmap create URL x",
	"vdisk convert --in-place -O qcow2 URL out/n.qcow2",
	"vdisk-mount a.raw URL",
	"vdisk-mount --rw URL mnt",
	"vdisk-mount --overlay tmp URL mnt",
	"vdisk-mount --overlay URL a.raw mnt",
	"vdisk-nbd --socket out/s --pid-file URL a.raw",
	"vdisk-nbd --socket out/s --rw URL",
	"vdisk-boot URL",
	"vdisk-boot --rw URL",
	"vdisk-boot --kernel URL a.raw",
	"vdisk-verify URL",
	"vdisk-verify --screenshot URL a.raw",
	"vdisk-verify --junit URL a.raw",
	"vdisk-adapt --target kvm URL",
	"vdisk-adapt --target kvm --overlay out/l.qcow2 URL",
	"vdisk-adapt --target kvm --overlay URL a.raw",
	"vdisk-adapt --undo URL",
	"vdisk-machine URL",
	"vdisk-machine --snapshots URL",
	"vdisk-migrate --target kvm --out out/m URL",
	"vdisk-migrate --target kvm --out URL a.ova",
	"vdisk-p2v --target kvm --out out/m URL",
	"vdisk-receive --store URL",
	"vdisk-inspect --key-file URL a.raw",
	"vdisk-capture --list --state URL",
]
# What looks into the image first.
WITH_SERVER = [
	"vdisk clone --linked URL out/n.qcow2",
	"vdisk snapshot list URL",
	"vdisk snapshot create URL x",
	"vdisk snapshot apply URL x",
	"vdisk snapshot delete URL x",
	"vdisk snapshot diff URL x",
	"vdisk convert --snapshots keep -O qcow2 URL out/n.qcow2",
	"vdisk map --free URL",
]
# What goes on as ever.
FINE = ["vdisk info URL", "vdisk compare URL a.raw", "vdisk bitmap list URL", "vdisk convert -O qcow2 URL out/n.qcow2"]


def files():
	with open("a.raw", "wb") as f:
		f.write(random.Random(SEED).randbytes(MIB))
	vdisk("convert", "-O", "qcow2", "a.raw", "b.qcow2")
	vdisk("create", "-f", "qcow2", "-b", "b.qcow2", "l.qcow2")
	vdisk("convert", "-o", "subformat=fixed", "a.raw", "v.vhd")
	os.mkdir("mnt")
	os.mkdir("out")


def words(line, url):
	program, *rest = line.split()
	path = VDISK if program == "vdisk" else os.path.join(BUILD, program)
	return os.path.exists(path) and [path] + [w.replace("URL", url) for w in rest]


def judge(line, url, what):
	argv = words(line, url)
	if not argv:
		return
	before = tree(".")
	r = run(*argv, timeout=60)
	eq(2, r.rc, "exit status: %s" % r.show())
	one_line(r)
	check((WEB.split("?")[0] if url == WEB else url) in r.err and what in r.err and WORDS in r.err,
	      "the name, that it is %r, and %r are due: %s" % (what, WORDS, r.show()))
	check("secret" not in r.err, "the query is told: %s" % r.err)
	eq(before, tree("."), "files, after %s" % r)


@case
def by_name():
	files()
	for line in BY_NAME:
		judge(line, WEB, "is on a web server")
		judge(line, "nbd+unix:///?socket=%s/none" % os.getcwd(), "is an NBD server's export")
		judge(line, "NBD://127.0.0.1:9/x", "is an NBD server's export")


@case
def with_a_server():
	need("nbdkit")
	if not re.search(r"[ ;]nbd\)| nbd ", run(VDISK, "--version").out):
		skip("this build knows no exports of NBD servers")
	files()
	socket = os.path.abspath("s.sock")
	p = subprocess.Popen(["nbdkit", "-f", "-r", "-U", socket, "file", "b.qcow2"])
	try:
		end = time.monotonic() + 60
		while not os.path.exists(socket):
			check(p.poll() is None and time.monotonic() < end, "nbdkit did not start")
			time.sleep(0.02)
		url = "nbd+unix:///?socket=" + socket
		for line in WITH_SERVER:
			judge(line, url, "is an NBD server's export")
		for line in FINE:
			ran(*words(line.replace("info", "info -f qcow2").replace("compare", "compare -f qcow2"), url))
		vdisk("compare", "a.raw", "out/n.qcow2")
	finally:
		p.terminate()
		p.wait()


@case
def a_folder_of_that_name():
	"""Said with a folder, it is a file's name as any other."""
	os.makedirs("http:/x")
	with open("http:/x/d.raw", "wb") as f:
		f.write(b"x" * 4096)
	eq(4096, vdisk("info", "--json", "./http:/x/d.raw").json()["virtual-size"], "size")
	vdisk("create", "-f", "qcow2", "-b", "./http:/x/d.raw", "-F", "raw", "l.qcow2")
	vdisk("compare", "l.qcow2", "./http:/x/d.raw")


main()

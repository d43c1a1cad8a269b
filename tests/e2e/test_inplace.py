#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""convert --in-place: the same bytes, in another format, with no byte of them moved; killed or failing at any call, the disk can be read in one
form or the other, and the same command finishes it."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

SHIM = os.path.join(BUILD, "tests", "libshim.so")
SIZE = 3 * MIB
QEMU = {"vhd": "vpc"}
SUFFIX = {"raw": "img", "vhd": "vhd", "vmdk": "vmdk", "qcow2": "qcow2"}
PAIRS = [("raw", "vhd"), ("raw", "vmdk"), ("raw", "qcow2"), ("vhd", "raw"), ("vhd", "vmdk"), ("vhd", "qcow2"), ("vmdk", "raw"), ("vmdk", "vhd"),
         ("vmdk", "qcow2"), ("qcow2", "raw")]


def shim(**kw):
	if not os.path.exists(SHIM):
		(fail if "VDISK_BUILD" in os.environ else skip)("no %s: set VDISK_BUILD" % SHIM)
	if sanitized():
		skip("a sanitizer wants to be preloaded first")
	env = {"LD_PRELOAD": SHIM}
	env.update({"SHIM_" + k.upper(): str(v) for k, v in kw.items()})
	return env


def content():
	if not os.path.exists("content"):
		make_raw("content", rng_for("content"), SIZE, pieces=60)
		write_file("content", b"the first sector", 0)
		write_file("content", b"the last one", SIZE - 12)
	return "content"


def make_source(fmt, folder):
	"""An image of that format with the content, in a folder of its own; its path."""
	shutil.rmtree(folder, ignore_errors=True)
	os.mkdir(folder)
	path = os.path.join(folder, "old." + SUFFIX[fmt])
	if fmt == "raw":
		ran("cp", "--sparse=always", content(), path)
	elif fmt == "qcow2":
		ran("cp", "--sparse=always", content(), os.path.join(folder, "old.data"))
		vdisk("convert", "--in-place", "-f", "raw", "-O", "qcow2", os.path.join(folder, "old.data"), path)
	elif fmt == "vhd":
		qemu_img("convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on", content(), path)
	else:
		qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", content(), path)
	return path


def words(a, b, src, folder="it"):
	return ["convert", "--in-place", "-f", a, "-O", b, src, os.path.join(folder, "new." + SUFFIX[b])]


def is_the_disk(path, fmt):
	if not os.path.exists(path):
		return False
	return compared(path, fmt).rc == 0


def compared(path, fmt):
	"""QEMU looks for a data file from where it runs, not from where the image is."""
	folder, name = os.path.split(path)
	return run("qemu-img", "compare", "-f", "raw", "-F", QEMU.get(fmt, fmt), os.path.abspath(content()), name, cwd=folder)


def must_be_the_disk(path, fmt):
	r = compared(path, fmt)
	if r.rc:
		fail("qemu-img sees another content\n    %s" % r.show())


def hidden(folder):
	return [n for n in os.listdir(folder) if n.startswith(".")]


def files_with_data(folder):
	"""Inodes of the files that are as long as a disk."""
	return sorted(os.stat(os.path.join(folder, n)).st_ino for n in os.listdir(folder)
	              if SIZE <= os.path.getsize(os.path.join(folder, n)) < SIZE + 65536)


def pair(a, b):
	src = make_source(a, "it")
	argv = words(a, b, src)
	before = files_with_data("it")
	eq(1, len(before), "files with the disk's bytes")
	tell = vdisk(*argv, "--dry-run").out
	check("in place" in tell and str(SIZE) in tell, "what --dry-run says: %s" % tell)
	check(os.path.exists(src) and not os.path.exists(argv[-1]), "--dry-run did something")
	vdisk(*argv)
	eq(before, files_with_data("it"), "the file with the bytes")
	must_be_the_disk(argv[-1], b)
	vdisk("compare", "--strict", "-f", "raw", "-F", b, content(), argv[-1])
	if b in ("qcow2", "vhd", "vmdk"):
		vdisk("check", "-f", b, argv[-1])
	if b == "qcow2":
		ran("qemu-img", "check", "-f", "qcow2", os.path.basename(argv[-1]), cwd="it")
	if b == "raw":
		same_bytes(content(), argv[-1])
	eq([], hidden("it"), "what was left behind")
	eq({"raw": 1, "vhd": 1, "vmdk": 2, "qcow2": 2}[b], len(os.listdir("it")), "files: %s" % os.listdir("it"))


def calls_of(argv, ops="write,sync,name"):
	vdisk(*argv, env=shim(op=ops, count="count.txt"))
	with open("count.txt") as f:
		return int(f.read())


def readable(a, b, src, dst):
	"""In one of the two forms, under one of the two names."""
	places = [(src, a), (src, b), (dst, b), (dst, a)]
	places += [(os.path.join("it", n), "raw") for n in os.listdir("it") if os.path.getsize(os.path.join("it", n)) == SIZE]
	return any(is_the_disk(path, fmt) for path, fmt in places)


def some_of(calls, n):
	"""All of them in the long tier; the last ones, where names are given, in any case."""
	if ALL or calls <= n:
		return range(1, calls + 1)
	return sorted(rng_for("some").sample(range(1, calls - n // 2 + 1), n - n // 2)) + list(range(calls - n // 2 + 1, calls + 1))


def killed(a, b):
	src = make_source(a, "it")
	argv = words(a, b, src)
	calls = calls_of(argv)
	check(calls > 3, "only %d calls" % calls)
	for nth in some_of(calls, 10):
		src = make_source(a, "it")
		data = files_with_data("it")
		r = run(VDISK, *argv, env=shim(op="write,sync,name", do="kill", nth=nth))
		eq(-9, r.rc, "exit status, killed at call %d of %d: %s" % (nth, calls, r.show()))
		check(readable(a, b, src, argv[-1]), "killed at call %d of %d, the disk cannot be read: %s" % (nth, calls, os.listdir("it")))
		r = run(VDISK, *argv)
		eq(0, r.rc, "the same again, killed at call %d of %d: %s" % (nth, calls, r.show()))
		must_be_the_disk(argv[-1], b)
		eq([], hidden("it"), "what was left behind, killed at call %d" % nth)
		eq(data, files_with_data("it"), "the file with the bytes")


def failing(a, b):
	src = make_source(a, "it")
	argv = words(a, b, src)
	calls = calls_of(argv)
	undone = 0
	for nth in some_of(calls, 24): # which are all; those between making the new names and giving them are undone
		for once in (True, False):
			src = make_source(a, "it")
			before = {n: sha256(os.path.join("it", n)) for n in os.listdir("it")}
			extra = {"once": 1} if once else {}
			r = run(VDISK, *argv, env=shim(op="write,sync,name", do=errno.EIO, nth=nth, **extra))
			check(r.rc in (0, 2), "exit status with a failure at call %d of %d: %s" % (nth, calls, r.show()))
			check(r.rc == 0 or len(r.err.splitlines()) == 1, "lines on stderr: %s" % r.show())
			check(readable(a, b, src, argv[-1]), "with a failure at call %d of %d, the disk cannot be read: %s" % (nth, calls, r.show()))
			after = {n: sha256(os.path.join("it", n)) for n in os.listdir("it")}
			if before == after:
				undone += r.rc == 2
			elif once and r.rc == 2:
				check(os.path.exists(argv[-1]) or hidden("it"), "neither undone nor done: %s\n    %s" % (sorted(after), r.show()))
			if r.rc == 0:
				must_be_the_disk(argv[-1], b)
				continue
			r = run(VDISK, *argv)
			eq(0, r.rc, "the same again after a failure at call %d of %d: %s" % (nth, calls, r.show()))
			must_be_the_disk(argv[-1], b)
			eq([], hidden("it"), "what was left behind")
	check(undone >= 2, "of the failures at %d calls only %d were undone" % (calls, undone))


for a, b in PAIRS:
	add("%s to %s" % (a, b), pair, a, b)
for a, b in PAIRS if ALL else [("raw", "vhd"), ("vhd", "raw"), ("raw", "vmdk"), ("raw", "qcow2"), ("vmdk", "raw")]:
	add("killed: %s to %s" % (a, b), killed, a, b)
for a, b in PAIRS if ALL else [("raw", "vhd"), ("vhd", "vmdk")]:
	add("failing: %s to %s" % (a, b), failing, a, b)


@case
def under_the_same_name():
	path = make_source("raw", "it")
	vdisk("convert", "--in-place", "-f", "raw", "-O", "vhd", path, path)
	eq(SIZE + 512, os.path.getsize(path), "length of the fixed VHD")
	must_be_the_disk(path, "vhd")
	refused("convert", "--in-place", "-f", "vhd", "-O", "vhd", path, path, mentions="already")
	vdisk("convert", "--in-place", "-f", "vhd", "-O", "raw", path, path)
	same_bytes(content(), path)


@case
def an_old_journal():
	"""What was left of a conversion long ago does not cut a disk that was used since."""
	path = make_source("raw", "it")
	argv = ["convert", "--in-place", "-f", "raw", "-O", "vhd", path, path]
	calls = calls_of(argv)
	path = make_source("raw", "it")
	run(VDISK, *argv, env=shim(op="write,sync,name", do="kill", nth=calls))
	eq(1, len(hidden("it")), "journals: %s" % os.listdir("it"))
	vdisk("resize", "-f", "vhd", path, "8M")
	was = sha256(path)
	refused(*argv, folder="it", mentions="vdisk-inplace")
	eq(was, sha256(path), "the disk")


@case
def a_journal_of_another():
	"""What was left of another source's conversion, and what somebody else put there, is not acted upon."""
	a = make_source("raw", "it")
	argv = ["convert", "--in-place", "-f", "raw", "-O", "vhd", a, "it/x.vhd"]
	calls = calls_of(argv)
	a = make_source("raw", "it")
	run(VDISK, *argv, env=shim(op="write,sync,name", do="kill", nth=calls)) # all is done, but for the journal
	journal = "it/" + hidden("it")[0]
	write_file("it/b.raw", b"b" * SIZE)
	for links in (False, True):
		src = "it/b.raw"
		if links:
			os.symlink("b.raw", "it/link")
			src = "it/link"
		refused("convert", "--in-place", "-f", "raw", "-O", "vhd", src, "it/x.vhd", folder="it", mentions=os.path.abspath(a))
	eq(b"b" * SIZE, open("it/b.raw", "rb").read(), "the other source")
	must_be_the_disk("it/x.vhd", "vhd")
	if os.geteuid() == 0:
		os.chown(journal, 65534, 65534)
		refused(*argv, folder="it", mentions="no file of this user's")
		os.chown(journal, 0, 0)
	os.rename(journal, "it/real")
	os.symlink("real", journal)
	refused(*argv, folder="it", mentions="no file of this user's")
	os.rename("it/real", journal)
	vdisk(*argv)
	must_be_the_disk("it/x.vhd", "vhd")
	eq([], hidden("it"), "what was left behind")


@case
def to_another_folder():
	src = make_source("vhd", "it")
	os.mkdir("there")
	vdisk("convert", "--in-place", "-O", "vmdk", src, "there/disk.vmdk")
	eq(["disk-flat.vmdk", "disk.vmdk"], sorted(os.listdir("there")), "the files")
	eq(SIZE, os.path.getsize("there/disk-flat.vmdk"), "length of the extent")
	must_be_the_disk("there/disk.vmdk", "vmdk")
	eq([], os.listdir("it"), "what is left in the old folder")


@case
def to_another_file_system():
	"""A rename cannot do that: everything is as before."""
	if os.geteuid() != 0 or os.stat("/dev/shm").st_dev == os.stat(".").st_dev:
		skip("there is one file system only")
	src = make_source("raw", "it")
	there = tempfile.mkdtemp(dir="/dev/shm")
	try:
		refused("convert", "--in-place", "-f", "raw", "-O", "vhd", src, there + "/disk.vhd", folder=there, mentions="cross-device")
		same_bytes(content(), src)
		refused("convert", "--in-place", "-f", "raw", "-O", "vmdk", src, there + "/disk.vmdk", folder=there, mentions="cross-device")
		same_bytes(content(), src)
		eq([], os.listdir(there), "what is left")
	finally:
		shutil.rmtree(there)


@case
def said_no():
	src = make_source("raw", "it")
	what = ["convert", "--in-place", "-f", "raw"]
	write_file("it/taken.vhd", b"mine")
	write_file("it/disk-flat.vmdk", b"mine")
	refused(*what, "-O", "vhd", src, "it/taken.vhd", mentions="exists")
	refused(*what, "-O", "vmdk", src, "it/disk.vmdk", mentions="exists")
	refused(*what, "-O", "vhd", "-o", "subformat=dynamic", src, "it/d.vhd", mentions="byte by byte")
	refused(*what, "-O", "qcow2", "-o", "data_file_raw=off", src, "it/d.qcow2", mentions="byte by byte")
	refused(*what, "-O", "vmdk", "-o", "subformat=monolithicSparse", src, "it/d.vmdk", mentions="byte by byte")
	for option in ("-c", "--verify", "--resume", "--digest", "--used-only", "--force"):
		refused(*what, "-O", "vhd", option, src, "it/d.vhd", mentions="--in-place")
	refused(*what, "-O", "vhd", "-", "it/d.vhd")
	refused(*what, "-O", "raw", src, "-")
	os.link(src, "it/second")
	refused(*what, "-O", "vhd", src, "it/d.vhd", mentions="hard link")
	os.unlink("it/second")
	os.truncate(src, SIZE + 100)
	refused(*what, "-O", "vhd", src, "it/d.vhd", mentions="cannot express")
	os.truncate(src, SIZE)
	# A piece of a file is not a disk of its own.
	refused("convert", "--in-place", "-f", "raw", "--open-opt", "size=%d" % (SIZE - 512), "-O", "vhd", src, "it/d.vhd", mentions="behind the disk")
	refused("convert", "--in-place", "-f", "raw", "--open-opt", "offset=512", "-O", "vhd", src, "it/d.vhd", mentions="byte by byte")
	same_bytes(content(), src)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", src, "it/q.qcow2")
	refused("convert", "--in-place", "-O", "raw", "it/q.qcow2", "it/q.raw", mentions="byte by byte")
	qemu_img("create", "-q", "-f", "qcow2", "-b", "old.img", "-F", "raw", "it/top.qcow2")
	refused("convert", "--in-place", "-O", "raw", "it/top.qcow2", "it/q.raw", mentions="layer over")
	# Somebody reads it.
	p = subprocess.Popen(["qemu-io", "-f", "raw", "-r", src], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
	p.stdin.write(b"read 0 512\n")
	p.stdin.flush()
	p.stdout.readline()
	try:
		refused(*what, "-O", "vhd", src, "it/d.vhd")
	finally:
		p.communicate(b"quit\n")
	same_bytes(content(), src)


main()

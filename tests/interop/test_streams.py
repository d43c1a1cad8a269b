#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""streamOptimized VMDK through a strict parser of our own making, and images through pipes."""
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import streamvmdk

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
STREAM = ["-O", "vmdk", "-o", "subformat=streamOptimized"]


def piped(path, *args, rc=0, head=None, **kw):
	"""vdisk with a file's content (its first `head` bytes) on a pipe as standard input."""
	feed = subprocess.Popen(["head", "-c", str(head), path] if head is not None else ["cat", path], stdout=subprocess.PIPE,
	                        stderr=subprocess.DEVNULL)
	try:
		r = run(VDISK, *args, stdin=feed.stdout, **kw)
	finally:
		feed.stdout.close()
		feed.wait()
	if rc is not None and r.rc != rc:
		fail("exit status %s is due\n    %s" % (rc, r.show()))
	return r


def to_pipe(out, *args, **kw):
	"""vdisk with standard output on a pipe, into a file."""
	with open(out, "wb") as f:
		sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=f)
		try:
			return vdisk(*args, stdout=sink.stdin, **kw)
		finally:
			sink.stdin.close()
			sink.wait()


def strict(name, size, make=None):
	rng = rng_for("strict/" + name)
	if make:
		make("source.raw", rng)
	else:
		make_raw("source.raw", rng, size, pieces=max(3, min(60, size // 65536)))
	vdisk("convert", "-f", "raw", *STREAM, "source.raw", "disk.vmdk")
	streamvmdk.parse("disk.vmdk", "flat.raw")
	same_bytes("source.raw", "flat.raw")
	same_as_raw("source.raw", "disk.vmdk", "vmdk")
	vdisk("check", "disk.vmdk")
	libyal_agrees("vmdk", "disk.vmdk", "source.raw", "mnt")


for name, size in (("one sector", 512), ("a grain", 65536), ("a grain and a sector", 66048), ("a table", 32 * MIB),
                   ("a table and a grain", 32 * MIB + 65536),
                   ("odd", 5 * MIB + 3 * 512), ("three tables", 90 * MIB + 512)):
	add("strict parser: " + name, strict, name, size)


def hole(path, rng):
	with open(path, "wb") as f:
		f.truncate(300 * MIB)
		f.seek(290 * MIB)
		f.write(rng.randbytes(100000))


def nothing(path, rng):
	with open(path, "wb") as f:
		f.truncate(100 * MIB)


def whole_zero_table(path, rng):
	with open(path, "wb") as f:
		f.truncate(200 * MIB)
		for at in (0, 70 * MIB, 199 * MIB):
			f.seek(at)
			f.write(rng.randbytes(70000))


add("strict parser: data at the end", strict, "data at the end", 0, hole)
add("strict parser: an empty disk", strict, "an empty disk", 0, nothing)
add("strict parser: tables left out", strict, "tables left out", 0, whole_zero_table)


@case
def the_parser_takes_vmwares_own():
	"""Or else it would be stricter than they are."""
	row = next((r for r in fixtures("vmdk") if "ovftool-streamOptimized-empty" in r["file"]), None)
	if not row:
		skip("no such fixture")
	path = unpack(row, os.getcwd())
	streamvmdk.parse(path, "flat.raw", ours=False)
	eq(row["sha256_of_raw_content"], sha256("flat.raw"), "content")


@case
def the_parser_finds_faults():
	make_raw("source.raw", rng_for("faults"), 3 * MIB)
	vdisk("convert", "-f", "raw", *STREAM, "source.raw", "disk.vmdk")
	with open("disk.vmdk", "rb") as f:
		b = f.read()
	def bad(what, c):
		write_file("bad.vmdk", c)
		os.truncate("bad.vmdk", len(c))
		try:
			streamvmdk.parse("bad.vmdk", "flat.raw")
		except (Failed, Exception):
			return
		fail("the parser overlooks " + what)
	bad("a cut", b[:-512])
	bad("a lost sector", b[:65536] + b[66048:])
	bad("a lost key", b.replace(b"ddb.toolsVersion", b"xdb.toolsVersion"))
	bad("a sector too many", b + bytes(512))
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "source.raw", "q.vmdk")
	with open("q.vmdk", "rb") as f:
		bad("QEMU's missing footer", f.read())


@case
def options_reach_the_descriptor():
	make_raw("source.raw", rng_for("options"), MIB)
	vdisk("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic", "source.raw",
	      "disk.vmdk")
	eq("lsilogic", streamvmdk.parse("disk.vmdk", "flat.raw")["ddb.adapterType"], "adapter type")


@case
def stream_to_stdout():
	make_raw("source.raw", rng_for("stdout"), 6 * MIB + 512)
	to_pipe("piped.vmdk", "convert", "-f", "raw", *STREAM, "source.raw", "-", env=EPOCH)
	streamvmdk.parse("piped.vmdk", "flat.raw")
	same_bytes("source.raw", "flat.raw")
	same_as_raw("source.raw", "piped.vmdk", "vmdk")
	vdisk("convert", "-f", "raw", *STREAM, "source.raw", "file.vmdk", env=EPOCH)
	with open("piped.vmdk", "rb") as a, open("file.vmdk", "rb") as b:
		x, y = a.read(), b.read()
	# The descriptor names the file that it lies in; all else is the same.
	eq(len(y), len(x), "length of the piped image")
	over = streamvmdk.header_of(x)["overhead"] * 512
	eq(hashlib.sha256(y[over:]).hexdigest(), hashlib.sha256(x[over:]).hexdigest(), "grains and tables, piped and in a file")
	eq(y[:512], x[:512], "headers, piped and in a file")


@case
def vmdk_to_stdout_is_a_stream():
	"""Without a subformat: the one that can go there, or a refusal."""
	make_raw("source.raw", rng_for("default"), MIB)
	with open("piped.vmdk", "wb") as f:
		sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=f)
		r = run(VDISK, "convert", "-f", "raw", "-O", "vmdk", "source.raw", "-", stdout=sink.stdin)
		sink.stdin.close()
		sink.wait()
	if r.rc == 0:
		streamvmdk.parse("piped.vmdk", "flat.raw")
		same_bytes("source.raw", "flat.raw")
	else:
		eq((2, 0), (r.rc, os.path.getsize("piped.vmdk")), "exit status and bytes: %s" % r.show())


@case
def raw_to_stdout():
	make_raw("source.raw", rng_for("rawout"), 5 * MIB + 512)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	to_pipe("out.raw", "convert", "-O", "raw", "a.qcow2", "-")
	same_bytes("source.raw", "out.raw")
	with open("direct.raw", "wb") as f:
		vdisk("convert", "-O", "raw", "a.qcow2", "-", stdout=f)
	same_bytes("source.raw", "direct.raw")


@case
def raw_from_stdin():
	make_raw("source.raw", rng_for("rawin"), 5 * MIB + 512)
	size = os.path.getsize("source.raw")
	for fmt, qfmt, opts in (("raw", "raw", []), ("qcow2", "qcow2", []), ("qcow2", "qcow2", ["-c"]), ("vmdk", "vmdk", []),
	                        ("vhd", "vpc", []),
	                        ("vmdk", "vmdk", ["-o", "subformat=streamOptimized"])):
		out = "out." + fmt
		piped("source.raw", "convert", "-f", "raw", "--open-opt", "size=%d" % size, "-O", fmt, *opts, "-", out)
		same_as_raw("source.raw", out, qfmt)
		# Byte for byte what a file gives.
		os.rename(out, "piped")
		vdisk("convert", "-f", "raw", "-O", fmt, *opts, "source.raw", out, env=EPOCH)
		os.unlink(out)
		piped("source.raw", "convert", "-f", "raw", "--open-opt", "size=%d" % size, "-O", fmt, *opts, "-", out, env=EPOCH)
		same_as_raw("source.raw", out, qfmt)
		os.unlink(out)
		# Too short a stream is refused.
		r = piped("source.raw", "convert", "-f", "raw", "--open-opt", "size=%d" % size, "-O", fmt, *opts, "-", out, rc=2,
		          head=size // 2)
		one_line(r)
		check(not os.path.exists(out), "something was left of a cut stream")
		os.unlink("piped")


@case
def raw_pipe_to_pipe():
	make_raw("source.raw", rng_for("pipes"), 5 * MIB + 512)
	size = os.path.getsize("source.raw")
	with open("out.raw", "wb") as f:
		sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=f)
		piped("source.raw", "convert", "-f", "raw", "--open-opt", "size=%d" % size, "-O", "raw", "-", "-",
		      stdout=sink.stdin)
		sink.stdin.close()
		sink.wait()
	same_bytes("source.raw", "out.raw")


@case
def stream_from_stdin():
	make_raw("source.raw", rng_for("streamin"), 34 * MIB + 512)
	vdisk("convert", "-f", "raw", *STREAM, "source.raw", "disk.vmdk", env=EPOCH)
	for fmt, qfmt in (("raw", "raw"), ("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vhd", "vpc")):
		out = "out." + fmt
		piped("disk.vmdk", "convert", "-f", "vmdk", "-O", fmt, "-", out, env=EPOCH)
		same_as_raw("source.raw", out, qfmt)
	# From a file on standard input too, and without -f.
	with open("disk.vmdk", "rb") as f:
		vdisk("convert", "-O", "raw", "-", "probed.raw", stdin=f)
	same_bytes("source.raw", "probed.raw")
	piped("disk.vmdk", "convert", "-O", "raw", "-", "probed2.raw")
	same_bytes("source.raw", "probed2.raw")


@case
def stream_pipe_to_pipe():
	make_raw("source.raw", rng_for("streampipe"), 10 * MIB)
	vdisk("convert", "-f", "raw", *STREAM, "source.raw", "disk.vmdk", env=EPOCH)
	with open("out.vmdk", "wb") as f:
		sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=f)
		piped("disk.vmdk", "convert", "-f", "vmdk", *STREAM, "-", "-", stdout=sink.stdin, env=EPOCH)
		sink.stdin.close()
		sink.wait()
	streamvmdk.parse("out.vmdk", "flat.raw")
	same_bytes("source.raw", "flat.raw")


@case
def foreign_stream_from_stdin():
	"""With markers of other software's making; and QEMU's, without."""
	for row in fixtures("vmdk"):
		if "treamOptimized" in row["subformat"] and "EXPECT" not in row["notes"]:
			path = unpack(row, os.getcwd())
			r = piped(path, "convert", "-f", "vmdk", "-O", "raw", "-", "out.raw", rc=None)
			if "qemu" in row["file"] and r.rc == 2:
				one_line(r)
				check(not os.path.exists("out.raw"), "something was left")
				continue
			eq(0, r.rc, "exit status: %s" % r.show())
			eq(row["sha256_of_raw_content"], sha256("out.raw"), "content of %s" % row["file"])
			os.unlink("out.raw")


@case
def cut_streams():
	"""Wherever it ends too early, nothing is left."""
	rng = rng_for("cut")
	make_raw("source.raw", rng, 3 * MIB, pieces=60)
	vdisk("convert", "-f", "raw", *STREAM, "source.raw", "disk.vmdk")
	full = os.path.getsize("disk.vmdk")
	for n in sorted({0, 1, 511, 512, 600, 65536, 65537, full // 3, full // 2, full - 512 * 3, full - 1024, full - 1023,
	                 full - 512, full - 1,
	                 *(rng.randrange(full) for _ in range(12))}):
		r = piped("disk.vmdk", "convert", "-f", "vmdk", "-O", "qcow2", "-", "out.qcow2", rc=None, head=n)
		check(r.rc == 2, "a stream cut at %d of %d is refused: %s" % (n, full, r.show()))
		one_line(r)
		eq(["disk.vmdk", "source.raw"], sorted(os.listdir(".")), "what is left of a stream cut at %d" % n)
		os.truncate("disk.vmdk", full)
		with open("disk.vmdk", "rb") as f:
			write_file("cut.vmdk", f.read(n))
		r = run(VDISK, "convert", "-f", "vmdk", "-O", "raw", "cut.vmdk", "out.raw")
		check(r.rc == 2, "a file cut at %d of %d is refused: %s" % (n, full, r.show()))
		os.unlink("cut.vmdk")


@case
def bytes_behind_the_end():
	"""A tar or a curl may pad: bytes behind the end-of-stream marker."""
	make_raw("source.raw", rng_for("behind"), MIB)
	vdisk("convert", "-f", "raw", *STREAM, "source.raw", "disk.vmdk")
	with open("disk.vmdk", "ab") as f:
		f.write(bytes(10240))
	r = piped("disk.vmdk", "convert", "-f", "vmdk", "-O", "raw", "-", "out.raw", rc=None)
	check(r.rc in (0, 2), r.show())
	if r.rc == 0:
		same_bytes("source.raw", "out.raw")


@case
def reader_goes_away():
	"""Standard output closes early: exit status 2 and a line, or the signal's end; no hang."""
	make_raw("source.raw", rng_for("away"), 20 * MIB, pieces=200)
	sink = subprocess.Popen(["head", "-c", "1000"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
	r = run(VDISK, "convert", "-f", "raw", "-O", "raw", "source.raw", "-", stdout=sink.stdin, timeout=120)
	sink.stdin.close()
	sink.wait()
	check(r.rc in (2, -13), "exit status: %s" % r.show())


@case
def what_cannot_stream():
	make_raw("source.raw", rng_for("cannot"), MIB)
	for args in (["-O", "qcow2"], ["-O", "vhd"], ["-O", "vmdk", "-o", "subformat=monolithicSparse"],
	             ["-O", "vmdk", "-o", "subformat=monolithicFlat"]):
		with open("out", "wb") as f:
			sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=f)
			r = run(VDISK, "convert", "-f", "raw", *args, "source.raw", "-", stdout=sink.stdin)
			sink.stdin.close()
			sink.wait()
		eq(2, r.rc, "exit status: %s" % r.show())
		one_line(r)
		eq(0, os.path.getsize("out"), "bytes on standard output of %s" % r)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	qemu_img("convert", "-f", "raw", "-O", "vpc", "source.raw", "a.vhd")
	for path, fmt in (("a.qcow2", "qcow2"), ("a.vhd", "vhd")):
		r = piped(path, "convert", "-f", fmt, "-O", "raw", "-", "out.raw", rc=2)
		one_line(r)
		check(not os.path.exists("out.raw"), "something was left")
		r = piped(path, "convert", "-O", "raw", "-", "out.raw", rc=2)
		check(not os.path.exists("out.raw"), "a piped %s was taken for raw" % fmt)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The program's manners: exit statuses, one line on standard error, nothing on standard output, closed and full streams."""
import os, stat, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

COMMANDS = ["convert", "info", "create", "map", "check", "compare", "digest", "measure", "resize", "amend", "flatten", "rebase", "commit", "clone", "snapshot", "bitmap", "lint"]


def disk(path="disk.raw", size=2 * MIB, name="usage"):
	return make_raw(path, rng_for(name), size)


# ---------------------------------------------------------------- wrong words

WRONG = {
	"nothing": [],
	"unknown command": ["frobnicate"],
	"unknown option of the program": ["--frobnicate"],
	"help for nothing": ["help", "frobnicate"],
	"help for two": ["help", "info", "map"],
	"completion for another shell": ["--completion", "fish"],
	"unknown option": ["convert", "--frobnicate", "a", "b"],
	"unknown letter": ["convert", "-Z", "a", "b"],
	"abbreviated option": ["convert", "--verif", "a.raw", "b.raw"],
	"argument missing": ["convert", "a", "b", "-O"],
	"argument too many": ["convert", "--verify=yes", "a", "b"],
	"no operand": ["info"],
	"operand too many": ["info", "a", "b"],
	"empty operand": ["info", ""],
	"empty argument": ["info", "-f", "", "a"],
	"unknown format": ["convert", "-O", "frob", "disk.raw", "b"],
	"unknown source format": ["info", "-f", "frob", "disk.raw"],
	"unknown suffix": ["convert", "disk.raw", "b.frob"],
	"no suffix": ["create", "disk", "1M"],
	"no number": ["convert", "-j", "many", "disk.raw", "b.raw"],
	"negative number": ["convert", "-j", "-1", "disk.raw", "b.raw"],
	"number too small": ["convert", "-j", "0", "disk.raw", "b.raw"],
	"number too large": ["convert", "--level", "99999999999999999999", "disk.raw", "b.raw"],
	"no size": ["create", "a.raw", "1X"],
	"size past the end of numbers": ["create", "a.raw", "17179869184G"],
	"size of half a byte": ["create", "a.raw", "0.5"],
	"negative size": ["create", "a.raw", "-1M"],
	"no power of two": ["convert", "-S", "5000", "disk.raw", "b.raw"],
	"level without compression": ["convert", "--level", "9", "disk.raw", "b.qcow2"],
	"how to open nothing": ["measure", "-O", "raw", "-f", "raw", "--size", "1M"],
	"no choice": ["convert", "--size-rounding", "down", "disk.raw", "b.raw"],
	"part of a choice": ["convert", "--size-rounding", "ref", "disk.raw", "b.raw"],
	"empty pair": ["convert", "-o", "a=1,", "disk.raw", "b.qcow2"],
	"unknown pair": ["convert", "-o", "frob=1", "disk.raw", "b.qcow2"],
	"unknown opening pair": ["convert", "--open-opt", "frob=1", "disk.raw", "b.qcow2"],
	"size missing": ["create", "b.raw"],
	"backing format without backing": ["create", "-F", "raw", "b.qcow2", "1M"],
	"backing of unknown format": ["create", "-b", "disk.frob", "b.qcow2", "1M"],
	"measure for nothing": ["measure", "-O", "qcow2"],
	"measure for both": ["measure", "-O", "qcow2", "--size", "1M", "disk.raw"],
	"measure for no format": ["measure", "disk.raw"],
	"amend nothing": ["amend", "disk.raw"],
	"amend what is not there": ["amend", "-o", "frob=1", "disk.raw"],
	"shrink unasked": ["resize", "disk.raw", "1M"],
	"shrink below nothing": ["resize", "--shrink", "disk.raw", "-1G"],
	"map past the end": ["map", "-s", "1T", "disk.raw"],
	"parent without a name": ["info", "--parent", "frob", "disk.raw"],
	"info of standard input": ["info", "-"],
	"two standard inputs": ["compare", "-", "-"],
	"standard output of no format": ["convert", "disk.raw", "-"],
	"keep-id without repair": ["check", "--keep-id", "disk.raw"],
	"lint for nobody": ["lint", "disk.raw"],
	"lint for a system that is not known": ["lint", "--for", "vax", "disk.raw"],
	"create on standard output": ["create", "-f", "raw", "-", "1M"],
}


def wrong(words):
	disk()
	r = refused(*words)
	check(r.err.startswith("vdisk: " + (words[0] + ": " if words and words[0] in COMMANDS else "")), "the message says who: %r" % r.err)


for name, words in WRONG.items():
	add("wrong: " + name, wrong, words)


@case
def no_such_file():
	for command in ("info", "map", "check", "digest"):
		refused(command, "missing.qcow2", mentions=["missing.qcow2", "No such file"])
	refused("convert", "missing.qcow2", "out.raw", mentions="missing.qcow2")
	refused("compare", "missing.qcow2", "missing.raw", mentions="missing.qcow2")
	refused("measure", "-O", "raw", "missing.qcow2", mentions="missing.qcow2")
	refused("resize", "missing.qcow2", "1G", mentions="missing.qcow2")
	refused("amend", "-o", "compat=v3", "missing.qcow2", mentions="missing.qcow2")


@case
def folders_and_devices_are_no_images():
	os.mkdir("folder.raw")
	for path in ("folder.raw", "/dev/null", "/dev/zero"):
		for command in ("info", "map", "digest"):
			refused(command, path)
		refused("convert", path, "out.raw")
	disk()
	refused("convert", "--force", "disk.raw", "folder.raw")
	refused("convert", "disk.raw", "no/such/folder.raw", mentions="no/such")


@case
def names_cannot_forge_lines():
	"""Control characters in names reach neither stream raw."""
	r = refused("info", "a\nvdisk: forged\x1b[2J.raw")
	check("\x1b" not in r.err, "an escape sequence on stderr")
	name = "new\nline\x1b[31m.raw"
	disk(name)
	for words in (["info", name], ["digest", name], ["map", name]):
		r = vdisk(*words)
		check("\x1b" not in r.out, "an escape sequence from %s: %r" % (words[0], r.out))
	eq(1, len(vdisk("digest", name).out.splitlines()), "lines of digest")


# ---------------------------------------------------------------- standard streams

@case
def help_and_version():
	for words in (["help"], ["--help"], ["-h"], ["--version"], ["help", "formats"], *(["help", c] for c in COMMANDS),
	              *([c, "--help"] for c in COMMANDS), *([c, "-h"] for c in COMMANDS), *(["create", "x." + s, "-o", "help"] for s in ("qcow2", "vmdk", "vhd"))):
		r = vdisk(*words)
		check(r.out and not r.err, "%s answers on standard output: %s" % (words, r.show()))
		check(max(len(line) for line in r.out.splitlines()) <= 132, "%s: lines are short" % words)
	check("qcow2" in vdisk("--version").out, "--version names the formats")


@case
def full_standard_output():
	disk()
	for words in (["help"], ["info", "disk.raw"], ["map", "disk.raw"], ["map", "--json", "disk.raw"], ["digest", "disk.raw"],
	              ["convert", "-O", "raw", "disk.raw", "-"]):
		with open("/dev/full", "wb") as full:
			r = run(VDISK, *words, stdout=full)
		eq(2, r.rc, "exit status of %s to a full device" % words)
		one_line(r)
		check("No space left" in r.err, r.show())


@case
def closed_streams():
	"""A closed standard stream is not opened again as an image."""
	disk()
	before = sha256("disk.raw")
	for fds in ((0,), (1,), (2,), (0, 1, 2)):
		def close(fds=fds):
			for fd in fds:
				os.close(fd)
		r = run(VDISK, "info", "disk.raw", preexec=close)
		eq(2 if 1 in fds else 0, r.rc, "exit status with %r closed" % (fds,))
		r = run(VDISK, "convert", "--force", "disk.raw", "out.qcow2", preexec=close)
		vdisk("compare", "disk.raw", "out.qcow2")
		run(VDISK, "info", "missing.raw", preexec=close)
		run(VDISK, "resize", "disk.raw", "1M", preexec=close) # refused while the image is open for writing
	eq(before, sha256("disk.raw"), "the source")


@case
def wrong_words_to_others():
	"""The programs beside this one say no as it does: one line, which begins with who says so."""
	for name in ("mount", "nbd", "boot", "verify", "adapt", "inspect", "capture", "receive", "machine", "migrate", "p2v", "unmount", "capture-ui"):
		program = os.path.join(os.path.dirname(VDISK), "vdisk-" + name)
		if not os.path.exists(program):
			continue
		for words in (["--frobnicate"], ["-Z"], [""], ["a", "b", "c", "d", "e"], ["--help=x"], ["--format"]):
			r = run(program, *words, timeout=60)
			eq(2, r.rc, "exit status of %s %r" % (name, words))
			eq("", r.out, "standard output of %s %r" % (name, words))
			one_line(r)
			check(r.err.startswith("vdisk %s: " % name), "who says it: %s" % r.show())
		with open("/dev/full", "w") as full:
			r = run(program, "--help", stdout=full, timeout=60)
		eq(2, r.rc, "exit status of %s --help to a full device" % name)
		one_line(r)
		check("No space left" in r.err, r.show())


@case
def outputs_that_are_the_image():
	"""A file that is to be written anew is not the image, by whatever name, nor a block device."""
	disk()
	os.link("disk.raw", "other.raw")
	before = sha256("disk.raw")
	for words in (["vdisk-nbd", "--socket", os.path.abspath("s"), "--run", "true", "--pid-file"], ["vdisk-boot", "--serial"],
	              ["vdisk-boot", "--firmware-log"], ["vdisk-verify", "--junit"], ["vdisk-verify", "--screenshot"], ["vdisk-verify", "--serial"],
	              ["vdisk-capture", "--to", "capture", "--machine-out"]):
		program = os.path.join(os.path.dirname(VDISK), words[0])
		if not os.path.exists(program):
			continue
		for name in ("disk.raw", os.path.abspath("disk.raw"), "other.raw"):
			r = run(program, *words[1:], name, "disk.raw", timeout=60)
			eq(2, r.rc, "exit status: %s" % r.show())
			one_line(r)
			check("is the image" in r.err and name in r.err, r.show())
			eq(before, sha256("disk.raw"), "the image after %s" % words)
	eq(False, os.path.exists("capture"), "a capture was begun")


@case
def closed_streams_of_others():
	"""The same of the programs that open an image for writing: their complaint does not end up in it."""
	disk()
	os.mkdir("folder")
	before = sha256("disk.raw")
	for words in (["vdisk-nbd", "--rw", "--socket", "missing/socket", "disk.raw"], ["vdisk-mount", "--rw", "disk.raw", "folder/missing"],
	              ["vdisk-boot", "--engine", "frob", "disk.raw"], ["vdisk-adapt", "--target", "frob", "disk.raw"]):
		program = os.path.join(os.path.dirname(VDISK), words[0])
		if not os.path.exists(program):
			continue
		for fds in ((2,), (0, 1, 2)):
			eq(2, run(program, *words[1:], preexec=lambda: [os.close(fd) for fd in fds]).rc, "exit status of %s" % words)
			eq(before, sha256("disk.raw"), "the image after %s with %r closed" % (words, fds))
	server = os.path.join(os.path.dirname(VDISK), "vdisk-nbd")
	if os.path.exists(server): # what it has there instead
		look = "readlink /proc/$PPID/fd/0 /proc/$PPID/fd/1 /proc/$PPID/fd/2 > %s" % os.path.abspath("streams")
		run(server, "--rw", "--socket", os.path.abspath("s"), "--run", look, "disk.raw", preexec=lambda: os.closerange(0, 3))
		with open("streams") as f:
			eq(["/dev/null"] * 3, f.read().split(), "the streams of a server that was started without")
		eq(before, sha256("disk.raw"), "the image that it served")


@case
def reader_that_went_away():
	disk()
	r, w = os.pipe()
	os.close(r)
	with os.fdopen(w, "wb") as pipe:
		result = run(VDISK, "convert", "-O", "raw", "disk.raw", "-", stdout=pipe)
	eq(2, result.rc, "exit status")
	one_line(result)
	check("Broken pipe" in result.err, result.show())


@case
def standard_streams_carry_images():
	disk(size=3 * MIB + 512)
	with open("disk.raw", "rb") as inp:
		vdisk("convert", "-f", "raw", "-O", "qcow2", "-", "out.qcow2", stdin=inp)
	vdisk("compare", "disk.raw", "out.qcow2")
	for fmt, options in (("raw", []), ("vmdk", ["-o", "subformat=streamOptimized"])):
		with open("out." + fmt, "wb") as out:
			r = vdisk("convert", "-O", fmt, *options, "--digest", "disk.raw", "-", stdout=out)
		vdisk("compare", "disk.raw", "out." + fmt)
		check(vdisk("digest", "disk.raw").out.split()[0] in r.err, "the digest goes to stderr: %s" % r.show())
		with open("out." + fmt, "rb") as inp:
			vdisk("compare", "disk.raw", "-", "-F", fmt, stdin=inp)
	refused("convert", "-O", "qcow2", "disk.raw", "-")


@case
def messages_go_to_stderr_only():
	"""-v and warnings leave standard output to the answer."""
	disk()
	plain = vdisk("digest", "disk.raw").out
	eq(plain, vdisk("digest", "-vv", "disk.raw").out, "standard output under -vv")
	eq("", vdisk("convert", "disk.raw", "a.qcow2").out, "standard output of convert")
	r = vdisk("convert", "-q", "disk.raw", "b.qcow2")
	eq(("", ""), (r.out, r.err), "what -q says")
	check(vdisk("convert", "-v", "disk.raw", "c.qcow2").err, "-v says something")


# ---------------------------------------------------------------- answers

@case
def answers_are_exit_statuses():
	disk()
	vdisk("convert", "disk.raw", "same.qcow2")
	eq(0, run(VDISK, "compare", "disk.raw", "same.qcow2").rc, "equal disks")
	disk("other.raw", name="other")
	r = run(VDISK, "compare", "disk.raw", "other.raw")
	eq(1, r.rc, "different disks")
	check(str(first_difference("disk.raw", "other.raw")) in r.out, "names the first difference: %s" % r.show())
	r = run(VDISK, "compare", "-q", "disk.raw", "other.raw")
	eq((1, "", ""), (r.rc, r.out, r.err), "compare -q")
	eq(2, run(VDISK, "compare", "disk.raw", "missing.raw").rc, "no second disk")
	write_file("longer.raw", open("disk.raw", "rb").read() + bytes(MIB))
	eq(0, run(VDISK, "compare", "disk.raw", "longer.raw").rc, "zeros at the end")
	eq(1, run(VDISK, "compare", "-s", "disk.raw", "longer.raw").rc, "zeros at the end, strictly")
	eq(0, run(VDISK, "check", "same.qcow2").rc, "a sound image")
	refused("check", "disk.raw", mentions="raw")


@case
def digests():
	import hashlib
	disk(size=3 * MIB + 4608)
	leaves, size = b"", os.path.getsize("disk.raw")
	with open("disk.raw", "rb") as f:
		while block := f.read(MIB):
			leaves += hashlib.sha256(block).digest()
	tree_digest = hashlib.sha256(leaves + size.to_bytes(8, "big")).hexdigest()
	eq("%s  disk.raw\n" % tree_digest, vdisk("digest", "disk.raw").out, "tree digest")
	eq("%s  disk.raw\n" % sha256("disk.raw"), vdisk("digest", "--sha256", "disk.raw").out, "plain digest")
	r = vdisk("convert", "--digest", "--verify", "disk.raw", "b.qcow2")
	eq("%s  b.qcow2\n" % tree_digest, r.out, "convert --digest")


@case
def dry_runs_write_nothing():
	disk()
	vdisk("convert", "disk.raw", "a.qcow2")
	for words in (["convert", "--dry-run", "disk.raw", "b.qcow2"], ["create", "--dry-run", "c.qcow2", "1G"],
	              ["resize", "--dry-run", "a.qcow2", "+1G"], ["amend", "--dry-run", "-o", "compat=v2", "a.qcow2"]):
		before = tree(".")
		r = run(VDISK, *words)
		if words[0] == "amend" and r.rc == 2:
			check("no property" in r.err, r.show())
			continue
		eq(0, r.rc, r.show())
		check(r.out, "%s says what it would do" % words[0])
		eq(before, tree("."), "files after %s" % words)
	refused("convert", "--dry-run", "disk.raw", "a.qcow2", mentions="--force")
	refused("create", "--dry-run", "a.qcow2", "1G", mentions="--force")


@case
def layered_conversion_writes_what_differs():
	"""-b: a terabyte of zeros over zeros takes nothing; zeros over data are written as zeros."""
	for fmt, most in (("qcow2", 2 * MIB), ("vhd", 8 * MIB), ("vmdk", 160 * MIB)):
		size = 1 << 40
		with open("base.raw", "wb") as f:
			f.truncate(size)
			f.seek(10 * GIB)
			f.write(rng_for("base").randbytes(2 * MIB))
		vdisk("convert", "base.raw", "base." + fmt)
		with open("base.raw", "r+b") as f:
			f.seek(10 * GIB + MIB)
			f.write(bytes(MIB))
			f.seek(20 * GIB + 512)
			f.write(b"x" * 1024)
		r = vdisk("convert", "base.raw", "top." + fmt, "-b", "base." + fmt)
		check(r.cpu < 20, "took %.1f s" % r.cpu)
		taken = os.stat("top." + fmt).st_blocks * 512
		check(taken < most, "%s: %d bytes for 1 MiB of zeros and 1 KiB of data" % (fmt, taken))
		vdisk("compare", "base.raw", "top." + fmt)


@case
def formats_follow_suffixes():
	disk()
	for suffix, fmt in (("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vhd", "vhd"), ("raw", "raw"), ("img", "raw"), ("QCOW2", "qcow2")):
		vdisk("convert", "disk.raw", "a." + suffix)
		eq(fmt, vdisk("info", "--json", "a." + suffix).json()["format"], "format of a." + suffix)
	vdisk("convert", "-O", "vpc", "disk.raw", "noname")
	eq("vhd", vdisk("info", "--json", "noname").json()["format"], "format by alias")


@case
def sizes():
	for text, size in (("4096", 4096), ("64K", 65536), ("1.5M", 1572864), ("2MiB", 2 * MIB), ("0x10000", 65536), ("1m", MIB)):
		vdisk("create", "--force", "a.raw", text)
		eq(size, os.path.getsize("a.raw"), "size of " + text)
	vdisk("resize", "a.raw", "+1M")
	eq(2 * MIB, os.path.getsize("a.raw"), "after +1M")
	vdisk("resize", "--shrink", "a.raw", "-512K")
	eq(2 * MIB - 512 * KIB, os.path.getsize("a.raw"), "after -512K")


@case
def words_in_any_order():
	disk()
	vdisk("convert", "disk.raw", "-O", "qcow2", "a", "-q")
	vdisk("convert", "-Oqcow2", "--", "disk.raw", "-b")
	vdisk("convert", "-qOqcow2", "disk.raw", "c", "--force")
	check(os.path.exists("-b"), "behind -- everything is an operand")


@case
def other_programs():
	"""vdisk X runs vdisk-X, from PATH, with its words and its exit status."""
	os.mkdir("bin")
	with open("bin/vdisk-greet", "w") as f:
		f.write("#!/bin/sh\necho \"greet $*\"\nexit 7\n")
	os.chmod("bin/vdisk-greet", 0o755)
	r = run(VDISK, "greet", "a", "--json", env={"PATH": os.path.abspath("bin") + ":" + os.environ["PATH"]})
	eq((7, "greet a --json\n"), (r.rc, r.out), "vdisk greet")
	r = run(VDISK, "help", "greet", env={"PATH": os.path.abspath("bin") + ":" + os.environ["PATH"]})
	eq((7, "greet --help\n"), (r.rc, r.out), "vdisk help greet")
	refused("../bin/vdisk-greet")


@case
def programs_are_listed():
	"""vdisk help tells which programs there are, beside it and in PATH, each once, and what ours are for."""
	os.mkdir("bin")
	for name, mode in (("vdisk-greet", 0o755), ("vdisk-notes.txt", 0o755), ("vdisk-data", 0o644), ("vdisk-convert", 0o755), ("vdisk-mount", 0o755)):
		with open("bin/" + name, "w") as f:
			f.write("#!/bin/sh\n")
		os.chmod("bin/" + name, mode)
	os.mkdir("bin/vdisk-folder")
	out = run(VDISK, "help", env={"PATH": os.path.abspath("bin") + ":/nowhere:" + os.environ["PATH"]}).out
	listed = out.split("Programs of their own")[1].split("\n\n")[1].splitlines()
	names = [line.split()[0] for line in listed]
	eq(sorted(set(names)), names, "sorted, each once")
	check("greet" in names and not {"notes.txt", "data", "convert", "folder"} & set(names), "%r" % names)
	check(any(line.startswith("  mount ") and "image" in line for line in listed), "what it is for: %r" % listed)
	for name in os.listdir(BUILD):
		if name.startswith("vdisk-") and os.access(os.path.join(BUILD, name), os.X_OK) and os.path.isfile(os.path.join(BUILD, name)):
			check(name[6:] in names, "%s is listed" % name)
	check(all(out.index(" %s " % c) < out.index("Programs of their own") for c in COMMANDS), "commands come first")


@case
def compare_warns():
	"""What is odd about either image is told with the answer, whatever it is."""
	disk("other.raw", 4 * MIB, "other")
	vdisk("create", "-f", "vhd", "base.vhd", "4M")
	vdisk("create", "-f", "vhd", "-b", "base.vhd", "-F", "vhd", "leaf.vhd")
	os.utime("base.vhd", (10 ** 9, 10 ** 9))
	for words, rc in ((["leaf.vhd", "base.vhd"], 0), (["base.vhd", "leaf.vhd"], 0), (["other.raw", "leaf.vhd"], 1)):
		r = vdisk("compare", *words, rc=rc)
		check(r.err.count("another time stamp") == 1, "a warning: %s" % r.show())
	eq("", vdisk("compare", "-q", "leaf.vhd", "base.vhd").err, "quiet")


main()

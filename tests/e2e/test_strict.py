#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What other converters get silently wrong: unfinished, cut, locked, overwritten and parentless images."""
import os, re, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
import hostile, vhdmaker

QEMU = {"vhd": "vpc"} # what qemu-img calls it


def random_raw(path, size, holes=False):
	rng = rng_for(path)
	with open(path, "wb") as f:
		left = size
		while left:
			n = min(left, MIB)
			f.write(rng.randbytes(n))
			left -= n
	return path


# ---------------------------------------------------------------- interrupted conversions

TARGETS = {
	"raw": ("raw", []),
	"qcow2": ("qcow2", []),
	"qcow2-packed": ("qcow2", ["-c"]),
	"vmdk-sparse": ("vmdk", ["-o", "subformat=monolithicSparse"]),
	"vmdk-flat": ("vmdk", ["-o", "subformat=monolithicFlat"]),
	"vmdk-twogb": ("vmdk", ["-o", "subformat=twoGbMaxExtentSparse"]),
	"vmdk-stream": ("vmdk", ["-o", "subformat=streamOptimized"]),
	"vhd-dynamic": ("vhd", ["-o", "subformat=dynamic"]),
	"vhd-fixed": ("vhd", ["-o", "subformat=fixed"]),
}


def interrupted(fmt, args, source, dst, act, least=0):
	"""Starts a conversion into out/DST, stops it when more than `least` bytes of output lie there, calls act(process) and
	returns its exit status; None when it was done too early."""
	env = dict(os.environ, LC_ALL="C.UTF-8")
	with open("stderr.txt", "wb") as err:
		p = subprocess.Popen([VDISK, "convert", "-j", "1", "-f", "raw", "-O", fmt, *args, source, os.path.join("out", dst)],
		                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, env=env)
		deadline = time.monotonic() + 60
		while p.poll() is None and time.monotonic() < deadline:
			written = sum(os.stat(os.path.join("out", n)).st_blocks * 512 for n in os.listdir("out") if n != "filler")
			if written > least:
				p.send_signal(signal.SIGSTOP)
				break
			time.sleep(0.0005)
		if p.poll() is not None:
			return None
		# Whether it was still at work shows in the name.
		early = os.path.exists(os.path.join("out", dst))
		try:
			act(p)
			p.send_signal(signal.SIGCONT)
			rc = p.wait(60)
		finally:
			if p.poll() is None:
				p.kill()
				p.wait()
	return None if early else rc


def repeat_interrupted(fmt, args, dst, act, least=0):
	size = 48 * MIB
	for attempt in range(4):
		shutil.rmtree("out", ignore_errors=True)
		os.mkdir("out")
		random_raw("source.raw", size)
		rc = interrupted(fmt, args, "source.raw", dst, act, least)
		if rc is not None:
			return rc
		size *= 2
	skip("the conversion is too fast to be interrupted")


def killed(fmt, args):
	dst = "disk." + fmt
	rc = repeat_interrupted(fmt, args, dst, lambda p: p.send_signal(signal.SIGKILL))
	eq(-9, rc, "exit status")
	check(not os.path.exists(os.path.join("out", dst)), "a killed conversion left something under the destination's name")
	for name in os.listdir("out"):
		path = os.path.join("out", name)
		if fmt == "raw" or "flat" in name or "-f0" in name or "fixed" in args[-1:]:
			continue
		r = run("qemu-img", "convert", "-f", QEMU.get(fmt, fmt), "-O", "raw", path, "left.raw")
		check(r.rc != 0, "qemu-img takes the unfinished %s: %s" % (name, r.show()))
		r = run("qemu-img", "convert", "-O", "raw", path, "left.raw") if fmt == "qcow2" else r
		check(r.rc != 0, "qemu-img takes the unfinished %s: %s" % (name, r.show()))
		r = run(VDISK, "convert", "-f", fmt, "-O", "raw", path, "left2.raw")
		check(r.rc == 2, "vdisk takes the unfinished %s: %s" % (name, r.show()))
	# And the next one is not in its way: refused only where there is something to go on with, which is done then.
	words = ["convert", "-f", "raw", "-O", fmt, *args, "source.raw", os.path.join("out", dst)]
	if os.path.exists(os.path.join("out", "." + dst + ".vdisk-resume")):
		refused(*words, folder="out", mentions="--resume")
		words.append("--resume")
	vdisk(*words)
	eq([], [n for n in os.listdir("out") if n.startswith(".")], "what was left behind")
	vdisk("compare", "-f", "raw", "source.raw", os.path.join("out", dst))


def signalled(fmt, args, sig):
	dst = "disk." + fmt
	rc = repeat_interrupted(fmt, args, dst, lambda p: p.send_signal(sig))
	check(rc in (2, 128 + sig, -sig), "exit status %s after signal %d" % (rc, sig))
	left = os.listdir("out")
	check(dst not in left, "an interrupted conversion left something under the destination's name")
	with open("stderr.txt") as f:
		text = f.read()
	check(len(text.splitlines()) <= 1, "more than one line on stderr: %s" % text)
	if not left: # it had done nothing yet
		return
	check(all(n == "." + dst + ".vdisk-resume" or n.startswith(".") and n.endswith(".vdisk-partial") for n in left),
	      "what the interrupted conversion left: %s" % left)
	# The message tells the command that goes on.
	again = text.split("to go on: ", 1)
	eq(2, len(again), "the command that goes on, in: %s" % text)
	import shlex
	ran(*shlex.split(again[1]))
	vdisk("compare", "-f", "raw", "source.raw", os.path.join("out", dst))
	eq([], [n for n in os.listdir("out") if n.startswith(".")], "what was left behind")


def no_space_midway(fmt, args):
	"""The file system fills up while the conversion runs."""
	with small_tmpfs("out", "200M") as filled:
		random_raw("source.raw", 96 * MIB)
		def fill(p):
			try:
				with open("out/filler", "wb") as f:
					while True:
						f.write(bytes(MIB))
						f.flush()
			except OSError as e:
				if e.errno != errno.ENOSPC:
					raise
		rc = interrupted(fmt, args, "source.raw", "disk." + fmt, fill)
		if rc is None:
			skip("the conversion was done before the file system was full")
		eq(2, rc, "exit status")
		eq(["filler"], os.listdir("out"), "what the failed conversion left")
		with open("stderr.txt") as f:
			text = f.read()
		eq(1, len(text.splitlines()), "lines on stderr: %s" % text)
		check("space" in text, "the message names the reason: %s" % text)


@contextlib.contextmanager
def small_tmpfs(path, size, options=""):
	os.makedirs(path, exist_ok=True)
	if os.geteuid() != 0 or run("mount", "-t", "tmpfs", "-o", "size=%s%s" % (size, options), "tmpfs", path).rc:
		skip("no file system can be mounted here")
	try:
		yield path
	finally:
		run("umount", path)


for name, (fmt, args) in TARGETS.items():
	add("kill -9 " + name, killed, fmt, args)
for name in ("raw", "qcow2", "vmdk-stream", "vmdk-twogb", "vhd-dynamic"):
	add("SIGINT " + name, signalled, *TARGETS[name], signal.SIGINT)
	add("no space midway " + name, no_space_midway, *TARGETS[name])
add("SIGTERM qcow2", signalled, *TARGETS["qcow2"], signal.SIGTERM)


def no_space_at_once(fmt, args):
	random_raw("source.raw", 24 * MIB)
	with small_tmpfs("out", "8M"):
		refused("convert", "-f", "raw", "-O", fmt, *args, "source.raw", "out/disk." + fmt, mentions="space", seconds=5)
		eq([], os.listdir("out"), "what is left")
		# A sparse source that fits is no trouble.
		with open("sparse.raw", "wb") as f:
			f.truncate(1 * GIB)
			f.seek(500 * MIB)
			f.write(b"x" * 5000)
		if fmt in ("raw", "qcow2") or "fixed" not in args[-1]:
			vdisk("convert", "-f", "raw", "-O", fmt, *args, "sparse.raw", "out/sparse." + fmt)
			vdisk("compare", "-f", "raw", "sparse.raw", "out/sparse." + fmt)


for name in ("raw", "qcow2", "vmdk-sparse", "vhd-dynamic", "vhd-fixed"):
	add("no space at once " + name, no_space_at_once, *TARGETS[name])


def write_fails(fmt, args):
	"""Writes fail past 6 MiB of a file (EFBIG)."""
	random_raw("source.raw", 24 * MIB)
	os.mkdir("out")
	def limit():
		import resource
		signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
		resource.setrlimit(resource.RLIMIT_FSIZE, (6 * MIB, 6 * MIB))
	refused("convert", "-f", "raw", "-O", fmt, *args, "source.raw", "out/disk." + fmt, preexec=limit, seconds=30)
	eq([], os.listdir("out"), "what is left")


for name in TARGETS:
	add("a write fails " + name, write_fails, *TARGETS[name])


# ---------------------------------------------------------------- sources that were cut

CUT = {
	"qcow2": ("qcow2", "", None),
	"qcow2-packed": ("qcow2", "", None),
	"vmdk-sparse": ("vmdk", "subformat=monolithicSparse", None),
	"vmdk-twogb": ("vmdk", "subformat=twoGbMaxExtentSparse", "-s001"),
	"vmdk-flat": ("vmdk", "subformat=monolithicFlat", "-flat"),
	"vmdk-twogbflat": ("vmdk", "subformat=twoGbMaxExtentFlat", "-f001"),
	"vmdk-stream": ("vmdk", "subformat=streamOptimized", None),
	"vhd-fixed": ("vhd", "subformat=fixed,force_size=on", None),
	"vhd-dynamic": ("vhd", "subformat=dynamic,force_size=on", None),
}


def make_cut_source(name, by="qemu"):
	fmt, options, suffix = CUT[name]
	random_raw("source.raw", 6 * MIB)
	path = "disk." + fmt
	if by == "qemu":
		qemu_img("convert", "-f", "raw", "-O", QEMU.get(fmt, fmt), *(["-o", options] if options else []),
		         *(["-c"] if "packed" in name else []), "source.raw", path)
	else:
		options = options.replace(",force_size=on", "")
		vdisk("convert", "-f", "raw", "-O", fmt, *(["-o", options] if options else []),
		      *(["-c"] if "packed" in name else []),
		      "source.raw", path)
	victim = "disk%s.%s" % (suffix, fmt) if suffix else path
	return fmt, path, victim


def cut(name, by):
	fmt, path, victim = make_cut_source(name, by)
	full = os.path.getsize(victim)
	vdisk("convert", "-f", fmt, "-O", "raw", path, "whole.raw")
	same_bytes("source.raw", "whole.raw")
	os.unlink("whole.raw")
	# The trailing 512 bytes of a dynamic VHD are a copy of the footer at 0: what lies before them is data.
	lost = {"vhd-dynamic": (full // 2, 512 + 512, 512 + 1)}.get(name, (full // 2, 512, 513, 65536))
	if name in ("qcow2", "vmdk-sparse", "vmdk-flat", "vmdk-twogb", "vmdk-twogbflat"):
		lost += (1,)
	for n in sorted(lost): # cuts grow
		os.truncate(victim, full - n)
		for args in (("convert", "-f", fmt, "-O", "raw", path, "out.raw"), ("convert", "-O", "raw", path, "out.raw"),
		             ("convert", "-f", fmt, "-O", "qcow2", path, "out.qcow2")):
			try:
				refused(*args)
			except Failed as e:
				fail("cut by %d of %d bytes: %s" % (n, full, e))
	r = run(VDISK, "check", "-f", fmt, path)
	check(r.rc in (1, 2), "check finds the cut: %s" % r.show())
	r = run(VDISK, "compare", "-f", "raw", "-F", fmt, "source.raw", path)
	check(r.rc == 2, "compare refuses a cut image: %s" % r.show())


def cut_base(fmt, suffix=None, options=()):
	"""A layer over what a conversion would refuse is not made either, however it is asked for; the base stays as it was."""
	random_raw("source.raw", 6 * MIB)
	os.mkdir("d")
	base = "d/base." + fmt
	vdisk("convert", *options, "-f", "raw", "-O", fmt, "source.raw", base)
	victim = "d/base%s.%s" % (suffix, fmt) if suffix else base
	vdisk("create", "-f", fmt, "-b", "base." + fmt, "-F", fmt, "d/whole." + fmt)
	os.truncate(victim, os.path.getsize(victim) // (8 if fmt == "vhdx" else 2)) # whose last block sticks out over the disk
	why = refused("convert", "-f", fmt, "-O", "raw", base, "out.raw").err.split(": ", 2)[2].strip()
	create = ["create", "-f", fmt, "-b", "base." + fmt, "-F", fmt]
	for args in (create + ["d/new." + fmt], create + ["--dry-run", "d/new." + fmt], create + ["--force", "d/whole." + fmt],
	             ["clone", "--linked", "-f", fmt, base, "d/new." + fmt], ["clone", "-f", fmt, base, "d/new." + fmt],
	             ["convert", "-f", "raw", "-O", fmt, "-b", "base." + fmt, "-F", fmt, "source.raw", "d/new." + fmt]):
		r = refused(*args)
		check(why in r.err, "%r, which conversions say of it, is due: %s" % (why, r.show()))


for fmt, *how in (("qcow2",), ("vmdk",), ("vmdk", "-s001", ["-o", "subformat=twoGbMaxExtentSparse"]), ("vhd",), ("vhdx",), ("vdi",)):
	add("cut base %s%s" % (fmt, how[0] if how else ""), cut_base, fmt, *how)


def bytes_at(path, at, n):
	with open(path, "rb") as f:
		f.seek(at)
		return f.read(n)


@case
def damaged_base():
	"""Two clusters in one place, below a layer that is whole."""
	random_raw("source.raw", 6 * MIB)
	vdisk("convert", "-f", "raw", "-O", "qcow2", "source.raw", "low.qcow2")
	vdisk("create", "-f", "qcow2", "-b", "low.qcow2", "base.qcow2")
	l2 = next(x for x in (65536 * k for k in range(1, 20)) if struct.unpack(">Q", bytes_at("low.qcow2", x + 8, 8))[0] >> 63
	          and struct.unpack(">Q", bytes_at("low.qcow2", x + 16, 8))[0] >> 63)
	with open("low.qcow2", "r+b") as f:
		f.seek(l2 + 8)
		f.write(bytes_at("low.qcow2", l2, 8))
	for args in (("create", "-f", "qcow2", "-b", "base.qcow2", "new.qcow2"), ("clone", "--linked", "base.qcow2", "new.qcow2")):
		r = refused(*args)
		check("low.qcow2" in r.err, "the image that is damaged is named: %s" % r.err)


for name in CUT:
	add("cut " + name, cut, name, "qemu")
	add("cut, our own " + name, cut, name, "vdisk")


@case
def cut_of_exactly_the_copied_footer():
	"""A dynamic VHD without its trailing footer, or with 511 bytes of it, is whole but for that: never silently something
	else."""
	fmt, path, victim = make_cut_source("vhd-dynamic")
	full = os.path.getsize(victim)
	for n in (1, 512):
		os.truncate(victim, full - n)
		r = run(VDISK, "convert", "-f", fmt, "-O", "raw", path, "out.raw")
		if r.rc == 0:
			same_bytes("source.raw", "out.raw")
			os.unlink("out.raw")
			check(n == 1 or r.err, "a lost footer is said: %s" % r.show())
		else:
			refused("convert", "-f", fmt, "-O", "raw", path, "out.raw")


@case
def fixed_vhd_footer_of_511_bytes():
	fmt, path, victim = make_cut_source("vhd-fixed")
	os.truncate(path, os.path.getsize(path) - 1)
	vdisk("convert", "-O", "raw", path, "out.raw")
	same_bytes("source.raw", "out.raw")


@case
def a_suffix_that_the_bytes_belie():
	"""A file named as another format that holds nothing of it is not silently raw."""
	random_raw("a.vhd", 65536)
	for suffix in ("vhd", "qcow2", "vmdk"):
		if suffix != "vhd":
			shutil.copy("a.vhd", "a." + suffix)
		refused("convert", "-O", "raw", "a." + suffix, "out.raw", mentions="-f raw")
		vdisk("convert", "-f", "raw", "-O", "raw", "a." + suffix, "out.raw")
		same_bytes("a." + suffix, "out.raw")
		os.unlink("out.raw")


def salvage(name):
	fmt, path, victim = make_cut_source(name)
	full = os.path.getsize(victim)
	os.truncate(victim, full // 2)
	before = tree(".")
	r = run(VDISK, "convert", "--salvage", "-f", fmt, "-O", "raw", path, "out.raw")
	check(r.rc in (0, 1), "--salvage goes on: %s" % r.show())
	check(r.err or r.out, "--salvage names what was lost")
	check(re.search(r"lost|salvage", r.err + r.out), "--salvage names what was lost: %s" % r.show())
	after = tree(".")
	del after["out.raw"]
	eq(before, after, "the source's files")
	eq(6 * MIB, os.path.getsize("out.raw"), "virtual size")
	kept = 0
	with open("source.raw", "rb") as a, open("out.raw", "rb") as b:
		while True:
			x, y = a.read(512), b.read(512)
			if not x:
				break
			if x == y:
				kept += 512
			elif y.strip(b"\0") and not x.startswith(y.rstrip(b"\0")):
				fail("sector %d is neither the source's nor zeros" % (a.tell() // 512 - 1))
	check(kept >= 6 * MIB * 2 // 5, "only %d bytes of %d were kept" % (kept, 6 * MIB))
	r = run(VDISK, "convert", "--salvage", "--json", "-f", fmt, "-O", "raw", path, "out2.raw")
	check(r.rc in (0, 1), r.show())
	text = json.dumps(r.json())
	check("lost" in text, "the JSON report counts what was lost: %s" % text)
	same_bytes("out.raw", "out2.raw")


for name in CUT:
	if name not in ("vmdk-stream", "vhd-fixed"):
		add("salvage " + name, salvage, name)


def lost_ranges(r):
	return [(int(n), int(off)) for n, off in re.findall(r"lost: (\d+) bytes at offset (\d+)", r.err)]


@case
def salvage_of_a_cut_pipe():
	"""A stream that ends inside a grain: what came before is kept, the rest is zeros, and said; as with the file itself."""
	random_raw("source.raw", 6 * MIB)
	vdisk("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "source.raw", "a.vmdk")
	size = os.path.getsize("a.vmdk")
	for cut in (size // 2 + 700, size // 2 + 65536, size - 3000, size - 700):
		shutil.copy("a.vmdk", "cut.vmdk")
		os.truncate("cut.vmdk", cut)
		r = vdisk("convert", "--force", "--salvage", "-O", "raw", "cut.vmdk", "file.raw")
		with open("cut.vmdk", "rb") as f:
			p = vdisk("convert", "--force", "--salvage", "-f", "vmdk", "-O", "raw", "-", "pipe.raw", stdin=f)
		same_bytes("file.raw", "pipe.raw")
		eq(lost_ranges(r), lost_ranges(p), "the ranges that are lost, of %d bytes of %d" % (cut, size))
		lost = lost_ranges(p)
		check(len(lost) <= 1 and (lost or cut > size - 3500), "one range is lost: %s" % p.show())
		begin = lost[0][1] if lost else 6 * MIB
		eq(6 * MIB, begin + sum(n for n, _ in lost), "the lost range's end")
		eq(sha256("source.raw", 0, begin), sha256("pipe.raw", 0, begin), "what came before the damage")
		with open("cut.vmdk", "rb") as f:
			refused("convert", "-f", "vmdk", "-O", "raw", "-", "no.raw", stdin=f)


def salvage_of_a_broken_unit(fmt, *options):
	"""A packed unit that does not unpack is lost, and no other."""
	text = rng_for("unit").randbytes(3000) * 2400
	write_file("source.raw", text[:6 * MIB])
	vdisk("convert", "-O", fmt, *options, "source.raw", "a." + fmt)
	broken = vdisk("map", "--json", "a." + fmt).json()["extents"]
	unit = [x for x in broken if x["kind"] == "data"][len(broken) // 2]
	write_file("a." + fmt, b"\xff" * 24, unit["host-offset"] + (12 if fmt == "vmdk" else 0)) # behind the marker
	refused("convert", "-O", "raw", "a." + fmt, "no.raw")
	want = [(unit["length"], unit["offset"])]
	for source in ("a." + fmt, "-") if fmt == "vmdk" else ("a." + fmt,):
		with open("a." + fmt, "rb") as f:
			r = vdisk("convert", "--force", "--salvage", "-f", fmt, "-O", "raw", source, "out.raw", stdin=f)
		eq(want, lost_ranges(r), "the ranges that are lost")
		with open("source.raw", "rb") as f:
			whole = f.read()
		due = whole[:unit["offset"]] + bytes(unit["length"]) + whole[unit["offset"] + unit["length"]:]
		check(due == open("out.raw", "rb").read(), "the rest of the disk")


add("salvage of a broken grain", salvage_of_a_broken_unit, "vmdk", "-o", "subformat=streamOptimized")
add("salvage of a broken cluster", salvage_of_a_broken_unit, "qcow2", "-c")
add("salvage of a broken zstd cluster", salvage_of_a_broken_unit, "qcow2", "-c", "-o", "compression_type=zstd")


@case
def salvage_of_nothing_lost():
	"""A whole image salvages without a word about losses, with exit status 0."""
	random_raw("source.raw", MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	r = vdisk("convert", "--salvage", "-O", "raw", "a.qcow2", "out.raw")
	same_bytes("source.raw", "out.raw")
	eq("", r.err, "stderr")


# ---------------------------------------------------------------- parents

def vhd_parent():
	rng = rng_for("vhd_parent")
	make_raw("parent.raw", rng, 8 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "vpc", "-o", "subformat=dynamic,force_size=on", "parent.raw", "parent.vhd")
	write = {0: rng.randbytes(512), 17: rng.randbytes(4096), 9001: rng.randbytes(512 * 100)}
	shutil.copy("parent.raw", "child.raw")
	for sector, data in write.items():
		write_file("child.raw", data, sector * 512)
	return write


@case
def differencing_vhd():
	write = vhd_parent()
	vhdmaker.differencing("child.vhd", "parent.vhd", 8 * MIB, write)
	vdisk("convert", "-O", "raw", "child.vhd", "out.raw")
	same_bytes("child.raw", "out.raw")
	os.unlink("out.raw")
	os.rename("parent.vhd", "elsewhere.vhd")
	refused("convert", "-O", "raw", "child.vhd", "out.raw", mentions="parent")
	refused("convert", "-f", "vhd", "-O", "qcow2", "child.vhd", "out.qcow2", mentions="parent")
	vdisk("info", "child.vhd")
	# --salvage does not read a parent's data as zeros without a word either.
	r = run(VDISK, "convert", "--salvage", "-O", "raw", "child.vhd", "out.raw")
	check(r.rc == 2 or r.err, "a lost parent is said: %s" % r.show())


@case
def differencing_vhd_of_another_parent():
	write = vhd_parent()
	vhdmaker.differencing("child.vhd", "parent.vhd", 8 * MIB, write, parent_uuid=b"0123456789abcdef")
	refused("convert", "-O", "raw", "child.vhd", "out.raw", mentions="parent")
	# Only the parent's time stamp differs: a warning.
	os.unlink("child.vhd")
	vhdmaker.differencing("child.vhd", "parent.vhd", 8 * MIB, write, when=12345)
	r = vdisk("convert", "-O", "raw", "child.vhd", "out.raw")
	same_bytes("child.raw", "out.raw")
	check("warning" in r.err.lower() or "time" in r.err.lower(), "the time stamp is named: %s" % r.show())


def vmdk_chain():
	rng = rng_for("vmdk_chain")
	make_raw("base.raw", rng, 8 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "base.raw", "base.vmdk")
	qemu_img("create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "child.vmdk")
	qemu_io("child.vmdk", "vmdk", "write -P 7 100000 70000", "write -P 8 4M 512")


@case
def vmdk_child_of_another_parent():
	vmdk_chain()
	qemu_img("convert", "-f", "vmdk", "-O", "raw", "child.vmdk", "expected.raw")
	vdisk("convert", "-O", "raw", "child.vmdk", "out.raw")
	same_bytes("expected.raw", "out.raw")
	os.unlink("out.raw")
	with open("base.vmdk", "r+b") as f:
		b = f.read(65536)
		i = b.index(b"CID=")
		f.seek(i + 4)
		f.write(b"0badf00d"[:8])
	refused("convert", "-O", "raw", "child.vmdk", "out.raw", mentions="CID")
	vdisk("info", "child.vmdk")
	os.unlink("base.vmdk")
	refused("convert", "-O", "raw", "child.vmdk", "out.raw", mentions="base.vmdk")


# ---------------------------------------------------------------- destinations

@case
def existing_destination():
	random_raw("source.raw", 2 * MIB)
	for fmt, args in TARGETS.values():
		dst = "disk." + fmt
		write_file(dst, b"precious")
		refused("convert", "-f", "raw", "-O", fmt, *args, "source.raw", dst, mentions="--force")
		with open(dst, "rb") as f:
			eq(b"precious", f.read(), "the existing file")
		vdisk("convert", "--force", "-f", "raw", "-O", fmt, *args, "source.raw", dst)
		vdisk("compare", "-f", "raw", "-F", fmt, "source.raw", dst)
		for n in os.listdir("."):
			if n != "source.raw":
				os.unlink(n)
	write_file("disk.qcow2", b"precious")
	refused("create", "-f", "qcow2", "disk.qcow2", "1M", mentions="--force")
	vdisk("create", "--force", "-f", "qcow2", "disk.qcow2", "1M")
	eq(MIB, virtual_size("disk.qcow2", "qcow2"), "virtual size")


@case
def an_existing_extent_file():
	"""Not only the descriptor's name is respected."""
	random_raw("source.raw", 2 * MIB)
	for kind, extent in (("monolithicFlat", "disk-flat.vmdk"), ("twoGbMaxExtentSparse", "disk-s001.vmdk"),
	                     ("twoGbMaxExtentFlat", "disk-f001.vmdk")):
		write_file(extent, b"precious")
		r = run(VDISK, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + kind, "source.raw", "disk.vmdk")
		with open(extent, "rb") as f:
			eq(b"precious", f.read(), "the existing extent %s: %s" % (extent, r.show()))
		check(r.rc == 2, "a refusal is due: %s" % r.show())
		eq(sorted([extent, "source.raw"]), sorted(os.listdir(".")), "what is left")
		os.unlink(extent)


@case
def forced_replacement_is_atomic():
	"""With --force, the old file stays until the new one is whole."""
	random_raw("source.raw", 4 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "bad.qcow2")
	l2 = hostile.get("bad.qcow2", hostile.get("bad.qcow2", 40, ">Q"), ">Q") & 0x00fffffffffffe00
	hostile.put("bad.qcow2", l2 + 8 * 60, ">Q", 1 << 63 | 1 << 40)
	write_file("disk.raw", b"precious")
	refused("convert", "--force", "-O", "raw", "bad.qcow2", "disk.raw")
	with open("disk.raw", "rb") as f:
		eq(b"precious", f.read(), "the file that was to be replaced")


@case
def source_is_destination():
	random_raw("a.raw", MIB)
	digest = sha256("a.raw")
	os.symlink("a.raw", "link.raw")
	os.link("a.raw", "hard.raw")
	for dst in ("a.raw", "./a.raw", os.path.abspath("a.raw"), "link.raw", "hard.raw"):
		for args in ((), ("--force",)):
			for fmt in ("raw", "qcow2"):
				refused("convert", *args, "-f", "raw", "-O", fmt, "a.raw", dst)
				eq(digest, sha256("a.raw"), "the source")
	# A parent of the source is as dear.
	qemu_img("create", "-q", "-f", "qcow2", "-b", "a.raw", "-F", "raw", "top.qcow2")
	refused("convert", "--force", "-f", "qcow2", "-O", "raw", "top.qcow2", "a.raw")
	eq(digest, sha256("a.raw"), "the parent")


@case
def read_only_folder():
	random_raw("source.raw", MIB)
	with small_tmpfs("out", "8M", ",ro"):
		refused("convert", "-f", "raw", "-O", "qcow2", "source.raw", "out/a.qcow2")
	refused("convert", "-f", "raw", "-O", "qcow2", "source.raw", "nosuch/a.qcow2", mentions="nosuch")
	os.mkdir("folder")
	refused("convert", "-f", "raw", "-O", "qcow2", "source.raw", "folder")


@case
def unreadable_source():
	if os.geteuid() != 0:
		skip("needs root to become somebody else")
	random_raw("source.raw", MIB)
	os.chmod("source.raw", 0o600)
	os.chmod(".", 0o777)
	try:
		refused("convert", "-f", "raw", "-O", "qcow2", os.path.abspath("source.raw"), "a.qcow2", mentions="source.raw",
		        preexec=lambda: os.setuid(65534))
	except (PermissionError, subprocess.SubprocessError):
		skip("another user cannot reach the program")


@case
def odd_sources():
	os.mkfifo("pipe")
	for path in (".", "missing.raw", "/dev/full", "pipe"):
		r = run(VDISK, "convert", "-f", "qcow2", "-O", "raw", path, "out.raw", timeout=60)
		check(r.rc == 2, "a refusal is due: %s" % r.show())
		one_line(r)
	open("empty", "w").close()
	refused("convert", "-f", "qcow2", "-O", "raw", "empty", "out.raw")
	refused("convert", "-f", "vmdk", "-O", "raw", "empty", "out.raw")
	refused("convert", "-f", "vhd", "-O", "raw", "empty", "out.raw")


@case
def own_backing_image():
	random_raw("disk.raw", MIB)
	vdisk("create", "-b", "disk.raw", "-F", "raw", "a.qcow2")
	vdisk("create", "-b", "a.qcow2", "-F", "qcow2", "b.qcow2")
	os.symlink("disk.raw", "link.raw")
	for backing, path in (("disk.raw", "disk.raw"), ("a.qcow2", "disk.raw"), ("b.qcow2", "a.qcow2"), ("b.qcow2", "b.qcow2"), ("link.raw", "disk.raw")):
		refused("create", "--force", "-f", "qcow2", "-b", backing, "-F", backing.split(".")[1], path, mentions="its own backing image")
	vdisk("create", "--force", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "b.qcow2") # over what is in nobody's way
	vdisk("compare", "disk.raw", "b.qcow2")


@case
def machines_are_no_disks():
	"""A machine's description would pass for a raw disk of some hundred bytes, without a word."""
	for suffix in ("vmx", "ovf", "ova", "vbox", "XML"):
		with open("machine." + suffix, "w") as f:
			f.write("memsize = \"512\"\n" * 40)
		refused("convert", "machine." + suffix, "out.qcow2", mentions="vdisk migrate")
		refused("info", "machine." + suffix, mentions="-f raw")
		vdisk("convert", "-f", "raw", "machine." + suffix, "out.raw")
		same_bytes("machine." + suffix, "out.raw")
		os.remove("out.raw")


# ---------------------------------------------------------------- one cluster, two owners

@case
def two_owners_qcow2():
	random_raw("source.raw", 2 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	l2 = hostile.get("a.qcow2", hostile.get("a.qcow2", 40, ">Q"), ">Q") & 0x00fffffffffffe00
	hostile.put("a.qcow2", l2 + 8, ">Q", hostile.get("a.qcow2", l2, ">Q"))
	refused("convert", "-O", "raw", "a.qcow2", "out.raw")
	refused("compare", "a.qcow2", "a.qcow2")
	eq(1, run(VDISK, "check", "a.qcow2").rc, "exit status of check")


@case
def two_owners_vmdk():
	random_raw("source.raw", 2 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "source.raw", "a.vmdk")
	for field in (56, 48): # the grain directory, the redundant one
		gt = hostile.get("a.vmdk", hostile.get("a.vmdk", field, "<Q") * 512, "<I") * 512
		hostile.put("a.vmdk", gt + 4, "<I", hostile.get("a.vmdk", gt, "<I"))
	refused("convert", "-O", "raw", "a.vmdk", "out.raw")
	eq(1, run(VDISK, "check", "a.vmdk").rc, "exit status of check")


@case
def two_owners_vhd():
	random_raw("source.raw", 6 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", "source.raw", "a.vhd")
	bat = hostile.get("a.vhd", 512 + 16, ">Q")
	hostile.put("a.vhd", bat + 4, ">I", hostile.get("a.vhd", bat, ">I"))
	refused("convert", "-O", "raw", "a.vhd", "out.raw")
	eq(1, run(VDISK, "check", "a.vhd").rc, "exit status of check")


@case
def data_over_metadata_qcow2():
	"""A guest cluster that lies on the L1 table, an L2 table, the refcount table, a refcount block."""
	random_raw("source.raw", 2 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	l1 = hostile.get("a.qcow2", 40, ">Q")
	l2 = hostile.get("a.qcow2", l1, ">Q") & 0x00fffffffffffe00
	for at in (l1, l2, hostile.get("a.qcow2", 48, ">Q"), hostile.get("a.qcow2", hostile.get("a.qcow2", 48, ">Q"), ">Q")):
		hostile.put("a.qcow2", l2 + 8, ">Q", 1 << 63 | at)
		refused("convert", "-O", "raw", "a.qcow2", "out.raw")
		check(run(VDISK, "check", "a.qcow2").rc in (1, 2), "check finds it")


# ---------------------------------------------------------------- sizes

def odd_size(fmt, args):
	rng = rng_for("odd_size")
	make_raw("a.raw", rng, 1000001)
	refused("convert", "-f", "raw", "-O", fmt, *args, "a.raw", "out." + fmt, mentions="--size-rounding")
	refused("convert", "--size-rounding", "refuse", "-f", "raw", "-O", fmt, *args, "a.raw", "out." + fmt)
	vdisk("convert", "--size-rounding", "up", "-f", "raw", "-O", fmt, *args, "a.raw", "out." + fmt)
	same_as_raw(padded("a.raw", 512), "out." + fmt, QEMU.get(fmt, fmt))
	vdisk("compare", "-f", "raw", "-F", fmt, "a.raw", "out." + fmt)


for name, (fmt, args) in TARGETS.items():
	if fmt != "raw":
		add("size that is no multiple of 512 " + name, odd_size, fmt, args)


@case
def odd_size_raw_to_raw():
	make_raw("a.raw", rng_for("odd"), 1000001)
	vdisk("convert", "-f", "raw", "-O", "raw", "a.raw", "out.raw")
	same_bytes("a.raw", "out.raw")


@case
def sizes_past_the_format():
	for fmt, args, size in (("vhd", (), "2041G"), ("vhd", ("-o", "subformat=fixed"), "3T"),
	                        ("qcow2", ("-o", "cluster_size=512"), "1P")):
		refused("create", "-f", fmt, *args, "a." + fmt, size)
	vdisk("create", "-f", "vhd", "a.vhd", "2040G")
	eq(2040 * GIB, virtual_size("a.vhd", "vpc"), "virtual size")


@case
def empty_disk():
	open("a.raw", "w").close()
	for fmt, args in TARGETS.values():
		r = run(VDISK, "convert", "-f", "raw", "-O", fmt, *args, "a.raw", "out." + fmt)
		check(r.rc in (0, 2), "an empty disk: %s" % r.show())
		if r.rc == 2:
			one_line(r)
		else:
			r = run(VDISK, "info", "-f", fmt, "out." + fmt)
			eq(0, r.rc, "info of an empty disk: %s" % r.show())
		for n in os.listdir("."):
			if n != "a.raw":
				os.unlink(n)


# ---------------------------------------------------------------- locks

def has_lock(path):
	"""Does anybody hold a lock on the file?  As the kernel tells, without taking one."""
	ident = ":%d" % os.stat(path).st_ino
	with open("/proc/locks") as f:
		return any(field.endswith(ident) for line in f for field in line.split())


@contextlib.contextmanager
def held(path, *argv):
	"""A program that has an image open, until the block ends."""
	p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
	try:
		for _ in range(200):
			if p.poll() is not None:
				fail("%s ended: %s" % (argv, p.stderr.read()))
			if has_lock(path):
				time.sleep(0.2) # for the rest of its opening
				break
			time.sleep(0.05)
		else:
			fail("%s never took the lock" % (argv,))
		yield
	finally:
		p.stdin.close()
		p.wait(30)
		p.stderr.close()


def locked_by_qemu(fmt):
	random_raw("source.raw", 2 * MIB)
	qfmt = QEMU.get(fmt, fmt)
	path = "disk." + fmt
	qemu_img("convert", "-f", "raw", "-O", qfmt, "source.raw", path)
	with held(path, "qemu-io", "-f", qfmt, path):
		r = refused("convert", "-f", fmt, "-O", "raw", path, "out.raw", mentions=path)
		check(re.search(r"lock|in use|another|busy", r.err), "the message says why: %s" % r.err)
		refused("compare", "-f", fmt, path, "source.raw")
		refused("check", "-f", fmt, path)
	vdisk("convert", "-f", fmt, "-O", "raw", path, "out.raw")
	# Two readers are no trouble.
	with held(path, "qemu-io", "-r", "-f", qfmt, path):
		vdisk("convert", "--force", "-f", fmt, "-O", "raw", path, "out.raw")


def locked_by_us(fmt):
	need_vdio()
	random_raw("source.raw", 2 * MIB)
	qfmt = QEMU.get(fmt, fmt)
	path = "disk." + fmt
	qemu_img("convert", "-f", "raw", "-O", qfmt, "source.raw", path)
	with held(path, VDIO, "-f", fmt, path):
		r = run("qemu-img", "convert", "-f", qfmt, "-O", "raw", path, "q.raw")
		check(r.rc != 0 and "lock" in r.err, "qemu-img sees our lock: %s" % r.show())
		refused("convert", "-f", fmt, "-O", "raw", path, "out.raw", mentions=path)
	vdisk("convert", "-f", fmt, "-O", "raw", path, "out.raw")


for fmt in ("raw", "qcow2", "vmdk", "vhd"):
	add("locked by qemu-io: " + fmt, locked_by_qemu, fmt)
	add("locked by us: " + fmt, locked_by_us, fmt)


@case
def writer_of_a_parent_is_kept_out():
	"""While a child is read, nobody may write its parent."""
	random_raw("source.raw", 2 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "base.qcow2")
	qemu_img("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2")
	with held("base.qcow2", "qemu-io", "-f", "qcow2", "base.qcow2"):
		refused("convert", "-O", "raw", "top.qcow2", "out.raw", mentions="base.qcow2")


# ---------------------------------------------------------------- marks

@case
def image_marked_corrupt():
	"""qemu-img copies an image that is marked corrupt with exit 0; reading one is legal and said, writing is refused."""
	random_raw("source.raw", 2 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	hostile.put("a.qcow2", 72, ">Q", hostile.get("a.qcow2", 72, ">Q") | 2)
	r = run(VDISK, "convert", "-O", "raw", "a.qcow2", "out.raw")
	check(r.rc in (0, 2), r.show())
	if r.rc == 0:
		same_bytes("source.raw", "out.raw")
	check("corrupt" in r.err, "the mark is named: %s" % r.show())


@case
def unknown_feature_is_named():
	"""From the feature name table."""
	random_raw("source.raw", MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	hostile.put("a.qcow2", 72, ">Q", 1 << 40)
	table = bytes([0, 40]) + b"flux capacitor".ljust(46, b"\0")
	hostile.qcow2_extensions("a.qcow2", [(0x6803f857, table)])
	refused("convert", "-O", "raw", "a.qcow2", "out.raw", mentions="flux capacitor")
	# Compatible and autoclear bits, and a longer header, are legal.
	hostile.put("a.qcow2", 72, ">Q", 0)
	hostile.put("a.qcow2", 80, ">Q", 1 << 41)
	hostile.put("a.qcow2", 88, ">Q", 1 << 42)
	vdisk("convert", "-O", "raw", "a.qcow2", "out.raw")
	same_bytes("source.raw", "out.raw")


@case
def snapshots_are_not_lost_without_a_word():
	random_raw("source.raw", MIB)
	qemu_img("convert", "-f", "raw", "-O", "qcow2", "source.raw", "a.qcow2")
	qemu_img("snapshot", "-c", "before", "a.qcow2")
	r = vdisk("convert", "-O", "raw", "a.qcow2", "out.raw")
	check("snapshot" in r.err, "the snapshot that the result lacks is named: %s" % r.show())
	same_bytes("source.raw", "out.raw")


main()

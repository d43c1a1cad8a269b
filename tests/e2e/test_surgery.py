#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Surgery on chains: whatever is done to the layers, and whenever it is killed, the disk reads the same."""
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from kills import *

VDIO = os.path.join(BUILD, "tests", "vdio")
ROUNDS = 200 if ALL else 20


def qemu_reads(fmt):
	return fmt in ("qcow2", "vmdk") # not differencing VHDs


def change(path, fmt, model, rng, size, pieces=12, longest=700 * KIB, zeros=True):
	"""Random writes and zeros into an image, and the same into the model."""
	commands = []
	with open(model, "r+b") as f:
		for _ in range(pieces):
			length = rng.choice((512, 4096, rng.randrange(1, longest), 65536))
			off = rng.randrange(0, size - length)
			value = rng.randrange(1, 256)
			if zeros and rng.random() < 0.3:
				value = 0
			commands.append("zero %d %d" % (off, length) if not value else "write %d %d %d" % (off, length, value))
			f.seek(off)
			f.write(bytes([value]) * length)
	ran(VDIO, "-f", fmt, path, stdin=("\n".join(commands) + "\n").encode())


def chain(fmt, layers, rng, size=8 * MIB, base_fmt=None, pieces=12, options=""):
	"""base, l1, l2 … of fmt; model.raw is what the last one reads as.  The layers' paths, the leaf last."""
	if not os.path.exists(VDIO):
		skip("no %s" % VDIO)
	base_fmt = base_fmt or fmt
	make_raw("model.raw", rng, size, pieces=max(40, size // (256 * KIB)))
	paths = ["base." + base_fmt]
	vdisk("convert", "-f", "raw", "-O", base_fmt, "model.raw", paths[0])
	for i in range(1, layers):
		shutil.copy("model.raw", "model%d.raw" % (i - 1))
		paths.append("lay%d.%s" % (i, fmt))
		vdisk("create", "-f", fmt, "-b", paths[-2], *(["-o", options] if options else []), paths[-1])
		change(paths[-1], fmt, "model.raw", rng, size, pieces)
	right(paths[-1], fmt)
	return paths


def right(path, fmt, model="model.raw", why="", leaks=False):
	vdisk("compare", "-f", fmt, "-F", "raw", path, model)
	if qemu_reads(fmt):
		r = run("qemu-img", "compare", "-f", fmt, "-F", "raw", path, model)
		if r.rc:
			fail("%sqemu-img reads another content\n    %s" % (why, r.show()))
	r = run(VDISK, "check", path)
	if r.rc:
		fail("%scheck is not clean\n    %s" % (why, r.show()))
	if fmt == "qcow2":
		r = run("qemu-img", "check", "-f", fmt, path)
		check(r.rc == 0 or (leaks and r.rc == 3), "%sqemu-img check is not clean\n    %s" % (why, r.show()))


def parent_of(path):
	return vdisk("info", "--json", path).json()["layers"][0]["parent"]


def unlink(*paths):
	for p in paths:
		os.unlink(p)


def kill_loop(words, rng, still_right, done):
	"""ROUNDS times from the same state: killed at a random moment the chain is right; the second run finishes."""
	for n in kill_rounds(words, rng, ROUNDS):
		if n:
			still_right()
			vdisk(*words)
		done()


# ---------------------------------------------------------------- flatten

VARIANTS = [("qcow2", None, ""), ("qcow2", "raw", "compat=0.10"), ("qcow2", "vhd", "cluster_size=512"),
            ("qcow2", "vmdk", "extended_l2=on"), ("vmdk", None, ""), ("vmdk", None, "subformat=twoGbMaxExtentSparse"),
            ("vmdk", None, "subformat=vmfsSparse"), ("vhd", None, ""), ("vhdx", None, ""), ("qcow2", "vdi", ""), ("vdi", None, "")]


def title(fmt, base_fmt, options):
	return "%s over %s %s" % (fmt, base_fmt or fmt, options)


def flatten(fmt, base_fmt, options):
	rng = rng_for("flatten" + title(fmt, base_fmt, options))
	paths = chain(fmt, 3, rng, base_fmt=base_fmt, options=options)
	vdisk("flatten", paths[-1])
	eq(None, parent_of(paths[-1]), "parent after flatten")
	unlink(*paths[:-1])
	right(paths[-1], fmt)
	if fmt == "qcow2":
		check("backing-filename" not in qemu_img("info", "--output=json", paths[-1]).json(), "qemu-img sees no backing file")
	vdisk("flatten", paths[-1]) # nothing is left to do
	change(paths[-1], fmt, "model.raw", rng, 8 * MIB)
	right(paths[-1], fmt)
	if fmt == "vhd":
		same_as_raw("model.raw", paths[-1], "vpc", "driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=" + paths[-1])


for v in VARIANTS:
	add("flatten " + title(*v), flatten, *v)


def flatten_killed(fmt, options):
	rng = rng_for("flatten killed " + fmt)
	paths = chain(fmt, 3, rng, size=48 * MIB, options=options)

	def done():
		eq(None, parent_of(paths[-1]), "parent")
		right(paths[-1], fmt, leaks=True)
	kill_loop(["flatten", paths[-1]], rng, lambda: right_when_killed(paths[-1], fmt), done)


def right_when_killed(path, fmt):
	vdisk("compare", "-q", "-f", fmt, "-F", "raw", path, "model.raw")
	if qemu_reads(fmt):
		ran("qemu-img", "compare", "-f", fmt, "-F", "raw", path, "model.raw")


for v in (("qcow2", ""), ("vmdk", ""), ("vhd", ""), *([("vhdx", ""), ("vdi", "")] if ALL else [])):
	add("flatten killed, " + v[0], flatten_killed, *v)


@case
def flatten_refused():
	rng = rng_for("flatten refused")
	paths = chain("qcow2", 2, rng)
	qemu_img("snapshot", "-c", "kept", paths[-1])
	refused("flatten", paths[-1], mentions="internal snapshots")
	make_raw("lone.raw", rng, MIB)
	vdisk("flatten", "lone.raw")
	os.unlink("model.raw")
	os.unlink(paths[0])
	refused("flatten", paths[-1], mentions=paths[0])


# ---------------------------------------------------------------- rebase

def other_base(fmt, name, rng, size, model):
	"""A base that differs from the old one in places."""
	shutil.copy(model, "other.raw")
	with open("other.raw", "r+b") as f:
		for _ in range(20):
			length = rng.randrange(1, 300 * KIB)
			f.seek(rng.randrange(0, size - length))
			f.write(bytes(length) if rng.random() < 0.4 else rng.randbytes(length))
	vdisk("convert", "-f", "raw", "-O", fmt, "other.raw", name)


def rebase(fmt, base_fmt, options):
	rng = rng_for("rebase" + title(fmt, base_fmt, options))
	paths = chain(fmt, 3, rng, base_fmt=base_fmt, options=options)
	base_fmt = base_fmt or fmt
	leaf = paths[-1]
	other_base(base_fmt, "bas2." + base_fmt, rng, 8 * MIB, "model0.raw")
	vdisk("rebase", "-b", "bas2." + base_fmt, leaf)
	eq("bas2." + base_fmt, parent_of(leaf).replace("./", ""), "parent after rebase")
	right(leaf, fmt)
	if fmt == "qcow2":
		info = qemu_img("info", "--output=json", leaf).json()
		eq(["bas2." + base_fmt, {"vhd": "vpc"}.get(base_fmt, base_fmt)], [info["backing-filename"], info["backing-filename-format"]], "says qemu-img")
	change(leaf, fmt, "model.raw", rng, 8 * MIB)
	right(leaf, fmt)
	os.rename("bas2." + base_fmt, "bas3." + base_fmt)
	vdisk("rebase", "--unsafe", "-b", "bas3." + base_fmt, leaf)
	eq("bas3." + base_fmt, parent_of(leaf).replace("./", ""), "parent after rebase --unsafe")
	right(leaf, fmt)
	vdisk("rebase", "-b", paths[0], leaf)
	unlink("bas3." + base_fmt, paths[1])
	right(leaf, fmt)
	vdisk("rebase", "--no-backing", leaf)
	os.unlink(paths[0])
	eq(None, parent_of(leaf), "parent after rebase --no-backing")
	right(leaf, fmt)


for v in VARIANTS:
	add("rebase " + title(*v), rebase, *v)


def rebase_killed(fmt):
	rng = rng_for("rebase killed " + fmt)
	size = 48 * MIB
	paths = chain(fmt, 3, rng, size=size)
	other_base(fmt, "bas2." + fmt, rng, size, "model0.raw")
	words = ["rebase", "-b", "bas2." + fmt, paths[-1]]

	def done():
		eq("bas2." + fmt, parent_of(paths[-1]).replace("./", ""), "parent")
		right(paths[-1], fmt, leaks=True)
	kill_loop(words, rng, lambda: right_when_killed(paths[-1], fmt), done)


for fmt in ("qcow2", "vmdk", "vhd", *(["vdi"] if ALL else [])):
	add("rebase killed, " + fmt, rebase_killed, fmt)


@case
def rebase_names_of_every_length():
	"""The header's room for names, to its end: it is changed or refused, and the disk reads the same."""
	rng = rng_for("names")
	for options in ("cluster_size=512", "compat=0.10,cluster_size=512", ""):
		paths = chain("qcow2", 2, rng, size=MIB, options=options, pieces=3)
		refusals = 0
		for n in list(range(1, 240, 17)) + [240]:
			name = "n" * n + ".raw"
			shutil.copy("model0.raw", name)
			r = run(VDISK, "rebase", "-b", name, paths[-1])
			check(r.rc == 0 or "at one stroke" in r.err, r.show())
			refusals += r.rc != 0
			right(paths[-1], "qcow2")
		check(options or not refusals, "64 KiB have room for every name")
		unlink(*[n for n in os.listdir(".") if os.path.isfile(n)])


@case
def rebase_refused():
	rng = rng_for("rebase refused")
	paths = chain("qcow2", 3, rng)
	refused("rebase", "-b", paths[2], paths[1], mentions="")
	refused("rebase", paths[1], mentions="--no-backing")
	refused("rebase", "-b", "missing.qcow2", paths[1], mentions="missing.qcow2")
	vdisk("convert", "-O", "vhd", "model.raw", "lone.vhd")
	refused("rebase", "-b", "lone.vhd", "model.raw", mentions="raw images have no parents")
	vdisk("convert", "-O", "vhd", "model.raw", "other.vhd")
	refused("rebase", "--unsafe", "-b", "lone.vhd", "other.vhd", mentions="cannot be given a parent")


# ---------------------------------------------------------------- a VMDK's descriptor, left in two places

def room_of(path):
	"""Sector and length in sectors of an embedded descriptor, by the header."""
	with open(path, "rb") as f:
		head = f.read(512)
	return int.from_bytes(head[28:36], "little"), int.from_bytes(head[36:44], "little")


def broken_off(path, old):
	"""As a kill leaves it between the two switches: the header names the new text in the upper half, the lower one has the old text, and there
	QEMU reads it."""
	at, length = room_of(path)
	eq(1, at, "sector of the descriptor")
	half = 1 + length // 2
	with open(path, "r+b") as f:
		f.seek(512)
		new = f.read(512 * (half - 1))
		f.seek(512)
		f.write(old[512:512 * half])
		f.write(new.ljust(512 * (1 + length - half), b"\0"))
		f.seek(28)
		f.write(half.to_bytes(8, "little") + (1 + length - half).to_bytes(8, "little"))


def first_sectors(path):
	with open(path, "rb") as f:
		return f.read(64 * KIB)


def qemu_parent(path):
	return qemu_img("info", "--output=json", path).json().get("backing-filename")


def descriptor_settled(how):
	rng = rng_for("settled " + how)
	paths = chain("vmdk", 3, rng)
	leaf, old, words = paths[2], first_sectors(paths[2]), {"flatten": ["flatten", paths[2]], "rebase": ["rebase", "-b", paths[0], paths[2]],
	                                                       "delete": ["rebase", "-b", paths[0], paths[2]]}[how]
	vdisk(*words)
	due = None if how == "flatten" else paths[0]
	broken_off(leaf, old)
	eq(paths[1], qemu_parent(leaf), "the parent that QEMU sees")
	eq(due, parent_of(leaf) and parent_of(leaf).replace("./", ""), "the parent that the header leads to")
	right(leaf, "vmdk")
	if how == "delete": # of a snapshot that nobody lies over any more
		write_file(paths[0] + ".snapshots", ("""vdisk.snapshots = "1"
snapshot0.uid = "1"
snapshot0.displayName = "gone"
snapshot0.createSeconds = "1700000000"
snapshot0.createNanoseconds = "0"
snapshot0.fileName = "%s"
snapshot0.format = "vmdk"
snapshot0.mode = "420"
leaf0.fileName = "%s"
snapshot.numSnapshots = "1"
snapshot.lastUID = "1"
""" % (paths[1], leaf)).encode())
		words = ["snapshot", "delete", "--external", leaf, "gone"]
	vdisk(*words)
	eq(due, qemu_parent(leaf), "the parent that QEMU sees afterwards")
	eq(1, room_of(leaf)[0], "sector of the descriptor afterwards")
	check(how != "delete" or not os.path.exists(paths[1]), "the snapshot's image has gone")
	right(leaf, "vmdk")


for how in ("flatten", "rebase", "delete"):
	add("descriptor settled by " + how, descriptor_settled, how)


# ---------------------------------------------------------------- commit

def own_data(path):
	"""Bytes of the disk that the leaf itself stores."""
	return sum(x["length"] for x in vdisk("map", "--json", path).json()["extents"] if x.get("depth") == 0 and x["kind"] == "data")


def commit(fmt, base_fmt, options):
	rng = rng_for("commit" + title(fmt, base_fmt, options))
	base_fmt = base_fmt or fmt
	paths = chain(fmt, 4, rng, base_fmt=base_fmt, options=options)
	leaf = paths[-1]
	check(own_data(leaf) > 0, "the leaf has data")
	vdisk("commit", "--keep", leaf)
	check(own_data(leaf) > 0, "--keep leaves the leaf alone")
	right(leaf, fmt)
	right(paths[2], fmt)
	vdisk("commit", leaf)
	eq(0, own_data(leaf), "data in the leaf after commit")
	right(leaf, fmt)
	vdisk("commit", leaf)
	right(leaf, fmt)
	change(leaf, fmt, "model.raw", rng, 8 * MIB)
	right(leaf, fmt)
	vdisk("commit", "--to", paths[0], leaf)
	eq(paths[0], parent_of(leaf).replace("./", ""), "parent after commit --to")
	unlink(paths[1], paths[2])
	right(leaf, fmt)
	eq(0, own_data(leaf), "data in the leaf after commit --to")
	vdisk("compare", "-f", base_fmt, "-F", "raw", paths[0], "model.raw")
	change(leaf, fmt, "model.raw", rng, 8 * MIB)
	right(leaf, fmt)


for v in VARIANTS:
	add("commit " + title(*v), commit, *v)


@case
def commit_sizes():
	"""A leaf longer and shorter than its parents, whose ends hide what lies below."""
	rng = rng_for("commit sizes")
	for base_fmt in ("raw", "qcow2", "vhd"):
		for sizes in ((4 * MIB, 6 * MIB + 512), (6 * MIB, 3 * MIB), (8 * MIB, 3 * MIB + 512, 5 * MIB), (3 * MIB, 4 * MIB, 6 * MIB)):
			make_raw("model.raw", rng, sizes[0])
			below = "base." + base_fmt
			vdisk("convert", "-f", "raw", "-O", base_fmt, "model.raw", below)
			for i, size in enumerate(sizes[1:]):
				path = "s%d.qcow2" % i
				vdisk("create", "-b", below, path, size)
				os.truncate("model.raw", size)
				change(path, "qcow2", "model.raw", rng, size, pieces=4)
				below = path
			right(path, "qcow2")
			vdisk("commit", "--to", "base." + base_fmt, path)
			right(path, "qcow2")
			eq(0, own_data(path), "data in the leaf")
			vdisk("convert", "-f", base_fmt, "-O", "raw", "base." + base_fmt, "got.raw")
			os.truncate("got.raw", sizes[-1])
			same_bytes("model.raw", "got.raw", "%s of %r" % (base_fmt, sizes))
			unlink(*os.listdir("."))


def commit_killed(fmt, to):
	rng = rng_for("commit killed %s %s" % (fmt, to))
	paths = chain(fmt, 4, rng, size=48 * MIB, pieces=60)
	words = ["commit", *(["--to", paths[0]] if to else []), paths[-1]]

	def done():
		right(paths[-1], fmt, leaks=True)
		eq(0, own_data(paths[-1]), "data in the leaf")
		vdisk("compare", "-f", fmt, "-F", "raw", paths[0 if to else 2], "model.raw")
	kill_loop(words, rng, lambda: right_when_killed(paths[-1], fmt), done)


for fmt in ("qcow2", "vmdk", "vhd"):
	for to in (False, True):
		add("commit killed, %s%s" % (fmt, " --to" if to else ""), commit_killed, fmt, to)


@case
def commit_refused():
	rng = rng_for("commit refused")
	paths = chain("qcow2", 3, rng)
	refused("commit", paths[0], mentions="no parent")
	refused("commit", "--to", "elsewhere.qcow2", paths[-1], mentions="elsewhere.qcow2")
	refused("commit", "-", mentions="standard input")
	qemu_img("snapshot", "-c", "kept", paths[-1])
	refused("commit", paths[-1], mentions="internal snapshots")
	refused("commit", "--keep", paths[-1], mentions="internal snapshots")
	os.unlink(paths[-1])
	vdisk("create", "-b", paths[0], "short.qcow2", "4M")
	vdisk("create", "-b", "short.qcow2", "long.qcow2", "6M")
	refused("commit", "long.qcow2", mentions="resize it first")
	vdisk("commit", "short.qcow2")  # says nothing: nobody reads differently
	qemu_io("short.qcow2", "qcow2", "write -P 171 1M 64k")
	refused("commit", "short.qcow2", mentions=[paths[0], paths[1], "lies over it, too", "--force"])
	vdisk("commit", "--force", "short.qcow2")


@case
def commit_past_others():
	"""A layer that is passed over reads differently afterwards: it may be nobody's ground, and no snapshot."""
	for fmt in ("qcow2", "vhd", "vhdx", "vmdk", "vdi"):
		rng = rng_for("past " + fmt)
		paths = chain(fmt, 3, rng)
		vdisk("create", "-f", fmt, "-b", paths[1], "other." + fmt)
		refused("commit", "--to", paths[0], paths[2], mentions=[paths[1], "other." + fmt, "lies over it, too", "--force"])
		refused("commit", "--keep", "--to", paths[0], paths[2], mentions="lies over it, too")
		right("other." + fmt, fmt, "model1.raw")
		os.unlink("other." + fmt)
		vdisk("clone", "--linked", paths[1], "clone." + fmt)
		os.unlink("clone." + fmt)
		refused("commit", "--to", paths[0], paths[2], mentions=[paths[1], "clone." + fmt, "--force"])
		vdisk("commit", "--force", "--to", paths[0], paths[2])
		right(paths[2], fmt)
		unlink(*[n for n in os.listdir(".") if os.path.isfile(n)])


# ---------------------------------------------------------------- resize

def leaf_resized(fmt, options):
	"""A leaf that gets longer and shorter than its parents: what is new reads as zeros, whatever lies below."""
	rng = rng_for("leaf resized" + title(fmt, None, options))
	paths = chain(fmt, 3, rng, options=options)
	leaf, size = paths[-1], 8 * MIB
	for by in (3 * MIB + 512, -5 * MIB, 4 * MIB, -9 * MIB - 512, 7 * MIB):
		size += by
		vdisk("resize", "--shrink", leaf, size)
		os.truncate("model.raw", size)
		right(leaf, fmt)
		change(leaf, fmt, "model.raw", rng, size, pieces=3, longest=200 * KIB)
		right(leaf, fmt)
	vdisk("flatten", leaf)
	right(leaf, fmt)


for v in (("qcow2", ""), ("qcow2", "compat=0.10"), ("qcow2", "extended_l2=on"), ("vhd", ""), ("vhdx", ""), ("vdi", "")):
	add("leaf resized, %s %s" % v, leaf_resized, *v)


@case
def leaf_resize_refused():
	rng = rng_for("leaf resize refused")
	paths = chain("vmdk", 2, rng)
	refused("resize", paths[-1], "+1M", mentions="VMware wants both to have the same size")


# ---------------------------------------------------------------- clone

def children(path):
	try:
		return os.getxattr(path, "user.vdisk.children").decode().split("\n")[:-1]
	except OSError as e:
		if e.errno in (errno.ENOTSUP, errno.ENODATA):
			skip("no extended attributes here")
		raise


def clone_linked(fmt):
	rng = rng_for("linked " + fmt)
	base = chain(fmt, 1, rng)[0]
	os.mkdir("sub")
	vdisk("clone", "--linked", base, "one." + fmt)
	eq(0, os.stat(base).st_mode & 0o222, "write permissions of the parent")
	vdisk("clone", "--linked", base, "sub/two." + fmt, "--allow-parent", ".")
	eq(["one." + fmt, "sub/two." + fmt], children(base), "the parent's children")
	for words in (["resize", base, "+1M"], ["commit", "one." + fmt]):
		refused(*words, mentions=["parent of linked clones", "one." + fmt, "--force"])
	change("one." + fmt, fmt, "model.raw", rng, 8 * MIB)
	right("one." + fmt, fmt)
	vdisk("compare", "-f", fmt, "-F", "raw", "--allow-parent", ".", "sub/two." + fmt, base_model())
	refused("clone", "--linked", base, "one." + fmt, mentions="exists")
	refused("clone", "--linked", "--force", base, base, mentions="is what is to be cloned")
	vdisk("commit", "--force", "one." + fmt)
	right("one." + fmt, fmt)
	vdisk("clone", "--linked", "one." + fmt, "three." + fmt)
	right("three." + fmt, fmt)


def base_model():
	return "first.raw"


def clone_linked_kept(fmt):
	make_raw("first.raw", rng_for("linked " + fmt), 8 * MIB, pieces=40) # as chain() makes it
	clone_linked(fmt)


for fmt in ("qcow2", "vmdk", "vhd", "vhdx", "vdi"):
	add("clone --linked, " + fmt, clone_linked_kept, fmt)


@case
def clones_leave():
	"""A linked clone that needs its parent no more is no longer listed there; with the last one the protection goes."""
	rng = rng_for("clones leave")
	for fmt in ("qcow2", "vhd", "vhdx", "vmdk"):
		base, other = "base." + fmt, "other." + fmt
		make_raw("model.raw", rng, 4 * MIB)
		vdisk("convert", "-f", "raw", "-O", fmt, "model.raw", base)
		vdisk("clone", base, other)
		for name in ("a", "b", "c"):
			vdisk("clone", "--linked", base, name + "." + fmt)
		vdisk("clone", "--linked", other, "d." + fmt)
		vdisk("flatten", "a." + fmt)
		eq(["b", "c"], [os.path.basename(c).split(".")[0] for c in children(base)], "%s: children after flatten" % fmt)
		eq(0, os.stat(base).st_mode & 0o222, "still protected")
		vdisk("rebase", "-b", other, "b." + fmt)
		eq(["c"], [os.path.basename(c).split(".")[0] for c in children(base)], "%s: children after rebase" % fmt)
		eq(["b", "d"], sorted(os.path.basename(c).split(".")[0] for c in children(other)), "%s: children of the new parent" % fmt)
		vdisk("rebase", "--no-backing", "c." + fmt)
		eq(0o200, os.stat(base).st_mode & 0o200, "%s: the last one has gone" % fmt)
		vdisk("resize", base, "+1M")
		for name in ("a", "b", "c"):
			vdisk("compare", "-F", "raw", name + "." + fmt, "model.raw")
		for n in os.listdir("."):
			os.unlink(n)


@case
def clones_elsewhere_and_moved():
	"""What lies beside the parent moves with it; what does not is found by its whole path; old lists, with whole paths alone, serve, too."""
	for fmt in ("qcow2", "vhd"):
		os.makedirs("home/sub")
		os.mkdir("away")
		base, away = "home/base." + fmt, os.path.realpath("away/far." + fmt)
		make_raw("model.raw", rng_for("clones moved " + fmt), 4 * MIB)
		vdisk("convert", "-f", "raw", "-O", fmt, "model.raw", base)
		for name in ("home/near.", "home/sub/below.", "away/far."):
			vdisk("clone", "--linked", base, name + fmt, "--allow-parent", "home")
		eq(["near." + fmt, "sub/below." + fmt, away], children(base), "the parent's children")
		was = os.path.realpath(base)
		shutil.move("home", "moved")
		base = "moved/base." + fmt
		refused("commit", "moved/near." + fmt, mentions=["parent of linked clones", "sub/below." + fmt])
		vdisk("flatten", "moved/near." + fmt)
		eq(["sub/below." + fmt, away], children(base), "after one went")
		os.setxattr(base, "user.vdisk.children", (os.path.realpath("moved/sub/below." + fmt) + "\n").encode())
		vdisk("flatten", "--parent", "%s=%s" % (was, base), "moved/sub/below." + fmt)
		eq(0o200, os.stat(base).st_mode & 0o200, "the last one has gone")
		for name in ("moved/near.", "moved/sub/below."):
			right(name + fmt, fmt)
		shutil.rmtree("moved")
		shutil.rmtree("away")


@case
def rebase_outside():
	"""What opening the image would not follow is not written into it."""
	rng = rng_for("outside")
	os.mkdir("sub")
	make_raw("model.raw", rng, 2 * MIB)
	for name in ("base.qcow2", "sub/base.qcow2"):
		vdisk("convert", "-f", "raw", "-O", "qcow2", "model.raw", name)
	vdisk("create", "-b", "base.qcow2", "sub/leaf.qcow2")
	for words in (["-b", "../base.qcow2"], ["--unsafe", "-b", "../base.qcow2"], ["-b", os.path.realpath("base.qcow2")]):
		refused("rebase", *words, "sub/leaf.qcow2", mentions=["outside the image's folder", "--allow-parent"])
	refused("rebase", "-b", "json:{}", "-F", "qcow2", "sub/leaf.qcow2", mentions="never followed")
	vdisk("rebase", "--allow-parent", ".", "-b", "../base.qcow2", "sub/leaf.qcow2")
	vdisk("compare", "--allow-parent", ".", "-F", "raw", "sub/leaf.qcow2", "model.raw")


@case
def clone_full():
	rng = rng_for("clone full")
	make_raw("model.raw", rng, 8 * MIB)
	for name, options in (("a.raw", ""), ("a.qcow2", ""), ("b.qcow2", "compat=0.10,cluster_size=4K"), ("c.qcow2", "extended_l2=on"),
	                      ("a.vmdk", ""), ("b.vmdk", "subformat=twoGbMaxExtentFlat"), ("a.vhd", ""), ("b.vhd", "subformat=fixed")):
		fmt = name.split(".")[1]
		vdisk("convert", "-f", "raw", "-O", fmt, *(["-o", options] if options else []), "model.raw", name)
		vdisk("clone", name, "clone." + fmt)
		vdisk("compare", "-f", "raw", "-F", fmt, "model.raw", "clone." + fmt)
		keys = ("format", "variant", "alloc-grain", "virtual-size", "parent")
		was, now = ([vdisk("info", "--json", p).json()["layers"][0][k] for k in keys] for p in (name, "clone." + fmt))
		eq(was, now, "traits of the clone of %s" % name)
		unlink(*[n for n in os.listdir(".") if n.startswith("clone")])
	write_file("key", b"secret")
	vdisk("create", "-o", "encrypt.format=luks,encrypt.key-file=key,encrypt.iter-time=10", "secret.qcow2", "1M")
	r = run(VDISK, "clone", "--key-file", "key", "secret.qcow2", "clone.qcow2")
	check(r.rc == 0 or "is encrypted" in r.err, r.show())
	refused("clone", "a.qcow2", "-", mentions="standard output")
	refused("clone", "--linked", "a.raw", "over.raw", mentions="raw images cannot have a backing image")
	check(os.stat("a.raw").st_mode & 0o200, "what was refused is not protected")


@case
def clone_on_xfs():
	"""Where the file system shares blocks: at once, and the same file byte for byte."""
	need("mkfs.xfs", "mount", "filefrag")
	if os.geteuid():
		skip("wants to mount a file system")
	with open("fs", "wb") as f:
		f.truncate(400 * MIB)
	if run("mkfs.xfs", "-q", "-m", "reflink=1", "fs").rc:
		skip("no reflinks")
	os.mkdir("mnt")
	if run("mount", "-o", "loop", "fs", "mnt").rc:
		skip("cannot mount")
	try:
		with open("mnt/a.raw", "wb") as f:
			f.write(rng_for("xfs").randbytes(100 * MIB))
		vdisk("convert", "mnt/a.raw", "mnt/a.qcow2")
		ran("sync", "-f", "mnt") # or the first one waits for the disk
		for name in ("raw", "qcow2"):
			r = vdisk("clone", "mnt/a." + name, "mnt/b." + name)
			same_bytes("mnt/a." + name, "mnt/b." + name)
			print("    %.0f ms for 100 MiB of %s" % (r.seconds * 1000, name))
			shared = ran("filefrag", "-v", "mnt/b." + name).out
			check("shared" in shared, "no shared blocks: %s" % shared)
			check(r.cpu < 0.5 or sanitized(), "a clone of shared blocks took %.2f s of a processor" % r.cpu)
	finally:
		run("umount", "mnt")


if __name__ == "__main__":
	main()

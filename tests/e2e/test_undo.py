#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A commit under an undo journal, killed or failing at any call that changes a file: the image is what it was, or is refused until it is brought back
to the byte, or to the end; in every format that can be written to, of one file or several, over a snapshot and over a parent."""
import os, struct, sys, zlib
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

SHIM = os.path.join(BUILD, "tests", "libshim.so")
VDUNDO = os.path.join(BUILD, "tests", "vdundo") # tests/tools/vdundo.c
SIZE = 6 * MIB
OPS = "write,sync,name,punch"
# name: format, options of its creation, suffix
KINDS = {
	"raw": ("raw", (), "img"),
	"qcow2": ("qcow2", (), "qcow2"),
	"qcow2-4k": ("qcow2", ("cluster_size=4K",), "qcow2"),
	"qcow2-data": ("qcow2", ("data_file=disk.data",), "qcow2"),
	"vmdk": ("vmdk", (), "vmdk"),
	"vmdk-flat": ("vmdk", ("subformat=monolithicFlat",), "vmdk"),
	"vmdk-split": ("vmdk", ("subformat=twoGbMaxExtentSparse",), "vmdk"),
	"vhd": ("vhd", (), "vhd"),
	"vhd-fixed": ("vhd", ("subformat=fixed",), "vhd"),
	"vhdx": ("vhdx", ("block_size=1M",), "vhdx"),
	"vdi": ("vdi", (), "vdi"),
}
DEFAULT = ("raw", "qcow2", "vmdk-split", "vhd")


def shim(**kw):
	for path in (SHIM, VDUNDO):
		if not os.path.exists(path):
			(fail if "VDISK_BUILD" in os.environ else skip)("no %s: set VDISK_BUILD" % path)
	if sanitized():
		skip("a sanitizer wants to be preloaded first")
	env = {"LD_PRELOAD": SHIM}
	env.update({"SHIM_" + k.upper(): str(v) for k, v in kw.items()})
	return env


class Scene:
	"""it/disk.SUFFIX with content and it/layer over it, kept aside to be put back; what the disk is to hold in the end."""
	def __init__(self, kind, parent=False, snapshot=False):
		fmt, options, suffix = KINDS[kind]
		self.fmt, self.rng = fmt, rng_for("undo " + kind)
		self.path = os.path.join("it", "disk." + suffix)
		self.layer = os.path.join("it", "layer.qcow2")
		os.makedirs("it")
		args = ["create", "-f", fmt]
		for o in options:
			args += ["-o", o]
		if parent:
			vdisk("create", "-f", fmt, os.path.join("it", "parent." + suffix), SIZE)
			self.write(os.path.join("it", "parent." + suffix), fmt, 20)
			args += ["-b", "parent." + suffix, "-F", fmt]
		vdisk(*args, self.path, *([] if parent else [SIZE]))
		self.write(self.path, fmt, 20)
		if snapshot:
			vdisk("snapshot", "create", "--internal", self.path, "before")
			self.write(self.path, fmt, 10)
		vdisk("create", "-f", "qcow2", "-b", os.path.basename(self.path), "-F", fmt, self.layer)
		self.write(self.layer, "qcow2", 25)
		self.before = self.hashes()
		self.want = self.digest(self.layer)
		check(self.want != self.digest(self.path), "the layer says nothing")
		shutil.copytree("it", "aside")

	def write(self, path, fmt, n):
		lines = []
		for _ in range(n):
			length = self.rng.choice((4096, 65536, self.rng.randrange(1, 500) * 512))
			off = self.rng.randrange(0, (SIZE - length) // 512) * 512
			lines.append("zero %d %d" % (off, length) if self.rng.random() < 0.2 else "write %d %d %d" % (off, length, self.rng.randrange(1, 256)))
		ran(os.path.join(BUILD, "tests", "vdio"), "-f", fmt, path, stdin="\n".join(lines).encode())

	def put_back(self):
		"""With other inode numbers: as after a backup was played back."""
		shutil.rmtree("it")
		shutil.copytree("aside", "it")

	def hashes(self):
		return {n: sha256(os.path.join("it", n)) for n in os.listdir("it")}

	def digest(self, path):
		return vdisk("digest", path).out.split()[0]

	def must_be_old(self, why):
		eq(self.before, self.hashes(), why)

	def must_be_new(self, why):
		eq(self.want, self.digest(self.path), why)
		if self.fmt != "raw":
			r = run(VDISK, "check", self.path)
			check(r.rc == 0 or "nothing to check" in r.err, "%s: %s" % (why, r.show()))
		hidden = [n for n in os.listdir("it") if n.startswith(".")]
		eq([], hidden, why + ": left behind")


def commit(scene, **kw):
	return run(VDUNDO, "commit", scene.layer, **kw)


def calls_of(*argv):
	ran(*argv, env=shim(op=OPS, count="count.txt"))
	with open("count.txt") as f:
		return int(f.read())


def some_of(rng, calls, n):
	return range(1, calls + 1) if ALL or calls <= n else sorted(rng.sample(range(1, calls + 1), n))


def is_active(scene):
	found = ran(VDUNDO, "find", scene.path).out.split()
	check(found[0] in ("none", "active"), "found: %s" % found)
	if found[0] == "active":
		for argv in (["info", scene.path], ["convert", "-O", "raw", scene.path, "out.raw"], ["check", scene.path], ["digest", scene.layer]):
			r = run(VDISK, *argv)
			eq(2, r.rc, "exit status of a program that opens it meanwhile: %s" % r.show())
			check("--resume" in r.err and "--undo" in r.err, "the message: %s" % r.show())
			one_line(r)
		check(not os.path.exists("out.raw"), "something was made of it")
	return found[0] == "active"


def killed(kind, parent=False, snapshot=False):
	scene = Scene(kind, parent, snapshot)
	calls = calls_of(VDUNDO, "commit", scene.layer)
	scene.must_be_new("undisturbed")
	active = 0
	for nth in some_of(scene.rng, calls, 10):
		scene.put_back()
		why = "killed at call %d of %d" % (nth, calls)
		eq(-9, commit(scene, env=shim(op=OPS, do="kill", nth=nth)).rc, why)
		if not is_active(scene):
			after = {n: h for n, h in scene.hashes().items() if not n.endswith(".vdisk-undo")}
			if after != scene.before:
				scene.must_be_new(why + ", and not in force")
			continue
		active += 1
		for do in ("undo", "resume"):
			if do == "resume": # from the state after a kill again
				scene.put_back()
				commit(scene, env=shim(op=OPS, do="kill", nth=nth))
			# a kill in the midst of it
			run(VDUNDO, do, scene.path, env=shim(op=OPS, do="kill", nth=scene.rng.randrange(1, 12)))
			if ran(VDUNDO, "find", scene.path).out != "none\n":
				ran(VDUNDO, do, scene.path)
			(scene.must_be_old if do == "undo" else scene.must_be_new)("%s, then %s" % (why, do))
	check(active >= 2, "in force after only %d kills" % active)


def failing(kind):
	"""What fails is taken back at once, or later."""
	scene = Scene(kind)
	calls = calls_of(VDUNDO, "commit", scene.layer)
	taken_back = 0
	for nth in some_of(scene.rng, calls, 8):
		for once in ({"once": 1}, {}):
			scene.put_back()
			why = "%s failure at call %d of %d" % ("one" if once else "every", nth, calls)
			r = commit(scene, env=shim(op=OPS, do=errno.EIO, nth=nth, **once))
			check(r.rc in (0, 2), "%s: %s" % (why, r.show()))
			if is_active(scene):
				ran(VDUNDO, "undo", scene.path)
			if r.rc == 0:
				scene.must_be_new(why)
			else:
				after = {n: h for n, h in scene.hashes().items() if not n.endswith(".vdisk-undo")}
				if after != scene.before: # only the end of the journal failed
					scene.must_be_new(why)
				else:
					taken_back += 1
	check(taken_back >= 2, "taken back: %d" % taken_back)


@case
def kept():
	"""The way back is kept, serves once, and only while nobody else has written."""
	for kind in KINDS if ALL else ("raw", "vmdk-split"):
		shutil.rmtree("it", ignore_errors=True)
		shutil.rmtree("aside", ignore_errors=True)
		if os.path.exists("way.back"):
			os.unlink("way.back")
		scene = Scene(kind)
		ran(VDUNDO, "commit", scene.layer, "way.back")
		scene.must_be_new("kept")
		r = run(VDUNDO, "commit", scene.layer, "way.back")
		check(r.rc == 2 and r.err.startswith("refused") and "exists" in r.err, "a second one of that name: %s" % r.show())
		ran(VDUNDO, "undo", scene.path, "way.back")
		scene.must_be_old("gone back")
		r = run(VDUNDO, "undo", scene.path, "way.back")
		check(r.rc == 2 and "was changed since" in r.err, "a second time: %s" % r.show())
		os.unlink("way.back")
		ran(VDUNDO, "commit", scene.layer, "way.back")
		scene.write(scene.path, scene.fmt, 1)
		middle = scene.hashes()
		r = run(VDUNDO, "undo", scene.path, "way.back")
		check(r.rc == 2 and r.err.startswith("refused") and "was changed since" in r.err, "after a change: %s" % r.show())
		eq(middle, scene.hashes(), "what a refusal changes")


@case
def held():
	"""Done, and in force until it is ended."""
	scene = Scene("qcow2")
	for do in ("undo", "resume", "end"):
		scene.put_back()
		ran(VDUNDO, "hold", scene.layer)
		check(is_active(scene), "a journal that is held is not in force")
		ran(VDUNDO, do, scene.path)
		(scene.must_be_old if do == "undo" else scene.must_be_new)(do)


@case
def several_disks():
	"""What `vdisk adapt` makes of two disks whose commits were broken off: all or none, wherever it was killed."""
	if not os.path.exists(os.path.join(BUILD, "vdisk-adapt")):
		skip("vdisk-adapt is not built")
	scene = Scene("raw")
	images, layers = ["two/a.img", "two/b.img"], ["two/.a.img.vdisk-adapt", "two/.b.img.vdisk-adapt"]

	def begin(*held):
		shutil.rmtree("two", ignore_errors=True)
		os.mkdir("two")
		for image, layer in zip(images, layers):
			shutil.copyfile("aside/disk.img", image)
			shutil.copyfile("aside/layer.qcow2", layer)
			vdisk("rebase", "--unsafe", "-b", os.path.basename(image), "-F", "raw", "-f", "qcow2", layer)
		for layer in held:
			ran(VDUNDO, "hold", layer)

	def end(news):
		for image, new in zip(images, news):
			eq(scene.want if new else scene.old, vdisk("digest", "-f", "raw", image).out.split()[0], image)
		eq(sorted(os.path.basename(i) for i in images), sorted(os.listdir("two")), "what is left")

	scene.old = scene.digest(scene.path)
	for held in ((layers[0],), layers):
		begin(*held)
		vdisk("adapt", "--undo", *images)
		end((False, False))
		begin(*held)
		vdisk("adapt", "--resume", *images)
		end((True, True))
	begin(*layers) # killed while they were ended
	ran(VDUNDO, "end", images[0])
	r = vdisk("adapt", "--undo", *images, rc=2)
	check("only --resume" in r.err, r.show())
	vdisk("adapt", "--resume", *images)
	end((True, True))
	begin() # nothing was begun: the layers may be half made
	for do in ("--undo", "--resume"):
		r = vdisk("adapt", do, *images, rc=2)
		check("no change of it was broken off" in r.err, r.show())


def broken_off():
	scene = Scene("raw")
	calls = calls_of(VDUNDO, "commit", scene.layer)
	for nth in range(calls // 2, calls):
		scene.put_back()
		commit(scene, env=shim(op=OPS, do="kill", nth=nth))
		if ran(VDUNDO, "find", scene.path).out != "none\n":
			return scene
	fail("no kill left a journal in force")


def refused_as_another(scene, why):
	there = sha256(scene.path)
	for do in ("undo", "resume"):
		r = run(VDUNDO, do, scene.path)
		check(r.rc == 2 and "is not the file" in r.err and "vdisk-undo" in r.err, "%s, %s: %s" % (why, do, r.show()))
	eq(there, sha256(scene.path), why + ": the other file")


@case
def not_the_same_file():
	"""A journal that was left behind is not played onto a file that has taken the image's name."""
	scene = broken_off()
	shutil.copyfile(os.path.join("aside", "disk.img"), "new.img")
	os.replace("new.img", scene.path)
	refused_as_another(scene, "another inode")


def journal_rebirth(path, ino, birth):
	"""The journal's first file was born at that time; returns when it said that it was."""
	with open(path, "r+b") as f:
		at = 512
		while True:
			f.seek(at)
			head = f.read(32)
			kind, _, _, size = struct.unpack_from("<IIQQ", head)
			if kind == 2: # FILE
				break
			at += 32 + (0 if kind == 4 else size)
		words = f.read(size).split(b"\n", 2)
		eq(b"inode %d" % ino, words[0], "the journal's first file")
		digits = words[1].split()[1]
		words[1] = b"birth %0*d" % (len(digits), birth)
		text = b"\n".join(words)
		eq(size, len(text), "the record's length")
		f.seek(at)
		f.write(head[:28] + struct.pack("<I", zlib.crc32(head[:28] + text)) + text)
	return int(digits)


@case
def not_born_then():
	"""A file that was given the number of the one that is gone."""
	scene = broken_off()
	journal = os.path.join("it", ".disk.img.vdisk-undo")
	ino = os.stat(scene.path).st_ino
	birth = journal_rebirth(journal, ino, 1)
	if not birth:
		skip("the file system does not say when a file was born")
	refused_as_another(scene, "another birth")
	journal_rebirth(journal, ino, 0) # not known: the number has to do
	ran(VDUNDO, "undo", scene.path)
	scene.must_be_old("the birth is not known")


@case
def nothing_to_do():
	scene = Scene("raw")
	for do in ("undo", "resume"):
		r = run(VDUNDO, do, scene.path)
		check(r.rc == 2 and "no change of it was broken off" in r.err, "%s: %s" % (do, r.show()))
	os.symlink("disk.img", "it/link")
	r = run(VDUNDO, "commit", "it/link")
	check(r.rc == 2, r.show())
	scene.must_be_old("after refusals") if not os.unlink("it/link") else None


for kind in KINDS if ALL else DEFAULT:
	add("killed: %s" % kind, killed, kind)
for kind in ("qcow2", "vhd") if ALL else ("qcow2",):
	add("killed: %s over a parent" % kind, killed, kind, True)
add("killed: qcow2 with a snapshot inside", killed, "qcow2", False, True)
for kind in KINDS if ALL else ("raw", "vmdk-split"):
	add("failing: %s" % kind, failing, kind)
main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots: inside an image, as layers, and VMware's; every state reads as it was, whoever made, applied or deleted it."""
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from kills import *

ROUNDS = 200 if ALL else 4
STEPS = 150 if ALL else 16


def snap(*args, **kw):
	return vdisk("snapshot", *args, **kw)


def rows(path, kind=None):
	found = snap("list", "--json", path).json()["snapshots"]
	return [r for r in found if not kind or r["kind"] == kind]


def names(path, kind=None):
	return [r["name"] for r in rows(path, kind)]


class Disk:
	"""What a disk and its snapshots should hold."""

	def __init__(self, size):
		self.now, self.kept = bytearray(size), {}

	def scribble(self, rng, pieces, write):
		"""Random writes and zeros: to the model, and as commands through write()."""
		commands = []
		for _ in range(pieces):
			length = rng.choice((512, 4096, 65536, rng.randrange(1, 300) * 512))
			off = rng.randrange(0, (len(self.now) - length) // 512 + 1) * 512
			value = rng.randrange(1, 256) if rng.random() < 0.75 else 0
			commands.append((off, length, value))
			self.now[off:off + length] = bytes([value]) * length
		write(commands)

	def resize(self, size):
		self.now = self.now[:size] + bytearray(max(0, size - len(self.now)))

	def write(self, path, content):
		with open(path, "wb") as f:
			f.write(content)


def by_vdio(path, fmt):
	need_vdio()

	def write(commands):
		text = "\n".join("write %d %d %d" % c if c[2] else "zero %d %d" % c[:2] for c in commands) + "\n"
		ran(VDIO, "-f", fmt, path, stdin=text.encode())
	return write


def by_qemu(path, fmt):
	def write(commands):
		qemu_io(path, fmt, *["write -P %d %d %d" % (c[2], c[0], c[1]) if c[2] else "write -z %d %d" % c[:2] for c in commands])
	return write


# ---------------------------------------------------------------- internal

def internal_right(d, path, why):
	"""qemu-img and vdisk read the disk and each snapshot as they should be, and find nothing wrong."""
	d.write("now.raw", d.now)
	r = run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", path, "now.raw")
	check(r.rc == 0, "%s: qemu-img reads another disk\n    %s" % (why, r.show()))
	eq(len(d.now), virtual_size(path), "%s: size" % why)
	vdisk("compare", "-q", "-s", "-f", "qcow2", "-F", "raw", path, "now.raw")
	r = run("qemu-img", "check", "-f", "qcow2", path)
	check(r.rc == 0, "%s: qemu-img check\n    %s" % (why, r.show()))
	vdisk("check", path)
	eq(sorted(d.kept), sorted(names(path, "internal")), "%s: names" % why)
	for name, content in d.kept.items():
		d.write("kept.raw", content)
		vdisk("compare", "-q", "-s", "--snapshot", name, "-f", "qcow2", "-F", "raw", path, "kept.raw")
		qemu_img("convert", "-f", "qcow2", "-O", "raw", "-l", "snapshot.name=" + name, path, "got.raw")
		with open("got.raw", "rb") as f:
			got = f.read() # with the length of the disk, not of the snapshot
		n = min(len(got), len(content))
		check(got[:n] == content[:n], "%s: qemu-img reads another %s" % (why, name))


def internal_model(options):
	"""Both programs work on one image in turn."""
	rng = rng_for("internal" + options)
	d = Disk(4 * MIB)
	make_raw("first.raw", rng, len(d.now), pieces=20, longest=100 * KIB)
	with open("first.raw", "rb") as f:
		d.now = bytearray(f.read())
	vdisk("convert", "-c" if rng.random() < 0.5 else "-q", "-f", "raw", "-O", "qcow2", *(["-o", options] if options else []), "first.raw", "a.qcow2")
	resizable = "0.10" not in options
	count = 0
	for step in range(STEPS):
		mine = rng.random() < 0.6
		what = rng.choice(["write", "write", "write", "create", "create", "apply", "delete"] + ["resize"] * resizable)
		if step in (1, 3): # whatever the seed
			what = "create"
		name = rng.choice(sorted(d.kept)) if d.kept else None
		why = "step %d, %s %s by %s" % (step, what, name, "vdisk" if mine else "qemu-img")
		if what == "write":
			d.scribble(rng, 4, (by_vdio if mine else by_qemu)("a.qcow2", "qcow2"))
		elif what == "create" and len(d.kept) < 5:
			count += 1
			name = "s%d" % count
			if mine:
				snap("create", "a.qcow2", name)
			else:
				qemu_img("snapshot", "-c", name, "a.qcow2")
			d.kept[name] = bytes(d.now)
		elif what == "apply" and name:
			if mine:
				snap("apply", "a.qcow2", name)
			else:
				qemu_img("snapshot", "-a", name, "a.qcow2")
			d.now = bytearray(d.kept[name])
		elif what == "delete" and name:
			if mine:
				snap("delete", "a.qcow2", name)
			else:
				qemu_img("snapshot", "-d", name, "a.qcow2")
			del d.kept[name]
		elif what == "resize":
			size = rng.randrange(2, 14) * 512 * KIB
			vdisk("resize", "--shrink", "a.qcow2", size)
			d.resize(size)
		else:
			continue
		internal_right(d, "a.qcow2", why)
	eq(True, count > 1, "snapshots were made")


for options in ("", "compat=0.10", "cluster_size=512", "extended_l2=on,cluster_size=16K", "refcount_bits=64,compression_type=zstd",
                "lazy_refcounts=on,cluster_size=4K"):
	add("internal, qemu-img and vdisk in turn, " + (options or "plain"), internal_model, options)


@case
def internal_over_a_parent():
	rng = rng_for("over")
	make_raw("base.raw", rng, 4 * MIB)
	vdisk("create", "-b", "base.raw", "-F", "raw", "-f", "qcow2", "a.qcow2")
	with open("base.raw", "rb") as f:
		d = Disk(0)
		d.now = bytearray(f.read())
	for name in ("one", "two"):
		d.scribble(rng, 6, by_vdio("a.qcow2", "qcow2"))
		snap("create", "a.qcow2", name)
		d.kept[name] = bytes(d.now)
	d.scribble(rng, 6, by_vdio("a.qcow2", "qcow2"))
	internal_right(d, "a.qcow2", "made")
	snap("apply", "a.qcow2", "one")
	d.now = bytearray(d.kept["one"])
	snap("delete", "a.qcow2", "one")
	del d.kept["one"]
	internal_right(d, "a.qcow2", "applied and deleted")


@case
def internal_facts():
	"""Names, IDs and dates, told alike by qemu-img."""
	vdisk("create", "-f", "qcow2", "a.qcow2", "1M")
	for name in ("first", "grün/2", "n" * 255):
		snap("create", "a.qcow2", name, env={"SOURCE_DATE_EPOCH": "1700000000"})
	told = qemu_img("info", "--output=json", "a.qcow2").json()["snapshots"]
	eq([("1", "first"), ("2", "grün/2"), ("3", "n" * 255)], [(s["id"], s["name"]) for s in told], "says qemu-img")
	eq([1700000000] * 3, [s["date-sec"] for s in told], "dates, says qemu-img")
	eq(["2023-11-14T22:13:20Z"] * 3, [r["date"] for r in rows("a.qcow2")], "dates")
	eq([1 * MIB] * 3, [r["virtual-size"] for r in rows("a.qcow2")], "sizes")
	snap("delete", "a.qcow2", "2")
	eq(["first", "n" * 255], names("a.qcow2"), "after the deletion of ID 2")
	eq("4", snap("create", "--json", "a.qcow2", "again").json()["id"], "the next ID")
	qemu_check("a.qcow2", "qcow2")


@case
def internal_state_of_a_machine():
	"""A snapshot with a machine's state keeps it; what qemu-img -a leaves past the disk's end is no obstacle."""
	need("qemu-system-x86_64")
	qemu_img("create", "-q", "-f", "qcow2", "a.qcow2", "4M")
	qemu_io("a.qcow2", "qcow2", "write -P 7 0 1M")
	p = subprocess.run(["qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-m", "16", "-S", "-monitor", "stdio", "-nodefaults",
	                    "-drive", "file=a.qcow2,if=ide,format=qcow2"], input="savevm alive\nquit\n", text=True, capture_output=True, timeout=100)
	row = rows("a.qcow2")
	check(len(row) == 1 and row[0]["vm-state-size"] > 0, "savevm left a state: %r %s" % (row, p.stderr))
	qemu_io("a.qcow2", "qcow2", "write -P 9 0 2M")
	snap("create", "a.qcow2", "later")
	qemu_img("snapshot", "-a", "alive", "a.qcow2")
	snap("delete", "a.qcow2", "later")
	qemu_check("a.qcow2", "qcow2")
	snap("create", "a.qcow2", "third")
	snap("apply", "a.qcow2", "alive")
	snap("delete", "a.qcow2", "third")
	qemu_check("a.qcow2", "qcow2")
	eq(row, rows("a.qcow2"), "the snapshot's row")
	p = subprocess.run(["qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-m", "16", "-S", "-monitor", "stdio", "-nodefaults",
	                    "-drive", "file=a.qcow2,if=ide,format=qcow2"], input="loadvm alive\ninfo status\nquit\n", text=True,
	                   capture_output=True, timeout=100)
	check("rror" not in p.stdout + p.stderr and "VM status" in p.stdout, "loadvm: %s %s" % (p.stdout, p.stderr))


@case
def internal_refused():
	vdisk("create", "-f", "qcow2", "a.qcow2", "1M")
	snap("create", "a.qcow2", "one")
	refused("snapshot", "create", "a.qcow2", "one", mentions="already the name")
	refused("snapshot", "create", "a.qcow2", "1", mentions="already the ID")
	refused("snapshot", "create", "a.qcow2", "", mentions="empty")
	refused("snapshot", "create", "a.qcow2", "n" * 256, mentions="1 to 255")
	refused("snapshot", "create", "a.qcow2", "a\nb", mentions="0x0a")
	refused("snapshot", "apply", "a.qcow2", "two", mentions="'two'")
	refused("snapshot", "delete", "a.qcow2", "two", mentions="'two'")
	qemu_img("snapshot", "-c", "one", "a.qcow2")
	refused("snapshot", "delete", "a.qcow2", "one", mentions="2 internal snapshots")
	snap("delete", "a.qcow2", "2")
	qemu_img("snapshot", "-c", "1", "a.qcow2")
	refused("snapshot", "apply", "a.qcow2", "1", mentions="2 internal snapshots")
	vdisk("create", "-f", "qcow2", "-o", "data_file=ext.raw", "ext.qcow2", "1M")
	refused("snapshot", "create", "ext.qcow2", "x", mentions="external data file")
	make_raw("a.raw", rng_for("raw"), MIB)
	refused("snapshot", "create", "--internal", "a.raw", "x", mentions="raw images have no internal snapshots")
	for words in (("frob", "a.qcow2", "x"), ("create", "a.qcow2"), ("list", "a.qcow2", "x"), ("list", "--internal", "a.qcow2"),
	              ("create", "--internal", "--external", "a.qcow2", "x"), ("create", "a.qcow2", "x", "y"), ("create", "--leaf", "b", "a.qcow2", "x"),
	              ("apply", "--external", "--leaf", "b", "a.qcow2", "x")):
		refused("snapshot", *words)


def not_taken(path, name, why):
	"""A snapshot that the counts have no room for: refused by name, and the image is as it was."""
	before = sha256(path)
	r = vdisk("snapshot", "create", path, name, rc=2)
	one_line(r)
	check(why in r.err, r.show())
	eq(before, sha256(path), "content of the image after the refusal")
	qemu_check(path, "qcow2")


@case
def internal_counts_without_room():
	with open("m.raw", "wb") as f: # so many packed clusters share a host cluster
		f.write((bytes([5]) * 16 * KIB + bytes(16 * KIB)) * 32)
	vdisk("convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4K,refcount_bits=8", "m.raw", "a.qcow2")
	for n in range(8):
		if run(VDISK, "snapshot", "create", "a.qcow2", "s%d" % n).rc:
			break
	check(n < 7, "one was refused")
	not_taken("a.qcow2", "more", "refcount_bits=8")
	vdisk("create", "-f", "qcow2", "-o", "refcount_bits=1", "narrow.qcow2", "1M")
	by_vdio("narrow.qcow2", "qcow2")([(0, 65536, 1)])
	not_taken("narrow.qcow2", "x", "refcount_bits=1")


def internal_killed(verb):
	"""Killed at a random moment the image has the change or has not, and is clean but for leaks."""
	rng = rng_for("killed " + verb)
	d = Disk(64 * MIB)
	vdisk("create", "-f", "qcow2", "-o", "cluster_size=4K", "a.qcow2", "64M")
	for name in ("one", "two"):
		d.scribble(rng, 150, by_vdio("a.qcow2", "qcow2"))
		snap("create", "a.qcow2", name)
		d.kept[name] = bytes(d.now)
	d.scribble(rng, 150, by_vdio("a.qcow2", "qcow2"))
	for name, content in [("now", d.now), *d.kept.items()]:
		d.write(name + ".raw", content)
	words = ["snapshot", verb, "a.qcow2", "three" if verb == "create" else "one"]

	def state():
		r = run("qemu-img", "check", "-f", "qcow2", "a.qcow2")
		check(r.rc in (0, 3), "qemu-img check\n    %s" % r.show())
		have = names("a.qcow2")
		for name in have:
			vdisk("compare", "-q", "--snapshot", name, "-F", "raw", "a.qcow2", "now.raw" if name == "three" else name + ".raw")
		equal = run(VDISK, "compare", "-q", "-F", "raw", "a.qcow2", "now.raw").rc == 0
		if not equal:
			eq("apply", verb, "only apply changes the disk")
			vdisk("compare", "-q", "-F", "raw", "a.qcow2", "one.raw")
		return {"create": "three" in have, "delete": "one" not in have, "apply": not equal}[verb]
	done = 0
	for n in kill_rounds(words, rng, ROUNDS):
		if not n:
			check(state(), "done")
			continue
		if state():
			done += 1
		else:
			vdisk(*words)
			check(state(), "the second run finishes")
		qemu_img("check", "-q", "-f", "qcow2", "-r", "leaks", "a.qcow2")
	print("    %d of them had done it" % done)


for verb in ("create", "apply", "delete"):
	add("internal, killed in " + verb, internal_killed, verb)


# ---------------------------------------------------------------- external

QEMU_NAMES = {"vhd": "vpc", "vhdx": "vhdx", "qcow2": "qcow2", "vmdk": "vmdk", "raw": "raw"}


class Tree(Disk):
	"""External snapshots of one disk: names to contents; the leaf's path."""

	def __init__(self, fmt, size, rng, base=None):
		super().__init__(size)
		self.cut_off = False
		base = base or fmt
		make_raw("first.raw", rng, size, pieces=30, longest=100 * KIB)
		with open("first.raw", "rb") as f:
			self.now = bytearray(f.read())
		self.leaf, self.fmt = "disk." + base, fmt
		vdisk("convert", "-f", "raw", "-O", base, "first.raw", self.leaf)
		self.count = 0

	def create(self, name=None):
		self.count += 1
		name = name or "state %d" % self.count
		self.leaf = os.path.basename(snap("create", "--external", "--json", self.leaf, name).json()["leaf"])
		self.kept[name] = bytes(self.now)

	def image_of(self, name):
		return [r["files"][0]["path"] for r in rows(self.leaf, "external") if r["name"] == name][0]

	def right(self, why, qemu=True):
		self.write("now.raw", self.now)
		eq(sorted(self.kept), sorted(n for n in names(self.leaf, "external") if n), "%s: names" % why)
		for r in rows(self.leaf, "external"):
			eq(None, r["problem"], "%s: problem of %s" % (why, r["name"]))
		self.same(self.leaf, "now.raw", why, qemu)
		for name, content in self.kept.items():
			self.write("kept.raw", content)
			self.same(self.image_of(name), "kept.raw", "%s: %s" % (why, name), qemu)

	def same(self, path, raw, why, qemu):
		r = run(VDISK, "compare", "-q", "-s", "-F", "raw", path, raw)
		check(r.rc == 0, "%s: another content\n    %s" % (why, r.show()))
		if not path.endswith(".raw") and not self.cut_off: # a VHD's footers may differ then
			vdisk("check", path)
		if qemu and not path.endswith(("vhd", "vhdx")): # it reads no differencing ones
			fmt = QEMU_NAMES[path.rsplit(".", 1)[1]]
			r = run("qemu-img", "compare", "-f", fmt, "-F", "raw", path, raw)
			check(r.rc == 0, "%s: qemu-img reads another content\n    %s" % (why, r.show()))


def external_model(fmt, base):
	rng = rng_for("external %s %s" % (fmt, base))
	t = Tree(fmt, 3 * MIB, rng, base)
	t.create()
	for step in range(STEPS):
		what = rng.choice(("write", "write", "create", "create", "apply", "delete", "delete"))
		name = rng.choice(sorted(t.kept)) if t.kept else None
		why = "step %d, %s %s" % (step, what, name)
		if what == "write":
			t.scribble(rng, rng.choice((1, 12)), by_vdio(t.leaf, t.leaf.rsplit(".", 1)[1]))
		elif what == "create" and len(t.kept) < 6:
			t.create()
		elif what == "apply" and name:
			snap("apply", "--external", t.leaf, name)
			t.now = bytearray(t.kept[name])
		elif what == "delete" and name:
			snap("delete", "--external", t.leaf, name)
			del t.kept[name]
		else:
			continue
		t.right(why)
	for name in sorted(t.kept):
		snap("delete", "--external", t.leaf, name)
		del t.kept[name]
	t.right("the end")
	left = sorted(n for n in os.listdir(".") if n.startswith("disk"))
	eq([t.leaf], left, "files in the end")
	check(os.stat(t.leaf).st_mode & 0o200, "the disk may be written to again")


for fmt, base in (("qcow2", "qcow2"), ("vhd", "vhd"), ("vhdx", "vhdx"), ("vmdk", "vmdk"), ("qcow2", "raw")):
	add("external, %s over %s" % (fmt, base), external_model, fmt, base)


@case
def external_tree():
	"""Names, parents, branches, the current one; the record says so in words."""
	rng = rng_for("tree")
	t = Tree("qcow2", 2 * MIB, rng)
	snap("create", "--external", t.leaf, 'the "first" | one', "--description", "line 1\nline 2", env={"SOURCE_DATE_EPOCH": "1700000000"})
	t.leaf = "disk-000001.qcow2"
	t.create("second")
	snap("apply", t.leaf, "1")
	t.create("third")
	told = {r["name"]: (r["parent"], r["current"], os.path.basename(r["files"][0]["path"])) for r in rows(t.leaf)}
	eq({'the "first" | one': (None, False, "disk.qcow2"), "second": ("1", False, "disk-000001.qcow2"),
	    "third": ("1", True, "disk-000002.qcow2")}, told, "the tree")
	eq("2023-11-14T22:13:20Z", rows(t.leaf)[0]["date"], "date")
	eq("line 1\nline 2", rows(t.leaf)[0]["description"], "description")
	eq(["disk-000001.qcow2", "disk-000002.qcow2", "disk-000003.qcow2", "disk.qcow2", "disk.qcow2.snapshots"],
	   sorted(n for n in os.listdir(".") if n.startswith("disk")), "files")
	text = snap("list", t.leaf).out
	check("* external 3" in text and "\\x0aline 2" in text, "as text: %s" % text)
	for path in ("disk.qcow2", "disk-000001.qcow2"):
		refused("resize", path, "+1M", mentions=["parent of linked clones", "--force"])
		refused("snapshot", "create", "--external", path, "x", mentions="is what the snapshot")
		refused("snapshot", "apply", "--external", path, "third", mentions="parent of linked clones")
		refused("snapshot", "apply", "--external", "--force", path, "third", mentions="is what the snapshot")
	refused("snapshot", "create", "--external", t.leaf, "second", mentions="already the name")
	refused("snapshot", "create", "--external", "--leaf", "a/b", t.leaf, "x", mentions="no file name")
	refused("snapshot", "create", "--external", "--leaf", "disk.qcow2", t.leaf, "x", mentions="exists")
	refused("snapshot", "delete", "--external", t.leaf, "none", mentions="'none'")
	vdisk("create", "-b", t.leaf, "over.qcow2")
	refused("snapshot", "apply", t.leaf, "second", mentions="over.qcow2 lies over it")
	snap("create", "--external", "--leaf", "mine.qcow2", "over.qcow2", "fourth")
	eq([None, "over.qcow2"], [parent(p) for p in ("disk.qcow2", "mine.qcow2")], "parents")


@case
def external_clones_elsewhere():
	"""A linked clone of a snapshot's image, in another folder, keeps its content when the snapshot goes."""
	rng = rng_for("elsewhere")
	t = Tree("qcow2", 2 * MIB, rng)
	t.create("kept")
	os.mkdir("far")
	vdisk("clone", "--linked", "disk.qcow2", "far/clone.qcow2", "--allow-parent", ".")
	t.write("clone.raw", t.kept["kept"])
	t.scribble(rng, 5, by_vdio(t.leaf, "qcow2"))
	r = snap("delete", "--json", t.leaf, "kept").json()
	eq(2, r["merged"], "the leaf and the clone")
	check(not os.path.exists("disk.qcow2"), "the image has gone")
	vdisk("compare", "-F", "raw", "far/clone.qcow2", "clone.raw")
	del t.kept["kept"]
	t.right("deleted")


@case
def external_delete_moves_all_or_none():
	"""One of those over a snapshot's image cannot be moved: no other one is."""
	rng = rng_for("all or none")
	for order in (("a.qcow2", "b.qcow2"), ("b.qcow2", "a.qcow2")):
		t = Tree("qcow2", 2 * MIB, rng)
		t.create("kept")
		for name in order:
			vdisk("clone", "--linked", "disk.qcow2", name)
		snap("create", "--internal", "b.qcow2", "inside")
		before = [sha256(n) for n in ("a.qcow2", "b.qcow2", t.leaf)]
		refused("snapshot", "delete", "--external", t.leaf, "kept", mentions="b.qcow2: its 1 internal snapshots rely on")
		eq(before, [sha256(n) for n in ("a.qcow2", "b.qcow2", t.leaf)], "what lies over it")
		snap("delete", "b.qcow2", "inside")
		eq(3, snap("delete", "--external", "--json", t.leaf, "kept").json()["merged"], "those over it")
		del t.kept["kept"]
		t.right("deleted")
		for n in os.listdir("."):
			if os.path.isfile(n):
				os.unlink(n)


def parent(path):
	return vdisk("info", "--json", path).json()["layers"][0]["parent"]


@case
def external_delete_goes_the_shorter_way():
	rng = rng_for("way")
	for fmt in ("qcow2", "vhd"):
		t = Tree(fmt, 8 * MIB, rng)
		by_vdio(t.leaf, fmt)([(0, 6 * MIB, 1)])
		t.now[:6 * MIB] = bytes([1]) * 6 * MIB
		t.create("large")
		by_vdio(t.leaf, fmt)([(512, 4096, 2)])
		t.now[512:512 + 4096] = bytes([2]) * 4096
		t.create("small")
		by_vdio(t.leaf, fmt)([(0, 3 * MIB, 3)])
		t.now[:3 * MIB] = bytes([3]) * 3 * MIB
		r = snap("delete", "--external", "--json", t.leaf, "large").json()
		eq(("down", 1), (r["direction"], r["merged"]), "%s: a large one below a small one" % fmt)
		check(r["bytes-copied"] <= (2 * MIB if fmt == "vhd" else 65536), "%s: copied %d" % (fmt, r["bytes-copied"]))
		del t.kept["large"]
		t.right("%s, down" % fmt)
		t.create("top")
		r = snap("delete", "--external", "--json", t.leaf, "top").json()
		eq("down", r["direction"], "%s: the leaf is empty" % fmt)
		del t.kept["top"]
		t.right("%s, leaf replaced" % fmt)
		check(os.stat(t.leaf).st_mode & 0o200, "the leaf may be written to")
		by_vdio(t.leaf, fmt)([(0, 512, 9)])
		t.now[:512] = bytes([9]) * 512
		r = snap("delete", "--external", "--json", t.leaf, "small").json()
		del t.kept["small"]
		t.right("%s, the last" % fmt)
		for n in os.listdir("."):
			if os.path.isfile(n):
				os.unlink(n)


def external_killed(fmt, verb, name):
	rng = rng_for("external killed %s %s" % (fmt, verb))
	t = Tree(fmt, (24 if ALL else 6) * MIB, rng)
	for i, pieces in enumerate((200, 30, 200)):
		t.create("s%d" % i)
		t.scribble(rng, pieces if ALL else pieces // 5, by_vdio(t.leaf, fmt))
	t.leaf0 = t.leaf
	words = ["snapshot", verb, "--external", t.leaf, name]
	before, now = dict(t.kept), bytes(t.now)

	def state():
		"""Everything that was to stay reads right; true: it is done."""
		t.kept, t.now, t.leaf = dict(before), bytearray(now), t.leaf0
		found = [n for n in names(t.leaf, "external") if n]
		if verb == "create":
			if name in found:
				t.kept[name] = now
		elif verb == "delete":
			gone = name not in found
			t.kept.pop(name) # while it goes, it is nothing to look at
			t.write("now.raw", t.now)
			t.same(t.leaf, "now.raw", "the disk", False)
			for n, content in t.kept.items():
				t.write("kept.raw", content)
				t.same(t.image_of(n), "kept.raw", n, False)
			return gone
		elif run(VDISK, "compare", "-q", "-F", "raw", t.leaf, "now0.raw").rc:
			t.now = bytearray(before[name])
			t.right("applied", qemu=False)
			return True
		t.right("state", qemu=False)
		return verb == "create" and name in found
	t.write("now0.raw", now)
	t.cut_off = True
	for n in kill_rounds(words, rng, ROUNDS):
		if not n:
			check(state(), "done")
		elif not state():
			vdisk(*words)
			check(state(), "the second run finishes")


for fmt in ("qcow2", "vmdk", "vhd", "vhdx"):
	for verb, name in (("create", "new"), ("apply", "s0"), ("delete", "s1"), ("delete", "s0"), ("delete", "s2")):
		if ALL or (fmt, verb, name) in (("qcow2", "create", "new"), ("qcow2", "delete", "s0"), ("vhd", "delete", "s1"), ("vmdk", "apply", "s0")):
			add("external, killed, %s %s %s" % (fmt, verb, name), external_killed, fmt, verb, name)


# ---------------------------------------------------------------- diff

@case
def diff():
	rng = rng_for("diff")
	d = Disk(4 * MIB)
	vdisk("create", "-f", "qcow2", "a.qcow2", "4M")
	d.scribble(rng, 20, by_vdio("a.qcow2", "qcow2"))
	snap("create", "a.qcow2", "one")
	one = bytes(d.now)
	d.scribble(rng, 10, by_vdio("a.qcow2", "qcow2"))
	snap("create", "a.qcow2", "two")
	two = bytes(d.now)
	vdisk("resize", "a.qcow2", "+1M")
	d.resize(5 * MIB)
	d.scribble(rng, 3, by_vdio("a.qcow2", "qcow2"))

	def expected(a, b):
		n = max(len(a), len(b))
		a, b, found = a.ljust(n, b"\0"), b.ljust(n, b"\0"), []
		for off in range(0, n, 512):
			if a[off:off + 512] != b[off:off + 512]:
				if found and found[-1][0] + found[-1][1] == off:
					found[-1][1] += 512
				else:
					found.append([off, 512])
		return found

	for words, a, b in ((("one", "two"), one, two), (("two", "one"), two, one), (("one",), one, bytes(d.now)), (("2",), two, bytes(d.now))):
		r = snap("diff", "--json", "a.qcow2", *words, rc=1).json()
		eq(expected(a, b), [[x["offset"], x["length"]] for x in r["ranges"]], "ranges of %r" % (words,))
		eq((False, sum(x[1] for x in expected(a, b)), len(a), len(b)), (r["equal"], r["bytes"], r["first-size"], r["second-size"]), "sums")
	eq([], snap("diff", "--json", "a.qcow2", "one", "1").json()["ranges"], "one with itself")
	text = snap("diff", "a.qcow2", "one", "two", rc=1).out.splitlines()
	eq(len(expected(one, two)) + 1, len(text), "lines of text")
	refused("snapshot", "diff", "a.qcow2", "none", mentions="none")
	# Layers: the same content in another place.
	vdisk("convert", "--snapshot", "two", "-O", "vhd", "a.qcow2", "b.vhd")
	snap("create", "b.vhd", "kept")
	eq([], snap("diff", "--json", "b-000001.vhd", "kept").json()["ranges"], "an empty layer")
	by_vdio("b-000001.vhd", "vhd")([(1024, 512, 7)])
	eq([{"offset": 1024, "length": 512}], snap("diff", "--json", "b-000001.vhd", "kept", rc=1).json()["ranges"], "one sector")


# ---------------------------------------------------------------- VMware's

VMSD = """.encoding = "%s"
snapshot.lastUID = "7"
snapshot.current = "4"
snapshot0.uid = "1"
snapshot0.filename = "vm-Snapshot1.vmsn"
snapshot0.displayName = "installed"
snapshot0.description = "fresh |22system|22|0Aof K\u00f6ln"
snapshot0.createTimeHigh = "388745"
snapshot0.createTimeLow = "1991180826"
snapshot0.numDisks = "2"
snapshot0.disk0.fileName = "disk.vmdk"
snapshot0.disk0.node = "scsi0:0"
snapshot0.disk1.fileName = "data.vmdk"
snapshot0.disk1.node = "scsi0:1"
snapshot1.uid = "2"
snapshot1.parent = "1"
snapshot1.displayName = "branch"
snapshot1.createTimeHigh = "388801"
snapshot1.createTimeLow = "-814770620"
snapshot1.numDisks = "1"
snapshot1.disk0.fileName = "disk-000001.vmdk"
snapshot2.uid = "4"
snapshot2.parent = "1"
snapshot2.displayName = "now"
snapshot2.numDisks = "0"
snapshot.numSnapshots = "3"
snapshot3.uid = "9"
snapshot3.displayName = "stale"
snapshot3.parent = "77"
"""


@case
def vmsd():
	for charset in ("UTF-8", "windows-1252"):
		with open("vm.vmsd", "wb") as f:
			f.write((VMSD % charset).encode(charset).replace(b"\n", b"\r\n"))
		vdisk("create", "-f", "vmdk", "disk.vmdk", "1M")
		vdisk("create", "-f", "vmdk", "-b", "disk.vmdk", "disk-000001.vmdk")
		with open("vm.vmx", "w") as f:
			f.write('.encoding = "UTF-8"\nscsi0:0.fileName = "disk-000001.vmdk"\n')
		for path in ("vm.vmsd", "vm.vmx", ".", "disk-000001.vmdk", os.path.realpath("disk.vmdk")):
			told = rows(path, "vmware")
			eq([("1", "installed", None, False), ("2", "branch", "1", False), ("4", "now", "1", True)],
			   [(r["id"], r["name"], r["parent"], r["current"]) for r in told], "the tree of %s" % path)
			eq('fresh "system"\nof K\u00f6ln', told[0]["description"], "description")
			eq([["disk.vmdk", "data.vmdk"], ["disk-000001.vmdk"], []], [[os.path.basename(f["path"]) for f in r["files"]] for r in told], "disks")
			eq([usec(388745, 1991180826), usec(388801, -814770620)], [stamp(r["date"]) for r in told[:2]], "dates")
		refused("snapshot", "create", "disk-000001.vmdk", "x", mentions="VMware's")
		refused("snapshot", "apply", "disk-000001.vmdk", "installed", mentions="VMware's")
		refused("snapshot", "delete", "disk-000001.vmdk", "branch", mentions="VMware's")
		for n in os.listdir("."):
			os.unlink(n)


def usec(high, low):
	return ((high << 32) + low % (1 << 32)) // 1000000


def stamp(text):
	import calendar
	return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


@case
def vmsd_hostile():
	for text, mentions in ((VMSD.replace('snapshot0.uid = "1"', 'snapshot0.uid'), "line 4"), (VMSD.replace('numSnapshots = "3"', 'numSnapshots = "99999"'), "99999"),
	                       (VMSD.replace('numSnapshots = "3"', 'numSnapshots = "5"'), "there are 4"), (VMSD.replace('numDisks = "2"', 'numDisks = "3"'), "disk2"),
	                       (VMSD.replace('snapshot0.filename', 'snapshot0.parent = "2"\nx'), "its own ancestor"),
	                       (VMSD.replace('parent = "1"\nsnapshot2', 'parent = "8"\nsnapshot2'), "none of the snapshots"),
	                       (VMSD.replace('388745', '3887450000000'), "createTimeHigh"), ("x" * (1 << 20) + "=1\n", "1048576")):
		with open("vm.vmsd", "wb") as f:
			f.write((text % "UTF-8" if "%s" in text else text).encode())
		refused("snapshot", "list", "vm.vmsd", mentions=mentions)
	with open("vm.vmsd", "wb") as f:
		f.write(b'.encoding = "UTF-8"\nsnapshot.numSnapshots = "1"\nsnapshot0.uid = "\xff"\n')
	refused("snapshot", "list", "vm.vmsd", mentions="UTF-8")
	os.unlink("vm.vmsd")
	refused("snapshot", "list", ".", mentions="0 .vmsd")


@case
def record_hostile():
	"""A record leads nowhere but to its own folder, and what is no record is refused by every change."""
	vdisk("create", "-f", "vhd", "a.vhd", "4M")
	snap("create", "a.vhd", "x")
	with open("a.vhd.snapshots") as f:
		good = f.read()
	for old, new, mentions in (('fileName = "a.vhd"', 'fileName = "../a.vhd"', "no file of the folder"), ('vdisk.snapshots = "1"', 'vdisk.snapshots = "2"', "version"),
	                           ('uid = "1"', 'uid = "0"', "uid"), ('numSnapshots = "1"', 'numSnapshots = "1025"', "1025"), ('mode = "', 'mode = "9999', "mode")):
		check(old in good, "%s is in %s" % (old, good))
		with open("a.vhd.snapshots", "w") as f:
			f.write(good.replace(old, new))
		for words in (("list", "a-000001.vhd"), ("create", "a-000001.vhd", "y"), ("delete", "a-000001.vhd", "x")):
			refused("snapshot", *words, mentions=[mentions, "a.vhd.snapshots"])


main()

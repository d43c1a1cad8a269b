#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Conversions that keep snapshots, and change lists: every state has the content that it had, whatever form it comes to."""
import os, re, signal, subprocess, sys, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

SIZE = 24 * MIB
STATES = 5
LAYERED = ("vmdk", "vhd", "vhdx", "vdi", "qcow2")
SUFFIX = {f: f for f in LAYERED}


def scribble(rng, content, write):
	commands = []
	for _ in range(12):
		length = rng.choice((512, 4096, 65536, rng.randrange(1, 400) * 512))
		off = rng.randrange(0, (len(content) - length) // 512 + 1) * 512
		value = rng.randrange(1, 256) if rng.random() < 0.7 else 0
		commands.append("write %d %d %d" % (off, length, value) if value else "zero %d %d" % (off, length))
		content[off:off + length] = bytes([value]) * length
	write("\n".join(commands) + "\n")


def layers_make(rng, fmt, stem):
	"""A chain with a named snapshot for each state; returns the leaf and the contents, oldest first, the disk as it is last."""
	need_vdio()
	leaf = stem + "." + SUFFIX[fmt]
	vdisk("create", "-f", fmt, leaf, str(SIZE))
	now, states = bytearray(SIZE), []
	for i in range(STATES):
		scribble(rng, now, lambda text: ran(VDIO, "-f", fmt, leaf, stdin=text.encode()))
		states.append(bytes(now))
		r = vdisk("snapshot", "create", "--json", "--external", "--description", "told of %d" % i, leaf, "état %d" % i)
		leaf = r.json()["leaf"]
	scribble(rng, now, lambda text: ran(VDIO, "-f", fmt, leaf, stdin=text.encode()))
	return os.path.basename(leaf), states + [bytes(now)]


def inside_make(rng, path):
	"""The same inside a qcow2, by qemu-img and qemu-io."""
	qemu_img("create", "-f", "qcow2", path, str(SIZE))
	now, states = bytearray(SIZE), []

	def write(text):
		commands = []
		for line in text.split("\n"):
			w = line.split()
			if w:
				commands.append("write -P %s %s %s" % (w[3], w[1], w[2]) if w[0] == "write" else "write -z %s %s" % (w[1], w[2]))
		qemu_io(path, "qcow2", *commands)
	for i in range(STATES):
		scribble(rng, now, write)
		states.append(bytes(now))
		qemu_img("snapshot", "-c", "état %d" % i, path)
	scribble(rng, now, write)
	return states + [bytes(now)]


def raw_of(content, name):
	with open(name, "wb") as f:
		f.write(content)
	return name


def listed(path):
	return [r for r in vdisk("snapshot", "list", "--json", path).json()["snapshots"]]


def inside_hold(path, states):
	qemu_check(path, "qcow2")
	for i, content in enumerate(states):
		raw = raw_of(content, "want.raw")
		state = ("-l", "snapshot.name=état %d" % i) if i < STATES else ()
		qemu_img("convert", *state, "-f", "qcow2", "-O", "raw", path, "got.raw")
		os.truncate("got.raw", len(content))  # QEMU gives each the size that the disk has today
		same_bytes(raw, "got.raw", "%s, state %d, by qemu-img" % (path, i))


def layers_hold(stem, fmt, states):
	leaf = "%s.%s" % (stem, SUFFIX[fmt])
	below = [os.path.basename(r["files"][0]["path"]) for r in listed(leaf)]
	eq(STATES, len(below), "snapshots of " + leaf)
	for i, content in enumerate(states):
		path = below[i] if i < STATES else leaf
		raw = raw_of(content, "want.raw")
		if fmt not in ("vhd", "vhdx", "vdi"):  # QEMU reads no differencing ones
			qemu_img("compare", "-f", "raw", "-F", fmt, raw, path)
		vdisk("compare", "-f", "raw", "-F", fmt, raw, path)
		check(os.access(path, os.W_OK) or os.stat(path).st_mode & 0o222 == 0 or i == STATES, path)
		if i < STATES:
			eq(0, os.stat(path).st_mode & 0o222, "write permission of %s" % path)


def dates(path):
	return [(r["name"], r["date"]) for r in listed(path)]


def around(fmt):
	"""Layers to snapshots inside, to layers of another format, and back."""
	rng = rng_for("around " + fmt)
	leaf, states = layers_make(rng, fmt, "disk")
	was = dates(leaf)
	eq(STATES, len(was), "snapshots of the source")
	report = vdisk("convert", "--snapshots", "keep", "--verify", "--json", "-O", "qcow2", leaf, "in.qcow2").json()
	eq("inside", report["kept"], "kept")
	eq(["état %d" % i for i in range(STATES)], [s["name"] for s in report["snapshots"]], "names in the report")
	inside_hold("in.qcow2", states)
	eq(was, dates("in.qcow2"), "names and dates inside")
	other = LAYERED[(LAYERED.index(fmt) + 1) % len(LAYERED)]
	vdisk("convert", "--snapshots", "layers", "-O", other, "in.qcow2", "far." + SUFFIX[other])
	layers_hold("far", other, states)
	eq(was, dates("far." + SUFFIX[other]), "names and dates of the layers")
	vdisk("convert", "--snapshots", "layers", "--verify", "-O", fmt, "far." + SUFFIX[other], "back." + SUFFIX[fmt])
	layers_hold("back", fmt, states)
	eq(was, dates("back." + SUFFIX[fmt]), "names and dates after the way back")
	eq(was, dates(leaf), "the source's names and dates")
	# Stored once: all layers together hold little more than what was ever written.
	took = sum(os.stat(n).st_blocks * 512 for n in os.listdir(".") if n.startswith("back"))
	before = sum(os.stat(n).st_blocks * 512 for n in os.listdir(".") if n.startswith("disk"))
	check(took <= before * 3 // 2 + MIB, "layers after the way back take %d bytes, before it %d" % (took, before))


for f in LAYERED:
	add("around_" + f, around, f)


@case
def inside_to_layers():
	"""Snapshots that QEMU made; one of another size."""
	rng = rng_for("inside")
	states = inside_make(rng, "a.qcow2")
	vdisk("convert", "--snapshots", "keep", "-O", "vmdk", "a.qcow2", "b.vmdk")
	layers_hold("b", "vmdk", states)
	vdisk("convert", "--snapshots", "layers", "-c", "-O", "qcow2", "a.qcow2", "c.qcow2")
	layers_hold("c", "qcow2", states)
	qemu_img("resize", "-q", "a.qcow2", str(SIZE + 4 * MIB))
	qemu_io("a.qcow2", "qcow2", "write -P 77 %d 1M" % (SIZE + MIB))
	vdisk("convert", "--snapshots", "keep", "--verify", "a.qcow2", "-O", "qcow2", "d.qcow2")
	inside_hold("d.qcow2", states[:-1] + [states[-1] + bytes(MIB) + b"\x4d" * MIB + bytes(2 * MIB)])


@case
def refusals():
	rng = rng_for("refusals")
	inside_make(rng, "a.qcow2")
	for words, mention in ((("-O", "raw", "a.qcow2", "x.raw"), "raw images have no snapshots"), (("-O", "qcow2", "-c", "a.qcow2", "x.qcow2"), "compression"),
	                       (("--digest", "-O", "vhd", "a.qcow2", "x.vhd"), "--snapshots keep"), (("-O", "vhd", "-", "x.vhd"), "--snapshots keep"),
	                       (("--force", "-O", "qcow2", "a.qcow2", "a.qcow2"), "is an image of the source")):
		refused("convert", "--snapshots", "keep", *words, mentions=mention)
	refused("convert", "--snapshots", "inside", "-O", "vhd", "a.qcow2", "x.vhd", mentions="no snapshots inside")
	write_file("b-s2.vhd", b"mine")
	refused("convert", "--snapshots", "keep", "-O", "vhd", "a.qcow2", "b.vhd", mentions=["b-s2.vhd", "exists"])
	with open("b-s2.vhd", "rb") as f:
		eq(b"mine", f.read(), "a file that was there")
	r = vdisk("convert", "-O", "raw", "a.qcow2", "one.raw")
	check("état 0" in r.err and "5 internal snapshots" in r.err, "what is left out is said: %r" % r.err)
	r = vdisk("convert", "--snapshots", "flatten", "-O", "raw", "a.qcow2", "two.raw")
	eq("", r.err, "messages when flattening is asked for")
	same_bytes("one.raw", "two.raw")


def states_inside(path):
	return [(s["name"], s["date"]) for s in vdisk("snapshot", "list", "--json", path).json()["snapshots"]]


def tree_grow(rng, fmt, n):
	"""A tree of snapshots by going back again and again.  Returns the leaf, what it holds, and {name: (content, name of the parent)}."""
	need_vdio()
	leaf = "disk." + SUFFIX[fmt]
	vdisk("create", "-f", fmt, leaf, str(6 * MIB))
	now, at, made = bytearray(6 * MIB), None, {}
	for i in range(n):
		scribble(rng, now, lambda text: ran(VDIO, "-f", fmt, leaf, stdin=text.encode()))
		name = "Stand %d" % i
		made[name] = (bytes(now), at)
		leaf = os.path.basename(vdisk("snapshot", "create", "--json", "--external", "--description", "what %d is" % i, leaf, name).json()["leaf"])
		at = name
		if i and (i in (1, n - 1) or rng.random() < 0.5):
			at = rng.choice(sorted(made)[:-1])
			vdisk("snapshot", "apply", leaf, at)
			now = bytearray(made[at][0])
	scribble(rng, now, lambda text: ran(VDIO, "-f", fmt, leaf, stdin=text.encode()))
	return leaf, bytes(now), made


def line_of(made, name):
	return [] if name is None else line_of(made, made[name][1]) + [name]


def tree_is(leaf, fmt, now, made):
	"""Layers, each by what it holds and what it lies over; by qemu-img where it reads them."""
	told = listed(leaf)
	eq({n: p for n, (_, p) in made.items()}, {r["name"]: next((x["name"] for x in told if x["id"] == r["parent"]), None) for r in told}, "the tree of " + leaf)
	eq({n: "what %s is" % n.split()[1] for n in made}, {r["name"]: r["description"] for r in told}, "descriptions in " + leaf)
	eq([], [r["problem"] for r in told if r["problem"]], "problems of " + leaf)
	for path, content in [(r["files"][0]["path"], made[r["name"]][0]) for r in told] + [(leaf, now)]:
		raw = raw_of(content, "want.raw")
		if fmt not in ("vhd", "vhdx", "vdi"):
			qemu_img("compare", "-f", "raw", "-F", fmt, raw, path)
		vdisk("compare", "-f", "raw", "-F", fmt, raw, path)


def branches(fmt):
	"""What the disk goes on from and what branches off: inside, as layers, and as layers of another format, and from there back to QEMU's."""
	rng = rng_for("branches " + fmt)
	leaf, now, made = tree_grow(rng, fmt, 7 if ALL else 5)
	line = line_of(made, next(r["name"] for r in listed(leaf) if r["current"]))
	check(len(line) < len(made), "the tree has no branch: %r" % made)
	was = {r["name"]: r["date"] for r in listed(leaf)}
	before = tree(".")
	r = vdisk("convert", "-O", "raw", leaf, "flat.raw")
	check(all('"%s"' % n in r.err for n in made) and "5 snapshots" in r.err or ALL, "what is left out without the option is told: %r" % r.err)
	eq("", vdisk("convert", "--snapshots", "flatten", "--force", "-O", "raw", leaf, "flat.raw").err, "nothing is where that is meant")
	os.unlink("flat.raw")
	r = vdisk("convert", "--snapshots", "keep", "--verify", "--json", "-O", "qcow2", leaf, "in.qcow2")
	eq(before, {n: v for n, v in tree(".").items() if "in.qcow2" not in n}, "the source")
	for name in made:
		eq(name not in line, "the snapshot '%s' is kept, but not that" % name in r.err, "what inside cannot say of %s: %r" % (name, r.err))
	eq(line, [s["name"] for s in r.json()["snapshots"]][:len(line)], "the line comes first")
	eq(was, dict(states_inside("in.qcow2")), "names and dates inside")
	qemu_check("in.qcow2", "qcow2")
	for name, (content, _) in made.items():
		qemu_img("convert", "-l", "snapshot.name=" + name, "-f", "qcow2", "-O", "raw", "in.qcow2", "got.raw")
		same_bytes(raw_of(content, "want.raw"), "got.raw", name + ", inside, by qemu-img")
	qemu_img("compare", "-f", "raw", "-F", "qcow2", raw_of(now, "want.raw"), "in.qcow2")
	other = LAYERED[(LAYERED.index(fmt) + 1) % len(LAYERED)]
	for to, name, source, options in (("qcow2", "q.qcow2", leaf, ()), (other, "o." + SUFFIX[other], leaf, ("--verify",)), ("vmdk", "v.vmdk", "o." + SUFFIX[other], ())):
		r = vdisk("convert", "--snapshots", "layers", "-O", to, *options, source, name)
		eq("", r.err, "warnings where nothing is lost")
		tree_is(name, to, now, made)
		eq(was, {r["name"]: r["date"] for r in listed(name)}, "dates in " + name)
		for i in range(1, len(made) + 1):
			path = name.replace(".", "-s%d." % i)
			check(os.stat(path).st_mode & 0o222 == 0, "%s is protected" % path)
	took = sum(os.stat(n).st_blocks * 512 for n in os.listdir(".") if n.startswith("q.") or n.startswith("q-"))
	held = sum(os.stat(n).st_blocks * 512 for n in os.listdir(".") if n.startswith("disk"))
	check(took <= held * 3 // 2 + 2 * MIB, "layers take %d bytes, the source's %d: what is shared is stored once" % (took, held))
	# They are one tree to go on with.
	name = next(n for n in made if n not in line)
	vdisk("snapshot", "apply", "v.vmdk", name)
	qemu_img("compare", "-f", "raw", "-F", "vmdk", raw_of(made[name][0], "want.raw"), "v.vmdk")


for f in LAYERED:
	add("branches_" + f, branches, f)


def numbers():
	"""Snapshots that are called like the IDs that others get in the new image."""
	need_vdio()
	rng = rng_for("numbers")
	leaf, now, made = "disk.vmdk", bytearray(SIZE), {}
	vdisk("create", "-f", "vmdk", leaf, str(SIZE))
	for name, goes_back in (("3", None), ("A", "3"), ("B", "A"), ("C", None)):
		scribble(rng, now, lambda text: ran(VDIO, "-f", "vmdk", leaf, stdin=text.encode()))
		made[name] = bytes(now)
		leaf = os.path.basename(vdisk("snapshot", "create", "--json", "--external", leaf, name).json()["leaf"])
		if goes_back:
			vdisk("snapshot", "apply", leaf, goes_back)
			now = bytearray(made[goes_back])
	vdisk("convert", "--snapshots", "inside", "--verify", "-O", "qcow2", leaf, "in.qcow2")
	eq(sorted(made), sorted(n for n, _ in states_inside("in.qcow2")), "names inside")
	for name, content in made.items():
		qemu_img("convert", "-l", "snapshot.name=" + name, "-f", "qcow2", "-O", "raw", "in.qcow2", "got.raw")
		same_bytes(raw_of(content, "want.raw"), "got.raw", name + ", inside, by qemu-img")
	qemu_img("compare", "-f", "raw", "-F", "qcow2", raw_of(now, "want.raw"), "in.qcow2")


add("numbers", numbers)


def vmsd_write(path, current, snaps):
	"""`snaps`: (uid, parent's uid or None, name, files)."""
	lines = ['.encoding = "UTF-8"', 'snapshot.lastUID = "%d"' % len(snaps), 'snapshot.current = "%d"' % current, 'snapshot.numSnapshots = "%d"' % len(snaps)]
	for i, (uid, parent, name, files) in enumerate(snaps):
		lines += ['snapshot%d.uid = "%d"' % (i, uid), 'snapshot%d.displayName = "%s"' % (i, name), 'snapshot%d.numDisks = "%d"' % (i, len(files))]
		lines += ['snapshot%d.parent = "%d"' % (i, parent)] if parent else []
		lines += ['snapshot%d.disk%d.fileName = "%s"' % (i, k, f) for k, f in enumerate(files)]
	write_file(path, ("\n".join(lines) + "\n").encode())


@case
def branches_of_vmware():
	"""Two disks with the same snapshots: each takes its own images, and what of a snapshot cannot be taken is told by its name and why."""
	need_vdio()
	rng = rng_for("vmware")
	parents, contents = (None, 0, 1, 1, 0), {}
	for disk in ("sys", "data"):
		for i, parent in enumerate(parents):
			path = "%s-%06d.vmdk" % (disk, i) if i else disk + ".vmdk"
			below = "%s-%06d.vmdk" % (disk, parent) if parent else disk + ".vmdk"
			vdisk("create", "-f", "vmdk", *(["-b", below] if parent is not None else []), path, *(["6M"] if parent is None else []))
			now = bytearray(contents[disk, parent] if parent is not None else 6 * MIB)
			scribble(rng, now, lambda text: ran(VDIO, "-f", "vmdk", path, stdin=text.encode()))
			contents[disk, i] = bytes(now)
	of = lambda i: ["%s-%06d.vmdk" % (d, i) if i else d + ".vmdk" for d in ("data", "sys")]
	vmsd_write("vm.vmsd", 2, [(1, None, "base", of(0)), (2, 1, "installed", of(1)), (3, 2, "tried", of(2)), (4, 1, "other", of(4)), (5, 1, "other again", of(4)),
	                          (6, 4, "gone", ["data-000009.vmdk", "sys-000009.vmdk"]), (7, 1, "no disks", [])])
	for disk in ("sys", "data"):
		out = disk + ".qcow2"
		r = vdisk("convert", "--snapshots", "keep", "--verify", "-O", "qcow2", disk + "-000003.vmdk", out)
		eq(["base", "installed", "tried", "other"], [n for n, _ in states_inside(out)], "kept of " + disk)
		for name, i in (("base", 0), ("installed", 1), ("tried", 2), ("other", 4)):
			qemu_img("convert", "-l", "snapshot.name=" + name, "-f", "qcow2", "-O", "raw", out, "got.raw")
			same_bytes(raw_of(contents[disk, i], "want.raw"), "got.raw", "%s of %s, by qemu-img" % (name, disk))
		qemu_img("compare", "-f", "raw", "-F", "qcow2", raw_of(contents[disk, 3], "want.raw"), out)
		for name, why in (("other again", "same image as 'other'"), ("gone", "-000009.vmdk"), ("no disks", "no image")):
			lines = [l for l in r.err.splitlines() if "'%s'" % name in l]
			check(len(lines) == 1 and "left out" in lines[0] and why in lines[0], "%s: %r" % (name, r.err))
	# The source's own layer in the middle: what lies over it is none of its states.
	r = vdisk("convert", "--snapshots", "keep", "-O", "vhd", "sys-000001.vmdk", "mid.vhd")
	eq(["base", "other"], [x["name"] for x in listed("mid.vhd")], "below and beside")
	check(re.search("'tried' is left out: it goes on from the disk", r.err) and re.search("'installed' is left out: its image is the disk", r.err), r.err)
	# A branch of which an image cannot be read is no ground to lose the disk, unless it is found too late.
	with open("sys-000002.vmdk", "r+b") as f:
		f.truncate(512)
	r = vdisk("convert", "--snapshots", "keep", "-O", "qcow2", "sys-000003.vmdk", "less.qcow2")
	eq(["base", "installed", "other"], [n for n, _ in states_inside("less.qcow2")], "kept without the broken one")
	check("'tried' is left out" in r.err and "sys-000002.vmdk" in r.err, r.err)


@case
def broken_source():
	"""A chain whose middle cannot be read leaves nothing behind."""
	leaf, _ = layers_make(rng_for("broken"), "qcow2", "disk")
	middle = "disk-000002.qcow2"
	os.chmod(middle, 0o644)
	with open(middle, "r+b") as f:
		f.truncate(os.path.getsize(middle) // 2)
	before = sorted(os.listdir("."))
	for target in ("x.qcow2", "x.vhd"):
		r = run(VDISK, "convert", "--snapshots", "keep", leaf, target)
		eq(2, r.rc, "exit status")
		one_line(r)
		eq(before, sorted(os.listdir(".")), "files after a failure")


@case
def killed():
	"""Killed at any moment, there is the old disk or the new one, whole; the same command finishes."""
	rng = rng_for("killed")
	states = inside_make(rng, "a.qcow2")
	for i in range(40 if ALL else 6):
		target = ("x.qcow2", "x.vmdk")[i % 2]
		p = subprocess.Popen([VDISK, "convert", "-q", "--force", "--snapshots", "keep", "a.qcow2", target])
		try:
			p.wait(rng.random() * 0.15)
		except subprocess.TimeoutExpired:
			p.send_signal(signal.SIGKILL)
		p.wait()
		if os.path.exists(target):
			vdisk("compare", "-f", "raw", raw_of(states[-1], "want.raw"), target)
		vdisk("convert", "-q", "--force", "--snapshots", "keep", "a.qcow2", target)
		if target == "x.qcow2":
			inside_hold(target, states)
			eq([], [n for n in os.listdir(".") if n.startswith(".x")], "hidden files")
		else:
			layers_hold("x", "vmdk", states)


@case
def changes():
	"""map --since and convert --since against the contents."""
	rng = rng_for("changes")
	leaf, states = layers_make(rng, "qcow2", "disk")
	inside = inside_make(rng, "a.qcow2")
	for path, all_states, name in ((leaf, states, "état %d"), ("a.qcow2", inside, "état %d")):
		for i in range(STATES):
			extents = vdisk("map", "--json", "--since", name % i, path).json()["extents"]
			patched = bytearray(all_states[i])
			told = 0
			for x in extents:
				patched[x["offset"]:x["offset"] + x["length"]] = all_states[-1][x["offset"]:x["offset"] + x["length"]]
				told += x["length"]
				if x["kind"] != "data":
					eq(b"", all_states[-1][x["offset"]:x["offset"] + x["length"]].strip(b"\0"), "what is told as zeros")
			check(bytes(patched) == all_states[-1], "%s: the changes since state %d make the disk of today" % (path, i))
			differing = sum(512 for s in range(0, SIZE, 512) if all_states[i][s:s + 512] != all_states[-1][s:s + 512])
			eq(differing, told, "%s: bytes told as changed since state %d" % (path, i))
	eq(vdisk("map", "--json", "--since", "état 4", leaf).json()["extents"], vdisk("map", "--json", "--since", "parent", leaf).json()["extents"], "the parent")
	r = run(VDISK, "map", "--since", "nobody", leaf)
	eq(2, r.rc, "exit status")
	one_line(r)
	check("nobody" in r.err, "the name is told: %r" % r.err)
	# A backup of the state before, and one of what came since.
	vdisk("convert", "-O", "qcow2", "--snapshot", "état 2", "a.qcow2", "full.qcow2")
	vdisk("convert", "-O", "qcow2", "-b", "full.qcow2", "--since", "état 2", "a.qcow2", "more.qcow2")
	qemu_img("compare", "-f", "raw", "-F", "qcow2", raw_of(inside[-1], "want.raw"), "more.qcow2")
	qemu_check("more.qcow2", "qcow2")
	check(os.path.getsize("more.qcow2") < os.path.getsize("full.qcow2") * 2, "size of the increment")
	r = run(VDISK, "convert", "-O", "qcow2", "--since", "état 2", "a.qcow2", "x.qcow2")
	eq(2, r.rc, "exit status")
	one_line(r)
	check("-b" in r.err, "what is missing is told: %r" % r.err)


main()

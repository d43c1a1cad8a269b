#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Conversions that keep snapshots, and change lists: every state has the content that it had, whatever form it comes to."""
import os, signal, subprocess, sys, time
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


@case
def branches():
	"""Only what the disk goes on from is kept; the rest is named."""
	leaf, states = layers_make(rng_for("branches"), "vhd", "disk")
	vdisk("snapshot", "apply", leaf, "état 1")
	r = vdisk("convert", "--snapshots", "keep", "-O", "qcow2", leaf, "in.qcow2")
	for i in range(STATES):
		eq(i > 1, "état %d" % i in r.err, "état %d is told as left out: %r" % (i, r.err))
	eq(["état 0", "état 1"], [s["name"] for s in listed("in.qcow2")], "kept")
	qemu_img("compare", "-f", "raw", "-F", "qcow2", raw_of(states[1], "want.raw"), "in.qcow2")
	qemu_img("convert", "-l", "snapshot.name=état 0", "-f", "qcow2", "-O", "raw", "in.qcow2", "got.raw")
	same_bytes(raw_of(states[0], "want.raw"), "got.raw", "the first state")


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

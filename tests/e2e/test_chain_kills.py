#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 at a random moment of every operation on a chain: what can be read must be read as before or as after, nothing that was
flushed is lost, and the same command run once more finishes.  Small images, many rounds: 200 of each in the long tier."""
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from kills import *

VDOPS = os.path.join(BUILD, "tests", "vdops") # tests/tools/vdops.c
ROUNDS = ITERATIONS and min(ITERATIONS, 200) or (200 if ALL else 1)
QEMU_EVERY = 8 # rounds
SIZE = 12 * MIB


class Ops:
	def __init__(self):
		if not os.path.exists(VDOPS):
			skip("no %s" % VDOPS)
		self.process = subprocess.Popen([VDOPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

	def due(self, *words):
		line = " ".join(str(w) for w in words)
		self.process.stdin.write(line + "\n")
		self.process.stdin.flush()
		answer = self.process.stdout.readline().split()
		if not answer or answer[0] != "ok":
			fail("%s\n    %s" % (line, " ".join(answer) or "vdops ended"))
		return answer[1:]

	def content(self, path, snapshot="-"):
		self.due("dump", path, snapshot, 1 << 30, ".got")
		with open(".got", "rb") as f:
			return f.read()


class Scene:
	"""A chain, its contents, and the command; what is under `kept` is put back before each round."""

	def __init__(self, fmt, what):
		self.fmt, self.rng, self.ops = fmt, rng_for("kills %s %s" % (what, fmt)), Ops()
		self.contents, self.round = {}, 0

	def path(self, name):
		return "%s.%s" % (name, self.fmt)

	def scribble(self, path, content, pieces=24):
		self.ops.due("open", path, 1)
		for _ in range(pieces):
			length = self.rng.choice((4096, 65536, self.rng.randrange(1, 400) * 512))
			off = self.rng.randrange(0, (SIZE - length) // 512 + 1) * 512
			value = self.rng.randrange(1, 256)
			self.ops.due("write", off, length, value)
			content[off:off + length] = bytes([value]) * length
		self.ops.due("close")

	def layer(self, name, below=None, pieces=24):
		path = self.path(name)
		self.ops.due("create", path, self.fmt, SIZE, self.path(below) if below else "-", self.fmt if below else "-", "-")
		content = bytearray(self.contents[self.path(below)] if below else SIZE)
		self.scribble(path, content, pieces)
		self.contents[path] = bytes(content)
		return path

	def right(self, path, due, why, snapshot="-"):
		got = self.ops.content(path, snapshot)
		if got != due:
			at = next((k for k in range(min(len(got), len(due))) if got[k] != due[k]), min(len(got), len(due)))
			fail("%s: %s differs at %d of %d (due %d)" % (why, path, at, len(got), len(due)))

	def sound(self, path, why):
		eq("0", self.ops.due("check", path)[0], "%s: corruptions of %s" % (why, path))

	def qemu_right(self, path, due, why):
		if self.fmt in ("vhd", "vhdx") or self.round % QEMU_EVERY:
			return
		with open(".due", "wb") as f:
			f.write(due)
		r = run("qemu-img", "compare", "-f", self.fmt, "-F", "raw", path, ".due")
		check(r.rc == 0, "%s: qemu-img reads another %s\n    %s" % (why, path, r.show()))
		if self.fmt == "qcow2":
			r = run("qemu-img", "check", "-f", "qcow2", path)
			check(r.rc in (0, 3), "%s: qemu-img check %s\n    %s" % (why, path, r.show()))


def rounds(scene, words, readable, done, again=lambda: True):
	"""readable(why): at each moment; again(): whether the same command is still due; done(why): when it was run."""
	for n in kill_rounds(words, scene.rng, ROUNDS):
		scene.round = n
		if n:
			readable("round %d, killed" % n)
			if again():
				vdisk(*words)
		done("round %d, run again" % n if n else "undisturbed")
	scene.ops.process.stdin.close()
	scene.ops.process.wait(60)


# ---------------------------------------------------------------- commit, flatten, rebase

def three(fmt, what):
	s = Scene(fmt, what)
	s.layer("base", None, 40)
	s.layer("mid", "base")
	leaf = s.layer("leaf", "mid", 40)
	return s, leaf, s.contents[leaf]


def commit(fmt, to):
	s, leaf, due = three(fmt, "commit" + to)

	def readable(why):
		s.right(leaf, due, why)
		s.qemu_right(leaf, due, why)

	def done(why):
		readable(why)
		for path in (leaf, s.path(to)):
			s.sound(path, why)
			s.right(path, due, why)
	rounds(s, ["commit", "--to", s.path(to), leaf], readable, done)


def flatten(fmt):
	s, leaf, due = three(fmt, "flatten")

	def readable(why):
		s.right(leaf, due, why)
		s.qemu_right(leaf, due, why)

	def done(why):
		readable(why)
		s.sound(leaf, why)
		eq("-", s.ops.due("dump", leaf, "-", 1 << 30, ".got")[2], "%s: parent" % why)
	rounds(s, ["flatten", leaf], readable, done)


def rebase(fmt):
	s, leaf, due = three(fmt, "rebase")
	other = s.layer("other", None, 40)

	def readable(why):
		s.right(leaf, due, why)
		s.qemu_right(leaf, due, why)

	def done(why):
		readable(why)
		s.sound(leaf, why)
		eq(other, os.path.basename(s.ops.due("dump", leaf, "-", 1 << 30, ".got")[2]), "%s: parent" % why)
		s.right(other, s.contents[other], why)
	rounds(s, ["rebase", "-b", other, leaf], readable, done)


for fmt in ("qcow2", "vmdk", "vhd", *(["vhdx"] if ALL else [])):
	add("commit, " + fmt, commit, fmt, "mid")
	add("commit --to, " + fmt, commit, fmt, "base")
	add("flatten, " + fmt, flatten, fmt)
	add("rebase, " + fmt, rebase, fmt)


# ---------------------------------------------------------------- external snapshots

def named(s, leaf):
	return dict((name, os.path.basename(file)) for name, file in (w.split("=") for w in s.ops.due("tree", leaf)))


def layered(fmt, what, pieces):
	"""A disk with three snapshots: its leaf, its content, theirs by name."""
	s = Scene(fmt, what)
	leaf, due = s.layer("disk", None, pieces[0]), {}
	content = bytearray(s.contents[leaf])
	for i, more in enumerate(pieces[1:]):
		due["s%d" % i] = bytes(content)
		leaf = os.path.basename(s.ops.due("layer", leaf, "s%d" % i)[0])
		s.scribble(leaf, content, more)
	return s, leaf, bytes(content), due


def layers_right(s, leaf, content, due, why):
	s.right(leaf, content, why)
	s.qemu_right(leaf, content, why)
	have = named(s, leaf)
	for name, file in have.items():
		if name in due:
			s.right(file, due[name], "%s, %s" % (why, name))
	return have


def layer_create(fmt):
	s, leaf, content, due = layered(fmt, "create", (40, 20))

	def readable(why):
		have = layers_right(s, leaf, content, due, why)
		check(set(have) - {"new"} == set(due), "%s: snapshots %r, due %r" % (why, sorted(have), sorted(due)))
		return have

	def done(why):
		have = readable(why)
		eq(leaf, have.get("new"), "%s: what the new snapshot keeps" % why)
		over = [n for n in files() if n.endswith("." + fmt) and n != leaf and s.ops.due("dump", n, "-", 1 << 30, ".got")[2].endswith(leaf)]
		check(over, "%s: a layer over %s" % (why, leaf))
		for n in over:
			s.right(n, content, why)
	rounds(s, ["snapshot", "create", "--external", leaf, "new"], readable, done, lambda: "new" not in named(s, leaf))


def layer_delete(fmt, which, pieces):
	s, leaf, content, due = layered(fmt, "delete " + which, pieces)
	due.pop(which)

	def readable(why):
		have = layers_right(s, leaf, content, due, why)
		check(set(have) - {which} == set(due), "%s: snapshots %r, due %r" % (why, sorted(have), sorted(due)))
		return have

	def done(why):
		have = readable(why)
		check(which not in have, "%s: %s is still there" % (why, which))
		for path in (leaf, *have.values()):
			s.sound(path, why)
	rounds(s, ["snapshot", "delete", "--external", leaf, which], readable, done, lambda: which in named(s, leaf))


for fmt in ("qcow2", "vmdk", "vhd", *(["vhdx"] if ALL else [])):
	add("snapshot create, " + fmt, layer_create, fmt)
	add("snapshot delete, up, " + fmt, layer_delete, fmt, "s1", (20, 4, 40, 4))
	add("snapshot delete, down, " + fmt, layer_delete, fmt, "s1", (20, 40, 4, 4))


# ---------------------------------------------------------------- internal ones

def inside(verb):
	s = Scene("qcow2", "inside " + verb)
	disk = s.layer("disk", None, 40)
	content, due = bytearray(s.contents[disk]), {}
	for name in ("one", "two"):
		s.ops.due("keep", disk, name)
		due[name] = bytes(content)
		s.scribble(disk, content, 20)
	name = {"create": "three", "delete": "one", "apply": "one"}[verb]
	now = bytes(content)

	def state(why):
		have = [r["name"] for r in vdisk("snapshot", "list", "--json", disk).json()["snapshots"] if r["kind"] == "internal"]
		for n in have:
			s.right(disk, due.get(n, now), "%s, %s" % (why, n), n)
		check(set(have) ^ set(due) <= {name}, "%s: snapshots %r" % (why, have))
		got = s.ops.content(disk)
		check(got == now or (verb == "apply" and got == due[name]), "%s: the disk reads neither as before nor as after" % why)
		s.qemu_right(disk, got, why)
		return {"create": name in have, "delete": name not in have, "apply": got != now}[verb]

	def done(why):
		check(state(why), "%s: it was not done" % why)
		s.sound(disk, why)
	rounds(s, ["snapshot", verb, "--internal", disk, name], state, done, lambda: not state("again?"))


for verb in ("create", "delete", "apply"):
	add("snapshot %s, inside" % verb, inside, verb)


if __name__ == "__main__":
	main()

#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A wood of chains, worked on at random: after every operation each image reads as the arrays say, whatever was done to whom.

What may be done is the library's business: an operation that it refuses has to leave everything as it was."""
import os, subprocess, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

VDOPS = os.path.join(BUILD, "tests", "vdops") # tests/tools/vdops.c
STEPS = ITERATIONS or 3000 if ALL else 110
QEMU_EVERY = 1 if ALL else 8
IMAGES = 9
RW, FORCE = 1, 8
MOST = 2 * MIB
TROUBLE = ("io", "corrupt", "nomem", "cancelled")
OPTIONS = {
	"qcow2": ["-", "cluster_size=512", "compat=0.10,cluster_size=4096", "extended_l2=on,cluster_size=16384", "refcount_bits=64"],
	"vmdk": ["-"], "vhd": ["-", "block_size=524288"], "vhdx": ["-", "block_size=1M"], "raw": ["-"],
}


class Ops:
	"""A vdops that answers questions."""

	def __init__(self):
		if not os.path.exists(VDOPS):
			skip("no %s" % VDOPS)
		self.process = subprocess.Popen([VDOPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
		self.history = []

	def ask(self, *words):
		"""The words of the answer, or None where it was refused; why stands in self.no then."""
		line = " ".join(str(w) for w in words)
		self.history.append(line)
		self.process.stdin.write(line + "\n")
		self.process.stdin.flush()
		answer = self.process.stdout.readline().split()
		if not answer or answer[0] == "bad" or (answer[0] == "no" and answer[1] in TROUBLE):
			fail("%s\n    %s" % (line, " ".join(answer) or "vdops ended"))
		self.no = " ".join(answer[1:]) if answer[0] == "no" else None
		if self.no:
			self.history[-1] += "   # " + self.no
			return None
		return answer[1:]

	def due(self, *words):
		answer = self.ask(*words)
		if answer is None:
			fail("%s\n    refused: %s" % (" ".join(str(w) for w in words), self.no))
		return answer


class Image:
	def __init__(self, fmt, content, parent=None):
		self.fmt, self.content, self.parent = fmt, bytearray(content), parent
		self.kept = {} # internal snapshots

	def resize(self, size):
		self.content = self.content[:size] + bytearray(max(0, size - len(self.content)))


def beyond(content, size):
	"""So many bytes of it, zeros past its end."""
	return bytes(content[:size]) + bytes(max(0, size - len(content)))


class Wood:
	def __init__(self, fmt, rng):
		self.fmt, self.rng, self.ops = fmt, rng, Ops()
		self.images, self.count = {}, 0
		self.snapshots = set() # files that external snapshots keep
		self.stats = {}

	# ---- looking

	def children(self, path):
		return [p for p, i in self.images.items() if i.parent == path]

	def chain(self, path):
		out = [path]
		while self.images[out[-1]].parent:
			out.append(self.images[out[-1]].parent)
		return out

	def pick(self, wanted=lambda path, image: True):
		found = [p for p, i in self.images.items() if wanted(p, i)]
		return self.rng.choice(sorted(found)) if found else None

	def leaf(self, wanted=lambda image: True):
		return self.pick(lambda p, i: not self.children(p) and wanted(i))

	def name(self, fmt):
		self.count += 1
		return "i%d.%s" % (self.count, fmt)

	def same(self, path, snapshot, due, why):
		piece = self.rng.choice((1 << 30, self.rng.randrange(3000, 200000)))
		size, fmt, parent = self.ops.due("dump", path, snapshot or "-", piece, ".got")
		with open(".got", "rb") as f:
			got = f.read()
		if got != due:
			n = min(len(got), len(due))
			at = next((k for k in range(n) if got[k] != due[k]), n)
			fail("%s: %s%s differs at %d (of %d, due %d): %r, due %r" % (why, path, "@" + snapshot if snapshot else "", at, len(got), len(due),
			                                                          got[at:at + 16], bytes(due[at:at + 16])))
		return fmt, None if parent == "-" else os.path.basename(parent)

	def right(self, why, but=()):
		"""Each image, its internal snapshots, its place."""
		for path, i in sorted(self.images.items()):
			eq((i.fmt, i.parent), self.same(path, None, i.content, why), "%s: format and parent of %s" % (why, path))
			for name, content in i.kept.items():
				self.same(path, name, content, why)

	def sound(self, path, why):
		if self.images[path].fmt != "raw":
			eq(["0", "0"], self.ops.due("check", path), "%s: corruptions and leaks of %s" % (why, path))

	def qemu_right(self, path, why):
		"""QEMU's word, where it can read the chain: not differencing VHDs and VHDXs, and of other VHDs it takes the size from the geometry."""
		i = self.images[path]
		if any(self.images[p].fmt in ("vhd", "vhdx") for p in self.chain(path)):
			return False
		with open(".due", "wb") as f:
			f.write(i.content)
		r = run("qemu-img", "compare", "-f", i.fmt, "-F", "raw", path, ".due")
		check(r.rc == 0, "%s: qemu-img reads another %s\n    %s" % (why, path, r.show()))
		if i.fmt == "qcow2":
			r = run("qemu-img", "check", "-f", "qcow2", path)
			check(r.rc == 0, "%s: qemu-img check %s\n    %s" % (why, path, r.show()))
		return True

	# ---- operations: each gives the images that it touched, or None where it was refused; [] if there was nothing to do it to

	def size_new(self):
		return self.rng.randrange(1, MOST // 512) * 512

	def do_create(self):
		below = self.pick() if self.rng.random() < 0.6 else None
		fmt = self.fmt if self.rng.random() < 0.7 else self.rng.choice(("qcow2", "qcow2", "vmdk", "vhd", "raw"))
		path, size = self.name(fmt), self.size_new()
		if below and self.rng.random() < 0.6:
			size = len(self.images[below].content)
		if self.ops.ask("create", path, fmt, size, below or "-", self.images[below].fmt if below else "-",
		                self.rng.choice(OPTIONS[fmt])) is None:
			return None
		self.images[path] = Image(fmt, beyond(self.images[below].content if below else b"", size), below)
		self.scribble(path, self.rng.randrange(4, 12) if not below else 0)
		return [path]

	def scribble(self, path, pieces):
		"""Through one opening of the image: writes, zeros, discards, and what was written read back."""
		i, ops, rng = self.images[path], self.ops, self.rng
		if ops.ask("open", path, RW | (FORCE if rng.random() < 0.8 else 0)) is None:
			return None
		for _ in range(pieces):
			size = len(i.content)
			length = min(size, rng.choice((1, 512, 4096, rng.randrange(1, 100 * KIB), rng.randrange(1, 100) * 512)))
			off = rng.randrange(0, size - length + 1)
			what = rng.choice(("write", "write", "write", "zero", "discard", "flush", "read"))
			if what == "write":
				value = rng.randrange(1, 256)
				ops.due("write", off, length, value)
				i.content[off:off + length] = bytes([value]) * length
			elif what == "zero":
				ops.due("zero", off, length)
				i.content[off:off + length] = bytes(length)
			elif what == "flush":
				ops.due("flush")
			else:
				if what == "discard":
					ops.due("discard", off, length)
				ops.due("read", off, length, ".got")
				with open(".got", "rb") as f:
					got, was = f.read(), i.content[off:off + length]
				if got != was:
					check(what == "discard" and all(g == w or not g for g, w in zip(got, was)), "%s at %d+%d of %s" % (what, off, length, path))
					i.content[off:off + length] = got
		ops.due("close")
		return [path]

	def do_scribble(self):
		path = self.leaf()
		return self.scribble(path, self.rng.randrange(2, 9)) if path else []

	def do_resize(self):
		path, size = self.leaf(), self.size_new()
		if not path or self.ops.ask("open", path, RW) is None:
			return None
		done = self.ops.ask("resize", size)
		self.ops.due("close")
		if done is None:
			return None
		self.images[path].resize(size)
		return [path]

	def do_keep(self):
		# Other formats have none: they refuse it now and then, and do not keep it from happening.
		path = self.pick(lambda p, i: len(i.kept) < 2 and (i.fmt == "qcow2" or self.rng.random() < 0.05))
		self.count += 1
		if not path or self.ops.ask("keep", path, "k%d" % self.count) is None:
			return None
		self.images[path].kept["k%d" % self.count] = bytes(self.images[path].content)
		return [path]

	def do_back(self):
		path = self.leaf(lambda i: i.kept)
		if not path:
			return []
		name = self.rng.choice(sorted(self.images[path].kept))
		if self.ops.ask("back", path, name) is None:
			return None
		self.images[path].content = bytearray(self.images[path].kept[name])
		return [path]

	def do_drop(self):
		path = self.pick(lambda p, i: i.kept)
		if not path:
			return []
		name = self.rng.choice(sorted(self.images[path].kept))
		if self.ops.ask("drop", path, name) is None:
			return None
		del self.images[path].kept[name]
		return [path]

	def do_layer(self):
		path = self.pick()
		self.count += 1
		answer = self.ops.ask("layer", path, "s%d" % self.count) if path else None
		if answer is None:
			return None
		leaf, i = os.path.basename(answer[0]), self.images[path]
		self.images[leaf] = Image(i.fmt if i.fmt != "raw" else "qcow2", i.content, path)
		self.snapshots.add(path)
		return [path, leaf]

	def snapshots_of(self, path):
		return dict((name, os.path.basename(file)) for name, file in (w.split("=") for w in self.ops.due("tree", path)))

	def do_layer_back(self):
		path = self.leaf(lambda i: i.parent)
		names = self.snapshots_of(path) if path else {}
		if not names:
			return []
		name = self.rng.choice(sorted(names))
		if self.ops.ask("layer-back", path, name) is None:
			return None
		check(names[name] in self.images, "%s came from %s, which is not there" % (path, names[name]))
		below = self.images[names[name]]
		self.images[path] = Image(self.images[path].fmt, below.content, names[name])
		return [path]

	def do_layer_drop(self):
		path = self.leaf(lambda i: i.parent)
		names = self.snapshots_of(path) if path else {}
		if not names:
			return []
		name = self.rng.choice(sorted(names))
		file = names[name]
		over = self.children(file)
		answer = self.ops.ask("layer-drop", path, name)
		if answer is None:
			return None
		self.snapshots.discard(file)
		if answer[0] == "up":
			for p in over:
				self.images[p].parent = self.images[file].parent
			if not os.path.exists(file): # it may have been gone before, with its line in the record left
				self.images.pop(file, None)
			return over
		eq(1, len(over), "images over %s, which it went down into" % file)
		if os.path.exists(file): # the one above has gone, and this one holds what it held
			for p in self.children(over[0]):
				self.images[p].parent = file
			self.images[file].content = self.images[over[0]].content
			if over[0] in self.snapshots:
				self.snapshots.remove(over[0])
				self.snapshots.add(file)
			del self.images[over[0]]
			return [file]
		self.images[over[0]].parent = self.images[file].parent
		del self.images[file]
		return over

	def do_clone(self):
		path = self.pick()
		linked = self.rng.random() < 0.6
		i = self.images[path]
		to = self.name(i.fmt)
		if self.ops.ask("clone", path, to, "linked" if linked else "full") is None:
			return None
		self.images[to] = Image(i.fmt, i.content, path if linked else None)
		return [path, to]

	def do_commit(self):
		path = self.pick(lambda p, i: i.parent)
		if not path:
			return []
		chain = self.chain(path)
		depth = self.rng.choice((1, 1, self.rng.randrange(1, len(chain))))
		to, between = chain[depth], chain[1:depth]
		branches = [k for n in range(1, depth + 1) for k in self.children(chain[n]) if k != chain[n - 1]]
		force = FORCE if not branches and self.rng.random() < 0.7 else 0
		if self.ops.ask("commit", path, to, force) is None:
			return None
		above, below = self.images[path], self.images[to]
		below.content = above.content + below.content[len(above.content):]
		above.parent = to
		for p in between: # they read differently now
			check(not [k for k in branches if self.images[k].parent == p], "%s lost its ground: a commit past %s was not refused" % (branches, p))
			self.forget(p)
		return [path, to]

	def do_rebase(self):
		path = self.pick(lambda p, i: i.fmt != "raw")
		if not path:
			return []
		to = self.pick(lambda p, i: path not in self.chain(p)) if self.rng.random() < 0.85 else None
		if self.ops.ask("rebase", path, to or "-", self.images[to].fmt if to else "-", "safe") is None:
			return None
		self.images[path].parent = to
		return [path]

	def do_rebase_unsafe(self):
		path = self.leaf(lambda i: i.parent and not i.kept)
		to = self.pick(lambda p, i: path and path not in self.chain(p))
		if not to:
			return []
		i = self.images[path]
		if self.ops.ask("rebase", path, to, self.images[to].fmt, "unsafe") is None:
			return None
		i.parent = to
		for r in self.ops.due("absent", path)[1:]:
			off, length = map(int, r.split("+"))
			i.content[off:off + length] = beyond(self.images[to].content[off:off + length], length)
		return [path]

	def do_flatten(self):
		path = self.pick(lambda p, i: i.parent)
		if not path:
			return []
		if self.ops.ask("flatten", path) is None:
			return None
		self.images[path].parent = None
		return [path]

	def forget(self, path):
		os.unlink(path)
		self.snapshots.discard(path)
		del self.images[path]

	def do_delete(self):
		path = self.pick(lambda p, i: not self.children(p) and p not in self.snapshots)
		if not path or len(self.images) < 3:
			return []
		self.forget(path)
		return [path]

	# ---- a step

	def step(self, n):
		kinds = [k[3:] for k in dir(self) if k.startswith("do_")]
		what = "delete" if len(self.images) >= IMAGES else self.rng.choice(kinds + ["create", "scribble", "scribble"])
		if len(self.images) < 2:
			what = "create"
		self.ops.history.append("# step %d: %s" % (n, what))
		touched = getattr(self, "do_" + what)()
		done = self.stats.setdefault(what, [0, 0])
		done[0] += bool(touched)
		done[1] += touched is None
		why = "step %d, %s" % (n, what)
		self.right(why)
		for p in touched or ():
			if p in self.images:
				self.sound(p, why)
		if n % QEMU_EVERY == 0:
			some = [p for p in touched or () if p in self.images] or sorted(self.images)
			self.qemu_right(self.rng.choice(some), why)


def model(fmt):
	need("qemu-img")
	wood = Wood(fmt, rng_for("chain model " + fmt))
	try:
		for n in range(1, STEPS + 1):
			wood.step(n)
	except Exception:
		with open("history", "w") as f:
			f.write("\n".join(wood.ops.history) + "\n")
		print("    the last lines to vdops:\n\t" + "\n\t".join(wood.ops.history[-40:]))
		raise
	print("    done/refused: " + ", ".join("%s %d/%d" % (k, *v) for k, v in sorted(wood.stats.items())))
	if STEPS > 1000:
		for what, (done, _) in wood.stats.items():
			check(done, "in %d steps no %s went through" % (STEPS, what))
	wood.ops.process.stdin.close()
	eq(0, wood.ops.process.wait(60), "exit status of vdops")


for fmt in ("qcow2", "vmdk", "vhd", *(["vhdx"] if ALL else [])):
	add("model, " + fmt, model, fmt)


if __name__ == "__main__":
	main()

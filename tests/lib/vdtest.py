# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the end-to-end and interoperability tests share.

A test file registers cases with @case or add(), and ends with main().  Each case runs in a fresh folder; all cases run even
when one fails; the exit status is 0 (all passed), 1 (one failed) or 77 (every case was skipped).  Arguments are substrings of the
names of the cases to run.

Environment: VDISK (the program under test), VDISK_BUILD, VDISK_SOURCE, VDISK_FIXTURES (foreign images; may be missing),
VDISK_ALL=1 (the long tier), VDISK_SEED, VDISK_ITERATIONS, VDISK_KEEP=1 (leave the folders of failed cases)."""
import contextlib, errno, hashlib, json, os, random, resource, shutil, signal, subprocess, sys, tempfile, threading, time, traceback

VDISK = os.environ.get("VDISK", "vdisk")
BUILD = os.environ.get("VDISK_BUILD", os.path.dirname(os.path.abspath(VDISK)))
SOURCE = os.environ.get("VDISK_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FIXTURES = os.environ.get("VDISK_FIXTURES", "")
ALL = os.environ.get("VDISK_ALL", "") not in ("", "0")
SEED = int(os.environ.get("VDISK_SEED") or random.SystemRandom().randrange(1 << 32))
ITERATIONS = int(os.environ.get("VDISK_ITERATIONS") or 0)
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Failed(Exception):
	pass


class Skipped(Exception):
	pass


def fail(text):
	raise Failed(text)


def skip(why):
	raise Skipped(why)


def eq(expected, actual, what):
	if expected != actual:
		raise Failed("%s\n    expected: %r\n    actual:   %r" % (what, expected, actual))


def check(truth, what):
	if not truth:
		raise Failed(what)


# ---------------------------------------------------------------- running programs

class Result:
	"""`seconds` went by, `cpu` of them at work: bounds are on the second, which a busy machine does not change."""
	def __init__(self, argv, rc, out, err, seconds, cpu, rss):
		self.argv, self.rc, self.raw, self.err_raw, self.seconds, self.cpu, self.rss = argv, rc, out, err, seconds, cpu, rss

	@property
	def out(self):
		return self.raw.decode("utf-8", "replace")

	@property
	def err(self):
		return self.err_raw.decode("utf-8", "replace")

	def json(self):
		try:
			return json.loads(self.out)
		except ValueError as e:
			fail("%s: not JSON (%s): %.300r" % (self, e, self.out))

	def __str__(self):
		return " ".join(quote(a) for a in self.argv)

	def show(self):
		return "$ %s\n    exit status: %s\n    stdout: %.600s\n    stderr: %.1500s" % (self, self.rc, self.out, self.err)


def quote(word):
	import shlex
	return shlex.quote(str(word))


def run(*argv, stdin=None, stdout=None, env=None, timeout=120, cwd=None, preexec=None):
	"""Runs a program to its end.  stdin: bytes, an open file, or None (empty); stdout: an open file, or None (captured). Its
	peak memory comes from wait4; what this process itself takes is the floor of that figure."""
	argv = [str(a) for a in argv]
	full_env = dict(os.environ, LC_ALL="C.UTF-8")
	for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"): # a finding must not look like the answer no
		full_env[name] = full_env.get(name, "") + ":exitcode=99"
	full_env.update(env or {})
	with contextlib.ExitStack() as stack:
		out = stack.enter_context(tempfile.TemporaryFile())
		err = stack.enter_context(tempfile.TemporaryFile())
		inp = subprocess.DEVNULL
		if isinstance(stdin, bytes):
			inp = stack.enter_context(tempfile.TemporaryFile())
			inp.write(stdin)
			inp.seek(0)
		elif stdin is not None:
			inp = stdin
		begin = time.monotonic()
		p = subprocess.Popen(argv, stdin=inp, stdout=out if stdout is None else stdout, stderr=err, env=full_env, cwd=cwd,
		                     preexec_fn=preexec)
		timed_out = []

		def stop():
			timed_out.append(True)
			p.send_signal(signal.SIGKILL)
		timer = threading.Timer(timeout, stop)
		timer.start()
		try:
			_, status, usage = os.wait4(p.pid, 0)
			p.returncode = os.waitstatus_to_exitcode(status)
		finally:
			timer.cancel()
		seconds = time.monotonic() - begin
		out.seek(0)
		err.seek(0)
		result = Result(argv, p.returncode, out.read(), err.read(), seconds, usage.ru_utime + usage.ru_stime,
		                usage.ru_maxrss * 1024)
	if timed_out:
		fail("no end after %s seconds: %s" % (timeout, result))
	return result


def ran(*argv, rc=0, **kw):
	"""run(), with the exit status that is due."""
	r = run(*argv, **kw)
	if r.rc != rc:
		fail("exit status %s is due\n    %s" % (rc, r.show()))
	return r


def vdisk(*args, rc=0, **kw):
	return ran(VDISK, *args, rc=rc, **kw)


def qemu_img(*args, rc=0, **kw):
	"""For LUKS it takes the time of some hashes by a clock that counts ticks, and gives up where none has passed: once more, then."""
	for _ in range(20):
		r = run("qemu-img", *args, **kw)
		if "Unable to get accurate CPU usage" not in r.err:
			break
	if r.rc != rc:
		fail("exit status %s is due\n    %s" % (rc, r.show()))
	return r


def qemu_io(path, fmt, *commands, opts=(), timeout=120):
	"""Performs commands through qemu-io; any failed one is a failure."""
	text = "".join(c + "\n" for c in commands) + "quit\n"
	args = list(opts) if opts else ["-f", fmt, path]
	r = ran("qemu-io", *args, stdin=text.encode(), timeout=timeout)
	for line in r.out.splitlines():
		if "failed" in line or "invalid" in line.lower() or "rror" in line:
			fail("qemu-io: %s\n    %s" % (line, r))
	return r


VDIO = os.path.join(BUILD, "tests", "vdio") # tests/tools/vdio.c


def need_vdio():
	if not os.path.exists(VDIO):
		if "VDISK_BUILD" in os.environ:
			fail("the build has no %s" % VDIO)
		skip("no %s: set VDISK_BUILD" % VDIO)


def need(*programs):
	for p in programs:
		if not shutil.which(p):
			skip("%s is not installed" % p)


_sanitized = None


def sanitized():
	"""Is the program built with a sanitizer, whose shadow makes memory figures meaningless?"""
	global _sanitized
	if _sanitized is None:
		with open(VDISK, "rb") as f:
			b = f.read()
		_sanitized = b"__asan_init" in b or b"__tsan_init" in b
	return _sanitized


def tree(folder):
	"""Every path below a folder with what identifies its content: to see that nothing was written."""
	found = {}
	for base, folders, files in os.walk(folder):
		for name in folders:
			path = os.path.join(base, name)
			found[os.path.relpath(path, folder) + "/"] = None
		for name in files:
			path = os.path.join(base, name)
			st = os.lstat(path)
			found[os.path.relpath(path, folder)] = (st.st_mode, st.st_size, st.st_mtime_ns, st.st_ino)
	return found


def one_line(r):
	eq(1, len(r.err.splitlines()), "lines on stderr of %s\n    stderr: %.1500s" % (r, r.err))
	check(r.err.endswith("\n"), "stderr does not end its line: %s: %r" % (r, r.err))
	check(all(c >= " " for c in r.err[:-1]), "control characters on stderr: %r" % r.err)


def refused(*args, within=None, folder=None, mentions=(), lines=1, seconds=10, memory=256 * MIB, **kw):
	"""vdisk says no: exit status 2, one line on stderr, nothing on stdout, nothing changed in `folder` (default: where it
	runs), in bounded time and memory.  `mentions`: words that the message must hold."""
	folder = folder or os.getcwd()
	before = tree(folder)
	r = run(VDISK, *args, **kw)
	if r.rc != 2:
		fail("a refusal (exit status 2) is due\n    %s" % r.show())
	if lines == 1:
		one_line(r)
	eq("", r.out[:200], "stdout of the refusal %s" % r)
	after = tree(folder)
	if before != after:
		changed = {k: (before.get(k), after.get(k)) for k in set(before) | set(after) if before.get(k, 0) != after.get(k,
		                                                                                                               0)}
		fail("the refusal changed files: %s\n    (before, after): %r" % (r.show(), changed))
	for m in ([mentions] if isinstance(mentions, str) else mentions):
		check(m.lower() in r.err.lower(), "the refusal does not mention %r\n    %s" % (m, r.show()))
	check(r.cpu < seconds * (10 if sanitized() else 1), "refused only after %.1f s of work: %s" % (r.cpu, r))
	if not sanitized():
		# A child begins as a copy of this process, and what that had is measured as its own.
		ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
		check(r.rss < memory or r.rss <= ours, "refused with %.0f MiB of memory (bound %d): %s" % (r.rss / MIB, memory // MIB, r))
	return r


# ---------------------------------------------------------------- contents

def sha256(path, offset=0, length=None):
	h = hashlib.sha256()
	with open(path, "rb") as f:
		f.seek(offset)
		left = length if length is not None else 1 << 62
		while left > 0:
			b = f.read(min(MIB, left))
			if not b:
				break
			h.update(b)
			left -= len(b)
	return h.hexdigest()


def first_difference(a, b):
	with open(a, "rb") as fa, open(b, "rb") as fb:
		off = 0
		while True:
			x, y = fa.read(MIB), fb.read(MIB)
			if x != y:
				n = min(len(x), len(y))
				for i in range(n):
					if x[i] != y[i]:
						return off + i
				return off + n
			if not x:
				return None
			off += len(x)


def same_bytes(a, b, what="contents"):
	d = first_difference(a, b)
	if d is not None:
		fail("%s: %s (%d bytes) and %s (%d bytes) differ first at offset %d" %
		     (what, a, os.path.getsize(a), b, os.path.getsize(b), d))


def write_file(path, data, at=0):
	with open(path, "r+b" if os.path.exists(path) else "w+b") as f:
		f.seek(at)
		f.write(data)


def make_raw(path, rng, size, pieces=40, longest=300 * KIB):
	"""A sparse file with random bytes, text that packs well, written zeros, single bytes and holes, at any alignment."""
	with open(path, "wb") as f:
		f.truncate(size)
		for i in range(pieces):
			if not size:
				break
			length = min(size, rng.choice((1, 511, 512, 4096, rng.randrange(1, longest + 1), rng.randrange(1, 65537))))
			off = rng.randrange(0, size - length + 1)
			if rng.random() < 0.5:
				off &= ~rng.choice((511, 4095, 65535))
			kind = rng.random()
			if kind < 0.45:
				data = rng.randbytes(length)
			elif kind < 0.7:
				word = rng.randbytes(rng.randrange(1, 64))
				data = (word * (length // len(word) + 1))[:length]
			elif kind < 0.85:
				data = bytes([rng.randrange(1, 256)]) * length
			else:
				data = bytes(length)
			f.seek(off)
			f.write(data)
		# The first and the last byte matter most.
		if size and rng.random() < 0.8:
			f.seek(0)
			f.write(rng.randbytes(min(size, 513)))
			f.seek(max(0, size - 513))
			f.write(rng.randbytes(min(size, 513)))
	return path


def make_text_base(path, size=64 * MIB, filled=64 * KIB):
	"""The base of the hostile recipes: zeros with its first 64 KiB filled with `A`."""
	with open(path, "wb") as f:
		f.write(b"A" * filled)
		f.truncate(size)
	return path


def virtual_size(path, fmt=None):
	args = ["info", "--output=json"] + (["-f", fmt] if fmt else []) + [path]
	return qemu_img(*args).json()["virtual-size"]


def padded(path, to):
	"""A copy of a raw file, with zeros up to a multiple of `to`."""
	out = path + ".padded"
	ran("cp", "--sparse=always", path, out)
	os.truncate(out, -(-os.path.getsize(path) // to) * to)
	return out


def same_as_raw(raw, image, fmt, opts=None):
	"""qemu-img finds in `image` the bytes and the size of `raw`."""
	if opts:
		eq(os.path.getsize(raw), qemu_img("info", "--output=json", "--image-opts", opts).json()["virtual-size"],
		   "virtual size of %s, says qemu-img" % image)
		back = image + ".back"
		qemu_img("convert", "--image-opts", opts, "-O", "raw", back)
		same_bytes(raw, back, "%s read by qemu-img" % image)
		os.unlink(back)
		return
	eq(os.path.getsize(raw), virtual_size(image, fmt), "virtual size of %s, says qemu-img" % image)
	r = run("qemu-img", "compare", "-f", "raw", "-F", fmt, raw, image)
	if r.rc:
		fail("qemu-img sees another content\n    %s" % r.show())


def qemu_check(path, fmt):
	r = run("qemu-img", "check", "-f", fmt, path)
	if r.rc:
		fail("qemu-img check is not clean\n    %s" % r.show())


@contextlib.contextmanager
def mounted(kind, image, folder):
	"""An image through libyal's FUSE programs: yields the path of the flat file, or skips the case where they cannot work."""
	tool, name = {"vmdk": ("vmdkmount", "vmdk1"), "vhd": ("vhdimount", "vhdi1"), "qcow2": ("qcowmount", "qcow1")}[kind]
	need(tool)
	if not os.path.exists("/dev/fuse") or os.geteuid() != 0:
		skip("FUSE does not work here")
	os.makedirs(folder, exist_ok=True)
	r = run(tool, image, folder)
	flat = os.path.join(folder, name)
	try:
		if r.rc or not os.path.exists(flat):
			fail("%s cannot open it\n    %s" % (tool, r.show()))
		yield flat
	finally:
		if os.path.ismount(folder):
			run("umount", folder)


def libyal_agrees(kind, image, raw, folder):
	with mounted(kind, image, folder) as flat:
		eq(os.path.getsize(raw), os.path.getsize(flat), "virtual size of %s, says libyal" % image)
		same_bytes(raw, flat, "%s read by libyal" % image)


# ---------------------------------------------------------------- fixtures

def fixtures(*formats):
	"""The rows of MANIFEST.tsv, as dicts; skips where there is none."""
	manifest = os.path.join(FIXTURES, "MANIFEST.tsv")
	if not FIXTURES or not os.path.exists(manifest):
		skip("no fixtures: VDISK_FIXTURES names no folder with a MANIFEST.tsv")
	with open(manifest) as f:
		names = f.readline().rstrip("\n").split("\t")
		rows = [dict(zip(names, line.rstrip("\n").split("\t"))) for line in f]
	return [r for r in rows if not formats or r["format"] in formats]


def unpack(row, folder):
	"""Copies a fixture with what lies beside it (its extents and parents), expanded; its path."""
	src = os.path.join(FIXTURES, row["file"])
	beside = os.path.dirname(row["file"]).count("/") >= 1 # a folder of its own
	for path in ([os.path.join(os.path.dirname(src),
	                           n) for n in sorted(os.listdir(os.path.dirname(src)))] if beside else [src]):
		name = os.path.basename(path)
		if name.endswith(".zst"):
			need("zstd")
			ran("zstd", "-q", "-d", "--long=27", "--sparse", path, "-o", os.path.join(folder, name[:-4]))
		else:
			shutil.copy(path, os.path.join(folder, name))
			os.chmod(os.path.join(folder, name), 0o644)
	name = os.path.basename(src)
	return os.path.join(folder, name[:-4] if name.endswith(".zst") else name)


# ---------------------------------------------------------------- cases

_cases = []


def case(fn):
	_cases.append((fn.__name__, fn, ()))
	return fn


def add(name, fn, *args):
	_cases.append((name, fn, args))


def rng_for(name):
	"""A generator of its own for each case, so that one case alone repeats."""
	return random.Random("%d/%s" % (SEED, name))


def main():
	wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
	names = [name for name, _, _ in _cases]
	if not os.path.exists(VDISK) and not shutil.which(VDISK):
		print("SKIP: no program under test: set VDISK")
		sys.exit(77)
	print("seed: VDISK_SEED=%d" % SEED, flush=True)
	counts = {"ok": 0, "FAIL": 0, "SKIP": 0}
	failed = []
	home = os.getcwd()
	for name, fn, args in _cases:
		if wanted and not any(w == name if w in names else w in name for w in wanted): # parts of names, where none is the whole of one
			continue
		folder = tempfile.mkdtemp(prefix="vdtest.")
		os.chdir(folder)
		begin = time.monotonic()
		verdict, text = "ok", ""
		try:
			fn(*args)
		except Skipped as e:
			verdict, text = "SKIP", ": %s" % e
		except Failed as e:
			verdict, text = "FAIL", ": %s" % e
		except Exception:
			verdict, text = "FAIL", ":\n" + traceback.format_exc()
		finally:
			os.chdir(home)
		counts[verdict] += 1
		if verdict == "FAIL":
			failed.append(name)
		print("%-4s %6.2fs %s%s" % (verdict, time.monotonic() - begin, name, text), flush=True)
		if verdict == "FAIL" and os.environ.get("VDISK_KEEP"):
			print("    kept: %s" % folder)
		else:
			shutil.rmtree(folder, ignore_errors=True)
	print("%d passed, %d failed, %d skipped%s" %
	      (counts["ok"], counts["FAIL"], counts["SKIP"], "; failed: " + " ".join(failed) if failed else ""))
	if counts["FAIL"]:
		print("repeat with VDISK_SEED=%d" % SEED)
		sys.exit(1)
	sys.exit(0 if counts["ok"] else 77)

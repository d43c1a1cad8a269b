# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of `vdisk mount` share."""
import ctypes, mmap
from vdtest import *

FORMATS = { # what each format is made with
	"raw": ("-f", "raw"), "qcow2": ("-f", "qcow2"), "qcow2-sub": ("-f", "qcow2", "-o", "extended_l2=on,cluster_size=128k"),
	"vmdk": ("-f", "vmdk"), "vhd": ("-f", "vhd"), "vhd-fixed": ("-f", "vhd", "-o", "subformat=fixed"),
}


def make(fmt, path, size):
	vdisk("create", *FORMATS[fmt], path, str(size))
	return path


def need_fuse():
	if not os.path.exists("/dev/fuse"):
		skip("no /dev/fuse")


@contextlib.contextmanager
def served(*args, at="m", leave=False):
	"""vdisk mount ARGS at `at`; taken away at the end, unless `leave` says that the test did."""
	need_fuse()
	os.makedirs(at, exist_ok=True)
	# What a sanitizer says in the background would be lost otherwise.
	findings = os.path.abspath("sanitizer")
	r = run(VDISK, "mount", *args, at, env={n: os.environ.get(n, "") + ":exitcode=99:log_path=" + findings for n in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")})
	if r.rc:
		fail("does not mount\n    %s" % r.show())
	pid = server_pid(at)
	try:
		yield at
	except BaseException:
		run(VDISK, "unmount", at)
		raise
	if leave:
		check(not os.path.ismount(at), "still mounted")
	else:
		vdisk("unmount", at)
		check(not os.path.ismount(at), "still mounted")
	until("the server of %s is gone" % at, lambda: gone(pid), 60)
	for name in os.listdir("."):
		if name.startswith("sanitizer."):
			fail("the server had an error\n%s" % open(name).read(4000))


def server_pid(at="m"):
	return int(open(at + "/.vdisk/pid").read())


def gone(pid):
	try:
		return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] == "Z"
	except OSError:
		return True


def until(what, truth, seconds=60):
	"""Polls."""
	end = time.monotonic() + seconds
	while not truth():
		if time.monotonic() > end:
			fail("not after %d seconds: %s" % (seconds, what))
		time.sleep(0.02)


def kill_server(at="m", sig=signal.SIGKILL):
	pid = server_pid(at)
	os.kill(pid, sig)
	until("the server of %s is gone" % at, lambda: gone(pid))


def checks_clean(image):
	"""No corruption, and no leak either."""
	if image.endswith(".raw"):
		return
	r = run(VDISK, "check", image)
	check(r.rc == 0 and "leak" not in r.out.replace("no leak", ""), "is not clean\n    %s" % r.show())
	if image.endswith(".qcow2"):
		qemu_check(image, "qcow2")


def checks_but_for_leaks(image):
	if image.endswith(".raw"):
		return
	r = run(VDISK, "check", "--json", image)
	eq(0, r.json()["corruptions"], "corruptions after a kill: %s" % r.show())


@contextlib.contextmanager
def loop(path, *args):
	r = run("losetup", "-f", "--show", *args, path)
	if r.rc:
		skip("no loop device: %s" % r.err.strip())
	dev = r.out.strip()
	try:
		yield dev
	finally:
		ran("losetup", "-d", dev)
		until("%s is free" % dev, lambda: not os.path.exists("/sys/block/%s/loop/backing_file" % os.path.basename(dev)))


@contextlib.contextmanager
def kernel_mount(dev, kind, options="defaults"):
	os.makedirs("k", exist_ok=True)
	r = run("mount", "-t", kind, "-o", options, dev, "k")
	if r.rc:
		skip("the kernel does not mount %s: %s" % (kind, r.err.strip()))
	try:
		yield "k"
	finally:
		ran("umount", "k")


# ---------------------------------------------------------------- against an array

libc = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16

def fallocate(fd, mode, off, length):
	if libc.fallocate(fd, mode, ctypes.c_int64(off), ctypes.c_int64(length)):
		raise OSError(ctypes.get_errno(), "fallocate %d %d+%d" % (mode, off, length))


def pwrite_direct(fd, data, off):
	buf = mmap.mmap(-1, len(data)) # aligned
	buf.write(data)
	os.pwrite(fd, buf, off)
	buf.close()


def worker(path, seed, stripes, model, rounds):
	"""Writes to stripes of its own, each 4 KiB aligned, and keeps what is due there in `model`, which all share.  Exit status 0, or 1 where
	something reads differently."""
	rng = random.Random(seed)
	fd, direct = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR | os.O_DIRECT)
	for i in range(rounds):
		base, length = rng.choice(stripes)
		off = base + rng.randrange(length)
		n = rng.randrange(1, min(length - (off - base), 70000) + 1)
		kind = rng.choice("wwwwdzpprrf")
		if kind == "d":
			off, n = off & ~4095, (n + 4095) & ~4095
			n = min(n, base + length - off)
			data = rng.randbytes(n)
			pwrite_direct(direct, data, off)
			model[off:off + n] = data
		elif kind == "w":
			data = rng.randbytes(n) if rng.random() < 0.8 else bytes(n)
			eq(n, os.pwrite(fd, data, off), "bytes written")
			model[off:off + n] = data
		elif kind == "z":
			fallocate(fd, ZERO_RANGE | rng.choice((0, KEEP_SIZE)), off, n)
			model[off:off + n] = bytes(n)
		elif kind == "p":
			fallocate(fd, PUNCH_HOLE | KEEP_SIZE, off, n)
			model[off:off + n] = bytes(n)
		elif kind == "f":
			os.fsync(fd)
		else:
			got, want = os.pread(rng.choice((fd, fd, direct)) if off % 4096 == 0 and n % 4096 == 0 else fd, n, off), model[off:off + n]
			if got != want:
				at = next(i for i in range(len(want)) if i >= len(got) or got[i] != want[i])
				print("    seed %s, round %d: %d+%d reads differently at %d" % (seed, i, off, n, off + at), flush=True)
				return 1
	os.fsync(fd)
	return 0


def in_processes(jobs):
	"""Runs each of (function, args…) in a process; their exit statuses."""
	pids = []
	for fn, *args in jobs:
		pid = os.fork()
		if not pid:
			status = 99
			try:
				status = fn(*args)
			except BaseException:
				traceback.print_exc()
			finally:
				sys.stdout.flush()
				os._exit(status)
		pids.append(pid)
	return [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids]


def stripes_of(part, parts, size, step=148 * KIB):
	return [(at, min(step, size - at)) for at in range(part * step, size, parts * step)]


def random_writes(path, name, processes=3, rounds=None):
	"""Several processes write to a file at once; returns what is due in it."""
	rng = rng_for(name)
	size = os.stat(path).st_size
	model = mmap.mmap(-1, size)
	with open(path, "rb") as f:
		model.write(f.read())
	rounds = rounds or ITERATIONS or (2000 if ALL else 150)
	seeds = [rng.randrange(1 << 32) for _ in range(processes)]
	eq([0] * processes, in_processes([(worker, path, s, stripes_of(i, processes, size), model, rounds) for i, s in enumerate(seeds)]),
	   "exit statuses of the writers (seeds %s)" % seeds)
	return model

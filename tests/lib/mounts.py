# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of `vdisk mount` share."""
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


def until(what, truth, seconds=20):
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

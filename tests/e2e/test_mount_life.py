#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk mount: how it begins and ends. Signals, idle times, systemd's notification, mount(8)'s helper, handles that come and go."""
import ctypes, os, socket, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from mounts import *


def disk(fmt="qcow2", size=8 * MIB):
	return make(fmt, "disk." + fmt, size)


def by_signal(sig):
	image = disk()
	with served("--rw", image, leave=True):
		data = rng_for("signal").randbytes(3 * MIB)
		write_file("m/disk", data, MIB)
		kill_server(sig=sig)
	eq([], os.listdir("m"), "the folder is plain again")
	qemu_check(image, "qcow2")
	qemu_img("convert", "-f", "qcow2", "-O", "raw", image, "flat.raw")
	with open("flat.raw", "rb") as f:
		f.seek(MIB)
		check(f.read(len(data)) == data, "what was written is in the image")


for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
	add("ends by %s" % s.name, by_signal, s)


@case
def ends_by_a_signal_while_in_use():
	image = disk()
	with served("--rw", image, leave=True):
		f = open("m/disk", "r+b", buffering=0)
		f.write(b"x" * 100000)
		kill_server(sig=signal.SIGTERM)
		with contextlib.suppress(OSError):
			f.read(1)
			f.write(b"y")
			fail("a handle outlives the mount")
		f.close()
	qemu_check(image, "qcow2")
	qemu_img("convert", "-f", "qcow2", "-O", "raw", image, "flat.raw")
	eq(b"x" * 100000, open("flat.raw", "rb").read(100000), "what was written before")


@case
def ends_by_umount():
	image = disk()
	with served("--rw", image, leave=True):
		pid = server_pid()
		write_file("m/disk", b"hello")
		ran("umount", "m")
		until("the server ends", lambda: gone(pid))
	qemu_check(image, "qcow2")
	qemu_img("convert", "-f", "qcow2", "-O", "raw", image, "flat.raw")
	eq(b"hello", open("flat.raw", "rb").read(5), "what was written")


@case
def unmount_waits_for_the_image():
	"""When vdisk unmount returns, nothing holds the image any more."""
	image = disk()
	for i in range(10):
		with served("--rw", image):
			write_file("m/disk", rng_for(i).randbytes(MIB), i * MIB // 2)
		vdisk("info", image)
		qemu_check(image, "qcow2")


@case
def unmount_while_in_use():
	with served(disk()):
		with open("m/disk", "rb"):
			r = run(VDISK, "unmount", "m")
			check(r.rc == 2 and "busy" in r.err, "unmounts what is in use: %s" % r.show())
			one_line(r)
		eq(8 * MIB, os.stat("m/disk").st_size, "size, still served")


@case
def unmount_after_a_kill_in_use():
	with served("--rw", disk(), leave=True):
		f = open("m/disk", "r+b", buffering=0)
		kill_server()
		f.close()
		check(run("ls", "m").rc, "the mount point of a dead server answers")
		vdisk("unmount", "m")
	eq([], os.listdir("m"), "the folder is plain again")


@case
def idle():
	with served("--idle-timeout", "3", disk(), leave=True):
		pid = server_pid()
		with open("m/disk", "rb") as f: # a handle keeps it
			time.sleep(3.6)
			eq(8 * MIB, len(f.read()), "bytes, still served")
		until("it goes when idle", lambda: not os.path.ismount("m") and gone(pid))
	for bad in ("0", "-1", "x", "", "1.5", "99999999999999999999"):
		refused("mount", "--idle-timeout", bad, "disk.qcow2", "m", mentions=("--idle-timeout",))


@case
def threads_flush_for_others():
	"""All threads are marked as flushers of others' I/O (PF_MEMALLOC_NOIO), so that a loop device over the mount cannot wait for itself."""
	def may_be():
		return ctypes.CDLL(None).prctl(57, 1, 0, 0, 0) == 0 # PR_SET_IO_FLUSHER, for this test alone
	pid = os.fork()
	if not pid:
		os._exit(0 if may_be() else 1)
	if os.waitpid(pid, 0)[1]:
		skip("there is no CAP_SYS_RESOURCE here")
	with served("--rw", disk()):
		pid = server_pid()
		jobs = [threading.Thread(target=lambda: open("m/disk", "rb").read()) for _ in range(8)]
		[t.start() for t in jobs]
		[t.join() for t in jobs]
		for task in os.listdir("/proc/%d/task" % pid):
			flags = int(open("/proc/%d/task/%s/stat" % (pid, task)).read().rsplit(")", 1)[1].split()[6])
			check(flags & 0x00080000, "flags of thread %s: %#x" % (task, flags))


@case
def tells_systemd():
	image = disk()
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind("notify")
	s.settimeout(120)
	need_fuse()
	os.makedirs("m")
	p = subprocess.Popen([VDISK, "mount", "-f", image, "m"], env=dict(os.environ, NOTIFY_SOCKET=os.path.abspath("notify")))
	try:
		lines = s.recv(4096).decode().split("\n")
		check("READY=1" in lines and "MAINPID=%d" % p.pid in lines, "the first message: %r" % lines)
		eq(8 * MIB, os.stat("m/disk").st_size, "size, as soon as it is ready")
		p.send_signal(signal.SIGTERM)
		eq("STOPPING=1", s.recv(4096).decode(), "the last message")
		eq(0, p.wait(20), "exit status in the foreground")
	finally:
		p.kill()
		p.wait()
		run("umount", "-l", "m") if os.path.ismount("m") else None


@case
def for_an_fstab_line():
	need_fuse()
	image = disk()
	os.makedirs("m")
	os.makedirs("sbin")
	os.symlink(os.path.join(BUILD, "vdisk-mount"), "sbin/mount.fuse.vdisk")
	helper = os.path.abspath("sbin/mount.fuse.vdisk")

	def words(*args):
		return run(helper, os.path.abspath(image), os.path.abspath("m"), *args)
	r = words("-o", "rw,nosuid,noauto,x-systemd.automount,format=qcow2,allow_other,idle_timeout=600") # "rw" is what mount always says
	eq(0, r.rc, r.show())
	check(not os.access("m/disk", os.W_OK) or os.statvfs("m").f_flag & os.ST_RDONLY, "is writable without being asked to")
	vdisk("unmount", "m")
	eq(0, words("-s", "-n", "-o", "rw,writable").rc, "writable")
	write_file("m/disk", b"hello")
	vdisk("unmount", "m")
	eq(0, words("-o", "rw,overlay=" + os.path.abspath("over.qcow2")).rc, "overlay")
	eq(b"hello", open("m/disk", "rb").read(5), "what was written")
	vdisk("unmount", "m")
	eq(0, words("-f", "-o", "ro").rc, "only tried")
	check(not os.path.ismount("m"), "mounted though it was only tried")
	for bad in ("nonsense", "writable,overlay=tmp", "idle_timeout=x", "size=4"):
		r = words("-o", bad)
		eq(2, r.rc, "-o %s: %s" % (bad, r.show()))
		one_line(r)
	# By mount(8) itself, where the helper can be put in its place for a moment.
	place = "/sbin/mount.fuse.vdisk"
	if os.geteuid() or os.path.lexists(place):
		return
	os.symlink(os.path.join(BUILD, "vdisk-mount"), place)
	try:
		write_file("fstab", b"%s %s fuse.vdisk noauto,format=qcow2 0 0\n" % (os.path.abspath(image).encode(), os.path.abspath("m").encode()))
		ran("mount", "-T", "fstab", os.path.abspath("m"))
		eq(b"hello", open("m/disk", "rb").read(5), "through mount(8)")
		vdisk("unmount", "m")
	finally:
		os.unlink(place)


@case
def opens_and_closes():
	"""1,000 of them in parallel with reads: nothing stays open in the server, and it does not grow."""
	image = disk()
	qemu_io(image, "qcow2", "write -P 9 0 8M")
	wrong = []

	def opener(n):
		for _ in range(n):
			with open("m/disk", "rb", buffering=0) as f:
				if f.read(10) != b"\t" * 10:
					wrong.append("open")

	def reader(stop):
		with open("m/disk", "rb", buffering=0) as f:
			while not stop.is_set():
				if set(os.pread(f.fileno(), 65536, random.randrange(7 * MIB))) != {9}:
					wrong.append("read")
	with served(image):
		pid = server_pid()
		opener(20)
		before = len(os.listdir("/proc/%d/fd" % pid))
		stop = threading.Event()
		readers = [threading.Thread(target=reader, args=(stop,)) for _ in range(3)]
		openers = [threading.Thread(target=opener, args=(125,)) for _ in range(8)]
		[t.start() for t in readers + openers]
		[t.join() for t in openers]
		stop.set()
		[t.join() for t in readers]
		eq([], wrong[:10], "wrong bytes")
		# FUSE's threads have a descriptor each, and there are at most ten.
		check(len(os.listdir("/proc/%d/fd" % pid)) <= before + 10, "descriptors before %d, after %d" % (before, len(os.listdir("/proc/%d/fd" % pid))))


@case
def others_may_look_only():
	if os.geteuid():
		skip("not root")
	image = disk()
	os.chmod(".", 0o755)
	with served("--rw", "--allow-other", image):
		def as_nobody():
			os.setgid(65534)
			os.setuid(65534)
		ran("head", "-c1", "m/disk", preexec=as_nobody)
		r = run("dd", "if=/dev/zero", "of=m/disk", "bs=512", "count=1", "conv=notrunc", preexec=as_nobody)
		check(r.rc and "Permission denied" in r.err, "others may write: %s" % r.show())
	with served(image):
		check(run("head", "-c1", "m/disk", preexec=as_nobody).rc, "others look though they were not let in")


@case
def by_a_user():
	"""Without root, through fusermount3; where that refuses, no half layer stays behind."""
	if os.geteuid():
		skip("not root: the other cases say it")
	need("fusermount3")
	image = disk()
	os.makedirs("m")
	os.makedirs("roots")
	for path in (".", "m", image):
		os.chown(path, 65534, 65534)

	def as_nobody():
		os.setgroups([])
		os.setgid(65534)
		os.setuid(65534)
	if run(VDISK, "--version", preexec=as_nobody).rc:
		skip("the program is out of a user's reach")
	r = run(VDISK, "mount", "--overlay", "over.qcow2", image, "roots", preexec=as_nobody)
	eq(2, r.rc, "mounting on root's folder: %s" % r.show())
	check(not os.path.exists("over.qcow2"), "a layer was left behind")
	ran(VDISK, "mount", "--rw", image, "m", preexec=as_nobody)
	ran("dd", "if=/dev/urandom", "of=m/disk", "bs=64k", "count=9", preexec=as_nobody)
	ran(VDISK, "unmount", "m", preexec=as_nobody)
	qemu_check(image, "qcow2")
	for how in ("idle", "signal"):
		ran(VDISK, "mount", *(("--idle-timeout", "3") if how == "idle" else ()), image, "m", preexec=as_nobody)
		pid = int(ran("cat", "m/.vdisk/pid", preexec=as_nobody).out)
		if how == "signal":
			os.kill(pid, signal.SIGTERM)
		until("the mount ends by " + how, lambda: not os.path.ismount("m") and gone(pid))


@case
def malformed():
	"""One line, quickly, and nothing mounted: images that are hurt at random."""
	rng = rng_for("malformed")
	os.makedirs("m")
	for fmt in ("qcow2", "vmdk", "vhd"):
		make_raw("x.raw", rng, 2 * MIB) if not os.path.exists("x.raw") else None
		vdisk("convert", "-O", fmt, "x.raw", "good." + fmt)
		good = open("good." + fmt, "rb").read()
		for turn in range(200 if ALL else 15):
			bad = bytearray(good[:rng.choice((len(good), len(good), rng.randrange(len(good))))])
			for _ in range(rng.randrange(1, 6)):
				if bad:
					bad[rng.randrange(min(len(bad), 2048))] = rng.randrange(256)
			write_file("bad." + fmt, bytes(bad))
			os.truncate("bad." + fmt, len(bad))
			r = run(VDISK, "mount", "--rw", "bad." + fmt, "m", timeout=120)
			if r.rc == 0:
				with contextlib.suppress(OSError):
					open("m/disk", "rb").read(MIB)
				vdisk("unmount", "m") if os.path.ismount("m") else fail("says it mounted")
			else:
				eq(2, r.rc, "exit status: %s" % r.show())
				eq(1, len([l for l in r.err.splitlines() if ": warning: " not in l]), "lines of %s" % r.show())
			check(not os.path.ismount("m"), "still mounted")


main()

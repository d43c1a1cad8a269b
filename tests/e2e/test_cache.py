#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""convert --cache: what a conversion leaves in the host's page cache, asked of mincore(2)."""
import ctypes, mmap, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
SIZE = 144 * MIB


def cached(path, off=0, length=None):
	length = os.path.getsize(path) - off if length is None else length
	fd = os.open(path, os.O_RDONLY)
	at = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, fd, off)
	vec = (ctypes.c_ubyte * (-(-length // mmap.PAGESIZE)))()
	eq(0, libc.mincore(ctypes.c_void_p(at), ctypes.c_size_t(length), vec), "mincore")
	libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(length))
	os.close(fd)
	return sum(v & 1 for v in vec) * mmap.PAGESIZE


def cool(path):
	fd = os.open(path, os.O_RDONLY)
	os.fsync(fd)
	os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
	os.close(fd)


def warm(path, off, length):
	fd = os.open(path, os.O_RDONLY)
	os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
	for at in range(off, off + length, MIB):
		os.pread(fd, MIB, at)
	os.close(fd)


def spared(fmt, words):
	"""Converts half of a file in the cache.  Returns what of it is not as it was; "": nothing."""
	hot = (64 * MIB, 48 * MIB)
	cool("src.raw")
	warm("src.raw", *hot)
	before, was = cached("src.raw"), cached("src.raw", *hot)
	vdisk("convert", "--cache", "spare", *words, "src.raw", "dst." + fmt)
	still, source, destination = cached("src.raw", *hot), cached("src.raw"), cached("dst." + fmt)
	vdisk("compare", "src.raw", "dst." + fmt)
	os.unlink("dst." + fmt)
	if still < was * 3 // 4:
		return "of %d bytes that were cached, %d still are (%s)" % (was, still, fmt)
	if source > before + 4 * MIB:
		return "the source has %d bytes cached, had %d (%s)" % (source, before, fmt)
	return "the destination has %d bytes cached (%s)" % (destination, fmt) if destination > 4 * MIB else ""


@case
def what_is_left():
	block = rng_for("cache").randbytes(MIB)
	with open("src.raw", "wb") as f:
		for i in range(SIZE // MIB):
			f.write(block[i * 4099:] + block[:i * 4099])
	cool("src.raw")
	if cached("src.raw"):
		skip("the file system's cache cannot be dropped")
	for fmt, words in (("raw", ["--no-reflink"]), ("qcow2", ["--verify"])):
		# The kernel takes and keeps pages as it likes; one that always does so where a conversion asks for something else is none.
		for _ in range(5):
			wrong = spared(fmt, words)
			if not wrong:
				break
			print("    once more: " + wrong)
		check(not wrong, wrong)
	# Small ones are not sent to the disk and back.
	for mode in ("keep", "auto"):
		vdisk("convert", "--cache", mode, "--no-reflink", "src.raw", "dst.raw")
		check(cached("dst.raw") > SIZE // 2, "--cache %s leaves %d bytes cached" % (mode, cached("dst.raw")))
		os.unlink("dst.raw")


main()

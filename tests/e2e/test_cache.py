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


@case
def what_is_left():
	block = rng_for("cache").randbytes(MIB)
	with open("src.raw", "wb") as f:
		for i in range(SIZE // MIB):
			f.write(block[i * 4099:] + block[:i * 4099])
	cool("src.raw")
	if cached("src.raw"):
		skip("the file system's cache cannot be dropped")
	hot = (64 * MIB, 48 * MIB)
	for fmt, words in (("raw", ["--no-reflink"]), ("qcow2", ["--verify"])):
		cool("src.raw")
		warm("src.raw", *hot)
		before, was = cached("src.raw"), cached("src.raw", *hot)
		vdisk("convert", "--cache", "spare", *words, "src.raw", "dst." + fmt)
		# The kernel may take pages for itself at any time, by whole folios; a conversion that spares nothing leaves none of them.
		check(cached("src.raw", *hot) >= was * 3 // 4, "of %d bytes that were cached, %d still are (%s)" % (was, cached("src.raw", *hot), fmt))
		check(cached("src.raw") <= before + 4 * MIB, "the source has %d bytes cached, had %d (%s)" % (cached("src.raw"), before, fmt))
		check(cached("dst." + fmt) <= 4 * MIB, "the destination has %d bytes cached (%s)" % (cached("dst." + fmt), fmt))
		vdisk("compare", "src.raw", "dst." + fmt)
		os.unlink("dst." + fmt)
	# Small ones are not sent to the disk and back.
	for mode in ("keep", "auto"):
		vdisk("convert", "--cache", mode, "--no-reflink", "src.raw", "dst.raw")
		check(cached("dst.raw") > SIZE // 2, "--cache %s leaves %d bytes cached" % (mode, cached("dst.raw")))
		os.unlink("dst.raw")


main()

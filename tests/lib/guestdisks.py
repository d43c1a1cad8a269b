# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks with partitions and file systems of a guest, for the tests that look at its files."""
from vdtest import *

SECTOR = 512


@contextlib.contextmanager
def looped(path):
	"""Mounted by this machine's kernel, below loop/."""
	os.makedirs("loop", exist_ok=True)
	r = run("mount", "-o", "loop", path, "loop")
	if r.rc:
		skip("no loop mounts here: " + r.err.strip())
	try:
		yield
	finally:
		ran("umount", "loop")


def make_disk(path, *parts, label="gpt", types=()):
	"""A partitioned disk of those files, of those types (none said: sfdisk's own); None: 2 MiB of nothing."""
	need("sfdisk")
	at, lines, places = 2048, ["label: " + label], []
	for i, p in enumerate(parts):
		n = os.path.getsize(p) // SECTOR if p else 4096
		lines.append("start=%d,size=%d%s" % (at, n, ",type=" + types[i] if i < len(types) and types[i] else ""))
		places.append((p, at))
		at += -(-n // 2048) * 2048
	with open(path, "wb") as f:
		f.truncate((at + 2048) * SECTOR)
	ran("sfdisk", "-q", path, stdin="\n".join(lines).encode() + b"\n")
	for p, start in places:
		if p:
			ran("dd", "if=" + p, "of=" + path, "bs=1M", "seek=%d" % (start * SECTOR // MIB), "conv=notrunc,sparse", "status=none")
	return path

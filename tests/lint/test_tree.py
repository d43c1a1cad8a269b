# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tree itself: SPDX lines, no machine's paths, no leftovers."""
import os
import re
import subprocess
import sys

SOURCE = os.environ.get("VDISK_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPDX = "SPDX-License-Identifier: LGPL-2.1-or-later"
NEEDS_SPDX = re.compile(r"(\.(c|h|py|sh|cmake)|CMakeLists\.txt|\.def)$")
PATHS = re.compile(r"(?<![\w.$}/])/(work|root|home/\w+|tmp/build-)\b(?!\w)")
LEFTOVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")


def tracked():
	out = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z"], capture_output=True)
	if out.returncode:
		print("not a git work tree: skipped")
		sys.exit(77)
	return [name.decode() for name in out.stdout.split(b"\0") if name]


def judge(name):
	path = os.path.join(SOURCE, name)
	if not os.path.isfile(path) or os.path.islink(path):
		return
	with open(path, "rb") as f:
		data = f.read()
	if b"\0" in data[:4096]:
		if len(data) > 256 << 10:
			yield 0, "binary file of %d bytes" % len(data)
		return
	if name.startswith(("tests/fuzz/corpus/", "tests/runner/transcripts/")) or name == "LICENSE":
		return
	lines = data.decode("utf-8").split("\n")
	if NEEDS_SPDX.search(name) and not any(SPDX in line for line in lines[:3]):
		yield 1, "no SPDX line"
	for i, line in enumerate(lines, 1):
		if PATHS.search(line):
			yield i, "a machine's path: " + line.strip()
		if name.endswith((".c", ".h")):
			if LEFTOVER.search(line):
				yield i, "leftover: " + line.strip()
			if line != line.rstrip():
				yield i, "blanks at the end of the line"


faults = 0
names = tracked()
for name in names:
	for line, what in judge(name):
		faults += 1
		print("%s:%d: %s" % (name, line, what))
print("%d files, %d faults" % (len(names), faults))
sys.exit(1 if faults else 0)

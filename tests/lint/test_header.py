# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk.h: every function of it is documented, named vdisk_*, defined and exported; the header is C99 and C++ by itself."""
import os
import re
import subprocess
import sys

SOURCE = os.environ.get("VDISK_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ["VDISK_BUILD"]
HEADER = os.path.join(SOURCE, "libvdisk/include/vdisk/vdisk.h")
faults = []


def declarations(text):
	"""(line number, declaration, index of its first line) of each VDISK_API declaration."""
	lines = text.split("\n")
	i = 0
	while i < len(lines):
		if lines[i].startswith("VDISK_API "):
			first, decl = i, lines[i]
			while ";" not in decl:
				i += 1
				decl += " " + lines[i].strip()
			yield first, decl
		i += 1


def documented(lines, first):
	"""A comment on the line itself, or above it with nothing but other declarations of the same paragraph between."""
	if "/*" in lines[first]:
		return True
	for i in range(first - 1, -1, -1):
		line = lines[i].rstrip()
		if line.endswith("*/"):
			return not re.match(r"/\* -{8,}", line)
		if not line:
			return False
	return False


def exported():
	out = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "libvdisk.so")], check=True, capture_output=True, text=True)
	return {line.split()[-1].split("@")[0] for line in out.stdout.splitlines()} - {"VDISK_0"}


def compiles(compiler, *flags):
	run = subprocess.run([compiler, *flags, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I",
			      os.path.join(SOURCE, "libvdisk/include"), "-"], input="#include <vdisk/vdisk.h>\n", capture_output=True, text=True)
	if run.returncode:
		faults.append("%s %s does not take the header:\n%s" % (compiler, " ".join(flags), run.stderr))


with open(HEADER, encoding="utf-8") as f:
	text = f.read()
lines = text.split("\n")
declared = set()
for first, decl in declarations(text):
	name = re.search(r"(\w+)\s*\(", decl).group(1)
	declared.add(name)
	if not name.startswith("vdisk_"):
		faults.append("vdisk.h:%d: %s is not named vdisk_*" % (first + 1, name))
	if not documented(lines, first):
		faults.append("vdisk.h:%d: %s has no comment" % (first + 1, name))
symbols = exported()
faults += ["%s is declared in vdisk.h and not exported" % s for s in sorted(declared - symbols)]
faults += ["%s is exported and not declared in vdisk.h" % s for s in sorted(symbols - declared)]
with open(os.path.join(SOURCE, "libvdisk/libvdisk.map"), encoding="utf-8") as f:
	version_script = re.sub(r"\s+", " ", f.read())
if "global: vdisk_*; local: *;" not in version_script:
	faults.append("libvdisk.map does not export vdisk_* and nothing else")
compiles("cc", "-std=c99", "-x", "c")
compiles("c++", "-std=c++11", "-x", "c++")
print("\n".join(faults))
print("%d functions, %d exported, %d faults" % (len(declared), len(symbols), len(faults)))
sys.exit(1 if faults or not declared else 0)

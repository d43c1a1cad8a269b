# SPDX-License-Identifier: LGPL-2.1-or-later
"""The include graph: each layer's files include only what stands below them (DESIGN: calls go down only)."""
import os
import re
import sys

SOURCE = os.environ.get("VDISK_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# folder: (what a quoted include may begin with).  "." is the file's own folder.
LAYERS = {
	"libvdisk/include": (),
	"libvdisk/base": ("vdisk/", "base/"),
	"libvdisk/io": ("vdisk/", "base/", "io/"),
	"formats": ("vdisk/", "base/", "io/", "core/driver.h", "."),
	"libvdisk/core": ("vdisk/", "base/", "io/", "core/"),
	"libvdisk/ops": ("vdisk/", "base/", "io/", "core/", "ops/"),
	"tools/common": ("vdisk/vdisk.h", "common/"),
	"tools": ("vdisk/vdisk.h", "common/", "."),
	"nbd": ("vdisk/vdisk.h", "common/", "."),
}
# Headers that more than one file of their own format may share; any other folder's is a fault even with a path into it.
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)
OURS = ("vdisk/", "base/", "io/", "core/", "ops/", "formats/", "libvdisk/")


def judge(layer, allowed, path):
	"""The includes of one file that its layer has no right to."""
	with open(path, encoding="utf-8") as f:
		text = f.read()
	for m in INCLUDE.finditer(text):
		kind, name = m.groups()
		line = text.count("\n", 0, m.start(2)) + 1
		if kind == "<":
			if name.startswith(OURS) and not (layer in ("tools", "tools/common", "nbd") and name == "vdisk/vdisk.h"):
				yield line, name, "our own headers are included with quotes"
			continue
		if ".." in name.split("/"):
			yield line, name, "climbs out of its folder"
		elif "/" not in name and "." in allowed and os.path.exists(os.path.join(os.path.dirname(path), name)):
			continue
		elif "/" in name and any(name == a or (a.endswith("/") and name.startswith(a)) for a in allowed):
			continue
		else:
			yield line, name, "not below this layer (%s may include %s)" % (layer, ", ".join(allowed) or "nothing of ours")


def main():
	files = faults = 0
	for layer, allowed in LAYERS.items():
		for folder, _, names in os.walk(os.path.join(SOURCE, layer)):
			for name in sorted(names):
				if not name.endswith((".c", ".h")):
					continue
				files += 1
				path = os.path.join(folder, name)
				for line, include, why in judge(layer, allowed, path):
					faults += 1
					print("%s:%d: includes \"%s\": %s" % (os.path.relpath(path, SOURCE), line, include, why))
	print("%d files, %d faults" % (files, faults))
	return 1 if faults or not files else 0


sys.exit(main())

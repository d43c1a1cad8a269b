#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every --json answer: one document, the members that the manual documents and no other, of the types it says."""
import os, re, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

TEXT, NUMBER, BOOL = str, int, bool
MAYBE = lambda t: (t, type(None))


def documented(command):
	with open(os.path.join(SOURCE, "man", "vdisk-%s.1" % command)) as f:
		section = f.read().split(".Sh JSON", 1)[1].split(".Sh ", 1)[0]
	words = set()
	for line in re.findall(r"^\.(?:It Cm|Cm) (.*)$", section, re.M):
		words |= set(re.findall(r"[a-z][a-z0-9-]*", line))
	return words


def shape(value, schema, where):
	if isinstance(schema, dict):
		check(isinstance(value, dict), "%s is an object" % where)
		required = {k for k in schema if not k.endswith("?")}
		known = {k.rstrip("?") for k in schema}
		check(required <= set(value), "%s lacks %s" % (where, required - set(value)))
		check(set(value) <= known, "%s has %s, which is unknown" % (where, set(value) - known))
		for k, s in schema.items():
			if k.rstrip("?") in value:
				shape(value[k.rstrip("?")], s, where + "." + k.rstrip("?"))
	elif isinstance(schema, list):
		check(isinstance(value, list), "%s is an array" % where)
		for i, v in enumerate(value):
			shape(v, schema[0], "%s[%d]" % (where, i))
	elif schema is not None:
		kinds = schema if isinstance(schema, tuple) else (schema,)
		check(type(value) in kinds, "%s is %r, of type %s" % (where, value, type(value).__name__))


def keys(schema):
	if isinstance(schema, dict):
		for k, s in schema.items():
			yield k.rstrip("?")
			yield from keys(s)
	elif isinstance(schema, list):
		yield from keys(schema[0])


REGION = {"name": TEXT, "type": MAYBE(TEXT), "length": NUMBER, "free": NUMBER, "note": MAYBE(TEXT)}
HEAD = {"schema-version": NUMBER, "command": TEXT}
SIDE = {"path": TEXT, "format": TEXT, "virtual-size": NUMBER}
# What holds a snapshot's disk: of whole machines, VirtualBox's and Hyper-V's, with what it is.
STATE_FILE = {"path": TEXT, "disk?": MAYBE(TEXT), "format?": MAYBE(TEXT), "ancestors?": None}
SCHEMAS = {
	"convert": {**HEAD, "source": SIDE, "destination": SIDE, "dry-run": BOOL,
	            "regions": [REGION], "data?": NUMBER, "zero?": NUMBER, "skipped?": NUMBER, "offloaded?": NUMBER,
	            "packed-in?": NUMBER, "packed-out?": NUMBER, "lost?": NUMBER, "lost-ranges?": [{"offset": NUMBER, "length": NUMBER}],
	            "digest?": MAYBE(TEXT), "manifest?": MAYBE(TEXT), "verified?": BOOL, "resumed?": NUMBER, "in-place?": BOOL, "seconds?": float, "kept?": TEXT,
	            "snapshots?": [{"name": TEXT, "id": TEXT, "parent": MAYBE(TEXT), "path": MAYBE(TEXT), "date-sec": NUMBER, "date-nsec": NUMBER}]},
	"info": {**HEAD, **SIDE, "layers": [{"depth": NUMBER, **SIDE, "variant": TEXT, "host-size": NUMBER, "allocated": NUMBER,
	         "alloc-grain": NUMBER, "parent": MAYBE(TEXT), "parent-format": MAYBE(TEXT), "parent-problem": MAYBE(TEXT),
	         "modified": MAYBE(TEXT), "files": [{"path": TEXT}], "details": None}],
	         "snapshots": [{"id": TEXT, "name": TEXT, "date": TEXT, "date-nsec": NUMBER, "vm-clock-nsec": NUMBER, "vm-state-size": NUMBER,
	         "virtual-size": NUMBER}], "snapshots-unlisted": NUMBER,
	         "bitmaps": [{"name": TEXT, "granularity": NUMBER, "enabled": BOOL, "in-use": BOOL, "problem": MAYBE(TEXT)}], "bitmaps-unlisted": NUMBER,
	         "bitmaps-problem": MAYBE(TEXT)},
	"create": {**HEAD, **SIDE, "backing": MAYBE(TEXT), "backing-format": MAYBE(TEXT), "dry-run": BOOL},
	"compact": {**HEAD, "path": TEXT, "dry-run": BOOL, "regions": [REGION], "free?": NUMBER, "zero?": NUMBER, "allocated-before?": NUMBER,
	            "allocated-after?": NUMBER},
	"map": {**HEAD, **SIDE, "since?": MAYBE(TEXT), "extents?": [{"offset": NUMBER, "length": NUMBER, "kind": TEXT, "compressed": BOOL, "encrypted": BOOL, "lost": BOOL,
	        "depth?": NUMBER, "file?": TEXT, "host-offset?": NUMBER, "host-length?": NUMBER}],
	        "regions?": [REGION], "free?": [{"offset": NUMBER, "length": NUMBER}]},
	"check": {**HEAD, "path": TEXT, "format": TEXT, "corruptions": NUMBER, "leaks": NUMBER, "corruptions-fixed": NUMBER, "leaks-fixed": NUMBER,
	          "allocated-units": NUMBER, "compressed-units": NUMBER, "total-units": NUMBER, "image-end": NUMBER,
	          "problems": [{"kind": TEXT, "offset": MAYBE(NUMBER), "message": TEXT}], "problems-unlisted": NUMBER},
	"compare": {**HEAD, "equal": BOOL, "offset": MAYBE(NUMBER), "size-differs": BOOL, "size-a": NUMBER, "size-b": NUMBER},
	"digest": {**HEAD, **SIDE, "method": TEXT, "digest": TEXT, "manifest": MAYBE(TEXT)},
	"verify-manifest": {**HEAD, **SIDE, "equal": BOOL, "size-differs": BOOL, "manifest-size": NUMBER, "manifest-digest": TEXT,
	                    "differing": NUMBER, "differences": [{"offset": NUMBER, "length": NUMBER}]},
	"lint": {**HEAD, "for": TEXT, "fine": BOOL, "sources": [{"path": TEXT, "format": MAYBE(TEXT), "virtual-size": NUMBER, "fine": BOOL,
	         "findings": [{"kind": TEXT, "code": TEXT, "where": TEXT, "why": TEXT, "mend": MAYBE(TEXT)}]}]},
	"measure": {**HEAD, "format": TEXT, "virtual-size": NUMBER, "required": NUMBER, "fully-allocated": NUMBER},
	"flatten": {**HEAD, "path": TEXT, "format": TEXT, "layers": NUMBER, "bytes-copied": NUMBER},
	"rebase": {**HEAD, "path": TEXT, "format": TEXT, "backing": MAYBE(TEXT), "unsafe": BOOL, "bytes-copied": NUMBER},
	"commit": {**HEAD, "path": TEXT, "layers": NUMBER, "bytes-copied": NUMBER, "emptied": BOOL},
	"clone": {**HEAD, "source": TEXT, **SIDE, "linked": BOOL},
	"snapshot": {**HEAD, "action": TEXT, "path": TEXT, "kind?": TEXT, "name?": MAYBE(TEXT), "id?": MAYBE(TEXT), "leaf?": TEXT, "bytes-copied?": NUMBER,
	             "merged?": NUMBER, "direction?": MAYBE(TEXT),
	             "snapshots?": [{"kind": TEXT, "id": TEXT, "name": MAYBE(TEXT), "description": MAYBE(TEXT), "parent": MAYBE(TEXT), "current": BOOL,
	                             "date": MAYBE(TEXT), "date-nsec": NUMBER, "virtual-size": NUMBER, "vm-state-size": NUMBER,
	                             "vm-clock-nsec": NUMBER, "files": [STATE_FILE], "memory?": MAYBE(TEXT), "problem": MAYBE(TEXT)}],
	             "disks?": [STATE_FILE],
	             "first?": MAYBE(TEXT), "second?": MAYBE(TEXT), "first-size?": NUMBER, "second-size?": NUMBER, "equal?": BOOL, "bytes?": NUMBER,
	             "ranges?": [{"offset": NUMBER, "length": NUMBER}]},
	"bitmap": {**HEAD, "action": TEXT, "path": TEXT, "name?": TEXT, "virtual-size?": NUMBER, "unlisted?": NUMBER,
	           "bitmaps?": [{"name": TEXT, "granularity": NUMBER, "enabled": BOOL, "in-use": BOOL, "problem": MAYBE(TEXT), "dirty?": NUMBER}]},
	"resize": {**HEAD, "path": TEXT, "format": TEXT, "old-size": NUMBER, "new-size": NUMBER, "dry-run": BOOL},
	"amend": {**HEAD, "path": TEXT, "format": TEXT, "options": None, "dry-run": BOOL},
}


def answer(command, *words, rc=0, **kw):
	r = ran(VDISK, command, "--json", *words, rc=rc, **kw)
	o = r.json()
	shape(o, SCHEMAS[command], command)
	eq((1, command), (o["schema-version"], o["command"]), "who speaks")
	eq("", r.err, "stderr of %s" % r)
	check(r.out.endswith("}\n"), "the document ends its line")
	return o


def manual_agrees(command):
	schema = set(keys(SCHEMAS[command]))
	said = documented(command) - {"json", "event", "total", "done", "copied", "bytes-per-second", "seconds-left", "phase"}
	eq(set(), schema - said, "members that the manual does not document")
	eq(set(), said - schema, "members that the manual invents")


for name in SCHEMAS:
	add("manual: " + name, manual_agrees, name)


def disk(path="disk.raw", size=2 * MIB, name="json"):
	return make_raw(path, rng_for(name), size)


@case
def convert():
	disk()
	o = answer("convert", "disk.raw", "a.qcow2")
	eq(("disk.raw", "raw", 2 * MIB), tuple(o["source"].values()), "source")
	eq(("a.qcow2", "qcow2", 2 * MIB), tuple(o["destination"].values()), "destination")
	eq(2 * MIB, o["data"] + o["zero"], "data and zeros make up the disk")
	eq((0, [], None, False), (o["lost"], o["lost-ranges"], o["digest"], o["verified"]), "what did not happen")
	o = answer("convert", "--digest", "--verify", "-c", "disk.raw", "b.qcow2")
	eq(vdisk("digest", "disk.raw").out.split()[0], o["digest"], "digest")
	eq(True, o["verified"], "verified")
	check(0 < o["packed-out"] <= o["packed-in"], "packed: %r" % o)
	o = answer("convert", "--dry-run", "disk.raw", "c.qcow2")
	eq(True, o["dry-run"], "dry-run")
	vdisk("snapshot", "create", "a.qcow2", "one")
	o = answer("convert", "--snapshots", "keep", "a.qcow2", "d.vhd")
	eq(("layers", ["one"]), (o["kept"], [s["name"] for s in o["snapshots"]]), "kept")
	with open("out.raw", "wb") as out:
		r = vdisk("convert", "--json", "-O", "raw", "disk.raw", "-", stdout=out)
	same_bytes("disk.raw", "out.raw")
	check(r.err.lstrip().startswith("{"), "the report goes to stderr where the image has standard output")


@case
def lint():
	disk()
	o = answer("lint", "--for", "kvm", "disk.raw")
	eq((True, "disk.raw", "raw", 2 * MIB), (o["fine"], o["sources"][0]["path"], o["sources"][0]["format"], o["sources"][0]["virtual-size"]), "lint")
	o = answer("lint", "--for", "azure", "disk.raw", rc=1)
	eq((False, "refused", "format"), (o["fine"], o["sources"][0]["findings"][0]["kind"], o["sources"][0]["findings"][0]["code"]), "a finding")


@case
def compact():
	disk()
	o = answer("compact", "--zeros-only", "disk.raw")
	eq(("disk.raw", False, [], 0), (o["path"], o["dry-run"], o["regions"], o["free"]), "what was done")


@case
def verify_manifest():
	disk()
	vdisk("digest", "--manifest", "m", "disk.raw")
	eq((True, []), (lambda o: (o["equal"], o["differences"]))(answer("verify-manifest", "disk.raw", "m")), "the same disk")
	with open("disk.raw", "r+b") as f:
		f.write(b"changed")
	eq([{"offset": 0, "length": MIB}], answer("verify-manifest", "disk.raw", "m", rc=1)["differences"], "another one")


@case
def info():
	disk()
	for suffix in ("raw", "qcow2", "vmdk", "vhd"):
		if suffix != "raw":
			vdisk("convert", "disk.raw", "a." + suffix)
		o = answer("info", "a." + suffix if suffix != "raw" else "disk.raw")
		eq((suffix, 2 * MIB, 1), (o["format"], o["virtual-size"], len(o["layers"])), "facts")
		check(isinstance(o["layers"][0]["details"], dict), "details are an object")
	vdisk("create", "-b", "a.qcow2", "top.qcow2")
	o = answer("info", "top.qcow2")
	eq(("a.qcow2", "qcow2", 1), (o["layers"][0]["parent"], o["layers"][0]["parent-format"], len(o["layers"])), "parent")
	o = answer("info", "--chain", "top.qcow2")
	eq([0, 1], [l["depth"] for l in o["layers"]], "layers of the chain")


@case
def info_of_snapshots():
	need("qemu-img")
	qemu_img("create", "-f", "qcow2", "a.qcow2", "1M")
	for name in ("one", "two"):
		qemu_img("snapshot", "-c", name, "a.qcow2")
	o = answer("info", "a.qcow2")
	eq(["one", "two"], [s["name"] for s in o["snapshots"]], "snapshots")
	check(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$", o["snapshots"][0]["date"]), "date: %r" % o["snapshots"][0])


@case
def the_rest():
	disk()
	answer("create", "n.qcow2", "1G")
	eq("n.qcow2", answer("create", "-b", "n.qcow2", "-F", "qcow2", "m.qcow2")["backing"], "backing")
	vdisk("convert", "disk.raw", "a.qcow2")
	o = answer("map", "a.qcow2")
	eq(2 * MIB, sum(x["length"] for x in o["extents"]), "the map's lengths")
	eq([], answer("map", "-s", "2M", "a.qcow2")["extents"], "the map of nothing")
	check(answer("map", "-s", "4K", "-l", "8K", "a.qcow2")["extents"][0]["offset"] == 4096, "the map of a part")
	o = answer("map", "--free", "a.qcow2")
	eq(([("the disk", 0)], [], False), ([(r["name"], r["free"]) for r in o["regions"]], o["free"], "extents" in o), "what nobody would miss")
	eq((0, []), (lambda c: (c["corruptions"], c["problems"]))(answer("check", "a.qcow2")), "check")
	eq(True, answer("compare", "disk.raw", "a.qcow2")["equal"], "compare")
	disk("other.raw", name="other")
	o = answer("compare", "disk.raw", "other.raw", rc=1)
	eq((False, first_difference("disk.raw", "other.raw")), (o["equal"], o["offset"]), "compare")
	eq(sha256("disk.raw"), answer("digest", "--sha256", "a.qcow2")["digest"], "digest")
	m = answer("measure", "-O", "qcow2", "disk.raw")
	check(0 < m["required"] <= m["fully-allocated"], "measure: %r" % m)
	answer("measure", "-O", "vhd", "--size", "1G")
	eq((2 * MIB, 3 * MIB), (lambda r: (r["old-size"], r["new-size"]))(answer("resize", "a.qcow2", "+1M")), "resize")
	vdisk("create", "-b", "a.qcow2", "b.qcow2")
	eq(("a.qcow2", False, 0), (lambda r: (r["backing"], r["unsafe"], r["bytes-copied"]))(answer("rebase", "-b", "a.qcow2", "b.qcow2")), "rebase")
	eq((1, 0, True), (lambda r: (r["layers"], r["bytes-copied"], r["emptied"]))(answer("commit", "b.qcow2")), "commit")
	eq(("a.qcow2", False), (lambda r: (r["source"], r["linked"]))(answer("clone", "a.qcow2", "full.qcow2")), "clone")
	eq(("create", "internal", "1"), (lambda r: (r["action"], r["kind"], r["id"]))(answer("snapshot", "create", "full.qcow2", "s")), "snapshot")
	eq(["s"], [r["name"] for r in answer("snapshot", "list", "full.qcow2")["snapshots"]], "snapshot list")
	eq((True, []), (lambda r: (r["equal"], r["ranges"]))(answer("snapshot", "diff", "full.qcow2", "s")), "snapshot diff")
	eq(("create", "x"), (lambda r: (r["action"], r["name"]))(answer("bitmap", "create", "full.qcow2", "x")), "bitmap")
	eq([("x", 0)], [(b["name"], b["dirty"]) for b in answer("bitmap", "list", "full.qcow2")["bitmaps"]], "bitmap list")
	eq(["x"], [b["name"] for b in answer("info", "full.qcow2")["bitmaps"]], "info of bitmaps")
	o = answer("flatten", "b.qcow2")
	check(o["layers"] == 2 and o["bytes-copied"] > 0, "flatten: %r" % o)


@case
def leaks_are_no_corruption():
	"""Space that nothing uses: exit status 0, counted; --repair gives it back."""
	need("qemu-img", "qemu-io")
	qemu_img("create", "-f", "qcow2", "a.qcow2", "8M")
	qemu_io("a.qcow2", "qcow2", "write -P 1 0 1M")
	with open("a.qcow2", "r+b") as f: # the first L1 entry is forgotten
		f.seek(40)
		l1 = int.from_bytes(f.read(8), "big")
		f.seek(l1)
		f.write(bytes(8))
	o = answer("check", "a.qcow2")
	check(o["leaks"] > 0 and o["corruptions"] == 0, "leaks: %r" % o)
	check(all(p["kind"] == "leak" for p in o["problems"]), "problems: %r" % o["problems"])
	eq(3, len(answer("check", "--max-problems", "3", "a.qcow2")["problems"]), "problems listed")
	o = answer("check", "--repair=leaks", "a.qcow2")
	eq(o["leaks"], o["leaks-fixed"], "leaks mended")
	eq(0, answer("check", "a.qcow2")["leaks"], "leaks left")
	qemu_img("check", "a.qcow2")


@case
def corruption_is_told():
	need("qemu-img", "qemu-io")
	qemu_img("create", "-f", "qcow2", "a.qcow2", "8M")
	qemu_io("a.qcow2", "qcow2", "write -P 1 0 1M")
	with open("a.qcow2", "r+b") as f: # the first two guest clusters share their host cluster
		f.seek(40)
		f.seek(int.from_bytes(f.read(8), "big"))
		f.seek(int.from_bytes(f.read(8), "big") & 0x00fffffffffffe00)
		l2 = f.tell()
		entry = f.read(8)
		f.seek(l2 + 8)
		f.write(entry)
	o = answer("check", "a.qcow2", rc=1)
	check(o["corruptions"] > 0 and o["problems"], "corruptions: %r" % o)


@case
def names_of_any_bytes():
	"""A name that is no UTF-8 still makes a document that is."""
	name = os.fsdecode(b"\xff\xfe\"quote\\\n.raw")
	disk(name)
	o = answer("digest", name)
	check("�" in o["path"] and "\"quote\\\n" in o["path"], "path: %r" % o["path"])


main()

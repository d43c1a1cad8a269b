#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots of whole machines, as VirtualBox's .vbox and Hyper-V's exported XML describe them: listed, kept in conversions, and never lost without a word."""
import os, re, shutil, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from snapshot_trees import *


def need_programs(*names):
	for name in names:
		if not os.path.exists(os.path.join(BUILD, name)):
			skip("%s is not built" % name)


def listed(path, *args, cwd=None):
	need_programs("vdisk-machine")
	return vdisk("snapshot", "list", "--json", *args, path, cwd=cwd).json()


def holds(image, content, what, state=None):
	"""By qemu-img, which did not make it."""
	with open("want.raw", "wb") as f:
		f.write(content)
	select = ("-l", "snapshot.name=" + state) if state else ()
	qemu_img("convert", *select, "-f", "qcow2", "-O", "raw", image, "got.raw")
	same_bytes("want.raw", "got.raw", what)


@case
def virtualbox_is_listed():
	path, disks, snaps = vbox_machine(rng_for("vbox list"))
	before = tree("vm")
	r = listed(path)
	eq(before, tree("vm"), "the machine's folder")
	rows = r["snapshots"]
	eq([(s["id"], None if i == 0 else snaps[i - 1]["id"], i == 1, s["date"]) for i, s in enumerate(snaps)],
	   [(x["id"], x["parent"], x["current"], x["date"]) for x in rows], "the tree")
	eq(["clean", "état 1 installed", "experiment"], [x["name"] for x in rows], "names")
	eq(["before & all", None, "nothing came of it"], [x["description"] for x in rows], "descriptions")
	eq([None, "Snapshots/then.sav", None], [x["memory"] for x in rows], "memory")
	for i, x in enumerate(rows):
		eq((None, SIZE, "virtualbox"), (x["problem"], x["virtual-size"], x["kind"]), "facts of " + x["name"])
		eq([(d, os.path.join("vm", disks[n][i].path)) for n, d in enumerate(("sata0:0", "sata0:1"))], [(f["disk"], f["path"]) for f in x["files"]], "images of " + x["name"])
	eq([[os.path.join("vm", chain[1].path), os.path.join("vm", chain[0].path)] for chain in disks], [d["ancestors"] for d in r["disks"]], "what the disks lie over")
	text = vdisk("snapshot", "list", path).out
	eq(4, len([l for l in text.splitlines() if " virtualbox " in l or l.startswith("  kind")]), "lines of:\n" + text)
	check(re.search(r"^\* virtualbox .* état 1 installed ", text, re.M), "what the machine goes on from:\n" + text)
	eq(text, vdisk("machine", "--snapshots", path).out, "vdisk machine --snapshots")
	eq(text.replace("vm/", ""), vdisk("snapshot", "list", "box.vbox", cwd="vm").out, "from beside")


@case
def virtualbox_is_kept():
	"""By migrate: each snapshot of both disks is inside the new images, the branch, too."""
	need_programs("vdisk-migrate")
	path, disks, snaps = vbox_machine(rng_for("vbox keep"))
	before = tree("vm")
	r = vdisk("migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--snapshots", "keep", "--json", path, timeout=300).json()
	eq(before, tree("vm"), "the source")
	eq([3, 3], [d["snapshots"] for d in r["disks"]], "snapshots of each disk")
	for d, chain in zip(r["disks"], disks):
		image = os.path.join("out", d["file"])
		rows = vdisk("snapshot", "list", "--json", image).json()["snapshots"]
		eq([(x["name"], x["date"], d["file"]) for x in rows], [(x["name"], x["date"], x["file"]) for x in d["kept"]], "in the report")
		eq([("clean", "2024-01-02T03:04:05Z"), ("état 1 installed", "2024-02-03T04:05:06Z"), ("experiment", "2024-03-04T05:06:07Z")],
		   [(x["name"], x["date"]) for x in rows], "inside")
		holds(image, chain[0].content, "the first state", "clean")
		holds(image, chain[1].content, "the second state", "état 1 installed")
		holds(image, chain[2].content, "the branch", "experiment")
		holds(image, chain[3].content, "the disk")
		qemu_check(image, "qcow2")
	with open("out/report.html") as page:
		check("snapshot experiment <code>box-1.qcow2</code> 2024-03-04T05:06:07Z" in page.read(), "the branch is in the page")
	lost = [(x["where"], x["value"]) for x in r["lost"]]
	eq(2, len([x for x in r["remarks"] if "'experiment' is kept, but not that it goes on from 'état 1 installed'" in x]), "what inside does not tell: %r" % r["remarks"])
	check(any("memory" in w and "then.sav" in v for w, v in lost if v), "the saved memory is told: %r" % lost)
	check(any("settings" in w for w, v in lost), "the machine's settings at their time are told: %r" % lost)
	eq(0, len([w for w, v in lost if "disk" in w and "snapshot" in w]), "nothing that is kept is told as lost: %r" % lost)
	# As the machine is now, the chain is read all the same, and each snapshot is told.
	r = vdisk("migrate", "--target", "kvm", "--out", "flat", "--no-adapt", "--json", path, timeout=300).json()
	for d, chain in zip(r["disks"], disks):
		holds(os.path.join("flat", d["file"]), chain[3].content, "the disk alone")
	eq({"clean", "état 1 installed", "experiment"}, {x["value"] for x in r["lost"] if re.fullmatch(r"snapshot \d", x["where"])}, "told as lost")


@case
def virtualbox_is_kept_as_layers():
	need_programs("vdisk-migrate")
	path, disks, snaps = vbox_machine(rng_for("vbox layers"), formats=("vdi",))
	r = vdisk("migrate", "--target", "virtualbox", "--out", "out", "--no-adapt", "--snapshots", "keep", "--json", path, timeout=300).json()
	leaf = os.path.join("out", r["disks"][0]["file"])
	rows = [x for x in vdisk("snapshot", "list", "--json", leaf).json()["snapshots"] if x["kind"] == "external"]
	eq(["clean", "état 1 installed", "experiment"], [x["name"] for x in rows], "layers")
	eq([None, rows[0]["id"], rows[1]["id"]], [x["parent"] for x in rows], "what each goes on from")
	eq([(x["name"], x["parent"], os.path.basename(x["files"][0]["path"])) for x in rows], [(x["name"], x["parent"], x["file"]) for x in r["disks"][0]["kept"]], "in the report")
	for image, content in [(x["files"][0]["path"], chain.content) for x, chain in zip(rows, disks[0])] + [(leaf, disks[0][3].content)]:
		with open("want.raw", "wb") as f:
			f.write(content)
		vdisk("compare", "-f", "raw", "want.raw", image)


@case
def virtualbox_gets_its_registry():
	"""VirtualBox opens an image over another one only where the description's registry has both, by the UUIDs that stand in them."""
	need_programs("vdisk-migrate", "vdisk-machine")
	path, disks, snaps = vbox_machine(rng_for("vbox registry"))
	for fmt in ("vdi", "vhd"):
		out = "out-" + fmt
		args = ["-O", "vhd"] if fmt == "vhd" else []
		r = vdisk("migrate", "--target", "virtualbox", "--out", out, "--no-adapt", "--snapshots", "keep", "--json", *args, path, timeout=300).json()
		eq([fmt, fmt], [d["format"] for d in r["disks"]], "format")
		check(any("chmod u+w" in x for x in r["remarks"]) and not any("own list" in x for x in r["remarks"]), "remarks: %r" % r["remarks"])
		told, was = listed(os.path.join(out, "box.vbox")), listed(path)
		place = lambda rows: {x["id"]: i for i, x in enumerate(rows)}
		eq([(x["name"], x["description"], x["date"], x["current"], place(was["snapshots"]).get(x["parent"])) for x in was["snapshots"]],
		   [(x["name"], x["description"], x["date"], x["current"], place(told["snapshots"]).get(x["parent"])) for x in told["snapshots"]], "VirtualBox's own list")
		eq([["box-%d-s%d.%s" % (n, i + 1, fmt) for n in (1, 2)] for i in range(3)], [[os.path.basename(y["path"]) for y in x["files"]] for x in told["snapshots"]], "its images")
		eq([None] * 5, [x["problem"] for x in told["snapshots"] + told["disks"]], "problems")
		images = vdisk("machine", "--to", "json", os.path.join(out, "box.vbox")).json()["images"]
		eq(sorted(n for n in os.listdir(out) if n.endswith("." + fmt)), sorted(x["path"] for x in images), "images in the registry")
		for x in images:
			below = images[x["parent"]] if x["parent"] is not None else None
			file = os.path.join(out, x["path"])
			if fmt == "vdi":
				own = vdi_uuids(file)
				eq((x["uuid"], below["uuid"] if below else str(uuid.UUID(int=0))), (own[0], own[2]), "UUIDs in " + file)
			else:
				with open(file, "rb") as f:
					head = f.read(2048)
				eq(x["uuid"], str(uuid.UUID(bytes_le=head[68:84])), "UUID in " + file)
				if below:
					eq(below["uuid"], str(uuid.UUID(bytes_le=head[512 + 40:512 + 56])), "parent's UUID in " + file)
			eq("box-%s-s%s" % (x["path"][4], {"s3": 2, "s2": 1}.get(x["path"][6:8], 2)) if below else None, below["path"].rsplit(".")[0] if below else None, "parent of " + file)
		r = vdisk("migrate", "--target", "kvm", "--out", "back-" + fmt, "--no-adapt", "--snapshots", "keep", "--json", os.path.join(out, "box.vbox"), timeout=300).json()
		for d, chain in zip(r["disks"], disks):
			image = os.path.join("back-" + fmt, d["file"])
			holds(image, chain[3].content, "the disk, by way of the new description")
			for s, x in zip(snaps, chain):
				holds(image, x.content, s["name"] + ", by way of the new description", s["name"])
	refused("migrate", "--target", "virtualbox", "--out", "x", "--no-adapt", "--snapshots", "keep", "-O", "vmdk", path, mentions=["-O vdi"])


@case
def convert_asks_the_description():
	path, disks, snaps = vbox_machine(rng_for("vbox convert"))
	need_programs("vdisk-machine")
	for n, chain in enumerate(disks):
		out = "out%d.qcow2" % n
		r = vdisk("convert", "--snapshots", "keep", "--verify", "--machine", path, os.path.join("vm", chain[3].path), out)
		check("'experiment' is kept, but not that" in r.err and "clean" not in r.err, "what is not told inside: %r" % r.err)
		holds(out, chain[0].content, "the first state", "clean")
		holds(out, chain[1].content, "the second state", "état 1 installed")
		holds(out, chain[2].content, "the branch", "experiment")
		holds(out, chain[3].content, "the disk")
		# An image of a branch that is gone is told, by its snapshot's name, and the rest is there.
		gone = os.path.join("vm", chain[2].path)
		os.rename(gone, "away")
		r = vdisk("convert", "--snapshots", "layers", "--machine", path, os.path.join("vm", chain[3].path), "less%d.qcow2" % n)
		check("'experiment' is left out" in r.err and os.path.basename(gone) in r.err, "the image that is gone: %r" % r.err)
		eq(["clean", "état 1 installed"], [x["name"] for x in vdisk("snapshot", "list", "--json", "less%d.qcow2" % n).json()["snapshots"]], "without it")
		os.rename("away", gone)
	refused("convert", "--machine", path, os.path.join("vm", disks[0][3].path), "x.qcow2", mentions=["--machine", "--snapshots"])
	refused("convert", "--snapshots", "keep", "--machine", path, os.path.join("vm", disks[0][2].path), "x.qcow2", mentions=["none of the machine's disks"])
	refused("convert", "--snapshots", "keep", "--machine", "gone.vbox", os.path.join("vm", disks[0][3].path), "x.qcow2", mentions=["gone.vbox"])


@case
def what_cannot_be_a_tree():
	"""Circles, wrong parents, images twice, snapshots of nothing: refused, each by what it is."""
	need_programs("vdisk-machine", "vdisk-migrate")
	path, disks, snaps = vbox_machine(rng_for("vbox bad"), formats=("vdi",))
	chain = disks[0]
	text = open(path).read()

	def says(new, *mentions):
		with open(path, "w") as f:
			f.write(new)
		for words in (["snapshot", "list", path], ["migrate", "--target", "kvm", "--out", "out", "--no-adapt", path]):
			refused(*words, mentions=mentions)
	# Below itself: the same UUID twice.
	says(text.replace("</HardDisks>", "<HardDisk uuid=\"{%s}\" location=\"other.vdi\" format=\"VDI\"/></HardDisks>" % chain[0].id), "two images", chain[0].id)
	says(text.replace("<Snapshot uuid=\"{%s}\"" % snaps[2]["id"], "<Snapshot uuid=\"{%s}\"" % snaps[0]["id"]), "two snapshots", snaps[0]["id"])
	says(text.replace("currentSnapshot=\"{%s}\"" % snaps[1]["id"], "currentSnapshot=\"{%s}\"" % GUEST), "none of its snapshots")
	says(text.replace("<Image uuid=\"{%s}\"/>" % chain[2].id, "<Image uuid=\"{%s}\"/>" % GUEST), "there is no image", GUEST)
	deep = "".join("<Snapshot uuid=\"{%s}\" name=\"x\"><Snapshots>" % guid(rng_for("deep%d" % i)) for i in range(200)) + "</Snapshots></Snapshot>" * 200
	says(re.sub(r"<Snapshot .*</Snapshot>", deep, text), "deep")
	# The description says another parent than the image, and the file of another one as its own ancestor.
	other = chain[2]
	wrong = text.replace(vbox_media(chain, {"vdi": "VDI"}), "<HardDisk uuid=\"{%s}\" location=\"%s\" format=\"VDI\" type=\"Normal\"><HardDisk uuid=\"{%s}\" location=\"%s\" format=\"VDI\">"
	                     "<HardDisk uuid=\"{%s}\" location=\"%s\" format=\"VDI\"/></HardDisk><HardDisk uuid=\"{%s}\" location=\"%s\" format=\"VDI\"/></HardDisk>" %
	                     (chain[0].id, chain[0].path, other.id, other.path, chain[3].id, chain[3].path, chain[1].id, chain[1].path))
	check(wrong != text, "the registry was replaced")
	with open(path, "w") as f:
		f.write(wrong)
	refused("migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--snapshots", "keep", path, mentions=["parent UUID"])
	rows = listed(path)
	check("parent UUID" in rows["disks"][0]["problem"], "%r" % rows["disks"][0])
	circle = text.replace("location=\"%s\"" % chain[0].path, "location=\"%s\"" % chain[3].path)
	with open(path, "w") as f:
		f.write(circle)
	refused("migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--snapshots", "keep", path, mentions=["its own ancestor"])
	# An ancestor is not there: told beside the snapshot, and refused.
	with open(path, "w") as f:
		f.write(text)
	os.rename(os.path.join("vm", chain[0].path), "away.vdi")
	rows = listed(path)["snapshots"]
	check(all(chain[0].path in x["problem"] for x in rows), "%r" % [x["problem"] for x in rows])
	refused("migrate", "--target", "kvm", "--out", "out", "--no-adapt", path, mentions=[chain[0].path])
	check(not os.path.exists("out") and not os.path.exists("out.partial"), "nothing is left")
	# Names that lead out.
	os.symlink("../away.vdi", os.path.join("vm", chain[0].path))
	refused("migrate", "--target", "kvm", "--out", "out", "--no-adapt", path, mentions=["outside", "--allow-parent"])
	vdisk("migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--allow-parent", ".", path, timeout=300)
	holds("out/box.qcow2", chain[3].content, "the disk, its base from elsewhere")


def hyperv(fmt):
	need_programs("vdisk-machine", "vdisk-migrate")
	path, chain, snaps = hyperv_machine(rng_for("hyperv " + fmt), fmt=fmt)
	rows = listed(path)["snapshots"]
	ids = {s[0]: i for i, s in enumerate(snaps)}
	by = sorted(rows, key=lambda x: ids[x["id"]])
	eq([(s[0], s[1], None if i == 0 else snaps[i - 1][0], i == 1) for i, s in enumerate(snaps)], [(x["id"], x["name"], x["parent"], x["current"]) for x in by], "the tree")
	eq(["2023-11-14T22:13:20Z", "2023-11-14T22:15:00Z", "2023-11-14T22:16:40Z"], [x["date"] for x in by], "dates")
	eq(["note 0", "note 1", "note 2"], [x["description"] for x in by], "notes")
	eq([None, None, None], [x["problem"] for x in by], "problems")
	eq([None, "Snapshots/%s/%s.bin" % ((snaps[1][0].upper(),) * 2), None], [x["memory"] for x in by], "memory")
	check([x["id"] for x in rows].index(snaps[0][0]) == 0, "parents come first")
	r = vdisk("migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--snapshots", "keep", "--json", path, timeout=300).json()
	eq([3], [d["snapshots"] for d in r["disks"]], "snapshots that were kept")
	holds("out/old.qcow2", chain[0].content, "the first state", "clean")
	holds("out/old.qcow2", chain[1].content, "the second state", "installed & more")
	holds("out/old.qcow2", chain[3].content, "the disk")
	holds("out/old.qcow2", chain[2].content, "the branch", "experiment")
	vdisk("convert", "--snapshots", "layers", "-O", "qcow2", "--machine", path, chain[3].path, "own.qcow2")
	for x in vdisk("snapshot", "list", "--json", "own.qcow2").json()["snapshots"]:
		holds(x["files"][0]["path"], chain[[s[1] for s in snaps].index(x["name"])].content, x["name"] + ", as a layer")
	holds("own.qcow2", chain[3].content, "the disk over its layers")
	# Snapshots of another machine in the same folder are none of its own; an image in between that is gone is told.
	write_file("export/Snapshots/%s.xml" % guid(rng_for("other")).upper(), hyperv_text("foreign", ["C:\\x.vhd"], bios=guid(rng_for("bios"))))
	write_file("export/Snapshots/readme.xml", b"<x/>")
	eq(sorted(s[0] for s in snaps), sorted(x["id"] for x in listed(path)["snapshots"]), "the machine's own")
	os.rename(chain[1].path, "away")
	rows = listed(path)
	check(rows["disks"][0]["problem"] and rows["disks"][0]["problem"].count("\n") == 0, "%r" % rows["disks"])
	refused("migrate", "--target", "kvm", "--out", "out2", "--no-adapt", path, mentions=["parent"])


for f in ("vhd", "vhdx"):
	add("hyperv_" + f, hyperv, f)


@case
def hyperv_circle():
	"""Two images that each name the other."""
	need_programs("vdisk-machine")
	os.makedirs("vm/Snapshots")
	vdisk("create", "-f", "vhd", "vm/a.vhd", str(MIB))
	vdisk("create", "-f", "vhd", "-b", "a.vhd", "-F", "vhd", "vm/b.avh")
	os.remove("vm/a.vhd")
	vdisk("create", "-f", "vhd", "vm/x.vhd", str(MIB))
	vdisk("create", "-f", "vhd", "-b", "x.vhd", "-F", "vhd", "vm/a.vhd")
	data = bytearray(open("vm/a.vhd", "rb").read())
	for charset in ("utf-16le", "utf-16be"):
		data = data.replace("x.vhd".encode(charset), "b.avh".encode(charset))
	data[548:552] = bytes(4)
	data[548:552] = (~sum(data[512:1536]) & 0xffffffff).to_bytes(4, "big")
	write_file("vm/a.vhd", data)
	write_file("vm/m.xml", hyperv_text("m", ["b.avh"]))
	write_file("vm/Snapshots/%s.xml" % guid(rng_for("circle")).upper(), hyperv_text("s", ["a.vhd"]))
	r = run(VDISK, "snapshot", "list", "vm/m.xml", timeout=60)
	check(r.rc == 2 and "ancestor" in r.err, r.show())
	one_line(r)


@case
def other_descriptions():
	need_programs("vdisk-machine")
	path, disks, snaps = vbox_machine(rng_for("others"), formats=("vdi",))
	vdisk("machine", "--to", "libvirt", "-q", "-o", "box.xml", path)
	refused("snapshot", "list", "box.xml", mentions=["libvirt", "no snapshots"])
	refused("snapshot", "list", "--parent", "a=b", path, mentions=["--allow-parent"])
	r = vdisk("machine", "--to", "libvirt", path)
	for s in ("clean", "état 1 installed", "experiment", "then.sav"):
		check(s in r.err, "%s is told as lost: %s" % (s, r.err))
	json_text = vdisk("machine", "--to", "json", path).out
	write_file("box.json", json_text.encode())
	eq(json_text, vdisk("machine", "--to", "json", "box.json").out, "the model as JSON, there and back")
	check("clean" in vdisk("machine", path).out, "shown")
	# An image that is called so is one, where that is said.
	shutil.copy(os.path.join("vm", disks[0][0].path), "disk.xml")
	eq([], vdisk("snapshot", "list", "--json", "-f", "vdi", "disk.xml").json()["snapshots"], "an image")


main()

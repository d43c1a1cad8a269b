# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines with snapshots as VirtualBox and Hyper-V keep them, made anew: images by our writers, descriptions by hand from the documented schemas."""
import base64, os, shutil, struct, uuid
from vdtest import *

SIZE = 6 * MIB
GUEST = "11111111-2222-4333-8444-555555555555"


def guid(rng):
	return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def scribble(rng, fmt, path, now):
	"""Writes some of the disk, and into `now`, what it holds."""
	commands = []
	for _ in range(6):
		length = rng.choice((512, 4096, 65536))
		off = rng.randrange(0, (len(now) - length) // 512 + 1) * 512
		value = rng.randrange(1, 256)
		commands.append("write %d %d %d" % (off, length, value))
		now[off:off + length] = bytes([value]) * length
	ran(VDIO, "-f", fmt, path, stdin=("\n".join(commands) + "\n").encode())


def comment_wipe(path):
	"""VirtualBox names a VDI's parent by its UUID alone."""
	with open(path, "r+b") as f:
		f.seek(84)
		f.write(bytes(256))


def vdi_uuids(path):
	"""The image's own, that of its last change, its parent's, that of the parent's last change."""
	with open(path, "rb") as f:
		f.seek(392)
		return [str(uuid.UUID(bytes_le=f.read(16))) for _ in range(4)]


class Image:
	def __init__(self, path, id, content, parent=None):
		self.path, self.id, self.content, self.parent = path, id, content, parent


def grow_chain(rng, fmt, parents, name):
	"""Images in the working folder, image i over image parents[i] (None: over none); each is written before there is one over it, as snapshots come to be.
	`name`: what image i with this UUID is called."""
	need_vdio()
	made = []
	for i, parent in enumerate(parents):
		id = guid(rng)
		path = name(i, id)
		own = ["-o", "uuid=" + id] if fmt != "vmdk" else []
		over = [] if parent is None else ["-b", made[parent].path, "-F", fmt]
		vdisk("create", "-f", fmt, *own, *over, path, *([str(SIZE)] if parent is None else []))
		now = bytearray(SIZE) if parent is None else bytearray(made[parent].content)
		scribble(rng, fmt, path, now)
		made.append(Image(path, id, now, None if parent is None else made[parent]))
	return made


# ---------------------------------------------------------------- VirtualBox

def attached(disks):
	"""Port by port: the image that is there."""
	return "<StorageControllers><StorageController name=\"SATA\" type=\"AHCI\" PortCount=\"%d\">%s</StorageController></StorageControllers>" % (
		max(1, len(disks)), "".join("<AttachedDevice type=\"HardDisk\" hotpluggable=\"false\" port=\"%d\" device=\"0\"><Image uuid=\"{%s}\"/></AttachedDevice>" %
		                            (port, x.id) for port, x in enumerate(disks)))


def vbox_snapshot(s, children=""):
	return ("<Snapshot uuid=\"{%s}\" name=\"%s\" timeStamp=\"%s\"%s>%s<Hardware><CPU count=\"1\"/><Memory RAMSize=\"64\"/>%s</Hardware>%s</Snapshot>" %
	        (s["id"], s["name"], s["date"], " stateFile=\"%s\"" % s["memory"] if s.get("memory") else "",
	         "<Description>%s</Description>" % s["text"] if s.get("text") else "", attached(s["disks"]),
	         "<Snapshots>%s</Snapshots>" % children if children else ""))


def vbox_media(images, formats, parent=None):
	return "".join("<HardDisk uuid=\"{%s}\" location=\"%s\" format=\"%s\"%s>%s</HardDisk>" %
	               (x.id, x.path, formats[x.path.rsplit(".")[-1]], "" if x.parent else " type=\"Normal\"", vbox_media(images, formats, x))
	               for x in images if x.parent is parent)


def vbox_text(name, images, disks, tree, current, media=None):
	"""`tree`: the snapshots as text, or ""."""
	formats = {"vdi": "VDI", "vmdk": "VMDK", "vhd": "VHD"}
	return ("<?xml version=\"1.0\"?>\n<VirtualBox xmlns=\"http://www.virtualbox.org/\" version=\"1.16-linux\">"
	        "<Machine uuid=\"{%s}\" name=\"%s\" OSType=\"Debian_64\"%s snapshotFolder=\"Snapshots\" lastStateChange=\"2024-05-06T07:08:09Z\">"
	        "<MediaRegistry><HardDisks>%s</HardDisks></MediaRegistry>%s<Hardware><CPU count=\"1\"/><Memory RAMSize=\"128\"/>%s</Hardware></Machine></VirtualBox>" %
	        (GUEST, name, " currentSnapshot=\"{%s}\"" % current if current else "", vbox_media(images, formats) if media is None else media, tree, attached(disks)))


def vbox_machine(rng, folder="vm", formats=("vdi", "vmdk")):
	"""clean - installed - experiment, and the machine goes on from "installed": the third one is a branch.  Two disks.  Returns the description's path,
	the images of each disk (the last is what the disk is now), and the snapshots."""
	os.makedirs(os.path.join(folder, "Snapshots"))
	disks = []
	for n, fmt in enumerate(formats):
		chain = grow_chain(rng, fmt, (None, 0, 1, 1), lambda i, id: "%s-%d.%s" % (folder + "ab"[n], i, fmt))
		for i, x in enumerate(chain):
			name = "disk%s.%s" % ("ab"[n], fmt) if i == 0 else "Snapshots/{%s}.%s" % (x.id, fmt)
			shutil.move(x.path, os.path.join(folder, name))
			if fmt == "vdi":
				comment_wipe(os.path.join(folder, name))
			x.path = name
		disks.append(chain)
	snaps = [dict(id=guid(rng), name=name, date=date, text=text, memory=memory, disks=[chain[i] for chain in disks])
	         for i, (name, date, text, memory) in enumerate((("clean", "2024-01-02T03:04:05Z", "before &amp; all", None), ("état 1 installed", "2024-02-03T04:05:06Z", None, "Snapshots/then.sav"),
	                                                          ("experiment", "2024-03-04T05:06:07Z", "nothing came of it", None)))]
	tree = vbox_snapshot(snaps[0], vbox_snapshot(snaps[1], vbox_snapshot(snaps[2])))
	path = os.path.join(folder, "box.vbox")
	with open(path, "w") as f:
		f.write(vbox_text("box", [x for chain in disks for x in chain], [chain[3] for chain in disks], tree, snaps[1]["id"]))
	return path, disks, snaps


# ---------------------------------------------------------------- Hyper-V

def filetime(seconds):
	return base64.b64encode(struct.pack("<Q", (seconds + 11644473600) * 10000000)).decode()


def hyperv_text(name, disks, notes="", created=0, bios=GUEST):
	drives = "".join("<drive%d><pathname type=\"string\">%s</pathname><type type=\"string\">VHD</type></drive%d>" % (i, p, i) for i, p in enumerate(disks))
	return ("<?xml version=\"1.0\" encoding=\"UTF-16\" standalone=\"yes\"?><configuration>"
	        "<_83f8638b-8dca-4152-9eda-2ca8b33039b4_><VDEVVersion type=\"integer\">1280</VDEVVersion><controller0>%s</controller0></_83f8638b-8dca-4152-9eda-2ca8b33039b4_>"
	        "<_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_><bios_guid type=\"string\">{%s}</bios_guid><boot><device0 type=\"string\">HardDrive</device0></boot>"
	        "</_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_><properties><creation_time type=\"bytes\">%s</creation_time><name type=\"string\">%s</name>"
	        "<notes type=\"string\">%s</notes><subtype type=\"integer\">0</subtype></properties><settings><memory><bank><size type=\"integer\">256</size></bank></memory>"
	        "<processors><count type=\"integer\">1</count></processors></settings></configuration>" % (drives, bios.upper(), filetime(created), name, notes)).encode("utf-16")


def hyperv_machine(rng, folder="export", fmt="vhd"):
	"""The same tree, with one disk, as exported: descriptions have the names of the old host, and one image lies in another folder than its parent.  Returns the
	description's path, the images, and the snapshots' names and dates in their order."""
	for part in ("Virtual Machines", "Snapshots", "Virtual Hard Disks"):
		os.makedirs(os.path.join(folder, part))
	chain = grow_chain(rng, fmt, (None, 0, 1, 1), lambda i, id: "root.%s" % fmt if i == 0 else "root_%s.a%s" % (id.upper(), fmt))
	there = [x.path for x in chain]
	for i, x in enumerate(chain):
		name, x.path = x.path, os.path.join(folder, "Snapshots" if i == 2 else "Virtual Hard Disks", x.path)
		shutil.move(name, x.path)
	old = lambda i: "C:\\vms\\old\\Virtual Hard Disks\\" + there[i]
	snaps = []
	for i, (name, created) in enumerate((("clean", 1700000000), ("installed &amp; more", 1700000100), ("experiment", 1700000200))):
		id = guid(rng)
		write_file(os.path.join(folder, "Snapshots", id.upper() + ".xml"), hyperv_text(name, [old(i)], "note %d" % i, created))
		snaps.append((id, name.replace("&amp;", "&"), created))
	os.makedirs(os.path.join(folder, "Snapshots", snaps[1][0].upper()))
	write_file(os.path.join(folder, "Snapshots", snaps[1][0].upper(), snaps[1][0].upper() + ".bin"), b"memory")
	path = os.path.join(folder, "Virtual Machines", "4BF5D3C4-0000-4000-8000-0123456789AB.xml")
	write_file(path, hyperv_text("old", [old(3)]))
	return path, chain, snaps

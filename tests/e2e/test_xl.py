#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xl.cfg: what vdisk machine writes, as Xen's own xl understands it; and what others write, read by both alike."""
import glob, os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib", "xl_shim.c")
found = sorted(glob.glob("/usr/lib/xen-*/bin/xl"))
if not found or not shutil.which("cc"):
	print("no xl here (xen-utils), or no compiler")
	sys.exit(77)
XL = found[-1]


def xl(path):
	"""The configuration as xl has it: a dry run, which starts nothing."""
	if not os.path.exists("shim.so"):
		ran("cc", "-shared", "-fPIC", "-o", "shim.so", SHIM)
	return run(XL, "-N", "create", path, env={"LD_PRELOAD": os.path.abspath("shim.so")})


def of_xl(path):
	r = xl(path)
	check(r.rc == 0, "xl does not take it\n    %s\n%s" % (r.show(), open(path).read()))
	j = r.json()
	b, hvm = j["b_info"], j["b_info"].get("type.hvm", {})
	return {
		"name": j["c_info"]["name"], "uuid": j["c_info"]["uuid"], "type": j["c_info"]["type"],
		"memory": b.get("target_memkb", b.get("max_memkb")) * 1024, "cpus": len(b.get("avail_vcpus", [0])),
		"bios": hvm.get("bios", "seabios"), "hdtype": hvm.get("hdtype", "ide"), "vga": hvm.get("vga", {}).get("kind"), "boot": hvm.get("boot"),
		"serial": hvm.get("serial_list") or [hvm["serial"]] if "serial_list" in hvm or "serial" in hvm else [],
		"disks": [(d["vdev"], d.get("pdev_path", ""), d.get("format"), bool(d.get("is_cdrom")), bool(d.get("readwrite"))) for d in j.get("disks", [])],
		"nics": [(n.get("mac"), n.get("bridge"), n.get("nictype"), n.get("model")) for n in j.get("nics", [])],
	}


def described(**facts):
	"""A description of ours with these facts, as a file."""
	m = {"schema-version": 1, "type": "vdisk-machine", "name": "web", "uuid": "564dc598-db65-ae42-d489-15cf1c43cf9a", "arch": "x86_64", "firmware": "bios",
	     "cpus": 2, "memory": 1 << 30, "disks": [], "nics": [], "serial-ports": []}
	m.update((k.replace("_", "-"), v) for k, v in facts.items())
	with open("m.json", "w") as f:
		json.dump(m, f)
	return "m.json"


def disk(bus, unit, path, **facts):
	return dict({"name": "%s%d" % (bus, unit), "medium": "disk", "bus": bus, "unit": unit, "path": path, "format": "raw"}, **facts)


def written(**facts):
	"""What is written of it, as xl has it; and what was told to be lost."""
	r = vdisk("machine", "--to", "xl", "-o", "m.cfg", "--force", described(**facts))
	return of_xl("m.cfg"), r.err


@case
def a_machine():
	x, lost = written(disks=[disk("xen", 0, "/img/a.qcow2", format="qcow2"), disk("xen", 1, "/img/b.vhd", format="vhd", **{"read-only": True}),
	                         disk("ide", 2, "/img/cd.iso", medium="cdrom", format=None), disk("ide", 3, None, medium="cdrom", format=None)],
	                  nics=[{"mac": "00:16:3e:01:02:03", "model": "xen", "connection": "bridge", "network": "br1"}, {"mac": "00:16:3e:01:02:04", "model": "e1000"}],
	                  serial_ports=[{"kind": "pty"}])
	eq(("web", "564dc598-db65-ae42-d489-15cf1c43cf9a", "hvm", 1 << 30, 2), tuple(x[k] for k in ("name", "uuid", "type", "memory", "cpus")), "the machine")
	eq([("xvda", "/img/a.qcow2", "qcow2", False, True), ("xvdb", "/img/b.vhd", "vhd", False, False),
	    ("hdc", "/img/cd.iso", "raw", True, False), ("hdd", "", "empty", True, False)], x["disks"], "disks")
	eq([("00:16:3e:01:02:03", "br1", "vif", None), ("00:16:3e:01:02:04", None, "vif_ioemu", "e1000")], x["nics"], "NICs")
	eq(("seabios", ["pty"]), (x["bios"], x["serial"]), "firmware and serial line")
	eq("", lost, "told to be lost")


@case
def firmware_and_disks():
	for bus, vdev, hdtype in (("ide", "hda", "ide"), ("sata", "hda", "ahci"), ("scsi", "sda", "ide"), ("xen", "xvda", "ide"), ("virtio", "xvda", "ide")):
		x, _ = written(firmware="uefi", disks=[disk(bus, 0, "/a.raw", adapter="lsi" if bus == "scsi" else None)])
		eq(("ovmf", hdtype, [(vdev, "/a.raw", "raw", False, True)]), (x["bios"], x["hdtype"], x["disks"]), "a disk on %s" % bus)
	x, _ = written(disks=[disk("xen", n, "/%d.raw" % n) for n in range(40)])
	eq(["xvd" + c for c in [chr(97 + n) for n in range(26)] + ["a" + chr(97 + n) for n in range(14)]], [d[0] for d in x["disks"]], "forty of them")
	x, lost = written(disks=[disk("xen", 0, "/a.raw"), disk("floppy", 0, "/boot.img", medium="floppy")])
	eq([("xvda", "/a.raw", "raw", False, True)], x["disks"], "with a floppy, which xl knows none of")
	check("floppy" in lost and "/boot.img" in lost, "is told: %s" % lost)


@case
def nics_and_graphics():
	for model, due in (("ne2000", "ne2k_pci"), ("pcnet", "pcnet"), ("rtl8139", "rtl8139"), ("e1000", "e1000"), ("virtio", "virtio-net"), ("vmxnet3", None)):
		x, _ = written(nics=[{"model": model}])
		eq([(None, None, "vif" if due is None else "vif_ioemu", due)], x["nics"], model)
	for video, due in (("none", "none"), ("vga", "std"), ("cirrus", "cirrus"), ("qxl", "qxl"), ("vmware", "std"), ("virtio", "std")):
		x, _ = written(video=video)
		eq(due, x["vga"], "graphics: %s" % video)
	x, _ = written(serial_ports=[{"kind": "file", "path": "/tmp/s.log"}, {"kind": "tcp", "path": "127.0.0.1:4555"}, {"kind": "pipe", "path": "/tmp/p"}])
	eq(["file:/tmp/s.log", "tcp:127.0.0.1:4555", "pipe:/tmp/p"], x["serial"], "serial lines")


@case
def boot_order():
	for order, due in (([1, 2, 3], "cdn"), ([3, 1, 2], "dnc"), ([2, 3, 1], "ncd"), ([1, None, None], "c")):
		x, _ = written(disks=[disk("xen", 0, "/a.raw", boot=order[0]), disk("ide", 2, "/b.iso", medium="cdrom", format=None, boot=order[1])],
		               nics=[{"model": "e1000", "boot": order[2]}])
		eq(due, x["boot"], "boot order %s" % order)
	x, _ = written(disks=[disk("xen", 0, "/a.raw"), disk("xen", 1, "/b.raw", boot=1)])
	eq(("c", "/b.raw"), (x["boot"], x["disks"][0][1]), "the one that boots is first")


@case
def names():
	"""What xl unescapes and splits."""
	rng = rng_for("names")
	for name in ("a b", 'quo"ted', "it's", "back\\slash", "end\\", "caf\u00e9 \u670d", "a;b#c", "%s %d", "[x]", "x=1, y=2"):
		x, _ = written(name=name, disks=[disk("xen", 0, "/img/%s.raw" % name)], serial_ports=[{"kind": "file", "path": "/log/%s" % name.replace(",", "")}])
		eq((name, "/img/%s.raw" % name), (x["name"], x["disks"][0][1]), "name and path")
		eq(["file:/log/%s" % name.replace(",", "")], x["serial"], "serial line")
	for i in range(30):
		name = "".join(rng.choice("ab \\\"'#;,=[]{}()$%&*~`|<>?!^\u00e9\u4e2d") for _ in range(rng.randrange(1, 40))).strip() or "x"
		x, lost = written(name=name, disks=[disk("xen", 0, "/" + name)])
		eq((name, ("/" + name)[:-1] if name[-1] == "," else "/" + name), (x["name"], x["disks"][0][1]), "name and path")
		eq(name[-1] == ",", "a comma at its end" in lost, "told: %s" % lost)


@case
def what_a_text_cannot_say_besides():
	"""A disk's format and a NIC's network are words of somebody else's description: they stand for themselves alone."""
	for fmt in ("raw,script=/tmp/evil", "qcow2,backendtype=phy", "raw,target=/etc/shadow", "vhd, access=rw", "a b", ",", "a=b"):
		x, lost = written(disks=[disk("xen", 0, "/img/a,b=c.raw", format=fmt, **{"read-only": True})])
		eq([("xvda", "/img/a,b=c.raw", "raw", False, False)], x["disks"], "of %r" % fmt)
		check("its format" in lost and fmt in lost, "%r is told: %s" % (fmt, lost))
		text = open("m.cfg").read()
		check("script" not in text and "backendtype" not in text and "/etc/shadow" not in text, "%r is nowhere in\n%s" % (fmt, text))
	for fmt in ("vmdk", "vdi", "unheard-of_1.0"): # to be converted: xl is not to take it for raw until then
		r = vdisk("machine", "--to", "xl", "-o", "m.cfg", "--force", described(disks=[disk("xen", 0, "/img/a", format=fmt)]))
		check("format=%s," % fmt in open("m.cfg").read() and fmt in r.err, "%s is said, and told: %s" % (fmt, r.err))
		check(xl("m.cfg").rc != 0, "%s is no format of xl's" % fmt)
	with open("d.xml", "w") as f:
		f.write("<domain type='kvm'><name>g</name><memory unit='KiB'>1048576</memory><os><type arch='x86_64'>hvm</type></os><devices>"
		        "<disk type='file' device='disk'><driver name='qemu' type='raw,script=/tmp/evil'/><source file='/img/x.raw'/><target dev='xvda' bus='xen'/>"
		        "</disk></devices></domain>")
	vdisk("machine", "--to", "xl", "-o", "m.cfg", "--force", "d.xml")
	eq([("xvda", "/img/x.raw", "raw", False, True)], of_xl("m.cfg")["disks"], "a domain's disk")
	check("script" not in open("m.cfg").read(), "no script of a domain's driver")
	x, lost = written(nics=[{"mac": "00:16:3e:01:02:03", "model": "xen", "connection": "bridge", "network": "br0,script=/tmp/evil"}])
	eq([("00:16:3e:01:02:03", None, "vif", None)], x["nics"], "a bridge")
	check("/tmp/evil" in lost and "/tmp/evil" not in open("m.cfg").read(), "is told: %s" % lost)


# ---------------------------------------------------------------- others' files

HEAD = 'name = "web"\ntype = "hvm"\nmemory = 512\n'
VDEVS = {"ide": "hd", "sata": "hd", "scsi": "sd", "xen": "xvd"}

READ = {
	"plain": HEAD + 'disk = [ "/a.qcow2,qcow2,xvda,w", "/b,raw,hdb,r" ]\nvif = [ "mac=00:16:3e:01:02:03,bridge=br0" ]\n',
	"old prefixes": HEAD + "disk = [ 'phy:/dev/vg/root,hda,w', 'file:/srv/x.iso,hdc:cdrom,r', 'tap:aio:/c.img,xvdc,w', 'tap:qcow2:/d,sdd,rw' ]\n",
	"by names": HEAD + 'disk = [ "format=vhd, vdev=xvdb, access=ro, target=/x y,z=1.vhd", "target=/only.raw" , "vdev=hdd,devtype=cdrom,target=" ]\n'.replace('"target=/only.raw"', '"vdev=xvdc,target=/only.raw"'),
	"empty drive": HEAD + 'disk = [ ",empty,hdc,cdrom", "/x.iso,,hdd,cdrom" ]\n',
	"lists over lines": HEAD + 'disk = [\n  "/a,raw,hda,rw", # the first\n  "/b,raw,hdb,rw",\n]\nvif = [ "", "mac=00:16:3e:00:00:01, bridge=br1, type=ioemu, model=e1000" ]\n',
	"semicolons": 'name="web";type="hvm";memory=512;vcpus=3\n',
	"words of strings": HEAD + "vcpus = '4'\nboot = 'dc'\nbios='ovmf'\nserial = 'pty'\nuuid = '{564dc598-db65-ae42-d489-15cf1c43cf9a}'\n".replace("{", "").replace("}", ""),
	"hexadecimal": 'name = "web"\ntype = "hvm"\nmemory = 0x200\nvcpus = 0x3\n',
	"octal": 'name = "web"\ntype = "hvm"\nmemory = 01000\n',
	"builder": "name = 'web'\nbuilder = 'hvm'\nmemory = 512\n",
	"most memory alone": 'name = "web"\ntype = "hvm"\nmaxmem = 1024\n',
	"more than is used": HEAD + "maxmem = 1024\nvcpus = 2\nmaxvcpus = 4\n",
	"escapes": 'name = "a\\"b\\\\c\\\'d"\ntype = "hvm"\nmemory = 512\n',
	"escapes by numbers": 'name = "a\\x41d"\ntype = "hvm"\nmemory = 512\n',
	"escapes of nothing": 'name = "a\\qb"\ntype = "hvm"\nmemory = 512\n',
	"lists in lists": HEAD + 'nested = [ [ "pnode=0", "size=512" ], [ [ "x" ], 1 ] ]\ndisk = [ "/a,raw,xvda,w" ]\n',
	"numbers with a sign": HEAD + "vcpus = -1\n",
	"numbers with a point": HEAD + "vcpus = 1.5\n",
	"letters behind a number": HEAD + "vcpus = 0xzz\n",
	"escapes in the other quotes": "name = 'a\\'b\"c'\ntype = \"hvm\"\nmemory = 512\n",
	"ahci": HEAD + 'hdtype = "ahci"\ndisk = [ "/a,raw,hda,w", "/b,raw,hdb,w" ]\n',
	"parts": HEAD + 'disk = [ "/a,raw,xvda1,w", "/b,raw,xvda2,w" ]\n',
	"far": HEAD + 'disk = [ "/a,raw,xvdaa,w", "/b,raw,xvdbz,w" ]\n',
	"twice": HEAD + 'memory = 256\nname = "later"\n',
	"no newline at the end": HEAD + "vcpus = 2",
	"carriage returns": HEAD.replace("\n", "\r\n"),
	"formats by their words": HEAD + 'disk = [ "/a,qed,xvda,w", "/b,qcow,xvdb,w" ]\n',
	"blanks": HEAD + 'disk = [ " /a , raw , xvda , w " ]\nvif = [ " mac = 00:16:3e:01:02:03 , bridge = br0 " ]\n',
	"capital letters": HEAD + 'vif = [ "MAC=00:16:3E:0A:0B:0C,bridge=br0" ]\n',
	"a script": HEAD + 'vif = [ "script=vif-route,bridge=br0,mac=00:16:3e:01:02:03" ]\ndisk = [ "script=block-iscsi,vdev=xvda,target=iqn=x,portal=1" ]\n',
	"a guest without a kernel": "name = \"web\"\ntype=\"pvh\"\nmemory=512\n",
	"added to": HEAD + 'disk = [ "/a,raw,xvda,w" ]\ndisk += [ "/b,raw,xvdb,w" ]\n',
	"a string that ends nowhere": HEAD + 'uuid = "564d\n',
	"a list that ends nowhere": HEAD + 'disk = [ "/a,raw,xvda,w"\n',
	"no value": HEAD + "vcpus =\n",
	"no equals sign": HEAD + "vcpus 2\n",
	"two values": HEAD + "vcpus = 2 3\n",
	"no commas": HEAD + 'disk = [ "/a,raw,xvda,w" "/b,raw,xvdb,w" ]\n',
	"a word without quotes": HEAD + "boot = cd\n",
	"a number that is none": HEAD + 'vcpus = "many"\n',
	"what is no format": HEAD + 'disk = [ "format=vmdk,vdev=xvda,target=/a" ]\n',
	"a colon that is no drive": HEAD + 'disk = [ "/a,raw,xvda:disk,w" ]\n',
}


# What we read and xl does not, or the other way round, and why.
UNLIKE = {
	"escapes by numbers": "xl means to, and is in error",
	"carriage returns": "a file that went by way of Windows says what it said",
	"blanks": "nothing else can be meant",
	"a guest without a kernel": "that is xl's affair, not that of the disks",
	"what is no format": "we write it ourselves, of disks that are still to be converted, and say so",
	"a number that is none": "xl warns, and takes its own",
}


def place(d):
	n, bus = d["unit"], d["bus"]
	if n is None or bus not in VDEVS:
		return d["name"]
	return VDEVS[bus] + (chr(97 + n) if n < 26 else chr(96 + n // 26) + chr(97 + n % 26))


def of_ours(m):
	return {
		"name": m["name"], "memory": m["memory"], "cpus": m["cpus"], "bios": {"uefi": "ovmf"}.get(m["firmware"], "seabios"),
		"disks": [(place(d), d["path"] or "", d["format"] if d["medium"] == "disk" else "raw" if d["path"] else "empty", d["medium"] == "cdrom",
		           d["medium"] == "disk" and not d["read-only"]) for d in m["disks"]],
		"nics": [(n["mac"], n["network"]) for n in m["nics"]],
	}


def read_alike(text, why):
	with open("x.cfg", "w", newline="") as f:
		f.write(text)
	theirs = xl("x.cfg")
	ours = run(VDISK, "machine", "--json", "x.cfg")
	if theirs.rc:
		eq(0 if why else 2, ours.rc, "xl refuses it\n    %s\n    %s\n%s" % (theirs.show(), ours.show(), text))
		return
	if why:
		eq(2, ours.rc, "refused: %s" % why)
		return
	check(ours.rc == 0, "xl takes it\n    %s" % ours.show())
	a, b = of_xl("x.cfg"), of_ours(ours.json()["machines"][0])
	a["nics"] = [n[:2] for n in a["nics"]]
	for key in b:
		eq(a[key], b[key], "%s of\n%s" % (key, text))


for what in READ:
	add("read: " + what, read_alike, READ[what], UNLIKE.get(what))

main()

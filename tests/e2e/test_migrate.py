#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk migrate and vdisk p2v: a machine in, its disks, description and report out; all of it or nothing."""
import base64, errno, glob, hashlib, json, os, re, shutil, signal, stat, subprocess, sys, tarfile, time
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *
from archives import *

PROGRAM = os.path.join(BUILD, "vdisk-migrate")


def need_migrate(*more):
	for name in ("vdisk-migrate",) + more:
		if not os.path.exists(os.path.join(BUILD, name)):
			skip("%s is not built" % name)


def migrate(src, *args, command="migrate", target="kvm", out="out", rc=0, adapt=False, timeout=300, **kw):
	need_migrate()
	r = run(VDISK, command, "--target", target, "--out", out, *(() if adapt else ("--no-adapt",)), "--json", src, *args, timeout=timeout, **kw)
	if r.rc != rc:
		fail("exit status %d is due\n    %s" % (rc, r.show()))
	if rc == 2:
		return r
	report = r.json()
	with open(os.path.join(out, "report.json")) as f:
		eq(report, json.load(f), "the report in the folder, and the one that was printed")
	return report


def no(src, *mentions, args=(), command="migrate", **kw):
	need_migrate()
	return refused(command, "--target", "kvm", "--out", "out", "--no-adapt", *args, src, mentions=mentions, **kw)


VMX = """.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "10"
displayName = "%s"
guestOS = "debian10-64"
memsize = "256"
numvcpus = "1"
sata0.present = "TRUE"
%s
ethernet0.present = "TRUE"
ethernet0.virtualDev = "e1000"
ethernet0.addressType = "static"
ethernet0.address = "00:50:56:01:02:03"
"""


def vmx(path, name, *disks):
	lines = "".join('sata0:%d.present = "TRUE"\nsata0:%d.fileName = "%s"\n' % (i, i, d) for i, d in enumerate(disks))
	with open(path, "w") as f:
		f.write(VMX % (name, lines))
	return path


def vm(rng, name="web", n=1, size=3 * MIB, folder="vm"):
	"""A folder as VMware leaves it; the raw disks lie beside it."""
	os.makedirs(folder)
	raws = []
	for i in range(n):
		raw = make_raw("disk%d.raw" % i, rng, size + i * MIB)
		qemu_img("convert", "-f", "raw", "-O", "vmdk", raw, os.path.join(folder, "disk%d.vmdk" % i))
		raws.append(raw)
	return vmx(os.path.join(folder, name + ".vmx"), name, *["disk%d.vmdk" % i for i in range(n)]), raws


@case
def from_vmx_to_kvm():
	src, raws = vm(rng_for("vmx"), n=2)
	before = tree("vm")
	report = migrate(src, "--name", "my web!")
	eq(before, tree("vm"), "the source")
	eq(["my-web--1.manifest", "my-web--1.qcow2", "my-web--2.manifest", "my-web--2.qcow2", "my-web-.xml", "report.html", "report.json"],
	   sorted(os.listdir("out")), "files")
	check(not os.path.exists("out.partial"), "out.partial is left")
	for raw, d in zip(raws, report["disks"]):
		same_as_raw(raw, os.path.join("out", d["file"]), "qcow2")
		vdisk("verify-manifest", raw, os.path.join("out", d["manifest"]))
	eq(("vmx", "my web!", "kvm", "not-verified", False), (report["source"]["kind"], report["machine"], report["target"], report["verdict"], report["planned-only"]), "facts")
	xml = open("out/my-web-.xml").read()
	for d in report["disks"]:
		check(os.path.join(os.getcwd(), "out", d["file"]) in xml, "the path of %s: %s" % (d["file"], xml))
	check("00:50:56:01:02:03" in xml and "bus=\"sata\"" in xml.replace("'", '"'), xml)
	page = open("out/report.html").read()
	for word in ("my web!", report["disks"][0]["digest"], "my-web--2.qcow2"):
		check(word in page, "%r in the page" % word)
	check(not re.search(r"https?://|(?:src|href)\s*=\s*[\"'](?!data:|#)|url\((?!data:)|@import", page), "the page needs nothing from elsewhere")


@case
def to_each_target():
	src, raws = vm(rng_for("targets"))
	for target, suffix, fmt, word in (("vmware", "vmx", "vmdk", "web.vmdk"), ("virtualbox", "vbox", "vmdk", "web.vmdk"), ("xen", "cfg", "qcow2", "web.qcow2"),
	                                  ("hyperv", "ps1", "vpc", "web.vhd"), ("kvm", "xml", "qcow2", "web.qcow2")):
		report = migrate(src, target=target, out="out-" + target)
		eq("web." + suffix, report["description"], "description")
		check(word in open(os.path.join("out-" + target, report["description"])).read(), "the disk's name in %s" % report["description"])
		same = raws[0] if fmt != "vpc" else None
		r = vdisk("compare", raws[0], os.path.join("out-" + target, report["disks"][0]["file"]))
		if same:
			same_as_raw(same, os.path.join("out-" + target, report["disks"][0]["file"]), fmt)
		elif report["disks"][0]["size"] != os.path.getsize(raws[0]):
			check(any("instead of" in x for x in report["remarks"]), "a remark that the size changed: %r" % report["remarks"])
	# The result of one is the source of the next.
	again = migrate("out-vmware/web.vmx", out="again")
	eq(vdisk("digest", raws[0]).out.split()[0], again["disks"][0]["digest"], "digest after two moves")


@case
def options_are_honoured():
	src, raws = vm(rng_for("options"))
	report = migrate(src, "-O", "qcow2", "-o", "cluster_size=4K,compat=0.10", "-c", "--level", "1", out="a")
	info = qemu_img("info", "--output=json", "a/web.qcow2").json()
	eq((4096, "0.10"), (info["cluster-size"], info["format-specific"]["data"]["compat"]), "the options")
	check(qemu_img("check", "--output=json", "a/web.qcow2").json().get("compressed-clusters", 0) > 0, "compressed clusters")
	same_as_raw(raws[0], "a/web.qcow2", "qcow2")
	report = migrate(src, "-O", "raw", out="b")
	same_bytes(raws[0], "b/web.raw")
	r = vdisk("migrate", "--target", "kvm", "--out", "c", "--no-adapt", "-n", "--json", src)
	check(r.json()["planned-only"] and not os.path.exists("c") and not os.path.exists("c.partial"), "--dry-run writes nothing")
	# Snapshots: what the disk goes on from.
	qemu_img("snapshot", "-c", "before", "b/web.raw", rc=1) # raw has none
	shutil.copy("a/web.qcow2", "snap.qcow2")
	qemu_img("snapshot", "-c", "before", "snap.qcow2")
	qemu_io("snap.qcow2", "qcow2", "write -P 0x5a 0 64k")
	os.makedirs("s")
	shutil.move("snap.qcow2", "s/disk.qcow2")
	xml = open("a/web.xml").read().replace(os.path.join(os.getcwd(), "a/web.qcow2"), os.path.join(os.getcwd(), "s/disk.qcow2"))
	write_file("s/web.xml", xml.encode())
	report = migrate("s/web.xml", "--snapshots", "keep", out="kept")
	eq(1, report["disks"][0]["snapshots"], "snapshots in the report")
	check("before" in qemu_img("snapshot", "-l", "kept/web.qcow2").out, "the snapshot is there")
	eq([], [x for x in report["lost"] if "snapshot" in x["where"]], "nothing of it is lost")
	vdisk("compare", "s/disk.qcow2", "kept/web.qcow2")
	report = migrate("s/web.xml", out="flat")
	check("before" not in qemu_img("snapshot", "-l", "flat/web.qcow2").out, "flattened")
	eq(["before"], [x["value"] for x in report["lost"] if "snapshot" in x["where"]], "and told")
	vdisk("compare", "s/disk.qcow2", "flat/web.qcow2")


@case
def progress_is_told():
	src, _ = vm(rng_for("progress"), n=2)
	r = run(VDISK, "migrate", "--target", "kvm", "--out", "out", "--no-adapt", "--progress", "json", src)
	eq(0, r.rc, r.show())
	plan, *lines = [json.loads(l) for l in r.err.splitlines()]
	eq(["plan", "migrate", [("converting", 2), ("describing", 1)]],
	   [plan["event"], plan["command"], [(p["phase"], p["steps"]) for p in plan["phases"]]], "what is to be done")
	eq([(1, "converting"), (2, "converting"), (3, "describing")], sorted({(l["step"], l["phase"]) for l in lines}), "steps")
	check(all(l["steps"] == 3 and l["command"] == "migrate" and l["event"] == "progress" for l in lines), "%r" % lines[0])
	for step in (1, 2):
		done = [l["done"] for l in lines if l["step"] == step and l["done"] is not None]
		eq(done, sorted(done), "it only grows")
		last = [l for l in lines if l["step"] == step][-1]
		eq(last["total"], last["done"], "to its end")


@case
def names_that_lead_elsewhere():
	src, raws = vm(rng_for("names"))
	os.makedirs("other")
	shutil.copy("vm/disk0.vmdk", "other/disk0.vmdk")
	there = os.path.abspath("other/disk0.vmdk")
	for name in ("../other/disk0.vmdk", there):
		vmx("vm/web2.vmx", "web", name)
		no("vm/web2.vmx", name, "--allow-parent")
		migrate("vm/web2.vmx", "--allow-parent", "other", out="ok")
		same_as_raw(raws[0], "ok/web.qcow2", "qcow2")
		shutil.rmtree("ok")
	os.symlink("../other/disk0.vmdk", "vm/link.vmdk")
	vmx("vm/web2.vmx", "web", "link.vmdk")
	no("vm/web2.vmx", "link.vmdk", "--allow-parent")
	os.symlink("disk0.vmdk", "vm/inner.vmdk")
	vmx("vm/web2.vmx", "web", "inner.vmdk")
	migrate("vm/web2.vmx", out="ok")
	for name, word in (("[datastore1] web/web.vmdk", "datastore1"), ("C:\\\\vm\\\\disk.vmdk", "disk.vmdk"), ("gone.vmdk", "not there"), ("nbd://host/x", "nbd://host/x"),
	                   ("/dev/zero", "/dev/zero")):
		vmx("vm/web2.vmx", "web", name)
		no("vm/web2.vmx", word)
	for more, word in ((dict(chunk=4096), "in pieces"), (dict(compression="gzip"), "packed")):
		with open("vm/m.ovf", "wb") as f:
			f.write(ovf("m", [dict(file="disk0.vmdk", capacity=3 * MIB, **more)]))
		no("vm/m.ovf", word, "OVA")
	with open("vm/m.ovf", "wb") as f:
		f.write(ovf("m", [dict(file="disk0.vmdk", capacity=3 * MIB)]))
	migrate("vm/m.ovf", out="from-ovf")
	same_as_raw(raws[0], "from-ovf/m.qcow2", "qcow2")
	# An extent that leads out of the folder is the image's own affair, and refused there.
	write_file("vm/out.vmdk", b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"../disk0.raw\" 0\n")
	vmx("vm/web2.vmx", "web", "out.vmdk")
	no("vm/web2.vmx", "../disk0.raw")


@case
def nothing_half():
	src, raws = vm(rng_for("half"), n=2)
	os.makedirs("out")
	write_file("out/mine", b"x")
	no(src, "out: exists", "new, or empty")
	os.unlink("out/mine")
	migrate(src) # an empty folder is none
	no(src, "out: exists", "new, or empty")
	shutil.rmtree("out")
	write_file("vm/disk1.vmdk", content("vm/disk1.vmdk")[:70000])
	os.truncate("vm/disk1.vmdk", 70000)
	no(src, "disk1.vmdk")
	os.makedirs("out.partial")
	write_file("out.partial/mine", b"x")
	no(src, "out.partial")
	shutil.rmtree("out.partial")
	no("vm", "machine.json")
	no("disk0.raw", "disk0.raw")
	no("vm/gone.vmx", "vm/gone.vmx")
	for args, word in (([], "--target"), (["--target", "kvm"], "--out"), (["--target", "mars", "--out", "x"], "mars"), (["--target", "kvm", "--out", "no/where"], "no/where"),
	                   (["--target", "kvm", "--out", ".."], ".."), (["--target", "kvm", "--out", "x", "--ova"], "--ova"),
	                   (["--target", "kvm", "--out", "x", "-O", "floppy"], "floppy"), (["--target", "kvm", "--out", "x", "-O", "raw", "-c"], "-c"),
	                   (["--target", "kvm", "--out", "x", "--expect", "y"], "--expect"), (["--target", "kvm", "--out", "x", "--no-adapt", "--serial"], "--serial"),
	                   (["--target", "kvm", "--out", "x", "--system", "0"], "--system"), (["--target", "kvm", "--out", "x", "--resume"], "resume")):
		r = run(VDISK, "migrate", *args, src)
		eq(2, r.rc, "exit status of %s" % r)
		check(word in r.err, "%r in %r" % (word, r.err))
		check(not glob.glob("x*"), "x is left")


@case
def what_cannot_be_is_heard_early():
	"""What the target cannot have is said before anything is converted, so by --dry-run, too."""
	src, raws = vm(rng_for("early"))
	no(src, "libvirt", "a/b", args=["-n", "--name", "a/b"])
	for args in (["-c"], ["-o", "subformat=streamOptimized"]):
		refused("migrate", "--target", "vmware", "--out", "out", "-n", *args, src, mentions=["--no-adapt"])
	report = migrate(src, "-c", target="vmware", out="packed")
	same_as_raw(raws[0], os.path.join("packed", report["disks"][0]["file"]), "vmdk")
	report = migrate(src, "--ova", "--name", "n" * 200, target="vmware", out="long")
	check(tarfile.is_tarfile(os.path.join("long", report["description"])), "the OVA of a machine with a long name: %r" % report["description"])
	no(src, "--timeout", args=["--timeout", "5"])
	for option in ("--drivers", "--key-file"):
		refused("migrate", "--target", "kvm", "--out", "out", "-n", option, "nowhere", src, mentions=[option, "nowhere"])
	os.mkdir("alone")
	shutil.copy(PROGRAM, "alone")
	r = run("alone/vdisk-migrate", "--target", "kvm", "--out", "out", "-n", src, env={"PATH": "/nowhere"})
	check(r.rc == 2 and "vdisk-adapt" in r.err, r.show())
	os.mkdir("there")
	r = run("unshare", "-rm", "sh", "-c", 'mount -t tmpfs none there && exec "$0" "$@"', VDISK, "migrate", "--target", "kvm", "--out", "there", "--no-adapt", "-n", src)
	if "unshare:" not in r.err and "mount:" not in r.err:
		eq(2, r.rc, r.show())
		check("mounted" in r.err, "an empty folder on which something is mounted: %s" % r.show())
	with open("big.raw", "wb") as f:
		f.truncate((2040 << 30) + MIB)
	capture("big", [("sda", "big.raw")])
	report = vdisk("migrate", "--target", "hyperv", "--out", "out", "--no-adapt", "-n", "--json", "big").json()
	eq("vhdx", report["disks"][0]["format"], "format of a disk that VHD cannot hold")


@case
def helpers_and_their_troubles():
	"""The programs beside it: what nohup asks for holds for them, and a verification that goes wrong costs nothing that was made."""
	src, raws = vm(rng_for("helpers"))
	need_migrate()
	os.makedirs("bin")
	shutil.copy(PROGRAM, "bin")
	scripts = {"vdisk-adapt": """printf '{"systems":[{"product":"x","remarks":["%s"]}]}' "$(grep SigIgn /proc/$$/status | tr -d '\\t')" """,
	           "vdisk-verify": "head -c 70000000 /dev/zero"}
	for name, script in scripts.items():
		write_file("bin/" + name, b"#!/bin/sh\n" + script.encode() + b"\n")
		os.chmod("bin/" + name, 0o755)

	def by(ignored, *args):
		return subprocess.run(["bin/vdisk-migrate", "--target", "kvm", "--out", "out", "--json", *args, src], capture_output=True, text=True, timeout=300,
		                      preexec_fn=lambda: [signal.signal(n, signal.SIG_IGN if n in ignored else signal.SIG_DFL) for n in (signal.SIGHUP, signal.SIGINT)])
	for ignored in ((), (signal.SIGHUP,), (signal.SIGHUP, signal.SIGINT)):
		r = by(ignored)
		eq(0, r.returncode, r.stderr)
		said = int([x for x in json.loads(r.stdout)["remarks"] if x.startswith("SigIgn:")][0][7:], 16)
		eq(set(ignored), {n for n in (signal.SIGHUP, signal.SIGINT) if said >> (n - 1) & 1}, "signals that the helper ignores")
		shutil.rmtree("out")
	r = by((), "--verify")
	eq(2, r.returncode, r.stderr)
	check("could not be verified" in r.stderr, r.stderr)
	check(json.loads(r.stdout)["verify-trouble"], r.stdout)
	same_as_raw(raws[0], "out/web.qcow2", "qcow2")


@case
def snapshots_of_vmware():
	"""Two disks with the same snapshots: kept with their branch, or told by name, once."""
	os.makedirs("vm")
	for d in ("sys", "data"):
		vdisk("create", "-f", "vmdk", "vm/%s.vmdk" % d, "3M")
		for i, below in ((1, d), (2, d + "-000001"), (3, d + "-000001")):
			vdisk("create", "-f", "vmdk", "-b", below + ".vmdk", "vm/%s-00000%d.vmdk" % (d, i))
			qemu_io("vm/%s-00000%d.vmdk" % (d, i), "vmdk", "write -P %d %dk 64k" % (i, i * 64))
	src = vmx("vm/web.vmx", "web", "sys-000003.vmdk", "data-000003.vmdk")
	lines = ['.encoding = "UTF-8"', 'snapshot.lastUID = "3"', 'snapshot.current = "2"', 'snapshot.numSnapshots = "3"']
	for i, (name, suffix) in enumerate((("base", ""), ("installed", "-000001"), ("tried", "-000002"))):
		lines += ['snapshot%d.uid = "%d"' % (i, i + 1), 'snapshot%d.filename = "web-Snapshot%d.vmsn"' % (i, i + 1), 'snapshot%d.displayName = "%s"' % (i, name), 'snapshot%d.numDisks = "2"' % i]
		lines += ['snapshot%d.disk%d.fileName = "%s%s.vmdk"' % (i, k, d, suffix) for k, d in enumerate(("sys", "data"))] + (['snapshot%d.parent = "%d"' % (i, i)] if i else [])
	write_file("vm/web.vmsd", ("\n".join(lines) + "\n").encode())
	write_file("vm/web-Snapshot2.vmem", b"memory")
	report = migrate(src, out="flat")
	eq([("snapshot 2: memory of the running machine", "installed")], [(x["where"], x["value"]) for x in report["lost"] if "memory" in x["where"]], "memory")
	report["lost"] = [x for x in report["lost"] if "memory" not in x["where"]]
	eq([("snapshot 1", "base"), ("snapshot 2", "installed"), ("snapshot 3", "tried")], [(x["where"], x["value"]) for x in report["lost"] if "snapshot" in x["where"]], "told")
	for target, suffix in (("vmware", "vmdk"), ("hyperv", "vhd")):
		report = migrate(src, "--snapshots", "keep", target=target, out=target)
		eq([[(n, "web-%d-s%d.%s" % (disk, i + 1, suffix)) for i, n in enumerate(("base", "installed", "tried"))] for disk in (1, 2)],
		   [[(k["name"], k["file"]) for k in d["kept"]] for d in report["disks"]], "kept for " + target)
		eq(["snapshot 2: memory of the running machine", "snapshots: the machine's own settings at their time"], [x["where"] for x in report["lost"] if "snapshot" in x["where"]], "lost")
		check(any("vdisk snapshot lists and applies them" in x for x in report["remarks"]), "where they are is said: %r" % report["remarks"])
		for disk, d in ((1, "sys"), (2, "data")):
			for i, state in enumerate(("", "-000001", "-000002", "-000003")):
				path = "%s/web-%d%s.%s" % (target, disk, "-s%d" % (i + 1) if i < 3 else "", suffix)
				qemu_img("convert", "-f", "vmdk", "-O", "raw", "vm/%s%s.vmdk" % (d, state), "want.raw")
				if suffix == "vmdk":
					qemu_img("compare", "-f", "raw", "-F", "vmdk", "want.raw", path)
				vdisk("compare", "-f", "raw", "want.raw", path)
			if listed(target) is not None: # by names that the folder's last renaming does not touch
				name = "web-%d%%s.%s" % (disk, suffix)
				record = name % "-s1" + ".snapshots"
				eq([sorted((record, name % "-s2")), sorted((record, name % "-s3", name % ""))], [sorted(listed("%s/%s" % (target, name % s))) for s in ("-s1", "-s2")], "who needs them")


def listed(path):
	"""The images that need the one at `path`; None: the file system cannot say so."""
	try:
		return os.getxattr(path, "user.vdisk.children").decode().split("\n")[:-1]
	except OSError as e:
		if e.errno not in (errno.ENOTSUP, errno.ENODATA):
			raise
		return None if e.errno == errno.ENOTSUP else []


@case
def names_of_files():
	"""A machine may be called anything; its files have letters, digits, '.', '_' and '-', and Latin letters stay letters."""
	for said, due in (("B\u00fcro Server", "Buro-Server"), ("Bu\u0308ro", "Buro"), ("Stra\u00dfe \u0141\u00f3d\u017a", "Strasse-Lodz"), ("\u670d\u52a1\u5668 1", "m---1"),
	                  ("a|b: c", "a-b--c"), (".x", "mx"), ("\u0301", "m"), ("\u00e9" * 300, "e" * 80), ("\u00df" * 41, "ss" * 40)):
		shutil.rmtree("vm", ignore_errors=True)
		src, _ = vm(rng_for("names"))
		shutil.rmtree("out", ignore_errors=True)
		report = migrate(src, "--name", said)
		eq((said, due + ".xml", due + ".qcow2"), (report["machine"], report["description"], report["disks"][0]["file"]), "names for %r" % said)


@case
def what_comes_next():
	"""How the result is imported, for each system; a profile's name where a target's is due; a firmware that nobody told of, and a disk that does not boot with it."""
	src, _ = vm(rng_for("next"), size=24 * MIB)
	for args, words in ((["--target", "kvm"], ["virsh define web.xml"]), (["--target", "vmware"], ["web.vmx"]), (["--target", "hyperv"], ["PowerShell", "web.ps1"]),
	                    (["--target", "xen"], ["xl create web.cfg"]), (["--target", "virtualbox"], ["VBoxManage registervm web.vbox"]),
	                    (["--target", "virtualbox", "--ova"], ["VBoxManage import web.ova"]), (["--for", "proxmox"], ["qm importdisk ID web.qcow2"]),
	                    (["--for", "openstack"], ["openstack image create", "web.qcow2"]), (["--for", "azure"], ["page blob", "web.vhd"]),
	                    (["--for", "xcp-ng"], ["xe vdi-import", "web.vhd"]), (["--for", "esxi"], ["vmkfstools -i web.vmdk"])):
		shutil.rmtree("out", ignore_errors=True)
		r = vdisk("migrate", *args, "--out", "out", "--no-adapt", src)
		said = json.load(open("out/report.json"))["next"]
		check(all(w in said for w in words), "%r: %r" % (args, said))
		eq("next: " + said, r.out.splitlines()[1], "what is printed")
		with open("out/report.html") as f:
			check(said.replace("&", "&amp;").replace("<", "&lt;") in f.read(), "the page")
	refused("migrate", "--target", "proxmox", "--out", "x", src, mentions=["--for", "proxmox"])
	refused("migrate", "--target", "kvm", "--out", "x", "vm/disk0.vmdk", mentions=["vdisk convert"])
	# An OVF says nothing of firmware.
	raw = make_raw("boots.raw", rng_for("boots"), 24 * MIB)
	need("sfdisk")
	ran("sfdisk", "-q", raw, stdin=b"label: dos\nstart=2048, type=83, bootable\n", env={"PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"})
	write_file(raw, b"\xfa\x33\xc0" * 100, 0)
	tar("m.ova", [("web.ovf", ovf("web", [{"file": "d.vmdk", "capacity": 24 * MIB}])), ("d.vmdk", stream_vmdk(raw, "d.vmdk"))])
	shutil.rmtree("out", ignore_errors=True)
	r = vdisk("migrate", "--for", "hyperv-gen2", "--out", "out", "--no-adapt", "m.ova")
	remarks = json.load(open("out/report.json"))["remarks"]
	check(any("it gets UEFI" in x for x in remarks), "%r" % remarks)
	check(any("would not boot on Hyper-V, generation 2" in x and "BIOS only" in x for x in remarks) and "would not boot" in r.err, "%r; %r" % (remarks, r.err))
	check("-Generation 2" in open("out/web.ps1").read(), "the script makes a machine of generation 2")
	shutil.rmtree("out")
	r = vdisk("migrate", "--for", "hyperv-gen1", "--out", "out", "--no-adapt", "m.ova")
	eq("", r.err, "generation 1 boots it")
	check("-Generation 1" in open("out/web.ps1").read(), "the script makes a machine of generation 1")


@case
def killed_and_begun_again():
	os.makedirs("vm")
	raw = make_raw("disk0.raw", rng_for("killed"), 64 * MIB, pieces=300, longest=4 * MIB)
	qemu_img("convert", "-f", "raw", "-O", "vmdk", raw, "vm/disk0.vmdk")
	src = vmx("vm/web.vmx", "web", "disk0.vmdk")
	args = [VDISK, "migrate", "--target", "kvm", "--out", "out", "--no-adapt", "-c", "--level", "9", src]
	need_migrate()
	for number in (signal.SIGKILL, signal.SIGTERM):
		for tries in range(20):
			shutil.rmtree("out.partial", ignore_errors=True)
			p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
			deadline = time.monotonic() + 120
			while not glob.glob("out.partial/.web*") and p.poll() is None and time.monotonic() < deadline:
				time.sleep(0.001)
			if p.poll() is None and number == signal.SIGKILL:
				# While one is at work there is no room for another.
				r = run(*args)
				if p.poll() is None:
					eq(2, r.rc, "a second run: %s" % r.show())
					check("another run" in r.err, r.err)
			p.send_signal(number)
			if number == signal.SIGTERM:
				p.send_signal(number) # timeout(1) sends it to the process and to its group: that is one wish
			p.wait()
			if not os.path.exists("out"):
				break
			shutil.rmtree("out") # it was faster
		check(not os.path.exists("out"), "never stopped in the middle")
		eq(number == signal.SIGKILL, os.path.exists("out.partial"), "out.partial after %s" % number.name)
	# What a killed run leaves goes, and only that.
	os.makedirs("out.partial")
	for name in (".vdisk-migrate", "web.xml", ".web.qcow2.vdisk-partial"):
		write_file(os.path.join("out.partial", name), b"x" * 5000)
	os.makedirs("out.partial/folder")
	no(src, "out.partial", "folder")
	os.rmdir("out.partial/folder")
	report = migrate(src)
	same_as_raw(raw, "out/web.qcow2", "qcow2")
	check(not os.path.exists("out.partial"), "out.partial is left")


# ---------------------------------------------------------------- OVA

@case
def ova_out_and_in():
	src, raws = vm(rng_for("ova out"), n=2, size=5 * MIB)
	report = migrate(src, "--ova", target="vmware", out="ova")
	eq(["report.html", "report.json", "web.ova"], sorted(os.listdir("ova")), "files")
	with tarfile.open("ova/web.ova") as t:
		names = t.getnames()
		eq(["web.ovf", "web-1.vmdk", "web-2.vmdk", "web.mf"], names, "order, with the manifest at the end")
		data = {n: t.extractfile(n).read() for n in names}
		check(all(m.isfile() and m.offset_data % 512 == 0 for m in t.getmembers()), "plain members")
	ran("tar", "tf", "ova/web.ova")
	lines = dict(re.match(r"SHA256\((.*)\)= ([0-9a-f]{64})$", l).groups() for l in data["web.mf"].decode().splitlines())
	eq({n: hashlib.sha256(data[n]).hexdigest() for n in names if n != "web.mf"}, lines, "the manifest")
	envelope = data["web.ovf"].decode()
	for i, raw in enumerate(raws, 1):
		name = "web-%d.vmdk" % i
		check('ovf:href="%s"' % name in envelope and 'ovf:size="%d"' % len(data[name]) in envelope, "the size of %s: %s" % (name, envelope))
		write_file(name, data[name])
		same_as_raw(raw, name, "vmdk")
		check("streamOptimized" in qemu_img("info", name).out, "kind of %s" % name)
	back = migrate("ova/web.ova", out="back")
	eq([vdisk("digest", raw).out.split()[0] for raw in raws], [d["digest"] for d in back["disks"]], "digests after a turn")
	eq([d["digest"] for d in report["disks"]], [d["digest"] for d in back["disks"]], "digests in both reports")
	# An OVA to an OVA: nothing lies on the disk in between.
	again = migrate("ova/web.ova", "--ova", target="virtualbox", out="again")
	eq([d["digest"] for d in report["disks"]], [d["digest"] for d in again["disks"]], "digests")
	# A size that VMDK cannot say.
	os.makedirs("odd")
	make_raw("odd/disk.raw", rng_for("odd"), MIB + 100)
	report = migrate(vmx("odd/odd.vmx", "odd", "disk.raw"), "--ova", target="vmware", out="odd-ova")
	eq(MIB + 512, report["disks"][0]["size"], "size")
	check(any("instead of" in r for r in report["remarks"]), "a remark: %r" % report["remarks"])
	env = dict(os.environ, SOURCE_DATE_EPOCH="1700000000")
	migrate("ova/web.ova", "--ova", target="virtualbox", out="e1", env=env)
	migrate("ova/web.ova", "--ova", target="virtualbox", out="e2", env=env)
	same_bytes("e1/web.ova", "e2/web.ova", "the same input")


@case
def ova_of_ten_gib():
	"""In the long tier: 10 GiB in and out, memory stays as it is."""
	if not ALL:
		skip("the long tier")
	os.makedirs("vm")
	rng = rng_for("ten")
	with open("vm/disk.raw", "wb") as f:
		for i in range(1200):
			f.seek(rng.randrange(10 * GIB // MIB) * MIB)
			f.write(rng.randbytes(MIB // 2) + b"some text " * 50000)
		f.truncate(10 * GIB)
	# The disk as a member of more than 8 GiB, as GNU tar says it; holes stay holes.
	write_file("head", ovf("big", [{"file": "disk.raw", "capacity": 10 * GIB, "format": "raw"}]))
	tar("big.ova", [("big.ovf", "head")], tarfile.GNU_FORMAT)
	info = tarfile.TarInfo("disk.raw")
	info.size = 10 * GIB
	at = 512 + -(-os.path.getsize("head") // 512) * 512
	with open("big.ova", "r+b") as f:
		f.seek(at)
		f.write(info.tobuf(tarfile.GNU_FORMAT))
		ran("dd", "if=vm/disk.raw", "of=big.ova", "bs=1M", "conv=sparse,notrunc", "oflag=seek_bytes", "seek=%d" % (at + 512), timeout=900)
		f.truncate(at + 512 + 10 * GIB + 1024)
	digest = vdisk("digest", "vm/disk.raw", timeout=900).out.split()[0]
	os.unlink("vm/disk.raw")
	for src, args, target, out in (("big.ova", ["--ova"], "vmware", "packed"), ("packed/big.ova", [], "kvm", "back")):
		r = run(VDISK, "migrate", "--target", target, "--out", out, "--no-adapt", "--json", *args, src, timeout=3600)
		eq(0, r.rc, r.show())
		eq(digest, r.json()["disks"][0]["digest"], "digest of %s" % out)
		if not sanitized():
			check(r.rss < 160 * MIB, "%s took %d MiB" % (out, r.rss // MIB))


# ---------------------------------------------------------------- that it boots

@case
def booted_and_told():
	need_migrate("vdisk-verify")
	boot_disk("boot.raw", "\r\nhello from the other side\r\n", rng=rng_for("boot"))
	vmdk = stream_vmdk("boot.raw", "boot.vmdk")
	o, v = ("m.ovf", ovf("m", [{"file": "boot.vmdk", "capacity": os.path.getsize("boot.raw")}])), ("boot.vmdk", vmdk)
	tar("m.ova", [o, ("m.mf", manifest([o, v])), v])
	report = migrate("m.ova", "--verify", "--expect", "hello from the other side", "--timeout", "120")
	eq(("booted", None), (report["verdict"], report["verify-trouble"]), "verdict")
	check("hello" in report["verified"]["cause"], "%r" % report["verified"])
	check(b"hello from the other side" in content("out/serial.log"), "the serial line")
	page = open("out/report.html").read()
	check("class=\"verdict booted\"" in page and "hello from the other side" in page, "the page tells")
	if report["screenshot"]:
		eq([base64.b64encode(content("out/screenshot.png")).decode()], re.findall(r"data:image/png;base64,([^\"]*)", page), "the picture in the page")
	vdisk("compare", "boot.raw", "out/m.qcow2")
	# One that does not: all the same it is there, and the answer is no.
	r = run(VDISK, "migrate", "--target", "kvm", "--out", "bad", "--no-adapt", "--verify", "--expect", "never", "--timeout", "5", "m.ova", timeout=300)
	eq(1, r.rc, r.show())
	report = json.load(open("bad/report.json"))
	eq("timed-out", report["verdict"], "verdict")
	vdisk("compare", "boot.raw", "bad/m.qcow2")
	# What cannot be verified at all is trouble, and the work is not lost.
	r = run(VDISK, "migrate", "--target", "kvm", "--out", "none", "--no-adapt", "--verify", "--expect", "(", "m.ova", timeout=300)
	eq(2, r.rc, r.show())
	one_line(r)
	eq("not-verified", json.load(open("none/report.json"))["verdict"], "verdict")
	vdisk("compare", "boot.raw", "none/m.qcow2")


# ---------------------------------------------------------------- captures

def capture(folder, disks, **more):
	os.makedirs(folder)
	for name, raw in disks:
		qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, os.path.join(folder, name + ".qcow2"))
	m = {"schema-version": 1, "name": "box", "firmware": "bios", "cpus": 1, "memory": 268435456,
	     "disks": [{"name": name, "medium": "disk", "bus": "sata", "size": os.path.getsize(raw), "logical-sector": 512} for name, raw in disks]}
	m.update(more)
	write_file(os.path.join(folder, "machine.json"), json.dumps(m).encode())
	return folder


@case
def a_capture():
	rng = rng_for("capture")
	raws = [("sda", make_raw("sda.raw", rng, 3 * MIB)), ("nvme0n1", make_raw("nvme0n1.raw", rng, 2 * MIB))]
	capture("box-1", raws)
	before = tree("box-1")
	for command, src in (("p2v", "box-1"), ("migrate", "box-1"), ("p2v", "box-1/machine.json")):
		report = migrate(src, command=command)
		eq(("capture", command), (report["source"]["kind"], report["command"]), "kind")
		for (name, raw), d in zip(raws, report["disks"]):
			eq(name, d["name"], "name")
			same_as_raw(raw, os.path.join("out", d["file"]), "qcow2")
		shutil.rmtree("out")
	report = vdisk("p2v", "--for", "azure", "--out", "out", "--no-adapt", "--json", "box-1").json()
	eq(("azure", "hyperv", [20 * MIB, 20 * MIB]), (report["for"], report["target"], [d["size"] for d in report["disks"]]), "for Azure")
	eq([20 * MIB + 512] * 2, [os.path.getsize(os.path.join("out", d["file"])) for d in report["disks"]], "files as its importer takes them")
	shutil.rmtree("out")
	eq(before, tree("box-1"), "the capture")
	os.rename("box-1", "box-1.partial")
	no("box-1.partial", "not complete", command="p2v")
	no("box-1.partial/machine.json", "not complete", command="p2v")
	os.rename("box-1.partial", "box-1")
	os.unlink("box-1/nvme0n1.qcow2")
	no("box-1", "nvme0n1", command="p2v")
	src, _ = vm(rng)
	no(src, "vdisk migrate", command="p2v")
	# A raw disk is what its name says, whatever lies in its first sectors.
	capture("box-2", [("sda", "sda.raw")])
	os.rename("box-2/sda.qcow2", "box-2/sda.raw")
	shutil.copy("box-2/sda.raw", "was.raw")
	os.truncate("was.raw", -(-os.path.getsize("was.raw") // 512) * 512)
	shutil.copy("was.raw", "box-2/sda.raw")
	migrate("box-2", command="p2v")
	same_as_raw("was.raw", "out/box.qcow2", "qcow2")


def physical():
	"""A Debian that knows itself as a machine with a SATA disk."""
	r = run("bash", os.path.join(SOURCE, "tests", "lab", "physical.sh"), timeout=1800)
	if r.rc == 77:
		skip(r.err.strip().splitlines()[-1])
	check(r.rc == 0, r.show())
	return r.out.split("\n")[0]


@case
def a_guest_is_adapted():
	"""In the long tier: such a Debian goes to kvm as an OVA, comes up on virtio, and goes back to vmware."""
	if not ALL:
		skip("the long tier")
	need_migrate("vdisk-verify", "vdisk-adapt")
	image = physical()
	vmdk = stream_vmdk(image, "guest.vmdk")
	o, v = ("m.ovf", ovf("m", [{"file": "guest.vmdk", "capacity": os.path.getsize(image)}])), ("guest.vmdk", vmdk)
	tar("m.ova", [o, ("m.mf", manifest([o, v])), v])
	report = migrate("m.ova", "--serial", "--verify", "--engine", "qemu", "--expect", r"guest: address .*\.", "--timeout", "1500", adapt=True, timeout=3600)
	eq("booted", report["verdict"], "verdict: %r" % report["verified"])
	check("root /dev/vda1" in report["verified"]["cause"], "its root: %r" % report["verified"]["cause"])
	changes = [c["path"] for c in report["adapted"]["systems"][0]["changes"]]
	check("/etc/fstab" in changes, "changes: %r" % changes)
	page = open("out/report.html").read()
	check("/etc/fstab" in page and "data:image/png;base64," in page, "the page tells what was changed, and shows the screen")
	check('bus="virtio"' in open("out/m.xml").read().replace("'", '"'), "the disk's bus")
	vdisk("verify-manifest", "out/m.qcow2", "out/m.manifest")
	back = migrate("out/m.xml", "--ova", "--verify", "--engine", "qemu", "--expect", r"guest: address .*\.", "--timeout", "1500", target="vmware", out="back", adapt=True,
	               timeout=3600)
	eq("booted", back["verdict"], "verdict of what went back: %r" % back["verified"])
	with tarfile.open("back/m.ova") as t:
		eq(["m.ovf", "m.vmdk", "m.mf"], t.getnames(), "members")
		t.extract("m.vmdk", "back")
	eq(back["disks"][0]["digest"], vdisk("digest", "back/m.vmdk").out.split()[0], "digest of the disk in the OVA")
	vdisk("lint", "--for", "esxi", "back/m.ova")
	eq(["m.manifest", "m.ova", "report.html", "report.json", "screenshot.png", "serial.log"], sorted(n for n in os.listdir("back") if n != "m.vmdk"), "files")


if __name__ == "__main__":
	main()

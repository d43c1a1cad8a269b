#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""vdisk machine: descriptions of machines, shown and translated; those that other people's software made; what is hostile."""
import os, re, shutil, sys, xml.etree.ElementTree as ET
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

KINDS = ("libvirt", "vmx", "ovf", "vbox", "xl", "hyperv", "json")
READ_BACK = ("libvirt", "vmx", "ovf", "vbox", "xl", "json")

# What VMware's tool refuses and we read, and why.
NEG_READ = {
	"DigitalCertificates/Neg/valid_certificate": "the envelope is right; a certificate beside it is what the case is about",
	"DiskSection/Neg/invalid_createType_disk": "what is wrong is in the image, which is looked at when it is opened",
	"DiskSection_1_0/Neg/invalid_createType_disk": "the same",
	"DiskSection/Neg/not_in_order_disks": "an order that a stream needs; with the files at hand any will do",
	"DiskSection_1_0/Neg/not_in_order_disks": "the same",
	"DiskSection_1_0/Neg/no_format": "the image says its format itself, and better",
	"Envelope/Neg/gzip_compression": "the standard allows it; what is wrong is the file",
	"Envelope/Neg/identity_compression": "the standard allows it; what is wrong is the file",
	"Envelope/Neg/invalid_ref_size_null": "a file's size is optional; that file is missing",
	"Envelope_1_0/Neg/invalid_ref_size_null": "the same",
	"Envelope/Neg/invalid_zero_capacity": "<Info> is missing, which is for people",
	"Envelope_1_0/Neg/invalid_zero_capacity": "the same",
	"Envelope/Neg/section_withnoinfo": "the same",
	"Options/Neg/nvm001": "the envelope is right; the case is about the tool's options",
}
# What VMware's tool accepts and we refuse: collections of no system, in which is nothing to read.
POS_REFUSED = {"VirtualAppliances/Pos/nvapp00" + n: "holds no virtual system" for n in "4578"}
# Others that are refused: by what the message says.
REFUSED = {
	"external/DeleteHDTestdata/PvScsis_old/descriptor": "<HTML>",
	"external/ImportOvf2014/empty_vsc": "no virtual system",
	"external/ImportOvf2014/tagBasedPlacementGroupSection/tagBasedPlacementGroup001": "no virtual system",
	"external/ImportOvf2014/tagBasedPlacementGroupSection/tagBasedPlacementGroup003": "no virtual system",
	"external/ImportOvf2014/tagBasedPlacementGroupSection/tagBasedPlacementGroup004": "no virtual system",
	"external/ImportOvf2014/tagBasedPlacementSection/tagBasedPlacement004": "no virtual system",
	"external/ImportOvf2014/tagBasedPlacementSection/tagBasedPlacement005": "no virtual system",
	"external/ImportOvf2014/unknownsections_updated": "no virtual system",
	"external/policy/nostalgia-vapp": "no virtual system",
	"external/invalid_ovf/path1/testLonCharacterPathLimit/testDBpathLimitwwwwwwwwwwwwwww/descriptor": "is empty",
	"external/ovf_negative_test/New folder/haoUnOS2VMs/haoUnOS2VMs": "no id",
	"external/ovf_negative_test/ovf_with_missing_ovf_content/haoUnOS2VMs": "no NetworkSection",
	"external/security-test-content/ovf/negative-out-of-bound-disk/haoUnOS2VMs": "size of file",
	"external/security-test-content/ovf/negative-size-disk/haoUnOS2VMs": "size of file",
	"external/security-test-content/ovf/out-of-bounds-disk/haoUnOS2VMs": "size of file",
	"multiple_disks": "holds two disks",
}

VMX = """.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "13"
displayName = "web"
guestOS = "debian12-64"
memsize = "2048"
numvcpus = "2"
uuid.bios = "56 4d c5 98 db 65 ae 42-d4 89 15 cf 1c 43 cf 9a"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "web.vmdk"
ide1:0.present = "TRUE"
ide1:0.deviceType = "cdrom-raw"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.address = "00:50:56:01:02:03"
ethernet0.addressType = "static"
ethernet0.networkName = "VM Network"
sound.present = "TRUE"
"""


def machine(*args, rc=0, **kw):
	return vdisk("machine", *args, rc=rc, timeout=60, **kw)


def no(*args, mentions):
	"""Exit status 2, one line, nothing on standard output."""
	before = tree(".")
	r = machine(*args, rc=2)
	eq("", r.out, "stdout")
	check(r.err.count("\n") == 1 and r.err.startswith("vdisk machine: "), "one line on stderr: %s" % r.show())
	check(mentions in r.err, "the message says %r: %s" % (mentions, r.err))
	eq(before, tree("."), "files")
	return r


def write(name, text):
	with open(name, "w") as f:
		f.write(text)
	return name


def valid(path):
	"""libvirt's own schema has nothing against it."""
	if not shutil.which("virt-xml-validate"):
		skip("virt-xml-validate is not installed")
	ran("virt-xml-validate", path, "domain")



@case
def disks_that_are_no_files_here():
	"""On a server, or named as Windows names them: libvirt's schema takes neither, and they are told."""
	for path in ("http://server.example/d.vmdk", "\\\\server\\share\\d.vmdk", "C:\\vm\\d.vmdk"):
		write("web.vmx", VMX.replace('"web.vmdk"', '"%s"' % path))
		r = machine("--to", "libvirt", "-o", "to.xml", "--force", "web.vmx")
		check("it is no file here" in r.err, "told of %s: %s" % (path, r.err))
		(d,) = [d for d in ET.parse("to.xml").getroot().findall("devices/disk") if d.get("device") == "disk"]
		eq(None, d.find("source"), "the source for %s" % path)
		valid("to.xml")


@case
def quiet():
	"""-q says less, whatever is asked for; without it what was not taken is there."""
	write_file("web.vmx", VMX.encode())
	check("not taken" in machine("web.vmx").out and "sound.present" in machine("web.vmx").out, "what is not taken")
	r = machine("-q", "web.vmx")
	check("web" in r.out and "not taken" not in r.out and r.err == "", "quiet: %s" % r.show())
	eq(machine("--json", "web.vmx").out, machine("--json", "-q", "web.vmx").out, "JSON holds all")
	eq("", machine("--to", "libvirt", "-q", "web.vmx").err, "in translating")


@case
def controls_of_two_bytes():
	"""C1's controls, which terminals obey as they do escape sequences, are what C0's are: refused in names, '?' in what only informs."""
	evil = "we\u009b31mb"
	for c in ("\u0080", "\u009b", "\u009f"):
		write_file("evil.vmx", VMX.replace('displayName = "web"', 'displayName = "we%sb"' % c).encode())
		no("evil.vmx", mentions="control character")
		os.unlink("evil.vmx")
	write_file("told.vmx", (VMX + 'annotation = "%s"\nunknown.key = "%s"\n' % (evil, evil)).encode())
	for args in (["told.vmx"], ["--json", "told.vmx"], ["--to", "libvirt", "told.vmx"], ["--to", "json", "told.vmx"]):
		r = machine(*args)
		for text in (r.out, r.err):
			check(not any(0x80 <= ord(c) < 0xa0 for c in text), "%s: %r" % (args, text))
		check("we?31mb" in r.out + r.err, "what is left of it: %r" % (r.out + r.err))
	check("é" in machine("--name", "café", "--to", "vmx", "told.vmx").out, "other letters stay")

@case
def shows():
	write("web.vmx", VMX)
	out = machine("web.vmx").out
	for words in ("web", "564dc598-db65-ae42-d489-15cf1c43cf9a", "scsi pvscsi 0:0", "web.vmdk", "00:50:56:01:02:03, vmxnet3, network VM Network",
	              "not taken     sound.present"):
		check(words in out, "%r is shown: %s" % (words, out))
	j = machine("--json", "web.vmx").json()
	eq(1, j["schema-version"], "schema-version")
	m = j["machines"][0]
	eq(["web", 2, 2 << 30, "bios"], [m["name"], m["cpus"], m["memory"], m["firmware"]], "the machine")
	eq(["pvscsi", "web.vmdk", "vmdk", []], [m["disks"][0][k] for k in ("adapter", "path", "format", "path-flags")], "the disk")
	check(any("sound" in l["where"] for l in m["lost"]), "lost: %r" % m["lost"])
	eq(m, machine("--json", "-", stdin=VMX.encode()).json()["machines"][0], "from standard input")


@case
def libvirt_as_asked():
	"""Buses and NICs as asked, absolute names; the schema's validation of it, and of UEFI with all that goes with it."""
	write("web.vmx", VMX)
	r = machine("--to", "libvirt", "--disk-bus", "virtio", "--nic-model", "virtio", "--network", "bridge:br0", "-o", "web.xml", "web.vmx")
	check("not carried over in reading: sound.present" in r.err and "operating system: debian12-64" in r.err, "what is lost: %s" % r.err)
	eq("", r.out, "stdout")
	valid("web.xml")
	d = ET.parse("web.xml").getroot()
	eq(os.path.join(os.getcwd(), "web.vmdk"), d.find("devices/disk/source").get("file"), "the disk's file")
	eq("virtio", d.find("devices/disk/target").get("bus"), "its bus")
	eq(("br0", "virtio"), (d.find("devices/interface/source").get("bridge"), d.find("devices/interface/model").get("type")), "the NIC")
	eq("pc", d.find("os/type").get("machine"), "machine type")
	write("uefi.vmx", VMX + 'firmware = "efi"\nuefi.secureBoot.enabled = "TRUE"\nvtpm.present = "TRUE"\nserial0.present = "TRUE"\n'
	      'serial0.fileType = "network"\nserial0.fileName = "tcp://0.0.0.0:4000"\nfloppy0.present = "TRUE"\nfloppy0.fileName = "f.img"\n')
	machine("--to", "libvirt", "-o", "uefi.xml", "--domain", "qemu", "uefi.vmx")
	valid("uefi.xml")
	d = ET.parse("uefi.xml").getroot()
	eq(("efi", "q35", "qemu"), (d.find("os").get("firmware"), d.find("os/type").get("machine"), d.get("type")), "firmware and machine")
	eq({"secure-boot": "yes", "enrolled-keys": "yes"}, {f.get("name"): f.get("enabled") for f in d.findall("os/firmware/feature")}, "features")
	check(d.find("devices/tpm") is not None, "a TPM")
	check(all(t.get("bus") != "ide" for t in d.findall("devices/disk/target")), "q35 has no IDE")


@case
def libvirt_many():
	"""Everything that a description can hold at once validates: a hundred disks on each bus, odd names, all NICs, serial ports."""
	disks = [{"name": "%s%d" % (bus, i), "bus": bus, "path": "d & <%s> \"%d\".qcow2" % (bus, i), "size": 1 << 30, "serial": "S/N #%d" % i,
	          "logical-sector-size": 4096, "wwn": "5000c500a0b1c2%02x" % i, "boot": i + 1}
	         for bus in ("virtio", "scsi", "sata", "ide", "usb", "nvme") for i in range(40 if bus != "ide" else 4)]
	disks.append({"medium": "cdrom", "bus": "nvme", "path": "a.iso"})
	nics = [{"mac": "52:54:00:00:00:%02x" % i, "model": model, "connection": net, "network": "net %d" % i, "vlan": i + 1, "mtu": 9000}
	        for i, (model, net) in enumerate((m, n) for m in ("ne2000", "pcnet", "rtl8139", "tulip", "e1000", "e1000e", "vmxnet", "vmxnet3", "virtio",
	                                          "hyperv", "xen") for n in ("bridge", "network", "nat", "host-only", "internal", "none"))]
	ports = [{"kind": k, "path": p} for k, p in (("pty", None), ("file", "/x"), ("tcp", "h:1"), ("device", "/dev/ttyS0"), ("pipe", "\\\\.\\pipe\\x"))]
	for firmware in ("bios", "uefi"):
		for video in ("none", "vga", "cirrus", "vmware", "qxl", "virtio"):
			write("m.json", json.dumps({"schema-version": 1, "name": "a & <b>", "uuid": "564dc598-db65-ae42-d489-15cf1c43cf9a", "cpus": 8, "sockets": 2,
			                            "cores": 2, "threads": 2, "memory": (3 << 30) + 5, "firmware": firmware, "video": video, "video-memory": 33554432,
			                            "tpm": "1.2", "disks": disks, "nics": nics, "serial-ports": ports, "description": "x\ny & <z>"}))
			machine("--to", "libvirt", "-o", "m.xml", "--force", "m.json")
			valid("m.xml")
			eq(len(disks), len(machine("--json", "m.xml").json()["machines"][0]["disks"]), "disks")


@case
def refuses_usage():
	write("web.vmx", VMX)
	for args, words in (((), "one description"), (("a", "b"), "one description"), (("--to", "vmc", "web.vmx"), "read only"), (("--to", "x", "web.vmx"), "no such kind"),
	                    (("-o", "f", "web.vmx"), "--to"), (("--json", "--to", "vmx", "web.vmx"), "--json shows"), (("--force", "--to", "vmx", "web.vmx"), "--output"),
	                    (("--domain", "xen", "web.vmx"), "--domain"), (("--disk-bus", "scsi:x", "web.vmx"), "--disk-bus"), (("--disk-bus", "ide:lsi", "web.vmx"), "--disk-bus"),
	                    (("--network", "bridge", "web.vmx"), "--network"), (("--nic-model", "x", "web.vmx"), "--nic-model"), (("--system", "0", "web.vmx"), "--system"),
	                    (("--ovf-version", "3", "web.vmx"), "--ovf-version"), (("--to", "ovf", "web.vmx"), "size of disk 1 (web.vmdk) is not known"),
	                    (("gone.vmx",), "gone.vmx"), ((".",), "directory"), (("--system", "2", "--from", "vmx", "web.vmx"), None)):
		if words:
			no(*args, mentions=words)
	write("there", "x")
	no("--to", "libvirt", "-o", "there", "web.vmx", mentions="there")
	eq("x", open("there").read(), "what was there")
	machine("--to", "libvirt", "-o", "there", "--force", "web.vmx")
	valid("there")
	no("--to", "libvirt", "-o", "nowhere/there", "web.vmx", mentions="nowhere")


@case
def refuses_what_is_no_file():
	os.mkfifo("fifo.vmx") # nobody writes to it
	os.mkdir("folder.vmx")
	write("empty.vmx", "")
	for name, words in (("fifo.vmx", "standard input"), ("folder.vmx", "directory"), ("empty.vmx", "empty"), ("/dev/null", "no file")):
		no(name, mentions=words)
	eq(2, run(VDISK, "lint", "--for", "kvm", "fifo.vmx", timeout=60).rc, "exit status of lint")


@case
def refuses_attacks():
	bomb = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>%s]>" % "".join(
		"<!ENTITY %s '%s'>" % (chr(98 + i), ("&%s;" % chr(97 + i)) * 10) for i in range(20))
	write("bomb.xml", bomb + "<domain type='kvm'><name>&u;</name></domain>")
	write("secret", "the secret")
	write("file.ovf", "<!DOCTYPE d [<!ENTITY x SYSTEM 'file://%s'>]><Envelope><References>&x;</References></Envelope>" % os.path.abspath("secret"))
	write("net.vbox", "<!DOCTYPE d SYSTEM 'http://127.0.0.1:9/x.dtd'><VirtualBox/>")
	for name in ("bomb.xml", "file.ovf", "net.vbox"):
		r = no(name, mentions="document type")
		check("secret" not in r.err.replace(os.path.abspath("secret"), ""), "nothing of other files: %s" % r.err)
		check(sanitized() or r.rss < 64 * MIB, "%d bytes of memory" % r.rss)
	write("include.xml", "<domain type='kvm' xmlns:xi='http://www.w3.org/2001/XInclude'><name>x</name><xi:include href='%s' parse='text'/></domain>" %
	      os.path.abspath("secret"))
	check("the secret" not in machine("--json", "include.xml").out, "nothing is included")
	write("wide.xml", "<domain>" + "<a/>" * 400000 + "</domain>")
	r = no("wide.xml", mentions="300,000")
	check(sanitized() or r.rss < 160 * MIB, "%d bytes of memory" % r.rss)
	write("attributes.xml", "<domain " + " ".join("a%d=''" % i for i in range(320000)) + "/>")
	no("attributes.xml", mentions="machine")
	with open("big.vmx", "wb") as f:
		f.write(b'a = "1"\n' * (1 << 20) + b"x" * MIB)
	no("big.vmx", mentions="larger")
	write("many.vmx", 'displayName = "x"\n' + "".join('k%d = "v"\n' % i for i in range(30000)))
	no("many.vmx", mentions="20000 settings")
	write("up.ovf", OVF.replace("HREF", "../../etc/passwd"))
	d = machine("--json", "up.ovf").json()["machines"][0]["disks"][0]
	eq(("../../etc/passwd", ["up"]), (d["path"], d["path-flags"]), "a name that leads up is told, and stays as it is")
	check("leads up by .." in machine("up.ovf").out, "it is shown")
	write("name.json", '{"schema-version":1,"name":"../x","memory":1,"disks":[]}')
	no("--to", "libvirt", "name.json", mentions="'/'")
	for i, data in enumerate((VMX.encode() + b"\0" * 100, ("\ufeff" + VMX + "\0").encode("utf-16-le"))):
		with open("zeros%d.vmx" % i, "wb") as f: # what a power cut leaves, or a crooked copy
			f.write(data)
		no("zeros%d.vmx" % i, mentions="NUL")
	write("escapes.vmx", 'displayName = "x"\n\x1b]0;a title\x07 and \x9b31m\n') # U+009B begins a sequence, too
	r = no("escapes.vmx", mentions="line 2")
	check(not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", r.err), "nothing that a terminal obeys: %r" % r.err)


OVF = """<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
<References><File ovf:id="f" ovf:href="HREF"/></References>
<DiskSection><Info/><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^30" ovf:format="vmdk"/></DiskSection>
<VirtualSystem ovf:id="a"><Info/><VirtualHardwareSection><Info/>
<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>ovf:/disk/d</rasd:HostResource></Item>
</VirtualHardwareSection></VirtualSystem>MORE</Envelope>
"""


@case
def several_systems():
	write("two.ovf", OVF.replace("MORE", '<VirtualSystem ovf:id="b"><Info/><VirtualHardwareSection><Info/></VirtualHardwareSection></VirtualSystem>'))
	eq(["a", "b"], [m["name"] for m in machine("--json", "two.ovf").json()["machines"]], "the systems")
	eq(["b"], [m["name"] for m in machine("--json", "--system", "2", "two.ovf").json()["machines"]], "one of them")
	no("--to", "vmx", "two.ovf", mentions="--system")
	no("--system", "3", "two.ovf", mentions="no number 3")
	check('displayName = "b"' in machine("--to", "vmx", "--system", "2", "two.ovf").out, "it is written")


@case
def ovf_rules():
	"""What is written keeps DSP0243's rules: order, references that lead somewhere, ids that are unique; both versions."""
	write("m.json", json.dumps({"schema-version": 1, "name": "x", "cpus": 2, "memory": 1 << 30, "nics": [{"network": "a"}, {"network": "a"}, {}],
	                            "disks": [{"bus": b, "path": "%s%d.vmdk" % (b, i), "size": 1 << 30, "file-size": 77} for b in ("ide", "sata", "scsi") for i in range(3)] +
	                            [{"medium": "cdrom", "path": "x.iso"}]}))
	for version, uri in (("1", "http://schemas.dmtf.org/ovf/envelope/1"), ("2", "http://schemas.dmtf.org/ovf/envelope/2")):
		root = ET.fromstring(machine("--to", "ovf", "--ovf-version", version, "m.json").out)
		o, rasd = "{%s}" % uri, "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"
		eq(["References", "DiskSection", "NetworkSection", "VirtualSystem"], [c.tag.replace(o, "") for c in root], "the order")
		files = {f.get(o + "id"): f for f in root.iter(o + "File")}
		eq(10, len(files), "files")
		eq({"77", None}, {f.get(o + "size") for f in files.values()}, "sizes")
		disks = {d.get(o + "diskId"): d for d in root.iter(o + "Disk")}
		check(all(d.get(o + "fileRef") in files for d in disks.values()), "disks are in files")
		networks = [n.get(o + "name") for n in root.iter(o + "Network")]
		eq(len(set(networks)), len(networks), "networks")
		items = list(root.iter(o + "Item"))
		ids = [i.find(rasd + "InstanceID").text for i in items]
		eq(len(set(ids)), len(ids), "InstanceIDs")
		for i in items:
			names = [c.tag.replace(rasd, "") for c in i if c.tag.startswith(rasd)]
			eq(sorted(names), names, "an item's members come in the order of the alphabet")
			for tag, known in (("Parent", ids), ("Connection", networks)):
				if i.find(rasd + tag) is not None:
					check(i.find(rasd + tag).text in known, "%s %s leads somewhere" % (tag, i.find(rasd + tag).text))
			resource = i.find(rasd + "HostResource")
			if resource is not None:
				kind, name = re.fullmatch("ovf:/(disk|file)/(.*)", resource.text).groups()
				check(name in (disks if kind == "disk" else files), "%s is there" % resource.text)
		check(all(s.find(o + "Info") is not None for s in root.iter() if s.tag.endswith("Section")), "each section says what it is")


@case
def ovf_sizes():
	"""OVF says how large disks are: the images beside a VMX tell, those elsewhere are not looked at."""
	write("web.vmx", VMX)
	qemu_img("create", "-q", "-f", "vmdk", "web.vmdk", "3M")
	root = ET.fromstring(machine("--to", "ovf", "web.vmx").out)
	o = "{http://schemas.dmtf.org/ovf/envelope/1}"
	eq(str(3 * MIB), next(root.iter(o + "Disk")).get(o + "capacity"), "capacity")
	eq(str(os.path.getsize("web.vmdk")), next(root.iter(o + "File")).get(o + "size"), "the file's size")
	os.link("web.vmdk", "web.raw") # which is raw, whatever its bytes are like
	write("raw.vmx", VMX.replace("web.vmdk", "web.raw"))
	root = ET.fromstring(machine("--to", "ovf", "raw.vmx").out)
	eq(str(os.path.getsize("web.raw")), next(root.iter(o + "Disk")).get(o + "capacity"), "capacity of a raw disk")
	write("away.vmx", VMX.replace("web.vmdk", os.path.abspath("web.vmdk")))
	no("--to", "ovf", "away.vmx", mentions="is not known")


# ---------------------------------------------------------------- other people's

def ovf_fixture(path, name):
	short = re.sub(r".*xmltestfiles/", "", name)
	if short in POS_REFUSED or ("/Neg/" in short and short not in NEG_READ) or name in REFUSED:
		r = run(VDISK, "machine", "--json", path)
		check(r.rc == 2 and not r.out and r.err.count("\n") == 1, "%s is refused: %s" % (name, r.show()))
		check(POS_REFUSED.get(short, REFUSED.get(name, "")) in r.err, "%s: the reason: %s" % (name, r.err))
		return None
	return machine("--json", path).json()["machines"]


def translations(path, m, libvirt):
	"""Each other kind takes what was read, and is read itself."""
	for kind in KINDS:
		r = run(VDISK, "machine", "--to", kind, "-q", "-o", "to", "--force", path)
		if kind == "ovf" and "size of disk" in r.err:
			continue
		check(r.rc == 0 or (kind == "libvirt" and "'/'" in r.err), "%s as %s: %s" % (path, kind, r.show()))
		if r.rc == 0 and kind in READ_BACK:
			back = machine("--json", "--from", kind, "to").json()["machines"][0]
			floppies = sum(d["medium"] == "floppy" for d in m["disks"]) if kind == "xl" else 0
			eq((m["name"], len(m["disks"]) - floppies, len(m["nics"])), (back["name"], len(back["disks"]), len(back["nics"])), "%s through %s" % (path, kind))
			if m["memory"]:
				check(back["memory"] >= m["memory"], "memory through %s" % kind)
		if r.rc == 0 and kind == "libvirt" and libvirt:
			valid("to")


def ovf_corpus(name):
	if not shutil.which("zstd"):
		skip("zstd is not installed")
	ran("tar", "--zstd", "-xf", os.path.join(FIXTURES, "ovf", name))
	paths = sorted(os.path.join(d, f) for d, _, names in os.walk(".") for f in names if f.endswith(".ovf"))
	check(paths, "there are envelopes")
	read = 0
	for i, path in enumerate(paths):
		machines = ovf_fixture(path, path[2:-4])
		if not machines:
			continue
		read += 1
		if len(machines) == 1 and (ALL or i % 12 == 0): # all of them in the long tier
			translations(path, machines[0], ALL or i % 60 == 0)
	check(read > 0.7 * len(paths) or len(paths) < 5, "%d of %d are read" % (read, len(paths)))
	print("%d envelopes, %d read" % (len(paths), read))


def vmx_fixture():
	m = machine("--json", os.path.join(FIXTURES, "vmx", "Cosmos.vmx")).json()["machines"][0]
	eq(["Cosmos", 256 << 20, "564dc598-db65-ae42-d489-15cf1c43cf9a"], [m["name"], m["memory"], m["uuid"]], "the machine")
	eq([("Filesystem.vmdk", "disk"), ("CosmosKernel.iso", "cdrom")], [(d["path"], d["medium"]) for d in m["disks"]], "disks")
	eq([("00:0c:29:0c:c9:44", "nat")], [(n["mac"], n["connection"]) for n in m["nics"]], "NICs")
	eq([("pipe", "\\\\.\\pipe\\Cosmos\\Serial")], [(s["kind"], s["path"]) for s in m["serial-ports"]], "serial ports")
	translations(os.path.join(FIXTURES, "vmx", "Cosmos.vmx"), m, True)


if FIXTURES and os.path.isdir(os.path.join(FIXTURES, "ovf")):
	add("fixtures: govmomi-ovf-A", ovf_corpus, "govmomi-ovf-A.tar.zst")
	add("fixtures: gcp-ovf", ovf_corpus, "gcp-ovf.tar.zst")
	add("fixtures: Cosmos.vmx", vmx_fixture)
main()

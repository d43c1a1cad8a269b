#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Windows disks: NTFS with registry hives made here (hivexregedit), dummies for drivers and rhsrvany.  What adapt leaves in the hives is read by
hivexregedit and reged and compared, key by key, with what virt-v2v leaves in the same ones.  No Windows boots here.  What starts libguestfs's
appliance is in the long tier; what the registry becomes is in tests/unit/test_adapt_windows.c by default."""
import contextlib, os, shutil, struct, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from vdtest import *

ADAPT, INSPECT = os.path.join(BUILD, "vdisk-adapt"), os.path.join(BUILD, "vdisk-inspect")
START = MIB
SIZE = 300 * MIB # virt-v2v wants 100 MiB free
TCG = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
os.environ["PATH"] += ":/usr/sbin:/sbin"

# ---------------------------------------------------------------- hives

def cell(b):
	n = (len(b) + 4 + 7) // 8 * 8
	return struct.pack("<i", -n) + b.ljust(n - 4, b"\0")


def hive_empty():
	"""A hive of one key: base block, one bin with the root's key and its security."""
	def root(security):
		return b"nk" + struct.pack("<HQIIIIIIIIIIIIIIIHH", 0x2c, 0x01d0000000000000, 0, 0xffffffff, 0, 0, 0xffffffff, 0xffffffff, 0, 0xffffffff,
			security, 0xffffffff, 0, 0, 0, 0, 0, 4, 0) + b"ROOT"
	security = 0x20 + len(cell(root(0)))
	sd = struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0)
	body = cell(root(security)) + cell(b"sk" + struct.pack("<HIIII", 0, security, security, 1, len(sd)) + sd)
	free = 4096 - 0x20 - len(body)
	bins = b"hbin" + struct.pack("<IIIIQI", 0, 4096, 0, 0, 0x01d0000000000000, 0) + body + struct.pack("<i", free) + bytes(free - 4)
	head = (b"regf" + struct.pack("<IIQIIIIIII", 1, 1, 0x01d0000000000000, 1, 3, 0, 1, 0x20, 4096, 1)).ljust(508, b"\0")
	total = 0
	for word in struct.unpack("<127I", head):
		total ^= word
	return (head + struct.pack("<I", total)).ljust(4096, b"\0") + bins


def hexed(kind, text):
	return "hex(%x):" % kind + ",".join("%02x" % b for b in text.encode("utf-16le"))


def dword(v):
	return "dword:%08x" % v


def sz(text, kind=1):
	return hexed(kind, text + "\0")


def multi(*texts):
	return hexed(7, "".join(t + "\0" for t in texts) + "\0")


def hive_make(path, keys):
	os.makedirs(os.path.dirname(path), exist_ok=True)
	write_file(path, hive_empty())
	known, text = set(), "Windows Registry Editor Version 5.00\n\n"
	for key, values in keys.items():
		parts = key.split("\\")
		for i in range(1, len(parts)): # hivexregedit makes no parents
			above = "\\".join(parts[:i])
			if above not in known and above not in keys:
				text += "[\\%s]\n\n" % above
			known.add(above)
		text += "[\\%s]\n" % key + "".join("%s=%s\n" % ('"%s"' % n if n else "@", v) for n, v in values.items()) + "\n"
	write_file(path + ".reg", text.encode())
	ran("hivexregedit", "--merge", path, path + ".reg")
	os.unlink(path + ".reg")


def hive_export(path):
	"""{(key, value's name), both in small letters: as hivexregedit writes it}"""
	found, key = {}, None
	for line in ran("hivexregedit", "--export", path, "\\").out.splitlines():
		if line.startswith("["):
			key = line[1:-1].lstrip("\\").lower()
			found[key, None] = ""
		elif "=" in line and key is not None:
			name, value = line.split("=", 1)
			found[key, name.strip('"').lower()] = value
	return found


CS = "ControlSet001\\"
NIC = "{0A1B2C3D-1111-2222-3333-444455556666}"
CONNECTION = CS + "Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}\\" + NIC + "\\Connection"
INTERFACE = CS + "Services\\Tcpip\\Parameters\\Interfaces\\" + NIC
SERVER, CLIENT = ("Server", "ServerStandard"), ("Client", "Professional")
RELEASES = { # what its registry calls it, and since 10 its true number
	"w7": ("Windows 7 Professional", "6.1", "7601", None, CLIENT),
	"2k8R2": ("Windows Server 2008 R2 Standard", "6.1", "7601", None, SERVER),
	"2k12": ("Windows Server 2012 Standard", "6.2", "9200", None, SERVER),
	"w8.1": ("Windows 8.1 Pro", "6.3", "9600", None, CLIENT),
	"2k12R2": ("Windows Server 2012 R2 Standard", "6.3", "9600", None, SERVER),
	"2k16": ("Windows Server 2016 Standard", "6.3", "14393", (10, 0), SERVER),
	"w10": ("Windows 10 Pro", "6.3", "19045", (10, 0), CLIENT),
	"2k19": ("Windows Server 2019 Standard", "6.3", "17763", (10, 0), SERVER),
	"2k22": ("Windows Server 2022 Standard", "6.3", "20348", (10, 0), SERVER),
	"w11": ("Windows 10 Pro", "6.3", "22631", (10, 0), CLIENT),
	"2k25": ("Windows Server 2025 Standard", "6.3", "26100", (10, 0), SERVER),
}


def windows_make(folder, release, more=None):
	product, version, build, ten, (kind, edition) = RELEASES[release]
	eight = version != "6.1" # from then on: another AHCI driver, and a database of drivers
	system = {
		"Select": {"Current": dword(1), "Default": dword(1), "Failed": dword(0), "LastKnownGood": dword(1)},
		CS + "Control\\Session Manager\\Environment": {"PROCESSOR_ARCHITECTURE": sz("AMD64")},
		CS + "Control\\ComputerName\\ComputerName": {"ComputerName": sz("SRV")},
		CS + "Services\\Tcpip\\Parameters": {"Hostname": sz("srv")},
		CS + "Services\\storahci" if eight else CS + "Services\\msahci": {"Start": dword(3)},
		CS + "Services\\VMTools": {"Start": dword(2), "DisplayName": sz("VMware Tools")},
		INTERFACE: {"EnableDHCP": dword(0), "IPAddress": multi("192.0.2.5"), "SubnetMask": multi("255.255.255.0"),
			"DefaultGateway": multi("192.0.2.1"), "NameServer": sz("192.0.2.53")},
		CONNECTION: {"Name": sz("Ethernet0"), "PnpInstanceID": sz("PCI\\VEN_8086&DEV_100F\\1")},
		CS + "Enum\\PCI\\VEN_8086&DEV_100F\\1": {"Service": sz("E1G60")},
	}
	software = {
		"Microsoft\\Windows NT\\CurrentVersion": {"ProductName": sz(product), "CurrentVersion": sz(version), "CurrentBuildNumber": sz(build),
			"InstallationType": sz(kind), "EditionID": sz(edition), "SystemRoot": sz("C:\\Windows")},
		"Microsoft\\Windows\\CurrentVersion": {"DevicePath": sz("%SystemRoot%\\inf", 2)},
	}
	if eight:
		system["DriverDatabase"] = {"Version": dword(1)}
	if ten:
		software["Microsoft\\Windows NT\\CurrentVersion"].update(CurrentMajorVersionNumber=dword(10), CurrentMinorVersionNumber=dword(0))
	system.update(more or {})
	for d in ("Windows/System32/drivers", "Windows/Temp", "Program Files"):
		os.makedirs(os.path.join(folder, d))
	hive_make(folder + "/Windows/System32/config/SYSTEM", system)
	hive_make(folder + "/Windows/System32/config/SOFTWARE", software)
	write_file(folder + "/Windows/System32/cmd.exe", pe(0x8664))
	return folder


# ---------------------------------------------------------------- drivers

def pe(machine):
	"""The least that passes for a signed program."""
	b = bytearray(1024)
	wide = machine != 0x14c
	b[0:2] = b"MZ"
	struct.pack_into("<I", b, 60, 128)
	b[128:132] = b"PE\0\0"
	struct.pack_into("<H", b, 132, machine)
	struct.pack_into("<HH", b, 148, 240 if wide else 224, 0x22 if wide else 0x102)
	struct.pack_into("<H", b, 152, 0x20b if wide else 0x10b)
	struct.pack_into("<H", b, 152 + 68, 1)
	struct.pack_into("<I", b, 152 + (108 if wide else 92), 16)
	struct.pack_into("<II", b, 152 + (144 if wide else 128), 768, 256)
	return bytes(b)


def inf(service, class_name, guid, devices, start, group):
	return ("[Version]\r\nSignature=\"$Windows NT$\"\r\nClass=%s\r\nClassGUID=%s\r\nProvider=%%V%%\r\nCatalogFile=%s.cat\r\n[Manufacturer]\r\n"
		"%%V%%=Models,NTamd64\r\n[Models.NTamd64]\r\n" % (class_name, guid, service) +
		"".join("%%D%% = the_inst, PCI\\VEN_1AF4&DEV_%s&SUBSYS_%s1AF4&REV_%s, PCI\\VEN_1AF4&DEV_%s\r\n" % (d, s, r, d) for d, s, r in devices) +
		"[the_inst]\r\nCopyFiles=Files\r\n[Files]\r\n%s.sys,,,2\r\n[SourceDisksFiles]\r\n%s.sys=1,,\r\n[the_inst.Services]\r\n" % (service, service) +
		"AddService=%s,0x00000002,Inst\r\n[Inst]\r\nServiceType=1\r\nStartType=%d\r\nErrorControl=1\r\n" % (service, start) +
		"ServiceBinary=%%12%%\\%s.sys\r\nLoadOrderGroup=%s\r\n[Strings]\r\nV=\"Nobody\"\r\nD=\"A device\"\r\n" % (service, group)).encode()


def drivers_make(folder, releases):
	for release in releases:
		for name, service, text in (
			("viostor", "viostor", inf("viostor", "SCSIAdapter", "{4D36E97B-E325-11CE-BFC1-08002BE10318}",
				(("1001", "0002", "00"), ("1042", "1100", "01")), 0, "SCSI miniport")),
			("NetKVM", "netkvm", inf("netkvm", "Net", "{4d36e972-e325-11ce-bfc1-08002be10318}", (("1000", "0001", "00"), ("1041", "1100", "01")), 3, "NDIS"))):
			at = os.path.join(folder, name, release, "amd64")
			os.makedirs(at)
			write_file("%s/%s.inf" % (at, service), text)
			write_file("%s/%s.sys" % (at, service), pe(0x8664))
			write_file("%s/%s.cat" % (at, service), b"catalog")
	return folder


# ---------------------------------------------------------------- disks

@contextlib.contextmanager
def ntfs(part):
	os.makedirs("mnt", exist_ok=True)
	r = run("ntfs-3g", part, "mnt")
	if r.rc:
		skip("ntfs-3g mounts nothing here: " + r.err.strip())
	try:
		yield "mnt"
	finally:
		ran("umount", "mnt")


def disk_make(folder, path, mark=None):
	"""One NTFS with what the folder holds.  `mark` is called with the file system's file before it goes in."""
	need("mkntfs", "ntfs-3g", "ntfscat", "hivexregedit", "sfdisk", "setfattr", "getfattr")
	part = path + ".part"
	with open(part, "wb") as f:
		f.truncate(SIZE)
	ran("mkntfs", "-F", "-Q", "-q", "-s", 512, "-p", START // 512, "-H", 255, "-S", 63, part)
	with ntfs(part) as to:
		ran("cp", "-r", folder + "/.", to)
		# Hidden and a system file, as Windows has it: what a file made anew would not be.
		ran("setfattr", "-n", "system.ntfs_attrib_be", "-v", "0x00000026", to + "/Windows/System32/config/SYSTEM")
	if mark:
		mark(part)
	with open(path, "wb") as f:
		f.truncate(START + SIZE + MIB)
	ran("dd", "if=" + part, "of=" + path, "bs=1M", "seek=1", "conv=notrunc,sparse")
	ran("sfdisk", "-q", path, stdin=b"%d,%d,7,*\n" % (START // 512, SIZE // 512))
	os.unlink(part)
	return path


def disk_make_uefi(folder, path, loader):
	"""GPT: an EFI system partition with Windows' loader where Windows has it, then the NTFS."""
	need("mkfs.vfat", "mcopy", "mmd")
	esp, at = path + ".esp", 64 * MIB
	disk_make(folder, path)
	ran("mv", path, path + ".mbr")
	with open(esp, "wb") as f:
		f.truncate(40 * MIB)
	ran("mkfs.vfat", "-F", 32, esp)
	ran("mmd", "-i", esp, "::EFI", "::EFI/Microsoft", "::EFI/Microsoft/Boot")
	write_file("loader", loader)
	ran("mcopy", "-i", esp, "loader", "::EFI/Microsoft/Boot/bootmgfw.efi")
	with open(path, "wb") as f:
		f.truncate(at + SIZE + MIB)
	ran("dd", "if=" + path + ".mbr", "of=" + path, "bs=1M", "skip=1", "seek=64", "count=%d" % (SIZE // MIB), "conv=notrunc,sparse")
	ran("dd", "if=" + esp, "of=" + path, "bs=1M", "seek=1", "conv=notrunc,sparse")
	ran("sfdisk", "-q", path, stdin=b"label: gpt\n2048,%d,U\n%d,%d,EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\n" %
		(40 * MIB // 512, at // 512, SIZE // 512))
	return path


def part_of(disk):
	ran("dd", "if=" + disk, "of=" + disk + ".back", "bs=1M", "skip=1", "conv=sparse")
	return disk + ".back"


def file_of(part, path, to=None):
	r = ran("ntfscat", "-f", part, path)
	if to:
		write_file(to, r.raw)
	return r.raw


def long_tier():
	if not ALL:
		skip("long tier")
	need("virt-v2v", "hivexregedit", "mkntfs", "ntfs-3g")
	if not os.path.exists(ADAPT):
		skip("this build has no vdisk-adapt")


# ---------------------------------------------------------------- looking

@case
def inspect():
	if not os.path.exists(INSPECT):
		skip("this build has no vdisk-inspect")
	tree_ = windows_make("tree", "2k19", {CS + "Control\\Session Manager\\Power": {"HiberbootEnabled": dword(1)}})
	write_file("tree/hiberfil.sys", b"HIBR" + bytes(5 * MIB))
	disk = disk_make(tree_, "disk.img")
	before = sha256(disk)
	r = ran(INSPECT, "--json", disk)
	system = r.json()["systems"][0]
	eq("windows", system["kind"], "kind")
	eq("Windows Server 2019 Standard", system["product"], "product")
	w = system["windows"]
	text = ran(INSPECT, disk).out
	for part in ("Windows Server 2019 Standard, x86_64, host SRV", "storahci (on demand)", "192.0.2.5/24"):
		check(part in text, "%r is not in\n%s" % (part, text))
	check(any(s["name"] == "VMTools" and s["of"] == "vmware" for s in w["services"]), "VMTools is not among %r" % w["services"])
	check("ibernat" in text and "Fast Startup" in text, "hibernation and Fast Startup are not in\n%s" % text)
	eq(before, sha256(disk), "the disk")
	check(not any(w[k] for k in ("unclean", "dynamic", "encrypted")), "what else stands in the way: %r" % w)


@case
def inspect_barriers():
	"""What its files do not tell: a partition table's and the volume's own flags."""
	if not os.path.exists(INSPECT):
		skip("this build has no vdisk-inspect")
	windows_make("tree", "2k19")
	disk = disk_make("tree", "disk.img", lambda part: ran("ntfsfix", part))
	w = ran(INSPECT, "--json", disk).json()["systems"][0]["windows"]
	check(w["unclean"], "an NTFS that is marked for chkdsk is not told: %r" % w)
	write_file(disk, b"\x42", 446 + 4)
	w = ran(INSPECT, "--json", disk).json()["systems"][0]["windows"]
	check(w["dynamic"], "a dynamic disk is not told: %r" % w)


# ---------------------------------------------------------------- virt-v2v

def v2v(disk, drivers):
	os.makedirs("tools")
	os.makedirs("out")
	write_file("tools/rhsrvany.exe", pe(0x14c))
	ran("virt-v2v", "-i", "disk", disk, "-o", "local", "-os", "out", "-of", "raw", timeout=1200,
	    env=dict(TCG, VIRT_TOOLS_DATA_DIR=os.path.abspath("tools"), VIRTIO_WIN=os.path.abspath(drivers)))
	return os.path.join("out", [n for n in os.listdir("out") if not n.endswith(".xml")][0])


def utf16_hex(text):
	return ",".join("%02x" % b for b in text.encode("utf-16le"))


def renamed(text):
	"""virt-v2v's name for the package in the driver database is its own, as ours is."""
	for theirs, ours in (("guestor.inf", "vdisk-viostor.inf"), ("guestor_conf", "the_inst")):
		text = text.replace(theirs, ours).replace(utf16_hex(theirs), utf16_hex(ours))
	return text


def compare_with_v2v(release):
	long_tier()
	tree_ = windows_make("tree", release)
	drivers = drivers_make("drivers", sorted({"2k19", "2k8R2", "w7", release}))
	disk = disk_make(tree_, "disk.img")
	ran("cp", "--sparse=always", disk, "ours.img")
	theirs = part_of(v2v(disk, drivers))
	ran(ADAPT, "--target", "kvm", "--drivers", drivers, "ours.img", timeout=900, env=TCG)
	ours = part_of("ours.img")
	for name in ("SYSTEM", "SOFTWARE"):
		for who, part in (("theirs", theirs), ("ours", ours)):
			file_of(part, "/Windows/System32/config/" + name, "%s.%s" % (who, name))
		old, v, u = (hive_export(p) for p in (tree_ + "/Windows/System32/config/" + name, "theirs." + name, "ours." + name))
		n = 0
		for (key, value), text in v.items():
			if old.get((key, value)) == text or key.endswith("crashcontrol") or "\\services\\firstboot" in key:
				continue # its own first boot, and that a blue screen stays, which nobody asked us for
			n += 1
			eq(renamed(text), u.get((renamed(key), value if value is None else renamed(value))), "%s: %s, %s: virt-v2v's and ours" % (name, key, value))
		check(n >= (12 if name == "SYSTEM" else 1), "virt-v2v changed %d values of %s" % (n, name))
	with ntfs(ours) as at:
		attributes = ran("getfattr", "-n", "system.ntfs_attrib_be", "-e", "hex", at + "/Windows/System32/config/SYSTEM").out
	check("0x00000026" in attributes, "the hive's attributes: " + attributes)
	for path in ("System32/drivers/viostor.sys", "Drivers/VirtIO/viostor.inf", "Drivers/VirtIO/netkvm.sys", "Drivers/VirtIO/netkvm.cat"):
		eq(file_of(theirs, "/Windows/" + path), file_of(ours, "/Windows/" + path), path)
	return ours, u


@case
def v2v_2019():
	compare_with_v2v("2k19")
	if shutil.which("reged"): # a reader of another making
		ran("reged", "-x", "ours.SYSTEM", "HKLM\\SYSTEM", CS + "Services\\viostor", "out.reg")
		with open("out.reg") as f:
			text = f.read()
		for part in ('"Start"=dword:00000000', '"Group"="SCSI miniport"', '"Tag"=dword:00000001'):
			check(part in text, "reged finds no %s in\n%s" % (part, text))


@case
def v2v_2008r2():
	ours, _ = compare_with_v2v("2k8R2")
	system = hive_export("ours.SYSTEM")
	eq(dword(4), system[CS.lower() + "services\\vmtools", "start"], "VMware Tools")
	check(b"'192.0.2.5'" in file_of(ours, "/Windows/vdisk/network.ps1"), "the address is not in the first boot's script")
	before = sha256("ours.img")
	r = ran(ADAPT, "--target", "kvm", "--drivers", "drivers", "--json", "ours.img", timeout=900, env=TCG)
	eq([], r.json()["systems"][0]["changes"], "what a second run changes")
	eq(before, sha256("ours.img"), "the disk after a second run")


for other in RELEASES:
	if other not in ("2k19", "2k8R2", "2k25", "w11"):
		add("v2v " + other, compare_with_v2v, other)


def gained(release):
	"""What its hives have afterwards and had not before."""
	tree_ = windows_make("tree." + release, release)
	disk = disk_make(tree_, release + ".img")
	ran(ADAPT, "--target", "kvm", "--drivers", "drivers", disk, timeout=900, env=TCG)
	part, new = part_of(disk), {}
	for name in ("SYSTEM", "SOFTWARE"):
		file_of(part, "/Windows/System32/config/" + name, "now." + name)
		old = hive_export(tree_ + "/Windows/System32/config/" + name)
		new.update({(name, *k): text for k, text in hive_export("now." + name).items() if old.get(k) != text})
	return new


def gains_the_same(release, known):
	"""virt-v2v 2.2 does not know these, and changes nothing of their registry: it is held against what one that it knows gets."""
	long_tier()
	drivers_make("drivers", (release, known))
	was, now = gained(known), gained(release)
	check(any(k[1].endswith("services\\viostor") for k in now), "no viostor: %s" % sorted(map(str, now))[:20])
	eq(was, now, "what the registry gets")


add("2025 as 2022", gains_the_same, "2k25", "2k22")
add("11 as 10", gains_the_same, "w11", "w10")


@case
def uefi_fallback():
	long_tier()
	windows_make("tree", "2k19")
	loader = pe(0x8664) + b"a loader" * 1000
	disk = disk_make_uefi("tree", "disk.img", loader)
	r = ran(ADAPT, "--target", "kvm", disk, timeout=900, env=TCG)
	check("fallback loader" in r.out, "no word of the fallback loader:\n" + r.out)
	write_file("esp", b"")
	ran("dd", "if=" + disk, "of=esp", "bs=1M", "skip=1", "count=40")
	ran("mcopy", "-i", "esp", "::EFI/Boot/bootx64.efi", "fallback")
	same_bytes("loader", "fallback", "UEFI's fallback loader")


# ---------------------------------------------------------------- refusals

def refused_adapt(disk, *mentions):
	before = sha256(disk)
	r = ran(ADAPT, "--target", "kvm", disk, rc=2, timeout=900, env=TCG)
	one_line(r)
	for m in mentions:
		check(m in r.err, "the refusal does not mention %r: %s" % (m, r.err))
	eq(before, sha256(disk), "the disk")
	eq([], [n for n in os.listdir(".") if n.startswith(disk + ".") or n.startswith("." + disk)], "what is left beside it")


@case
def refuses_hibernated():
	long_tier()
	windows_make("tree", "2k19")
	write_file("tree/hiberfil.sys", b"HIBR" + bytes(MIB))
	refused_adapt(disk_make("tree", "disk.img"), "hibernated", "powercfg /h off")


@case
def refuses_fast_startup():
	long_tier()
	windows_make("tree", "2k19", {CS + "Control\\Session Manager\\Power": {"HiberbootEnabled": dword(1)}})
	write_file("tree/hiberfil.sys", b"wake" + bytes(MIB))
	refused_adapt(disk_make("tree", "disk.img"), "Fast Startup", "powercfg /h off")


@case
def refuses_unclean():
	long_tier()
	windows_make("tree", "2k19")
	refused_adapt(disk_make("tree", "disk.img", lambda part: ran("ntfsfix", part)), "/dev/sda1", "chkdsk /f")


@case
def refuses_dynamic():
	long_tier()
	windows_make("tree", "2k19")
	disk = disk_make("tree", "disk.img")
	write_file(disk, b"\x42", 446 + 4)
	refused_adapt(disk, "dynamic disk")


@case
def refuses_bitlocker():
	long_tier()
	windows_make("tree", "2k19")
	disk = disk_make("tree", "disk.img")
	head = bytearray(512) # what stands in clear: a head that names its metadata, and that in three copies
	head[0:11] = b"\xeb\x58\x90-FVE-FS-"
	head[160:176] = bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")
	copies = [i * 64 * MIB for i in (1, 2, 3)]
	struct.pack_into("<QQQ", head, 176, *copies)
	write_file(disk, bytes(head), START)
	for at in copies:
		write_file(disk, b"-FVE-FS-" + struct.pack("<HH", 100, 2), START + at)
	refused_adapt(disk, "BitLocker", "manage-bde -off")


main()

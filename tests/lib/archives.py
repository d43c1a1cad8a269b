# SPDX-License-Identifier: LGPL-2.1-or-later
"""Machines in one file, made by Python from what their formats say: OVA, XVA, VMA; with places where a test may lie."""
import ctypes, hashlib, io, os, struct, tarfile
from vdtest import *

CHUNK = 1 << 20
OVF_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

OVF = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
 <References>%(files)s</References>
 <DiskSection><Info>disks</Info>%(disks)s</DiskSection>
 <VirtualSystem ovf:id="%(name)s"><Info>a machine</Info><Name>%(name)s</Name>
  <OperatingSystemSection ovf:id="96"><Info>os</Info><Description>Debian</Description></OperatingSystemSection>
  <VirtualHardwareSection><Info>hardware</Info>
   <System><vssd:ElementName>h</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemIdentifier>%(name)s</vssd:VirtualSystemIdentifier>
    <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType></System>
   <Item><rasd:ElementName>cpu</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
    <rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
   <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>memory</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID>
    <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>256</rasd:VirtualQuantity></Item>
   <Item><rasd:Address>0</rasd:Address><rasd:ElementName>sata</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID>
    <rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>%(items)s
  </VirtualHardwareSection>
 </VirtualSystem>
</Envelope>
"""


def ovf(name, disks):
	"""disks: dicts with file (None: the disk has none), capacity, and perhaps size, chunk, compression, parent (another disk's number),
	shown (whether a device shows it)."""
	files = nodes = items = ""
	for i, d in enumerate(disks):
		over = ' ovf:parentRef="d%d"' % d["parent"] if "parent" in d else ""
		more = ' ovf:size="%d"' % d["size"] if "size" in d else ""
		more += ' ovf:chunkSize="%d"' % d["chunk"] if "chunk" in d else ""
		more += ' ovf:compression="%s"' % d["compression"] if "compression" in d else ""
		files += '<File ovf:id="f%d" ovf:href="%s"%s/>' % (i, d["file"], more) if d["file"] else ""
		nodes += '<Disk ovf:diskId="d%d"%s ovf:capacity="%d" ovf:format="%s"%s/>' % (i, ' ovf:fileRef="f%d"' % i if d["file"] else "", d["capacity"],
		                                                                             d.get("format", OVF_FORMAT), over)
		if not d.get("shown", True):
			continue
		items += ('<Item><rasd:AddressOnParent>%d</rasd:AddressOnParent><rasd:ElementName>disk%d</rasd:ElementName>'
		          '<rasd:HostResource>ovf:/disk/d%d</rasd:HostResource><rasd:InstanceID>%d</rasd:InstanceID><rasd:Parent>3</rasd:Parent>'
		          '<rasd:ResourceType>17</rasd:ResourceType></Item>') % (i, i, i, 10 + i)
	return (OVF % {"name": name, "files": files, "disks": nodes, "items": items}).encode()


def tar(path, members, fmt=tarfile.USTAR_FORMAT):
	"""members: (name, bytes or a path to copy) or ready TarInfo objects, in this order."""
	with tarfile.open(path, "w", format=fmt) as t:
		for m in members:
			if isinstance(m, tarfile.TarInfo):
				t.addfile(m)
				continue
			name, data = m
			info = tarfile.TarInfo(name)
			if isinstance(data, bytes):
				info.size = len(data)
				t.addfile(info, io.BytesIO(data))
			else:
				info.size = os.path.getsize(data)
				with open(data, "rb") as f:
					t.addfile(info, f)
	return path


def content(data):
	if isinstance(data, bytes):
		return data
	with open(data, "rb") as f:
		return f.read()


def manifest(members, alg="SHA256", gap=""):
	return "".join("%s%s(%s)= %s\n" % (alg, gap, name, hashlib.new(alg.lower(), content(data)).hexdigest()) for name, data in members).encode()


def stream_vmdk(raw, path):
	qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, path)
	return path


# ---------------------------------------------------------------- XVA

def xxh64(data):
	lib = ctypes.CDLL("libxxhash.so.0")
	lib.XXH64.restype = ctypes.c_uint64
	lib.XXH64.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
	return "%016X" % lib.XXH64(data, len(data), 0)


def value(v):
	if isinstance(v, dict):
		return "<value><struct>%s</struct></value>" % "".join("<member><name>%s</name>%s</member>" % (k, value(x)) for k, x in v.items())
	if isinstance(v, list):
		return "<value><array><data>%s</data></array></value>" % "".join(value(x) for x in v)
	if isinstance(v, bool):
		return "<value><boolean>%d</boolean></value>" % v
	return "<value>%s</value>" % v


def ova_xml(name, disks):
	"""disks: (reference, size)."""
	objects = [{"class": "VM", "id": "Ref:0", "snapshot": {
		"uuid": "6d834684-f97e-0488-1f76-70bf72df34ac", "name_label": name, "name_description": "", "memory_static_max": 256 * MIB,
		"memory_dynamic_max": 256 * MIB, "VCPUs_max": 2, "VCPUs_at_startup": 2, "HVM_boot_policy": "BIOS order", "HVM_boot_params": {"order": "cd"},
		"is_a_template": False, "is_a_snapshot": False, "VBDs": ["Ref:%d" % (100 + i) for i in range(len(disks))], "VIFs": [], "platform": {}}}]
	for i, (ref, size) in enumerate(disks):
		objects.append({"class": "VBD", "id": "Ref:%d" % (100 + i), "snapshot": {
			"uuid": "00000000-0000-0000-0000-%012d" % i, "VM": "Ref:0", "VDI": ref, "device": "", "userdevice": str(i), "bootable": i == 0, "mode": "RW",
			"type": "Disk", "empty": False}})
		objects.append({"class": "VDI", "id": ref, "snapshot": {
			"uuid": "00000000-0000-0000-0001-%012d" % i, "name_label": "disk %d" % i, "virtual_size": size, "physical_utilisation": size, "type": "user",
			"sharable": False, "read_only": False}})
	return ('<?xml version="1.0"?>\n' + value({"version": {"hostname": "x", "product_version": "8.2.0", "export_vsn": 2}, "objects": objects})).encode()


def xva_members(name, disks, checksum="xxhash", lie=None):
	"""disks: (reference, raw bytes).  lie(list of members) may change them."""
	members = [("ova.xml", ova_xml(name, [(ref, len(data)) for ref, data in disks]))]
	for ref, data in disks:
		last = (len(data) - 1) // CHUNK
		for i in range(last + 1):
			piece = data[i * CHUNK:(i + 1) * CHUNK]
			if not any(piece) and i not in (0, last):
				continue
			chunk = "%s/%08d" % (ref, i)
			members.append((chunk, piece))
			if checksum == "xxhash":
				members.append((chunk + ".xxhash", xxh64(piece).encode()))
			elif checksum == "sha1":
				members.append((chunk + ".checksum", hashlib.sha1(piece).hexdigest().encode()))
	if lie:
		lie(members)
	return members


def xva(path, name, disks, **kw):
	return tar(path, xva_members(name, disks, **kw))


# ---------------------------------------------------------------- VMA

VMA_CONF = """boot: order=scsi0
cores: 2
memory: 256
name: %(name)s
ostype: l26
%(disks)s"""


def proxmox_conf(name, disks):
	lines = ""
	for i, (dev, size) in enumerate(disks):
		slot = dev.replace("drive-", "")
		lines += "%s: local-lvm:vm-100-disk-%d,size=%dK\n" % (slot, i, size // 1024)
	lines += "".join("#qmdump#map:%s:%s:local-lvm:raw:\n" % (dev.replace("drive-", ""), dev) for dev, _ in disks)
	return (VMA_CONF % {"name": name, "disks": lines}).encode()


class Vma:
	"""disks: (device name, raw bytes).  The clusters of all disks come in `order`, a list of (device, cluster)."""
	def __init__(self, name, disks, conf=None):
		self.uuid = hashlib.md5(name.encode()).digest()
		self.disks = disks
		self.conf = conf if conf is not None else proxmox_conf(name, [(n, len(d)) for n, d in disks])
		self.order = [(dev, c) for dev, (_, data) in enumerate(disks, 1) for c in range(-(-len(data) // 65536))]
		self.sizes = [len(d) for _, d in disks]
		self.version = 1

	def header(self):
		blobs = b"\0"

		def blob(b):
			nonlocal blobs
			at = len(blobs)
			blobs += struct.pack("<H", len(b)) + b
			return at
		head = bytearray(12288)
		names, datas = [0] * 256, [0] * 256
		names[0], datas[0] = blob(b"qemu-server.conf\0"), blob(self.conf)
		for i, (name, _) in enumerate(self.disks, 1):
			struct.pack_into(">IIQ", head, 4096 + 32 * i, blob(name.encode() + b"\0"), 0, self.sizes[i - 1])
		head[0:4] = b"VMA\0"
		struct.pack_into(">I", head, 4, self.version)
		head[8:24] = self.uuid
		struct.pack_into(">q", head, 24, 1700000000)
		blobs += bytes(-len(blobs) % 512)
		struct.pack_into(">III", head, 48, 12288, len(blobs), 12288 + len(blobs))
		struct.pack_into(">256I", head, 2044, *names)
		struct.pack_into(">256I", head, 3068, *datas)
		return self.sign(bytes(head) + blobs, 32)

	@staticmethod
	def sign(b, at):
		b = bytearray(b)
		b[at:at + 16] = bytes(16)
		b[at:at + 16] = hashlib.md5(b).digest()
		return bytes(b)

	def extent(self, clusters):
		"""clusters: (device, cluster)."""
		head, data, blocks = bytearray(512), b"", 0
		head[0:4] = b"VMAE"
		head[8:24] = self.uuid
		for i, (dev, cluster) in enumerate(clusters):
			piece = self.disks[dev - 1][1][cluster * 65536:(cluster + 1) * 65536]
			piece += bytes(65536 - len(piece))
			mask = 0
			for b in range(16):
				block = piece[b * 4096:(b + 1) * 4096]
				if any(block):
					mask |= 1 << b
					data += block
					blocks += 1
			struct.pack_into(">Q", head, 40 + 8 * i, mask << 48 | dev << 32 | cluster)
		struct.pack_into(">H", head, 6, blocks)
		return self.sign(head, 24) + data

	def extents(self):
		return [self.extent(self.order[i:i + 59]) for i in range(0, len(self.order), 59)]

	def write(self, path):
		with open(path, "wb") as f:
			f.write(self.header())
			for e in self.extents():
				f.write(e)
		return path


# ---------------------------------------------------------------- a disk that boots

def boot_disk(path, text, size=4 * MIB, rng=None):
	"""Its boot sector writes `text` on the serial line and stops; behind it lies what a disk may hold."""
	sector = bytearray(512)
	code = bytes.fromhex("31c08ed8be007dac84c07406baf803eeebf5f4ebfd")
	sector[0:len(code)] = code
	sector[256:256 + len(text) + 1] = text.encode() + b"\0"
	sector[510:512] = b"\x55\xaa"
	with open(path, "wb") as f:
		f.write(sector)
		f.truncate(size)
		if rng:
			for _ in range(12):
				f.seek(rng.randrange(1, size // 512 - 512) * 512)
				f.write(rng.randbytes(rng.randrange(1, 200 * KIB)))
		f.truncate(size)
	return path

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each kind of description says, taken from what other people's software writes. */
#include "machine_sample.h"

static void vmx_says(void **state)
{
	struct machine *m = described(
		".encoding = \"windows-1252\"\n"
		"#!/usr/bin/vmware\n"
		"displayname = \"Caf\xe9 |22one|22\"\n"
		"annotation = \"a|0Ab\"\n"
		"guestOS = \"debian10-64\"\n"
		"memSize = \"1024\"\n"
		"numvcpus = \"4\"\n"
		"cpuid.coresPerSocket = \"2\"\n"
		"firmware = \"efi\"\n"
		"uefi.secureBoot.enabled = \"TRUE\"\n"
		"uuid.bios = \"56 4d c5 98 db 65 ae 42-d4 89 15 cf 1c 43 cf 9a\"\n"
		"scsi0.present = \"TRUE\"\n"
		"scsi0.virtualDev = \"pvscsi\"\n"
		"scsi0:0.present = \"TRUE\"\n"
		"scsi0:0.fileName = \"../base/root.vmdk\"\n"
		"scsi0:1.present = \"FALSE\"\n"
		"scsi0:1.fileName = \"gone.vmdk\"\n"
		"scsi0:2.present = \"TRUE\"\n"
		"scsi0:2.fileName = \"[store1] web/data.vmdk\"\n"
		"scsi0:2.mode = \"independent-persistent\"\n"
		"ide1:0.present = \"TRUE\"\n"
		"ide1:0.deviceType = \"cdrom-raw\"\n"
		"ide1:0.fileName = \"auto detect\"\n"
		"ethernet0.present = \"TRUE\"\n"
		"ethernet0.virtualDev = \"vmxnet3\"\n"
		"ethernet0.addressType = \"vpx\"\n"
		"ethernet0.generatedAddress = \"00:50:56:aa:bb:cc\"\n"
		"ethernet0.networkName = \"VM Network\"\n"
		"ethernet1.present = \"TRUE\"\n"
		"ethernet1.connectionType = \"nat\"\n"
		"ethernet1.startConnected = \"FALSE\"\n"
		"sound.present = \"TRUE\"\n"
		"bios.bootOrder = \"ethernet0,hdd\"\n"
		"bios.hddOrder = \"scsi0:2,scsi0:0\"\n"
		"pciPassthru0.id = \"0000:03:00.0\"\n",
		DESCRIBE_VMX);

	(void)state;
	assert_text("Caf\xc3\xa9 \"one\"", m->name);
	assert_text("a\nb", m->description);
	assert_text("564dc598-db65-ae42-d489-15cf1c43cf9a", m->uuid);
	assert_int_equal(MACHINE_FIRMWARE_UEFI, m->firmware);
	assert_true(m->secure_boot);
	assert_int_equal(4, m->cpus);
	assert_int_equal(2, m->sockets);
	assert_int_equal((uint64_t)1 << 30, m->memory);
	assert_int_equal(3, m->disks_n);
	assert_text("../base/root.vmdk", m->disks[0].path);
	assert_int_equal(MACHINE_PATH_UP, m->disks[0].path_flags);
	assert_int_equal(MACHINE_SCSI_PVSCSI, m->disks[0].scsi);
	assert_int_equal(3, m->disks[0].boot);
	assert_int_equal(MACHINE_PATH_REMOTE, m->disks[1].path_flags);
	assert_int_equal(2, m->disks[1].boot);
	assert_int_equal(MACHINE_CDROM, m->disks[2].medium);
	assert_text(NULL, m->disks[2].path);
	assert_int_equal(2, m->disks[2].unit);
	assert_int_equal(2, m->nics_n);
	assert_text("00:50:56:aa:bb:cc", m->nics[0].mac);
	assert_text("VM Network", m->nics[0].network);
	assert_int_equal(1, m->nics[0].boot);
	assert_int_equal(MACHINE_NIC_PCNET, m->nics[1].model);
	assert_int_equal(MACHINE_NET_NAT, m->nics[1].net);
	assert_true(m->nics[1].disconnected);
	assert_lost(&m->lost, "sound.present");
	assert_lost(&m->lost, "pciPassthru0.id");
	assert_lost(&m->lost, "independent-persistent");
	through_every_kind(m);
	machine_free(m);
	refused("displayName = \"x\"\nmemsize = \"-5\"\n", DESCRIBE_VMX, "memsize is no number");
	refused("displayName = \"x\"\nwhat is this\n", DESCRIBE_VMX, "line 2 is no setting");
	refused(".encoding = \"KLINGON\"\ndisplayName = \"\xff\"\n", DESCRIBE_VMX, "KLINGON");
	refused("displayName = \"x\"\nmemsize = \"a|0Ab|1B[2J\xc2\x9b\"\n", DESCRIBE_VMX, ": \"a?b?[2J??\"");
	refused("encryption.keySafe = \"vmware:key/list\"\n", DESCRIBE_VMX, "encrypted");
}

/* The last of several counts, whatever letters it has; "hd" once more says nothing new. */
static void vmx_repeats(void **state)
{
	struct machine *m = described(
		"displayname = \"first\"\n"
		"Memsize = \"1024\"\n"
		"memsize = \"2048\"\n"
		"scsi0.present = \"TRUE\"\n"
		"scsi0:1.present = \"TRUE\"\n"
		"scsi0:1.fileName = \"b.vmdk\"\n"
		"scsi0:0.present = \"TRUE\"\n"
		"scsi0:0.fileName = \"a.vmdk\"\n"
		"displayName = \"last\"\n"
		"what.ever = \"1\"\n"
		"What.Ever = \"2\"\n"
		"bios.bootOrder = \"hd,hd,cd,hdd\"\n"
		"bios.hddOrder = \"scsi0:1\"\n",
		DESCRIBE_VMX);

	(void)state;
	assert_text("last", m->name);
	assert_int_equal((uint64_t)2 << 30, m->memory);
	assert_int_equal(2, m->disks_n);
	assert_int_equal(0, m->disks[0].boot);
	assert_int_equal(1, m->disks[1].boot);
	assert_int_equal(2, m->lost.n); /* no first name, no first size of memory */
	assert_lost(&m->lost, "what.ever, line 10");
	assert_lost(&m->lost, "What.Ever, line 11");
	machine_free(m);
}

static void libvirt_says(void **state)
{
	struct machine *m = described(
		"<domain type='kvm'><name>vm</name><uuid>0a1b2c3d-0000-1111-2222-333344445555</uuid>"
		"<memory unit='GiB'>3</memory><currentMemory unit='GiB'>2</currentMemory><vcpu placement='static'>8</vcpu>"
		"<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>"
		"<loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader>"
		"<nvram>/var/lib/vm_VARS.fd</nvram><boot dev='network'/><boot dev='hd'/></os>"
		"<cpu mode='host-passthrough'><topology sockets='1' dies='2' cores='2' threads='2'/></cpu>"
		"<devices>"
		"<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source dev='/dev/vg/lv'/>"
		"<target dev='sda' bus='scsi'/><address type='drive' controller='1' bus='0' target='0' unit='4'/><serial>ABC</serial></disk>"
		"<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/image'><host name='ceph'/></source>"
		"<target dev='vda' bus='virtio'/><blockio logical_block_size='4096' physical_block_size='4096'/></disk>"
		"<disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>"
		"<controller type='scsi' index='1' model='virtio-scsi'/>"
		"<interface type='bridge'><mac address='52:54:00:12:34:56'/><source bridge='br0'/><model type='virtio'/>"
		"<vlan><tag id='42'/></vlan><mtu size='9000'/></interface>"
		"<serial type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/><protocol type='raw'/><target port='0'/></serial>"
		"<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
		"<video><model type='qxl' vram='65536'/></video>"
		"<hostdev mode='subsystem' type='pci'/><sound model='ich9'/>"
		"</devices></domain>",
		DESCRIBE_LIBVIRT);

	(void)state;
	assert_int_equal((uint64_t)3 << 30, m->memory);
	assert_int_equal(8, m->cpus);
	assert_int_equal(4, m->cores);
	assert_int_equal(2, m->threads);
	assert_int_equal(MACHINE_CHIPSET_Q35, m->chipset);
	assert_true(m->secure_boot);
	assert_int_equal(MACHINE_TPM_2_0, m->tpm);
	assert_int_equal(MACHINE_VIDEO_QXL, m->video);
	assert_int_equal((uint64_t)64 << 20, m->video_memory);
	assert_int_equal(MACHINE_SCSI_VIRTIO, m->disks[0].scsi);
	assert_int_equal(1, m->disks[0].controller);
	assert_int_equal(4, m->disks[0].unit);
	assert_true(m->disks[0].host);
	assert_text("ABC", m->disks[0].serial);
	assert_int_equal(MACHINE_PATH_ABSOLUTE, m->disks[0].path_flags);
	assert_int_equal(2, m->disks[0].boot);
	assert_text("rbd://ceph/pool/image", m->disks[1].path);
	assert_true(m->disks[1].path_flags & MACHINE_PATH_REMOTE);
	assert_int_equal(4096, m->disks[1].logical_sector);
	assert_int_equal(MACHINE_CDROM, m->disks[2].medium);
	assert_int_equal(1, m->nics[0].boot);
	assert_int_equal(42, m->nics[0].vlan);
	assert_int_equal(9000, m->nics[0].mtu);
	assert_text("127.0.0.1:4555", m->serials[0].path);
	assert_lost(&m->lost, "hostdev");
	assert_lost(&m->lost, "sound");
	assert_lost(&m->lost, "nvram");
	assert_lost(&m->lost, "cache");
	through_every_kind(m);
	machine_free(m);
	refused("<domain><name>x</name><memory unit='parsec'>1</memory></domain>", DESCRIBE_LIBVIRT, "<memory> is no size");
	refused("<domain><name>x</name><vcpu>0</vcpu></domain>", DESCRIBE_LIBVIRT, "<vcpu> is no number");
	refused("<domain><name>x</name><os><type>exe</type></os></domain>", DESCRIBE_LIBVIRT, "exe");
	refused("<network><name>x</name></network>", DESCRIBE_LIBVIRT, "its root is <network>");
}

static const char hyperv[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?><configuration>"
	"<_83f8638b-8dca-4152-9eda-2ca8b33039b4_><VDEVVersion type=\"integer\">1280</VDEVVersion>"
	"<controller0><drive0><iops_limit type=\"integer\">0</iops_limit><pathname type=\"string\">C:\\vm\\root.vhd</pathname>"
	"<type type=\"string\">VHD</type></drive0></controller0>"
	"<controller1><drive0><pathname type=\"string\"></pathname><type type=\"string\">NONE</type></drive0></controller1>"
	"</_83f8638b-8dca-4152-9eda-2ca8b33039b4_>"
	"<_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_><bios_guid type=\"string\">{7FFEE066-9755-4950-9A16-4C94AC67AD00}</bios_guid>"
	"<boot><device0 type=\"string\">Network</device0><device1 type=\"string\">HardDrive</device1></boot></_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_>"
	"<_d422512d-2bf2-4752-809d-7b82b5fcb1b4_><controller0><drive2><pathname type=\"string\">data.vhdx</pathname><type type=\"string\">VHD</type>"
	"</drive2></controller0></_d422512d-2bf2-4752-809d-7b82b5fcb1b4_>"
	"<_aaaaaaaa-0000-0000-0000-000000000000_><Connection><AltSwitchName type=\"string\">Lab</AltSwitchName></Connection>"
	"<FriendlyName type=\"string\">Network Adapter</FriendlyName><IsConnected type=\"bool\">True</IsConnected>"
	"<MacAddress type=\"string\">00-15-5D-01-07-DC</MacAddress></_aaaaaaaa-0000-0000-0000-000000000000_>"
	"<properties><name type=\"string\">old</name><subtype type=\"integer\">0</subtype></properties>"
	"<settings><memory><bank><size type=\"integer\">512</size><dynamic_memory_enabled type=\"bool\">True</dynamic_memory_enabled></bank></memory>"
	"<processors><count type=\"integer\">2</count></processors></settings></configuration>";

static void hyperv_says(void **state)
{
	struct machine *m = described(hyperv, DESCRIBE_HYPERV);

	(void)state;
	assert_int_equal(DESCRIBE_HYPERV, describe_probe(hyperv, sizeof(hyperv) - 1, NULL));
	assert_text("old", m->name);
	assert_text("7ffee066-9755-4950-9a16-4c94ac67ad00", m->uuid);
	assert_int_equal(MACHINE_FIRMWARE_BIOS, m->firmware);
	assert_int_equal(512 << 20, m->memory);
	assert_int_equal(2, m->cpus);
	assert_int_equal(2, m->disks_n);
	assert_text("C:\\vm\\root.vhd", m->disks[0].path);
	assert_int_equal(MACHINE_PATH_ABSOLUTE, m->disks[0].path_flags);
	assert_text("vhd", m->disks[0].format);
	assert_int_equal(2, m->disks[0].boot);
	assert_int_equal(MACHINE_SCSI_HYPERV, m->disks[1].scsi);
	assert_int_equal(2, m->disks[1].unit);
	assert_text("00:15:5d:01:07:dc", m->nics[0].mac);
	assert_text("Lab", m->nics[0].network);
	assert_int_equal(1, m->nics[0].boot);
	assert_lost(&m->lost, "dynamic memory");
	through_every_kind(m);
	machine_free(m);
	refused("<configuration><x/></configuration>", DESCRIBE_HYPERV, "neither <settings> nor <manifest>");
}

static void vmcx_is_refused(void **state)
{
	struct describe_read how = { DESCRIBE_UNKNOWN, "machine.vmcx", 0 };
	struct machine *m;
	vdisk_error err;

	(void)state;
	assert_int_equal(-1, describe_read("\x01\x02\x03\x04", 4, &how, &m, &err));
	assert_int_equal(VDISK_UNSUPPORTED, err.kind);
	assert_non_null(strstr(err.message, "only Windows can read"));
}

/* In UTF-16, as Virtual PC writes it. */
static void vmc_says(void **state)
{
	static const char text[] =
		"<?xml version=\"1.0\" encoding=\"UTF-16\"?><preferences><version type=\"string\">2.0</version><hardware>"
		"<memory><ram_size type=\"integer\">650</ram_size></memory><pci_bus><ethernet_adapter><controller_count type=\"integer\">1"
		"</controller_count><ethernet_controller id=\"0\"><virtual_network><name type=\"string\">Realtek NIC</name></virtual_network>"
		"<ethernet_card_address type=\"bytes\">0003FF112233</ethernet_card_address></ethernet_controller></ethernet_adapter>"
		"<video_adapter><vram_size type=\"integer\">8</vram_size></video_adapter><ide_adapter><ide_controller id=\"1\"><location id=\"0\">"
		"<drive_type type=\"integer\">2</drive_type><pathname><absolute type=\"string\"/><relative type=\"string\"/></pathname></location>"
		"</ide_controller><ide_controller id=\"0\"><location id=\"0\"><drive_type type=\"integer\">1</drive_type><pathname>"
		"<absolute type=\"string\">C:\\vm\\origin.vhd</absolute><relative type=\"string\">.\\origin.vhd</relative></pathname></location>"
		"<location id=\"1\"><drive_type type=\"integer\">0</drive_type></location></ide_controller></ide_adapter></pci_bus></hardware>"
		"</preferences>";
	char wide[2 * sizeof(text)] = "\xff\xfe";
	struct machine *m;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		wide[2 + 2 * i] = text[i];
		wide[3 + 2 * i] = '\0';
	}
	assert_int_equal(DESCRIBE_VMC, describe_probe(wide, 2 * sizeof(text), NULL));
	m = described_as(wide, 2 * sizeof(text), DESCRIBE_VMC, "XP.vmc");
	assert_text("XP", m->name);
	assert_int_equal((uint64_t)650 << 20, m->memory);
	assert_int_equal(2, m->disks_n);
	assert_int_equal(MACHINE_CDROM, m->disks[0].medium);
	assert_int_equal(2, m->disks[0].unit);
	assert_text(".\\origin.vhd", m->disks[1].path);
	assert_text("00:03:ff:11:22:33", m->nics[0].mac);
	through_every_kind(m);
	machine_free(m);
}

#define MEMBER(name, value) "<member><name>" name "</name><value>" value "</value></member>"
#define OBJECT(class, id, fields) \
	"<value><struct>" MEMBER("class", class) MEMBER("id", id) \
		MEMBER("snapshot", "<struct>" fields "</struct>") "</struct></value>"

static const char xva[] =
	"<value><struct>" MEMBER("version", "<struct></struct>") "<member><name>objects</name><value><array><data>" OBJECT(
		"VM", "Ref:0",
		MEMBER("name_label", "web") MEMBER("uuid", "0a1b2c3d-0000-1111-2222-333344445555")
			MEMBER("memory_static_max", "2147483648") MEMBER("VCPUs_max", "4")
				MEMBER("is_a_snapshot", "<boolean>0</boolean>") MEMBER("HVM_boot_policy", "BIOS order")
					MEMBER("platform", "<struct>" MEMBER("cores-per-socket", "2") "</struct>")
						MEMBER("HVM_boot_params",
	                                               "<struct>" MEMBER("order", "dc") MEMBER("firmware", "uefi") "</struct>"))
		OBJECT("VM", "Ref:9", MEMBER("name_label", "before") MEMBER("is_a_snapshot", "<boolean>1</boolean>"))
			OBJECT("VBD", "Ref:1",
	                       MEMBER("VM", "Ref:0") MEMBER("VDI", "Ref:2") MEMBER("userdevice", "0") MEMBER("type", "Disk")
	                               MEMBER("mode", "RW")) OBJECT("VBD", "Ref:3",
	                                                            MEMBER("VM", "Ref:0") MEMBER("VDI", "OpaqueRef:NULL")
	                                                                    MEMBER("userdevice", "3") MEMBER("type", "CD"))
				OBJECT("VDI", "Ref:2", MEMBER("virtual_size", "10737418240")) OBJECT(
					"VIF", "Ref:4",
					MEMBER("VM", "Ref:0") MEMBER("MAC", "aa:bb:cc:00:11:22") MEMBER("MTU", "1500")
						MEMBER("network", "Ref:5"))
					OBJECT("network", "Ref:5",
	                                       MEMBER("name_label",
	                                              "Pool-wide network")) "</data></array></value></member></struct></value>";

static void xva_says(void **state)
{
	struct machine *m = described(xva, DESCRIBE_XVA);

	(void)state;
	assert_int_equal(DESCRIBE_XVA, describe_probe(xva, sizeof(xva) - 1, "ova.xml"));
	assert_int_equal(1, m->systems);
	assert_text("web", m->name);
	assert_int_equal((uint64_t)2 << 30, m->memory);
	assert_int_equal(4, m->cpus);
	assert_int_equal(2, m->sockets);
	assert_int_equal(MACHINE_FIRMWARE_UEFI, m->firmware);
	assert_int_equal(2, m->disks_n);
	assert_text("Ref:2", m->disks[0].ref);
	assert_text("raw", m->disks[0].format);
	assert_int_equal(10737418240, m->disks[0].size);
	assert_int_equal(2, m->disks[0].boot);
	assert_int_equal(MACHINE_CDROM, m->disks[1].medium);
	assert_int_equal(1, m->disks[1].boot);
	assert_text("aa:bb:cc:00:11:22", m->nics[0].mac);
	assert_text("Pool-wide network", m->nics[0].network);
	assert_lost(&m->lost, "before");
	through_every_kind(m);
	machine_free(m);
	refused("<value><struct/></value>", DESCRIBE_XVA, "no objects");
}

static const char proxmox[] =
	"#A web server%3A the first\n#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:\n#qmdump#map:efidisk0:drive-efidisk0:local-lvm:raw:\n"
	"bios: ovmf\nboot: order=scsi0;net0\ncores: 2\nsockets: 2\nmemory: 4096\nname: web\nostype: l26\nmachine: q35\nscsihw: virtio-scsi-single\n"
	"scsi0: local-lvm:vm-100-disk-0,iothread=1,size=32G,serial=X1\nide2: none,media=cdrom\nvirtio1: store:100/vm-100-disk-1.qcow2,size=512M,ro=1\n"
	"efidisk0: local-lvm:vm-100-disk-1,efitype=4m,pre-enrolled-keys=1,size=4M\n"
	"net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1,tag=10,link_down=1\nserial0: socket\nvga: qxl,memory=32\n"
	"smbios1: uuid=0a1b2c3d-0000-1111-2222-333344445555\nhostpci0: 01:00.0\n\n[before]\nmemory: 1\n";

static void proxmox_says(void **state)
{
	struct machine *m = described(proxmox, DESCRIBE_PROXMOX);

	(void)state;
	assert_int_equal(DESCRIBE_PROXMOX, describe_probe(proxmox, sizeof(proxmox) - 1, NULL));
	assert_text("web", m->name);
	assert_text("A web server: the first", m->description);
	assert_int_equal(4, m->cpus);
	assert_int_equal((uint64_t)4 << 30, m->memory);
	assert_int_equal(MACHINE_CHIPSET_Q35, m->chipset);
	assert_true(m->secure_boot);
	assert_int_equal(3, m->disks_n);
	assert_int_equal(MACHINE_CDROM, m->disks[0].medium);
	assert_text(NULL, m->disks[0].path);
	assert_text("drive-scsi0", m->disks[1].ref);
	assert_int_equal(MACHINE_SCSI_VIRTIO, m->disks[1].scsi);
	assert_int_equal((uint64_t)32 << 30, m->disks[1].size);
	assert_text("X1", m->disks[1].serial);
	assert_int_equal(1, m->disks[1].boot);
	assert_text("drive-virtio1", m->disks[2].ref);
	assert_text("qcow2", m->disks[2].format);
	assert_int_equal((uint64_t)512 << 20, m->disks[2].size);
	assert_true(m->disks[2].read_only);
	assert_text("bc:24:11:aa:bb:cc", m->nics[0].mac);
	assert_text("vmbr0", m->nics[0].network);
	assert_int_equal(10, m->nics[0].vlan);
	assert_true(m->nics[0].disconnected);
	assert_int_equal(2, m->nics[0].boot);
	assert_int_equal((uint64_t)32 << 20, m->video_memory);
	assert_lost(&m->lost, "hostpci0");
	assert_lost(&m->lost, "before");
	assert_lost(&m->lost, "efidisk0");
	through_every_kind(m);
	machine_free(m);
	refused("name: x\ncores: many\n", DESCRIBE_PROXMOX, "cores is");
}

/* A part of a file is not the file. */
static void libvirt_slices(void **state)
{
	struct machine *m = described(
		"<domain type='kvm'><name>vm</name><os><type>hvm</type></os><devices><disk type='file' device='disk'><driver type='raw'/>"
		"<source file='/srv/all.raw'><slices><slice type='storage' offset='65536' size='1048576'/></slices></source>"
		"<target dev='vda' bus='virtio'/></disk></devices></domain>",
		DESCRIBE_LIBVIRT);

	(void)state;
	assert_int_equal(1, m->disks_n);
	assert_null(m->disks[0].path);
	assert_lost(&m->lost, "vda");
	machine_free(m);
}

/* What vzdump leaves out stands in the configuration all the same; on the host it is a disk like the others. */
static void proxmox_leaves_out(void **state)
{
	static const char host[] =
		"name: web\nostype: l26\nscsi0: a:b,size=1G\nscsi1: a:c,backup=0,size=1G\nscsi2: a:d,backup=1,size=1G\n";
	static const char archive[] =
		"name: web\nostype: l26\nscsi0: a:b,size=1G\nscsi1: a:c,backup=0,size=1G\nscsi2: a:d,backup=1,size=1G\n"
		"#qmdump#map:scsi0:drive-scsi0:a:raw:\n#qmdump#map:scsi2:drive-scsi2:a:raw:\n";
	struct machine *m = described(host, DESCRIBE_PROXMOX);

	(void)state;
	assert_int_equal(3, m->disks_n);
	machine_free(m);
	m = described(archive, DESCRIBE_PROXMOX);
	assert_int_equal(2, m->disks_n);
	assert_text("drive-scsi2", m->disks[1].ref);
	assert_lost(&m->lost, "scsi1");
	machine_free(m);
}

static const char xl[] =
	"# a comment\nname = \"guest\" ; builder = 'hvm'\nmemory=2048\nvcpus = 2\nbios = \"ovmf\"\nboot = \"dc\"\n"
	"disk = [ 'phy:/dev/vg/root,hda,w', \"file:/srv/cd.iso,hdc:cdrom,r\",\n  'format=qcow2, vdev=xvdb, access=ro, target=/srv/a,b.qcow2' ]\n"
	"vif = [ 'mac=00:16:3e:01:02:03,bridge=xenbr1,model=e1000,type=ioemu' ,\n 'bridge=xenbr0' ]\nserial = \"pty\"\nvga=\"qxl\"\nvideoram = 16\n"
	"pci = [ '01:00.0' ]\non_crash = 'restart'\n";

static void xl_says(void **state)
{
	struct machine *m = described(xl, DESCRIBE_XL);

	(void)state;
	assert_int_equal(DESCRIBE_XL, describe_probe(xl, sizeof(xl) - 1, NULL));
	assert_text("guest", m->name);
	assert_int_equal(MACHINE_FIRMWARE_UEFI, m->firmware);
	assert_int_equal(3, m->disks_n);
	assert_text("/dev/vg/root", m->disks[0].path);
	assert_true(m->disks[0].host);
	assert_int_equal(MACHINE_BUS_IDE, m->disks[0].bus);
	assert_int_equal(2, m->disks[0].boot);
	assert_int_equal(MACHINE_CDROM, m->disks[1].medium);
	assert_int_equal(2, m->disks[1].unit);
	assert_text("/srv/a,b.qcow2", m->disks[2].path);
	assert_text("qcow2", m->disks[2].format);
	assert_true(m->disks[2].read_only);
	assert_int_equal(MACHINE_BUS_XEN, m->disks[2].bus);
	assert_int_equal(MACHINE_NIC_E1000, m->nics[0].model);
	assert_text("xenbr1", m->nics[0].network);
	assert_int_equal(MACHINE_NIC_XEN, m->nics[1].model);
	assert_int_equal(MACHINE_SERIAL_PTY, m->serials[0].kind);
	assert_lost(&m->lost, "pci");
	through_every_kind(m);
	machine_free(m);
	refused("name = \"x\nmemory = 1\n", DESCRIBE_XL, "a string does not end");
	refused("disk = [ 'a', 'b'\n", DESCRIBE_XL, "line");
	refused("vif = [[[[[[[[[ 'x' ]]]]]]]]]\n", DESCRIBE_XL, "lists in lists");
	refused("memory = 0x8g\n", DESCRIBE_XL, "memory is");
	refused("vcpus = -1\n", DESCRIBE_XL, "neither a string nor a number");
	refused("name = \"\\q\"\n", DESCRIBE_XL, "unknown escape");
}

static const char vbox[] =
	"<?xml version=\"1.0\"?><VirtualBox xmlns=\"http://www.virtualbox.org/\" version=\"1.16-linux\">"
	"<Machine uuid=\"{dc77c962-ad6e-4801-9278-ce87f0754e46}\" name=\"box\" OSType=\"Debian_64\" snapshotFolder=\"Snapshots\"><MediaRegistry><HardDisks>"
	"<HardDisk uuid=\"{7113a5c1-375f-4882-87f1-b489f78388a1}\" location=\"box.vdi\" format=\"VDI\" type=\"Normal\">"
	"<HardDisk uuid=\"{7113a5c1-375f-4882-87f1-b489f78388a2}\" location=\"Snapshots/{2}.vdi\" format=\"VDI\"/></HardDisk></HardDisks>"
	"</MediaRegistry><Snapshot uuid=\"{7113a5c1-375f-4882-87f1-b489f78388b1}\" name=\"clean\"/>"
	"<Hardware><CPU count=\"2\"><PAE enabled=\"true\"/></CPU><Memory RAMSize=\"923\"/><Firmware type=\"EFI\"/><Chipset type=\"ICH9\"/>"
	"<Boot><Order position=\"2\" device=\"HardDisk\"/><Order position=\"1\" device=\"Network\"/></Boot>"
	"<Display controller=\"VMSVGA\" VRAMSize=\"16\"/><Network><Adapter slot=\"0\" enabled=\"true\" MACAddress=\"080027701AA4\" type=\"82540EM\">"
	"<DisabledModes><NAT/></DisabledModes><BridgedInterface name=\"ens4\"/></Adapter><Adapter slot=\"1\" enabled=\"false\" type=\"virtio\"/></Network>"
	"<UART><Port slot=\"0\" enabled=\"true\" hostMode=\"RawFile\" path=\"/tmp/log\"/></UART><AudioAdapter enabled=\"true\" driver=\"Pulse\"/></Hardware>"
	"<StorageControllers><StorageController name=\"SATA\" type=\"AHCI\" PortCount=\"2\"><AttachedDevice type=\"HardDisk\" port=\"1\" device=\"0\">"
	"<Image uuid=\"{7113a5c1-375f-4882-87f1-b489f78388a2}\"/></AttachedDevice></StorageController></StorageControllers></Machine></VirtualBox>";

static void vbox_says(void **state)
{
	struct machine *m = described(vbox, DESCRIBE_VBOX);

	(void)state;
	assert_text("box", m->name);
	assert_text("Debian_64", m->os);
	assert_int_equal(MACHINE_FIRMWARE_UEFI, m->firmware);
	assert_int_equal(MACHINE_CHIPSET_Q35, m->chipset);
	assert_int_equal((uint64_t)923 << 20, m->memory);
	assert_int_equal(1, m->disks_n);
	assert_text("Snapshots/{2}.vdi", m->disks[0].path);
	assert_text("7113a5c1-375f-4882-87f1-b489f78388a2", m->disks[0].image_uuid);
	assert_int_equal(MACHINE_BUS_SATA, m->disks[0].bus);
	assert_int_equal(1, m->disks[0].unit);
	assert_int_equal(2, m->disks[0].boot);
	assert_int_equal(1, m->nics_n);
	assert_text("08:00:27:70:1a:a4", m->nics[0].mac);
	assert_text("ens4", m->nics[0].network);
	assert_int_equal(MACHINE_NET_BRIDGE, m->nics[0].net);
	assert_int_equal(1, m->nics[0].boot);
	assert_int_equal(MACHINE_SERIAL_FILE, m->serials[0].kind);
	assert_int_equal(1, m->snapshots_n);
	assert_text("clean", m->snapshots[0].name);
	assert_lost(&m->lost, "AudioAdapter");
	through_every_kind(m);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vmx_says),        cmocka_unit_test(vmx_repeats),
		cmocka_unit_test(libvirt_says), cmocka_unit_test(hyperv_says),
		cmocka_unit_test(vmcx_is_refused), cmocka_unit_test(vmc_says),     cmocka_unit_test(xva_says),
		cmocka_unit_test(proxmox_says),    cmocka_unit_test(xl_says),      cmocka_unit_test(proxmox_leaves_out),
		cmocka_unit_test(libvirt_slices),  cmocka_unit_test(vbox_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

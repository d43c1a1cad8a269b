/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VirtualBox's machine files (.vbox).  Storage controllers are below <Machine>, in newer files below <Hardware>.  What drives hold:
   vbox_media.c. */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "vbox_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const harmless[] = {
	"ExtraData", "GuestProperties", "@stateFile", "@snapshotFolder", "@lastStateChange", "@currentStateModified",
	"@useHostIOCache", "@Bootable", "@PortCount", "@hotpluggable", "@tempeject", "@passthrough", "DisabledModes", "@IOBase",
	"@IRQ", "PAE", "LongMode", "X2APIC", "HardwareVirtExLargePages", "HardwareVirtExNestedPaging", "HardwareVirtEx",
	"HardwareVirtExVPID", "HardwareVirtExUX", "IOAPIC", "Logo", "BootMenu", "SmbiosUuidLittleEndian", "AutoConversion", "RTC",
	"Clipboard", "DragAndDrop", "VideoCapture", "RemoteDisplay", "Paravirt", "HID", "@hotplug", "TimeOffset", "ACPI", "@fps",
	"@options", "StorageControllers", "@version", "Groups", "@OSType", "CpuIdTree", "NestedHWVirt", "Debugging", "NVRAM",
	"@IDE0MasterEmulationPort", "@speed", "@OSId", NULL
};

/* ---------------------------------------------------------------- controllers */

enum machine_bus vbox_bus(const char *type, enum machine_scsi *scsi)
{
	static const struct {
		const char *name;
		enum machine_bus bus;
		enum machine_scsi scsi;
	} types[] = { { "PIIX3", MACHINE_BUS_IDE, 0 },
		      { "PIIX4", MACHINE_BUS_IDE, 0 },
		      { "ICH6", MACHINE_BUS_IDE, 0 },
		      { "AHCI", MACHINE_BUS_SATA, 0 },
		      { "LsiLogic", MACHINE_BUS_SCSI, MACHINE_SCSI_LSI },
		      { "BusLogic", MACHINE_BUS_SCSI, MACHINE_SCSI_BUSLOGIC },
		      { "LsiLogicSas", MACHINE_BUS_SCSI, MACHINE_SCSI_LSI_SAS },
		      { "VirtioSCSI", MACHINE_BUS_SCSI, MACHINE_SCSI_VIRTIO },
		      { "I82078", MACHINE_BUS_FLOPPY, 0 },
		      { "USB", MACHINE_BUS_USB, 0 },
		      { "NVMe", MACHINE_BUS_NVME, 0 } };

	for (size_t i = 0; type && i < sizeof(types) / sizeof(*types); i++)
		if (!strcasecmp(types[i].name, type)) {
			*scsi = types[i].scsi;
			return types[i].bus;
		}
	return MACHINE_BUS_UNKNOWN;
}

int vbox_unit(struct vbox *v, xmlNode *device, enum machine_bus bus, int *unit)
{
	uint64_t port = 0, second = 0;

	if (!xml_number(xml_attr(&v->x, device, "port"), 255, &port) || !xml_number(xml_attr(&v->x, device, "device"), 1, &second))
		return fail(v->err, VDISK_CORRUPT, "line %ld: a drive has no port", xmlGetLineNo(device));
	*unit = (int)(bus == MACHINE_BUS_IDE ? port * 2 + second : bus == MACHINE_BUS_FLOPPY ? second : port);
	return 0;
}

const char *vbox_disk_name(struct vbox *v, enum machine_bus bus, unsigned controller, int unit)
{
	return machine_text_format(v->m, "%s%u:%d", machine_bus_name(bus), controller, unit);
}

static int device_take(struct vbox *v, xmlNode *device, enum machine_bus bus, enum machine_scsi scsi, unsigned controller)
{
	const char *type = xml_attr(&v->x, device, "type");
	struct machine_disk *d = machine_disk_add(v->m);
	int unit;

	if (!d)
		return 0;
	d->medium = type && !strcmp(type, "DVD") ? MACHINE_CDROM : type && !strcmp(type, "Floppy") ? MACHINE_FLOPPY : MACHINE_DISK;
	d->bus = bus;
	d->scsi = scsi;
	if (vbox_unit(v, device, bus, &unit))
		return -1;
	place_set(v->m, d, controller, unit);
	d->name = vbox_disk_name(v, bus, controller, d->unit);
	return vbox_image_take(v, d, device);
}

static int controllers_take(struct vbox *v, xmlNode *controllers)
{
	XML_EACH(c, controllers, "StorageController") {
		const char *type = xml_attr(&v->x, c, "type");
		enum machine_scsi scsi = MACHINE_SCSI_UNKNOWN;
		enum machine_bus bus = vbox_bus(type, &scsi);
		unsigned index = v->buses[bus]++;

		xml_attr(&v->x, c, "name");
		if (!bus)
			machine_lost_add(&v->m->lost, type, NULL, "storage controller, line %ld: kind", xmlGetLineNo(c));
		XML_EACH(device, c, "AttachedDevice")
			if (device_take(v, device, bus, scsi, index))
				return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- NICs and ports */

static void network_take(struct vbox *v, struct machine_nic *n, xmlNode *adapter)
{
	static const struct {
		const char *element;
		enum machine_net net;
	} kinds[] = { { "NAT", MACHINE_NET_NAT },
		      { "BridgedInterface", MACHINE_NET_BRIDGE },
		      { "HostOnlyInterface", MACHINE_NET_HOST_ONLY },
		      { "HostOnlyNetwork", MACHINE_NET_HOST_ONLY },
		      { "InternalNetwork", MACHINE_NET_INTERNAL },
		      { "NATNetwork", MACHINE_NET_NETWORK } };

	n->net = MACHINE_NET_NONE;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		xmlNode *node = xml_child(adapter, kinds[i].element);

		if (!node)
			continue;
		n->net = kinds[i].net;
		n->network = machine_text(v->m, xml_attr(&v->x, node, "name"));
		return;
	}
}

static void nic_take(struct vbox *v, xmlNode *adapter)
{
	static const struct {
		const char *name;
		enum machine_nic_model model;
	} models[] = { { "Am79C970A", MACHINE_NIC_PCNET }, { "Am79C973", MACHINE_NIC_PCNET }, { "Am79C960", MACHINE_NIC_PCNET },
		{ "82540EM", MACHINE_NIC_E1000 }, { "82543GC", MACHINE_NIC_E1000 }, { "82545EM", MACHINE_NIC_E1000 },
		{ "virtio", MACHINE_NIC_VIRTIO }, { "NE2000", MACHINE_NIC_NE2000 } };
	const char *type = xml_attr(&v->x, adapter, "type"), *cable = xml_attr(&v->x, adapter, "cable");
	struct machine_nic *n;

	if (!xml_yes(xml_attr(&v->x, adapter, "enabled"))) {
		xml_seen(adapter);
		return;
	}
	xml_attr(&v->x, adapter, "slot");
	n = machine_nic_add(v->m);
	if (!n)
		return;
	n->mac = machine_mac(v->m, xml_attr(&v->x, adapter, "MACAddress"));
	n->model = type ? MACHINE_NIC_UNKNOWN : MACHINE_NIC_PCNET;
	for (size_t i = 0; type && i < sizeof(models) / sizeof(*models); i++)
		if (!strcasecmp(models[i].name, type))
			n->model = models[i].model;
	if (!n->model)
		machine_lost_add(&v->m->lost, type, NULL, "NIC %zu: model", v->m->nics_n);
	n->disconnected = cable && !xml_yes(cable);
	network_take(v, n, adapter);
}

static void serial_take(struct vbox *v, xmlNode *port)
{
	static const struct {
		const char *name;
		enum machine_serial_kind kind;
	} modes[] = { { "HostPipe", MACHINE_SERIAL_PIPE },
		      { "RawFile", MACHINE_SERIAL_FILE },
		      { "HostDevice", MACHINE_SERIAL_DEVICE },
		      { "TCP", MACHINE_SERIAL_TCP } };
	const char *mode = xml_attr(&v->x, port, "hostMode");
	struct machine_serial *s;

	if (!xml_yes(xml_attr(&v->x, port, "enabled"))) {
		xml_seen(port);
		return;
	}
	s = machine_serial_add(v->m);
	if (!s)
		return;
	s->kind = MACHINE_SERIAL_NONE;
	for (size_t i = 0; mode && i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcasecmp(modes[i].name, mode))
			s->kind = modes[i].kind;
	s->path = s->kind == MACHINE_SERIAL_NONE ? NULL : machine_text(v->m, xml_attr(&v->x, port, "path"));
	xml_seen(port);
}

/* ---------------------------------------------------------------- the machine itself */

static void boot_take(struct vbox *v, xmlNode *boot)
{
	unsigned next = 1;

	for (unsigned position = 1; position <= 4; position++)
		XML_EACH(order, boot, "Order") {
			const char *device = xml_attr(&v->x, order, "device");
			uint64_t at;

			if (!device || !xml_number(xml_attr(&v->x, order, "position"), 4, &at) || at != position)
				continue;
			if (!strcmp(device, "HardDisk"))
				boot_medium(v->m, MACHINE_DISK, &next);
			else if (!strcmp(device, "DVD"))
				boot_medium(v->m, MACHINE_CDROM, &next);
			else if (!strcmp(device, "Floppy"))
				boot_medium(v->m, MACHINE_FLOPPY, &next);
			else if (!strcmp(device, "Network"))
				boot_nic(v->m, &next);
		}
}

static int number(struct vbox *v, const char *text, const char *what, uint64_t max, uint64_t *out)
{
	return !text || xml_number(text, max, out) ? 0 : fail(v->err, VDISK_CORRUPT, "%s is \"%.64s\"", what, text);
}

static void video_take(struct vbox *v, const char *type)
{
	v->m->video = !type || !strcasecmp(type, "VBoxVGA") ? MACHINE_VIDEO_VGA : !strcasecmp(type, "None") ? MACHINE_VIDEO_NONE :
		!strcasecmp(type, "VMSVGA") || !strcasecmp(type, "VBoxSVGA") ? MACHINE_VIDEO_VMWARE : MACHINE_VIDEO_UNKNOWN;
	if (type && !v->m->video)
		machine_lost_add(&v->m->lost, type, NULL, "graphics");
}

static int hardware_take(struct vbox *v, xmlNode *h)
{
	struct machine *m = v->m;
	xmlNode *display = xml_child(h, "Display");
	const char *firmware = xml_child_attr(&v->x, h, "Firmware", "type"), *chipset = xml_child_attr(&v->x, h, "Chipset", "type"),
		   *tpm = xml_child_attr(&v->x, h, "TrustedPlatformModule", "type"), *own = xml_attr(&v->x, h, "uuid");
	xmlNode *nvram = xml_child(xml_child(h, "BIOS"), "NVRAM");
	uint64_t cpus = 1, memory = 0, vram = 0;

	if (number(v, xml_child_attr(&v->x, h, "CPU", "count"), "CPU count", MACHINE_CPUS_MAX, &cpus) ||
	    number(v, xml_child_attr(&v->x, h, "Memory", "RAMSize"), "RAMSize", MACHINE_MEMORY_MAX >> 20, &memory) ||
	    number(v, xml_attr(&v->x, display, "VRAMSize"), "VRAMSize", 4096, &vram))
		return -1;
	xml_attr(&v->x, display, "monitorCount");
	xml_attr(&v->x, xml_child(h, "TrustedPlatformModule"), "location");
	if (own) /* what the guest sees, where it was made another one */
		m->uuid = machine_uuid(m, own);
	m->cpus = cpus ? (unsigned)cpus : 1;
	m->memory = memory << 20;
	m->video_memory = vram << 20;
	video_take(v, xml_attr(&v->x, display, "controller"));
	m->firmware = firmware && !strncasecmp(firmware, "EFI", 3) ? MACHINE_FIRMWARE_UEFI : MACHINE_FIRMWARE_BIOS;
	if (m->firmware == MACHINE_FIRMWARE_UEFI && nvram)
		machine_lost_add(&m->lost, xml_attr(&v->x, nvram, "path"),
		                 "UEFI's variables are made anew, and whether secure boot is on stands in them", "NVRAM");
	m->chipset = chipset && !strcasecmp(chipset, "ICH9") ? MACHINE_CHIPSET_Q35 : MACHINE_CHIPSET_PC;
	m->tpm = !tpm || !strcasecmp(tpm, "None") ? MACHINE_TPM_NONE : !strcasecmp(tpm, "v1_2") ? MACHINE_TPM_1_2 : MACHINE_TPM_2_0;
	XML_EACH(adapter, xml_child(h, "Network"), "Adapter")
		nic_take(v, adapter);
	XML_EACH(port, xml_child(h, "UART"), "Port")
		serial_take(v, port);
	return 0;
}

static int machine_take(struct vbox *v, xmlNode *node)
{
	struct machine *m = v->m;
	xmlNode *hardware = xml_child(node, "Hardware");
	const char *os = xml_attr(&v->x, node, "OSType");

	if (!hardware)
		return fail(v->err, VDISK_CORRUPT, "this machine of VirtualBox has no <Hardware>, or is encrypted");
	m->name = machine_text(m, xml_attr(&v->x, node, "name"));
	m->uuid = machine_uuid(m, xml_attr(&v->x, node, "uuid"));
	m->description = machine_text_clean(m, xml_child_text(&v->x, node, "Description"));
	m->os = machine_text(m, os);
	m->arch = os ? machine_text(m, strstr(os, "arm64") ? "aarch64" : strstr(os, "_64") ? "x86_64" : "i686") : NULL;
	if (vbox_registry_take(v, xml_child(node, "MediaRegistry")) || hardware_take(v, hardware) ||
	    controllers_take(v, xml_child(node, "StorageControllers")) ||
	    controllers_take(v, xml_child(hardware, "StorageControllers")) || vbox_snapshots_take(v, node))
		return -1;
	boot_take(v, xml_child(hardware, "Boot"));
	xml_unused(&v->x, node, harmless, NULL, &m->lost);
	return v->x.nomem ? fail_nomem(v->err) : 0;
}

int vbox_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	struct vbox v = { .m = m, .err = err };
	xmlNode *node;
	int rc;

	(void)how;
	if (xml_parse(&v.x, bytes, len, err))
		return -1;
	node = xml_is(v.x.root, "VirtualBox") ? xml_child(v.x.root, "Machine") : NULL;
	if (node)
		rc = machine_take(&v, node);
	else if (xml_child(v.x.root, "MachineEncrypted"))
		rc = fail(err, VDISK_UNSUPPORTED, "the virtual machine is encrypted: VirtualBox must decrypt it first");
	else
		rc = fail(err, VDISK_CORRUPT, "this is no machine of VirtualBox: its root is <%.64s>, without <Machine>",
		          (const char *)v.x.root->name);
	xml_free(&v.x);
	return rc;
}

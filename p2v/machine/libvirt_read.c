/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's domain XML, for QEMU, KVM and Xen. */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct domain {
	struct machine *m;
	struct xml x;
	vdisk_error *err;
	bool ordered;                  /* devices have places of their own in the boot order */
	enum machine_scsi scsi[64];    /* adapter of each SCSI controller */
};

static const char *const harmless[] = { "alias",          "emulator", "input",         "memballoon",  "panic",     "backingStore",
	                                "graphics",       "@index",   "console",       "on_poweroff", "on_reboot", "on_crash",
	                                "on_lockfailure", "@id",      "currentMemory", "features",    "seclabel",  "pm",
	                                "resource",       "genid",    "controller",    NULL };

/* ---------------------------------------------------------------- the machine itself */

static int memory_take(struct domain *d, xmlNode *node)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} units[] = { { "b", 1 },
		      { "bytes", 1 },
		      { "KB", 1000 },
		      { "k", 1024 },
		      { "KiB", 1024 },
		      { "MB", 1000000 },
		      { "M", 1 << 20 },
		      { "MiB", 1 << 20 },
		      { "GB", 1000000000 },
		      { "G", 1 << 30 },
		      { "GiB", 1 << 30 },
		      { "T", (uint64_t)1 << 40 },
		      { "TiB", (uint64_t)1 << 40 },
		      { "TB", 1000000000000 } };
	const char *unit = xml_attr(&d->x, node, "unit"), *text = xml_text(&d->x, node);
	uint64_t n, factor = unit ? 0 : 1024;

	for (size_t i = 0; unit && i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(units[i].name, unit))
			factor = units[i].bytes;
	if (!factor || !xml_number(text, UINT64_MAX, &n) || __builtin_mul_overflow(n, factor, &d->m->memory))
		return fail(d->err, VDISK_CORRUPT, "<memory> is no size: \"%.64s\" %.32s", text ? text : "", unit ? unit : "");
	return 0;
}

static int count_take(struct domain *d, const char *text, const char *what, unsigned *out)
{
	uint64_t n;

	if (!text)
		return 0;
	if (!xml_number(text, MACHINE_CPUS_MAX, &n) || !n)
		return fail(d->err, VDISK_CORRUPT, "%s is no number from 1 to %d: \"%.64s\"", what, MACHINE_CPUS_MAX, text);
	*out = (unsigned)n;
	return 0;
}

static int cpu_take(struct domain *d, xmlNode *root)
{
	xmlNode *topology = xml_child(xml_child(root, "cpu"), "topology");
	struct machine *m = d->m;
	unsigned dies = 1;

	if (count_take(d, xml_child_text(&d->x, root, "vcpu"), "<vcpu>", &m->cpus) ||
	    count_take(d, xml_attr(&d->x, topology, "sockets"), "sockets", &m->sockets) ||
	    count_take(d, xml_attr(&d->x, topology, "dies"), "dies", &dies) ||
	    count_take(d, xml_attr(&d->x, topology, "cores"), "cores", &m->cores) ||
	    count_take(d, xml_attr(&d->x, topology, "threads"), "threads", &m->threads))
		return -1;
	if (dies > 1 && dies <= MACHINE_CPUS_MAX / (m->cores ? m->cores : 1)) {
		machine_lost_add(&m->lost, NULL, "they are taken for cores", "%u dies of each socket", dies);
		m->cores *= dies;
	}
	if (!m->cpus)
		m->cpus = 1;
	return 0;
}

static void firmware_take(struct domain *d, xmlNode *os)
{
	struct machine *m = d->m;
	const char *firmware = xml_attr(&d->x, os, "firmware");
	xmlNode *loader = xml_child(os, "loader");
	const char *type = xml_attr(&d->x, loader, "type"), *path = xml_text(&d->x, loader);

	m->firmware = MACHINE_FIRMWARE_BIOS;
	if ((firmware && !strcmp(firmware, "efi")) || (type && !strcmp(type, "pflash")) ||
	    (path && (strcasestr(path, "ovmf") || strcasestr(path, "efi"))))
		m->firmware = MACHINE_FIRMWARE_UEFI;
	if (xml_yes(xml_attr(&d->x, loader, "secure")))
		m->secure_boot = true;
	xml_attr(&d->x, loader, "readonly");
	XML_EACH(feature, xml_child(os, "firmware"), "feature") {
		const char *name = xml_attr(&d->x, feature, "name"), *on = xml_attr(&d->x, feature, "enabled");

		if (name && !strcmp(name, "secure-boot") && xml_yes(on))
			m->secure_boot = true;
	}
}

static int os_take(struct domain *d, xmlNode *root)
{
	xmlNode *os = xml_child(root, "os"), *type = xml_child(os, "type");
	const char *machine = xml_attr(&d->x, type, "machine"), *kind = xml_text(&d->x, type);

	if (kind && strcmp(kind, "hvm"))
		return fail(d->err, VDISK_UNSUPPORTED, "a machine of the type \"%.64s\" boots by no firmware (only hvm does)",
		            kind);
	d->m->arch = machine_text(d->m, xml_attr(&d->x, type, "arch"));
	if (machine && strstr(machine, "q35"))
		d->m->chipset = MACHINE_CHIPSET_Q35;
	else if (machine && (!strncmp(machine, "pc", 2) || strstr(machine, "i440fx")))
		d->m->chipset = MACHINE_CHIPSET_PC;
	else if (machine)
		machine_lost_add(&d->m->lost, machine, NULL, "machine type");
	firmware_take(d, os);
	return 0;
}

/* <boot dev='…'/> in <os>, where no device has a place of its own. */
static void boot_take(struct domain *d, xmlNode *root)
{
	unsigned next = 1;

	XML_EACH(boot, xml_child(root, "os"), "boot") {
		const char *dev = xml_attr(&d->x, boot, "dev");

		if (!dev || d->ordered)
			continue;
		if (!strcmp(dev, "hd"))
			boot_medium(d->m, MACHINE_DISK, &next);
		else if (!strcmp(dev, "cdrom"))
			boot_medium(d->m, MACHINE_CDROM, &next);
		else if (!strcmp(dev, "fd"))
			boot_medium(d->m, MACHINE_FLOPPY, &next);
		else if (!strcmp(dev, "network"))
			boot_nic(d->m, &next);
	}
}

static void order_take(struct domain *d, xmlNode *node, unsigned *boot)
{
	uint64_t n;

	if (xml_number(xml_child_attr(&d->x, node, "boot", "order"), UINT32_MAX, &n)) {
		*boot = (unsigned)n;
		d->ordered = true;
	}
}

/* ---------------------------------------------------------------- disks */

static void controllers_take(struct domain *d, xmlNode *devices)
{
	static const struct {
		const char *name;
		enum machine_scsi scsi;
	} models[] = { { "lsilogic", MACHINE_SCSI_LSI },
		       { "buslogic", MACHINE_SCSI_BUSLOGIC },
		       { "lsisas1068", MACHINE_SCSI_LSI_SAS },
		       { "lsisas1078", MACHINE_SCSI_MEGASAS },
		       { "vmpvscsi", MACHINE_SCSI_PVSCSI },
		       { "virtio-scsi", MACHINE_SCSI_VIRTIO },
		       { "virtio-transitional", MACHINE_SCSI_VIRTIO },
		       { "virtio-non-transitional", MACHINE_SCSI_VIRTIO } };

	XML_EACH(c, devices, "controller") {
		const char *type = xml_attr(&d->x, c, "type"), *model = xml_attr(&d->x, c, "model");
		uint64_t index;

		if (!type || strcmp(type, "scsi") || !xml_number(xml_attr(&d->x, c, "index"), 63, &index))
			continue;
		for (size_t i = 0; model && i < sizeof(models) / sizeof(*models); i++)
			if (!strcmp(models[i].name, model))
				d->scsi[index] = models[i].scsi;
		if (model && !d->scsi[index])
			machine_lost_add(&d->m->lost, model, NULL, "model of SCSI controller %u", (unsigned)index);
	}
}

static void source_take(struct domain *d, struct machine_disk *disk, xmlNode *node)
{
	xmlNode *source = xml_child(node, "source");
	const char *type = xml_attr(&d->x, node, "type"), *pool, *volume, *protocol, *name, *host;

	if (!source)
		return;
	if (!type || !strcmp(type, "file")) {
		machine_disk_path(d->m, disk, xml_attr(&d->x, source, "file"));
	} else if (!strcmp(type, "block")) {
		disk->host = true;
		machine_disk_path(d->m, disk, xml_attr(&d->x, source, "dev"));
	} else if (!strcmp(type, "network")) {
		protocol = xml_attr(&d->x, source, "protocol");
		name = xml_attr(&d->x, source, "name");
		host = xml_child_attr(&d->x, source, "host", "name");
		machine_disk_path(d->m, disk,
		                  machine_text_format(d->m, "%s://%s/%s", protocol ? protocol : "unknown", host ? host : "",
		                                      name ? name : ""));
		disk->path_flags |= MACHINE_PATH_REMOTE;
	} else if (!strcmp(type, "volume")) {
		pool = xml_attr(&d->x, source, "pool");
		volume = xml_attr(&d->x, source, "volume");
		machine_disk_path(d->m, disk, machine_text_format(d->m, "volume://%s/%s", pool ? pool : "", volume ? volume : ""));
	} else {
		machine_lost_add(&d->m->lost, type, "where its image lies is not understood", "disk %s",
		                 disk->name ? disk->name : "");
		return;
	}
	if (xml_child(source, "slices")) { /* the whole of it would be another disk */
		machine_lost_add(&d->m->lost, disk->path, "the disk is a part of this file only", "disk %s: its image",
		                 disk->name ? disk->name : "");
		disk->path = NULL;
		disk->path_flags = 0;
	}
}

static void disk_place(struct domain *d, struct machine_disk *disk, xmlNode *node)
{
	xmlNode *address = xml_child(node, "address");
	const char *type = xml_attr(&d->x, address, "type");
	uint64_t controller = 0, bus = 0, target = 0, unit = 0;

	xml_seen(address);
	if (!type || strcmp(type, "drive") || !xml_number(xml_attr(&d->x, address, "unit"), 16383, &unit))
		return;
	xml_number(xml_attr(&d->x, address, "controller"), 1023, &controller);
	xml_number(xml_attr(&d->x, address, "bus"), 255, &bus);
	xml_number(xml_attr(&d->x, address, "target"), 255, &target);
	if (disk->bus == MACHINE_BUS_IDE)
		unit = bus * 2 + unit;
	else if (disk->bus == MACHINE_BUS_SCSI && target && !unit)
		unit = target;
	else if (bus || target)
		machine_lost_add(&d->m->lost, NULL, NULL, "disk %s: bus %u, target %u of its address", disk->name ? disk->name : "",
		                 (unsigned)bus, (unsigned)target);
	if (disk->bus == MACHINE_BUS_SCSI && controller < 64)
		disk->scsi = d->scsi[controller];
	place_set(d->m, disk, (unsigned)controller, (int)unit);
}

static const char *format_take(struct domain *d, const char *type)
{
	if (!type)
		return NULL;
	return machine_text(d->m, !strcmp(type, "vpc") ? "vhd" : type);
}

static void sectors_take(struct domain *d, struct machine_disk *disk, xmlNode *node)
{
	xmlNode *io = xml_child(node, "blockio");
	uint64_t n;

	if (xml_number(xml_attr(&d->x, io, "logical_block_size"), 1 << 20, &n))
		disk->logical_sector = (unsigned)n;
	if (xml_number(xml_attr(&d->x, io, "physical_block_size"), 1 << 20, &n))
		disk->physical_sector = (unsigned)n;
}

static void bus_take(struct domain *d, struct machine_disk *disk, const char *bus)
{
	int v;

	if (!bus)
		return;
	v = !strcmp(bus, "fdc") ? MACHINE_BUS_FLOPPY : machine_bus_parse(bus);
	if (v > 0)
		disk->bus = (enum machine_bus)v;
	else
		machine_lost_add(&d->m->lost, bus, NULL, "disk %s: bus", disk->name ? disk->name : "");
}

static void disk_take(struct domain *d, xmlNode *node)
{
	struct machine_disk *disk = machine_disk_add(d->m);
	xmlNode *target = xml_child(node, "target"), *driver = xml_child(node, "driver");
	const char *device = xml_attr(&d->x, node, "device");

	if (!disk)
		return;
	disk->name = machine_text(d->m, xml_attr(&d->x, target, "dev"));
	if (device && !strcmp(device, "cdrom"))
		disk->medium = MACHINE_CDROM;
	else if (device && !strcmp(device, "floppy"))
		disk->medium = MACHINE_FLOPPY;
	else if (device && !strcmp(device, "lun"))
		machine_lost_add(&d->m->lost, "lun", "it becomes a plain disk", "disk %s", disk->name ? disk->name : "");
	bus_take(d, disk, xml_attr(&d->x, target, "bus"));
	xml_attr(&d->x, driver, "name");
	if (disk->medium == MACHINE_DISK)
		disk->format = format_take(d, xml_attr(&d->x, driver, "type"));
	else
		xml_attr(&d->x, driver, "type");
	source_take(d, disk, node);
	disk_place(d, disk, node);
	sectors_take(d, disk, node);
	disk->read_only = xml_child(node, "readonly") && disk->medium != MACHINE_CDROM;
	disk->serial = machine_text(d->m, xml_child_text(&d->x, node, "serial"));
	disk->wwn = machine_text(d->m, xml_child_text(&d->x, node, "wwn"));
	order_take(d, node, &disk->boot);
}

/* ---------------------------------------------------------------- NICs and the rest */

static void network_take(struct domain *d, struct machine_nic *n, xmlNode *node, size_t at)
{
	const char *type = xml_attr(&d->x, node, "type");
	xmlNode *source = xml_child(node, "source");
	const char *name;

	if (!type || !strcmp(type, "network")) {
		name = xml_attr(&d->x, source, "network");
		n->net = MACHINE_NET_NETWORK;
	} else if (!strcmp(type, "bridge")) {
		name = xml_attr(&d->x, source, "bridge");
		n->net = MACHINE_NET_BRIDGE;
	} else if (!strcmp(type, "user")) {
		name = NULL;
		n->net = MACHINE_NET_NAT;
	} else if (!strcmp(type, "null")) {
		name = NULL;
		n->net = MACHINE_NET_NONE;
	} else {
		name = xml_attr(&d->x, source, "dev");
		machine_lost_add(&d->m->lost, type, NULL, "NIC %zu: kind of its network", at);
	}
	n->network = machine_text(d->m, name);
}

static void nic_take(struct domain *d, xmlNode *node)
{
	static const struct {
		const char *name;
		enum machine_nic_model model;
	} models[] = { { "ne2k_pci", MACHINE_NIC_NE2000 }, { "ne2k_isa", MACHINE_NIC_NE2000 }, { "82540EM", MACHINE_NIC_E1000 },
		{ "virtio-transitional", MACHINE_NIC_VIRTIO }, { "virtio-non-transitional", MACHINE_NIC_VIRTIO },
		{ "Am79C970A", MACHINE_NIC_PCNET }, { "Am79C973", MACHINE_NIC_PCNET }, { "netfront", MACHINE_NIC_XEN } };
	struct machine_nic *n = machine_nic_add(d->m);
	const char *mac = xml_child_attr(&d->x, node, "mac", "address"), *model = xml_child_attr(&d->x, node, "model", "type"),
		   *link;
	size_t at = d->m->nics_n;
	uint64_t v;
	int known;

	if (!n)
		return;
	network_take(d, n, node, at);
	n->mac = machine_mac(d->m, mac);
	if (mac && !n->mac)
		machine_lost_add(&d->m->lost, mac, "it is no MAC address", "NIC %zu", at);
	known = machine_nic_model_parse(model);
	n->model = known > 0 ? (enum machine_nic_model)known : MACHINE_NIC_UNKNOWN;
	for (size_t i = 0; model && i < sizeof(models) / sizeof(*models); i++)
		if (!strcmp(models[i].name, model))
			n->model = models[i].model;
	if (model && !n->model)
		machine_lost_add(&d->m->lost, model, NULL, "NIC %zu: model", at);
	link = xml_child_attr(&d->x, node, "link", "state");
	n->disconnected = link && !strcmp(link, "down");
	if (xml_number(xml_child_attr(&d->x, node, "mtu", "size"), 65535, &v))
		n->mtu = (unsigned)v;
	if (xml_number(xml_attr(&d->x, xml_child(xml_child(node, "vlan"), "tag"), "id"), 4095, &v))
		n->vlan = (unsigned)v;
	xml_seen(xml_child(node, "address"));
	xml_seen(xml_child(node, "target")); /* the host's tap device, which exists while the machine runs */
	order_take(d, node, &n->boot);
}

static void serial_take(struct domain *d, xmlNode *node)
{
	struct machine_serial *s = machine_serial_add(d->m);
	const char *type = xml_attr(&d->x, node, "type"), *host, *service;
	xmlNode *source = xml_child(node, "source");

	if (!s)
		return;
	xml_seen(xml_child(node, "target"));
	xml_seen(xml_child(node, "protocol"));
	if (!type || !strcmp(type, "pty")) {
		s->kind = MACHINE_SERIAL_PTY;
		xml_seen(source);
	} else if (!strcmp(type, "file") || !strcmp(type, "pipe") || !strcmp(type, "dev")) {
		s->kind = *type == 'f' ? MACHINE_SERIAL_FILE : *type == 'p' ? MACHINE_SERIAL_PIPE : MACHINE_SERIAL_DEVICE;
		s->path = machine_text(d->m, xml_attr(&d->x, source, "path"));
	} else if (!strcmp(type, "tcp")) {
		s->kind = MACHINE_SERIAL_TCP;
		host = xml_attr(&d->x, source, "host");
		service = xml_attr(&d->x, source, "service");
		xml_attr(&d->x, source, "mode");
		s->path = machine_text_format(d->m, "%s:%s", host ? host : "", service ? service : "");
	} else {
		s->kind = MACHINE_SERIAL_NONE;
		if (strcmp(type, "null"))
			machine_lost_add(&d->m->lost, type, NULL, "serial port %zu: kind", d->m->serials_n);
	}
}

static void video_take(struct domain *d, xmlNode *devices)
{
	static const char *const names[] = { "", "none", "vga", "cirrus", "vmvga", "qxl", "virtio" };
	xmlNode *model = xml_child(xml_child(devices, "video"), "model");
	const char *type = xml_attr(&d->x, model, "type"), *ram = xml_attr(&d->x, model, "vram");
	uint64_t n;

	xml_seen(xml_child(xml_child(devices, "video"), "address"));
	if (!type)
		return;
	for (size_t i = 1; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(names[i], type))
			d->m->video = (enum machine_video)i;
	if (!d->m->video)
		machine_lost_add(&d->m->lost, type, NULL, "graphics");
	if (xml_number(ram, UINT32_MAX, &n))
		d->m->video_memory = n * 1024;
}

static void tpm_take(struct domain *d, xmlNode *devices)
{
	xmlNode *tpm = xml_child(devices, "tpm"), *backend = xml_child(tpm, "backend");
	const char *version = xml_attr(&d->x, backend, "version");

	if (!tpm)
		return;
	xml_attr(&d->x, tpm, "model");
	xml_attr(&d->x, backend, "type");
	d->m->tpm = version && !strcmp(version, "1.2") ? MACHINE_TPM_1_2 : MACHINE_TPM_2_0;
}

static int domain_take(struct domain *d, xmlNode *root)
{
	xmlNode *devices = xml_child(root, "devices"), *memory = xml_child(root, "memory");
	const char *uuid = xml_child_text(&d->x, root, "uuid");
	struct machine *m = d->m;

	xml_attr(&d->x, root, "type");
	m->name = machine_text(m, xml_child_text(&d->x, root, "name"));
	m->uuid = machine_uuid(m, uuid);
	if (uuid && !m->uuid)
		return fail(d->err, VDISK_CORRUPT, "<uuid> is no UUID: \"%.64s\"", uuid);
	m->description = machine_text_clean(m, xml_child_text(&d->x, root, "description"));
	if ((memory && memory_take(d, memory)) || cpu_take(d, root) || os_take(d, root))
		return -1;
	controllers_take(d, devices);
	XML_EACH(disk, devices, "disk")
		disk_take(d, disk);
	XML_EACH(nic, devices, "interface")
		nic_take(d, nic);
	XML_EACH(serial, devices, "serial")
		serial_take(d, serial);
	video_take(d, devices);
	tpm_take(d, devices);
	boot_take(d, root);
	if (xml_child(root, "clock"))
		xml_attr(&d->x, xml_child(root, "clock"), "offset");
	xml_attr(&d->x, xml_child(root, "cpu"), "mode");
	xml_unused(&d->x, root, harmless, NULL, &m->lost);
	return d->x.nomem ? fail_nomem(d->err) : 0;
}

int libvirt_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	struct domain d = { .m = m, .err = err };
	int rc;

	(void)how;
	if (xml_parse(&d.x, bytes, len, err))
		return -1;
	if (xml_is(d.x.root, "domain"))
		rc = domain_take(&d, d.x.root);
	else
		rc = fail(err, VDISK_CORRUPT, "this is no domain XML of libvirt: its root is <%.64s>",
		          (const char *)d.x.root->name);
	xml_free(&d.x);
	return rc;
}

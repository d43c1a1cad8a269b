/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Microsoft's old descriptions: Virtual PC's .vmc, and the XML that Hyper-V exported before Windows Server 2016.  Both are trees of
 * settings, <name type="string">value</name>, in UTF-16.
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct settings_tree {
	struct machine *m;
	struct xml x;
	vdisk_error *err;
};

/* a/b/c below `node`. */
static xmlNode *at_path(xmlNode *node, const char *path)
{
	char name[64];

	while (node && *path) {
		size_t n = strcspn(path, "/");

		if (n >= sizeof(name))
			return NULL;
		memcpy(name, path, n);
		name[n] = '\0';
		node = xml_child(node, name);
		path += n + (path[n] != '\0');
	}
	return node;
}

static const char *value(struct settings_tree *t, xmlNode *node, const char *path)
{
	xmlNode *found = at_path(node, path);
	const char *text = found ? xml_text(&t->x, found) : NULL;

	return text && *text ? text : NULL;
}

static int megabytes(struct settings_tree *t, xmlNode *node, const char *path, uint64_t *out)
{
	const char *text = value(t, node, path);
	uint64_t n;

	if (!text)
		return 0;
	if (!xml_number(text, MACHINE_MEMORY_MAX >> 20, &n))
		return fail(t->err, VDISK_CORRUPT, "%s is no number of MiB: \"%.64s\"", path, text);
	*out = n << 20;
	return 0;
}

/* ---------------------------------------------------------------- Virtual PC */

static const char *const vmc_harmless[] = { "@type",      "@id",      "version",        "alerts",           "integration",
	                                    "properties", "settings", "virtual_server", "controller_count", "gui",
	                                    "mouse",      "keyboard", "undo_drives",    "processor",        NULL };

static void vmc_drive(struct settings_tree *t, xmlNode *location, unsigned channel)
{
	const char *kind = value(t, location, "drive_type"), *relative, *absolute, *id = xml_attr(&t->x, location, "id");
	struct machine_disk *d;
	uint64_t unit = 0;

	relative = value(t, location, "pathname/relative");
	absolute = value(t, location, "pathname/absolute");
	xml_seen(location);
	if (!kind || (strcmp(kind, "1") && strcmp(kind, "2")))
		return;
	d = machine_disk_add(t->m);
	if (!d)
		return;
	xml_number(id, 1, &unit);
	d->bus = MACHINE_BUS_IDE;
	d->medium = *kind == '1' ? MACHINE_DISK : MACHINE_CDROM;
	d->name = machine_text_format(t->m, "ide%u:%u", channel, (unsigned)unit);
	place_set(t->m, d, 0, (int)(channel * 2 + unit));
	if (d->medium == MACHINE_DISK)
		d->format = "vhd";
	machine_disk_path(t->m, d, relative ? relative : absolute);
}

static void vmc_nic(struct settings_tree *t, xmlNode *controller)
{
	struct machine_nic *n = machine_nic_add(t->m);
	const char *name = value(t, controller, "virtual_network/name"), *mac = value(t, controller, "ethernet_card_address");

	if (!n)
		return;
	n->model = MACHINE_NIC_TULIP;
	n->mac = machine_mac(t->m, mac);
	n->net = name ? MACHINE_NET_NETWORK : MACHINE_NET_NONE;
	n->network = machine_text(t->m, name);
	xml_seen(controller);
}

static int vmc_take(struct settings_tree *t)
{
	xmlNode *hardware = xml_child(t->x.root, "hardware"), *pci = xml_child(hardware, "pci_bus");
	struct machine *m = t->m;

	if (!hardware)
		return fail(t->err, VDISK_CORRUPT, "this is no virtual machine of Virtual PC: it has no <hardware>");
	m->firmware = MACHINE_FIRMWARE_BIOS;
	m->chipset = MACHINE_CHIPSET_PC;
	m->cpus = 1;
	m->uuid = machine_uuid(m, value(t, hardware, "bios/bios_guid"));
	m->description = machine_text_clean(m, value(t, t->x.root, "settings/configuration/notes"));
	if (megabytes(t, hardware, "memory/ram_size", &m->memory) || megabytes(t, pci, "video_adapter/vram_size", &m->video_memory))
		return -1;
	XML_EACH(c, xml_child(pci, "ide_adapter"), "ide_controller") {
		uint64_t channel = 0;

		if (!xml_number(xml_attr(&t->x, c, "id"), 1, &channel))
			return fail(t->err, VDISK_CORRUPT, "line %ld: an IDE controller is neither 0 nor 1", xmlGetLineNo(c));
		XML_EACH(location, c, "location")
			vmc_drive(t, location, (unsigned)channel);
	}
	XML_EACH(c, xml_child(pci, "ethernet_adapter"), "ethernet_controller")
		vmc_nic(t, c);
	xml_unused(&t->x, t->x.root, vmc_harmless, NULL, &m->lost);
	return t->x.nomem ? fail_nomem(t->err) : 0;
}

/* ---------------------------------------------------------------- Hyper-V */

#define GUID_IDE "_83f8638b-8dca-4152-9eda-2ca8b33039b4_"

static const char *const hyperv_harmless[] = {
	"@type", "manifest", "global_settings", "VDEVVersion", "ChannelInstanceGuid", "creation_time", "type_id", "version",
	"global_id", "subtype", "vdev", "weight", "iops_limit", "iops_reservation", "persistent_reservations_supported", "pool_id",
	"ClusterMonitored", "PortName", "FriendlyName", "Connection", "SwitchName", "MacAddressIsStatic", "address", "RtcDevice",
	"base_board", "chassis", "num_lock", "pxe_preferred_protocol", "pause_after_boot_failure", "VpciInstanceGuid",
	"DeviceNamingEnabled", "MediaType", "InterruptModerationDisabled", "NumaAwarePlacement", "Enabled", NULL
};

static void hyperv_drive(struct settings_tree *t, xmlNode *drive, enum machine_bus bus, unsigned controller, unsigned unit)
{
	const char *type = value(t, drive, "type"), *path = value(t, drive, "pathname");
	struct machine_disk *d;

	xml_seen(drive);
	if (!type || (!strcasecmp(type, "NONE") && !path))
		return;
	d = machine_disk_add(t->m);
	if (!d)
		return;
	d->medium = !strcasecmp(type, "ISO") || !strcasecmp(type, "ATAPI") || !strcasecmp(type, "DVD") || !strcasecmp(type, "NONE")
	                    ? MACHINE_CDROM
	                    : MACHINE_DISK;
	d->bus = bus;
	d->scsi = bus == MACHINE_BUS_SCSI ? MACHINE_SCSI_HYPERV : MACHINE_SCSI_UNKNOWN;
	d->name = machine_text_format(t->m, "%s%u:%u", machine_bus_name(bus), controller, unit);
	place_set(t->m, d, bus == MACHINE_BUS_IDE ? 0 : controller, (int)(bus == MACHINE_BUS_IDE ? controller * 2 + unit : unit));
	if (!strcasecmp(type, "PASSTHROUGH") || !strcasecmp(type, "PHYSICAL"))
		d->host = true;
	machine_disk_path(t->m, d, path);
}

/* controllerN and driveM below a device; false: it has none. */
static bool hyperv_drives(struct settings_tree *t, xmlNode *device, unsigned scsi)
{
	bool ide = !strcasecmp((const char *)device->name, GUID_IDE), any = false;
	char name[24];

	for (unsigned c = 0; c < 4; c++) {
		xmlNode *controller;

		snprintf(name, sizeof(name), "controller%u", c);
		controller = xml_child(device, name);
		if (!controller || (ide && c > 1))
			continue;
		any = true;
		for (unsigned u = 0; u < (ide ? 2 : 64); u++) {
			xmlNode *drive;

			snprintf(name, sizeof(name), "drive%u", u);
			drive = xml_child(controller, name);
			if (drive)
				hyperv_drive(t, drive, ide ? MACHINE_BUS_IDE : MACHINE_BUS_SCSI, ide ? c : scsi + c, u);
		}
	}
	return any;
}

static void hyperv_nic(struct settings_tree *t, xmlNode *device)
{
	const char *mac = value(t, device, "MacAddress"), *connected = value(t, device, "IsConnected"),
		   *network = value(t, device, "Connection/AltSwitchName"), *name = value(t, device, "FriendlyName");
	struct machine_nic *n = machine_nic_add(t->m);

	if (!n)
		return;
	n->model = name && strcasestr(name, "legacy") ? MACHINE_NIC_TULIP : MACHINE_NIC_HYPERV;
	n->mac = machine_mac(t->m, mac);
	n->disconnected = connected && !xml_yes(connected);
	n->net = network ? MACHINE_NET_NETWORK : MACHINE_NET_UNKNOWN;
	n->network = machine_text(t->m, network);
	if (!network)
		machine_lost_add(&t->m->lost, value(t, device, "SwitchName"), "it is a number that only its host knows",
		                 "NIC %zu: its network", t->m->nics_n);
}

static void hyperv_bios(struct settings_tree *t, xmlNode *device)
{
	unsigned next = 1;
	char name[16];

	t->m->uuid = machine_uuid(t->m, value(t, device, "bios_guid"));
	t->m->secure_boot = xml_yes(value(t, device, "secure_boot_enabled"));
	for (unsigned i = 0; i < 8; i++) {
		const char *what;

		snprintf(name, sizeof(name), "device%u", i);
		what = value(t, xml_child(device, "boot"), name);
		if (!what)
			continue;
		if (!strcasecmp(what, "HardDrive"))
			boot_medium(t->m, MACHINE_DISK, &next);
		else if (!strcasecmp(what, "Optical"))
			boot_medium(t->m, MACHINE_CDROM, &next);
		else if (!strcasecmp(what, "Floppy"))
			boot_medium(t->m, MACHINE_FLOPPY, &next);
		else if (!strcasecmp(what, "Network"))
			boot_nic(t->m, &next);
	}
	xml_seen(device);
}

#define FILETIME_1970 UINT64_C(116444736000000000) /* in 100 ns since 1601 */

/* Eight bytes, little-endian, in base64. */
static uint64_t filetime_take(const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t bits = 0, time = 0;

	if (!text || strlen(text) != 12 || text[11] != '=')
		return 0;
	for (unsigned i = 0, bytes = 0, have = 0; i < 11; i++) {
		const char *digit = strchr(digits, text[i]);

		if (!digit)
			return 0;
		bits = bits << 6 | (uint64_t)(digit - digits);
		for (have += 6; have >= 8 && bytes < 8; have -= 8)
			time |= (bits >> (have - 8) & 0xff) << 8 * bytes++;
	}
	return time > FILETIME_1970 ? (time - FILETIME_1970) / 10000000 : 0;
}

static int hyperv_machine(struct settings_tree *t)
{
	xmlNode *settings = xml_child(t->x.root, "settings"), *properties = xml_child(t->x.root, "properties");
	const char *cpus = value(t, settings, "processors/count"), *generation = value(t, properties, "subtype");
	struct machine *m = t->m;
	uint64_t n = 1;

	m->name = machine_text(m, value(t, properties, "name"));
	m->description = machine_text_clean(m, value(t, properties, "notes"));
	m->created = filetime_take(value(t, properties, "creation_time"));
	m->firmware = generation && !strcmp(generation, "1") ? MACHINE_FIRMWARE_UEFI : MACHINE_FIRMWARE_BIOS;
	m->chipset = m->firmware == MACHINE_FIRMWARE_BIOS ? MACHINE_CHIPSET_PC : MACHINE_CHIPSET_UNKNOWN;
	if (cpus && (!xml_number(cpus, MACHINE_CPUS_MAX, &n) || !n))
		return fail(t->err, VDISK_CORRUPT, "settings/processors/count is \"%.64s\"", cpus);
	m->cpus = (unsigned)n;
	if (xml_yes(value(t, settings, "memory/bank/dynamic_memory_enabled")))
		machine_lost_add(&m->lost, value(t, settings, "memory/bank/limit"), "the machine gets what it starts with",
		                 "dynamic memory, limit in MiB");
	if (megabytes(t, settings, "memory/bank/size", &m->memory))
		return -1;
	xml_seen(settings);
	xml_seen(properties);
	return 0;
}

static int hyperv_take(struct settings_tree *t)
{
	xmlNode *bios = NULL;
	unsigned scsi = 0;

	if (!xml_child(t->x.root, "settings") && !xml_child(t->x.root, "manifest"))
		return fail(t->err, VDISK_CORRUPT,
		            "this is no virtual machine of Hyper-V: it has neither <settings> nor <manifest>");
	if (hyperv_machine(t))
		return -1;
	for (xmlNode *c = xml_child(t->x.root, NULL); c; c = xml_next(c, NULL)) {
		if (*(const char *)c->name != '_')
			continue;
		if (xml_child(c, "boot")) {
			bios = c;
		} else if (xml_child(c, "MacAddress")) {
			hyperv_nic(t, c);
		} else if (hyperv_drives(t, c, scsi)) {
			scsi += strcasecmp((const char *)c->name, GUID_IDE) ? 1 : 0;
		} else {
			xml_seen(c); /* mouse, keyboard, clock: every machine there has them */
			continue;
		}
		c->_private = (void *)1;
	}
	if (bios) {
		bios->_private = (void *)1;
		hyperv_bios(t, bios);
	}
	xml_unused(&t->x, t->x.root, hyperv_harmless, NULL, &t->m->lost);
	return t->x.nomem ? fail_nomem(t->err) : 0;
}

static int tree_read(struct machine *m, const void *bytes, size_t len, const char *root, int (*take)(struct settings_tree *),
                     vdisk_error *err)
{
	struct settings_tree t = { .m = m, .err = err };
	int rc;

	if (xml_parse(&t.x, bytes, len, err))
		return -1;
	rc = xml_is(t.x.root, root)
	             ? take(&t)
	             : fail(err, VDISK_CORRUPT, "its root is <%.64s>, due is <%s>", (const char *)t.x.root->name, root);
	xml_free(&t.x);
	return rc;
}

int vmc_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	(void)how;
	return tree_read(m, bytes, len, "preferences", vmc_take, err);
}

int hyperv_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	(void)how;
	return tree_read(m, bytes, len, "configuration", hyperv_take, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * OVF's virtual hardware: items, each a device by CIM's number of its type.  Items for other configurations than the default one
 * are passed over, and those that only bound a quantity are checked and no devices.
 */
#include "common/fail.h"
#include "fit.h"
#include "ovf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum item_type {
	ITEM_OTHER = 1, ITEM_CPU = 3, ITEM_MEMORY = 4, ITEM_IDE = 5, ITEM_SCSI = 6, ITEM_NIC = 10, ITEM_FLOPPY = 14,
	ITEM_CDROM = 15, ITEM_DVD = 16, ITEM_DISK = 17, ITEM_STORAGE = 20, ITEM_SERIAL = 21, ITEM_USB = 23,
	ITEM_VIDEO = 24
};

struct item {
	xmlNode *node;
	const char *id, *parent, *bound, *configuration, *subtype, *address, *on_parent;
	uint64_t type;
	bool has_type;
	enum machine_bus bus;    /* of a controller */
	enum machine_scsi scsi;
	unsigned index;          /* controllers: among those of its bus; IDE: its channel */
};

struct items {
	struct ovf *o;
	struct item *at;
	size_t n;
};

static const char *text(struct items *l, const struct item *i, const char *name) { return xml_child_text(&l->o->x, i->node, name); }

/* The ids are InstanceId in 0.9, and in many envelopes of 1.0. */
static const char *instance(struct items *l, xmlNode *node)
{
	const char *id = xml_child_text(&l->o->x, node, "InstanceID");

	return id ? id : xml_child_text(&l->o->x, node, "InstanceId");
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (list && *list) {
		size_t len = strcspn(list, " \t,");

		if (len == n && !strncasecmp(list, word, n))
			return true;
		list += len + (list[len] != '\0');
	}
	return false;
}

static int unknown_judge(struct items *l, xmlNode *node)
{
	static const char *const known =
		"Address AddressOnParent AllocationUnits AutomaticAllocation AutomaticDeallocation Caption ChangeableType "
		"ConfigurationName Connection ConsumerVisibility Description ElementName Generation HostResource InstanceID "
		"InstanceId Limit MappingBehavior OtherResourceType Parent PoolID Reservation ResourceSubType ResourceType "
		"SoId SoOrgId VirtualQuantity VirtualQuantityUnits Weight BusNumber";

	for (xmlNode *c = node->children; c; c = c->next) {
		const xmlNs *ns = c->type == XML_ELEMENT_NODE ? c->ns : NULL;

		if (c->type != XML_ELEMENT_NODE || has_word(known, (const char *)c->name) ||
		    (ns && strstr((const char *)ns->href, "AllocationSettingData")))
			continue;
		if (ns && strstr((const char *)ns->href, "/envelope") && ovf_unknown(l->o, c))
			return -1;
	}
	return 0;
}

static int item_take(struct items *l, xmlNode *node)
{
	struct item *i = &l->at[l->n];
	struct xml *x = &l->o->x;
	const char *type = xml_child_text(x, node, "ResourceType");

	*i = (struct item){ .node = node,
		            .bound = xml_attr(x, node, "bound"),
		            .configuration = xml_attr(x, node, "configuration") };
	if (!xml_child(node, NULL))
		return fail(l->o->err, VDISK_CORRUPT, "line %ld: an item is empty", xmlGetLineNo(node));
	if (i->configuration && !(l->o->configuration && has_word(i->configuration, l->o->configuration))) {
		xml_seen(node);
		return 0;
	}
	i->id = instance(l, node);
	if (!i->id || !*i->id)
		return fail(l->o->err, VDISK_CORRUPT, "line %ld: an item has no InstanceID", xmlGetLineNo(node));
	i->has_type = xml_number(type, 65535, &i->type);
	if (!i->has_type)
		return fail(l->o->err, VDISK_CORRUPT, "line %ld: item %.32s has the ResourceType \"%.32s\"", xmlGetLineNo(node),
		            i->id, type ? type : "");
	if (i->bound && strcmp(i->bound, "min") && strcmp(i->bound, "max") && strcmp(i->bound, "normal"))
		return fail(l->o->err, VDISK_CORRUPT, "line %ld: item %.32s has the bound \"%.32s\"", xmlGetLineNo(node), i->id,
		            i->bound);
	i->parent = text(l, i, "Parent");
	i->subtype = text(l, i, "ResourceSubType");
	i->address = text(l, i, "Address");
	i->on_parent = text(l, i, "AddressOnParent");
	if (unknown_judge(l, node))
		return -1;
	l->n++;
	return 0;
}

static bool is_device(const struct item *i) { return !i->bound || !strcmp(i->bound, "normal"); }

static bool is_same(const char *a, const char *b) { return a && b ? !strcmp(a, b) : !a && !b; }

/* One id, one device; one lower and one upper bound each; a configuration's own item replaces the general one. */
static int ids_judge(struct items *l)
{
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < i; k++) {
			struct item *a = &l->at[k], *b = &l->at[i];

			if (!a->node || !b->node || strcmp(a->id, b->id) ||
			    !is_same(is_device(a) ? NULL : a->bound, is_device(b) ? NULL : b->bound))
				continue;
			if (is_same(a->configuration, b->configuration))
				return fail(l->o->err, VDISK_CORRUPT, "line %ld: two items have the InstanceID %.32s%s%s",
				            xmlGetLineNo(b->node), b->id, b->bound ? " and bound " : "", b->bound ? b->bound : "");
			if (a->configuration)
				b->node = NULL;
			else
				a->node = NULL;
		}
	return 0;
}

static int items_take(struct items *l, xmlNode *section)
{
	size_t n = 0;

	for (xmlNode *c = xml_child(section, NULL); c; c = xml_next(c, NULL))
		n++;
	if (n > MACHINE_LIST_MAX)
		return fail(l->o->err, VDISK_UNSUPPORTED, "there are more than %d items", MACHINE_LIST_MAX);
	l->at = calloc(n + 1, sizeof(*l->at));
	if (!l->at)
		return fail_nomem(l->o->err);
	for (xmlNode *c = xml_child(section, NULL); c; c = xml_next(c, NULL)) {
		if (xml_is(c, "Info") || xml_is(c, "System"))
			continue;
		if (!xml_is(c, "Item") && !xml_is(c, "StorageItem") && !xml_is(c, "EthernetPortItem")) {
			if (ovf_unknown(l->o, c))
				return -1;
			continue;
		}
		c->_private = (void *)1;
		if (item_take(l, c))
			return -1;
	}
	return ids_judge(l);
}

/* ---------------------------------------------------------------- controllers */

static enum machine_scsi scsi_of(const char *subtype)
{
	static const struct {
		const char *word;
		enum machine_scsi scsi;
	} words[] = { { "lsilogic", MACHINE_SCSI_LSI },        { "buslogic", MACHINE_SCSI_BUSLOGIC },
		      { "lsilogicsas", MACHINE_SCSI_LSI_SAS }, { "virtualscsi", MACHINE_SCSI_PVSCSI },
		      { "pvscsi", MACHINE_SCSI_PVSCSI },       { "virtio-scsi", MACHINE_SCSI_VIRTIO },
		      { "virtioscsi", MACHINE_SCSI_VIRTIO } };

	/* Of a list, the first that is known. */
	for (const char *at = subtype; at && *at; at += strspn(at, " \t,")) {
		size_t n = strcspn(at, " \t,");

		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
			if (n == strlen(words[i].word) && !strncasecmp(at, words[i].word, n))
				return words[i].scsi;
		at += n;
	}
	return MACHINE_SCSI_UNKNOWN;
}

static void controllers_find(struct items *l)
{
	unsigned next[16] = { 0 };

	for (size_t k = 0; k < l->n; k++) {
		struct item *i = &l->at[k];
		uint64_t channel;

		if (!i->node || !is_device(i))
			continue;
		if (i->type == ITEM_IDE)
			i->bus = MACHINE_BUS_IDE;
		else if (i->type == ITEM_SCSI)
			i->bus = MACHINE_BUS_SCSI;
		else if (i->type == ITEM_STORAGE && i->subtype)
			i->bus = strcasestr(i->subtype, "nvme")                                     ? MACHINE_BUS_NVME
			         : strcasestr(i->subtype, "ahci") || strcasestr(i->subtype, "sata") ? MACHINE_BUS_SATA
			         : scsi_of(i->subtype)                                              ? MACHINE_BUS_SCSI
			                                                                            : MACHINE_BUS_UNKNOWN;
		if (!i->bus) {
			if (i->type == ITEM_STORAGE)
				machine_lost_add(&l->o->m->lost, i->subtype, NULL, "storage controller, line %ld",
				                 xmlGetLineNo(i->node));
			continue;
		}
		i->index = next[i->bus]++;
		if (i->bus == MACHINE_BUS_IDE && xml_number(i->address, 1, &channel))
			i->index = (unsigned)channel;
		i->scsi = i->bus == MACHINE_BUS_SCSI ? scsi_of(i->subtype) : MACHINE_SCSI_UNKNOWN;
		if (i->bus == MACHINE_BUS_SCSI && !i->scsi && i->subtype)
			machine_lost_add(&l->o->m->lost, i->subtype, NULL, "SCSI controller, line %ld: model",
			                 xmlGetLineNo(i->node));
		text(l, i, "BusNumber");
	}
}

static const struct item *parent_find(const struct items *l, const struct item *i)
{
	for (size_t k = 0; i->parent && k < l->n; k++)
		if (l->at[k].node && l->at[k].bus && !strcmp(l->at[k].id, i->parent))
			return &l->at[k];
	return NULL;
}

/* ---------------------------------------------------------------- devices */

static void place_take(struct items *l, const struct item *i, struct machine_disk *d)
{
	const struct item *c = parent_find(l, i);
	uint64_t unit = 0;

	if (!c) {
		if (i->parent)
			machine_lost_add(&l->o->m->lost, i->parent, "there is no such controller", "item %s, line %ld: its parent",
			                 i->id, xmlGetLineNo(i->node));
		return;
	}
	d->bus = c->bus;
	d->scsi = c->scsi;
	if (!xml_number(i->on_parent, 255, &unit))
		return;
	if (c->bus != MACHINE_BUS_IDE)
		place_set(l->o->m, d, c->index, (int)unit);
	else if (c->index < 2 && c->index * 2 + unit < 4)
		place_set(l->o->m, d, 0, (int)(c->index * 2 + unit));
}

/* ovf:/disk/ID, /disk/ID, ovf:/file/ID. */
static int resource_take(struct items *l, const struct item *i, struct machine_disk *d)
{
	struct ovf *o = l->o;
	const char *resource = text(l, i, "HostResource"), *at = resource;
	struct ovf_disk *disk;
	struct ovf_file *file;

	if (!resource || !*resource)
		return 0;
	if (!strncmp(at, "ovf:", 4))
		at += 4;
	while (!strncmp(at, "//", 2))
		at++;
	if (!strncmp(at, "/disk/", 6)) {
		disk = ovf_disk_find(o, at + 6);
		if (!disk)
			return fail(o->err, VDISK_CORRUPT, "line %ld: there is no disk \"%.64s\"", xmlGetLineNo(i->node), at + 6);
		ovf_disk_use(o, d, disk);
	} else if (!strncmp(at, "/file/", 6)) {
		file = ovf_file_find(o, at + 6);
		if (!file)
			return fail(o->err, VDISK_CORRUPT, "line %ld: there is no file \"%.64s\"", xmlGetLineNo(i->node), at + 6);
		machine_disk_path(o->m, d, file->href);
		d->file_size = file->size;
		d->chunk_size = file->chunk;
		d->compression = machine_text(o->m, file->compression);
	} else if (d->medium == MACHINE_DISK) {
		machine_lost_add(&o->m->lost, resource, "it names neither a disk nor a file of the envelope", "item %s, line %ld",
		                 i->id, xmlGetLineNo(i->node));
	}
	return 0;
}

static int disk_take(struct items *l, const struct item *i, enum machine_medium medium)
{
	struct machine_disk *d = machine_disk_add(l->o->m);

	if (!d)
		return 0;
	d->name = machine_text(l->o->m, i->id);
	d->medium = medium;
	if (medium == MACHINE_FLOPPY) {
		d->bus = MACHINE_BUS_FLOPPY;
		if (i->on_parent && (!strcmp(i->on_parent, "0") || !strcmp(i->on_parent, "1")))
			place_set(l->o->m, d, 0, *i->on_parent - '0');
	} else {
		place_take(l, i, d);
	}
	return resource_take(l, i, d);
}

static int nic_take(struct items *l, const struct item *i)
{
	static const struct {
		const char *word;
		enum machine_nic_model model;
	} words[] = { { "PCNet32", MACHINE_NIC_PCNET }, { "E1000", MACHINE_NIC_E1000 }, { "E1000E", MACHINE_NIC_E1000E },
		{ "VmxNet", MACHINE_NIC_VMXNET }, { "VmxNet2", MACHINE_NIC_VMXNET }, { "VmxNet3", MACHINE_NIC_VMXNET3 },
		{ "virtio", MACHINE_NIC_VIRTIO }, { "rtl8139", MACHINE_NIC_RTL8139 } };
	struct machine_nic *n = machine_nic_add(l->o->m);
	const char *network, *automatic;

	if (!n)
		return 0;
	n->name = machine_text(l->o->m, i->id);
	for (size_t k = 0; k < sizeof(words) / sizeof(*words) && !n->model; k++)
		if (has_word(i->subtype, words[k].word))
			n->model = words[k].model;
	if (i->subtype && !n->model)
		machine_lost_add(&l->o->m->lost, i->subtype, NULL, "NIC, line %ld: model", xmlGetLineNo(i->node));
	network = text(l, i, "Connection");
	if (network && *network) {
		n->net = MACHINE_NET_NETWORK;
		n->network = machine_text(l->o->m, network);
		if (!l->o->networks)
			return fail(l->o->err, VDISK_CORRUPT, "line %ld: NIC on network \"%.64s\", but there is no NetworkSection",
				    xmlGetLineNo(i->node), network);
	}
	n->mac = machine_mac(l->o->m, i->address);
	automatic = text(l, i, "AutomaticAllocation");
	n->disconnected = automatic && !strcasecmp(automatic, "false");
	return 0;
}

static int quantity_take(struct items *l, const struct item *i, uint64_t *n)
{
	const char *value = text(l, i, "VirtualQuantity");

	*n = 0;
	if (!value || !*value)
		return 0;
	return xml_number(value, UINT32_MAX, n)
	               ? 0
	               : fail(l->o->err, VDISK_CORRUPT, "line %ld: VirtualQuantity of item %.32s is \"%.64s\"",
	                      xmlGetLineNo(i->node), i->id, value);
}

static int cpu_take(struct items *l, const struct item *i)
{
	struct machine *m = l->o->m;
	const char *cores = text(l, i, "CoresPerSocket");
	uint64_t n, each;

	text(l, i, "AllocationUnits");
	if (quantity_take(l, i, &n))
		return -1;
	if (n > MACHINE_CPUS_MAX)
		return fail(l->o->err, VDISK_CORRUPT, "line %ld: %llu CPUs", xmlGetLineNo(i->node), (unsigned long long)n);
	m->cpus = m->cpus ? m->cpus : (unsigned)n;
	if (cores && xml_number(cores, MACHINE_CPUS_MAX, &each) && each && m->cpus % each == 0) {
		m->cores = (unsigned)each;
		m->sockets = m->cpus / m->cores;
	}
	return 0;
}

static int memory_take(struct items *l, const struct item *i)
{
	const char *units = text(l, i, "AllocationUnits");
	uint64_t n, factor = units && *units ? ovf_units(units) : 1 << 20, bytes;

	if (quantity_take(l, i, &n))
		return -1;
	if (!factor || __builtin_mul_overflow(n, factor, &bytes) || bytes > MACHINE_MEMORY_MAX)
		return fail(l->o->err, VDISK_CORRUPT, "line %ld: memory of %llu times \"%.64s\"", xmlGetLineNo(i->node),
		            (unsigned long long)n, units ? units : "");
	if (!l->o->m->memory)
		l->o->m->memory = bytes;
	return 0;
}

static int device_take(struct items *l, const struct item *i)
{
	struct machine *m = l->o->m;
	struct machine_serial *s;
	const char *name;

	switch (i->type) {
	case ITEM_CPU: return cpu_take(l, i);
	case ITEM_MEMORY: return memory_take(l, i);
	case ITEM_NIC: return nic_take(l, i);
	case ITEM_FLOPPY: return disk_take(l, i, MACHINE_FLOPPY);
	case ITEM_CDROM:
	case ITEM_DVD: return disk_take(l, i, MACHINE_CDROM);
	case ITEM_DISK: return disk_take(l, i, MACHINE_DISK);
	case ITEM_SERIAL:
		s = machine_serial_add(m);
		if (s)
			s->kind = MACHINE_SERIAL_NONE;
		return 0;
	case ITEM_IDE:
	case ITEM_SCSI:
	case ITEM_STORAGE:
	case ITEM_USB:
	case ITEM_VIDEO: return 0;
	case ITEM_OTHER:
		if (i->subtype && !strcasecmp(i->subtype, "vmware.vtpm")) {
			m->tpm = MACHINE_TPM_2_0;
			return 0;
		}
		if (i->subtype && !strcasecmp(i->subtype, "vmware.vmci"))
			return 0;
		break;
	}
	name = text(l, i, "ElementName");
	machine_lost_add(&m->lost, i->subtype ? i->subtype : name, "a device that is not known here",
	                 "item %s of type %u, line %ld", i->id, (unsigned)i->type, xmlGetLineNo(i->node));
	return 0;
}

static int system_judge(struct items *l, xmlNode *section)
{
	xmlNode *system = xml_child(section, "System");
	const char *type;

	if (!system)
		return 0;
	type = xml_child_text(&l->o->x, system, "VirtualSystemType");
	if (!type && !instance(l, system))
		return fail(l->o->err, VDISK_CORRUPT, "line %ld: <System> is empty", xmlGetLineNo(system));
	xml_seen(system);
	return 0;
}

/* Where VMware had put the device. */
static void slot_seen(xmlNode *node)
{
	XML_EACH(c, node, "Config") {
		const char *key = xml_peek(c, "key");

		if (key && !strncmp(key, "slotInfo.", 9))
			xml_seen(c);
		else
			c->_private = NULL;
	}
}

/* VMware's settings of the machine as a whole. */
static void config_take(struct items *l, xmlNode *section)
{
	struct machine *m = l->o->m;

	XML_EACH(c, section, "Config") {
		const char *key = xml_attr(&l->o->x, c, "key"), *value = xml_attr(&l->o->x, c, "value");

		if (!key || !value)
			continue;
		if (!strcmp(key, "firmware"))
			m->firmware = strcasestr(value, "efi") ? MACHINE_FIRMWARE_UEFI : MACHINE_FIRMWARE_BIOS;
		else if (!strcmp(key, "bootOptions.efiSecureBootEnabled"))
			m->secure_boot = xml_yes(value);
		else if (!strncmp(key, "tools.", 6) || !strncmp(key, "powerOpInfo.", 12) || !strncmp(key, "cpuHotAdd", 9) ||
		         !strncmp(key, "memoryHotAdd", 12) || !strncmp(key, "cpuHotRemove", 12) ||
		         !strcmp(key, "nestedHVEnabled") || !strcmp(key, "virtualICH7MPresent") ||
		         !strcmp(key, "virtualSMCPresent") || !strcmp(key, "simultaneousThreads"))
			continue;
		else
			machine_lost_add(&m->lost, value, NULL, "Config %.128s, line %ld", key, xmlGetLineNo(c));
	}
}

int ovf_hardware(struct ovf *o, xmlNode *section)
{
	struct items l = { .o = o };
	int rc = system_judge(&l, section) || items_take(&l, section) ? -1 : 0;

	xml_attr(&o->x, section, "transport");
	if (!rc)
		controllers_find(&l);
	for (size_t i = 0; !rc && i < l.n; i++)
		if (l.at[i].node && is_device(&l.at[i])) {
			rc = device_take(&l, &l.at[i]);
			slot_seen(l.at[i].node);
		}
	if (!rc)
		config_take(&l, section);
	free(l.at);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * XenServer's ova.xml, the head of an XVA: XML-RPC, a list of the host's database objects, each a class, a reference ("Ref:12") and
 * its fields.  Disks' data lie in the archive under the reference of their VDI, which is what `ref` tells.
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct object {
	const char *kind, *id;
	xmlNode *fields; /* <struct> */
};

struct xva {
	struct machine *m;
	struct xml x;
	vdisk_error *err;
	struct object *objects;
	size_t n;
};

#define OBJECTS_MAX 20000

/* The <value> of a member. */
static xmlNode *member(struct xva *v, xmlNode *fields, const char *name)
{
	for (xmlNode *m = fields ? fields->children : NULL; m; m = m->next)
		if (xml_is(m, "member")) {
			const char *text = NULL;

			for (xmlNode *c = m->children; c; c = c->next)
				if (xml_is(c, "name") && c->children && c->children->type == XML_TEXT_NODE)
					text = (const char *)c->children->content;
			if (text && !strcmp(text, name))
				return xml_child(m, "value");
		}
	(void)v;
	return NULL;
}

static const char *field(struct xva *v, xmlNode *fields, const char *name)
{
	xmlNode *value = member(v, fields, name);
	const char *text = value ? xml_text(&v->x, value) : NULL;

	return text && *text ? text : NULL;
}

static xmlNode *fields_of(xmlNode *value) { return xml_child(value, "struct"); }

static bool is_yes(struct xva *v, xmlNode *fields, const char *name) { return xml_yes(field(v, fields, name)); }

static const struct object *object_find(const struct xva *v, const char *kind, const char *id)
{
	for (size_t i = 0; id && i < v->n; i++)
		if (v->objects[i].id && !strcmp(v->objects[i].kind, kind) && !strcmp(v->objects[i].id, id))
			return &v->objects[i];
	return NULL;
}

static int objects_take(struct xva *v)
{
	xmlNode *top = xml_is(v->x.root, "value") ? fields_of(v->x.root) : v->x.root;
	xmlNode *data = xml_child(xml_child(member(v, top, "objects"), "array"), "data");

	if (!data)
		return fail(v->err, VDISK_CORRUPT, "this ova.xml has no objects");
	v->objects = calloc(OBJECTS_MAX, sizeof(*v->objects));
	if (!v->objects)
		return fail_nomem(v->err);
	XML_EACH(value, data, "value") {
		struct object *o = &v->objects[v->n];
		xmlNode *fields = fields_of(value);

		if (v->n == OBJECTS_MAX)
			return fail(v->err, VDISK_UNSUPPORTED, "this ova.xml has more than %d objects", OBJECTS_MAX);
		o->kind = field(v, fields, "class");
		o->id = field(v, fields, "id");
		o->fields = fields_of(member(v, fields, "snapshot"));
		if (o->kind && o->id && o->fields)
			v->n++;
	}
	return 0;
}

static int number(struct xva *v, xmlNode *fields, const char *name, uint64_t max, uint64_t *out)
{
	const char *text = field(v, fields, name);

	*out = 0;
	return !text || xml_number(text, max, out) ? 0 : fail(v->err, VDISK_CORRUPT, "%s is \"%.64s\"", name, text);
}

static int disk_take(struct xva *v, xmlNode *vbd)
{
	const struct object *vdi = object_find(v, "VDI", field(v, vbd, "VDI"));
	const char *type = field(v, vbd, "type"), *place = field(v, vbd, "userdevice"), *mode = field(v, vbd, "mode");
	struct machine_disk *d = machine_disk_add(v->m);
	uint64_t unit;

	if (!d)
		return 0;
	d->medium = type && !strcmp(type, "CD") ? MACHINE_CDROM : MACHINE_DISK;
	d->bus = d->medium == MACHINE_CDROM ? MACHINE_BUS_IDE : MACHINE_BUS_XEN;
	if (d->medium == MACHINE_DISK && xml_number(place, 255, &unit)) {
		d->name = unit < 26 ? machine_text_format(v->m, "xvd%c", 'a' + (int)unit)
		                    : machine_text_format(v->m, "xvd%u", (unsigned)unit);
		place_set(v->m, d, 0, (int)unit);
	} else {
		d->name = machine_text_format(v->m, "device%s", place ? place : "");
	}
	if (!vdi || d->medium == MACHINE_CDROM) {
		if (d->medium == MACHINE_DISK)
			machine_lost_add(&v->m->lost, field(v, vbd, "VDI"), "its disk is not in the archive", "disk %s",
			                 d->name ? d->name : "");
		return 0;
	}
	d->ref = machine_text(v->m, vdi->id);
	d->format = "raw";
	d->read_only = mode && !strcmp(mode, "RO");
	return number(v, vdi->fields, "virtual_size", INT64_MAX, &d->size);
}

static int nic_take(struct xva *v, xmlNode *vif)
{
	const struct object *network = object_find(v, "network", field(v, vif, "network"));
	struct machine_nic *n = machine_nic_add(v->m);
	uint64_t mtu;

	if (!network)
		network = object_find(v, "Network", field(v, vif, "network"));
	if (!n || number(v, vif, "MTU", 65535, &mtu))
		return n ? -1 : 0;
	n->model = MACHINE_NIC_XEN;
	n->mac = machine_mac(v->m, field(v, vif, "MAC"));
	n->mtu = mtu == 1500 ? 0 : (unsigned)mtu;
	if (network) {
		n->net = MACHINE_NET_NETWORK;
		n->network = machine_text(v->m, field(v, network->fields, "name_label"));
	}
	return 0;
}

/* "dc": letters as BIOS has them. */
static void boot_take(struct xva *v, xmlNode *vm)
{
	const char *order = field(v, fields_of(member(v, vm, "HVM_boot_params")), "order");
	unsigned next = 1;

	for (; order && *order; order++)
		if (*order == 'c')
			boot_medium(v->m, MACHINE_DISK, &next);
		else if (*order == 'd')
			boot_medium(v->m, MACHINE_CDROM, &next);
		else if (*order == 'n')
			boot_nic(v->m, &next);
}

static int machine_take(struct xva *v, const struct object *vm)
{
	struct machine *m = v->m;
	xmlNode *boot = fields_of(member(v, vm->fields, "HVM_boot_params")),
		*platform = fields_of(member(v, vm->fields, "platform"));
	const char *firmware = field(v, boot, "firmware"), *policy = field(v, vm->fields, "HVM_boot_policy");
	const char *loader = field(v, vm->fields, "PV_bootloader");
	uint64_t cpus, each = 0;

	m->name = machine_text_clean(m, field(v, vm->fields, "name_label"));
	m->description = machine_text_clean(m, field(v, vm->fields, "name_description"));
	m->uuid = machine_uuid(m, field(v, vm->fields, "uuid"));
	m->firmware = firmware && !strcmp(firmware, "uefi") ? MACHINE_FIRMWARE_UEFI : MACHINE_FIRMWARE_BIOS;
	m->secure_boot = is_yes(v, platform, "secureboot");
	m->chipset = MACHINE_CHIPSET_PC;
	if (!policy && loader) {
		m->firmware = MACHINE_FIRMWARE_UNKNOWN;
		machine_lost_add(&m->lost, loader, "a paravirtual guest, which no firmware boots", "PV_bootloader");
	}
	if (number(v, vm->fields, "memory_static_max", MACHINE_MEMORY_MAX, &m->memory) ||
	    number(v, vm->fields, "VCPUs_max", MACHINE_CPUS_MAX, &cpus) ||
	    number(v, platform, "cores-per-socket", MACHINE_CPUS_MAX, &each))
		return -1;
	m->cpus = cpus ? (unsigned)cpus : 1;
	if (each && m->cpus % each == 0) {
		m->cores = (unsigned)each;
		m->sockets = m->cpus / m->cores;
	}
	for (size_t i = 0; i < v->n; i++) {
		const struct object *o = &v->objects[i];
		const char *of = field(v, o->fields, "VM");

		if (!of || strcmp(of, vm->id))
			continue;
		if (!strcmp(o->kind, "VBD") ? disk_take(v, o->fields) : !strcmp(o->kind, "VIF") ? nic_take(v, o->fields) : 0)
			return -1;
	}
	boot_take(v, vm->fields);
	return 0;
}

static int xva_take(struct xva *v, unsigned want)
{
	const struct object *found = NULL;

	if (objects_take(v))
		return -1;
	v->m->systems = 0;
	for (size_t i = 0; i < v->n; i++) {
		const struct object *o = &v->objects[i];

		if (strcmp(o->kind, "VM") || is_yes(v, o->fields, "is_control_domain"))
			continue;
		if (is_yes(v, o->fields, "is_a_snapshot"))
			machine_lost_add(&v->m->lost, field(v, o->fields, "name_label"), NULL, "snapshot");
		else if (v->m->systems++ == want)
			found = o;
	}
	if (!found)
		return v->m->systems ? fail(v->err, VDISK_INVALID, "this ova.xml holds %u machines; there is no number %u",
		                            v->m->systems, want + 1)
		                     : fail(v->err, VDISK_CORRUPT, "this ova.xml holds no virtual machine");
	if (machine_take(v, found))
		return -1;
	return v->x.nomem ? fail_nomem(v->err) : 0;
}

int xva_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	struct xva v = { .m = m, .err = err };
	int rc;

	if (xml_parse(&v.x, bytes, len, err))
		return -1;
	rc = xva_take(&v, how->system);
	free(v.objects);
	xml_free(&v.x);
	return rc;
}

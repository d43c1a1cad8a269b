/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images and snapshots of VirtualBox.  Images stand in a registry, by UUID, in trees where a differencing image is a child of its
 * parent.  A snapshot is an element below the one that it goes on from, and holds the machine's hardware as it was, whose drives
 * name images: those that were frozen then.  The machine itself goes on in images over them.
 */
#include "common/fail.h"
#include "snapshots.h"
#include "vbox_read.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* ---------------------------------------------------------------- images */

static const char *format_of(const char *format)
{
	static const char *const names[][2] = { { "VDI", "vdi" },   { "VMDK", "vmdk" },  { "VHD", "vhd" },
		                                { "VHDX", "vhdx" }, { "QCOW", "qcow2" }, { "RAW", "raw" } };

	for (size_t i = 0; format && i < sizeof(names) / sizeof(*names); i++)
		if (!strcasecmp(names[i][0], format))
			return names[i][1];
	return NULL;
}

static int media_take(struct vbox *v, xmlNode *list, const char *element, int parent, unsigned depth)
{
	if (depth > SNAPSHOTS_DEPTH_MAX)
		return fail(v->err, VDISK_UNSUPPORTED, "images lie more than %d deep over each other", SNAPSHOTS_DEPTH_MAX);
	XML_EACH(node, list, element) {
		struct machine_image *x = machine_image_add(v->m);
		int at = (int)v->m->images_n - 1;

		if (!x)
			return machine_judge(v->m, v->err);
		x->uuid = machine_uuid(v->m, xml_attr(&v->x, node, "uuid"));
		x->path = machine_text(v->m, xml_attr(&v->x, node, "location"));
		x->path_flags = machine_path_flags(x->path);
		x->format = format_of(xml_attr(&v->x, node, "format"));
		x->parent = parent;
		if (media_take(v, node, element, at, depth + 1))
			return -1;
	}
	return 0;
}

int vbox_registry_take(struct vbox *v, xmlNode *registry)
{
	if (media_take(v, xml_child(registry, "HardDisks"), "HardDisk", -1, 0) ||
	    media_take(v, xml_child(registry, "DVDImages"), "Image", -1, 0) ||
	    media_take(v, xml_child(registry, "FloppyImages"), "Image", -1, 0))
		return -1;
	xml_seen(registry);
	return 0;
}

/* The place of the image that a drive names; -1: it names none; -2: one that the registry has not. */
static int image_named(struct vbox *v, xmlNode *device, const char **text)
{
	const char *uuid;
	int at;

	*text = xml_child_attr(&v->x, device, "Image", "uuid");
	if (!*text)
		return -1;
	uuid = machine_uuid(v->m, *text);
	at = uuid ? machine_image_find(v->m, uuid, NULL) : -1;
	return at < 0 ? -2 : at;
}

int vbox_image_take(struct vbox *v, struct machine_disk *d, xmlNode *device)
{
	const char *text;
	int at = image_named(v, device, &text);

	xml_seen(xml_child(device, "HostDrive"));
	if (at == -1)
		return 0;
	d->image_uuid = machine_uuid(v->m, text);
	if (at < 0)
		return d->medium != MACHINE_DISK
		               ? 0
		               : fail(v->err, VDISK_CORRUPT, "line %ld: there is no image %.64s", xmlGetLineNo(device), text);
	if (d->medium == MACHINE_DISK)
		d->format = v->m->images[at].format;
	machine_disk_path(v->m, d, v->m->images[at].path);
	return 0;
}

/* ---------------------------------------------------------------- snapshots */

/* 2024-03-09T12:34:56Z */
static uint64_t date_take(const char *text)
{
	struct tm tm = { 0 };
	int end = 0;
	time_t t;

	if (!text ||
	    sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
	           &end) != 6 ||
	    !end || text[end])
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = timegm(&tm);
	return t > 0 ? (uint64_t)t : 0;
}

static int state_take(struct vbox *v, xmlNode *device, enum machine_bus bus, unsigned controller, int snapshot)
{
	const char *type = xml_attr(&v->x, device, "type"), *text;
	int at = image_named(v, device, &text), unit;
	struct machine_state *s;

	if (at == -1 || (type && strcmp(type, "HardDisk")))
		return 0;
	if (vbox_unit(v, device, bus, &unit))
		return -1;
	if (at < 0)
		return fail(v->err, VDISK_CORRUPT, "line %ld: there is no image %.64s, which a snapshot has", xmlGetLineNo(device),
		            text);
	s = machine_state_add(v->m);
	if (!s)
		return machine_judge(v->m, v->err);
	s->snapshot = snapshot;
	s->image = at;
	s->disk = vbox_disk_name(v, bus, controller, unit);
	return 0;
}

static int states_take(struct vbox *v, xmlNode *controllers, int snapshot)
{
	unsigned buses[16] = { 0 };

	XML_EACH(c, controllers, "StorageController") {
		enum machine_scsi scsi = MACHINE_SCSI_UNKNOWN;
		enum machine_bus bus = vbox_bus(xml_attr(&v->x, c, "type"), &scsi);
		unsigned index = buses[bus]++;

		XML_EACH(device, c, "AttachedDevice")
			if (state_take(v, device, bus, index, snapshot))
				return -1;
	}
	return 0;
}

static int snapshot_take(struct vbox *v, xmlNode *node, int parent, const char *current, unsigned depth)
{
	struct machine_snapshot *s = machine_snapshot_add(v->m);
	int at = (int)v->m->snapshots_n - 1;
	xmlNode *hardware = xml_child(node, "Hardware");

	if (!s)
		return machine_judge(v->m, v->err);
	if (depth > SNAPSHOTS_DEPTH_MAX)
		return fail(v->err, VDISK_UNSUPPORTED, "snapshots lie more than %d deep over each other", SNAPSHOTS_DEPTH_MAX);
	s->id = machine_uuid(v->m, xml_attr(&v->x, node, "uuid"));
	if (!s->id)
		return fail(v->err, VDISK_CORRUPT, "line %ld: a snapshot has no UUID", xmlGetLineNo(node));
	s->name = machine_text_clean(v->m, xml_attr(&v->x, node, "name"));
	s->description = machine_text_clean(v->m, xml_child_text(&v->x, node, "Description"));
	s->date = date_take(xml_attr(&v->x, node, "timeStamp"));
	s->memory = machine_text_clean(v->m, xml_attr(&v->x, node, "stateFile"));
	s->parent = parent;
	s->current = current && !strcmp(current, s->id);
	if (states_take(v, xml_child(node, "StorageControllers"), at) ||
	    states_take(v, xml_child(hardware, "StorageControllers"), at))
		return -1;
	XML_EACH(child, xml_child(node, "Snapshots"), "Snapshot")
		if (snapshot_take(v, child, at, current, depth + 1))
			return -1;
	return 0;
}

int vbox_snapshots_take(struct vbox *v, xmlNode *machine)
{
	const char *current = machine_uuid(v->m, xml_attr(&v->x, machine, "currentSnapshot"));
	bool found = !current;

	XML_EACH(node, machine, "Snapshot") {
		if (snapshot_take(v, node, -1, current, 0))
			return -1;
		xml_seen(node);
	}
	for (size_t i = 0; i < v->m->snapshots_n; i++)
		found |= v->m->snapshots[i].current;
	if (!found)
		return fail(v->err, VDISK_CORRUPT, "the machine goes on from the snapshot %.64s, which is none of its snapshots",
		            current);
	return 0;
}

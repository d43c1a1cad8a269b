/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Start types, in every control set: Windows' own storage drivers start at boot where a target needs them; what another hypervisor
   left behind does not start any more, and filters no devices. */
#include "edit.h"
#include "common/fail.h"
#include "windows_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CLASS_HDC "{4D36E96A-E325-11CE-BFC1-08002BE10318}"
#define CLASS_SCSI "{4D36E97B-E325-11CE-BFC1-08002BE10318}"

/* ---------------------------------------------------------------- at boot */

/* From Windows 8 on a driver that is not needed is put back to "on demand" by the values below StartOverride, whatever Start
   says. */
static int override_clear(struct windows_edit *e, const char *key, hive_node_h node, vdisk_error *err)
{
	hive_node_h over = hive_find(&e->system, node, "StartOverride");
	hive_value_h *values = over ? hivex_node_values(e->system.h, over) : NULL;
	char path[WINDOWS_KEY_MAX];
	int rc = 0;

	snprintf(path, sizeof(path), "%.900s\\StartOverride", key);
	for (size_t i = 0; values && values[i] && !rc; i++) {
		char *name = hivex_value_key(e->system.h, values[i]);

		if (name)
			rc = hive_set_number(&e->system, path, name, 0, err);
		free(name);
	}
	free(values);
	return rc;
}

/* What Windows 7 looks up before its setup files are at hand: devices and their services. */
static const struct critical { const char *id, *class_guid, *service; } criticals[] = {
	{ "PCI#CC_010601", CLASS_HDC, "msahci" },
	{ "PCI#CC_0101", CLASS_HDC, "pciide" },
	{ "PCI#VEN_8086&DEV_7010", CLASS_HDC, "intelide" },
	{ "PCI#VEN_8086&DEV_7111", CLASS_HDC, "intelide" },
	{ "Primary_IDE_Channel", CLASS_HDC, "atapi" },
	{ "Secondary_IDE_Channel", CLASS_HDC, "atapi" },
	{ "*PNP0600", CLASS_HDC, "atapi" },
	{ "PCI#VEN_1000&DEV_0054", CLASS_SCSI, "LSI_SAS" },
	{ "PCI#VEN_1000&DEV_0030", CLASS_SCSI, "LSI_SCSI" },
};

static int critical_add(struct windows_edit *e, unsigned set, const char *service, vdisk_error *err)
{
	for (size_t i = 0; i < sizeof(criticals) / sizeof(*criticals); i++) {
		const struct critical *c = &criticals[i];
		char path[WINDOWS_KEY_MAX];

		if (strcasecmp(c->service, service))
			continue;
		windows_key(path, set, "Control\\CriticalDeviceDatabase", c->id);
		if (hive_find(&e->system, 0, path))
			continue; /* Windows' own entry is the better one */
		if (hive_set_text(&e->system, path, "ClassGUID", HIVE_SZ, c->class_guid, err) ||
		    hive_set_text(&e->system, path, "Service", HIVE_SZ, c->service, err))
			return -1;
	}
	return 0;
}

int windows_boot_starts(struct windows_edit *e, vdisk_error *err)
{
	for (size_t s = 0; s < e->w->sets_n; s++) {
		for (unsigned i = 0; i < windows_known_n; i++) {
			const struct windows_known *k = &windows_known[i];
			char path[WINDOWS_KEY_MAX];
			hive_node_h node;

			if (!(k->boots & e->o->targets))
				continue;
			windows_key(path, e->w->sets[s], "Services", k->name);
			node = hive_find(&e->system, 0, path);
			if (!node)
				continue;
			if (hive_set_number(&e->system, path, "Start", 0, err) || override_clear(e, path, node, err))
				return -1;
			if (!e->w->driver_database && critical_add(e, e->w->sets[s], k->name, err))
				return -1;
		}
	}
	return 0;
}

/* ---------------------------------------------------------------- what is left behind */

/* Its hypervisor is none of the targets. */
static bool leaves(const struct windows_edit *e, const struct windows_known *k)
{
	return k->leave != LEAVE_ALONE && !(k->of & e->o->targets);
}

static int filter_list(struct windows_edit *e, const char *path, hive_node_h node, const char *name, vdisk_error *err)
{
	struct bytes all = { 0 }, kept = { 0 };
	bool dropped = false;
	int rc = 0;

	hive_list(&e->system, node, name, &all);
	for (size_t i = 0; i < all.len; i += strlen(all.at + i) + 1) {
		const struct windows_known *k = windows_known_find(all.at + i);

		if (k && k->leave == LEAVE_OFF && leaves(e, k))
			dropped = true;
		else
			bytes_add(&kept, all.at + i, strlen(all.at + i) + 1);
	}
	if (all.failed || kept.failed)
		rc = fail_nomem(err);
	else if (dropped)
		rc = hive_set_list(&e->system, path, name, &kept, err);
	bytes_destroy(&all);
	bytes_destroy(&kept);
	return rc;
}

struct classes {
	struct windows_edit *e;
	unsigned set;
	vdisk_error *err;
};

/* A class of devices that names a filter which does not start has no devices. */
static int class_filters(void *to, const char *name, hive_node_h node)
{
	struct classes *c = to;
	char path[WINDOWS_KEY_MAX];

	windows_key(path, c->set, "Control\\Class", name);
	return filter_list(c->e, path, node, "UpperFilters", c->err) || filter_list(c->e, path, node, "LowerFilters", c->err) ? -1
	                                                                                                                      : 0;
}

static int services_leave(struct windows_edit *e, unsigned set, unsigned *off, vdisk_error *err)
{
	for (unsigned i = 0; i < windows_known_n; i++) {
		const struct windows_known *k = &windows_known[i];
		char path[WINDOWS_KEY_MAX];
		uint32_t start, wanted = k->leave == LEAVE_OFF ? 4 : 3;
		hive_node_h node;

		if (!leaves(e, k))
			continue;
		windows_key(path, set, "Services", k->name);
		node = hive_find(&e->system, 0, path);
		if (!node || !hive_number(&e->system, node, "Start", &start) || start >= wanted)
			continue;
		if (hive_set_number(&e->system, path, "Start", wanted, err))
			return -1;
		if (k->leave == LEAVE_OFF && k->of)
			*off |= k->of;
	}
	return 0;
}

static void off_remark(const struct windows_edit *e, unsigned off)
{
	if (off & TARGET_VMWARE)
		plan_remark(e->plan, "VMware Tools are turned off, not removed: uninstall them when Windows runs");
	if (off & TARGET_XEN)
		plan_remark(e->plan, "the Xen drivers are turned off, not removed: uninstall them when Windows runs");
	if (off & TARGET_VIRTUALBOX)
		plan_remark(e->plan,
		            "the VirtualBox Guest Additions are turned off, not removed: uninstall them when Windows runs");
	if (off & TARGET_KVM)
		plan_remark(e->plan,
		            "the QEMU guest agent and its kin are turned off, not removed: uninstall them when Windows runs");
}

int windows_leave(struct windows_edit *e, vdisk_error *err)
{
	unsigned off = 0;

	for (size_t s = 0; s < e->w->sets_n; s++) {
		struct classes c = { .e = e, .set = e->w->sets[s], .err = err };

		if (services_leave(e, e->w->sets[s], &off, err))
			return -1;
		if (hive_each(&e->system, windows_set_find(&e->system, e->w->sets[s], "Control\\Class"), class_filters, &c))
			return -1;
	}
	off_remark(e, off);
	return 0;
}

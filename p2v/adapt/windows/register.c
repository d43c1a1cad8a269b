/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A boot-start driver in the SYSTEM hive, as if Windows had installed it: its service in every control set, with group, tag and the
 * settings of its INF, and the devices that it drives.  Up to Windows 7 these stand in CriticalDeviceDatabase, from 8 on in
 * DriverDatabase, where a package of a name of our own ("vdisk-…", which no INF file has) leads from the device to the service, for
 * as long as it takes until the first boot has installed the real one; it has neither date nor version, so that the real one ranks
 * above it.
 */
#include "edit.h"
#include "common/fail.h"
#include "windows_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---------------------------------------------------------------- tags */

struct tags {
	const struct hive *system;
	const char *group;
	uint32_t highest;
};

static int tag_see(void *to, const char *name, hive_node_h node)
{
	struct tags *t = to;
	char *group = hive_text(t->system, node, "Group");
	uint32_t tag;

	(void)name;
	if (group && !strcasecmp(group, t->group) && hive_number(t->system, node, "Tag", &tag) && tag > t->highest && tag < 100000)
		t->highest = tag;
	free(group);
	return 0;
}

static uint32_t le32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;

	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void le32_add(struct bytes *to, uint32_t v)
{
	char b[4] = { (char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24) };

	bytes_add(to, b, sizeof(b));
}

/* A number that no other service of the group has.  Those that GroupOrderList names load first, in its order; the INF says whether
   this one is to be the first of them. */
static int tag_give(struct windows_edit *e, unsigned set, const char *path, const struct inf_service *s, vdisk_error *err)
{
	struct tags t = { .system = &e->system, .group = s->group };
	struct bytes order = { 0 }, now = { 0 };
	char list[WINDOWS_KEY_MAX];
	uint32_t tag, n;
	int rc = 0;

	if (hive_number(&e->system, hive_find(&e->system, 0, path), "Tag", &tag))
		return 0;
	windows_key(list, set, "Control\\GroupOrderList", "");
	hive_each(&e->system, windows_set_find(&e->system, set, "Services"), tag_see, &t);
	hive_bytes(&e->system, hive_find(&e->system, 0, list), s->group, &order);
	n = order.len >= 4 ? le32(order.at) : 0;
	if (n > (order.len - 4) / 4)
		n = 0; /* it contradicts itself: Windows ignores it, and it stays */
	for (uint32_t i = 0; i < n; i++) {
		tag = le32(order.at + 4 + 4 * i);
		if (tag > t.highest && tag < 100000)
			t.highest = tag;
	}
	rc = hive_set_number(&e->system, path, "Tag", t.highest + 1, err);
	if (!rc && s->front) {
		le32_add(&now, n + 1);
		le32_add(&now, t.highest + 1);
		if (n)
			bytes_add(&now, order.at + 4, 4 * (size_t)n);
		rc = now.failed ? fail_nomem(err) : hive_set(&e->system, list, s->group, HIVE_BINARY, now.at, now.len, err);
	}
	bytes_destroy(&order);
	bytes_destroy(&now);
	return rc;
}

/* ---------------------------------------------------------------- the service */

static int settings_write(struct windows_edit *e, const char *service, const struct inf_service *s, vdisk_error *err)
{
	for (size_t i = 0; i < s->settings_n; i++) {
		const struct inf_setting *one = &s->settings[i];
		char path[WINDOWS_KEY_MAX];

		if (snprintf(path, sizeof(path), "%s%s%s", service, *one->key ? "\\" : "", one->key) >= (int)sizeof(path))
			return fail(err, VDISK_UNSUPPORTED, "the key %s of the service %s is too long", one->key, s->name);
		if (hive_set(&e->system, path, one->name, one->type, one->value.at, one->value.len, err))
			return -1;
	}
	return 0;
}

static int service_write(struct windows_edit *e, unsigned set, const struct inf_service *s, vdisk_error *err)
{
	char path[WINDOWS_KEY_MAX], image[300];

	windows_key(path, set, "Services", s->name);
	snprintf(image, sizeof(image), "system32\\drivers\\%.200s", s->binary);
	if (hive_set_number(&e->system, path, "Type", s->type, err) || hive_set_number(&e->system, path, "Start", 0, err) ||
	    hive_set_number(&e->system, path, "ErrorControl", s->error, err) ||
	    hive_set_text(&e->system, path, "ImagePath", HIVE_EXPAND_SZ, image, err))
		return -1;
	if (*s->display && hive_set_text(&e->system, path, "DisplayName", HIVE_SZ, s->display, err))
		return -1;
	if (*s->group && (hive_set_text(&e->system, path, "Group", HIVE_SZ, s->group, err) || tag_give(e, set, path, s, err)))
		return -1;
	return settings_write(e, path, s, err);
}

/* ---------------------------------------------------------------- devices */

/* The service that drives the devices; its helpers do not. */
static const struct inf_service *function_of(const struct inf_driver *d)
{
	for (size_t i = 0; i < d->services_n; i++) {
		if (d->services[i].function && d->services[i].start == 0)
			return &d->services[i];
	}
	return NULL;
}

static int critical_write(struct windows_edit *e, unsigned set, const struct inf_driver *d, const char *service, vdisk_error *err)
{
	for (size_t i = 0; i < d->devices_n; i++) {
		char id[512], path[WINDOWS_KEY_MAX];

		snprintf(id, sizeof(id), "%s", d->devices[i].id);
		for (char *s = id; (s = strchr(s, '\\')); s++)
			*s = '#';
		windows_key(path, set, "Control\\CriticalDeviceDatabase", id);
		if (hive_set_text(&e->system, path, "Service", HIVE_SZ, service, err) ||
		    hive_set_text(&e->system, path, "ClassGUID", HIVE_SZ, d->class_guid, err))
			return -1;
	}
	return 0;
}

/* The record of a package: a mark, its class, and date and version, which stay 0.  Windows 10 does not take a package without. */
static void package_version(const char *guid, struct bytes *out)
{
	static const unsigned char mark[8] = { 0x00, 0xff, 0x09, 0x00 };
	/* of the digits in {…} */
	static const unsigned char order[16] = { 7, 5, 3, 1, 12, 10, 17, 15, 20, 22, 25, 27, 29, 31, 33, 35 };
	static const char zeros[24];

	bytes_add(out, mark, sizeof(mark));
	for (unsigned i = 0; i < 16; i++) {
		char digits[3] = { guid[order[i]], guid[order[i] + 1], '\0' }, byte = (char)strtoul(digits, NULL, 16);

		bytes_add(out, &byte, 1);
	}
	bytes_add(out, zeros, sizeof(zeros));
}

struct database {
	struct windows_edit *e;
	const struct inf_driver *d;
	const char *service;
	char inf[300], label[310];
};

static int database_inf(const struct database *b, vdisk_error *err)
{
	char path[WINDOWS_KEY_MAX];
	struct bytes label = { 0 }, configurations = { 0 };
	int rc;

	bytes_add(&label, b->label, strlen(b->label) + 1);
	for (size_t i = 0; i < b->d->devices_n; i++) {
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = !strcasecmp(b->d->devices[k].install, b->d->devices[i].install);
		if (!seen)
			bytes_add(&configurations, b->d->devices[i].install, strlen(b->d->devices[i].install) + 1);
	}
	snprintf(path, sizeof(path), "DriverDatabase\\DriverInfFiles\\%s", b->inf);
	rc = label.failed || configurations.failed ? fail_nomem(err) : hive_set_list(&b->e->system, path, "", &label, err);
	if (!rc)
		rc = hive_set_text(&b->e->system, path, "Active", HIVE_SZ, b->label, err);
	if (!rc)
		rc = hive_set_list(&b->e->system, path, "Configurations", &configurations, err);
	bytes_destroy(&label);
	bytes_destroy(&configurations);
	return rc;
}

static int database_device(const struct database *b, const struct inf_device *device, vdisk_error *err)
{
	const unsigned char rank[4] = { device->hardware ? 1 : 2, 0xff, 0, 0 };
	char path[WINDOWS_KEY_MAX];

	snprintf(path, sizeof(path), "DriverDatabase\\DeviceIds\\%.600s", device->id);
	if (hive_set(&b->e->system, path, b->inf, HIVE_BINARY, rank, sizeof(rank), err))
		return -1;
	snprintf(path, sizeof(path), "DriverDatabase\\DriverPackages\\%s\\Descriptors\\%.400s", b->label, device->id);
	if (hive_set_text(&b->e->system, path, "Configuration", HIVE_SZ, device->install, err))
		return -1;
	snprintf(path, sizeof(path), "DriverDatabase\\DriverPackages\\%s\\Configurations\\%.300s", b->label, device->install);
	return hive_set_number(&b->e->system, path, "ConfigFlags", 0, err) ||
	       hive_set_text(&b->e->system, path, "Service", HIVE_SZ, b->service, err) ? -1 : 0;
}

static int database_write(struct windows_edit *e, const struct package *k, const char *service, vdisk_error *err)
{
	struct database b = { .e = e, .d = &k->driver, .service = service };
	struct bytes version = { 0 };
	char path[WINDOWS_KEY_MAX];
	int rc;

	snprintf(b.inf, sizeof(b.inf), "vdisk-%.200s", k->name);
	snprintf(b.label, sizeof(b.label), "%.250s_tmp", b.inf);
	rc = database_inf(&b, err);
	package_version(k->driver.class_guid, &version);
	snprintf(path, sizeof(path), "DriverDatabase\\DriverPackages\\%s", b.label);
	if (!rc)
		rc = version.failed ? fail_nomem(err)
		                    : hive_set(&e->system, path, "Version", HIVE_BINARY, version.at, version.len, err);
	for (size_t i = 0; i < k->driver.devices_n && !rc; i++)
		rc = database_device(&b, &k->driver.devices[i], err);
	bytes_destroy(&version);
	return rc;
}

/* ---------------------------------------------------------------- the whole */

int windows_register(struct windows_edit *e, const struct package *k, vdisk_error *err)
{
	const struct inf_driver *d = &k->driver;
	const struct inf_service *function = function_of(d);
	bool eight = e->w->driver_database || e->w->major > 6 || e->w->minor > 1;

	for (size_t s = 0; s < e->w->sets_n; s++) {
		for (size_t i = 0; i < d->services_n; i++) {
			if (d->services[i].start == 0 && service_write(e, e->w->sets[s], &d->services[i], err))
				return -1;
		}
		if (function && !eight && critical_write(e, e->w->sets[s], d, function->name, err))
			return -1;
	}
	return function && eight ? database_write(e, k, function->name, err) : 0;
}

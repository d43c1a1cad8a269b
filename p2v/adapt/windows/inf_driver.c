/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an INF means for one Windows.  [Manufacturer] names the sections of models, decorated with the systems that they are for
   (NTamd64.10.0); of each maker the one that fits best counts.  A model names a section that installs it, which may be decorated as
   well; with ".Services" behind it stands which service drives the device. */
#include "inf.h"
#include "inf_service.h"

#include "common/fail.h"
#include "hive.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEVICES_MAX 2000
#define NAME_ROOM 512

/* ---------------------------------------------------------------- decorations */

/* How well "NTamd64.10.0.3..14393" fits: 0 not at all, else the more the better. */
static uint64_t decoration_rank(const char *s, const struct inf_target *t)
{
	unsigned long v[5] = { 0 }; /* major, minor, product type, suite, build */
	size_t n;
	uint64_t rank = 2; /* more than a section without a decoration */
	bool arch;

	if (strncasecmp(s, "NT", 2))
		return 0;
	s += 2;
	n = strcspn(s, ".");
	arch = n > 0;
	if (arch && (strlen(t->arch) != n || strncasecmp(s, t->arch, n)))
		return 0;
	s += n;
	for (unsigned i = 0; *s == '.' && i < 5; i++) {
		char *end;

		v[i] = strtoul(s + 1, &end, 0);
		if (*end && *end != '.')
			return 0; /* .Services, .HW: no decoration at all */
		s = end;
	}
	if (*s || v[0] > t->major || (v[0] == t->major && v[1] > t->minor) || v[4] > t->build)
		return 0;
	if (v[2] && (v[2] == 1) == t->server)
		return 0;
	rank += (uint64_t)v[0] << 40 | (uint64_t)v[1] << 32 | (uint64_t)v[4] << 3;
	return rank + (v[2] ? 4 : 0) + (arch ? 2 : 0);
}

/* The section "base", or the "base.NT…" that fits best; Undecorated ones are for x86 where `plain` is
   false. */
static const struct inf_section *section_choose(const struct inf *f, const char *base, const struct inf_target *t, bool plain)
{
	const struct inf_section *best = NULL;
	size_t n = strlen(base);
	uint64_t rank = 0;

	for (size_t i = 0; i < f->n; i++) {
		const char *name = f->sections[i].name;
		uint64_t r = 0;

		if (strncasecmp(name, base, n))
			continue;
		if (!name[n])
			r = plain || !strcmp(t->arch, "x86");
		else if (name[n] == '.')
			r = decoration_rank(name + n + 1, t);
		if (r && (!best || r > rank)) {
			best = &f->sections[i];
			rank = r;
		}
	}
	return best;
}

/* ---------------------------------------------------------------- devices */

static char *upper(const char *s)
{
	char *out = strdup(s);

	for (char *p = out; p && *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return out;
}

static int device_add(struct inf_driver *d, const char *id, const char *install, bool hardware, vdisk_error *err)
{
	struct inf_device *more;
	struct inf_device one = { .hardware = hardware };

	if (!*id)
		return 0;
	if (d->devices_n == DEVICES_MAX)
		return fail(err, VDISK_UNSUPPORTED, "more than %u devices", DEVICES_MAX);
	for (size_t i = 0; i < d->devices_n; i++) {
		if (!strcasecmp(d->devices[i].id, id))
			return 0; /* the first that says it counts */
	}
	more = realloc(d->devices, (d->devices_n + 1) * sizeof(*more));
	if (!more)
		return fail_nomem(err);
	d->devices = more;
	one.id = upper(id);
	one.install = strdup(install);
	d->devices[d->devices_n++] = one;
	return one.id && one.install ? 0 : fail_nomem(err);
}

static int models_read(struct inf_driver *d, const struct inf_section *s, vdisk_error *err)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct inf_line *l = &s->lines[i];

		for (size_t k = 1; k < l->n; k++) {
			if (device_add(d, l->values[k], l->values[0], k == 1, err))
				return -1;
		}
	}
	return 0;
}

/* The models of each maker: the section with the decoration that fits best among those that the maker's line lists. */
static int makers_read(struct inf_driver *d, const struct inf *f, const struct inf_target *t, vdisk_error *err)
{
	const struct inf_section *m = inf_section(f, "Manufacturer");

	for (size_t i = 0; m && i < m->n; i++) {
		const struct inf_line *l = &m->lines[i];
		const struct inf_section *best = NULL;
		uint64_t rank = 0;
		char name[NAME_ROOM];

		if (!l->n || !*l->values[0])
			continue;
		if (!strcmp(t->arch, "x86"))
			best = inf_section(f, l->values[0]);
		for (size_t k = 1; k < l->n; k++) {
			uint64_t r = decoration_rank(l->values[k], t);
			const struct inf_section *s = NULL;

			if (r > rank && snprintf(name, sizeof(name), "%s.%s", l->values[0], l->values[k]) < (int)sizeof(name))
				s = inf_section(f, name);
			if (s) {
				best = s;
				rank = r;
			}
		}
		if (best && models_read(d, best, err))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- files */

static void file_add(struct inf_driver *d, const char *file)
{
	if (!*file || strchr(file, '\\') || strchr(file, '/') || !strcmp(file, "..") || !strcmp(file, "."))
		return;
	for (size_t i = 0; i < d->files.len; i += strlen(d->files.at + i) + 1) {
		if (!strcasecmp(d->files.at + i, file))
			return;
	}
	bytes_add(&d->files, file, strlen(file) + 1);
}

static void copies_read(struct inf_driver *d, const struct inf *f, const struct inf_section *install)
{
	for (size_t i = 0; i < install->n; i++) {
		const struct inf_line *l = &install->lines[i];

		if (strcasecmp(l->key, "CopyFiles"))
			continue;
		for (size_t k = 0; k < l->n; k++) {
			const struct inf_section *s = inf_section(f, l->values[k]);

			if (*l->values[k] == '@')
				file_add(d, l->values[k] + 1);
			for (size_t r = 0; s && r < s->n; r++) {
				if (s->lines[r].n)
					file_add(d, s->lines[r].n > 1 && *s->lines[r].values[1] ? s->lines[r].values[1]
					                                                        : s->lines[r].values[0]);
			}
		}
	}
}

static void sources_read(struct inf_driver *d, const struct inf *f, const char *arch)
{
	char name[64];
	const struct inf_section *s;

	snprintf(name, sizeof(name), "SourceDisksFiles.%s", arch);
	for (unsigned i = 0; i < 2; i++) {
		s = inf_section(f, i ? "SourceDisksFiles" : name);
		for (size_t k = 0; s && k < s->n; k++)
			file_add(d, s->lines[k].key);
	}
}

/* ---------------------------------------------------------------- the whole */

static const char *catalog_find(const struct inf *f, const char *arch)
{
	char key[64];
	const char *v;

	snprintf(key, sizeof(key), "CatalogFile.NT%s", arch);
	v = inf_value(f, "Version", key);
	if (!v)
		v = inf_value(f, "Version", "CatalogFile.NT");
	return v ? v : inf_value(f, "Version", "CatalogFile");
}

static bool guid_fits(const char *s)
{
	static const char form[] = "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}";

	if (!s || strlen(s) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; form[i]; i++) {
		if (form[i] == 'x' ? !isxdigit((unsigned char)s[i]) : s[i] != form[i])
			return false;
	}
	return true;
}

static int version_read(struct inf_driver *d, const struct inf *f, const char *name, const char *arch, vdisk_error *err)
{
	const struct inf_section *v = inf_section(f, "Version");
	const char *guid = inf_value(f, "Version", "ClassGUID"), *class_name = inf_value(f, "Version", "Class");
	const char *catalog = catalog_find(f, arch);

	if (!guid_fits(guid))
		return fail(err, VDISK_CORRUPT, "%s: its class is %s, which is no GUID", name, guid ? guid : "missing");
	d->class_guid = upper(guid);
	d->class_name = strdup(class_name ? class_name : "");
	d->catalog = strdup(catalog ? catalog : "");
	for (size_t i = 0; v && i < v->n; i++) {
		if (strcasecmp(v->lines[i].key, "DriverVer") || d->date)
			continue;
		d->date = strdup(v->lines[i].n > 0 ? v->lines[i].values[0] : "");
		d->version = strdup(v->lines[i].n > 1 ? v->lines[i].values[1] : "");
	}
	if (!d->date)
		d->date = strdup("");
	if (!d->version)
		d->version = strdup("");
	return d->class_guid && d->class_name && d->catalog && d->date && d->version ? 0 : fail_nomem(err);
}

static int installs_read(struct inf_driver *d, const struct inf *f, const char *name, const struct inf_target *t, vdisk_error *err)
{
	for (size_t i = 0; i < d->devices_n; i++) {
		const struct inf_section *install, *services;
		char services_name[NAME_ROOM];
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = !strcasecmp(d->devices[k].install, d->devices[i].install);
		install = seen ? NULL : section_choose(f, d->devices[i].install, t, true);
		if (!install)
			continue;
		copies_read(d, f, install);
		snprintf(services_name, sizeof(services_name), "%s.Services", install->name);
		services = inf_section(f, services_name);
		if (services && inf_services_read(d, f, services, name, err))
			return -1;
	}
	return 0;
}

int inf_driver_read(struct inf_driver *d, const struct inf *f, const char *name, const struct inf_target *target, vdisk_error *err)
{
	int rc = 0;

	*d = (struct inf_driver){ 0 };
	if (makers_read(d, f, target, err))
		rc = -1;
	else if (!d->devices_n)
		return 0;
	if (!rc)
		rc = version_read(d, f, name, target->arch, err);
	if (!rc)
		rc = installs_read(d, f, name, target, err);
	if (!rc) {
		sources_read(d, f, target->arch);
		if (*d->catalog)
			file_add(d, d->catalog);
		if (d->files.failed)
			rc = fail_nomem(err);
	}
	if (!rc)
		return 1;
	inf_driver_destroy(d);
	return -1;
}

void inf_driver_destroy(struct inf_driver *d)
{
	for (size_t i = 0; i < d->devices_n; i++) {
		free(d->devices[i].id);
		free(d->devices[i].install);
	}
	for (size_t i = 0; i < d->services_n; i++)
		inf_service_destroy(&d->services[i]);
	free(d->devices);
	free(d->services);
	free(d->class_name);
	free(d->class_guid);
	free(d->catalog);
	free(d->date);
	free(d->version);
	bytes_destroy(&d->files);
	*d = (struct inf_driver){ 0 };
}

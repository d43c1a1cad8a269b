/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an INF means for one Windows.  [Manufacturer] names the sections of models, decorated with the systems that they are for
   (NTamd64.10.0); of each maker the one that fits best counts.  A model names a section that installs it, which may be decorated as
   well; with ".Services" behind it stands which service drives the device. */
#include "inf.h"

#include "common/fail.h"
#include "hive.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEVICES_MAX 2000
#define SETTINGS_MAX 1000
#define SERVICES_MAX 32
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

/* ---------------------------------------------------------------- services */

static bool number_read(const char *s, uint32_t *out)
{
	char *end;
	unsigned long v = s && *s ? strtoul(s, &end, 0) : ULONG_MAX;

	if (v > UINT32_MAX || *end)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* The registry's bytes of an AddReg line's values. */
static int setting_value(struct inf_setting *s, const struct inf_line *l, uint32_t flags)
{
	uint32_t v = 0;

	switch (flags & 0xffff0001) {
	case 0x00000000: /* FLG_ADDREG_TYPE_SZ */
	case 0x00020000: /* EXPAND_SZ */
		s->type = flags & 0x00020000 ? HIVE_EXPAND_SZ : HIVE_SZ;
		return hive_utf16(l->n > 4 ? l->values[4] : "", &s->value);
	case 0x00010000: /* MULTI_SZ */
		s->type = HIVE_MULTI_SZ;
		for (size_t i = 4; i < l->n; i++) {
			if (*l->values[i] && hive_utf16(l->values[i], &s->value))
				return -1;
		}
		bytes_add(&s->value, "\0", 2);
		return s->value.failed ? -1 : 0;
	case 0x00010001: /* DWORD: a number, or its four bytes */
		s->type = HIVE_DWORD;
		if (l->n > 7) {
			for (unsigned i = 0; i < 4; i++)
				v |= (uint32_t)(strtoul(l->values[4 + i], NULL, 16) & 0xff) << 8 * i;
		} else if (l->n > 4 && *l->values[4] && !number_read(l->values[4], &v)) {
			return -1;
		}
		for (unsigned i = 0; i < 4; i++) {
			char c = (char)(v >> 8 * i);

			bytes_add(&s->value, &c, 1);
		}
		return s->value.failed ? -1 : 0;
	case 0x00000001: /* BINARY */
		s->type = HIVE_BINARY;
		for (size_t i = 4; i < l->n; i++) {
			char c = (char)strtoul(l->values[i], NULL, 16);

			bytes_add(&s->value, &c, 1);
		}
		return s->value.failed ? -1 : 0;
	}
	return -1;
}

static int setting_add(struct inf_service *s, const struct inf_line *l, const char *name, vdisk_error *err)
{
	struct inf_setting one = { 0 }, *more;
	uint32_t flags = 0;

	/* Of roots only the service's own key; flags without a value make a key, and change, append or delete nothing here. */
	if (l->n < 3 || strcasecmp(l->values[0], "HKR") || (l->n > 3 && *l->values[3] && !number_read(l->values[3], &flags)) ||
	    (flags & 0x10))
		return 0;
	if (s->settings_n == SETTINGS_MAX)
		return fail(err, VDISK_UNSUPPORTED, "%s: more than %u settings of a service", name, SETTINGS_MAX);
	if (flags & ~0xffff0003u)
		return fail(err, VDISK_UNSUPPORTED, "%s: AddReg with flags %#x", name, flags);
	one.key = strdup(l->values[1]);
	one.name = strdup(l->values[2]);
	more = realloc(s->settings, (s->settings_n + 1) * sizeof(*more));
	if (more)
		s->settings = more;
	if (!more || !one.key || !one.name || setting_value(&one, l, flags)) {
		free(one.key);
		free(one.name);
		bytes_destroy(&one.value);
		return fail(err, VDISK_CORRUPT, "%s: the setting %s\\%s of a service cannot be read", name, l->values[1],
		            l->values[2]);
	}
	s->settings[s->settings_n++] = one;
	return 0;
}

/* Every AddReg line of the service's section. */
static int settings_read(struct inf_service *s, const struct inf *f, const struct inf_section *from, const char *name,
                         vdisk_error *err)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct inf_line *l = &from->lines[i];

		if (strcasecmp(l->key, "AddReg"))
			continue;
		for (size_t k = 0; k < l->n; k++) {
			const struct inf_section *reg = inf_section(f, l->values[k]);

			for (size_t r = 0; reg && r < reg->n; r++) {
				if (setting_add(s, &reg->lines[r], name, err))
					return -1;
			}
		}
	}
	return 0;
}

static int service_fill(struct inf_service *s, const struct inf *f, const struct inf_line *l, const char *name, vdisk_error *err)
{
	const struct inf_section *from = l->n > 2 ? inf_section(f, l->values[2]) : NULL;
	const char *binary, *text;
	uint32_t flags = 0;

	if (!from)
		return fail(err, VDISK_CORRUPT, "%s: the service %s has no section", name, l->values[0]);
	if (l->n > 1 && *l->values[1] && !number_read(l->values[1], &flags))
		return fail(err, VDISK_CORRUPT, "%s: the service %s has the flags %s", name, l->values[0], l->values[1]);
	s->front = flags & 1;
	s->function = flags & 2;
	if (!number_read(inf_value(f, from->name, "ServiceType"), &s->type) ||
	    !number_read(inf_value(f, from->name, "StartType"), &s->start) ||
	    !number_read(inf_value(f, from->name, "ErrorControl"), &s->error))
		return fail(err, VDISK_CORRUPT, "%s: the service %s lacks its type, start or error control", name, l->values[0]);
	binary = inf_value(f, from->name, "ServiceBinary");
	if (!binary || !*binary)
		return fail(err, VDISK_CORRUPT, "%s: the service %s lacks its file", name, l->values[0]);
	text = strrchr(binary, '\\');
	s->name = strdup(l->values[0]);
	s->binary = strdup(text ? text + 1 : binary);
	text = inf_value(f, from->name, "DisplayName");
	s->display = strdup(text ? text : "");
	text = inf_value(f, from->name, "LoadOrderGroup");
	s->group = strdup(text ? text : "");
	if (!s->name || !s->binary || !s->display || !s->group)
		return fail_nomem(err);
	if (!*s->binary || strchr(s->binary, '/') || strchr(s->name, '\\') || strchr(s->name, '/') || strlen(s->name) > 200)
		return fail(err, VDISK_CORRUPT, "%s: the service %s runs %s", name, s->name, s->binary);
	/* What no boot driver is, Windows installs itself, settings and all. */
	return s->start == 0 ? settings_read(s, f, from, name, err) : 0;
}

static int services_read(struct inf_driver *d, const struct inf *f, const struct inf_section *s, const char *name, vdisk_error *err)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct inf_line *l = &s->lines[i];
		struct inf_service *more;
		bool known = false;

		if (strcasecmp(l->key, "AddService") || !l->n || !*l->values[0])
			continue;
		for (size_t k = 0; k < d->services_n && !known; k++)
			known = !strcasecmp(d->services[k].name, l->values[0]);
		if (known)
			continue;
		if (d->services_n == SERVICES_MAX)
			return fail(err, VDISK_UNSUPPORTED, "%s: more than %u services", name, SERVICES_MAX);
		more = realloc(d->services, (d->services_n + 1) * sizeof(*more));
		if (!more)
			return fail_nomem(err);
		d->services = more;
		d->services[d->services_n] = (struct inf_service){ 0 };
		if (service_fill(&d->services[d->services_n++], f, l, name, err))
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
		if (services && services_read(d, f, services, name, err))
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
	for (size_t i = 0; i < d->services_n; i++) {
		struct inf_service *s = &d->services[i];

		for (size_t k = 0; k < s->settings_n; k++) {
			free(s->settings[k].key);
			free(s->settings[k].name);
			bytes_destroy(&s->settings[k].value);
		}
		free(s->settings);
		free(s->name);
		free(s->display);
		free(s->group);
		free(s->binary);
	}
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

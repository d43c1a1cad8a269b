/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The services that an INF's section NAME.Services adds, with the registry's values that its AddReg sections give them. */
#include "inf_service.h"

#include "common/fail.h"
#include "hive.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SETTINGS_MAX 1000
#define SERVICES_MAX 32

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

int inf_services_read(struct inf_driver *d, const struct inf *f, const struct inf_section *s, const char *name, vdisk_error *err)
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

void inf_service_destroy(struct inf_service *s)
{
	for (size_t i = 0; i < s->settings_n; i++) {
		free(s->settings[i].key);
		free(s->settings[i].name);
		bytes_destroy(&s->settings[i].value);
	}
	free(s->settings);
	free(s->name);
	free(s->display);
	free(s->group);
	free(s->binary);
	*s = (struct inf_service){ 0 };
}

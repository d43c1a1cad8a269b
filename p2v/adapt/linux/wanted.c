/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which drivers to want.  Pure: a kernel's lists in, names out. */
#include "wanted.h"

#include <string.h>

void wanted_add(struct wanted *w, const char *name)
{
	if (w->n < WANTED_MAX && !wanted_has(w, name))
		w->names[w->n++] = name;
}

bool wanted_has(const struct wanted *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->names[i], name))
			return true;
	return false;
}

enum module_where module_where(const struct kmod *k, const char *name)
{
	return kmod_find(k, name) ? MODULE_FILE : kmod_is_builtin(k, name) ? MODULE_BUILTIN : MODULE_NOWHERE;
}

static void files_of(const struct kmod *k, const char *const *names, bool picky, struct wanted *load, struct wanted *else_)
{
	for (; *names; names++) {
		bool complains = !strncmp(*names, "hv_", 3) || !strncmp(*names, "xen", 3);

		if (module_where(k, *names) == MODULE_FILE)
			wanted_add(picky && complains ? else_ : load, *names);
	}
}

void wanted_of(const struct kmod *k, unsigned targets, struct wanted *load, struct wanted *extra)
{
	bool several = targets & (targets - 1);

	for (size_t i = 0; i < TARGET_N; i++)
		if (targets & target_infos[i].target)
			files_of(k, target_infos[i].bus, several, load, extra);
	for (size_t i = 0; i < TARGET_N; i++)
		if (targets & target_infos[i].target)
			files_of(k, target_infos[i].storage, several, load, extra);
	for (size_t i = 0; i < TARGET_N; i++) {
		if (!(targets & target_infos[i].target))
			continue;
		files_of(k, target_infos[i].network, false, extra, extra);
		files_of(k, target_infos[i].console, false, extra, extra);
	}
}

/* What stands on a controller's driver, and sees no disk by itself. */
static bool is_upper(const char *name) { return !strcmp(name, "sd_mod") || !strcmp(name, "sr_mod"); }

bool target_reached(const struct kmod *k, const struct target_info *t, bool files)
{
	for (const char *const *s = t->storage; *s; s++) {
		enum module_where where = module_where(k, *s);

		if (!is_upper(*s) && (where == MODULE_BUILTIN || (files && where == MODULE_FILE)))
			return true;
	}
	return false;
}

static void lack_add(const struct kmod *k, const char *name, struct bytes *out)
{
	if (module_where(k, name) == MODULE_NOWHERE)
		bytes_format(out, "%s%s", out->len ? ", " : "", name);
}

void target_lacks(const struct kmod *k, const struct target_info *t, struct bytes *out)
{
	size_t told = 0;

	for (const char *const *s = t->storage; *s && told < 2; s++)
		if (!is_upper(*s)) {
			lack_add(k, *s, out);
			told++;
		}
	lack_add(k, t->network[0], out);
}

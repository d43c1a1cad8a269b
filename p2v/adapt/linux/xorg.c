/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* X's configuration where it asks for the driver of a graphics card that is not there: moved aside, since X finds a working one by
 * itself. */
#include "agents.h"

#include <stdio.h>
#include <string.h>

struct xorg {
	struct plan *plan;
	const struct adapt_options *options;
};

static bool driver_will_do(struct span name, unsigned targets)
{
	static const char *const any[] = { "modesetting", "fbdev", "vesa",     "vga",  "dummy", "libinput",  "evdev",
		                           "kbd",         "mouse", "keyboard", "void", "wacom", "synaptics", NULL };
	static const struct {
		const char *name;
		unsigned of;
	} some[] = { { "qxl", TARGET_KVM },
		     { "cirrus", TARGET_KVM | TARGET_XEN },
		     { "vmware", TARGET_VMWARE | TARGET_VIRTUALBOX | TARGET_KVM },
		     { "vboxvideo", TARGET_VIRTUALBOX },
		     { "vmmouse", TARGET_VMWARE } };

	for (const char *const *a = any; *a; a++)
		if (span_is_nocase(name, *a))
			return true;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		if (span_is_nocase(name, some[i].name))
			return !(targets & ~some[i].of);
	return false;
}

/* Driver "name", within Section "Device". */
static bool asks_for_other(const struct text *t, unsigned targets, struct span *driver)
{
	struct text look = { .in = t->in };
	bool device = false;

	while (text_next(&look)) {
		const char *at = look.line.at, *end = at + look.line.len;
		struct span word, value;

		if (!word_next(&at, end, &word) || *word.at == '#')
			continue;
		if (span_is_nocase(word, "EndSection"))
			device = false;
		if (!word_next(&at, end, &value) || value.len < 2 || *value.at != '"' || value.at[value.len - 1] != '"')
			continue;
		value = (struct span){ value.at + 1, value.len - 2 };
		if (span_is_nocase(word, "Section"))
			device = span_is_nocase(value, "Device");
		else if (device && span_is_nocase(word, "Driver") && !driver_will_do(value, targets)) {
			*driver = value;
			return true;
		}
	}
	return false;
}

static int xorg_file(void *to, const char *path, vdisk_error *err)
{
	struct xorg *x = to;
	struct span driver;
	struct bytes aside = { 0 };
	struct text t;
	int rc = text_open(&t, x->plan, path, err);

	if (rc > 0 && asks_for_other(&t, x->options->targets, &driver)) {
		bytes_format(&aside, "%s.vdisk-off", path);
		rc = tree_exists(&x->plan->view, aside.at, err);
		if (!rc)
			rc = plan_move(x->plan, path, aside.at, err,
			               "X would look for a graphics card that needs %.*s; it finds the new one by itself",
			               (int)driver.len, driver.at);
		else if (rc > 0)
			rc = plan_remove(x->plan, path, err, "X would look for a graphics card that needs %.*s; %s has a copy",
			                 (int)driver.len, driver.at, aside.at);
	}
	bytes_destroy(&aside);
	text_close(&t);
	return rc < 0 ? -1 : 0;
}

int xorg_adapt(struct plan *p, const struct adapt_options *o, vdisk_error *err)
{
	static const char *const files[] = { "/etc/X11/xorg.conf", "/etc/X11/XF86Config", "/etc/X11/XF86Config-4", NULL };
	struct xorg x = { p, o };

	for (const char *const *f = files; *f; f++)
		if (xorg_file(&x, *f, err))
			return -1;
	return files_each(p, "/etc/X11/xorg.conf.d", "*.conf", xorg_file, &x, err);
}

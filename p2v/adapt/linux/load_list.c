/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The modules that an initramfs loads by itself, each tool's way.  udev in all of them loads drivers by the aliases of the hardware
 * it finds, so that this is a second way to the same end, for what is found late or by no alias.
 *     initramfs-tools   conf/modules, read by load_modules() of scripts/functions
 *     dracut            etc/modules-load.d where systemd-modules-load is in it; else rd.driver.pre= in etc/cmdline.d, as its own
 *                       force_drivers does
 *     mkinitcpio        MODULES in /config, which its init sources; with systemd, etc/modules-load.d
 *     mkinitfs          etc/modules
 */
#include "initrd_append.h"

#include <string.h>

/* With the word, and arguments or nothing behind it? */
static bool line_begins(const char *at, size_t len, const char *word)
{
	size_t n = strlen(word);

	return len >= n && !memcmp(at, word, n) && (len == n || strchr(" \t\r", at[n]));
}

/* The lines of a list that is there, and those that are not yet. */
static void lines_join(const struct bytes *old, const char *const *load, size_t load_n, struct bytes *out)
{
	const char *at;
	size_t pos, len;
	bool there;

	if (old && old->len) {
		bytes_add(out, old->at, old->len);
		if (old->at[old->len - 1] != '\n')
			bytes_text(out, "\n");
	}
	for (size_t n = 0; n < load_n; n++) {
		there = false;
		for (pos = 0; old && kmod_line(old, &pos, &at, &len);)
			there |= line_begins(at, len, load[n]);
		if (!there)
			bytes_format(out, "%s\n", load[n]);
	}
}

static void words_join(struct bytes *out, const char *const *load, size_t load_n, const char *between)
{
	for (size_t n = 0; n < load_n; n++)
		bytes_format(out, "%s%s", n ? between : "", load[n]);
}

bool load_list(const struct initrd *i, const char *const *load, size_t load_n, const char **path, struct bytes *out)
{
	const struct initrd_member *old;

	if (!load_n)
		return false;
	switch (i->tool) {
	case INITRD_INITRAMFS_TOOLS:
	case INITRD_MKINITFS:
		*path = i->tool == INITRD_MKINITFS ? "etc/modules" : "conf/modules";
		old = initrd_find(i, *path);
		lines_join(old ? &old->content : NULL, load, load_n, out);
		return true;
	case INITRD_DRACUT:
		if (initrd_find(i, "usr/lib/systemd/systemd-modules-load") || initrd_find(i, "lib/systemd/systemd-modules-load")) {
			*path = "etc/modules-load.d/90-vdisk-adapt.conf";
			lines_join(NULL, load, load_n, out);
			return true;
		}
		*path = "etc/cmdline.d/90-vdisk-adapt.conf";
		bytes_text(out, " rd.driver.pre=");
		words_join(out, load, load_n, ",");
		bytes_text(out, "\n");
		return true;
	case INITRD_MKINITCPIO:
		old = initrd_find(i, "config");
		if (i->systemd || !old) {
			*path = "etc/modules-load.d/90-vdisk-adapt.conf";
			lines_join(NULL, load, load_n, out);
			return true;
		}
		*path = "config";
		bytes_add(out, old->content.at, old->content.len);
		if (old->content.len && old->content.at[old->content.len - 1] != '\n')
			bytes_text(out, "\n");
		bytes_text(out, "MODULES=\"$MODULES ");
		words_join(out, load, load_n, " ");
		bytes_text(out, "\"\n");
		return true;
	default:
		return false;
	}
}

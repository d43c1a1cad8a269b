/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the names of disks say about where they lead and what is in them. */
#include "machine.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Both kinds of slashes part, since nobody knows on which system the description was written. */
static bool has_up(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/\\");

		if (n == 2 && path[0] == '.' && path[1] == '.')
			return true;
		path += n + (path[n] != '\0');
	}
	return false;
}

/* Two letters at least, so that a drive is none. */
static bool has_scheme(const char *path)
{
	size_t n = 0;

	while (isalnum((unsigned char)path[n]) || (n && strchr("+-.", path[n]) && path[n]))
		n++;
	return n > 1 && path[n] == ':' && isalpha((unsigned char)*path);
}

unsigned machine_path_flags(const char *path)
{
	unsigned flags = 0;

	if (!path)
		return 0;
	if (*path == '/' || *path == '\\' || (isalpha((unsigned char)path[0]) && path[1] == ':'))
		flags |= MACHINE_PATH_ABSOLUTE;
	if (has_up(path))
		flags |= MACHINE_PATH_UP;
	if (has_scheme(path) || (*path == '[' && strchr(path, ']')))
		flags |= MACHINE_PATH_REMOTE;
	return flags;
}

static const char *suffix_format(const char *path)
{
	static const char *const table[][2] = { { ".qcow2", "qcow2" }, { ".vmdk", "vmdk" }, { ".vhd", "vhd" }, { ".vhdx", "vhdx" },
		{ ".vdi", "vdi" }, { ".raw", "raw" }, { ".avhd", "vhd" }, { ".avhdx", "vhdx" } };
	size_t n = strlen(path);

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		size_t len = strlen(table[i][0]);

		if (n > len && !strcasecmp(path + n - len, table[i][0]))
			return table[i][1];
	}
	return NULL;
}

void machine_disk_path(struct machine *m, struct machine_disk *d, const char *path)
{
	d->path = machine_text(m, path);
	d->path_flags = machine_path_flags(d->path);
	if (d->path && !d->format && d->medium == MACHINE_DISK)
		d->format = suffix_format(d->path);
}

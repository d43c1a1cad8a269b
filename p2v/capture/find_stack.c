/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that the kernel makes of several disks, and that are the machine's disks in their place: multipath maps, whose paths all
 * show the same disk, and arrays that the machine's firmware makes (imsm, DDF, what dmraid knows), whose partition table is the
 * array's.  Arrays of Linux' own are none: each of their members is captured, and the array comes of them again.
 */
#include "find.h"
#include "find_text.h"
#include "lvm.h"

#include "transfer/transfer.h"

#include <stdio.h>
#include <string.h>

#define EXTERNAL "external:"

static bool mapped(const char *root, const char *device, const char *prefix)
{
	char text[160];

	return find_text(text, sizeof(text), root, "/sys/block/%s/dm/uuid", device) && !strncmp(text, prefix, strlen(prefix));
}

/* dmraid calls its partitions like its sets. */
static bool on_mapped(const char *root, const char *device)
{
	bool found = false;
	char **names;
	size_t n;

	names = find_names(root, &n, "/sys/block/%s/slaves", device);
	for (size_t i = 0; i < n; i++)
		found = found || find_there(root, "/sys/block/%s/dm", names[i]);
	find_names_free(names, n);
	return found;
}

/* md's "external:/md127/0" is an array in the container md127, and "external:-md127/0" one that nobody has written to yet;
 * "external:imsm" is a container. */
static bool container_of(char out[64], const char *root, const char *device)
{
	char text[96];
	size_t n = strlen(EXTERNAL);

	if (!find_text(text, sizeof(text), root, "/sys/block/%s/md/metadata_version", device) || strncmp(text, EXTERNAL, n) ||
	    (text[n] != '/' && text[n] != '-'))
		return false;
	snprintf(out, 64, "%.*s", (int)strcspn(text + n + 1, "/"), text + n + 1);
	return true;
}

enum find_stack find_stack(const char *root, const char *device)
{
	char container[64];

	if (mapped(root, device, "mpath-"))
		return FIND_MULTIPATH;
	if (container_of(container, root, device) || (mapped(root, device, "DMRAID-") && !on_mapped(root, device)))
		return FIND_RAID;
	return FIND_PLAIN;
}

/* An array that was made in the container. */
static bool array_in(char out[64], const char *root, const char *container)
{
	char of[64];
	bool found = false;
	size_t n;
	char **names = find_names(root, &n, "/sys/block");

	for (size_t i = 0; !found && i < n; i++)
		if (!strncmp(names[i], "md", 2) && container_of(of, root, names[i]) && !strcmp(of, container)) {
			snprintf(out, 64, "%.63s", names[i]);
			found = true;
		}
	find_names_free(names, n);
	return found;
}

enum find_stack find_member_of(char out[64], const char *root, const char *disk)
{
	enum find_stack kind = FIND_PLAIN;
	char **names;
	size_t n;

	names = find_names(root, &n, "/sys/block/%s/holders", disk);
	for (size_t i = 0; kind == FIND_PLAIN && i < n; i++) {
		kind = find_stack(root, names[i]);
		if (kind != FIND_PLAIN)
			snprintf(out, 64, "%.63s", names[i]);
		else if (array_in(out, root, names[i]))
			kind = FIND_RAID;
	}
	find_names_free(names, n);
	return kind;
}

void find_disk_name(char out[TRANSFER_NAME_MAX + 1], const char *root, const char *kernel)
{
	char text[256];

	if (find_stack(root, kernel) != FIND_PLAIN && find_text(text, sizeof(text), root, "/sys/block/%s/dm/name", kernel))
		transfer_name_make(text, out);
	else
		transfer_name_make(kernel, out);
}

bool find_disk_kernel(char out[64], const char *root, const char *name)
{
	char called[TRANSFER_NAME_MAX + 1];
	bool found = false;
	size_t n;
	char **names = find_names(root, &n, "/sys/block");

	for (size_t i = 0; !found && i < n; i++) {
		find_disk_name(called, root, names[i]);
		found = !strcmp(called, name) && (size_t)snprintf(out, 64, "%s", names[i]) < 64;
	}
	find_names_free(names, n);
	return found;
}

bool find_volume(char out[64], const char *root, const char *group, const char *name)
{
	char mapping[600], text[600];
	bool found = false;
	size_t n;
	char **names;

	lvm_mapping(mapping, sizeof(mapping), group, name);
	names = find_names(root, &n, "/sys/block");
	for (size_t i = 0; !found && i < n; i++)
		found = find_text(text, sizeof(text), root, "/sys/block/%s/dm/name", names[i]) && !strcmp(text, mapping) &&
			(size_t)snprintf(out, 64, "%s", names[i]) < 64;
	find_names_free(names, n);
	return found;
}

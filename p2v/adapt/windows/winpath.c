/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NTFS as Windows mounts it does not tell /Windows/System32 from /WINDOWS/system32; the trees here do.  So a path is looked up part
   by part: as it is given first, then among the names of the folder. */
#include "winpath.h"

#include "common/fail.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Adds "/part" to *at as the folder spells it.  1 there, 0 not (added as given), -1. */
static int part_add(struct tree *t, struct bytes *at, const char *part, size_t n, vdisk_error *err)
{
	struct bytes names = { 0 };
	size_t folder = at->len;
	const char *found = NULL;
	struct tree_stat st;
	int rc;

	bytes_text(at, "/");
	bytes_add(at, part, n);
	if (at->failed)
		return fail_nomem(err);
	rc = t->ops->stat(t, at->at, true, &st, err);
	if (rc)
		return rc;
	at->at[folder] = '\0';
	rc = t->ops->list(t, folder ? at->at : "/", &names, err);
	at->at[folder] = '/';
	for (size_t i = 0; rc > 0 && i < names.len && !found; i += strlen(names.at + i) + 1) {
		if (strlen(names.at + i) == n && !strncasecmp(names.at + i, part, n))
			found = names.at + i;
	}
	if (found)
		memcpy(at->at + folder + 1, found, n);
	bytes_destroy(&names);
	return rc < 0 ? -1 : found != NULL;
}

int win_path(struct tree *t, const char *path, char **out, vdisk_error *err)
{
	struct bytes at = { 0 };
	int rc = 1;

	*out = NULL;
	while (*(path += strspn(path, "/")) && rc >= 0) {
		size_t n = strcspn(path, "/");

		if (rc > 0) {
			rc = part_add(t, &at, path, n, err);
		} else {
			bytes_text(&at, "/");
			bytes_add(&at, path, n);
		}
		path += n;
	}
	if (!at.len)
		bytes_text(&at, "/");
	if (rc >= 0 && !at.failed)
		*out = strdup(at.at);
	bytes_destroy(&at);
	return rc < 0 ? -1 : *out ? rc : fail_nomem(err);
}

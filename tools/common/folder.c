/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/folder.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int folder_make(const char *name, unsigned flags, char *out, size_t room, vdisk_error *err)
{
	const char *tmp = getenv("TMPDIR");
	int n;

	if (!tmp || !*tmp)
		tmp = flags & FOLDER_LARGE && !access("/var/tmp", W_OK) ? "/var/tmp" : "/tmp";
	n = snprintf(out, room, "%s/%s.XXXXXX", tmp, name);
	if (n >= 0 && (size_t)n < room && mkdtemp(out))
		return 0;
	out[0] = '\0';
	return n >= 0 && (size_t)n < room ? fail_errno(err, "a folder for temporary files in %s", tmp)
	                                  : fail(err, VDISK_INVALID, "TMPDIR: a path of %zu bytes is too long", strlen(tmp));
}

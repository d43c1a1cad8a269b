/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small parts of all readers. */
#include "bootsource.h"

#include <stdio.h>
#include <string.h>

bool boot_path(char out[BOOT_PATH_MAX], const char *device, const char *path)
{
	int n = *path == '(' ? snprintf(out, BOOT_PATH_MAX, "%s", path)
	                     : snprintf(out, BOOT_PATH_MAX, "(%s)%s%s", device, *path == '/' ? "" : "/", path);

	return n > 0 && n < BOOT_PATH_MAX;
}

bool boot_append(struct boot_choice *c, const char *words)
{
	size_t at = strlen(c->append);

	words += strspn(words, " \t");
	if (!*words)
		return true;
	int n = snprintf(c->append + at, sizeof(c->append) - at, "%s%s", at ? " " : "", words);
	return n > 0 && (size_t)n < sizeof(c->append) - at;
}

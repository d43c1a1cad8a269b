/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/variant.h"
#include "common/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MiB (UINT64_C(1) << 20)
#define VARIANT(name, format, options, size, parent, flags, suites) { #name, format, options, size, parent, flags, suites },
const struct t_variant t_variants[] = {
#include "common/variants.def"
	{ NULL },
};

const struct t_variant *t_variant_find(const char *name)
{
	const struct t_variant *v = t_variants;

	while (v->name && strcmp(v->name, name))
		v++;
	if (v->name)
		return v;
	printf("no variant \"%s\"; there are:", name);
	for (v = t_variants; v->name; v++)
		printf(" %s", v->name);
	printf("\n");
	exit(2);
}

static char key_option[64]; /* "key-file=/proc/self/fd/N": a file without a name, so none is left over */

static const char *key_file(void)
{
	if (!key_option[0]) {
		int fd = memfd_create("key", 0);

		T_CHECK(fd >= 0 && write(fd, "open sesame", 11) == 11, "no key file");
		snprintf(key_option, sizeof(key_option), "key-file=/proc/self/fd/%d", fd);
	}
	return key_option + strlen("key-file=");
}

const char **t_variant_options(const struct t_variant *v, char **text)
{
	const char **list = t_alloc((strlen(v->options) + 2) * sizeof(*list));
	const char *key = strstr(v->options, "@KEY");
	size_t n = 0;
	char *save = NULL;

	if (!key)
		*text = strdup(v->options);
	else if (asprintf(text, "%.*s%s%s", (int)(key - v->options), v->options, key_file(), key + 4) < 0)
		t_fail("out of memory");
	for (char *s = strtok_r(*text, ",", &save); s; s = strtok_r(NULL, ",", &save))
		list[n++] = s;
	return list;
}

const char *const *t_variant_open_options(const struct t_variant *v)
{
	static const char *const keyed[] = { key_option, NULL };

	return strstr(v->options, "@KEY") ? keyed : NULL;
}

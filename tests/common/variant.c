/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/variant.h"
#include "common/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const char **t_variant_options(const struct t_variant *v, char **text)
{
	const char **list = t_alloc((strlen(v->options) + 2) * sizeof(*list));
	size_t n = 0;
	char *save = NULL;

	*text = strdup(v->options);
	for (char *s = strtok_r(*text, ",", &save); s; s = strtok_r(NULL, ",", &save))
		list[n++] = s;
	return list;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list: configurations have some dozens of them. */
#include "grubvars.h"

#include <stdlib.h>
#include <string.h>

void grub_vars_destroy(struct grub_vars *vars)
{
	for (size_t i = 0; i < vars->n; i++) {
		free(vars->v[i].name);
		free(vars->v[i].value);
	}
	vars->n = 0;
}

static size_t find(const struct grub_vars *vars, const char *name, size_t len)
{
	size_t i = 0;

	while (i < vars->n && (vars->v[i].len != len || memcmp(vars->v[i].name, name, len)))
		i++;
	return i;
}

const char *grub_var(const struct grub_vars *vars, const char *name, size_t len)
{
	size_t i = find(vars, name, len);

	return i < vars->n ? vars->v[i].value : "";
}

bool grub_var_set(struct grub_vars *vars, const char *name, size_t len, const char *value)
{
	size_t i = find(vars, name, len);
	char *copy = strlen(value) < GRUB_VALUE_MAX ? strdup(value) : NULL;

	if (copy && i == vars->n && vars->n < GRUB_VARS_MAX && len < GRUB_NAME_MAX) {
		vars->v[i].value = NULL;
		vars->v[i].len = len;
		vars->v[i].name = strndup(name, len);
		vars->n += vars->v[i].name != NULL;
	}
	if (!copy || i >= vars->n) {
		free(copy);
		return false;
	}
	free(vars->v[i].value);
	vars->v[i].value = copy;
	return true;
}

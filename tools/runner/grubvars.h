/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB's variables. */
#ifndef RUNNER_GRUBVARS_H
#define RUNNER_GRUBVARS_H

#include <stdbool.h>
#include <stddef.h>

#define GRUB_VARS_MAX  512
#define GRUB_NAME_MAX  256
#define GRUB_VALUE_MAX 16384

struct grub_vars {
	struct {
		char *name, *value; /* owned */
		size_t len;         /* of the name */
	} v[GRUB_VARS_MAX];
	size_t n;
};

void grub_vars_destroy(struct grub_vars *vars);
/* "" where it is not set. */
const char *grub_var(const struct grub_vars *vars, const char *name, size_t len);
/* false: no memory, too many, or too long. */
bool grub_var_set(struct grub_vars *vars, const char *name, size_t len, const char *value);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptions that are lines of keys and values: VMX, Proxmox.  And text that is written. */
#ifndef MACHINE_SETTINGS_H
#define MACHINE_SETTINGS_H

#include "machine.h"

#include <stdio.h>

#define SETTINGS_MAX 20000

struct setting {
	char *key, *value;
	unsigned line;
	bool used;
};

struct settings {
	struct setting *at;
	uint32_t *sorted; /* places in `at` by key; of equal ones the first comes first */
	size_t n;
};

/* Copies of both; false: out of memory.  At SETTINGS_MAX fails with *err. */
int settings_add(struct settings *s, const char *key, size_t key_len, const char *value, size_t value_len, unsigned line,
                 vdisk_error *err);
void settings_free(struct settings *s);
/* The last one with this key, small and capital letters being one; NULL: none.  Marks it. */
const char *settings_get(struct settings *s, const char *key, ...) __attribute__((format(printf, 2, 3)));
/* Whether any key begins so. */
bool settings_have(const struct settings *s, const char *prefix, ...) __attribute__((format(printf, 2, 3)));
/* Lists those that were not asked for.  Of `harmless` (NULL-terminated) a key that ends in '*' stands for all that begin so. */
void settings_unused(const struct settings *s, const char *const *harmless, struct machine_lost_list *lost);

/* The bytes as UTF-8 with a NUL behind them, to be freed: from `encoding` (NULL: UTF-8 with or without a mark, or UTF-16 with one,
   else Latin-1).  NULL with *err. */
char *settings_utf8(const void *bytes, size_t len, const char *encoding, vdisk_error *err);

struct text { /* that is written */
	FILE *file;
	char *at;
	size_t len;
};

int text_begin(struct text *t);
char *text_end(struct text *t, size_t *len); /* to be freed; NULL: out of memory */
#define text_add(t, ...) fprintf((t)->file, __VA_ARGS__)

#endif

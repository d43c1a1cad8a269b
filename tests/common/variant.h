/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The variants that the suites run over: a format, its create options, a size, a parent. */
#ifndef T_VARIANT_H
#define T_VARIANT_H

#include <stdbool.h>
#include <stdint.h>

#define T_PACK        1u /* whole units can be stored packed, beside plain ones */
#define T_ONLY_PACKED 2u /* written once, in order, packed; no random writes */
#define T_ORDERED    4u /* metadata is right at every moment: check finds no corruption before repair, whenever the power was cut */
#define T_LAZY        8u /* metadata may be stale in an image that is marked dirty */
#define T_BITMAP     16u /* has a bitmap that follows all writes */

struct t_variant {
	const char *name, *format, *options;
	uint64_t size;
	const char *parent;
	uint32_t flags;
	const char *suites;
};

extern const struct t_variant t_variants[]; /* ends with name == NULL */
const struct t_variant *t_variant_find(const char *name); /* exits where there is none */
/* The create options as "key=value" strings, NULL-terminated; *text holds them.  free() both.  "@KEY" in them stands for the name
   of a file with a passphrase. */
const char **t_variant_options(const struct t_variant *v, char **text);
/* What opening takes, NULL-terminated; static. */
const char *const *t_variant_open_options(const struct t_variant *v);

#endif

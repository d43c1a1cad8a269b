/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "key=value" lists judged against a table of vdisk_option_info. */
#ifndef VD_BASE_OPTIONS_H
#define VD_BASE_OPTIONS_H

#include "base/error.h"

struct vd_options; /* parsed list; immutable, safe to share */

/* Parses and judges `kv` (NULL-terminated, may be NULL) against the entries of `table` (may be NULL) whose `use` has `use`;
   `who` ("qcow2") goes into messages.  Unknown keys, keys given twice and values of the wrong type are VDISK_INVALID.
   Returns owned in *out. */
int vd_options_parse(const struct vdisk_option_info *table, uint32_t use, const char *who, const char *const *kv,
                     struct vd_options **out, vd_error *err);
void vd_options_free(struct vd_options *o);

bool vd_options_given(const struct vd_options *o, const char *name);
/* The value given, else the table's default, else NULL / 0 / false.  The name must be in the table (asserted).  o may be NULL
   only for a name without default. */
const char *vd_options_str(const struct vd_options *o, const char *name);
uint64_t vd_options_u64(const struct vd_options *o, const char *name);
bool vd_options_bool(const struct vd_options *o, const char *name);

/* "64K", "1.5G", "0x1000"; suffixes k K M G T P E in powers of 1,024, optionally followed by "iB"; VDISK_INVALID otherwise. */
int vd_parse_size(const char *text, uint64_t *out, vd_error *err);

#endif

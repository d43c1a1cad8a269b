/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's dictionary files (.vmsd, .vmx), and ours beside a disk with external snapshots: lines of `key = "value"`, # begins a
 * comment; in a value |XX is the character with that hexadecimal number.  Keys are the same whatever their case.
 */
#ifndef VD_OPS_DICTIONARY_H
#define VD_OPS_DICTIONARY_H

#include "base/error.h"

#define VD_DICT_BYTES_MAX (1u << 20)
#define VD_DICT_KEYS_MAX  65536u

struct vd_dict_pair {
	char *key, *value; /* UTF-8, inside the dictionary's text */
};
struct vd_dict {
	char *text;
	struct vd_dict_pair *v; /* by key */
	size_t n;
};

/* Pure but for memory.  VDISK_CORRUPT, with the line, where it is none; `.encoding` says what the bytes are, UTF-8 without it. */
int vd_dict_parse(const void *bytes, size_t len, struct vd_dict *d, vd_error *err);
/* From a file; VDISK_IO with ENOENT where there is none. */
int vd_dict_load(const char *path, struct vd_dict *d, vd_error *err);
void vd_dict_free(struct vd_dict *d);
/* NULL: not there. */
const char *vd_dict_get(const struct vd_dict *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A number; -1 after VDISK_CORRUPT where it is none, or not in [min, max].  Not there: `deflt`. */
int vd_dict_number(const struct vd_dict *d, const char *key, int64_t min, int64_t max, int64_t deflt, int64_t *out, vd_error *err);

/* Text that grows; `failed` once memory was out, for one look at the end. */
struct vd_dict_text {
	char *s;
	size_t len;
	bool failed;
};
void vd_dict_add(struct vd_dict_text *t, const char *value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif

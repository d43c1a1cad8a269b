/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A registry hive of the guest, read from its tree into memory, looked at and edited through libhivex, and handed back as bytes.
   Keys are named by their path from the hive's root, with backslashes, in any case, as Windows does. */
#ifndef ADAPT_HIVE_H
#define ADAPT_HIVE_H

#include "tree.h"

#include <hivex.h>

struct hive {
	hive_h *h;          /* NULL: not open */
	char *path;         /* in the guest */
	const char *label;  /* HKLM\SYSTEM; static */
	bool clean;         /* its two sequence numbers agree: no changes wait in its log */
	bool changed;
	struct bytes notes; /* what was changed, a line each */
};

enum { HIVE_SZ = 1, HIVE_EXPAND_SZ = 2, HIVE_BINARY = 3, HIVE_DWORD = 4, HIVE_MULTI_SZ = 7 };

/* 1, 0 where the file is not there, -1 with *err (VDISK_CORRUPT where it is no hive).  `write`: it may be edited. */
int hive_open(struct hive *h, struct tree *t, const char *path, const char *label, bool write, vdisk_error *err);
void hive_close(struct hive *h); /* of a zeroed one as well */

/* The key at `path` below `base` (0: the root), or 0. */
hive_node_h hive_find(const struct hive *h, hive_node_h base, const char *path);
/* Owned by the caller, NULL where there is none, or none of that type; a text in UTF-8, without control characters. */
char *hive_text(const struct hive *h, hive_node_h key, const char *name);
bool hive_number(const struct hive *h, hive_node_h key, const char *name, uint32_t *out);
/* The texts of a REG_MULTI_SZ (or the one of a REG_SZ), each ended by a NUL; empty ones left out. */
void hive_list(const struct hive *h, hive_node_h key, const char *name, struct bytes *out);
/* The bytes of a value of any type; false where there is none. */
bool hive_bytes(const struct hive *h, hive_node_h key, const char *name, struct bytes *out);
/* Calls `each` for every key below `key`, until it is not 0, which is returned. */
int hive_each(const struct hive *h, hive_node_h key, int (*each)(void *to, const char *name, hive_node_h node), void *to);

/* Each makes the keys that are missing, does nothing where the value stands there, and notes what it does.  0, or -1 with *err. */
int hive_make(struct hive *h, const char *path, vdisk_error *err);
int hive_set(struct hive *h, const char *path, const char *name, uint32_t type, const void *value, size_t len, vdisk_error *err);
int hive_set_number(struct hive *h, const char *path, const char *name, uint32_t value, vdisk_error *err);
int hive_set_text(struct hive *h, const char *path, const char *name, uint32_t type, const char *text, vdisk_error *err);
int hive_set_list(struct hive *h, const char *path, const char *name, const struct bytes *texts, vdisk_error *err);

/* The hive as it is now. */
int hive_save(struct hive *h, struct bytes *out, vdisk_error *err);

/* UTF-8 to UTF-16 with its NUL; -1 where it is no UTF-8 or memory is short. */
int hive_utf16(const char *text, struct bytes *out);

#endif

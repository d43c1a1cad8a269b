/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LVM2's label and metadata, read.  Pure but for the reader, so that they can be fuzzed over plain bytes. */
#ifndef VD_OPS_LVM_H
#define VD_OPS_LVM_H

#include "ops/partitions.h"

/* ---- the text (lvm_text.c): sections, arrays, strings and numbers */

enum vd_lvm_kind { VD_LVM_SECTION, VD_LVM_ARRAY, VD_LVM_STRING, VD_LVM_NUMBER };

struct vd_lvm_node {
	enum vd_lvm_kind kind;
	uint32_t first, next; /* the first of a section or an array; the next in the same one; 0: none */
	const char *key;      /* "" in an array; into the text */
	const char *str;      /* STRING; into the text */
	uint64_t num;         /* NUMBER */
};

struct vd_lvm_text {
	char *bytes;
	struct vd_lvm_node *v; /* [0]: the section around all */
	uint32_t n, cap;
};

#define VD_LVM_TEXT_MAX  (8u << 20)
#define VD_LVM_NODES_MAX (1u << 20)
#define VD_LVM_DEPTH_MAX 16

/* Takes a copy of the bytes.  VDISK_CORRUPT names the line.  Free with vd_lvm_text_free() if 0 was returned. */
int vd_lvm_text_parse(const char *bytes, size_t len, struct vd_lvm_text *t, vd_error *err);
void vd_lvm_text_free(struct vd_lvm_text *t);
/* A member of a section by its key and kind; NULL: there is none. */
const struct vd_lvm_node *vd_lvm_get(const struct vd_lvm_text *t, const struct vd_lvm_node *in, const char *key,
				     enum vd_lvm_kind kind);
static inline const struct vd_lvm_node *vd_lvm_first(const struct vd_lvm_text *t, const struct vd_lvm_node *in)
{
	return in && in->first ? &t->v[in->first] : NULL;
}
static inline const struct vd_lvm_node *vd_lvm_next(const struct vd_lvm_text *t, const struct vd_lvm_node *x)
{
	return x->next ? &t->v[x->next] : NULL;
}
/* NULL, or `deflt`, where there is none. */
const char *vd_lvm_str(const struct vd_lvm_text *t, const struct vd_lvm_node *in, const char *key);
uint64_t vd_lvm_num(const struct vd_lvm_text *t, const struct vd_lvm_node *in, const char *key, uint64_t deflt);
bool vd_lvm_has_word(const struct vd_lvm_text *t, const struct vd_lvm_node *in, const char *key, const char *word);

/* ---- the label and the areas (lvm_label.c) */

#define VD_LVM_UUID 39 /* "6-4-4-4-4-4-6" and NUL */
#define VD_LVM_AREAS_MAX 8

struct vd_lvm_area { uint64_t off, len; };

struct vd_lvm_label {
	char uuid[VD_LVM_UUID];
	uint64_t device_bytes;
	struct vd_lvm_area meta[VD_LVM_AREAS_MAX];
	unsigned n_meta;
};

/* Looks at the first four sectors of [off, off+len) of the disk; *found tells.  VDISK_CORRUPT: a label is there and damaged. */
int vd_lvm_label_read(const struct vd_disk *d, uint64_t off, uint64_t len, struct vd_lvm_label *out, bool *found, vd_error *err);
/* The metadata text that an area of the device holds: returns owned in *text, NULL where it holds none. */
int vd_lvm_area_read(const struct vd_disk *d, uint64_t off, uint64_t len, const struct vd_lvm_area *area, char **text,
		     size_t *text_len, vd_error *err);

/* ---- volumes of a group (lvm_group.c) */

struct vd_lvm_member { /* a physical volume */
	struct vdisk_physical_volume info; /* problem and group are owned, uuid is `uuid` */
	char uuid[VD_LVM_UUID];
};

struct vdisk_volumes {
	struct vd_lvm_member *members;
	size_t n_members;
	struct vdisk_volume *v; /* all that they point to is owned */
	size_t n, cap;
};

/* The section of the volume group in a metadata text; NULL: there is none. */
const struct vd_lvm_node *vd_lvm_group(const struct vd_lvm_text *t);
/* Adds a group's volumes to *out, and what it says of its physical volumes to out->members.  VDISK_CORRUPT: the group as a
   whole makes no sense; VDISK_NOMEM.  What concerns one volume is its `problem`. */
int vd_lvm_group_add(const struct vd_lvm_text *t, const struct vd_lvm_node *group, struct vdisk_volumes *out, vd_error *err);

/* The physical volume on this disk that has the UUID (may be NULL), or NULL. */
struct vd_lvm_member *vd_lvm_member_find(struct vdisk_volumes *v, const char *uuid);

/* ---- where volumes lie (lvm_place.c) */

/* Whether any of a volume lies on a physical volume that is in `members`, by itself or by the volumes that it is made of.
   `lookups` bounds the search, over all calls that share it; what it does not reach counts as elsewhere. */
bool vd_lvm_is_here(const struct vd_lvm_text *t, const struct vd_lvm_node *group, struct vdisk_volumes *members,
		    const struct vd_lvm_node *volume, unsigned *lookups);

/* As vdisk_volumes_read(), of a disk and its partitions. */
int vd_volumes_read(const struct vd_disk *d, const struct vdisk_partition *parts, size_t n, struct vdisk_volumes **out,
		    vd_error *err);

#endif

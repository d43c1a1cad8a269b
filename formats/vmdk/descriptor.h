/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMDK descriptor: the text, in a file of its own or inside a sparse extent, that says what the disk is made of.  Pure. */
#ifndef VMDK_DESCRIPTOR_H
#define VMDK_DESCRIPTOR_H

#include "base/error.h"

#define VMDK_DESC_MAX (8u << 20)  /* bytes of text that are looked at */
#define VMDK_LINES_MAX 4095u      /* extent lines: what one layer can hold open, less the descriptor */
#define VMDK_CID_NONE 0xffffffffu /* as parentCID: no parent.  Never a CID of ours */
#define VMDK_CID_LONG 0xfffffffeu /* "see the long content ID".  Never a CID of ours */

enum vmdk_access { VMDK_RW, VMDK_RDONLY, VMDK_NOACCESS };
enum vmdk_line_type {
	VMDK_LINE_FLAT,
	VMDK_LINE_SPARSE,
	VMDK_LINE_ZERO,
	VMDK_LINE_VMFS,
	VMDK_LINE_VMFSSPARSE,
	VMDK_LINE_VMFSRDM,
	VMDK_LINE_VMFSRAW,
	VMDK_LINE_SESPARSE,
};

struct vmdk_line { /* an extent line */
	enum vmdk_access access;
	enum vmdk_line_type type;
	uint64_t sectors;
	uint64_t offset; /* in sectors of the extent file */
	char *name;      /* UTF-8, or the bytes as they are where no other encoding is declared; NULL for ZERO */
};

struct vmdk_desc {
	char *text; /* NUL-terminated, as read */
	uint32_t cid, parent_cid;
	char *create_type;
	char *encoding;    /* NULL: none declared */
	char *parent_hint; /* as name above; NULL: none */
	struct vmdk_line *lines;
	size_t n_lines;
};

/* Text up to the first NUL of bytes[0..len).  Refuses what it cannot read: a line that is neither comment, key = value nor extent
   could be the one that holds the data.  On failure nothing is owned. */
int vmdk_desc_parse(const void *bytes, size_t len, struct vmdk_desc *out, vd_error *err);
void vmdk_desc_clear(struct vmdk_desc *d);
/* True if the bytes begin as a descriptor does: comments, then "version=". */
bool vmdk_desc_probe(const uint8_t *head, size_t len);

const char *vmdk_line_type_name(enum vmdk_line_type t);
const char *vmdk_access_name(enum vmdk_access a);

/* The value of `key` ("ddb.adapterType") without its quotes into buf; false if there is none or it does not fit. */
bool vmdk_desc_value(const char *text, const char *key, char *buf, size_t cap);
/* The text with the value of `key` replaced, or with a line for it added: to the database, at the end, or to the head, where others
   look for it, and without blanks, which they take for the value (QEMU).  Returns owned, NULL if out of memory. */
char *vmdk_desc_set(const char *text, const char *key, const char *value, bool quoted);
/* The text with the line of `key` taken out, or with `keep` replaced by one of the same length: `key="value"` and blanks, or
   without a value a comment.  Returns owned, NULL if out of memory, or where there is no room for it. */
char *vmdk_desc_overwrite(const char *text, const char *key, const char *value, bool keep);
/* The text with the sector count of the i-th extent line replaced.  Returns owned; NULL if out of memory or there is no such line.
 */
char *vmdk_desc_set_sectors(const char *text, size_t i, uint64_t sectors);

/* What a new descriptor says. */
struct vmdk_desc_new {
	uint32_t cid, parent_cid;
	const char *create_type;
	const char *parent_hint; /* NULL: none */
	const struct vmdk_line *lines;
	size_t n_lines;
	uint64_t sectors; /* of the disk, for the geometry */
	const char *adapter_type, *hwversion, *toolsversion;
	const char *image_uuid; /* VirtualBox's, as text; NULL: none */
	uint8_t uuid[16], long_id[12]; /* random bytes */
	bool thin;
};
/* Returns owned, NULL if out of memory. */
char *vmdk_desc_write(const struct vmdk_desc_new *n);

struct vmdk_geometry {
	uint32_t cylinders, heads, sectors;
};
void vmdk_geometry(struct vmdk_geometry *g, uint64_t sectors, const char *adapter_type);

#endif

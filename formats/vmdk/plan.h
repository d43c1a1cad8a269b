/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a new VMDK will be: decided from the options alone, before anything is written. */
#ifndef VMDK_PLAN_H
#define VMDK_PLAN_H

#include "vmdk.h"

#define VMDK_EMBEDDED_OFF 1u /* sectors */
#define VMDK_EMBEDDED_LEN 20u
#define VMDK_SPLIT_SECTORS 4192256u /* 2,047 MiB: what VMware cuts at */

struct vmdk_plan {
	const char *subformat;   /* as asked for */
	const char *create_type; /* as written */
	enum vmdk_kind kind;     /* of the extents */
	enum vmdk_line_type line;
	bool files;    /* extents have files of their own; otherwise the one extent holds the descriptor */
	bool split_up; /* at 2,047 MiB */
	bool packed, zero_gte, thin;
	bool falloc, full; /* flat extents get their space at once; and zeros written to it */
	uint32_t grain; /* bytes; 1 for flat extents */
	uint64_t split; /* bytes of all extents but the last */
	size_t n;       /* extents */
};

/* Judges the options, and the size where it is not 0. */
int vmdk_plan_make(const struct vd_create *c, uint64_t size, struct vmdk_plan *p, vd_error *err);
/* Guest bytes of extent i. */
uint64_t vmdk_plan_extent(const struct vmdk_plan *p, uint64_t size, size_t i);
/* Where the parts of a hosted sparse extent of `bytes` guest bytes lie. */
void vmdk_plan_sparse(const struct vmdk_plan *p, uint64_t bytes, struct vmdk_sparse *h);
void vmdk_plan_cowd(const struct vmdk_plan *p, uint64_t bytes, struct vmdk_cowd *h);

#endif

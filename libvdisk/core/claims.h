/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interval claims on guest ranges: shared ones (reads) may overlap each other, an exclusive one (writes) overlaps none.  First
 * come, first served: a claim waits for every earlier one that it conflicts with, so a writer is not starved.
 */
#ifndef VD_CORE_CLAIMS_H
#define VD_CORE_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

struct vd_claim { /* lives with the caller, usually on its stack */
	uint64_t off, end;
	bool exclusive;
	struct vd_claim *prev, *next;
};

struct vd_claims *vd_claims_new(void); /* NULL: out of memory */
void vd_claims_free(struct vd_claims *c);
void vd_claim_take(struct vd_claims *c, struct vd_claim *k, uint64_t off, uint64_t len, bool exclusive);
void vd_claim_drop(struct vd_claims *c, struct vd_claim *k);

#endif

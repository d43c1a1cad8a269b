/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef T_CONTRACT_H
#define T_CONTRACT_H

#include "common/image.h"

/* The map of [off, off+len), asked for `cap` extents at a time: ascending, without gaps, to the end; zeros where it says zeros; the
   bytes where it says MAPPED; no two extents in one place. */
void contract_map(struct t_image *t, uint64_t off, uint64_t len, size_t cap);
/* Ranges outside the disk are refused and change nothing; empty ones are no-ops. */
void contract_refusals(struct t_image *t);
/* Grows, or shrinks and grows again: new space reads as zeros.  Formats without it say so. */
void contract_resize(struct t_image *t, struct t_rng *rng);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Free space inside an extent's file, that grains gave up: ranges of host bytes, the pending ones not to be given out yet (V4). */
#ifndef VMDK_SPACE_H
#define VMDK_SPACE_H

#include <stddef.h>
#include <stdint.h>

struct vmdk_range {
	uint64_t off, len;
};
struct vmdk_ranges {
	struct vmdk_range *v;
	size_t n, cap;
};
struct vmdk_space {
	struct vmdk_ranges pending, ready;
};

/* What cannot be remembered (no memory, too many ranges) is a leak, which check finds: never an error. */
void vmdk_space_add(struct vmdk_ranges *r, uint64_t off, uint64_t len);
/* Takes up to `len` bytes (whole multiples of `unit`) out of one range: *off and the length, 0 where there is none. */
uint64_t vmdk_space_take(struct vmdk_ranges *r, uint64_t len, uint64_t unit, uint64_t *off);
/* The pending ranges become ready. */
void vmdk_space_settle(struct vmdk_space *s);
void vmdk_space_clear(struct vmdk_space *s);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs of equal bits in a bitmap. */
#ifndef VD_BASE_BITS_H
#define VD_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>

/* Which bit of a byte is its first. */
enum vd_bit_order { VD_BITS_LOW_FIRST = 0, VD_BITS_HIGH_FIRST = 7 };

/* Length of the run of bits of p that equal the one at `from`, at most to `end`; from < end.  *set: what they are. */
uint64_t vd_bits_run(const uint8_t *p, enum vd_bit_order order, uint64_t from, uint64_t end, bool *set);

#endif

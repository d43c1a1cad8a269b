/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many bytes at a time where these are all alike, which in bitmaps of what is there they mostly are; most of all, where nothing is. */
#include "base/bits.h"
#include "base/bytes.h"
#include "base/zero.h"

#define ZEROS 512u /* bytes */

static bool bit_at(const uint8_t *p, enum vd_bit_order order, uint64_t i)
{
	return p[i / 8] >> (i % 8 ^ order) & 1;
}

uint64_t vd_bits_run(const uint8_t *p, enum vd_bit_order order, uint64_t from, uint64_t end, bool *set)
{
	uint64_t i = from, all;

	*set = bit_at(p, order, from);
	all = *set ? UINT64_MAX : 0;
	while (i < end) {
		if (!*set && i % 8 == 0 && end - i >= ZEROS * 8 && vd_is_zero(p + i / 8, ZEROS))
			i += ZEROS * 8;
		else if (i % 8 == 0 && end - i >= 64 && le64_get(p + i / 8) == all)
			i += 64;
		else if (i % 8 == 0 && end - i >= 8 && p[i / 8] == (uint8_t)all)
			i += 8;
		else if (bit_at(p, order, i) == *set)
			i++;
		else
			break;
	}
	return i - from;
}

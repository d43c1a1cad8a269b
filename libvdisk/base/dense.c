/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deflate gains by two things: bytes that are not equally frequent, and repeats within 32 KiB.  Where the bytes' frequencies leave
 * a coder less than one percent, and hardly any sequence of four bytes comes again, both gain nothing.  Most data shows in its
 * beginning that it is not so.
 */
#include "base/dense.h"

#include <stdint.h>
#include <string.h>

#define LEAST 4096u
#define PART 65536u /* is judged by itself */
#define WINDOW 32768u
#define SLOTS 4096u
#define EVERY 32u /* one position of this many, chosen by what stands there, is looked up */

/* The sum of the squared frequencies is least, n²/256, where all are equal; chance adds n.  Up to 3 % more than that are 0.04 bits
   a byte (collision entropy, which is never above Shannon's). */
static bool bytes_even(const uint8_t *p, size_t n)
{
	uint32_t seen[4][256] = { 0 }; /* four, so that equal neighbours do not wait for each other */
	uint64_t sum = 0, even = (uint64_t)n * n / 256;
	size_t i = 0;

	for (; i + 4 <= n; i += 4) {
		seen[0][p[i]]++;
		seen[1][p[i + 1]]++;
		seen[2][p[i + 2]]++;
		seen[3][p[i + 3]]++;
	}
	for (; i < n; i++)
		seen[0][p[i]]++;
	for (unsigned b = 0; b < 256; b++) {
		uint64_t times = (uint64_t)seen[0][b] + seen[1][b] + seen[2][b] + seen[3][b];

		sum += times * times;
	}
	return sum <= even + even * 3 / 100 + n + n / 2;
}

/* Of the sampled positions, how many hold what a sampled one not long before held. */
static bool repeats_rare(const uint8_t *p, size_t n)
{
	uint32_t last[SLOTS] = { 0 }; /* position + 1 */
	size_t found = 0;

	for (uint32_t i = 0; i + 4 <= n; i++) {
		uint32_t word, hash;

		memcpy(&word, p + i, 4); /* in the host's order: that chooses other positions, no more */
		hash = word * 0x9e3779b1u;
		if (hash >> 15 & (EVERY - 1))
			continue;
		uint32_t *slot = &last[hash >> 20];

		if (*slot && i + 1 - *slot < WINDOW && !memcmp(p + *slot - 1, p + i, 4))
			found++;
		*slot = i + 1;
	}
	return found <= 1 + n / EVERY / 128;
}

bool vd_dense(const void *data, size_t len)
{
	const uint8_t *p = data;

	if (len < LEAST || !bytes_even(p, LEAST))
		return false;
	for (size_t off = 0; off < len; off += PART) {
		size_t n = len - off < PART ? len - off : PART;

		if (!bytes_even(p + off, n) || !repeats_rare(p + off, n))
			return false;
	}
	return true;
}

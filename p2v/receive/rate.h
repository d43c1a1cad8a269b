/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much a second, over the last few of them.  The owner's lock guards it. */
#ifndef RECEIVE_RATE_H
#define RECEIVE_RATE_H

#include <stdint.h>

#define RATE_SECONDS 8

struct rate { /* {0} is new */
	uint64_t sums[RATE_SECONDS]; /* of the seconds that ended last, and the one that runs */
	int64_t second;              /* which one runs */
};

static inline void rate_add(struct rate *r, int64_t now_ms, uint64_t n)
{
	int64_t second = now_ms / 1000;

	if (second - r->second >= RATE_SECONDS)
		r->second = second - RATE_SECONDS;
	while (r->second < second)
		r->sums[++r->second % RATE_SECONDS] = 0;
	r->sums[second % RATE_SECONDS] += n;
}

static inline uint64_t rate_get(struct rate *r, int64_t now_ms)
{
	uint64_t sum = 0;

	rate_add(r, now_ms, 0);
	for (int64_t i = 1; i < RATE_SECONDS; i++)
		sum += r->sums[(now_ms / 1000 + i) % RATE_SECONDS];
	return sum / (RATE_SECONDS - 1);
}

#endif

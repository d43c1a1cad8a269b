/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/wait.h"
#include "base/bytes.h"

#include <time.h>

#define SLICE_MS 100

int vd_fail_cancelled(vd_error *err) { return vd_fail(err, VDISK_CANCELLED, VDISK_NO_OFFSET, "stopped on request"); }

int64_t vd_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void vd_wait_ms(uint64_t ms, const volatile int *cancel)
{
	while (ms && !vd_cancelled(cancel)) {
		uint64_t part = cancel ? vd_min(ms, SLICE_MS) : ms;
		struct timespec t = { .tv_sec = (time_t)(part / 1000), .tv_nsec = (long)(part % 1000) * 1000000 };

		nanosleep(&t, NULL);
		ms -= part;
	}
}

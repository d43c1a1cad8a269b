/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char program_line[160];
static _Thread_local char where[256];

uint64_t t_rand(struct t_rng *r)
{
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t t_below(struct t_rng *r, uint64_t n)
{
	return t_rand(r) % n;
}

void t_bytes(uint64_t seed, void *buf, size_t len)
{
	struct t_rng r = { seed };
	uint8_t *p = buf;

	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v = t_rand(&r);

		memcpy(p, &v, 8);
	}
	if (len) {
		uint64_t v = t_rand(&r);

		memcpy(p, &v, len);
	}
}

_Noreturn void t_fail(const char *fmt, ...)
{
	va_list ap;

	flockfile(stdout);
	printf("FAILED: %s\n  at: %s\n  ", program_line, where);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void t_at(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(where, sizeof(where), fmt, ap);
	va_end(ap);
}

void t_error_is_told(const vd_error *e, const char *what)
{
	T_CHECK(e->kind != VDISK_OK, "%s failed without saying what kind of error it is", what);
	T_CHECK(e->message[0], "%s failed without a message (kind %s)", what, vdisk_error_kind_name(e->kind));
	T_CHECK(memchr(e->message, 0, sizeof(e->message)), "%s: the message has no end", what);
	T_CHECK(!strchr(e->message, '\n'), "%s: the message is more than one line: %s", what, e->message);
}

uint64_t t_seed(const char *program, const char *variant)
{
	const char *env = getenv("VDISK_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = env && *env ? strtoull(env, NULL, 0) : ((uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec) & UINT32_MAX;
	snprintf(program_line, sizeof(program_line), "VDISK_SEED=%" PRIu64 " %s %s", seed, program, variant);
	printf("%s\n", program_line);
	fflush(stdout);
	return seed;
}

unsigned long t_iterations(unsigned long deflt)
{
	const char *env = getenv("VDISK_ITERATIONS");

	return env && *env ? strtoul(env, NULL, 0) : deflt;
}

void *t_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		abort();
	return p;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other side of --wrap (tests/CMakeLists.txt): what the library calls as vd_malloc() arrives here. */
#include "alloc_fail.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static _Atomic long countdown = -1, hits;

void alloc_fail_at(long n)
{
	atomic_store(&hits, 0);
	atomic_store(&countdown, n);
}

long alloc_fail_hits(void)
{
	return atomic_load(&hits);
}

static bool fails(void)
{
	long left = atomic_load(&countdown);

	while (left >= 0 && !atomic_compare_exchange_weak(&countdown, &left, left - 1))
		;
	if (left)
		return false;
	atomic_fetch_add(&hits, 1);
	return true;
}

void *__real_vd_malloc(size_t n);
void *__real_vd_calloc(size_t n, size_t size);
void *__real_vd_realloc(void *p, size_t n, size_t size);
void *__real_vd_aligned(size_t align, size_t n);
void *__wrap_vd_malloc(size_t n);
void *__wrap_vd_calloc(size_t n, size_t size);
void *__wrap_vd_realloc(void *p, size_t n, size_t size);
void *__wrap_vd_aligned(size_t align, size_t n);

void *__wrap_vd_malloc(size_t n)
{
	return fails() ? NULL : __real_vd_malloc(n);
}

void *__wrap_vd_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_vd_calloc(n, size);
}

void *__wrap_vd_realloc(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_vd_realloc(p, n, size);
}

void *__wrap_vd_aligned(size_t align, size_t n)
{
	return fails() ? NULL : __real_vd_aligned(align, n);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The five primitives that all memory comes from.  None of them calls another, so that a test's --wrap sees each call once. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>

void *vd_malloc(size_t n)
{
	return malloc(n ? n : 1);
}

void *vd_calloc(size_t n, size_t size)
{
	return n && size ? calloc(n, size) : calloc(1, 1);
}

void *vd_realloc(void *p, size_t n, size_t size)
{
	return n && size ? reallocarray(p, n, size) : realloc(p, 1);
}

void *vd_aligned(size_t align, size_t n)
{
	void *p;

	return posix_memalign(&p, align, n ? n : 1) ? NULL : p;
}

void vd_free(void *p)
{
	free(p);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The five primitives that all memory comes from.  None of them calls another, so that a test's --wrap sees each call once. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>

void *vd_malloc(size_t n)
{
	return malloc(n ? n : 1);
}

/* The products are checked here, too: AddressSanitizer's own calloc() ends the program over one that overflows. */
void *vd_calloc(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return calloc(1, bytes ? bytes : 1);
}

void *vd_realloc(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return realloc(p, bytes ? bytes : 1);
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

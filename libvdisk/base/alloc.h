/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one seam for memory: all layers allocate here.  Sizes of 0 return a unique pointer.  Everything is freed with vd_free().
 *
 * Making the nth allocation fail: every unit test is linked with --wrap for vd_malloc, vd_calloc, vd_realloc and vd_aligned (the
 * others call these) and with tests/unit/alloc_fail.c, which passes them on until a test sets a countdown
 * (tests/unit/alloc_fail.h).
 */
#ifndef VD_BASE_ALLOC_H
#define VD_BASE_ALLOC_H

#include <stddef.h>

void *vd_malloc(size_t n);
void *vd_calloc(size_t n, size_t size);           /* zeroed; NULL on overflow of n * size */
void *vd_realloc(void *p, size_t n, size_t size); /* as reallocarray */
void *vd_aligned(size_t align, size_t n);         /* align: power of two, multiple of sizeof(void *); not zeroed */
char *vd_strdup(const char *s);
char *vd_strndup(const char *s, size_t n);
char *vd_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* NULL if out of memory */
void vd_free(void *p);

/* Scope-bound: `VD_AUTO_FREE char *p = …;` frees p when it goes out of scope. */
static inline void vd_auto_free_(void *pp) { vd_free(*(void **)pp); }
#define VD_AUTO_FREE __attribute__((cleanup(vd_auto_free_)))

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other side of --wrap (tests/CMakeLists.txt): what the library calls as vd_malloc() arrives here. */
#include "alloc_fail.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

static _Atomic long countdown = -1, hits;
static atomic_bool lasting;
static atomic_int paused;

static void arm(long n, bool from)
{
	atomic_store(&countdown, -1);
	if (n < 0)
		return;
	atomic_store(&hits, 0);
	atomic_store(&lasting, from);
	atomic_store(&countdown, n);
}

void alloc_fail_at(long n)
{
	arm(n, false);
}

void alloc_fail_from(long n)
{
	arm(n, true);
}

long alloc_fail_hits(void)
{
	return atomic_load(&hits);
}

void alloc_fail_pause(bool enter)
{
	atomic_fetch_add(&paused, enter ? 1 : -1);
}

static bool fails(void)
{
	long left = atomic_load(&countdown);

	if (atomic_load(&paused))
		return false;
	/* One at 0 that lasts stays there. */
	while ((left > 0 || (left == 0 && !atomic_load(&lasting))) && !atomic_compare_exchange_weak(&countdown, &left, left - 1))
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
char *__real_vd_strdup(const char *s);
char *__real_vd_strndup(const char *s, size_t n);
void *__wrap_vd_malloc(size_t n);
void *__wrap_vd_calloc(size_t n, size_t size);
void *__wrap_vd_realloc(void *p, size_t n, size_t size);
void *__wrap_vd_aligned(size_t align, size_t n);
char *__wrap_vd_strdup(const char *s);
char *__wrap_vd_strndup(const char *s, size_t n);
char *__wrap_vd_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

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

char *__wrap_vd_strdup(const char *s)
{
	return fails() ? NULL : __real_vd_strdup(s);
}

char *__wrap_vd_strndup(const char *s, size_t n)
{
	return fails() ? NULL : __real_vd_strndup(s, n);
}

char *__wrap_vd_asprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	if (fails())
		return NULL;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return text;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counting down.  Allocations are caught at the seam (base/alloc.h): this program is linked with --wrap for its names.  The shelf's own
 * allocations, and those of other threads' error paths, are real.
 */
#include "fault.h"
#include "base/alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const struct fault_class fault_classes[] = {
	{ "read", VD_FAULT_READ, EIO, VDISK_IO },
	{ "write", VD_FAULT_WRITE, EIO, VDISK_IO },
	{ "space", VD_FAULT_WRITE | VD_FAULT_OTHER, ENOSPC, VDISK_IO },
	{ "flush", VD_FAULT_FLUSH, EIO, VDISK_IO },
	{ "any", VD_FAULT_READ | VD_FAULT_WRITE | VD_FAULT_FLUSH | VD_FAULT_OTHER, EIO, VDISK_IO },
	{ "memory", 0, 0, VDISK_NOMEM },
	{ NULL },
};

static struct vd_fault io = { .countdown = -1 };
static struct {
	_Atomic long countdown; /* negative: never */
	bool persistent;
	_Atomic long hits;
	int busy;
} memory = { .countdown = -1 };

static void shelf_busy(bool enter)
{
	memory.busy += enter ? 1 : -1;
}

void fault_arm(const struct fault_class *c, long n, bool persistent)
{
	t_shelf_busy = shelf_busy;
	fault_disarm();
	atomic_store(&io.hits, 0);
	atomic_store(&memory.hits, 0);
	if (c->ops) {
		io.ops = c->ops;
		io.persistent = persistent;
		io.sys_errno = c->sys_errno;
		atomic_store(&io.countdown, n);
	} else {
		memory.persistent = persistent;
		atomic_store(&memory.countdown, n);
	}
}

void fault_disarm(void)
{
	atomic_store(&io.countdown, -1);
	io.ops = 0;
	io.persistent = false;
	atomic_store(&memory.countdown, -1);
}

long fault_hits(void)
{
	return atomic_load(&io.hits) + atomic_load(&memory.hits);
}

struct vd_fault *fault_io(void)
{
	return &io;
}

static bool fails(void)
{
	long left = atomic_load(&memory.countdown);

	if (left < 0 || memory.busy)
		return false;
	if (left == 0) { /* persistent, and past its time */
		atomic_fetch_add(&memory.hits, 1);
		return true;
	}
	left = atomic_fetch_sub(&memory.countdown, 1);
	if (left != 1)
		return false;
	if (!memory.persistent)
		atomic_store(&memory.countdown, -1);
	atomic_fetch_add(&memory.hits, 1);
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

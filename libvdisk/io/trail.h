/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's page cache, left as it was found: a file is read or written once, and what that brought into the cache goes again some
 * way behind, but for what was there before.  For io/posix*.c alone.
 */
#ifndef VD_IO_TRAIL_H
#define VD_IO_TRAIL_H

#include <stdbool.h>
#include <stdint.h>

struct vd_trail;

/* `own`: nothing of the file is worth keeping (a new one).  NULL: out of memory, or the cache cannot be asked. */
struct vd_trail *vd_trail_new(int fd, bool own);
/* The range is about to be read, or was written.  0, or the errno of a writeback that failed, which the next fdatasync() may not
   tell any more.  Any thread. */
int vd_trail_pass(struct vd_trail *t, uint64_t off, uint64_t len);
/* Drops the rest, and frees.  NULL is a no-op. */
void vd_trail_free(struct vd_trail *t);

#endif

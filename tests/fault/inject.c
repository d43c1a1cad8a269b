/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One countdown for both: I/O fails in the shelf's fault file, allocations at their seam (unit/alloc_fail.c). */
#include "fault.h"

#include "../unit/alloc_fail.h"

#include <errno.h>

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

void fault_arm(const struct fault_class *c, long n, bool persistent)
{
	t_shelf_busy = alloc_fail_pause; /* the shelf's own allocations are real */
	fault_disarm();
	atomic_store(&io.hits, 0);
	if (c->ops) {
		io.ops = c->ops;
		io.persistent = persistent;
		io.sys_errno = c->sys_errno;
		atomic_store(&io.countdown, n);
	} else {
		(persistent ? alloc_fail_from : alloc_fail_at)(n - 1);
	}
}

void fault_disarm(void)
{
	atomic_store(&io.countdown, -1);
	io.ops = 0;
	io.persistent = false;
	alloc_fail_at(-1);
}

long fault_hits(void)
{
	return atomic_load(&io.hits) + alloc_fail_hits();
}

struct vd_fault *fault_io(void)
{
	return &io;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regular files and block devices; for io/posix*.c alone. */
#ifndef VD_IO_POSIX_H
#define VD_IO_POSIX_H

#include "io/kind.h"
#include "io/trail.h"

#include <pthread.h>

struct posix_file {
	struct vd_file file;
	/* Shared: writes that go past the known size.  Exclusive: truncation, so that growing the file by ftruncate() never cuts
	   off what another thread is appending. */
	pthread_rwlock_t growth;
	uint32_t sector;          /* block device: alignment of discards and zeroing */
	_Atomic bool no_punch;    /* the host said that it cannot: do not ask again */
	_Atomic bool no_zero_range;
	struct vd_trail *_Atomic trail; /* set once; NULL: the cache is the kernel's affair */
	_Atomic int flush_errno;  /* a flush failed: what it covered may be lost although the next one succeeds */
};

static inline struct posix_file *posix_of(struct vd_file *f) { return (struct posix_file *)f; }

/* posix_zero.c */
int vd_posix_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err);
int vd_posix_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err);
/* posix_lock.c */
int vd_posix_lock(struct vd_file *f, bool write, vd_error *err);
/* posix.c: grows to at least `end`; never cuts. */
int vd_posix_grow(struct posix_file *p, uint64_t end, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A place in a caller's iovec list, and slices of it. */
#ifndef VD_CORE_IOV_H
#define VD_CORE_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define VD_IOV_SLICES 64

struct vd_iov {
	const struct iovec *v;
	int n;
	size_t at; /* within v[0] */
};

/* The next `len` bytes as at most `max` pieces in out[], moving on behind them.  *n: pieces; returns how many bytes they are, which
   is less than len only when `max` ran out. */
size_t vd_iov_take(struct vd_iov *it, size_t len, struct iovec *out, int max, int *n);
void vd_iov_from_buf(const struct iovec *v, int n, const void *buf);
void vd_iov_to_buf(const struct iovec *v, int n, void *buf);

#endif

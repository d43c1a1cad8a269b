/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kinds of vd_file share; for io/ alone. */
#ifndef VD_IO_KIND_H
#define VD_IO_KIND_H

#include "io/file.h"

/* Fills in the common head; the name is copied. */
int vd_file_head(struct vd_file *f, const struct vd_file_ops *ops, const char *name, uint32_t flags, uint64_t size, vd_error *err);

/* The size is at least `end` from now on. */
void vd_file_size_reach(struct vd_file *f, uint64_t end);

/* Up to `cap` vectors into `out` for what is left of iov[0..n) after its first `skip` bytes; returns how many. */
int vd_iov_window(const struct iovec *iov, int n, size_t skip, struct iovec *out, int cap);

/* Up to `cap` vectors of zeros (static storage), `len` bytes or less in all; returns how many, *total: their bytes. */
int vd_iov_zeros(struct iovec *out, int cap, uint64_t len, size_t *total);

#define VD_IOV_WINDOW 64
#define VD_PIPE_BYTES (1 << 20) /* asked for in pipes: fewer wake-ups than with 64 KiB */

#endif

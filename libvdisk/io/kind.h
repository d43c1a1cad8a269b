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

/* preadv() of a kind that fills one piece of memory after the other, by `read`: as many bytes of `total` as lie before the file's
   end. */
typedef int vd_piece_read_fn(struct vd_file *f, uint8_t *buf, size_t len, uint64_t off, vd_error *err);
int vd_iov_read(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_piece_read_fn *read, size_t *got,
                vd_error *err);

/* Up to `cap` vectors of zeros (static storage), `len` bytes or less in all; returns how many, *total: their bytes. */
int vd_iov_zeros(struct iovec *out, int cap, uint64_t len, size_t *total);

/* A file that lies over another one: what kinds of such embed first, and the operations that go through to that as they are. */
struct vd_over {
	struct vd_file file;
	struct vd_file *inner; /* owned */
};

int vd_over_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err);
int vd_over_flush(struct vd_file *f, vd_error *err);
int vd_over_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err);
int vd_over_allocated(struct vd_file *f, uint64_t *bytes, vd_error *err);
int vd_over_lock(struct vd_file *f, bool write, vd_error *err);
void vd_over_release(struct vd_file *f, uint64_t off, uint64_t len);
void vd_over_cache_spare(struct vd_file *f, bool own);
/* For kinds that own nothing else. */
void vd_over_close(struct vd_file *f);

#define VD_IOV_WINDOW 64
#define VD_PIPE_BYTES (1 << 20) /* asked for in pipes: fewer wake-ups than with 64 KiB */

#endif

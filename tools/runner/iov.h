/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of guest buffers. */
#ifndef RUNNER_IOV_H
#define RUNNER_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

uint64_t iov_bytes(const struct iovec *v, unsigned n);
/* Copies the first `len` bytes out and takes them off the list; -1 if there are fewer. */
int iov_take(struct iovec **v, unsigned *n, void *buf, size_t len);
/* Copies into the buffers; returns how much they had room for. */
size_t iov_fill(const struct iovec *v, unsigned n, const void *buf, size_t len);

#endif

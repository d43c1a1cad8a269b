/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-256, at once and incremental; thin over GnuTLS. */
#ifndef VD_BASE_DIGEST_H
#define VD_BASE_DIGEST_H

#include "base/error.h"

struct vd_sha256; /* one thread at a time */
struct vd_sha256 *vd_sha256_new(void); /* returns owned; NULL if out of memory */
int vd_sha256_add(struct vd_sha256 *h, const void *buf, size_t len, vd_error *err);
int vd_sha256_end(struct vd_sha256 *h, uint8_t out[32], vd_error *err); /* and starts anew */
void vd_sha256_free(struct vd_sha256 *h);
int vd_sha256_of(const void *buf, size_t len, uint8_t out[32], vd_error *err);

#endif

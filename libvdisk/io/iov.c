/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vectors: what is left of one after a short transfer, and ones full of zeros. */
#include "io/kind.h"
#include "base/bytes.h"

int vd_iov_window(const struct iovec *iov, int n, size_t skip, struct iovec *out, int cap)
{
	int k = 0;

	for (int i = 0; i < n && k < cap; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		out[k].iov_base = (char *)iov[i].iov_base + skip;
		out[k].iov_len = iov[i].iov_len - skip;
		skip = 0;
		k++;
	}
	return k;
}

static const uint8_t zeros[16384];

int vd_iov_zeros(struct iovec *out, int cap, uint64_t len, size_t *total)
{
	int k = 0;

	for (*total = 0; k < cap && *total < len; k++) {
		out[k].iov_base = (void *)(uintptr_t)zeros;
		out[k].iov_len = (size_t)vd_min(sizeof(zeros), len - *total);
		*total += out[k].iov_len;
	}
	return k;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vectors: what is left of one after a short transfer, reading into one up to the file's end, and ones full of zeros. */
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

int vd_iov_read(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_piece_read_fn *read, size_t *got,
                vd_error *err)
{
	uint64_t size = vd_file_size(f);
	size_t want = off < size ? (size_t)vd_min(total, size - off) : 0;

	*got = 0;
	for (int i = 0; i < n && *got < want; i++) {
		size_t len = (size_t)vd_min(iov[i].iov_len, want - *got);

		if (len && read(f, iov[i].iov_base, len, off + *got, err))
			return -1;
		*got += len;
	}
	return 0;
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes are the guest's, and may change while they are copied. */
#include "iov.h"

#include <string.h>

uint64_t iov_bytes(const struct iovec *v, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += v[i].iov_len;
	return sum;
}

int iov_take(struct iovec **v, unsigned *n, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		if (!*n)
			return -1;
		size_t part = (*v)->iov_len < len ? (*v)->iov_len : len;
		memcpy(p, (*v)->iov_base, part);
		p += part;
		len -= part;
		(*v)->iov_base = (uint8_t *)(*v)->iov_base + part;
		(*v)->iov_len -= part;
		if (!(*v)->iov_len) {
			++*v;
			--*n;
		}
	}
	return 0;
}

size_t iov_fill(const struct iovec *v, unsigned n, const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t part = v[i].iov_len < len - done ? v[i].iov_len : len - done;

		memcpy(v[i].iov_base, (const uint8_t *)buf + done, part);
		done += part;
	}
	return done;
}

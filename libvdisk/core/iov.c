/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/iov.h"

#include <string.h>

size_t vd_iov_take(struct vd_iov *it, size_t len, struct iovec *out, int max, int *n)
{
	size_t got = 0;

	*n = 0;
	while (got < len && *n < max && it->n > 0) {
		size_t left = it->v->iov_len - it->at;
		size_t take = left < len - got ? left : len - got;

		if (take) {
			out[*n].iov_base = (char *)it->v->iov_base + it->at;
			out[*n].iov_len = take;
			(*n)++;
			got += take;
			it->at += take;
		}
		if (it->at == it->v->iov_len) {
			it->v++;
			it->n--;
			it->at = 0;
		}
	}
	return got;
}

void vd_iov_from_buf(const struct iovec *v, int n, const void *buf)
{
	const char *p = buf;

	for (int i = 0; i < n; p += v[i].iov_len, i++)
		memcpy(v[i].iov_base, p, v[i].iov_len);
}

void vd_iov_to_buf(const struct iovec *v, int n, void *buf)
{
	char *p = buf;

	for (int i = 0; i < n; p += v[i].iov_len, i++)
		memcpy(p, v[i].iov_base, v[i].iov_len);
}

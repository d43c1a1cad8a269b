/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the buffer and extent list of a window being read; each belongs to one ticket, and so to one thread at a time. */
#include "ops/scan.h"
#include "base/alloc.h"
#include "base/bytes.h"

#define REMOTE_THREADS 8u

int vd_slice_init(struct vd_slice *s, vd_error *err)
{
	memset(s, 0, sizeof(*s));
	s->buf = vd_aligned(4096, VD_SCAN_WINDOW);
	return s->buf ? 0 : vd_fail_nomem(err, VD_SCAN_WINDOW);
}

void vd_slice_free(struct vd_slice *s)
{
	vd_free(s->buf);
	s->buf = NULL;
	vd_extent_list_free(&s->extents);
}

bool vd_slice_has_data(const struct vd_slice *s)
{
	for (size_t i = 0; i < s->extents.n; i++)
		if (s->extents.v[i].kind == VD_DATA)
			return true;
	return false;
}

int vd_slice_read(vdisk_image *img, struct vd_slice *s, uint64_t off, vd_error *err)
{
	for (size_t i = 0; i < s->extents.n; i++) {
		const struct vd_extent *x = &s->extents.v[i];

		if (vd_image_read_extent(img, x, x->off, s->buf + (x->off - off), x->len, err))
			return -1;
		if (x->kind == VD_DATA && vd_image_is_forward(img))
			vd_file_release(vd_extent_file(img, x), x->host, x->host_len);
	}
	return 0;
}

unsigned vd_scan_tickets(uint64_t memory_bytes, uint64_t each, unsigned threads)
{
	uint64_t n = (memory_bytes ? memory_bytes : VD_SCAN_BUDGET) / each;

	return (unsigned)vd_max(vd_min(n, 2ull * threads + 4), 1);
}

unsigned vd_scan_threads(const vdisk_image *img, unsigned threads)
{
	for (unsigned d = 0; !threads && d < img->n_layers; d++)
		for (unsigned i = 0; i < img->chain[d]->n_files; i++)
			if (img->chain[d]->files[i]->flags & (VD_FILE_REMOTE | VD_FILE_EXPORT))
				return (unsigned)vd_max(vd_pool_processors(), REMOTE_THREADS);
	return threads;
}

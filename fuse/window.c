/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "window.h"

#include <errno.h>
#include <syslog.h>

static int errno_of(const vdisk_error *err)
{
	if (err->kind == VDISK_NOMEM)
		return ENOMEM;
	return err->kind == VDISK_IO && err->sys_errno ? err->sys_errno : EIO;
}

/* What goes wrong is told once here, since a file's user sees no more than a number. */
static int failed(const char *what, const vdisk_error *err)
{
	say(LOG_ERR, "%s: %s", what, err->message);
	return errno_of(err);
}

/* The longest piece of the disk that begins at `off` of the window. */
static struct vdisk_range piece_at(const struct window *w, uint64_t off, uint64_t len)
{
	struct vdisk_range r = { .off = w->off + off, .len = len };

	if (w->volume)
		vdisk_volume_map(w->volume, off, len, &r, 1);
	return r;
}

int window_read(const struct window *w, void *buf, size_t len, uint64_t off)
{
	vdisk_error err;

	for (size_t done = 0; done < len;) {
		struct vdisk_range r = piece_at(w, off + done, len - done);

		if (vdisk_pread(w->src->img, (char *)buf + done, r.len, r.off, &err))
			return failed("reading", &err);
		done += r.len;
	}
	return 0;
}

int window_write(const struct window *w, const void *buf, size_t len, uint64_t off)
{
	vdisk_error err;
	int rc = 0;

	for (size_t done = 0; done < len && !rc;) {
		struct vdisk_range r = piece_at(w, off + done, len - done);

		if (vdisk_pwrite(w->src->img, (const char *)buf + done, r.len, r.off, &err))
			rc = failed("writing", &err);
		done += r.len;
	}
	source_touch(w->src); /* on failure too: a part may have been written */
	return rc;
}

int window_zero(const struct window *w, uint64_t off, uint64_t len, bool punch)
{
	vdisk_error err;
	int rc = 0;

	for (uint64_t done = 0; done < len && !rc;) {
		struct vdisk_range r = piece_at(w, off + done, len - done);

		/* Discarding frees whole units and leaves the rest as it was; zeroing then finds little to do. */
		if ((punch && vdisk_discard(w->src->img, r.off, r.len, &err)) || vdisk_zero(w->src->img, r.off, r.len, &err))
			rc = failed("zeroing", &err);
		done += r.len;
	}
	source_touch(w->src);
	return rc;
}

int window_flush(const struct window *w)
{
	vdisk_error err;

	if (w->src->writable && vdisk_flush(w->src->img, &err))
		return failed("flushing", &err);
	return 0;
}

/* In one range of the disk; *out is its end where there is none. */
static int range_seek(const struct window *w, struct vdisk_range r, bool data, uint64_t *out)
{
	uint64_t at = r.off, end = r.off + r.len;

	while (at < end) {
		struct vdisk_extent x[32];
		vdisk_error err;
		size_t n;

		if (vdisk_map(w->src->img, at, end - at, x, 32, &n, &err))
			return failed("mapping", &err);
		for (size_t i = 0; i < n; i++) {
			if ((x[i].kind == VDISK_DATA) == data) {
				*out = x[i].off;
				return 0;
			}
		}
		at = x[n - 1].off + x[n - 1].len;
	}
	*out = end;
	return 0;
}

int window_seek(const struct window *w, uint64_t off, bool data, uint64_t *out)
{
	while (off < w->len) {
		struct vdisk_range r = piece_at(w, off, w->len - off);
		uint64_t found;
		int rc = range_seek(w, r, data, &found);

		if (rc)
			return rc;
		off += found - r.off;
		if (found < r.off + r.len)
			break;
	}
	*out = off;
	return 0;
}

static int range_count(const struct window *w, uint64_t off, uint64_t len, uint64_t *bytes)
{
	uint64_t end = off + len;

	while (off < end) {
		struct vdisk_extent x[64];
		vdisk_error err;
		size_t n;

		if (vdisk_map(w->src->img, off, end - off, x, 64, &n, &err))
			return failed("mapping", &err);
		for (size_t i = 0; i < n; i++)
			*bytes += x[i].kind == VDISK_DATA ? x[i].len : 0;
		off = x[n - 1].off + x[n - 1].len;
	}
	return 0;
}

int window_count(const struct window *w, uint64_t *bytes)
{
	*bytes = 0;
	if (!w->volume)
		return range_count(w, w->off, w->len, bytes);
	/* Stripe by stripe as they lie on the disk, not as they alternate in the volume: that is as many ranges as there are
	   stripes. */
	for (size_t i = 0; i < w->volume->n_segments; i++) {
		const struct vdisk_volume_segment *g = &w->volume->segments[i];

		for (uint32_t j = 0; j < g->n_stripes; j++) {
			int rc = range_count(w, g->at[j], g->len / g->n_stripes, bytes);

			if (rc)
				return rc;
		}
	}
	return 0;
}

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
	state_touch(w->src); /* on failure too: a part may have been written */
	return rc;
}

int window_flush(const struct window *w)
{
	vdisk_error err;

	if (w->src->writable && vdisk_flush(w->src->img, &err))
		return failed("flushing", &err);
	return 0;
}

/* ---------------------------------------------------------------- ranges of the disk, whatever their order */

/* How far into stripe j of a segment the bytes before `off` (of the segment) reach. */
static uint64_t stripe_reach(const struct vdisk_volume_segment *g, uint32_t j, uint64_t off)
{
	uint64_t chunk = off / g->stripe_bytes, row = chunk / g->n_stripes, at = chunk % g->n_stripes;

	return row * g->stripe_bytes + (j < at ? g->stripe_bytes : j == at ? off % g->stripe_bytes : 0);
}

typedef int (*range_fn)(const struct window *w, struct vdisk_range r, void *ctx);

/* Calls fn for ranges of the disk that make up [off, off+len) of the window: one for each stripe of each segment, however often the
   stripes take turns. */
static int each_range(const struct window *w, uint64_t off, uint64_t len, range_fn fn, void *ctx)
{
	int rc = 0;

	if (!w->volume)
		return fn(w, (struct vdisk_range){ .off = w->off + off, .len = len }, ctx);
	for (size_t i = 0; i < w->volume->n_segments && !rc; i++) {
		const struct vdisk_volume_segment *g = &w->volume->segments[i];
		uint64_t from = off > g->off ? off - g->off : 0, to = off + len > g->off ? off + len - g->off : 0;

		to = to < g->len ? to : g->len;
		for (uint32_t j = 0; j < g->n_stripes && from < to && !rc; j++) {
			uint64_t begin = stripe_reach(g, j, from), end = stripe_reach(g, j, to);

			if (begin < end)
				rc = fn(w, (struct vdisk_range){ .off = g->at[j] + begin, .len = end - begin }, ctx);
		}
	}
	return rc;
}

static int range_zero(const struct window *w, struct vdisk_range r, void *punch)
{
	vdisk_error err;

	/* Discarding frees whole units and leaves the rest as it was; zeroing then finds little to do. */
	if ((*(bool *)punch && vdisk_discard(w->src->img, r.off, r.len, &err)) || vdisk_zero(w->src->img, r.off, r.len, &err))
		return failed("zeroing", &err);
	return 0;
}

int window_zero(const struct window *w, uint64_t off, uint64_t len, bool punch)
{
	int rc = each_range(w, off, len, range_zero, &punch);

	state_touch(w->src);
	return rc;
}

static int range_count(const struct window *w, struct vdisk_range r, void *bytes)
{
	uint64_t off = r.off, end = r.off + r.len;

	while (off < end) {
		struct vdisk_extent x[64];
		vdisk_error err;
		size_t n;

		if (vdisk_map(w->src->img, off, end - off, x, 64, &n, &err))
			return failed("mapping", &err);
		for (size_t i = 0; i < n; i++)
			*(uint64_t *)bytes += x[i].kind == VDISK_DATA ? x[i].len : 0;
		off = x[n - 1].off + x[n - 1].len;
	}
	return 0;
}

int window_count(const struct window *w, uint64_t *bytes)
{
	*bytes = 0;
	return each_range(w, 0, w->len, range_count, bytes);
}

/* ---------------------------------------------------------------- data and holes */

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

/* From `off` of the segment on; *out is its length where there is none.  Each stripe is asked for its own next one: stripes
   that take turns every few bytes cost no more than others. */
static int segment_seek(const struct window *w, const struct vdisk_volume_segment *g, uint64_t off, bool data, uint64_t *out)
{
	uint64_t each = g->len / g->n_stripes;

	*out = g->len;
	for (uint32_t j = 0; j < g->n_stripes; j++) {
		uint64_t at = stripe_reach(g, j, off), found;
		int rc = range_seek(w, (struct vdisk_range){ .off = g->at[j] + at, .len = each - at }, data, &found);

		if (rc)
			return rc;
		found -= g->at[j];
		if (found == each)
			continue;
		found = (found / g->stripe_bytes * g->n_stripes + j) * g->stripe_bytes + found % g->stripe_bytes;
		*out = found < *out ? found : *out;
	}
	return 0;
}

int window_seek(const struct window *w, uint64_t off, bool data, uint64_t *out)
{
	uint64_t found;
	int rc;

	if (!w->volume) {
		rc = range_seek(w, (struct vdisk_range){ .off = w->off + off, .len = w->len - off }, data, &found);
		*out = rc ? 0 : found - w->off;
		return rc;
	}
	for (size_t i = 0; i < w->volume->n_segments; i++) {
		const struct vdisk_volume_segment *g = &w->volume->segments[i];

		if (off >= g->off + g->len)
			continue;
		rc = segment_seek(w, g, off - g->off, data, &found);
		if (rc)
			return rc;
		off = g->off + found;
		if (found < g->len)
			break;
	}
	*out = off;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image is safe for many threads by itself; `lock` guards the flushes alone.  A flush that failed is never forgotten: the
 * kernel may have dropped the pages, so that the next fsync would succeed over lost data.
 */
#include "export.h"

#include "bitmap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZEROS_BYTES (256u << 10)
#define MAP_BATCH   128
#define FRAGMENTS_MAX 4096 /* extents that one question looks at */

const char *export_context_name(const struct export *x, enum export_context c)
{
	return c == EXPORT_ALLOCATION ? "base:allocation" : c == EXPORT_DEPTH ? "qemu:allocation-depth" : x->bitmap.context;
}

int export_init(struct export *x, vdisk_image *img, uint64_t off, uint64_t len, bool rw)
{
	memset(x, 0, sizeof(*x));
	x->img = img;
	x->off = off;
	x->len = len;
	x->rw = rw;
	x->name = "";
	if (pthread_mutex_init(&x->lock, NULL))
		return -1;
	if (!pthread_cond_init(&x->flushed, NULL))
		return 0;
	pthread_mutex_destroy(&x->lock);
	return -1;
}

void export_destroy(struct export *x)
{
	bitmap_free(&x->bitmap);
	pthread_cond_destroy(&x->flushed);
	pthread_mutex_destroy(&x->lock);
}

uint16_t export_flags(const struct export *x, bool structured)
{
	unsigned flags = NBD_HAS_FLAGS | NBD_CAN_MULTI_CONN | NBD_SEND_CACHE; /* one image behind all connections: what one flushes,
	                                                                         all see */

	if (structured)
		flags |= NBD_SEND_DF;
	if (x->rw)
		flags |= NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES | NBD_SEND_FAST_ZERO;
	else
		flags |= NBD_READ_ONLY;
	return (uint16_t)flags;
}

static uint32_t judge(struct export *x, const vdisk_error *err)
{
	if (x->say)
		x->say(x->say_ctx, err->message);
	if (err->kind == VDISK_NOMEM)
		return NBD_ENOMEM;
	if (err->kind == VDISK_IO && (err->sys_errno == ENOSPC || err->sys_errno == EDQUOT || err->sys_errno == EFBIG))
		return NBD_ENOSPC;
	return NBD_EIO;
}

uint32_t export_read(struct export *x, void *buf, uint32_t len, uint64_t off)
{
	vdisk_error err;

	return vdisk_pread(x->img, buf, len, x->off + off, &err) ? judge(x, &err) : 0;
}

uint32_t export_write(struct export *x, const void *buf, uint32_t len, uint64_t off)
{
	vdisk_error err;

	return vdisk_pwrite(x->img, buf, len, x->off + off, &err) ? judge(x, &err) : 0;
}

uint32_t export_flush(struct export *x)
{
	uint64_t mine;
	bool failed;

	pthread_mutex_lock(&x->lock);
	mine = ++x->flush_asked;
	while (x->flush_done < mine) {
		if (x->flushing) { /* it began before this one was asked for, so it does not count */
			pthread_cond_wait(&x->flushed, &x->lock);
			continue;
		}
		uint64_t upto = x->flush_asked;
		vdisk_error err;

		x->flushing = true;
		pthread_mutex_unlock(&x->lock);
		failed = vdisk_flush(x->img, &err);
		if (failed)
			judge(x, &err);
		pthread_mutex_lock(&x->lock);
		x->flushing = false;
		x->flush_failed |= failed;
		x->flush_done = upto;
		pthread_cond_broadcast(&x->flushed);
	}
	failed = x->flush_failed;
	pthread_mutex_unlock(&x->lock);
	return failed ? NBD_EIO : 0;
}

uint32_t export_trim(struct export *x, uint32_t len, uint64_t off)
{
	vdisk_error err;

	return vdisk_discard(x->img, x->off + off, len, &err) ? judge(x, &err) : 0;
}

static uint32_t zeros_write(struct export *x, uint32_t len, uint64_t off)
{
	uint32_t rc = 0, most = len < ZEROS_BYTES ? len : ZEROS_BYTES;
	uint8_t *zeros = calloc(1, most);

	if (!zeros)
		return NBD_ENOMEM;
	while (len && !rc) {
		uint32_t n = len < most ? len : most;

		rc = export_write(x, zeros, n, off);
		off += n;
		len -= n;
	}
	free(zeros);
	return rc;
}

/* Will vdisk_zero() do without writing the range's bytes?  Where it is zero already; where bytes can be overwritten in place the
   host's file zeroes them; and qcow2 has a mark for zeros. */
static uint32_t zero_is_fast(struct export *x, uint32_t len, uint64_t off)
{
	bool marks = !strcmp(vdisk_format_name(x->img), "qcow2"), chain = vdisk_depth(x->img) > 1;
	uint64_t at = x->off + off, end = at + len;

	for (unsigned looked = 0; at < end; looked += MAP_BATCH) {
		struct vdisk_extent e[MAP_BATCH];
		vdisk_error err;
		size_t n;

		if (looked >= FRAGMENTS_MAX)
			return NBD_ENOTSUP;
		if (vdisk_map(x->img, at, end - at, e, MAP_BATCH, &n, &err))
			return judge(x, &err);
		for (size_t i = 0; i < n; i++) {
			bool nothing = e[i].kind != VDISK_DATA && !chain;
			bool in_place = !e[i].depth && (e[i].flags & VDISK_EXT_WRITABLE) && !(e[i].flags & VDISK_EXT_CIPHERED);

			if (!nothing && !in_place && !marks)
				return NBD_ENOTSUP;
		}
		at = e[n - 1].off + e[n - 1].len;
	}
	return 0;
}

uint32_t export_zero(struct export *x, uint32_t len, uint64_t off, bool no_hole, bool fast)
{
	vdisk_error err;
	uint32_t rc;

	if (fast) {
		rc = no_hole ? NBD_ENOTSUP : zero_is_fast(x, len, off);
		if (rc)
			return rc;
	}
	if (no_hole)
		return zeros_write(x, len, off);
	return vdisk_zero(x->img, x->off + off, len, &err) ? judge(x, &err) : 0;
}

uint32_t export_next(struct export *x, uint32_t len, uint64_t off, bool *zero)
{
	struct vdisk_extent e[8];
	uint32_t got = 0;
	size_t n;

	*zero = false;
	if (vdisk_map(x->img, x->off + off, len, e, 8, &n, NULL))
		return len; /* reading it will say why */
	*zero = e[0].kind != VDISK_DATA;
	for (size_t i = 0; i < n && (e[i].kind != VDISK_DATA) == *zero; i++)
		got += (uint32_t)e[i].len;
	return got;
}

static uint32_t run_flags(enum export_context c, const struct vdisk_extent *e)
{
	if (c == EXPORT_DEPTH)
		return e->kind == VDISK_ABSENT ? 0 : e->depth + 1u;
	if (e->kind == VDISK_DATA)
		return 0;
	return NBD_STATE_ZERO | (e->flags & VDISK_EXT_MAPPED ? 0 : NBD_STATE_HOLE);
}

uint32_t export_status(struct export *x, enum export_context c, uint32_t len, uint64_t off, struct export_run *out, size_t cap,
                       size_t *n)
{
	uint64_t at = x->off + off, end = at + len;

	*n = 0;
	if (c == EXPORT_BITMAP) {
		*n = bitmap_status(&x->bitmap, len, off, out, cap);
		return 0;
	}
	for (unsigned looked = 0; at < end && looked < FRAGMENTS_MAX; looked += MAP_BATCH) {
		struct vdisk_extent e[MAP_BATCH];
		vdisk_error err;
		size_t got;

		if (vdisk_map(x->img, at, end - at, e, MAP_BATCH, &got, &err))
			return *n ? 0 : judge(x, &err); /* what was found before the damage is an answer */
		for (size_t i = 0; i < got; i++) {
			uint32_t flags = run_flags(c, &e[i]);

			if (*n && out[*n - 1].flags == flags)
				out[*n - 1].len += (uint32_t)e[i].len;
			else if (*n == cap)
				return 0;
			else
				out[(*n)++] = (struct export_run){ .len = (uint32_t)e[i].len, .flags = flags };
		}
		at = e[got - 1].off + e[got - 1].len;
	}
	return 0;
}

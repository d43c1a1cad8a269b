/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a streamOptimized extent from a pipe, in one pass: the markers say where each grain belongs.  Tables that follow their
 * grains are compared with what the markers said; tables in front (qemu-img's layout) are kept, and every grain that they promise
 * must come. The end is read, and judged, before the last bytes of the disk are given out.
 *
 * The same serves to salvage: what comes after the first damage is lost.  Of a file that lost its end, nothing is forgotten.
 *
 * `lock` guards everything here: the layer's lock is only shared around map().
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

#define FRONT_MAX (32u << 20) /* bytes of tables in front that are kept: 512 GiB of disk */

struct unit {
	uint64_t grain, host, host_len;
};

struct vmdk_stream_in {
	pthread_mutex_t lock;
	struct vd_file *f;
	const struct vmdk_extent *x;
	uint64_t pos;        /* of the next marker */
	uint64_t next_grain; /* the lowest that may come */
	uint64_t asked;      /* units that end at or below are forgotten */
	bool done;
	bool whole;         /* a file, whose units are all kept */
	bool salvage, lost; /* damage is no failure; and there was some: the rest is gone */
	struct unit *unit;  /* known and not forgotten: [head, n) */
	size_t head, n, cap;
	uint32_t *table; /* the current region's, as the markers say */
	uint32_t region;
	bool has_region;
	uint32_t *seen;          /* for each table: its sector, 1: grains without a table yet, 0: nothing */
	uint32_t *front;         /* tables that stood in front; NULL: none */
	uint64_t promised, came; /* grains */
	uint64_t gd_at;          /* sector of the directory that followed; 0: not yet */
	bool footer;
};

/* ---------------------------------------------------------------- opening */

static int front_tables(struct vmdk_stream_in *in, vd_error *err)
{
	const struct vmdk_extent *x = in->x;
	uint64_t gd_bytes = x->n_gts * 4ull, bytes = x->n_gts * vmdk_table_bytes(x), table = vmdk_table_bytes(x);
	if (bytes > FRONT_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, 56,
			       "the tables stand in front of the data and take %" PRIu64
			       " bytes: too many to be kept for reading from a pipe",
			       bytes);
	VD_AUTO_FREE uint32_t *gd = vd_malloc(gd_bytes);
	in->front = vd_calloc(1, bytes);
	if (!gd || !in->front)
		return vd_fail_nomem(err, bytes);
	vd_file_release(in->f, 0, x->gd_off);
	if (vd_file_pread(in->f, gd, gd_bytes, x->gd_off, err))
		return -1;
	for (uint32_t i = 0; i < x->n_gts; i++) {
		uint64_t at = (uint64_t)gd[i] * VMDK_SECTOR;
		if (!gd[i])
			continue;
		if (at < x->gd_off + gd_bytes || at + table > x->data_min || (i && gd[i] < gd[i - 1]))
			return vd_fail(err, VDISK_UNSUPPORTED, at,
				       "grain table %u at %#" PRIx64 " is not in order: the image cannot be read from a pipe", i,
				       at);
		uint32_t *t = in->front + (uint64_t)i * x->gtes;
		if (vd_file_pread(in->f, t, table, at, err))
			return -1;
		vd_file_release(in->f, 0, at + table);
		for (uint32_t k = 0; k < x->gtes; k++)
			in->promised += t[k] != 0;
	}
	return 0;
}

int vmdk_stream_in_open(struct vd_layer *l, struct vmdk_extent *x, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	if (!x->packed || !(x->h.flags & VMDK_FLAG_MARKERS))
		return vd_fail(err, VDISK_UNSUPPORTED, 8, "only a streamOptimized VMDK can be read from a pipe");
	struct vmdk_stream_in *in = vd_calloc(1, sizeof(*in));
	if (!in)
		return vd_fail_nomem(err, sizeof(*in));
	pthread_mutex_init(&in->lock, NULL);
	s->in = in;
	in->f = l->files[x->file];
	in->x = x;
	in->pos = x->data_min;
	in->seen = vd_calloc(x->n_gts, 4);
	in->table = vd_calloc(x->gtes, 4);
	if (!in->seen || !in->table)
		return vd_fail_nomem(err, x->n_gts * 4ull);
	in->whole = in->f->flags & VD_FILE_SEEKABLE;
	in->salvage = in->whole || s->open_flags & VD_OPEN_SALVAGE;
	if (!in->whole)
		l->flags |= VD_LAYER_FORWARD;
	if (x->h.gd_off != VMDK_GD_AT_END && x->gd_off < x->data_min && front_tables(in, err))
		return -1;
	vd_file_release(in->f, 0, in->pos);
	return 0;
}

void vmdk_stream_in_free(struct vmdk_stream_in *in)
{
	if (!in)
		return;
	pthread_mutex_destroy(&in->lock);
	vd_free(in->unit);
	vd_free(in->table);
	vd_free(in->seen);
	vd_free(in->front);
	vd_free(in);
}

/* ---------------------------------------------------------------- markers */

static int unit_keep(struct vmdk_stream_in *in, struct unit u, vd_error *err)
{
	if (in->n == in->cap && in->head) {
		memmove(in->unit, in->unit + in->head, (in->n - in->head) * sizeof(u));
		in->n -= in->head;
		in->head = 0;
	}
	if (in->n == in->cap) {
		size_t cap = in->cap ? in->cap * 2 : 64;
		struct unit *v = vd_realloc(in->unit, cap, sizeof(u));
		if (!v)
			return vd_fail_nomem(err, cap * sizeof(u));
		in->unit = v;
		in->cap = cap;
	}
	in->unit[in->n++] = u;
	return 0;
}

static int take_grain(struct vmdk_stream_in *in, const struct vmdk_marker *m, vd_error *err)
{
	const struct vmdk_extent *x = in->x;
	uint64_t per = x->grain / VMDK_SECTOR, g = m->value / per;
	if (m->value % per || m->value >= x->len / VMDK_SECTOR)
		return vd_fail(err, VDISK_CORRUPT, in->pos,
			       "the grain marker at %#" PRIx64 " names sector %" PRIu64 ": no grain begins there", in->pos,
			       m->value);
	if (m->size > vmdk_packed_max(x->grain))
		return vd_fail(err, VDISK_CORRUPT, in->pos, "packed grain %" PRIu64 " at %#" PRIx64 " has %u bytes", g, in->pos,
			       m->size);
	if (in->whole && !vd_within(in->pos, VMDK_GRAIN_MARKER + (uint64_t)m->size, vd_file_size(in->f)))
		return vd_fail(err, VDISK_CORRUPT, in->pos, "the stream is cut short at %" PRIu64, vd_file_size(in->f));
	if (g < in->next_grain)
		return vd_fail(err, VDISK_UNSUPPORTED, in->pos,
			       "grain %" PRIu64 " at %#" PRIx64 " comes after grain %" PRIu64
			       ": the image cannot be read from a pipe",
			       g, in->pos, in->next_grain - 1);
	if (in->front && in->front[g] != in->pos / VMDK_SECTOR)
		return vd_fail(err, VDISK_CORRUPT, in->pos, "grain %" PRIu64 " is at sector %" PRIu64 ", its table says %u", g,
			       in->pos / VMDK_SECTOR, in->front[g]);
	if (!in->has_region || in->region != g / x->gtes) {
		memset(in->table, 0, vmdk_table_bytes(x));
		in->region = (uint32_t)(g / x->gtes);
		in->has_region = true;
	}
	in->table[g % x->gtes] = (uint32_t)(in->pos / VMDK_SECTOR);
	in->seen[in->region] = 1;
	in->came++;
	in->next_grain = g + 1;
	struct unit u = {.grain = g, .host = in->pos, .host_len = VMDK_GRAIN_MARKER + (uint64_t)m->size};
	if (unit_keep(in, u, err))
		return -1;
	in->pos = vd_up(u.host + u.host_len, VMDK_SECTOR);
	vd_file_release(in->f, u.host + u.host_len, in->pos - u.host - u.host_len);
	return 0;
}

static int take_table(struct vmdk_stream_in *in, const uint8_t *bytes, vd_error *err)
{
	const struct vmdk_extent *x = in->x;
	bool mine = in->has_region && in->seen[in->region] == 1;
	if (mine && !memcmp(bytes, in->table, vmdk_table_bytes(x))) {
		in->seen[in->region] = (uint32_t)(in->pos / VMDK_SECTOR + 1);
		return 0;
	}
	for (uint32_t k = 0; k < x->gtes; k++)
		if (le32_get(bytes + 4ull * k))
			return vd_fail(err, VDISK_CORRUPT, in->pos,
				       "the grain table at %#" PRIx64 " contradicts the grains before it", in->pos);
	return 0; /* of a region without grains */
}

static int take_directory(struct vmdk_stream_in *in, const uint8_t *bytes, vd_error *err)
{
	const struct vmdk_extent *x = in->x;
	for (uint32_t i = 0; i < x->n_gts; i++) {
		uint32_t sector = le32_get(bytes + 4ull * i);
		if (in->seen[i] && in->seen[i] != sector)
			return vd_fail(err, VDISK_CORRUPT, in->pos,
				       "the grain directory at %#" PRIx64 " has table %u at sector %u, not where it was", in->pos,
				       i, sector);
	}
	in->gd_at = in->pos / VMDK_SECTOR + 1;
	return 0;
}

static int take_footer(struct vmdk_stream_in *in, const uint8_t *bytes, vd_error *err)
{
	struct vmdk_sparse foot;
	if (vmdk_sparse_decode(bytes, in->pos + VMDK_SECTOR, &foot, err))
		return -1;
	if (foot.capacity != in->x->h.capacity || foot.grain != in->x->h.grain || foot.gd_off != in->gd_at)
		return vd_fail(err, VDISK_CORRUPT, in->pos, "the footer at %#" PRIx64 " contradicts what came before it", in->pos);
	in->footer = true;
	return 0;
}

static int take_metadata(struct vmdk_stream_in *in, const struct vmdk_marker *m, vd_error *err)
{
	const struct vmdk_extent *x = in->x;
	uint64_t want = m->type == VMDK_MARKER_GT   ? vmdk_table_bytes(x)
			: m->type == VMDK_MARKER_GD ? vd_up(x->n_gts * 4ull, VMDK_SECTOR)
						    : VMDK_SECTOR;
	uint64_t len = m->type == VMDK_MARKER_PROGRESS ? m->value : want / VMDK_SECTOR;
	if (m->type > VMDK_MARKER_PROGRESS || m->value != len || len > 64 * 1024)
		return vd_fail(err, VDISK_CORRUPT, in->pos, "the marker at %#" PRIx64 " has type %u and %" PRIu64 " sectors",
			       in->pos, m->type, m->value);
	if (m->type != VMDK_MARKER_PROGRESS) {
		VD_AUTO_FREE uint8_t *bytes = vd_malloc(want);
		if (!bytes)
			return vd_fail_nomem(err, want);
		if (vd_file_pread(in->f, bytes, want, in->pos + VMDK_SECTOR, err))
			return -1;
		int ret = m->type == VMDK_MARKER_GT   ? take_table(in, bytes, err)
			  : m->type == VMDK_MARKER_GD ? take_directory(in, bytes, err)
						      : take_footer(in, bytes, err);
		if (ret)
			return -1;
	}
	uint64_t bytes = (1 + len) * VMDK_SECTOR;
	vd_file_release(in->f, in->pos, bytes);
	in->pos += bytes;
	return 0;
}

static int take_end(struct vmdk_stream_in *in, bool marker, vd_error *err)
{
	if (in->front ? in->came != in->promised : !marker || !in->gd_at || (in->x->h.gd_off == VMDK_GD_AT_END && !in->footer))
		return vd_fail(err, VDISK_CORRUPT, in->pos, "the stream is cut short at %" PRIu64, in->pos);
	if (!in->front && in->x->h.gd_off != VMDK_GD_AT_END && in->x->h.gd_off != in->gd_at)
		return vd_fail(err, VDISK_CORRUPT, 56,
			       "the header has the grain directory at sector %" PRIu64 ", it came at %" PRIu64, in->x->h.gd_off,
			       in->gd_at);
	in->done = true;
	return 0;
}

/* The next marker, whatever it is. */
static int take_marker(struct vmdk_stream_in *in, vd_error *err)
{
	uint8_t bytes[VMDK_SECTOR];
	struct vmdk_marker m;
	size_t got;
	if (vd_file_pread_some(in->f, bytes, sizeof(bytes), in->pos, &got, err))
		return -1;
	if (!got)
		return take_end(in, false, err);
	if (got < sizeof(bytes)) /* the last sector, too, is whole */
		return vd_fail(err, VDISK_CORRUPT, in->pos, "the stream is cut short at %" PRIu64, in->pos + got);
	vmdk_marker_decode(bytes, &m);
	if (m.size)
		return take_grain(in, &m, err);
	return m.type == VMDK_MARKER_EOS ? take_end(in, true, err) : take_metadata(in, &m, err);
}

static int take_next(struct vmdk_stream_in *in, vd_error *err)
{
	int ret = take_marker(in, err);
	if (!ret || !in->salvage || (err && err->kind == VDISK_NOMEM))
		return ret;
	vd_error_clear(err);
	in->done = in->lost = true;
	return 0;
}

/* ---------------------------------------------------------------- map */

/* The first unit that ends past `at`; NULL: there is none up to the disk's end. */
static int unit_at(struct vmdk_stream_in *in, uint64_t at, const struct unit **u, vd_error *err)
{
	size_t k = 0, high = in->n - in->head; /* from the head on: the array may move down meanwhile */
	while (k < high) {
		size_t mid = (k + high) / 2;
		if ((in->unit[in->head + mid].grain + 1) * in->x->grain > at)
			high = mid;
		else
			k = mid + 1;
	}
	for (;; k++) {
		while (in->head + k >= in->n && !in->done)
			if (take_next(in, err))
				return -1;
		*u = in->head + k < in->n ? &in->unit[in->head + k] : NULL;
		if (!*u || ((*u)->grain + 1) * in->x->grain > at)
			return 0;
	}
}

static int map_locked(struct vmdk_stream_in *in, uint64_t off, uint64_t end, struct vd_extents *e, vd_error *err)
{
	const struct vmdk_extent *x = in->x;
	if (off < in->asked && !in->whole)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "comes through a pipe, and offset %" PRIu64 " has gone by",
			       off);
	in->asked = off;
	while (!in->whole && in->head < in->n && (in->unit[in->head].grain + 1) * x->grain <= off)
		in->head++;
	for (uint64_t at = off; at < end; at = e->next) {
		const struct unit *u;
		if (unit_at(in, at, &u, err))
			return -1;
		uint64_t start = u ? u->grain * x->grain : x->len;
		struct vd_extent n = {.off = at, .len = start - at, .kind = VD_ABSENT};
		if (!u && in->lost) {
			n.kind = VD_ZERO;
			n.flags = VD_EXT_LOST;
		} else if (start <= at) {
			n = (struct vd_extent){.off = start,
					       .len = vd_min(x->grain, x->len - start),
					       .kind = VD_DATA,
					       .flags = VD_EXT_COMPRESSED,
					       .file = x->file,
					       .host = u->host,
					       .host_len = u->host_len};
		}
		if (!vd_extents_add(e, &n))
			break;
	}
	while (e->next == x->len && !in->done)
		if (take_next(in, err))
			return -1;
	return 0;
}

int vmdk_stream_in_map(struct vd_layer *l, uint64_t off, uint64_t len, struct vd_extents *e, vd_error *err)
{
	struct vmdk_stream_in *in = vmdk_of(l)->in;
	pthread_mutex_lock(&in->lock);
	int ret = map_locked(in, off, off + len, e, err);
	pthread_mutex_unlock(&in->lock);
	return ret;
}

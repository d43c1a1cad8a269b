/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Following the writes, for the bitmaps that are to.
 *
 *  - Before the first change of the disk they are marked as in use, durably: from then on nobody believes them (hold).  Bitmaps
 *    that do not follow writes are left alone.
 *  - What is touched is noted in memory, once for all bitmaps, at the finest of their granularities: nothing of them is read.
 *    touch() runs under the layer's shared lock, in many threads: words are set atomically, and pieces of the map come by compare
 *    and swap.
 *  - Closing adds the notes to the bitmaps, and only when those are durable takes the marks away (settle).  A crash at any moment
 *    leaves a bitmap that is marked, or one that tells all.
 *  - Memory is bounded: past TRACK_PIECES a whole piece counts as touched, which is more than was, never less.
 */
#include "bitmap.h"

#include <stdatomic.h>

#define TRACK_BITS   32768u /* of a piece */
#define TRACK_WORDS  (TRACK_BITS / 64)
#define TRACK_PIECES 16384u /* 64 MiB of notes */

struct track_piece { _Atomic uint64_t word[TRACK_WORDS]; };

/* In the place of a piece: all of it. */
static const struct track_piece track_full_mark;
#define TRACK_FULL ((struct track_piece *)(uintptr_t)&track_full_mark)

struct qcow2_tracking {
	unsigned granularity_bits;
	uint64_t n_bits, n_pieces;
	struct track_piece *_Atomic *piece; /* NULL: untouched */
	_Atomic uint64_t taken;             /* pieces */
	bool holding;
	uint64_t *held;                     /* entries of the directory, by their place; ascending */
	uint32_t n_held;
};

/* ---------------------------------------------------------------- notes */

static void track_clear(struct qcow2_tracking *t)
{
	for (uint64_t i = 0; i < t->n_pieces; i++) {
		struct track_piece *p = atomic_exchange(&t->piece[i], NULL);

		if (p != TRACK_FULL)
			vd_free(p);
	}
	atomic_store(&t->taken, 0);
}

/* The i-th piece, made if need be. */
static struct track_piece *track_piece_at(struct qcow2_tracking *t, uint64_t i, bool whole, vd_error *err)
{
	struct track_piece *p = atomic_load_explicit(&t->piece[i], memory_order_acquire), *fresh;

	if (p)
		return p;
	fresh = TRACK_FULL;
	if (!whole && atomic_fetch_add(&t->taken, 1) < TRACK_PIECES && !(fresh = vd_calloc(1, sizeof(*fresh)))) {
		vd_fail_nomem(err, sizeof(*fresh));
		return NULL;
	}
	if (atomic_compare_exchange_strong(&t->piece[i], &p, fresh))
		return fresh;
	if (fresh != TRACK_FULL)
		vd_free(fresh);
	return p;
}

static void track_piece_set(struct track_piece *p, uint64_t lo, uint64_t hi)
{
	while (lo < hi) {
		unsigned from = (unsigned)(lo & 63), n = (unsigned)vd_min(64 - from, hi - lo);
		uint64_t mask = (n == 64 ? UINT64_MAX : (1ull << n) - 1) << from;
		_Atomic uint64_t *word = &p->word[lo / 64];

		if ((atomic_load_explicit(word, memory_order_relaxed) & mask) != mask)
			atomic_fetch_or(word, mask);
		lo += n;
	}
}

static int track_add(struct qcow2_tracking *t, uint64_t off, uint64_t len, vd_error *err)
{
	uint64_t bit = off >> t->granularity_bits, end;

	if (!len)
		return 0;
	end = vd_min(((off + len - 1) >> t->granularity_bits) + 1, t->n_bits);
	while (bit < end) {
		uint64_t i = bit / TRACK_BITS, lo = bit - i * TRACK_BITS, hi = vd_min(end - i * TRACK_BITS, TRACK_BITS);
		struct track_piece *p = track_piece_at(t, i, hi - lo == TRACK_BITS, err);

		if (!p)
			return -1;
		if (p != TRACK_FULL)
			track_piece_set(p, lo, hi);
		bit += hi - lo;
	}
	return 0;
}

static bool track_has(const struct qcow2_tracking *t, uint64_t bit)
{
	struct track_piece *p = atomic_load(&t->piece[bit / TRACK_BITS]);

	return p && (p == TRACK_FULL || (atomic_load(&p->word[bit % TRACK_BITS / 64]) >> (bit & 63) & 1));
}

/* How far from `bit` on it goes with nothing (or all) noted: a word or a piece at a time. */
static uint64_t track_step(const struct qcow2_tracking *t, uint64_t bit, bool set)
{
	struct track_piece *p = atomic_load(&t->piece[bit / TRACK_BITS]);

	if (!p || p == TRACK_FULL)
		return vd_up(bit + 1, TRACK_BITS);
	return atomic_load(&p->word[bit % TRACK_BITS / 64]) == (set ? UINT64_MAX : 0) ? vd_up(bit + 1, 64) : bit + 1;
}

/* All that was noted, added to w. */
static int track_give(const struct qcow2_tracking *t, struct qcow2_bits *w, uint64_t size, vd_error *err)
{
	for (uint64_t bit = 0; bit < t->n_bits;) {
		uint64_t from = bit;
		bool set = track_has(t, bit);

		while (bit < t->n_bits && track_has(t, bit) == set)
			bit = track_step(t, bit, set);
		bit = vd_min(bit, t->n_bits);
		if (!set)
			continue;
		from <<= t->granularity_bits;
		if (qcow2_bits_add(w, from, vd_min(bit << t->granularity_bits, size) - from, err) < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- ready for it */

struct track_survey {
	unsigned granularity_bits;
	bool any;
};

static int track_see(struct qcow2 *q, struct qcow2_bitmap *b, void *ctx, vd_error *err)
{
	struct track_survey *s = ctx;

	(void)err;
	if ((b->flags & (QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO)) != QCOW2_BITMAP_AUTO)
		return 0;
	s->any = true;
	if (!qcow2_bitmap_fault(q, b))
		s->granularity_bits = (unsigned)vd_min(s->granularity_bits, b->granularity_bits);
	return 0;
}

void qcow2_tracking_free(struct qcow2 *q)
{
	struct qcow2_tracking *t = q->tracking;

	if (!t)
		return;
	track_clear(t);
	vd_free(t->piece);
	vd_free(t->held);
	vd_free(t);
	q->tracking = NULL;
	q->layer->tracked = false;
}

int qcow2_tracking_init(struct qcow2 *q, vd_error *err)
{
	struct track_survey s = {.granularity_bits = QCOW2_BITMAP_GRAN_MAX};
	struct qcow2_tracking *t;
	uint64_t n_bits;

	qcow2_tracking_free(q);
	if (qcow2_bitmaps_each(q, track_see, &s, err) < 0)
		return -1;
	t = q->tracking = vd_calloc(1, sizeof(*t));
	if (!t)
		return vd_fail_nomem(err, sizeof(*t));
	if (!s.any)
		return 0;
	n_bits = vd_div_up(q->layer->size, 1ull << s.granularity_bits);
	t->piece = vd_calloc(vd_div_up(n_bits, TRACK_BITS), sizeof(*t->piece));
	if (!t->piece)
		return vd_fail_nomem(err, vd_div_up(n_bits, TRACK_BITS) * sizeof(*t->piece));
	t->granularity_bits = s.granularity_bits;
	t->n_bits = n_bits;
	t->n_pieces = vd_div_up(n_bits, TRACK_BITS);
	q->layer->tracked = true;
	return 0;
}

int qcow2_bitmaps_touch(struct vd_layer *l, uint64_t off, uint64_t len, vd_error *err)
{
	struct qcow2_tracking *t = qcow2_of(l)->tracking;

	return t->holding ? track_add(t, off, len, err) : 1;
}

/* ---------------------------------------------------------------- marks */

static int bitmap_hold(struct qcow2 *q, struct qcow2_bitmap *b, void *ctx, vd_error *err)
{
	const bool *all = ctx;
	struct qcow2_tracking *t = q->tracking;

	if ((b->flags & QCOW2_BITMAP_IN_USE) || !(*all || (b->flags & QCOW2_BITMAP_AUTO)))
		return 0;
	if (!qcow2_bitmap_fault(q, b)) /* else it stays marked: we cannot keep it */
		t->held[t->n_held++] = b->at;
	b->flags |= QCOW2_BITMAP_IN_USE;
	return qcow2_bitmap_flags_write(q, b, err);
}

int qcow2_bitmaps_hold(struct qcow2 *q, bool all, vd_error *err)
{
	struct qcow2_tracking *t = q->tracking;

	if (!t || !q->x.has_bitmaps)
		return 0;
	t->held = vd_calloc(q->x.n_bitmaps, sizeof(*t->held));
	t->n_held = 0;
	t->holding = true;
	if (!t->held)
		return vd_fail_nomem(err, q->x.n_bitmaps * sizeof(*t->held));
	return qcow2_bitmaps_each(q, bitmap_hold, &all, err) < 0 || vd_file_flush(q->file, err) < 0 ? -1 : 0;
}

int qcow2_bitmaps_begin(struct vd_layer *l, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);

	if (q->tracking->holding)
		return 0;
	if (!qcow2_bitmaps_hold(q, false, err))
		return 0;
	q->tracking->holding = false; /* nothing was changed yet; those that are marked stay so */
	vd_free(q->tracking->held);
	q->tracking->held = NULL;
	return -1;
}

static bool bitmap_is_held(const struct qcow2_tracking *t, const struct qcow2_bitmap *b)
{
	uint32_t lo = 0, hi = t->n_held;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (t->held[mid] == b->at)
			return true;
		if (t->held[mid] < b->at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static int bitmap_settle(struct qcow2 *q, struct qcow2_bitmap *b, vd_error *err)
{
	struct qcow2_bits w;
	int rc = qcow2_bits_load(&w, q, b, true, err);

	if (!rc && (b->flags & QCOW2_BITMAP_AUTO))
		rc = track_give(q->tracking, &w, q->layer->size, err);
	if (!rc)
		rc = qcow2_bits_finish(&w, b, err);
	if (rc)
		qcow2_runs_release(q, &w.fresh);
	qcow2_bits_end(&w);
	return rc;
}

/* Nothing is held any more. */
static int bitmaps_let_go(struct qcow2 *q, vd_error *err)
{
	struct qcow2_tracking *t = q->tracking;

	vd_free(t->held);
	t->held = NULL;
	t->n_held = 0;
	t->holding = false;
	track_clear(t);
	return vd_file_flush(q->file, err);
}

/* One that cannot be stored stays marked, and the first such failure is told; the others are stored all the same. */
int qcow2_bitmaps_settle(struct vd_layer *l, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_bitmaps d;
	vd_error first = {0};
	int rc = 0;

	if (!q->tracking || !q->tracking->holding)
		return 0;
	if (qcow2_bitmaps_load(q, &d, err) < 0) {
		qcow2_bitmaps_free(&d);
		return -1;
	}
	for (uint32_t i = 0; i < d.n; i++) {
		vd_error inner = {0};

		if (!bitmap_is_held(q->tracking, &d.v[i]))
			continue;
		d.v[i].flags &= ~QCOW2_BITMAP_IN_USE;
		if (!bitmap_settle(q, &d.v[i], &inner) && !qcow2_bitmap_flags_write(q, &d.v[i], &inner))
			continue;
		if (!rc)
			first = inner;
		rc = -1;
	}
	qcow2_bitmaps_free(&d);
	if (bitmaps_let_go(q, rc ? NULL : err) < 0)
		return -1;
	if (rc && err)
		*err = first;
	return rc;
}

/* ---------------------------------------------------------------- another size, another content */

struct bits_source {
	struct qcow2_bits *w;
	vd_error *err;
	int rc;
};

static bool bits_take(void *ctx, uint64_t off, uint64_t len)
{
	struct bits_source *s = ctx;

	s->rc = qcow2_bits_add(s->w, off, len, s->err);
	return !s->rc;
}

static int bitmap_remake(struct qcow2 *q, struct qcow2_bitmap *b, uint64_t old_size, uint64_t dirty_from, struct qcow2_bits *w,
                         vd_error *err)
{
	uint64_t size = q->layer->size;
	struct bits_source s = {.w = w, .err = err};

	if (qcow2_bits_new(w, q, b->granularity_bits, err) < 0)
		return -1;
	if (qcow2_bitmap_ranges(q, b, vd_min(old_size, size), bits_take, &s, err) < 0 || s.rc)
		return -1;
	if ((b->flags & QCOW2_BITMAP_AUTO) && dirty_from < size && qcow2_bits_add(w, dirty_from, size - dirty_from, err) < 0)
		return -1;
	return qcow2_bits_finish(w, b, err);
}

/* Those that cannot be made stay marked: the first such failure is in *lost. */
static int bitmaps_remake_all(struct qcow2 *q, struct qcow2_bitmaps *d, uint64_t old_size, uint64_t dirty_from,
                              struct qcow2_runs *old,
                              struct qcow2_runs *fresh, vd_error *lost, vd_error *err)
{
	for (uint32_t i = 0; i < d->n; i++) {
		struct qcow2_bitmap *b = &d->v[i], was = *b;
		struct qcow2_bits w;
		vd_error inner = {0};
		int rc = 0;

		if (!bitmap_is_held(q->tracking, b))
			continue;
		if (bitmap_remake(q, b, old_size, dirty_from, &w, &inner) < 0) {
			qcow2_runs_release(q, &w.fresh);
			*b = was;
			if (!lost->kind)
				*lost = inner;
		} else {
			b->flags &= ~QCOW2_BITMAP_IN_USE;
			rc = qcow2_bitmap_clusters(q, &was, old, err);
			for (size_t k = 0; !rc && k < w.fresh.n; k++)
				rc = qcow2_runs_add(fresh, w.fresh.v[k].first, w.fresh.v[k].n, err);
		}
		qcow2_bits_end(&w);
		if (rc)
			return -1;
	}
	return 0;
}

int qcow2_bitmaps_remake(struct qcow2 *q, uint64_t old_size, uint64_t dirty_from, vd_error *err)
{
	struct qcow2_runs old = {0}, fresh = {0};
	struct qcow2_bitmaps d;
	vd_error lost = {0};
	int rc;

	if (!q->tracking)
		return 0;
	rc = qcow2_bitmaps_load(q, &d, err);
	if (!rc && q->tracking->n_held) {
		rc = bitmaps_remake_all(q, &d, old_size, dirty_from, &old, &fresh, &lost, err);
		if (!rc)
			rc = qcow2_bitmaps_store(q, &d, err);
		if (!q->layer->broken)
			qcow2_runs_release(q, rc ? &fresh : &old);
	}
	vd_free(old.v);
	vd_free(fresh.v);
	qcow2_bitmaps_free(&d);
	if (qcow2_tracking_init(q, rc ? NULL : err) < 0 || rc)
		return -1;
	if (!lost.kind)
		return 0;
	if (err)
		*err = lost;
	return vd_fail_in(err, "the disk has been changed, but a bitmap could not follow it and is marked so");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers share a cursor on each disk, so that its chunks are read about in their order, whichever connection they go by.  What a
 * broken one had taken goes back to the list `again`, which comes first.
 *
 * Where a disk takes long for a chunk, as a failing one does, each chunk gets a request of its own, which begins when it is read: a
 * receiver waits only so long for a request to come on.
 *
 * `have` of a chunk belongs to the worker that took the chunk.  The lock guards cursors, lists, counts and `err`; no I/O is done
 * under it.
 */
#include "pass.h"

#include "common/fail.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_CHUNKS  64u   /* of data in one request */
#define BATCH_ITEMS   4096u
#define BATCH_SECONDS 5
#define ZEROS_RUN     16384u /* chunks of zeros in one item */
#define SLOW_SECONDS  2      /* for a chunk; so many after one that took longer are taken for slow, too: */
#define SLOW_CHUNKS   32u

struct taken {
	uint64_t index;
	uint32_t count;
	bool zeros;
	uint8_t sha256[32];
};

struct worker {
	struct pass *p;
	unsigned number;
	size_t disk;         /* that it is at */
	uint8_t *buf;
	struct taken *taken; /* [BATCH_ITEMS]: in the request under way */
	size_t n;
	unsigned data;       /* of these */
	struct sink_item held; /* the first one, asked for before the request was begun */
	bool has_held;
	struct timespec begun;
	struct { uint64_t from, to; } run; /* free chunks that are still to be looked at */
	unsigned slow;       /* chunks to come that get a request each, since the disk has taken long for one */
};

static int stopped(struct pass *p)
{
	bool s;

	pthread_mutex_lock(&p->lock);
	s = p->failed;
	pthread_mutex_unlock(&p->lock);
	return s || (p->cancel && *p->cancel);
}

/* The next chunk, or run of free ones, of the worker's disk: [*from, *to), empty when there is no more. */
static void take(struct worker *w, uint64_t *from, uint64_t *to)
{
	struct pass *p = w->p;
	struct pass_disk *d = &p->disks[w->disk];

	pthread_mutex_lock(&p->lock);
	*from = *to = 0;
	if (d->again.n) {
		struct vdisk_range *r = &d->again.v[d->again.n - 1];

		*from = r->off++;
		*to = *from + 1;
		if (!--r->len)
			d->again.n--;
	} else if (d->next < d->chunks) {
		uint64_t n = content_free_run(d->content, d->next, ZEROS_RUN);

		*from = d->next;
		*to = *from + (n ? n : 1);
		d->next = *to;
	}
	pthread_mutex_unlock(&p->lock);
}

static uint64_t bytes_of(const struct pass_disk *d, uint64_t index, uint64_t count)
{
	uint64_t from = index * TRANSFER_CHUNK, end = (index + count) * TRANSFER_CHUNK;

	return (end < d->content->disk->size ? end : d->content->disk->size) - from;
}

static void count_done(struct worker *w, uint64_t done, uint64_t sent, uint64_t zero)
{
	struct pass_disk *d = &w->p->disks[w->disk];

	pthread_mutex_lock(&w->p->lock);
	d->done += done;
	d->sent += sent;
	d->zero += zero;
	pthread_mutex_unlock(&w->p->lock);
}

static void item_note(struct worker *w, const struct sink_item *item)
{
	struct taken *t = &w->taken[w->n++];

	*t = (struct taken){ .index = item->index, .count = item->count, .zeros = !item->bytes };
	memcpy(t->sha256, item->sha256, 32);
	w->data += item->bytes != NULL;
}

/* Of the free run at hand, the next chunks that the other side does not have as zeros.  1, 0: none, -1. */
static int run_next(struct worker *w, struct sink_item *item, vdisk_error *err)
{
	struct pass_disk *d = &w->p->disks[w->disk];
	uint64_t size = d->content->disk->size, from = w->run.from, to;
	uint8_t zero[32];

	for (; from < w->run.to; from++) {
		if (transfer_zero_leaf(size, from, zero, err))
			return -1;
		if (memcmp(d->have[from], zero, 32))
			break;
	}
	if (from > w->run.from)
		count_done(w, bytes_of(d, w->run.from, from - w->run.from), 0, 0);
	for (to = from; to < w->run.to; to++) {
		if (transfer_zero_leaf(size, to, zero, err))
			return -1;
		if (!memcmp(d->have[to], zero, 32))
			break;
	}
	w->run.from = to;
	*item = (struct sink_item){ .index = from, .count = (uint32_t)(to - from) };
	return to > from;
}

static int chunk_read(struct worker *w, uint64_t index, vdisk_error *err)
{
	struct timespec from, to;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &from);
	rc = content_read(w->p->disks[w->disk].content, index, w->buf, err);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (to.tv_sec - from.tv_sec >= SLOW_SECONDS)
		w->slow = SLOW_CHUNKS;
	else if (w->slow)
		w->slow--;
	return rc;
}

/* A chunk that is read: 1 if it is to be sent, 0 if the other side has it, -1. */
static int chunk_next(struct worker *w, uint64_t index, struct sink_item *item, vdisk_error *err)
{
	struct pass_disk *d = &w->p->disks[w->disk];
	uint64_t size = d->content->disk->size;
	size_t len = transfer_chunk_len(size, index);

	if (chunk_read(w, index, err))
		return -1;
	*item = (struct sink_item){ .index = index, .count = 1, .len = len };
	if (transfer_is_zero(w->buf, len)) {
		if (transfer_zero_leaf(size, index, item->sha256, err))
			return -1;
	} else {
		item->bytes = w->buf;
		if (transfer_sha256(w->buf, len, item->sha256, err))
			return -1;
	}
	if (memcmp(d->have[index], item->sha256, 32))
		return 1;
	count_done(w, len, 0, 0);
	return 0;
}

static bool batch_full(const struct worker *w)
{
	struct timespec now;

	if (!w->n)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return w->slow || w->data >= BATCH_CHUNKS || w->n >= BATCH_ITEMS || now.tv_sec - w->begun.tv_sec > BATCH_SECONDS;
}

static int batch_next(void *ctx, struct sink_item *item, vdisk_error *err)
{
	struct worker *w = ctx;
	uint64_t from, to;
	int rc;

	if (w->has_held) {
		w->has_held = false;
		*item = w->held;
		return 1;
	}
	while (!batch_full(w) && !stopped(w->p)) {
		if (w->run.from < w->run.to) {
			rc = run_next(w, item, err);
		} else {
			take(w, &from, &to);
			if (from == to)
				return 0;
			if (content_free_run(w->p->disks[w->disk].content, from, 1)) {
				w->run.from = from;
				w->run.to = to;
				continue;
			}
			rc = chunk_next(w, from, item, err);
		}
		if (rc > 0)
			item_note(w, item);
		if (rc)
			return rc;
	}
	return 0;
}

/* What was sent arrived. */
static void batch_done(struct worker *w)
{
	struct pass_disk *d = &w->p->disks[w->disk];
	uint64_t size = d->content->disk->size;

	for (size_t i = 0; i < w->n; i++) {
		const struct taken *t = &w->taken[i];
		uint64_t bytes = bytes_of(d, t->index, t->count);

		for (uint32_t k = 0; k < t->count; k++)
			if (t->count == 1 && !t->zeros)
				memcpy(d->have[t->index], t->sha256, 32);
			else
				transfer_zero_leaf(size, t->index + k, d->have[t->index + k], NULL);
		count_done(w, bytes, t->zeros ? 0 : bytes, t->zeros ? bytes : 0);
	}
}

/* Nobody knows what arrived: it is asked for, and what is missing comes again. */
static int batch_undone(struct worker *w, vdisk_error *err)
{
	struct pass *p = w->p;
	struct pass_disk *d = &p->disks[w->disk];
	int rc = 0;

	for (size_t i = 0; !rc && i < w->n; i++) {
		const struct taken *t = &w->taken[i];

		for (uint32_t at = 0, n; !rc && at < t->count; at += n) {
			n = t->count - at < TRANSFER_DIGESTS_MAX ? t->count - at : TRANSFER_DIGESTS_MAX;
			rc = p->sink->ops->digests(p->sink, w->number, w->disk, t->index + at, n, &d->have[t->index + at], err);
		}
		if (rc)
			break;
		pthread_mutex_lock(&p->lock);
		if (ranges_add(&d->again, t->index, t->index + t->count))
			rc = fail_nomem(err);
		pthread_mutex_unlock(&p->lock);
	}
	if (!rc && w->run.from < w->run.to) {
		pthread_mutex_lock(&p->lock);
		if (ranges_add(&d->again, w->run.from, w->run.to))
			rc = fail_nomem(err);
		pthread_mutex_unlock(&p->lock);
		w->run.from = w->run.to;
	}
	return rc;
}

/* One request, if there is anything to send.  1: the worker's disk has no more. */
static int batch_run(struct worker *w, vdisk_error *err)
{
	struct pass *p = w->p;
	int rc;

	w->n = 0;
	w->data = 0;
	w->has_held = false;
	clock_gettime(CLOCK_MONOTONIC, &w->begun);
	rc = batch_next(w, &w->held, err);
	if (rc <= 0)
		return rc ? -1 : 1;
	w->has_held = true;
	rc = p->sink->ops->send(p->sink, w->number, w->disk, batch_next, w, err);
	if (rc == SINK_AGAIN) {
		if (p->note)
			p->note(err->message);
		return batch_undone(w, err);
	}
	if (!rc)
		batch_done(w);
	return rc;
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct pass *p = w->p;
	vdisk_error err = { 0 };
	size_t ended = 0;
	int rc = 0;

	/* Something may come back to a disk that looks done; whoever brings it back takes care of it. */
	while (ended < p->n && rc >= 0 && !stopped(p)) {
		rc = batch_run(w, &err);
		ended = rc == 1 ? ended + 1 : 0;
		if (rc == 1)
			w->disk = (w->disk + 1) % p->n;
	}
	pthread_mutex_lock(&p->lock);
	if (rc < 0 && !p->failed) {
		p->failed = true;
		p->err = err;
	}
	p->running--;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void counts_get(struct pass *p, struct pass_counts *now)
{
	*now = (struct pass_counts){ 0 };
	for (size_t i = 0; i < p->n; i++) {
		now->done += p->disks[i].done;
		now->sent += p->disks[i].sent;
		now->zero += p->disks[i].zero;
		now->total += p->disks[i].content->disk->size;
	}
}

void pass_counts(struct pass *p, size_t disk, struct pass_counts *out)
{
	const struct pass_disk *d = &p->disks[disk];

	pthread_mutex_lock(&p->lock);
	*out = (struct pass_counts){ .done = d->done, .total = d->content->disk->size, .sent = d->sent, .zero = d->zero };
	pthread_mutex_unlock(&p->lock);
}

/* Until all workers have ended. */
static void watch(struct pass *p)
{
	struct pass_counts now;
	struct timespec until;

	pthread_mutex_lock(&p->lock);
	while (p->running) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 200 * 1000 * 1000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&p->changed, &p->lock, &until);
		counts_get(p, &now);
		pthread_mutex_unlock(&p->lock);
		if (p->tick)
			p->tick(p->tick_ctx, p, &now);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}

static int workers_run(struct pass *p, struct worker *w, pthread_t *threads, vdisk_error *err)
{
	unsigned started = 0;
	int rc = 0;

	for (unsigned i = 0; i < p->workers; i++) {
		w[i] = (struct worker){ .p = p, .number = i, .disk = i % p->n };
		w[i].taken = malloc(BATCH_ITEMS * sizeof(*w[i].taken));
		w[i].buf = aligned_alloc(DISK_ALIGN, TRANSFER_CHUNK);
		if (!w[i].taken || !w[i].buf)
			rc = fail_nomem(err);
	}
	p->running = rc ? 0 : p->workers;
	for (; !rc && started < p->workers; started++)
		if (pthread_create(&threads[started], NULL, worker_run, &w[started])) {
			rc = fail(err, VDISK_NOMEM, "no thread could be started");
			pthread_mutex_lock(&p->lock);
			p->failed = true;
			p->running -= p->workers - started;
			pthread_mutex_unlock(&p->lock);
			break;
		}
	watch(p);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < p->workers; i++) {
		free(w[i].taken);
		free(w[i].buf);
	}
	return rc;
}

static int pass_go(struct pass *p, vdisk_error *err)
{
	struct worker *w = calloc(p->workers, sizeof(*w));
	pthread_t *threads = calloc(p->workers, sizeof(*threads));
	int rc;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	p->failed = false;
	rc = w && threads ? workers_run(p, w, threads, err) : fail_nomem(err);
	if (!rc && p->failed) {
		*err = p->err;
		rc = -1;
	}
	if (!rc && p->cancel && *p->cancel)
		rc = fail(err, VDISK_CANCELLED, "interrupted");
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(w);
	free(threads);
	return rc;
}

int pass_run(struct pass *p, vdisk_error *err)
{
	for (size_t i = 0; i < p->n; i++) {
		struct pass_disk *d = &p->disks[i];

		d->next = d->done = d->sent = d->zero = d->again.n = 0;
	}
	return pass_go(p, err);
}

/* The others' passes are over: what was said of them holds for what was read then. */
int pass_again(struct pass *p, size_t disk, bool whole, vdisk_error *err)
{
	for (size_t i = 0; i < p->n; i++)
		p->disks[i].next = p->disks[i].chunks;
	if (whole)
		p->disks[disk].next = p->disks[disk].done = p->disks[disk].again.n = 0;
	return pass_go(p, err);
}

int pass_list(struct pass *p, size_t disk, vdisk_error *err)
{
	struct pass_disk *d = &p->disks[disk];

	for (uint64_t at = 0, n; at < d->chunks; at += n) {
		n = d->chunks - at < TRANSFER_DIGESTS_MAX ? d->chunks - at : TRANSFER_DIGESTS_MAX;
		if (p->cancel && *p->cancel)
			return fail(err, VDISK_CANCELLED, "interrupted");
		if (p->sink->ops->digests(p->sink, 0, disk, at, n, &d->have[at], err))
			return -1;
	}
	return 0;
}

int pass_digest(const struct pass_disk *d, uint8_t out[32], vdisk_error *err)
{
	struct transfer_tree *t = transfer_tree_new();
	int rc = t ? 0 : fail_nomem(err);

	if (!rc)
		rc = transfer_tree_add(t, (const uint8_t (*)[32])d->have, d->chunks, err);
	if (!rc)
		rc = transfer_tree_end(t, d->content->disk->size, out, err);
	transfer_tree_free(t);
	return rc;
}

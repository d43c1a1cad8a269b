/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many threads on one image at once: reading, writing, zeroing, discarding, mapping and flushing, in ranges that overlap and in
 * ranges that interleave below a cluster, space being freed and used again.  In rounds, each of which begins with an empty disk,
 * for most races are about space that is not there yet; and on files that dawdle.
 *
 * Each sector written carries a stamp: who wrote it, and which of his operations it was.  Overlapping calls behave as if done one
 * after the other, so a sector that is read is wholly one stamp (or zeros), of an operation that covers it and has begun, and not
 * one that its writer had followed with another there before the read began.
 */
#include "common/image.h"
#include "base/bytes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS 4
#define SECTOR 512u
#define ROUND_OPS 40u /* of each writer */

struct deed {                  /* of one writer, in order */
	uint32_t sector, count;
	bool zeros;
	uint64_t begun_at;         /* by the stage's clock */
	_Atomic uint64_t done_at;  /* 0: not yet */
};

struct stage;
struct actor {
	struct stage *stage;
	unsigned id;
	struct t_rng rng;
	struct deed *deed;
	_Atomic uint32_t begun;   /* deeds 1 … begun may show */
	_Atomic uint32_t *done;   /* [sector]: the last deed that covers it and is done */
	pthread_t thread;
};

struct stage {
	struct t_image *t;
	uint32_t sectors;         /* whole ones; a tail shorter than that is left alone */
	unsigned long ops;
	bool overlap;
	_Atomic bool over;
	_Atomic uint64_t clock;
	_Atomic unsigned long reads, writes;
	struct actor actor[WRITERS];
};

struct stamp { uint32_t sector, who, deed, word; };

static void stamp_put(uint8_t *p, uint32_t sector, uint32_t who, uint32_t deed)
{
	for (uint32_t i = 0; i < SECTOR / sizeof(struct stamp); i++) {
		struct stamp s = { sector, who + 1, deed, i };

		memcpy(p + i * sizeof(s), &s, sizeof(s));
	}
}

/* Somebody's deed there, done before the read, began after this one was done. */
static bool superseded(struct stage *st, const struct deed *k, const uint32_t *seen)
{
	uint64_t done_at = atomic_load(&k->done_at);

	for (unsigned w = 0; done_at && w < WRITERS; w++)
		if (seen[w] && st->actor[w].deed[seen[w]].begun_at > done_at)
			return true;
	return false;
}

/* Zeros are right where nothing was written yet, or somebody zeroed or discarded there (or began to). */
static bool zeros_right(struct stage *st, uint32_t sector, const uint32_t *seen)
{
	bool virgin = true;

	for (unsigned w = 0; w < WRITERS; w++) {
		uint32_t begun = atomic_load(&st->actor[w].begun);

		if (seen[w])
			virgin = false;
		for (uint32_t d = begun; d > 0; d--) {
			const struct deed *k = &st->actor[w].deed[d];

			if (k->zeros && sector - k->sector < k->count && !superseded(st, k, seen))
				return true;
			if (d == seen[w])
				break; /* what he did before this was covered by it */
		}
	}
	return virgin;
}

static void sector_judge(struct stage *st, const uint8_t *p, uint32_t sector, const uint32_t *seen)
{
	uint8_t expected[SECTOR];
	const struct deed *k;
	struct stamp s;

	memcpy(&s, p, sizeof(s));
	if (!s.who) {
		static const uint8_t zeros[SECTOR];

		T_CHECK(!memcmp(p, zeros, SECTOR), "sector %u is torn: zeros, and then not", sector);
		T_CHECK(zeros_right(st, sector, seen), "sector %u reads as zeros, which nobody put there", sector);
		return;
	}
	T_CHECK(s.sector == sector, "sector %u holds what belongs to sector %u (writer %u, deed %u)", sector, s.sector, s.who,
	        s.deed);
	T_CHECK(s.who <= WRITERS, "sector %u: no writer %u", sector, s.who);
	stamp_put(expected, sector, s.who - 1, s.deed);
	T_CHECK(!memcmp(p, expected, SECTOR), "sector %u is torn: only some of it is deed %u of writer %u", sector, s.deed, s.who);
	T_CHECK(s.deed && s.deed <= atomic_load(&st->actor[s.who - 1].begun), "sector %u: deed %u of writer %u is yet to come",
	        sector, s.deed, s.who);
	k = &st->actor[s.who - 1].deed[s.deed];
	T_CHECK(!k->zeros && sector - k->sector < k->count, "sector %u: deed %u of writer %u is not there", sector, s.deed, s.who);
	T_CHECK(s.deed >= seen[s.who - 1], "sector %u is stale: deed %u of writer %u, who had done %u there before this read",
	        sector, s.deed, s.who, seen[s.who - 1]);
}

static void read_and_judge(struct stage *st, uint32_t sector, uint32_t count, uint8_t *buf)
{
	uint32_t(*seen)[WRITERS] = t_alloc(count * sizeof(*seen));
	vd_error err;

	for (uint32_t i = 0; i < count; i++)
		for (unsigned w = 0; w < WRITERS; w++)
			seen[i][w] = atomic_load(&st->actor[w].done[sector + i]);
	T_OK(vdisk_pread(st->t->img, buf, (size_t)count * SECTOR, (uint64_t)sector * SECTOR, &err), err);
	for (uint32_t i = 0; i < count; i++)
		sector_judge(st, buf + i * SECTOR, sector + i, seen[i]);
	free(seen);
	atomic_fetch_add(&st->reads, 1);
}

/* Overlapping: anywhere, with a liking for one hot spot.  Otherwise: pieces of 8 sectors, dealt to the writers in turn. */
static void range_pick(struct actor *a, uint32_t *sector, uint32_t *count)
{
	struct stage *st = a->stage;
	uint32_t n = st->sectors;

	if (st->overlap) {
		if (t_below(&a->rng, 2))
			n = (uint32_t)vd_min(n, 512);
		*sector = (uint32_t)t_below(&a->rng, n);
		*count = 1 + (uint32_t)t_below(&a->rng, t_below(&a->rng, 8) ? 24 : 600);
		*count = (uint32_t)vd_min(*count, st->sectors - *sector);
	} else {
		uint32_t piece = (uint32_t)t_below(&a->rng, n / 8 / WRITERS) * WRITERS + a->id;

		*sector = piece * 8 + (uint32_t)t_below(&a->rng, 8);
		*count = 1 + (uint32_t)t_below(&a->rng, (piece + 1) * 8 - *sector);
	}
}

static void deed_do(struct actor *a, uint32_t d, uint8_t *buf)
{
	vdisk_image *img = a->stage->t->img;
	const struct deed *k = &a->deed[d];
	uint64_t off = (uint64_t)k->sector * SECTOR, len = (uint64_t)k->count * SECTOR;
	vd_error err;

	if (!k->zeros) {
		for (uint32_t i = 0; i < k->count; i++)
			stamp_put(buf + i * SECTOR, k->sector + i, a->id, d);
		T_OK(vdisk_pwrite(img, buf, len, off, &err), err);
	} else if (t_below(&a->rng, 2)) {
		T_OK(vdisk_zero(img, off, len, &err), err);
	} else {
		/* A discard may leave the old bytes: zeros are put there then, so that the deed is what it says. */
		T_OK(vdisk_discard(img, off, len, &err), err);
		T_OK(vdisk_zero(img, off, len, &err), err);
	}
	for (uint32_t i = 0; i < k->count; i++)
		atomic_store(&a->done[k->sector + i], d);
	atomic_store(&a->deed[d].done_at, atomic_fetch_add(&a->stage->clock, 1) + 1);
	atomic_fetch_add(&a->stage->writes, 1);
}

static void *write_and_read(void *arg)
{
	struct actor *a = arg;
	struct stage *st = a->stage;
	uint8_t *buf = t_alloc(SECTOR * 640);
	uint32_t d = 0;

	for (unsigned long i = 0; i < st->ops; i++) {
		uint32_t sector, count;

		t_at("%s, writer %u, step %lu", st->overlap ? "overlapping" : "interleaved", a->id, i);
		range_pick(a, &sector, &count);
		if (t_below(&a->rng, 3) == 0) {
			read_and_judge(st, sector, count, buf);
			continue;
		}
		d++;
		a->deed[d] = (struct deed){ .sector = sector, .count = count, .zeros = t_below(&a->rng, 4) == 0,
			                    .begun_at = atomic_fetch_add(&st->clock, 1) + 1 };
		atomic_store(&a->begun, d);
		deed_do(a, d, buf);
		if (!st->overlap && t_below(&a->rng, 4) == 0)
			read_and_judge(st, sector, count, buf);
	}
	free(buf);
	return NULL;
}

/* Maps, flushes and long reads, beside the writers. */
static void *look_on(void *arg)
{
	struct stage *st = arg;
	struct t_rng rng = { (uintptr_t)st };
	uint8_t *buf = t_alloc(SECTOR * 640);
	struct vdisk_extent x[16];
	vd_error err;

	t_at("onlooker");
	while (!atomic_load(&st->over)) {
		uint32_t sector = (uint32_t)t_below(&rng, st->sectors);
		uint64_t off = (uint64_t)sector * SECTOR;
		size_t n;

		switch (t_below(&rng, 4)) {
		case 0:
			T_OK(vdisk_flush(st->t->img, &err), err);
			break;
		case 1:
			T_OK(vdisk_map(st->t->img, off, vdisk_size(st->t->img) - off, x, 16, &n, &err), err);
			T_CHECK(n && x[0].off == off, "the map begins elsewhere");
			break;
		default:
			read_and_judge(st, sector, (uint32_t)vd_min(st->sectors - sector, 1 + t_below(&rng, 600)), buf);
		}
	}
	free(buf);
	return NULL;
}

static void round_play(struct stage *st)
{
	pthread_t onlooker;

	atomic_store(&st->over, false);
	T_CHECK(!pthread_create(&onlooker, NULL, look_on, st), "no thread");
	for (unsigned w = 0; w < WRITERS; w++)
		T_CHECK(!pthread_create(&st->actor[w].thread, NULL, write_and_read, &st->actor[w]), "no thread");
	for (unsigned w = 0; w < WRITERS; w++)
		pthread_join(st->actor[w].thread, NULL);
	atomic_store(&st->over, true);
	pthread_join(onlooker, NULL);
}

/* The stage empty: no stamps on the disk, no deeds. */
static void round_begin(struct stage *st, uint64_t seed)
{
	struct t_image *t = st->t;
	struct t_rng rng = { seed };
	vd_error err;

	T_OK(vdisk_discard(t->img, 0, t->model.size, &err), err);
	T_OK(vdisk_zero(t->img, 0, t->model.size, &err), err); /* a parent's bytes carry no stamps */
	T_OK(vdisk_flush(t->img, &err), err);
	for (unsigned w = 0; w < WRITERS; w++) {
		struct actor *a = &st->actor[w];

		a->stage = st;
		a->id = w;
		a->rng.state = t_rand(&rng);
		atomic_store(&a->begun, 0);
		for (uint32_t i = 0; i < st->sectors; i++)
			atomic_store(&a->done[i], 0);
	}
}

static void round_end(struct stage *st, uint8_t *buf)
{
	t_at("%s, afterwards", st->overlap ? "overlapping" : "interleaved");
	for (uint32_t s = 0; s < st->sectors; s += 640)
		read_and_judge(st, s, (uint32_t)vd_min(640, st->sectors - s), buf);
}

/* What was read before closing reads so after opening again, and check has nothing to say. */
static void reopened(struct t_image *t)
{
	uint8_t *before = t_alloc(t->model.size), *after = t_alloc(t->model.size);
	vd_error err;

	T_OK(vdisk_pread(t->img, before, t->model.size, 0, &err), err);
	T_OK(t_image_close(t, &err), err);
	t_image_check(t, false);
	T_OK(t_image_open(t, 0, &err), err);
	T_OK(vdisk_pread(t->img, after, t->model.size, 0, &err), err);
	T_CHECK(!memcmp(before, after, t->model.size), "reopened, it reads otherwise");
	T_OK(t_image_close(t, &err), err);
	free(before);
	free(after);
}

static void play(struct t_image *t, bool overlap, unsigned long rounds, struct t_rng *rng)
{
	struct stage *st = t_alloc(sizeof(*st));
	uint8_t *buf = t_alloc(SECTOR * 640);
	vd_error err;

	st->t = t;
	st->sectors = (uint32_t)(t->model.size / SECTOR);
	st->ops = ROUND_OPS;
	st->overlap = overlap;
	for (unsigned w = 0; w < WRITERS; w++) {
		st->actor[w].deed = t_alloc((st->ops + 2) * sizeof(struct deed));
		st->actor[w].done = t_alloc(st->sectors * sizeof(*st->actor[w].done));
	}
	t->cache_bytes = t_below(rng, 2);
	T_OK(t_image_open(t, VDISK_OPEN_RW, &err), err);
	for (unsigned long i = 0; i < rounds; i++) {
		t_at("%s, round %lu", overlap ? "overlapping" : "interleaved", i);
		round_begin(st, t_rand(rng));
		round_play(st);
		round_end(st, buf);
	}
	reopened(t);
	printf("%s: %lu writes, %lu reads\n", overlap ? "overlapping" : "interleaved", atomic_load(&st->writes),
	       atomic_load(&st->reads));
	for (unsigned w = 0; w < WRITERS; w++) {
		free(st->actor[w].deed);
		free((void *)st->actor[w].done);
	}
	free(buf);
	free(st);
}

int main(int argc, char **argv)
{
	const struct t_variant *v = t_variant_find(argc > 1 ? argv[1] : "");
	struct t_rng rng = { t_seed("threads", v->name) };
	struct t_image *t = t_image_new(v, &rng);
	unsigned long rounds = t_iterations(30);
	vd_error err;

	T_OK(t_image_create(t, &err), err);
	T_OK(t_image_close(t, &err), err);
	t->shelf.jitter = true;
	play(t, false, rounds, &rng);
	play(t, true, rounds, &rng);
	t_image_free(t);
	printf("ok\n");
	return 0;
}

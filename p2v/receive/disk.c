/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was written and is not yet noted stands in a slot.  Its life:
 *
 *   WRITING   somebody writes these chunks; nobody else may
 *   WRITTEN   the image has them
 *   FLUSHING  a flush that began after they were written is under way; when it is done their digests are noted
 *
 * Slots never overlap: who wants to write what is in another's slot waits until that is noted.  So a digest that gets noted (L1 of
 * leaves.h) is of what the image holds.  Who writes forgets the old digest before (L2).  After an error of the image its slots are
 * dropped, which loses no more than the sender's time, and it is closed and opened anew.
 *
 * `lock` guards everything that can change; it is held during no I/O but the opening and closing of the image.
 */
#include "disk_parts.h"

#include "clock.h"

#include "common/fail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define SLOTS_FLUSH  192u            /* so many written: somebody flushes */
#define FLUSH_MS     500             /* nothing waits longer to be noted */
#define IDLE_MS      60000           /* then the image is closed */
#define SPACE_LEFT   (32ull << 20)   /* of the file system: metadata wants some to become durable */

int disk_open(const struct disk_place *at, const struct transfer_state_disk *d, struct disk **out, vdisk_error *err)
{
	struct disk *k = calloc(1, sizeof(*k));
	char file[TRANSFER_FILE_MAX];

	*out = NULL;
	if (!k)
		return fail_nomem(err);
	k->at = at;
	snprintf(k->name, sizeof(k->name), "%s", d->name);
	k->size = d->size;
	k->chunks = transfer_chunks(d->size);
	transfer_file(d->name, "leaves", file);
	if (transfer_leaves_open(&k->leaves, at->dir, file, d->size, false, err)) {
		free(k);
		return -1;
	}
	if (transfer_leaves_count(&k->leaves, &k->have, err) || transfer_pass_load(at->dir, k->name, k->size, &k->pass, err) ||
	    transfer_zero_leaf(k->size, k->chunks - 1, k->last_zero, err)) {
		transfer_leaves_close(&k->leaves);
		free(k);
		return -1;
	}
	k->doubtful = true;
	pthread_mutex_init(&k->lock, NULL);
	clock_cond_init(&k->changed);
	*out = k;
	return 0;
}

/* ---------------------------------------------------------------- flushing */

static int slot_note(struct disk *d, const struct slot *s, vdisk_error *err)
{
	uint8_t (*leaves)[32];
	int rc;

	if (!s->zeros)
		return transfer_leaves_note(&d->leaves, s->index, 1, &s->sha256, err);
	leaves = malloc(s->count * 32);
	if (!leaves)
		return fail_nomem(err);
	for (uint64_t i = 0; i < s->count; i++)
		memcpy(leaves[i], s->index + i == d->chunks - 1 ? d->last_zero : transfer_zero, 32);
	rc = transfer_leaves_note(&d->leaves, s->index, s->count, (const uint8_t (*)[32])leaves, err);
	free(leaves);
	return rc;
}

/* After the flush: *noted chunks have their digests now.  With the lock; slots in FLUSHING are nobody else's. */
static int slots_note(struct disk *d, bool flushed, vdisk_error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &d->slots[i];

		if (s->state != SLOT_FLUSHING)
			continue;
		if (flushed && !rc) {
			pthread_mutex_unlock(&d->lock);
			rc = slot_note(d, s, err);
			pthread_mutex_lock(&d->lock);
			if (!rc)
				d->have += s->count;
		}
		s->state = SLOT_FREE;
	}
	return rc;
}

int disk_flush_locked(struct disk *d, vdisk_error *err)
{
	vdisk_image *img;
	int rc;

	while (d->flushing)
		pthread_cond_wait(&d->changed, &d->lock);
	if (!d->written) /* as of one that is broken: who uses it never waits here for himself */
		return 0;
	if (disk_image_use(d, err))
		return -1;
	d->flushing = true;
	for (unsigned i = 0; i < SLOTS; i++)
		if (d->slots[i].state == SLOT_WRITTEN)
			d->slots[i].state = SLOT_FLUSHING;
	d->written = 0;
	img = d->img;
	pthread_mutex_unlock(&d->lock);
	rc = vdisk_flush(img, err);
	pthread_mutex_lock(&d->lock);
	if (rc)
		disk_image_break(d);
	if (slots_note(d, !rc, err))
		rc = -1;
	d->flushing = false;
	disk_image_unuse(d);
	return rc;
}

int disk_flush(struct disk *d, vdisk_error *err)
{
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = disk_flush_locked(d, err);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

void disk_tend(struct disk *d)
{
	int64_t now = clock_ms();

	pthread_mutex_lock(&d->lock);
	if (d->written && now - d->written_at >= FLUSH_MS)
		disk_flush_locked(d, NULL);
	if (d->img && !d->users && !d->written && now - d->used_at >= IDLE_MS)
		disk_image_close(d, NULL);
	pthread_mutex_unlock(&d->lock);
}

/* ---------------------------------------------------------------- writing */

static struct slot *slot_overlapping(struct disk *d, uint64_t index, uint64_t count)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &d->slots[i];

		if (s->state != SLOT_FREE && s->index < index + count && index < s->index + s->count)
			return s;
	}
	return NULL;
}

static struct slot *slot_free(struct disk *d)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (d->slots[i].state == SLOT_FREE)
			return &d->slots[i];
	return NULL;
}

/* Waits until the chunks are nobody's and takes them.  With the lock. */
static struct slot *slot_take(struct disk *d, uint64_t index, uint64_t count, vdisk_error *err)
{
	for (;;) {
		struct slot *other = slot_overlapping(d, index, count), *s = other ? NULL : slot_free(d);

		if (s) {
			*s = (struct slot){ .state = SLOT_WRITING, .index = index, .count = count };
			return s;
		}
		if ((other && other->state == SLOT_WRITTEN) || (!other && d->written)) {
			if (disk_flush_locked(d, err))
				return NULL;
		} else {
			pthread_cond_wait(&d->changed, &d->lock);
		}
	}
}

static const uint8_t *leaf_wanted(const struct disk *d, const struct slot *s, uint64_t i)
{
	return !s->zeros ? s->sha256 : s->index + i == d->chunks - 1 ? d->last_zero : transfer_zero;
}

/* *old: chunks of the slot that have a digest; *same: all have the one that they are to get. */
static int leaves_look(struct disk *d, const struct slot *s, uint64_t *old, bool *same, vdisk_error *err)
{
	static const uint8_t none[32];
	uint8_t one[1][32], (*leaves)[32] = s->count == 1 ? one : malloc(s->count * 32);
	int rc = leaves ? transfer_leaves_read(&d->leaves, s->index, s->count, leaves, err) : fail_nomem(err);

	*old = 0;
	*same = true;
	for (uint64_t i = 0; !rc && i < s->count; i++) {
		*old += memcmp(leaves[i], none, 32) != 0;
		*same &= !memcmp(leaves[i], leaf_wanted(d, s, i), 32);
	}
	if (leaves != one)
		free(leaves);
	return rc;
}

static int space_look(const struct disk *d, vdisk_error *err)
{
	struct statvfs v;

	if (fstatvfs(d->at->dir, &v) || (uint64_t)v.f_bavail * v.f_frsize >= SPACE_LEFT)
		return 0;
	errno = ENOSPC;
	return fail_errno(err, "the receiver's store has %" PRIu64 " bytes left", (uint64_t)v.f_bavail * v.f_frsize);
}

/* Zeros over nothing are nothing to write. */
static bool reads_zero(vdisk_image *img, uint64_t off, uint64_t len)
{
	while (len) {
		struct vdisk_extent e[16];
		size_t n;

		if (vdisk_map(img, off, len, e, 16, &n, NULL))
			return false;
		for (size_t i = 0; i < n; i++) {
			if (e[i].kind == VDISK_DATA)
				return false;
			off += e[i].len;
			len -= e[i].len;
		}
	}
	return true;
}

static int slot_write(struct disk *d, vdisk_image *img, const struct slot *s, const void *bytes, vdisk_error *err)
{
	uint64_t off = s->index * TRANSFER_CHUNK, end = (s->index + s->count) * TRANSFER_CHUNK;
	uint64_t len = (end < d->size ? end : d->size) - off;

	if (s->zeros)
		return reads_zero(img, off, len) ? 0 : vdisk_zero(img, off, len, err);
	return vdisk_pwrite(img, bytes, (size_t)len, off, err);
}

/* Without the lock; the slot is in WRITING.  1: written, 0: it was there already. */
static int slot_fill(struct disk *d, struct slot *s, const void *bytes, bool *broken, vdisk_error *err)
{
	uint64_t old;
	bool same;

	*broken = false;
	if (leaves_look(d, s, &old, &same, err))
		return -1;
	if (same)
		return 0;
	if (space_look(d, err))
		return -1;
	if (old) {
		if (transfer_leaves_forget(&d->leaves, s->index, s->count, err))
			return -1;
		pthread_mutex_lock(&d->lock);
		d->have -= old;
		pthread_mutex_unlock(&d->lock);
	}
	*broken = slot_write(d, d->img, s, bytes, err) != 0;
	return *broken ? -1 : 1;
}

static int put(struct disk *d, uint64_t index, uint64_t count, const uint8_t *sha256, const void *bytes, vdisk_error *err)
{
	struct slot *s;
	bool broken;
	int rc = -1;

	pthread_mutex_lock(&d->lock);
	if (disk_image_use(d, err))
		goto out;
	s = slot_take(d, index, count, err);
	if (s) {
		s->zeros = !sha256;
		if (sha256)
			memcpy(s->sha256, sha256, 32);
		pthread_mutex_unlock(&d->lock);
		rc = slot_fill(d, s, bytes, &broken, err);
		pthread_mutex_lock(&d->lock);
		if (broken)
			disk_image_break(d);
		/* An error of somebody else's meanwhile: this may be lost, too. */
		if (rc > 0 && d->broken)
			rc = fail(err, VDISK_IO, "the image of disk %s failed", d->name);
		s->state = rc > 0 ? SLOT_WRITTEN : SLOT_FREE;
		if (rc > 0 && !d->written++)
			d->written_at = clock_ms();
	}
	disk_image_unuse(d);
	if (rc > 0 && d->written >= SLOTS_FLUSH && !d->flushing)
		rc = disk_flush_locked(d, err);
out:
	pthread_mutex_unlock(&d->lock);
	return rc < 0 ? -1 : 0;
}

int disk_put(struct disk *d, const struct transfer_record *r, const void *bytes, size_t len, vdisk_error *err)
{
	(void)len;
	return put(d, r->index, 1, r->sha256, bytes, err);
}

int disk_zero(struct disk *d, uint64_t index, uint64_t count, vdisk_error *err)
{
	while (count) {
		uint64_t now = count < ZEROS_MAX ? count : ZEROS_MAX;

		if (put(d, index, now, NULL, NULL, err))
			return -1;
		index += now;
		count -= now;
	}
	return 0;
}

int disk_digests(struct disk *d, uint64_t from, uint64_t n, uint8_t (*out)[32], vdisk_error *err)
{
	return transfer_leaves_read(&d->leaves, from, n, out, err);
}

void disk_free(struct disk *d)
{
	if (!d)
		return;
	disk_flush(d, NULL);
	disk_image_close(d, NULL);
	transfer_leaves_close(&d->leaves);
	transfer_pass_free(&d->pass);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

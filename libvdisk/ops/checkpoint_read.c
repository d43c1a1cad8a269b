/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a record: once through when it is loaded, for what counts of it and which bytes of the target are there; once more window
 * by window, to do it again.  Memory: one block, and the ranges.  What is damaged before the first whole block is no record at all.
 */
#include "ops/checkpoint.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

static uint32_t sum_of(const void *a, size_t n, const void *b, size_t m)
{
	return (uint32_t)crc32_z(crc32_z(0, a, n), b, m);
}

/* ---- blocks */

/* The block at s->next, and on to the next one; false: none that is whole. */
static bool block_next(struct vd_saved *s, uint64_t *type)
{
	uint64_t left = vd_file_size(s->f) - s->next;
	uint8_t head[VD_CKPT_BLOCK], *b;
	uint32_t len;

	if (left < VD_CKPT_BLOCK + 4 || vd_file_pread(s->f, head, sizeof(head), s->next, NULL))
		return false;
	len = le32_get(head + 4);
	if (le32_get(head) != VD_CKPT_BLOCK_MAGIC || !len || len > VD_CKPT_BLOCK_MAX || left - VD_CKPT_BLOCK < len + 4ull)
		return false;
	if (s->block_cap < len + 4) {
		b = vd_realloc(s->block, len + 4, 1);
		if (!b)
			return false;
		s->block = b;
		s->block_cap = len + 4;
	}
	if (vd_file_pread(s->f, s->block, len + 4, s->next + VD_CKPT_BLOCK, NULL))
		return false;
	if (sum_of(head, sizeof(head), s->block, len) != le32_get(s->block + len))
		return false;
	s->next += VD_CKPT_BLOCK + len + 4;
	s->cursor = (struct vd_cursor){ s->block, s->block + len, false };
	*type = vd_cursor_get(&s->cursor);
	return true;
}

/* What stands before the windows in their block. */
static bool point_get(struct vd_cursor *k, const char *boot, bool *same_boot, struct vd_walk_point *at)
{
	const uint8_t *id = vd_cursor_bytes(k, VD_BOOT_ID);

	*same_boot = id && boot[0] && !memcmp(id, boot, VD_BOOT_ID);
	at->pos = vd_cursor_get(k);
	at->from = vd_cursor_get(k);
	at->back_from = vd_cursor_get(k);
	at->lost = vd_cursor_get(k);
	return !k->bad && at->from <= at->pos && at->back_from <= at->pos && at->pos <= INT64_MAX;
}

/* ---- ranges */

static int range_add(struct vd_kept_file *k, uint64_t off, uint64_t len, vd_error *err)
{
	struct vd_range *v;

	if (k->n && k->v[k->n - 1].off + k->v[k->n - 1].len == off) {
		k->v[k->n - 1].len += len;
		return 0;
	}
	if (!(k->n & (k->n - 1))) {
		v = vd_realloc(k->v, k->n ? k->n * 2 : 1, sizeof(*v));
		if (!v)
			return vd_fail_nomem(err, k->n * sizeof(*v));
		k->v = v;
	}
	k->v[k->n++] = (struct vd_range){ off, len };
	return 0;
}

static int range_order(const void *a, const void *b)
{
	const struct vd_range *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* False where two overlap. */
static bool ranges_sort(struct vd_kept_file *k)
{
	if (k->n)
		qsort(k->v, k->n, sizeof(*k->v), range_order);
	for (size_t i = 1; i < k->n; i++)
		if (k->v[i - 1].off + k->v[i - 1].len > k->v[i].off)
			return false;
	return true;
}

/* ---- loading */

static bool leaves_pass(struct vd_cursor *k, const struct vd_window_record *w)
{
	for (uint64_t i = 0; w->leaves && i < vd_div_up(w->len, VDISK_DIGEST_LEAF); i++) {
		const uint8_t *zero = vd_cursor_bytes(k, 1);

		if (!zero || (!*zero && !vd_cursor_bytes(k, 32)))
			return false;
	}
	return true;
}

/* 0, 1 where the block contradicts itself, -1 */
static int windows_collect(struct vd_saved *s, uint64_t pos, vd_error *err)
{
	struct vd_cursor *k = &s->cursor;

	while (k->p < k->end && !k->bad) {
		struct vd_window_record w;
		uint64_t at;

		vd_cursor_window(k, &s->last_off, &w);
		at = w.off;
		for (uint64_t i = 0; i < w.n_places && !k->bad; i++) {
			struct vd_resv r;

			vd_cursor_place(k, &at, &s->last_host, &r);
			if (k->bad || r.kind != VD_DATA)
				continue;
			if (r.file >= s->n_files)
				return 1;
			if (range_add(&s->files[r.file], r.host, vd_place_bytes(&r), err))
				return -1;
		}
		if (!leaves_pass(k, &w))
			k->bad = true;
	}
	return k->bad || s->last_off > pos;
}

/* 0, 1 where nothing counts, -1 */
static int blocks_load(struct vd_saved *s, vd_error *err)
{
	char boot[VD_BOOT_ID];
	uint64_t durable = 0, type;
	int rc;

	vd_boot_id(boot);
	for (s->next = s->begin; block_next(s, &type);)
		if (type == VD_CKPT_MARK)
			durable = vd_max(durable, vd_cursor_get(&s->cursor));
	for (s->next = s->begin; block_next(s, &type);) {
		struct vd_walk_point at;
		bool same_boot;

		if (type == VD_CKPT_WINDOWS) {
			if (!point_get(&s->cursor, boot, &same_boot, &at) || at.pos < s->at.pos)
				return 1;
			if (!same_boot && s->next > durable)
				break;
			rc = windows_collect(s, at.pos, err);
			if (rc)
				return rc;
			s->at = at;
		}
		s->end = s->next;
	}
	for (size_t i = 0; i < s->n_files; i++)
		if (!ranges_sort(&s->files[i]))
			return 1;
	return s->at.pos == 0;
}

/* The lines of this run itself, behind the fingerprint and an empty line. */
static bool state_parse(struct vd_saved *s, char *text)
{
	char *own = strstr(text, "\n\n"), *line, *rest;

	if (!own)
		return false;
	own[1] = '\0';
	for (line = strtok_r(own + 2, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		uint64_t a, b, birth;

		if (sscanf(line, "time %" SCNu64 " %" SCNu64, &a, &b) == 2) {
			s->now = a;
			s->seed = b;
		} else if (sscanf(line, "file %" SCNu64 " %" SCNu64 " %" SCNu64, &a, &b, &birth) == 3 &&
			   s->n_files < VD_LAYER_FILES) {
			struct vd_kept_file *v = vd_realloc(s->files, s->n_files + 1, sizeof(*v));

			if (!v)
				return false;
			s->files = v;
			v[s->n_files++] = (struct vd_kept_file){ .id = { .dev = a, .ino = b, .birth = birth } };
		} else {
			return false;
		}
	}
	return s->n_files > 0;
}

static bool header_load(struct vd_saved *s)
{
	uint8_t head[VD_CKPT_HEADER], sum[4];
	VD_AUTO_FREE char *text = NULL;
	uint32_t len;

	if (vd_file_size(s->f) < sizeof(head) || vd_file_pread(s->f, head, sizeof(head), 0, NULL))
		return false;
	len = le32_get(head + 12);
	if (memcmp(head, VD_CKPT_MAGIC, 8) || le32_get(head + 8) != VD_CKPT_VERSION || len > VD_CKPT_TEXT_MAX)
		return false;
	text = vd_calloc(1, len + 1);
	if (!text || vd_file_pread(s->f, text, len, sizeof(head), NULL) || vd_file_pread(s->f, sum, 4, sizeof(head) + len, NULL))
		return false;
	if (sum_of(head, sizeof(head), text, len) != le32_get(sum) || !state_parse(s, text))
		return false;
	s->fingerprint = vd_strdup(text);
	s->begin = sizeof(head) + len + 4;
	return s->fingerprint;
}

int vd_saved_load(const char *path, struct vd_saved **out, vd_error *err)
{
	struct vd_saved *s;
	struct stat st;
	int rc = 1;

	*out = NULL;
	if (lstat(path, &st) && errno == ENOENT)
		return 0;
	s = vd_calloc(1, sizeof(*s));
	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	if (vd_file_posix(AT_FDCWD, path, path, 0, &s->f, err)) {
		vd_free(s);
		return -1;
	}
	s->path = vd_strdup(path);
	if (!s->path)
		rc = vd_fail_nomem(err, strlen(path));
	else if (header_load(s))
		rc = blocks_load(s, err);
	if (rc) {
		vd_saved_free(s);
		return rc < 0 ? -1 : 0;
	}
	s->next = s->begin;
	s->cursor = (struct vd_cursor){ 0 };
	*out = s;
	return 0;
}

void vd_saved_free(struct vd_saved *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_files; i++)
		vd_free(s->files[i].v);
	vd_free(s->files);
	vd_free(s->path);
	vd_free(s->fingerprint);
	vd_free(s->block);
	vd_file_close(s->f);
	vd_free(s);
}

/* ---- the files */

enum vd_saved_state vd_saved_judge(const struct vd_saved *s, const char *path)
{
	VD_AUTO_FREE char *temp = vd_staging_side(path, "partial");
	const char *there = temp && vd_identity_at(AT_FDCWD, temp, &s->files->id) ? temp
			    : vd_identity_at(AT_FDCWD, path, &s->files->id)       ? path
									 : NULL;
	enum vd_saved_state state = VD_SAVED_WAITS;
	struct vd_file *f;

	if (!there)
		return VD_SAVED_GONE;
	if (vd_file_posix(AT_FDCWD, there, there, VD_POSIX_RDWR, &f, NULL))
		return VD_SAVED_BUSY;
	if (vd_file_lock(f, true, NULL))
		state = VD_SAVED_BUSY;
	vd_file_close(f);
	return state;
}

/* ---- window by window */

static int damaged(const struct vd_saved *s, vd_error *err)
{
	return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
		       "%s: contradicts the conversion that it is about; --force without --resume starts anew", s->path);
}

static int places_get(struct vd_saved *s, struct vd_conv *c, struct vd_window *w, uint64_t n, vd_error *err)
{
	uint64_t at = w->off, end = vd_up(c->size, c->to->alloc_grain);

	w->n_places = 0;
	for (uint64_t i = 0; i < n; i++) {
		struct vd_place p = { 0 };

		vd_cursor_place(&s->cursor, &at, &s->last_host, &p.r);
		if (s->cursor.bad || p.r.off >= c->size || !vd_within(p.r.off, p.r.len, end) ||
		    (p.r.off | p.r.len) & (c->to->presence_grain - 1))
			return damaged(s, err);
		if (vd_conv_add_place(w, &p, err))
			return -1;
	}
	return 0;
}

static int leaves_get(struct vd_saved *s, struct vd_window *w, vd_error *err)
{
	for (uint64_t i = 0; i < vd_div_up(w->len, VDISK_DIGEST_LEAF); i++) {
		const uint8_t *zero = vd_cursor_bytes(&s->cursor, 1),
			      *leaf = zero && !*zero ? vd_cursor_bytes(&s->cursor, 32) : NULL;

		if (s->cursor.bad)
			return damaged(s, err);
		w->leaf_zero[i] = *zero;
		if (leaf)
			memcpy(w->leaves[i], leaf, 32);
	}
	return 0;
}

/* Moves on to a block of windows. */
static bool cursor_ready(struct vd_saved *s)
{
	struct vd_walk_point at;
	uint64_t type;
	bool same;

	while (s->cursor.p == s->cursor.end) {
		if (s->next >= s->end || !block_next(s, &type))
			return false;
		if (type == VD_CKPT_WINDOWS)
			point_get(&s->cursor, "", &same, &at);
		else
			s->cursor.p = s->cursor.end;
	}
	return true;
}

int vd_saved_next(struct vd_saved *s, struct vd_conv *c, struct vd_window *w, bool *more, vd_error *err)
{
	struct vd_window_record x;

	if (s->next == s->begin)
		s->last_off = s->last_host = 0;
	*more = cursor_ready(s);
	if (!*more)
		return 0;
	vd_cursor_window(&s->cursor, &s->last_off, &x);
	/* Windows are aligned, and only the last one may be cut. */
	if (s->cursor.bad || !vd_within(x.off, x.len, c->size) || (!x.zeros && x.len > c->window) || x.off & (c->window - 1) ||
	    (x.len & (c->window - 1) && x.off + x.len != c->size) || x.leaves != (c->tree && !x.zeros))
		return damaged(s, err);
	w->off = x.off;
	w->len = x.len;
	w->zeros = x.zeros;
	w->data = x.counts[0];
	w->same = x.counts[1];
	w->offloaded = x.counts[2];
	w->packed_in = x.counts[3];
	w->packed_out = x.counts[4];
	if (places_get(s, c, w, x.n_places, err))
		return -1;
	return x.leaves ? leaves_get(s, w, err) : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading an undo journal, and giving files their old bytes by it.  It may come from anybody: each length is judged before it is
   believed, and names are the caller's affair. */
#include "io/undo_journal.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

/* The record at `at`, its payload in the buffer behind the head.  1, 0: the whole ones end here, -1. */
static int record_read(struct vd_undo *u, uint64_t at, struct undo_record *r, vd_error *err)
{
	uint8_t *b = u->buf;
	size_t got, n;

	if (vd_file_pread_some(u->journal, b, UNDO_HEAD, at, &got, err))
		return -1;
	if (got < UNDO_HEAD)
		return 0;
	*r = (struct undo_record){ le32_get(b), le32_get(b + 4), le64_get(b + 8), le64_get(b + 16) };
	if (r->kind < UNDO_META || r->kind > UNDO_AFTER || le32_get(b + 24))
		return 0;
	n = r->kind == UNDO_ZEROS ? 0 : (size_t)vd_min(r->len, UNDO_PIECE + 1);
	if (n > UNDO_PIECE || (n > UNDO_TEXT && r->kind != UNDO_BYTES))
		return 0;
	if (vd_file_pread_some(u->journal, b + UNDO_HEAD, n, at + UNDO_HEAD, &got, err))
		return -1;
	return got == n && le32_get(b + 28) == vd_undo_sum(b, b + UNDO_HEAD, n);
}

static uint64_t record_bytes(const struct undo_record *r) { return UNDO_HEAD + (r->kind == UNDO_ZEROS ? 0 : r->len); }

static int odd(const struct vd_undo *u, uint64_t at, const char *what, vd_error *err)
{
	return vd_fail(err, VDISK_CORRUPT, at, "%s: the record at offset %" PRIu64 " of this undo journal %s", u->journal->name, at,
	               what);
}

/* "inode N\nbirth N\nname TEXT" */
static int file_take(struct vd_undo *u, uint64_t at, const struct undo_record *r, vd_error *err)
{
	VD_AUTO_FREE char *text = vd_strndup((const char *)u->buf + UNDO_HEAD, (size_t)r->len);
	struct vd_identity id = { 0 };
	int n = 0;
	unsigned i;

	if (!text)
		return vd_fail_nomem(err, r->len);
	if (sscanf(text, "inode %" SCNu64 "\nbirth %" SCNu64 "\nname%n", &id.ino, &id.birth, &n) < 2 || !n || text[n] != ' ' ||
	    r->file != u->n_files || r->off > INT64_MAX || strlen(text) != r->len)
		return odd(u, at, "names no file as it should", err);
	return vd_undo_file_add(u, text + n + 1, r->off, &id, &i, err);
}

static int after_take(struct vd_undo *u, uint64_t at, const struct undo_record *r, vd_error *err)
{
	char text[64];
	unsigned long long mtime;

	snprintf(text, sizeof(text), "%.*s", (int)vd_min(r->len, 63), (const char *)u->buf + UNDO_HEAD);
	if (r->file >= u->n_files || sscanf(text, "mtime %llu", &mtime) != 1)
		return odd(u, at, "tells of no file that it knows", err);
	u->files[r->file].has_after = true;
	u->files[r->file].after = r->off;
	u->files[r->file].mtime = mtime;
	return 0;
}

/* ---------------------------------------------------------------- what is logged */

/* At the end of the list, which is in order when ranges_join() has been through: whoever wrote them chose theirs. */
static int range_add(struct vd_undo_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	if (f->n && f->logged[f->n - 1].off + f->logged[f->n - 1].len == off) {
		f->logged[f->n - 1].len += len;
		return 0;
	}
	if (vd_undo_room(f, err))
		return -1;
	f->logged[f->n++] = (struct vd_range){ off, len };
	return 0;
}

static int range_order(const void *a, const void *b)
{
	const struct vd_range *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* Ascending and apart. */
static void ranges_join(struct vd_undo_file *f)
{
	size_t n = 0;

	if (f->n)
		qsort(f->logged, f->n, sizeof(*f->logged), range_order);
	for (size_t i = 0; i < f->n; i++) {
		struct vd_range r = f->logged[i], *last = n ? &f->logged[n - 1] : NULL;

		if (last && r.off <= last->off + last->len)
			last->len = vd_max(last->off + last->len, r.off + r.len) - last->off;
		else
			f->logged[n++] = r;
	}
	f->n = n;
}

/* ---------------------------------------------------------------- records */

static int record_take(struct vd_undo *u, uint64_t at, const struct undo_record *r, vd_error *err)
{
	switch (r->kind) {
	case UNDO_META:
		if (u->meta)
			return odd(u, at, "is its second of that kind", err);
		u->meta = vd_strndup((const char *)u->buf + UNDO_HEAD, (size_t)r->len);
		return u->meta ? 0 : vd_fail_nomem(err, r->len);
	case UNDO_FILE: return file_take(u, at, r, err);
	case UNDO_AFTER: return after_take(u, at, r, err);
	default:
		if (r->file >= u->n_files || !r->len || !vd_within(r->off, r->len, u->files[r->file].size))
			return odd(u, at, "lies outside of its file", err);
		return range_add(&u->files[r->file], r->off, r->len, err);
	}
}

static int records_read(struct vd_undo *u, vd_error *err)
{
	struct undo_record r;
	int rc;

	u->end = UNDO_SECTOR;
	while ((rc = record_read(u, u->end, &r, err)) > 0) {
		if (record_take(u, u->end, &r, err))
			return -1;
		u->end += record_bytes(&r);
	}
	if (rc)
		return -1;
	for (unsigned i = 0; i < u->n_files; i++)
		ranges_join(&u->files[i]);
	if (!u->meta || !u->n_files)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: is an undo journal that tells of nothing",
		               u->journal->name);
	/* What a crash left behind the last one must not be taken for records later. */
	if (u->journal->flags & VD_FILE_RDONLY || vd_file_size(u->journal) == u->end)
		return 0;
	return vd_file_truncate(u->journal, u->end, err);
}

int vd_undo_load(struct vd_file *journal, struct vd_undo **out, vd_error *err)
{
	enum vd_undo_state state;
	struct vd_undo *u;

	if (vd_undo_peek(journal, &state, err)) {
		vd_file_close(journal);
		return -1;
	}
	if (state == VD_UNDO_NONE) {
		vd_fail(err, VDISK_CORRUPT, 0, "%s: is no undo journal", journal->name);
		vd_file_close(journal);
		return -1;
	}
	u = vd_undo_make(journal, err);
	if (!u)
		return -1;
	u->state = state;
	if (records_read(u, err)) {
		vd_undo_free(u);
		return -1;
	}
	*out = u;
	return 0;
}

/* ---------------------------------------------------------------- back */

int vd_undo_restore(struct vd_undo *u, unsigned i, struct vd_file *f, vd_error *err)
{
	uint64_t at = UNDO_SECTOR;
	struct undo_record r;
	int rc = 0;

	pthread_mutex_lock(&u->lock);
	while (!rc && at < u->end) {
		rc = record_read(u, at, &r, err);
		if (rc <= 0) {
			rc = rc ? -1 : odd(u, at, "cannot be read a second time", err);
			break;
		}
		at += record_bytes(&r);
		rc = 0;
		if (r.file != i || (r.kind != UNDO_BYTES && r.kind != UNDO_ZEROS))
			continue;
		rc = r.kind == UNDO_ZEROS ? vd_file_zero(f, r.off, r.len, true, err)
		                          : vd_file_pwrite(f, u->buf + UNDO_HEAD, (size_t)r.len, r.off, err);
	}
	if (!rc)
		rc = vd_file_truncate(f, u->files[i].size, err) || vd_file_flush(f, err) ? -1 : 0;
	pthread_mutex_unlock(&u->lock);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing an undo journal.  The invariants are undo.h's; the lock is the journal's own, and no other is taken under it. */
#include "io/undo_journal.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/zero.h"

#include <stdio.h>
#include <zlib.h>

static const char magic[16] = "vdisk undo\r\n\x1a\n\0";

struct vd_undo *vd_undo_make(struct vd_file *journal, vd_error *err)
{
	struct vd_undo *u = vd_calloc(1, sizeof(*u));

	if (u) {
		pthread_mutex_init(&u->lock, NULL);
		u->journal = journal;
		u->buf = vd_malloc(UNDO_HEAD + UNDO_PIECE);
		if (u->buf)
			return u;
		pthread_mutex_destroy(&u->lock);
		vd_free(u);
	}
	vd_file_close(journal);
	vd_fail_nomem(err, UNDO_PIECE);
	return NULL;
}

void vd_undo_free(struct vd_undo *u)
{
	if (!u)
		return;
	for (unsigned i = 0; i < u->n_files; i++) {
		vd_free(u->files[i].name);
		vd_free(u->files[i].logged);
	}
	vd_free(u->files);
	vd_free(u->meta);
	vd_free(u->buf);
	vd_file_close(u->journal);
	pthread_mutex_destroy(&u->lock);
	vd_free(u);
}

const char *vd_undo_meta(const struct vd_undo *u) { return u->meta; }
enum vd_undo_state vd_undo_state(const struct vd_undo *u) { return u->state; }
unsigned vd_undo_n_files(const struct vd_undo *u) { return u->n_files; }
const struct vd_undo_file *vd_undo_file(const struct vd_undo *u, unsigned i) { return &u->files[i]; }
uint64_t vd_undo_bytes(const struct vd_undo *u) { return u->end; }

/* ---------------------------------------------------------------- the first sector */

int vd_undo_peek(struct vd_file *journal, enum vd_undo_state *state, vd_error *err)
{
	uint8_t sector[UNDO_SECTOR];
	uint32_t s;
	size_t got;

	*state = VD_UNDO_NONE;
	if (vd_file_pread_some(journal, sector, sizeof(sector), 0, &got, err))
		return -1;
	if (got < sizeof(sector) || memcmp(sector, magic, sizeof(magic)) || le32_get(sector + 508) != crc32_z(0, sector, 508))
		return 0;
	s = le32_get(sector + 20);
	if (le32_get(sector + 16) != 1 || s < VD_UNDO_ACTIVE || s > VD_UNDO_UNDOING)
		return vd_fail(err, VDISK_UNSUPPORTED, 16,
		               "%s: an undo journal of version %" PRIu32 ", state %" PRIu32 ": a newer program wrote it",
		               journal->name, le32_get(sector + 16), s);
	*state = (enum vd_undo_state)s;
	return 0;
}

/* Under the lock. */
static int state_write(struct vd_undo *u, enum vd_undo_state state, vd_error *err)
{
	uint8_t sector[UNDO_SECTOR] = { 0 };

	memcpy(sector, magic, sizeof(magic));
	le32_put(sector + 16, 1);
	le32_put(sector + 20, state);
	le32_put(sector + 508, (uint32_t)crc32_z(0, sector, 508));
	if (u->failed || vd_file_flush(u->journal, err) || vd_file_pwrite(u->journal, sector, sizeof(sector), 0, err) ||
	    vd_file_flush(u->journal, err)) {
		u->failed = true;
		return -1;
	}
	u->dirty = false;
	u->state = state;
	return 0;
}

int vd_undo_state_set(struct vd_undo *u, enum vd_undo_state state, vd_error *err)
{
	int rc;

	pthread_mutex_lock(&u->lock);
	rc = state_write(u, state, err);
	pthread_mutex_unlock(&u->lock);
	return rc;
}

static int arm(struct vd_undo *u, vd_error *err)
{
	if (u->failed)
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: could not be written before", u->journal->name);
	if (u->state == VD_UNDO_NONE)
		return state_write(u, VD_UNDO_ACTIVE, err);
	if (!u->dirty)
		return 0;
	if (vd_file_flush(u->journal, err)) {
		u->failed = true;
		return -1;
	}
	u->dirty = false;
	return 0;
}

int vd_undo_arm(struct vd_undo *u, vd_error *err)
{
	int rc;

	pthread_mutex_lock(&u->lock);
	rc = arm(u, err);
	pthread_mutex_unlock(&u->lock);
	return rc;
}

/* ---------------------------------------------------------------- records */

uint32_t vd_undo_sum(const uint8_t head[UNDO_HEAD], const void *payload, size_t len)
{
	uLong sum = crc32_z(0, head, UNDO_HEAD - 4);

	return (uint32_t)(len ? crc32_z(sum, payload, len) : sum);
}

int vd_undo_append(struct vd_undo *u, const struct undo_record *r, const void *payload, vd_error *err)
{
	size_t n = r->kind == UNDO_ZEROS ? 0 : (size_t)r->len;
	uint8_t *b = u->buf;

	memset(b, 0, UNDO_HEAD);
	le32_put(b, r->kind);
	le32_put(b + 4, r->file);
	le64_put(b + 8, r->off);
	le64_put(b + 16, r->len);
	if (n && payload != b + UNDO_HEAD)
		memcpy(b + UNDO_HEAD, payload, n);
	le32_put(b + 28, vd_undo_sum(b, b + UNDO_HEAD, n));
	if (u->failed)
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: could not be written before", u->journal->name);
	if (vd_file_pwrite(u->journal, b, UNDO_HEAD + n, u->end, err)) {
		u->failed = true;
		return -1;
	}
	u->end += UNDO_HEAD + n;
	u->dirty = true;
	return 0;
}

int vd_undo_new(struct vd_file *journal, const char *meta, struct vd_undo **out, vd_error *err)
{
	static const uint8_t nothing[UNDO_SECTOR];
	struct vd_undo *u = vd_undo_make(journal, err);
	struct undo_record r = { .kind = UNDO_META, .len = strlen(meta) };

	if (!u)
		return -1;
	u->meta = vd_strdup(meta);
	if (!u->meta)
		vd_fail_nomem(err, strlen(meta));
	else if (r.len > UNDO_TEXT)
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: %" PRIu64 " bytes about an undo journal are too many",
		        journal->name, r.len);
	else if (!vd_file_truncate(journal, 0, err) && !vd_file_pwrite(journal, nothing, sizeof(nothing), 0, err)) {
		u->end = UNDO_SECTOR;
		if (!vd_undo_append(u, &r, meta, err)) {
			*out = u;
			return 0;
		}
	}
	vd_undo_free(u);
	return -1;
}

int vd_undo_file_add(struct vd_undo *u, const char *name, uint64_t size, const struct vd_identity *id, unsigned *i, vd_error *err)
{
	struct vd_undo_file *v;

	if (u->n_files >= UNDO_FILES)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: more than %u files", u->journal->name, UNDO_FILES);
	v = vd_realloc(u->files, u->n_files + 1u, sizeof(*v));
	if (!v)
		return vd_fail_nomem(err, sizeof(*v));
	u->files = v;
	v[u->n_files] = (struct vd_undo_file){ .name = vd_strdup(name), .size = size, .id = *id };
	if (!v[u->n_files].name)
		return vd_fail_nomem(err, strlen(name));
	*i = u->n_files++;
	return 0;
}

int vd_undo_find(const struct vd_undo *u, const char *name)
{
	for (unsigned i = 0; i < u->n_files; i++)
		if (!strcmp(u->files[i].name, name))
			return (int)i;
	return -1;
}

int vd_undo_after(struct vd_undo *u, unsigned i, uint64_t size, uint64_t mtime, vd_error *err)
{
	char text[64];
	struct undo_record r = { .kind = UNDO_AFTER, .file = i, .off = size };
	int rc;

	r.len = (uint64_t)snprintf(text, sizeof(text), "mtime %" PRIu64 "\n", mtime);
	pthread_mutex_lock(&u->lock);
	rc = vd_undo_append(u, &r, text, err);
	pthread_mutex_unlock(&u->lock);
	return rc;
}

/* ---------------------------------------------------------------- what is logged */

/* The first stretch of [*off, end) that is not logged: *off moves to it; its length, 0: there is none. */
static uint64_t gap_next(const struct vd_undo_file *f, uint64_t *off, uint64_t end)
{
	return vd_range_gap(f->logged, f->n, off, end);
}

int vd_undo_room(struct vd_undo_file *f, vd_error *err)
{
	size_t cap = f->cap ? 2 * f->cap : 64;
	struct vd_range *v;

	if (f->n < f->cap)
		return 0;
	v = vd_realloc(f->logged, cap, sizeof(*v));
	if (!v)
		return vd_fail_nomem(err, cap * sizeof(*v));
	f->logged = v;
	f->cap = cap;
	return 0;
}

/* [off, off+len) counts as logged. */
static int mark(struct vd_undo_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	size_t from = f->n, to;
	uint64_t end = off + len;

	/* Mostly it comes in ascending order. */
	while (from && f->logged[from - 1].off + f->logged[from - 1].len >= off)
		from--;
	for (to = from; to < f->n && f->logged[to].off <= end; to++) {
		off = vd_min(off, f->logged[to].off);
		end = vd_max(end, f->logged[to].off + f->logged[to].len);
	}
	if (from == to) {
		if (vd_undo_room(f, err))
			return -1;
		memmove(f->logged + from + 1, f->logged + from, (f->n - from) * sizeof(*f->logged));
		f->n++;
	} else {
		memmove(f->logged + from + 1, f->logged + to, (f->n - to) * sizeof(*f->logged));
		f->n -= to - from - 1;
	}
	f->logged[from] = (struct vd_range){ off, end - off };
	return 0;
}

/* A stretch of at most UNDO_PIECE whose bytes lie in the buffer, behind the head: as runs of bytes and of zeros. */
static int runs_append(struct vd_undo *u, unsigned i, uint64_t off, size_t len, vd_error *err)
{
	uint8_t *b = u->buf + UNDO_HEAD;
	size_t at = 0;

	while (at < len) {
		bool zero;
		size_t n = vd_zero_run(b + at, len - at, UNDO_BLOCK, &zero);
		struct undo_record r = { .kind = zero ? UNDO_ZEROS : UNDO_BYTES, .file = i, .off = off + at, .len = n };

		if (!zero && at)
			memmove(b, b + at, len - at), off += at, len -= at, at = 0;
		if (vd_undo_append(u, &r, b, err))
			return -1;
		at += n;
	}
	return 0;
}

static int gap_log(struct vd_undo *u, unsigned i, struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	for (uint64_t at = off; at < off + len;) {
		uint64_t n = vd_min(UNDO_PIECE, off + len - at);

		if (vd_file_pread(f, u->buf + UNDO_HEAD, (size_t)n, at, err) || runs_append(u, i, at, (size_t)n, err))
			return -1;
		at += n;
	}
	return mark(&u->files[i], off, len, err);
}

/* Under the lock. */
static int range_log(struct vd_undo *u, unsigned i, struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	uint64_t size = u->files[i].size, end, at, n;

	if (off >= size)
		return 0;
	end = len > size - off ? size : off + len;
	end = vd_min(vd_up(vd_min(end, UINT64_MAX - UNDO_BLOCK), UNDO_BLOCK), size);
	for (at = vd_down(off, UNDO_BLOCK); (n = gap_next(&u->files[i], &at, end)); at += n)
		if (gap_log(u, i, f, at, n, err))
			return -1;
	return 0;
}

int vd_undo_log(struct vd_undo *u, unsigned i, struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	int rc;

	pthread_mutex_lock(&u->lock);
	rc = range_log(u, i, f, off, len, err);
	pthread_mutex_unlock(&u->lock);
	return rc;
}

int vd_undo_guard(struct vd_undo *u, unsigned i, struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	int rc;

	pthread_mutex_lock(&u->lock);
	rc = range_log(u, i, f, off, len, err) || arm(u, err) ? -1 : 0;
	pthread_mutex_unlock(&u->lock);
	return rc;
}

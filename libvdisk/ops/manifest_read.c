/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a manifest, line after line.  One thread at a time; memory is one buffer, whatever the disk.  The grammar is the narrow
 * one of vdisk-digest(5): there is one way to write each disk's manifest, and nothing else is one.
 */
#include "ops/manifest.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define READ_BUFFER 65536
#define LINE_MAX_BYTES 128 /* longer than any line that there is */

struct vd_manifest_reader {
	struct vd_file *file;
	uint64_t pos, body;     /* in the file: of the line to be read next, of the body's first one */
	uint64_t line, body_line;
	uint64_t size;          /* of the disk */
	uint64_t left;          /* leaves that are still to come */
	bool after_zeros;
	uint64_t buf_at;        /* where in the file the buffer's bytes are from */
	size_t n;
	char buf[READ_BUFFER];
};

static int bad(const struct vd_manifest_reader *r, const char *line, size_t len, const char *what, vd_error *err)
{
	char text[64];

	return vd_fail(err, VDISK_CORRUPT, r->pos, "%s: line %" PRIu64 ", '%s', %s", r->file->name, r->line,
	               vd_printable(text, sizeof(text), line, len), what);
}

/* The next line without its end; it stays where it is until the next call. */
static int line_get(struct vd_manifest_reader *r, const char **line, size_t *len, vd_error *err)
{
	const char *end;
	size_t at;

	r->line++;
	if (r->pos < r->buf_at || r->pos + LINE_MAX_BYTES > r->buf_at + r->n) {
		r->buf_at = r->pos;
		if (vd_file_pread_some(r->file, r->buf, sizeof(r->buf), r->pos, &r->n, err))
			return -1;
	}
	at = r->pos - r->buf_at;
	*line = r->buf + at;
	*len = vd_min(r->n - at, LINE_MAX_BYTES);
	if (!*len)
		return vd_fail(err, VDISK_CORRUPT, r->pos, "%s: cut short: it ends before line %" PRIu64, r->file->name, r->line);
	end = memchr(*line, '\n', *len);
	if (!end)
		return bad(r, *line, *len, *len < LINE_MAX_BYTES ? "is cut short" : "is longer than a manifest's", err);
	*len = (size_t)(end - *line);
	return 0;
}

static void line_end(struct vd_manifest_reader *r, size_t len)
{
	r->pos += len + 1;
}

static bool begins(const char *line, size_t len, const char *word)
{
	return len > strlen(word) && !memcmp(line, word, strlen(word));
}

/* A number as we write it: no sign, no zeros in front. */
static bool number_get(const char *p, size_t len, uint64_t *v)
{
	*v = 0;
	if (!len || (*p == '0' && len > 1))
		return false;
	for (; len; len--, p++)
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(*v, 10u, v) ||
		    __builtin_add_overflow(*v, (unsigned)(*p - '0'), v))
			return false;
	return true;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool digest_get(const char *p, size_t len, uint8_t digest[32])
{
	if (len != 64)
		return false;
	for (unsigned i = 0; i < 32; i++) {
		int high = hex_digit(p[2 * i]), low = hex_digit(p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		digest[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* A line of the head: `word` and what it says. */
static int head_get(struct vd_manifest_reader *r, const char *word, char *value, size_t cap, vd_error *err)
{
	const char *line;
	size_t len, n = strlen(word);

	if (line_get(r, &line, &len, err))
		return -1;
	if (!begins(line, len, word) || len - n >= cap || memchr(line, 0, len))
		return bad(r, line, len,
		           r->line == 1 ? "is not how a manifest begins" : "is not what stands there in a manifest's head", err);
	memcpy(value, line + n, len - n);
	value[len - n] = '\0';
	line_end(r, len);
	return 0;
}

static int head_fixed(struct vd_manifest_reader *r, const char *word, const char *want, vd_error *err)
{
	char value[64], text[64];

	if (head_get(r, word, value, sizeof(value), err))
		return -1;
	if (!strcmp(value, want))
		return 0;
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s'%s' of a manifest is not supported, only '%s'",
	               r->file->name, word, vd_printable(text, sizeof(text), value, strlen(value)), want);
}

static int head_read(struct vd_manifest_reader *r, vd_error *err)
{
	char size[32], leaf[16];

	snprintf(leaf, sizeof(leaf), "%u", VDISK_DIGEST_LEAF);
	if (head_fixed(r, "vdisk-manifest ", "1", err) || head_fixed(r, "hash ", "sha256", err) ||
	    head_fixed(r, "leaf ", leaf, err) || head_get(r, "size ", size, sizeof(size), err))
		return -1;
	if (!number_get(size, strlen(size), &r->size) || r->size > INT64_MAX)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: '%s' is no size of a disk", r->file->name, size);
	r->body = r->pos;
	r->body_line = r->line;
	vd_manifest_rewind(r);
	return 0;
}

int vd_manifest_open(const char *path, struct vd_manifest_reader **out, vd_error *err)
{
	struct vd_file *f;

	*out = NULL;
	return vd_file_posix(AT_FDCWD, path, path, 0, &f, err) ? -1 : vd_manifest_open_file(f, out, err);
}

int vd_manifest_open_file(struct vd_file *f, struct vd_manifest_reader **out, vd_error *err)
{
	struct vd_manifest_reader *r = vd_calloc(1, sizeof(*r));

	*out = NULL;
	if (!r) {
		vd_file_close(f);
		return vd_fail_nomem(err, sizeof(*r));
	}
	r->file = f;
	if (head_read(r, err)) {
		vd_manifest_close(r);
		return -1;
	}
	*out = r;
	return 0;
}

void vd_manifest_close(struct vd_manifest_reader *r)
{
	if (!r)
		return;
	vd_file_close(r->file);
	vd_free(r);
}

uint64_t vd_manifest_size(const struct vd_manifest_reader *r)
{
	return r->size;
}

void vd_manifest_rewind(struct vd_manifest_reader *r)
{
	r->pos = r->body;
	r->line = r->body_line;
	r->left = r->size / VDISK_DIGEST_LEAF + (r->size % VDISK_DIGEST_LEAF != 0);
	r->after_zeros = false;
}

static int body_end(struct vd_manifest_reader *r, const char *line, size_t len, vd_error *err)
{
	if (r->left)
		return bad(r, line, len, "comes before all leaves are there", err);
	line_end(r, len);
	if (r->pos != vd_file_size(r->file))
		return vd_fail(err, VDISK_CORRUPT, r->pos, "%s: goes on after its last line", r->file->name);
	return 0;
}

int vd_manifest_next(struct vd_manifest_reader *r, uint64_t *zeros, uint8_t leaf[32], bool *end, vd_error *err)
{
	const char *line;
	uint64_t whole;
	size_t len;

	*zeros = 0;
	*end = false;
	if (line_get(r, &line, &len, err))
		return -1;
	if (begins(line, len, "digest ") && digest_get(line + 7, len - 7, leaf)) {
		*end = true;
		return body_end(r, line, len, err);
	}
	whole = r->left - (r->left && r->size % VDISK_DIGEST_LEAF); /* the short leaf at the end is never counted as zeros */
	if (begins(line, len, "zeros ") && number_get(line + 6, len - 6, zeros) && *zeros && !r->after_zeros) {
		if (*zeros > whole)
			return bad(r, line, len, "says more leaves than the disk has", err);
		r->left -= *zeros;
		r->after_zeros = true;
	} else if (!digest_get(line, len, leaf)) {
		return bad(r, line, len, "is no line of a manifest", err);
	} else if (!r->left) {
		return bad(r, line, len, "is a leaf more than the disk has", err);
	} else if (whole && !memcmp(leaf, vd_leaf_zero, sizeof(vd_leaf_zero))) {
		return bad(r, line, len, "is a leaf of zeros that is not written as one", err);
	} else {
		r->left--;
		r->after_zeros = false;
	}
	line_end(r, len);
	return 0;
}

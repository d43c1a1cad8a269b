/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "leaves.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 4096u /* digests at a time: 128 KiB */

static const uint8_t none[32];

int transfer_leaves_open(struct transfer_leaves *l, int dir, const char *name, uint64_t size, bool make, vdisk_error *err)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT | O_EXCL : 0);
	struct stat st;

	l->size = size;
	l->chunks = transfer_chunks(size);
	l->fd = openat(dir, name, flags, 0600);
	if (l->fd < 0)
		return fail_errno(err, "%s", name);
	/* With another length after a crash, nothing could be gone on with. */
	if (make && (ftruncate(l->fd, (off_t)(l->chunks * 32)) || fsync(l->fd)))
		fail_errno(err, "%s", name);
	else if (fstat(l->fd, &st))
		fail_errno(err, "%s", name);
	else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != l->chunks * 32)
		fail(err, VDISK_CORRUPT, "%s: has %jd bytes, not 32 for each of %" PRIu64 " chunks", name, (intmax_t)st.st_size,
		     l->chunks);
	else
		return 0;
	transfer_leaves_close(l);
	return -1;
}

void transfer_leaves_close(struct transfer_leaves *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

int transfer_leaves_read(const struct transfer_leaves *l, uint64_t from, uint64_t n, uint8_t (*out)[32], vdisk_error *err)
{
	size_t len = n * 32, got = 0;

	while (got < len) {
		ssize_t r = pread(l->fd, (uint8_t *)out + got, len - got, (off_t)(from * 32 + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			errno = r ? errno : EIO;
			return fail_errno(err, "the list of digests at chunk %" PRIu64, from);
		}
		got += (size_t)r;
	}
	return 0;
}

int transfer_leaves_note(const struct transfer_leaves *l, uint64_t from, uint64_t n, const uint8_t (*leaves)[32], vdisk_error *err)
{
	size_t len = n * 32, put = 0;

	while (put < len) {
		ssize_t r = pwrite(l->fd, (const uint8_t *)leaves + put, len - put, (off_t)(from * 32 + put));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return fail_errno(err, "the list of digests at chunk %" PRIu64, from);
		put += (size_t)r;
	}
	return 0;
}

int transfer_leaves_forget(const struct transfer_leaves *l, uint64_t from, uint64_t n, vdisk_error *err)
{
	static const uint8_t zeros[64][32];

	while (n) {
		uint64_t now = n < 64 ? n : 64;

		if (transfer_leaves_note(l, from, now, zeros, err))
			return -1;
		from += now;
		n -= now;
	}
	return fdatasync(l->fd) ? fail_errno(err, "the list of digests") : 0;
}

uint64_t transfer_leaves_skip(const struct transfer_leaves *l, uint64_t at)
{
	off_t data = lseek(l->fd, (off_t)(at * 32), SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? l->chunks : at;
	return (uint64_t)data / 32 > at ? (uint64_t)data / 32 : at;
}

/* Calls `fn` with all of them, piece by piece; with `there` not with all that are none. */
static int walk(const struct transfer_leaves *l, bool there, int (*fn)(void *, const uint8_t (*)[32], size_t, vdisk_error *),
                void *ctx, vdisk_error *err)
{
	uint8_t (*piece)[32] = malloc(PIECE * 32);
	int rc = piece ? 0 : fail_nomem(err);

	for (uint64_t at = 0; !rc; at += PIECE) {
		size_t n;

		at = there ? transfer_leaves_skip(l, at) : at;
		if (at >= l->chunks)
			break;
		n = l->chunks - at < PIECE ? (size_t)(l->chunks - at) : PIECE;

		rc = transfer_leaves_read(l, at, n, piece, err) || fn(ctx, (const uint8_t (*)[32])piece, n, err) ? -1 : 0;
	}
	free(piece);
	return rc;
}

struct sum {
	struct transfer_tree *tree; /* NULL: only count */
	uint64_t there;
};

static int sum_add(void *ctx, const uint8_t (*leaves)[32], size_t n, vdisk_error *err)
{
	struct sum *s = ctx;

	for (size_t i = 0; i < n; i++)
		s->there += memcmp(leaves[i], none, 32) != 0;
	return s->tree ? transfer_tree_add(s->tree, leaves, n, err) : 0;
}

int transfer_leaves_count(const struct transfer_leaves *l, uint64_t *n, vdisk_error *err)
{
	struct sum s = { 0 };
	int rc = walk(l, true, sum_add, &s, err);

	*n = s.there;
	return rc;
}

int transfer_leaves_digest(const struct transfer_leaves *l, uint8_t digest[32], uint64_t *missing, vdisk_error *err)
{
	struct sum s = { .tree = transfer_tree_new() };
	int rc;

	if (!s.tree)
		return fail_nomem(err);
	rc = walk(l, false, sum_add, &s, err) || transfer_tree_end(s.tree, l->size, digest, err) ? -1 : 0;
	*missing = l->chunks - s.there;
	transfer_tree_free(s.tree);
	return rc;
}

struct writing {
	FILE *f;
	struct transfer_tree *tree;
	uint64_t zeros; /* whole leaves of zeros that were not told of yet */
};

static void zeros_tell(struct writing *w)
{
	if (w->zeros)
		fprintf(w->f, "zeros %" PRIu64 "\n", w->zeros);
	w->zeros = 0;
}

static int manifest_add(void *ctx, const uint8_t (*leaves)[32], size_t n, vdisk_error *err)
{
	struct writing *w = ctx;
	char hex[65];

	for (size_t i = 0; i < n; i++) {
		if (!memcmp(leaves[i], transfer_zero, 32)) { /* of a whole leaf: no shorter one has this digest */
			w->zeros++;
			continue;
		}
		if (!memcmp(leaves[i], none, 32))
			return fail(err, VDISK_INVALID, "a manifest of a disk that is not whole");
		zeros_tell(w);
		transfer_hex(leaves[i], 32, hex);
		fprintf(w->f, "%s\n", hex);
	}
	return transfer_tree_add(w->tree, leaves, n, err);
}

static int manifest_write(const struct transfer_leaves *l, struct writing *w, vdisk_error *err)
{
	uint8_t digest[32];
	char hex[65];

	fprintf(w->f, "vdisk-manifest 1\nhash sha256\nleaf %u\nsize %" PRIu64 "\n", TRANSFER_CHUNK, l->size);
	if (walk(l, false, manifest_add, w, err) || transfer_tree_end(w->tree, l->size, digest, err))
		return -1;
	zeros_tell(w);
	transfer_hex(digest, 32, hex);
	fprintf(w->f, "digest %s\n", hex);
	return fflush(w->f) || ferror(w->f) || fsync(fileno(w->f)) ? fail_errno(err, "a manifest") : 0;
}

int transfer_leaves_manifest(const struct transfer_leaves *l, int dir, const char *name, vdisk_error *err)
{
	struct writing w = { .tree = transfer_tree_new() };
	int fd, rc;

	if (!w.tree)
		return fail_nomem(err);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	w.f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!w.f) {
		fail_errno(err, "%s", name);
		if (fd >= 0)
			close(fd);
		transfer_tree_free(w.tree);
		return -1;
	}
	rc = manifest_write(l, &w, err);
	if (fclose(w.f) && !rc)
		rc = fail_errno(err, "%s", name);
	transfer_tree_free(w.tree);
	return rc;
}

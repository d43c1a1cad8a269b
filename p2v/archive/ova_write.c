/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conversion writes to a pipe; a thread of ours takes what comes out, hashes it and puts it where the member lies.  While it
 * runs the thread owns `out`; before and after, the caller's thread owns everything.
 */
#include "ova_write.h"

#include "common/fail.h"
#include "package_own.h"
#include "tar.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK ((size_t)1 << 20)
#define LINE_MAX_BYTES (NAME_MAX_BYTES + 160)

struct ova_writer {
	char *path, *name;
	int fd;
	size_t room;      /* for the descriptor, its padding included */
	uint64_t at;      /* where the next header goes */
	uint64_t mtime;
	char *manifest;   /* the disks' lines */
	size_t manifest_len;
	uint8_t *buf;
};

static uint64_t up(uint64_t n) { return (n + 511) & ~UINT64_C(511); }

static int file_write(const struct ova_writer *w, const void *buf, size_t len, uint64_t off, vdisk_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(w->fd, (const char *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(err, "%s", w->path);
		done += (size_t)n;
	}
	return 0;
}

int ova_writer_new(const char *path, const char *name, size_t room, struct ova_writer **out, vdisk_error *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct ova_writer *w = calloc(1, sizeof(*w));

	*out = NULL;
	if (!w)
		return fail_nomem(err);
	w->fd = -1;
	w->path = strdup(path);
	w->name = strdup(name);
	w->buf = malloc(BLOCK);
	w->room = (size_t)up(room);
	w->at = TAR_HEADER_BYTES + w->room;
	w->mtime = epoch && *epoch ? strtoull(epoch, NULL, 10) : (uint64_t)time(NULL);
	if (!w->path || !w->name || !w->buf) {
		ova_writer_abort(w);
		return fail_nomem(err);
	}
	w->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (w->fd < 0) {
		fail_errno(err, "%s", path);
		free(w->path);
		w->path = NULL; /* it is not ours to remove */
		ova_writer_abort(w);
		return -1;
	}
	*out = w;
	return 0;
}

static void writer_free(struct ova_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->path);
	free(w->name);
	free(w->manifest);
	free(w->buf);
	free(w);
}

void ova_writer_abort(struct ova_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0 && w->path)
		unlink(w->path);
	writer_free(w);
}

static int manifest_add(struct ova_writer *w, const char *name, const uint8_t digest[32], vdisk_error *err)
{
	char *more = realloc(w->manifest, w->manifest_len + LINE_MAX_BYTES);
	size_t n;

	if (!more)
		return fail_nomem(err);
	w->manifest = more;
	more += w->manifest_len;
	n = (size_t)snprintf(more, LINE_MAX_BYTES, "SHA256(%.*s)= ", (int)NAME_MAX_BYTES, name);
	for (size_t i = 0; i < 32; i++)
		n += (size_t)sprintf(more + n, "%02x", digest[i]);
	more[n++] = '\n';
	w->manifest_len += n;
	return 0;
}

/* ---------------------------------------------------------------- a disk */

struct drain {
	struct ova_writer *w;
	int pipe;
	uint64_t at, len;
	gnutls_hash_hd_t hash;
	vdisk_error err;
};

static void *drain_thread(void *arg)
{
	struct drain *d = arg;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (;;) {
		ssize_t n = read(d->pipe, d->w->buf, BLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail_errno(&d->err, "%s: the pipe", d->w->path);
		if (n <= 0)
			break;
		if (gnutls_hash(d->hash, d->w->buf, (size_t)n) < 0) {
			fail(&d->err, VDISK_IO, "%s: cannot be hashed", d->w->path);
			break;
		}
		if (file_write(d->w, d->w->buf, (size_t)n, d->at + d->len, &d->err))
			break;
		d->len += (uint64_t)n;
	}
	close(d->pipe); /* who writes to it hears of a failure by that */
	return NULL;
}

static int disk_convert(struct drain *d, vdisk_image *src, const struct vdisk_convert_options *how,
                        struct vdisk_convert_report *report, vdisk_error *err)
{
	static const char *const options[] = { "subformat=streamOptimized", NULL };
	struct vdisk_convert_options o = {
		.format = "vmdk",
		.options = options,
		.size = how->size,
		.flags = how->flags & (VDISK_CONVERT_DIGEST | VDISK_CONVERT_ROUND_UP),
		.level = how->level,
		.threads = how->threads,
		.memory_bytes = how->memory_bytes,
		.progress = how->progress,
		.progress_ctx = how->progress_ctx,
		.cancel = how->cancel,
		.lost = how->lost,
		.lost_ctx = how->lost_ctx,
		.log = how->log,
		.log_ctx = how->log_ctx,
	};
	pthread_t thread;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC))
		return fail_errno(err, "a pipe");
	fcntl(fds[1], F_SETPIPE_SZ, (int)BLOCK); /* fewer wake-ups; without it, all the same */
	d->pipe = fds[0];
	errno = pthread_create(&thread, NULL, drain_thread, d);
	if (errno) {
		fail_errno(err, "a thread");
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	o.stream_fd = fds[1];
	rc = vdisk_convert(src, "-", &o, report, err);
	close(fds[1]);
	pthread_join(thread, NULL);
	if (d->err.kind) {
		if (err)
			*err = d->err;
		rc = -1;
	}
	return rc;
}

int ova_writer_disk(struct ova_writer *w, const char *name, vdisk_image *src, const struct vdisk_convert_options *how,
                    uint64_t *file_size, struct vdisk_convert_report *report, vdisk_error *err)
{
	struct drain d = { .w = w, .at = w->at + TAR_HEADER_BYTES };
	uint8_t head[TAR_HEADER_BYTES], digest[32];
	int rc;

	if (gnutls_hash_init(&d.hash, GNUTLS_DIG_SHA256) < 0)
		return fail_nomem(err);
	rc = disk_convert(&d, src, how, report, err);
	gnutls_hash_deinit(d.hash, digest);
	if (rc || tar_header(name, d.len, w->mtime, head, err) || file_write(w, head, sizeof(head), w->at, err) ||
	    manifest_add(w, name, digest, err))
		return -1;
	w->at = d.at + up(d.len);
	*file_size = d.len;
	return 0;
}

/* ---------------------------------------------------------------- the rest */

static int member_write(const struct ova_writer *w, const char *suffix, const void *bytes, size_t len, uint64_t at,
                        vdisk_error *err)
{
	char name[NAME_MAX_BYTES + 8];
	uint8_t head[TAR_HEADER_BYTES];

	snprintf(name, sizeof(name), "%.*s%s", (int)NAME_MAX_BYTES, w->name, suffix);
	return tar_header(name, len, w->mtime, head, err) || file_write(w, head, sizeof(head), at, err) ||
	       file_write(w, bytes, len, at + TAR_HEADER_BYTES, err) ? -1 : 0;
}

/* The descriptor fills its room, since no tar has gaps: blanks may follow the end of an XML document. */
static int descriptor_write(struct ova_writer *w, const char *descriptor, size_t len, vdisk_error *err)
{
	char name[NAME_MAX_BYTES + 8], *padded;
	uint8_t digest[32];
	int rc;

	if (len > w->room)
		return fail(err, VDISK_INVALID, "%s: the descriptor takes %zu bytes, for which there are %zu", w->path, len,
		            w->room);
	padded = malloc(w->room);
	if (!padded)
		return fail_nomem(err);
	memset(padded, '\n', w->room);
	memcpy(padded, descriptor, len);
	snprintf(name, sizeof(name), "%.*s.ovf", (int)NAME_MAX_BYTES, w->name);
	rc = member_write(w, ".ovf", padded, w->room, 0, err);
	if (!rc && gnutls_hash_fast(GNUTLS_DIG_SHA256, padded, w->room, digest) < 0)
		rc = fail(err, VDISK_IO, "%s: cannot be hashed", w->path);
	free(padded);
	return rc ? -1 : manifest_add(w, name, digest, err);
}

int ova_writer_finish(struct ova_writer *w, const char *descriptor, size_t len, vdisk_error *err)
{
	uint64_t end;
	int rc = descriptor_write(w, descriptor, len, err) || member_write(w, ".mf", w->manifest, w->manifest_len, w->at, err) ? -1
	                                                                                                                       : 0;

	/* Two blocks of zeros, and the length that tar's own records have. */
	end = w->at + TAR_HEADER_BYTES + up(w->manifest_len) + 2 * TAR_HEADER_BYTES;
	end = (end + 10239) / 10240 * 10240;
	if (!rc && (ftruncate(w->fd, (off_t)end) || fsync(w->fd)))
		rc = fail_errno(err, "%s", w->path);
	if (rc)
		ova_writer_abort(w);
	else
		writer_free(w);
	return rc;
}

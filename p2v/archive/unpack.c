/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk of an OVA that is packed by gzip (ovf:compression), unpacked by a thread of its own into a pipe.  The thread owns
 * everything but `abandon`, which tells it that nobody wants the rest; what failed is told when it was joined.
 */
#include "package_own.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK    ((size_t)256 << 10)
#define REST_MAX ((uint64_t)64 << 20) /* what may come behind the end of an image */

struct package_unpack {
	pthread_t thread;
	char *path, *ref;
	struct vdisk_part *parts;
	size_t n;
	int file, pipe;
	uint8_t *in, *out;
	z_stream z;
	bool z_ready;
	atomic_bool abandon;
	bool unread;   /* the pipe has no reader any more */
	uint64_t rest; /* bytes since then */
	vdisk_error err;
};

/* 0, or -1 with u->err. */
static int out_write(struct package_unpack *u, size_t len)
{
	for (size_t done = 0; done < len && !u->unread;) {
		ssize_t n = write(u->pipe, u->out + done, len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EPIPE)
			u->unread = true;
		else if (errno != EINTR)
			return fail_errno(&u->err, "%s: %s: the pipe", u->path, u->ref);
	}
	if (!u->unread)
		return 0;
	u->rest += len;
	return u->rest <= REST_MAX
	               ? 0
	               : fail(&u->err, VDISK_CORRUPT, "%s: %s: much more comes out of it than the image takes", u->path, u->ref);
}

/* One block of packed bytes; *end: the stream ended with it, and another may begin. */
static int block_unpack(struct package_unpack *u, size_t len, bool *end)
{
	u->z.next_in = u->in;
	u->z.avail_in = (uInt)len;
	do {
		int rc;

		u->z.next_out = u->out;
		u->z.avail_out = BLOCK;
		rc = inflate(&u->z, Z_NO_FLUSH);
		if (rc == Z_MEM_ERROR)
			return fail_nomem(&u->err);
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return fail(&u->err, VDISK_CORRUPT, "%s: %s: cannot be unpacked: %s", u->path, u->ref,
			            u->z.msg ? u->z.msg : "no gzip");
		if (out_write(u, BLOCK - u->z.avail_out))
			return -1;
		*end = rc == Z_STREAM_END;
		if (*end && u->z.avail_in && inflateReset(&u->z) != Z_OK) /* streams one behind the other are one */
			return fail_nomem(&u->err);
		if (rc == Z_BUF_ERROR)
			break;
	} while (u->z.avail_in || !u->z.avail_out);
	return 0;
}

static int unpack_all(struct package_unpack *u)
{
	bool end = false;

	for (size_t i = 0; i < u->n; i++)
		for (uint64_t at = 0; at < u->parts[i].len;) {
			size_t n = u->parts[i].len - at < BLOCK ? (size_t)(u->parts[i].len - at) : BLOCK;

			if (atomic_load(&u->abandon))
				return 0;
			if (file_read(u->file, u->path, u->in, n, u->parts[i].host + at, &u->err))
				return -1;
			if (end && inflateReset(&u->z) != Z_OK)
				return fail_nomem(&u->err);
			if (block_unpack(u, n, &end))
				return -1;
			at += n;
		}
	return end ? 0 : fail(&u->err, VDISK_CORRUPT, "%s: %s: the packed data ends before its end", u->path, u->ref);
}

static void *unpack_thread(void *arg)
{
	struct package_unpack *u = arg;
	sigset_t all;

	sigfillset(&all); /* SIGPIPE among them */
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	unpack_all(u);
	close(u->pipe);
	u->pipe = -1;
	return NULL;
}

static void unpack_free(struct package_unpack *u)
{
	if (u->z_ready)
		inflateEnd(&u->z);
	if (u->file >= 0)
		close(u->file);
	if (u->pipe >= 0)
		close(u->pipe);
	free(u->path);
	free(u->ref);
	free(u->parts);
	free(u->in);
	free(u->out);
	free(u);
}

int unpack_start(const struct package *p, const struct slot *s, struct package_unpack **out, int *fd, vdisk_error *err)
{
	struct package_unpack *u = calloc(1, sizeof(*u));
	int fds[2] = { -1, -1 }, rc = 0;

	if (!u)
		return fail_nomem(err);
	u->pipe = -1;
	u->path = strdup(p->path);
	u->ref = strdup(s->ref);
	u->parts = malloc((s->n + 1) * sizeof(*u->parts));
	u->n = s->n;
	u->in = malloc(BLOCK);
	u->out = malloc(BLOCK);
	u->file = open(p->path, O_RDONLY | O_CLOEXEC);
	u->z_ready = inflateInit2(&u->z, 15 + 16) == Z_OK;
	if (u->file < 0)
		rc = fail_errno(err, "%s", p->path);
	else if (!u->path || !u->ref || !u->parts || !u->in || !u->out || !u->z_ready)
		rc = fail_nomem(err);
	else if (pipe2(fds, O_CLOEXEC))
		rc = fail_errno(err, "a pipe");
	if (!rc) {
		if (s->n)
			memcpy(u->parts, s->parts, s->n * sizeof(*u->parts));
		u->pipe = fds[1];
		errno = pthread_create(&u->thread, NULL, unpack_thread, u);
		if (errno)
			rc = fail_errno(err, "a thread");
	}
	if (rc) {
		if (fds[0] >= 0)
			close(fds[0]);
		unpack_free(u);
		return -1;
	}
	*out = u;
	*fd = fds[0];
	return 0;
}

int unpack_end(struct package_unpack *u, bool whole, vdisk_error *err)
{
	int rc = 0;

	if (!whole)
		atomic_store(&u->abandon, true);
	pthread_join(u->thread, NULL);
	if (u->err.kind) {
		if (err)
			*err = u->err;
		rc = -1;
	}
	unpack_free(u);
	return rc;
}

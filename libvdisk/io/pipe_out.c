/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Appending to a pipe, socket, terminal or whatever else standard output is.  `lock` guards `busy` and `failed`; the size (the
 * file's head) is what has been written.  A write whose turn it is sets `busy` and works without the lock; the others wait.  An
 * error is kept and wakes everybody: nothing that comes after a gap can be written.
 */
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct pipe_out {
	struct vd_file file;
	int out;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	bool busy;
	int failed; /* errno of the first failure */
};

static struct pipe_out *pipe_of(struct vd_file *f) { return (struct pipe_out *)f; }

/* write() to a pipe that nobody reads raises SIGPIPE, which would end the caller's program.  It is sent to the thread that
   writes: blocked here, and taken back if it was raised here. */
static ssize_t writev_quiet(int fd, const struct iovec *iov, int n)
{
	const struct timespec now = {0, 0};
	sigset_t pipe_set, old, pending;
	ssize_t r;
	int e;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	r = writev(fd, iov, n);
	e = errno;
	if (r < 0 && e == EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = e;
	return r;
}

/* 0 or an errno. */
static int append(int fd, const struct iovec *iov, int n, size_t total)
{
	struct iovec part[VD_IOV_WINDOW];
	size_t done = 0;

	while (done < total) {
		int k = vd_iov_window(iov, n, done, part, VD_IOV_WINDOW);
		ssize_t r = writev_quiet(fd, part, k);

		if (r >= 0) {
			done += (size_t)r;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) { /* whoever made it left it non-blocking */
			struct pollfd wait = {.fd = fd, .events = POLLOUT};

			poll(&wait, 1, -1);
		} else if (errno != EINTR) {
			return errno;
		}
	}
	return 0;
}

/* Waits until all before `off` is written and takes the turn. */
static int turn_take(struct pipe_out *p, uint64_t off, vd_error *err)
{
	int e;

	pthread_mutex_lock(&p->lock);
	while (!p->failed && (p->busy || vd_file_size(&p->file) < off))
		pthread_cond_wait(&p->turn, &p->lock);
	e = p->failed;
	if (!e && vd_file_size(&p->file) == off) {
		p->busy = true;
		pthread_mutex_unlock(&p->lock);
		return 0;
	}
	pthread_mutex_unlock(&p->lock);
	if (e)
		return vd_fail_errno(err, e, off, "%s: cannot write", p->file.name);
	return vd_fail(err, VDISK_UNSUPPORTED, off,
	               "%s: goes to a pipe, where what was written (up to %" PRIu64 ") cannot be changed at %" PRIu64, p->file.name,
	               vd_file_size(&p->file), off);
}

static int turn_give(struct pipe_out *p, uint64_t end, int e, vd_error *err)
{
	pthread_mutex_lock(&p->lock);
	p->busy = false;
	if (e)
		p->failed = e;
	else
		atomic_store(&p->file.size, end);
	pthread_cond_broadcast(&p->turn);
	pthread_mutex_unlock(&p->lock);
	return e ? vd_fail_errno(err, e, end, "%s: cannot write", p->file.name) : 0;
}

static int pipe_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	struct pipe_out *p = pipe_of(f);

	if (turn_take(p, off, err))
		return -1;
	return turn_give(p, off + total, append(p->out, iov, n, total), err);
}

static int pipe_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct pipe_out *p = pipe_of(f);
	struct iovec iov[VD_IOV_WINDOW];
	size_t total;
	int e = 0;

	(void)may_punch;
	if (turn_take(p, off, err))
		return -1;
	for (uint64_t left = len; left && !e; left -= total) {
		int n = vd_iov_zeros(iov, VD_IOV_WINDOW, left, &total);

		e = append(p->out, iov, n, total);
	}
	return turn_give(p, off + len, e, err);
}

static int pipe_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	(void)iov, (void)n, (void)total;
	*got = 0;
	return vd_fail(err, VDISK_UNSUPPORTED, off, "%s: goes to a pipe and cannot be read back", f->name);
}

static int pipe_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (size == vd_file_size(f))
		return 0;
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: goes to a pipe and cannot be made %" PRIu64 " bytes long",
	               f->name, size);
}

/* Standard output may be a file after all. */
static int pipe_flush(struct vd_file *f, vd_error *err)
{
	struct pipe_out *p = pipe_of(f);
	int e;

	pthread_mutex_lock(&p->lock);
	e = p->failed;
	pthread_mutex_unlock(&p->lock);
	if (!e && fdatasync(p->out) && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
		e = errno;
	return e ? vd_fail_errno(err, e, VDISK_NO_OFFSET, "%s: cannot flush", f->name) : 0;
}

static void pipe_close(struct vd_file *f)
{
	struct pipe_out *p = pipe_of(f);

	close(p->out);
	pthread_cond_destroy(&p->turn);
	pthread_mutex_destroy(&p->lock);
	vd_free(p);
}

static const struct vd_file_ops pipe_out_ops = {
	.kind = "pipe out",
	.preadv = pipe_preadv,
	.pwritev = pipe_pwritev,
	.flush = pipe_flush,
	.truncate = pipe_truncate,
	.zero = pipe_zero,
	.close = pipe_close,
};

int vd_file_pipe_out(int fd, const char *name, struct vd_file **out, vd_error *err)
{
	struct pipe_out *p = vd_calloc(1, sizeof(*p));

	if (!p) {
		close(fd);
		return vd_fail_nomem(err, sizeof(*p));
	}
	fcntl(fd, F_SETPIPE_SZ, VD_PIPE_BYTES); /* if it is a pipe, and may be that large */
	p->out = fd;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->turn, NULL);
	if (vd_file_head(&p->file, &pipe_out_ops, name, 0, 0, err)) {
		pipe_close(&p->file);
		return -1;
	}
	*out = &p->file;
	return 0;
}

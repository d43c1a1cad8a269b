/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All threads wait on one epoll descriptor.  Events are edges: each write to a queue's eventfd wakes one thread that waits, and
 * where none does, the next that comes to wait.  So nobody hands work over: who is woken does it, and at a queue depth of one no
 * second thread takes part.
 */
#include "workers.h"
#include "thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 32
#define QUIT UINT32_MAX

struct workers {
	workers_serve_fn serve;
	void *dev;
	int epoll_fd, quit_fd;
	atomic_bool quit;
	unsigned n;
	pthread_t threads[THREADS_MAX];
};

static void *worker_thread(void *arg)
{
	struct workers *w = arg;

	while (!atomic_load(&w->quit)) {
		struct epoll_event event;

		if (epoll_wait(w->epoll_fd, &event, 1, -1) < 1 || event.data.u32 == QUIT)
			continue;
		while (!atomic_load(&w->quit) && w->serve(w->dev, event.data.u32))
			;
	}
	return NULL;
}

static int fd_watch(struct workers *w, int fd, uint32_t id, uint32_t events, vdisk_error *err)
{
	struct epoll_event event = { .events = events, .data.u32 = id };

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? fail_errno(err, "epoll") : 0;
}

static int workers_start(struct workers *w, const int *fds, unsigned n_fds, unsigned n_threads, vdisk_error *err)
{
	if (w->epoll_fd < 0)
		return fail_errno(err, "epoll");
	if (w->quit_fd < 0)
		return fail_errno(err, "eventfd");
	if (fd_watch(w, w->quit_fd, QUIT, EPOLLIN, err))
		return -1;
	for (unsigned i = 0; i < n_fds; i++)
		if (fd_watch(w, fds[i], i, EPOLLIN | EPOLLET, err))
			return -1;
	while (w->n < n_threads && w->n < THREADS_MAX) {
		if (thread_start(&w->threads[w->n], worker_thread, w, "an I/O thread", err))
			return -1;
		w->n++;
	}
	return 0;
}

int workers_create(const int *fds, unsigned n_fds, unsigned n_threads, workers_serve_fn serve, void *dev, struct workers **out,
                   vdisk_error *err)
{
	struct workers *w = calloc(1, sizeof(*w));

	if (!w)
		return fail(err, VDISK_NOMEM, "out of memory");
	w->serve = serve;
	w->dev = dev;
	w->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (workers_start(w, fds, n_fds, n_threads, err)) {
		workers_destroy(w);
		return -1;
	}
	*out = w;
	return 0;
}

void workers_destroy(struct workers *w)
{
	uint64_t one = 1;

	if (!w)
		return;
	atomic_store(&w->quit, true);
	/* Never read, so that it wakes all. */
	if (w->n && write(w->quit_fd, &one, sizeof(one)) == sizeof(one))
		for (unsigned i = 0; i < w->n; i++)
			pthread_join(w->threads[i], NULL);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->quit_fd >= 0)
		close(w->quit_fd);
	free(w);
}

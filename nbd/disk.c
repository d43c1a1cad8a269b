/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server's thread runs from nbd_disk_open() to nbd_disk_close(); its own failure shows as its client's. */
#include "disk.h"

#include "common/fail.h"
#include "common/folder.h"
#include "common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void *serve(void *arg)
{
	struct nbd_disk *d = arg;
	struct server_config cfg = {
		.conn = { .x = &d->x, .timeout_ms = 30000, .threads = CONN_THREADS },
		.fds = d->listener.fds,
		.n_fds = d->listener.n,
		.stop_fd = d->stop_fd,
		.cancel = &d->cancel,
		.clients_max = 16,
	};
	vdisk_error err;

	if (server_run(&cfg, &err))
		say(LOG_ERR, "%s", err.message);
	return NULL;
}

static int socket_make(struct nbd_disk *d, vdisk_error *err)
{
	char path[4200];

	if (folder_make("vdisk-disk", 0, d->folder, sizeof(d->folder), err))
		return -1;
	snprintf(path, sizeof(path), "%s/disk", d->folder);
	return listen_unix(&d->listener, path, err);
}

int nbd_disk_open(struct nbd_disk *d, const struct source_options *o, vdisk_error *err)
{
	struct source_options own = *o;

	*d = (struct nbd_disk){ .stop_fd = -1 };
	own.cancel = &d->cancel;
	if (source_open(&d->source, &own, err))
		return -1;
	if (export_init(&d->x, d->source.img, d->source.off, d->source.len, d->source.rw)) {
		fail_nomem(err);
		goto bad;
	}
	d->x.say = say_few;
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->stop_fd < 0) {
		fail_errno(err, "an event");
		goto bad;
	}
	if (socket_make(d, err))
		goto bad;
	d->serving = !pthread_create(&d->thread, NULL, serve, d);
	if (d->serving)
		return 0;
	fail(err, VDISK_NOMEM, "no thread can be started");
bad:
	nbd_disk_close(d, NULL);
	return -1;
}

const char *nbd_disk_socket(const struct nbd_disk *d) { return d->listener.path; }

int nbd_disk_close(struct nbd_disk *d, vdisk_error *err)
{
	uint64_t one = 1;

	if (d->serving) {
		(void)!write(d->stop_fd, &one, sizeof(one));
		pthread_join(d->thread, NULL);
	}
	d->cancel = 0; /* what was written takes the time that it takes */
	listen_close(&d->listener);
	if (d->folder[0])
		rmdir(d->folder);
	if (d->stop_fd >= 0)
		close(d->stop_fd);
	return source_close(&d->source, err);
}

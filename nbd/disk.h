/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image, of whatever format, as a raw disk for programs like libguestfs: our own NBD server on a socket in a folder that is the
   user's alone. */
#ifndef VDISK_NBD_DISK_H
#define VDISK_NBD_DISK_H

#include "common/source.h"
#include "listen.h"
#include "server.h"

struct nbd_disk {
	struct source source;
	struct export x;
	struct listener listener;
	char folder[4096];
	int stop_fd;
	volatile int cancel; /* clients were cut off: what is still read or written for them is of no use */
	pthread_t thread;
	bool serving;
};

/* 0, or -1 with *err; nothing is left behind then. */
int nbd_disk_open(struct nbd_disk *d, const struct source_options *o, vdisk_error *err);
/* The socket's path. */
const char *nbd_disk_socket(const struct nbd_disk *d);
/* Ends the server and closes the image; -1 where not everything that was written is safe. */
int nbd_disk_close(struct nbd_disk *d, vdisk_error *err);

#endif

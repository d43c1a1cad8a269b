/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-unmount: takes a mount of vdisk-mount away, also one whose program was killed, and waits until that program has finished
 * the image: whoever comes next finds it whole and not locked.
 */
#include "unmount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BUSY_TRIES 20   /* a file that was closed a moment ago still counts as open */
#define END_MS     60000 /* for closing an image whose content is flushed already */

static int said(const char *what, int e)
{
	fprintf(stderr, "vdisk unmount: %s: %s\n", what, strerror(e));
	return 2;
}

/* A descriptor of the program that serves the mount; -1: not to be had (it is dead, say). */
static int server_find(const char *dir)
{
	char path[PATH_MAX + 16], text[16] = "";
	ssize_t n;
	long pid;
	int fd;

	snprintf(path, sizeof(path), "%s/.vdisk/pid", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	pid = n > 0 ? strtol(text, NULL, 10) : 0;
	return pid > 1 && pid <= INT_MAX ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
}

/* What was written is durable, or it is said here that it is not: from the program in the background no word would come. */
static int flush(const char *dir)
{
	char path[PATH_MAX + 16];
	int fd, rc = 0;

	snprintf(path, sizeof(path), "%s/disk", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0; /* read-only, or dead */
	if (fsync(fd))
		rc = said(path, errno);
	close(fd);
	return rc;
}

int main(int argc, char **argv)
{
	struct timespec pause = { .tv_nsec = 50000000 };
	int server, rc, e = 0;

	if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")))
		return puts("usage: vdisk unmount DIR") < 0 || fflush(stdout) ? said("standard output", errno) : 0;
	if (argc != 2 || argv[1][0] == '-' || !argv[1][0]) {
		fprintf(stderr, "vdisk unmount: expects one DIR\n");
		return 2;
	}
	server = server_find(argv[1]);
	rc = flush(argv[1]);
	for (unsigned i = 0; i < BUSY_TRIES && (e = unmount(argv[1], 0)) == EBUSY; i++)
		nanosleep(&pause, NULL);
	if (e)
		return said(argv[1], e);
	if (server >= 0) {
		struct pollfd p = { .fd = server, .events = POLLIN };

		if (!poll(&p, 1, END_MS))
			return said("its program still holds the image", ETIMEDOUT);
	}
	return rc;
}

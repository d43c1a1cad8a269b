/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an NBD client sends, from nowhere: the first byte says how much of a sound handshake goes before the rest, the rest is the
 * client's.  Whatever comes, the server answers or hangs up; and each answer is one that the protocol knows.
 */
#include "conn.h"
#include "wire.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISK_BYTES (1u << 20)
#define INPUT_MAX  (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct export export;

static void disk_open(void)
{
	struct vdisk_open_options o = { .format = "raw", .flags = VDISK_OPEN_RW | VDISK_OPEN_NO_LOCK };
	vdisk_image *img;
	vdisk_error err;
	char path[64];
	int fd = memfd_create("disk", 0);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || ftruncate(fd, DISK_BYTES) || vdisk_open(path, &o, &img, &err)) {
		fprintf(stderr, "no disk: %s\n", fd < 0 ? "memfd" : err.message);
		abort();
	}
	if (export_init(&export, img, 0, DISK_BYTES, true))
		abort();
	export.name = "disk";
}

static size_t option(uint8_t *b, uint32_t id, const void *data, uint32_t len)
{
	be64_put(b, NBD_OPTION_MAGIC);
	be32_put(b + 8, id);
	be32_put(b + 12, len);
	memcpy(b + 16, data, len);
	return 16 + len;
}

/* 0: nothing; 1: flags; 2: structured replies, too; 3: a context, too; bit 2: on to the transmission. */
static size_t handshake(uint8_t *b, uint8_t how)
{
	static const uint8_t go[6], meta[] = "\0\0\0\0\0\0\0\1\0\0\0\017base:allocation";
	size_t n = 0;

	if (!(how & 7))
		return 0;
	be32_put(b, 3);
	n = 4;
	if ((how & 3) >= 2)
		n += option(b + n, NBD_OPT_STRUCTURED_REPLY, "", 0);
	if ((how & 3) == 3)
		n += option(b + n, NBD_OPT_SET_META_CONTEXT, meta, sizeof(meta) - 1);
	if (how & 4)
		n += option(b + n, NBD_OPT_GO, go, sizeof(go));
	return n;
}

static bool read_all(int fd, void *to, size_t len)
{
	uint8_t *p = to;

	while (len) {
		ssize_t n = recv(fd, p, len, 0);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* The client's other end: takes the greeting and the answers to options, then whatever comes. */
static void *reader(void *arg)
{
	int fd = *(int *)arg;
	uint8_t b[4096];

	if (read_all(fd, b, 18)) {
		assert(be64_get(b) == NBD_MAGIC && be64_get(b + 8) == NBD_OPTION_MAGIC);
		while (read_all(fd, b, 8) && be64_get(b) == NBD_OPTION_REPLY_MAGIC && read_all(fd, b, 12)) {
			uint32_t len = be32_get(b + 8);

			assert(len <= 4 + NBD_STRING_MAX);
			for (; len; len -= len < sizeof(b) ? len : (uint32_t)sizeof(b))
				if (!read_all(fd, b, len < sizeof(b) ? len : sizeof(b)))
					return NULL;
		}
		while (recv(fd, b, sizeof(b), 0) > 0)
			;
	}
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conn_config cfg = { .x = &export, .timeout_ms = 1000, .threads = 1 };
	static uint8_t input[256 + INPUT_MAX];
	int fds[2], room = 1 << 20;
	pthread_t thread;
	struct conn *c;
	size_t n;

	if (!size || size > INPUT_MAX)
		return 0;
	if (!export.img)
		disk_open();
	n = handshake(input, data[0]);
	memcpy(input + n, data + 1, size - 1);
	n += size - 1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		abort();
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (send(fds[0], input, n, MSG_NOSIGNAL) != (ssize_t)n || shutdown(fds[0], SHUT_WR))
		abort();
	c = conn_new(&cfg, fds[1]);
	if (!c || pthread_create(&thread, NULL, reader, &fds[0]))
		abort();
	conn_run(c);
	conn_free(c);
	pthread_join(thread, NULL);
	close(fds[0]);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image as a disk for other programs: closing it does not depend on what they do with their answers. */
#include "disk.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <endian.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DISK_BYTES (16u << 20)

struct __attribute__((packed)) option {
	uint64_t magic;
	uint32_t number, len;
};

struct __attribute__((packed)) request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t cookie, off;
	uint32_t len;
};

static void send_all(int fd, const void *bytes, size_t n) { assert_int_equal(n, send(fd, bytes, n, MSG_NOSIGNAL)); }

static void take(int fd, size_t n)
{
	char bytes[64];

	assert_true(n <= sizeof(bytes));
	assert_int_equal(n, recv(fd, bytes, n, MSG_WAITALL));
}

/* A client by NBD_OPT_EXPORT_NAME, in transmission. */
static int client(const char *path)
{
	const struct option name = { htobe64(0x49484156454F5054), htonl(1), 0 };
	const uint32_t flags = htonl(3); /* fixed newstyle, no zeros */
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && strlen(path) < sizeof(a.sun_path));
	strcpy(a.sun_path, path);
	assert_int_equal(0, connect(fd, (const struct sockaddr *)&a, sizeof(a)));
	take(fd, 18);
	send_all(fd, &flags, sizeof(flags));
	send_all(fd, &name, sizeof(name));
	take(fd, 10);
	return fd;
}

/* Four answers of 16 MiB that nobody takes: they are cut off. */
static void answers_left(void **state)
{
	char path[] = "/tmp/vdisk-test-disk.XXXXXX";
	struct source_options o = { .image = path, .format = "raw" };
	struct nbd_disk d;
	vdisk_error err = { 0 };
	int file = mkstemp(path);

	(void)state;
	assert_true(file >= 0);
	assert_int_equal(0, ftruncate(file, DISK_BYTES));
	if (nbd_disk_open(&d, &o, &err))
		fail_msg("%s", err.message);
	int fd = client(nbd_disk_socket(&d));
	for (unsigned i = 0; i < 4; i++) {
		const struct request r = { htonl(0x25609513), 0, 0, i, 0, htonl(DISK_BYTES) };

		send_all(fd, &r, sizeof(r));
	}
	struct pollfd p = { .fd = fd, .events = POLLIN };
	assert_int_equal(1, poll(&p, 1, 60000)); /* the first one has begun */
	if (nbd_disk_close(&d, &err))
		fail_msg("%s", err.message);
	close(fd);
	close(file);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(answers_left) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

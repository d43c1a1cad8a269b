/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page cache behind a file that is passed once.  Holes will do: reading them fills the cache as data does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/file.h"
#include "io/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB    (UINT64_C(1) << 20)
#define SIZE   (512 * MIB)
#define AT_ONCE (8 * 16 * MIB) /* what a trail may leave while it is at work */

static int fd = -1;
static uint8_t buf[1 << 20];

/* Bytes of [off, off+len) in the cache. */
static uint64_t cached(uint64_t off, uint64_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = len / page;
	unsigned char *vec = malloc(n);
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)off);
	uint64_t got = 0;

	assert_non_null(vec);
	assert_true(map != MAP_FAILED);
	assert_int_equal(mincore(map, len, vec), 0);
	for (size_t i = 0; i < n; i++)
		got += vec[i] & 1 ? page : 0;
	munmap(map, len);
	free(vec);
	return got;
}

static void read_all(uint64_t off, uint64_t end)
{
	for (; off < end; off += sizeof(buf))
		assert_int_equal(pread(fd, buf, sizeof(buf), (off_t)off), sizeof(buf));
}

static void at_most(uint64_t most, uint64_t got)
{
	if (got > most)
		fail_msg("%llu bytes are cached, %llu are due at most", (unsigned long long)got, (unsigned long long)most);
}

static int setup(void **state)
{
	char name[] = "trail-XXXXXX";

	(void)state;
	fd = mkstemp(name);
	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(fd);
	return 0;
}

/* On tmpfs the cache is the file. */
static void need_cache(void)
{
	read_all(0, 4 * MIB);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (cached(0, 4 * MIB))
		skip();
}

static void test_found(void **state)
{
	struct vd_trail *t;
	uint64_t before;

	(void)state;
	need_cache();
	read_all(96 * MIB, 112 * MIB); /* a whole chunk, and parts of two */
	read_all(200 * MIB, 230 * MIB);
	before = cached(0, SIZE); /* the kernel may have read ahead */
	t = vd_trail_new(fd, false);
	assert_non_null(t);
	for (uint64_t at = 0; at < SIZE; at += MIB) {
		assert_int_equal(vd_trail_pass(t, at, MIB), 0);
		read_all(at, at + MIB);
		if (at % (64 * MIB) == 0)
			at_most(before + AT_ONCE + 16 * MIB, cached(0, SIZE));
	}
	assert_true(cached(0, 64 * MIB) == 0);
	vd_trail_free(t);
	assert_int_equal(cached(96 * MIB, 16 * MIB), 16 * MIB);
	assert_int_equal(cached(200 * MIB, 30 * MIB), 30 * MIB);
	at_most(before + 2 * MIB, cached(0, SIZE));
}

/* In an order that is not the file's, as a fragmented image is read. */
static void test_out_of_order(void **state)
{
	struct vd_trail *t;

	(void)state;
	need_cache();
	t = vd_trail_new(fd, false);
	assert_non_null(t);
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t at = i * 211 % 512 * MIB;

		assert_int_equal(vd_trail_pass(t, at, MIB), 0);
		read_all(at, at + MIB);
	}
	vd_trail_free(t);
	at_most(AT_ONCE + 16 * MIB, cached(0, SIZE));
}

static void test_own(void **state)
{
	struct vd_trail *t;

	(void)state;
	need_cache();
	t = vd_trail_new(fd, true);
	assert_non_null(t);
	memset(buf, 7, sizeof(buf));
	for (uint64_t at = 0; at < 192 * MIB; at += MIB) {
		if (at < 32 * MIB)
			assert_int_equal(pwrite(fd, buf, sizeof(buf), (off_t)at), sizeof(buf));
		else
			read_all(at, at + MIB);
		assert_int_equal(vd_trail_pass(t, at, MIB), 0);
	}
	at_most(AT_ONCE + 16 * MIB, cached(0, SIZE));
	vd_trail_free(t);
	assert_int_equal(cached(0, 192 * MIB), 0); /* behind that the kernel has read ahead */
	for (uint64_t at = 0; at < 32 * MIB; at += MIB) {
		uint8_t back[4096];

		assert_int_equal(pread(fd, back, sizeof(back), (off_t)at), sizeof(back));
		assert_true(back[0] == 7 && !memcmp(back, back + 1, sizeof(back) - 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

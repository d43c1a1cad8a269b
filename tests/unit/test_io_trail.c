/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a trail asks of the page cache behind a file that is passed once.  A kernel that needs memory takes pages when it likes, so
 * that the cache here is a model of one (by --wrap), which reads ahead and does not drop what has not been written out; e2e/cache
 * asks the kernel's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB     (UINT64_C(1) << 20)
#define SIZE    (512 * MIB)
#define AHEAD   (MIB / 2)
#define PAGE    UINT64_C(4096)
#define AT_ONCE (8 * 16 * MIB) /* what a trail may leave while it is at work */

static int fd = -1;
static bool present[SIZE / PAGE], dirty[SIZE / PAGE];
static struct {
	void *map;
	uint64_t off;
} looked; /* the mapping that mincore() may be asked about */

void *__real_mmap64(void *addr, size_t len, int prot, int flags, int file, off64_t off);
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int file, off64_t off);
int __wrap_mincore(void *addr, size_t len, unsigned char *vec);
int __wrap_posix_fadvise64(int file, off64_t off, off64_t len, int advice);
int __wrap_sync_file_range(int file, off64_t off, off64_t len, unsigned int flags);

void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int file, off64_t off)
{
	void *map = __real_mmap64(addr, len, prot, flags, file, off);

	if (file == fd) {
		looked.map = map;
		looked.off = (uint64_t)off;
	}
	return map;
}

int __wrap_mincore(void *addr, size_t len, unsigned char *vec)
{
	assert_ptr_equal(looked.map, addr);
	for (uint64_t i = 0; i < len / PAGE; i++)
		vec[i] = looked.off / PAGE + i < SIZE / PAGE && present[looked.off / PAGE + i];
	return 0;
}

int __wrap_posix_fadvise64(int file, off64_t off, off64_t len, int advice)
{
	assert_int_equal(fd, file);
	assert_int_equal(POSIX_FADV_DONTNEED, advice);
	assert_true(off >= 0 && len > 0); /* a length of 0 is all that follows */
	for (uint64_t i = ((uint64_t)off + PAGE - 1) / PAGE; i < (uint64_t)(off + len) / PAGE && i < SIZE / PAGE; i++)
		present[i] = present[i] && dirty[i];
	return 0;
}

int __wrap_sync_file_range(int file, off64_t off, off64_t len, unsigned int flags)
{
	assert_int_equal(fd, file);
	assert_int_equal(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER, flags);
	for (uint64_t i = (uint64_t)off / PAGE; i < (uint64_t)(off + len) / PAGE && i < SIZE / PAGE; i++)
		dirty[i] = false;
	return 0;
}

/* Bytes of [off, off+len) in the cache. */
static uint64_t cached(uint64_t off, uint64_t len)
{
	uint64_t got = 0;

	for (uint64_t i = off / PAGE; i < (off + len) / PAGE; i++)
		got += present[i] ? PAGE : 0;
	return got;
}

static void bring(uint64_t off, uint64_t end)
{
	for (uint64_t i = off / PAGE; i < end / PAGE && i < SIZE / PAGE; i++)
		present[i] = true;
}

static void read_all(uint64_t off, uint64_t end)
{
	bring(off, end + AHEAD);
}

static void write_all(uint64_t off, uint64_t end)
{
	bring(off, end);
	memset(dirty + off / PAGE, true, (end - off) / PAGE);
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
	memset(present, 0, sizeof(present));
	memset(dirty, 0, sizeof(dirty));
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
	fd = -1;
	return 0;
}

static void test_found(void **state)
{
	struct vd_trail *t;
	uint64_t before;

	(void)state;
	read_all(96 * MIB, 112 * MIB); /* a whole chunk, and parts of two */
	read_all(200 * MIB, 230 * MIB);
	bring(301 * MIB, 301 * MIB + PAGE); /* a page alone */
	before = cached(0, SIZE);
	t = vd_trail_new(fd, false);
	assert_non_null(t);
	for (uint64_t at = 0; at < SIZE; at += MIB) {
		assert_int_equal(vd_trail_pass(t, at, MIB), 0);
		read_all(at, at + MIB);
		at_most(before + AT_ONCE + AHEAD, cached(0, SIZE));
	}
	assert_int_equal(cached(0, 64 * MIB), 0);
	vd_trail_free(t);
	assert_int_equal(cached(96 * MIB, 16 * MIB), 16 * MIB);
	assert_int_equal(cached(200 * MIB, 30 * MIB), 30 * MIB);
	assert_int_equal(cached(301 * MIB, PAGE), PAGE);
	at_most(before + 65536, cached(0, SIZE)); /* that page's granule */
}

/* In an order that is not the file's, as a fragmented image is read. */
static void test_out_of_order(void **state)
{
	struct vd_trail *t;

	(void)state;
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
	t = vd_trail_new(fd, true);
	assert_non_null(t);
	for (uint64_t at = 0; at < 192 * MIB; at += MIB) {
		if (at < 128 * MIB)
			write_all(at, at + MIB);
		else
			read_all(at, at + MIB);
		assert_int_equal(vd_trail_pass(t, at, MIB), 0);
		at_most(AT_ONCE + AHEAD, cached(0, SIZE));
	}
	vd_trail_free(t);
	assert_int_equal(cached(0, 192 * MIB), 0); /* behind that the kernel has read ahead */
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

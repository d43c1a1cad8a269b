/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What holds for every seekable file, tried on posix and memory ones, bare and wrapped, against a flat array. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "io/testfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPACE (1u << 20)

enum { POSIX, MEMORY, FAULT, CRASH, KINDS };
static const char *const kind_name[] = {"posix", "memory", "fault", "crash"};

static struct vd_fault never = {.countdown = -1, .ops = 15};
static struct vd_crash *clock_of_all;

static struct vd_file *file_new(int kind)
{
	char path[] = "/tmp/vdisk-io-XXXXXX";
	struct vd_file *f, *w;
	unsigned id;
	vd_error err;
	int fd;

	if (kind == POSIX) {
		fd = mkstemp(path);
		assert_true(fd >= 0);
		unlink(path);
		if (vd_file_posix_fd(fd, "posix.img", true, &f, &err))
			fail_msg("%s", err.message);
		return f;
	}
	assert_int_equal(vd_file_memory("memory.img", NULL, 0, &f, &err), 0);
	if (kind == FAULT) {
		assert_int_equal(vd_file_fault(f, &never, &w, &err), 0);
		return w;
	}
	if (kind == CRASH) {
		clock_of_all = vd_crash_new();
		assert_int_equal(vd_file_crash(clock_of_all, f, &w, &id, &err), 0);
		return w;
	}
	return f;
}

static void file_end(struct vd_file *f)
{
	vd_file_close(f);
	vd_crash_free(clock_of_all);
	clock_of_all = NULL;
}

static uint32_t dice_state;

static uint32_t dice(uint32_t below)
{
	dice_state = dice_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)dice_state * below >> 32);
}

struct model {
	uint8_t bytes[SPACE];
	uint64_t size;
};
static struct model m;
static uint8_t buf[SPACE];

static void check_all(struct vd_file *f, int kind, unsigned round)
{
	vd_error err;
	uint64_t len;
	bool data;

	if (vd_file_size(f) != m.size)
		fail_msg("%s, round %u: size %llu, expected %llu", kind_name[kind], round, (unsigned long long)vd_file_size(f),
		         (unsigned long long)m.size);
	if (vd_file_pread(f, buf, m.size, 0, &err))
		fail_msg("%s, round %u: %s", kind_name[kind], round, err.message);
	for (size_t i = 0; i < m.size; i++)
		if (buf[i] != m.bytes[i])
			fail_msg("%s, round %u: byte %zu is %02x, expected %02x", kind_name[kind], round, i, buf[i], m.bytes[i]);
	for (uint64_t off = 0; off < m.size; off += len) {
		len = m.size - off;
		assert_int_equal(vd_file_extent(f, off, &len, &data, &err), 0);
		assert_true(len > 0 && len <= m.size - off);
		for (uint64_t i = off; i < off + len && !data; i++)
			if (m.bytes[i])
				fail_msg("%s, round %u: byte %llu is said to be in a hole", kind_name[kind], round,
				         (unsigned long long)i);
	}
}

static void size_reach(uint64_t end)
{
	if (end > m.size)
		m.size = end;
}

static void step(struct vd_file *f)
{
	uint64_t off = dice(SPACE / 2), len = 1 + dice(dice(4) ? 3000 : SPACE / 2), end = off + len;
	struct iovec iov[3];
	size_t a, b;
	vd_error err;

	switch (dice(6)) {
	case 0:
	case 1:
		for (size_t i = 0; i < len; i++)
			m.bytes[off + i] = buf[i] = (uint8_t)dice(256);
		size_reach(end);
		a = len / 3;
		b = len / 2;
		iov[0] = (struct iovec){buf, a};
		iov[1] = (struct iovec){buf + a, b};
		iov[2] = (struct iovec){buf + a + b, len - a - b};
		assert_int_equal(vd_file_pwritev(f, iov, 3, off, &err), 0);
		break;
	case 2:
	case 3:
		memset(m.bytes + off, 0, len);
		size_reach(end);
		assert_int_equal(vd_file_zero(f, off, len, dice(2), &err), 0);
		break;
	case 4:
		if (off < m.size)
			memset(m.bytes + off, 0, vd_min(len, m.size - off));
		assert_int_equal(vd_file_punch(f, off, len, &err), 0);
		break;
	default:
		len = dice(4) ? off + dice(60000) : off;
		if (len < m.size)
			memset(m.bytes + len, 0, m.size - len);
		m.size = len;
		assert_int_equal(vd_file_truncate(f, len, &err), 0);
	}
}

static void against_model(void **state)
{
	(void)state;
	for (int kind = 0; kind < KINDS; kind++) {
		struct vd_file *f = file_new(kind);

		memset(&m, 0, sizeof(m));
		dice_state = 4711;
		for (unsigned round = 0; round < 120; round++) {
			step(f);
			check_all(f, kind, round);
		}
		assert_int_equal(vd_file_flush(f, NULL), 0);
		file_end(f);
	}
}

static void ends(void **state)
{
	vd_error err;
	uint8_t b[100];
	size_t got;

	(void)state;
	for (int kind = 0; kind < KINDS; kind++) {
		struct vd_file *f = file_new(kind);

		assert_int_equal(vd_file_pwrite(f, "0123456789", 10, 5, &err), 0);
		assert_int_equal(vd_file_size(f), 15);
		assert_int_equal(vd_file_pread(f, b, 10, 6, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		assert_non_null(strstr(err.message, "cut short"));
		assert_int_equal(vd_file_pread_some(f, b, 10, 6, &got, &err), 0);
		assert_int_equal(got, 9);
		assert_memory_equal(b, "123456789", 9);
		assert_int_equal(vd_file_pread_some(f, b, 10, UINT64_MAX - 3, &got, &err), 0);
		assert_int_equal(got, 0);
		assert_int_equal(vd_file_pread(f, b, 10, UINT64_MAX - 3, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		assert_int_equal(vd_file_pread(f, b, 0, 999, &err), 0);
		assert_int_equal(vd_file_pwrite(f, b, 0, 999, &err), 0);
		assert_int_equal(vd_file_zero(f, 999, 0, true, &err), 0);
		assert_int_equal(vd_file_size(f), 15);
		assert_int_equal(vd_file_pwrite(f, b, 10, UINT64_MAX - 3, &err), -1);
		assert_int_equal(err.sys_errno, EFBIG);
		assert_int_equal(vd_file_zero(f, 10, UINT64_MAX, true, &err), -1);
		assert_int_equal(err.sys_errno, EFBIG);
		assert_int_equal(vd_file_truncate(f, UINT64_MAX, &err), -1);
		assert_int_equal(vd_file_punch(f, 5, UINT64_MAX, &err), 0);
		assert_int_equal(vd_file_pread(f, b, 15, 0, &err), 0);
		for (int i = 0; i < 15; i++)
			assert_int_equal(b[i], 0);
		assert_int_equal(vd_file_size(f), 15);
		file_end(f);
	}
	vd_file_close(NULL);
}

/* More vectors than one system call takes. */
static void many_vectors(void **state)
{
	enum { N = 3000 };
	static struct iovec iov[N];
	vd_error err;

	(void)state;
	for (int kind = 0; kind < KINDS; kind++) {
		struct vd_file *f = file_new(kind);

		for (int i = 0; i < N; i++) {
			memset(buf + i * 7, i, 7);
			iov[i] = (struct iovec){buf + i * 7, i % 5 ? 7 : 0};
		}
		assert_int_equal(vd_file_pwritev(f, iov, N, 3, &err), 0);
		assert_int_equal(vd_file_size(f), 3 + 7 * N / 5 * 4);
		memset(buf, 0xdd, sizeof(buf));
		assert_int_equal(vd_file_preadv(f, iov, N, 3, &err), 0);
		for (int i = 0; i < N; i++)
			assert_int_equal(buf[i * 7 + 3], i % 5 ? (uint8_t)i : 0xdd);
		file_end(f);
	}
}

/* Offsets far out cost nothing. */
static void far_out(void **state)
{
	uint64_t far = UINT64_C(1) << 42, len;
	struct vd_file *f = file_new(MEMORY);
	vd_error err;
	uint8_t b[4];
	bool data;

	(void)state;
	assert_int_equal(vd_file_pwrite(f, "abcd", 4, far - 2, &err), 0);
	assert_int_equal(vd_file_pread(f, b, 4, far - 2, &err), 0);
	assert_memory_equal(b, "abcd", 4);
	assert_int_equal(vd_file_allocated(f, &len, &err), 0);
	assert_int_equal(len, 2 * 65536);
	len = UINT64_MAX;
	assert_int_equal(vd_file_extent(f, 0, &len, &data, &err), 0);
	assert_false(data);
	assert_int_equal(len, far - 65536);
	len = UINT64_MAX;
	assert_int_equal(vd_file_extent(f, far - 65536, &len, &data, &err), 0);
	assert_true(data);
	assert_int_equal(len, 2 * 65536);
	assert_int_equal(vd_file_zero(f, 0, far, true, &err), 0);
	assert_int_equal(vd_file_allocated(f, &len, &err), 0);
	assert_int_equal(len, 65536);
	assert_int_equal(vd_file_truncate(f, 0, &err), 0);
	assert_int_equal(vd_file_truncate(f, far + 2, &err), 0);
	assert_int_equal(vd_file_pread(f, b, 4, far - 2, &err), 0);
	assert_memory_equal(b, "\0\0\0\0", 4);
	file_end(f);
}

static void read_only(void **state)
{
	struct vd_file *f;
	vd_error err;
	uint8_t b[8];
	size_t got;

	(void)state;
	assert_int_equal(vd_file_memory_view("view", "abcdef", 6, &f, &err), 0);
	assert_int_equal(vd_file_size(f), 6);
	assert_int_equal(vd_file_pread(f, b, 3, 2, &err), 0);
	assert_memory_equal(b, "cde", 3);
	assert_int_equal(vd_file_pread_some(f, b, 8, 4, &got, &err), 0);
	assert_int_equal(got, 2);
	assert_int_equal(vd_file_pwrite(f, b, 1, 0, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	assert_int_equal(vd_file_zero(f, 0, 1, true, &err), -1);
	assert_int_equal(vd_file_punch(f, 0, 1, &err), -1);
	assert_int_equal(vd_file_truncate(f, 0, &err), -1);
	assert_int_equal(vd_file_flush(f, &err), 0);
	assert_int_equal(vd_file_lock(f, true, &err), 0);
	vd_file_release(f, 0, 6);
	vd_file_close(f);
}

static void out_of_memory(void **state)
{
	struct vd_file *f;
	vd_error err;

	(void)state;
	for (long n = 0; n < 9; n++) {
		int r;

		alloc_fail_at(n);
		r = vd_file_memory("m", "abc", 3, &f, &err);
		if (!r)
			break;
		assert_int_equal(err.kind, VDISK_NOMEM);
		assert_true(n < 8);
	}
	alloc_fail_at(0);
	assert_int_equal(vd_file_pwrite(f, "x", 1, 1 << 20, &err), -1);
	assert_int_equal(err.kind, VDISK_NOMEM);
	alloc_fail_at(-1);
	vd_file_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_model), cmocka_unit_test(ends),      cmocka_unit_test(many_vectors),
		cmocka_unit_test(far_out),       cmocka_unit_test(read_only), cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

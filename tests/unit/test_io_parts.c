/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file made of parts of another: against an array, at every edge; and images in it, which name nothing outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/image.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INNER 50000u
#define OUTER 60000u

static struct vd_file *inner_new(uint8_t bytes[INNER])
{
	struct vd_file *f;

	for (size_t i = 0; i < INNER; i++)
		bytes[i] = (uint8_t)(1 + rand() % 255);
	assert_int_equal(vd_file_memory("archive", bytes, INNER, &f, NULL), 0);
	return f;
}

/* Parts in any order of the file below, with gaps and without, and what they come to. */
static size_t parts_make(struct vdisk_part *v, size_t cap, const uint8_t inner[INNER], uint8_t flat[OUTER])
{
	uint64_t at = 0;
	size_t n = 0;

	memset(flat, 0, OUTER);
	while (n < cap) {
		uint64_t gap = rand() % 3 ? (uint64_t)rand() % 3000 : 0, len = 1 + (uint64_t)rand() % 4000, host;

		if (at + gap + len > OUTER)
			break;
		host = (uint64_t)rand() % (INNER - len);
		v[n++] = (struct vdisk_part){ .off = at + gap, .len = len, .host = host };
		memcpy(flat + at + gap, inner + host, len);
		at += gap + len;
	}
	return n;
}

static void reads_check(struct vd_file *f, const uint8_t flat[OUTER])
{
	for (unsigned i = 0; i < 300; i++) {
		uint64_t off = (uint64_t)rand() % (OUTER + 100), left = off < OUTER ? OUTER - off : 0;
		size_t want = (size_t)rand() % 9000, got;
		uint8_t buf[9000];
		struct iovec iov[90];
		int n = 0;

		for (size_t at = 0; at < want && n < 90; n++) { /* more vectors than are passed on at once */
			size_t k = n == 89 ? want - at : (size_t)rand() % 200 % (want - at + 1);

			iov[n] = (struct iovec){ buf + at, k };
			at += k;
		}
		if (want <= left && n) {
			size_t total = 0;

			for (int k = 0; k < n; k++)
				total += iov[k].iov_len;
			memset(buf, 0xee, sizeof(buf));
			assert_int_equal(vd_file_preadv(f, iov, n, off, NULL), 0);
			assert_memory_equal(buf, flat + off, total);
		}
		assert_int_equal(vd_file_pread_some(f, buf, want, off, &got, NULL), 0);
		assert_int_equal(got, want < left ? want : left);
		if (got)
			assert_memory_equal(buf, flat + off, got);
	}
}

static void test_against_an_array(void **state)
{
	unsigned seed = getenv("VDISK_SEED") ? (unsigned)strtoul(getenv("VDISK_SEED"), NULL, 0) : (unsigned)time(NULL);
	static uint8_t inner[INNER], flat[OUTER];

	(void)state;
	printf("seed: VDISK_SEED=%u\n", seed);
	srand(seed);
	for (unsigned round = 0; round < 40; round++) {
		struct vd_file *below = inner_new(inner), *f;
		struct vdisk_part v[64];
		size_t n = parts_make(v, 1 + (size_t)rand() % 64, inner, flat);
		uint64_t bytes = 0, said, at = 0;
		bool data = true;

		assert_int_equal(vd_file_parts(below, v, n, OUTER, &f, NULL), 0);
		assert_int_equal(vd_file_size(f), OUTER);
		assert_int_equal(f->fd, -1);
		reads_check(f, flat);
		for (size_t i = 0; i < n; i++)
			bytes += v[i].len;
		assert_int_equal(vd_file_allocated(f, &said, NULL), 0);
		assert_int_equal(said, bytes);
		while (at < OUTER) { /* a hole holds nothing; data is told where a part is */
			uint64_t len = OUTER - at;

			assert_int_equal(vd_file_extent(f, at, &len, &data, NULL), 0);
			assert_true(len > 0 && len <= OUTER - at);
			for (uint64_t k = 0; k < len; k++)
				assert_true(data ? flat[at + k] != 0 : flat[at + k] == 0);
			at += len;
		}
		assert_int_not_equal(vd_file_pwrite(f, "x", 1, 0, NULL), 0);
		vd_file_close(f);
	}
}

static void refuse(const struct vdisk_part *v, size_t n, uint64_t len, enum vdisk_error_kind kind)
{
	static uint8_t inner[INNER];
	struct vd_file *f;
	vd_error err = { 0 };

	assert_int_not_equal(vd_file_parts(inner_new(inner), v, n, len, &f, &err), 0);
	assert_int_equal(err.kind, kind);
}

static void test_refusals(void **state)
{
	(void)state;
	refuse((struct vdisk_part[]){ { 0, 10, INNER - 9 } }, 1, 10, VDISK_CORRUPT);
	refuse((struct vdisk_part[]){ { 0, 10, UINT64_MAX - 5 } }, 1, 10, VDISK_CORRUPT);
	refuse((struct vdisk_part[]){ { 0, 11, 0 } }, 1, 10, VDISK_INVALID);
	refuse((struct vdisk_part[]){ { UINT64_MAX - 3, 10, 0 } }, 1, 10, VDISK_INVALID);
	refuse((struct vdisk_part[]){ { 0, 0, 0 } }, 1, 10, VDISK_INVALID);
	refuse((struct vdisk_part[]){ { 5, 5, 0 }, { 9, 1, 0 } }, 2, 20, VDISK_INVALID);
	refuse((struct vdisk_part[]){ { 5, 5, 0 }, { 0, 5, 0 } }, 2, 20, VDISK_INVALID);
	refuse(NULL, 0, UINT64_MAX, VDISK_INVALID);
}

static void test_images(void **state)
{
	static uint8_t bytes[2 * 65536];
	char path[] = "/tmp/vdisk-parts.XXXXXX";
	int fd = mkstemp(path);
	const struct vdisk_part v[] = { { 0, 65536, 65536 }, { 65536, 65536, 0 } };
	struct vdisk_open_options o = { .format = "raw", .parts = v, .n_parts = 2, .parts_len = 3 * 65536 };
	vdisk_image *img;
	uint8_t back[3 * 65536];
	vd_error err = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / 65536 + 1);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(vdisk_open(path, &o, &img, &err), 0);
	assert_int_equal(vdisk_size(img), 3 * 65536);
	assert_int_equal(vdisk_pread(img, back, sizeof(back), 0, &err), 0);
	assert_memory_equal(back, bytes + 65536, 65536);
	assert_memory_equal(back + 65536, bytes, 65536);
	assert_int_equal(back[sizeof(back) - 1], 0);
	assert_int_equal(vdisk_close(img, NULL), 0);
	o.flags = VDISK_OPEN_RW;
	assert_int_not_equal(vdisk_open(path, &o, &img, &err), 0);
	assert_int_equal(err.kind, VDISK_INVALID);
	o.flags = 0;
	o.parts_len = UINT64_MAX;
	assert_int_not_equal(vdisk_open(path, &o, &img, &err), 0);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_an_array),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

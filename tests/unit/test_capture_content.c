/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of ranges against a flat array; what a pass takes of a disk: its bytes, zeros where it is free, others where a layer
   lies. */
#include "capture/content.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PLACES 200u

static uint32_t seed;

static uint32_t chance(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static void ranges_against_an_array(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		uint8_t model[PLACES] = { 0 };
		struct ranges l = { 0 };
		uint64_t total = 0, last = 0;

		seed = round;
		for (unsigned i = chance(12); i; i--) {
			uint32_t from = chance(PLACES), to = from + chance(PLACES - from + 1);

			assert_int_equal(0, ranges_add(&l, from, to));
			memset(model + from, 1, to - from);
		}
		ranges_sort(&l);
		for (unsigned i = chance(4); i; i--) {
			uint32_t from = chance(PLACES), to = from + chance(PLACES - from + 1);

			assert_int_equal(0, ranges_cut(&l, from, to));
			memset(model + from, 0, to - from);
		}
		for (unsigned i = 0; i < PLACES; i++) {
			size_t k = ranges_find(&l, i);
			bool in = k < l.n && l.v[k].off <= i;

			if (in != model[i])
				fail_msg("round %u: place %u is due to be %s", round, i, model[i] ? "in" : "out");
			total += model[i];
		}
		for (size_t i = 0; i < l.n; i++) {
			assert_true(l.v[i].len && (!i || l.v[i].off >= last));
			last = l.v[i].off + l.v[i].len;
		}
		assert_int_equal(total, ranges_total(&l));
		ranges_free(&l);
	}
}

static char path[] = "/tmp/vdisk-content-XXXXXX";

static void content_of_a_disk(void **state)
{
	const size_t size = 4 * TRANSFER_CHUNK + 3 * DISK_ALIGN + 512;
	uint8_t *bytes = malloc(size), *due = malloc(size), *other = malloc(TRANSFER_CHUNK),
		*buf = aligned_alloc(DISK_ALIGN, TRANSFER_CHUNK);
	struct disk d;
	int fd = mkstemp(path);

	(void)state;
	assert_true(bytes && due && other && buf && fd >= 0);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(1 + i % 251);
	memset(other, 0xee, TRANSFER_CHUNK);
	assert_int_equal(size, write(fd, bytes, size));
	assert_int_equal(0, disk_open(&d, path, NULL));
	assert_int_equal(size, d.size);
	for (unsigned round = 0; round < 200; round++) {
		struct content c = { .disk = &d };
		struct content_layer layers[2];
		uint32_t at = 0, pages = (uint32_t)(size / DISK_ALIGN);

		seed = round;
		memcpy(due, bytes, size);
		for (; c.n_layers < 2 && round % 2; c.n_layers++) {
			at += chance(pages / 4);
			layers[c.n_layers] = (struct content_layer){ .off = (uint64_t)at * DISK_ALIGN,
				                                     .len = (1 + chance(200)) * (uint64_t)DISK_ALIGN,
				                                     .bytes = other };
			memcpy(due + layers[c.n_layers].off, other, layers[c.n_layers].len);
			at += (uint32_t)(layers[c.n_layers].len / DISK_ALIGN);
		}
		c.layers = layers;
		for (unsigned i = chance(6); i; i--) {
			uint32_t from = chance(pages), n = chance(i % 2 ? 20 : 600);
			uint64_t end = (uint64_t)(from + n) * DISK_ALIGN;

			assert_int_equal(0, ranges_add(&c.free, (uint64_t)from * DISK_ALIGN, end < size ? end : size));
		}
		ranges_sort(&c.free);
		for (size_t i = 0; i < c.free.n; i++)
			memset(due + c.free.v[i].off, 0, c.free.v[i].len);
		for (uint64_t i = 0; i < transfer_chunks(size); i++) {
			size_t len = transfer_chunk_len(size, i);
			uint64_t run = content_free_run(&c, i, 100);

			memset(buf, 0x55, TRANSFER_CHUNK);
			assert_int_equal(0, content_read(&c, i, buf, NULL));
			if (memcmp(buf, due + i * TRANSFER_CHUNK, len))
				fail_msg("round %u: chunk %u", round, (unsigned)i);
			/* Free ranges that touch are one, so that a chunk is free if one range has all of it. */
			assert_int_equal(ranges_find(&c.free, i * TRANSFER_CHUNK) < c.free.n &&
			                         c.free.v[ranges_find(&c.free, i * TRANSFER_CHUNK)].off <= i * TRANSFER_CHUNK &&
			                         c.free.v[ranges_find(&c.free, i * TRANSFER_CHUNK)].off +
			                                         c.free.v[ranges_find(&c.free, i * TRANSFER_CHUNK)].len >=
			                                 i * TRANSFER_CHUNK + len,
			                 run > 0);
		}
		ranges_free(&c.free);
	}
	disk_close(&d);
	close(fd);
	unlink(path);
	free(bytes);
	free(due);
	free(other);
	free(buf);
}

/* The head of a medium as p2v/iso/build.sh makes it. */
static void a_disk_with_the_iso(void **state)
{
	char name[] = "/tmp/vdisk-content-XXXXXX";
	uint8_t head[40960] = { 0 };
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	memcpy(head + 32768, "\1CD001\1", 7);
	memset(head + 32808, ' ', 32);
	for (unsigned i = 0; i < 4; i++) {
		static const struct {
			const char *label;
			bool is;
		} cases[] = { { "VDISK_CAPTURE", true }, { "VDISK_CAPTURES", false }, { "Debian", false }, { "VDISK", false } };
		struct disk d;

		memset(head + 32808, ' ', 32);
		memcpy(head + 32808, cases[i].label, strlen(cases[i].label));
		assert_int_equal(sizeof(head), pwrite(fd, head, sizeof(head), 0));
		assert_int_equal(0, disk_open(&d, name, NULL));
		assert_int_equal(cases[i].is, disk_is_iso(&d));
		disk_close(&d);
	}
	assert_int_equal(0, ftruncate(fd, 32768 + 2048));
	struct disk d;

	assert_int_equal(0, disk_open(&d, name, NULL));
	assert_false(disk_is_iso(&d));
	disk_close(&d);
	close(fd);
	unlink(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_against_an_array),
		cmocka_unit_test(content_of_a_disk),
		cmocka_unit_test(a_disk_with_the_iso),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

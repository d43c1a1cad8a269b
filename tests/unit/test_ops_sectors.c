/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GUID partition tables that sfdisk makes, counted anew in other sectors and back; what stands in the way; damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "ops/sectors.h"
#include "alloc_fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define MIB (1u << 20)
#define DISK (16u * MIB)

struct mem {
	uint8_t *b;
	uint64_t len;
};

static int mem_read(void *ctx, void *buf, size_t len, uint64_t off, vd_error *err)
{
	const struct mem *m = ctx;

	(void)err;
	assert_true(vd_within(off, len, m->len));
	memcpy(buf, m->b + off, len);
	return 0;
}

static struct mem disk;

static void sfdisk(const char *script)
{
	char path[] = "/tmp/vdisk-sectors-XXXXXX", cmd[128];
	int fd = mkstemp(path);
	FILE *p;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK), 0);
	snprintf(cmd, sizeof(cmd), "PATH=$PATH:/sbin:/usr/sbin sfdisk -q --no-reread --no-tell-kernel %s", path);
	p = popen(cmd, "w");
	assert_non_null(p);
	fputs(script, p);
	assert_int_equal(pclose(p), 0);
	assert_int_equal(pread(fd, disk.b, DISK, 0), DISK);
	disk.len = DISK;
	close(fd);
	unlink(path);
}

static int setup(void **state)
{
	(void)state;
	disk.b = calloc(1, DISK + MIB);
	return disk.b ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(disk.b);
	return 0;
}

static int scale(uint32_t from, uint32_t to, uint64_t size, struct vd_gpt_scaled *g, vd_error *err)
{
	struct vd_disk d = { .ctx = &disk, .size = disk.len, .read = mem_read };

	return vd_gpt_scale(&d, from, to, size, g, err);
}

/* Puts the new ends where they belong. */
static void apply(const struct vd_gpt_scaled *g, uint64_t size)
{
	memcpy(disk.b, g->head, g->head_len);
	memcpy(disk.b + g->tail_off, g->tail, g->tail_len);
	assert_int_equal(g->tail_off + g->tail_len, size);
	disk.len = size;
}

static size_t table_read(struct vdisk_partition_table *t, struct vdisk_partition v[8])
{
	struct vd_disk d = { .ctx = &disk, .size = disk.len, .read = mem_read };
	struct vd_partition_list list = { .v = v, .cap = 8 };
	vd_error err = { 0 };

	assert_int_equal(vd_partitions_read(&d, t, &list, &err), 0);
	return list.n;
}

static const char three[] =
	"label: gpt\nstart=2048, size=8192, name=one\nstart=10240, size=2048, type=uefi\nstart=12288, size=16384, attrs=LegacyBIOSBootable\n";

static void test_there_and_back(void **state)
{
	struct vdisk_partition before[8] = { 0 }, after[8] = { 0 };
	struct vdisk_partition_table t0, t1;
	struct vd_gpt_scaled g;
	vd_error err = { 0 };
	uint8_t *copy = malloc(DISK);

	(void)state;
	sfdisk(three);
	memcpy(disk.b, "boot code", 9);
	memcpy(copy, disk.b, DISK);
	assert_int_equal(table_read(&t0, before), 3);
	assert_int_equal(scale(512, 4096, DISK, &g, &err), 0);
	apply(&g, DISK);
	vd_gpt_scaled_free(&g);
	assert_int_equal(table_read(&t1, after), 3);
	assert_int_equal(t1.sector_bytes, 4096);
	assert_int_equal(t1.kind, VDISK_TABLE_GPT);
	assert_false(t1.from_backup);
	assert_string_equal(t0.id, t1.id);
	assert_memory_equal(before, after, sizeof(before)); /* in bytes, names, GUIDs, flags */
	assert_int_equal(le32_get(disk.b + 446 + 12), DISK / 4096 - 1); /* the protective MBR's */
	assert_memory_equal(disk.b, "boot code", 9);
	/* The copy serves where the first is gone. */
	memset(disk.b + 4096, 0xff, 92);
	assert_int_equal(table_read(&t1, after), 3);
	assert_true(t1.from_backup);
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(scale(4096, 512, DISK, &g, &err), -1);
	/* And back: the very bytes. */
	memcpy(disk.b, copy, DISK);
	assert_int_equal(scale(512, 4096, DISK, &g, &err), 0);
	apply(&g, DISK);
	vd_gpt_scaled_free(&g);
	assert_int_equal(scale(4096, 512, DISK, &g, &err), 0);
	apply(&g, DISK);
	vd_gpt_scaled_free(&g);
	assert_memory_equal(disk.b, copy, DISK);
	free(copy);
}

/* A disk of crooked length gets longer; its old copy in the middle goes. */
static void test_longer(void **state)
{
	struct vdisk_partition v[8];
	struct vdisk_partition_table t;
	struct vd_gpt_scaled g;
	vd_error err = { 0 };

	(void)state;
	sfdisk(three);
	assert_int_equal(scale(512, 4096, DISK + 4096, &g, &err), 0);
	apply(&g, DISK + 4096);
	vd_gpt_scaled_free(&g);
	assert_int_equal(table_read(&t, v), 3);
	memset(disk.b + 4096, 0, 512);
	assert_int_equal(table_read(&t, v), 3);
	assert_true(t.from_backup);
	for (size_t i = DISK - 33 * 512; i < DISK + 4096 - 5 * 4096; i++)
		assert_int_equal(disk.b[i], 0);
	memset(disk.b + DISK, 0, 4096);
}

static void refused(const char *script, uint64_t size, const char *word)
{
	struct vd_gpt_scaled g;
	vd_error err = { 0 };

	if (script)
		sfdisk(script);
	assert_int_equal(scale(512, 4096, size, &g, &err), -1);
	if (!strstr(err.message, word))
		fail_msg("\"%s\" does not say \"%s\"", err.message, word);
	assert_null(g.head);
	assert_null(g.tail);
}

static void test_in_the_way(void **state)
{
	(void)state;
	refused("label: gpt\nstart=2049, size=8\n", DISK, "partition 1 begins at byte 1049088");
	refused("label: gpt\nstart=2048, size=9\n", DISK, "partition 1 ends at byte 1053184");
	refused("label: gpt\nfirst-lba: 34\nstart=40, size=8\n", DISK, "begins at byte 20480");
	/* the copy takes five sectors */
	refused("label: gpt\ntable-length: 4\nstart=2048, size=30712\n", DISK, "ends 4096 bytes before");
	sfdisk(three);
	disk.b[446 + 16 + 4] = 0x83;
	refused(NULL, DISK, "hybrid");
	sfdisk(three);
	disk.b[20000] = 1;
	refused(NULL, DISK, "byte 20000");
	sfdisk(three);
	disk.b[DISK - 19000] = 1;
	refused(NULL, DISK, "copy");
	sfdisk(three);
	disk.b[446 + 4] = 0x83;
	disk.b[446 + 16 + 4] = 0;
	refused(NULL, DISK, "MBR");
}

/* Whatever stands in header and entries: an answer, and no byte outside of the disk. */
static void test_damaged(void **state)
{
	uint32_t seed = (uint32_t)getpid(), done = 0;
	uint8_t *copy = malloc(DISK);

	(void)state;
	print_message("seed %u\n", seed);
	sfdisk(three);
	memcpy(copy, disk.b, DISK);
	srand(seed);
	for (unsigned i = 0; i < 20000; i++) {
		struct vd_gpt_scaled g;
		vd_error err = { 0 };
		unsigned n = 1 + (unsigned)rand() % 3;

		for (unsigned k = 0; k < n; k++) {
			size_t at = rand() % 2 ? 512 + (size_t)rand() % 92 : 1024 + (size_t)rand() % 512;

			disk.b[at] = (uint8_t)rand();
		}
		if (!scale(512, 4096, DISK, &g, &err)) {
			done++;
			assert_int_equal(g.tail_off + g.tail_len, DISK);
			assert_true(g.head_len <= g.tail_off);
			vd_gpt_scaled_free(&g);
		} else {
			assert_true(err.message[0]);
		}
		memcpy(disk.b, copy, 4096);
	}
	assert_true(done > 0 && done < 20000);
	free(copy);
}

/* The nth allocation fails: said as such, and nothing is left. */
static void test_no_memory(void **state)
{
	struct vd_gpt_scaled g;
	vd_error err = { 0 };
	long n = 0;
	int rc;

	(void)state;
	sfdisk(three);
	do {
		alloc_fail_at(n);
		rc = scale(512, 4096, DISK, &g, &err);
		alloc_fail_at(-1);
		if (rc) {
			assert_int_equal(err.kind, VDISK_NOMEM);
			assert_null(g.head);
			assert_null(g.tail);
		}
	} while (rc && ++n < 20);
	assert_int_equal(n, 4); /* the work's own, entries, head, tail */
	vd_gpt_scaled_free(&g);
}

static void test_content(void **state)
{
	static uint8_t b[VD_SECTOR_LOOK];
	char why[160];

	(void)state;
	assert_int_equal(vd_content_judge(b, sizeof(b), 4096, why, sizeof(why)), VD_CONTENT_FINE);
	b[70000] = 1;
	assert_int_equal(vd_content_judge(b, sizeof(b), 4096, why, sizeof(why)), VD_CONTENT_BAD);
	assert_non_null(strstr(why, "not known"));
	assert_int_equal(vd_content_judge(b, sizeof(b), 512, why, sizeof(why)), VD_CONTENT_FINE);
	memcpy(b + 1024 + 56, "\x53\xef", 2);
	assert_int_equal(vd_content_judge(b, sizeof(b), 4096, why, sizeof(why)), VD_CONTENT_BAD); /* blocks of 1024 bytes */
	assert_non_null(strstr(why, "ext with blocks of 1024"));
	b[1024 + 24] = 2;
	assert_int_equal(vd_content_judge(b, sizeof(b), 4096, why, sizeof(why)), VD_CONTENT_FINE);
	b[1024 + 24] = 200;
	assert_int_equal(vd_content_judge(b, sizeof(b), 4096, why, sizeof(why)), VD_CONTENT_BAD);
	memset(b, 0, sizeof(b));
	memcpy(b, "LUKS\xba\xbe", 6);
	assert_int_equal(vd_content_judge(b, sizeof(b), 4096, why, sizeof(why)), VD_CONTENT_BAD);
	assert_int_equal(vd_content_judge(b, sizeof(b), 512, why, sizeof(why)), VD_CONTENT_FINE);
	memset(b, 0, sizeof(b));
	memcpy(b + 512, "LABELONE", 8);
	assert_int_equal(vd_content_judge(b, sizeof(b), 4096, why, sizeof(why)), VD_CONTENT_VOLUMES);
	for (size_t len = 0; len < 5000; len++) /* short partitions */
		vd_content_judge(b, len, 4096, why, sizeof(why));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_longer),
		cmocka_unit_test(test_in_the_way),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_content),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Partition tables that sfdisk makes, read back; and damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ops/partitions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (1u << 20)
#define DISK (64u * MIB)

static uint8_t *disk;

static int disk_read(void *ctx, void *buf, size_t len, uint64_t off, vd_error *err)
{
	(void)ctx, (void)err;
	memcpy(buf, disk + off, len);
	return 0;
}

static int read_table(struct vdisk_partition_table *t, struct vdisk_partition *v, size_t cap, size_t *n, vd_error *err)
{
	struct vd_disk d = { .size = DISK, .read = disk_read };
	struct vd_partition_list list = { .v = v, .cap = cap };
	int rc = vd_partitions_read(&d, t, &list, err);

	*n = list.n;
	return rc;
}

/* sfdisk's answer to a script of its own, in `disk`. */
static void sfdisk(const char *script)
{
	char path[] = "/tmp/vdisk-parts-XXXXXX", cmd[128];
	int fd = mkstemp(path);
	FILE *p;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK), 0);
	snprintf(cmd, sizeof(cmd), "PATH=$PATH:/sbin:/usr/sbin sfdisk -q --no-reread --no-tell-kernel %s", path);
	p = popen(cmd, "w");
	assert_non_null(p);
	fputs(script, p);
	assert_int_equal(pclose(p), 0);
	assert_int_equal(pread(fd, disk, DISK, 0), DISK);
	close(fd);
	unlink(path);
}

static int setup(void **state)
{
	(void)state;
	disk = calloc(1, DISK);
	return disk ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(disk);
	return 0;
}

static void test_mbr_with_logical(void **state)
{
	struct vdisk_partition_table t;
	struct vdisk_partition v[8];
	vd_error err;
	size_t n;

	(void)state;
	sfdisk("label: dos\nlabel-id: 0xdeadbeef\nstart=2048,size=8192,type=83,bootable\nstart=16384,size=65536,type=5\n"
	       "start=18432,size=4096,type=82\nstart=28672,size=2048,type=83\n");
	assert_int_equal(read_table(&t, v, 8, &n, &err), 0);
	assert_int_equal(t.kind, VDISK_TABLE_MBR);
	assert_string_equal(t.id, "deadbeef");
	assert_int_equal(n, 4);
	assert_int_equal(v[0].number, 1);
	assert_int_equal(v[0].off, MIB);
	assert_int_equal(v[0].len, 4 * MIB);
	assert_true(v[0].active);
	assert_string_equal(v[0].uuid, "deadbeef-01");
	assert_int_equal(v[2].number, 5);
	assert_int_equal(v[2].off, 18432 * 512);
	assert_string_equal(v[2].type, "0x82");
	assert_int_equal(v[3].number, 6);
	assert_int_equal(v[3].off, 28672 * 512);
	assert_int_equal(v[3].len, MIB);
}

static void test_gpt(void **state)
{
	struct vdisk_partition_table t;
	struct vdisk_partition v[8];
	vd_error err;
	size_t n;

	(void)state;
	sfdisk("label: gpt\nlabel-id: 01234567-89AB-CDEF-0123-456789ABCDEF\n"
	       "start=2048,size=4096,type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B,name=\"EFI System\"\n"
	       "start=8192,size=2048,uuid=11111111-2222-3333-4444-555555555555,name=\"wurzel \xc3\xa4\"\n");
	assert_int_equal(read_table(&t, v, 8, &n, &err), 0);
	assert_int_equal(t.kind, VDISK_TABLE_GPT);
	assert_string_equal(t.id, "01234567-89ab-cdef-0123-456789abcdef");
	assert_int_equal(n, 2);
	assert_string_equal(v[0].type, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
	assert_string_equal(v[0].name, "EFI System");
	assert_int_equal(v[0].len, 2 * MIB);
	assert_string_equal(v[1].uuid, "11111111-2222-3333-4444-555555555555");
	assert_string_equal(v[1].name, "wurzel \xc3\xa4");

	disk[512 + 40] ^= 1; /* the first copy's checksum no longer holds */
	assert_int_equal(read_table(&t, v, 8, &n, &err), 0);
	assert_true(t.from_backup);
	assert_int_equal(n, 2);

	disk[DISK - 512 + 40] ^= 1;
	assert_int_equal(read_table(&t, v, 8, &n, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
}

static void test_mbr_loop_and_overhang(void **state)
{
	struct vdisk_partition_table t;
	struct vdisk_partition v[8];
	uint8_t *e;
	vd_error err;
	size_t n;

	(void)state;
	sfdisk("label: dos\nstart=2048,size=8192,type=83\nstart=16384,size=65536,type=5\nstart=18432,size=4096,type=82\n");
	e = disk + 16384 * 512 + 446 + 16; /* the second entry of the extended record: points at the record itself */
	e[4] = 5;
	memset(e + 8, 0, 4);
	e[12] = 1;
	assert_int_equal(read_table(&t, v, 8, &n, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_non_null(strstr(err.message, "loops"));

	sfdisk("label: dos\nstart=2048,size=8192,type=83\n");
	disk[446 + 15] = 0x10;
	assert_int_equal(read_table(&t, v, 8, &n, &err), -1);
	assert_non_null(strstr(err.message, "sticks out"));
}

static void test_none(void **state)
{
	struct vdisk_partition_table t;
	struct vdisk_partition v[8];
	vd_error err;
	size_t n;

	(void)state;
	memset(disk, 0, DISK);
	assert_int_equal(read_table(&t, v, 8, &n, &err), 0);
	assert_int_equal(t.kind, VDISK_TABLE_NONE);
	disk[510] = 0x55; /* a file system's boot sector, text where a table would stand */
	disk[511] = 0xaa;
	memset(disk + 446, 'x', 64);
	assert_int_equal(read_table(&t, v, 8, &n, &err), 0);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mbr_with_logical),
		cmocka_unit_test(test_gpt),
		cmocka_unit_test(test_mbr_loop_and_overhang),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which volumes get snapshots, from made-up texts of LVM's programs; and texts that nobody understands. */
#include "capture_lvm.h"

/* ---- what is planned */

static void planned(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	struct lvm_facts f = facts_of("104857600", pvs, table);
	struct snaps s;
	struct live l;

	(void)state;
	assert_int_equal(0, live_find(&l, names, 2, root, NULL));
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(2, s.n);
	assert_string_equal("root", s.v[0].volume);
	assert_int_equal(20 * MIB, s.v[0].room); /* all of it, and LVM's own lists */
	assert_int_equal(2, s.v[0].n_pieces);
	assert_int_equal(2 * MIB, s.v[0].pieces[0].off); /* the partition's MiB and the head's */
	assert_int_equal(3 * MIB, s.v[0].pieces[0].len);
	assert_int_equal(1, s.v[0].pieces[1].disk);
	assert_int_equal(MIB, s.v[0].pieces[1].off);
	assert_int_equal(3 * MIB, s.v[0].pieces[1].at);
	assert_int_equal(2, s.v[1].n_pieces);
	assert_int_equal(64 * KIB, s.v[1].pieces[1].at);
	assert_int_equal(128 * KIB, s.v[1].pieces[1].stride);
	assert_int_equal(3 * MIB, s.v[1].pieces[1].off);
	/* Heads: before the first extents; nothing is behind the last ones. */
	assert_int_equal(2, s.n_heads);
	assert_int_equal(MIB, s.heads[0].off);
	assert_int_equal(MIB, s.heads[0].len);
	assert_int_equal(0, s.heads[1].off);
	assert_non_null(strstr(mount_of(&l, "/thin")->why_not, "plain volume"));
	assert_string_equal("", mount_of(&l, "/boot")->why_not);
	snap_drop(&s, NULL);
	/* Of a disk that is not captured nothing is planned. */
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 1, root));
	assert_int_equal(1, s.v[0].n_pieces);
	assert_int_equal(1, s.n_heads);
	snap_drop(&s, NULL);
	lvm_facts_free(&f);
	live_free(&l);
}

static void not_enough_room(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	struct lvm_facts f = facts_of("26214400", pvs, table); /* 25 MiB, of 20 and 18 that are wanted */
	struct snaps s;
	struct live l;

	(void)state;
	assert_int_equal(0, live_find(&l, names, 2, root, NULL));
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(1, s.n);
	assert_string_equal("root", s.v[0].volume); /* others can be frozen for longer */
	assert_int_equal(20 * MIB, s.v[0].room);
	assert_string_equal("its volume group vg has only 25 MiB free", mount_of(&l, "/data")->why_not);
	snap_drop(&s, NULL);
	lvm_facts_free(&f);
	f = facts_of("0", pvs, table);
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(0, s.n);
	assert_string_equal("its volume group vg has only 0 MiB free", mount_of(&l, "/")->why_not);
	snap_drop(&s, NULL);
	lvm_facts_free(&f);
	live_free(&l);
}

static void in_between(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	static const struct { const char *pvs, *table, *why;
	} cases[] = {
		{ "  /dev/sda2|vg|15728640|1048576|14|1048576\n  /dev/gone|vg|16777216|1048576|15|1048576\n", table,
		  "is missing: /dev/gone" },
		{ "  /dev/mapper/crypt|vg|15728640|1048576|14|1048576\n", table, "lies on dm-7, which is no disk" },
		{ "  /dev/sda2|vg|99928640|1048576|14|1048576\n", table, "larger than its disk" },
		{ pvs, "vg-root: 0 8192 linear 253:7 2048\n", "it lies on dm-7, which is no disk" },
		{ pvs, "vg-root: 0 8192 raid raid1 3 0 region_size 4096 2 253:1 253:2\n", "of the kind \"raid\"" },
		{ pvs, "vg-root: 0 4096 linear 8:2 2048\n", "is not known" },
	};

	(void)state;
	mapping(7, "crypt\n", "");
	file("/sys/block/dm-7/dm/uuid", "CRYPT-LUKS2-x\n");
	linked("/dev/mapper/crypt", "../dm-7");
	file("/dev/dm-7", "");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct lvm_facts f = facts_of("104857600", cases[i].pvs, cases[i].table);
		struct snaps s;
		struct live l;

		assert_int_equal(0, live_find(&l, names, 2, root, NULL));
		assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
		assert_int_equal(0, s.n);
		if (!strstr(mount_of(&l, "/")->why_not, cases[i].why))
			fail_msg("case %zu: \"%s\" is due to say \"%s\"", i, mount_of(&l, "/")->why_not, cases[i].why);
		snap_drop(&s, NULL);
		live_free(&l);
		lvm_facts_free(&f);
	}
}

/* The kernel finds a btrfs by what its devices hold, and a snapshot holds the same. */
static void btrfs_is_frozen(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	struct lvm_facts f = facts_of("104857600", pvs, table);
	struct snaps s;
	struct live l;

	(void)state;
	assert_int_equal(0, live_find(&l, names, 2, root, NULL));
	strcpy(mount_of(&l, "/")->fs, "btrfs");
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(1, s.n);
	assert_string_equal("my-data", s.v[0].volume);
	assert_non_null(strstr(mount_of(&l, "/")->why_not, "btrfs"));
	snap_drop(&s, NULL);
	live_free(&l);
	lvm_facts_free(&f);
}

/* A volume that has snapshots already lies where its hidden part does. */
static void snapped_by_others(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	struct lvm_facts f =
		facts_of("104857600", pvs, "vg-root: 0 8192 snapshot-origin 253:8\nvg-root-real: 0 8192 linear 8:2 2048\n");
	struct snaps s;
	struct live l;

	(void)state;
	mapping(8, "vg-root-real\n", "root0000000000000000000000000000-real");
	assert_int_equal(0, live_find(&l, names, 2, root, NULL));
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(1, s.n);
	assert_int_equal(2 * MIB, s.v[0].pieces[0].off);
	assert_int_equal(4 * MIB, s.v[0].pieces[0].len);
	snap_drop(&s, NULL);
	live_free(&l);
	lvm_facts_free(&f);
}

/* ---- LVM's tables */

static void texts_that_are_not_understood(void **state)
{
	static const struct { const char *lvs, *pvs, *table;
	} cases[] = {
		{ "vg|root\n", "", "" },
		{ "vg|root|a|b|-|w|x|1|1|\n", "", "" },
		{ "vg|root|a|b|-|w|1|0|1|\n", "", "" },
		{ "vg|root|a|b|-|w|1|1|1||\n", "", "" },
		{ "", "/dev/sda|vg|10|20|1|1\n", "" },
		{ "", "/dev/sda|vg|100|20|18446744073709551615|1\n", "" },
		{ "", "", "vg-root\n" },
		{ "", "", "a: 0 x linear 8:2 0\n" },
		{ "", "", "a: 0 99 striped 2 128 8:1 0 8:2 0\n" },
		{ "", "", "a: 0 36028797018963969 linear 8:1 0\n" },
		{ "", "", "a: 0 256 striped 0 128\n" },
	};
	struct lvm_facts f;
	vdisk_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		err = (vdisk_error){ 0 };
		if (!lvm_facts_read(&f, cases[i].lvs, cases[i].pvs, cases[i].table, &err) || !strstr(err.message, "not understood"))
			fail_msg("case %zu: %s", i, err.message);
		assert_int_equal(0, f.n_volumes + f.n_pvs + f.n_targets);
	}
	assert_int_equal(0, lvm_facts_read(&f, "", "", "No devices found\n", &err));
	lvm_facts_free(&f);
	assert_true(lvm_snapshot_good("0 204800 snapshot 16/20480 16\n"));
	assert_false(lvm_snapshot_good("0 204800 snapshot 20480/20480 96\n"));
	assert_false(lvm_snapshot_good("0 204800 snapshot Invalid\n"));
	assert_false(lvm_snapshot_good("0 204800 snapshot Overflow\n"));
	assert_false(lvm_snapshot_good("0 204800 linear\n"));
	assert_false(lvm_snapshot_good(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(planned),
		cmocka_unit_test(not_enough_room),
		cmocka_unit_test(in_between),
		cmocka_unit_test(btrfs_is_frozen),
		cmocka_unit_test(snapped_by_others),
		cmocka_unit_test(texts_that_are_not_understood),
	};

	return cmocka_run_group_tests(tests, root_make, root_remove);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a guest's files say too often: how much of it is believed, and that it does no more harm than to be left out. */
#include "adapt_guest.h"

static char *owned(const char *text)
{
	char *s = strdup(text);

	assert_non_null(s);
	return s;
}

static void fs_add(struct facts *f, const char *where, const char *type, const char *uuid)
{
	f->fs = realloc(f->fs, (f->fs_n + 1) * sizeof(*f->fs));
	assert_non_null(f->fs);
	f->fs[f->fs_n++] = (struct fact_fs){ .where = owned(where), .type = owned(type), .uuid = owned(uuid) };
}

static void facts_of(struct guest *g, const struct edit *edits, struct facts *f)
{
	vdisk_error err = { 0 };

	guest_make(g, edits);
	if (facts_read(f, g->tree, &err))
		fail_msg("%s", err.message);
}

/* fstab may name one file system for as many places as it likes. */
static void test_places(void **state)
{
	struct bytes fstab = { 0 };
	struct edit edits[2] = { { 0 } };
	struct facts f = { 0 };
	struct guest g;
	unsigned one = 0, two = 0;

	(void)state;
	bytes_text(&fstab, "UUID=1-1 / btrfs subvol=@ 0 0\n");
	for (int i = 0; i < 300; i++)
		bytes_format(&fstab, "UUID=2-2 /m%d btrfs subvol=s%d 0 0\n", i, i);
	bytes_text(&fstab, "UUID=1-1 /home btrfs subvol=@home 0 0\n");
	edits[0] = (struct edit){ "/etc/fstab", fstab.at, SAME };
	fs_add(&f, "partitions/1", "btrfs", "1-1");
	fs_add(&f, "partitions/2", "btrfs", "2-2");
	facts_of(&g, edits, &f);
	for (size_t i = 0; i < f.fs_n; i++) {
		one += !strcmp(f.fs[i].where, "partitions/1");
		two += !strcmp(f.fs[i].where, "partitions/2");
	}
	assert_int_equal(one, 2);
	assert_int_equal(two, 64);
	assert_string_equal(f.fs[1].mount, "/m0");
	assert_string_equal(f.fs[f.fs_n - 1].mount, "/home");
	facts_destroy(&f);
	guest_destroy(&g);
	bytes_destroy(&fstab);
}

/* A card may be given as many addresses as it likes. */
static void test_addresses(void **state)
{
	struct bytes manager = { 0 }, due = { 0 };
	struct edit edits[3] = { { "/etc/fstab", "", SAME } };
	struct facts f = { 0 };
	struct guest g;

	(void)state;
	bytes_text(&manager, "[connection]\ntype=ethernet\nid=eth0\n[ipv4]\naddresses=");
	for (int i = 0; i < 1000; i++)
		bytes_format(&manager, "192.0.2.%d/24;", i / 2); /* each twice */
	for (int i = 0; i < 64; i++)
		bytes_format(&due, "%s192.0.2.%d/24", i ? " " : "", i);
	edits[1] = (struct edit){ "/etc/NetworkManager/system-connections/a", manager.at, SAME };
	facts_of(&g, edits, &f);
	assert_int_equal(f.nics_n, 1);
	assert_string_equal(f.nics[0].addresses, due.at);
	facts_destroy(&f);
	guest_destroy(&g);
	bytes_destroy(&manager);
	bytes_destroy(&due);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

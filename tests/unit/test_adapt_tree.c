/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trees: a folder keeps a guest's links inside, whatever they say; several trees joined show each file where the guest has it. */
#include "lines.h"
#include "tree.h"
#include "tree_mounts.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char top[64];      /* "root" and "other" in it are the guest's; "secret" is not */
	struct tree *root, *other, *all;
};

static void put(const struct fixture *f, const char *path, const char *text)
{
	char at[300];
	FILE *file;

	snprintf(at, sizeof(at), "%s/%s", f->top, path);
	for (char *slash = at + strlen(f->top) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(at, 0755);
		*slash = '/';
	}
	if (!strncmp(text, "->", 2)) {
		assert_int_equal(symlink(text + 2, at), 0);
		return;
	}
	file = fopen(at, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[128], secret[160];

	strcpy(f->top, "/tmp/test-tree.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	put(f, "secret", "secret");
	put(f, "root/etc/fstab", "root's");
	put(f, "root/etc/here", "->fstab");
	put(f, "root/etc/absolute", "->/etc/fstab");
	put(f, "root/etc/up", "->../../../../../../etc/fstab");
	put(f, "root/etc/loop", "->loop");
	snprintf(secret, sizeof(secret), "->%s/secret", f->top);
	put(f, "root/etc/out", secret);
	put(f, "root/etc/climb", "->../../secret");
	put(f, "root/boot/hidden", "hidden");
	put(f, "root/lib", "->usr/lib");
	put(f, "root/usr/lib/a", "a");
	put(f, "root/over", "->/boot/kernel");
	put(f, "root/back", "->boot/../etc/fstab");
	put(f, "other/kernel", "other's");
	put(f, "other/to-root", "->../etc/fstab");
	put(f, "other/to-root2", "->/etc/here");
	put(f, "other/@sub/file", "subvolume's");
	put(f, "other/@sub/abs", "->/etc/fstab");
	snprintf(path, sizeof(path), "%s/root/pipe", f->top);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/root", f->top);
	f->root = tree_folder_open(path, true, NULL);
	snprintf(path, sizeof(path), "%s/other", f->top);
	f->other = tree_folder_open(path, true, NULL);
	assert_non_null(f->root);
	assert_non_null(f->other);
	f->all = tree_mounts_open(f->root, "/", NULL);
	assert_non_null(f->all);
	assert_int_equal(tree_mounts_add(f->all, "/boot", f->other, "/", NULL), 0);
	assert_int_equal(tree_mounts_add(f->all, "/data", f->other, "/@sub", NULL), 0);
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *w)
{
	(void)st, (void)type, (void)w;
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	tree_close(f->all);
	tree_close(f->root);
	tree_close(f->other);
	nftw(f->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

/* What the file holds; NULL: it is not there. */
static void reads(struct tree *t, const char *path, const char *due)
{
	struct bytes b = { 0 };
	vdisk_error err = { 0 };
	int rc = t->ops->read(t, path, 1000, &b, &err);

	if (rc != (due != NULL) || (due && strcmp(due, b.at)))
		print_error("%s: expected %s, actual %s (%d %s)\n", path, due ? due : "nothing", b.at ? b.at : "nothing", rc,
			    err.message);
	assert_int_equal(rc, due != NULL);
	if (due)
		assert_string_equal(b.at, due);
	bytes_destroy(&b);
}

static void a_folder_keeps_links_inside(void **state)
{
	struct fixture *f = *state;

	reads(f->root, "/etc/fstab", "root's");
	reads(f->root, "/etc/here", "root's");
	reads(f->root, "/etc/absolute", "root's");
	reads(f->root, "/etc/up", "root's");
	reads(f->root, "/lib/a", "a");
	reads(f->root, "/../../etc/fstab", "root's");
	reads(f->root, "/etc/loop", NULL);
	reads(f->root, "/etc/out", NULL);
	reads(f->root, "/etc/climb", NULL);
	reads(f->root, "/etc/fstab/x", NULL);
	reads(f->root, "/etc", NULL);
	reads(f->root, "/none", NULL);
}

static void a_folder_tells_kinds(void **state)
{
	struct fixture *f = *state;
	struct bytes b = { 0 };
	struct tree_stat st;
	vdisk_error err;

	assert_int_equal(f->root->ops->stat(f->root, "/etc/here", false, &st, NULL), 1);
	assert_int_equal(st.kind, TREE_LINK);
	assert_int_equal(f->root->ops->stat(f->root, "/etc/here", true, &st, NULL), 1);
	assert_int_equal(st.kind, TREE_FILE);
	assert_int_equal(st.size, 6);
	assert_true(st.sure);
	assert_int_equal(f->root->ops->stat(f->root, "/pipe", true, &st, NULL), 1);
	assert_int_equal(st.kind, TREE_OTHER);
	assert_int_equal(f->root->ops->stat(f->root, "/etc/out", true, &st, NULL), 0);
	assert_int_equal(f->root->ops->link(f->root, "/etc/absolute", &b, NULL), 1);
	assert_string_equal(b.at, "/etc/fstab");
	assert_int_equal(f->root->ops->link(f->root, "/etc/fstab", &b, NULL), 0);
	/* A pipe would hang whoever opens it; a long file is refused by its size. */
	assert_int_equal(f->root->ops->read(f->root, "/pipe", 10, &b, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_int_equal(f->root->ops->read(f->root, "/etc/fstab", 5, &b, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_non_null(strstr(err.message, "/etc/fstab"));
	bytes_clear(&b);
	assert_int_equal(f->root->ops->list(f->root, "/", &b, NULL), 1);
	assert_int_equal(b.len, sizeof("back\0boot\0etc\0lib\0over\0pipe\0usr"));
	assert_memory_equal(b.at, "back\0boot\0etc\0lib\0over\0pipe\0usr", b.len);
	bytes_destroy(&b);
}

static void joined_trees_follow_links_through_each_other(void **state)
{
	struct fixture *f = *state;

	reads(f->all, "/boot/kernel", "other's");
	reads(f->all, "/boot/hidden", NULL);
	reads(f->all, "/over", "other's");
	reads(f->all, "/back", "root's");
	reads(f->all, "/boot/to-root", "root's");
	reads(f->all, "/boot/to-root2", "root's");
	reads(f->all, "/boot/../boot/./kernel", "other's");
	reads(f->all, "/data/file", "subvolume's");
	reads(f->all, "/data/abs", "root's");
	reads(f->all, "/data/../etc/here", "root's");
	reads(f->all, "/data/../../../secret", NULL);
	reads(f->all, "/etc/loop", NULL);
	reads(f->all, "/etc/out", NULL);
	reads(f->all, "/lib/a", "a");
	reads(f->all, "/bootx", NULL);
}

static int count(void *to, const char *path)
{
	bytes_format(to, "%s;", path);
	return 0;
}

static void folders_of_joined_trees(void **state)
{
	struct fixture *f = *state;
	struct bytes b = { 0 };

	assert_int_equal(tree_match(f->all, "/boot", "*", count, &b, NULL), 0);
	assert_string_equal(b.at, "/boot/@sub;/boot/kernel;/boot/to-root;/boot/to-root2;");
	bytes_clear(&b);
	assert_int_equal(tree_match(f->all, "/data", "f*", count, &b, NULL), 0);
	assert_string_equal(b.at, "/data/file;");
	bytes_clear(&b);
	assert_int_equal(tree_match(f->all, "/nowhere", "*", count, &b, NULL), 0);
	assert_int_equal(b.len, 0);
	bytes_destroy(&b);
}

static void settings_as_a_shell_reads_them(void **state)
{
	static const struct {
		const char *file, *due;
	} v[] = {
		{ "A=x\n", "x" },
		{ "A=\"x y\"\n", "x y" },
		{ "A='x \"y'\r\n", "x \"y" },
		{ "# A=no\nA=yes # comment\n", "yes" },
		{ "A=1\nA=2\n", "2" },
		{ "export A=z", "z" },
		{ "AB=x\n", NULL },
		{ "A=", "" },
		{ "A=\"a\\\"b\\$\"", "a\"b$" },
		{ "  A=x;B=y\n", "x" },
		{ "A = x\n", NULL },
		{ "", NULL },
		{ "A=\"open\nB=x", "open" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		struct bytes file = { 0 }, out = { 0 };
		bool found;

		bytes_text(&file, v[i].file);
		found = setting_find(&file, "A", &out);
		if (found != (v[i].due != NULL) || (found && strcmp(out.at, v[i].due)))
			print_error("%s: expected %s, actual %s\n", v[i].file, v[i].due ? v[i].due : "none",
				    found ? out.at : "none");
		assert_int_equal(found, v[i].due != NULL);
		if (found)
			assert_string_equal(out.at, v[i].due);
		bytes_destroy(&file);
		bytes_destroy(&out);
	}
}

static void bytes_hold_what_was_added(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		bytes_format(&b, "%d,", i);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	assert_int_equal(b.at[b.len], 0);
	assert_string_equal(b.at + b.len - 8, "998,999,");
	bytes_clear(&b);
	assert_string_equal(b.at, "");
	fstab_unescape("a\\040b\\134\\011", 14, &b);
	assert_string_equal(b.at, "a b\\\t");
	bytes_add(&b, "x", SIZE_MAX / 2);
	assert_true(b.failed);
	assert_string_equal(b.at, "a b\\\t");
	bytes_destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_folder_keeps_links_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_folder_tells_kinds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(joined_trees_follow_links_through_each_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(folders_of_joined_trees, set_up, tear_down),
		cmocka_unit_test(settings_as_a_shell_reads_them),
		cmocka_unit_test(bytes_hold_what_was_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

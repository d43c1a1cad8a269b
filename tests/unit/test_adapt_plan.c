/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The plan over a folder: what a second change of a path comes to, and that the view shows the guest as it will be. */
#include "diff.h"
#include "plan_show.h"

#include <fcntl.h>
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
	char root[64];
	struct tree *guest;
	struct plan plan;
	vdisk_error err;
};

static void file_put(const struct fixture *f, const char *path, const char *text)
{
	char at[300];
	int fd;

	snprintf(at, sizeof(at), "%s%s", f->root, path);
	fd = open(at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void folder_put(const struct fixture *f, const char *path)
{
	char at[300];

	snprintf(at, sizeof(at), "%s%s", f->root, path);
	assert_int_equal(mkdir(at, 0755), 0);
}

static void link_put(const struct fixture *f, const char *path, const char *target)
{
	char at[300];

	snprintf(at, sizeof(at), "%s%s", f->root, path);
	assert_int_equal(symlink(target, at), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->root, sizeof(f->root), "/tmp/test_adapt_plan.XXXXXX");
	assert_non_null(mkdtemp(f->root));
	folder_put(f, "/etc");
	folder_put(f, "/usr");
	folder_put(f, "/usr/lib");
	file_put(f, "/etc/fstab", "old\n");
	file_put(f, "/etc/other", "other\n");
	link_put(f, "/lib", "usr/lib");
	link_put(f, "/etc/link", "/etc/fstab");
	link_put(f, "/etc/loop", "loop");
	f->guest = tree_folder_open(f->root, true, &f->err);
	assert_non_null(f->guest);
	plan_init(&f->plan, f->guest);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char line[100];

	plan_destroy(&f->plan);
	tree_close(f->guest);
	snprintf(line, sizeof(line), "rm -rf %s", f->root);
	assert_int_equal(system(line), 0);
	free(f);
	return 0;
}

static int put(struct fixture *f, const char *path, const char *text, const char *why)
{
	return plan_write(&f->plan, path, text, strlen(text), 0600, &f->err, "%s", why);
}

/* What the view holds at the path; NULL: nothing. */
static void shows(struct fixture *f, const char *path, const char *text)
{
	struct bytes b = { 0 };
	int rc = f->plan.view.ops->read(&f->plan.view, path, 1000, &b, &f->err);

	assert_int_equal(rc, text ? 1 : 0);
	if (text)
		assert_string_equal(b.len ? b.at : "", text);
	bytes_destroy(&b);
}

static void names_are(struct fixture *f, const char *folder, const char *names)
{
	struct bytes b = { 0 };

	assert_int_equal(f->plan.view.ops->list(&f->plan.view, folder, &b, &f->err), 1);
	for (size_t i = 0; i + 1 < b.len; i++)
		if (!b.at[i])
			b.at[i] = ' ';
	assert_string_equal(b.len ? b.at : "", names);
	bytes_destroy(&b);
}

static void a_second_change_replaces(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "/etc/fstab", "new\n", "one"), 0);
	assert_int_equal(put(f, "/etc/fstab", "newer\n", "two"), 0);
	assert_int_equal(put(f, "/etc/fstab", "newer\n", "not told"), 0);
	assert_int_equal(put(f, "/etc/fstab", "newest\n", "one"), 0);
	assert_int_equal(f->plan.n, 1);
	assert_string_equal(f->plan.changes[0].why, "one\ntwo");
	assert_int_equal(f->plan.changes[0].mode, 0640);
	shows(f, "/etc/fstab", "newest\n");
	assert_int_equal(put(f, "/etc/fstab", "old\n", "back again"), 0);
	assert_int_equal(f->plan.n, 0);
	shows(f, "/etc/fstab", "old\n");
}

static void what_is_the_same_is_no_change(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "/etc/fstab", "old\n", "why"), 0);
	assert_int_equal(plan_link(&f->plan, "/etc/link", "/etc/fstab", &f->err, "why"), 0);
	assert_int_equal(plan_folder(&f->plan, "/etc", 0755, &f->err), 0);
	assert_int_equal(plan_remove(&f->plan, "/etc/nothing", &f->err, "why"), 0);
	assert_int_equal(f->plan.n, 0);
}

static void links_are_followed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "/etc/link", "new\n", "why"), 0);
	assert_string_equal(f->plan.changes[0].path, "/etc/fstab");
	assert_int_equal(put(f, "/lib/modules/6.1/x.ko", "elf", "why"), 0);
	shows(f, "/usr/lib/modules/6.1/x.ko", "elf");
	shows(f, "/lib/../lib/modules/./6.1/x.ko", "elf");
	assert_int_equal(plan_link(&f->plan, "/boot/grub", "/lib/modules", &f->err, "why"), 0);
	shows(f, "/boot/grub/6.1/x.ko", "elf");
	names_are(f, "/boot/grub/", "6.1");
	names_are(f, "/", "boot etc lib usr");
	assert_int_equal(put(f, "/etc/loop", "x", "why"), -1);
	assert_int_equal(f->err.kind, VDISK_CORRUPT);
}

static void parents_are_made(void **state)
{
	struct fixture *f = *state;
	struct tree_stat st;

	assert_int_equal(put(f, "/etc/a/b/c", "x", "why"), 0);
	assert_int_equal(f->plan.n, 3);
	assert_int_equal(f->plan.changes[0].kind, CHANGE_FOLDER);
	assert_string_equal(f->plan.changes[1].path, "/etc/a/b");
	assert_int_equal(f->plan.view.ops->stat(&f->plan.view, "/etc/a/b", true, &st, &f->err), 1);
	assert_int_equal(st.kind, TREE_FOLDER);
	assert_int_equal(f->plan.view.ops->stat(&f->plan.view, "/etc/a/b/c/d", true, &st, &f->err), 0);
	names_are(f, "/etc", "a fstab link loop other");
	assert_int_equal(put(f, "/etc/fstab/x", "x", "why"), -1);
	assert_string_equal(f->err.message, "/etc/fstab: is no folder in the guest");
}

static void removed_and_written_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan_remove(&f->plan, "/etc/fstab", &f->err, "gone"), 0);
	shows(f, "/etc/fstab", NULL);
	shows(f, "/etc/link", NULL);
	names_are(f, "/etc", "link loop other");
	assert_int_equal(put(f, "/etc/fstab", "new\n", "there"), 0);
	assert_int_equal(f->plan.n, 1);
	shows(f, "/etc/link", "new\n");
	assert_int_equal(put(f, "/etc/made", "x", "why"), 0);
	assert_int_equal(plan_remove(&f->plan, "/etc/made", &f->err, "after all"), 0);
	assert_int_equal(f->plan.n, 1);
	assert_int_equal(plan_remove(&f->plan, "/etc", &f->err, "why"), -1);
}

static void moves_carry_along(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "/etc/fstab", "new\n", "why"), 0);
	assert_int_equal(plan_move(&f->plan, "/etc/fstab", "/etc/fstab.old", &f->err, "kept"), 0);
	shows(f, "/etc/fstab", NULL);
	shows(f, "/etc/fstab.old", "new\n");
	assert_int_equal(put(f, "/etc/fstab", "newest\n", "anew"), 0);
	shows(f, "/etc/fstab", "newest\n");
	shows(f, "/etc/fstab.old", "new\n");
	assert_int_equal(f->plan.n, 3);
	assert_int_equal(plan_move(&f->plan, "/usr", "/etc/usr", &f->err, "kept"), 0);
	names_are(f, "/etc/usr", "lib");
	names_are(f, "/", "etc lib");
	assert_int_equal(plan_move(&f->plan, "/etc/other", "/etc/fstab", &f->err, "kept"), -1);
	assert_int_equal(plan_move(&f->plan, "/etc/nothing", "/etc/x", &f->err, "kept"), -1);
}

static void a_run_is_told_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plan_run(&f->plan, "update-initramfs -u", &f->err, "why"), 0);
	assert_int_equal(plan_run(&f->plan, "update-initramfs -u", &f->err, "why"), 0);
	assert_int_equal(f->plan.n, 1);
	plan_remark(&f->plan, "%s", "look");
	assert_string_equal(f->plan.remarks.at, "look\n");
}

/* ---------------------------------------------------------------- shown */

static void differs(const char *a, const char *b, const char *hunks)
{
	struct bytes out = { 0 };

	diff_unified(a, strlen(a), b, strlen(b), &out);
	assert_string_equal(out.at ? out.at : "", hunks);
	bytes_destroy(&out);
}

static void differences_are_as_diff_has_them(void **state)
{
	(void)state;
	differs("", "", "");
	differs("a\n", "a\n", "");
	differs("", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n");
	differs("a\n", "", "@@ -1,1 +0,0 @@\n-a\n");
	differs("a\nb\nc\n", "a\nx\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
	differs("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n6\n7\n8\n9\n", "@@ -2,7 +2,6 @@\n 2\n 3\n 4\n-5\n 6\n 7\n 8\n");
	differs("a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n");
}

static void a_plan_is_shown(void **state)
{
	struct fixture *f = *state;
	struct bytes out = { 0 }, notes = { 0 };
	struct json_object *o, *changes, *value;

	bytes_text(&notes, "a key\n");
	assert_int_equal(put(f, "/etc/fstab", "new\n", "since it is\x1b[31m old"), 0);
	assert_int_equal(plan_write_binary(&f->plan, "/etc/hive", "\0\1", 2, 0600, &notes, &f->err, "a driver"), 0);
	assert_int_equal(plan_link(&f->plan, "/etc/unit", "/dev/null", &f->err, "off"), 0);
	assert_int_equal(plan_remove(&f->plan, "/etc/other", &f->err, "gone"), 0);
	plan_remark(&f->plan, "look");
	assert_int_equal(plan_show(&f->plan, true, &out, &f->err), 0);
	assert_string_equal(out.at, "change /etc/fstab\n    since it is?[31m old\n  | @@ -1,1 +1,1 @@\n  | -old\n  | +new\n"
	                            "make /etc/hive (2 bytes)\n    a driver\n  * a key\nlink /etc/unit -> /dev/null\n    off\n"
	                            "remove /etc/other\n    gone\nnote: look\n");
	o = plan_json(&f->plan, &f->err);
	assert_non_null(o);
	changes = json_object_object_get(o, "changes");
	assert_int_equal(json_object_array_length(changes), 4);
	value = json_object_object_get(json_object_array_get_idx(changes, 0), "difference");
	assert_string_equal(json_object_get_string(value), "@@ -1,1 +1,1 @@\n-old\n+new\n");
	value = json_object_object_get(json_object_array_get_idx(changes, 1), "notes");
	assert_int_equal(json_object_array_length(value), 1);
	assert_int_equal(json_object_array_length(json_object_object_get(o, "remarks")), 1);
	json_object_put(o);
	bytes_destroy(&out);
	bytes_destroy(&notes);
}

/* Names of the guest go into what is told: they make no lines of their own. */
static void names_forge_nothing(void **state)
{
	static const char forged[] = "/etc/a\nnote: all is well\r\x1b[2K\tb\xff.yaml";
	struct fixture *f = *state;

	plan_remark(&f->plan, "%s: look", forged);
	remark_once(&f->plan, "%s: look", forged);
	remark_once(&f->plan, "%s: is \xc3\xa4lter", forged);
	assert_string_equal(f->plan.remarks.at, "/etc/a?note: all is well??[2K b?.yaml: look\n"
	                                        "/etc/a?note: all is well??[2K b?.yaml: is \xc3\xa4lter\n");
	assert_int_equal(put(f, "/etc/fstab", "new\n", forged), 0);
	assert_int_equal(put(f, "/etc/fstab", "newer\n", forged), 0);
	assert_string_equal(plan_find(&f->plan, "/etc/fstab")->why, "/etc/a?note: all is well??[2K b?.yaml");
}

static void remarks_have_an_end(void **state)
{
	struct fixture *f = *state;
	const char *s;
	unsigned lines = 0;

	for (unsigned i = 0; i < 2 * PLAN_REMARKS_MAX; i++)
		remark_once(&f->plan, "%u is odd", i);
	plan_remark(&f->plan, "one more");
	for (s = f->plan.remarks.at; (s = strchr(s, '\n')); s++)
		lines++;
	assert_int_equal(lines, PLAN_REMARKS_MAX + 1);
	assert_non_null(strstr(f->plan.remarks.at, "\n999 is odd\nand more like these\n"));
	assert_null(strstr(f->plan.remarks.at, "one more"));
	assert_false(f->plan.remarks.failed);
}

/* What a guest's file may say to a terminal, or to who reads JSON, stays in the file. */
static void text_is_shown_clean(void **state)
{
	static const struct {
		const char *text, *shown;
	} v[] = {
		{ "", "" },
		{ "Debian GNU/Linux 12", "Debian GNU/Linux 12" },
		{ "\x1b[2Jowned\x7f", "\\x1b[2Jowned\\x7f" },
		{ "a\tb\nc\r", "a\tb\\x0ac\\x0d" },
		{ "gr\u00fc\u00df \u20ac \U0001f600", "gr\u00fc\u00df \u20ac \U0001f600" },
		{ "\xc2\x9b" "2J\xc2\xa0", "\\xc2\\x9b2J\xc2\xa0" },
		{ "a\xff\x80z", "a\\xff\\x80z" },
		{ "\xc0\xaf\xed\xa0\x80\xe2\x82", "\\xc0\\xaf\\xed\\xa0\\x80\\xe2\\x82" },
	};
	struct fixture *f = *state;
	struct bytes out = { 0 };
	struct json_object *o, *one;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		bytes_clear(&out);
		text_show(&out, v[i].text, strlen(v[i].text), false);
		assert_string_equal(out.at ? out.at : "", v[i].shown);
	}
	bytes_clear(&out);
	assert_int_equal(put(f, "/etc/\xc2\x9b\n\xff", "\x9b\xff\xc2\x85 \u00fc\n", "why"), 0);
	assert_int_equal(plan_link(&f->plan, "/etc/unit", "/\xfe", &f->err, "off"), 0);
	assert_int_equal(plan_show(&f->plan, true, &out, &f->err), 0);
	assert_string_equal(out.at, "make /etc/\\xc2\\x9b\\x0a\\xff\n    why\n  | @@ -0,0 +1,1 @@\n"
	                            "  | +\\x9b\\xff\\xc2\\x85 \u00fc\nlink /etc/unit -> /\\xfe\n    off\n");
	o = plan_json(&f->plan, &f->err);
	assert_non_null(o);
	one = json_object_array_get_idx(json_object_object_get(o, "changes"), 0);
	assert_string_equal(json_object_get_string(json_object_object_get(one, "path")), "/etc/\\xc2\\x9b\n\\xff");
	assert_string_equal(json_object_get_string(json_object_object_get(one, "difference")),
	                    "@@ -0,0 +1,1 @@\n+\\x9b\\xff\\xc2\\x85 \u00fc\n");
	one = json_object_array_get_idx(json_object_object_get(o, "changes"), 1);
	assert_string_equal(json_object_get_string(json_object_object_get(one, "target")), "/\\xfe");
	json_object_put(o);
	bytes_destroy(&out);
	/* The guest gets the bytes. */
	shows(f, "/etc/\xc2\x9b\n\xff", "\x9b\xff\xc2\x85 \u00fc\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_second_change_replaces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_the_same_is_no_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_are_followed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parents_are_made, set_up, tear_down),
		cmocka_unit_test_setup_teardown(removed_and_written_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(moves_carry_along, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_run_is_told_once, set_up, tear_down),
		cmocka_unit_test(differences_are_as_diff_has_them),
		cmocka_unit_test_setup_teardown(a_plan_is_shown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(text_is_shown_clean, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_forge_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(remarks_have_an_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

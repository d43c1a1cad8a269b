/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of profiles holds together, and what follows from it for options and sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vdisk/vdisk.h"

#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

static const struct vdisk_option_info *option_find(const struct vdisk_format_info *f, const char *name)
{
	for (const struct vdisk_option_info *o = f->options; o && o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

/* Each value that the profile takes is one that the format can have; what is set is among them. */
static void judge_option(const struct vdisk_format_info *f, const struct vdisk_profile_option *o)
{
	const struct vdisk_option_info *info = option_find(f, o->name);
	size_t len = strlen(o->name);

	assert_non_null(info);
	assert_true(info->use & VDISK_OPT_FOR_CREATE);
	if (!o->set)
		return;
	assert_true(!strncmp(o->set, o->name, len) && o->set[len] == '=');
	assert_true(vdisk_profile_takes(o->takes, o->set + len + 1));
	if (info->type == VDISK_OPT_ENUM)
		assert_true(vdisk_profile_takes(info->values, o->set + len + 1));
}

static void test_table(void **state)
{
	const struct vdisk_profile *p;
	size_t n = 0;

	(void)state;
	for (; (p = vdisk_profile_get(n)); n++) {
		struct vdisk_profile_choice c;
		vdisk_error err = { 0 };

		assert_ptr_equal(vdisk_profile_find(p->name), p);
		assert_true(p->size_multiple >= 512 && !(p->size_multiple & (p->size_multiple - 1)));
		assert_int_equal(p->size_min % p->size_multiple, 0);
		assert_true(p->firmware && p->sectors & 512);
		for (const struct vdisk_profile_form *f = p->forms; f->format; f++) {
			const struct vdisk_format_info *info = vdisk_format_find(f->format);
			size_t options = 0;

			assert_non_null(info);
			assert_string_equal(info->name, f->format);
			assert_ptr_equal(vdisk_profile_form(p, f->format), f);
			assert_int_equal(f->size_max % p->size_multiple, 0);
			for (const struct vdisk_profile_option *o = f->options; o && o->name; o++, options++)
				judge_option(info, o);
			assert_true(options <= VDISK_PROFILE_OPTIONS_MAX);
		}
		/* What is made unasked can be made. */
		assert_int_equal(vdisk_profile_choose(p, NULL, NULL, &c, &err), 0);
		assert_ptr_equal(c.form, p->forms);
	}
	assert_int_equal(n, 10);
	assert_null(vdisk_profile_find("frob"));
}

static void test_takes(void **state)
{
	(void)state;
	assert_true(vdisk_profile_takes("a|bc|d", "bc"));
	assert_true(vdisk_profile_takes("a|bc|d", "d"));
	assert_false(vdisk_profile_takes("a|bc|d", "b"));
	assert_false(vdisk_profile_takes("a|bc|d", "c"));
	assert_false(vdisk_profile_takes("a|bc|d", "a|bc"));
	assert_false(vdisk_profile_takes("a", ""));
	assert_false(vdisk_profile_takes("", "a"));
}

static void test_choose(void **state)
{
	const struct vdisk_profile *azure = vdisk_profile_find("azure"), *esxi = vdisk_profile_find("esxi");
	const char *dynamic[] = { "subformat=dynamic", NULL }, *flat[] = { "hwversion=7", "subformat=vmfs", NULL };
	const char *twice[] = { "subformat=vmfs", "subformat=monolithicFlat", NULL };
	struct vdisk_profile_choice c;
	vdisk_error err = { 0 };

	(void)state;
	assert_int_equal(vdisk_profile_choose(azure, "vpc", NULL, &c, &err), 0); /* an alias */
	assert_string_equal(c.form->format, "vhd");
	assert_string_equal(c.options[0], "subformat=fixed");
	assert_int_equal(vdisk_profile_choose(azure, NULL, dynamic, &c, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	assert_non_null(strstr(err.message, "subformat=dynamic contradicts the profile azure"));
	assert_int_equal(vdisk_profile_choose(azure, "qcow2", NULL, &c, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	assert_int_equal(vdisk_profile_choose(azure, "frob", NULL, &c, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_int_equal(vdisk_profile_choose(vdisk_profile_find("virtualbox"), "parallels", NULL, &c, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	/* What the caller says, and the profile takes, is not said again. */
	assert_int_equal(vdisk_profile_choose(esxi, NULL, flat, &c, &err), 0);
	assert_string_equal(c.options[0], "adapter_type=lsilogic");
	assert_null(c.options[1]);
	assert_int_equal(vdisk_profile_choose(esxi, NULL, twice, &c, &err), -1);
}

static void test_size(void **state)
{
	const struct vdisk_profile *azure = vdisk_profile_find("azure"), *xcp = vdisk_profile_find("xcp-ng");
	vdisk_error err = { 0 };
	uint64_t made = 0;

	(void)state;
	assert_int_equal(vdisk_profile_size(azure, azure->forms, 1, &made, &err), 0);
	assert_int_equal(made, 20 * MIB);
	assert_int_equal(vdisk_profile_size(azure, azure->forms, 20 * MIB + 1, &made, &err), 0);
	assert_int_equal(made, 21 * MIB);
	assert_int_equal(vdisk_profile_size(azure, azure->forms, 30 * MIB, &made, &err), 0);
	assert_int_equal(made, 30 * MIB);
	assert_int_equal(vdisk_profile_size(xcp, xcp->forms, 2040 * 1024 * MIB, &made, &err), 0);
	assert_int_equal(made, 2040 * 1024 * MIB);
	assert_int_equal(vdisk_profile_size(xcp, xcp->forms, 2 * TIB, &made, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	assert_int_equal(vdisk_profile_size(azure, azure->forms, UINT64_MAX, &made, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_takes),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

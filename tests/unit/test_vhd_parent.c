/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VHD parent locators: which names are read, in which order, and what is written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/text.h"
#include "formats/vhd/vhd.h"

#define W2RU VHD_CODE('W', '2', 'r', 'u')
#define W2KU VHD_CODE('W', '2', 'k', 'u')
#define MACX VHD_CODE('M', 'a', 'c', 'X')

struct disk {
	struct vd_layer layer;
	struct vd_file *file;
	struct vhd vhd;
	uint64_t at;
	unsigned n;
};

static void disk_start(struct disk *d)
{
	memset(d, 0, sizeof(*d));
	assert_int_equal(vd_file_memory("disk", NULL, 0, &d->file, NULL), 0);
	d->layer.files = &d->file;
	d->layer.n_files = 1;
	d->at = 4096;
}

static void disk_end(struct disk *d)
{
	for (unsigned i = 0; i < d->layer.parent_ref.n_names; i++)
		vd_free(d->layer.parent_ref.names[i]);
	vd_free(d->layer.parent_ref.format);
	vd_file_close(d->file);
}

static void locator_add(struct disk *d, uint32_t code, const char *charset, const char *text)
{
	void *b;
	size_t len;

	assert_int_equal(vd_text_from_utf8(charset, text, &b, &len, NULL), 0);
	assert_int_equal(vd_file_pwrite(d->file, b, len, d->at, NULL), 0);
	vd_free(b);
	d->vhd.header.locators[d->n++] = (struct vhd_locator){ code, 512, (uint32_t)len, d->at };
	d->at += 512;
}

static void header_name(struct disk *d, const char *text)
{
	void *b;
	size_t len;

	assert_int_equal(vd_text_from_utf8("UTF-16BE", text, &b, &len, NULL), 0);
	memcpy(d->vhd.header.parent_name, b, len);
	vd_free(b);
}

static int disk_read(struct disk *d, vd_error *err)
{
	struct vd_open o = { 0 };

	return vhd_parent_read(&d->layer, &d->vhd, &o, err);
}

static void names_are(const struct disk *d, unsigned n, const char *const *names)
{
	assert_int_equal(d->layer.parent_ref.n_names, n);
	for (unsigned i = 0; i < n; i++)
		assert_string_equal(d->layer.parent_ref.names[i], names[i]);
}

/* As Hyper-V writes it: the absolute locator first, the absolute name in the header. */
static void hyper_v(void **state)
{
	static const char *const names[] = { "./base/päre nt.vhd", "päre nt.vhd", "C:/disks/base/päre nt.vhd" };
	struct disk d;

	(void)state;
	disk_start(&d);
	locator_add(&d, W2KU, "UTF-16LE", "C:\\disks\\base\\päre nt.vhd");
	locator_add(&d, W2RU, "UTF-16LE", ".\\base\\päre nt.vhd");
	header_name(&d, "C:\\disks\\base\\päre nt.vhd");
	d.vhd.header.parent_uuid[3] = 9;
	d.vhd.header.parent_timestamp = 10;
	assert_int_equal(disk_read(&d, NULL), 0);
	names_are(&d, 3, names);
	assert_string_equal(d.layer.parent_ref.format, "vhd");
	assert_int_equal(d.layer.parent_ref.id.kind, VD_ID_UUID);
	assert_int_equal(d.layer.parent_ref.id.uuid[3], 9);
	assert_true(d.layer.parent_ref.mtime == VHD_EPOCH + 10);
	disk_end(&d);
}

static void header_alone(void **state)
{
	static const char *const names[] = { "parent.vhd" };
	struct disk d;

	(void)state;
	disk_start(&d);
	locator_add(&d, MACX, "UTF-8", "file://host/parent.vhd");
	header_name(&d, "parent.vhd");
	assert_int_equal(disk_read(&d, NULL), 0);
	names_are(&d, 1, names);
	assert_true(d.layer.parent_ref.mtime == 0);
	disk_end(&d);
}

static void nobody(void **state)
{
	vd_error err = { 0 };
	struct disk d;

	(void)state;
	disk_start(&d);
	locator_add(&d, MACX, "UTF-8", "file://host/parent.vhd");
	assert_int_equal(disk_read(&d, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	disk_end(&d);
}

static void locator_bad(uint32_t length, uint64_t off)
{
	vd_error err = { 0 };
	struct disk d;

	disk_start(&d);
	locator_add(&d, W2RU, "UTF-16LE", "parent.vhd");
	d.vhd.header.locators[0].length = length;
	d.vhd.header.locators[0].off = off;
	assert_int_equal(disk_read(&d, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_non_null(strstr(err.message, "too long or outside the file"));
	disk_end(&d);
}

static void hostile(void **state)
{
	(void)state;
	locator_bad(UINT32_MAX, 4096);
	locator_bad(70000, 0);
	locator_bad(20, UINT64_MAX - 5);
	locator_bad(20, 1 << 20);
}

/* ---------------------------------------------------------------- written */

static const struct vd_driver driver = { .info = { .name = "vhd" } };

static int prepare(const char *backing, const char *path, uint64_t size, struct vhd_header *h, struct vhd_parent_write *w)
{
	struct vd_layer parent = { .drv = &driver, .size = 1024, .id = { .kind = VD_ID_UUID, .uuid = { 1, 2, 3 } } };
	struct vd_create c = { .size = size, .backing = backing, .backing_format = "vhd", .parent = &parent, .parent_path = path,
	                       .parent_mtime = VHD_EPOCH + 77 };
	int r;

	memset(h, 0, sizeof(*h));
	memset(w, 0, sizeof(*w));
	r = vhd_parent_prepare(&c, h, w, NULL);
	if (r)
		vhd_parent_clear(w);
	return r;
}

static void locator_is(const struct vhd_parent_write *w, unsigned i, const char *text)
{
	char *utf8;

	assert_int_equal(vd_text_to_utf8("UTF-16LE", w->bytes[i], w->len[i], &utf8, NULL), 0);
	assert_string_equal(utf8, text);
	vd_free(utf8);
}

static void written(void **state)
{
	struct vhd_parent_write w;
	struct vhd_header h;

	(void)state;
	assert_int_equal(prepare("base/p.vhd", "/vm/base/p.vhd", 1024, &h, &w), 0);
	locator_is(&w, 0, ".\\base\\p.vhd");
	locator_is(&w, 1, "\\vm\\base\\p.vhd");
	assert_int_equal(h.locators[0].code, W2RU);
	assert_int_equal(h.locators[1].code, W2KU);
	assert_int_equal(h.parent_uuid[1], 2);
	assert_int_equal(h.parent_timestamp, 77);
	assert_memory_equal(h.parent_name, "\0p\0.\0v\0h\0d\0", 11);
	vhd_parent_clear(&w);

	assert_int_equal(prepare("../p.vhd", NULL, 1024, &h, &w), 0);
	locator_is(&w, 0, "..\\p.vhd");
	assert_null(w.bytes[1]);
	assert_int_equal(h.locators[1].code, 0);
	vhd_parent_clear(&w);

	assert_int_equal(prepare("/vm/p.vhd", "/vm/p.vhd", 1024, &h, &w), 0);
	assert_int_equal(h.locators[0].code, W2KU);
	assert_null(w.bytes[0]);
	vhd_parent_clear(&w);

	assert_int_equal(prepare("a\\b.vhd", NULL, 1024, &h, &w), -1); /* would come back as a/b.vhd */
	assert_int_equal(prepare("p.vhd", NULL, 2048, &h, &w), -1);    /* not the parent's size */
}

static void absolute_names(void **state)
{
	(void)state;
	assert_true(vhd_name_is_absolute("/p"));
	assert_true(vhd_name_is_absolute("C:/p"));
	assert_true(vhd_name_is_absolute("z:p"));
	assert_false(vhd_name_is_absolute("1:p"));
	assert_false(vhd_name_is_absolute("./p"));
	assert_false(vhd_name_is_absolute(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hyper_v), cmocka_unit_test(header_alone), cmocka_unit_test(nobody),
		cmocka_unit_test(hostile), cmocka_unit_test(written),      cmocka_unit_test(absolute_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

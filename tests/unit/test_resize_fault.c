/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk gets another size while its file fails at the nth operation: what did not succeed may have stopped anywhere, so the image
 * takes no further change until it is opened anew; then it has the old size or the new one and its content, the same
 * is done again.  At each time a check finds nothing wrong, and no space that nothing owns.
 */
#include "kept.h"

#include <errno.h>

#define SIZE (5u * MIB)

struct kind {
	const char *name, *format, *option;
	uint64_t to;
	bool loses; /* space that was freed, or taken, may be nobody's (C3): a leak, which check mends */
};

static void reads(vdisk_image *img, const uint8_t *want, uint64_t to)
{
	uint64_t size = vdisk_size(img), both = vd_min(vd_min(size, to), SIZE); /* what is cut off may be gone */
	uint8_t *got = vd_malloc(both);

	if (size != SIZE && size != to)
		fail_msg("the disk has %" PRIu64 " bytes", size);
	must(vdisk_pread(img, got, both, 0, err));
	assert_memory_equal(got, want, both);
	vd_free(got);
}

static void problem_print(void *ctx, bool is_leak, uint64_t off, const char *message)
{
	const struct kind *k = ctx;

	if (!is_leak || !k->loses)
		print_message("%s at %#" PRIx64 ": %s\n", is_leak ? "leak" : "corruption", off, message);
}

/* Opened anew, with the size it has: neither wrong nor with space that nothing owns. */
static void sound(const struct kind *k, struct kept *s, const uint8_t *want, const char *when)
{
	struct vdisk_check_result r;
	vdisk_image *img = kept_open(kept_file(s), k->format, 0, NULL, NULL);

	reads(img, want, k->to);
	must(vdisk_check(img, 0, problem_print, (void *)(uintptr_t)k, &r, err));
	if (r.corruptions || (r.leaks && !k->loses))
		fail_msg("%s: %" PRIu64 " corruptions and %" PRIu64 " leaks %s", k->name, r.corruptions, r.leaks, when);
	must(vdisk_close(img, err));
}

/* True: the operation that was to fail came after all of it. */
static bool failing_at(const struct kind *k, struct kept *whole, const uint8_t *want, long n, uint32_t ops, unsigned long *failed)
{
	struct vd_fault fault = { .countdown = -1, .ops = ops, .sys_errno = EIO };
	struct kept s, again;
	struct vd_file *f;
	vd_error why = { 0 };
	vdisk_image *img;
	bool past;
	int rc;

	must(vd_file_fault(kept_new(&s, kept_file(whole)), &fault, &f, err));
	img = kept_open(f, k->format, VDISK_OPEN_RW, NULL, NULL);
	must(vdisk_pwrite(img, want, 512, 0, err)); /* begun */
	must(vdisk_flush(img, err));
	atomic_store(&fault.countdown, n);
	rc = vdisk_resize(img, k->to, VDISK_RESIZE_SHRINK, &why);
	past = atomic_load(&fault.countdown) > 0;
	atomic_store(&fault.countdown, -1);
	if (rc) {
		assert_int_equal(VDISK_IO, why.kind);
		++*failed;
		/* Either nothing goes on, or it goes on rightly. */
		if (!vdisk_pwrite(img, want + MIB, 70000, MIB, &why))
			(void)vdisk_flush(img, &why);
	}
	(void)vdisk_close(img, &why);
	sound(k, &s, want, "when it failed");
	img = kept_open(kept_new(&again, kept_file(&s)), k->format, VDISK_OPEN_RW, NULL, NULL);
	must(vdisk_resize(img, k->to, VDISK_RESIZE_SHRINK, err));
	must(vdisk_close(img, err));
	sound(k, &again, want, "when it was done again");
	kept_free(&again);
	kept_free(&s);
	return past;
}

static void every_operation_fails(void **state)
{
	static const uint32_t kinds[] = { VD_FAULT_WRITE, VD_FAULT_FLUSH, VD_FAULT_READ, VD_FAULT_OTHER };
	const struct kind *k = *state;
	uint8_t *want = help_content(SIZE, 7);
	unsigned long failed = 0;
	struct kept whole;
	vdisk_image *img = kept_create(kept_new(&whole, kept_empty(k->name)), k->format, SIZE, k->option, 0, NULL);

	memset(want, 5, 512);
	must(vdisk_pwrite(img, want, SIZE, 0, err));
	must(vdisk_close(img, err));
	for (unsigned i = 0; i < 4; i++)
		for (long n = 1; n < 4000 && !failing_at(k, &whole, want, n, kinds[i], &failed); n += n < 30 ? 1 : 97)
			;
	print_message("%s: %lu failures\n", k->name, failed);
	assert_true(failed > 2);
	kept_free(&whole);
	vd_free(want);
}

/* A BAT that moved: the driver's mind was at the new place while the region tables still had the old one. */
static void moved_and_not_told(void **state)
{
	struct vd_fault fault = { .countdown = -1, .ops = VD_FAULT_WRITE, .sys_errno = EIO, .persistent = true };
	struct vd_file *f;
	vd_error why = { 0 };
	vdisk_image *img;
	struct kept s;
	uint8_t one = 1;

	(void)state;
	must(vdisk_close(kept_create(kept_new(&s, kept_empty("bat.vhdx")), "vhdx", SIZE, "block_size=1M", 0, NULL), err));
	must(vd_file_fault(kept_file(&s), &fault, &f, err));
	img = kept_open(f, "vhdx", VDISK_OPEN_RW, NULL, NULL);
	must(vdisk_pwrite(img, &one, 1, 0, err));
	must(vdisk_flush(img, err));
	atomic_store(&fault.countdown, 4);
	assert_int_equal(-1, vdisk_resize(img, UINT64_C(200) << 30, 0, &why));
	atomic_store(&fault.countdown, -1);
	fault.persistent = false;
	assert_int_equal(-1, vdisk_pwrite(img, &one, 1, 3 * MIB, &why));
	assert_non_null(strstr(why.message, "metadata"));
	assert_int_equal(-1, vdisk_close(img, &why));
	kept_free(&s);
}

int main(void)
{
	static struct kind kinds[] = {
		{ "qcow2", "qcow2", NULL, 40u * MIB },
		{ "qcow2, a longer table", "qcow2", NULL, UINT64_C(40) << 40, true },
		{ "qcow2, shorter", "qcow2", NULL, 2u * MIB + 512, true },
		{ "vhd", "vhd", "block_size=4096", 40u * MIB },
		{ "vhd, in its table", "vhd", NULL, 40u * MIB },
		{ "vhd, shorter", "vhd", "block_size=4096", 2u * MIB + 512 },
		{ "vhd, fixed", "vhd", "subformat=fixed", 40u * MIB },
		{ "vhd, fixed, shorter", "vhd", "subformat=fixed", 2u * MIB },
		{ "vhdx", "vhdx", "block_size=1M", UINT64_C(200) << 30 },
		{ "vhdx, shorter", "vhdx", "block_size=1M", 2u * MIB + 512 },
		{ "vmdk", "vmdk", NULL, 40u * MIB },
		{ "vmdk, longer directories", "vmdk", NULL, UINT64_C(40) << 30 },
		{ "vmdk, shorter", "vmdk", NULL, 2u * MIB + 512, true },
		{ "vdi", "vdi", NULL, UINT64_C(400) << 30 },
		{ "vdi, shorter", "vdi", NULL, 2u * MIB + 512 },
	};
	struct CMUnitTest tests[sizeof(kinds) / sizeof(*kinds) + 1] = { cmocka_unit_test(moved_and_not_told) };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		tests[i + 1] = (struct CMUnitTest){ kinds[i].name, every_operation_fails, NULL, NULL, &kinds[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk_convert() between formats in a folder of its own: content, sameness of bytes, refusals, faults, cancelling. */
#include "alloc_fail.h"
#include "ops_help.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/vdisk-ops-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	return setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static const char *in_folder(const char *name)
{
	static char path[2][512];
	static unsigned turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

/* Removes all files; how many there were. */
static unsigned sweep(void)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		assert_int_equal(unlink(in_folder(e->d_name)), 0);
		n++;
	}
	closedir(d);
	return n;
}

static void file_digest(const char *path, uint8_t digest[32])
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	bytes = vd_malloc((size_t)st.st_size);
	assert_int_equal(fread(bytes, 1, (size_t)st.st_size, f), st.st_size);
	must(vd_sha256_of(bytes, (size_t)st.st_size, digest, err));
	vd_free(bytes);
	fclose(f);
}

static void expect_content(const char *path, const char *format, const uint8_t *bytes, size_t size)
{
	struct vdisk_open_options o = { .format = format };
	uint8_t *got = vd_malloc(size);
	vdisk_image *img;

	must(vdisk_open(path, &o, &img, err));
	assert_int_equal(vdisk_size(img), size);
	must(vdisk_pread(img, got, size, 0, err));
	for (size_t i = 0; i < size; i++)
		if (got[i] != bytes[i])
			fail_msg("%s: byte %zu is %#x, not %#x", path, i, got[i], bytes[i]);
	must(vdisk_close(img, err));
	vd_free(got);
}

struct target {
	const char *format;
	uint32_t flags;
	const char *options[3];
};
static const struct target targets[] = {
	{ "raw", 0, { NULL } },
	{ "qcow2", 0, { NULL } },
	{ "qcow2", 0, { "cluster_size=4K", NULL } },
	{ "qcow2", 0, { "cluster_size=2M", NULL } },
	{ "qcow2", 0, { "extended_l2=on", NULL } },
	{ "qcow2", VDISK_CONVERT_COMPRESS, { NULL } },
	{ "qcow2", VDISK_CONVERT_COMPRESS, { "compression_type=zstd", "cluster_size=4K", NULL } },
	{ "vmdk", 0, { NULL } },
	{ "vmdk", 0, { "subformat=streamOptimized", NULL } },
	{ "vmdk", 0, { "subformat=monolithicFlat", NULL } },
	{ "vhd", 0, { NULL } },
	{ "vhd", 0, { "subformat=fixed", NULL } },
};
#define N_TARGETS (sizeof(targets) / sizeof(targets[0]))

/* The same bytes whatever the threads, the budget and the run; and the right ones. */
static void test_targets(void **state)
{
	enum { SIZE = 9 * MIB + 512 * 3 };
	uint8_t *bytes = help_content(SIZE, 11), want[32], first[32], got[32];
	static const unsigned threads[] = { 1, 2, 16, 2 };

	(void)state;
	help_digest(bytes, SIZE, want);
	for (size_t t = 0; t < N_TARGETS; t++) {
		for (unsigned i = 0; i < 4; i++) {
			vdisk_image *src = help_raw(bytes, SIZE);
			struct vdisk_convert_options o = {
				.format = targets[t].format,
				.options = targets[t].options,
				.flags = targets[t].flags | VDISK_CONVERT_VERIFY,
				.threads = threads[i],
				.memory_bytes = i == 3 ? MIB : 0,
			};
			struct vdisk_convert_report r;

			must(vdisk_convert(src, in_folder("out.img"), &o, &r, err));
			must(vdisk_close(src, err));
			assert_int_equal(r.size, SIZE);
			assert_int_equal(r.data + r.zero, SIZE);
			assert_true(r.has_digest);
			assert_memory_equal(r.digest, want, 32);
			if (!i)
				expect_content(in_folder("out.img"), o.format, bytes, SIZE);
			file_digest(in_folder("out.img"), i ? got : first);
			if (i && memcmp(first, got, 32))
				fail_msg("%s %s: other bytes with %u threads", o.format, o.options[0] ? o.options[0] : "",
				         threads[i]);
			assert_true(sweep() >= 1);
		}
	}
	vd_free(bytes);
}

/* From each format to each other. */
static void test_pairs(void **state)
{
	enum { SIZE = 5 * MIB + 512 };
	uint8_t *bytes = help_content(SIZE, 12);

	(void)state;
	for (size_t s = 0; s < N_TARGETS; s++) {
		for (size_t t = s % 3; t < N_TARGETS; t += 3) {
			vdisk_image *src = help_raw(bytes, SIZE);
			struct vdisk_convert_options o = { .format = targets[s].format,
				                           .options = targets[s].options,
				                           .flags = targets[s].flags };
			struct vdisk_open_options open = { .format = o.format };

			must(vdisk_convert(src, in_folder("a.img"), &o, NULL, err));
			must(vdisk_close(src, err));
			must(vdisk_open(in_folder("a.img"), &open, &src, err));
			o.format = targets[t].format, o.options = targets[t].options, o.flags = targets[t].flags;
			must(vdisk_convert(src, in_folder("b.img"), &o, NULL, err));
			must(vdisk_close(src, err));
			expect_content(in_folder("b.img"), o.format, bytes, SIZE);
			sweep();
		}
	}
	vd_free(bytes);
}

/* Over a backing image only what differs is stored, zeros over its data are zeros. */
static void test_backing(void **state)
{
	enum { SIZE = 6 * MIB };
	uint8_t *base = help_content(SIZE, 21), *bytes = vd_malloc(SIZE);
	static const char *const kinds[][2] = { { NULL }, { "cluster_size=4K" }, { "extended_l2=on" }, { "cluster_size=2M" } };

	(void)state;
	memset(base + MIB, 5, 3 * MIB);
	memcpy(bytes, base, SIZE);
	memset(bytes + MIB + 5000, 0, MIB);
	memset(bytes + 5 * MIB, 0, 512 * KIB);
	bytes[3 * MIB + 7] ^= 1;
	for (size_t k = 0; k < 4; k++) {
		struct vdisk_convert_options o = { .format = "raw" };
		struct vdisk_convert_report r;
		vdisk_image *src = help_raw(base, SIZE);

		must(vdisk_convert(src, in_folder("base.raw"), &o, NULL, err));
		must(vdisk_close(src, err));
		src = help_raw(bytes, SIZE);
		o = (struct vdisk_convert_options){
			.format = "qcow2", .options = kinds[k], .backing = "base.raw", .backing_format = "raw"
		};
		must(vdisk_convert(src, in_folder("over.qcow2"), &o, &r, err));
		must(vdisk_close(src, err));
		assert_true(r.data <= 12 * KIB);
		expect_content(in_folder("over.qcow2"), "qcow2", bytes, SIZE);
		sweep();
	}
	vd_free(base);
	vd_free(bytes);
}

/* Holes that begin and end inside the blocks that are judged, in a buffer that held other bytes before. */
static void test_odd_extents(void **state)
{
	enum { SIZE = 4 * MIB, PAGE = 64 * KIB };
	static const char *const options[] = { "offset=512", NULL };
	uint8_t *bytes = vd_malloc(SIZE);

	(void)state;
	for (size_t t = 0; t < N_TARGETS; t++) {
		struct vdisk_convert_options o = { .format = targets[t].format,
			                           .options = targets[t].options,
			                           .flags = targets[t].flags,
			                           .threads = 1,
			                           .memory_bytes = MIB };
		struct vd_file *f;
		vdisk_image *src;

		memset(bytes, 0x77, SIZE);
		must(vd_file_memory("odd.raw", NULL, 0, &f, err));
		must(vd_file_truncate(f, SIZE + 512, err));
		/* The first half is full, of the second every other page of the file is a hole. */
		for (size_t at = 0; at < SIZE; at += PAGE) {
			size_t n = at ? PAGE : PAGE - 512, off = at ? at - 512 : 0;

			if (at >= SIZE / 2 && at / PAGE % 2)
				memset(bytes + off, 0, n);
			else
				must(vd_file_pwrite(f, bytes + off, n, off + 512, err));
		}
		must(vd_file_pwrite(f, bytes + SIZE - 512, 512, SIZE, err));
		must(vd_image_open_file(f, "raw", 0, options, NULL, NULL, &src, err));
		must(vdisk_convert(src, in_folder("odd.img"), &o, NULL, err));
		must(vdisk_close(src, err));
		expect_content(in_folder("odd.img"), o.format, bytes, SIZE);
		sweep();
	}
	vd_free(bytes);
}

static void test_sparse(void **state)
{
	enum { SIZE = 8 * MIB };
	uint8_t *bytes = vd_calloc(1, SIZE);
	vdisk_image *src;
	struct vdisk_convert_options o = { .format = "raw" };
	struct stat st;

	(void)state;
	for (size_t i = 0; i < SIZE; i += MIB)
		memset(bytes + i, 1, 4096);
	src = help_raw(bytes, SIZE);
	must(vdisk_convert(src, in_folder("a.raw"), &o, NULL, err));
	assert_int_equal(stat(in_folder("a.raw"), &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks * 512 <= 64 * KIB);
	o.sparse_bytes = MIB;
	must(vdisk_convert(src, in_folder("b.raw"), &o, NULL, err));
	assert_int_equal(stat(in_folder("b.raw"), &st), 0);
	assert_true(st.st_blocks * 512 >= 6 * MIB);
	must(vdisk_close(src, err));
	vd_free(bytes);
	sweep();
}

static void test_refusals(void **state)
{
	uint8_t bytes[4096] = { 1 };
	struct vdisk_convert_options o = { .format = "raw" };
	vdisk_image *src = help_raw(bytes, sizeof(bytes));
	vd_error failed = { 0 };

	(void)state;
	must(vdisk_convert(src, in_folder("a.raw"), &o, NULL, err));
	assert_int_equal(vdisk_convert(src, in_folder("a.raw"), &o, NULL, &failed), -1);
	assert_int_equal(failed.kind, VDISK_REFUSED);
	o.flags = VDISK_CONVERT_COMPRESS;
	assert_int_equal(vdisk_convert(src, in_folder("b.raw"), &o, NULL, &failed), -1);
	assert_int_equal(failed.kind, VDISK_UNSUPPORTED);
	o.flags = VDISK_CONVERT_VERIFY;
	assert_int_equal(vdisk_convert(src, "-", &o, NULL, &failed), -1);
	assert_int_equal(failed.kind, VDISK_INVALID);
	o.flags = 0;
	o.same = &(struct vdisk_range){ 0, 512 };
	o.n_same = 1; /* as what? */
	assert_int_equal(vdisk_convert(src, in_folder("b.raw"), &o, NULL, &failed), -1);
	assert_int_equal(failed.kind, VDISK_INVALID);
	o.backing = "a.raw";
	o.backing_format = "raw";
	o.format = "qcow2";
	o.flags = VDISK_CONVERT_CHECKPOINT; /* the record does not know of it */
	assert_int_equal(vdisk_convert(src, in_folder("b.raw"), &o, NULL, &failed), -1);
	assert_int_equal(failed.kind, VDISK_INVALID);
	o = (struct vdisk_convert_options){ .format = "raw" };
	o.sparse_bytes = 3000;
	assert_int_equal(vdisk_convert(src, in_folder("b.raw"), &o, NULL, &failed), -1);
	assert_int_equal(failed.kind, VDISK_INVALID);
	must(vdisk_close(src, err));
	/* Onto itself. */
	must(vdisk_open(in_folder("a.raw"), &(struct vdisk_open_options){ .format = "raw" }, &src, err));
	o = (struct vdisk_convert_options){ .format = "qcow2", .flags = VDISK_CONVERT_OVERWRITE };
	assert_int_equal(vdisk_convert(src, in_folder("a.raw"), &o, NULL, &failed), -1);
	assert_int_equal(failed.kind, VDISK_INVALID);
	must(vdisk_close(src, err));
	expect_content(in_folder("a.raw"), "raw", bytes, sizeof(bytes));
	assert_int_equal(sweep(), 1);
}

/* The nth read fails: an error that says so, and nothing left behind. */
static void test_read_faults(void **state)
{
	enum { SIZE = 7 * MIB };
	uint8_t *bytes = help_content(SIZE, 31);

	(void)state;
	for (size_t t = 0; t < N_TARGETS; t++) {
		for (long n = 1; n < 60; n += 7 + (long)t) {
			struct vd_fault fault = { .ops = VD_FAULT_READ | VD_FAULT_OTHER, .sys_errno = EIO, .persistent = n % 2 };
			struct vdisk_convert_options o = { .format = targets[t].format,
				                           .options = targets[t].options,
				                           .flags = targets[t].flags,
				                           .threads = 1 + (unsigned)n % 3 };
			vd_error failed = { 0 };
			struct vd_file *f;
			vdisk_image *src;
			int rc;

			atomic_init(&fault.countdown, -1);
			must(vd_file_memory("faulty.raw", bytes, SIZE, &f, err));
			must(vd_file_fault(f, &fault, &f, err));
			must(vd_image_open_file(f, "raw", 0, NULL, NULL, NULL, &src, err));
			atomic_store(&fault.countdown, n);
			rc = vdisk_convert(src, in_folder("out.img"), &o, NULL, &failed);
			assert_int_equal(rc, fault.hits ? -1 : 0);
			if (rc) {
				assert_int_equal(failed.sys_errno, EIO);
				assert_int_equal(sweep(), 0);
			} else {
				sweep();
			}
			must(vdisk_close(src, err));
		}
	}
	vd_free(bytes);
}

/* The nth allocation fails: out of memory, or done without what it was for; nothing leaks, nothing is left behind. */
static void test_allocations(void **state)
{
	enum { SIZE = 2 * MIB };
	uint8_t *bytes;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* nothing here is about threads, and it takes minutes */
#endif
	bytes = help_content(SIZE, 51);
	for (size_t t = 0; t < N_TARGETS; t += 3) {
		unsigned failures = 0;

		for (long n = 0; n < 300; n += n < 40 ? 1 : 13) {
			struct vdisk_convert_options o = { .format = targets[t].format,
				                           .options = targets[t].options,
				                           .flags = targets[t].flags | VDISK_CONVERT_VERIFY,
				                           .threads = 2 };
			vdisk_image *src = help_raw(bytes, SIZE);
			vd_error failed = { 0 };
			int rc;

			alloc_fail_at(n);
			rc = vdisk_convert(src, in_folder("out.img"), &o, NULL, &failed);
			alloc_fail_at(-1);
			if (rc && failed.kind != VDISK_NOMEM)
				fail_msg("allocation %ld: %s", n, failed.message);
			if (!rc)
				expect_content(in_folder("out.img"), o.format, bytes, SIZE);
			assert_int_equal(sweep() > 0, rc == 0);
			failures += rc != 0;
			must(vdisk_close(src, err));
		}
		if (failures < 10)
			fail_msg("%s: only %u allocations failed", targets[t].format, failures);
	}
	vd_free(bytes);
}

struct watch {
	volatile int cancel;
	uint64_t at, last;
	unsigned calls;
};

static void watch_progress(void *ctx, const struct vdisk_progress *p)
{
	struct watch *w = ctx;

	assert_true(p->done >= w->last && p->done <= p->total && p->zero + p->copied <= p->done);
	w->last = p->done;
	w->calls++;
	if (w->at && p->done >= w->at)
		w->cancel = 1;
}

static void test_progress_and_cancel(void **state)
{
	enum { SIZE = 30 * MIB };
	uint8_t *bytes = help_content(SIZE, 41);
	vdisk_image *src = help_raw(bytes, SIZE);
	struct watch w = { 0 };
	struct vdisk_convert_options o = { .format = "qcow2", .progress = watch_progress, .progress_ctx = &w, .cancel = &w.cancel };
	vd_error failed = { 0 };

	(void)state;
	must(vdisk_convert(src, in_folder("a.qcow2"), &o, NULL, err));
	assert_int_equal(w.last, SIZE);
	assert_true(w.calls >= 1);
	assert_int_equal(sweep(), 1);
	w = (struct watch){ .cancel = 1 };
	assert_int_equal(vdisk_convert(src, in_folder("a.qcow2"), &o, NULL, &failed), -1);
	assert_int_equal(failed.kind, VDISK_CANCELLED);
	assert_int_equal(sweep(), 0);
	must(vdisk_close(src, err));
	vd_free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),     cmocka_unit_test(test_pairs),       cmocka_unit_test(test_backing),
		cmocka_unit_test(test_sparse),      cmocka_unit_test(test_refusals),    cmocka_unit_test(test_read_faults),
		cmocka_unit_test(test_allocations), cmocka_unit_test(test_odd_extents), cmocka_unit_test(test_progress_and_cancel),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

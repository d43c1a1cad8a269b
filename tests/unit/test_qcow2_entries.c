/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: counts of all widths, descriptors of compressed clusters, faults of L2 entries, the set of metadata clusters, entries in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/qcow2/qcow2.h"

static void counts_of_all_widths(void **state)
{
	(void)state;
	for (unsigned order = 0; order <= 6; order++) {
		uint64_t max = order == 6 ? UINT64_MAX : (1ull << (1u << order)) - 1;
		uint8_t buf[64 * 8] = {0};

		for (uint64_t i = 0; i < 64; i++)
			qcow2_count_put(buf, order, i, (i * 0x9e3779b97f4a7c15u) & max);
		for (uint64_t i = 0; i < 64; i++)
			assert_int_equal(qcow2_count_get(buf, order, i), (i * 0x9e3779b97f4a7c15u) & max);
		qcow2_count_put(buf, order, 5, max);
		qcow2_count_put(buf, order, 6, 0);
		assert_int_equal(qcow2_count_get(buf, order, 5), max);
		assert_int_equal(qcow2_count_get(buf, order, 6), 0);
		assert_int_equal(qcow2_count_get(buf, order, 4), (4 * 0x9e3779b97f4a7c15u) & max);
		assert_int_equal(qcow2_count_get(buf, order, 7), (7 * 0x9e3779b97f4a7c15u) & max);
	}
	/* Spec: in sub-byte widths bit 0 is the least significant one; wider ones are big-endian. */
	uint8_t one[2] = {0};
	qcow2_count_put(one, 0, 0, 1);
	assert_int_equal(one[0], 1);
	qcow2_count_put(one, 2, 1, 0xa);
	assert_int_equal(one[0], 0xa1);
	qcow2_count_put(one, 4, 0, 0x1234);
	assert_int_equal(one[0], 0x12);
}

static void packed_descriptors(void **state)
{
	(void)state;
	for (unsigned bits = 9; bits <= 21; bits++) {
		uint32_t cluster = 1u << bits;
		const uint32_t lens[] = {1, 2, 100, 511, cluster / 2, cluster - 1};
		const uint64_t hosts[] = {cluster, cluster + 1, cluster * 3 - 1, cluster * 5 + 511, cluster * 7 + 513,
		                          qcow2_packed_host_end(bits) - 2 * cluster};

		for (size_t i = 0; i < 6; i++) {
			for (size_t j = 0; j < 6; j++) {
				uint64_t desc = qcow2_packed_encode(bits, hosts[i], lens[j]);
				struct qcow2_packed p = qcow2_packed_decode(bits, desc);

				assert_int_equal(desc >> 62, 1);
				assert_int_equal(p.host, hosts[i]);
				assert_true(p.len >= lens[j] && p.len < lens[j] + 512);
				assert_int_equal((p.host + p.len) % 512, 0);
			}
		}
	}
	/* The spec's own numbers: with 64 KiB clusters x is 54; one additional sector. */
	struct qcow2_packed p = qcow2_packed_decode(16, QCOW2_COMPRESSED | 1ull << 54 | 0x50123);
	assert_int_equal(p.host, 0x50123);
	assert_int_equal(p.len, 1024 - 0x123);
}

/* As much of an image as faults are judged by: a file of 1 MiB, L1 at 0x30000, refcount table at 0x10000. */
static void judge_init(struct qcow2 *q, struct vd_file *f)
{
	memset(q, 0, sizeof(*q));
	q->h.version = 3;
	q->h.l1_size = 1;
	q->h.l1_off = 0x30000;
	q->h.rt_off = 0x10000;
	q->h.rt_clusters = 1;
	q->bits = 16;
	q->cluster = 65536;
	q->file = q->data = f;
}

static bool faulty(const struct qcow2 *q, uint64_t desc, uint64_t bitmap)
{
	struct qcow2_entry e = {desc, bitmap};

	return qcow2_entry_fault(q, e, 0x70000, q->cluster) != NULL;
}

static void entry_faults(void **state)
{
	struct vd_file *f;
	struct qcow2 q;

	(void)state;
	assert_int_equal(vd_file_memory("m", NULL, 0, &f, NULL), 0);
	assert_int_equal(vd_file_truncate(f, 0x108000, NULL), 0);
	judge_init(&q, f);
	assert_false(faulty(&q, 0, 0));
	assert_false(faulty(&q, QCOW2_ZERO, 0));
	assert_false(faulty(&q, QCOW2_COPIED | 0x50000, 0));
	assert_false(faulty(&q, QCOW2_COPIED | 0x50000 | QCOW2_ZERO, 0));
	assert_true(faulty(&q, QCOW2_COPIED | 0x50200, 0));   /* not on a cluster */
	assert_true(faulty(&q, QCOW2_COPIED | 0x200000, 0));  /* outside the file */
	assert_true(faulty(&q, QCOW2_COPIED | 0x100000, 0));  /* cut short */
	assert_false(faulty(&q, QCOW2_COPIED | 0x100000 | QCOW2_ZERO, 0));
	assert_true(faulty(&q, QCOW2_COPIED | 0x30000, 0));   /* the L1 table */
	assert_true(faulty(&q, QCOW2_COPIED | 0x10000, 0));   /* the refcount table */
	assert_true(faulty(&q, QCOW2_COPIED | 1ull << 58 | 0x50000, 0));
	assert_true(faulty(&q, 2 | 0x50000, 0));
	assert_true(faulty(&q, QCOW2_COPIED | QCOW2_COMPRESSED | 0x50000, 0));
	assert_true(faulty(&q, QCOW2_COMPRESSED | 0x200000, 0));
	assert_false(faulty(&q, QCOW2_COMPRESSED | 0x107fff, 0));
	q.h.version = 2;
	assert_true(faulty(&q, QCOW2_ZERO, 0));
	q.h.version = 3;
	q.ext_l2 = true;
	assert_true(faulty(&q, QCOW2_COPIED | 0x50000 | QCOW2_ZERO, 0));
	assert_true(faulty(&q, QCOW2_COPIED | 0x50000, 1ull << 32 | 1));
	assert_true(faulty(&q, 0, 1));
	assert_false(faulty(&q, QCOW2_COPIED | 0x100000, 0xffff));   /* the upper subclusters are not allocated */
	assert_true(faulty(&q, QCOW2_COPIED | 0x100000, 0x1ffff));
	q.ext_l2 = false;
	q.external = true;
	assert_false(faulty(&q, QCOW2_COPIED | 0x70000, 0));
	assert_true(faulty(&q, QCOW2_COPIED | 0x50000, 0));
	assert_true(faulty(&q, QCOW2_COMPRESSED | 0x50000, 0));
	vd_file_close(f);
}

static void meta_set(void **state)
{
	struct qcow2_meta m = {0};

	(void)state;
	assert_false(qcow2_meta_has(&m, 5));
	for (uint64_t c = 1; c < 5000; c += 3)
		assert_int_equal(qcow2_meta_add(&m, c, NULL), 0);
	assert_int_equal(qcow2_meta_add(&m, 1, NULL), 0); /* twice is once */
	for (uint64_t c = 1; c < 5000; c += 6)
		qcow2_meta_remove(&m, c);
	for (uint64_t c = 1; c < 5000; c++)
		assert_int_equal(qcow2_meta_has(&m, c), c % 6 == 4);
	vd_free(m.slot);
}

/* The next entry in use, of either width, whichever of its bytes is not zero. */
static void entries_in_use(void **state)
{
	enum { N = 512 };
	uint8_t *data = vd_calloc(N, 16);
	struct vd_table t = {.data = data};

	(void)state;
	assert_non_null(data);
	for (unsigned width = 8; width <= 16; width += 8) {
		struct qcow2 q = {.entry_bytes = width};

		for (uint32_t used = 0; used < N; used += 1 + used / 9) {
			for (unsigned byte = 0; byte < width; byte += 5) {
				data[used * width + byte] = 1;
				for (uint32_t at = 0; at < N; at += 1 + at / 5)
					assert_int_equal(at <= used ? used : N, qcow2_l2_first(&q, &t, at, N));
				assert_int_equal(vd_min(used, 100), qcow2_l2_first(&q, &t, 0, (uint32_t)vd_min(used, 100)));
				data[used * width + byte] = 0;
			}
		}
		assert_int_equal(N, qcow2_l2_first(&q, &t, 0, N));
	}
	vd_free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_of_all_widths),
		cmocka_unit_test(packed_descriptors),
		cmocka_unit_test(entry_faults),
		cmocka_unit_test(meta_set),
		cmocka_unit_test(entries_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

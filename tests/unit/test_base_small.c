/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes, bits, UUIDs, ranges, promises, digests, text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/alloc.h"
#include "base/bits.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/promise.h"
#include "base/range.h"
#include "base/text.h"
#include "base/uuid.h"

#include <stdlib.h>

static void bytes(void **state)
{
	uint8_t b[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint64_t r;

	(void)state;
	assert_int_equal(be16_get(b), 0x0102);
	assert_int_equal(le32_get(b), 0x04030201);
	assert_true(be64_get(b) == 0x0102030405060708);
	le16_put(b, 0xabcd);
	assert_int_equal(b[0], 0xcd);
	be32_put(b, 0x11223344);
	assert_int_equal(b[3], 0x44);
	assert_true(vd_add64(UINT64_MAX, 1, &r));
	assert_true(vd_mul64(UINT64_C(1) << 32, UINT64_C(1) << 32, &r));
	assert_true(vd_within(10, 0, 10));
	assert_false(vd_within(10, 1, 10));
	assert_false(vd_within(5, UINT64_MAX, 10));
	assert_int_equal(vd_div_up(10, 3), 4);
	assert_int_equal(vd_up(4097, 4096), 8192);
}

static bool bit_of(const uint8_t *p, enum vd_bit_order order, uint64_t i)
{
	return p[i / 8] & (order == VD_BITS_LOW_FIRST ? 1u << i % 8 : 0x80u >> i % 8);
}

/* Runs from everywhere to everywhere, as bit by bit. */
static void runs_of_bits(void **state)
{
	static const uint16_t ends[] = {1, 7, 9, 64, 65, 600, 4096, 4100, 5000, 9000, 9007, 16000};
	enum { BYTES = 2000 };
	uint8_t *p = malloc(BYTES);

	(void)state;
	assert_non_null(p);
	for (unsigned kind = 0; kind < 4; kind++) {
		memset(p, kind & 1 ? 0xff : 0, BYTES);
		for (size_t k = 0; kind & 2 && k < sizeof(ends) / sizeof(*ends); k++)
			p[(ends[k] - 1) / 8] ^= (uint8_t)(1u << ends[k] % 8);
		for (unsigned order = VD_BITS_LOW_FIRST;; order = VD_BITS_HIGH_FIRST) {
			for (size_t k = 0; k < sizeof(ends) / sizeof(*ends); k++) {
				for (uint64_t from = 0; from < ends[k]; from += 1 + from / 37) {
					uint64_t want = from;
					bool set = !bit_of(p, order, from);

					while (want < ends[k] && bit_of(p, order, want) == bit_of(p, order, from))
						want++;
					assert_int_equal(want - from, vd_bits_run(p, order, from, ends[k], &set));
					assert_int_equal(bit_of(p, order, from), set);
				}
			}
			if (order == VD_BITS_HIGH_FIRST)
				break;
		}
	}
	free(p);
}

static void uuids(void **state)
{
	static const uint8_t want[16] = {1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77};
	static const char *const bad[] = {
		"", "01234567", "01234567-89ab-cdef-0011-22334455667", "01234567-89ab-cdef-0011-2233445566778",
		"0123456-789ab-cdef-0011-223344556677", "0123456g-89ab-cdef-0011-223344556677",
		"{01234567-89ab-cdef-0011-223344556677}"
	};
	uint8_t u[16], v[16];
	char text[VD_UUID_TEXT];

	(void)state;
	vd_uuid_format(text, want);
	assert_string_equal(text, "01234567-89ab-cdef-0011-223344556677");
	assert_true(vd_uuid_parse(u, "01234567-89AB-cdef-0011-223344556677"));
	assert_memory_equal(u, want, 16);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (vd_uuid_parse(u, bad[i]))
			fail_msg("'%s' taken", bad[i]);
	assert_int_equal(vd_uuid_random(u, NULL), 0);
	assert_int_equal(vd_uuid_random(v, NULL), 0);
	assert_memory_not_equal(u, v, 16);
	assert_int_equal(u[6] >> 4, 4);
	assert_int_equal(u[8] >> 6, 2);
}

/* The same for one seed and one name, and version 4 by form. */
static void uuids_seeded(void **state)
{
	char text[VD_UUID_TEXT];
	uint8_t u[16], v[16];

	(void)state;
	assert_int_equal(vd_uuid_seeded(u, 7, "vhdx disk", NULL), 0);
	assert_int_equal(vd_uuid_seeded(v, 7, "vhdx disk", NULL), 0);
	assert_memory_equal(u, v, 16);
	vd_uuid_format(text, u);
	assert_int_equal(text[14], '4');
	assert_non_null(strchr("89ab", text[19]));
	assert_int_equal(vd_uuid_seeded(v, 7, "vhdx data", NULL), 0);
	assert_memory_not_equal(u, v, 16);
	assert_int_equal(vd_uuid_seeded(v, 8, "vhdx disk", NULL), 0);
	assert_memory_not_equal(u, v, 16);
	assert_int_equal(vd_uuid_seeded(u, 0, "", NULL), 0);
	assert_int_equal(vd_uuid_seeded(v, 0, "", NULL), 0);
	assert_memory_not_equal(u, v, 16);
}

static void ranges(void **state)
{
	static const struct { struct vd_range r; uint64_t more; } v[] = { { { 10, 5 }, 0 }, { { 20, 1 }, 0 }, { { 30, 10 }, 0 } };
	const struct vd_range w[] = { { 10, 5 }, { 15, 5 }, { 30, 10 } }; /* two that touch */
	uint64_t at;

	(void)state;
	for (uint64_t off = 0; off < 50; off++)
		assert_int_equal(vd_range_find(v, 3, sizeof(v[0]), off), off < 15 ? 0 : off < 21 ? 1 : off < 40 ? 2 : 3);
	assert_int_equal(vd_range_find(NULL, 0, 16, 0), 0);
	assert_int_equal((at = 0, vd_range_gap(w, 3, &at, 100)), 10);
	assert_int_equal(at, 0);
	assert_int_equal((at = 12, vd_range_gap(w, 3, &at, 100)), 10);
	assert_int_equal(at, 20);
	assert_int_equal((at = 12, vd_range_gap(w, 3, &at, 18)), 0);
	assert_int_equal((at = 25, vd_range_gap(w, 3, &at, 28)), 3);
	assert_int_equal((at = 35, vd_range_gap(w, 3, &at, 100)), 60);
	assert_int_equal(at, 40);
	assert_int_equal((at = 35, vd_range_gap(w, 3, &at, 40)), 0);
}

static void promises(void **state)
{
	struct vd_promises s = { 0 };

	(void)state;
	assert_null(vd_promise_find(&s, 1));
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(vd_promise_add(&s, i, 1000 + i, NULL), 0);
	for (uint64_t i = 0; i < 100; i += 2)
		vd_promise_remove(&s, vd_promise_find(&s, i));
	for (uint64_t i = 0; i < 100; i++) {
		struct vd_promise *p = vd_promise_find(&s, i);

		assert_true(i % 2 ? p && p->host == 1000 + i && p->refs == 1 : !p);
	}
	while (s.n < s.cap)
		assert_int_equal(vd_promise_add(&s, 1000 + s.n, 0, NULL), 0);
	alloc_fail_at(0);
	assert_int_equal(vd_promise_room(&s, NULL), -1);
	alloc_fail_at(-1);
	assert_int_equal(s.n, s.cap); /* what was there is */
	assert_non_null(vd_promise_find(&s, 99));
	vd_promises_clear(&s);
	assert_null(vd_promise_find(&s, 99));
}

static void sha256(void **state)
{
	static const uint8_t abc[32] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
		                         0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
		                         0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
	struct vd_sha256 *h = vd_sha256_new();
	uint8_t out[32];

	(void)state;
	assert_int_equal(vd_sha256_of("abc", 3, out, NULL), 0);
	assert_memory_equal(out, abc, 32);
	for (int round = 0; round < 2; round++) { /* the end starts anew */
		assert_int_equal(vd_sha256_add(h, "a", 1, NULL), 0);
		assert_int_equal(vd_sha256_add(h, "", 0, NULL), 0);
		assert_int_equal(vd_sha256_add(h, "bc", 2, NULL), 0);
		assert_int_equal(vd_sha256_end(h, out, NULL), 0);
		assert_memory_equal(out, abc, 32);
	}
	vd_sha256_free(h);
	vd_sha256_free(NULL);
	alloc_fail_at(0);
	assert_null(vd_sha256_new());
	alloc_fail_at(-1);
}

static void text_in(void **state)
{
	static const struct { const char *set; const char *in; size_t len; const char *want; } good[] = {
		{"UTF-16LE", "a\0\xe4\0\0\0", 6, "a\xc3\xa4"},
		{"UTF-16BE", "\0a\xd8\x3d\xde\x00", 6, "a\xf0\x9f\x98\x80"},
		{"windows-1252", "\x80", 1, "\xe2\x82\xac"},
		{"GBK", "\xd6\xd0", 2, "\xe4\xb8\xad"},
		{"UTF-8", "", 0, ""},
	};
	char *s;
	vd_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(vd_text_to_utf8(good[i].set, good[i].in, good[i].len, &s, &err), 0);
		assert_string_equal(s, good[i].want);
		vd_free(s);
	}
	assert_int_equal(vd_text_to_utf8("UTF-16LE", "a\0b", 3, &s, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_int_equal(vd_text_to_utf8("UTF-16LE", "\x00\xdc", 2, &s, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_int_equal(vd_text_to_utf8("UTF-8", "\xff", 1, &s, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_int_equal(vd_text_to_utf8("UTF-8", "a\0b", 3, &s, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_int_equal(vd_text_to_utf8("no-such-set", "a", 1, &s, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_int_equal(vd_text_to_utf8("UTF-8//IGNORE", "\xff", 1, &s, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
}

static void text_out(void **state)
{
	void *out;
	size_t n;
	vd_error err;
	char big[10001];
	char *back;

	(void)state;
	assert_int_equal(vd_text_from_utf8("UTF-16LE", "a\xc3\xa4", &out, &n, &err), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(out, "a\0\xe4\0", 4);
	vd_free(out);
	assert_int_equal(vd_text_from_utf8("GBK", "\xe4\xb8\xad", &out, &n, &err), 0);
	assert_int_equal(n, 2);
	vd_free(out);
	assert_int_equal(vd_text_from_utf8("windows-1252", "\xe4\xb8\xad", &out, &n, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	memset(big, 'q', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_int_equal(vd_text_from_utf8("UTF-32LE", big, &out, &n, &err), 0); /* four times as long */
	assert_int_equal(n, 40000);
	assert_int_equal(vd_text_to_utf8("UTF-32LE", out, n, &back, &err), 0);
	assert_string_equal(back, big);
	vd_free(back);
	for (long k = 0;; k++) {
		void *again;
		int r;

		alloc_fail_at(k);
		r = vd_text_from_utf8("UTF-32LE", big, &again, &n, &err);
		if (!r) {
			assert_true(k > 0);
			vd_free(again);
			break;
		}
		assert_int_equal(err.kind, VDISK_NOMEM);
	}
	alloc_fail_at(-1);
	vd_free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes), cmocka_unit_test(runs_of_bits),    cmocka_unit_test(uuids),  cmocka_unit_test(uuids_seeded), cmocka_unit_test(ranges),
		cmocka_unit_test(promises), cmocka_unit_test(sha256), cmocka_unit_test(text_in),      cmocka_unit_test(text_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

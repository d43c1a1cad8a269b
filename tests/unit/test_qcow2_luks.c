/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2's LUKS: headers, split keys, ciphers against a known answer, making and unlocking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "formats/qcow2/luks.h"
#include "base/bytes.h"

static void split_and_merge(void **state)
{
	static uint8_t out[64 * 4000];
	uint8_t key[64], back[64];

	(void)state;
	for (size_t len = 16; len <= 64; len += 16) {
		for (size_t i = 0; i < len; i++)
			key[i] = (uint8_t)(i * 7 + len);
		for (uint32_t stripes = 1; stripes <= 4000; stripes = stripes * 20) {
			assert_int_equal(luks_af_split(GNUTLS_DIG_SHA256, len, stripes, key, out, NULL), 0);
			assert_int_equal(luks_af_merge(GNUTLS_DIG_SHA256, len, stripes, out, back, NULL), 0);
			assert_memory_equal(key, back, len);
			if (stripes == 1)
				continue;
			out[len * (stripes / 2)] ^= 1; /* one lost bit spoils the key */
			assert_int_equal(luks_af_merge(GNUTLS_DIG_SHA256, len, stripes, out, back, NULL), 0);
			assert_memory_not_equal(key, back, len);
		}
	}
}

/* IEEE 1619, XTS-AES-256, vector 10: data unit 0xff, 512 bytes 00 01 02 …. */
static void xts_known_answer(void **state)
{
	static const uint8_t halves[2][32] = {
		{0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26,
		 0x62, 0x49, 0x77, 0x57, 0x24, 0x70, 0x93, 0x69, 0x99, 0x59, 0x57, 0x49, 0x66, 0x96, 0x76, 0x27},
		{0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
		 0x02, 0x88, 0x41, 0x97, 0x16, 0x93, 0x99, 0x37, 0x51, 0x05, 0x82, 0x09, 0x74, 0x94, 0x45, 0x92},
	};
	static const uint8_t head[16] = {0x1c, 0x3b, 0x3a, 0x10, 0x2f, 0x77, 0x03, 0x86,
	                                 0xe4, 0x83, 0x6c, 0x99, 0xe3, 0x70, 0xcf, 0x9b};
	struct luks_cipher c = {.algorithm = GNUTLS_CIPHER_AES_256_XTS, .key_len = 64};
	uint8_t buf[1024], plain[1024];

	(void)state;
	memcpy(c.key, halves, 64);
	for (size_t i = 0; i < sizeof(buf); i++)
		plain[i] = buf[i] = (uint8_t)i;
	assert_int_equal(luks_cipher_run(&c, true, 0xff, buf, 512, NULL), 0);
	assert_memory_equal(buf, head, sizeof(head));
	/* Sector by sector is the same as both at once. */
	memcpy(buf, plain, sizeof(buf));
	assert_int_equal(luks_cipher_run(&c, true, 0xfe, buf, 1024, NULL), 0);
	assert_memory_equal(buf + 512, head, sizeof(head));
	assert_int_equal(luks_cipher_run(&c, false, 0xfe, buf, 1024, NULL), 0);
	assert_memory_equal(buf, plain, sizeof(buf));
}

static void make_and_unlock(void **state)
{
	struct luks_cipher made = {.key_len = 0}, opened = {.key_len = 0};
	struct luks_header h, back;
	uint8_t buf[LUKS_HEADER], again[LUKS_HEADER];
	struct vd_file *f;
	vd_error err = {0};

	(void)state;
	assert_int_equal(vd_file_memory("m", NULL, 0, &f, NULL), 0);
	assert_int_equal(luks_make(f, 4096, "pass", 4, 1, &made, NULL), 0);
	assert_int_equal(luks_unlock(f, 4096, luks_size(), "pass", 4, &opened, NULL), 0);
	assert_memory_equal(made.key, opened.key, 64);
	assert_int_equal(luks_unlock(f, 4096, luks_size(), "pass\n", 5, &opened, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	/* The header decodes to what it was, and is refused where it lies. */
	assert_int_equal(vd_file_pread(f, buf, sizeof(buf), 4096, NULL), 0);
	assert_int_equal(luks_header_decode(buf, &h, NULL), 0);
	luks_header_encode(&h, again);
	assert_memory_equal(buf, again, sizeof(buf));
	be32_put(buf + 208 + 4, 0xffffffff); /* iterations of slot 0 */
	assert_int_equal(vd_file_pwrite(f, buf, sizeof(buf), 4096, NULL), 0);
	assert_int_equal(luks_unlock(f, 4096, luks_size(), "pass", 4, &opened, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	luks_header_encode(&h, buf);
	be32_put(buf + 208 + 40, 0x7fffffff); /* its material's place */
	assert_int_equal(vd_file_pwrite(f, buf, sizeof(buf), 4096, NULL), 0);
	assert_int_equal(luks_unlock(f, 4096, luks_size(), "pass", 4, &opened, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	luks_header_encode(&h, buf);
	memcpy(buf + 8, "serpent", 8);
	assert_int_equal(luks_header_decode(buf, &back, NULL), 0);
	assert_int_equal(vd_file_pwrite(f, buf, sizeof(buf), 4096, NULL), 0);
	assert_int_equal(luks_unlock(f, 4096, luks_size(), "pass", 4, &opened, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_non_null(strstr(err.message, "serpent-xts-plain64"));
	vd_file_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_and_merge),
		cmocka_unit_test(xts_known_answer),
		cmocka_unit_test(make_and_unlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

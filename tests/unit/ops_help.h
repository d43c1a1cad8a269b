/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of ops/ share: images with known content. */
#ifndef TESTS_UNIT_OPS_HELP_H
#define TESTS_UNIT_OPS_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "core/image.h"
#include "io/testfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * 1024u)

#define must(expr) \
	do { \
		vd_error err_ = { 0 }, *err = &err_; \
		if (expr) \
			fail_msg("%s: %s", #expr, err_.message); \
	} while (0)

static inline uint32_t help_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

/* Stretches of zeros, of random bytes and of one repeated byte, of 1 byte to 200 KiB. */
static inline uint8_t *help_content(size_t size, uint64_t seed)
{
	uint8_t *p = vd_calloc(1, size ? size : 1);
	uint64_t state = seed * 7 + 1;

	assert_non_null(p);
	for (size_t at = 0; at < size;) {
		size_t n = vd_min(size - at, 1 + help_random(&state) % (200 * KIB));
		unsigned how = help_random(&state) % 4;

		if (help_random(&state) % 2)
			n = vd_min(size - at, vd_up(n, 4096));
		for (size_t i = 0; how == 1 && i < n; i++)
			p[at + i] = (uint8_t)help_random(&state);
		if (how == 2)
			memset(p + at, (int)(1 + help_random(&state) % 255), n);
		at += n;
	}
	return p;
}

static inline vdisk_image *help_raw(const void *bytes, size_t size)
{
	struct vd_file *f;
	vdisk_image *img;

	must(vd_file_memory("memory.raw", bytes, size, &f, err));
	must(vd_image_open_file(f, "raw", 0, NULL, NULL, NULL, &img, err));
	return img;
}

/* The tree digest, computed the plain way. */
static inline void help_digest(const uint8_t *bytes, size_t size, uint8_t digest[32])
{
	size_t n = vd_div_up(size, VDISK_DIGEST_LEAF);
	uint8_t *list = vd_malloc(n * 32 + 8);

	assert_non_null(list);
	for (size_t i = 0; i < n; i++)
		must(vd_sha256_of(bytes + i * VDISK_DIGEST_LEAF, vd_min(size - i * VDISK_DIGEST_LEAF, VDISK_DIGEST_LEAF),
		                  list + i * 32, err));
	be64_put(list + n * 32, size);
	must(vd_sha256_of(list, n * 32 + 8, digest, err));
	vd_free(list);
}

#endif

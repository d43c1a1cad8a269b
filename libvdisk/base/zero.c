/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding zeros.  Most data shows in its first bytes that it is none, so those are looked at first; past them the widest registers
 * that the processor has.  Loads are unaligned: where they matter, buffers are aligned anyway.
 */
#include "base/zero.h"

#include <stdint.h>
#include <string.h>

static inline uint64_t word(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Any length; for what is short or left over. */
static bool zero_words(const uint8_t *p, size_t len)
{
	uint64_t any = 0;

	for (; len >= 32; p += 32, len -= 32)
		if (word(p) | word(p + 8) | word(p + 16) | word(p + 24))
			return false;
	for (; len >= 8; p += 8, len -= 8)
		any |= word(p);
	for (; len; p++, len--)
		any |= *p;
	return !any;
}

#ifdef __x86_64__
#include <immintrin.h>

#define STEP 256 /* bytes between two looks at what has been gathered */

static bool zero_sse2(const uint8_t *p, size_t len)
{
	const __m128i none = _mm_setzero_si128();

	for (; len >= STEP; p += STEP, len -= STEP) {
		__m128i a = none, b = none;

		for (size_t i = 0; i < STEP; i += 32) {
			a = _mm_or_si128(a, _mm_loadu_si128((const __m128i *)(const void *)(p + i)));
			b = _mm_or_si128(b, _mm_loadu_si128((const __m128i *)(const void *)(p + i + 16)));
		}
		if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_or_si128(a, b), none)) != 0xffff)
			return false;
	}
	return zero_words(p, len);
}

__attribute__((target("avx2"))) static bool zero_avx2(const uint8_t *p, size_t len)
{
	for (; len >= STEP; p += STEP, len -= STEP) {
		__m256i a = _mm256_setzero_si256(), b = a;

		for (size_t i = 0; i < STEP; i += 64) {
			a = _mm256_or_si256(a, _mm256_loadu_si256((const __m256i *)(const void *)(p + i)));
			b = _mm256_or_si256(b, _mm256_loadu_si256((const __m256i *)(const void *)(p + i + 32)));
		}
		a = _mm256_or_si256(a, b);
		if (!_mm256_testz_si256(a, a))
			return false;
	}
	return zero_words(p, len);
}

static bool zero_wide(const uint8_t *p, size_t len)
{
	return __builtin_cpu_supports("avx2") ? zero_avx2(p, len) : zero_sse2(p, len);
}
#else
static bool zero_wide(const uint8_t *p, size_t len)
{
	return zero_words(p, len);
}
#endif

bool vd_is_zero(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	if (len < 64)
		return zero_words(p, len);
	/* The head, the middle, the end: where data that begins with zeros shows most often. */
	if (word(p) | word(p + 8) | word(p + 24) | word(p + len / 2) | word(p + len - 8))
		return false;
	return zero_wide(p, len);
}

size_t vd_zero_run(const void *buf, size_t len, size_t block, bool *zero)
{
	const uint8_t *p = buf;
	size_t n = block < len ? block : len;

	*zero = vd_is_zero(p, n);
	while (n < len) {
		size_t k = block < len - n ? block : len - n;

		if (vd_is_zero(p + n, k) != *zero)
			break;
		n += k;
	}
	return n;
}

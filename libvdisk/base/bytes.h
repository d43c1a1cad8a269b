/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Integers in bytes of either order, and arithmetic that cannot wrap unseen. */
#ifndef VD_BASE_BYTES_H
#define VD_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t be16_get(const void *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t be32_get(const void *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t be64_get(const void *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
static inline uint16_t le16_get(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t le32_get(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t le64_get(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void be16_put(void *p, uint16_t v) { v = __builtin_bswap16(v); memcpy(p, &v, 2); }
static inline void be32_put(void *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); }
static inline void be64_put(void *p, uint64_t v) { v = __builtin_bswap64(v); memcpy(p, &v, 8); }
static inline void le16_put(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void le32_put(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void le64_put(void *p, uint64_t v) { memcpy(p, &v, 8); }
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the accessors above are for little-endian hosts");

/* True on overflow, as __builtin_*_overflow. */
static inline bool vd_add64(uint64_t a, uint64_t b, uint64_t *r) { return __builtin_add_overflow(a, b, r); }
static inline bool vd_mul64(uint64_t a, uint64_t b, uint64_t *r) { return __builtin_mul_overflow(a, b, r); }

/* [off, off+len) lies within [0, size). */
static inline bool vd_within(uint64_t off, uint64_t len, uint64_t size) { return off <= size && len <= size - off; }

/* [a, a+a_len) and [b, b+b_len) share a byte, or, where one is empty, that lies inside the other.  Neither end passes
   UINT64_MAX. */
static inline bool vd_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len) { return a < b + b_len && b < a + a_len; }

static inline bool vd_is_pow2(uint64_t v) { return v && !(v & (v - 1)); }
static inline unsigned vd_log2(uint64_t pow2) { return (unsigned)__builtin_ctzll(pow2); }
/* `g` a power of two.  vd_up() must not be given more than UINT64_MAX - g + 1. */
static inline uint64_t vd_down(uint64_t v, uint64_t g) { return v & ~(g - 1); }
static inline uint64_t vd_up(uint64_t v, uint64_t g) { return (v + g - 1) & ~(g - 1); }
static inline uint64_t vd_div_up(uint64_t v, uint64_t d) { return v / d + (v % d != 0); }
static inline uint64_t vd_min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t vd_max(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* -1: no hexadecimal digit. */
static inline int vd_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the suites share: random numbers from a printed seed, failing loudly, the environment.
 * A test program is called with the name of a variant (tests/common/variants.def).
 */
#ifndef T_TEST_H
#define T_TEST_H

#include "base/error.h"

struct t_rng { uint64_t state; };
uint64_t t_rand(struct t_rng *r);
uint64_t t_below(struct t_rng *r, uint64_t n); /* 0 … n-1; n > 0 */
/* Bytes that follow from `seed` alone. */
void t_bytes(uint64_t seed, void *buf, size_t len);

/* Prints where the test stands (t_at()), the seed and the message, and exits with 1. */
_Noreturn void t_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Where the test stands: kept for t_fail(), printed by nobody else.  One per thread. */
void t_at(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define T_CHECK(cond, ...) do { if (!(cond)) t_fail(__VA_ARGS__); } while (0)
/* A library call that must succeed; `e` is the vd_error that it filled in. */
#define T_OK(call, e) do { if (call) t_fail("%s: [%s] %s", #call, vdisk_error_kind_name((e).kind), (e).message); } while (0)
/* An error that was reported says something: a kind, one line of text. */
void t_error_is_told(const vd_error *e, const char *what);

/* VDISK_SEED or a new one; printed. */
uint64_t t_seed(const char *program, const char *variant);
/* VDISK_ITERATIONS, or `deflt`. */
unsigned long t_iterations(unsigned long deflt);
void *t_alloc(size_t n); /* zeroed; never NULL */

#endif

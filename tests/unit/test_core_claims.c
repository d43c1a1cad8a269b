/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claims: exclusion between threads, sharing among readers, no starvation of a writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/claims.h"

#include <pthread.h>
#include <stdatomic.h>

#define CELLS 64
#define ROUNDS 4000

struct shared {
	struct vd_claims *claims;
	int readers[CELLS], writers[CELLS]; /* plain on purpose: TSan sees what a broken claim lets through */
	pthread_mutex_t lock;               /* guards the counters of shared claims only */
	_Atomic unsigned seed;
	_Atomic int broken;
};

static unsigned rnd(unsigned *s) { return *s = *s * 1664525u + 1013904223u, *s >> 8; }

static void *writer(void *arg)
{
	struct shared *sh = arg;
	unsigned s = atomic_fetch_add(&sh->seed, 7919);

	for (int i = 0; i < ROUNDS; i++) {
		unsigned a = rnd(&s) % CELLS, n = 1 + rnd(&s) % (CELLS - a);
		struct vd_claim k;

		vd_claim_take(sh->claims, &k, a, n, true);
		for (unsigned c = a; c < a + n; c++)
			if (sh->writers[c]++ || sh->readers[c])
				sh->broken = 1;
		for (unsigned c = a; c < a + n; c++)
			sh->writers[c]--;
		vd_claim_drop(sh->claims, &k);
	}
	return NULL;
}

static void *reader(void *arg)
{
	struct shared *sh = arg;
	unsigned s = atomic_fetch_add(&sh->seed, 104729);

	for (int i = 0; i < ROUNDS; i++) {
		unsigned a = rnd(&s) % CELLS, n = 1 + rnd(&s) % (CELLS - a);
		struct vd_claim k;

		vd_claim_take(sh->claims, &k, a, n, false);
		pthread_mutex_lock(&sh->lock);
		for (unsigned c = a; c < a + n; c++) {
			sh->readers[c]++;
			if (sh->writers[c])
				sh->broken = 1;
		}
		for (unsigned c = a; c < a + n; c++)
			sh->readers[c]--;
		pthread_mutex_unlock(&sh->lock);
		vd_claim_drop(sh->claims, &k);
	}
	return NULL;
}

static void test_exclusion(void **state)
{
	struct shared sh = { .claims = vd_claims_new(), .lock = PTHREAD_MUTEX_INITIALIZER, .seed = 1 };
	pthread_t t[6];

	(void)state;
	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i & 1 ? reader : writer, &sh), 0);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(sh.broken, 0);
	vd_claims_free(sh.claims);
}

static void test_readers_share_and_neighbours_do_not_wait(void **state)
{
	struct vd_claims *c = vd_claims_new();
	struct vd_claim a, b, w;

	(void)state;
	vd_claim_take(c, &a, 0, 10, false);
	vd_claim_take(c, &b, 5, 10, false); /* would hang if shared claims excluded each other */
	vd_claim_take(c, &w, 15, 10, true); /* touches, does not overlap */
	vd_claim_drop(c, &b);
	vd_claim_drop(c, &w);
	vd_claim_drop(c, &a);
	vd_claims_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exclusion),
		cmocka_unit_test(test_readers_share_and_neighbours_do_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The flow of tickets: order of steps, and whose error it is. */
#include "ops_help.h"
#include "ops/flow.h"

#include <unistd.h>

enum { N_TICKETS = 60, N_RING = 8 };

struct count {
	uint64_t planned, stepped[2], dropped;
	uint64_t slow_failure, quick_failure; /* seq of tickets whose work fails; UINT64_MAX: none */
	unsigned stage;                       /* in which they fail */
};

static int count_plan(struct vd_flow *f, struct vd_ticket *t, bool *more, vd_error *err)
{
	struct count *c = f->ctx;

	(void)t, (void)err;
	*more = c->planned < N_TICKETS;
	c->planned += *more;
	return 0;
}

static int count_work(struct vd_ticket *t, unsigned stage, vd_error *err)
{
	struct count *c = t->flow->ctx;

	if (stage == c->stage && t->seq == c->slow_failure) {
		usleep(30000);
		return vd_fail(err, VDISK_IO, t->seq, "slow");
	}
	if (stage == c->stage && t->seq == c->quick_failure) {
		usleep(5000); /* so that the slow one has begun as well */
		return vd_fail(err, VDISK_IO, t->seq, "quick");
	}
	usleep((unsigned)(t->seq * 7919 % 5) * 100);
	return 0;
}

static int count_step(struct vd_ticket *t, unsigned stage, vd_error *err)
{
	struct count *c = t->flow->ctx;

	(void)err;
	assert_int_equal(t->seq, c->stepped[stage]);
	c->stepped[stage]++;
	return 0;
}

static void count_drop(struct vd_ticket *t, unsigned stage)
{
	struct count *c = t->flow->ctx;

	(void)stage;
	c->dropped++;
}

static const struct vd_flow_ops count_ops = { .plan = count_plan, .work = count_work, .step = count_step, .drop = count_drop };

static int run(struct count *c, unsigned threads, bool one_by_one, vd_error *report)
{
	struct vd_ticket tickets[N_RING], *ring[N_RING];
	struct vd_flow f;
	int rc;

	must(vd_flow_init(&f, &count_ops, c, threads, NULL, err));
	f.n_stages = 2;
	f.one_by_one = one_by_one;
	for (unsigned i = 0; i < N_RING; i++)
		ring[i] = &tickets[i];
	rc = vd_flow_run(&f, ring, N_RING, report);
	vd_flow_free(&f);
	return rc;
}

static void test_order(void **state)
{
	(void)state;
	for (unsigned threads = 1; threads <= 9; threads += 2) {
		struct count c = { .slow_failure = UINT64_MAX, .quick_failure = UINT64_MAX };

		must(run(&c, threads, threads % 4 == 1, err));
		assert_int_equal(c.stepped[0], N_TICKETS);
		assert_int_equal(c.stepped[1], N_TICKETS);
		assert_int_equal(c.dropped, 0);
	}
}

/* The lower ticket's error counts, even where a higher one failed long before; what is below both is stepped to its end. */
static void test_lowest_error(void **state)
{
	(void)state;
	for (unsigned stage = 0; stage < 2; stage++) {
		for (unsigned threads = 1; threads <= 8; threads++) {
			struct count c = { .slow_failure = 20, .quick_failure = 22, .stage = stage };
			vd_error failed = { 0 };

			assert_int_equal(run(&c, threads, false, &failed), -1);
			assert_string_equal(failed.message, "slow");
			assert_int_equal(failed.offset, 20);
			assert_int_equal(c.stepped[1], 20);
			c = (struct count){ .slow_failure = 22, .quick_failure = 20, .stage = stage };
			assert_int_equal(run(&c, threads, true, &failed), -1);
			assert_string_equal(failed.message, "quick");
			assert_int_equal(c.stepped[1], 20);
			assert_true(c.planned < 22 + N_RING + 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_order), cmocka_unit_test(test_lowest_error) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

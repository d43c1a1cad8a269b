/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "io/cache.h"
#include "io/testfile.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TABLE 512u

static uint32_t dice_state = 99;

static uint32_t dice(uint32_t below)
{
	dice_state = dice_state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)dice_state * below >> 32);
}

static struct vd_file *memory(uint64_t size)
{
	struct vd_file *f;

	assert_int_equal(vd_file_memory("image", NULL, 0, &f, NULL), 0);
	assert_int_equal(vd_file_truncate(f, size, NULL), 0);
	return f;
}

static struct vd_cache *cache(struct vd_file *f, struct vd_file *data, uint64_t tables)
{
	struct vd_cache *c;

	assert_int_equal(vd_cache_new(f, data, TABLE, tables * TABLE, &c, NULL), 0);
	return c;
}

static void set(struct vd_cache *c, uint64_t idx, unsigned rank, uint64_t v)
{
	struct vd_table *t;
	vd_error err;

	if (vd_cache_get(c, idx * TABLE, rank, false, &t, &err))
		fail_msg("%s", err.message);
	le64_put(t->data, v);
	vd_cache_dirty(c, t);
	vd_cache_put(c, t);
}

static uint64_t value_in_file(struct vd_file *f, uint64_t idx)
{
	uint8_t b[8];

	assert_int_equal(vd_file_pread(f, b, 8, idx * TABLE, NULL), 0);
	return le64_get(b);
}

static void read_write(void **state)
{
	struct vd_file *f = memory(100 * TABLE);
	struct vd_cache *c = cache(f, NULL, 16);
	struct vd_table *t, *same;
	vd_error err;

	(void)state;
	assert_false(vd_cache_is_dirty(c));
	for (uint64_t i = 0; i < 100; i++)
		set(c, i, 0, i + 1); /* more than fit: evicted on the way */
	assert_true(vd_cache_is_dirty(c));
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(vd_cache_get(c, i * TABLE, 0, false, &t, &err), 0);
		assert_int_equal(vd_cache_get(c, i * TABLE, 0, false, &same, &err), 0);
		assert_ptr_equal(t, same);
		assert_int_equal(le64_get(t->data), i + 1);
		vd_cache_put(c, t);
		vd_cache_put(c, t);
	}
	assert_int_equal(vd_cache_write_back(c, &err), 0);
	assert_false(vd_cache_is_dirty(c));
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(value_in_file(f, i), i + 1);
	vd_cache_free(c);
	vd_cache_free(NULL);
	vd_file_close(f);
}

static void ends_of_files(void **state)
{
	struct vd_file *f = memory(0);
	struct vd_cache *c = cache(f, NULL, 16);
	struct vd_table *t;
	vd_error err;

	(void)state;
	assert_int_equal(vd_file_pwrite(f, "x", 1, TABLE + 3, NULL), 0);
	assert_int_equal(vd_cache_get(c, TABLE, 0, false, &t, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_int_equal(err.offset, TABLE);
	assert_int_equal(vd_cache_get(c, TABLE, 0, true, &t, &err), 0);
	assert_int_equal(t->data[3], 'x');
	for (unsigned i = 4; i < TABLE; i++)
		assert_int_equal(t->data[i], 0);
	vd_cache_put(c, t);
	assert_int_equal(vd_cache_get(c, UINT64_MAX - 100 * TABLE, 0, false, &t, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	vd_cache_free(c);
	vd_file_close(f);
}

static void new_and_forgotten(void **state)
{
	struct vd_file *f = memory(10 * TABLE);
	struct vd_cache *c = cache(f, NULL, 16);
	struct vd_table *t;
	vd_error err;

	(void)state;
	assert_int_equal(vd_file_pwrite(f, "old", 3, 0, NULL), 0);
	assert_int_equal(vd_cache_new_table(c, 0, 2, &t, &err), 0); /* nothing is read */
	assert_int_equal(t->data[0], 0);
	assert_true(t->dirty);
	t->aux = vd_malloc(10);
	vd_cache_put(c, t);
	vd_cache_forget(c, 0);
	vd_cache_forget(c, 0);
	assert_false(vd_cache_is_dirty(c));
	assert_int_equal(vd_cache_get(c, 0, 2, false, &t, &err), 0);
	assert_memory_equal(t->data, "old", 3);
	assert_null(t->aux);
	t->aux = vd_malloc(10);
	vd_cache_put(c, t);
	/* A clean table that nobody holds may come back as one of another kind, without the former's aux. */
	assert_int_equal(vd_cache_get(c, 0, 0, false, &t, &err), 0);
	assert_null(t->aux);
	assert_int_equal(t->rank, 0);
	/* One in use may not. */
	{
		struct vd_table *u;

		assert_int_equal(vd_cache_get(c, 0, 1, false, &u, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		assert_int_equal(vd_cache_new_table(c, 0, 0, &u, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
	}
	vd_cache_dirty(c, t);
	vd_cache_put(c, t);
	assert_int_equal(vd_cache_get(c, 0, 1, false, &t, &err), -1); /* nor one that is dirty */
	assert_int_equal(vd_cache_new_table(c, 0, 3, &t, &err), 0);   /* unless it is new there */
	assert_int_equal(t->data[0], 0);
	vd_cache_put(c, t);
	vd_cache_free(c);
	vd_file_close(f);
}

/* All pinned: the cache makes room over its limit, and goes back to it. */
static void pinned_over_limit(void **state)
{
	struct vd_file *f = memory(100 * TABLE);
	struct vd_cache *c = cache(f, NULL, 8);
	struct vd_table *t[40], *first;

	(void)state;
	for (uint64_t i = 0; i < 40; i++) {
		assert_int_equal(vd_cache_get(c, i * TABLE, 0, false, &t[i], NULL), 0);
		le64_put(t[i]->data, i + 7);
		vd_cache_dirty(c, t[i]);
	}
	first = t[0];
	for (uint64_t i = 50; i < 60; i++)
		set(c, i, 0, i + 7);
	assert_int_equal(le64_get(first->data), 7);
	for (uint64_t i = 0; i < 40; i++)
		vd_cache_put(c, t[i]);
	for (uint64_t i = 60; i < 90; i++)
		set(c, i, 0, i + 7);
	assert_int_equal(vd_cache_write_back(c, NULL), 0);
	for (uint64_t i = 0; i < 90; i++)
		assert_int_equal(value_in_file(f, i), i < 40 || i >= 50 ? i + 7 : 0);
	vd_cache_free(c);
	vd_file_close(f);
}

static void joins_and_holes(void **state)
{
	struct vd_crash *clock = vd_crash_new();
	struct vd_file *f;
	struct vd_cache *c;
	struct vd_table *t;
	unsigned id;
	unsigned long before;
	uint64_t bytes;

	(void)state;
	assert_int_equal(vd_file_crash(clock, memory(TABLE), &f, &id, NULL), 0);
	c = cache(f, NULL, 100);
	for (uint64_t i = 20; i-- > 10;)
		set(c, 0, 0, i), assert_int_equal(vd_cache_new_table(c, i * TABLE, 0, &t, NULL), 0), t->data[0] = 1,
												     vd_cache_put(c, t);
	before = vd_crash_ops(clock);
	assert_int_equal(vd_cache_write_back(c, NULL), 0);
	assert_int_equal(vd_crash_ops(clock) - before, 3); /* table 0; tables 10 to 19; a flush */
	/* Tables of zeros far past the end take no space. */
	for (uint64_t i = 1 << 20; i < (1 << 20) + 50; i++) {
		assert_int_equal(vd_cache_new_table(c, i * TABLE, 0, &t, NULL), 0);
		vd_cache_put(c, t);
	}
	assert_int_equal(vd_cache_write_back(c, NULL), 0);
	assert_int_equal(vd_file_size(f), ((1 << 20) + 50) * (uint64_t)TABLE);
	assert_int_equal(vd_file_allocated(f, &bytes, NULL), 0);
	assert_int_equal(bytes, 65536);
	/* Inside the file they are written. */
	assert_int_equal(vd_cache_new_table(c, 10 * TABLE, 0, &t, NULL), 0);
	vd_cache_put(c, t);
	assert_int_equal(vd_cache_write_back(c, NULL), 0);
	assert_int_equal(value_in_file(f, 10), 0);
	vd_cache_free(c);
	vd_file_close(f);
	vd_crash_free(clock);
}

#define PER_RANK 6
#define ROUNDS 14

/* Each round gives the data, then the tables rank by rank, the next number.  In whatever a crash leaves, no table may be ahead of
   one of a lower rank, nor one of rank 2 or 3 ahead of the data.  Returns how many times one is. */
static unsigned order_violations(bool relaxed, bool own_data_file, enum vd_crash_mode mode)
{
	struct vd_crash *clock = vd_crash_new();
	struct vd_file *f, *d = NULL, *data, *after, *after_data;
	struct vd_cache *c;
	unsigned id, data_id, wrong = 0;
	uint64_t v[VD_CACHE_RANKS * PER_RANK + 1], low, high;
	const uint64_t at = VD_CACHE_RANKS * PER_RANK; /* of the data, in tables */
	uint8_t b[8];

	assert_int_equal(vd_file_crash(clock, memory(100 * TABLE), &f, &id, NULL), 0);
	data_id = id;
	if (own_data_file)
		assert_int_equal(vd_file_crash(clock, memory(100 * TABLE), &d, &data_id, NULL), 0);
	data = d ? d : f;
	c = cache(f, d, 8);
	vd_cache_set_relaxed(c, relaxed);
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		le64_put(b, round);
		assert_int_equal(vd_file_pwrite(data, b, 8, at * TABLE, NULL), 0);
		vd_cache_need_barrier(c);
		for (unsigned rank = 0; rank < VD_CACHE_RANKS; rank++)
			for (unsigned i = 0; i < PER_RANK; i++)
				set(c, (i * 7 % PER_RANK) * VD_CACHE_RANKS + rank, rank, round);
		if (!dice(4))
			assert_int_equal(vd_cache_write_back(c, NULL), 0);
	}
	for (unsigned long op = 0; op <= vd_crash_ops(clock); op++) {
		for (uint64_t seed = 0; seed < 2; seed++) {
			assert_int_equal(vd_crash_image(clock, id, op, mode, seed, &after, NULL), 0);
			assert_int_equal(vd_crash_image(clock, data_id, op, mode, seed, &after_data, NULL), 0);
			for (unsigned i = 0; i < at; i++)
				v[i] = value_in_file(after, i);
			v[at] = value_in_file(after_data, at);
			low = UINT64_MAX;
			for (unsigned rank = 0; rank < VD_CACHE_RANKS; rank++) {
				if (rank == 2)
					low = vd_min(low, v[at]);
				high = 0;
				for (unsigned i = 0; i < PER_RANK; i++)
					high = vd_max(high, v[i * VD_CACHE_RANKS + rank]);
				wrong += high > low;
				for (unsigned i = 0; i < PER_RANK; i++)
					low = vd_min(low, v[i * VD_CACHE_RANKS + rank]);
			}
			vd_file_close(after);
			vd_file_close(after_data);
		}
	}
	vd_cache_free(c);
	vd_file_close(f);
	vd_file_close(d);
	vd_crash_free(clock);
	return wrong;
}

static void order_holds(void **state)
{
	(void)state;
	for (int own = 0; own < 2; own++) {
		assert_int_equal(order_violations(false, own, VD_CRASH_KEEP), 0);
		assert_int_equal(order_violations(false, own, VD_CRASH_DROP), 0);
		assert_int_equal(order_violations(false, own, VD_CRASH_RANDOM), 0);
		assert_int_equal(order_violations(false, own, VD_CRASH_TEAR), 0);
		assert_int_equal(order_violations(true, own, VD_CRASH_KEEP), 0); /* relaxed keeps the order of the writes */
	}
	/* The test sees what is wrong: without the flushes the order is lost. */
	assert_true(order_violations(true, false, VD_CRASH_RANDOM) > 0);
	assert_true(order_violations(true, true, VD_CRASH_RANDOM) > 0);
}

/* After a write-back that succeeded, everything survives whatever is dropped. */
static void durable(void **state)
{
	struct vd_crash *clock = vd_crash_new();
	struct vd_file *f, *d, *after;
	struct vd_cache *c;
	unsigned id, data_id;

	(void)state;
	assert_int_equal(vd_file_crash(clock, memory(100 * TABLE), &f, &id, NULL), 0);
	assert_int_equal(vd_file_crash(clock, memory(100 * TABLE), &d, &data_id, NULL), 0);
	c = cache(f, d, 8);
	for (unsigned i = 0; i < 30; i++)
		set(c, i, i % 4, i + 1);
	assert_int_equal(vd_file_pwrite(d, "data", 4, 0, NULL), 0);
	assert_int_equal(vd_cache_write_back(c, NULL), 0);
	assert_int_equal(vd_crash_image(clock, id, vd_crash_ops(clock), VD_CRASH_DROP, 0, &after, NULL), 0);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(value_in_file(after, i), i + 1);
	vd_file_close(after);
	assert_int_equal(vd_crash_image(clock, data_id, vd_crash_ops(clock), VD_CRASH_DROP, 0, &after, NULL), 0);
	assert_int_equal((char)value_in_file(after, 0), 'd');
	vd_file_close(after);
	vd_cache_free(c);
	vd_file_close(f);
	vd_file_close(d);
	vd_crash_free(clock);
}

/* Each write, flush and read fails once: what was dirty stays so, and goes out the next time. */
static void failures(void **state)
{
	static const uint32_t ops[] = {VD_FAULT_WRITE, VD_FAULT_FLUSH, VD_FAULT_READ, VD_FAULT_OTHER};

	(void)state;
	for (int k = 0; k < 4; k++) {
		long hits;
		long n = 1;

		do {
			struct vd_fault fault = {.countdown = n, .ops = ops[k], .sys_errno = EIO};
			struct vd_file *inner = memory(60 * TABLE), *f;
			struct vd_table *t;
			struct vd_cache *c;
			uint64_t want[70] = {0};
			vd_error err;

			assert_int_equal(vd_file_fault(inner, &fault, &f, NULL), 0);
			c = cache(f, NULL, 8);
			for (unsigned i = 0; i < 70; i++) {
				unsigned idx = i * 11 % 70, rank = idx % 4;
				int r = idx < 60 ? vd_cache_get(c, idx * TABLE, rank, false, &t, &err)
				                 : vd_cache_new_table(c, idx * TABLE, rank, &t, &err);

				if (r) {
					assert_int_equal(err.sys_errno, EIO);
					continue;
				}
				if (idx % 5) {
					le64_put(t->data, idx + 100);
					want[idx] = idx + 100;
					vd_cache_dirty(c, t);
				}
				vd_cache_put(c, t);
			}
			assert_int_equal(vd_cache_new_table(c, 100 * TABLE, 3, &t, NULL), 0); /* zeros past the end */
			vd_cache_put(c, t);
			if (vd_cache_write_back(c, &err)) {
				assert_int_equal(err.sys_errno, EIO);
				assert_int_equal(vd_cache_write_back(c, &err), 0);
			}
			assert_false(vd_cache_is_dirty(c));
			for (unsigned i = 0; i < 70; i++)
				if (i * TABLE < vd_file_size(inner) && value_in_file(inner, i) != want[i])
					fail_msg("operation kind %d, number %ld: table %u holds %d, expected %d", k, n, i,
					         (int)value_in_file(inner, i), (int)want[i]);
			hits = atomic_load(&fault.hits);
			vd_cache_free(c);
			vd_file_close(f);
			n++;
		} while (hits);
		assert_true(n > 2); /* one failed, at least */
	}
}

static void out_of_memory(void **state)
{
	(void)state;
	for (long n = 0;; n++) {
		struct vd_file *f = memory(200 * TABLE);
		struct vd_cache *c;
		struct vd_table *t;
		vd_error err;
		long hits;

		alloc_fail_at(n);
		if (vd_cache_new(f, NULL, TABLE, 100 * TABLE, &c, &err)) {
			assert_int_equal(err.kind, VDISK_NOMEM);
			vd_file_close(f);
			continue;
		}
		for (unsigned i = 0; i < 200; i++) {
			if (vd_cache_get(c, i * TABLE, 0, false, &t, &err)) {
				assert_int_equal(err.kind, VDISK_NOMEM);
				continue;
			}
			t->data[0] = 1;
			vd_cache_dirty(c, t);
			vd_cache_put(c, t);
		}
		if (vd_cache_write_back(c, &err)) {
			assert_int_equal(err.kind, VDISK_NOMEM);
			assert_int_equal(vd_cache_write_back(c, &err), 0);
		}
		hits = alloc_fail_hits();
		alloc_fail_at(-1);
		vd_cache_free(c);
		vd_file_close(f);
		if (!hits)
			break;
	}
}

/* ---- threads, under a layer's lock as drivers use it */

#define TABLES 64

struct field {
	struct vd_cache *c;
	pthread_rwlock_t layer;
	_Atomic bool stop, wrong;
	uint64_t value[TABLES]; /* guarded by `layer` */
};

static bool table_is(const struct vd_table *t, uint64_t v)
{
	for (unsigned i = 0; i < TABLE; i += 8)
		if (le64_get(t->data + i) != v)
			return false;
	return true;
}

static void *reader(void *arg)
{
	struct field *x = arg;
	unsigned seed = (unsigned)(uintptr_t)&seed;

	while (!atomic_load(&x->stop)) {
		struct vd_table *t;
		unsigned i = (unsigned)rand_r(&seed) % TABLES;

		pthread_rwlock_rdlock(&x->layer);
		if (vd_cache_get(x->c, i * TABLE, i % 4, false, &t, NULL)) {
			atomic_store(&x->wrong, true);
		} else {
			if (!table_is(t, x->value[i]))
				atomic_store(&x->wrong, true);
			vd_cache_put(x->c, t);
		}
		pthread_rwlock_unlock(&x->layer);
	}
	return NULL;
}

static void threads(void **state)
{
	struct field x = {0};
	struct vd_file *f = memory(TABLES * TABLE);
	pthread_rwlockattr_t attr;
	pthread_t t[4];
	struct vd_table *a;

	(void)state;
	x.c = cache(f, NULL, 12);
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&x.layer, &attr);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, reader, &x);
	for (unsigned round = 1; round < 1500; round++) {
		unsigned i = dice(TABLES);

		pthread_rwlock_wrlock(&x.layer);
		if (!dice(10)) {
			vd_cache_forget(x.c, i * TABLE);
			assert_int_equal(vd_cache_new_table(x.c, i * TABLE, i % 4, &a, NULL), 0);
		} else {
			assert_int_equal(vd_cache_get(x.c, i * TABLE, i % 4, false, &a, NULL), 0);
		}
		x.value[i] = round;
		for (unsigned k = 0; k < TABLE; k += 8)
			le64_put(a->data + k, round);
		vd_cache_dirty(x.c, a);
		vd_cache_put(x.c, a);
		pthread_rwlock_unlock(&x.layer);
		if (!dice(50)) {
			pthread_rwlock_rdlock(&x.layer);
			assert_int_equal(vd_cache_write_back(x.c, NULL), 0);
			pthread_rwlock_unlock(&x.layer);
		}
	}
	atomic_store(&x.stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_false(atomic_load(&x.wrong));
	assert_int_equal(vd_cache_write_back(x.c, NULL), 0);
	for (unsigned i = 0; i < TABLES; i++)
		assert_int_equal(value_in_file(f, i), x.value[i]);
	vd_cache_free(x.c);
	vd_file_close(f);
	pthread_rwlock_destroy(&x.layer);
	pthread_rwlockattr_destroy(&attr);
}

/* Loads that fail while others wait for them: each gets its own try, nobody hangs, nothing leaks. */
static void *loader(void *arg)
{
	struct field *x = arg;

	for (unsigned i = 0; i < 2000; i++) {
		struct vd_table *t;
		vd_error err;

		if (!vd_cache_get(x->c, (i / 8 % 40) * TABLE, 0, false, &t, &err))
			vd_cache_put(x->c, t);
		else if (err.sys_errno != EIO)
			atomic_store(&x->wrong, true);
	}
	return NULL;
}

static void failed_loads(void **state)
{
	struct vd_fault fault = {.countdown = 0, .ops = VD_FAULT_READ, .sys_errno = EIO};
	struct field x = {0};
	struct vd_file *f;
	pthread_t t[4];

	(void)state;
	assert_int_equal(vd_file_fault(memory(40 * TABLE), &fault, &f, NULL), 0);
	x.c = cache(f, NULL, 8);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, loader, &x);
	for (int i = 0; i < 200; i++) {
		atomic_store(&fault.countdown, 2);
		sched_yield();
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_false(atomic_load(&x.wrong));
	vd_cache_free(x.c);
	vd_file_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_write),        cmocka_unit_test(ends_of_files),   cmocka_unit_test(new_and_forgotten),
		cmocka_unit_test(pinned_over_limit), cmocka_unit_test(joins_and_holes), cmocka_unit_test(order_holds),
		cmocka_unit_test(durable),           cmocka_unit_test(failures),        cmocka_unit_test(out_of_memory),
		cmocka_unit_test(threads),           cmocka_unit_test(failed_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

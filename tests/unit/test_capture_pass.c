/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Passes over disks that go on changing, to a sink that keeps what it is sent and may lose it again. */
#include "capture/pass.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CHUNKS 6u
#define DISKS 2u

/* What arrived, by disk and chunk. */
struct keeper {
	struct sink s;
	uint8_t digests[DISKS][CHUNKS][32];
	unsigned sent[DISKS];
	pthread_mutex_t lock;
};

static int keeper_digests(struct sink *s, unsigned worker, size_t disk, uint64_t from, uint64_t n, uint8_t (*out)[32],
			  vdisk_error *err)
{
	(void)worker;
	(void)err;
	memcpy(out, ((struct keeper *)s)->digests[disk][from], n * 32);
	return 0;
}

static int keeper_send(struct sink *s, unsigned worker, size_t disk, sink_next_fn next, void *ctx, vdisk_error *err)
{
	struct keeper *k = (struct keeper *)s;
	struct sink_item item;
	int rc;

	(void)worker;
	while ((rc = next(ctx, &item, err)) > 0) {
		pthread_mutex_lock(&k->lock);
		for (uint32_t i = 0; i < item.count; i++)
			if (item.bytes)
				memcpy(k->digests[disk][item.index], item.sha256, 32);
			else
				assert_int_equal(0, transfer_zero_leaf(CHUNKS * (uint64_t)TRANSFER_CHUNK, item.index + i,
								       k->digests[disk][item.index + i], NULL));
		k->sent[disk] += item.count;
		pthread_mutex_unlock(&k->lock);
	}
	return rc;
}

static const struct sink_ops ops = { .digests = keeper_digests, .send = keeper_send };

static char folder[] = "/tmp/vdisk-pass-XXXXXX";

static void disk_put(unsigned disk, uint8_t with)
{
	char path[64];
	uint8_t *bytes = malloc(TRANSFER_CHUNK);
	FILE *f;

	assert_non_null(bytes);
	snprintf(path, sizeof(path), "%s/%u", folder, disk);
	f = fopen(path, "r+");
	f = f ? f : fopen(path, "w");
	assert_non_null(f);
	for (unsigned i = 0; i < CHUNKS; i++) {
		memset(bytes, (int)(with + i), TRANSFER_CHUNK);
		assert_int_equal(TRANSFER_CHUNK, fwrite(bytes, 1, TRANSFER_CHUNK, f));
	}
	assert_int_equal(0, fclose(f));
	free(bytes);
}

/* The digest that was said of a disk before another one had to be read again is the one that it keeps. */
static void one_is_read_again(void **state)
{
	struct keeper k = { .s.ops = &ops, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct disk disks[DISKS];
	struct content contents[DISKS] = { { 0 } };
	struct pass_disk v[DISKS] = { { 0 } };
	struct pass p = { .disks = v, .n = DISKS, .sink = &k.s, .workers = 3 };
	uint8_t said[DISKS][32], now[32];
	vdisk_error err = { 0 };
	char path[64];

	(void)state;
	assert_non_null(mkdtemp(folder));
	for (unsigned i = 0; i < DISKS; i++) {
		disk_put(i, (uint8_t)(10 + 20 * i));
		snprintf(path, sizeof(path), "%s/%u", folder, i);
		assert_int_equal(0, disk_open(&disks[i], path, &err));
		contents[i].disk = &disks[i];
		v[i] = (struct pass_disk){ .content = &contents[i], .have = calloc(CHUNKS, 32), .chunks = CHUNKS };
		assert_non_null(v[i].have);
	}
	assert_int_equal(0, pass_run(&p, &err));
	for (unsigned i = 0; i < DISKS; i++) {
		assert_int_equal(0, pass_digest(&v[i], said[i], &err));
		assert_int_equal(CHUNKS, k.sent[i]);
	}
	/* The machine goes on, and the sink lost something of the second disk, nobody knows what. */
	disk_put(0, 80);
	memset(k.digests[1][2], 0, 32);
	assert_int_equal(0, pass_list(&p, 1, &err));
	assert_int_equal(0, pass_again(&p, 1, true, &err));
	assert_int_equal(CHUNKS, k.sent[0]);
	assert_int_equal(CHUNKS + 1, k.sent[1]);
	assert_int_equal(0, pass_digest(&v[0], now, &err));
	assert_memory_equal(said[0], now, 32);
	assert_int_equal(0, pass_digest(&v[1], now, &err));
	assert_memory_equal(said[1], now, 32);
	/* Counts go on: what was sent in both is told. */
	assert_int_equal((CHUNKS + 1) * (uint64_t)TRANSFER_CHUNK, v[1].sent);
	assert_int_equal(CHUNKS * (uint64_t)TRANSFER_CHUNK, v[0].sent);
	assert_int_equal(CHUNKS * (uint64_t)TRANSFER_CHUNK, v[1].done);
	/* Of a list of chunks, these. */
	memset(v[1].have[4], 0, 32);
	assert_int_equal(0, ranges_add(&v[1].again, 4, 5));
	assert_int_equal(0, pass_again(&p, 1, false, &err));
	assert_int_equal(CHUNKS + 2, k.sent[1]);
	assert_int_equal(CHUNKS, k.sent[0]);
	/* A pass takes all, and what has changed is sent. */
	assert_int_equal(0, pass_run(&p, &err));
	assert_int_equal(2 * CHUNKS, k.sent[0]);
	assert_int_equal(CHUNKS + 2, k.sent[1]);
	assert_int_equal(0, v[1].sent);
	for (unsigned i = 0; i < DISKS; i++) {
		disk_close(&disks[i]);
		free(v[i].have);
		ranges_free(&v[i].again);
		snprintf(path, sizeof(path), "%s/%u", folder, i);
		unlink(path);
	}
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one_is_read_again) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

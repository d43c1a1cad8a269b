/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which a disk that is received is written, flushed and noted (leaves.h, L1 and L2), also when writing and flushing
   fail and when two want the same chunk.  What is told by the wrapped calls is one letter each: W written, S flushed, N noted, F
   forgotten. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CHUNKS 4u
#define SIZE   (CHUNKS * (uint64_t)TRANSFER_CHUNK)

int __real_vdisk_flush(vdisk_image *img, vdisk_error *err);
int __real_vdisk_pwrite(vdisk_image *img, const void *buf, size_t len, uint64_t off, vdisk_error *err);
int __real_transfer_leaves_note(const struct transfer_leaves *l, uint64_t from, uint64_t n, const uint8_t (*leaves)[32],
                                vdisk_error *err);
int __real_transfer_leaves_forget(const struct transfer_leaves *l, uint64_t from, uint64_t n, vdisk_error *err);
int __wrap_vdisk_flush(vdisk_image *img, vdisk_error *err);
int __wrap_vdisk_pwrite(vdisk_image *img, const void *buf, size_t len, uint64_t off, vdisk_error *err);
int __wrap_transfer_leaves_note(const struct transfer_leaves *l, uint64_t from, uint64_t n, const uint8_t (*leaves)[32],
                                vdisk_error *err);
int __wrap_transfer_leaves_forget(const struct transfer_leaves *l, uint64_t from, uint64_t n, vdisk_error *err);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char told[256];
static int flush_fails, write_fails;   /* so many times */
static sem_t *flush_begins, *flush_may; /* NULL: nobody waits */

static void tell(char what)
{
	pthread_mutex_lock(&lock);
	assert_true(strlen(told) < sizeof(told) - 1);
	told[strlen(told)] = what;
	pthread_mutex_unlock(&lock);
}

static int refuse(vdisk_error *err)
{
	if (err)
		*err = (vdisk_error){ .kind = VDISK_IO, .sys_errno = ENOSPC, .message = "no space" };
	return -1;
}

int __wrap_vdisk_flush(vdisk_image *img, vdisk_error *err)
{
	if (flush_begins) {
		sem_post(flush_begins);
		sem_wait(flush_may);
	}
	if (flush_fails && flush_fails--)
		return refuse(err);
	tell('S');
	return __real_vdisk_flush(img, err);
}

int __wrap_vdisk_pwrite(vdisk_image *img, const void *buf, size_t len, uint64_t off, vdisk_error *err)
{
	if (write_fails && write_fails--)
		return refuse(err);
	tell('W');
	return __real_vdisk_pwrite(img, buf, len, off, err);
}

int __wrap_transfer_leaves_note(const struct transfer_leaves *l, uint64_t from, uint64_t n, const uint8_t (*leaves)[32],
                                vdisk_error *err)
{
	tell('N');
	return __real_transfer_leaves_note(l, from, n, leaves, err);
}

int __wrap_transfer_leaves_forget(const struct transfer_leaves *l, uint64_t from, uint64_t n, vdisk_error *err)
{
	tell('F');
	return __real_transfer_leaves_forget(l, from, n, err);
}

struct fixture {
	char path[64];
	struct disk_place at;
	struct transfer_state_disk named;
	struct disk *d;
	uint8_t *chunk;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->path, "/tmp/test-disk.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->at = (struct disk_place){ .dir = open(f->path, O_RDONLY | O_DIRECTORY), .folder = f->path, .format = "qcow2" };
	f->named = (struct transfer_state_disk){ .name = "sda", .size = SIZE };
	assert_int_equal(disk_make(&f->at, &f->named, NULL), 0);
	assert_int_equal(disk_open(&f->at, &f->named, &f->d, NULL), 0);
	f->chunk = malloc(TRANSFER_CHUNK);
	memset(told, 0, sizeof(told));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	disk_free(f->d);
	close(f->at.dir);
	snprintf(command, sizeof(command), "rm -rf %s", f->path);
	assert_int_equal(system(command), 0);
	free(f->chunk);
	free(f);
	return 0;
}

static int put(struct fixture *f, uint64_t index, uint8_t byte, uint8_t sha256[32])
{
	struct transfer_record r = { .kind = TRANSFER_DATA, .index = index, .count = 1, .packed = TRANSFER_CHUNK };
	uint8_t *chunk = malloc(TRANSFER_CHUNK);
	int rc;

	memset(chunk, byte, TRANSFER_CHUNK);
	assert_int_equal(transfer_sha256(chunk, TRANSFER_CHUNK, r.sha256, NULL), 0);
	if (sha256)
		memcpy(sha256, r.sha256, 32);
	rc = disk_put(f->d, &r, chunk, TRANSFER_CHUNK, NULL);
	free(chunk);
	return rc;
}

static void is_noted(struct fixture *f, uint64_t index, const uint8_t sha256[32], uint64_t have)
{
	static const uint8_t none[32];
	uint8_t leaf[1][32];
	struct disk_facts facts;

	assert_int_equal(disk_digests(f->d, index, 1, leaf, NULL), 0);
	assert_memory_equal(leaf[0], sha256 ? sha256 : none, 32);
	disk_facts(f->d, &facts);
	assert_int_equal(facts.have, have);
}

static void in_order(void **state)
{
	struct fixture *f = *state;
	uint8_t a[32], b[32];

	assert_int_equal(put(f, 1, 'a', a), 0);
	is_noted(f, 1, NULL, 0);
	assert_int_equal(disk_flush(f->d, NULL), 0);
	assert_string_equal(told, "WSN");
	is_noted(f, 1, a, 1);
	assert_int_equal(put(f, 1, 'a', a), 0); /* it is there */
	assert_int_equal(disk_flush(f->d, NULL), 0);
	assert_string_equal(told, "WSN");
	assert_int_equal(put(f, 1, 'b', b), 0);
	is_noted(f, 1, NULL, 0);
	assert_int_equal(disk_flush(f->d, NULL), 0);
	assert_string_equal(told, "WSNFWSN");
	is_noted(f, 1, b, 1);
	/* The same chunk again before it is noted: that comes first. */
	assert_int_equal(put(f, 2, 'a', a), 0);
	assert_int_equal(put(f, 2, 'b', b), 0);
	assert_string_equal(told, "WSNFWSNWSNFW");
	assert_int_equal(disk_zero(f->d, 0, CHUNKS, NULL), 0);
	assert_int_equal(disk_flush(f->d, NULL), 0);
	is_noted(f, 2, transfer_zero, CHUNKS);
	is_noted(f, 0, transfer_zero, CHUNKS);
}

static void flushes_that_fail(void **state)
{
	struct fixture *f = *state;
	uint8_t a[32], b[32];

	assert_int_equal(put(f, 0, 'a', a), 0);
	assert_int_equal(disk_flush(f->d, NULL), 0);
	assert_int_equal(put(f, 0, 'b', b), 0);
	assert_int_equal(put(f, 1, 'b', b), 0);
	flush_fails = 1;
	assert_int_equal(disk_flush(f->d, NULL), -1);
	is_noted(f, 0, NULL, 0);
	is_noted(f, 1, NULL, 0);
	assert_int_equal(disk_flush(f->d, NULL), 0); /* nothing is left to be noted */
	assert_string_equal(told, "WSNFWW");
	assert_int_equal(put(f, 0, 'b', b), 0);
	assert_int_equal(disk_flush(f->d, NULL), 0);
	assert_string_equal(told, "WSNFWWWSN");
	is_noted(f, 0, b, 1);
}

static void writes_that_fail(void **state)
{
	struct fixture *f = *state;
	uint8_t a[32], b[32];

	assert_int_equal(put(f, 0, 'a', a), 0);
	assert_int_equal(disk_flush(f->d, NULL), 0);
	assert_int_equal(put(f, 3, 'a', a), 0);
	write_fails = 1;
	assert_int_equal(put(f, 0, 'b', b), -1);
	is_noted(f, 0, NULL, 0); /* half of it may be written */
	assert_int_equal(disk_flush(f->d, NULL), 0);
	is_noted(f, 3, NULL, 0); /* nor is what was written to the image that failed */
	assert_int_equal(put(f, 0, 'b', b), 0);
	assert_int_equal(put(f, 3, 'a', a), 0);
	assert_int_equal(disk_flush(f->d, NULL), 0);
	is_noted(f, 0, b, 2);
	is_noted(f, 3, a, 2);
}

struct other {
	struct fixture *f;
	uint8_t sha256[32];
	int rc;
};

static void *other_put(void *arg)
{
	struct other *o = arg;

	o->rc = put(o->f, 1, 'b', o->sha256);
	return NULL;
}

static void *other_flush(void *arg)
{
	struct other *o = arg;

	o->rc = disk_flush(o->f->d, NULL);
	return NULL;
}

/* While a flush is under way, its chunks are not written to by others. */
static void the_same_chunk_during_a_flush(void **state)
{
	struct fixture *f = *state;
	struct other flusher = { .f = f }, writer = { .f = f };
	sem_t begins, may;
	pthread_t a, b;
	uint8_t sha[32];

	sem_init(&begins, 0, 0);
	sem_init(&may, 0, 0);
	assert_int_equal(put(f, 1, 'a', sha), 0);
	flush_begins = &begins;
	flush_may = &may;
	pthread_create(&a, NULL, other_flush, &flusher);
	sem_wait(&begins);
	pthread_create(&b, NULL, other_put, &writer);
	assert_int_equal(put(f, 2, 'a', sha), 0); /* others are */
	usleep(50000);
	assert_string_equal(told, "WW");
	flush_begins = NULL;
	sem_post(&may);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_int_equal(flusher.rc, 0);
	assert_int_equal(writer.rc, 0);
	assert_string_equal(told, "WWSNFW");
	assert_int_equal(disk_flush(f->d, NULL), 0);
	is_noted(f, 1, writer.sha256, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(flushes_that_fail, set_up, tear_down),
		cmocka_unit_test_setup_teardown(writes_that_fail, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_same_chunk_during_a_flush, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/alloc.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 7000u
#define BLOCKS 300u

static uint8_t byte_at(uint64_t off)
{
	return (uint8_t)(off * 31 >> 3 ^ off >> 13);
}

static void fill(uint8_t *b, size_t len, uint64_t off)
{
	for (size_t i = 0; i < len; i++)
		b[i] = byte_at(off + i);
}

/* ---- out */

struct drain {
	int fd;
	uint64_t got;
	bool wrong;
	uint64_t zero_from, zero_to;
};

static void *drain_main(void *arg)
{
	struct drain *d = arg;
	uint8_t b[5000];
	ssize_t n;

	while ((n = read(d->fd, b, sizeof(b))) > 0) {
		for (ssize_t i = 0; i < n; i++, d->got++) {
			bool zero = d->got >= d->zero_from && d->got < d->zero_to;

			if (b[i] != (zero ? 0 : byte_at(d->got)))
				d->wrong = true;
		}
	}
	close(d->fd);
	return NULL;
}

struct feeder {
	struct vd_file *f;
	unsigned idx, of;
	int result;
	vd_error err;
};

static void *feeder_main(void *arg)
{
	struct feeder *x = arg;
	uint8_t b[BLOCK];

	for (unsigned i = x->idx; i < BLOCKS && !x->result; i += x->of) {
		fill(b, BLOCK, (uint64_t)i * BLOCK);
		x->result = vd_file_pwrite(x->f, b, BLOCK, (uint64_t)i * BLOCK, &x->err);
	}
	return NULL;
}

static void out_any_order(void **state)
{
	struct drain d = {.zero_from = UINT64_MAX};
	struct feeder x[4];
	pthread_t t[4], dt;
	struct vd_file *f;
	vd_error err;
	uint8_t b[10];
	size_t got;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	fcntl(p[1], F_SETFL, O_NONBLOCK); /* as a shell's pipe may be */
	d.fd = p[0];
	d.zero_from = (uint64_t)BLOCKS * BLOCK;
	d.zero_to = d.zero_from + 3000000;
	assert_int_equal(vd_file_pipe_out(p[1], "out", &f, &err), 0);
	assert_int_equal(f->flags, 0);
	pthread_create(&dt, NULL, drain_main, &d);
	for (unsigned i = 0; i < 4; i++) {
		x[i] = (struct feeder){.f = f, .idx = 3 - i, .of = 4};
		pthread_create(&t[i], NULL, feeder_main, &x[i]);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(x[i].result, 0);
	}
	assert_int_equal(vd_file_size(f), BLOCKS * BLOCK);
	assert_int_equal(vd_file_zero(f, d.zero_from, 3000000, true, &err), 0);
	assert_int_equal(vd_file_size(f), d.zero_to);
	assert_int_equal(vd_file_pwrite(f, b, 10, 5, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_int_equal(vd_file_pread_some(f, b, 10, 5, &got, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_int_equal(vd_file_truncate(f, 5, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_int_equal(vd_file_truncate(f, d.zero_to, &err), 0);
	assert_int_equal(vd_file_flush(f, &err), 0);
	vd_file_close(f);
	pthread_join(dt, NULL);
	assert_int_equal(d.got, d.zero_to);
	assert_false(d.wrong);
}

/* The reader goes away: an error, no signal, and those that wait for their turn are woken. */
static void out_broken(void **state)
{
	struct feeder late;
	struct vd_file *f;
	sigset_t pending;
	pthread_t t;
	vd_error err;
	uint8_t b[BLOCK] = {0};
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(vd_file_pipe_out(p[1], "out", &f, &err), 0);
	late = (struct feeder){.f = f, .idx = 5, .of = BLOCKS};
	pthread_create(&t, NULL, feeder_main, &late);
	usleep(20000);
	close(p[0]);
	assert_int_equal(vd_file_pwrite(f, b, BLOCK, 0, &err), -1);
	assert_int_equal(err.kind, VDISK_IO);
	assert_int_equal(err.sys_errno, EPIPE);
	pthread_join(t, NULL);
	assert_int_equal(late.result, -1);
	assert_int_equal(late.err.sys_errno, EPIPE);
	assert_int_equal(vd_file_pwrite(f, b, BLOCK, 0, &err), -1); /* kept */
	assert_int_equal(err.sys_errno, EPIPE);
	assert_int_equal(vd_file_flush(f, &err), -1);
	sigpending(&pending);
	assert_false(sigismember(&pending, SIGPIPE));
	vd_file_close(f);
}

/* ---- in */

struct source {
	int fd;
	uint64_t len;
	unsigned piece;
};

static void *source_main(void *arg)
{
	struct source *s = arg;
	uint8_t b[70000];

	for (uint64_t off = 0; off < s->len;) {
		size_t n = s->len - off < s->piece ? (size_t)(s->len - off) : s->piece;
		ssize_t r;

		fill(b, n, off);
		r = write(s->fd, b, n);
		if (r < 0)
			break;
		off += (uint64_t)r;
	}
	close(s->fd);
	return NULL;
}

static struct vd_file *source_open(struct source *s, uint64_t len, unsigned piece, uint64_t window, pthread_t *t)
{
	struct vd_file *f;
	int p[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(p), 0);
	*s = (struct source){p[1], len, piece};
	assert_int_equal(vd_file_pipe_in(p[0], "in", window, &f, NULL), 0);
	pthread_create(t, NULL, source_main, s);
	return f;
}

static void expect(struct vd_file *f, uint64_t off, size_t len)
{
	VD_AUTO_FREE uint8_t *b = vd_malloc(len);
	vd_error err;

	if (vd_file_pread(f, b, len, off, &err))
		fail_msg("%s", err.message);
	for (size_t i = 0; i < len; i++)
		if (b[i] != byte_at(off + i))
			fail_msg("byte %llu is wrong", (unsigned long long)(off + i));
}

static void in_and_released(void **state)
{
	struct source s;
	struct vd_file *f;
	pthread_t t;
	vd_error err;
	uint8_t b[100];
	size_t got;

	(void)state;
	f = source_open(&s, 5000123, 3331, 1 << 20, &t);
	assert_int_equal(f->flags, VD_FILE_RDONLY);
	assert_true(vd_file_size(f) == UINT64_MAX);
	expect(f, 1000, 500000);
	expect(f, 0, 100);
	expect(f, 900000, 100000);
	assert_int_equal(vd_file_pread(f, b, 100, 1 << 20, &err), -1);
	assert_int_equal(err.kind, VDISK_NOMEM);
	vd_file_release(f, 100, 899900); /* not from the start: all of it stays */
	expect(f, 0, 100);
	assert_int_equal(vd_file_pread(f, b, 100, 1 << 20, &err), -1);
	vd_file_release(f, 0, 100); /* now 900,000 bytes go */
	assert_int_equal(vd_file_pread(f, b, 100, 899999, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	expect(f, 900000, 1 << 20);
	vd_file_release(f, 1500000, 2500000); /* ahead of what was read */
	vd_file_release(f, 900000, 400000);
	vd_file_release(f, 1300000, 300000); /* overlapping */
	expect(f, 4000000, 1000123);
	assert_int_equal(vd_file_pread_some(f, b, 100, 5000100, &got, &err), 0);
	assert_int_equal(got, 23);
	assert_int_equal(vd_file_size(f), 5000123);
	assert_int_equal(vd_file_pread(f, b, 100, 5000100, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_int_equal(vd_file_pread_some(f, b, 100, 6000000, &got, &err), 0);
	assert_int_equal(got, 0);
	vd_file_release(f, 0, UINT64_MAX);
	vd_file_close(f);
	pthread_join(t, NULL);
}

struct puller {
	struct vd_file *f;
	unsigned idx, of;
	uint64_t len;
	bool wrong;
};

static void *puller_main(void *arg)
{
	struct puller *x = arg;
	uint8_t b[BLOCK];
	size_t got;

	for (uint64_t off = (uint64_t)x->idx * BLOCK; off < x->len; off += (uint64_t)x->of * BLOCK) {
		vd_error err;

		for (;;) { /* too far ahead of the others: again */
			if (!vd_file_pread_some(x->f, b, BLOCK, off, &got, &err))
				break;
			if (err.kind != VDISK_NOMEM) {
				x->wrong = true;
				return NULL;
			}
			usleep(100);
		}
		for (size_t i = 0; i < got; i++)
			if (b[i] != byte_at(off + i))
				x->wrong = true;
		if (got != (x->len - off < BLOCK ? x->len - off : BLOCK))
			x->wrong = true;
		vd_file_release(x->f, off, BLOCK);
	}
	return NULL;
}

static void in_from_threads(void **state)
{
	struct puller x[4];
	pthread_t t[4], st;
	struct source s;
	struct vd_file *f;

	(void)state;
	f = source_open(&s, 4000001, 65536, 300000, &st);
	for (unsigned i = 0; i < 4; i++) {
		x[i] = (struct puller){f, i, 4, 4000001, false};
		pthread_create(&t[i], NULL, puller_main, &x[i]);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_false(x[i].wrong);
	}
	vd_file_close(f);
	pthread_join(st, NULL);
}

static void in_errors(void **state)
{
	struct source s;
	struct vd_file *f;
	pthread_t t;
	vd_error err;
	uint8_t b[100];
	int fd;

	(void)state;
	fd = open("/", O_RDONLY); /* read() fails: EISDIR, and again */
	assert_int_equal(vd_file_pipe_in(fd, "in", 1 << 20, &f, &err), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vd_file_pread(f, b, 100, 0, &err), -1);
		assert_int_equal(err.kind, VDISK_IO);
		assert_int_equal(err.sys_errno, EISDIR);
	}
	vd_file_close(f);
	f = source_open(&s, 1000, 1000, 1 << 20, &t);
	alloc_fail_at(0);
	assert_int_equal(vd_file_pread(f, b, 100, 0, &err), -1);
	assert_int_equal(err.kind, VDISK_NOMEM);
	alloc_fail_at(-1);
	assert_int_equal(vd_file_pwrite(f, b, 1, 0, &err), -1);
	vd_file_close(f);
	pthread_join(t, NULL);
	alloc_fail_at(0);
	fd = open("/dev/null", O_RDWR);
	assert_int_equal(vd_file_pipe_in(fd, "in", 1, &f, &err), -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken */
	fd = open("/dev/null", O_RDWR);
	alloc_fail_at(1);
	assert_int_equal(vd_file_pipe_out(fd, "out", &f, &err), -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	alloc_fail_at(-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(out_any_order),   cmocka_unit_test(out_broken), cmocka_unit_test(in_and_released),
		cmocka_unit_test(in_from_threads), cmocka_unit_test(in_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

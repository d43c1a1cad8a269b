/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files on web servers: what answers may say; and against a small server of our own, from many threads, and with allocations
   failing.  What else a server may do is in tests/e2e/test_http.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/alloc.h"
#include "io/http.h"
#include "io/http_source.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE    (5u * 1048576 + 4711)
#define READERS 6u

/* ---------------------------------------------------------------- a server */

static uint8_t content[SIZE];

struct site {
	int fd;
	pthread_t thread;
	char url[64];
};

/* One request's lines to `text`; false: the connection ended. */
static bool request_read(int fd, char *text, size_t cap)
{
	for (size_t n = 0; n + 1 < cap;) {
		ssize_t r = recv(fd, text + n, 1, 0);

		if (r <= 0)
			return false;
		text[++n] = '\0';
		if (n >= 4 && !memcmp(text + n - 4, "\r\n\r\n", 4))
			return true;
	}
	return false;
}

static bool bytes_send(int fd, const void *p, size_t n)
{
	for (const char *at = p; n;) {
		ssize_t r = send(fd, at, n, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		at += r;
		n -= (size_t)r;
	}
	return true;
}

static void *client_serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char text[4096], head[256];

	while (request_read(fd, text, sizeof(text))) {
		unsigned long from = 0, to = 0;
		const char *range = strstr(text, "Range: bytes=");
		size_t n;

		if (!range || sscanf(range, "Range: bytes=%lu-%lu", &from, &to) != 2 || from > to || from >= SIZE)
			break;
		to = to < SIZE ? to : SIZE - 1;
		n = to - from + 1;
		snprintf(
			head, sizeof(head),
			"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %lu-%lu/%u\r\nContent-Length: %zu\r\nETag: \"1\"\r\n\r\n",
			from, to, SIZE, n);
		if (!bytes_send(fd, head, strlen(head)) || !bytes_send(fd, content + from, n))
			break;
	}
	close(fd);
	return NULL;
}

static void *site_run(void *arg)
{
	struct site *s = arg;
	pthread_t t;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0)
		if (!pthread_create(&t, NULL, client_serve, (void *)(intptr_t)fd))
			pthread_detach(t);
	return NULL;
}

static struct site *site_new(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct site *s = calloc(1, sizeof(*s));
	socklen_t n = sizeof(a);

	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->fd, 64), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u/a.raw", ntohs(a.sin_port));
	assert_int_equal(pthread_create(&s->thread, NULL, site_run, s), 0);
	return s;
}

static void site_free(struct site *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	free(s);
}

/* ---------------------------------------------------------------- reading */

struct reader {
	pthread_t thread;
	struct vd_file *f;
	unsigned seed, wrong;
};

/* Small and large, in order and at random, also over the end. */
static void *reader_run(void *arg)
{
	struct reader *r = arg;
	uint8_t *buf = malloc(600000);
	uint64_t next = rand_r(&r->seed) % SIZE;

	for (unsigned i = 0; i < 150; i++) {
		uint64_t off = rand_r(&r->seed) % 3 ? next : (uint64_t)rand_r(&r->seed) % (SIZE + 1000);
		size_t len = 1 + (size_t)rand_r(&r->seed) % (rand_r(&r->seed) % 8 ? 30000 : 600000), got,
		       due = off < SIZE ? SIZE - off : 0;

		due = due < len ? due : len;
		memset(buf, 0, len);
		if (vd_file_pread_some(r->f, buf, len, off, &got, NULL) || got != due ||
		    memcmp(buf, content + (due ? off : 0), due))
			r->wrong++;
		next = off + len < SIZE ? off + len : 0;
	}
	free(buf);
	return NULL;
}

static void many_threads(void **state)
{
	struct site *s = site_new();
	struct reader r[READERS];
	struct vd_file *f;
	vd_error err;

	(void)state;
	if (vd_file_http(s->url, NULL, NULL, &f, &err))
		fail_msg("%s", err.message);
	assert_int_equal(vd_file_size(f), SIZE);
	assert_true(f->flags & VD_FILE_REMOTE && f->flags & VD_FILE_RDONLY);
	assert_string_equal(f->name, s->url);
	assert_string_equal(vd_file_http_version(f), "\"1\"");
	for (unsigned i = 0; i < READERS; i++) {
		r[i] = (struct reader){ .f = f, .seed = 7 + i };
		assert_int_equal(pthread_create(&r[i].thread, NULL, reader_run, &r[i]), 0);
	}
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		assert_int_equal(r[i].wrong, 0);
	}
	assert_int_equal(vd_file_pwrite(f, "x", 1, 0, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	vd_file_close(f);
	site_free(s);
}

/* Each allocation fails once: an error and no leak, and the next try works. */
static void without_memory(void **state)
{
	struct site *s = site_new();
	char header[] = "/tmp/test_io_http.XXXXXX";
	int fd = mkstemp(header);
	struct vdisk_remote remote = { .header_file = header };
	bool done = false;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "X-One: 1\nX-Two: 2\n"), 18);
	close(fd);
	for (int nth = 0; !done; nth++) {
		static uint8_t buf[300000];
		struct vd_file *f, *g = NULL;
		vd_error err = { 0 };
		bool ok = false;

		assert_true(nth < 500);
		alloc_fail_at(nth);
		if (!vd_file_http(s->url, &remote, NULL, &f, &err)) {
			ok = !vd_file_pread(f, buf, 1000, 200000, &err) && !vd_file_pread(f, buf, sizeof(buf), 5000, &err) &&
			     !vd_file_http_beside(f, "b", &g, &err);
			done = ok && !alloc_fail_hits();
			alloc_fail_at(-1);
			vd_file_close(g);
			assert_int_equal(vd_file_pread(f, buf, 1000, 200000, NULL), 0);
			assert_memory_equal(buf, content + 200000, 1000);
			vd_file_close(f);
		}
		alloc_fail_at(-1);
		if (!ok)
			assert_int_equal(err.kind, VDISK_NOMEM);
	}
	unlink(header);
	site_free(s);
}

/* ---------------------------------------------------------------- answers */

static int judge(const char *lines, uint64_t off, uint64_t len, const struct vd_http_version *v, vd_error *err)
{
	struct vd_http_answer a = { 0 };

	while (*lines) {
		size_t n = strcspn(lines, "\n");

		vd_http_answer_line(&a, lines, n + (lines[n] == '\n'));
		lines += n + (lines[n] == '\n');
	}
	assert_int_equal(a.status, 206);
	return vd_http_answer_judge(&a, "u", off, len, v, err);
}

#define P "HTTP/1.1 206 Partial Content\r\n"

static void answers(void **state)
{
	static const struct vd_http_version v = { .size = 1000, .etag = "\"a\"", .modified = "Mon" };
	static const struct { const char *lines; const char *word;
	} t[] = {
		{ P "Content-Range: bytes 100-199/1000\r\n", NULL },
		{ P "content-range:bytes   100-150/1000\r\ncontent-length: 51\r\n", NULL },
		{ "HTTP/1.1 100 Continue\r\nETag: \"x\"\r\n\r\nHTTP/2 206\r\nContent-Range: bytes 100-199/1000\r\nETag: \"a\"\r\n",
		  NULL },
		{ P "Content-Range: bytes 100-199/1000\r\nETag: \"a\"\r\nLast-Modified: Tue\r\n", NULL }, /* the ETag decides */
		{ P "Content-Range: bytes 100-199/1000\r\nContent-Encoding: identity\r\n", NULL },
		{ P "Content-Range: bytes 100-199/1000\r\nETag: \"b\"\r\n", "has changed" },
		{ P "Content-Range: bytes 100-199/1000\r\nLast-Modified: Tue\r\n", "has changed" },
		{ P "Content-Range: bytes 100-199/1001\r\n", "has changed" },
		{ P "Content-Range: bytes 100-200/1000\r\n", "were asked for" },
		{ P "Content-Range: bytes 99-199/1000\r\n", "were asked for" },
		{ P "Content-Range: bytes 101-199/1000\r\n", "were asked for" },
		{ P "Content-Range: bytes 100-199/1000\r\nContent-Length: 99\r\n", "contradicts" },
		{ P "Content-Range: bytes 100-199/1000\r\nContent-Encoding: gzip\r\n", "Content-Encoding" },
		{ P, "Content-Range" },
		{ P "Content-Range: bytes 199-100/1000\r\n", "Content-Range" },
		{ P "Content-Range: bytes 100-1000/1000\r\n", "Content-Range" },
		{ P "Content-Range: bytes 100-199/*\r\n", "Content-Range" },
		{ P "Content-Range: bytes */1000\r\n", "Content-Range" },
		{ P "Content-Range: lines 100-199/1000\r\n", "Content-Range" },
		{ P "Content-Range: bytes 100-199/18446744073709551616\r\n", "Content-Range" },
		{ P "Content-Range: bytes 100-199/18446744073709551615\r\n", "Content-Range" },
		{ P "Content-Range: bytes -100-199/1000\r\n", "Content-Range" },
		{ P "Content-Range: bytes 100-199/1000 x\r\n", "Content-Range" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		vd_error err = { 0 };
		int rc = judge(t[i].lines, 100, 100, &v, &err);

		if (rc != (t[i].word ? -1 : 0) || (t[i].word && !strstr(err.message, t[i].word)))
			fail_msg("%s: %d, \"%s\"", t[i].lines, rc, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(answers), cmocka_unit_test(many_threads),
		                            cmocka_unit_test(without_memory) };

	for (size_t i = 0; i < SIZE; i++)
		content[i] = (uint8_t)(rand() >> 8);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers come in the order of the commands, and one command is under way at a time; events may come in between. */
#include "qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void qmp_init(struct qmp *q, int fd, void (*event)(void *ctx, const char *name, struct json_object *data), void *ctx)
{
	*q = (struct qmp){ .fd = fd, .event = event, .ctx = ctx };
}

void qmp_destroy(struct qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	free(q->buf);
	*q = (struct qmp){ .fd = -1, .closed = true };
}

/* Reads what is there. */
static void fill(struct qmp *q)
{
	while (!q->closed) {
		if (q->room - q->n < 4096) {
			char *buf = q->room < QMP_LINE_MAX ? realloc(q->buf, q->room + 16384) : NULL;

			if (!buf) {
				q->closed = true;
				return;
			}
			q->buf = buf;
			q->room += 16384;
		}
		ssize_t n = recv(q->fd, q->buf + q->n, q->room - q->n, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			q->closed = true;
			return;
		}
		q->n += (size_t)n;
	}
}

/* The next message, owned; NULL: none is complete. */
static struct json_object *message_take(struct qmp *q)
{
	char *end = q->n ? memchr(q->buf, '\n', q->n) : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	struct json_object *message = json_tokener_parse(q->buf);
	size_t len = (size_t)(end + 1 - q->buf);
	memmove(q->buf, end + 1, q->n - len);
	q->n -= len;
	return message ? message : json_object_new_object();
}

static bool event_tell(struct qmp *q, struct json_object *message)
{
	struct json_object *event, *data = NULL;

	if (!json_object_object_get_ex(message, "event", &event))
		return false;
	json_object_object_get_ex(message, "data", &data);
	q->event(q->ctx, json_object_get_string(event), data);
	return true;
}

void qmp_serve(struct qmp *q)
{
	struct json_object *message;

	fill(q);
	while ((message = message_take(q))) {
		event_tell(q, message);
		json_object_put(message);
	}
}

/* 1: the answer to command `id`; -1: that it failed; 0: something else. */
static int answer_judge(struct json_object *message, unsigned id, const char *name, vdisk_error *err)
{
	struct json_object *number, *error, *text = NULL;

	if (!json_object_object_get_ex(message, "id", &number) || (unsigned)json_object_get_int64(number) != id)
		return 0;
	if (!json_object_object_get_ex(message, "error", &error))
		return 1;
	json_object_object_get_ex(error, "desc", &text);
	return fail(err, VDISK_IO, "QEMU: %s: %s", name, text ? json_object_get_string(text) : "failed");
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int answer_wait(struct qmp *q, const char *name, int ms, vdisk_error *err)
{
	int64_t deadline = now_ms() + ms;

	for (;;) {
		struct json_object *message;
		int r = 0;

		fill(q);
		while (!r && (message = message_take(q))) {
			if (!event_tell(q, message))
				r = answer_judge(message, q->id, name, err);
			json_object_put(message);
		}
		if (r)
			return r < 0 ? -1 : 0;
		if (q->closed)
			return fail(err, VDISK_IO, "QEMU: %s: it is gone", name);
		int64_t left = deadline - now_ms();
		struct pollfd p = { .fd = q->fd, .events = POLLIN };
		if (left <= 0)
			return fail(err, VDISK_IO, "QEMU: %s: no answer within %d s", name, ms / 1000);
		poll(&p, 1, (int)left);
	}
}

int qmp_command(struct qmp *q, const char *name, struct json_object *arguments, int ms, vdisk_error *err)
{
	struct json_object *command = json_object_new_object();

	json_object_object_add(command, "execute", json_object_new_string(name));
	if (arguments)
		json_object_object_add(command, "arguments", arguments);
	json_object_object_add(command, "id", json_object_new_int64(++q->id));
	const char *text = json_object_to_json_string_ext(command, JSON_C_TO_STRING_PLAIN);
	size_t len = strlen(text);
	bool sent = send(q->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len && send(q->fd, "\n", 1, MSG_NOSIGNAL) == 1;
	json_object_put(command);
	if (!sent)
		return fail(err, VDISK_IO, "QEMU: %s: it is gone", name);
	return answer_wait(q, name, ms, err);
}

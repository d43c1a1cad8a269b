/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's monitor: JSON, line by line, over a connected socket. */
#ifndef RUNNER_QMP_H
#define RUNNER_QMP_H

#include "common/fail.h"

#include <json-c/json.h>

#define QMP_LINE_MAX (1u << 20)

struct qmp {
	int fd; /* owned; nothing blocks on it for longer than it is told to */
	char *buf;
	size_t n, room;
	unsigned id;
	bool closed;
	void (*event)(void *ctx, const char *name, struct json_object *data);
	void *ctx;
};

void qmp_init(struct qmp *q, int fd, void (*event)(void *ctx, const char *name, struct json_object *data), void *ctx);
void qmp_destroy(struct qmp *q);
/* Takes in what has come, and tells the events. */
void qmp_serve(struct qmp *q);
/* Sends a command, takes `arguments` (may be NULL), and waits for its answer for at most `ms`. */
int qmp_command(struct qmp *q, const char *name, struct json_object *arguments, int ms, vdisk_error *err);

#endif

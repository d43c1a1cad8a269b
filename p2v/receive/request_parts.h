/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request's insides, for request.c and what it does when its body is there (request_do.c). */
#ifndef RECEIVE_REQUEST_PARTS_H
#define RECEIVE_REQUEST_PARTS_H

#include "intake.h"
#include "request.h"
#include "route.h"

#include <stdarg.h>

struct request {
	struct receiver *r;
	struct route route;      /* its texts are gone after the head */
	bool sends, removes;     /* it changes something; by DELETE */
	bool has_secret, known;
	uint8_t secret[32];
	struct capture *c;       /* held; NULL: none */
	bool entered;
	bool done;               /* nothing is left to do: 200 */
	struct disk *disk;
	const struct transfer_state_disk *disk_at;
	uint64_t from, count;    /* digests */
	struct intake in;        /* chunks */
	char *body;              /* JSON */
	size_t len, room;
	uint64_t ignored;        /* bytes of the body that nobody wanted */
	unsigned status, retry;  /* 0: not refused */
	char message[VDISK_ERROR_MESSAGE_MAX];
	json_object *differ, *result;
	char cookie[192];
};

void request_refuse(struct request *q, unsigned status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* What it asks for is done, or refused. */
void request_do(struct request *q, unsigned *status, json_object **result);

#endif

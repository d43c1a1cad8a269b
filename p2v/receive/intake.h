/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The body of POST …/chunks: records that come in pieces of any length, to a disk.  One thread at a time. */
#ifndef RECEIVE_INTAKE_H
#define RECEIVE_INTAKE_H

#include "buffers.h"
#include "disk.h"

struct intake {
	struct disk *disk;
	struct buffers *buffers;
	uint64_t size;          /* of the disk */
	uint8_t head[TRANSFER_RECORD_BYTES];
	size_t got;             /* bytes of the head, or with `buffer` of what is behind it */
	struct transfer_record record;
	struct buffer *buffer;  /* of the record that is coming in; NULL: its head is */
	uint64_t taken, bytes;  /* chunks; bytes of the body */
	unsigned status;        /* 0: all is well so far; else what it failed with, and `err` */
	vdisk_error err;
};

void intake_init(struct intake *in, struct disk *d, uint64_t size, struct buffers *b);
/* After an error the rest of the body is looked at no more. */
void intake_feed(struct intake *in, const void *bytes, size_t len);
/* The body is over. */
void intake_end(struct intake *in);
void intake_destroy(struct intake *in);
/* What an error of the store's is to a client. */
unsigned status_of(const vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "intake.h"

#include "common/fail.h"

#include <errno.h>
#include <string.h>

#define BUFFER_WAIT_MS 20000
#define BYTES_MAX      (1ull << 30)

void intake_init(struct intake *in, struct disk *d, uint64_t size, struct buffers *b)
{
	*in = (struct intake){ .disk = d, .size = size, .buffers = b };
}

void intake_destroy(struct intake *in)
{
	if (in->buffer)
		buffers_give(in->buffers, in->buffer);
	in->buffer = NULL;
}

unsigned status_of(const vdisk_error *err)
{
	if (err->sys_errno == ENOSPC || err->sys_errno == EDQUOT || err->sys_errno == EFBIG)
		return 507;
	return err->kind == VDISK_NOMEM ? 503 : 500;
}

static void stop(struct intake *in, unsigned status)
{
	in->status = status;
	intake_destroy(in);
}

/* The head is whole. */
static void head_take(struct intake *in)
{
	in->got = 0;
	if (transfer_record_get(in->head, in->size, &in->record, &in->err)) {
		stop(in, 422);
	} else if (in->record.kind == TRANSFER_ZEROS) {
		if (disk_zero(in->disk, in->record.index, in->record.count, &in->err))
			stop(in, status_of(&in->err));
		else
			in->taken += in->record.count;
	} else {
		in->buffer = buffers_take(in->buffers, BUFFER_WAIT_MS);
		if (!in->buffer) {
			fail(&in->err, VDISK_BUSY, "the receiver has too much to do at once: its memory is in use (--memory)");
			stop(in, 503);
		}
	}
}

/* The record is whole. */
static void record_take(struct intake *in)
{
	size_t len = transfer_chunk_len(in->size, in->record.index);
	const void *bytes;

	in->got = 0;
	if (transfer_unpack(in->buffer->unpacker, &in->record, in->buffer->packed, len, in->buffer->plain, &bytes, &in->err)) {
		stop(in, in->err.kind == VDISK_CORRUPT ? 422 : 500);
	} else if (disk_put(in->disk, &in->record, bytes, len, &in->err)) {
		stop(in, status_of(&in->err));
	} else {
		in->taken++;
		buffers_give(in->buffers, in->buffer);
		in->buffer = NULL;
	}
}

void intake_feed(struct intake *in, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	in->bytes += len;
	if (!in->status && in->bytes > BYTES_MAX) {
		fail(&in->err, VDISK_INVALID, "a body of more than %llu bytes", BYTES_MAX);
		stop(in, 413);
	}
	while (len && !in->status) {
		size_t want = (in->buffer ? in->record.packed : sizeof(in->head)) - in->got, now = len < want ? len : want;

		memcpy((in->buffer ? in->buffer->packed : in->head) + in->got, p, now);
		in->got += now;
		p += now;
		len -= now;
		if (now == want)
			in->buffer ? record_take(in) : head_take(in);
	}
}

void intake_end(struct intake *in)
{
	if (in->status || (!in->buffer && !in->got))
		return;
	fail(&in->err, VDISK_CORRUPT, "the body ends within a record");
	stop(in, 422);
}

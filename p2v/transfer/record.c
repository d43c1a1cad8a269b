/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records: decoded by one pure function and validated there; packed and unpacked with zstd, by contexts that are made once. */
#include "transfer.h"

#include "common/fail.h"
#include "common/numbers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct transfer_packer {
	ZSTD_CCtx *zstd; /* NULL: never pack */
	uint8_t *room;   /* TRANSFER_PACKED_MAX bytes */
};

struct transfer_unpacker {
	ZSTD_DCtx *zstd;
};

void transfer_record_put(const struct transfer_record *r, uint8_t out[TRANSFER_RECORD_BYTES])
{
	le32_put(out, TRANSFER_RECORD_MAGIC);
	le16_put(out + 4, (uint16_t)r->kind);
	le16_put(out + 6, 0);
	le64_put(out + 8, r->index);
	le32_put(out + 16, r->count);
	le32_put(out + 20, r->packed);
	memcpy(out + 24, r->sha256, 32);
}

static int judge_zeros(const struct transfer_record *r, uint64_t chunks, vdisk_error *err)
{
	static const uint8_t none[32];

	if (!r->count || r->count > chunks - r->index)
		return fail(err, VDISK_CORRUPT,
		            "a record of zeros from chunk %" PRIu64 " on counts %" PRIu32 ", the disk has %" PRIu64 " chunks",
		            r->index, r->count, chunks);
	if (r->packed || memcmp(r->sha256, none, 32))
		return fail(err, VDISK_CORRUPT, "a record of zeros at chunk %" PRIu64 " with bytes or a digest", r->index);
	return 0;
}

static int judge_data(const struct transfer_record *r, uint64_t size, vdisk_error *err)
{
	size_t len = transfer_chunk_len(size, r->index);

	if (r->count != 1)
		return fail(err, VDISK_CORRUPT, "the record of chunk %" PRIu64 " counts %" PRIu32 ", not 1", r->index, r->count);
	if (r->kind == TRANSFER_DATA && r->packed != len)
		return fail(err, VDISK_CORRUPT, "the record of chunk %" PRIu64 " has %" PRIu32 " bytes, the chunk %zu", r->index,
		            r->packed, len);
	if (r->kind == TRANSFER_ZSTD && (!r->packed || r->packed >= len))
		return fail(err, VDISK_CORRUPT, "the record of chunk %" PRIu64 " has %" PRIu32 " packed bytes, the chunk %zu",
		            r->index, r->packed, len);
	return 0;
}

int transfer_record_get(const uint8_t in[TRANSFER_RECORD_BYTES], uint64_t size, struct transfer_record *out, vdisk_error *err)
{
	uint64_t chunks = transfer_chunks(size);
	unsigned kind = le16_get(in + 4), flags = le16_get(in + 6);

	*out = (struct transfer_record){ .index = le64_get(in + 8), .count = le32_get(in + 16), .packed = le32_get(in + 20) };
	memcpy(out->sha256, in + 24, 32);
	if (le32_get(in) != TRANSFER_RECORD_MAGIC)
		return fail(err, VDISK_CORRUPT, "what should be a record begins with %#" PRIx32 ", not %#x", le32_get(in),
		            TRANSFER_RECORD_MAGIC);
	if (kind < TRANSFER_DATA || kind > TRANSFER_ZEROS)
		return fail(err, VDISK_CORRUPT, "records of kind %u are not known", kind);
	out->kind = (enum transfer_kind)kind;
	if (flags)
		return fail(err, VDISK_CORRUPT, "a record's flags %#x are not known", flags);
	if (out->index >= chunks)
		return fail(err, VDISK_CORRUPT, "a record is of chunk %" PRIu64 ", the disk has %" PRIu64, out->index, chunks);
	return out->kind == TRANSFER_ZEROS ? judge_zeros(out, chunks, err) : judge_data(out, size, err);
}

struct transfer_packer *transfer_packer_new(int level)
{
	struct transfer_packer *p = calloc(1, sizeof(*p));

	if (!p || !level)
		return p;
	p->zstd = ZSTD_createCCtx();
	p->room = malloc(TRANSFER_PACKED_MAX);
	if (p->zstd && p->room && !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level)))
		return p;
	transfer_packer_free(p);
	return NULL;
}

void transfer_packer_free(struct transfer_packer *p)
{
	if (!p)
		return;
	ZSTD_freeCCtx(p->zstd);
	free(p->room);
	free(p);
}

int transfer_pack(struct transfer_packer *p, uint64_t index, const void *buf, size_t len, const uint8_t sha256[32],
                  struct transfer_record *r, const void **body, vdisk_error *err)
{
	size_t n = 0;

	*r = (struct transfer_record){ .kind = TRANSFER_DATA, .index = index, .count = 1, .packed = (uint32_t)len };
	*body = buf;
	if (!len || len > TRANSFER_CHUNK)
		return fail(err, VDISK_INVALID, "a chunk of %zu bytes", len);
	if (transfer_is_zero(buf, len)) {
		r->kind = TRANSFER_ZEROS;
		r->packed = 0;
		return 0;
	}
	memcpy(r->sha256, sha256, 32);
	if (p->zstd)
		n = ZSTD_compress2(p->zstd, p->room, len - 1, buf, len); /* too little room: it does not get smaller */
	if (p->zstd && !ZSTD_isError(n)) {
		r->kind = TRANSFER_ZSTD;
		r->packed = (uint32_t)n;
		*body = p->room;
	}
	return 0;
}

struct transfer_unpacker *transfer_unpacker_new(void)
{
	struct transfer_unpacker *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->zstd = ZSTD_createDCtx();
	if (u->zstd)
		return u;
	free(u);
	return NULL;
}

void transfer_unpacker_free(struct transfer_unpacker *u)
{
	if (u)
		ZSTD_freeDCtx(u->zstd);
	free(u);
}

int transfer_unpack(struct transfer_unpacker *u, const struct transfer_record *r, const void *packed, size_t len, void *room,
                    const void **out, vdisk_error *err)
{
	uint8_t sha256[32];
	size_t n;

	*out = packed;
	if (r->kind == TRANSFER_ZSTD) {
		n = ZSTD_decompressDCtx(u->zstd, room, len, packed, r->packed);
		if (ZSTD_isError(n))
			return fail(err, VDISK_CORRUPT, "chunk %" PRIu64 " cannot be unpacked: %s", r->index, ZSTD_getErrorName(n));
		if (n != len)
			return fail(err, VDISK_CORRUPT, "chunk %" PRIu64 " unpacks to %zu bytes, not %zu", r->index, n, len);
		*out = room;
	}
	if (transfer_sha256(*out, len, sha256, err))
		return -1;
	if (memcmp(sha256, r->sha256, 32))
		return fail(err, VDISK_CORRUPT, "chunk %" PRIu64 " has another digest than its record says", r->index);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libarchive packs and unpacks; what it does not tell, or tells differently from the kernel, stands here.  The kernel ends each
 * stream where the stream says so and looks at what comes next by itself.  libarchive goes on into what follows a zstd frame or an
 * xz stream and fails there, so the ends of those are looked for before.  LZ4 is what the kernel calls so, the legacy frame: it has
 * no end mark, and a kernel before 5.14 takes what follows, zeros too, for another block; so what is added to it must be a frame of
 * that kind and follow at once.
 */
#include "initrd_stream.h"

#include "common/fail.h"

#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#define LZ4_BLOCK (8u << 20)                          /* bytes that a block unpacks to, at most */
#define LZ4_BLOCK_PACKED (LZ4_BLOCK + LZ4_BLOCK / 255 + 16)
#define MODULE_MAX (128u << 20)

static uint32_t le32(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

#define READ(filter) archive_read_support_filter_##filter
#define WRITE(filter) archive_write_add_filter_##filter

static const struct {
	enum initrd_packing packing;
	const char *name;
	uint8_t magic[6], n; /* the kernel itself is content with two bytes */
	int (*read)(struct archive *a);
	int (*write)(struct archive *a);
	int code;
} packings[] = {
	{ INITRD_PLAIN, "plain", { 0 }, 0, NULL, NULL, ARCHIVE_FILTER_NONE },
	{ INITRD_GZIP, "gzip", { 0x1f, 0x8b }, 2, READ(gzip), WRITE(gzip), ARCHIVE_FILTER_GZIP },
	{ INITRD_XZ, "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, READ(xz), NULL, ARCHIVE_FILTER_XZ },
	{ INITRD_ZSTD, "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, READ(zstd), WRITE(zstd), ARCHIVE_FILTER_ZSTD },
	{ INITRD_LZ4, "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4, READ(lz4), NULL, ARCHIVE_FILTER_LZ4 },
	{ INITRD_LZMA, "lzma", { 0x5d, 0 }, 2, READ(lzma), WRITE(lzma), ARCHIVE_FILTER_LZMA },
	{ INITRD_BZIP2, "bzip2", { 'B', 'Z', 'h' }, 3, READ(bzip2), WRITE(bzip2), ARCHIVE_FILTER_BZIP2 },
};

#define PACKINGS (sizeof(packings) / sizeof(packings[0]))

const char *initrd_packing_name(enum initrd_packing packing) { return packings[packing].name; }

int stream_packing(const uint8_t *at, size_t len)
{
	for (size_t i = 1; i < PACKINGS; i++)
		if (len >= packings[i].n && !memcmp(at, packings[i].magic, packings[i].n))
			return (int)packings[i].packing;
	return -1;
}

/* RFC 8878, 3.1.1: the length of the frame that begins here; 0 where it is none or is cut off. */
static size_t zstd_frame(const uint8_t *at, size_t len)
{
	static const uint8_t dictionary[] = { 0, 1, 2, 4 }, content[] = { 0, 2, 4, 8 };
	size_t pos = 5, size;
	bool single;

	if (len < 9)
		return 0;
	single = at[4] >> 5 & 1;
	pos += !single + dictionary[at[4] & 3] + (size_t)(at[4] >> 6 || !single ? content[at[4] >> 6] : 1);
	for (;;) {
		uint32_t head;

		if (pos > len || len - pos < 3)
			return 0;
		head = at[pos] | (uint32_t)at[pos + 1] << 8 | (uint32_t)at[pos + 2] << 16;
		size = (head >> 1 & 3) == 1 ? 1 : head >> 3;
		if ((head >> 1 & 3) == 3 || size > len - pos - 3)
			return 0;
		pos += 3 + size;
		if (head & 1)
			break;
	}
	if (at[4] >> 2 & 1)
		pos += 4;
	return pos <= len ? pos : 0;
}

/* Blocks until the file ends, another frame begins, or what comes can be no block. */
static size_t lz4_frame(const uint8_t *at, size_t len)
{
	size_t pos = 4;

	while (len - pos >= 4) {
		uint32_t size = le32(at + pos);

		if (!size || size > LZ4_BLOCK_PACKED)
			break;
		if (size > len - pos - 4)
			return 0;
		pos += 4 + size;
	}
	return pos;
}

/* LZMA2, as xz's decoder has it: chunks, each with its length, up to a byte that is 0.  Where what follows begins; 0: cut off. */
static size_t lzma2_end(const uint8_t *at, size_t len, size_t pos)
{
	while (pos < len && at[pos]) {
		bool plain = at[pos] < 0x80;
		size_t head = plain ? 3 : at[pos] < 0xc0 ? 5 : 6, size; /* 6: new properties of the model */

		if (head > len - pos || (plain && at[pos] > 2))
			return 0;
		size = (plain ? at[pos + 1] << 8 | at[pos + 2] : at[pos + 3] << 8 | at[pos + 4]) + 1;
		if (size > len - pos - head)
			return 0;
		pos += head + size;
	}
	return pos < len ? pos + 1 : 0;
}

/* Where `n` numbers of variable length (section 1.2 of the format) end; 0: cut off.  *last: the value of the last one. */
static size_t xz_numbers(const uint8_t *at, size_t len, size_t pos, uint64_t n, uint64_t *last)
{
	for (; n; n--) {
		*last = 0;
		for (unsigned shift = 0;; shift += 7) {
			if (pos >= len || shift > 56)
				return 0;
			*last |= (uint64_t)(at[pos] & 0x7f) << shift;
			if (!(at[pos++] & 0x80))
				break;
		}
	}
	return pos;
}

/* The .xz file format, sections 2 to 4: the length of the stream that begins here; 0 where it is none or is cut off.  What it ends
   in cannot be looked for: what is packed may be xz itself, as modules are. */
static size_t xz_stream(const uint8_t *at, size_t len)
{
	static const uint8_t checks[16] = { 0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64 };
	size_t pos = 12;
	uint64_t n;

	while (pos < len && at[pos]) { /* blocks: a header, LZMA2 whatever the filters are, and a check */
		pos = lzma2_end(at, len, pos + ((size_t)at[pos] + 1) * 4);
		if (!pos)
			return 0;
		pos = ((pos + 3) & ~(size_t)3) + checks[at[7] & 15];
	}
	/* The index: two numbers for each block. */
	pos = xz_numbers(at, len, pos + 1, 1, &n);
	if (pos && n <= len)
		pos = xz_numbers(at, len, pos, 2 * n, &n);
	else
		return 0;
	pos = ((pos + 3) & ~(size_t)3) + 16; /* its checksum, and the footer */
	return pos > 16 && pos <= len && at[pos - 2] == 'Y' && at[pos - 1] == 'Z' ? pos : 0;
}

/* All of [at, at + len) through libarchive's filter; *used: how much of it the filter took. */
static int unpack(enum initrd_packing packing, const uint8_t *at, size_t len, uint64_t max, struct bytes *out, size_t *used,
	vdisk_error *err)
{
	const char *name = packings[packing].name;
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	const void *block;
	size_t n;
	la_int64_t off;
	int rc;

	bytes_clear(out);
	if (!a)
		return fail_nomem(err);
	if (packings[packing].read(a) < ARCHIVE_WARN || archive_read_support_format_raw(a) < ARCHIVE_WARN ||
		archive_read_open_memory(a, at, len) < ARCHIVE_WARN || archive_read_next_header(a, &entry) < ARCHIVE_WARN ||
		archive_filter_code(a, 0) != packings[packing].code) {
		const char *why = archive_error_string(a);

		fail(err, VDISK_CORRUPT, "no %s stream: %s", name, why ? why : "its head is damaged");
		archive_read_free(a);
		return -1;
	}
	while ((rc = archive_read_data_block(a, &block, &n, &off)) == ARCHIVE_OK && !out->failed) {
		if (n > max - out->len) {
			archive_read_free(a);
			return fail(err, VDISK_UNSUPPORTED, "a %s stream unpacks to more than %" PRIu64 " bytes", name, max);
		}
		bytes_add(out, block, n);
	}
	*used = (size_t)archive_filter_bytes(a, -1);
	if (out->failed)
		fail_nomem(err);
	else if (rc != ARCHIVE_EOF)
		fail(err, VDISK_CORRUPT, "a damaged %s stream: %s", name, archive_error_string(a));
	archive_read_free(a);
	return out->failed || rc != ARCHIVE_EOF ? -1 : 0;
}

int stream_unpack(enum initrd_packing packing, const uint8_t *at, size_t len, uint64_t max, struct bytes *out, size_t *used,
	vdisk_error *err)
{
	size_t end = len, took = 0;

	if (packing == INITRD_ZSTD)
		end = zstd_frame(at, len);
	else if (packing == INITRD_LZ4)
		end = lz4_frame(at, len);
	else if (packing == INITRD_XZ)
		end = xz_stream(at, len);
	if (!end)
		return fail(err, VDISK_CORRUPT, "a %s stream that is cut off", packings[packing].name);
	int rc = unpack(packing, at, end, max, out, &took, err);
	*used = packing == INITRD_GZIP || packing == INITRD_BZIP2 || packing == INITRD_LZMA ? took : end;
	return rc;
}

uint64_t stream_unpacked_max(size_t len)
{
	uint64_t max = ((uint64_t)len << 8) + (16u << 20);

	return max < INITRD_UNPACKED_MAX ? max : INITRD_UNPACKED_MAX;
}

/* Blocks of nothing but literals: right for every reader of LZ4, and the kernel's modules in it are few. */
static void lz4_store(const uint8_t *at, size_t len, struct bytes *out)
{
	static const uint8_t magic[] = { 0x02, 0x21, 0x4c, 0x18 };

	bytes_add(out, magic, 4);
	for (size_t n; len; at += n, len -= n) {
		size_t more, size;
		uint8_t head[5] = { 0 }, last;

		n = len < LZ4_BLOCK ? len : LZ4_BLOCK;
		more = n < 15 ? 0 : n - 15;
		size = 1 + (n < 15 ? 0 : more / 255 + 1) + n;
		for (int i = 0; i < 4; i++)
			head[i] = (uint8_t)(size >> 8 * i);
		head[4] = (uint8_t)((n < 15 ? n : 15) << 4);
		bytes_add(out, head, 5);
		for (size_t left = more / 255; left; left--)
			bytes_add(out, "\377", 1);
		last = (uint8_t)(more % 255);
		if (n >= 15)
			bytes_add(out, &last, 1);
		bytes_add(out, at, n);
	}
}

la_ssize_t stream_sink(struct archive *a, void *to, const void *at, size_t len)
{
	struct bytes *out = to;

	bytes_add(out, at, len);
	if (!out->failed)
		return (la_ssize_t)len;
	archive_set_error(a, ENOMEM, "out of memory");
	return -1;
}

int stream_pack(enum initrd_packing packing, const void *at, size_t len, struct bytes *out, vdisk_error *err)
{
	struct archive *a;
	struct archive_entry *entry;
	int rc;

	if (packing == INITRD_PLAIN || packing == INITRD_LZ4) {
		if (packing == INITRD_PLAIN)
			bytes_add(out, at, len);
		else
			lz4_store(at, len, out);
		return out->failed ? fail_nomem(err) : 0;
	}
	if (!packings[packing].write)
		return fail(err, VDISK_UNSUPPORTED, "%s streams are not written", packings[packing].name);
	a = archive_write_new();
	entry = a ? archive_entry_new() : NULL;
	if (!entry) {
		archive_write_free(a);
		return fail_nomem(err);
	}
	archive_entry_set_pathname(entry, "data");
	archive_entry_set_filetype(entry, AE_IFREG);
	rc = packings[packing].write(a);
	if (packing == INITRD_GZIP && rc >= ARCHIVE_WARN)
		rc = archive_write_set_filter_option(a, "gzip", "timestamp", NULL);
	if (rc >= ARCHIVE_WARN)
		rc = archive_write_set_format_raw(a);
	if (rc >= ARCHIVE_WARN)
		rc = archive_write_set_bytes_in_last_block(a, 1);
	if (rc >= ARCHIVE_WARN)
		rc = archive_write_open(a, out, NULL, stream_sink, NULL);
	if (rc >= ARCHIVE_WARN)
		rc = archive_write_header(a, entry);
	if (rc >= ARCHIVE_WARN && len && archive_write_data(a, at, len) != (la_ssize_t)len)
		rc = ARCHIVE_FATAL;
	if (rc >= ARCHIVE_WARN)
		rc = archive_write_close(a);
	if (rc < ARCHIVE_WARN)
		fail(err, out->failed ? VDISK_NOMEM : VDISK_IO, "packing with %s: %s", packings[packing].name,
			archive_error_string(a));
	archive_entry_free(entry);
	archive_write_free(a);
	return rc < ARCHIVE_WARN ? -1 : 0;
}

int module_unpack(const char *path, const struct bytes *file, struct bytes *out, vdisk_error *err)
{
	const uint8_t *at = (const uint8_t *)file->at;
	int packing = file->len ? stream_packing(at, file->len) : -1;
	size_t used;
	vdisk_error why;

	if (file->len >= 4 && !memcmp(at, "\177ELF", 4)) {
		bytes_clear(out);
		bytes_add(out, at, file->len);
		return out->failed ? fail_nomem(err) : 0;
	}
	if (packing < 0)
		return fail(err, VDISK_CORRUPT, "%s: is no kernel module", path);
	if (stream_unpack((enum initrd_packing)packing, at, file->len, MODULE_MAX, out, &used, &why))
		return fail(err, why.kind, "%s: %s", path, why.message);
	if (out->len < 4 || memcmp(out->at, "\177ELF", 4))
		return fail(err, VDISK_CORRUPT, "%s: unpacked, is no kernel module", path);
	return 0;
}

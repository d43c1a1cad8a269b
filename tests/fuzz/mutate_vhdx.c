/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a mutation of a VHDX the checksums (CRC-32C) of its headers, region tables and log entries are mended: else nearly every
 * mutant stops at the first one.
 */
#include "sparse.h"

#include "base/crc32c.h"

#define LOG_ENTRY_MAX (1u << 20)

void fuzz_mend(uint8_t *data, size_t size);

/* Where a record covers the bytes; a checksum with a zero byte at its edge may not be covered, and stays wrong. */
static void bytes_put(uint8_t *data, size_t size, uint64_t off, const uint8_t *bytes, size_t len)
{
	struct sparse_record r;
	size_t at = SPARSE_HEAD;

	while (sparse_next(data, size, &at, &r))
		for (size_t i = 0; i < len; i++)
			if (off + i >= r.off && off + i - r.off < r.len)
				data[r.at + (off + i - r.off)] = bytes[i];
}

/* The checksum stands at 4. */
static void sum_mend(uint8_t *data, size_t size, uint8_t *file, size_t file_size, uint64_t off, size_t len, const char *mark)
{
	if (!vd_within(off, len, file_size) || memcmp(file + off, mark, 4))
		return;
	le32_put(file + off + 4, 0);
	le32_put(file + off + 4, vd_crc32c(0, file + off, len));
	bytes_put(data, size, off + 4, file + off + 4, 4);
}

void fuzz_mend(uint8_t *data, size_t size)
{
	size_t n;
	uint8_t *file = sparse_unpack(data, size, &n);

	for (unsigned i = 0; file && i < 2; i++) {
		sum_mend(data, size, file, n, 65536 * (1 + i), 4096, "head");
		sum_mend(data, size, file, n, 65536 * (3 + i), 65536, "regi");
	}
	/* The log begins with the second MiB in all seeds. */
	for (size_t at = 1 << 20; file && at + 4096 <= n && at < 2 << 20; at += 4096)
		if (!memcmp(file + at, "loge", 4) && le32_get(file + at + 8) >= 64 && le32_get(file + at + 8) <= LOG_ENTRY_MAX)
			sum_mend(data, size, file, n, at, le32_get(file + at + 8), "loge");
	free(file);
}

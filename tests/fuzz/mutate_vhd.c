/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a mutation of a VHD the checksums (the one's complement of the byte sum) are mended: else nearly every mutant stops at the
 * first one.
 */
#include "sparse.h"

#define FOOTER 512u
#define HEADER 1024u

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

static void sum_mend(uint8_t *data, size_t size, uint8_t *file, uint64_t off, size_t len, size_t field)
{
	uint32_t sum = 0;

	be32_put(file + off + field, 0);
	for (size_t i = 0; i < len; i++)
		sum += file[off + i];
	be32_put(file + off + field, ~sum);
	bytes_put(data, size, off + field, file + off + field, 4);
}

static void footer_mend(uint8_t *data, size_t size, uint8_t *file, size_t file_size, size_t at, size_t len)
{
	uint64_t header;

	if (memcmp(file + at, "conectix", 8))
		return;
	header = be64_get(file + at + 16);
	if (vd_within(header, HEADER, file_size) && !memcmp(file + header, "cxsparse", 8))
		sum_mend(data, size, file, header, HEADER, 36);
	sum_mend(data, size, file, at, len, 64);
}

void fuzz_mend(uint8_t *data, size_t size)
{
	size_t n;
	uint8_t *file = sparse_unpack(data, size, &n);

	if (file && n >= FOOTER) {
		footer_mend(data, size, file, n, 0, FOOTER);
		footer_mend(data, size, file, n, n - FOOTER, FOOTER);
		footer_mend(data, size, file, n, n - (FOOTER - 1), FOOTER - 1);
	}
	free(file);
}

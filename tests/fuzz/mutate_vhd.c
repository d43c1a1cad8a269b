/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mutations of a VHD that mostly mend the checksums afterwards (the one's complement of the byte sum): else nearly every mutant stops
 * at the first one.
 */
#include "base/bytes.h"

#include <stddef.h>

#define FOOTER 512u
#define HEADER 1024u

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static void sum_mend(uint8_t *p, size_t len, size_t at)
{
	uint32_t sum = 0;

	be32_put(p + at, 0);
	for (size_t i = 0; i < len; i++)
		sum += p[i];
	be32_put(p + at, ~sum);
}

static void footer_mend(uint8_t *data, size_t size, size_t at, size_t len)
{
	uint64_t header;

	if (memcmp(data + at, "conectix", 8))
		return;
	header = be64_get(data + at + 16);
	if (vd_within(header, HEADER, size) && !memcmp(data + header, "cxsparse", 8))
		sum_mend(data + header, HEADER, 36);
	sum_mend(data + at, len, 64);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	size = LLVMFuzzerMutate(data, size, max);
	if (seed % 8 == 0 || size < FOOTER)
		return size;
	if (size >= 2 * FOOTER)
		footer_mend(data, size, 0, FOOTER);
	footer_mend(data, size, size - FOOTER, FOOTER);
	footer_mend(data, size, size - (FOOTER - 1), FOOTER - 1);
	return size;
}

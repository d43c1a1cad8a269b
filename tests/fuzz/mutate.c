/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mutations that keep an input's records in step: mostly a record's own bytes are changed (libFuzzer does that, with its dictionary
 * and what it saw compared), now and then its place, a copy of it, a new record, the file's size, or what is done with the image.
 */
#include "sparse.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
/* mutate_vhd.c, mutate_vhdx.c: checksums. */
__attribute__((weak)) void fuzz_mend(uint8_t *data, size_t size);

static uint32_t draw(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Reservoir sampling: every record is as likely. */
static bool record_choose(const uint8_t *data, size_t size, unsigned *seed, struct sparse_record *chosen)
{
	struct sparse_record r;
	size_t at = SPARSE_HEAD;
	uint32_t n = 0;

	while (sparse_next(data, size, &at, &r))
		if (draw(seed) % ++n == 0)
			*chosen = r;
	return n > 0;
}

/* As many bytes as before, so that all else stays where it is. */
static void bytes_mutate(uint8_t *p, size_t len, unsigned *seed)
{
	size_t window = 1u << draw(seed) % 7, from; /* fields, mostly */
	uint8_t buf[64];

	window = vd_min(window, len);
	from = draw(seed) % (len - window + 1);
	from = window > 1 ? vd_down(from, vd_min(window, 8)) : from;
	memcpy(buf, p + from, window);
	LLVMFuzzerMutate(buf, window, window);
	memcpy(p + from, buf, window);
}

/* A record at the end, of what r has or of nothing, somewhere. */
static size_t record_add(uint8_t *data, size_t size, size_t max, const struct sparse_record *r, unsigned *seed)
{
	uint32_t len = r ? r->len : 1u << draw(seed) % 6, file = sparse_u24(data + 1);
	static const uint32_t steps[] = { 1, 8, 64, 512, 4096, 65536 };
	uint8_t *p = data + size;

	len = (uint32_t)vd_min(len, 512);
	if (size + SPARSE_RECORD + len > max)
		return size;
	sparse_u24_put(p, (uint32_t)vd_down(draw(seed) % (file + 1u), steps[draw(seed) % 6]));
	le16_put(p + 3, (uint16_t)(len - 1));
	if (r)
		memmove(p + SPARSE_RECORD, data + r->at, len);
	else
		for (uint32_t i = 0; i < len; i++)
			p[SPARSE_RECORD + i] = (uint8_t)draw(seed);
	return size + SPARSE_RECORD + len;
}

static void size_mutate(uint8_t *data, unsigned *seed)
{
	uint32_t size = sparse_u24(data + 1), by = 1u << draw(seed) % 18;

	switch (draw(seed) % 3) {
	case 0:
		size = draw(seed) % (size + 1u);
		break;
	case 1:
		size -= vd_min(size, by);
		break;
	default:
		size = (uint32_t)vd_min(size + by, SPARSE_FILE_MAX);
	}
	sparse_u24_put(data + 1, size);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	struct sparse_record r;
	uint32_t what = draw(&seed) % 32;

	if (size < SPARSE_HEAD || !record_choose(data, size, &seed, &r) || !what)
		return LLVMFuzzerMutate(data, size, max);
	if (what == 1)
		data[0] = (uint8_t)draw(&seed);
	else if (what == 2)
		size_mutate(data, &seed);
	else if (what == 3)
		sparse_u24_put(data + r.at - SPARSE_RECORD, draw(&seed));
	else if (what <= 5)
		size = record_add(data, size, max, what == 4 ? &r : NULL, &seed);
	else
		for (uint32_t n = draw(&seed) % 3 + 1; n; n--)
			bytes_mutate(data + r.at, r.len, &seed);
	if (fuzz_mend && draw(&seed) % 8)
		fuzz_mend(data, size);
	return size;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Manifests from nowhere.  There is one way to write each: what the reader takes to its end is, written from what it said, the same
 * bytes again; and it says the same when it is read once more.
 */
#include "ops/manifest.h"
#include "base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
	const uint8_t *want;
	size_t len, at;
	uint64_t leaves;
};

/* The next bytes of the input are these. */
static void __attribute__((format(printf, 2, 3))) expect(struct text *t, const char *fmt, ...)
{
	char line[160];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert(n > 0 && (size_t)n <= t->len - t->at && !memcmp(t->want + t->at, line, (size_t)n));
	t->at += (size_t)n;
}

static void expect_hex(struct text *t, const char *word, const uint8_t digest[32])
{
	char hex[65];

	for (unsigned i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	expect(t, "%s%s\n", word, hex);
}

/* Whether it is whole. */
static bool body_read(struct vd_manifest_reader *r, struct text *t)
{
	uint64_t size = vd_manifest_size(r);
	uint8_t leaf[32];
	vd_error err = { 0 };
	uint64_t zeros;
	bool end;

	for (;;) {
		if (vd_manifest_next(r, &zeros, leaf, &end, &err)) {
			assert(err.kind == VDISK_CORRUPT && err.message[0] && !strchr(err.message, '\n'));
			return false;
		}
		if (end)
			break;
		if (zeros)
			expect(t, "zeros %" PRIu64 "\n", zeros);
		else
			expect_hex(t, "", leaf);
		t->leaves += zeros ? zeros : 1;
		assert(t->leaves <= vd_div_up(size, VDISK_DIGEST_LEAF));
		assert(zeros || t->leaves * VDISK_DIGEST_LEAF > size || memcmp(leaf, vd_leaf_zero, 32));
	}
	assert(t->leaves == vd_div_up(size, VDISK_DIGEST_LEAF));
	expect_hex(t, "digest ", leaf);
	assert(t->at == t->len);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vd_manifest_reader *r;
	struct text t = { .want = data, .len = size };
	struct vd_file *f;
	vd_error err = { 0 };
	bool whole;
	size_t head;

	if (vd_file_memory_view("manifest", data, size, &f, &err))
		return 0;
	if (vd_manifest_open_file(f, &r, &err)) {
		assert(err.kind != VDISK_OK && err.message[0] && !strchr(err.message, '\n'));
		return 0;
	}
	expect(&t, "vdisk-manifest 1\nhash sha256\nleaf %u\nsize %" PRIu64 "\n", VDISK_DIGEST_LEAF, vd_manifest_size(r));
	head = t.at;
	whole = body_read(r, &t);
	vd_manifest_rewind(r);
	t.at = head;
	t.leaves = 0;
	assert(body_read(r, &t) == whole);
	vd_manifest_close(r);
	return 0;
}

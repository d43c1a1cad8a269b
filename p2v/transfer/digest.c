/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunks and their digests: thin over GnuTLS. */
#include "transfer.h"

#include "common/fail.h"
#include "common/numbers.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

const uint8_t transfer_zero[32] = {
	0x30, 0xe1, 0x49, 0x55, 0xeb, 0xf1, 0x35, 0x22, 0x66, 0xdc, 0x2f, 0xf8, 0x06, 0x7e, 0x68, 0x10,
	0x46, 0x07, 0xe7, 0x50, 0xab, 0xb9, 0xd3, 0xb3, 0x65, 0x82, 0xb8, 0xaf, 0x90, 0x9f, 0xcb, 0x58,
};

struct transfer_tree {
	gnutls_hash_hd_t hash;
};

uint64_t transfer_chunks(uint64_t size) { return size / TRANSFER_CHUNK + (size % TRANSFER_CHUNK != 0); }

size_t transfer_chunk_len(uint64_t size, uint64_t index)
{
	uint64_t off = index * TRANSFER_CHUNK;

	return size - off < TRANSFER_CHUNK ? (size_t)(size - off) : TRANSFER_CHUNK;
}

static int fail_hash(vdisk_error *err, int rc) { return fail(err, VDISK_IO, "SHA-256: %s", gnutls_strerror(rc)); }

int transfer_sha256(const void *buf, size_t len, uint8_t out[32], vdisk_error *err)
{
	int rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, buf, len, out);

	return rc < 0 ? fail_hash(err, rc) : 0;
}

int transfer_zero_leaf(uint64_t size, uint64_t index, uint8_t out[32], vdisk_error *err)
{
	size_t len = transfer_chunk_len(size, index);
	void *zeros;
	int rc;

	if (len == TRANSFER_CHUNK) {
		memcpy(out, transfer_zero, 32);
		return 0;
	}
	zeros = calloc(1, len);
	if (!zeros)
		return fail_nomem(err);
	rc = transfer_sha256(zeros, len, out, err);
	free(zeros);
	return rc;
}

bool transfer_is_zero(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	/* The first bytes are zeros, and each equals the one 16 further on. */
	for (size_t i = 0; i < 16 && i < len; i++)
		if (p[i])
			return false;
	return len <= 16 || !memcmp(p, p + 16, len - 16);
}

struct transfer_tree *transfer_tree_new(void)
{
	struct transfer_tree *t = calloc(1, sizeof(*t));

	if (t && gnutls_hash_init(&t->hash, GNUTLS_DIG_SHA256) < 0) {
		free(t);
		return NULL;
	}
	return t;
}

int transfer_tree_add(struct transfer_tree *t, const uint8_t (*leaves)[32], size_t n, vdisk_error *err)
{
	int rc = gnutls_hash(t->hash, leaves, n * 32);

	return rc < 0 ? fail_hash(err, rc) : 0;
}

int transfer_tree_end(struct transfer_tree *t, uint64_t size, uint8_t out[32], vdisk_error *err)
{
	uint8_t tail[8];
	int rc;

	be64_put(tail, size);
	rc = gnutls_hash(t->hash, tail, sizeof(tail));
	if (rc < 0)
		return fail_hash(err, rc);
	gnutls_hash_output(t->hash, out);
	return 0;
}

void transfer_tree_free(struct transfer_tree *t)
{
	if (t)
		gnutls_hash_deinit(t->hash, NULL);
	free(t);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LUKS version 1 headers (cryptsetup's "LUKS On-Disk Format Specification", version 1.2.3): pure decoding and judging, the
 * splitting of keys that makes them erasable, unlocking and making.  Nothing here knows of qcow2 but where its header lies in the
 * file.
 */
#ifndef QCOW2_LUKS_H
#define QCOW2_LUKS_H

#include "base/error.h"
#include "io/file.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#define LUKS_HEADER 592u
#define LUKS_SLOTS 8u
#define LUKS_SALT 32u
#define LUKS_DIGEST 20u
#define LUKS_KEY_MAX 64u
#define LUKS_STRIPES 4000u
#define LUKS_STRIPES_MAX 65536u
#define LUKS_ITERATIONS_MAX (1u << 26) /* a header must not keep us busy for hours */

/* How sectors of 512 bytes are ciphered. */
struct luks_cipher {
	gnutls_cipher_algorithm_t algorithm;
	size_t key_len;
	bool iv32;  /* "plain": the sector number is cut to 32 bits */
	bool essiv; /* "essiv:sha256": the sector number is ciphered with the key's hash */
	uint8_t key[LUKS_KEY_MAX];
};

struct luks_slot {
	bool active;
	uint32_t iterations, material_sector, stripes;
	uint8_t salt[LUKS_SALT];
};

struct luks_header {
	char cipher[33], mode[33], hash[33], uuid[41];
	uint32_t payload_sector, key_len, digest_iterations;
	uint8_t digest[LUKS_DIGEST], digest_salt[LUKS_SALT];
	struct luks_slot slot[LUKS_SLOTS];
};

/* Of LUKS_HEADER bytes. */
int luks_header_decode(const uint8_t *p, struct luks_header *h, vd_error *err);
void luks_header_encode(const struct luks_header *h, uint8_t *p);
/* Limits, places within `len` bytes, and what is implemented: fills in *c but its key, and the hash. */
int luks_header_validate(const struct luks_header *h, uint64_t len, struct luks_cipher *c, gnutls_digest_algorithm_t *hash,
                         vd_error *err);

/* key_len bytes to or from key_len * stripes. */
int luks_af_split(gnutls_digest_algorithm_t hash, size_t key_len, uint32_t stripes, const uint8_t *key, uint8_t *out,
                  vd_error *err);
int luks_af_merge(gnutls_digest_algorithm_t hash, size_t key_len, uint32_t stripes, const uint8_t *in, uint8_t *key, vd_error *err);

/* `len` bytes, whole sectors, the first of them number `sector`. */
int luks_cipher_run(const struct luks_cipher *c, bool encrypt, uint64_t sector, uint8_t *buf, size_t len, vd_error *err);

/* Finds the key that the passphrase opens; the header's `len` bytes are at `off`. */
int luks_unlock(struct vd_file *f, uint64_t off, uint64_t len, const void *pass, size_t pass_len, struct luks_cipher *c,
                vd_error *err);
/* Bytes that a header of ours takes. */
uint64_t luks_size(void);
/* Writes one to `off`, with a new key in *c and one slot. */
int luks_make(struct vd_file *f, uint64_t off, const void *pass, size_t pass_len, uint64_t iter_ms, struct luks_cipher *c,
              vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LUKS headers as bytes: pure. */
#include "luks.h"

#include "base/bytes.h"

#define LUKS_ACTIVE 0x00ac71f3u
#define LUKS_INACTIVE 0x0000deadu
static const uint8_t luks_magic[6] = {'L', 'U', 'K', 'S', 0xba, 0xbe};

static void luks_text_get(char *out, const uint8_t *p, size_t n)
{
	memcpy(out, p, n);
	out[n] = 0;
}

int luks_header_decode(const uint8_t *p, struct luks_header *h, vd_error *err)
{
	memset(h, 0, sizeof(*h));
	if (memcmp(p, luks_magic, sizeof(luks_magic)))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "the encryption header has no LUKS magic");
	if (be16_get(p + 6) != 1)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "LUKS version %u is not supported (1 is)", be16_get(p + 6));
	luks_text_get(h->cipher, p + 8, 32);
	luks_text_get(h->mode, p + 40, 32);
	luks_text_get(h->hash, p + 72, 32);
	h->payload_sector = be32_get(p + 104);
	h->key_len = be32_get(p + 108);
	memcpy(h->digest, p + 112, LUKS_DIGEST);
	memcpy(h->digest_salt, p + 132, LUKS_SALT);
	h->digest_iterations = be32_get(p + 164);
	luks_text_get(h->uuid, p + 168, 40);
	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		const uint8_t *s = p + 208 + i * 48;

		h->slot[i].active = be32_get(s) == LUKS_ACTIVE;
		h->slot[i].iterations = be32_get(s + 4);
		memcpy(h->slot[i].salt, s + 8, LUKS_SALT);
		h->slot[i].material_sector = be32_get(s + 40);
		h->slot[i].stripes = be32_get(s + 44);
	}
	return 0;
}

void luks_header_encode(const struct luks_header *h, uint8_t *p)
{
	memset(p, 0, LUKS_HEADER);
	memcpy(p, luks_magic, sizeof(luks_magic));
	be16_put(p + 6, 1);
	memcpy(p + 8, h->cipher, strnlen(h->cipher, 32));
	memcpy(p + 40, h->mode, strnlen(h->mode, 32));
	memcpy(p + 72, h->hash, strnlen(h->hash, 32));
	be32_put(p + 104, h->payload_sector);
	be32_put(p + 108, h->key_len);
	memcpy(p + 112, h->digest, LUKS_DIGEST);
	memcpy(p + 132, h->digest_salt, LUKS_SALT);
	be32_put(p + 164, h->digest_iterations);
	memcpy(p + 168, h->uuid, strnlen(h->uuid, 40));
	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		uint8_t *s = p + 208 + i * 48;

		be32_put(s, h->slot[i].active ? LUKS_ACTIVE : LUKS_INACTIVE);
		be32_put(s + 4, h->slot[i].iterations);
		memcpy(s + 8, h->slot[i].salt, LUKS_SALT);
		be32_put(s + 40, h->slot[i].material_sector);
		be32_put(s + 44, h->slot[i].stripes);
	}
}

static const struct {
	const char *mode;
	size_t key_len;
	gnutls_cipher_algorithm_t algorithm;
	bool iv32, essiv;
} luks_ciphers[] = {
	{"xts-plain64", 64, GNUTLS_CIPHER_AES_256_XTS, false, false},
	{"xts-plain64", 32, GNUTLS_CIPHER_AES_128_XTS, false, false},
	{"xts-plain", 64, GNUTLS_CIPHER_AES_256_XTS, true, false},
	{"xts-plain", 32, GNUTLS_CIPHER_AES_128_XTS, true, false},
	{"cbc-plain64", 32, GNUTLS_CIPHER_AES_256_CBC, false, false},
	{"cbc-plain64", 16, GNUTLS_CIPHER_AES_128_CBC, false, false},
	{"cbc-plain", 32, GNUTLS_CIPHER_AES_256_CBC, true, false},
	{"cbc-plain", 16, GNUTLS_CIPHER_AES_128_CBC, true, false},
	{"cbc-essiv:sha256", 32, GNUTLS_CIPHER_AES_256_CBC, false, true},
	{"cbc-essiv:sha256", 16, GNUTLS_CIPHER_AES_128_CBC, false, true},
};

static int luks_cipher_choose(const struct luks_header *h, struct luks_cipher *c, vd_error *err)
{
	char cipher[80], mode[80];

	for (size_t i = 0; !strcmp(h->cipher, "aes") && i < sizeof(luks_ciphers) / sizeof(luks_ciphers[0]); i++) {
		if (strcmp(h->mode, luks_ciphers[i].mode) || h->key_len != luks_ciphers[i].key_len)
			continue;
		c->algorithm = luks_ciphers[i].algorithm;
		c->key_len = h->key_len;
		c->iv32 = luks_ciphers[i].iv32;
		c->essiv = luks_ciphers[i].essiv;
		return 0;
	}
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
	               "LUKS cipher %s-%s with a key of %" PRIu32 " bytes is not supported",
	               vd_printable(cipher, sizeof(cipher), h->cipher, strlen(h->cipher)),
	               vd_printable(mode, sizeof(mode), h->mode, strlen(h->mode)), h->key_len);
}

int luks_header_validate(const struct luks_header *h, uint64_t len, struct luks_cipher *c, gnutls_digest_algorithm_t *hash,
                         vd_error *err)
{
	char text[80];

	if (luks_cipher_choose(h, c, err) < 0)
		return -1;
	*hash = !strcmp(h->hash, "sha256") ? GNUTLS_DIG_SHA256 :
	        !strcmp(h->hash, "sha1")   ? GNUTLS_DIG_SHA1 :
	        !strcmp(h->hash, "sha512") ? GNUTLS_DIG_SHA512 :
	                                     GNUTLS_DIG_UNKNOWN;
	if (*hash == GNUTLS_DIG_UNKNOWN)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "LUKS hash %s is not supported",
		               vd_printable(text, sizeof(text), h->hash, strlen(h->hash)));
	if (!h->digest_iterations || h->digest_iterations > LUKS_ITERATIONS_MAX)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LUKS digest of %" PRIu32 " iterations is not from 1 to %u",
		               h->digest_iterations, LUKS_ITERATIONS_MAX);
	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		const struct luks_slot *s = &h->slot[i];

		if (!s->active)
			continue;
		if (!s->stripes || s->stripes > LUKS_STRIPES_MAX || !s->iterations || s->iterations > LUKS_ITERATIONS_MAX)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			               "LUKS key slot %u with %" PRIu32 " stripes and %" PRIu32 " iterations", i, s->stripes,
			               s->iterations);
		if (!vd_within(s->material_sector * 512ull, (uint64_t)h->key_len * s->stripes, len))
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			               "LUKS key slot %u: material at sector %" PRIu32 " is outside the header of %" PRIu64
			               " bytes",
			               i, s->material_sector, len);
	}
	return 0;
}

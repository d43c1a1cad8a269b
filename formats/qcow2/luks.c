/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LUKS keys: split and merged ("anti-forensic": a key is spread over many sectors, each of which spoils it when it is lost),
 * unlocked with a passphrase, made.  Keys are wiped from memory when they are done with.
 */
#include "luks.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/uuid.h"

#include <time.h>

#define LUKS_ITERATIONS_MIN 1000u
#define LUKS_ALIGN 8u /* sectors */

static int luks_gnutls_fail(vd_error *err, const char *what, int rc)
{
	return vd_fail(err, rc == GNUTLS_E_MEMORY_ERROR ? VDISK_NOMEM : VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s", what,
	               gnutls_strerror(rc));
}

/* ---------------------------------------------------------------- ciphers */

/* A handle that ciphers one block by itself, with the key's hash: CBC from zeros. */
static int luks_essiv_init(const struct luks_cipher *c, gnutls_cipher_hd_t *h)
{
	uint8_t hash[32], zero[16] = {0};
	gnutls_datum_t key = {hash, sizeof(hash)}, iv = {zero, sizeof(zero)};
	int rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, c->key, c->key_len, hash);

	if (!rc)
		rc = gnutls_cipher_init(h, GNUTLS_CIPHER_AES_256_CBC, &key, &iv);
	explicit_bzero(hash, sizeof(hash));
	return rc;
}

static int luks_iv_make(const struct luks_cipher *c, gnutls_cipher_hd_t essiv, uint64_t sector, uint8_t iv[16])
{
	uint8_t zero[16] = {0};

	memset(iv, 0, 16);
	le64_put(iv, c->iv32 ? (uint32_t)sector : sector);
	if (!c->essiv)
		return 0;
	gnutls_cipher_set_iv(essiv, zero, sizeof(zero));
	return gnutls_cipher_encrypt(essiv, iv, 16);
}

int luks_cipher_run(const struct luks_cipher *c, bool encrypt, uint64_t sector, uint8_t *buf, size_t len, vd_error *err)
{
	gnutls_datum_t key = {(unsigned char *)(uintptr_t)c->key, (unsigned)c->key_len};
	uint8_t iv_bytes[16] = {0};
	gnutls_datum_t iv = {iv_bytes, sizeof(iv_bytes)};
	gnutls_cipher_hd_t h, essiv = NULL;
	int rc = gnutls_cipher_init(&h, c->algorithm, &key, &iv);

	if (rc < 0)
		return luks_gnutls_fail(err, "cipher", rc);
	if (c->essiv)
		rc = luks_essiv_init(c, &essiv);
	for (; rc >= 0 && len; buf += 512, len -= 512, sector++) {
		rc = luks_iv_make(c, essiv, sector, iv_bytes);
		if (rc < 0)
			break;
		gnutls_cipher_set_iv(h, iv_bytes, sizeof(iv_bytes));
		rc = encrypt ? gnutls_cipher_encrypt(h, buf, 512) : gnutls_cipher_decrypt(h, buf, 512);
	}
	if (essiv)
		gnutls_cipher_deinit(essiv);
	gnutls_cipher_deinit(h);
	return rc < 0 ? luks_gnutls_fail(err, "cipher", rc) : 0;
}

/* ---------------------------------------------------------------- splitting */

/* Each block of the hash's size becomes the hash of its number and itself. */
static int luks_diffuse(gnutls_digest_algorithm_t hash, uint8_t *d, size_t len, vd_error *err)
{
	size_t size = gnutls_hash_get_len(hash);
	uint8_t out[64], in[4 + 64];

	for (uint32_t i = 0; i * size < len; i++) {
		size_t n = vd_min(size, len - i * size);
		int rc;

		be32_put(in, i);
		memcpy(in + 4, d + i * size, n);
		rc = gnutls_hash_fast(hash, in, 4 + n, out);
		if (rc < 0)
			return luks_gnutls_fail(err, "hash", rc);
		memcpy(d + i * size, out, n);
	}
	explicit_bzero(in, sizeof(in));
	explicit_bzero(out, sizeof(out));
	return 0;
}

/* Folds all stripes but the last one into d. */
static int luks_af_fold(gnutls_digest_algorithm_t hash, size_t key_len, uint32_t stripes, const uint8_t *in, uint8_t *d,
                        vd_error *err)
{
	memset(d, 0, key_len);
	for (uint32_t i = 0; i + 1 < stripes; i++) {
		for (size_t j = 0; j < key_len; j++)
			d[j] ^= in[i * key_len + j];
		if (luks_diffuse(hash, d, key_len, err) < 0)
			return -1;
	}
	return 0;
}

int luks_af_split(gnutls_digest_algorithm_t hash, size_t key_len, uint32_t stripes, const uint8_t *key, uint8_t *out, vd_error *err)
{
	uint8_t *last = out + key_len * (stripes - 1);

	if (vd_random_bytes(out, key_len * (stripes - 1), err) < 0 || luks_af_fold(hash, key_len, stripes, out, last, err) < 0)
		return -1;
	for (size_t j = 0; j < key_len; j++)
		last[j] ^= key[j];
	return 0;
}

int luks_af_merge(gnutls_digest_algorithm_t hash, size_t key_len, uint32_t stripes, const uint8_t *in, uint8_t *key, vd_error *err)
{
	const uint8_t *last = in + key_len * (stripes - 1);

	if (luks_af_fold(hash, key_len, stripes, in, key, err) < 0)
		return -1;
	for (size_t j = 0; j < key_len; j++)
		key[j] ^= last[j];
	return 0;
}

/* ---------------------------------------------------------------- passphrases */

static int luks_derive(gnutls_digest_algorithm_t hash, const void *pass, size_t pass_len, const uint8_t *salt, uint32_t iterations,
                       uint8_t *out, size_t len, vd_error *err)
{
	gnutls_datum_t key = {(unsigned char *)(uintptr_t)pass, (unsigned)pass_len};
	gnutls_datum_t s = {(unsigned char *)(uintptr_t)salt, LUKS_SALT};
	int rc = gnutls_pbkdf2((gnutls_mac_algorithm_t)hash, &key, &s, iterations, out, len);

	return rc < 0 ? luks_gnutls_fail(err, "PBKDF2", rc) : 0;
}

/* 1: the slot gives the key; 0: it does not. */
static int luks_slot_try(struct vd_file *f, uint64_t off, const struct luks_header *h, const struct luks_slot *s,
                         gnutls_digest_algorithm_t hash, const void *pass, size_t pass_len, struct luks_cipher *c, vd_error *err)
{
	struct luks_cipher wrap = *c;
	size_t len = vd_up((uint64_t)h->key_len * s->stripes, 512);
	uint8_t digest[LUKS_DIGEST], *material = vd_calloc(1, len);
	int rc = -1;

	if (!material)
		return vd_fail_nomem(err, len);
	if (luks_derive(hash, pass, pass_len, s->salt, s->iterations, wrap.key, h->key_len, err) == 0 &&
	    vd_file_pread(f, material, len, off + s->material_sector * 512ull, err) == 0 &&
	    luks_cipher_run(&wrap, false, 0, material, len, err) == 0 &&
	    luks_af_merge(hash, h->key_len, s->stripes, material, c->key, err) == 0 &&
	    luks_derive(hash, c->key, h->key_len, h->digest_salt, h->digest_iterations, digest, sizeof(digest), err) == 0)
		rc = !memcmp(digest, h->digest, sizeof(digest));
	explicit_bzero(&wrap, sizeof(wrap));
	explicit_bzero(material, len);
	vd_free(material);
	return rc;
}

int luks_unlock(struct vd_file *f, uint64_t off, uint64_t len, const void *pass, size_t pass_len, struct luks_cipher *c,
                vd_error *err)
{
	gnutls_digest_algorithm_t hash;
	uint8_t buf[LUKS_HEADER];
	struct luks_header h;
	unsigned tried = 0;

	if (len < LUKS_HEADER)
		return vd_fail(err, VDISK_CORRUPT, off, "LUKS header of %" PRIu64 " bytes is too short", len);
	if (vd_file_pread(f, buf, sizeof(buf), off, err) < 0 || luks_header_decode(buf, &h, err) < 0 ||
	    luks_header_validate(&h, len, c, &hash, err) < 0)
		return -1;
	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		int rc;

		if (!h.slot[i].active)
			continue;
		tried++;
		rc = luks_slot_try(f, off, &h, &h.slot[i], hash, pass, pass_len, c, err);
		if (rc)
			return rc < 0 ? -1 : 0;
	}
	explicit_bzero(c->key, sizeof(c->key));
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the passphrase opens none of the %u LUKS key slots in use", tried);
}

/* ---------------------------------------------------------------- making */

static uint32_t luks_slot_sectors(void)
{
	return (uint32_t)vd_up(vd_div_up(LUKS_KEY_MAX * LUKS_STRIPES, 512), LUKS_ALIGN);
}

uint64_t luks_size(void)
{
	return (LUKS_ALIGN + (uint64_t)luks_slot_sectors() * LUKS_SLOTS) * 512;
}

static double luks_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Iterations that take about `ms` here. */
static int luks_calibrate(uint64_t ms, uint32_t *iterations, vd_error *err)
{
	uint8_t salt[LUKS_SALT] = {0}, out[LUKS_KEY_MAX];
	double took = 0, want;
	uint32_t n;

	for (n = 4096; took < 20 && n < 1u << 24; n *= 4) {
		double start = luks_clock();

		if (luks_derive(GNUTLS_DIG_SHA256, "x", 1, salt, n, out, sizeof(out), err) < 0)
			return -1;
		took = luks_clock() - start;
	}
	want = (double)(n / 4) * (double)vd_min(ms, 60000) / (took > 0.01 ? took : 0.01);
	*iterations = want < LUKS_ITERATIONS_MIN   ? LUKS_ITERATIONS_MIN
	              : want > LUKS_ITERATIONS_MAX ? LUKS_ITERATIONS_MAX
	                                           : (uint32_t)want;
	return 0;
}

static int luks_header_fill(struct luks_header *h, uint64_t iter_ms, struct luks_cipher *c, vd_error *err)
{
	uint8_t uuid[16];
	uint32_t iterations;

	strcpy(h->cipher, "aes");
	strcpy(h->mode, "xts-plain64");
	strcpy(h->hash, "sha256");
	h->key_len = LUKS_KEY_MAX;
	h->payload_sector = (uint32_t)(luks_size() / 512);
	if (luks_calibrate(iter_ms, &iterations, err) < 0 || vd_uuid_random(uuid, err) < 0 ||
	    vd_random_bytes(h->digest_salt, LUKS_SALT, err) < 0 || vd_random_bytes(c->key, LUKS_KEY_MAX, err) < 0)
		return -1;
	vd_uuid_format(h->uuid, uuid);
	h->digest_iterations = (uint32_t)vd_max(iterations / 8, LUKS_ITERATIONS_MIN);
	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		h->slot[i].material_sector = LUKS_ALIGN + i * luks_slot_sectors();
		h->slot[i].stripes = LUKS_STRIPES;
	}
	h->slot[0].active = true;
	h->slot[0].iterations = iterations;
	if (vd_random_bytes(h->slot[0].salt, LUKS_SALT, err) < 0)
		return -1;
	return luks_derive(GNUTLS_DIG_SHA256, c->key, LUKS_KEY_MAX, h->digest_salt, h->digest_iterations, h->digest, LUKS_DIGEST,
	                   err);
}

int luks_make(struct vd_file *f, uint64_t off, const void *pass, size_t pass_len, uint64_t iter_ms, struct luks_cipher *c,
              vd_error *err)
{
	struct luks_header h = {.key_len = 0};
	size_t len = LUKS_KEY_MAX * LUKS_STRIPES;
	VD_AUTO_FREE uint8_t *material = vd_calloc(1, vd_up(len, 512));
	gnutls_digest_algorithm_t hash;
	struct luks_cipher wrap;
	uint8_t buf[LUKS_HEADER];
	int rc = -1;

	if (!material)
		return vd_fail_nomem(err, len);
	if (luks_header_fill(&h, iter_ms, c, err) < 0 || luks_header_validate(&h, luks_size(), c, &hash, err) < 0)
		return -1;
	wrap = *c;
	luks_header_encode(&h, buf);
	if (luks_derive(hash, pass, pass_len, h.slot[0].salt, h.slot[0].iterations, wrap.key, LUKS_KEY_MAX, err) == 0 &&
	    luks_af_split(hash, LUKS_KEY_MAX, LUKS_STRIPES, c->key, material, err) == 0 &&
	    luks_cipher_run(&wrap, true, 0, material, vd_up(len, 512), err) == 0 &&
	    vd_file_zero(f, off, luks_size(), true, err) == 0 && vd_file_pwrite(f, buf, sizeof(buf), off, err) == 0)
		rc = vd_file_pwrite(f, material, vd_up(len, 512), off + LUKS_ALIGN * 512ull, err);
	explicit_bzero(&wrap, sizeof(wrap));
	return rc;
}

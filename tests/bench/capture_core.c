/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What one core takes for each part of a capture, by the libraries alone, over the chunks of 1 MiB of a disk that hold something:
 * reading them, hashing, packing, TLS' cipher there and back over what was packed, unpacking, writing.  For tests/bench/capture,
 * which compiles it and says what is read.  usage: capture_core DISK NEW-FILE LEVEL < RANGES ("offset length" a line); prints
 * "bytes packed read hash zstd tls unzstd write" in bytes and seconds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define CHUNK  (1u << 20)
#define RECORD 16384u /* TLS' longest */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct piece {
	uint64_t off;
	size_t len;
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* All the cipher's work on `len` bytes, one way and back. */
static void tls(gnutls_aead_cipher_hd_t c, const uint8_t *bytes, size_t len)
{
	static uint8_t out[RECORD + 64], back[RECORD + 64], nonce[12], head[13];

	for (size_t at = 0; at < len; at += RECORD) {
		size_t n = len - at < RECORD ? len - at : RECORD, got = sizeof(out), plain = sizeof(back);

		nonce[0]++;
		if (gnutls_aead_cipher_encrypt(c, nonce, sizeof(nonce), head, sizeof(head), 16, bytes + at, n, out, &got) ||
		    gnutls_aead_cipher_decrypt(c, nonce, sizeof(nonce), head, sizeof(head), 16, out, got, back, &plain))
			die("cipher");
	}
}

int main(int argc, char **argv)
{
	static uint8_t key[32], digest[32];
	uint8_t *buf = aligned_alloc(4096, CHUNK), *packed = malloc(ZSTD_compressBound(CHUNK)), *back = malloc(CHUNK);
	gnutls_datum_t k = { key, sizeof(key) };
	gnutls_aead_cipher_hd_t c;
	struct piece *v = NULL;
	unsigned long long off, len;
	size_t n = 0, bytes = 0, wire = 0;
	double t[7], s[6] = { 0 };
	ZSTD_CCtx *z = ZSTD_createCCtx();
	ZSTD_DCtx *u = ZSTD_createDCtx();
	int in, out;

	if (argc != 4)
		return 2;
	while (scanf("%llu %llu", &off, &len) == 2)
		for (; len; off += v[n++].len, len -= v[n - 1].len) {
			v = realloc(v, (n + 1) * sizeof(*v));
			v[n].off = off;
			v[n].len = len < CHUNK - off % CHUNK ? len : CHUNK - off % CHUNK;
		}
	in = open(argv[1], O_RDONLY);
	out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (in < 0 || out < 0)
		die(argv[1]);
	if (gnutls_aead_cipher_init(&c, GNUTLS_CIPHER_AES_256_GCM, &k))
		die("cipher");
	for (size_t i = 0; i < n; i++) {
		size_t size;

		t[0] = now();
		if (pread(in, buf, v[i].len, (off_t)v[i].off) != (ssize_t)v[i].len)
			die("read");
		t[1] = now();
		if (!buf[0] && !memcmp(buf, buf + 1, v[i].len - 1)) { /* zeros go no further */
			s[0] += t[1] - t[0];
			continue;
		}
		gnutls_hash_fast(GNUTLS_DIG_SHA256, buf, v[i].len, digest);
		t[2] = now();
		size = ZSTD_compressCCtx(z, packed, ZSTD_compressBound(CHUNK), buf, v[i].len, atoi(argv[3]));
		t[3] = now();
		tls(c, packed, size);
		t[4] = now();
		if (ZSTD_decompressDCtx(u, back, CHUNK, packed, size) != v[i].len)
			die("unpack");
		t[5] = now();
		if (pwrite(out, back, v[i].len, (off_t)v[i].off) != (ssize_t)v[i].len)
			die("write");
		t[6] = now();
		for (int p = 0; p < 6; p++)
			s[p] += t[p + 1] - t[p];
		bytes += v[i].len;
		wire += size;
	}
	t[0] = now();
	if (fdatasync(out))
		die("sync");
	s[5] += now() - t[0];
	printf("%zu %zu %.4f %.4f %.4f %.4f %.4f %.4f\n", bytes, wire, s[0], s[1], s[2], s[3], s[4], s[5]);
	return 0;
}

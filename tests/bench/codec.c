/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast one core packs and hashes a disk's data by the libraries alone: every cluster of 64 KiB that is not zeros, in memory, at
 * vdisk's default levels.  For tests/bench/convert, which compiles it.  usage: codec FILE MOST-BYTES; prints "zlib zstd sha256" in
 * bytes a second.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <libdeflate.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define CLUSTER 65536u
#define LEAF    (1u << 20)
#define DEFLATE_LEVEL 2
#define ZSTD_LEVEL    3

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The first `most` bytes of clusters that hold something. */
static unsigned char *data_read(const char *path, size_t most, size_t *n)
{
	int fd = open(path, O_RDONLY);
	unsigned char *data = malloc(most), *zeros = calloc(1, CLUSTER);
	off_t at = 0, end;

	*n = 0;
	if (fd < 0 || !data || !zeros)
		exit(2);
	while (*n + CLUSTER <= most && (at = lseek(fd, at, SEEK_DATA)) >= 0) {
		at -= at % CLUSTER;
		end = lseek(fd, at, SEEK_HOLE);
		if (end <= at)
			end = at + 1;
		for (; at < end && *n + CLUSTER <= most; at += CLUSTER)
			if (pread(fd, data + *n, CLUSTER, at) == CLUSTER && memcmp(data + *n, zeros, CLUSTER))
				*n += CLUSTER;
	}
	free(zeros);
	close(fd);
	return data;
}

int main(int argc, char **argv)
{
	static unsigned char out[2 * CLUSTER], digest[32];
	struct libdeflate_compressor *deflate = libdeflate_alloc_compressor(DEFLATE_LEVEL);
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	size_t n, sink = 0;
	unsigned char *data;
	double t[4];

	if (argc != 3 || !deflate || !zstd)
		return 2;
	data = data_read(argv[1], strtoull(argv[2], NULL, 10), &n);
	t[0] = now();
	for (size_t at = 0; at < n; at += CLUSTER)
		sink += libdeflate_deflate_compress(deflate, data + at, CLUSTER, out, CLUSTER - 1);
	t[1] = now();
	for (size_t at = 0; at < n; at += CLUSTER)
		sink += ZSTD_compressCCtx(zstd, out, sizeof(out), data + at, CLUSTER, ZSTD_LEVEL);
	t[2] = now();
	for (size_t at = 0; at < n; at += LEAF)
		sink += (size_t)gnutls_hash_fast(GNUTLS_DIG_SHA256, data + at, n - at < LEAF ? n - at : LEAF, digest);
	t[3] = now();
	for (int i = 0; i < 3; i++)
		printf("%.0f%c", (double)n / (t[i + 1] - t[i]), i < 2 ? ' ' : '\n');
	return sink == 0;
}

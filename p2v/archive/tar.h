/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A tar file from front to back, through libarchive; plain files only. */
#ifndef PACKAGE_TAR_H
#define PACKAGE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

#define TAR_NAME_BYTES 300 /* of one header; longer names take another one */

struct tar;

struct tar_entry {
	const char *name; /* without "./" in front; until the next entry */
	uint64_t off;     /* where its bytes begin; of a packed tar, in what comes out */
	uint64_t size;
};

/* packed: by gzip, bzip2, xz, zstd, lz4 or lzop. */
int tar_open(const char *path, bool packed, struct tar **out, vdisk_error *err);
/* 1: *e is the next one; 0: the end; -1.  What was not read of the last one is passed over. */
int tar_next(struct tar *t, struct tar_entry *e, vdisk_error *err);
/* All of the entry's bytes, `len` of them. */
int tar_read(struct tar *t, void *buf, size_t len, vdisk_error *err);
/* Bytes of the file that were used so far. */
uint64_t tar_used(const struct tar *t);
void tar_close(struct tar *t);

/* What a packed file holds, as one stream. */
struct stream;
int stream_open(const char *path, struct stream **out, vdisk_error *err);
/* Up to len bytes, fewer at the end alone. */
int stream_read(struct stream *s, void *buf, size_t len, size_t *got, vdisk_error *err);
uint64_t stream_used(const struct stream *s);
void stream_close(struct stream *s);

#define TAR_HEADER_BYTES 512
/* One header by itself.  1: *e is what it tells, its name in `name`, its `off` 0; 0: it is none, or none of a plain file with a
   name that may be; -1: no memory. */
int tar_header_read(const uint8_t in[TAR_HEADER_BYTES], char name[TAR_NAME_BYTES], struct tar_entry *e);
/* A header for a plain file; sizes that octal digits cannot say are said in GNU's way. */
int tar_header(const char *name, uint64_t size, uint64_t mtime, uint8_t out[TAR_HEADER_BYTES], vdisk_error *err);

#endif

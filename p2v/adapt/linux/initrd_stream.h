/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packed streams of an initramfs: where one ends, what it holds, and making one. */
#ifndef ADAPT_INITRD_STREAM_H
#define ADAPT_INITRD_STREAM_H

#include "initrd.h"

#include <archive.h>

#define INITRD_UNPACKED_MAX (UINT64_C(2) << 30) /* bytes of all streams of a file; nor more than 256 times its own, and 16 MiB */

/* How a stream is packed, by its first bytes, as the kernel judges; -1 where it would not know. */
int stream_packing(const uint8_t *at, size_t len);
/* How much all streams of a file of `len` bytes may unpack to. */
uint64_t stream_unpacked_max(size_t len);
/* Unpacks the stream that begins at `at` into *out (emptied before), if it holds no more than `max` bytes; *used: its own bytes,
   without what stands behind. */
int stream_unpack(enum initrd_packing packing, const uint8_t *at, size_t len, uint64_t max, struct bytes *out, size_t *used,
	vdisk_error *err);
/* Adds a stream with these bytes to *out.  What the kernel surely reads: not INITRD_XZ, whose checksums libarchive does not let us
   choose. The same bytes give the same stream. */
int stream_pack(enum initrd_packing packing, const void *at, size_t len, struct bytes *out, vdisk_error *err);
/* libarchive's write callback: adds to a struct bytes. */
la_ssize_t stream_sink(struct archive *a, void *to, const void *at, size_t len);
/* A kernel module's file, packed by its suffix (.xz, .zst, .gz) or not at all, as it is loaded. */
int module_unpack(const char *path, const struct bytes *file, struct bytes *out, vdisk_error *err);

#endif

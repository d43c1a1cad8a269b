/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One-shot packing and unpacking of blocks (qcow2 clusters, VMDK grains): deflate raw and zlib-wrapped through libdeflate, zstd
 * through libzstd.  All thread-safe: a vd_packer keeps a free list of compressors behind a mutex, so that each thread reuses one.
 */
#ifndef VD_BASE_PACK_H
#define VD_BASE_PACK_H

#include "base/error.h"

enum vd_pack_method { VD_PACK_DEFLATE, VD_PACK_ZLIB, VD_PACK_ZSTD };

struct vd_packer;
/* level 0: the method's default here (deflate and zlib: 2 of libdeflate's 1..12; zstd: 3 of 1..19).  Out of range:
   VDISK_INVALID. */
int vd_packer_new(enum vd_pack_method m, int level, struct vd_packer **out, vd_error *err);
void vd_packer_free(struct vd_packer *p);
/* Packs in[0..in_len) into out; *out_len = 0 if it does not fit out_cap (incompressible).  Below level 7 deflate does not try what
   vd_dense() is sure of: it is stored, or, where out_cap is at most in_len, said not to fit. */
int vd_pack(struct vd_packer *p, const void *in, size_t in_len, void *out, size_t out_cap, size_t *out_len, vd_error *err);

struct vd_unpacker;
int vd_unpacker_new(enum vd_pack_method m, struct vd_unpacker **out, vd_error *err);
void vd_unpacker_free(struct vd_unpacker *u);
/* Unpacks to exactly out_len bytes; VDISK_CORRUPT if the stream is damaged, gives fewer or (bomb) more.  Bytes after the stream's
   end are ignored; *in_used (may be NULL): where it ended. */
int vd_unpack(struct vd_unpacker *u, const void *in, size_t in_len, void *out, size_t out_len, size_t *in_used, vd_error *err);

#endif

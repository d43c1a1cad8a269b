/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manifests (vdisk-digest(5)): the tree digest with its leaves, as a text file, written in passing and read back. */
#ifndef VD_OPS_MANIFEST_H
#define VD_OPS_MANIFEST_H

#include "core/image.h"
#include "ops/digest.h"

/* ---- writing: manifest.c */

struct vd_manifest;

/* Judges what vd_manifest_new() would refuse, and makes nothing: a name that exists, a file of `src` (NULL: not looked at). */
int vd_manifest_judge(const char *path, vdisk_image *src, bool overwrite, vd_error *err);
/* A manifest of a disk of `size` bytes, under a temporary name.  Returns owned in *out. */
int vd_manifest_new(const char *path, vdisk_image *src, uint64_t size, bool overwrite, struct vd_manifest **out, vd_error *err);
/* Takes the leaves; good until the manifest is committed or aborted. */
struct vd_leaf_sink *vd_manifest_sink(struct vd_manifest *m);
/* All leaves were told: the last line is written, the file is durable, still without its name. */
int vd_manifest_finish(struct vd_manifest *m, const uint8_t digest[32], vd_error *err);
/* Gives it its name; frees m in every case. */
int vd_manifest_commit(struct vd_manifest *m, vd_error *err);
/* Removes the temporary file; frees m.  NULL is a no-op. */
void vd_manifest_abort(struct vd_manifest *m);

/* ---- reading: manifest_read.c */

struct vd_manifest_reader;

/* Opens the file and reads its head.  Returns owned in *out. */
int vd_manifest_open(const char *path, struct vd_manifest_reader **out, vd_error *err);
/* The same of an open file, which it takes. */
int vd_manifest_open_file(struct vd_file *f, struct vd_manifest_reader **out, vd_error *err);
void vd_manifest_close(struct vd_manifest_reader *r);
uint64_t vd_manifest_size(const struct vd_manifest_reader *r); /* of the disk */
/* The next line of the body: *zeros leaves of zeros, or one leaf where that is 0.  *end: there is none, and `leaf` is the disk's
   digest; the number of leaves and the end of the file were right. */
int vd_manifest_next(struct vd_manifest_reader *r, uint64_t *zeros, uint8_t leaf[32], bool *end, vd_error *err);
/* Back to the first line of the body. */
void vd_manifest_rewind(struct vd_manifest_reader *r);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In-place conversion: the disk's bytes stay where they are, in one file, and what is around them changes.
 *
 *  I1. The bytes of the disk are neither written nor moved nor cut off: drivers see the file through vd_file_kept().
 *  I2. Before the first change everything that is needed to undo it stands in a journal, durably, beside the destination
 *      (".NAME.vdisk-inplace").
 *  I3. There is one step that makes it done: the new name of the file with the bytes or, where that keeps its name, of the new
 * image file.  Before it everything is undone, after it only cleaning up remains.  The same holds for whoever finds the journal
 * later. I4. At every moment one of the two forms can be read.  The footer of a VHD is the one thing that both have in the same
 * file: it is behind the disk's bytes, which a raw disk with it still has at the same place.
 */
#ifndef VD_OPS_INPLACE_H
#define VD_OPS_INPLACE_H

#include "core/image.h"

#define VD_INPLACE_TAIL 65536u

/* What is to be undone, or finished.  Paths are absolute. */
struct vd_inplace {
	char *journal;             /* its own path */
	char *data, *new_data;     /* the file with the bytes, before and after; may be the same */
	uint64_t dev, ino;         /* its identity */
	uint64_t disk, size;       /* bytes of the disk, of the file before */
	uint8_t *tail;             /* [disk, size) of the file before */
	char *image;               /* the new image file beside it; NULL: the file with the bytes is the image */
	uint64_t image_dev, image_ino;
	bool cut;                  /* once it is done the tail goes */
	char *old_image;           /* the descriptor that goes then; NULL: none */
};

void vd_inplace_clear(struct vd_inplace *p);
int vd_inplace_write(const struct vd_inplace *p, vd_error *err);
/* *found: there is one. */
int vd_inplace_read(const char *journal, struct vd_inplace *p, bool *found, vd_error *err);

/* It is done: cleans up and removes the journal. */
int vd_inplace_finish(struct vd_inplace *p, vd_error *err);
/* From whatever state: undone where it was not done (*done false), else cleaned up; the journal is removed. */
int vd_inplace_recover(struct vd_inplace *p, bool *done, vd_error *err);

#endif

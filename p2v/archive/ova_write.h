/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing an OVA: descriptor, disks in the order in which they are given, manifest; the standard (DSP0243) wants the manifest
 * behind the descriptor or at the end.  Disks are streamOptimized VMDKs, written into the file as they are packed; what has to
 * stand before them (the descriptor's sizes, the headers') is filled in afterwards, so the file is one that can be written
 * anywhere: no pipe.  Memory does not grow with the disks.
 */
#ifndef PACKAGE_OVA_WRITE_H
#define PACKAGE_OVA_WRITE_H

#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

struct ova_writer;

/* Makes the file, which must not exist.  `name`: of the machine, a file's name; room: bytes that the descriptor may take.  Returns
   owned. */
int ova_writer_new(const char *path, const char *name, size_t room, struct ova_writer **out, vdisk_error *err);
/* Adds a disk as the member `name`.  Of `how`, size, threads, memory, progress, cancel, lost and level count, VDISK_CONVERT_DIGEST
   and VDISK_CONVERT_ROUND_UP. */
int ova_writer_disk(struct ova_writer *w, const char *name, vdisk_image *src, const struct vdisk_convert_options *how,
                    uint64_t *file_size, struct vdisk_convert_report *report, vdisk_error *err);
/* Puts the descriptor in its place, the manifest at the end; durable when it returns.  Frees w in any case; on failure the file
   goes. */
int ova_writer_finish(struct ova_writer *w, const char *descriptor, size_t len, vdisk_error *err);
void ova_writer_abort(struct ova_writer *w); /* NULL is fine */

#endif

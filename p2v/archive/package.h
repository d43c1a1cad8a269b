/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine in one file: OVA (DMTF's OVF, a tar), XVA (XenServer's export, a tar of 1 MiB chunks) and VMA (Proxmox' backup).
 *
 * Nothing is unpacked: a disk is opened where it lies in the file.  Where the file is packed as a whole (.xva.gz, .vma.zst,
 * .vma.lzo), or a disk cannot be read but from front to back, it comes as a stream.  Order: package_open(), package_description(),
 * package_want() with the disks that the description names, package_check(), then package_disk_open() for each; or package_feed()
 * where package_streamed().
 *
 * Nothing in the file is believed: names, numbers and lengths are judged before they count, and so are checksums.  One thread at a
 * time.
 */
#ifndef PACKAGE_H
#define PACKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

enum package_kind { PACKAGE_NONE, PACKAGE_OVA, PACKAGE_XVA, PACKAGE_VMA };

#define PACKAGE_DESCRIPTION_MAX ((size_t)8 << 20)
#define PACKAGE_DISKS_MAX 255

struct package;

const char *package_kind_name(enum package_kind kind); /* "OVA" */
/* By its bytes.  *out NULL, and 0: it is none of these.  Returns owned. */
int package_open(const char *path, struct package **out, vdisk_error *err);
void package_close(struct package *p); /* NULL is fine */
enum package_kind package_kind_of(const struct package *p);
/* The OVF, ova.xml or qemu-server.conf; *name: what it is called there. */
const void *package_description(const struct package *p, size_t *len, const char **name);
bool package_streamed(const struct package *p);

struct package_disk {
	const char *ref;         /* OVA: the member's name; XVA: "Ref:12"; VMA: "drive-scsi0" */
	const char *format;      /* OVA: as vdisk calls it; NULL: by the bytes */
	uint64_t size;           /* bytes of the disk; XVA needs it, VMA knows it, OVA does not care */
	uint64_t file_size;      /* OVA: what the description says of the file; 0: nothing */
	uint64_t chunk_size;     /* OVA: the file is in pieces NAME.000000000 and on; 0: it is one */
	const char *compression; /* OVA: NULL, "" or "identity": none; "gzip" */
};
/* The disks that are going to be read, in this order from 0; all of them must be there. */
int package_want(struct package *p, const struct package_disk *disks, size_t n, vdisk_error *err);
uint64_t package_disk_size(const struct package *p, size_t disk); /* VMA and XVA; else 0 */

struct package_job {
	vdisk_progress_fn progress; /* bytes of the file */
	void *progress_ctx;
	const volatile int *cancel;
	bool no_check;              /* do not compare checksums (what has to be read anyway is checked all the same) */
};
/* OVA: compares its members with its manifest; XVA: each chunk with its checksum; VMA: the extents' headers. */
int package_check(struct package *p, const struct package_job *job, vdisk_error *err);

/* Bytes of a disk, in whatever order they come, each once; what does not come is zeros. */
typedef int (*package_sink)(void *ctx, size_t disk, uint64_t off, const void *buf, size_t len, vdisk_error *err);
/* package_check() for one that is streamed, which hands out the disks at once. */
int package_feed(struct package *p, const struct package_job *job, package_sink sink, void *ctx, vdisk_error *err);

/* Of an XVA that is not streamed, instead of package_check(): where each disk's chunks lie, told by a few headers.  *found false:
   it would take reading more of them than `most`. */
int package_places(struct package *p, unsigned most, bool *found, vdisk_error *err);
/* The chunk with this byte of the disk: opened from then on, the disk has it; where nothing was asked for, it reads as zeros.
   *fresh (may be NULL): it was not there before. */
int package_place(struct package *p, size_t disk, uint64_t off, bool *fresh, vdisk_error *err);

struct package_image {
	vdisk_image *img;
	struct package_unpack *unpack; /* its bytes come through a pipe */
};
int package_disk_open(struct package *p, size_t disk, vdisk_log_fn log, void *log_ctx, struct package_image *out, vdisk_error *err);
/* -1: what went through the pipe was damaged, although the image might not have told.  whole: all of it was read, and the rest is
   unpacked for its checksum's sake; otherwise it may stop where it is. */
int package_disk_close(struct package_image *i, bool whole, vdisk_error *err);

/* What is odd without being wrong (no checksum, a member that nobody names), one line each; NULL past the last. */
const char *package_remark(const struct package *p, size_t i);

#endif

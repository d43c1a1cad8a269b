/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kinds of packages share; for p2v/archive alone. */
#ifndef PACKAGE_OWN_H
#define PACKAGE_OWN_H

#include "package.h"

#define NAME_MAX_BYTES 1024u
#define MEMBERS_MAX    16384u
#define PARTS_MAX      ((size_t)1 << 24)
#define REMARKS_MAX    64u

struct member { /* of an OVA */
	char *name;
	uint64_t off, size; /* its bytes in the file */
};

struct slot { /* a disk that is wanted */
	char *ref, *format;
	bool gzip;
	uint64_t size;           /* of the disk; OVA: 0 */
	struct vdisk_part *parts; /* of the image's file, by `off`, where it lies in ours */
	size_t n, cap;
	uint64_t len;            /* of the image's file */
	/* XVA */
	uint64_t next, empties;  /* the lowest number that may come; chunks without bytes so far, which take a number and no
	                            space */
	uint64_t end;            /* where the last chunk ended */
	struct run *runs;        /* xva_places.c */
	size_t n_runs;
	/* VMA */
	uint8_t *seen;           /* bit map of clusters */
	uint64_t clusters;       /* that came */
};

struct device { /* of a VMA */
	char *name; /* NULL: none */
	uint64_t size;
	int slot;   /* -1: nobody wants it */
};

struct package {
	char *path;
	enum package_kind kind;
	bool streamed;
	uint64_t file_size;
	char *desc, *desc_name;
	size_t desc_len;
	struct member *members;
	size_t n_members;
	struct slot *slots;
	size_t n_slots;
	char *remarks[REMARKS_MAX];
	size_t n_remarks;
	struct device devices[256];
	uint8_t uuid[16];
	uint64_t data_at; /* VMA: where extents begin; XVA: what comes behind ova.xml */
	int fd;           /* xva_places.c; -1: not open */
	unsigned reads;
};

/* A remark; the first REMARKS_MAX are kept. */
void package_note(struct package *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A name from a file, fit for a line; `out` is what is returned. */
const char *shown(const char *name, char out[200]);
int slot_part_add(struct package *p, struct slot *s, uint64_t off, uint64_t len, uint64_t host, vdisk_error *err);
struct slot *slot_find(struct package *p, const char *ref, size_t len);
/* What progress and cancelling come to while the file is read; -1: cancelled. */
int job_tick(const struct package *p, const struct package_job *job, uint64_t done, vdisk_error *err);
void job_done(const struct package *p, const struct package_job *job);
/* A name that leads elsewhere, or is none at all.  NULL: it is fine, else why not. */
const char *name_judge(const char *name);
int file_read(int fd, const char *path, void *buf, size_t len, uint64_t off, vdisk_error *err);

/* package_kind.c: sets kind and streamed by the file's first bytes.  PACKAGE_NONE, and 0: what it is, is somebody else's
   question. */
#define PACKAGE_HEAD 512u
int package_kind_find(struct package *p, const uint8_t *head, size_t len, vdisk_error *err);
/* ova.c */
int ova_open(struct package *p, vdisk_error *err);
int ova_want(struct package *p, struct slot *s, const struct package_disk *d, vdisk_error *err);
int ova_check(struct package *p, const struct package_job *job, vdisk_error *err);
const struct member *ova_member(const struct package *p, const char *name);
/* ova_manifest.c: parses it and compares. */
int ova_manifest_check(struct package *p, const struct member *m, const struct package_job *job, vdisk_error *err);
/* xva.c, vma.c: sink NULL: the places are kept */
int xva_open(struct package *p, vdisk_error *err);
int xva_scan(struct package *p, const struct package_job *job, package_sink sink, void *ctx, vdisk_error *err);
#define XVA_CHUNK ((size_t)1 << 20)
/* "Ref:12/00000007": the slot and the number.  false: it is no chunk. */
bool xva_chunk_name(const char *name, size_t *ref_len, uint64_t *number);
int vma_open(struct package *p, vdisk_error *err);
int vma_want(struct package *p, struct slot *s, size_t index, vdisk_error *err);
int vma_scan(struct package *p, const struct package_job *job, package_sink sink, void *ctx, vdisk_error *err);

/* unpack.c: gzip in a thread of its own, into a pipe whose end for reading is *fd. */
int unpack_start(const struct package *p, const struct slot *s, struct package_unpack **out, int *fd, vdisk_error *err);
int unpack_end(struct package_unpack *u, bool whole, vdisk_error *err); /* as package_disk_close(); frees it */

#endif

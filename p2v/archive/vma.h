/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What reading a VMA's header and reading its extents have in common. */
#ifndef PACKAGE_VMA_H
#define PACKAGE_VMA_H

#include "package_own.h"

struct stream;

/* Bytes from front to back: out of the file itself, or out of what it is packed in. */
struct vma_source {
	const struct package *p;
	struct stream *s; /* NULL: the file */
	int fd;
	uint64_t at;
};

int vma_source_open(struct vma_source *x, const struct package *p, vdisk_error *err);
void vma_source_close(struct vma_source *x);
/* *got less than len: the end. */
int vma_source_read(struct vma_source *x, void *buf, size_t len, size_t *got, vdisk_error *err);
/* Whether the 16 bytes at `at` are the MD5 of all, themselves being zeros. */
bool vma_md5_holds(uint8_t *head, size_t len, size_t at);

#define VMA_CLUSTER 65536u

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kernel or an initial RAM disk on its way into the guest's memory. */
#ifndef RUNNER_KERNELFILE_H
#define RUNNER_KERNELFILE_H

#include "machine.h"

struct kernelfile {
	const char *path;
	int fd; /* borrowed */
	uint64_t size;
};

int kernelfile_open(struct kernelfile *f, const char *path, int fd, vdisk_error *err);
/* The whole of [off, off + len), or failure. */
int kernelfile_read(const struct kernelfile *f, uint64_t off, void *buf, uint64_t len, vdisk_error *err);
/* From `off` to its end, to the guest's `addr`. */
int kernelfile_load(const struct kernelfile *f, uint64_t off, const struct vm *vm, uint64_t addr, vdisk_error *err);
/* Loads the machine's initial RAM disk as high below `end` as it goes, above `floor`; where, and how much it is. */
int kernelfile_initrd(struct machine *m, uint64_t floor, uint64_t end, uint64_t *at, uint64_t *size, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether an NTFS was closed cleanly: by the flags of its volume and the state of its log. */
#ifndef COMMON_NTFS_H
#define COMMON_NTFS_H

#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

/* 0, or -1 with *err; offsets count from the file system's start. */
typedef int (*ntfs_read_fn)(void *to, uint64_t off, void *buf, size_t len, vdisk_error *err);

/* 1 clean, 0 not (*why says how, static), -1 with *err (VDISK_CORRUPT where it is no NTFS, or what reading said). */
int ntfs_state(ntfs_read_fn read, void *to, const char **why, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File systems on the captured disks that are mounted for writing, and what can be done about it. */
#ifndef CAPTURE_LIVE_H
#define CAPTURE_LIVE_H

#include "find.h"
#include "freeze.h"

#include <stdint.h>

struct live_mount {
	char source[64];   /* the device: sda1, dm-0 */
	char *folder;
	char fs[32];
	bool frozen;
	bool snapped;      /* what is read of it comes from a snapshot */
	char why_not[256]; /* of a logical volume: why there is none */
	uint64_t written;  /* sectors, by the kernel's count, when the pass began */
	bool quiet;        /* nothing was written to it since */
};

struct live_disk {
	char name[64];
	char kernel[64];   /* in /sys/block */
	uint64_t written;  /* as of a mount; known: it could be read */
	bool known;
};

struct live {
	struct find_mounts all;    /* those on the captured disks, one for each device and disk */
	struct live_mount *mounts; /* one for each device, in the order in which they were mounted */
	size_t n;
	struct live_disk *disks;   /* all that are captured */
	size_t n_disks;
	char **lacks;              /* lines: what file systems on these disks lie on as well, and is not captured */
	size_t n_lacks;
	struct freeze freeze;
};

int live_find(struct live *l, const char *const *disks, size_t n, const char *root, vdisk_error *err);
void live_free(struct live *l);
/* Something of the disk is mounted for writing. */
bool live_on(const struct live *l, const char *disk);

/* The mount that holds a file or folder, or what it would be made in; NULL: none of these. */
const struct live_mount *live_holds(const struct live *l, const char *path);

/* Begins to hold still those that are not snapped: all that can be, or (`root_too` false) all but the system's own root.  What
   cannot be is told to `note`. */
void live_freeze(struct live *l, bool root_too, unsigned seconds, void (*note)(const char *message));
/* The disk is written to by snapshots that we made: its count tells nothing.  After live_watch(). */
void live_ours(struct live *l, size_t disk);
/* The same without: looks from now on whether they are written to. */
void live_watch(struct live *l, const char *root);
/* All file systems of the disk are frozen, or snapped. */
bool live_frozen(const struct live *l, const char *disk);
/* Nobody has written to what is read of the disk since live_freeze() or live_watch(): to its file systems, but for snapped ones, or
   where none of it is known to be mounted (as the second disk of a btrfs, one of ZFS, or what a program takes whole) to any of
   it. */
bool live_still(struct live *l, const char *disk, const char *root);
/* Lets go. */
void live_thaw(struct live *l);

#endif

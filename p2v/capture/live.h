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
	uint64_t written;  /* sectors, by the kernel's count, when the pass began */
	bool quiet;        /* nothing was written to it since */
};

struct live_disk {
	char name[64];
	uint64_t written;  /* as of a mount; known: it could be read */
	bool known;
};

struct live {
	struct find_mounts all;    /* those on the captured disks, one for each device and disk */
	struct live_mount *mounts; /* one for each device, in the order in which they were mounted */
	size_t n;
	struct live_disk *disks;   /* all that are captured */
	size_t n_disks;
	struct freeze freeze;
};

int live_find(struct live *l, const char *const *disks, size_t n, const char *root, vdisk_error *err);
void live_free(struct live *l);
/* Something of the disk is mounted for writing. */
bool live_on(const struct live *l, const char *disk);

/* The mount that holds a file or folder, or what it would be made in; NULL: none of these. */
const struct live_mount *live_holds(const struct live *l, const char *path);

/* Begins to hold them still: all that can be, or (`root_too` false) all but the system's own root.  What cannot be is told to `note`. */
void live_freeze(struct live *l, bool root_too, unsigned seconds, void (*note)(const char *message));
/* The same without: looks from now on whether they are written to. */
void live_watch(struct live *l, const char *root);
/* All file systems of the disk are frozen. */
bool live_frozen(const struct live *l, const char *disk);
/* Nobody has written to the disk since live_freeze() or live_watch(): to its file systems, or where none of it is known to be mounted (as the second
   disk of a btrfs, one of ZFS, or what a program takes whole) to any of it. */
bool live_still(struct live *l, const char *disk, const char *root);
/* Lets go. */
void live_thaw(struct live *l);

#endif

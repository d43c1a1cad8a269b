/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LVM snapshots of mounted volumes on the captured disks.  While one exists, what the disk's segments of the volume hold is read
 * from it, and LVM's own metadata on the disk is what it was before: in the capture there is no snapshot.
 *
 * Each has a tag that names this machine, its boot and this process; who finds one whose process is gone removes it.
 */
#ifndef CAPTURE_SNAP_H
#define CAPTURE_SNAP_H

#include "content.h"
#include "live.h"
#include "lvm.h"

#define SNAP_PREFIX "vdisk-capture-" /* of their names */

struct snap_piece { /* where a part of the volume lies on a disk that is captured */
	size_t disk;
	uint64_t off, len, at, piece, stride; /* as those of struct content_layer */
};

struct snap {
	char group[LVM_NAME], volume[LVM_NAME], name[LVM_NAME];
	char id[65];                 /* the volume's */
	size_t mount;                /* in live->mounts */
	uint64_t size, extent, room; /* bytes: of the volume; of an extent; for what is written meanwhile */
	struct snap_piece *pieces;
	size_t n_pieces;
	bool made, open;
	struct disk disk; /* the snapshot's device, if open */
};

struct snap_head { /* LVM's metadata on a disk */
	char group[LVM_NAME];
	size_t disk;
	uint64_t off, len;
	uint8_t *bytes;
};

struct snaps {
	struct snap *v;
	size_t n;
	struct snap_head *heads;
	size_t n_heads;
	struct content_layer **layers; /* of each disk */
	size_t *n_layers;
	struct ranges *own; /* of each disk: what the snapshots themselves take */
	size_t n_disks;
};

typedef void (*snap_say_fn)(const char *message);

/* Decides, changing nothing: which mounts can be snapped, with how much room, and where they lie; why others cannot stands in their
   `why_not`. `disks` are those that are captured.  -1: out of memory. */
int snap_plan(struct snaps *s, struct live *l, const struct lvm_facts *f, const struct disk *disks, size_t n, const char *root);

/* Makes the snapshots that can be made and marks their mounts as snapped; live_thaw() forgets that.  What went wrong is told to
   `note`, and has no consequence but that. */
void snap_take(struct snaps *s, struct live *l, struct disk *disks, size_t n, const char *root, snap_say_fn note);
/* Whether a snapshot has run full, so that what was read since is worth nothing. */
bool snap_broken(const struct snaps *s);
/* Removes them; what cannot be is told to `warn`. */
void snap_drop(struct snaps *s, snap_say_fn warn);
/* Something is read from them. */
bool snap_any(const struct snaps *s);

/* Removes what captures of this machine left that are gone; told to `warn`. */
void snap_stale(const struct lvm_facts *f, const char *root, snap_say_fn warn);
/* The tag of this process' snapshots, and whether one is that of a process of this machine which is gone. */
void snap_tag(char out[LVM_NAME], const char *root);
bool snap_tag_stale(const char *tag, const char *root);

/* What lvs, pvs and dmsetup say now. */
int snap_facts(struct lvm_facts *f, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB's readers as programs, confined: grub-fstest, and where there is FUSE grub-mount.  They read files on this machine that are disks, partitions
   or volumes; a device is what GRUB makes of them: "loop0", "loop0,gpt2", "lvm/vg-root", "mduuid/…", "crypto0". */
#ifndef ADAPT_INSPECT_GRUB_H
#define ADAPT_INSPECT_GRUB_H

#include "tree.h"

#define GRUB_FILES_MAX 64

struct grub_source {
	const char *files[GRUB_FILES_MAX]; /* borrowed */
	size_t files_n;
	const char *key;  /* a passphrase for what is encrypted on them; NULL: none; borrowed */
};

/* Is what this takes installed?  0, or -1 with *err. */
int grub_check(bool mounts, vdisk_error *err);
/* The devices that GRUB sees, each with a NUL behind.  1, 0 (it reads nothing), -1 with *err. */
int grub_devices(const struct grub_source *s, struct bytes *names, vdisk_error *err);
/* Bytes of the device; 0: not known. */
uint64_t grub_size(const struct grub_source *s, const char *device);
/* The first bytes of the device, whole sectors, `len` at most.  1, 0, -1. */
int grub_head(const struct grub_source *s, const char *device, size_t len, struct bytes *out, vdisk_error *err);

/* The device's file system as a tree: mounted at `folder`, which is there and empty, or (NULL) by grub-fstest alone, which is slow where much is
   looked at.  It is not `sure`: owners, modes and links do not show.  The mount may still be coming up when this returns: so several can at
   once; grub_tree_wait() is due before the first call.  NULL with *err. */
struct tree *grub_tree_open(const struct grub_source *s, const char *device, const char *folder, vdisk_error *err);
/* 1, or 0: GRUB does not read it; -1 with *err. */
int grub_tree_wait(struct tree *t, vdisk_error *err);

#endif

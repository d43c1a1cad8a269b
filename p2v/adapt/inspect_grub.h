/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB's readers as programs, confined: grub-fstest, and where there is FUSE grub-mount.  They read files on this machine that are
   disks, partitions or volumes; a device is what GRUB makes of them: "loop0", "loop0,gpt2", "lvm/vg-root", "mduuid/…",
   "crypto0". */
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
struct grub_device {
	char *name;
	uint64_t size;    /* bytes; 0: not known */
};

/* The devices that GRUB makes of the files, inside of LUKS only here and for grub_head(): GRUB's mount knows no ciphers, and for
   every look at a file grub-fstest would hash the passphrase anew.  1, 0 (it reads nothing), -1 with *err; grub_devices_free() is
   due in any case.  With a key each call of these takes as long as the passphrase's hashing. */
int grub_devices(const struct grub_source *s, struct grub_device **v, size_t *n, vdisk_error *err);
void grub_devices_free(struct grub_device *v, size_t n);
/* The first bytes of the device, `len` of them, whole sectors; fewer where it is shorter.  1, 0, -1. */
int grub_head(const struct grub_source *s, const char *device, size_t len, struct bytes *out, vdisk_error *err);

/* The device's file system as a tree: mounted at `folder`, which is there and empty, or (NULL) by grub-fstest alone, which is slow
   where much is looked at, and not for sources with a key.  It is not `sure`: owners, modes and links do not show.  The mount may
   still be coming up when this returns: so several can at once; grub_tree_wait() is due before the first call.  NULL with *err. */
struct tree *grub_tree_open(const struct grub_source *s, const char *device, const char *folder, vdisk_error *err);
/* 1, or 0: GRUB does not read it; -1 with *err. */
int grub_tree_wait(struct tree *t, vdisk_error *err);

#endif

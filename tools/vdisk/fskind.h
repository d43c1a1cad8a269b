/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of fs_scan() share; for fs*.c alone. */
#ifndef VDISK_TOOL_FSKIND_H
#define VDISK_TOOL_FSKIND_H

#include "fsfree.h"

#define FS_HEAD_KEPT (UINT64_C(1) << 20) /* boot loaders, labels, superblocks */

/* Sets the note and returns `a`. */
enum fs_answer fs_say(struct fs_scan *s, enum fs_answer a, const char *note);
/* The answer where a program, whose status this is, was to tell something and did not. */
enum fs_answer fs_no_help(struct fs_scan *s, const char *program, int status);

/* fsrest.c: FS_KNOWN if what its maps say holds. */
enum fs_answer fs_ext_at_rest(struct fs_scan *s);
enum fs_answer fs_xfs_at_rest(struct fs_scan *s);
enum fs_answer fs_btrfs_at_rest(struct fs_scan *s);
enum fs_answer fs_ntfs_at_rest(struct fs_scan *s);

/* fsbtrfs.c: makes of partclone's map of btrfs, which tells the first of two copies, what is free. */
enum fs_answer fs_btrfs_mirror(struct fs_scan *s);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stages of inspect_open().  Each: 0, or -1 with *err. */
#ifndef ADAPT_INSPECT_PARTS_H
#define ADAPT_INSPECT_PARTS_H

#include "inspect.h"

int inspect_keys(struct inspection *in, vdisk_error *err);
int inspect_disks(struct inspection *in, vdisk_error *err);     /* images opened and shown */
int inspect_pieces(struct inspection *in, vdisk_error *err);    /* what lies on them */
int inspect_systems(struct inspection *in, vdisk_error *err);   /* which systems, and their facts */
/* The whole guest through vdisk-files, a program of its own, which starts libguestfs's appliance: for what GRUB cannot open.  0, or
   -1 with *err. */
int guest_mount_open(struct inspection *in, vdisk_error *err);
void guest_mount_close(struct guest_mount *m);
struct tree *guest_mount_tree(struct guest_mount *m);
/* Joins the tree of a system whose root was found, and reads its facts. */
int system_read(struct inspection *in, struct system *s, vdisk_error *err);
/* The pieces as the facts of a guest begin. */
int inspect_fs_copy(const struct inspection *in, struct facts *f, vdisk_error *err);
void disk_close(struct disk *d);
void piece_destroy(struct piece *p);
void system_destroy(struct system *s);

/* A copy, never NULL; false in *ok: no memory. */
char *inspect_dup(const char *text, bool *ok);

#endif

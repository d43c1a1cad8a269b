/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * partitions/by-label, by-uuid and by-type: what libblkid says of the partitions' files.  It reads them through the mount, so a
 * thread of its own asks it, and requests that could tell whether a link is there wait meanwhile without holding one of FUSE's
 * threads.
 */
#ifndef VDISK_MOUNT_LINKS_H
#define VDISK_MOUNT_LINKS_H

#include "fs.h"

/* `ready` is called once, by the thread, when it has nothing to do for the first time.  NULL: out of memory. */
struct links *links_new(struct fs *fs, const char *mountpoint, void (*ready)(void *ctx), void *ctx);
/* After the mount is gone, before the session is.  Waiting requests are answered.  NULL is a no-op. */
void links_free(struct links *l);
/* Links for this folder "partitions" are wanted; its `unlinked` is set until they are there. */
void links_ask(struct links *l, struct node *partitions);
/* False: nothing to wait for any more.  True: answered later. */
bool links_wait_lookup(struct links *l, fuse_req_t req, struct node *folder, const char *name);
bool links_wait_readdir(struct links *l, fuse_req_t req, struct node *folder, size_t size, off_t off);

#endif

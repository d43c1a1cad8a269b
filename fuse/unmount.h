/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking a mount away, by oneself or through fusermount3. */
#ifndef VDISK_MOUNT_UNMOUNT_H
#define VDISK_MOUNT_UNMOUNT_H

#define UNMOUNT_SYNC   1u /* what the kernel has not written yet is written first, even if the mount then stays */
#define UNMOUNT_DETACH 2u /* even if it is in use */

/* 0, or an errno; what fusermount3 has to say to standard error is its own. */
int unmount(const char *mountpoint, unsigned flags);

#endif

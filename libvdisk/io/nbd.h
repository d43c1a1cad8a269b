/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exports of NBD servers (libnbd): nbd://, nbds://, nbd+unix://, nbds+unix://.  A kind of file and no format, since what an
 * export holds may be of any.  Holes are what the server's base:allocation says reads as zeros.
 *
 * For reading, what fails is tried again for some seconds, over a new connection where the old one is dead.  For writing,
 * requests are tried again, too, but a connection that dies is the end: what the server had not made durable may have gone with
 * it.
 */
#ifndef VD_IO_NBD_H
#define VD_IO_NBD_H

#include "io/file.h"

bool vd_nbd_uri_is(const char *path);
/* With `write` it is like a block device: its size is fixed; VD_FILE_BLANK, if all of it reads as zeros.  An export that
   cannot be written to is VDISK_IO with EROFS then.  Once *cancel (NULL: never) is non-zero the server is not waited for any more:
   VDISK_CANCELLED.  A build without libnbd: VDISK_UNSUPPORTED. */
int vd_file_nbd(const char *uri, bool write, const volatile int *cancel, struct vd_file **out, vd_error *err);
/* Reads f, such an export, by the same connections; to be closed before f. */
int vd_file_nbd_again(struct vd_file *f, struct vd_file **out, vd_error *err);

#endif

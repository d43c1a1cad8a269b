/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files on web servers, read by range: read-only, of the length that the server told at the start.  Bytes of another version of the
 * file than that one are never returned: each answer must have the same length and the same ETag (else time of the last change,
 * where the server tells either).  What may pass is tried again for some seconds; what is left then is VDISK_IO.
 */
#ifndef VD_IO_HTTP_H
#define VD_IO_HTTP_H

#include "io/file.h"

/* `remote` may be NULL; borrowed.  Once *cancel (NULL: never) is non-zero, which outlives the file and those beside it, the server is
   not waited for any more: VDISK_CANCELLED.  A build without libcurl: VDISK_UNSUPPORTED. */
int vd_file_http(const char *url, const struct vdisk_remote *remote, const volatile int *cancel, struct vd_file **out, vd_error *err);
/* What the image in f, a remote file, calls `name`, with the same ways of access; the limits of vd_url_beside(). */
int vd_file_http_beside(struct vd_file *f, const char *name, struct vd_file **out, vd_error *err);
/* Which version of the file it is; of f, a remote file. */
const char *vd_file_http_version(const struct vd_file *f);

#endif

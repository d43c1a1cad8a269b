/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of files of this host, as against those of images on servers.  Pure. */
#ifndef VD_IO_LOCAL_H
#define VD_IO_LOCAL_H

#include "base/error.h"

/* VDISK_UNSUPPORTED where `path` is the name of something on a server, by its form ("nbd://…", "https://…"). */
int vd_local_judge(const char *path, vd_error *err);

#endif

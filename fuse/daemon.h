/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A mount's whole life. */
#ifndef VDISK_MOUNT_DAEMON_H
#define VDISK_MOUNT_DAEMON_H

#include "args.h"

/* Opens, mounts, serves until the mount ends, and finishes the image.  A byte goes into ready_fd when everything is in place
   (-1: in the foreground).  Returns the exit status; what went wrong is said. */
int daemon_serve(struct args *a, int ready_fd);

#endif

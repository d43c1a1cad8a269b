/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One open image, served over one connected socket: how QEMU gets the very disk that the own machine would have. */
#ifndef RUNNER_NBD_H
#define RUNNER_NBD_H

#include "common/fail.h"

struct nbd;

/* Serves until the other side leaves.  Takes `fd`; borrows `img` until nbd_end(). */
int nbd_begin(vdisk_image *img, int fd, struct nbd **out, vdisk_error *err);
/* Hangs up and waits for what is under way.  NULL: no-op. */
void nbd_end(struct nbd *nbd);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk: VIRTIO 1.2 section 5.2, straight on an image. */
#ifndef RUNNER_VIRTIO_BLK_H
#define RUNNER_VIRTIO_BLK_H

#include "machine.h"

struct virtio_blk;

/* `img` is borrowed.  Returns owned in *out, with its threads running. */
int virtio_blk_create(struct machine *m, unsigned slot, unsigned index, vdisk_image *img, struct virtio_blk **out,
                      vdisk_error *err);
/* Lets the requests that are under way end. */
void virtio_blk_destroy(struct virtio_blk *b);

#endif

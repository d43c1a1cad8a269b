/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random numbers from the host: VIRTIO 1.2 section 5.4. */
#ifndef RUNNER_VIRTIO_RNG_H
#define RUNNER_VIRTIO_RNG_H

#include "machine.h"

struct virtio_rng;

/* Returns owned in *out, also when it fails half-way. */
int virtio_rng_create(struct machine *m, unsigned slot, struct virtio_rng **out, vdisk_error *err);
void virtio_rng_destroy(struct virtio_rng *r);

#endif

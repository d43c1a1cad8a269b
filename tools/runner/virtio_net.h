/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network card: VIRTIO 1.2 section 5.1, without offloads, on user networking. */
#ifndef RUNNER_VIRTIO_NET_H
#define RUNNER_VIRTIO_NET_H

#include "machine.h"

struct virtio_net;

/* Returns owned in *out, also when it fails half-way. */
int virtio_net_create(struct machine *m, unsigned slot, const char *mac, struct virtio_net **out, vdisk_error *err);
void virtio_net_destroy(struct virtio_net *n);
/* What its thread does over and over: waits, for `timeout` ms at most (-1: for ever), and moves frames.  false: it is to end. */
bool virtio_net_turn(struct virtio_net *n, int timeout);

#endif

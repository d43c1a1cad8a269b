/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network of the guest's own, whose connections go out through this process (libslirp): no rights needed, nothing comes in. */
#ifndef RUNNER_NET_USER_H
#define RUNNER_NET_USER_H

#include "common/fail.h"

#include <poll.h>

#define NET_FRAME_MAX 1518u

struct net_user;

/* A frame for the guest; borrowed. */
typedef void (*net_frame_fn)(void *ctx, const uint8_t *frame, size_t len);

/* All calls come from one thread at a time, and `deliver` out of them. */
int net_user_create(net_frame_fn deliver, void *ctx, struct net_user **out, vdisk_error *err);
void net_user_destroy(struct net_user *n);
/* A frame of the guest's. */
void net_user_send(struct net_user *n, const uint8_t *frame, size_t len);
/* What to wait for: appends to the `n_fds` descriptors of `fds`, which has room for `room`, lowers *timeout (ms; -1: for ever) and
   returns how many there are now.  Afterwards net_user_polled() with the same array; `failed`: poll() did. */
unsigned net_user_poll(struct net_user *n, struct pollfd *fds, unsigned n_fds, unsigned room, int *timeout);
void net_user_polled(struct net_user *n, const struct pollfd *fds, bool failed);

#endif

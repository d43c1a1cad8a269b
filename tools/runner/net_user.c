/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 10.0.2.0/24 and fec0::/64, addresses by DHCP, the host's resolver at 10.0.2.3; the host's own loopback cannot be reached, no port
 * is forwarded, no file served.  Not locked: one thread at a time.
 */
#include "net_user.h"

#include <slirp/libslirp.h>
#include <stdlib.h>
#include <time.h>

#define TIMERS_MAX 8

struct timer {
	SlirpTimerCb fn;
	void *ctx;
	int64_t due; /* ms; -1: not set */
	bool used;
};

struct net_user {
	Slirp *slirp;
	net_frame_fn deliver;
	void *ctx;
	struct timer timers[TIMERS_MAX];
	struct pollfd *fds; /* while net_user_poll() fills them */
	unsigned n_fds, room;
	const struct pollfd *polled;
};

static ssize_t on_frame(const void *frame, size_t len, void *opaque)
{
	struct net_user *n = opaque;

	n->deliver(n->ctx, frame, len);
	return (ssize_t)len;
}

static void on_guest_error(const char *message, void *opaque)
{
	(void)message;
	(void)opaque;
}

static int64_t on_clock(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ms(void)
{
	return on_clock(NULL) / 1000000;
}

static void *on_timer_new(SlirpTimerCb fn, void *ctx, void *opaque)
{
	struct net_user *n = opaque;

	for (unsigned i = 0; i < TIMERS_MAX; i++)
		if (!n->timers[i].used) {
			n->timers[i] = (struct timer){ .fn = fn, .ctx = ctx, .due = -1, .used = true };
			return &n->timers[i];
		}
	abort(); /* it has one */
}

static void on_timer_free(void *timer, void *opaque)
{
	(void)opaque;
	((struct timer *)timer)->used = false;
}

static void on_timer_mod(void *timer, int64_t due, void *opaque)
{
	(void)opaque;
	((struct timer *)timer)->due = due;
}

static void on_poll_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void on_notify(void *opaque)
{
	(void)opaque; /* it comes out of net_user_send(), after which the descriptors are asked for anew */
}

static const SlirpCb callbacks = {
	.send_packet = on_frame,
	.guest_error = on_guest_error,
	.clock_get_ns = on_clock,
	.timer_new = on_timer_new,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_poll_fd,
	.unregister_poll_fd = on_poll_fd,
	.notify = on_notify,
};

int net_user_create(net_frame_fn deliver, void *ctx, struct net_user **out, vdisk_error *err)
{
	struct net_user *n = calloc(1, sizeof(*n));
	SlirpConfig c = {
		.version = 1,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000202),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
		.vnameserver.s_addr = htonl(0x0a000203),
		.in6_enabled = true,
		.vprefix_len = 64,
		.disable_host_loopback = true,
	};

	if (!n)
		return fail(err, VDISK_NOMEM, "out of memory");
	inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
	inet_pton(AF_INET6, "fec0::2", &c.vhost6);
	inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
	n->deliver = deliver;
	n->ctx = ctx;
	n->slirp = slirp_new(&c, &callbacks, n);
	if (!n->slirp) {
		free(n);
		return fail(err, VDISK_UNSUPPORTED, "user networking cannot be set up");
	}
	*out = n;
	return 0;
}

void net_user_destroy(struct net_user *n)
{
	if (!n)
		return;
	slirp_cleanup(n->slirp);
	free(n);
}

void net_user_send(struct net_user *n, const uint8_t *frame, size_t len)
{
	slirp_input(n->slirp, frame, (int)len);
}

static int on_poll_add(int fd, int events, void *opaque)
{
	struct net_user *n = opaque;
	short e = 0;

	if (n->n_fds == n->room)
		return -1; /* it waits for another turn */
	if (events & SLIRP_POLL_IN)
		e |= POLLIN;
	if (events & SLIRP_POLL_OUT)
		e |= POLLOUT;
	if (events & SLIRP_POLL_PRI)
		e |= POLLPRI;
	n->fds[n->n_fds] = (struct pollfd){ .fd = fd, .events = e };
	return (int)n->n_fds++;
}

static int on_poll_result(int i, void *opaque)
{
	struct net_user *n = opaque;
	int r = i < 0 ? 0 : n->polled[i].revents;

	return (r & POLLIN ? SLIRP_POLL_IN : 0) | (r & POLLOUT ? SLIRP_POLL_OUT : 0) | (r & POLLPRI ? SLIRP_POLL_PRI : 0) |
	       (r & POLLERR ? SLIRP_POLL_ERR : 0) | (r & POLLHUP ? SLIRP_POLL_HUP : 0);
}

unsigned net_user_poll(struct net_user *n, struct pollfd *fds, unsigned n_fds, unsigned room, int *timeout)
{
	uint32_t wait = *timeout < 0 ? UINT32_MAX : (uint32_t)*timeout;
	int64_t now = now_ms();

	n->fds = fds;
	n->n_fds = n_fds;
	n->room = room;
	slirp_pollfds_fill(n->slirp, &wait, on_poll_add, n);
	for (unsigned i = 0; i < TIMERS_MAX; i++) {
		const struct timer *t = &n->timers[i];

		if (t->used && t->due >= 0 && t->due - now < wait)
			wait = t->due > now ? (uint32_t)(t->due - now) : 0;
	}
	*timeout = wait > INT32_MAX ? -1 : (int)wait;
	return n->n_fds;
}

void net_user_polled(struct net_user *n, const struct pollfd *fds, bool failed)
{
	int64_t now = now_ms();

	n->polled = fds;
	slirp_pollfds_poll(n->slirp, failed, on_poll_result, n);
	for (unsigned i = 0; i < TIMERS_MAX; i++) {
		struct timer *t = &n->timers[i];

		if (t->used && t->due >= 0 && t->due <= now) {
			t->due = -1;
			t->fn(t->ctx);
		}
	}
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread does it all: it takes what the guest sends, lets the network work, and gives the guest what came.  Frames for which
 * the guest has no buffer wait, up to BACKLOG of them; more are lost, as on any wire.  A chain that was taken is given back once.
 */
#include "virtio_net.h"
#include "iov.h"
#include "common/numbers.h"
#include "net_user.h"
#include "thread.h"
#include "virtio_pci.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NET_F_MAC    (1u << 5)
#define NET_F_STATUS (1u << 16)
#define CONFIG_BYTES 8
#define DEFAULT_MAC  "52:54:00:12:34:56"
#define BACKLOG      256
#define POLLS_MAX    512
#define BATCH        64 /* frames of the guest in one turn, so that it cannot keep the network from its turn */

enum { QUEUE_RX, QUEUE_TX, QUEUES };

struct frame {
	size_t len;
	uint8_t bytes[NET_FRAME_MAX];
};

struct virtio_net {
	struct virtio_pci vp; /* first */
	uint8_t config[CONFIG_BYTES];
	struct net_user *net;
	struct frame *backlog;
	unsigned backlog_at, backlog_n;
	int quit_fd;
	pthread_t thread;
	bool started;
};

static unsigned header_bytes(const struct virtio_net *n)
{
	return n->vp.features & VIRTIO_F_VERSION_1 ? 12 : 10;
}

/* ---- to the guest */

/* false: there is no buffer. */
static bool frame_give(struct virtio_net *n, const uint8_t *frame, size_t len)
{
	uint8_t bytes[12 + NET_FRAME_MAX] = { 0 };
	struct chain chain;

	if (!virtio_pci_take(&n->vp, QUEUE_RX, &chain))
		return false;
	unsigned head = header_bytes(n);
	if (head == 12)
		le16_put(bytes + 10, 1); /* buffers */
	memcpy(bytes + head, frame, len);
	/* A buffer that is too short loses the frame. */
	size_t written = iov_bytes(chain.in, chain.n_in) >= head + len ? iov_fill(chain.in, chain.n_in, bytes, head + len) : 0;
	virtio_pci_give(&n->vp, QUEUE_RX, chain.head, (uint32_t)written);
	return true;
}

static void backlog_give(struct virtio_net *n)
{
	while (n->backlog_n && frame_give(n, n->backlog[n->backlog_at].bytes, n->backlog[n->backlog_at].len)) {
		n->backlog_at = (n->backlog_at + 1) % BACKLOG;
		n->backlog_n--;
	}
}

static void on_frame(void *ctx, const uint8_t *bytes, size_t len)
{
	struct virtio_net *n = ctx;

	if (len > NET_FRAME_MAX || (!n->backlog_n && frame_give(n, bytes, len)) || n->backlog_n == BACKLOG)
		return;
	struct frame *f = &n->backlog[(n->backlog_at + n->backlog_n++) % BACKLOG];
	f->len = len;
	memcpy(f->bytes, bytes, len);
}

/* ---- from the guest */

static bool frame_take(struct virtio_net *n)
{
	uint8_t bytes[NET_FRAME_MAX], head[12];
	struct chain chain;

	if (!virtio_pci_take(&n->vp, QUEUE_TX, &chain))
		return false;
	struct iovec *v = chain.out;
	unsigned n_v = chain.n_out;
	bool whole = !iov_take(&v, &n_v, head, header_bytes(n));
	uint64_t len = iov_bytes(v, n_v);
	if (whole && len <= sizeof(bytes) && !iov_take(&v, &n_v, bytes, (size_t)len))
		net_user_send(n->net, bytes, (size_t)len);
	virtio_pci_give(&n->vp, QUEUE_TX, chain.head, 0);
	return true;
}

static void fd_drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* nobody had written */
}

bool virtio_net_turn(struct virtio_net *n, int timeout)
{
	struct pollfd fds[POLLS_MAX] = {
		{ .fd = n->quit_fd, .events = POLLIN },
		{ .fd = n->vp.kick_fds[QUEUE_RX], .events = POLLIN },
		{ .fd = n->vp.kick_fds[QUEUE_TX], .events = POLLIN },
	};
	unsigned n_fds = net_user_poll(n->net, fds, 3, POLLS_MAX, &timeout);
	int r = poll(fds, n_fds, timeout);

	if (r < 0 && errno != EINTR)
		return false;
	if (r >= 0 && fds[0].revents)
		return false;
	if (r > 0 && fds[1].revents)
		fd_drain(fds[1].fd);
	if (r > 0 && fds[2].revents)
		fd_drain(fds[2].fd);
	net_user_polled(n->net, fds, r < 0);
	backlog_give(n);
	/* What is left in the ring has written to the eventfd again. */
	for (unsigned i = 0; i < BATCH && frame_take(n); i++)
		;
	return true;
}

static void *net_thread(void *arg)
{
	while (virtio_net_turn(arg, -1))
		;
	return NULL;
}

/* ---- the device */

static int mac_parse(struct virtio_net *n, const char *text, vdisk_error *err)
{
	uint8_t *c = n->config;
	int end = 0;

	int n_read = sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", c, c + 1, c + 2, c + 3, c + 4, c + 5, &end);
	if (n_read != 6 || text[end] || end != 17)
		return fail(err, VDISK_INVALID, "%s: not a MAC address", text);
	if (c[0] & 1)
		return fail(err, VDISK_INVALID, "%s: the MAC address of a group, not of one card", text);
	le16_put(c + 6, 1); /* the link is up */
	return 0;
}

int virtio_net_create(struct machine *m, unsigned slot, const char *mac, struct virtio_net **out, vdisk_error *err)
{
	struct virtio_net *n = calloc(1, sizeof(*n));

	if (!n)
		return fail(err, VDISK_NOMEM, "out of memory");
	*out = n;
	const struct virtio_config config = {
		.type = 1,
		.class_code = 0x020000,
		.features = NET_F_MAC | NET_F_STATUS,
		.n_queues = QUEUES,
		.bytes = n->config,
		.n_bytes = CONFIG_BYTES,
	};
	n->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (virtio_pci_init(&n->vp, m, slot, &config, err))
		return -1;
	if (n->quit_fd < 0)
		return fail_errno(err, "eventfd");
	n->backlog = calloc(BACKLOG, sizeof(*n->backlog));
	if (!n->backlog)
		return fail(err, VDISK_NOMEM, "out of memory");
	if (mac_parse(n, mac && *mac ? mac : DEFAULT_MAC, err) || net_user_create(on_frame, n, &n->net, err))
		return -1;
	if (thread_start(&n->thread, net_thread, n, "the network card's thread", err))
		return -1;
	n->started = true;
	return 0;
}

void virtio_net_destroy(struct virtio_net *n)
{
	uint64_t one = 1;

	if (!n)
		return;
	if (n->started && write(n->quit_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(n->thread, NULL);
	if (n->quit_fd >= 0)
		close(n->quit_fd);
	net_user_destroy(n->net);
	free(n->backlog);
	virtio_pci_destroy(&n->vp);
	free(n);
}

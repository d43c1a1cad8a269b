/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A chain is filled up to REQUEST_MAX bytes, so that a guest cannot keep the host busy with one request. */
#include "virtio_rng.h"
#include "iov.h"
#include "virtio_pci.h"
#include "workers.h"

#include <stdlib.h>
#include <sys/random.h>

#define REQUEST_MAX 4096

struct virtio_rng {
	struct virtio_pci vp; /* first */
	struct workers *workers;
};

static bool rng_serve(void *dev, unsigned queue)
{
	struct virtio_rng *r = dev;
	uint8_t bytes[REQUEST_MAX];
	struct chain chain;

	if (!virtio_pci_take(&r->vp, queue, &chain))
		return false;
	uint64_t room = iov_bytes(chain.in, chain.n_in);
	ssize_t n = getrandom(bytes, room < sizeof(bytes) ? room : sizeof(bytes), 0);
	size_t written = n > 0 ? iov_fill(chain.in, chain.n_in, bytes, (size_t)n) : 0;
	virtio_pci_give(&r->vp, queue, chain.head, (uint32_t)written);
	return true;
}

int virtio_rng_create(struct machine *m, unsigned slot, struct virtio_rng **out, vdisk_error *err)
{
	static const struct virtio_config config = { .type = 4, .class_code = 0x00ff00, .n_queues = 1 };
	struct virtio_rng *r = calloc(1, sizeof(*r));

	if (!r)
		return fail(err, VDISK_NOMEM, "out of memory");
	*out = r;
	if (virtio_pci_init(&r->vp, m, slot, &config, err))
		return -1;
	return workers_create(r->vp.kick_fds, 1, 1, rng_serve, r, &r->workers, err);
}

void virtio_rng_destroy(struct virtio_rng *r)
{
	if (!r)
		return;
	workers_destroy(r->workers);
	virtio_pci_destroy(&r->vp);
	free(r);
}

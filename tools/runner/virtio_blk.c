/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several threads serve a disk's queues, each one request at a time and no lock held over it.  A chain that was taken is given back
 * exactly once, whatever became of it.  Requests end in any order, as the specification has it: a flush is for those that ended
 * before it began, and vdisk_flush() promises just that.
 */
#include "virtio_blk.h"
#include "iov.h"
#include "common/numbers.h"
#include "virtio_pci.h"
#include "workers.h"

#include <stdio.h>
#include <stdlib.h>

#define BLK_F_SEG_MAX  (1u << 2)
#define BLK_F_RO       (1u << 5)
#define BLK_F_BLK_SIZE (1u << 6)
#define BLK_F_FLUSH    (1u << 9)
#define BLK_F_MQ       (1u << 12)
#define BLK_F_DISCARD  (1u << 13)
#define BLK_F_ZEROES   (1u << 14)

enum { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8, BLK_DISCARD = 11, BLK_ZEROES = 13 };
enum { BLK_OK, BLK_ERROR, BLK_UNSUPPORTED };

#define CONFIG_BYTES     60
#define HEADER_BYTES     16
#define SECTOR           512u
#define THREADS          8 /* requests under way at once */
#define RANGES_MAX       16
#define RANGE_SECTORS_MAX (1u << 21) /* 1 GiB, so that a request ends in time */

struct virtio_blk {
	struct virtio_pci vp; /* first */
	vdisk_image *img;
	uint64_t sectors;
	unsigned index;
	uint8_t config[CONFIG_BYTES];
	struct workers *workers;
};

static int transfer(struct virtio_blk *b, bool in, uint64_t sector, const struct iovec *v, unsigned n)
{
	uint64_t bytes = iov_bytes(v, n);

	if (bytes % SECTOR || sector > b->sectors || bytes / SECTOR > b->sectors - sector)
		return BLK_ERROR;
	int r = in ? vdisk_preadv(b->img, v, (int)n, sector * SECTOR, NULL)
	           : vdisk_pwritev(b->img, v, (int)n, sector * SECTOR, NULL);
	return r ? BLK_ERROR : BLK_OK;
}

static int ranges(struct virtio_blk *b, bool discard, struct iovec *v, unsigned n)
{
	uint64_t bytes = iov_bytes(v, n);
	uint8_t range[16];

	if (!bytes || bytes % sizeof(range) || bytes / sizeof(range) > RANGES_MAX)
		return BLK_ERROR;
	while (!iov_take(&v, &n, range, sizeof(range))) {
		uint64_t sector = le64_get(range);
		uint32_t len = le32_get(range + 8), flags = le32_get(range + 12);

		if (flags & ~1u || (discard && flags))
			return BLK_UNSUPPORTED;
		if (len > RANGE_SECTORS_MAX || sector > b->sectors || len > b->sectors - sector)
			return BLK_ERROR;
		if (discard ? vdisk_discard(b->img, sector * SECTOR, (uint64_t)len * SECTOR, NULL)
		            : vdisk_zero(b->img, sector * SECTOR, (uint64_t)len * SECTOR, NULL))
			return BLK_ERROR;
	}
	return BLK_OK;
}

/* *written: how much of the buffers, without the status, was filled. */
static int perform(struct virtio_blk *b, const uint8_t *header, struct iovec *out, unsigned n_out, struct iovec *in, unsigned n_in,
                   uint64_t *written)
{
	uint64_t sector = le64_get(header + 8);
	char id[20] = { 0 };
	int status;

	switch (le32_get(header)) {
	case BLK_IN:
		status = transfer(b, true, sector, in, n_in);
		*written = status == BLK_OK ? iov_bytes(in, n_in) : 0;
		return status;
	case BLK_OUT:
		return vdisk_is_writable(b->img) ? transfer(b, false, sector, out, n_out) : BLK_ERROR;
	case BLK_FLUSH:
		return vdisk_is_writable(b->img) && vdisk_flush(b->img, NULL) ? BLK_ERROR : BLK_OK;
	case BLK_GET_ID:
		snprintf(id, sizeof(id), "vdisk%u", b->index);
		*written = iov_fill(in, n_in, id, sizeof(id));
		return BLK_OK;
	case BLK_DISCARD:
	case BLK_ZEROES:
		return vdisk_is_writable(b->img) ? ranges(b, le32_get(header) == BLK_DISCARD, out, n_out) : BLK_ERROR;
	default:
		return BLK_UNSUPPORTED;
	}
}

/* The bytes written into the chain's buffers. */
static uint32_t serve(struct virtio_blk *b, struct chain *c)
{
	struct iovec *out = c->out;
	unsigned n_out = c->n_out, n_in = c->n_in;
	uint8_t header[HEADER_BYTES];
	uint64_t written = 0;

	if (!n_in)
		return 0; /* no place for a status: nothing is done that could not be reported */
	struct iovec *last = &c->in[n_in - 1];
	uint8_t *status = (uint8_t *)last->iov_base + --last->iov_len;
	if (!last->iov_len)
		n_in--;
	if (iov_take(&out, &n_out, header, sizeof(header)))
		*status = BLK_ERROR;
	else
		*status = (uint8_t)perform(b, header, out, n_out, c->in, n_in, &written);
	return (uint32_t)(written + 1);
}

static bool queue_serve(void *dev, unsigned i)
{
	struct virtio_blk *b = dev;
	struct chain chain;

	if (!virtio_pci_take(&b->vp, i, &chain))
		return false;
	uint16_t head = chain.head;
	virtio_pci_give(&b->vp, i, head, serve(b, &chain));
	return true;
}

/* ---- the device */

static void config_encode(struct virtio_blk *b, unsigned n_queues)
{
	le64_put(b->config, b->sectors);
	le32_put(b->config + 12, VIRTQUEUE_MAX - 2);   /* seg_max */
	le32_put(b->config + 20, SECTOR);              /* blk_size */
	le16_put(b->config + 34, (uint16_t)n_queues);
	le32_put(b->config + 36, RANGE_SECTORS_MAX);   /* discard: sectors, ranges, alignment */
	le32_put(b->config + 40, RANGES_MAX);
	le32_put(b->config + 44, 65536 / SECTOR);
	le32_put(b->config + 48, RANGE_SECTORS_MAX);   /* write zeroes: sectors, ranges, may unmap */
	le32_put(b->config + 52, RANGES_MAX);
	b->config[56] = 1;
}

int virtio_blk_create(struct machine *m, unsigned slot, unsigned index, vdisk_image *img, struct virtio_blk **out, vdisk_error *err)
{
	struct virtio_blk *b = calloc(1, sizeof(*b));
	unsigned n_queues = m->config->n_cpus;

	if (!b)
		return fail(err, VDISK_NOMEM, "out of memory");
	b->img = img;
	b->index = index;
	b->sectors = vdisk_size(img) / SECTOR;
	config_encode(b, n_queues);
	struct virtio_config config = {
		.type = 2,
		.class_code = 0x010000,
		.features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | BLK_F_MQ | BLK_F_DISCARD | BLK_F_ZEROES,
		.n_queues = n_queues,
		.bytes = b->config,
		.n_bytes = CONFIG_BYTES,
	};
	if (!vdisk_is_writable(img))
		config.features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_MQ | BLK_F_RO;
	*out = b;
	if (virtio_pci_init(&b->vp, m, slot, &config, err))
		return -1;
	return workers_create(b->vp.kick_fds, n_queues, THREADS, queue_serve, b, &b->workers, err);
}

void virtio_blk_destroy(struct virtio_blk *b)
{
	if (!b)
		return;
	workers_destroy(b->workers);
	virtio_pci_destroy(&b->vp);
	free(b);
}

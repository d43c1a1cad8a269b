/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PCI transport of virtio devices, modern and transitional: VIRTIO 1.2 section 4.1. */
#ifndef RUNNER_VIRTIO_PCI_H
#define RUNNER_VIRTIO_PCI_H

#include "pci.h"
#include "virtqueue.h"

#define VIRTIO_QUEUES_MAX  16
#define VIRTIO_VECTORS_MAX (VIRTIO_QUEUES_MAX + 1)
#define VIRTIO_NO_VECTOR   0xffff

#define VIRTIO_F_INDIRECT  (UINT64_C(1) << 28)
#define VIRTIO_F_EVENT_IDX (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1 (UINT64_C(1) << 32)

struct virtio_config {
	uint16_t type;            /* 1: network, 2: block, 4: entropy */
	uint32_t class_code;
	uint64_t features;        /* besides the ones above, which the transport adds */
	unsigned n_queues;
	const uint8_t *bytes;     /* the device's own configuration, read-only; borrowed for ever */
	unsigned n_bytes;
};

/* Devices begin with one of these and serve their queues in threads of their own. */
struct virtio_pci {
	struct pci_dev dev;       /* first */
	struct virtio_config config;
	uint64_t features;        /* negotiated */
	uint32_t offer_sel, accept_sel;
	uint16_t queue_sel;
	uint8_t status;
	bool lost;                /* a ring was broken: needs a reset */

	pthread_mutex_t io_lock;  /* guards the queues, `features` and the three below against I/O threads; between the machine's
	                             lock and irq_lock */
	pthread_cond_t idle;
	unsigned taken;           /* chains that were taken and not given back */
	bool resetting;           /* none is taken any more */
	struct virtqueue queues[VIRTIO_QUEUES_MAX];
	int kick_fds[VIRTIO_QUEUES_MAX]; /* eventfds: the driver notified */

	pthread_mutex_t irq_lock; /* guards what follows; only the bus's line lock is taken inside */
	uint8_t isr;
	uint16_t config_vector, queue_vectors[VIRTIO_QUEUES_MAX];
	uint8_t msix_table[VIRTIO_VECTORS_MAX * 16];
	uint32_t msix_pending;
	bool msix_on, msix_masked;
	bool line_off;            /* by the PCI command register */
};

int virtio_pci_init(struct virtio_pci *vp, struct machine *m, unsigned slot, const struct virtio_config *config, vdisk_error *err);
void virtio_pci_destroy(struct virtio_pci *vp);

/* From I/O threads.  Takes a chain off a queue; the caller owes it a virtio_pci_give(), for which a reset of the device waits.
   false: none is there.  Where more are there it wakes another thread. */
bool virtio_pci_take(struct virtio_pci *vp, unsigned queue, struct chain *chain);
/* The device wrote `written` bytes into the chain's buffers. */
void virtio_pci_give(struct virtio_pci *vp, unsigned queue, uint16_t head, uint32_t written);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MSI-X of a virtio device: PCI 3.0 section 6.8.2. */
#ifndef RUNNER_MSIX_H
#define RUNNER_MSIX_H

#include "virtio_pci.h"

/* The capability; one vector more than there are queues. */
void msix_add(struct virtio_pci *vp);
/* BAR 1: the table at 0, the pending bits at 0x800. */
uint64_t msix_read(void *vp, uint64_t off, unsigned size);
void msix_write(void *vp, uint64_t off, unsigned size, uint64_t value);
/* Takes over what the guest wrote into the capability and the command register. */
void msix_config_written(struct virtio_pci *vp);
/* irq_lock held.  A vector that is masked stays pending. */
void msix_fire(struct virtio_pci *vp, uint16_t vector);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Message-signalled interrupts with a single message and a 64-bit address: PCI 3.0 section 6.8.1. */
#ifndef RUNNER_MSI_H
#define RUNNER_MSI_H

#include "pci.h"

#define MSI_BYTES 14

/* Returns the capability's offset. */
unsigned msi_add(struct pci_dev *dev);
/* What the guest has set; machine's lock held. */
bool msi_get(const struct pci_dev *dev, unsigned cap, uint64_t *addr, uint32_t *data);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registers stand in configuration space and do nothing by themselves. */
#include "msi.h"
#include "common/numbers.h"

unsigned msi_add(struct pci_dev *dev)
{
	unsigned at = pci_add_capability(dev, 0x05, MSI_BYTES);

	le16_put(dev->config + at + 2, 0x0080);          /* 64 bits, one message */
	dev->writable[at + 2] = 0x01;
	le32_put(dev->writable + at + 4, 0xfffffffc);
	le32_put(dev->writable + at + 8, 0xffffffff);
	le16_put(dev->writable + at + 12, 0xffff);
	return at;
}

bool msi_get(const struct pci_dev *dev, unsigned cap, uint64_t *addr, uint32_t *data)
{
	const uint8_t *c = dev->config + cap;

	*addr = le64_get(c + 4);
	*data = le16_get(c + 12);
	return c[2] & 1;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table is the device's memory; all of it is guarded by irq_lock. */
#include "msix.h"
#include "common/numbers.h"

#define PENDING_AT 0x800
#define CAP_AT     0x40 /* the first capability */

static unsigned table_bytes(const struct virtio_pci *vp)
{
	return (vp->config.n_queues + 1) * 16;
}

void msix_add(struct virtio_pci *vp)
{
	unsigned at = pci_add_capability(&vp->dev, 0x11, 12);

	le16_put(vp->dev.config + at + 2, (uint16_t)vp->config.n_queues);
	le16_put(vp->dev.writable + at + 2, 0xc000);
	le32_put(vp->dev.config + at + 4, 1);
	le32_put(vp->dev.config + at + 8, PENDING_AT | 1);
	for (unsigned i = 0; i <= vp->config.n_queues; i++)
		vp->msix_table[16 * i + 12] = 1; /* masked */
}

void msix_fire(struct virtio_pci *vp, uint16_t vector)
{
	if (vector > vp->config.n_queues)
		return;
	const uint8_t *e = vp->msix_table + 16 * vector;
	if (vp->msix_masked || e[12] & 1) {
		vp->msix_pending |= 1u << vector;
		return;
	}
	vp->msix_pending &= ~(1u << vector);
	vm_msi(&pci_machine(vp->dev.pci)->vm, le64_get(e), le32_get(e + 8));
}

static void pending_fire(struct virtio_pci *vp)
{
	for (uint16_t i = 0; vp->msix_on && i <= vp->config.n_queues; i++)
		if (vp->msix_pending & 1u << i)
			msix_fire(vp, i);
}

uint64_t msix_read(void *opaque, uint64_t off, unsigned size)
{
	struct virtio_pci *vp = opaque;
	uint64_t v = 0;

	pthread_mutex_lock(&vp->irq_lock);
	if (off + size <= table_bytes(vp))
		v = le_get(vp->msix_table + off, size);
	else if (off == PENDING_AT)
		v = vp->msix_pending;
	pthread_mutex_unlock(&vp->irq_lock);
	return v;
}

void msix_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct virtio_pci *vp = opaque;

	if (off + size > table_bytes(vp) || size < 4 || off % size)
		return;
	pthread_mutex_lock(&vp->irq_lock);
	le_put(vp->msix_table + off, size, value);
	pending_fire(vp);
	pthread_mutex_unlock(&vp->irq_lock);
}

void msix_config_written(struct virtio_pci *vp)
{
	uint16_t control = le16_get(vp->dev.config + CAP_AT + 2);

	pthread_mutex_lock(&vp->irq_lock);
	vp->msix_on = control & 0x8000;
	vp->msix_masked = control & 0x4000;
	vp->line_off = vp->dev.config[5] & 4;
	pci_line_set(&vp->dev, vp->isr && !vp->line_off && !vp->msix_on);
	pending_fire(vp);
	pthread_mutex_unlock(&vp->irq_lock);
}

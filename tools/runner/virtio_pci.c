/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * BAR 0: the legacy interface (ports).  BAR 1: MSI-X.  BAR 4: the modern one: common configuration at 0, ISR at 0x1000, the
 * device's own configuration at 0x2000, notifications at 0x3000 with 4 bytes a queue.
 *
 * Registers are guarded by the machine's lock; what I/O threads share, by io_lock and irq_lock (see the header for the order).
 */
#include "virtio_pci.h"
#include "common/numbers.h"
#include "msix.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define COMMON_BYTES 56
#define ISR_AT       0x1000u
#define DEVICE_AT    0x2000u
#define NOTIFY_AT    0x3000u
#define MODERN_BYTES 0x4000u
#define LEGACY_BYTES 0x80u

#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 0x40u

static uint64_t features_offered(const struct virtio_pci *vp)
{
	return vp->config.features | VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1;
}

static void kick(struct virtio_pci *vp, unsigned queue)
{
	uint64_t one = 1;

	if (queue < vp->config.n_queues && write(vp->kick_fds[queue], &one, sizeof(one)) < 0)
		return; /* its counter is full: it is awake anyway */
}

static void device_reset(struct virtio_pci *vp)
{
	pthread_mutex_lock(&vp->io_lock);
	vp->resetting = true;
	while (vp->taken) /* requests that are under way end first: they use the guest's memory */
		pthread_cond_wait(&vp->idle, &vp->io_lock);
	vp->resetting = false;
	for (unsigned i = 0; i < vp->config.n_queues; i++)
		virtqueue_reset(&vp->queues[i]);
	vp->features = 0;
	vp->lost = false;
	pthread_mutex_unlock(&vp->io_lock);
	vp->status = 0;
	vp->queue_sel = 0;
	pthread_mutex_lock(&vp->irq_lock);
	vp->isr = 0;
	vp->msix_pending = 0;
	vp->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		vp->queue_vectors[i] = VIRTIO_NO_VECTOR;
	pci_line_set(&vp->dev, false);
	pthread_mutex_unlock(&vp->irq_lock);
}

static uint8_t status_get(struct virtio_pci *vp)
{
	pthread_mutex_lock(&vp->io_lock);
	uint8_t status = vp->status | (vp->lost ? STATUS_NEEDS_RESET : 0);
	pthread_mutex_unlock(&vp->io_lock);
	return status;
}

static void status_set(struct virtio_pci *vp, uint8_t status, bool legacy)
{
	if (!status) {
		device_reset(vp);
		return;
	}
	if (!legacy && status & STATUS_FEATURES_OK &&
	    (vp->features & ~features_offered(vp) || !(vp->features & VIRTIO_F_VERSION_1)))
		status &= (uint8_t)~STATUS_FEATURES_OK;
	bool started = status & ~vp->status & STATUS_DRIVER_OK;
	vp->status = status;
	for (unsigned i = 0; started && i < vp->config.n_queues; i++)
		kick(vp, i); /* what was queued before counts, too */
}

static void features_accept(struct virtio_pci *vp, unsigned half, uint32_t bits)
{
	if (half > 1 || vp->status & STATUS_FEATURES_OK)
		return;
	pthread_mutex_lock(&vp->io_lock);
	vp->features &= half ? 0xffffffffull : 0xffffffff00000000ull;
	vp->features |= (uint64_t)bits << 32 * half;
	pthread_mutex_unlock(&vp->io_lock);
}

static void queue_enable(struct virtio_pci *vp, struct virtqueue *q)
{
	pthread_mutex_lock(&vp->io_lock);
	q->event_idx = vp->features & VIRTIO_F_EVENT_IDX;
	q->indirect = vp->features & VIRTIO_F_INDIRECT;
	if (!q->enabled && virtqueue_enable(q, &pci_machine(vp->dev.pci)->vm))
		vp->lost = true;
	pthread_mutex_unlock(&vp->io_lock);
}

static uint8_t isr_take(struct virtio_pci *vp)
{
	pthread_mutex_lock(&vp->irq_lock);
	uint8_t isr = vp->isr;
	vp->isr = 0;
	pci_line_set(&vp->dev, false);
	pthread_mutex_unlock(&vp->irq_lock);
	return isr;
}

static uint16_t vector_valid(const struct virtio_pci *vp, uint16_t v)
{
	return v <= vp->config.n_queues ? v : VIRTIO_NO_VECTOR;
}

static struct virtqueue *queue_selected(struct virtio_pci *vp)
{
	return vp->queue_sel < vp->config.n_queues ? &vp->queues[vp->queue_sel] : NULL;
}

/* ---- common configuration, section 4.1.4.3 */

static void common_encode(struct virtio_pci *vp, uint8_t regs[COMMON_BYTES])
{
	const struct virtqueue *q = queue_selected(vp);

	memset(regs, 0, COMMON_BYTES);
	le32_put(regs, vp->offer_sel);
	le32_put(regs + 4, vp->offer_sel < 2 ? (uint32_t)(features_offered(vp) >> 32 * vp->offer_sel) : 0);
	le32_put(regs + 8, vp->accept_sel);
	le32_put(regs + 12, vp->accept_sel < 2 ? (uint32_t)(vp->features >> 32 * vp->accept_sel) : 0);
	le16_put(regs + 16, vp->config_vector);
	le16_put(regs + 18, (uint16_t)vp->config.n_queues);
	regs[20] = status_get(vp);
	le16_put(regs + 22, vp->queue_sel);
	if (!q)
		return;
	le16_put(regs + 24, q->size);
	le16_put(regs + 26, vp->queue_vectors[vp->queue_sel]);
	le16_put(regs + 28, q->enabled);
	le16_put(regs + 30, vp->queue_sel);
	le64_put(regs + 32, q->desc_at);
	le64_put(regs + 40, q->avail_at);
	le64_put(regs + 48, q->used_at);
}

static void queue_address(struct virtqueue *q, unsigned off, unsigned size, uint64_t value)
{
	uint64_t *at = off < 40 ? &q->desc_at : off < 48 ? &q->avail_at : &q->used_at;

	if (size == 8 && off % 8 == 0)
		*at = value;
	else if (size == 4 && off % 8 == 0)
		*at = (*at & 0xffffffff00000000ull) | (uint32_t)value;
	else if (size == 4 && off % 8 == 4)
		*at = (*at & 0xffffffffull) | value << 32;
}

static void queue_write(struct virtio_pci *vp, unsigned off, unsigned size, uint64_t value)
{
	struct virtqueue *q = queue_selected(vp);

	if (!q)
		return;
	if (off == 26) {
		pthread_mutex_lock(&vp->irq_lock);
		vp->queue_vectors[vp->queue_sel] = vector_valid(vp, (uint16_t)value);
		pthread_mutex_unlock(&vp->irq_lock);
	} else if (q->enabled) {
		return; /* a queue that runs stays as it is */
	} else if (off == 24 && value && value <= VIRTQUEUE_MAX && !(value & (value - 1))) {
		q->size = (uint16_t)value;
	} else if (off == 28 && value == 1) {
		queue_enable(vp, q);
	} else if (off >= 32 && off < COMMON_BYTES) {
		queue_address(q, off, size, value);
	}
}

static void common_write(struct virtio_pci *vp, unsigned off, unsigned size, uint64_t value)
{
	switch (off) {
	case 0: vp->offer_sel = (uint32_t)value; break;
	case 8: vp->accept_sel = (uint32_t)value; break;
	case 12: features_accept(vp, vp->accept_sel, (uint32_t)value); break;
	case 16:
		pthread_mutex_lock(&vp->irq_lock);
		vp->config_vector = vector_valid(vp, (uint16_t)value);
		pthread_mutex_unlock(&vp->irq_lock);
		break;
	case 20: status_set(vp, (uint8_t)value, false); break;
	case 22: vp->queue_sel = (uint16_t)value; break;
	default: queue_write(vp, off, size, value);
	}
}

static uint64_t device_config(const struct virtio_pci *vp, uint64_t off, unsigned size)
{
	return off + size <= vp->config.n_bytes ? le_get(vp->config.bytes + off, size) : 0;
}

static uint64_t modern_read(void *opaque, uint64_t off, unsigned size)
{
	struct virtio_pci *vp = opaque;

	if (off >= DEVICE_AT)
		return off < NOTIFY_AT ? device_config(vp, off - DEVICE_AT, size) : 0;
	if (off >= ISR_AT)
		return off == ISR_AT ? isr_take(vp) : 0;
	uint8_t regs[COMMON_BYTES];
	common_encode(vp, regs);
	return off + size <= sizeof(regs) ? le_get(regs + off, size) : 0;
}

static void modern_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct virtio_pci *vp = opaque;

	if (off >= NOTIFY_AT)
		kick(vp, (unsigned)(off - NOTIFY_AT) / 4);
	else if (off < COMMON_BYTES)
		common_write(vp, (unsigned)off, size, value);
}

static void modern_moved(struct pci_dev *dev, unsigned bar, uint64_t at, bool on)
{
	struct virtio_pci *vp = (struct virtio_pci *)dev;

	(void)bar;
	for (unsigned i = 0; i < vp->config.n_queues; i++)
		vm_ioeventfd(&pci_machine(dev->pci)->vm, at + NOTIFY_AT + 4 * i, vp->kick_fds[i], on);
}

/* ---- legacy interface, section 4.1.4.8 */

static void legacy_queue(struct virtio_pci *vp, uint32_t page)
{
	struct virtqueue *q = queue_selected(vp);

	if (!q || q->enabled)
		return;
	q->desc_at = (uint64_t)page << 12;
	q->avail_at = q->desc_at + 16 * (uint64_t)q->size;
	q->used_at = (q->avail_at + 6 + 2 * (uint64_t)q->size + 4095) & ~4095ull;
	if (page)
		queue_enable(vp, q);
}

static uint64_t legacy_read(void *opaque, uint64_t off, unsigned size)
{
	struct virtio_pci *vp = opaque;
	const struct virtqueue *q = queue_selected(vp);
	unsigned device_at = vp->msix_on ? 0x18 : 0x14;

	if (off >= device_at)
		return device_config(vp, off - device_at, size);
	switch (off) {
	case 0x00: return (uint32_t)features_offered(vp);
	case 0x04: return (uint32_t)vp->features;
	case 0x08: return q && q->enabled ? q->desc_at >> 12 : 0;
	case 0x0c: return q ? q->size : 0;
	case 0x0e: return vp->queue_sel;
	case 0x12: return status_get(vp);
	case 0x13: return isr_take(vp);
	case 0x14: return vp->config_vector;
	case 0x16: return q ? vp->queue_vectors[vp->queue_sel] : VIRTIO_NO_VECTOR;
	default: return 0;
	}
}

static void legacy_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct virtio_pci *vp = opaque;

	switch (off) {
	case 0x04: features_accept(vp, 0, (uint32_t)value); break;
	case 0x08: legacy_queue(vp, (uint32_t)value); break;
	case 0x0e: vp->queue_sel = (uint16_t)value; break;
	case 0x10: kick(vp, (uint16_t)value); break;
	case 0x12: status_set(vp, (uint8_t)value, true); break;
	case 0x14:
		if (vp->msix_on)
			common_write(vp, 16, size, value);
		break;
	case 0x16:
		if (vp->msix_on)
			queue_write(vp, 26, size, value);
		break;
	}
}

/* ---- capabilities */

static unsigned capability_add(struct virtio_pci *vp, uint8_t type, uint32_t off, uint32_t len, unsigned extra)
{
	unsigned at = pci_add_capability(&vp->dev, 0x09, 16 + extra);
	uint8_t *c = vp->dev.config + at;

	c[2] = (uint8_t)(16 + extra);
	c[3] = type;
	c[4] = 4; /* BAR */
	le32_put(c + 8, off);
	le32_put(c + 12, len);
	return at;
}

static unsigned window_at(const struct virtio_pci *vp)
{
	return vp->dev.config[0x34]; /* added last, hence first in the list */
}

/* Section 4.1.4.9: BAR 4 through configuration space. */
static bool window_get(const struct virtio_pci *vp, unsigned off, uint32_t *at, uint32_t *size)
{
	const uint8_t *c = vp->dev.config + window_at(vp);

	*at = le32_get(c + 8);
	*size = le32_get(c + 12);
	return off >= window_at(vp) + 16 && off < window_at(vp) + 20 && c[4] == 4 && (*size == 1 || *size == 2 || *size == 4) &&
	       *at <= MODERN_BYTES - *size && *at % *size == 0;
}

static void config_reading(struct pci_dev *dev, unsigned off, unsigned size)
{
	struct virtio_pci *vp = (struct virtio_pci *)dev;
	uint32_t at, len;

	(void)size;
	if (window_get(vp, off, &at, &len))
		le_put(dev->config + window_at(vp) + 16, len, modern_read(vp, at, len));
}

static void config_written(struct pci_dev *dev, unsigned off, unsigned size)
{
	struct virtio_pci *vp = (struct virtio_pci *)dev;
	uint32_t at, len;

	(void)size;
	if (window_get(vp, off, &at, &len))
		modern_write(vp, at, len, le_get(dev->config + window_at(vp) + 16, len));
	msix_config_written(vp);
}

static void capabilities_add(struct virtio_pci *vp)
{
	msix_add(vp);
	capability_add(vp, 1, 0, COMMON_BYTES, 0);
	capability_add(vp, 3, ISR_AT, 4, 0);
	capability_add(vp, 4, DEVICE_AT, NOTIFY_AT - DEVICE_AT, 0);
	unsigned notify = capability_add(vp, 2, NOTIFY_AT, 4 * vp->config.n_queues, 4);
	le32_put(vp->dev.config + notify + 16, 4);
	unsigned window = capability_add(vp, 5, 0, 0, 4);
	vp->dev.writable[window + 4] = 0xff;
	memset(vp->dev.writable + window + 8, 0xff, 12);
}

int virtio_pci_init(struct virtio_pci *vp, struct machine *m, unsigned slot, const struct virtio_config *config, vdisk_error *err)
{
	vp->config = *config;
	vp->dev.pci = m->pci;
	pthread_mutex_init(&vp->io_lock, NULL);
	pthread_mutex_init(&vp->irq_lock, NULL);
	pthread_cond_init(&vp->idle, NULL);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		vp->kick_fds[i] = -1;
	for (unsigned i = 0; i < config->n_queues; i++) {
		vp->kick_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vp->kick_fds[i] < 0)
			return fail_errno(err, "eventfd");
	}
	/* The transitional numbers follow their own order. */
	uint16_t device = config->type == 4 ? 0x1005 : (uint16_t)(0x0fff + config->type);
	pci_dev_init(&vp->dev, 0x1af4, device, config->class_code, 0x1af4, config->type);
	vp->dev.config[0x3d] = 1; /* pin A */
	capabilities_add(vp);
	vp->dev.config_written = config_written;
	vp->dev.config_reading = config_reading;
	vp->dev.bars[0] = (struct pci_bar){ .size = LEGACY_BYTES, .io = true, .name = "virtio ports", .read = legacy_read,
		.write = legacy_write };
	vp->dev.bars[4] = (struct pci_bar){ .size = MODERN_BYTES, .name = "virtio", .read = modern_read, .write = modern_write,
		.moved = modern_moved };
	vp->dev.bars[1] = (struct pci_bar){ .size = 0x1000, .name = "MSI-X", .read = msix_read, .write = msix_write };
	if (pci_add(m->pci, &vp->dev, slot, 0, err))
		return -1;
	device_reset(vp);
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *vp)
{
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		if (vp->kick_fds[i] >= 0)
			close(vp->kick_fds[i]);
	pthread_cond_destroy(&vp->idle);
	pthread_mutex_destroy(&vp->irq_lock);
	pthread_mutex_destroy(&vp->io_lock);
}

/* `vector` is read under the lock. */
static void interrupt(struct virtio_pci *vp, uint8_t isr, const uint16_t *vector)
{
	pthread_mutex_lock(&vp->irq_lock);
	if (vp->msix_on) {
		msix_fire(vp, *vector);
	} else {
		vp->isr |= isr;
		pci_line_set(&vp->dev, !vp->line_off);
	}
	pthread_mutex_unlock(&vp->irq_lock);
}

bool virtio_pci_take(struct virtio_pci *vp, unsigned queue, struct chain *chain)
{
	struct virtqueue *q = &vp->queues[queue];
	bool again = true;
	int r = 0;

	pthread_mutex_lock(&vp->io_lock);
	while (r == 0 && again) {
		bool stopped = vp->resetting || vp->lost;

		r = stopped ? 0 : virtqueue_pop(q, &pci_machine(vp->dev.pci)->vm, chain);
		if (r < 0) {
			vp->lost = true;
			interrupt(vp, 2, &vp->config_vector);
		}
		/* Notifications are asked for at once: another thread may take the next chain while this one is busy. */
		again = !stopped && r >= 0 && !virtqueue_rest(q);
	}
	if (r > 0)
		vp->taken++;
	pthread_mutex_unlock(&vp->io_lock);
	if (again)
		kick(vp, queue);
	return r > 0;
}

void virtio_pci_give(struct virtio_pci *vp, unsigned queue, uint16_t head, uint32_t written)
{
	struct virtqueue *q = &vp->queues[queue];

	pthread_mutex_lock(&vp->io_lock);
	virtqueue_push(q, head, written);
	if (virtqueue_wants_interrupt(q))
		interrupt(vp, 1, &vp->queue_vectors[queue]);
	if (!--vp->taken)
		pthread_cond_broadcast(&vp->idle);
	pthread_mutex_unlock(&vp->io_lock);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 82371AB function 3, at slot 1: PM1 event and control, the timer.  The hardware is always in ACPI mode (SCI_EN reads 1) and never
 * raises its interrupt.  There is no system management mode: "SMI on APMC write" reads as set up already, which keeps SeaBIOS from
 * waiting for one.  Guarded by the machine's lock.
 */
#include "pm.h"
#include "common/numbers.h"
#include "pci.h"

#include <stdlib.h>
#include <time.h>

#define PM_BYTES  0x40
#define PM_HZ     3579545ull
#define PMBASE    0x40
#define DEVACTB   0x58
#define PMREGMISC 0x80
#define SLP_EN    0x2000

struct pm {
	struct pci_dev dev; /* first */
	uint16_t enable, control;
	uint32_t gpe_enable;
	uint8_t apm[2];
	uint64_t at; /* besides PM_BASE; 0: nowhere */
};

static uint32_t pm_timer(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)((uint64_t)now.tv_sec * PM_HZ + (uint64_t)now.tv_nsec * PM_HZ / 1000000000) & 0xffffff;
}

static uint64_t pm_read(void *opaque, uint64_t off, unsigned size)
{
	struct pm *pm = opaque;
	uint8_t regs[PM_BYTES] = { 0 };

	le16_put(regs + 2, pm->enable);
	le16_put(regs + 4, pm->control | 1);
	le32_put(regs + 8, pm_timer());
	le32_put(regs + 0x0c, pm->gpe_enable);
	return off + size <= sizeof(regs) ? le_get(regs + off, size) : UINT64_MAX;
}

static void pm_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct pm *pm = opaque;

	if (off == 0 && size == 4)
		pm->enable = (uint16_t)(value >> 16);
	else if (off == 2)
		pm->enable = (uint16_t)value;
	else if (off == 0x0c)
		pm->gpe_enable = (uint32_t)value & 0xffff0000u;
	else if (off == 4 && size >= 2) {
		pm->control = (uint16_t)(value & ~(uint64_t)SLP_EN);
		/* Type 0 is the one that the \_S5 object names; nothing else can be slept in. */
		if (value & SLP_EN && !(value >> 10 & 7))
			machine_stop(pci_machine(pm->dev.pci), MACHINE_POWEROFF, "switched off");
	}
}

static void apm_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	if (size == 1)
		((struct pm *)opaque)->apm[off] = (uint8_t)value;
}

static uint64_t apm_read(void *opaque, uint64_t off, unsigned size)
{
	return size == 1 ? ((struct pm *)opaque)->apm[off] : UINT64_MAX;
}

static void pm_config_written(struct pci_dev *dev, unsigned off, unsigned size)
{
	struct pm *pm = (struct pm *)dev;
	struct bus *pio = &pci_machine(dev->pci)->pio;
	uint64_t at = dev->config[PMREGMISC] & 1 ? le32_get(dev->config + PMBASE) & 0xffc0 : 0;
	vdisk_error err;

	(void)off;
	(void)size;
	if (at == PM_BASE)
		at = 0;
	if (at == pm->at)
		return;
	if (pm->at)
		bus_remove(pio, pm->at, pm);
	struct bus_range range = { at, PM_BYTES, "power management", pm, pm_read, pm_write };
	pm->at = at && !bus_add(pio, &range, &err) ? at : 0;
}

int pm_create(struct machine *m, struct pm **out, vdisk_error *err)
{
	struct pm *pm = calloc(1, sizeof(*pm));

	if (!pm)
		return fail(err, VDISK_NOMEM, "out of memory");
	*out = pm;
	struct pci_dev *dev = &pm->dev;
	pci_dev_init(dev, 0x8086, 0x7113, 0x068000, 0x1af4, 0x1100);
	dev->config[0x08] = 3;
	dev->config[0x3d] = 1;
	le32_put(dev->config + PMBASE, 1);
	le32_put(dev->writable + PMBASE, 0xffc0);
	dev->config[DEVACTB + 3] = 0x02;
	dev->writable[PMREGMISC] = 1;
	dev->config_written = pm_config_written;
	if (pci_add(m->pci, dev, 1, 3, err))
		return -1;
	struct bus_range range = { PM_BASE, PM_BYTES, "power management", pm, pm_read, pm_write };
	struct bus_range apm = { 0xb2, 2, "APM", pm, apm_read, apm_write };
	return bus_add(&m->pio, &range, err) || bus_add(&m->pio, &apm, err) ? -1 : 0;
}

void pm_destroy(struct pm *pm)
{
	free(pm);
}

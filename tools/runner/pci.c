/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PCI 3.0 configuration space and its BARs.
 *
 * Configuration is guarded by the machine's lock; the interrupt lines by `line_lock`, a leaf, since I/O threads drive them.
 */
#include "pci.h"
#include "common/numbers.h"

#include <stdlib.h>

#define PCI_COMMAND   0x04
#define PCI_STATUS    0x06
#define PCI_BAR0      0x10
#define PCI_CAP_LIST  0x34
#define PCI_INT_LINE  0x3c
#define PCI_INT_PIN   0x3d
#define COMMAND_IO    1u
#define COMMAND_MEM   2u

struct pci {
	struct machine *m;
	uint32_t address;
	struct pci_dev *devs[256];
	pthread_mutex_t line_lock;
	unsigned asserted[PCI_LINES]; /* by how many functions */
	unsigned route[PCI_LINES];
	bool isa[16]; /* ISA lines that are high by what is routed to them */
};

struct machine *pci_machine(const struct pci *pci)
{
	return pci->m;
}

/* PIIX boards rotate the pins by slot; the ACPI tables and SeaBIOS reckon with the same. */
static unsigned dev_line(const struct pci_dev *dev)
{
	return ((dev->devfn >> 3) + PCI_LINES - 1) % PCI_LINES;
}

/* An ISA line is high as long as one that is routed to it is. */
static void isa_update(struct pci *pci, unsigned isa_line)
{
	bool level = false;

	for (unsigned i = 0; i < PCI_LINES; i++)
		level = level || (pci->route[i] == isa_line && pci->asserted[i]);
	if (!isa_line || level == pci->isa[isa_line])
		return; /* no news: others may drive it, too */
	pci->isa[isa_line] = level;
	vm_irq(&pci->m->vm, isa_line, level);
}

void pci_line_set(struct pci_dev *dev, bool level)
{
	struct pci *pci = dev->pci;
	unsigned line = dev_line(dev);

	pthread_mutex_lock(&pci->line_lock);
	if (dev->line != level) {
		dev->line = level;
		pci->asserted[line] += level ? 1u : -1u;
		vm_irq(&pci->m->vm, PCI_GSI_BASE + line, pci->asserted[line] > 0);
		isa_update(pci, pci->route[line]);
	}
	pthread_mutex_unlock(&pci->line_lock);
}

void pci_route(struct pci *pci, unsigned line, unsigned isa_line)
{
	pthread_mutex_lock(&pci->line_lock);
	unsigned was = pci->route[line];
	pci->route[line] = isa_line;
	isa_update(pci, was);
	isa_update(pci, isa_line);
	pthread_mutex_unlock(&pci->line_lock);
}

void pci_dev_init(struct pci_dev *dev, uint16_t vendor, uint16_t device, uint32_t class_code, uint16_t subsystem_vendor,
                  uint16_t subsystem)
{
	le16_put(dev->config, vendor);
	le16_put(dev->config + 2, device);
	dev->config[9] = (uint8_t)class_code;
	dev->config[10] = (uint8_t)(class_code >> 8);
	dev->config[11] = (uint8_t)(class_code >> 16);
	le16_put(dev->config + 0x2c, subsystem_vendor);
	le16_put(dev->config + 0x2e, subsystem);
	le16_put(dev->writable + PCI_COMMAND, 0x0547); /* I/O, memory, master, parity, SERR, no INTx */
	dev->writable[0x0c] = dev->writable[0x0d] = 0xff;
	dev->writable[PCI_INT_LINE] = 0xff;
}

unsigned pci_add_capability(struct pci_dev *dev, uint8_t id, unsigned len)
{
	unsigned at = dev->cap_end ? dev->cap_end : 0x40;

	dev->config[at] = id;
	dev->config[at + 1] = dev->config[PCI_CAP_LIST]; /* the newest goes first */
	dev->config[PCI_CAP_LIST] = (uint8_t)at;
	dev->config[PCI_STATUS] |= 0x10;
	dev->cap_end = (at + len + 3) & ~3u;
	return at;
}

static unsigned bar_reg(unsigned i)
{
	return i == PCI_ROM ? 0x30 : PCI_BAR0 + 4 * i;
}

/* Whether it had been decoded. */
static bool bar_unmap(struct pci_dev *dev, unsigned i)
{
	struct pci_bar *bar = &dev->bars[i];

	if (!bar->at)
		return false;
	if (bar->moved)
		bar->moved(dev, i, bar->at, false);
	bus_remove(bar->io ? &dev->pci->m->pio : &dev->pci->m->mmio, bar->at, dev);
	bar->at = 0;
	return true;
}

/* Follows the command register and the BARs.  Where one overlaps another range, it is decoded nowhere.  Whether one went away from
   where it was. */
static bool bars_follow(struct pci_dev *dev)
{
	uint16_t command = le16_get(dev->config + PCI_COMMAND);
	bool gone = false;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &dev->bars[i];
		uint64_t at = le32_get(dev->config + bar_reg(i)) & (bar->io ? 0xfffcu : 0xfffffff0u);
		vdisk_error err;

		if (!bar->size)
			continue;
		if (!(command & (bar->io ? COMMAND_IO : COMMAND_MEM)) || at == (bar->io ? 0xffffu : 0xffffffffu) - bar->size + 1)
			at = 0;
		if (i == PCI_ROM && !(dev->config[bar_reg(i)] & 1))
			at = 0;
		if (!bar->io && at && at < dev->pci->m->vm.low_bytes)
			at = 0; /* memory wins */
		if (at == bar->at)
			continue;
		gone = bar_unmap(dev, i) || gone;
		struct bus_range range = { at, bar->size, bar->name, dev, bar->read, bar->write };
		if (!at || bus_add(bar->io ? &dev->pci->m->pio : &dev->pci->m->mmio, &range, &err))
			continue;
		bar->at = at;
		if (bar->moved)
			bar->moved(dev, i, at, true);
	}
	return gone;
}

static void bars_update(struct pci_dev *dev)
{
	if (!bars_follow(dev))
		return;
	for (unsigned i = 0; i < 256; i++) /* there may be room now for others */
		if (dev->pci->devs[i])
			bars_follow(dev->pci->devs[i]);
}

int pci_add(struct pci *pci, struct pci_dev *dev, unsigned slot, unsigned function, vdisk_error *err)
{
	dev->pci = pci;
	dev->devfn = (uint8_t)(slot << 3 | function);
	if (slot > 31 || function > 7 || pci->devs[dev->devfn])
		return fail(err, VDISK_INVALID, "PCI slot %u.%u is taken", slot, function);
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (dev->bars[i].size) {
			le32_put(dev->config + bar_reg(i), dev->bars[i].io ? 1 : 0);
			le32_put(dev->writable + bar_reg(i), ~(dev->bars[i].size - 1) | (i == PCI_ROM ? 1 : 0));
		}
	pci->devs[dev->devfn] = dev;
	return 0;
}

static void config_write(struct pci_dev *dev, unsigned off, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++) {
		uint8_t mask = dev->writable[off + i];

		dev->config[off + i] = (uint8_t)((dev->config[off + i] & ~mask) | ((uint8_t)(value >> 8 * i) & mask));
	}
	if (off < PCI_COMMAND + 2 || (off + size > PCI_BAR0 && off < 0x34))
		bars_update(dev);
	if (dev->config_written)
		dev->config_written(dev, off, size);
}

/* The function that the address register selects, if it is there, and the register's offset. */
static struct pci_dev *pci_selected(struct pci *pci, uint64_t off, unsigned *reg)
{
	*reg = (pci->address & 0xfc) + (unsigned)off;
	if (!(pci->address >> 31) || pci->address & 0x7fff0000)
		return NULL;
	return pci->devs[pci->address >> 8 & 0xff];
}

static uint64_t pci_read(void *opaque, uint64_t off, unsigned size)
{
	struct pci *pci = opaque;
	unsigned reg;

	if (off < 4)
		return off == 0 && size == 4 ? pci->address : off + size <= 4 ? pci->address >> 8 * off : UINT64_MAX;
	struct pci_dev *dev = pci_selected(pci, off - 4, &reg);
	if (!dev || off - 4 + size > 4)
		return UINT64_MAX;
	if (dev->config_reading)
		dev->config_reading(dev, reg, size);
	return le_get(dev->config + reg, size);
}

static void pci_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct pci *pci = opaque;
	unsigned reg;

	if (off < 4) {
		if (off == 0 && size == 4)
			pci->address = (uint32_t)value & 0x80fffffc;
		else if (off == 1 && size == 1 && value & 4) /* 0xcf9: the chipset's reset register */
			machine_stop(pci->m, MACHINE_RESET, "reset by port 0xcf9");
		return;
	}
	struct pci_dev *dev = pci_selected(pci, off - 4, &reg);
	if (dev && off - 4 + size <= 4)
		config_write(dev, reg, size, value);
}

int pci_assign(struct pci *pci, vdisk_error *err)
{
	uint64_t io = 0xc000, mem = 0xe0000000;

	for (unsigned i = 0; i < 256; i++) {
		struct pci_dev *dev = pci->devs[i];
		unsigned command = 0;

		if (!dev)
			continue;
		for (unsigned b = 0; b < PCI_BARS; b++) {
			struct pci_bar *bar = &dev->bars[b];
			uint64_t *next = bar->io ? &io : &mem;

			if (!bar->size)
				continue;
			*next = (*next + bar->size - 1) & ~(uint64_t)(bar->size - 1);
			le32_put(dev->config + bar_reg(b), (uint32_t)*next | (bar->io ? 1 : 0));
			*next += bar->size;
			command |= bar->io ? COMMAND_IO : COMMAND_MEM;
		}
		if (io > 0x10000 || mem > 0xfec00000)
			return fail(err, VDISK_INVALID, "too many PCI devices");
		if (dev->config[PCI_INT_PIN])
			dev->config[PCI_INT_LINE] = (uint8_t)pci->route[dev_line(dev)];
		config_write(dev, PCI_COMMAND, 2, command | 4);
	}
	return 0;
}

int pci_create(struct machine *m, struct pci **out, vdisk_error *err)
{
	struct pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return fail(err, VDISK_NOMEM, "out of memory");
	pci->m = m;
	pthread_mutex_init(&pci->line_lock, NULL);
	*out = pci;
	struct bus_range range = { 0xcf8, 8, "PCI configuration", pci, pci_read, pci_write };
	return bus_add(&m->pio, &range, err);
}

void pci_destroy(struct pci *pci)
{
	if (!pci)
		return;
	pthread_mutex_destroy(&pci->line_lock);
	free(pci);
}

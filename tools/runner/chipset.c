/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 82441FX (bus 0, slot 0) and 82371SB function 0 (slot 1).
 *
 * Programmable attribute map: registers 0x59 to 0x5f say for 13 segments of [768 KiB, 1 MiB) where reads (bit 0) and writes (bit 1)
 * go: memory or the ISA bus.  Memory for both is a plain memory slot; memory for reads alone is a read-only one; reads from the bus
 * show the firmware's ROM in the upper 128 KiB and nothing below.  Writes that leave a slot come here by the bus, and go to memory
 * where the map says so.  Guarded by the machine's lock.
 */
#include "chipset.h"
#include "pci.h"

#include <stdlib.h>
#include <string.h>

#define PAM_FIRST    0x59
#define PAM_SEGMENTS 13
#define PIRQ_FIRST   0x60
#define SHADOW_BASE  0xc0000u
#define SHADOW_BYTES 0x40000u
#define ROM_WINDOW   0x20000u

struct host_bridge {
	struct pci_dev dev; /* first */
	uint8_t *rom;       /* ROM_WINDOW bytes; NULL: none */
	uint8_t mapped[PAM_SEGMENTS]; /* PAM bits as now mapped */
};

struct chipset {
	struct host_bridge host;
	struct pci_dev isa;
};

/* Segment 0 is [960 KiB, 1 MiB); the others follow from 768 KiB on, 16 KiB each. */
static void segment_place(unsigned i, uint32_t *base, uint32_t *len)
{
	*base = i ? SHADOW_BASE + (i - 1) * 0x4000 : 0xf0000;
	*len = i ? 0x4000 : 0x10000;
}

static uint8_t segment_bits(const struct host_bridge *h, unsigned i)
{
	uint8_t reg = h->dev.config[PAM_FIRST + (i + 1) / 2];

	return (i + 1) & 1 ? reg >> 4 & 3 : reg & 3;
}

static int segment_map(struct host_bridge *h, unsigned i, vdisk_error *err)
{
	struct vm *vm = &pci_machine(h->dev.pci)->vm;
	uint8_t bits = segment_bits(h, i);
	uint32_t base, len;
	bool rom = false;
	void *host = NULL;

	segment_place(i, &base, &len);
	vm_slot_set(vm, VM_SLOT_SHADOW + i, base, NULL, 0, false, err); /* fails where there was none */
	h->mapped[i] = bits;
	if (bits & 1) {
		host = vm->ram + base;
		rom = !(bits & 2);
	} else if (h->rom && base >= SHADOW_BASE + SHADOW_BYTES - ROM_WINDOW) {
		host = h->rom + (base - (SHADOW_BASE + SHADOW_BYTES - ROM_WINDOW));
		rom = true;
	}
	return host ? vm_slot_set(vm, VM_SLOT_SHADOW + i, base, host, len, rom, err) : 0;
}

static void host_written(struct pci_dev *dev, unsigned off, unsigned size)
{
	struct host_bridge *h = (struct host_bridge *)dev;
	vdisk_error err;

	if (off + size <= PAM_FIRST || off >= PAM_FIRST + 7)
		return;
	for (unsigned i = 0; i < PAM_SEGMENTS; i++)
		if (segment_bits(h, i) != h->mapped[i] && segment_map(h, i, &err))
			machine_stop(pci_machine(dev->pci), MACHINE_CRASH, "%s", err.message);
}

/* What no slot took. */
static void shadow_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct host_bridge *h = opaque;
	uint32_t addr = SHADOW_BASE + (uint32_t)off;
	unsigned i = addr >= 0xf0000 ? 0 : 1 + (unsigned)(off / 0x4000);

	if (segment_bits(h, i) & 2)
		for (unsigned b = 0; b < size; b++)
			pci_machine(h->dev.pci)->vm.ram[addr + b] = (uint8_t)(value >> 8 * b);
}

static void isa_written(struct pci_dev *dev, unsigned off, unsigned size)
{
	(void)off;
	(void)size;
	for (unsigned i = 0; i < PCI_LINES; i++) {
		uint8_t v = dev->config[PIRQ_FIRST + i];
		unsigned line = v & 0x80 ? 0 : v & 15;

		pci_route(dev->pci, i, line >= 3 && line != 8 && line != 13 ? line : 0);
	}
}

void chipset_route_default(struct chipset *c)
{
	static const uint8_t lines[PCI_LINES] = { 10, 10, 11, 11 };

	memcpy(c->isa.config + PIRQ_FIRST, lines, sizeof(lines));
	isa_written(&c->isa, PIRQ_FIRST, PCI_LINES);
}

static int isa_add(struct chipset *c, struct pci *pci, vdisk_error *err)
{
	struct pci_dev *isa = &c->isa;

	pci_dev_init(isa, 0x8086, 0x7000, 0x060100, 0x1af4, 0x1100);
	isa->config[0x0e] = 0x80; /* several functions */
	isa->config[0x04] = 0x07;
	memset(isa->writable + PIRQ_FIRST, 0xff, PCI_LINES);
	memset(isa->config + PIRQ_FIRST, 0x80, PCI_LINES);
	isa->config_written = isa_written;
	return pci_add(pci, isa, 1, 0, err);
}

int chipset_create(struct machine *m, void *rom, uint64_t rom_bytes, struct chipset **out, vdisk_error *err)
{
	struct chipset *c = calloc(1, sizeof(*c));

	if (!c)
		return fail(err, VDISK_NOMEM, "out of memory");
	*out = c;
	struct host_bridge *h = &c->host;
	pci_dev_init(&h->dev, 0x8086, 0x1237, 0x060000, 0x1af4, 0x1100);
	h->dev.config[0x08] = 2;
	memset(h->dev.writable + PAM_FIRST, 0x33, 7);
	h->dev.writable[PAM_FIRST] = 0x30;
	h->dev.writable[0x72] = 0xff; /* SMRAM control: kept, without effect, there is no SMM */
	h->dev.config_written = host_written;
	if (rom && rom_bytes >= ROM_WINDOW)
		h->rom = (uint8_t *)rom + rom_bytes - ROM_WINDOW;
	else
		for (unsigned i = 0; i < 7; i++)
			h->dev.config[PAM_FIRST + i] = 0x33;
	if (pci_add(m->pci, &h->dev, 0, 0, err) || isa_add(c, m->pci, err))
		return -1;
	for (unsigned i = 0; i < PAM_SEGMENTS; i++)
		if (segment_map(h, i, err))
			return -1;
	struct bus_range shadow = { SHADOW_BASE, SHADOW_BYTES, "shadow memory", h, NULL, shadow_write };
	return bus_add(&m->mmio, &shadow, err);
}

void chipset_destroy(struct chipset *c)
{
	free(c);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one PCI bus, reached through configuration mechanism 1, and what all its functions share. */
#ifndef RUNNER_PCI_H
#define RUNNER_PCI_H

#include "machine.h"

#define PCI_BARS     7
#define PCI_ROM      6 /* the expansion ROM counts as the last */
#define PCI_LINES    4
#define PCI_GSI_BASE 16 /* interrupt lines A to D are IOAPIC inputs 16 to 19, and what the ISA bridge routes them to */

struct pci;
struct pci_dev;

struct pci_bar {
	uint32_t size;  /* power of two; 0: there is none */
	bool io;
	const char *name;
	bus_read_fn read;
	bus_write_fn write;
	uint64_t at;    /* where it is decoded now; 0: nowhere */
	/* May be NULL.  Told when the range appears (true) and before it goes. */
	void (*moved)(struct pci_dev *dev, unsigned bar, uint64_t at, bool on);
};

/* A function.  Devices begin with one of these. */
struct pci_dev {
	struct pci *pci;
	uint8_t devfn;
	uint8_t config[256];
	uint8_t writable[256];     /* bits that the guest may set */
	struct pci_bar bars[PCI_BARS];
	/* May be NULL: after a write of [off, off + size), before a read. */
	void (*config_written)(struct pci_dev *dev, unsigned off, unsigned size);
	void (*config_reading)(struct pci_dev *dev, unsigned off, unsigned size);
	unsigned cap_end;          /* where the next capability goes; 0: none yet */
	bool line;                 /* asserts its interrupt line */
};

int pci_create(struct machine *m, struct pci **out, vdisk_error *err);
void pci_destroy(struct pci *pci);
struct machine *pci_machine(const struct pci *pci);

/* Fills in the header's identity and makes the usual bits writable. */
void pci_dev_init(struct pci_dev *dev, uint16_t vendor, uint16_t device, uint32_t class_code, uint16_t subsystem_vendor,
                  uint16_t subsystem);
/* `dev` stays the caller's, and stays put.  BARs must be set up. */
int pci_add(struct pci *pci, struct pci_dev *dev, unsigned slot, unsigned function, vdisk_error *err);
/* Offset of the new capability of `len` bytes (its first two are set). */
unsigned pci_add_capability(struct pci_dev *dev, uint8_t id, unsigned len);

/* Interrupt line of the function's pin A, from any thread. */
void pci_line_set(struct pci_dev *dev, bool level);
/* The ISA bridge's routing of line 0 to 3: an ISA line, or 0 for none. */
void pci_route(struct pci *pci, unsigned line, unsigned isa_line);

/* Does what firmware would: addresses for all BARs, decoding on. */
int pci_assign(struct pci *pci, vdisk_error *err);

#endif

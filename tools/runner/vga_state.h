/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registers and memory of the VGA, for vga.c, which keeps them, and vga_screen.c, which looks. */
#ifndef RUNNER_VGA_STATE_H
#define RUNNER_VGA_STATE_H

#include "pci.h"
#include "vga.h"

#define TEXT_AT     0xa0000u
#define TEXT_BYTES  0x20000u
#define VRAM_BYTES  0x1000000u
#define ROM_BYTES   0x10000u
#define DISPI_REGS  11
#define DISPI_ID    0xb0c5

enum { DISPI_XRES = 1, DISPI_YRES, DISPI_BPP, DISPI_ENABLE, DISPI_MEMORY = 10 };

struct vga {
	struct pci_dev dev; /* first */
	uint8_t *vram, *text, *rom;
	uint16_t dispi[DISPI_REGS];
	uint16_t dispi_index;
	uint8_t sequencer[8], crtc[64], graphics[16], attribute[32], dac[768];
	uint8_t sequencer_index, crtc_index, graphics_index, attribute_index, misc, feature, dac_mask;
	bool attribute_data;
	unsigned dac_read, dac_write;
	uint8_t status;
};

#endif

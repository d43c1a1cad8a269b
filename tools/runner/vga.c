/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PCI 1234:1111 at slot 2.  Registers are kept and read back; the memory below 768 KiB is plain memory, so text is what the
 * guest wrote at 0xb8000, while planar modes show nothing sensible.  BAR 0 is the linear frame buffer.  Ports 0x1ce and 0x1cf
 * are the Bochs extension (index, data).  Guarded by the machine's lock.
 */
#include "vga_state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t port_read(struct vga *v, unsigned port)
{
	switch (port) {
	case 0x3c0: return v->attribute_index;
	case 0x3c1: return v->attribute[v->attribute_index & 31];
	case 0x3c2: return 0x10;
	case 0x3c4: return v->sequencer_index;
	case 0x3c5: return v->sequencer[v->sequencer_index & 7];
	case 0x3c6: return v->dac_mask;
	case 0x3c8: return (uint8_t)(v->dac_write / 3);
	case 0x3c9: return v->dac[v->dac_read++ % sizeof(v->dac)];
	case 0x3ca: return v->feature;
	case 0x3cc: return v->misc;
	case 0x3ce: return v->graphics_index;
	case 0x3cf: return v->graphics[v->graphics_index & 15];
	case 0x3b4:
	case 0x3d4: return v->crtc_index;
	case 0x3b5:
	case 0x3d5: return v->crtc[v->crtc_index & 63];
	case 0x3ba:
	case 0x3da: /* retrace comes and goes each time one looks */
		v->attribute_data = false;
		v->status ^= 0x09;
		return v->status;
	default: return 0xff;
	}
}

static void attribute_write(struct vga *v, uint8_t b)
{
	if (v->attribute_data)
		v->attribute[v->attribute_index & 31] = b;
	else
		v->attribute_index = b & 0x3f;
	v->attribute_data = !v->attribute_data;
}

static void port_write(struct vga *v, unsigned port, uint8_t b)
{
	switch (port) {
	case 0x3c0: attribute_write(v, b); break;
	case 0x3c2: v->misc = b; break;
	case 0x3c4: v->sequencer_index = b; break;
	case 0x3c5: v->sequencer[v->sequencer_index & 7] = b; break;
	case 0x3c6: v->dac_mask = b; break;
	case 0x3c7: v->dac_read = b * 3u; break;
	case 0x3c8: v->dac_write = b * 3u; break;
	case 0x3c9: v->dac[v->dac_write++ % sizeof(v->dac)] = b & 0x3f; break;
	case 0x3ba:
	case 0x3da: v->feature = b; break;
	case 0x3ce: v->graphics_index = b; break;
	case 0x3cf: v->graphics[v->graphics_index & 15] = b; break;
	case 0x3b4:
	case 0x3d4: v->crtc_index = b; break;
	case 0x3b5:
	case 0x3d5: v->crtc[v->crtc_index & 63] = b; break;
	}
}

#define VGA_PORTS 0x3b0u

static uint64_t ports_read(void *opaque, uint64_t off, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)port_read(opaque, VGA_PORTS + (unsigned)off + i) << 8 * i;
	return value;
}

static void ports_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++) /* index and data may come in one */
		port_write(opaque, VGA_PORTS + (unsigned)off + i, (uint8_t)(value >> 8 * i));
}

static uint64_t dispi_index_read(void *opaque, uint64_t off, unsigned size)
{
	(void)off;
	(void)size;
	return ((struct vga *)opaque)->dispi_index;
}

static void dispi_index_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	(void)off;
	(void)size;
	((struct vga *)opaque)->dispi_index = (uint16_t)value;
}

static uint64_t dispi_read(void *opaque, uint64_t off, unsigned size)
{
	struct vga *v = opaque;

	(void)off;
	(void)size;
	if (v->dispi_index >= DISPI_REGS)
		return 0;
	if (v->dispi[DISPI_ENABLE] & 2) { /* "tell what you can" */
		static const uint16_t most[] = { [DISPI_XRES] = 1920, [DISPI_YRES] = 1200, [DISPI_BPP] = 32 };

		if (v->dispi_index >= DISPI_XRES && v->dispi_index <= DISPI_BPP)
			return most[v->dispi_index];
	}
	return v->dispi[v->dispi_index];
}

/* By giving the pages back: most of them have never been there. */
static void vram_clear(struct vga *v)
{
	if (madvise(v->vram, VRAM_BYTES, MADV_DONTNEED))
		memset(v->vram, 0, VRAM_BYTES);
}

static void dispi_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct vga *v = opaque;

	(void)off;
	if (size != 2)
		return;
	if (v->dispi_index >= DISPI_MEMORY || (!v->dispi_index && (value < 0xb0c0 || value > DISPI_ID)))
		return;
	v->dispi[v->dispi_index] = (uint16_t)value;
	if (v->dispi_index == DISPI_ENABLE && value & 1) {
		v->dispi[6] = v->dispi[DISPI_XRES]; /* the virtual screen is as large as the real one */
		v->dispi[7] = v->dispi[DISPI_YRES];
		v->dispi[8] = v->dispi[9] = 0;
		if (!(value & 0x80))
			vram_clear(v);
	}
}

static void slot_moved(struct pci_dev *dev, enum vm_slot slot, uint8_t *host, uint64_t len, uint64_t at, bool on, bool readonly)
{
	vdisk_error err;

	if (vm_slot_set(&pci_machine(dev->pci)->vm, slot, at, host, on ? len : 0, readonly && on, &err))
		machine_stop(pci_machine(dev->pci), MACHINE_CRASH, "%s", err.message);
}

static void vram_moved(struct pci_dev *dev, unsigned bar, uint64_t at, bool on)
{
	(void)bar;
	slot_moved(dev, VM_SLOT_FRAMEBUFFER, ((struct vga *)dev)->vram, VRAM_BYTES, at, on, false);
}

static void rom_moved(struct pci_dev *dev, unsigned bar, uint64_t at, bool on)
{
	(void)bar;
	slot_moved(dev, VM_SLOT_VIDEO_BIOS, ((struct vga *)dev)->rom, ROM_BYTES, at, on, true);
}

static int rom_load(struct vga *v, const char *path, int fd, vdisk_error *err)
{
	return pread(fd, v->rom, ROM_BYTES, 0) < 0 ? fail_errno(err, "video BIOS %s", path) : 0;
}

static uint8_t *pages(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int vga_create(struct machine *m, const char *rom, struct vga **out, vdisk_error *err)
{
	struct vga *v = calloc(1, sizeof(*v));

	if (!v)
		return fail(err, VDISK_NOMEM, "out of memory");
	*out = v;
	v->vram = pages(VRAM_BYTES);
	v->text = pages(TEXT_BYTES);
	v->rom = pages(ROM_BYTES);
	if (!v->vram || !v->text || !v->rom)
		return fail(err, VDISK_NOMEM, "out of memory");
	v->dispi[0] = DISPI_ID;
	v->dispi[DISPI_MEMORY] = VRAM_BYTES >> 16;
	v->dac_mask = 0xff;
	pci_dev_init(&v->dev, 0x1234, 0x1111, 0x030000, 0x1af4, 0x1100);
	v->dev.config[0x08] = 2;
	v->dev.bars[0] = (struct pci_bar){ .size = VRAM_BYTES, .name = "frame buffer", .moved = vram_moved };
	if (rom) {
		if (rom_load(v, rom, m->config->fds[FILE_VIDEO_BIOS], err))
			return -1;
		v->dev.bars[PCI_ROM] = (struct pci_bar){ .size = ROM_BYTES, .name = "video BIOS", .moved = rom_moved };
	}
	if (pci_add(m->pci, &v->dev, 2, 0, err) || vm_slot_set(&m->vm, VM_SLOT_TEXT, TEXT_AT, v->text, TEXT_BYTES, false, err))
		return -1;
	struct bus_range ports = { VGA_PORTS, 0x30, "VGA", v, ports_read, ports_write };
	/* Words at neighbouring ports; who dislikes odd ones finds the data at 0x1d0, too. */
	struct bus_range index = { 0x1ce, 1, "VGA extension", v, dispi_index_read, dispi_index_write, true };
	struct bus_range data = { 0x1cf, 2, "VGA extension", v, dispi_read, dispi_write, true };
	return bus_add(&m->pio, &ports, err) || bus_add(&m->pio, &index, err) || bus_add(&m->pio, &data, err) ? -1 : 0;
}

void vga_destroy(struct vga *v)
{
	if (!v)
		return;
	if (v->vram)
		munmap(v->vram, VRAM_BYTES);
	if (v->text)
		munmap(v->text, TEXT_BYTES);
	if (v->rom)
		munmap(v->rom, ROM_BYTES);
	free(v);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostile guest: the input is what it does, one deed after the other.  Ports, registers, configuration space and memory come from
 * it as they are; further deeds do what a driver does (a queue, a chain, an AHCI port, a command), with the input's values in them,
 * so that the fuzzer gets behind the front door soon.  Nothing may crash, and each chain that was taken is given back once
 * (devices_fake.c).
 */
#include "devices_fake.h"
#include "serial.h"
#include "vga.h"
#include "screen.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEEDS_MAX 4096
/* For one input, so that none takes long: pixels of the screens that are looked at, and bytes of video memory that are filled. */
#define PIXELS_MAX (8u << 20)
#define LOOK_COST  0x10000 /* besides its pixels */
#define FILL_MAX   (16u << 20)
#define KERNEL    0xff /* as the first byte: the rest is a kernel, which may come from a guest's disk */

enum deed {
	PORT_OUT, PORT_IN, MMIO_OUT, MMIO_IN, MEMORY, PUMP, CONFIG_OUT, CONFIG_IN, QUEUE, CHAIN, SATA_PORT, SATA_COMMAND, SERIAL_IN,
	SCREEN, VIDEO, DEEDS,
};

struct input {
	const uint8_t *p, *end;
};

static uint64_t pixels_left, fill_left;

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && in->p < in->end; i++)
		v |= (uint64_t)*in->p++ << 8 * i;
	return v;
}

static unsigned take_size(struct input *in)
{
	return 1u << take(in, 1) % 4;
}

/* ---- ways to the devices */

static const uint8_t devfns[] = { 0x00, 0x08, 0x0b, 0x10, 0x18, 0x98, 0xa0 };
#define DEV_DISK 4
#define DEV_RNG  5
#define DEV_NET  6

static uint32_t config_get(struct machine *m, unsigned dev, unsigned reg)
{
	bus_write(&m->pio, 0xcf8, 4, 0x80000000u | (uint32_t)devfns[dev % sizeof(devfns)] << 8 | (reg & 0xfc));
	return (uint32_t)bus_read(&m->pio, 0xcfc + (reg & 3), 4);
}

static uint64_t bar(struct machine *m, unsigned dev, unsigned i)
{
	uint32_t v = config_get(m, dev, 0x10 + 4 * i);

	return v & (v & 1 ? 0xfffcu : 0xfffffff0u);
}

/* A device's BAR, or any address at all. */
static uint64_t place(struct machine *m, struct input *in)
{
	unsigned region = (unsigned)take(in, 1);
	uint64_t off = take(in, 2);

	if (region >= 200)
		return take(in, 4) + off;
	return bar(m, region, region / sizeof(devfns) % 6) + off;
}

static void ram_put(struct machine *m, uint64_t addr, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		m->vm.ram[(addr + i) % FAKE_RAM_BYTES] = (uint8_t)v;
}

/* ---- virtio */

#define QUEUE_SIZE 16
#define RING_AT(dev, queue) (0x100000u + (dev) * 0x8000u + (queue) * 0x2000u)

static uint16_t avail[8][4]; /* how many were offered */

static void queue_set_up(struct machine *m, struct input *in)
{
	unsigned dev = DEV_DISK + (unsigned)take(in, 1) % 3, queue = (unsigned)take(in, 1) % 2, flags = (unsigned)take(in, 1);
	uint64_t at = bar(m, dev, 4), ring = RING_AT(dev, queue);

	if (flags & 8)
		bus_write(&m->mmio, at + 20, 1, 0);
	bus_write(&m->mmio, at + 20, 1, 3);
	for (unsigned half = 0; half < 2; half++) {
		bus_write(&m->mmio, at + 8, 4, half);
		bus_write(&m->mmio, at + 12, 4, half ? flags & 1 : (flags & 6) << 27 | (flags & 0xf0) << 5);
	}
	bus_write(&m->mmio, at + 20, 1, 11);
	bus_write(&m->mmio, at + 22, 2, queue);
	bus_write(&m->mmio, at + 24, 2, QUEUE_SIZE);
	bus_write(&m->mmio, at + 32, 8, ring);
	bus_write(&m->mmio, at + 40, 8, ring + 0x800);
	bus_write(&m->mmio, at + 48, 8, ring + 0x1000);
	bus_write(&m->mmio, at + 28, 2, 1);
	bus_write(&m->mmio, at + 20, 1, 15);
	avail[dev][queue] = 0;
	ram_put(m, ring + 0x800, 0, 4);
}

/* Descriptors from the front of the table, one chain of them. */
static void chain_offer(struct machine *m, struct input *in)
{
	unsigned dev = DEV_DISK + (unsigned)take(in, 1) % 3, queue = (unsigned)take(in, 1) % 2, n = 1 + (unsigned)take(in, 1) % 6;
	uint64_t ring = RING_AT(dev, queue);

	for (unsigned i = 0; i < n; i++) {
		unsigned flags = (unsigned)take(in, 1);

		ram_put(m, ring + 16 * i, take(in, 3), 8);
		ram_put(m, ring + 16 * i + 8, flags & 0x80 ? take(in, 4) : take(in, 2), 4);
		ram_put(m, ring + 16 * i + 12, (flags & 6) | (i + 1 < n), 2);
		ram_put(m, ring + 16 * i + 14, flags & 0x40 ? take(in, 1) : i + 1, 2);
	}
	ram_put(m, ring + 0x804 + 2 * (avail[dev][queue]++ % QUEUE_SIZE), 0, 2);
	ram_put(m, ring + 0x802, avail[dev][queue], 2);
	bus_write(&m->mmio, bar(m, dev, 4) + 0x3000 + 4 * queue, 2, queue);
}

/* ---- AHCI */

#define LIST_AT  0x180000u
#define FIS_AT   0x181000u
#define TABLE_AT 0x182000u

static void sata_begin(struct machine *m)
{
	uint64_t at = bar(m, DEV_DISK, 5);

	bus_write(&m->mmio, at + 4, 4, 0x80000002);
	bus_write(&m->mmio, at + 0x100, 4, LIST_AT);
	bus_write(&m->mmio, at + 0x108, 4, FIS_AT);
	bus_write(&m->mmio, at + 0x114, 4, 0xffffffff);
	bus_write(&m->mmio, at + 0x118, 4, 0x16);
	bus_write(&m->mmio, at + 0x118, 4, 0x17);
}

static void sata_command(struct machine *m, struct input *in)
{
	unsigned slot = (unsigned)take(in, 1) % 32, n = (unsigned)take(in, 1) % 9;
	uint64_t at = bar(m, DEV_DISK, 5), header = LIST_AT + 32 * slot, table = TABLE_AT + 0x200 * slot;
	uint8_t code = (uint8_t)take(in, 1);

	ram_put(m, header, 5 | (uint64_t)n << 16, 8);
	ram_put(m, header + 8, table, 8);
	ram_put(m, table, 0x8027 | (uint64_t)code << 16 | take(in, 1) << 24, 4); /* and the feature */
	ram_put(m, table + 4, take(in, 3) | (uint64_t)0x40 << 24, 8);
	ram_put(m, table + 12, take(in, 2), 4);
	for (unsigned i = 0; i < n; i++) {
		ram_put(m, table + 0x80 + 16 * i, take(in, 3), 8);
		ram_put(m, table + 0x88 + 16 * i, take(in, 3) << 32, 8);
	}
	if (code == 0x60 || code == 0x61)
		bus_write(&m->mmio, at + 0x134, 4, 1u << slot);
	bus_write(&m->mmio, at + 0x138, 4, 1u << slot);
}

/* ---- the rest */

static void memory_write(struct machine *m, struct input *in)
{
	uint64_t addr = take(in, 3);

	for (unsigned n = (unsigned)take(in, 1); n; n--)
		ram_put(m, addr++, take(in, 1), 1);
}

static void config_write(struct machine *m, struct input *in)
{
	unsigned dev = (unsigned)take(in, 1), reg = (unsigned)take(in, 1);

	config_get(m, dev, reg); /* selects */
	bus_write(&m->pio, 0xcfc + (reg & 3), take_size(in), take(in, 4));
}

static void serial_type(struct machine *m, struct input *in)
{
	uint8_t bytes[64];
	unsigned n = (unsigned)take(in, 1) % sizeof(bytes);

	for (unsigned i = 0; i < n; i++)
		bytes[i] = (uint8_t)take(in, 1);
	serial_input(m->serial, bytes, n);
}

/* A pattern over and over into the text or the picture memory, as far as the guest has it. */
static void video_fill(struct input *in)
{
	unsigned kind = (unsigned)take(in, 1), n = 1 + (kind >> 1) % 64;
	uint64_t off = take(in, 3), left = take(in, 2), room;
	uint8_t pattern[64], *p = fake_slot(kind & 1 ? VM_SLOT_FRAMEBUFFER : VM_SLOT_TEXT, &room);

	for (unsigned i = 0; i < n; i++)
		pattern[i] = (uint8_t)take(in, 1);
	if (left > fill_left)
		return;
	fill_left -= left;
	for (unsigned i = 0; p && left && off < room; left--, i = (i + 1) % n)
		p[off++] = pattern[i];
}

static void screen_look(struct machine *m)
{
	static struct screen s;
	static char text[(SCREEN_COLUMNS_MAX + 1) * SCREEN_ROWS_MAX + 1];
	vdisk_error err;

	if (!m->vga || !pixels_left || vga_screen(m->vga, &s, &err))
		return;
	screen_text(&s, text, sizeof(text));
	if (s.kind == SCREEN_TEXT)
		screen_render(&s, &err);
	uint64_t cost = LOOK_COST + (s.kind == SCREEN_PICTURE ? (uint64_t)s.width * s.height : 0);
	pixels_left -= cost < pixels_left ? cost : pixels_left;
	screen_destroy(&s);
}

static void deed_do(struct machine *m, struct input *in)
{
	uint64_t at;
	unsigned size;

	switch ((enum deed)(take(in, 1) % DEEDS)) {
	case PORT_OUT:
		at = take(in, 2);
		size = take_size(in) & 7;
		bus_write(&m->pio, at, size ? size : 1, take(in, 4));
		break;
	case PORT_IN:
		at = take(in, 2);
		size = take_size(in) & 7;
		bus_read(&m->pio, at, size ? size : 1);
		break;
	case MMIO_OUT:
		at = place(m, in);
		size = take_size(in);
		bus_write(&m->mmio, at, size, take(in, size));
		break;
	case MMIO_IN:
		at = place(m, in);
		bus_read(&m->mmio, at, take_size(in));
		break;
	case MEMORY: memory_write(m, in); break;
	case PUMP: fake_pump(); break;
	case CONFIG_OUT: config_write(m, in); break;
	case CONFIG_IN: config_get(m, (unsigned)take(in, 1), (unsigned)take(in, 1)); break;
	case QUEUE: queue_set_up(m, in); break;
	case CHAIN: chain_offer(m, in); break;
	case SATA_PORT: sata_begin(m); break;
	case SATA_COMMAND: sata_command(m, in); break;
	case SERIAL_IN: serial_type(m, in); break;
	case SCREEN: screen_look(m); break;
	case VIDEO: video_fill(in); break;
	case DEEDS: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned kind = (unsigned)take(&in, 1);
	struct machine *m = fake_begin(kind & 1 ? BUS_AHCI : BUS_VIRTIO_BLK, kind & 2);

	if (kind == KERNEL)
		fake_kernel(in.p, (size_t)(in.end - in.p));
	memset(avail, 0, sizeof(avail));
	pixels_left = PIXELS_MAX;
	fill_left = FILL_MAX;
	for (unsigned i = 0; kind != KERNEL && i < DEEDS_MAX && in.p < in.end && !machine_stopped(m, NULL); i++)
		deed_do(m, &in);
	fake_pump();
	fake_end();
	return 0;
}

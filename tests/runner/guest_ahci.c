/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk over AHCI: single commands, all slots at once, and what must fail. */
#include "guest.h"

#define ABAR 0xe1000000u

static struct {
	struct {
		uint16_t flags, n;
		volatile uint32_t moved;
		uint64_t table;
		uint32_t zero[4];
	} list[32] __attribute__((aligned(1024)));
	volatile uint8_t fis[256] __attribute__((aligned(256)));
	struct {
		uint8_t fis[128];
		struct {
			uint64_t addr;
			uint32_t zero, len;
		} entries[8];
	} tables[32] __attribute__((aligned(128)));
} sata;
static uint8_t data[4096], blocks[32][4096];

static volatile uint32_t *hba(unsigned off) { return (volatile uint32_t *)(uintptr_t)(ABAR + off); }
static volatile uint32_t *port(unsigned off) { return hba(0x100 + off); }

static void sata_begin(void)
{
	pci_set(0x18, 0x04, 0);
	pci_set(0x18, 0x24, ABAR);
	pci_set(0x18, 0x04, 6);
	*hba(4) = 0x80000001;
	while (*hba(4) & 1)
		;
	*hba(4) = 0x80000000;
	*port(0) = (uint32_t)(uintptr_t)sata.list;
	*port(8) = (uint32_t)(uintptr_t)sata.fis;
	*port(4) = *port(12) = 0;
	*port(0x18) = 0x16;
	while (!(*port(0x18) & 0x4000))
		;
	*port(0x18) = 0x17;
}

/* Lays the command into `slot`: two entries for its buffer, to have more than one. */
static void sata_lay(unsigned slot, uint8_t code, uint64_t lba, unsigned count, unsigned feature, void *p, uint32_t bytes, bool out)
{
	uint8_t *f = sata.tables[slot].fis;
	uint32_t half = bytes / 2;

	sata.list[slot].flags = (uint16_t)(5 | (out ? 0x40 : 0));
	sata.list[slot].n = bytes ? 2 : 0;
	sata.list[slot].moved = 0;
	sata.list[slot].table = (uintptr_t)&sata.tables[slot];
	for (unsigned i = 0; i < 64; i++)
		f[i] = 0;
	f[0] = 0x27;
	f[1] = 0x80;
	f[2] = code;
	f[3] = (uint8_t)feature;
	f[11] = (uint8_t)(feature >> 8);
	f[7] = 0x40;
	for (unsigned i = 0; i < 3; i++) {
		f[4 + i] = (uint8_t)(lba >> 8 * i);
		f[8 + i] = (uint8_t)(lba >> (24 + 8 * i));
	}
	f[12] = (uint8_t)count;
	f[13] = (uint8_t)(count >> 8);
	for (unsigned i = 0; i < 2; i++) {
		sata.tables[slot].entries[i].addr = (uintptr_t)p + i * half;
		sata.tables[slot].entries[i].len = half - 1;
	}
}

/* The task file's error and status; the port goes on after a failure. */
static uint32_t sata_go(unsigned slot)
{
	__asm__ volatile("mfence" ::: "memory");
	*port(0x10) = 0xffffffff;
	*port(0x38) = 1u << slot;
	while (*port(0x38) & 1u << slot && !(*port(0x10) & 0x60000000))
		;
	__asm__ volatile("" ::: "memory");
	uint32_t tfd = *port(0x20);
	if (*port(0x10) & 0x60000000) {
		*port(0x18) = 0x16;
		while (*port(0x18) & 0x8000)
			;
		*port(0x18) = 0x17;
	}
	return tfd;
}

static uint32_t sata_do(uint8_t code, uint64_t lba, unsigned count, unsigned feature, void *p, uint32_t bytes, bool out)
{
	sata_lay(0, code, lba, count, feature, p, bytes, out);
	return sata_go(0);
}

static void test_sata_basic(void)
{
	fact("signature", *port(0x24), 8);
	fact("link", *port(0x28), 8);
	fact("identify", sata_do(0xec, 0, 0, 0, data, 512, false), 4);
	fact("moved", sata.list[0].moved, 8);
	fact("sectors", *(uint32_t *)(data + 200), 8);
	put((char)data[55]);
	put((char)data[54]);
	put('\n');
	fact("read", sata_do(0x25, 1, 8, 0, data, 4096, false), 4);
	for (unsigned i = 0; i < 16; i++)
		hex(data[i], 2);
	put('\n');
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	fact("write", sata_do(0x35, 16, 8, 0, data, 4096, true), 4);
	fact("pio", sata_do(0x30, 24, 1, 0, data, 512, true), 4);
	fact("flush", sata_do(0xea, 0, 0, 0, data, 0, false), 4);
	data[5] = 0;
	fact("back", sata_do(0x20, 16, 1, 0, data, 512, false), 4);
	fact("byte", data[5], 2);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = 0;
	*(uint64_t *)data = 128 | (uint64_t)128 << 48;
	fact("trim", sata_do(0x06, 0, 1, 1, data, 512, true), 4);
	fact("verify", sata_do(0x42, 100, 100, 0, data, 0, false), 4);
}

/* All 32 slots at once, each its own block there and back. */
static void test_sata_queue(uint8_t code)
{
	for (unsigned i = 0; i < 32; i++) {
		if (code == 0x61)
			for (unsigned j = 0; j < 4096; j++)
				blocks[i][j] = (uint8_t)(i + j * 3);
		else
			blocks[i][7] = 0;
		sata_lay(i, code, 256 + 8 * (31 - i), i << 3, 8, blocks[i], 4096, code == 0x61);
	}
	__asm__ volatile("mfence" ::: "memory");
	*port(0x34) = 0xffffffff;
	*port(0x38) = 0xffffffff;
	while (*port(0x34) && !(*port(0x10) & 0x40000000))
		;
	__asm__ volatile("" ::: "memory");
	unsigned good = 0;
	for (unsigned i = 0; i < 32; i++)
		good += blocks[i][7] == (uint8_t)(i + 21);
	fact("queued", good, 2);
}

static void test_sata_bad(void)
{
	fact("beyond", sata_do(0x25, 2041, 8, 0, data, 4096, false), 4);
	fact("far", sata_do(0x25, 0xffffffffffff, 8, 0, data, 4096, false), 4);
	fact("short", sata_do(0x25, 0, 9, 0, data, 4096, false), 4);
	fact("unknown", sata_do(0xb0, 0, 0, 0, data, 512, false), 4);
	fact("nowhere", sata_do(0x25, 0, 8, 0, (void *)0xb0000000, 4096, false), 4);
	/* A queued command that fails: its log page tells which. */
	sata_lay(9, 0x60, 0xfffff, 9 << 3, 8, blocks[9], 4096, false);
	*port(0x34) = 1u << 9;
	sata_go(9);
	while (*port(0x34))
		;
	fact("log", sata_do(0x2f, 0x10, 1, 0, data, 512, false), 4);
	fact("tag", data[0], 2);
	/* No table there, no list there. */
	sata.list[3].table = 0xb0000000;
	*port(0x10) = 0xffffffff;
	*port(0x38) = 1u << 3;
	while (!(*port(0x10) & 0x20000000))
		;
	*port(0x18) = 0x16;
	*port(4) = 0xffffffff;
	*port(0x18) = 0x17;
	*port(0x10) = 0xffffffff;
	*port(0x38) = 1;
	while (!(*port(0x10) & 0x20000000))
		;
	say("no list\n");
	sata_begin();
	fact("read", sata_do(0xc8, 1, 8, 0, data, 4096, false), 4);
	*port(0x2c) = 0x301; /* COMRESET */
	fact("link", *port(0x28), 8);
	*port(0x2c) = 0x300;
	fact("link", *port(0x28), 8);
}

void test_sata(void)
{
	sata_begin();
	test_sata_basic();
	test_sata_queue(0x61);
	test_sata_queue(0x60);
	test_sata_bad();
}

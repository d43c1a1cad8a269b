/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest without a system, for the tests of vdisk boot: begins where a 64-bit Linux kernel would, does what the first word of
 * its command line says, writes what it found to the serial line, and switches itself off.
 */
#include <stdbool.h>
#include <stdint.h>

#define PM_CONTROL 0x604

static inline void out8(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port)); }
static inline void out16(uint16_t port, uint16_t v) { __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port)); }
static inline void out32(uint16_t port, uint32_t v) { __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port)); }

static inline uint8_t in8(uint16_t port)
{
	uint8_t v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void put(char c)
{
	while (!(in8(0x3fd) & 0x20))
		;
	out8(0x3f8, (uint8_t)c);
}

static void say(const char *s)
{
	while (*s)
		put(*s++);
}

static void hex(uint64_t v, unsigned digits)
{
	while (digits--)
		put("0123456789abcdef"[v >> 4 * digits & 15]);
}

static void fact(const char *name, uint64_t v, unsigned digits)
{
	say(name);
	put(' ');
	hex(v, digits);
	put('\n');
}

static void power_off(void)
{
	out16(PM_CONTROL, 0x2000);
	for (;;)
		__asm__ volatile("hlt");
}

/* ---- interrupts: one gate, one counter */

struct gate {
	uint16_t low, selector, type, middle;
	uint32_t high, zero;
} __attribute__((packed));

static struct gate idt[64];
static volatile unsigned ticks;

__attribute__((interrupt)) static void on_tick(void *frame)
{
	(void)frame;
	ticks++;
	out8(0x20, 0x20);
}

static void idt_load(uint16_t limit)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) r = { limit, (uintptr_t)idt };

	__asm__ volatile("lidt %0" ::"m"(r));
}

static void gate_set(unsigned vector, void (*fn)(void *))
{
	uint64_t at = (uintptr_t)fn;

	idt[vector] = (struct gate){ (uint16_t)at, 0x10, 0x8e00, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0 };
	idt_load(sizeof(idt) - 1);
}

/* 8259s: vectors 32 and 40; which lines come through. */
static void lines_open(uint16_t mask)
{
	out8(0x20, 0x11);
	out8(0xa0, 0x11);
	out8(0x21, 32);
	out8(0xa1, 40);
	out8(0x21, 4);
	out8(0xa1, 2);
	out8(0x21, 1);
	out8(0xa1, 1);
	out8(0x21, (uint8_t)~mask);
	out8(0xa1, (uint8_t)(~mask >> 8));
}

static void test_pit(void)
{
	gate_set(32, on_tick);
	lines_open(1);
	out8(0x43, 0x34); /* channel 0, about 100 a second */
	out8(0x40, 0x9c);
	out8(0x40, 0x2e);
	__asm__ volatile("sti");
	while (ticks < 5)
		__asm__ volatile("hlt");
	__asm__ volatile("cli");
	say("ticks 5\n");
}

/* ---- the clock */

static volatile unsigned clock_ticks, clock_alarms, clock_seconds;

static uint8_t clock_get(uint8_t reg)
{
	out8(0x70, reg);
	return in8(0x71);
}

static void clock_set(uint8_t reg, uint8_t v)
{
	out8(0x70, reg);
	out8(0x71, v);
}

__attribute__((interrupt)) static void on_clock(void *frame)
{
	uint8_t flags = clock_get(12);

	(void)frame;
	clock_ticks += flags >> 6 & flags >> 7 & 1;
	clock_alarms += flags >> 5 & 1;
	clock_seconds += flags >> 4 & 1;
	out8(0xa0, 0x20);
	out8(0x20, 0x20);
}

static void test_clock(void)
{
	gate_set(40, on_clock);
	lines_open(0x104);
	clock_set(10, 0x2a); /* 64 a second */
	clock_set(11, 0x42);
	__asm__ volatile("sti");
	while (clock_ticks < 16)
		__asm__ volatile("hlt");
	say("ticks 16\n");
	/* Set to the last second of 1999; the alarm is at midnight. */
	clock_set(11, 0x82);
	static const uint8_t date[][2] = {
		{ 0, 0x59 }, { 2, 0x59 }, { 4, 0x23 }, { 7, 0x31 }, { 8, 0x12 }, { 9, 0x99 }, { 0x32, 0x19 }, { 1, 0 }, { 3, 0 }, { 5, 0 },
	};
	for (unsigned i = 0; i < sizeof(date) / sizeof(*date); i++)
		clock_set(date[i][0], date[i][1]);
	clock_seconds = 0;
	clock_set(11, 0x32);
	while (!clock_alarms)
		__asm__ volatile("hlt");
	__asm__ volatile("cli");
	clock_set(11, 0x02);
	fact("seconds", clock_seconds > 0 && clock_seconds < 4, 1);
	fact("year", (uint64_t)clock_get(0x32) << 8 | clock_get(9), 4);
	fact("day", (uint64_t)clock_get(8) << 8 | clock_get(7), 4);
	fact("weekday", clock_get(6), 2);
	fact("hour", clock_get(4), 2);
	clock_set(11, 0x04); /* binary, 12 hours */
	fact("hour", clock_get(4), 2);
	/* Nothing more comes. */
	clock_get(12);
	unsigned now = clock_ticks + clock_alarms;
	__asm__ volatile("sti");
	for (unsigned i = 0; i < 100000; i++)
		__asm__ volatile("pause");
	fact("more", clock_ticks + clock_alarms - now, 1);
}

/* ---- PCI */

static uint32_t pci_get(unsigned devfn, unsigned reg)
{
	out32(0xcf8, 0x80000000u | devfn << 8 | reg);
	return in32(0xcfc);
}

static void pci_set(unsigned devfn, unsigned reg, uint32_t v)
{
	out32(0xcf8, 0x80000000u | devfn << 8 | reg);
	out32(0xcfc, v);
}

static void test_pci(void)
{
	for (unsigned devfn = 0; devfn < 256; devfn++)
		if (pci_get(devfn, 0) != 0xffffffff) {
			say("pci ");
			hex(devfn, 2);
			fact("", pci_get(devfn, 0), 8);
		}
	out32(0xcf8, 0x00000000); /* not enabled */
	fact("off", in32(0xcfc), 8);
	out32(0xcf8, 0x80010000); /* another bus */
	fact("bus1", in32(0xcfc), 8);
	pci_set(0x18, 0x10, 0xffffffff);
	fact("bar0", pci_get(0x18, 0x10), 8);
	pci_set(0x18, 0x20, 0xffffffff);
	fact("bar4", pci_get(0x18, 0x20), 8);
	pci_set(0x18, 0x00, 0);
	fact("ro", pci_get(0x18, 0x00), 8);
}

/* ---- a disk over virtio */

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static struct ring {
	struct desc desc[256] __attribute__((aligned(4096)));
	volatile uint16_t avail[4 + 256];
	volatile uint16_t used[4096] __attribute__((aligned(4096)));
} ring, ring1;

static struct {
	uint32_t type, zero;
	uint64_t sector;
} header;
static uint8_t data[4096], status;

#define BASE 0xe1000000u /* where BAR 4 is put */

static volatile uint8_t *reg8(unsigned off) { return (volatile uint8_t *)(uintptr_t)(BASE + off); }
static volatile uint16_t *reg16(unsigned off) { return (volatile uint16_t *)(uintptr_t)(BASE + off); }
static volatile uint32_t *reg32(unsigned off) { return (volatile uint32_t *)(uintptr_t)(BASE + off); }

static void queue_address(unsigned off, volatile void *p)
{
	*reg32(off) = (uint32_t)(uintptr_t)p;
	*reg32(off + 4) = 0;
}

static void queue_begin(uint16_t n, struct ring *r)
{
	for (unsigned i = 0; i < 4; i++)
		r->used[i] = r->avail[i] = 0;
	*reg16(22) = n;
	queue_address(32, r->desc);
	queue_address(40, r->avail);
	queue_address(48, r->used);
	*reg16(28) = 1;
}

/* A virtio device with one queue or two. */
static void virtio_begin(unsigned devfn, unsigned queues)
{
	pci_set(devfn, 0x04, 0);
	pci_set(devfn, 0x20, BASE);
	pci_set(devfn, 0x04, 6);
	*reg8(20) = 0;
	while (*reg8(20))
		;
	*reg8(20) = 3;
	*reg32(8) = 1;
	*reg32(12) = 1; /* version 1, nothing else */
	*reg32(8) = 0;
	*reg32(12) = 0;
	*reg8(20) = 11;
	queue_begin(0, &ring);
	if (queues > 1)
		queue_begin(1, &ring1);
	*reg8(20) = 15;
	fact("status", *reg8(20), 2);
}

static void disk_begin(void)
{
	virtio_begin(0x18, 1);
	fact("sectors", *reg32(0x2000), 8);
}

/* The chain at `head` is offered; waits for its end, or for the device to give up. */
static void disk_go(uint16_t head)
{
	uint16_t n = ring.avail[1];

	status = 0xee;
	ring.avail[2 + n % 256] = head;
	__asm__ volatile("" ::: "memory");
	ring.avail[1] = (uint16_t)(n + 1);
	__asm__ volatile("mfence" ::: "memory");
	*reg16(0x3000) = 0;
	while (ring.used[1] == n && !(*reg8(20) & 0x40))
		;
	__asm__ volatile("" ::: "memory");
}

static void disk_do(uint32_t type, uint64_t sector, void *p, uint32_t len, bool in)
{
	header.type = type;
	header.sector = sector;
	ring.desc[0] = (struct desc){ (uintptr_t)&header, sizeof(header), 1, len ? 1 : 2 };
	ring.desc[1] = (struct desc){ (uintptr_t)p, len, (uint16_t)(1 | (in ? 2 : 0)), 2 };
	ring.desc[2] = (struct desc){ (uintptr_t)&status, 1, 2, 0 };
	disk_go(0);
}

static void test_disk(void)
{
	disk_begin();
	disk_do(0, 1, data, 4096, true);
	fact("read", status, 2);
	for (unsigned i = 0; i < 16; i++)
		hex(data[i], 2);
	put('\n');
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	disk_do(1, 16, data, 4096, false);
	fact("write", status, 2);
	disk_do(4, 0, data, 0, false);
	fact("flush", status, 2);
	uint32_t range[4] = { 32, 0, 8, 0 };
	disk_do(13, 0, range, 16, false);
	fact("zeroes", status, 2);
	data[5] = 0;
	disk_do(0, 16, data, 4096, true);
	fact("back", data[5], 2);
	disk_do(0, *reg32(0x2000) - 7, data, 4096, true);
	fact("beyond", status, 2);
	disk_do(0, 0xffffffffffffffff, data, 4096, true);
	fact("far", status, 2);
	disk_do(0, 0, data, 100, true);
	fact("odd", status, 2);
	disk_do(99, 0, data, 512, true);
	fact("unknown", status, 2);
	disk_do(8, 0, data, 20, true);
	data[20] = 0;
	say((char *)data);
	put('\n');
}

/* Each of these breaks the ring: the device says that it needs a reset, and works again after one. */
static void test_hostile(void)
{
	static const struct desc bad[] = {
		{ 0xfffffffffffff000, 4096, 0, 0 }, /* nowhere */
		{ 0xb0000000, 4096, 0, 0 },         /* in the hole */
		{ 0, 0xffffffff, 0, 0 },            /* longer than memory */
		{ 0, 16, 1, 300 },                  /* next is outside of the table */
		{ 0, 16, 1, 0 },                    /* itself */
		{ 0x200000, 32, 4, 0 },             /* indirect, not negotiated */
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		disk_begin();
		ring.desc[0] = bad[i];
		disk_go(0);
		fact("hostile", *reg8(20), 2);
	}
	disk_begin();
	disk_do(0, 1, data, 4096, true);
	fact("read", status, 2);
}

/* The chain at `head` is offered to queue `n`. */
static void ring_offer(uint16_t n, struct ring *r, uint16_t head)
{
	uint16_t at = r->avail[1];

	r->avail[2 + at % 256] = head;
	__asm__ volatile("" ::: "memory");
	r->avail[1] = (uint16_t)(at + 1);
	__asm__ volatile("mfence" ::: "memory");
	*reg16(0x3000 + 4u * n) = n;
}

static uint32_t used_length(const struct ring *r, unsigned i)
{
	return r->used[2 + 4 * i + 2] | (uint32_t)r->used[2 + 4 * i + 3] << 16;
}

static void test_rng(void)
{
	unsigned zeros = 0;

	virtio_begin(0x98, 1);
	for (unsigned i = 0; i < 2; i++) { /* a small one, and one that is more than the device gives at once */
		ring.desc[0] = (struct desc){ (uintptr_t)data, i ? 0x100000 : 64, 2, 0 };
		ring_offer(0, &ring, 0);
		while (ring.used[1] != i + 1)
			;
		fact("bytes", used_length(&ring, i), 8);
	}
	for (unsigned i = 0; i < sizeof(data); i++)
		zeros += !data[i];
	fact("random", zeros < 64, 1);
}

/* Asks who has 10.0.2.2. */
static void test_net(void)
{
	static uint8_t in[2048], out[12 + 60] = {
		[12] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 1, 2, 3, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
		0x52, 0x54, 0, 1, 2, 3, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2,
	};

	virtio_begin(0xa0, 2);
	for (unsigned i = 0; i < 6; i++)
		hex(*reg8(0x2000 + i), 2);
	put('\n');
	ring.desc[0] = (struct desc){ (uintptr_t)in, sizeof(in), 2, 0 };
	ring1.desc[0] = (struct desc){ (uintptr_t)out, 12, 1, 1 };
	ring1.desc[1] = (struct desc){ (uintptr_t)out + 12, 60, 0, 0 };
	in[0] = 0xee;
	ring_offer(1, &ring1, 0);
	while (!ring1.used[1])
		;
	ring_offer(0, &ring, 0); /* the answer waits for a buffer */
	while (!ring.used[1])
		;
	__asm__ volatile("" ::: "memory");
	fact("bytes", used_length(&ring, 0) >= 12 + 42, 1);
	fact("buffers", in[10], 2);
	fact("type", (uint64_t)in[24] << 8 | in[25], 4);
	fact("answer", in[33], 2);
	fact("from", (uint64_t)in[40] << 24 | (uint64_t)in[41] << 16 | (uint64_t)in[42] << 8 | in[43], 8);
}

/* ---- many requests of a disk at once */

#define MANY 64
static uint8_t many[MANY][512];
static struct {
	uint32_t type, zero;
	uint64_t sector;
	uint8_t status;
} many_headers[MANY];

static void many_offer(uint32_t type)
{
	for (uint16_t i = 0; i < MANY; i++) {
		many_headers[i].type = type;
		many_headers[i].sector = 512 + 3 * i;
		many_headers[i].status = 0xee;
		ring.desc[3 * i] = (struct desc){ (uintptr_t)&many_headers[i], 16, 1, (uint16_t)(3 * i + 1) };
		ring.desc[3 * i + 1] = (struct desc){ (uintptr_t)many[i], 512, type ? 1 : 3, (uint16_t)(3 * i + 2) };
		ring.desc[3 * i + 2] = (struct desc){ (uintptr_t)&many_headers[i].status, 1, 2, 0 };
		ring.avail[2 + (ring.avail[1] + i) % 256] = (uint16_t)(3 * i);
	}
	__asm__ volatile("" ::: "memory");
	ring.avail[1] = (uint16_t)(ring.avail[1] + MANY);
	__asm__ volatile("mfence" ::: "memory");
	*reg16(0x3000) = 0;
}

static void many_wait(void)
{
	uint8_t seen[MANY] = { 0 };
	unsigned once = 0, good = 0;

	while (ring.used[1] != ring.avail[1])
		;
	__asm__ volatile("" ::: "memory");
	for (uint16_t i = 0; i < MANY; i++) {
		uint16_t head = ring.used[2 + 4 * ((ring.used[1] - 1u - i) % 256)];

		seen[head / 3 % MANY]++;
		good += !many_headers[i].status;
	}
	for (unsigned i = 0; i < MANY; i++)
		once += seen[i] == 1;
	fact("once", once, 2);
	fact("good", good, 2);
}

static void test_many(void)
{
	disk_begin();
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < MANY; i++)
			for (unsigned j = 0; j < 512; j++)
				many[i][j] = (uint8_t)(i * 5 + j + round);
		many_offer(1);
		many_wait();
		for (unsigned i = 0; i < MANY; i++)
			many[i][round] = 0;
		many_offer(0);
		many_wait();
		unsigned right = 0;
		for (unsigned i = 0; i < MANY; i++)
			right += many[i][round] == (uint8_t)(i * 5 + 2 * round);
		fact("right", right, 2);
	}
	/* A reset in the midst of them: what was under way ends first, and nothing is written to the ring after it. */
	many_offer(1);
	*reg8(20) = 0;
	uint16_t used = ring.used[1];
	for (unsigned i = 0; i < 100000; i++)
		__asm__ volatile("pause");
	fact("late", (uint16_t)(ring.used[1] - used), 4);
	disk_begin();
	many_offer(0);
	many_wait();
}

/* ---- a disk over AHCI */

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
static uint8_t blocks[32][4096];

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

static void test_sata(void)
{
	sata_begin();
	test_sata_basic();
	test_sata_queue(0x61);
	test_sata_queue(0x60);
	test_sata_bad();
}

/* ---- the rest */

static void test_cmos(void)
{
	out8(0x70, 0x0d);
	fact("battery", in8(0x71), 2);
	out8(0x70, 9);
	fact("year", in8(0x71), 2);
	out8(0x70, 0x5f);
	fact("cpus", in8(0x71), 2);
	uint32_t t = in32(0x608);
	while (((in32(0x608) - t) & 0xffffff) < 3579)
		;
	say("timer runs\n");
}

/* Starts the other processors as systems do (INIT, start-up), each of which counts itself and stops.  Waits for those that CMOS speaks of. */
static void test_processors(void)
{
	static const uint8_t code[] = {
		0x8c, 0xc8, 0x8e, 0xd8,             /* mov %cs, %ax; mov %ax, %ds */
		0xb8, 1, 0,                         /* mov $1, %ax */
		0xf0, 0x0f, 0xc1, 0x06, 0x00, 0x01, /* lock xadd %ax, 0x100 */
		0xf4, 0xeb, 0xfd,                   /* 1: hlt; jmp 1b */
	};
	volatile uint8_t *page = (uint8_t *)0x20000;
	volatile uint16_t *count = (uint16_t *)0x20100;
	volatile uint32_t *apic = (uint32_t *)0xfee00000;

	for (unsigned i = 0; i < sizeof(code); i++)
		page[i] = code[i];
	*count = 0;
	out8(0x70, 0x5f);
	unsigned others = in8(0x71);
	apic[0xf0 / 4] |= 0x100;
	apic[0x300 / 4] = 0xc4500; /* INIT, to all but this one */
	for (unsigned i = 0; i < 2; i++) {
		uint32_t t = in32(0x608);
		while (((in32(0x608) - t) & 0xffffff) < 35795) /* 10 ms */
			;
		apic[0x300 / 4] = 0xc4600 | 0x20; /* start-up at 0x20000 */
	}
	while (*count < others)
		;
	fact("others", *count, 2);
}

static void test_keyboard(void)
{
	out8(0x64, 0xaa);
	fact("self-test", in8(0x60), 2);
	out8(0x60, 0xff);
	fact("reset", (uint64_t)in8(0x60) << 8, 4);
	fact("ready", in8(0x60), 2);
	fact("status", in8(0x64) & 1, 2);
}

static bool is(const char *line, const char *word)
{
	while (*word && *line == *word) {
		line++;
		word++;
	}
	return !*word && (!*line || *line == ' ');
}

__attribute__((used)) static void guest(const uint8_t *params)
{
	const char *line = (const char *)(uintptr_t)*(const uint32_t *)(params + 0x228);

	if (is(line, "serial"))
		say(line);
	else if (is(line, "pit"))
		test_pit();
	else if (is(line, "pci"))
		test_pci();
	else if (is(line, "disk"))
		test_disk();
	else if (is(line, "hostile"))
		test_hostile();
	else if (is(line, "clock"))
		test_clock();
	else if (is(line, "many"))
		test_many();
	else if (is(line, "rng"))
		test_rng();
	else if (is(line, "net"))
		test_net();
	else if (is(line, "sata"))
		test_sata();
	else if (is(line, "cmos"))
		test_cmos();
	else if (is(line, "processors"))
		test_processors();
	else if (is(line, "keyboard"))
		test_keyboard();
	else if (is(line, "initrd"))
		say((const char *)(uintptr_t)*(const uint32_t *)(params + 0x218));
	else if (is(line, "echo"))
		for (unsigned n = 0; n < 5; n++) {
			while (!(in8(0x3fd) & 1))
				;
			put((char)in8(0x3f8));
		}
	else if (is(line, "cat"))
		for (unsigned n = 0; n < 5000; n++) {
			while (!(in8(0x3fd) & 1))
				;
			put((char)in8(0x3f8));
		}
	else if (is(line, "flood"))
		for (;;)
			say("more and more and more\n");
	else if (is(line, "reset-cf9"))
		out8(0xcf9, 6);
	else if (is(line, "reset-8042"))
		out8(0x64, 0xfe);
	else if (is(line, "reset-92"))
		out8(0x92, 1);
	else if (is(line, "crash")) {
		idt_load(0);
		__asm__ volatile("ud2");
	} else if (is(line, "hang"))
		for (;;)
			__asm__ volatile("pause");
	power_off();
}

__attribute__((naked, section(".entry"))) void entry(void)
{
	__asm__("movabs $0x180000, %rsp\n\tmov %rsi, %rdi\n\tcall guest\n\thlt");
}

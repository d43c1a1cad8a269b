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

static void test_pit(void)
{
	uint64_t at = (uintptr_t)on_tick;

	idt[32] = (struct gate){ (uint16_t)at, 0x10, 0x8e00, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0 };
	idt_load(sizeof(idt) - 1);
	out8(0x20, 0x11); /* 8259s: vectors 32 and 40, line 0 alone */
	out8(0xa0, 0x11);
	out8(0x21, 32);
	out8(0xa1, 40);
	out8(0x21, 4);
	out8(0xa1, 2);
	out8(0x21, 1);
	out8(0xa1, 1);
	out8(0x21, 0xfe);
	out8(0xa1, 0xff);
	out8(0x43, 0x34); /* channel 0, about 100 a second */
	out8(0x40, 0x9c);
	out8(0x40, 0x2e);
	__asm__ volatile("sti");
	while (ticks < 5)
		__asm__ volatile("hlt");
	__asm__ volatile("cli");
	say("ticks 5\n");
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

static struct {
	struct desc desc[256] __attribute__((aligned(4096)));
	volatile uint16_t avail[4 + 256];
	volatile uint16_t used[4096] __attribute__((aligned(4096)));
} ring;

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

static void disk_begin(void)
{
	for (unsigned i = 0; i < 4; i++)
		ring.used[i] = ring.avail[i] = 0;
	pci_set(0x18, 0x04, 0);
	pci_set(0x18, 0x20, BASE);
	pci_set(0x18, 0x04, 6);
	*reg8(20) = 0;
	while (*reg8(20))
		;
	*reg8(20) = 3;
	*reg32(8) = 1;
	*reg32(12) = 1; /* version 1, nothing else */
	*reg32(8) = 0;
	*reg32(12) = 0;
	*reg8(20) = 11;
	*reg16(22) = 0;
	queue_address(32, ring.desc);
	queue_address(40, ring.avail);
	queue_address(48, ring.used);
	*reg16(28) = 1;
	*reg8(20) = 15;
	fact("status", *reg8(20), 2);
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
	else if (is(line, "cmos"))
		test_cmos();
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

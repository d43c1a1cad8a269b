/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest without a system, for the tests of vdisk boot: begins where a 64-bit Linux kernel would, does what the first word of
 * its command line says, writes what it found to the serial line, and switches itself off.
 */
#include "guest.h"

#define PM_CONTROL 0x604

void put(char c)
{
	while (!(in8(0x3fd) & 0x20))
		;
	out8(0x3f8, (uint8_t)c);
}

void say(const char *s)
{
	while (*s)
		put(*s++);
}

void hex(uint64_t v, unsigned digits)
{
	while (digits--)
		put("0123456789abcdef"[v >> 4 * digits & 15]);
}

void fact(const char *name, uint64_t v, unsigned digits)
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

/* ---- PCI */

uint32_t pci_get(unsigned devfn, unsigned reg)
{
	out32(0xcf8, 0x80000000u | devfn << 8 | reg);
	return in32(0xcfc);
}

void pci_set(unsigned devfn, unsigned reg, uint32_t v)
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

/* Starts the other processors as systems do (INIT, start-up), each of which counts itself and stops.  Waits for those that CMOS
   speaks of. */
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

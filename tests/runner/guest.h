/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the guest without a system share (guest.c). */
#ifndef TESTS_RUNNER_GUEST_H
#define TESTS_RUNNER_GUEST_H

#include <stdbool.h>
#include <stdint.h>

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

/* To the serial line. */
void put(char c);
void say(const char *s);
void hex(uint64_t v, unsigned digits);
void fact(const char *name, uint64_t v, unsigned digits); /* a line */

uint32_t pci_get(unsigned devfn, unsigned reg);
void pci_set(unsigned devfn, unsigned reg, uint32_t v);

/* guest_time.c */
void idt_load(uint16_t limit); /* 0: no exception can be taken */
void test_pit(void);
void test_clock(void);
/* guest_virtio.c */
void test_disk(void);
void test_hostile(void);
void test_many(void);
void test_rng(void);
void test_net(void);
/* guest_ahci.c */
void test_sata(void);

#endif

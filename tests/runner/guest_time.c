/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupts (one gate each, one counter each), the timer, and the clock. */
#include "guest.h"

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

void idt_load(uint16_t limit)
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

void test_pit(void)
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

void test_clock(void)
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
		{ 0, 0x59 }, { 2, 0x59 },    { 4, 0x23 }, { 7, 0x31 }, { 8, 0x12 },
		{ 9, 0x99 }, { 0x32, 0x19 }, { 1, 0 },    { 3, 0 },    { 5, 0 },
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The MC146818: registers 0 to 13, then memory.  Setting the clock is accepted and without effect; it gives no interrupts (no
 * alarm, no periodic one: register C always reads 0).  Guarded by the machine's lock.
 */
#include "rtc.h"

#include <stdlib.h>
#include <time.h>

#define RTC_A 10
#define RTC_B 11
#define RTC_C 12
#define RTC_D 13
#define RTC_CENTURY 0x32

struct rtc {
	uint8_t index;
	uint8_t cells[128];
};

static uint8_t bcd(int v)
{
	return (uint8_t)(v / 10 << 4 | v % 10);
}

/* A register of the time, in the form that register B asks for; -1: not one of the time. */
static int rtc_time(const struct rtc *rtc, unsigned reg)
{
	time_t now = time(NULL);
	struct tm tm;
	int v;

	gmtime_r(&now, &tm);
	switch (reg) {
	case 0: v = tm.tm_sec; break;
	case 2: v = tm.tm_min; break;
	case 4:
		v = tm.tm_hour;
		if (!(rtc->cells[RTC_B] & 2)) { /* 12 hours, bit 7: afternoon */
			int half = v >= 12 ? 0x80 : 0;
			v = v % 12 ? v % 12 : 12;
			return (rtc->cells[RTC_B] & 4 ? v : bcd(v)) | half;
		}
		break;
	case 6: v = tm.tm_wday + 1; break;
	case 7: v = tm.tm_mday; break;
	case 8: v = tm.tm_mon + 1; break;
	case 9: v = tm.tm_year % 100; break;
	case RTC_CENTURY: v = 19 + tm.tm_year / 100; break;
	default: return -1;
	}
	return rtc->cells[RTC_B] & 4 ? v : bcd(v);
}

static uint64_t rtc_read(void *dev, uint64_t off, unsigned size)
{
	struct rtc *rtc = dev;

	if (size != 1 || off == 0)
		return UINT64_MAX;
	int v = rtc_time(rtc, rtc->index);
	return v >= 0 ? (uint64_t)v : rtc->cells[rtc->index];
}

static void rtc_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct rtc *rtc = dev;

	if (size > 1 && off == 0) { /* index and value in one */
		rtc->index = value & 0x7f;
		value >>= 8;
	} else if (off == 0) {
		rtc->index = value & 0x7f;
		return;
	}
	if (rtc->index == RTC_C || rtc->index == RTC_D)
		return;
	rtc->cells[rtc->index] = rtc->index == RTC_A ? value & 0x7f : (uint8_t)value;
}

int rtc_create(struct machine *m, struct rtc **out, vdisk_error *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));

	if (!rtc)
		return fail(err, VDISK_NOMEM, "out of memory");
	rtc->cells[RTC_A] = 0x26;
	rtc->cells[RTC_B] = 0x02; /* 24 hours, BCD */
	rtc->cells[RTC_D] = 0x80; /* the battery is good */
	uint64_t above_16m = m->vm.low_bytes > 0x1000000 ? (m->vm.low_bytes - 0x1000000) >> 16 : 0;
	uint64_t above_1m = m->vm.low_bytes > 0x100000 ? (m->vm.low_bytes - 0x100000) >> 10 : 0;
	uint64_t above_4g = (m->vm.ram_bytes - m->vm.low_bytes) >> 16;
	if (above_1m > 0xffff)
		above_1m = 0xffff;
	rtc->cells[0x15] = 640 & 0xff;
	rtc->cells[0x16] = 640 >> 8;
	rtc->cells[0x17] = rtc->cells[0x30] = (uint8_t)above_1m;
	rtc->cells[0x18] = rtc->cells[0x31] = (uint8_t)(above_1m >> 8);
	rtc->cells[0x34] = (uint8_t)above_16m;
	rtc->cells[0x35] = (uint8_t)(above_16m >> 8);
	rtc->cells[0x5b] = (uint8_t)above_4g;
	rtc->cells[0x5c] = (uint8_t)(above_4g >> 8);
	rtc->cells[0x5d] = (uint8_t)(above_4g >> 16);
	rtc->cells[0x5f] = (uint8_t)(m->config->n_cpus - 1);
	rtc->cells[0x3d] = 0x02; /* what SeaBIOS boots from first: the disk */
	*out = rtc;
	struct bus_range range = { 0x70, 2, "RTC", rtc, rtc_read, rtc_write };
	return bus_add(&m->pio, &range, err);
}

void rtc_destroy(struct rtc *rtc)
{
	free(rtc);
}

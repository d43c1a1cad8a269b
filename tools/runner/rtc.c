/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The MC146818: registers 0 to 13, then memory.  The time is the host's, in UTC, plus what the guest set it off by, until the next
 * reset.  Flags of register C are brought up to date when it is read and when an interrupt they stand for is wanted; ticks that a
 * guest misses are one, as in the chip.  Guarded by the machine's lock, under which its thread waits, too.
 */
#include "rtc.h"
#include "thread.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RTC_A 10
#define RTC_B 11
#define RTC_C 12
#define RTC_D 13
#define RTC_CENTURY 0x32
#define RTC_LINE 8
#define ALARM_ANY 0xc0

#define B_SET    0x80 /* the clock is being set: it stands */
#define B_BINARY 0x04
#define B_24H    0x02
#define C_IRQ    0x80
#define C_TICK   0x40 /* the same bits of B want an interrupt */
#define C_ALARM  0x20
#define C_SECOND 0x10

#define YEARS  10000 /* the registers have four digits: the calendar, weekdays too, begins anew after as many */

#define SECOND 1000000000ll
#define NEVER  INT64_MAX

struct rtc {
	struct machine *m;
	uint8_t index;
	uint8_t cells[128];
	int64_t set_off;      /* seconds ahead of the host's clock */
	int64_t ticked;       /* ns of the monotonic clock: the last tick that was counted */
	int64_t seconds;      /* of the guest's time: the last one that was counted */
	pthread_cond_t changed;
	pthread_t thread;
	bool started, quit;
};

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t rtc_seconds(const struct rtc *rtc)
{
	return clock_ns(CLOCK_REALTIME) / SECOND + rtc->set_off;
}

/* ---- the time in registers */

static uint8_t encode(const struct rtc *rtc, int v)
{
	return (uint8_t)(rtc->cells[RTC_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static int decode(const struct rtc *rtc, uint8_t v)
{
	return rtc->cells[RTC_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cells[RTC_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0); /* bit 7: afternoon */
}

static int decode_hour(const struct rtc *rtc, uint8_t v)
{
	if (rtc->cells[RTC_B] & B_24H)
		return decode(rtc, v);
	return decode(rtc, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

static bool is_time(unsigned reg)
{
	return reg == 0 || reg == 2 || reg == 4 || (reg >= 6 && reg <= 9) || reg == RTC_CENTURY;
}

/* The running clock's time into the registers.  A guest may have set it to before the year 0, too. */
static void time_show(struct rtc *rtc)
{
	time_t now = rtc_seconds(rtc);
	struct tm tm = { 0 };

	gmtime_r(&now, &tm);
	int year = ((tm.tm_year + 1900) % YEARS + YEARS) % YEARS;
	rtc->cells[0] = encode(rtc, tm.tm_sec);
	rtc->cells[2] = encode(rtc, tm.tm_min);
	rtc->cells[4] = encode_hour(rtc, tm.tm_hour);
	rtc->cells[6] = encode(rtc, tm.tm_wday + 1);
	rtc->cells[7] = encode(rtc, tm.tm_mday);
	rtc->cells[8] = encode(rtc, tm.tm_mon + 1);
	rtc->cells[9] = encode(rtc, year % 100);
	rtc->cells[RTC_CENTURY] = encode(rtc, year / 100);
}

/* And back: the clock goes on from what they say. */
static void time_adopt(struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->cells[0]),
		.tm_min = decode(rtc, rtc->cells[2]),
		.tm_hour = decode_hour(rtc, rtc->cells[4]),
		.tm_mday = decode(rtc, rtc->cells[7]),
		.tm_mon = decode(rtc, rtc->cells[8]) - 1,
		.tm_year = decode(rtc, rtc->cells[RTC_CENTURY]) * 100 + decode(rtc, rtc->cells[9]) - 1900,
	};

	rtc->set_off += timegm(&tm) - rtc_seconds(rtc);
	rtc->seconds = rtc_seconds(rtc);
}

/* ---- interrupts */

/* ns between two ticks; 0: there are none. */
static int64_t tick_ns(const struct rtc *rtc)
{
	unsigned rate = rtc->cells[RTC_A] & 15;

	if (!rate || (rtc->cells[RTC_A] & 0x70) != 0x20) /* stopped; another crystal than the one there is */
		return 0;
	return SECOND * (1 << ((rate < 3 ? rate + 7 : rate) - 1)) / 32768;
}

static bool alarm_matches(const struct rtc *rtc, int64_t seconds)
{
	const uint8_t *c = rtc->cells;
	int of_day = (int)((seconds % 86400 + 86400) % 86400); /* before 1970, too */

	return (c[1] >= ALARM_ANY || decode(rtc, c[1]) == of_day % 60) &&
	       (c[3] >= ALARM_ANY || decode(rtc, c[3]) == of_day / 60 % 60) &&
	       (c[5] >= ALARM_ANY || decode_hour(rtc, c[5]) == of_day / 3600);
}

/* Sets the flags that are due, and the line. */
static void rtc_update(struct rtc *rtc)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC), seconds = rtc_seconds(rtc), tick = tick_ns(rtc);
	uint8_t *flags = &rtc->cells[RTC_C];

	if (tick && now - rtc->ticked >= tick) {
		*flags |= C_TICK;
		rtc->ticked = now - (now - rtc->ticked) % tick;
	}
	if (seconds != rtc->seconds && !(rtc->cells[RTC_B] & B_SET)) {
		*flags |= C_SECOND;
		if (seconds < rtc->seconds || seconds - rtc->seconds > 86400) /* the host's clock was set */
			rtc->seconds = seconds - 1;
		while (rtc->seconds < seconds)
			if (alarm_matches(rtc, ++rtc->seconds))
				*flags |= C_ALARM;
	}
	if (*flags & rtc->cells[RTC_B] & (C_TICK | C_ALARM | C_SECOND) && !(*flags & C_IRQ)) {
		*flags |= C_IRQ;
		vm_irq(&rtc->m->vm, RTC_LINE, true);
	}
}

/* When there is next something to tell, by the monotonic clock. */
static int64_t rtc_next(const struct rtc *rtc)
{
	int64_t now = clock_ns(CLOCK_MONOTONIC), next = NEVER, tick = tick_ns(rtc);
	uint8_t wanted = rtc->cells[RTC_B];

	if (rtc->cells[RTC_C] & C_IRQ)
		return NEVER; /* until it was read */
	if (tick && wanted & C_TICK)
		next = rtc->ticked + tick;
	if (wanted & (C_ALARM | C_SECOND) && !(wanted & B_SET)) {
		int64_t second = now + SECOND - clock_ns(CLOCK_REALTIME) % SECOND;

		next = second < next ? second : next;
	}
	return next;
}

static void *rtc_thread(void *arg)
{
	struct rtc *rtc = arg;

	pthread_mutex_lock(&rtc->m->lock);
	while (!rtc->quit) {
		int64_t next = rtc_next(rtc);
		struct timespec t = { .tv_sec = (time_t)(next / SECOND), .tv_nsec = (long)(next % SECOND) };

		if (next == NEVER)
			pthread_cond_wait(&rtc->changed, &rtc->m->lock);
		else
			pthread_cond_timedwait(&rtc->changed, &rtc->m->lock, &t);
		rtc_update(rtc);
	}
	pthread_mutex_unlock(&rtc->m->lock);
	return NULL;
}

/* ---- ports */

static uint8_t flags_take(struct rtc *rtc)
{
	rtc_update(rtc);
	uint8_t flags = rtc->cells[RTC_C];
	rtc->cells[RTC_C] = 0;
	vm_irq(&rtc->m->vm, RTC_LINE, false);
	pthread_cond_signal(&rtc->changed);
	return flags;
}

static uint64_t rtc_read(void *dev, uint64_t off, unsigned size)
{
	struct rtc *rtc = dev;

	if (size != 1 || off == 0)
		return UINT64_MAX;
	if (rtc->index == RTC_C)
		return flags_take(rtc);
	if (is_time(rtc->index) && !(rtc->cells[RTC_B] & B_SET))
		time_show(rtc);
	/* Register A's uppermost bit: the time is about to change. */
	if (rtc->index == RTC_A && !(rtc->cells[RTC_B] & B_SET) && clock_ns(CLOCK_REALTIME) % SECOND >= SECOND - 244000)
		return rtc->cells[RTC_A] | 0x80;
	return rtc->cells[rtc->index];
}

static void cell_write(struct rtc *rtc, uint8_t v)
{
	uint8_t was = rtc->cells[RTC_B];

	switch (rtc->index) {
	case RTC_A:
		rtc->cells[RTC_A] = v & 0x7f;
		rtc->ticked = clock_ns(CLOCK_MONOTONIC);
		break;
	case RTC_B:
		if (v & B_SET && !(was & B_SET))
			time_show(rtc);
		rtc->cells[RTC_B] = v;
		if (was & B_SET && !(v & B_SET))
			time_adopt(rtc);
		if (v & ~was & C_TICK)
			rtc->ticked = clock_ns(CLOCK_MONOTONIC);
		break;
	case RTC_C:
	case RTC_D: return;
	default:
		if (!is_time(rtc->index) || was & B_SET) {
			rtc->cells[rtc->index] = v;
			return;
		}
		time_show(rtc);
		rtc->cells[rtc->index] = v;
		time_adopt(rtc);
		return;
	}
	rtc_update(rtc);
	pthread_cond_signal(&rtc->changed);
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
	cell_write(rtc, (uint8_t)value);
}

/* ---- the device */

/* What firmware asks of memory, processors and the order of booting. */
static void cells_fill(struct rtc *rtc, const struct machine *m)
{
	uint64_t above_16m = m->vm.low_bytes > 0x1000000 ? (m->vm.low_bytes - 0x1000000) >> 16 : 0;
	uint64_t above_1m = m->vm.low_bytes > 0x100000 ? (m->vm.low_bytes - 0x100000) >> 10 : 0;
	uint64_t above_4g = (m->vm.ram_bytes - m->vm.low_bytes) >> 16;

	if (above_1m > 0xffff)
		above_1m = 0xffff;
	rtc->cells[RTC_A] = 0x26;
	rtc->cells[RTC_B] = B_24H;
	rtc->cells[RTC_D] = 0x80; /* the battery is good */
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
}

int rtc_create(struct machine *m, struct rtc **out, vdisk_error *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	pthread_condattr_t attr;

	if (!rtc)
		return fail(err, VDISK_NOMEM, "out of memory");
	rtc->m = m;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&rtc->changed, &attr);
	pthread_condattr_destroy(&attr);
	cells_fill(rtc, m);
	rtc->ticked = clock_ns(CLOCK_MONOTONIC);
	rtc->seconds = rtc_seconds(rtc);
	*out = rtc;
	struct bus_range range = { 0x70, 2, "RTC", rtc, rtc_read, rtc_write };
	if (bus_add(&m->pio, &range, err))
		return -1;
	if (thread_start(&rtc->thread, rtc_thread, rtc, "the clock's thread", err))
		return -1;
	rtc->started = true;
	return 0;
}

void rtc_destroy(struct rtc *rtc)
{
	if (!rtc)
		return;
	pthread_mutex_lock(&rtc->m->lock);
	rtc->quit = true;
	pthread_cond_signal(&rtc->changed);
	pthread_mutex_unlock(&rtc->m->lock);
	if (rtc->started)
		pthread_join(rtc->thread, NULL);
	pthread_cond_destroy(&rtc->changed);
	free(rtc);
}

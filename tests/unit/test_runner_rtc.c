/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clock's registers by a host's clock that the tests set; without its thread.  What times are is time.h's to say. */
#include "rtc.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>

#define TIME(...) ((struct registers){ { __VA_ARGS__ } })
#define NOW 1700000000 /* Tuesday, 2023-11-14 22:13:20 UTC */

enum { SECONDS, MINUTES = 2, HOURS = 4, WEEKDAY = 6, DAY, MONTH, YEAR, A, B, C, CENTURY = 0x32 };

static int64_t host_ns;
static bool line;

int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	(void)id;
	*t = (struct timespec){ host_ns / 1000000000, host_ns % 1000000000 };
	return 0;
}

void __wrap_vm_irq(struct vm *vm, unsigned gsi, bool level);
void __wrap_vm_irq(struct vm *vm, unsigned gsi, bool level)
{
	(void)vm;
	assert_int_equal(8, gsi);
	line = level;
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	(void)t, (void)attr, (void)fn, (void)arg;
	return 0;
}

int __wrap_pthread_join(pthread_t t, void **result);
int __wrap_pthread_join(pthread_t t, void **result)
{
	(void)t, (void)result;
	return 0;
}

/* ---- a machine with nothing else in it */

static struct machine machine;
static struct machine_config config;

static void begin(void)
{
	vdisk_error err;

	host_ns = NOW * 1000000000ll;
	line = false;
	config = (struct machine_config){ .n_cpus = 1 };
	machine = (struct machine){ .config = &config, .vm = { .low_bytes = 64u << 20, .ram_bytes = 64u << 20 } };
	pthread_mutex_init(&machine.lock, NULL);
	assert_int_equal(0, rtc_create(&machine, &machine.rtc, &err));
}

static void end(void)
{
	rtc_destroy(machine.rtc);
	bus_destroy(&machine.pio);
	pthread_mutex_destroy(&machine.lock);
}

static unsigned get(unsigned reg)
{
	bus_write(&machine.pio, 0x70, 1, reg);
	return (unsigned)bus_read(&machine.pio, 0x71, 1);
}

static void set(unsigned reg, unsigned v)
{
	bus_write(&machine.pio, 0x70, 1, reg);
	bus_write(&machine.pio, 0x71, 1, v);
}

/* Every register of the time, from the century to the second. */
struct registers {
	unsigned v[7];
};

static const unsigned registers[7] = { CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS };

/* As a guest sets the clock: it stands meanwhile. */
static void set_all(unsigned flags, struct registers r)
{
	set(B, 0x80 | flags);
	for (unsigned i = 0; i < 7; i++)
		set(registers[i], r.v[i]);
	set(B, flags);
}

static void expect(const char *when, struct registers r)
{
	for (unsigned i = 0; i < 7; i++) {
		unsigned is = get(registers[i]);

		if (is != r.v[i])
			fail_msg("%s: register 0x%02x: expected 0x%02x, is 0x%02x", when, registers[i], r.v[i], is);
	}
}

/* ---- cases */

static void hosts_time(void **state)
{
	(void)state;
	begin();
	expect("BCD, 24 hours", TIME(0x20, 0x23, 0x11, 0x14, 0x22, 0x13, 0x20));
	assert_int_equal(3, get(WEEKDAY)); /* Sunday is 1 */
	set(B, 0x06);
	expect("binary", TIME(20, 23, 11, 14, 22, 13, 20));
	set(B, 0x00);
	expect("12 hours", TIME(0x20, 0x23, 0x11, 0x14, 0x90, 0x13, 0x20));
	end();
}

static void goes_on_from_what_is_set(void **state)
{
	(void)state;
	begin();
	set_all(0x02, TIME(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x58));
	expect("as set", TIME(0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x58));
	host_ns += 2000000000ll;
	expect("a leap day", TIME(0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00));
	assert_int_equal(5, get(WEEKDAY)); /* a Thursday */
	end();
}

/* Years that the host never sees: before 1900, before 0, after 9999. */
static void any_year(void **state)
{
	(void)state;
	begin();
	set_all(0x02, TIME(0x18, 0x93, 0x01, 0x01, 0x12, 0x00, 0x00));
	expect("1893", TIME(0x18, 0x93, 0x01, 0x01, 0x12, 0x00, 0x00));
	assert_int_equal(1, get(WEEKDAY)); /* a Sunday */
	set_all(0x02, TIME(0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59));
	expect("9999", TIME(0x99, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59));
	host_ns += 1000000000ll;
	expect("after 9999", TIME(0x00, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00));
	assert_int_equal(7, get(WEEKDAY)); /* a Saturday, like the first of January, 2000 */
	set_all(0x02, TIME(0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00)); /* no month, no day */
	expect("before 0", TIME(0x99, 0x99, 0x11, 0x30, 0x00, 0x00, 0x00));
	end();
}

static void alarm_by(int64_t ns, unsigned expected)
{
	host_ns += ns;
	unsigned flags = get(C) & 0x20;
	if (flags != expected)
		fail_msg("alarm at %lld ns: expected flags 0x%02x, is 0x%02x", (long long)(host_ns - NOW * 1000000000ll), expected, flags);
}

static void alarm_rings(void **state)
{
	(void)state;
	begin();
	set(1, 0x22);
	set(3, 0x13);
	set(5, 0x22);
	set(B, 0x22);
	alarm_by(0, 0);
	alarm_by(1000000000, 0);
	assert_false(line);
	alarm_by(1000000000, 0x20);
	alarm_by(1000000000, 0);
	end();
}

/* The day of a time before 1970 has its hours in the same order. */
static void alarm_rings_before_1970(void **state)
{
	(void)state;
	begin();
	set(1, 0x02);
	set(3, 0x30);
	set(5, 0x07);
	set_all(0x22, TIME(0x19, 0x69, 0x07, 0x20, 0x07, 0x30, 0x00));
	alarm_by(1000000000, 0);
	alarm_by(1000000000, 0x20);
	alarm_by(1000000000, 0);
	end();
}

static void ticks(void **state)
{
	(void)state;
	begin();
	set(A, 0x26); /* 1024 Hz */
	set(B, 0x42);
	assert_int_equal(0, get(C));
	host_ns += 976563;
	assert_int_equal(0xc0, get(C)); /* it interrupts, and it is this */
	assert_false(line);             /* having been read */
	assert_int_equal(0, get(C));
	host_ns += 10 * 976563;
	assert_int_equal(0xc0, get(C)); /* those that were missed are one */
	assert_int_equal(0, get(C));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_time),
		cmocka_unit_test(goes_on_from_what_is_set),
		cmocka_unit_test(any_year),
		cmocka_unit_test(alarm_rings),
		cmocka_unit_test(alarm_rings_before_1970),
		cmocka_unit_test(ticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

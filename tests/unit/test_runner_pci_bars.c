/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where BARs are decoded while they are moved about, over each other at times. */
#include "pci.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define PAGE     4096u
#define LOW_MEM  (16u << 20)
#define BAR0     0x10
#define BAR1     0x14
#define COMMAND  0x04

static struct machine machine;
static struct pci_dev devs[3];
static unsigned announced[3]; /* bars that `moved` told of and did not take back */

static uint64_t dev_read(void *dev, uint64_t off, unsigned size)
{
	(void)off, (void)size;
	return (uint64_t)((struct pci_dev *)dev - devs);
}

static void dev_moved(struct pci_dev *dev, unsigned bar, uint64_t at, bool on)
{
	assert_true(at);
	assert_int_equal(on, !(announced[dev - devs] & 1u << bar));
	announced[dev - devs] ^= 1u << bar;
}

static void begin(void)
{
	vdisk_error err;

	memset(devs, 0, sizeof(devs));
	memset(announced, 0, sizeof(announced));
	machine = (struct machine){ .vm = { .fd = -1, .low_bytes = LOW_MEM } };
	assert_int_equal(0, pci_create(&machine, &machine.pci, &err));
	for (unsigned i = 0; i < 3; i++) {
		pci_dev_init(&devs[i], 0x1af4, 0x1000, 0, 0, 0);
		for (unsigned b = 0; b < 2; b++)
			devs[i].bars[b] = (struct pci_bar){ .size = PAGE, .name = "BAR", .read = dev_read, .moved = dev_moved };
		assert_int_equal(0, pci_add(machine.pci, &devs[i], 3 + i, 0, &err));
	}
	assert_int_equal(0, pci_assign(machine.pci, &err));
}

static void end(void)
{
	pci_destroy(machine.pci);
	bus_destroy(&machine.pio);
	bus_destroy(&machine.mmio);
}

static void config_set(unsigned dev, unsigned reg, uint32_t v)
{
	bus_write(&machine.pio, 0xcf8, 4, 0x80000000u | (uint32_t)devs[dev].devfn << 8 | reg);
	bus_write(&machine.pio, 0xcfc, 4, v);
}

/* `dev` answers there; -1: nobody. */
static void expect(const char *when, uint64_t at, int dev)
{
	uint64_t is = bus_read(&machine.mmio, at, 4);

	if (is != (uint64_t)(int64_t)dev)
		fail_msg("%s: at %#llx: expected device %d, is %lld", when, (unsigned long long)at, dev, (long long)is);
}

/* ---- cases */

static void swap(void **state)
{
	(void)state;
	begin();
	uint32_t x = (uint32_t)devs[0].bars[0].at, y = (uint32_t)devs[1].bars[0].at;
	config_set(0, BAR0, y);
	expect("device 0 moved over device 1", x, -1);
	expect("device 0 moved over device 1", y, 1);
	config_set(1, BAR0, x);
	expect("swapped", x, 1);
	expect("swapped", y, 0);
	assert_int_equal(3, announced[0]);
	assert_int_equal(3, announced[1]);
	end();
}

static void the_other_is_switched_off(void **state)
{
	(void)state;
	begin();
	uint32_t y = (uint32_t)devs[1].bars[0].at;
	config_set(0, BAR0, y);
	config_set(2, BAR1, y);
	config_set(1, COMMAND, 0);
	expect("device 1 is off: the next in order", y, 0);
	config_set(1, COMMAND, 2);
	expect("device 1 is on again, too late", y, 0);
	assert_int_equal(2, announced[1]);
	config_set(0, COMMAND, 0);
	expect("device 0 is off", y, 1);
	assert_int_equal(0, announced[0]);
	config_set(1, COMMAND, 0);
	expect("all but device 2 are off", y, 2);
	config_set(2, COMMAND, 0);
	expect("all are off", y, -1);
	end();
}

/* One of its BARs is in the way of the other. */
static void of_one_device(void **state)
{
	(void)state;
	begin();
	uint32_t x = (uint32_t)devs[0].bars[0].at, y = (uint32_t)devs[0].bars[1].at, z = 0xe8000000;
	config_set(0, BAR0, y);
	expect("both on one place", y, 0);
	assert_int_equal(2, announced[0]);
	config_set(0, BAR1, z);
	expect("the second moved away", x, -1);
	expect("the second moved away", y, 0);
	expect("the second moved away", z, 0);
	assert_int_equal(3, announced[0]);
	end();
}

/* What stays nowhere although nobody is in its way. */
static void nowhere(void **state)
{
	(void)state;
	begin();
	uint32_t y = (uint32_t)devs[1].bars[0].at;
	config_set(0, BAR0, LOW_MEM - PAGE);
	config_set(2, BAR0, y);
	config_set(2, COMMAND, 0);
	config_set(1, COMMAND, 0);
	expect("over memory", LOW_MEM - PAGE, -1);
	expect("both are off", y, -1);
	assert_int_equal(2, announced[0]);
	assert_int_equal(0, announced[2]);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(swap),
		cmocka_unit_test(the_other_is_switched_off),
		cmocka_unit_test(of_one_device),
		cmocka_unit_test(nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports that are stopped and reset while a command is under way.  The disk's read ends only once somebody waits for it, so that
 * each case meets it half-done.  What a command leaves behind belongs where the driver had its list, and the registers of a port
 * that was reset tell nothing of it.
 */
#include "ahci.h"
#include "common/numbers.h"
#include "pci.h"

#include <semaphore.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#define RAM_BYTES (2u << 20)
#define ABAR      0xe0000000u
#define LIST_AT   0x180000u
#define FIS_AT    0x181000u
#define TABLE_AT  0x182000u
#define DATA_AT   0x190000u
#define SLOT      3u
#define BEFORE    0xee /* in memory that nobody may touch */

enum { HBA_GHC = 0x04, HBA_IS = 0x08, PORT = 0x100 };
enum { PORT_CLB = 0x00, PORT_FB = 0x08, PORT_IS = 0x10, PORT_IE = 0x14 };
enum { PORT_CMD = 0x18, PORT_TFD = 0x20, PORT_SCTL = 0x2c, PORT_CI = 0x38 };

static sem_t reading, read_on;
static bool line;

void __wrap_vm_irq(struct vm *vm, unsigned gsi, bool level);
void __wrap_vm_irq(struct vm *vm, unsigned gsi, bool level)
{
	(void)vm, (void)gsi;
	line = level;
}

int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
{
	sem_post(&read_on);
	return __real_pthread_cond_wait(cond, lock);
}

uint64_t __wrap_vdisk_size(const vdisk_image *img);
uint64_t __wrap_vdisk_size(const vdisk_image *img)
{
	(void)img;
	return 1 << 20;
}

int __wrap_vdisk_preadv(vdisk_image *img, const struct iovec *v, int n, uint64_t off, vdisk_error *err);
int __wrap_vdisk_preadv(vdisk_image *img, const struct iovec *v, int n, uint64_t off, vdisk_error *err)
{
	(void)img, (void)off, (void)err;
	sem_post(&reading);
	sem_wait(&read_on);
	for (int i = 0; i < n; i++)
		memset(v[i].iov_base, 0x5a, v[i].iov_len);
	return 0;
}

/* ---- a machine with one disk, and a driver for it */

static struct machine machine;
static struct machine_config config;

static uint32_t get(unsigned reg)
{
	pthread_mutex_lock(&machine.lock);
	uint32_t v = (uint32_t)bus_read(&machine.mmio, ABAR + reg, 4);
	pthread_mutex_unlock(&machine.lock);
	return v;
}

static void set(unsigned reg, uint32_t v)
{
	pthread_mutex_lock(&machine.lock);
	bus_write(&machine.mmio, ABAR + reg, 4, v);
	pthread_mutex_unlock(&machine.lock);
}

/* A sector is being read when this returns. */
static void begin(void)
{
	vdisk_error err;

	sem_init(&reading, 0, 0);
	sem_init(&read_on, 0, 0);
	config = (struct machine_config){ .n_disks = 1, .disks[0] = (vdisk_image *)&config }; /* nobody looks into it */
	machine = (struct machine){ .config = &config,
		.vm = { .fd = -1, .low_bytes = RAM_BYTES, .ram_bytes = RAM_BYTES, .ram = malloc(RAM_BYTES) } };
	assert_non_null(machine.vm.ram);
	memset(machine.vm.ram, BEFORE, RAM_BYTES);
	pthread_mutex_init(&machine.lock, NULL);
	assert_int_equal(0, pci_create(&machine, &machine.pci, &err));
	assert_int_equal(0, ahci_create(&machine, MACHINE_DISKS_SLOT, &machine.ahci, &err));
	assert_int_equal(0, pci_assign(machine.pci, &err));

	uint8_t *header = machine.vm.ram + LIST_AT + 32 * SLOT, *table = machine.vm.ram + TABLE_AT;
	memset(header, 0, 32);
	memset(table, 0, 0x90);
	le32_put(header, 5 | 1 << 16);
	le64_put(header + 8, TABLE_AT);
	memcpy(table, (uint8_t[]){ 0x27, 0x80, 0x25, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 1 }, 13); /* READ DMA EXT of a sector */
	le64_put(table + 0x80, DATA_AT);
	le32_put(table + 0x8c, 511);

	set(HBA_GHC, 0x80000002);
	set(PORT + PORT_CLB, LIST_AT);
	set(PORT + PORT_FB, FIS_AT);
	set(PORT + PORT_IE, 0xffffffff);
	set(PORT + PORT_CMD, 0x16);
	set(PORT + PORT_CMD, 0x17);
	set(PORT + PORT_CI, 1u << SLOT);
	sem_wait(&reading);
}

static void end(void)
{
	ahci_destroy(machine.ahci);
	pci_destroy(machine.pci);
	bus_destroy(&machine.pio);
	bus_destroy(&machine.mmio);
	pthread_mutex_destroy(&machine.lock);
	free(machine.vm.ram);
	sem_destroy(&reading);
	sem_destroy(&read_on);
}

/* The command is over, with its data and count where they belong, and memory is otherwise as it was. */
static void expect_over(const char *when)
{
	const uint8_t *ram = machine.vm.ram;

	for (unsigned i = 0; i < LIST_AT; i++)
		if (ram[i] != BEFORE)
			fail_msg("%s: byte %#x of memory: expected %#x, is %#x", when, i, BEFORE, ram[i]);
	for (unsigned i = 0; i < 512; i++)
		if (ram[DATA_AT + i] != 0x5a)
			fail_msg("%s: byte %u of the sector: expected 0x5a, is %#x", when, i, ram[DATA_AT + i]);
	assert_int_equal(BEFORE, ram[DATA_AT + 512]);
	assert_int_equal(512, le32_get(ram + LIST_AT + 32 * SLOT + 4));
	assert_int_equal(0, get(PORT + PORT_CI));
}

/* ---- cases */

static void controller_reset(void **state)
{
	(void)state;
	begin();
	set(HBA_GHC, 0x80000003);
	expect_over("after GHC.HR");
	static const unsigned cleared[] = { PORT_CLB, PORT_FB, PORT_IS, PORT_IE, PORT_SCTL };
	for (unsigned i = 0; i < sizeof(cleared) / sizeof(*cleared); i++)
		if (get(PORT + cleared[i]))
			fail_msg("after GHC.HR: register %#x: expected 0, is %#x", PORT + cleared[i], get(PORT + cleared[i]));
	assert_int_equal(0, get(HBA_IS));
	assert_int_equal(0x80000000, get(HBA_GHC));
	assert_int_equal(0x00000006, get(PORT + PORT_CMD));
	assert_int_equal(0x00000150, get(PORT + PORT_TFD));
	assert_false(line);
	end();
}

static void link_reset(void **state)
{
	(void)state;
	begin();
	set(PORT + PORT_SCTL, 1);
	expect_over("after COMRESET");
	assert_int_equal(0x7f, get(PORT + PORT_TFD));
	set(PORT + PORT_SCTL, 0);
	assert_int_equal(0x150, get(PORT + PORT_TFD));
	assert_int_equal(LIST_AT, get(PORT + PORT_CLB));
	end();
}

/* The driver may reuse all of its memory as soon as the port stands. */
static void port_stop(void **state)
{
	(void)state;
	begin();
	set(PORT + PORT_CMD, 0x06);
	expect_over("after PxCMD.ST and FRE were cleared");
	assert_int_equal(0x06, get(PORT + PORT_CMD));
	assert_true(get(PORT + PORT_IS) & 1);
	assert_true(line);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(controller_reset),
		cmocka_unit_test(link_reset),
		cmocka_unit_test(port_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

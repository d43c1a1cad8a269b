/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a bzImage and its initial RAM disk go, by headers that say so or lie.  Files are in memory; processors there are none. */
#include "common/numbers.h"
#include "linux.h"
#include "pci.h"
#include "pm.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB          (1u << 20)
#define RAM_BYTES    (8u << 20)
#define KERNEL_AT    0x100000u
#define SETUP_BYTES  1024u
#define PARAMS       0x8000u

int __wrap_vcpu_set_long_mode(struct vcpu *cpu, uint64_t gdt, uint64_t cr3, uint64_t rip, uint64_t rsi, vdisk_error *err);
int __wrap_vcpu_set_long_mode(struct vcpu *cpu, uint64_t gdt, uint64_t cr3, uint64_t rip, uint64_t rsi, vdisk_error *err)
{
	(void)cpu, (void)gdt, (void)cr3, (void)err;
	assert_int_equal(KERNEL_AT + 0x200, rip);
	assert_int_equal(PARAMS, rsi);
	return 0;
}

static struct machine machine;
static struct machine_config config;
static vdisk_error error;

static int file_make(const uint8_t *head, size_t n_head, size_t bytes, int fill)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	uint8_t *p = malloc(bytes);

	assert_true(fd >= 0);
	assert_non_null(p);
	memset(p, fill, bytes);
	if (n_head)
		memcpy(p, head, n_head);
	assert_int_equal(bytes, write(fd, p, bytes));
	free(p);
	return fd;
}

/* What loading a kernel of `bytes`, whose header wants `init_size` bytes at `pref`, comes to; memory is kept till the next. */
static int load(uint64_t pref, uint32_t init_size, size_t bytes, size_t initrd_bytes)
{
	uint8_t head[SETUP_BYTES] = { 0 };

	head[0x1f1] = 1;
	le16_put(head + 0x1fe, 0xaa55);
	memcpy(head + 0x202, "HdrS", 4);
	le16_put(head + 0x206, 0x20f);
	le32_put(head + 0x22c, 0x7fffffff);
	le16_put(head + 0x236, 1);
	le32_put(head + 0x238, 255);
	le64_put(head + 0x258, pref);
	le32_put(head + 0x260, init_size);

	free(machine.vm.ram);
	config = (struct machine_config){ .n_cpus = 1, .mem_bytes = RAM_BYTES, .kernel = "kernel", .initrd = "initrd",
		.append = "quiet" };
	config.fds[FILE_KERNEL] = file_make(head, sizeof(head), SETUP_BYTES + bytes, 0x4b);
	config.fds[FILE_INITRD] = file_make(NULL, 0, initrd_bytes, 0x49);
	machine = (struct machine){ .config = &config,
		.vm = { .fd = -1, .low_bytes = RAM_BYTES, .ram_bytes = RAM_BYTES, .ram = calloc(1, RAM_BYTES) } };
	assert_non_null(machine.vm.ram);
	assert_int_equal(0, pci_create(&machine, &machine.pci, &error));
	assert_int_equal(0, pm_create(&machine, &machine.pm, &error));
	int r = linux_load(&machine, &error);
	pm_destroy(machine.pm);
	pci_destroy(machine.pci);
	bus_destroy(&machine.pio);
	close(config.fds[FILE_KERNEL]);
	close(config.fds[FILE_INITRD]);
	return r;
}

/* All of both is there, and neither lies over the other. */
static void expect_loaded(size_t bytes, size_t initrd_bytes, uint64_t initrd_at)
{
	const uint8_t *ram = machine.vm.ram;

	assert_int_equal(initrd_at, le32_get(ram + PARAMS + 0x218));
	assert_int_equal(initrd_bytes, le32_get(ram + PARAMS + 0x21c));
	for (size_t i = 0; i < bytes; i++)
		if (ram[KERNEL_AT + i] != 0x4b)
			fail_msg("byte %zu of the kernel: expected 0x4b, is %#x", i, ram[KERNEL_AT + i]);
	for (size_t i = 0; i < initrd_bytes; i++)
		if (ram[initrd_at + i] != 0x49)
			fail_msg("byte %zu of the initial RAM disk: expected 0x49, is %#x", i, ram[initrd_at + i]);
	assert_memory_equal(ram + PARAMS + 0x202, "HdrS", 4);
}

static void expect_refused(const char *words)
{
	assert_int_equal(VDISK_INVALID, error.kind);
	if (!strstr(error.message, words))
		fail_msg("expected \"%s\", is \"%s\"", words, error.message);
}

/* ---- cases */

static void both_fit(void **state)
{
	(void)state;
	assert_int_equal(0, load(MIB, 4 * MIB, MIB, 3 * MIB));
	expect_loaded(MIB, 3 * MIB, 5 * MIB);
	assert_int_equal(-1, load(MIB, 4 * MIB, MIB, 3 * MIB + 1));
	expect_refused("beside the kernel");
	assert_int_equal(-1, load(MIB, 7 * MIB + 1, MIB, 1));
	expect_refused("needs 9 MiB of memory");
}

/* A header that wants less than the kernel has bytes, or none. */
static void as_large_as_it_is(void **state)
{
	(void)state;
	assert_int_equal(0, load(0, 0, 3 * MIB, 4 * MIB));
	expect_loaded(3 * MIB, 4 * MIB, 4 * MIB);
	assert_int_equal(-1, load(0, 0, 3 * MIB, 4 * MIB + 1));
	expect_refused("beside the kernel");
	assert_int_equal(-1, load(MIB, 4096, 3 * MIB, 7 * MIB));
	expect_refused("beside the kernel");
}

static void sums_that_wrap(void **state)
{
	(void)state;
	assert_int_equal(-1, load(UINT64_MAX, 2, MIB, 4096));
	expect_refused("2 bytes of memory at 0xffffffffffffffff");
	assert_int_equal(-1, load(UINT64_MAX - 0x7fffff, 0x800000, MIB, 7 * MIB));
	expect_refused("8388608 bytes of memory at 0xffffffffff800000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_fit),
		cmocka_unit_test(as_large_as_it_is),
		cmocka_unit_test(sums_that_wrap),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	free(machine.vm.ram);
	return r;
}

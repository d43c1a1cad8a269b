/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the VGA shows of its memory, which is written here as KVM lets a guest: through the slots. */
#include "common/numbers.h"
#include "pci.h"
#include "vga.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define VRAM_BYTES  (16u << 20)
#define TEXT_BYTES  0x20000u
#define CELLS_OFF   0x18000u /* of the text memory */

enum { XRES = 1, YRES, BPP, ENABLE };

static uint8_t *vram, *text;

int __wrap_vm_slot_set(struct vm *vm, enum vm_slot slot, uint64_t addr, void *host, uint64_t len, bool readonly, vdisk_error *err);
int __wrap_vm_slot_set(struct vm *vm, enum vm_slot slot, uint64_t addr, void *host, uint64_t len, bool readonly, vdisk_error *err)
{
	(void)vm, (void)addr, (void)err;
	assert_false(readonly);
	if (slot == VM_SLOT_TEXT)
		text = host;
	if (slot == VM_SLOT_FRAMEBUFFER)
		vram = host;
	assert_int_equal(len, slot == VM_SLOT_TEXT ? TEXT_BYTES : VRAM_BYTES);
	return 0;
}

/* ---- a machine with nothing else in it */

static struct machine machine;
static struct machine_config config;
static struct screen screen;

static void begin(void)
{
	vdisk_error err;

	config = (struct machine_config){ .n_cpus = 1 };
	machine = (struct machine){ .config = &config, .vm = { .fd = -1, .low_bytes = 64u << 20, .ram_bytes = 64u << 20 } };
	pthread_mutex_init(&machine.lock, NULL);
	assert_int_equal(0, pci_create(&machine, &machine.pci, &err));
	assert_int_equal(0, vga_create(&machine, NULL, &machine.vga, &err));
	assert_int_equal(0, pci_assign(machine.pci, &err));
	assert_non_null(text);
	assert_non_null(vram);
}

static void end(void)
{
	screen_destroy(&screen);
	vga_destroy(machine.vga);
	pci_destroy(machine.pci);
	bus_destroy(&machine.pio);
	bus_destroy(&machine.mmio);
	pthread_mutex_destroy(&machine.lock);
}

static void dispi(unsigned reg, unsigned v)
{
	bus_write(&machine.pio, 0x1ce, 2, reg);
	bus_write(&machine.pio, 0x1cf, 2, v);
}

static void mode_set(unsigned width, unsigned height, unsigned bpp, unsigned enable)
{
	dispi(ENABLE, 0);
	dispi(XRES, width);
	dispi(YRES, height);
	dispi(BPP, bpp);
	dispi(ENABLE, enable);
}

static enum screen_kind look(void)
{
	vdisk_error err;

	screen_destroy(&screen);
	assert_int_equal(0, vga_screen(machine.vga, &screen, &err));
	return screen.kind;
}

/* ---- cases */

static void sizes(void **state)
{
	static const struct {
		unsigned width, height, bpp;
		bool shown;
	} modes[] = {
		{ 640, 480, 8, true }, { 1024, 768, 32, true }, { 1920, 1200, 8, true }, { 1920, 1200, 16, true },
		{ 1920, 1200, 24, true }, { 1920, 1200, 32, true }, { 1920, 1440, 32, true }, { 2560, 1600, 32, true },
		{ 2048, 2048, 32, true }, { 2048, 2049, 32, false }, { 2048, 2049, 16, false }, { 4096, 1025, 8, false },
		{ 4096, 4096, 8, false }, { 8192, 1024, 16, false }, { 0, 480, 32, false }, { 640, 0, 32, false },
		{ 640, 480, 4, false },
	};

	(void)state;
	begin();
	for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		mode_set(modes[i].width, modes[i].height, modes[i].bpp, 0x41);
		if ((look() == SCREEN_PICTURE) != modes[i].shown)
			fail_msg("%u by %u pixels of %u bits: expected %s", modes[i].width, modes[i].height, modes[i].bpp,
			         modes[i].shown ? "a picture" : "nothing");
		if (modes[i].shown && (screen.width != modes[i].width || screen.height != modes[i].height))
			fail_msg("%u by %u pixels of %u bits: is %u by %u", modes[i].width, modes[i].height, modes[i].bpp,
			         screen.width, screen.height);
	}
	end();
}

static void pixels(void **state)
{
	(void)state;
	begin();
	mode_set(64, 48, 32, 0x41);
	le32_put(vram + 4 * (2 * 64 + 5), 0x00123456);
	assert_int_equal(SCREEN_PICTURE, look());
	assert_memory_equal(screen.rgb + 3 * (2 * 64 + 5), ((uint8_t[]){ 0x12, 0x34, 0x56, 0, 0, 0 }), 6);
	mode_set(64, 48, 16, 0xc1);
	assert_int_equal(SCREEN_PICTURE, look());
	assert_memory_equal(screen.rgb + 3 * 2 * (2 * 64 + 5), ((uint8_t[]){ 6 << 3, 34 << 2, 22 << 3 }), 3);
	end();
}

/* All of the memory, unless the driver asks to keep it. */
static void memory_is_cleared(void **state)
{
	(void)state;
	begin();
	for (unsigned round = 0; round < 2; round++) {
		memset(vram, 0xa5, VRAM_BYTES);
		mode_set(64, 48, 32, 0xc1);
		for (unsigned i = 0; i < VRAM_BYTES; i++)
			if (vram[i] != 0xa5)
				fail_msg("kept, round %u: byte %u is %#x", round, i, vram[i]);
		mode_set(64, 48, 32, 0x41);
		for (unsigned i = 0; i < VRAM_BYTES; i++)
			if (vram[i])
				fail_msg("cleared, round %u: byte %u is %#x", round, i, vram[i]);
	}
	end();
}

static void letters(void **state)
{
	static const struct {
		unsigned port, v;
	} registers[] = {
		{ 0x3d4, 0x01 }, { 0x3d5, 79 }, { 0x3d4, 0x12 }, { 0x3d5, 0x8f }, { 0x3d4, 0x07 }, { 0x3d5, 0x02 },
		{ 0x3d4, 0x09 }, { 0x3d5, 15 }, { 0x3ce, 6 }, { 0x3cf, 0x0e },
	};
	static char said[(SCREEN_COLUMNS_MAX + 1) * SCREEN_ROWS_MAX + 1];
	vdisk_error err;

	(void)state;
	begin();
	for (unsigned i = 0; i < sizeof(registers) / sizeof(*registers); i++)
		bus_write(&machine.pio, registers[i].port, 1, registers[i].v);
	memset(text + 'A' * 32, 0x81, 16);
	memcpy(text + CELLS_OFF, "A\x02" "B\x02", 4);
	assert_int_equal(SCREEN_TEXT, look());
	assert_int_equal(80, screen.columns);
	assert_int_equal(25, screen.rows);
	screen_text(&screen, said, sizeof(said));
	assert_int_equal(0, strncmp(said, "AB\n\n", 4));
	assert_int_equal(0, screen_render(&screen, &err));
	assert_int_equal(640, screen.width);
	assert_int_equal(400, screen.height);
	assert_memory_equal(screen.rgb + 3 * 640 * 15, ((uint8_t[]){ 0, 170, 0, 0, 0, 0 }), 6);
	assert_memory_equal(screen.rgb + 3 * (640 * 15 + 7), ((uint8_t[]){ 0, 170, 0, 0, 0, 0 }), 6);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(pixels),
		cmocka_unit_test(memory_is_cleared),
		cmocka_unit_test(letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

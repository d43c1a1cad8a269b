/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intel's basic command set (28F640 and its kind), as far as OVMF uses it: read array, read and clear status, program a byte,
 * erase a block of 4 KiB.  While the array is read the guest sees read-only memory, whose writes come here; in any other state
 * the memory is taken away and reads come here, too, for the status.  Everything is done at once, so the status has no other
 * value than "ready", which OVMF wants to be 0 once it was cleared.  Guarded by the machine's lock.
 */
#include "flash.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 0x1000u

enum {
	CMD_PROGRAM_ALT = 0x10,
	CMD_ERASE = 0x20,
	CMD_PROGRAM = 0x40,
	CMD_CLEAR_STATUS = 0x50,
	CMD_READ_STATUS = 0x70,
	CMD_CONFIRM = 0xd0,
	CMD_READ_ARRAY = 0xff,
};

struct flash {
	struct machine *m;
	uint64_t at, len;
	uint8_t *bytes;
	uint8_t command; /* the one that waits for its second write, or READ_STATUS, or READ_ARRAY */
	uint8_t status;
	bool mapped;
};

static int flash_map(struct flash *f, bool on, vdisk_error *err)
{
	if (f->mapped == on)
		return 0;
	f->mapped = on;
	return vm_slot_set(&f->m->vm, VM_SLOT_FLASH, f->at, f->bytes, on ? f->len : 0, on, err);
}

static void command_set(struct flash *f, uint8_t command)
{
	vdisk_error err;

	f->command = command;
	/* Between the two writes of a command nobody reads: only the status is worth the unmapping. */
	if ((command == CMD_READ_STATUS || command == CMD_READ_ARRAY) && flash_map(f, command == CMD_READ_ARRAY, &err))
		machine_stop(f->m, MACHINE_CRASH, "%s", err.message);
}

static uint64_t flash_read(void *opaque, uint64_t off, unsigned size)
{
	struct flash *f = opaque;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)(f->command == CMD_READ_ARRAY ? f->bytes[off + i] : f->status) << 8 * i;
	return v;
}

static void flash_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct flash *f = opaque;
	uint8_t v = (uint8_t)value;

	if (size != 1)
		return;
	switch (f->command) {
	case CMD_PROGRAM:
	case CMD_PROGRAM_ALT:
		f->bytes[off] &= v; /* programming can but clear bits */
		f->status = 0x80;
		command_set(f, CMD_READ_STATUS);
		return;
	case CMD_ERASE:
		if (v == CMD_CONFIRM)
			memset(f->bytes + (off & ~(uint64_t)(BLOCK_BYTES - 1)), 0xff, BLOCK_BYTES);
		f->status = v == CMD_CONFIRM ? 0x80 : 0xb0;
		command_set(f, CMD_READ_STATUS);
		return;
	}
	if (v == CMD_CLEAR_STATUS)
		f->status = 0;
	else if (v == CMD_READ_STATUS || v == CMD_READ_ARRAY || v == CMD_PROGRAM || v == CMD_PROGRAM_ALT || v == CMD_ERASE)
		command_set(f, v);
}

int flash_create(struct machine *m, uint64_t at, uint8_t *bytes, uint64_t len, struct flash **out, vdisk_error *err)
{
	struct flash *f = calloc(1, sizeof(*f));

	if (!f)
		return fail(err, VDISK_NOMEM, "out of memory");
	*f = (struct flash){ .m = m, .at = at, .len = len, .bytes = bytes, .command = CMD_READ_ARRAY };
	*out = f;
	struct bus_range range = { at, len, "flash", f, flash_read, flash_write };
	return bus_add(&m->mmio, &range, err) || flash_map(f, true, err) ? -1 : 0;
}

void flash_destroy(struct flash *f)
{
	free(f);
}

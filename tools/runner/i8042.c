/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The 8042 as firmware and kernels look for it: self-test, command byte, the keyboard's reset and acknowledgements, and the
 * processor's reset line.  There is no mouse: what is sent to it is lost.  Guarded by the machine's lock.
 */
#include "i8042.h"

#include <stdlib.h>
#include <string.h>

#define I8042_QUEUE 16
#define STATUS_OUT_FULL 0x01
#define STATUS_SYSTEM   0x04
#define STATUS_COMMAND  0x08
#define CONFIG_KBD_IRQ  0x01
#define CONFIG_KBD_OFF  0x10

struct i8042 {
	struct machine *m;
	uint8_t config, outport;
	uint8_t command;   /* waits for its operand at port 0x60; 0: none does */
	uint8_t kbd_command; /* the keyboard waits for its operand */
	uint8_t queue[I8042_QUEUE];
	unsigned at, n;
	bool last_command;
};

static void i8042_update(struct i8042 *k)
{
	vm_irq(&k->m->vm, 1, k->n && k->config & CONFIG_KBD_IRQ);
}

static void i8042_push(struct i8042 *k, uint8_t byte)
{
	if (k->n < I8042_QUEUE)
		k->queue[(k->at + k->n++) % I8042_QUEUE] = byte;
}

static void keyboard_write(struct i8042 *k, uint8_t v)
{
	if (k->kbd_command) {
		k->kbd_command = 0;
		i8042_push(k, 0xfa);
		return;
	}
	switch (v) {
	case 0xff: /* reset */
		i8042_push(k, 0xfa);
		i8042_push(k, 0xaa);
		break;
	case 0xf2: /* identify: MF2 */
		i8042_push(k, 0xfa);
		i8042_push(k, 0xab);
		i8042_push(k, 0x83);
		break;
	case 0xee: /* echo */
		i8042_push(k, 0xee);
		break;
	case 0xed:
	case 0xf0:
	case 0xf3: /* lights, scan codes, rate: one operand */
		k->kbd_command = v;
		i8042_push(k, 0xfa);
		break;
	default:
		i8042_push(k, 0xfa);
	}
}

static void i8042_command(struct i8042 *k, uint8_t v)
{
	switch (v) {
	case 0x20:
		i8042_push(k, k->config);
		break;
	case 0x60: /* operand: configuration */
	case 0xd1: /* output port */
	case 0xd2: /* as if from the keyboard */
	case 0xd3:
	case 0xd4: /* to the mouse */
		k->command = v;
		break;
	case 0xaa:
		k->n = 0;
		i8042_push(k, 0x55);
		break;
	case 0xab:
		i8042_push(k, 0x00);
		break;
	case 0xa9: /* test of the mouse's port: there is none */
		i8042_push(k, 0xff);
		break;
	case 0xad:
		k->config |= CONFIG_KBD_OFF;
		break;
	case 0xae:
		k->config &= (uint8_t)~CONFIG_KBD_OFF;
		break;
	case 0xd0:
		i8042_push(k, k->outport);
		break;
	default:
		if (v >= 0xf0 && !(v & 1)) /* pulses output line 0 */
			machine_stop(k->m, MACHINE_RESET, "reset by the keyboard controller");
	}
}

static void i8042_operand(struct i8042 *k, uint8_t v)
{
	uint8_t command = k->command;

	k->command = 0;
	if (command == 0x60) {
		k->config = v;
	} else if (command == 0xd1) {
		k->outport = v;
		if (!(v & 1))
			machine_stop(k->m, MACHINE_RESET, "reset by the keyboard controller");
	} else if (command == 0xd2) {
		i8042_push(k, v);
	}
}

static uint64_t status_read(void *dev, uint64_t off, unsigned size)
{
	struct i8042 *k = dev;

	(void)off;
	if (size != 1)
		return UINT64_MAX;
	return (k->n ? STATUS_OUT_FULL : 0) | (k->config & STATUS_SYSTEM) | (k->last_command ? STATUS_COMMAND : 0) | 0x10;
}

static uint64_t data_read(void *dev, uint64_t off, unsigned size)
{
	struct i8042 *k = dev;

	(void)off;
	if (size != 1)
		return UINT64_MAX;
	uint8_t v = 0;
	if (k->n) {
		v = k->queue[k->at];
		k->at = (k->at + 1) % I8042_QUEUE;
		k->n--;
		vm_irq(&k->m->vm, 1, false);
		i8042_update(k);
	}
	return v;
}

static void command_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct i8042 *k = dev;

	(void)off;
	if (size != 1)
		return;
	k->last_command = true;
	i8042_command(k, (uint8_t)value);
	i8042_update(k);
}

static void data_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct i8042 *k = dev;

	(void)off;
	if (size != 1)
		return;
	k->last_command = false;
	if (k->command)
		i8042_operand(k, (uint8_t)value);
	else
		keyboard_write(k, (uint8_t)value);
	i8042_update(k);
}

int i8042_create(struct machine *m, struct i8042 **out, vdisk_error *err)
{
	struct i8042 *k = calloc(1, sizeof(*k));

	if (!k)
		return fail(err, VDISK_NOMEM, "out of memory");
	k->m = m;
	k->outport = 0x03; /* no reset, A20 on */
	*out = k;
	struct bus_range data = { 0x60, 1, "keyboard", k, data_read, data_write };
	struct bus_range status = { 0x64, 1, "keyboard status", k, status_read, command_write };
	return bus_add(&m->pio, &data, err) || bus_add(&m->pio, &status, err) ? -1 : 0;
}

void i8042_destroy(struct i8042 *k)
{
	free(k);
}

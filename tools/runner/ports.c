/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 0x402: firmware writes its log there if it reads 0xe9.  0x92: bit 0 resets, bit 1 would be the A20 gate, which is always open
 * here.  0x80 (the delay port) and others need no device: nobody's ports swallow.
 */
#include "ports.h"

#include <stdlib.h>
#include <unistd.h>

struct ports {
	struct machine *m;
	uint8_t control_a;
	int log_fd;
	size_t n;
	char line[512]; /* not written yet */
};

static void log_flush(struct ports *p)
{
	if (p->log_fd >= 0 && p->n && write(p->log_fd, p->line, p->n) < 0)
		p->log_fd = -1; /* a log that cannot be written is no reason to stop the guest */
	p->n = 0;
}

static uint64_t debug_read(void *dev, uint64_t off, unsigned size)
{
	(void)dev;
	(void)off;
	(void)size;
	return 0xe9;
}

static void debug_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct ports *p = dev;

	(void)off;
	(void)size;
	p->line[p->n++] = (char)value;
	if (p->n == sizeof(p->line) || (char)value == '\n')
		log_flush(p);
}

static uint64_t control_read(void *dev, uint64_t off, unsigned size)
{
	(void)off;
	(void)size;
	return ((struct ports *)dev)->control_a;
}

static void control_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
	struct ports *p = dev;

	(void)off;
	(void)size;
	if (value & 1)
		machine_stop(p->m, MACHINE_RESET, "reset by port 0x92");
	p->control_a = value & 0xfe;
}

int ports_create(struct machine *m, struct ports **out, vdisk_error *err)
{
	struct ports *p = calloc(1, sizeof(*p));

	if (!p)
		return fail(err, VDISK_NOMEM, "out of memory");
	p->m = m;
	p->control_a = 2;
	*out = p;
	p->log_fd = m->config->fds[FILE_DEBUG_LOG];
	struct bus_range debug = { 0x402, 1, "debug port", p, debug_read, debug_write };
	struct bus_range control = { 0x92, 1, "system control", p, control_read, control_write };
	return bus_add(&m->pio, &debug, err) || bus_add(&m->pio, &control, err) ? -1 : 0;
}

void ports_destroy(struct ports *p)
{
	if (!p)
		return;
	log_flush(p);
	free(p);
}

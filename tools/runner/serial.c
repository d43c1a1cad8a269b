/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The 16550A, after National Semiconductor's data sheet.  The transmitter is never busy: a byte is gone when the write returns.
 * Line speeds, break and parity have no meaning here.  State is guarded by the machine's lock.
 */
#include "serial.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define SERIAL_BASE 0x3f8
#define SERIAL_LINE 4
#define SERIAL_FIFO 1024 /* longer than the chip's 16, so that typing ahead is not lost */

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX   0x01
#define IER_TX   0x02
#define IIR_NONE 0x01
#define IIR_TX   0x02
#define IIR_RX   0x04
#define LCR_DLAB 0x80
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10

struct serial {
	struct machine *m;
	uint8_t ier, lcr, mcr, scr, dll, dlm, fcr;
	bool tx_pending; /* "transmitter empty" has not been told yet */
	uint8_t fifo[SERIAL_FIFO];
	size_t fifo_at, fifo_n;
};

static uint8_t serial_iir(const struct serial *s)
{
	if (s->fifo_n && s->ier & IER_RX)
		return IIR_RX;
	if (s->tx_pending && s->ier & IER_TX)
		return IIR_TX;
	return IIR_NONE;
}

static void serial_update(struct serial *s)
{
	vm_irq(&s->m->vm, SERIAL_LINE, serial_iir(s) != IIR_NONE && s->mcr & MCR_OUT2);
}

static void fifo_push(struct serial *s, uint8_t byte)
{
	if (s->fifo_n < SERIAL_FIFO)
		s->fifo[(s->fifo_at + s->fifo_n++) % SERIAL_FIFO] = byte;
}

static void serial_send(struct serial *s, uint8_t byte)
{
	if (s->mcr & MCR_LOOP) {
		fifo_push(s, byte);
		return;
	}
	int fd = s->m->config->serial_fd;
	/* Never a write that could block: whoever stops the machine waits for this thread. */
	while (fd >= 0 && !machine_stopped(s->m, NULL)) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (poll(&p, 1, 100) <= 0)
			continue;
		if (write(fd, &byte, 1) == 1 || (errno != EAGAIN && errno != EINTR))
			break; /* done; or nobody listens any more, and the guest goes on */
	}
}

static uint64_t serial_read(void *dev, uint64_t reg, unsigned size)
{
	struct serial *s = dev;
	uint8_t v;

	if (size != 1)
		return UINT64_MAX;
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB)
			return s->dll;
		v = 0;
		if (s->fifo_n) {
			v = s->fifo[s->fifo_at];
			s->fifo_at = (s->fifo_at + 1) % SERIAL_FIFO;
			s->fifo_n--;
		}
		serial_update(s);
		return v;
	case REG_IER:
		return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case REG_IIR:
		v = serial_iir(s);
		if (v == IIR_TX)
			s->tx_pending = false;
		serial_update(s);
		return v | (s->fcr & 1 ? 0xc0 : 0);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return 0x60 | (s->fifo_n ? 1 : 0); /* transmitter empty, data ready */
	case REG_MSR: /* in loopback: DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD */
		if (s->mcr & MCR_LOOP)
			return (s->mcr & 1) << 5 | (s->mcr & 2) << 3 | (s->mcr & 4) << 4 | (s->mcr & 8) << 4;
		return 0xb0;
	default:
		return s->scr;
	}
}

static void serial_write(void *dev, uint64_t reg, unsigned size, uint64_t value)
{
	struct serial *s = dev;
	uint8_t v = (uint8_t)value;

	if (size != 1)
		return;
	switch (reg) {
	case REG_DATA:
		if (s->lcr & LCR_DLAB) {
			s->dll = v;
			return;
		}
		/* The line must fall in between: at the interrupt controller it is an edge that counts. */
		s->tx_pending = false;
		serial_update(s);
		serial_send(s, v);
		s->tx_pending = true;
		break;
	case REG_IER:
		if (s->lcr & LCR_DLAB) {
			s->dlm = v;
			return;
		}
		if (v & ~s->ier & IER_TX)
			s->tx_pending = true;
		s->ier = v & 0x0f;
		break;
	case REG_IIR:
		s->fcr = v & 0xc9;
		if (v & 2)
			s->fifo_n = 0;
		break;
	case REG_LCR:
		s->lcr = v;
		break;
	case REG_MCR:
		s->mcr = v & 0x1f;
		break;
	case REG_SCR:
		s->scr = v;
		break;
	}
	serial_update(s);
}

int serial_create(struct machine *m, struct serial **out, vdisk_error *err)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s)
		return fail(err, VDISK_NOMEM, "out of memory");
	s->m = m;
	s->dll = 1; /* 115200 */
	*out = s;
	struct bus_range range = { SERIAL_BASE, 8, "COM1", s, serial_read, serial_write };
	return bus_add(&m->pio, &range, err);
}

void serial_destroy(struct serial *s)
{
	free(s);
}

size_t serial_room(struct serial *s)
{
	pthread_mutex_lock(&s->m->lock);
	size_t room = SERIAL_FIFO - s->fifo_n;
	pthread_mutex_unlock(&s->m->lock);
	return room;
}

size_t serial_input(struct serial *s, const uint8_t *bytes, size_t n)
{
	size_t i = 0;

	pthread_mutex_lock(&s->m->lock);
	while (i < n && s->fifo_n < SERIAL_FIFO)
		fifo_push(s, bytes[i++]);
	serial_update(s);
	pthread_mutex_unlock(&s->m->lock);
	return i;
}

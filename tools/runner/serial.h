/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* COM1: a 16550A at port 0x3f8, line 4. */
#ifndef RUNNER_SERIAL_H
#define RUNNER_SERIAL_H

#include "machine.h"

struct serial;

/* What the guest sends is written to config->serial_fd at once. */
int serial_create(struct machine *m, struct serial **out, vdisk_error *err);
void serial_destroy(struct serial *s);
/* How many bytes the guest could be given now. */
size_t serial_room(struct serial *s);
/* Bytes for the guest, from any thread; returns how many there was room for. */
size_t serial_input(struct serial *s, const uint8_t *bytes, size_t n);

#endif

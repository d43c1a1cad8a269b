/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports that are hardly a device: the firmware's log, system control port A. */
#ifndef RUNNER_PORTS_H
#define RUNNER_PORTS_H

#include "machine.h"

struct ports;

int ports_create(struct machine *m, struct ports **out, vdisk_error *err);
void ports_destroy(struct ports *p);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keyboard controller: ports 0x60 and 0x64.  Its keyboard answers, but nobody types. */
#ifndef RUNNER_I8042_H
#define RUNNER_I8042_H

#include "machine.h"

struct i8042;

int i8042_create(struct machine *m, struct i8042 **out, vdisk_error *err);
void i8042_destroy(struct i8042 *k);

#endif

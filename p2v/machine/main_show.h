/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine in words. */
#ifndef MACHINE_MAIN_SHOW_H
#define MACHINE_MAIN_SHOW_H

#include "machine.h"

/* To standard output, with an empty line before it if asked for; `quiet`: without what was not taken.  -1: errno. */
int machine_show(const struct machine *m, bool again, bool quiet);

#endif

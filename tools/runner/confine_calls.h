/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of system calls, apart from confine.c for the length of it. */
#ifndef RUNNER_CONFINE_CALLS_H
#define RUNNER_CONFINE_CALLS_H

#include "common/fail.h"

/* Loads the filter.  `opens`: files may be opened, as far as other rules allow; `network`: sockets may be made. */
int confine_calls(bool opens, bool network, vdisk_error *err);

#endif

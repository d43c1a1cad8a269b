/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CAPTURE_MAIN_REPORT_H
#define CAPTURE_MAIN_REPORT_H

#include "main_run.h"

/* What was done, as text or JSON, on standard output.  -1: it cannot be written. */
int report_print(const struct run *r, const struct machine *m, bool complete);

#endif

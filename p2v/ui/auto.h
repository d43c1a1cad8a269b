/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The capture that nobody attends to. */
#ifndef UI_AUTO_H
#define UI_AUTO_H

#include "options.h"

/* Captures what the options say, by the program `capture`, again as often as they say.  Lines go to standard output, on the ISO to
   all consoles.  Returns the exit status. */
int auto_run(const struct options *o, const char *capture);
/* Runs the power program; only where there is one does this say 0. */
int power_switch(const struct options *o, enum after how);

#endif

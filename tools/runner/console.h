/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user's terminal as the guest's: raw while the guest runs, Ctrl-A X to leave. */
#ifndef RUNNER_CONSOLE_H
#define RUNNER_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

struct console {
	int fd;             /* where the user types; -1: nobody does */
	bool raw, prefixed; /* Ctrl-A was typed last */
	struct termios saved;
};

/* `fd` becomes raw if it is a terminal. */
void console_begin(struct console *c, int fd);
void console_end(struct console *c);
/* Reads what was typed; the guest's share goes to `out` (as many bytes as there is `room`, at least 64), *n of them.  true: the
   user wants to leave. End of input: fd becomes -1. */
bool console_read(struct console *c, uint8_t *out, size_t room, size_t *n);

#endif

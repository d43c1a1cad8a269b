/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A signal that asks to stop, and another one that does not wait. */
#ifndef COMMON_STOP_H
#define COMMON_STOP_H

#include <signal.h>

/* For signal handlers: the first call sets *cancel; one that comes half a second later, or more, ends the process by that signal.
   What comes at once is the same wish: timeout(1), sudo(8) and their like send to the process and to its group. */
void stop_ask(volatile int *cancel, int number);
/* SIGINT, SIGTERM and SIGHUP go to `handler`, but for one that is ignored: nohup's wish stands.  System calls are gone on with. */
void stop_signals(void (*handler)(int));
/* Keeps them back from this thread, and from those that it starts, until stop_release(): for what a handler that ends the program
   at once could not clear away. */
void stop_hold(sigset_t *before);
void stop_release(const sigset_t *before);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A server that goes on in the background once it is ready. */
#ifndef COMMON_BACKGROUND_H
#define COMMON_BACKGROUND_H

#include <stdbool.h>

/* Before any thread.  Forks: -1 in the child, with *ready_fd for background_ready(); in the parent the exit status, once the child
   is ready (0) or has ended.  Until then the child is the parent's: Ctrl+C reaches both, and it gets SIGTERM when the parent ends;
   background_loose() ends the latter. */
int background_fork(int *ready_fd);
/* In the child's first thread, before it serves. */
void background_loose(void);
/* Whether the parent still waits; `ready_fd` -1: there is none, and somebody looks on. */
bool background_wanted(int ready_fd);
/* From any thread of the child: a session of its own, standard streams to /dev/null, messages to the log as `program`'s, and the
   parent ends. */
void background_ready(const char *program, int ready_fd);

#endif

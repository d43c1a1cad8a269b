/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that are run. */
#ifndef COMMON_CHILD_H
#define COMMON_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Path of a program: beside this one if `ours`, else by PATH.  false: there is none. */
bool child_find(const char *name, bool ours, char path[4096]);
/* Starts it; it gets a SIGTERM should this process die.  out_fd: its standard output, -1: none; errors are not heard.  -1:
   errno. */
pid_t child_start(const char *path, char *const argv[], bool confined, int out_fd);
/* The same with all three of its standard files; -1: /dev/null. */
pid_t child_start_ends(const char *path, char *const argv[], bool confined, int in_fd, int out_fd, int err_fd);
/* Waits: its exit status, or 128 and more. */
int child_wait(pid_t pid);
/* The same, until *cancel (NULL: never) is non-zero: then it gets a SIGTERM, and where it is still there after `grace_ms`
   milliseconds, a SIGKILL. */
int child_wait_or_end(pid_t pid, const volatile int *cancel, unsigned grace_ms);
/* The same at once. */
int child_end(pid_t pid, unsigned grace_ms);
/* What it prints, at most `room` - 1 bytes, NUL-terminated; -1 where it cannot be run or fails. */
int child_read(const char *path, char *const argv[], char *out, size_t room);
/* A pipe from which `len` bytes can be read, at most a page: for a child's standard input.  -1: errno. */
int child_feed(const void *text, size_t len);

#endif

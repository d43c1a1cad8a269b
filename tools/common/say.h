/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program's messages: standard error while somebody is there to read it, then the system's log.  From any thread. */
#ifndef COMMON_SAY_H
#define COMMON_SAY_H

#include <stdbool.h>
#include <syslog.h>
#include <vdisk/vdisk.h>

/* `program`: what the lines begin with, as "vdisk nbd"; kept.  Again with `background` when nobody reads any more. */
void say_open(const char *program, bool background);
/* With a priority of syslog(3); LOG_WARNING is a warning on standard error, too.  Control characters become '?'. */
void say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fits vdisk_open_options.log: warnings only. */
void say_log(void *ctx, enum vdisk_log_level level, const char *message);
/* Errors that others bring about (clients of a server): not more than a few a second, so that none can fill the log. */
void say_few(void *ctx, const char *message);

#endif

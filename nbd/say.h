/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages: standard error while somebody is there to read it, then the system's log. */
#ifndef VDISK_NBD_SAY_H
#define VDISK_NBD_SAY_H

#include <stdbool.h>
#include <vdisk/vdisk.h>

/* `program`: what the lines begin with, as "vdisk nbd". */
void say_open(const char *program, bool background);
void say(bool warning, const char *message);
/* Fits vdisk_open_options.log: warnings only. */
void say_log(void *ctx, enum vdisk_log_level level, const char *message);
/* Fits struct export: errors that clients cause; not more than a few a second, so that none can fill the log. */
void say_client(void *ctx, const char *message);

#endif

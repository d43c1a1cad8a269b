/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image's disk, partitions and volumes as files, for programs that read such: a vdisk-mount of ours in a folder of ours. */
#ifndef VDISK_FILES_SHOWN_H
#define VDISK_FILES_SHOWN_H

#include "common/source.h"

#include <sys/types.h>

struct shown {
	char top[4096];    /* the folder that is ours */
	char folder[4104]; /* in it, what vdisk-mount(1) shows */
	pid_t pid;         /* vdisk-mount, which dies with us; set to 0 by who has waited for it */
};

/* Read-only, whatever `o` says.  `what` asks for it: an option's name, for the message.  0, or -1 with *err; nothing is left behind
   then. */
int shown_open(struct shown *s, const struct source_options *o, const char *what, vdisk_error *err);
/* For one that is all zeros, too. */
void shown_close(struct shown *s);
/* Between two looks at something that is about to happen. */
void shown_pause(unsigned ms);

#endif

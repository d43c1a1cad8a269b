/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * File systems that are held still for a while.  Another process holds them: it lets go when it is told, after a time in any case,
 * and at once when this one is gone, however it went.
 */
#ifndef CAPTURE_FREEZE_H
#define CAPTURE_FREEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <vdisk/vdisk.h>

struct freeze {
	pid_t keeper;  /* 0: nothing is held */
	int hold;      /* closed: let go */
	int told;      /* what became of it */
};

/* Freezes the file systems of these folders, from the last to the first, for at most `seconds`.  -1: none is frozen; *which (may be
   NULL): the folder that could not be, or n. */
int freeze_begin(struct freeze *f, const char *const *folders, size_t n, unsigned seconds, size_t *which, vdisk_error *err);
/* Whether they are frozen at this moment. */
bool freeze_holds(const struct freeze *f);
/* Thaws them.  Returns whether they were frozen all the time. */
bool freeze_end(struct freeze *f);

#endif

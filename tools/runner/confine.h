/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the process gives away before a guest runs, so that a flaw in a device model is not the host's. */
#ifndef RUNNER_CONFINE_H
#define RUNNER_CONFINE_H

#include "common/fail.h"

#define CONFINE_OUTPUTS_MAX 4

struct confine {
	const char *outputs[CONFINE_OUTPUTS_MAX]; /* files that are still to be written; NULL: none */
	bool network;                             /* connections go out */
};

/* For ever, for this process and its threads to come; to be called while it has but one.  Afterwards it has no privileges, opens
   nothing (but below the folders of `outputs`, and the host's resolver's address where there is a network), starts no program,
   sends no signals, makes no memory executable; where the kernel knows Landlock, that holds for what the system calls reach,
   too. */
int confine(const struct confine *c, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --firmware none: the kernel that the disk's own boot loader would start. */
#ifndef RUNNER_BOOTDISK_H
#define RUNNER_BOOTDISK_H

#include "setup.h"

/* Puts kernel, initial RAM disk and command line of the default entry into s->config; files go into s->folder, which is there. */
int bootdisk_choose(struct setup *s, vdisk_error *err);
/* Removes those files. */
void bootdisk_release(struct setup *s);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disks that were chosen, and the machine's description. */
#ifndef CAPTURE_MAIN_MACHINE_H
#define CAPTURE_MAIN_MACHINE_H

#include "disk.h"
#include "find.h"
#include "main_options.h"

struct chosen {
	struct disk *disks;
	size_t n;
	char **closed;  /* with --list: names of disks that this user may not open */
	size_t n_closed;
};

/* Opens them; chosen_close() also after a failure. */
int chosen_open(struct chosen *c, const struct options *o, vdisk_error *err);
void chosen_close(struct chosen *c);
/* The machine with these disks in it; machine_free().  NULL with *err. */
struct machine *chosen_machine(const struct chosen *c, vdisk_error *err);
/* As `vdisk capture --list` shows it. */
void chosen_list(const struct machine *m);

#endif

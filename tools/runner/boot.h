/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which firmware a machine gets. */
#ifndef RUNNER_BOOT_H
#define RUNNER_BOOT_H

#include "machine.h"
#include "options.h"

/* Can the machine on KVM be as it is wished for?  What it lacks is refused by its name. */
int boot_possible(const struct options *o, vdisk_error *err);
/* Has the disk an EFI system partition?  A table that cannot be read says no: that is for the firmware to judge. */
bool boot_has_esp(vdisk_image *img);
/* Sets the firmware of *config by what is wished for and what the first disk looks like. */
int boot_choose(struct machine_config *config, const struct options *o, vdisk_error *err);
void boot_release(struct machine_config *config);

#endif

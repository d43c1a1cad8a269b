/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Power management of the PIIX4: the ACPI timer, and how a guest switches itself off. */
#ifndef RUNNER_PM_H
#define RUNNER_PM_H

#include "machine.h"

#define PM_BASE 0x600 /* always decoded here, as the ACPI tables say, and where the guest puts it besides */

struct pm;

int pm_create(struct machine *m, struct pm **out, vdisk_error *err);
void pm_destroy(struct pm *pm);

#endif

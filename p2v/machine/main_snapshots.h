/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk machine --snapshots: what `vdisk snapshot list` shows of a description. */
#ifndef MACHINE_MAIN_SNAPSHOTS_H
#define MACHINE_MAIN_SNAPSHOTS_H

#include "locate.h"

/* To standard output, of a description of this kind; the images are opened for their facts. */
int snapshots_show(const struct machine *m, enum describe_kind kind, const char *file, const struct locate *l, bool json,
                   vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of a guest's start, for each other alone (guest.h is for the rest). */
#ifndef VDISK_FILES_GUEST_PARTS_H
#define VDISK_FILES_GUEST_PARTS_H

#include "guest.h"

/* Whatever devices came to light since t->devices was asked for the last time. */
int guest_devices_look(struct guest *t, vdisk_error *err);
/* Opens what is encrypted with the keys; what none opens is t->locked. */
int guest_unlock(struct guest *t, const struct guest_options *o, vdisk_error *err);
/* Mounts the system that inspection finds, or the file systems of a disk without one. */
int guest_inside_mount(struct guest *t, const struct guest_options *o, vdisk_error *err);

#endif

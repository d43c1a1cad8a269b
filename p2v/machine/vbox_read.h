/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A .vbox that is being read; between vbox_read.c and vbox_media.c. */
#ifndef MACHINE_VBOX_READ_H
#define MACHINE_VBOX_READ_H

#include "xml.h"

struct vbox {
	struct machine *m;
	struct xml x;
	vdisk_error *err;
	unsigned buses[16]; /* controllers of each bus so far */
};

/* vbox_read.c.  A drive's place at its controller, and what the disk there is called. */
enum machine_bus vbox_bus(const char *type, enum machine_scsi *scsi);
int vbox_unit(struct vbox *v, xmlNode *device, enum machine_bus bus, int *unit);
const char *vbox_disk_name(struct vbox *v, enum machine_bus bus, unsigned controller, int unit);

/* vbox_media.c: the registry of images, what a drive holds, and the snapshots of the machine. */
int vbox_registry_take(struct vbox *v, xmlNode *registry);
int vbox_image_take(struct vbox *v, struct machine_disk *d, xmlNode *device);
int vbox_snapshots_take(struct vbox *v, xmlNode *machine);

#endif

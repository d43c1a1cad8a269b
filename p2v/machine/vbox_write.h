/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A .vbox that is being written, between vbox_write.c (the machine) and vbox_registry.c (its images). */
#ifndef MACHINE_VBOX_WRITE_H
#define MACHINE_VBOX_WRITE_H

#include "fit.h"
#include "xml.h"

struct vbox {
	struct writer w;
	const struct machine *m;
	struct machine_lost_list *lost;
	struct fitted f;
	bool snapshots;    /* are written */
	char (*uuids)[40]; /* of each disk's image, in braces; "": it has none */
};

/* A UUID made up, but the same for the same two names. */
void vbox_uuid_make(const char *a, const char *b, char out[37]);
void vbox_uuids_choose(struct vbox *v);
void vbox_registry_write(struct vbox *v);

#endif

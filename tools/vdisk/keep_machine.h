/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert --machine: what the description of a machine (.vbox, Hyper-V's .xml) says of a disk's chain, asked of vdisk-machine. */
#ifndef VDISK_TOOL_KEEP_MACHINE_H
#define VDISK_TOOL_KEEP_MACHINE_H

#include "options.h"

#include <vdisk/vdisk.h>

struct keep_machine {
	struct opt_list ancestors;       /* the files of the chain below the disk */
	struct vdisk_keep_name *names;   /* of the images that are states of snapshots; strings are the JSON's */
	size_t n_names;
	const char ***lists;             /* names[i].ancestors */
	struct json_object *said;
};

/* Of the disk whose image is `src`, in the description `file`.  A snapshot that has no image of its own is warned of.  0, or
   EXIT_TROUBLE after a message.  Free in any case. */
int keep_machine_find(struct keep_machine *k, const char *file, const char *src, const struct opt_list *allow_dirs);
void keep_machine_free(struct keep_machine *k);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The folder of a capture that is made here: found again or made, and given its name when all is whole. */
#ifndef CAPTURE_LOCAL_FOLDER_H
#define CAPTURE_LOCAL_FOLDER_H

#include "sink_local.h"

#include "transfer/leaves.h"
#include <limits.h>
#include "transfer/state.h"

struct local_disk {
	vdisk_image *img;
	struct transfer_leaves leaves;
	char file[TRANSFER_FILE_MAX];
};

struct local_folder {
	const struct local_options *o;
	bool is_folder;            /* else the image of one disk is wanted */
	int parent, dir;           /* the folder that it lies in, and itself; -1: closed */
	char parent_path[PATH_MAX];
	char path[PATH_MAX + NAME_MAX + 2]; /* what it is, or has become, for messages */
	char name[NAME_MAX + 1];   /* in parent */
	struct transfer_state state;
	struct local_disk *disks;  /* [state.n_disks] */
};

/* *found: there was one of this machine with these disks; where its state is whole, its images are not opened, and the disks' last
   passes are there.  Close it also after a failure. */
int local_folder_open(struct local_folder *f, const struct local_options *o, const char *machine, struct sink_disk *disks, size_t n,
                      bool *found, vdisk_error *err);
/* All disks are whole. */
int local_folder_finish(struct local_folder *f, const char *machine, vdisk_error *err);
/* The end of that, which a kill may have kept from happening: it gets its name. */
int local_folder_settle(struct local_folder *f, vdisk_error *err);
void local_folder_close(struct local_folder *f);

#endif

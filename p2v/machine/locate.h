/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the images lie that a description names. */
#ifndef MACHINE_LOCATE_H
#define MACHINE_LOCATE_H

#include "describe.h"

struct locate {
	const char *folder;       /* the description's: machine_folder() */
	const char *const *allow; /* further folders that the user allows; NULL-terminated or NULL */
	bool moved;               /* names with another system's disks and folders before them are looked for by their ends, below
	                             the folder */
	bool uri;                 /* a name that is not there may be percent-encoded (OVF) */
};

/* The name as a path that may be opened, to be freed; NULL: refused, or not there. */
char *machine_locate(const struct locate *l, const char *name, vdisk_error *err);
/* The folder that a description lies in; of Hyper-V's, whose own one is called "Virtual Machines" or "Snapshots", the one around
   it.  To be freed; NULL: no memory. */
char *machine_folder(const char *description, enum describe_kind kind);
/* Whether the folder's own name is this one, in whatever letters. */
bool folder_is_called(const char *folder, const char *name);

#endif

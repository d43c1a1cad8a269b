/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names and removal of the store's folders. */
#ifndef RECEIVE_STORE_FOLDER_H
#define RECEIVE_STORE_FOLDER_H

#include <vdisk/vdisk.h>

#define FOLDER_BEGIN ".begin-"
#define FOLDER_GONE  ".gone-"
#define FOLDER_OWN   ".vdisk-receive"

/* With all that is in it, on its file system. */
int folder_remove(int dir, const char *name, vdisk_error *err);

#endif

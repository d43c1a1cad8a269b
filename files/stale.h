/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a reader that replays no journal and opens no lock must not be let at. */
#ifndef VDISK_FILES_STALE_H
#define VDISK_FILES_STALE_H

#include <stdint.h>

/* Why the file system of that type (as libblkid calls it) in the file `fd` does not stand on the disk as the guest left it; NULL:
   it does, or is of a type that has no journal.  A static string.  What cannot be judged is not taken for clean. */
const char *stale_why(int fd, const char *type);
/* The same for what is encrypted: which way. */
const char *locked_why(int fd, const char *type, const char *version);
/* The same of what begins at byte `off` of the file. */
const char *stale_why_at(int fd, uint64_t off, const char *type);
const char *locked_why_at(int fd, uint64_t off, const char *type, const char *version);

#endif

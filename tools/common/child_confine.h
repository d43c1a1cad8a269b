/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program that parses a guest's file systems may do. */
#ifndef COMMON_CHILD_CONFINE_H
#define COMMON_CHILD_CONFINE_H

/* In the child, just before execv(path, …), whose path must be this very pointer.  Files can be read and mounts made; no file can
   be written, no socket opened, no other program run.  Limits hold for everybody; the filter of system calls for root alone, since
   without privileges it would take from fusermount the right to mount.  0, or -1. */
int child_confine(const char *path);

#endif

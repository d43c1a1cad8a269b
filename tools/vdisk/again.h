/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This program's own command line, to tell how it is run again. */
#ifndef VDISK_TOOL_AGAIN_H
#define VDISK_TOOL_AGAIN_H

/* The words as a shell takes them, with `option` behind the command's name unless it is among them.  Owned by the caller; NULL
   where the host does not tell. */
char *command_again(const char *option);

#endif

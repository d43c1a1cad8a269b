/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disk of an image as files, for other programs to look at: vdisk-mount as a child, on a folder of our own. */
#ifndef VDISK_TOOL_VIEW_H
#define VDISK_TOOL_VIEW_H

#include "source.h"

struct view {
	int pid;            /* 0: none */
	char folder[4096];  /* ours, for notes; what is seen is below "disk" in it */
	char disk[4096 + 8];
};

/* `content` may be NULL.  Its files can be written to, as some programs want, but what is written goes nowhere; but for s->share,
   with which they cannot.  0, or EXIT_TROUBLE after a message. */
int view_open(struct view *v, const char *path, const struct source_args *s, const struct content_args *content,
              const volatile int *cancel);
/* Unmounts and removes the folder and what lies in it. */
void view_close(struct view *v);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-capture-ui's own command line. */
#ifndef UI_OPTIONS_H
#define UI_OPTIONS_H

#include "settings.h"

#define PROGRAM "vdisk capture-ui"

struct options {
	struct settings settings;
	bool iso;                  /* this is the ISO: networks and the power are ours */
	bool automatic;
	unsigned tries;            /* of an unattended capture; 0: until it is done */
	const char *kernel_file;   /* NULL: the kernel's command line is not read */
	const char *net_program;   /* NULL: networks are somebody else's */
	const char *power_program; /* gets "poweroff" or "reboot"; NULL: the power is somebody else's */
	const char *capture;       /* NULL: vdisk-capture beside this program, else by PATH */
};

/* 0: go on; 1: done; -1: bad usage, said. */
int options_parse(struct options *o, int argc, char **argv);

#endif

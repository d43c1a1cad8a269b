/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kernel's command line, wherever it is written. */
#ifndef ADAPT_LINUX_CMDLINE_H
#define ADAPT_LINUX_CMDLINE_H

#include "devices.h"
#include "shell.h"
#include "steps.h"

struct cmdline_rules {
	struct plan *plan;
	const struct devices *devices;
	const struct adapt_options *options; /* NULL: devices only */
	bool initrd;       /* the kernel has an initramfs, which knows UUID= */
	bool serial;       /* this is a line to add the serial console to, if it is asked for */
	const char *path;  /* for remarks */
};

/* Adds `args` as they are to be to `out`. */
void cmdline_translate(const struct cmdline_rules *r, struct span args, struct bytes *out);
/* The text's line with that part of it so. */
void cmdline_put(const struct cmdline_rules *r, struct text *t, struct span args);
/* The same for a value in a shell's file. */
void cmdline_put_shell(const struct cmdline_rules *r, struct text *t, const struct shell_value *v);
/* ttyS0, or what the guest's architecture has in its place. */
const char *serial_port(const struct facts *f);
/* Does one of the targets want this module? */
bool module_wanted(unsigned targets, struct span name);

#endif

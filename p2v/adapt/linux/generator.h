/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's own maker of initramfs images: told what the next one has to hold, or run at once. */
#ifndef ADAPT_GENERATOR_H
#define ADAPT_GENERATOR_H

#include "facts.h"
#include "plan.h"

struct generator_want {
	const char *for_whom;              /* "kvm", "kvm, hyperv": for comments in the guest's files */
	const char *const *load; size_t load_n;   /* drivers to be put in and loaded, by canonical names */
	const char *const *extra; size_t extra_n; /* drivers to be put in */
	const char *const *paths; size_t paths_n; /* all of them as files below the modules' folder, with ".ko*" for the suffix */
};

/* Adds the change of the tool's configuration.  0, or -1 with *err. */
int generator_register(struct plan *p, enum initrd_tool tool, const struct generator_want *want, vdisk_error *err);
/* Adds a run of the tool for one kernel.  -1, VDISK_UNSUPPORTED: the tool is not known, or names are none for a shell. */
int generator_run(struct plan *p, enum initrd_tool tool, const struct fact_kernel *k, const struct generator_want *want,
	vdisk_error *err);

#endif

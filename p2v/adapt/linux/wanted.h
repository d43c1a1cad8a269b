/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The drivers that targets want of one kernel, or of all: sets of names. */
#ifndef ADAPT_WANTED_H
#define ADAPT_WANTED_H

#include "initrd.h"
#include "kmod.h"
#include "target.h"

#define WANTED_MAX 128

struct wanted { /* each name once, in the order in which they were added; names are static or the caller's */
	const char *names[WANTED_MAX];
	size_t n;
};

void wanted_add(struct wanted *w, const char *name);
bool wanted_has(const struct wanted *w, const char *name);

enum module_where { MODULE_NOWHERE, MODULE_FILE, MODULE_BUILTIN };

enum module_where module_where(const struct kmod *k, const char *name);

/* Of the targets' drivers those that this kernel has as files: to be loaded at once (buses and storage), and the rest (network,
   console).  With several targets, what complains on a foreign one (hv_*, xen_*) is not loaded at once: their buses announce
   hardware to udev. */
void wanted_of(const struct kmod *k, unsigned targets, struct wanted *load, struct wanted *extra);
/* Can this kernel see a disk of the target at all, having what it has built in, and as files if `files`? */
bool target_reached(const struct kmod *k, const struct target_info *t, bool files);
/* The preferred drivers of the target that this kernel has neither way, blanks between. */
void target_lacks(const struct kmod *k, const struct target_info *t, struct bytes *out);

#endif

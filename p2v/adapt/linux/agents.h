/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of step_agents(). */
#ifndef ADAPT_LINUX_AGENTS_H
#define ADAPT_LINUX_AGENTS_H

#include "steps.h"
#include "text.h"

/* Keeps a service from being started, in each init's own way; 0 where the guest has none of that name, too. */
int service_off(struct plan *p, const char *name, vdisk_error *err, const char *why);

int agents_off(struct plan *p, const struct adapt_options *o, vdisk_error *err);
int modprobe_adapt(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err);
int xorg_adapt(struct plan *p, const struct adapt_options *o, vdisk_error *err);
int relabel_adapt(struct plan *p, const struct facts *f, vdisk_error *err);

#endif

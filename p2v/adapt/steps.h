/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of adapting a guest.  Each looks at facts and the plan's view, adds changes to the plan, and touches nothing else; each
   may be run over a plain folder.  0, or -1 with *err: a refusal (VDISK_REFUSED, VDISK_UNSUPPORTED) says what the administrator has
   to do first. */
#ifndef ADAPT_STEPS_H
#define ADAPT_STEPS_H

#include "facts.h"
#include "plan.h"
#include "target.h"

struct adapt_options {
	unsigned targets;        /* sum of enum target */
	bool regenerate;         /* the guest's own tool makes its initramfs */
	bool serial;             /* a console on ttyS0 */
	const char *drivers;     /* Windows: virtio-win's ISO, or a folder with what it holds, of this machine; or NULL */
	const char *service_tool; /* Windows: rhsrvany.exe of this machine, to run the first boot's script; NULL: cmd.exe does */
};

/* Linux, in this order. */
/* initramfs, generator */
int step_modules(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err);
/* fstab, crypttab, resume= */
int step_devices(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err);
/* kernel lines, console, UEFI fallback */
int step_loader(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err);
int step_network(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err);
/* agents, clock, relabelling */
int step_agents(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err);
/* Windows: everything. */
int step_windows(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err);

#endif

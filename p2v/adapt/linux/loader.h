/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of step_loader(): one for each sort of boot loader. */
#ifndef ADAPT_LINUX_LOADER_H
#define ADAPT_LINUX_LOADER_H

#include "cmdline.h"

struct loader {
	struct plan *plan;
	const struct facts *facts;
	const struct adapt_options *options;
	struct devices devices;
};

struct cmdline_rules loader_rules(struct loader *l, const char *path);
/* Where the EFI system partition and the boot loader specification's other partition may be mounted; the guest's own word first.
   Stops at the first that is not 0. */
int loader_esps(struct loader *l, int (*each)(struct loader *l, const char *mount, vdisk_error *err), vdisk_error *err);
/* "(hd1,msdos1)" and "hd1,0" in the line, where the old machine booted from another disk than the first and now has only one.
 * False: it stays. */
bool loader_root_fix(struct loader *l, struct span line, struct bytes *out);

int grub2_adapt(struct loader *l, vdisk_error *err);
int grub_defaults_adapt(struct loader *l, vdisk_error *err);
int grubenv_adapt(struct loader *l, vdisk_error *err);
int grub_legacy_adapt(struct loader *l, vdisk_error *err);
int bls_adapt(struct loader *l, vdisk_error *err);
int extlinux_adapt(struct loader *l, vdisk_error *err);
int uki_adapt(struct loader *l, vdisk_error *err);
int efi_adapt(struct loader *l, vdisk_error *err);
int getty_adapt(struct loader *l, vdisk_error *err);

#endif

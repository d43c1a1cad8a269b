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
/* Where the EFI system partition and the boot loader specification's other partition may be mounted, by number from 0; the guest's
   own word first.  NULL: there are no more. */
const char *loader_esp(const struct loader *l, unsigned i);
/* Each file there that is called FOLDER/PATTERN, or with a name FOLDER/PATTERN/NAME (which need not be there).  Stops at the first
   that is not 0. */
typedef int (*loader_file_fn)(struct loader *l, const char *path, vdisk_error *err);
int loader_esp_files(struct loader *l, const char *folder, const char *pattern, const char *name, loader_file_fn each,
                     vdisk_error *err);
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

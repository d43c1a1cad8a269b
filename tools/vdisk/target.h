/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of commands that make a new image: convert and create. */
#ifndef VDISK_TOOL_TARGET_H
#define VDISK_TOOL_TARGET_H

#include "options.h"

#include <vdisk/vdisk.h>

struct target_args {
	struct opt_list opts;
	const char *backing, *backing_format;
	const char *rounding, *profile;
	bool force, dry_run;
};
extern const struct opt target_options[];

/* `given` (may be NULL) or what the path's suffix says.  NULL after a message, which calls the option `option`. */
const struct vdisk_format_info *target_format(const char *path, const char *given, const char *option);
struct target_profile {
	const struct vdisk_profile *profile; /* NULL: no --for */
	struct vdisk_profile_choice choice;
};
/* The format, as target_format(), and in *opts the options of the new image, those of `t` and the profile's: opt_list_free().  NULL
   after a message, with nothing to free. */
const struct vdisk_format_info *target_choose(const struct target_args *t, const char *path, const char *given, const char *option,
                                              struct target_profile *out, struct opt_list *opts);
/* The size of the new disk in *size, which holds the one that was asked for; 0, or EXIT_TROUBLE after a message. */
int target_size(const struct target_args *t, const struct target_profile *p, uint64_t *size);
/* Fills in the format of the backing image by its suffix where none was given.  0, or EXIT_TROUBLE after a message. */
int target_backing_format(const struct target_args *t, const char **format);
bool target_rounds_up(const struct target_args *t);

/* "-o help": prints the format's options and returns true. */
bool target_help(const struct vdisk_format_info *f, const struct opt_list *opts);
/* A table of the options of `f` whose use has `use`; false if there are none. */
bool format_options_print(const struct vdisk_format_info *f, uint32_t use, const char *indent);
/* "qcow2, raw, vhd": those with one of `caps`. */
const char *format_names(char *buf, size_t cap, uint32_t caps, const char *between);

#endif

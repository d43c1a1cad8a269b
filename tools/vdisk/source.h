/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options that say how an existing image is opened, and opening it. */
#ifndef VDISK_TOOL_SOURCE_H
#define VDISK_TOOL_SOURCE_H

#include "options.h"

#include <vdisk/vdisk.h>

struct source_args {
	const char *format, *vhd_size, *key_file;
	struct opt_list open_opts, allow_dirs, parents;
	struct vdisk_remote remote;
	bool share;
};
extern const struct opt source_options[];

/* Of commands that read content. */
struct content_args {
	const char *snapshot;
	bool salvage;
};
extern const struct opt content_options[];

/* Of commands that change an image in place. */
struct change_args {
	bool force, keep_id;
};
extern const struct opt change_options[];

/* `content` may be NULL; `flags`: VDISK_OPEN_*; "-" is standard input where `stream`.  0, or EXIT_TROUBLE after a message. */
int source_open(const char *path, const struct source_args *s, const struct content_args *content, uint32_t flags, bool stream,
                vdisk_image **out);
/* Its two halves, for commands whose call of the library opens by path: the words judged (0, or EXIT_TROUBLE after a message), and
   the format's options joined in *opts, which the caller frees. */
int source_judge(const char *path, const struct source_args *s);
void source_options_collect(const struct source_args *s, struct opt_list *opts);
/* Closes what was read; a failure there is told as a warning. */
void source_close(vdisk_image *img);
/* Flags of VDISK_OPEN_* for change_args, VDISK_OPEN_RW included. */
uint32_t change_flags(const struct change_args *c);

/* An image on a web server. */
bool path_is_url(const char *path);
/* An NBD server's export. */
bool path_is_export(const char *path);
/* The format that owns the path's suffix, raw of an export; NULL: nobody knows it. */
const struct vdisk_format_info *format_by_suffix(const char *path);

#endif

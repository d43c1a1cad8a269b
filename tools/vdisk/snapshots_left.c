/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots that a conversion leaves behind: those inside the source, and the layers beside it that have a name. */
#include "snapshots_left.h"
#include "output.h"
#include "common/utf8.h"

#include <string.h>
#include <sys/stat.h>

struct names {
	char text[256];
	size_t n;
};

static void name_add(struct names *names, const char *name)
{
	size_t used = strlen(names->text);
	if (names->n++ < 8)
		snprintf(names->text + used, sizeof(names->text) - used, "%s\"%.*s\"", used ? ", " : "",
		         (int)utf8_fit(name, 24), name);
}

static void internal_add(void *ctx, const struct vdisk_snapshot_info *s) { name_add(ctx, s->name); }

/* A layer that nobody called a snapshot is none. */
static void layer_add(void *ctx, const struct vdisk_snapshot_node *s)
{
	if (s->kind != VDISK_SNAPSHOT_INTERNAL && s->name)
		name_add(ctx, s->name);
}

static void names_warn(const struct names *names, const char *kind)
{
	if (names->n)
		warn("%zu %ssnapshot%s of the source will not be in the result: %s%s", names->n, kind, names->n == 1 ? "" : "s",
		     names->text, names->n > 8 ? ", ..." : "");
}

void snapshots_left_warn(const struct source_args *source, vdisk_image *src)
{
	struct names inside = { 0 }, layers = { 0 };
	const struct vdisk_open_options o = {
		.format = source->format,
		.flags = VDISK_OPEN_NO_LOCK,
		.allow_dirs = source->allow_dirs.v,
		.parent_map = source->parents.v,
	};
	struct vdisk_layer_info info;
	vdisk_error err = { 0 };
	struct stat st;
	if (vdisk_snapshots(src, internal_add, &inside, &err))
		warn("%s", err.message);
	names_warn(&inside, "internal ");
	/* What lies beside a file; if it cannot be listed, opening the file has said why. */
	if (!vdisk_layer_get(src, 0, &info, NULL) && !path_is_url(info.path) && !stat(info.path, &st) && S_ISREG(st.st_mode) &&
	    !vdisk_snapshot_tree(info.path, &o, layer_add, &layers, NULL))
		names_warn(&layers, "");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest as a plan's changes leave it. */
#ifndef ADAPT_PLAN_VIEW_H
#define ADAPT_PLAN_VIEW_H

#include "plan.h"
#include "walk.h"

#include <stdarg.h>

/* What stands at a path of which no part but the last may be a link. */
struct seen {
	const struct change *change; /* the one that made it; NULL: none */
	char guest[PATH_ROOM];   /* else the guest's own, which may or may not be there */
	bool gone;                   /* a change took it away */
};

extern const struct tree_ops plan_view_ops;

/* After the first `n` changes. */
void plan_seen(const struct plan *p, const char *path, size_t n, struct seen *out);
/* As the view's stat, of a path as plan_seen() wants it. */
int plan_stat(struct plan *p, const char *path, struct tree_stat *out, vdisk_error *err);
/* walk_path() in the view. */
int plan_resolve(struct plan *p, const char *path, bool follow, char out[PATH_ROOM], vdisk_error *err);

/* One line of a remark or reason, owned; NULL: no memory. */
char *plan_line(const char *format, va_list args);

#endif

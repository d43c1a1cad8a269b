/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One system of a guest: looked at, planned for, changed. */
#ifndef ADAPT_MAIN_SYSTEM_H
#define ADAPT_MAIN_SYSTEM_H

#include "guestfs_roots.h"
#include "main_options.h"

#include <json-c/json.h>

struct outcome {
	struct bytes text;           /* for people: what changes in each system, and why */
	struct json_object *systems; /* for programs: an array */
	size_t changes;
};

/* The system with this root, one of those, unmounted before and after.  With MODE_PLAN, nothing is written.  0, or -1 with *err. */
int system_adapt(struct guest *t, const struct guest_roots *roots, const struct guest_root *root, const struct adapt_args *a,
                 struct outcome *out, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan for people and for programs. */
#ifndef ADAPT_PLAN_SHOW_H
#define ADAPT_PLAN_SHOW_H

#include "plan.h"

#include <json-c/json.h>

/* What would be changed and why; `differences`: texts as diff -u has them, what changes inside of other files.  Control characters
   of the guest's are shown as \xNN.  0, or -1 with *err (reading the guest; no memory). */
int plan_show(struct plan *p, bool differences, struct bytes *out, vdisk_error *err);
/* {"changes": [...], "remarks": [...]}; returns owned, NULL with *err. */
struct json_object *plan_json(struct plan *p, vdisk_error *err);

#endif

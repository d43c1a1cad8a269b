/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan for people and for programs. */
#ifndef ADAPT_PLAN_SHOW_H
#define ADAPT_PLAN_SHOW_H

#include "plan.h"

#include <json-c/json.h>

/* A guest's text on its way to a terminal or into JSON: what is no character of UTF-8, and what a terminal would take for an order,
   is shown as \xNN, byte by byte.  A tab stays, and with `lines` a newline. */
void text_show(struct bytes *out, const char *at, size_t len, bool lines);
/* The same as a value of JSON, with newlines; returns owned, NULL without memory. */
struct json_object *text_json(const char *at, size_t len);
/* What would be changed and why; `differences`: texts as diff -u has them, what changes inside of other files.  All as text_show()
   has it.  0, or -1 with *err (reading the guest; no memory). */
int plan_show(struct plan *p, bool differences, struct bytes *out, vdisk_error *err);
/* {"changes": [...], "remarks": [...]}; returns owned, NULL with *err. */
struct json_object *plan_json(struct plan *p, vdisk_error *err);

#endif

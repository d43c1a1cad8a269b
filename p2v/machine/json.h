/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine as JSON: vdisk-machine(5). */
#ifndef MACHINE_JSON_H
#define MACHINE_JSON_H

#include "machine.h"

struct json_object;

#define MACHINE_JSON_SCHEMA 1
#define MACHINE_JSON_MAX    ((size_t)1 << 20) /* bytes that are read */

/* Bytes from anywhere: *m is new, or -1.  Members that are not known are listed in its `lost`.  Machines that do not hold together
   are refused. */
int machine_json_read(const void *bytes, size_t len, struct machine **m, vdisk_error *err);
/* The same from an object that was parsed already, which is borrowed. */
int machine_json_take(struct json_object *o, struct machine **m, vdisk_error *err);
/* A text to be freed, ending in a newline; NULL: out of memory. */
char *machine_json_write(const struct machine *m);
/* An object of the caller's (json_object_put()), or NULL: out of memory. */
struct json_object *machine_json_make(const struct machine *m);
/* What is lost, as an array of the same kind. */
struct json_object *machine_json_lost(const struct machine_lost_list *list);

#endif

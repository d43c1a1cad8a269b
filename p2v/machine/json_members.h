/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One table of members for each kind of object, which serves reading and writing. */
#ifndef MACHINE_JSON_MEMBERS_H
#define MACHINE_JSON_MEMBERS_H

#include "machine.h"
#include "names.h"

enum member_kind { TEXT, LINES, NUMBER, LARGE, UNIT, YES, NAME, TEXTS };

struct member {
	const char *key;
	enum member_kind kind;
	size_t at, count_at;       /* in the struct; count_at for TEXTS */
	const struct names *names; /* for NAME */
};

struct list {
	const char *key;
	const struct member *members;
	size_t at, count_at, size;
	void *(*add)(struct machine *);
};

#define LISTS_N 10

extern const struct member json_machine_members[], json_disk_members[], json_host_members[];
extern const struct list json_lists[LISTS_N];

#endif

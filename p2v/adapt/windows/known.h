/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drivers and services of Windows that matter to a change of machine, by the names of their keys. */
#ifndef ADAPT_KNOWN_H
#define ADAPT_KNOWN_H

#include "target.h"
#include "windows.h"

enum known_leave {   /* when no target is its hypervisor */
	LEAVE_ALONE,
	LEAVE_DEMAND, /* started when its device is there */
	LEAVE_OFF,    /* disabled */
};

struct windows_known {
	const char *name;
	enum target of;       /* 0: plain hardware's, or everybody's */
	const char *vendor;   /* where `of` is 0: parallels, or "" */
	enum windows_role role;
	enum known_leave leave;
	unsigned boots;       /* sum of the targets whose machines may boot through it: its start becomes 0 for them */
};

extern const struct windows_known windows_known[];
extern const unsigned windows_known_n;

const struct windows_known *windows_known_find(const char *name); /* in any case; NULL */
const char *windows_known_of(const struct windows_known *k);     /* vmware …; "" */

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The judge's verdict, told in three ways. */
#ifndef RUNNER_REPORT_H
#define RUNNER_REPORT_H

#include "judge.h"
#include "options.h"

struct report {
	const struct options *options;
	const struct judge *judge;
	const char *engine, *firmware, *note; /* note: why the engine is not the one on KVM; "" */
	const char *screenshot;               /* NULL: none was taken */
	int64_t ms;
};

/* One line, or JSON, on standard output. */
int report_print(const struct report *r, vdisk_error *err);
/* JUnit's XML. */
int report_junit(const struct report *r, const char *path, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the runner's own code fails: like the library, through a vdisk_error. */
#ifndef RUNNER_FAIL_H
#define RUNNER_FAIL_H

#include <vdisk/vdisk.h>

/* Fills in *err with one line; returns -1. */
int fail(vdisk_error *err, enum vdisk_error_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with errno's meaning behind a colon. */
int fail_errno(vdisk_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a program's own code fails: like the library, through a vdisk_error, if there is one.  Each returns -1. */
#ifndef COMMON_FAIL_H
#define COMMON_FAIL_H

#include <vdisk/vdisk.h>

int fail(vdisk_error *err, enum vdisk_error_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with errno's meaning behind a colon. */
int fail_errno(vdisk_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
int fail_nomem(vdisk_error *err);

#endif

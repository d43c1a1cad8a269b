/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fills in a vdisk_error, if there is one, with a line; returns -1. */
#ifndef VDISK_NBD_FAIL_H
#define VDISK_NBD_FAIL_H

#include <vdisk/vdisk.h>

int fail(vdisk_error *err, enum vdisk_error_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Appends ": " and what errno means. */
int fail_errno(vdisk_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

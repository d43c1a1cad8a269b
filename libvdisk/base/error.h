/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filling in a vdisk_error.  Each of these accepts err == NULL. */
#ifndef VD_BASE_ERROR_H
#define VD_BASE_ERROR_H

#include "vdisk/vdisk.h"
#include <inttypes.h>

typedef struct vdisk_error vd_error;

/* Fills in *err and returns -1.  `fmt` makes one line that says what, where and the offending value. */
int vd_fail(vd_error *err, enum vdisk_error_kind kind, uint64_t offset, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same for a failed system call: kind VDISK_IO (NOMEM for ENOMEM), ": strerror(sys_errno)" appended. */
int vd_fail_errno(vd_error *err, int sys_errno, uint64_t offset, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int vd_fail_nomem(vd_error *err, size_t bytes);
/* Puts "context: " in front of the message unless it begins with that already (what comes from a vd_file names its file); done
   where the file's name is known.  Returns -1. */
int vd_fail_in(vd_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vd_error_clear(vd_error *err);
/* Makes text from an image fit for one line: bytes that are no UTF-8, controls and marks that would change how the line is shown
   become \xNN; at most cap-1 bytes, "..." where cut. */
const char *vd_printable(char *buf, size_t cap, const void *text, size_t len);

#endif

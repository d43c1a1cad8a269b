/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VDISK_TOOL_SIZES_H
#define VDISK_TOOL_SIZES_H

#include <stdbool.h>
#include <stdint.h>

#define SIZE_TEXT 32

/* "4096", "0x1000", "64K", "1.5G", "2GiB", in powers of 1,024.  False: no size, no whole number of bytes, or past 2^64-1. */
bool size_parse(const char *text, uint64_t *bytes);
/* "512 bytes", "64 KiB", "1.50 GiB". */
const char *size_human(char buf[SIZE_TEXT], uint64_t bytes);

#endif

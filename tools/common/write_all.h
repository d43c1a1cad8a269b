/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* write(2) until nothing is left. */
#ifndef COMMON_WRITE_ALL_H
#define COMMON_WRITE_ALL_H

#include <stddef.h>

/* To a descriptor that blocks: 0, or -1 with errno; then some may have been written. */
int write_all(int fd, const void *bytes, size_t n);

#endif

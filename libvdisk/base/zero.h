/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding zeros; vectorised, chosen for the processor at run time. */
#ifndef VD_BASE_ZERO_H
#define VD_BASE_ZERO_H

#include <stdbool.h>
#include <stddef.h>

bool vd_is_zero(const void *buf, size_t len);
/* Length of the run of blocks at the head of buf that are all zero (*zero = true) or all not zero (false).  `block` divides the
   result except at the end of buf; len > 0. */
size_t vd_zero_run(const void *buf, size_t len, size_t block, bool *zero);

#endif

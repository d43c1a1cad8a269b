/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data that deflate cannot make smaller: what is packed already, or encrypted. */
#ifndef VD_BASE_DENSE_H
#define VD_BASE_DENSE_H

#include <stdbool.h>
#include <stddef.h>

/* True: deflate would make less than about 1 % of it.  A pure function of the bytes, far faster than to try.  False where it cannot
   tell; always below 4 KiB.  Any thread. */
bool vd_dense(const void *data, size_t len);

#endif

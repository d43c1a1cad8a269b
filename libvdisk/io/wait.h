/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting for servers, as long as nobody has asked to stop.  `cancel`, which may be NULL, is what vdisk_open_options has. */
#ifndef VD_IO_WAIT_H
#define VD_IO_WAIT_H

#include "base/error.h"

static inline bool vd_cancelled(const volatile int *cancel) { return cancel && *cancel; }
/* VDISK_CANCELLED. */
int vd_fail_cancelled(vd_error *err);
int64_t vd_now_ms(void); /* of a clock that only goes forward */
/* So many milliseconds, or fewer once it is cancelled. */
void vd_wait_ms(uint64_t ms, const volatile int *cancel);

#endif

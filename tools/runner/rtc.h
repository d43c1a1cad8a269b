/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clock and its CMOS memory: an MC146818 at ports 0x70 and 0x71.  It starts with the host's time, in UTC. */
#ifndef RUNNER_RTC_H
#define RUNNER_RTC_H

#include "machine.h"

struct rtc;

int rtc_create(struct machine *m, struct rtc **out, vdisk_error *err);
void rtc_destroy(struct rtc *rtc);

#endif

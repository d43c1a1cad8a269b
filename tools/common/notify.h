/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* systemd's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET; without one, nothing. */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

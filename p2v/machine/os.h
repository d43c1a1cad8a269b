/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each kind of description calls an operating system. */
#ifndef MACHINE_OS_H
#define MACHINE_OS_H

#include "describe.h"

/* What `kind` (VMX, VBOX, PROXMOX, OVF: a number of CIM's) calls what some description called `os`; where there is nothing closer,
   its family, which is listed.  Never NULL; a static string or `os` itself. */
const char *os_name(const char *os, const char *arch, enum describe_kind kind, struct machine_lost_list *lost);
/* VMware's word for a number of CIM's OSType, or NULL. */
const char *os_of_cim(unsigned number);
bool os_is_windows(const char *os);

#endif

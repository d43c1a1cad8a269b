/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of reading a Windows' facts, and ways into its hives that the step shares. */
#ifndef ADAPT_WINDOWS_READ_H
#define ADAPT_WINDOWS_READ_H

#include "hive.h"
#include "windows.h"

/* The control set that the next boot takes; 0: there is none. */
unsigned windows_set(const struct windows_facts *w);
/* A key below ControlSetNNN, or 0. */
hive_node_h windows_set_find(const struct hive *system, unsigned set, const char *below);
/* Both or none. */
int windows_hives_open(struct hive *system, struct hive *software, struct tree *t, const char *folder, bool write,
                       vdisk_error *err);

int windows_services_read(struct windows_facts *w, const struct hive *system, vdisk_error *err);
/* "2001:db8::5/64 …": the lasting IPv6 addresses of the adapter with that class key, behind what stands there. */
void windows_ipv6_read(const struct hive *system, unsigned set, hive_node_h class_key, struct bytes *out);
int windows_nics_read(struct windows_facts *w, const struct hive *system, vdisk_error *err);

#endif

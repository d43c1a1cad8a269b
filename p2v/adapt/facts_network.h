/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the readers of network settings. */
#ifndef ADAPT_FACTS_NETWORK_H
#define ADAPT_FACTS_NETWORK_H

#include "facts_parts.h"

/* The NIC of that name, made if there is none; NULL: there are too many, or no memory. */
struct fact_nic *nic_get(struct look *l, const char *name, const char *source);
/* What is no MAC address is not taken. */
void nic_mac(struct look *l, struct fact_nic *n, const char *text);
/* "dhcp", or an address with or without its prefix; `mask` (255.255.255.0, 24; may be NULL) counts where it has none. */
void nic_address(struct look *l, struct fact_nic *n, const char *address, const char *mask);
/* A file of netplan's, for tree_match(). */
int netplan_take(void *look, const char *path);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of network cards.  Addresses, firewalls and what else a guest configures go by them, so they are kept, and the new
 * machine's cards are given them: step_network() takes the ties to the old machine's cards (MAC, driver, slot) out of the
 * configuration, after noting which MAC had which name, and leaves one udev rule of ours, which answers by MAC where the hypervisor
 * kept it, and by the cards' order on the bus where it did not.
 */
#ifndef ADAPT_LINUX_NET_H
#define ADAPT_LINUX_NET_H

#include "steps.h"
#include "text.h"

#define NIC_NAME_MAX 16
#define NIC_MAC_MAX 18
#define NICS_MAX 64

struct nic {
	char name[NIC_NAME_MAX];
	char mac[NIC_MAC_MAX]; /* lower case, colons; "" no one ties it */
	bool configured;       /* some configuration goes by the name; false: it is only reserved for a MAC */
	bool listed;           /* our own table had it already: its place is kept */
};

struct net {
	struct plan *plan;
	const struct facts *facts;
	const struct adapt_options *options;
	struct nic v[NICS_MAX];
	size_t n;
	bool collecting;       /* the first round: nothing is written */
};

/* "00-0C-29…" and quoted ones too.  False: no MAC. */
bool mac_read(struct span text, char out[NIC_MAC_MAX]);
/* A name that a card can have: no alias, VLAN, loopback, pattern. */
bool nic_name_ok(struct span name);
/* Does a name by itself look like that of a card (eth0, ens192, enp3s0f1, em1, p2p1)? */
bool nic_name_physical(struct span name);
/* The card of a VLAN or an alias: eth0.100 and eth0:1 stand on eth0. */
struct span nic_name_base(struct span name);
/* Notes it; `mac` may be "".  A name known already gets what it lacks. */
void net_note(struct net *n, struct span name, const char *mac, bool configured);
/* The name that goes with a MAC, one made up if there is none yet ("" where there are too many cards). */
const char *net_name_of(struct net *n, const char *mac);

/* Each goes over its files twice: collecting, and then changing them. */
int net_udev(struct net *n, vdisk_error *err);
int net_links(struct net *n, vdisk_error *err);
int net_ifupdown(struct net *n, vdisk_error *err);
int net_ifcfg(struct net *n, vdisk_error *err);
int net_manager(struct net *n, vdisk_error *err);
int net_networkd(struct net *n, vdisk_error *err);
int net_netplan(struct net *n, vdisk_error *err);

/* Our rule, its program and its table; the table of an earlier run. */
int net_names_read(struct net *n, vdisk_error *err);
int net_names_write(struct net *n, vdisk_error *err);

#endif

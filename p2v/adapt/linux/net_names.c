/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rule that names the new machine's cards, and why it is made so.
 *
 * A .link file of systemd can match a MAC, a driver or a slot: the first may change with the hypervisor, the second is the same for
 * all cards, the third is not known before; and older guests (RHEL 6, Debian 7, SUSE 11) have none.  A rule with NAME= works with
 * every udev there is, also where a card was named otherwise in the initramfs already; and with PROGRAM= it can ask for the one
 * thing that always holds: the order of the cards on the bus. Devices of the bus are all there before the first driver is loaded,
 * so the order does not depend on which card's driver was quicker.  The program uses the shell's own words alone, as little else is
 * there when udev starts.  In /etc/udev/scripts SELinux lets udev run it.
 */
#include "net.h"

#include "common/fail.h"

#include <stdlib.h>
#include <string.h>

#define TABLE "/etc/udev/vdisk-net-names"
#define RULE "/etc/udev/rules.d/69-vdisk-net.rules"
#define PROGRAM "/etc/udev/scripts/vdisk-net-name"

static const char rule_text[] =
	"# Made by vdisk adapt: network cards keep the names that this system's configuration gives them; " TABLE " lists these.\n"
	"ACTION==\"add\", SUBSYSTEM==\"net\", PROGRAM=\"" PROGRAM " %k\", RESULT==\"?*\", NAME=\"%c\"\n";

static const char program_text[] =
	"#!/bin/sh\n"
	"# Made by vdisk adapt: tells udev the name of a network card, by " TABLE ".\n"
	"# A MAC that stands there decides; else the card's place among all on the bus does.\n"
	"table=${VDISK_NET_NAMES:-" TABLE "}\n"
	"sys=${VDISK_NET_SYS:-/sys}\n"
	"card=$sys/class/net/$1\n"
	"\n"
	"[ -e \"$card/device\" ] && [ ! -e \"$card/wireless\" ] && [ ! -e \"$card/phy80211\" ] || exit 1\n"
	"read -r type < \"$card/type\" && [ \"$type\" = 1 ] || exit 1\n"
	"read -r mac < \"$card/address\" || exit 1\n"
	"\n"
	"while read -r name tied rest; do\n"
	"\tcase $name in '' | '#'*) continue ;; esac\n"
	"\tif [ \"$tied\" = \"$mac\" ]; then\n"
	"\t\techo \"$name\"\n"
	"\t\texit 0\n"
	"\tfi\n"
	"done < \"$table\"\n"
	"\n"
	"# The cards by their buses: Hyper-V's by their channels, Xen's by their numbers, PCI's by their slots.\n"
	"at=$(cd -P \"$card/device\" && pwd -P) || exit 1\n"
	"place='' count=0\n"
	"for bus in vmbus xen pci; do\n"
	"\tlower=0 all=0 number=''\n"
	"\tfor round in 1 2; do\n"
	"\t\tfor dev in \"$sys/bus/$bus/devices\"/*; do\n"
	"\t\t\tcase $bus in\n"
	"\t\t\tvmbus)\n"
	"\t\t\t\tread -r class 2> /dev/null < \"$dev/class_id\" || continue\n"
	"\t\t\t\t[ \"$class\" = '{f8615163-df3e-46c5-913f-f2d2f965ed0e}' ] || continue\n"
	"\t\t\t\tread -r id < \"$dev/id\" || continue ;;\n"
	"\t\t\txen)\n"
	"\t\t\t\tid=${dev##*/vif-}\n"
	"\t\t\t\t[ \"$id\" != \"$dev\" ] || continue ;;\n"
	"\t\t\tpci)\n"
	"\t\t\t\tread -r class 2> /dev/null < \"$dev/class\" || continue\n"
	"\t\t\t\tcase $class in 0x0200*) ;; *) continue ;; esac\n"
	"\t\t\t\tid=$all ;;\n"
	"\t\t\tesac\n"
	"\t\t\tif [ $round = 1 ]; then\n"
	"\t\t\t\treal=$(cd -P \"$dev\" && pwd -P) || continue\n"
	"\t\t\t\tcase $at/ in \"$real\"/*) number=$id ;; esac\n"
	"\t\t\telif [ -n \"$number\" ] && [ \"$id\" -lt \"$number\" ]; then\n"
	"\t\t\t\tlower=$((lower + 1))\n"
	"\t\t\tfi\n"
	"\t\t\tall=$((all + 1))\n"
	"\t\tdone\n"
	"\t\t[ $round = 2 ] || { cards=$all; all=0; }\n"
	"\tdone\n"
	"\tif [ -n \"$number\" ]; then\n"
	"\t\tplace=$((count + lower))\n"
	"\t\tbreak\n"
	"\tfi\n"
	"\tcount=$((count + cards))\n"
	"done\n"
	"[ -n \"$place\" ] || exit 1\n"
	"\n"
	"while read -r name tied rest; do\n"
	"\tcase $name in '' | '#'*) continue ;; esac\n"
	"\tif [ \"$place\" -gt 0 ]; then\n"
	"\t\tplace=$((place - 1))\n"
	"\t\tcontinue\n"
	"\tfi\n"
	"\tfor other in \"$sys/class/net\"/*/address; do # whose name this is by its MAC\n"
	"\t\tread -r there < \"$other\" && [ \"$there\" = \"$tied\" ] && exit 1\n"
	"\tdone\n"
	"\techo \"$name\"\n"
	"\texit 0\n"
	"done < \"$table\"\n"
	"exit 1\n";

int net_names_read(struct net *n, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, n->plan, TABLE, err);

	while (rc > 0 && text_next(&t)) {
		const char *at = t.line.at, *end = at + t.line.len;
		struct span name, mac;
		char tied[NIC_MAC_MAX] = "";

		if (!word_next(&at, end, &name) || *name.at == '#')
			continue;
		if (word_next(&at, end, &mac))
			mac_read(mac, tied);
		net_note(n, name, tied, true);
	}
	text_close(&t);
	for (size_t i = 0; i < n->n; i++)
		n->v[i].listed = true;
	return rc < 0 ? -1 : 0;
}

/* What is configured comes before what is only known; then names as people count. */
static int by_order(const void *a, const void *b)
{
	const struct nic *x = a, *y = b;

	if (x->configured != y->configured)
		return x->configured ? -1 : 1;
	return strverscmp(x->name, y->name);
}

/* What an earlier run listed stands in front, and keeps its place. */
static void sort(struct net *n)
{
	size_t listed = 0;

	while (listed < n->n && n->v[listed].listed)
		listed++;
	qsort(n->v + listed, n->n - listed, sizeof(*n->v), by_order);
}

static int has_udev(struct net *n, vdisk_error *err)
{
	static const char *const signs[] = { "/usr/lib/systemd/systemd-udevd",
		                             "/lib/systemd/systemd-udevd",
		                             "/sbin/udevd",
		                             "/usr/sbin/udevd",
		                             "/lib/udev/udevd",
		                             "/usr/lib/udev/udevd",
		                             "/etc/udev/udev.conf",
		                             "/bin/udevadm",
		                             "/usr/bin/udevadm",
		                             "/sbin/udevadm",
		                             NULL };
	int rc = 0;

	for (const char *const *s = signs; !rc && *s; s++)
		rc = tree_exists(&n->plan->view, *s, err);
	return rc;
}

int net_names_write(struct net *n, vdisk_error *err)
{
	struct bytes table = { 0 };
	int rc = n->n ? has_udev(n, err) : 0;

	if (n->n && !rc)
		for (size_t i = 0; i < n->n; i++)
			if (strncmp(n->v[i].name, "eth", 3))
				remark_once(n->plan,
				            "the guest has no udev to name a network card %s: name it so in its own way, or use "
				            "the kernel's name in its configuration",
				            n->v[i].name);
	if (rc <= 0)
		return rc;
	sort(n);
	bytes_text(&table, "# Made by vdisk adapt: the names of network cards, in the cards' order on the bus, and the MAC that "
	                   "each had (-: not known).\n"
	                   "# A card with one of these MACs gets its name; any other the name at its place.\n");
	for (size_t i = 0; i < n->n; i++)
		bytes_format(&table, "%s %s\n", n->v[i].name, *n->v[i].mac ? n->v[i].mac : "-");
	if (table.failed)
		rc = fail_nomem(err);
	else if (plan_write(n->plan, TABLE, table.at, table.len, 0644, err,
	                    "which names the network cards have in this guest's configuration") ||
	         plan_write(n->plan, RULE, rule_text, strlen(rule_text), 0644, err,
	                    "network cards keep their names on the new machine") ||
	         plan_write(n->plan, PROGRAM, program_text, strlen(program_text), 0755, err,
	                    "network cards keep their names on the new machine"))
		rc = -1;
	bytes_destroy(&table);
	return rc < 0 ? -1 : 0;
}

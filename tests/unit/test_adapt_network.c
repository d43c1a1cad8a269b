/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of network cards: configurations before and after, and the program that names the new cards over trees like /sys. */
#include "adapt_guest.h"

#include "net.h"

static const struct fact_fs disk[] = { FS(1, "ext4", "11111111-1111-4111-8111-111111111111", "/") };
static const struct adapt_options kvm = { .targets = TARGET_KVM };

#define TABLE_HEAD \
	"# Made by vdisk adapt: the names of network cards, in the cards' order on the bus, and the MAC that each had (-: not known).\n" \
	"# A card with one of these MACs gets its name; any other the name at its place.\n"
#define TABLE "/etc/udev/vdisk-net-names"
#define UDEV { "/etc/udev/udev.conf", "", SAME }

static void check(const struct edit *edits, const char *remark)
{
	const struct facts f = FACTS(disk);

	guest_check(step_network, &f, &kvm, edits, remark);
}

static void test_debian(void **state)
{
	const struct edit edits[] = {
		UDEV,
		{ "/etc/network/interfaces",
		  "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n\nallow-hotplug eth1\niface eth1 inet static\n\taddress 192.0.2.5/24\niface br0 inet dhcp\n\tbridge_ports eth2\n",
		  SAME },
		{ "/etc/udev/rules.d/70-persistent-net.rules",
		  "# PCI device 0x8086:0x100f (e1000)\nSUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:0C:29:aa:bb:00\", ATTR{dev_id}==\"0x0\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n"
		  "SUBSYSTEM==\"net\", ACTION==\"add\", ATTR{address}==\"00:0c:29:aa:bb:01\", NAME=\"eth1\"\n",
		  "# PCI device 0x8086:0x100f (e1000)\n# vdisk: SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"00:0C:29:aa:bb:00\", ATTR{dev_id}==\"0x0\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n"
		  "# vdisk: SUBSYSTEM==\"net\", ACTION==\"add\", ATTR{address}==\"00:0c:29:aa:bb:01\", NAME=\"eth1\"\n" },
		{ "/etc/udev/rules.d/80-other.rules",
		  "SUBSYSTEM==\"block\", NAME=\"x\"\nSUBSYSTEM==\"net\", NAME==\"eth0\", RUN+=\"/x\"\nSUBSYSTEM==\"net\", PROGRAM=\"/y\", NAME=\"%c\"\n",
		  SAME },
		/* The configured one comes first, whatever the rules left over say. */
		{ TABLE, NULL, TABLE_HEAD "eth1 00:0c:29:aa:bb:01\neth2 -\neth0 00:0c:29:aa:bb:00\n" },
		{ 0 },
	};

	(void)state;
	check(edits, NULL);
}

static void test_rhel(void **state)
{
	const struct edit edits[] = {
		UDEV,
		{ "/etc/sysconfig/network-scripts/ifcfg-eth0",
		  "DEVICE=eth0\nHWADDR=00:0C:29:AA:BB:01\nTYPE=Ethernet\nBOOTPROTO=none\nIPADDR=192.0.2.5\n",
		  "DEVICE=eth0\n# vdisk: HWADDR=00:0C:29:AA:BB:01\nTYPE=Ethernet\nBOOTPROTO=none\nIPADDR=192.0.2.5\n" },
		{ "/etc/sysconfig/network-scripts/ifcfg-ens224",
		  "NAME=\"backup net\"\nHWADDR=\"00:0c:29:aa:bb:02\"\nBOOTPROTO=dhcp",
		  "NAME=\"backup net\"\n# vdisk: HWADDR=\"00:0c:29:aa:bb:02\"\nBOOTPROTO=dhcp\nDEVICE=ens224\n" },
		{ "/etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n", SAME },
		{ "/etc/sysconfig/network-scripts/ifcfg-bond0", "DEVICE=bond0\nTYPE=Bond\n", SAME },
		{ "/etc/sysconfig/network-scripts/ifcfg-eth0.bak", "DEVICE=eth9\nHWADDR=00:0C:29:AA:BB:09\n", SAME },
		{ TABLE, NULL, TABLE_HEAD "ens224 00:0c:29:aa:bb:02\neth0 00:0c:29:aa:bb:01\n" },
		{ 0 },
	};

	(void)state;
	check(edits, NULL);
}

static void test_suse(void **state)
{
	const struct edit edits[] = {
		UDEV,
		{ "/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nIPADDR='192.0.2.5/24'\n", SAME },
		{ "/etc/sysconfig/network/ifcfg-eth-id-00:0c:29:aa:bb:07", "BOOTPROTO='dhcp'\n", GONE },
		{ "/etc/sysconfig/network/ifcfg-nic0", NULL, "BOOTPROTO='dhcp'\n" },
		{ "/etc/sysconfig/network/ifcfg-br0", "BRIDGE='yes'\n", SAME },
		{ TABLE, NULL, TABLE_HEAD "eth0 -\nnic0 00:0c:29:aa:bb:07\n" },
		{ 0 },
	};

	(void)state;
	check(edits, NULL);
}

static void test_manager(void **state)
{
	const struct edit edits[] = {
		UDEV,
		{ "/etc/NetworkManager/system-connections/a.nmconnection",
		  "[connection]\nid=Wired 1\ntype=ethernet\ninterface-name=ens192\n\n[ethernet]\nmac-address=00:0C:29:AA:BB:01\nmtu=9000\n\n[ipv4]\naddress1=192.0.2.5/24\n",
		  "[connection]\nid=Wired 1\ntype=ethernet\ninterface-name=ens192\n\n[ethernet]\n#vdisk: mac-address=00:0C:29:AA:BB:01\nmtu=9000\n\n[ipv4]\naddress1=192.0.2.5/24\n" },
		{ "/etc/NetworkManager/system-connections/b",
		  "[connection]\ntype=802-3-ethernet\n\n[802-3-ethernet]\nmac-address=00:0C:29:AA:BB:02\n",
		  "[connection]\ninterface-name=nic0\ntype=802-3-ethernet\n\n[802-3-ethernet]\n#vdisk: mac-address=00:0C:29:AA:BB:02\n" },
		{ "/etc/NetworkManager/system-connections/c",
		  "[connection]\ntype=ethernet\ninterface-name=ens256\n[match]\npath=pci-0000:0b:00.0\n",
		  "[connection]\ntype=ethernet\ninterface-name=ens256\n[match]\n#vdisk: path=pci-0000:0b:00.0\n" },
		{ "/etc/NetworkManager/system-connections/w", "[connection]\ntype=wifi\n[wifi]\nmac-address=00:0C:29:AA:BB:03\n",
		  SAME },
		{ TABLE, NULL, TABLE_HEAD "ens192 00:0c:29:aa:bb:01\nens256 -\nnic0 00:0c:29:aa:bb:02\n" },
		{ 0 },
	};

	(void)state;
	check(edits, NULL);
}

static void test_networkd(void **state)
{
	const struct edit edits[] = {
		UDEV,
		{ "/etc/systemd/network/10-lan.link", "[Match]\nMACAddress=00:0c:29:aa:bb:01\n[Link]\nName=lan0\n", SAME },
		{ "/etc/systemd/network/11-slot.link", "[Match]\nPath=pci-0000:02:00.0\n\n[Link]\nMTUBytes=9000\nName=lan1\n",
		  "[Match]\nPath=pci-0000:02:00.0\n\n[Link]\nMTUBytes=9000\n# vdisk: Name=lan1\n" },
		{ "/etc/systemd/network/20-lan.network",
		  "[Match]\nMACAddress=00:0c:29:aa:bb:01\n\n[Network]\nAddress=192.0.2.5/24\n",
		  "[Match]\nName=lan0\n# vdisk: MACAddress=00:0c:29:aa:bb:01\n\n[Network]\nAddress=192.0.2.5/24\n" },
		{ "/etc/systemd/network/21-e.network", "[Match]\nName=en*\n[Network]\nDHCP=yes\n", SAME },
		{ "/etc/systemd/network/22-d.network", "[Match]\nDriver=e1000\n[Network]\nDHCP=yes\n",
		  "[Match]\nName=en* eth*\n# vdisk: Driver=e1000\n[Network]\nDHCP=yes\n" },
		{ "/etc/systemd/network/br0.network", "[Match]\nName=br0\n", SAME },
		{ TABLE, NULL, TABLE_HEAD "lan0 00:0c:29:aa:bb:01\nlan1 -\n" },
		{ 0 },
	};

	(void)state;
	check(edits, "11-slot.link: its settings are for a card with the old machine's slot");
}

static void test_netplan(void **state)
{
	const struct edit edits[] = {
		UDEV,
		{ "/etc/cloud/cloud.cfg", "x: y\n", SAME },
		{ "/etc/cloud/cloud.cfg.d/99-vdisk-network.cfg", NULL,
		  "# Made by vdisk adapt: the network is configured as it was; cloud-init would write it anew on another machine.\nnetwork: {config: disabled}\n" },
		{ "/etc/netplan/50-cloud-init.yaml",
		  "# by cloud-init\nnetwork:\n    version: 2\n    ethernets:\n        ens160:\n            addresses:\n            - 192.0.2.5/24\n            match:\n                macaddress: \"00:50:56:aa:bb:01\"\n            set-name: ens160 # kept\n\n"
		  "        other:\n            dhcp4: true\n            match: {macaddress: 00:50:56:aa:bb:02}\n        ens256:\n            dhcp4: true\n        all:\n            match:\n                name: en*\n            dhcp6: true\n        drv:\n            match:\n                driver: vmxnet3\n            dhcp4: false\n"
		  "    bridges:\n        br0:\n            interfaces: [ens256]\n",
		  "# by cloud-init\nnetwork:\n    version: 2\n    ethernets:\n        ens160:\n            addresses:\n            - 192.0.2.5/24\n            match:\n                name: ens160\n                # vdisk: macaddress: \"00:50:56:aa:bb:01\"\n            # vdisk: set-name: ens160 # kept\n\n"
		  "        other:\n            dhcp4: true\n            match: {name: nic0}\n        ens256:\n            dhcp4: true\n        all:\n            match:\n                name: en*\n            dhcp6: true\n        drv:\n            match:\n                name: \"e*\"\n                # vdisk: driver: vmxnet3\n            dhcp4: false\n"
		  "    bridges:\n        br0:\n            interfaces: [ens256]\n" },
		{ TABLE, NULL, TABLE_HEAD "ens160 00:50:56:aa:bb:01\nens256 -\nnic0 00:50:56:aa:bb:02\n" },
		{ 0 },
	};

	(void)state;
	check(edits, "drv was for cards with a driver");
}

static void test_netplan_odd(void **state)
{
	const struct edit edits[] = {
		UDEV,
		{ "/etc/netplan/a.yaml",
		  "network:\n  ethernets:\n    a: {match: {macaddress: 00:50:56:aa:bb:01}, dhcp4: true}\n    b:\n      match:\n        macaddress: *anchor\n",
		  SAME },
		{ "/etc/netplan/b.yaml", "network: {ethernets: {eth0: {dhcp4: true}}}\n", SAME },
		{ "/etc/netplan/c.yaml",
		  "network:\n  ethernets:\n    b:\n      match: {macaddress: \"00:50:56:aa:bb:01\"}\n      dhcp4: true\n      match: {driver: e1000}\n",
		  SAME },
		{ TABLE, NULL, GONE },
		{ 0 },
	};

	(void)state;
	check(edits, "b is matched in a way that is not understood");
}

/* Only VLANs and aliases are configured: the card below them needs its name all the same. */
static void test_vlans(void **state)
{
	const struct edit edits[] = {
		UDEV,
		{ "/etc/network/interfaces",
		  "auto eno1.100\niface eno1.100 inet static\niface eno2:1 inet static\niface br0 inet dhcp\n", SAME },
		{ "/etc/sysconfig/network-scripts/ifcfg-ens5.7", "DEVICE=ens5.7\nVLAN=yes\n", SAME },
		{ "/etc/NetworkManager/system-connections/v", "[connection]\ntype=vlan\ninterface-name=v7\n[vlan]\nparent=ens6\n",
		  SAME },
		{ TABLE, NULL, TABLE_HEAD "eno1 -\neno2 -\nens5 -\nens6 -\n" },
		{ 0 },
	};

	(void)state;
	check(edits, NULL);
}

/* Without udev (Alpine's mdev) there is nobody to ask our table. */
static void test_no_udev(void **state)
{
	const struct edit edits[] = {
		{ "/etc/network/interfaces", "auto eth0\niface eth0 inet static\n", SAME },
		{ "/etc/mactab", "# x\neth0 00:0c:29:aa:bb:01\n", "# x\n# vdisk: eth0 00:0c:29:aa:bb:01\n" },
		{ TABLE, NULL, GONE },
		{ 0 },
	};

	(void)state;
	check(edits, NULL);
}

/* Nothing is tied, nothing is named: nothing is written. */
static void test_nothing(void **state)
{
	const struct edit edits[] = { UDEV,
		                      { "/etc/systemd/network/x.network", "[Match]\nName=e*\n", SAME },
		                      { "/etc/udev/rules.d/69-vdisk-net.rules", NULL, GONE },
		                      { 0 } };

	(void)state;
	check(edits, NULL);
}

/* ---------------------------------------------------------------- the program */

struct card {
	const char *name, *bus, *device, *id, *mac; /* id: vmbus' channel; bus "": no card of a bus (a bridge, a stick) */
};

static void card_make(const struct guest *g, const struct card *c)
{
	char path[4096], link[4096], at[256];

	if (*c->bus) {
		snprintf(at, sizeof(at), "/sys/devices/%s/%s", strcmp(c->bus, "pci") ? c->bus : "pci0000:00", c->device);
		snprintf(path, sizeof(path), "%s/virtio0/x", at);
		host_write(g, path, "", 0, 0644);
		snprintf(path, sizeof(path), "%s/%s", at, strcmp(c->bus, "vmbus") ? "class" : "class_id");
		host_write(g, path, strcmp(c->bus, "vmbus") ? "0x020000\n" : "{f8615163-df3e-46c5-913f-f2d2f965ed0e}\n",
		           strcmp(c->bus, "vmbus") ? 9 : 39, 0644);
		snprintf(path, sizeof(path), "%s/id", at);
		host_write(g, path, c->id, strlen(c->id), 0644);
		snprintf(path, sizeof(path), "/sys/bus/%s/devices/%s", c->bus, c->device);
		snprintf(link, sizeof(link), LINK "../../../devices/%s/%s", strcmp(c->bus, "pci") ? c->bus : "pci0000:00",
		         c->device);
		host_write(g, path, link, strlen(link), 0);
		snprintf(path, sizeof(path), "/sys/class/net/%s/device", c->name);
		snprintf(link, sizeof(link), LINK "../../../devices/%s/%s%s", strcmp(c->bus, "pci") ? c->bus : "pci0000:00",
		         c->device, strcmp(c->bus, "pci") ? "" : "/virtio0");
		host_write(g, path, link, strlen(link), 0);
	}
	snprintf(path, sizeof(path), "/sys/class/net/%s/type", c->name);
	host_write(g, path, "1\n", 2, 0644);
	snprintf(path, sizeof(path), "/sys/class/net/%s/address", c->name);
	snprintf(link, sizeof(link), "%s\n", c->mac);
	host_write(g, path, link, strlen(link), 0644);
}

/* The names that the program gives to the cards, as "eth0=lan0 …". */
static void named(const struct card *cards, const char *table, const char *due)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = { UDEV, { "/etc/network/interfaces", "iface eth0 inet dhcp\n", SAME }, { 0 } };
	char command[512], line[64], all[512] = "";
	struct guest g;

	guest_make(&g, edits);
	guest_step(&g, step_network, &f, &kvm);
	guest_apply(&g);
	host_write(&g, TABLE, table, strlen(table), 0644);
	for (const struct card *c = cards; c->name; c++)
		card_make(&g, c);
	for (const struct card *c = cards; c->name; c++) {
		FILE *p;

		snprintf(command, sizeof(command),
		         "VDISK_NET_SYS=%s/sys VDISK_NET_NAMES=%s" TABLE " %s/etc/udev/scripts/vdisk-net-name %s", g.folder,
		         g.folder, g.folder, c->name);
		p = popen(command, "r");
		assert_non_null(p);
		if (!fgets(line, sizeof(line), p))
			strcpy(line, "-");
		line[strcspn(line, "\n")] = '\0';
		pclose(p);
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s=%s", *all ? " " : "", c->name, line);
	}
	if (strcmp(all, due))
		fail_msg("due \"%s\", and it is \"%s\"", due, all);
	guest_destroy(&g);
}

static void test_program(void **state)
{
	static const struct card pci[] = { { "ens4", "pci", "0000:00:04.0", "", "52:54:00:00:00:02" },
		                           { "eth0", "pci", "0000:00:03.0", "", "52:54:00:00:00:01" },
		                           { "eth2", "pci", "0000:01:00.0", "", "52:54:00:00:00:03" },
		                           { "br0", "", "", "", "52:54:00:00:00:01" },
		                           { 0 } };
	static const struct card vmbus[] = { { "eth0", "vmbus", "aaaa", "15\n", "00:15:5d:00:00:02" },
		                             { "eth1", "vmbus", "bbbb", "9\n", "00:15:5d:00:00:01" },
		                             { 0 } };
	static const struct card xen[] = { { "eth0", "xen", "vif-10", "", "00:16:3e:00:00:02" },
		                           { "eth1", "xen", "vif-2", "", "00:16:3e:00:00:01" },
		                           { 0 } };

	(void)state;
	/* Other MACs: by the order on the bus.  More cards than names: the last has none. */
	named(pci, "# x\nlan0 00:00:00:00:00:01\nlan1 -\n", "ens4=lan1 eth0=lan0 eth2=- br0=-");
	/* The MACs were kept, and the order is another. */
	named(pci, "lan0 52:54:00:00:00:02\nlan1 52:54:00:00:00:01\n", "ens4=lan0 eth0=lan1 eth2=- br0=-");
	/* One was kept: its name is nobody else's. */
	named(pci, "lan0 52:54:00:00:00:02\n", "ens4=lan0 eth0=- eth2=- br0=-");
	named(vmbus, "a -\nb -\n", "eth0=b eth1=a");
	named(xen, "a -\nb -\n", "eth0=b eth1=a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_debian),      cmocka_unit_test(test_rhel),     cmocka_unit_test(test_suse),
		cmocka_unit_test(test_manager),     cmocka_unit_test(test_networkd), cmocka_unit_test(test_netplan),
		cmocka_unit_test(test_netplan_odd), cmocka_unit_test(test_no_udev),  cmocka_unit_test(test_vlans),
		cmocka_unit_test(test_nothing),     cmocka_unit_test(test_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two Windows for the tests of what adapts them: a server of 2019 on VMware with a service of everything, and one of 2008 R2. */
#ifndef TESTS_ADAPT_WINDOWS_SERVER_H
#define TESTS_ADAPT_WINDOWS_SERVER_H

#include "adapt_windows.h"

#define SYSTEM "/Windows/System32/config/SYSTEM"
#define SOFTWARE "/Windows/System32/config/SOFTWARE"
#define NT "Microsoft\\Windows NT\\CurrentVersion"
#define CS1 "ControlSet001\\"
#define CS2 "ControlSet002\\"
#define NET "{4D36E972-E325-11CE-BFC1-08002BE10318}"
#define NIC "{0A1B2C3D-1111-2222-3333-444455556666}"
#define GONE_NIC "{55555555-1111-2222-3333-444455556666}" /* its device is no more */
#define OTHER "{99999999-1111-2222-3333-444455556666}"
#define HDC "Control\\Class\\{4D36E96A-E325-11CE-BFC1-08002BE10318}"

#define NSI6 "Control\\Nsi\\{eb004a01-9b1a-11d4-9123-0050047759bc}\\10"
/* 48 bytes with their NUL */
#define LASTING_64 "\377\377\377\377\377\377\377\377\1\0\0\0\1\0\0\0\100\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

#define REG_LAST { NULL, NULL, REG_END, NULL, 0 }

/* A server on VMware, with a service of everything. */
static const struct reg system_2019[] = {
	R_DWORD("Select", "Current", 1),
	R_DWORD("Select", "Default", 1),
	R_DWORD("Select", "Failed", 0),
	R_DWORD("Select", "LastKnownGood", 2),
	R_SZ("DriverDatabase", "Architecture", "x"),
	R_SZ(CS1 "Control\\Session Manager\\Environment", "PROCESSOR_ARCHITECTURE", "AMD64"),
	R_SZ(CS1 "Control\\ComputerName\\ComputerName", "ComputerName", "SRV"),
	R_SZ(CS1 "Control", "SystemStartOptions", " NOEXECUTE=OPTOUT"),
	R_DWORD(CS1 "Services\\storahci", "Start", 3),
	R_DWORD(CS1 "Services\\storahci\\StartOverride", "0", 3),
	R_SZ(CS1 "Services\\storahci", "Group", "SCSI Miniport"),
	R_DWORD(CS1 "Services\\storahci", "Tag", 64),
	R_DWORD(CS2 "Services\\storahci", "Start", 3),
	R_DWORD(CS1 "Services\\storvsc", "Start", 3),
	R_DWORD(CS1 "Services\\vmbus", "Start", 3),
	R_DWORD(CS1 "Services\\LSI_SAS", "Start", 0),
	R_SZ(CS1 "Services\\LSI_SAS", "Group", "SCSI miniport"),
	R_DWORD(CS1 "Services\\LSI_SAS", "Tag", 21),
	R_DWORD(CS1 "Services\\VMTools", "Start", 2),
	R_DWORD(CS2 "Services\\VMTools", "Start", 2),
	R_DWORD(CS1 "Services\\xenfilt", "Start", 0),
	R_DWORD(CS1 "Services\\vmicvss", "Start", 2),
	R_DWORD(CS1 "Services\\Netlogon", "Start", 2),
	R_MULTI(CS1 HDC, "UpperFilters", "xenfilt|goodfilt"),
	R_MULTI(CS1 HDC, "LowerFilters", "prl_strg"),
	{ CS1 "Control\\GroupOrderList", "SCSI miniport", REG_BIN, "\2\0\0\0\2\0\0\0\106\0\0\0", 12 },
	R_DWORD(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" NIC, "EnableDHCP", 0),
	R_MULTI(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" NIC, "IPAddress", "192.0.2.5|192.0.2.6|'; evil"),
	R_MULTI(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" NIC, "SubnetMask", "255.255.255.0|255.255.255.255|255.0.0.0"),
	R_MULTI(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" NIC, "DefaultGateway", "192.0.2.1"),
	R_MULTI(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" NIC, "DefaultGatewayMetric", "7"),
	R_SZ(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" NIC, "NameServer", "192.0.2.53,198.51.100.53"),
	R_DWORD(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" OTHER, "EnableDHCP", 1),
	R_SZ(CS1 "Control\\Network\\" NET "\\" NIC "\\Connection", "Name", "Ethernet0"),
	R_SZ(CS1 "Control\\Network\\" NET "\\" NIC "\\Connection", "PnpInstanceID", "PCI\\VEN_15AD&DEV_07B0\\4&1"),
	R_SZ(CS1 "Enum\\PCI\\VEN_15AD&DEV_07B0\\4&1", "Service", "vmxnet3ndis6"),
	R_SZ(CS1 "Control\\Class\\" NET "\\0007", "NetCfgInstanceId", NIC),
	R_DWORD(CS1 "Control\\Class\\" NET "\\0007", "NetLuidIndex", 0x8009),
	R_DWORD(CS1 "Control\\Class\\" NET "\\0007", "*IfType", 6),
	{ CS1 NSI6, "000000098000060020010DB8000000000000000000000005", REG_BIN, LASTING_64, 48 },
	{ CS1 NSI6, "0000000980000600fe800000000000000000000000000005", REG_BIN, LASTING_64, 48 }, /* of the link */
	{ CS1 NSI6, "000000088000060020010db8000000000000000000000006", REG_BIN, LASTING_64, 48 }, /* of another adapter */
	{ CS1 NSI6, "000000098000060020010db8000000000000000000000007", REG_BIN, LASTING_64, 16 }, /* cut off */
	{ CS1 NSI6, "0000000980000600'; evil", REG_BIN, LASTING_64, 48 },
	R_SZ(CS1 "Services\\Tcpip6\\Parameters\\Interfaces\\" NIC, "NameServer", "2001:db8::53"),
	R_DWORD(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" GONE_NIC, "EnableDHCP", 0),
	R_MULTI(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" GONE_NIC, "IPAddress", "203.0.113.9"),
	R_MULTI(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" GONE_NIC, "SubnetMask", "255.255.0.0"),
	R_SZ(CS1 "Control\\Network\\" NET "\\" GONE_NIC "\\Connection", "Name", "An old one"),
	{ CS1 "Control\\NetworkSetup2\\Interfaces\\" NIC "\\Kernel", "PermanentAddress", REG_BIN, "\0\x0c\x29\xaa\xbb\xcc", 6 },
	REG_LAST
};

static const struct reg software_2019[] = { R_SZ(NT, "ProductName", "Windows Server 2019 Standard"),
	                                    R_SZ(NT, "CurrentVersion", "6.3"),
	                                    R_DWORD(NT, "CurrentMajorVersionNumber", 10),
	                                    R_DWORD(NT, "CurrentMinorVersionNumber", 0),
	                                    R_SZ(NT, "CurrentBuildNumber", "17763"),
	                                    R_SZ(NT, "EditionID", "ServerStandard"),
	                                    R_SZ(NT, "InstallationType", "Server"),
	                                    R_EXPAND("Microsoft\\Windows\\CurrentVersion", "DevicePath", "%SystemRoot%\\inf"),
	                                    REG_LAST };

static const struct reg system_2008[] = {
	R_DWORD("Select", "Current", 1), R_DWORD("Select", "Default", 1),
	R_SZ(CS1 "Control\\Session Manager\\Environment", "PROCESSOR_ARCHITECTURE", "AMD64"),
	R_DWORD(CS1 "Services\\msahci", "Start", 3), R_DWORD(CS1 "Services\\atapi", "Start", 0),
	R_SZ(CS1 "Control\\CriticalDeviceDatabase\\primary_ide_channel", "Service", "own"),
	REG_LAST
};

static const struct reg software_2008[] = { R_SZ(NT, "ProductName", "Windows Server 2008 R2 Standard"),
	                                    R_SZ(NT, "CurrentVersion", "6.1"), R_SZ(NT, "CurrentBuildNumber", "7601"),
	                                    R_SZ(NT, "InstallationType", "Server"), REG_LAST };

/* ---------------------------------------------------------------- a guest and its drivers */

struct windows {
	struct guest g;
	struct facts f;
	struct adapt_options o;
	char drivers[80];
};

static inline void windows_make(struct windows *w, const struct reg *system_regs, const struct reg *software_regs)
{
	static const struct edit none[] = { { NULL, NULL, NULL } };
	char at[4096];
	vdisk_error err = { 0 };

	memset(w, 0, sizeof(*w));
	guest_make(&w->g, none);
	host_path(&w->g, SYSTEM, at);
	hive_write(at, system_regs);
	host_path(&w->g, SOFTWARE, at);
	hive_write(at, software_regs);
	w->f = (struct facts){ .kind = GUEST_WINDOWS, .esp = (char *)(uintptr_t)"" };
	w->o.targets = TARGET_KVM;
	if (windows_facts_read((struct windows_facts **)&w->f.windows, w->g.tree, &err) != 1)
		fail_msg("no facts: %s", err.message);
}

static inline void windows_destroy(struct windows *w)
{
	windows_facts_free(w->f.windows);
	guest_destroy(&w->g);
	if (*w->drivers) {
		char command[128];

		snprintf(command, sizeof(command), "rm -rf '%s'", w->drivers);
		assert_int_equal(system(command), 0);
	}
}

static inline void driver_put(struct windows *w, const char *path, const void *at, size_t len)
{
	char to[4096];
	FILE *f;

	if (!*w->drivers) {
		strcpy(w->drivers, "/tmp/vdisk-drivers-XXXXXX");
		assert_non_null(mkdtemp(w->drivers));
		w->o.drivers = w->drivers;
	}
	snprintf(to, sizeof(to), "%s/%s", w->drivers, path);
	host_folders(to);
	f = fopen(to, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(at, 1, len, f), len);
	fclose(f);
}

static inline void expect_refusal(struct windows *w, enum vdisk_error_kind kind, const char *part)
{
	vdisk_error err = { 0 };

	if (!step_windows(&w->g.plan, &w->f, &w->o, &err))
		fail_msg("not refused; due: %s", part);
	if (err.kind != kind || !strstr(err.message, part))
		fail_msg("due: %s: %s; it is: %s: %s", vdisk_error_kind_name(kind), part, vdisk_error_kind_name(err.kind),
		         err.message);
}

#endif

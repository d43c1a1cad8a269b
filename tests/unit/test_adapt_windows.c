/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows of several releases, as far as anybody looks: what is known of them, what is refused, and what their registry holds afterwards. */
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

#define REG_LAST { NULL, NULL, REG_END, NULL, 0 }

/* A server on VMware, with a service of everything. */
static const struct reg system_2019[] = {
	R_DWORD("Select", "Current", 1), R_DWORD("Select", "Default", 1), R_DWORD("Select", "Failed", 0), R_DWORD("Select", "LastKnownGood", 2),
	R_SZ("DriverDatabase", "Architecture", "x"),
	R_SZ(CS1 "Control\\Session Manager\\Environment", "PROCESSOR_ARCHITECTURE", "AMD64"),
	R_SZ(CS1 "Control\\ComputerName\\ComputerName", "ComputerName", "SRV"),
	R_SZ(CS1 "Control", "SystemStartOptions", " NOEXECUTE=OPTOUT"),
	R_DWORD(CS1 "Services\\storahci", "Start", 3), R_DWORD(CS1 "Services\\storahci\\StartOverride", "0", 3),
	R_SZ(CS1 "Services\\storahci", "Group", "SCSI Miniport"), R_DWORD(CS1 "Services\\storahci", "Tag", 64),
	R_DWORD(CS2 "Services\\storahci", "Start", 3),
	R_DWORD(CS1 "Services\\storvsc", "Start", 3), R_DWORD(CS1 "Services\\vmbus", "Start", 3),
	R_DWORD(CS1 "Services\\LSI_SAS", "Start", 0), R_SZ(CS1 "Services\\LSI_SAS", "Group", "SCSI miniport"),
	R_DWORD(CS1 "Services\\LSI_SAS", "Tag", 21),
	R_DWORD(CS1 "Services\\VMTools", "Start", 2), R_DWORD(CS2 "Services\\VMTools", "Start", 2),
	R_DWORD(CS1 "Services\\xenfilt", "Start", 0), R_DWORD(CS1 "Services\\vmicvss", "Start", 2),
	R_DWORD(CS1 "Services\\Netlogon", "Start", 2),
	R_MULTI(CS1 HDC, "UpperFilters", "xenfilt|goodfilt"), R_MULTI(CS1 HDC, "LowerFilters", "prl_strg"),
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
	R_DWORD(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" GONE_NIC, "EnableDHCP", 0),
	R_MULTI(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" GONE_NIC, "IPAddress", "203.0.113.9"),
	R_MULTI(CS1 "Services\\Tcpip\\Parameters\\Interfaces\\" GONE_NIC, "SubnetMask", "255.255.0.0"),
	R_SZ(CS1 "Control\\Network\\" NET "\\" GONE_NIC "\\Connection", "Name", "An old one"),
	{ CS1 "Control\\NetworkSetup2\\Interfaces\\" NIC "\\Kernel", "PermanentAddress", REG_BIN, "\0\x0c\x29\xaa\xbb\xcc", 6 },
	REG_LAST
};

static const struct reg software_2019[] = {
	R_SZ(NT, "ProductName", "Windows Server 2019 Standard"), R_SZ(NT, "CurrentVersion", "6.3"), R_DWORD(NT, "CurrentMajorVersionNumber", 10),
	R_DWORD(NT, "CurrentMinorVersionNumber", 0), R_SZ(NT, "CurrentBuildNumber", "17763"), R_SZ(NT, "EditionID", "ServerStandard"),
	R_SZ(NT, "InstallationType", "Server"),
	R_EXPAND("Microsoft\\Windows\\CurrentVersion", "DevicePath", "%SystemRoot%\\inf"),
	REG_LAST
};

static const struct reg system_2008[] = {
	R_DWORD("Select", "Current", 1), R_DWORD("Select", "Default", 1),
	R_SZ(CS1 "Control\\Session Manager\\Environment", "PROCESSOR_ARCHITECTURE", "AMD64"),
	R_DWORD(CS1 "Services\\msahci", "Start", 3), R_DWORD(CS1 "Services\\atapi", "Start", 0),
	R_SZ(CS1 "Control\\CriticalDeviceDatabase\\primary_ide_channel", "Service", "own"),
	REG_LAST
};

static const struct reg software_2008[] = {
	R_SZ(NT, "ProductName", "Windows Server 2008 R2 Standard"), R_SZ(NT, "CurrentVersion", "6.1"), R_SZ(NT, "CurrentBuildNumber", "7601"),
	R_SZ(NT, "InstallationType", "Server"),
	REG_LAST
};

/* ---------------------------------------------------------------- a guest and its drivers */

struct windows {
	struct guest g;
	struct facts f;
	struct adapt_options o;
	char drivers[80];
};

static void windows_make(struct windows *w, const struct reg *system_regs, const struct reg *software_regs)
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

static void windows_destroy(struct windows *w)
{
	windows_facts_free(w->f.windows);
	guest_destroy(&w->g);
	if (*w->drivers) {
		char command[128];

		snprintf(command, sizeof(command), "rm -rf '%s'", w->drivers);
		assert_int_equal(system(command), 0);
	}
}

static void driver_put(struct windows *w, const char *path, const void *at, size_t len)
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

/* The INFs are the shape of virtio-win's, with the words of their own. */
#define STORAGE_INF(service, device, subsys, version) \
	"; a comment\r\n[Version]\r\nSignature=\"$Windows NT$\"\r\nClass=SCSIAdapter\r\nClassGUID={4D36E97B-E325-11CE-BFC1-08002BE10318}\r\n" \
	"Provider=%V%\r\nDriverVer=01/02/2021,100.85.104.20700\r\nCatalogFile=" service ".cat\r\n" \
	"[SourceDisksFiles]\r\n" service ".sys = 1,,\r\n[Manufacturer]\r\n%V% = Models,NTamd64" version "\r\n" \
	"[Models.NTamd64" version "]\r\n%D% = scsi_inst, PCI\\VEN_1AF4&DEV_" device "&SUBSYS_" subsys "1af4&REV_00, PCI\\VEN_1AF4&DEV_" device "\r\n" \
	"[scsi_inst]\r\nCopyFiles=Files\r\n[Files]\r\n" service ".sys,,,2\r\n[scsi_inst.Services]\r\n" \
	"AddService = " service ", 0x00000002 , Service_Inst, Log\r\n[Service_Inst]\r\nServiceType=%ONE%\r\nStartType=%ZERO% ; boot\r\nErrorControl=%ONE%\r\n" \
	"ServiceBinary=%12%\\" service ".sys\r\nLoadOrderGroup=SCSI miniport\r\nAddReg=Params\r\n" \
	"[Params]\r\nHKR, \"Parameters\\PnpInterface\", \"5\", 0x00010001, 1\r\nHKR, \"Parameters\", \"BusType\", 0x00010001, 0x0000000A\r\n" \
	"[Strings]\r\nV=\"Somebody, \"\"Inc.\"\"\"\r\nD=\"A controller\"\r\nONE=1\r\nZERO=0\r\n"

#define NET_INF \
	"[version]\r\nClass=Net\r\nClassGUID={4d36e972-e325-11ce-bfc1-08002be10318}\r\nCatalogFile=netkvm.cat\r\n[Manufacturer]\r\nV=N, NTamd64\r\n" \
	"[N.NTamd64]\r\nD = k.ndi, PCI\\VEN_1AF4&DEV_1000\r\n[k.ndi]\r\nCopyFiles=k.Copy\r\n[k.Copy]\r\nnetkvm.sys,,,2\r\n[k.ndi.Services]\r\n" \
	"AddService=netkvm, 2, k.S\r\n[k.S]\r\nServiceType=1\r\nStartType=3\r\nErrorControl=1\r\nServiceBinary=%12%\\netkvm.sys\r\nLoadOrderGroup=NDIS\r\n"

static void drivers_make(struct windows *w, const char *system_name, const char *arch, unsigned machine, bool sealed, bool catalog)
{
	static const char blk[] = STORAGE_INF("viostor", "1001", "0002", ""), scsi[] = STORAGE_INF("vioscsi", "1004", "0008", ""), net[] = NET_INF;
	const struct { const char *name, *inf; size_t len; } all[] = {
		{ "viostor", blk, sizeof(blk) - 1 }, { "vioscsi", scsi, sizeof(scsi) - 1 }, { "NetKVM", net, sizeof(net) - 1 } };
	unsigned char b[1024];
	char path[300];

	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s/%s.inf", all[i].name, system_name, arch, all[i].name);
		driver_put(w, path, all[i].inf, all[i].len);
		snprintf(path, sizeof(path), "%s/%s/%s/%s.sys", all[i].name, system_name, arch, all[i].name);
		driver_put(w, path, b, driver_make(b, machine, sealed));
		snprintf(path, sizeof(path), "%s/%s/%s/%s.cat", all[i].name, system_name, arch, all[i].name);
		if (catalog)
			driver_put(w, path, "catalog", 7);
	}
}

static void expect_refusal(struct windows *w, enum vdisk_error_kind kind, const char *part)
{
	vdisk_error err = { 0 };

	if (!step_windows(&w->g.plan, &w->f, &w->o, &err))
		fail_msg("not refused; due: %s", part);
	if (err.kind != kind || !strstr(err.message, part))
		fail_msg("due: %s: %s; it is: %s: %s", vdisk_error_kind_name(kind), part, vdisk_error_kind_name(err.kind), err.message);
}

/* ---------------------------------------------------------------- facts */

static const struct windows_service *service_of(const struct windows_facts *w, const char *name, unsigned set)
{
	for (size_t i = 0; i < w->services_n; i++) {
		if (!strcmp(w->services[i].name, name) && w->services[i].set == set)
			return &w->services[i];
	}
	return NULL;
}

static void test_facts(void **state)
{
	struct windows w;
	const struct windows_facts *f;
	const struct windows_service *s;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	f = w.f.windows;
	assert_string_equal(f->folder, "/Windows");
	assert_string_equal(f->product, "Windows Server 2019 Standard");
	assert_string_equal(f->version, "10.0.17763");
	assert_string_equal(f->name, "2k19");
	assert_string_equal(f->arch, "x86_64");
	assert_string_equal(f->hostname, "SRV");
	assert_true(f->server && f->driver_database && f->closed);
	assert_int_equal(f->sets_n, 2);
	assert_int_equal(f->set_last_good, 2);
	s = service_of(f, "storahci", 1);
	assert_non_null(s);
	assert_int_equal(s->start, 3);
	assert_int_equal(s->start_override, 3);
	assert_int_equal(service_of(f, "storahci", 2)->start_override, UINT32_MAX);
	assert_string_equal(service_of(f, "VMTools", 1)->of, "vmware");
	assert_null(service_of(f, "Netlogon", 1));
	assert_int_equal(f->nics_n, 2); /* the third one has neither name nor address */
	assert_false(f->nics[1].present);
	assert_true(f->nics[0].present);
	assert_string_equal(f->nics[1].addresses, "203.0.113.9/16");
	assert_string_equal(f->nics[0].name, "Ethernet0");
	assert_string_equal(f->nics[0].mac, "00:0c:29:aa:bb:cc");
	assert_string_equal(f->nics[0].driver, "vmxnet3ndis6");
	assert_string_equal(f->nics[0].addresses, "192.0.2.5/24 192.0.2.6/32"); /* what is none is left out */
	assert_string_equal(f->nics[0].gateways, "192.0.2.1");
	assert_string_equal(f->nics[0].dns, "192.0.2.53 198.51.100.53");
	assert_int_equal(f->nics[0].metric, 7);
	windows_destroy(&w);
}

static void test_releases(void **state)
{
	static const struct { const char *version, *build, *type, *product, *name, *says; unsigned major; } all[] = {
		{ "6.1", "7601", "Client", "Windows 7 Professional", "w7", NULL, 0 }, { "6.1", "7601", "Server", "x", "2k8R2", NULL, 0 },
		{ "6.2", "9200", "Server Core", "x", "2k12", NULL, 0 },              { "6.3", "9600", "Client", "x", "w8.1", NULL, 0 },
		{ "6.3", "14393", "Server", "x", "2k16", NULL, 10 },                 { "6.3", "19045", "Client", "Windows 10 Pro", "w10", NULL, 10 },
		{ "6.3", "22631", "Client", "Windows 10 Pro", "w11", "Windows 11 Pro", 10 }, { "6.3", "20348", "Server", "x", "2k22", NULL, 10 },
		{ "6.3", "26100", "Server", "x", "2k25", NULL, 10 },                 { "6.0", "6002", "Server", "x", "", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct reg software[] = { R_SZ(NT, "CurrentVersion", all[i].version), R_SZ(NT, "CurrentBuildNumber", all[i].build),
			R_SZ(NT, "InstallationType", all[i].type), R_SZ(NT, "ProductName", all[i].product), R_DWORD(NT, "CurrentMajorVersionNumber", 10),
			REG_LAST };
		const struct windows_facts *f;
		struct windows w;

		if (!all[i].major)
			software[4].type = REG_END;
		windows_make(&w, system_2008, software);
		f = w.f.windows;
		if (strcmp(f->name, all[i].name) || strcmp(f->product, all[i].says ? all[i].says : all[i].product))
			fail_msg("%s.%s: due %s, %s; it is %s, %s", all[i].version, all[i].build, all[i].name, all[i].product, f->name, f->product);
		if (!*all[i].name)
			expect_refusal(&w, VDISK_UNSUPPORTED, "6.0.6002");
		windows_destroy(&w);
	}
}

static void test_no_windows(void **state)
{
	static const struct edit files[] = { { "/Windows/System32/config/SYSTEM", "no hive", NULL }, { "/etc/fstab", "", NULL }, { NULL, NULL, NULL } };
	struct windows_facts *f;
	vdisk_error err = { 0 };
	struct guest g;

	(void)state;
	guest_make(&g, files);
	assert_int_equal(windows_facts_read(&f, g.tree, &err), 0); /* one hive of two */
	host_write(&g, SOFTWARE, "x", 1, 0644);
	assert_int_equal(windows_facts_read(&f, g.tree, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_non_null(strstr(err.message, "SYSTEM is no registry hive (7 bytes)"));
	guest_destroy(&g);
}

/* ---------------------------------------------------------------- refusals */

static void text_set(char **slot, const char *text)
{
	free(*slot);
	*slot = strdup(text);
	assert_non_null(*slot);
}

static void test_refusals(void **state)
{
	struct windows w;
	struct windows_facts *f;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	f = w.f.windows;
	f->bitlocker = true;
	expect_refusal(&w, VDISK_REFUSED, "manage-bde -off");
	f->bitlocker = false;
	text_set(&f->encrypted, "partitions/2");
	expect_refusal(&w, VDISK_REFUSED, "BitLocker protects partitions/2");
	*f->encrypted = '\0';
	text_set(&f->dynamic, "disk 1");
	expect_refusal(&w, VDISK_REFUSED, "disk 1 is a dynamic disk");
	*f->dynamic = '\0';
	text_set(&f->unclean, "partitions/2");
	expect_refusal(&w, VDISK_REFUSED, "chkdsk /f");
	*f->unclean = '\0';
	f->closed = false;
	expect_refusal(&w, VDISK_REFUSED, "shutdown /s /t 0");
	f->closed = true;
	*f->arch = '\0';
	expect_refusal(&w, VDISK_UNSUPPORTED, "PROCESSOR_ARCHITECTURE");
	assert_int_equal(w.g.plan.n, 0);
	windows_destroy(&w);
}

/* From the files themselves: hiberfil.sys, a hive whose log was not written back, BitLocker's status. */
static void test_sleep(void **state)
{
	struct reg hiberboot[64];
	struct windows w;
	size_t n = 0;
	FILE *f;
	char at[4096];
	unsigned char head[512];

	(void)state;
	for (; system_2008[n].type; n++)
		hiberboot[n] = system_2008[n];
	hiberboot[n] = (struct reg)R_DWORD(CS1 "Control\\Session Manager\\Power", "HiberbootEnabled", 1);
	hiberboot[n + 1] = (struct reg)REG_LAST;
	windows_make(&w, hiberboot, software_2008); /* as on every server: the value, and no file */
	guest_step(&w.g, step_windows, &w.f, &w.o);
	host_write(&w.g, "/HIBERFIL.SYS", "wake....", 8, 0644);
	windows_facts_free(w.f.windows);
	assert_int_equal(windows_facts_read((struct windows_facts **)&w.f.windows, w.g.tree, NULL), 1);
	expect_refusal(&w, VDISK_REFUSED, "Fast Startup is on");
	host_write(&w.g, "/HIBERFIL.SYS", "HIBR....", 8, 0644);
	windows_facts_free(w.f.windows);
	assert_int_equal(windows_facts_read((struct windows_facts **)&w.f.windows, w.g.tree, NULL), 1);
	expect_refusal(&w, VDISK_REFUSED, "powercfg /h off");
	host_path(&w.g, "/HIBERFIL.SYS", at);
	assert_int_equal(unlink(at), 0);
	host_path(&w.g, SYSTEM, at);
	f = fopen(at, "r+");
	assert_non_null(f);
	assert_int_equal(fread(head, 1, sizeof(head), f), sizeof(head));
	head[508] ^= (unsigned char)(head[4] ^ 99); /* the sum is of all words, one over the other */
	head[4] = 99; /* the first sequence number is ahead of the second */
	rewind(f);
	assert_int_equal(fwrite(head, 1, sizeof(head), f), sizeof(head));
	fclose(f);
	windows_facts_free(w.f.windows);
	assert_int_equal(windows_facts_read((struct windows_facts **)&w.f.windows, w.g.tree, NULL), 1);
	expect_refusal(&w, VDISK_REFUSED, "registry was not closed cleanly");
	windows_destroy(&w);
}

/* ---------------------------------------------------------------- the registry */

static void test_start_types(void **state)
{
	struct windows w;
	hive_h *h;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	w.o.targets = TARGET_KVM | TARGET_HYPERV;
	guest_step(&w.g, step_windows, &w.f, &w.o);
	h = hive_after(&w.g, SYSTEM);
	expect_reg(h, CS1 "Services\\storahci", "Start", "0");
	expect_reg(h, CS1 "Services\\storahci\\StartOverride", "0", "0");
	expect_reg(h, CS2 "Services\\storahci", "Start", "0");
	expect_reg(h, CS1 "Services\\storvsc", "Start", "0");
	expect_reg(h, CS1 "Services\\vmbus", "Start", "0");
	expect_reg(h, CS1 "Services\\LSI_SAS", "Start", "0");
	expect_reg(h, CS1 "Services\\VMTools", "Start", "4");
	expect_reg(h, CS2 "Services\\VMTools", "Start", "4");
	expect_reg(h, CS1 "Services\\xenfilt", "Start", "4");
	expect_reg(h, CS1 "Services\\vmicvss", "Start", "2"); /* Hyper-V is a target */
	expect_reg(h, CS1 "Services\\Netlogon", "Start", "2");
	expect_reg(h, CS1 "Services\\msahci", "Start", "(none)"); /* not invented */
	expect_reg(h, CS1 HDC, "UpperFilters", "goodfilt");
	expect_reg(h, CS1 HDC, "LowerFilters", "");
	expect_reg(h, CS1 "Control\\CriticalDeviceDatabase\\PCI#CC_010601", "Service", "(none)");
	hivex_close(h);
	guest_remarks(&w.g, "without --drivers");
	guest_remarks(&w.g, "VMware Tools are turned off");
	assert_non_null(strstr(plan_find(&w.g.plan, SYSTEM)->notes.at, "HKLM\\SYSTEM\\ControlSet001\\Services\\storahci: Start = 0, was 3\n"));
	guest_apply(&w.g);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	guest_idle(&w.g);
	windows_destroy(&w);
}

static void test_stays_vmware(void **state)
{
	struct windows w;
	hive_h *h;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	w.o.targets = TARGET_VMWARE;
	guest_step(&w.g, step_windows, &w.f, &w.o);
	h = hive_after(&w.g, SYSTEM);
	expect_reg(h, CS1 "Services\\VMTools", "Start", "2");
	expect_reg(h, CS1 "Services\\vmicvss", "Start", "3");
	expect_reg(h, CS1 "Services\\storvsc", "Start", "3");
	hivex_close(h);
	windows_destroy(&w);
}

static void test_firstboot(void **state)
{
	struct windows w;
	struct bytes text = { 0 };
	hive_h *h;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	h = hive_after(&w.g, SYSTEM);
	expect_reg(h, CS1 "Services\\vdisk-firstboot", "Type", "16");
	expect_reg(h, CS1 "Services\\vdisk-firstboot", "Start", "2");
	expect_reg(h, CS2 "Services\\vdisk-firstboot", "ImagePath", "%SystemRoot%\\System32\\cmd.exe /c start \"vdisk\" /min "
		"%SystemRoot%\\System32\\cmd.exe /c %SystemRoot%\\vdisk\\firstboot.cmd");
	expect_reg(h, CS1 "Services\\vdisk-firstboot\\Parameters", "CommandLine", "(none)");
	hivex_close(h);
	assert_int_equal(w.g.plan.view.ops->read(&w.g.plan.view, "/Windows/vdisk/network.ps1", 1 << 20, &text, NULL), 1);
	if (!strstr(text.at, "@{ Guid = '" NIC "'; Mac = '00:0c:29:aa:bb:cc'; To = $null; Address = @('192.0.2.5', '192.0.2.6'); "
	                     "Mask = @('255.255.255.0', '255.255.255.255'); Gateway = @('192.0.2.1'); Metric = 7; "
	                     "Dns = @('192.0.2.53', '198.51.100.53') }\r\n)"))
		fail_msg("%s", text.at);
	assert_null(strstr(text.at, "evil"));
	assert_null(strstr(text.at, "203.0.113.9"));
	bytes_clear(&text);
	assert_int_equal(w.g.plan.view.ops->read(&w.g.plan.view, "/Windows/vdisk/firstboot.cmd", 1 << 20, &text, NULL), 1);
	assert_non_null(strstr(text.at, "network.ps1"));
	assert_null(strstr(text.at, "pnputil"));
	for (size_t i = 1; i < text.len; i++)
		assert_true(text.at[i] != '\n' || text.at[i - 1] == '\r');
	bytes_destroy(&text);
	windows_destroy(&w);
}

static void test_service_tool(void **state)
{
	struct windows w;
	hive_h *h;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	driver_put(&w, "rhsrvany.exe", "MZ....", 6);
	w.o.drivers = NULL;
	strcat(w.drivers, "/rhsrvany.exe");
	w.o.service_tool = w.drivers;
	guest_step(&w.g, step_windows, &w.f, &w.o);
	h = hive_after(&w.g, SYSTEM);
	expect_reg(h, CS1 "Services\\vdisk-firstboot", "ImagePath", "%SystemRoot%\\vdisk\\rhsrvany.exe -s vdisk-firstboot");
	expect_reg(h, CS1 "Services\\vdisk-firstboot\\Parameters", "CommandLine", "cmd.exe /c \"%SystemRoot%\\vdisk\\firstboot.cmd\"");
	hivex_close(h);
	guest_expect(&w.g, "/Windows/vdisk/rhsrvany.exe", "MZ....");
	*strrchr(w.drivers, '/') = '\0';
	windows_destroy(&w);
}

/* ---------------------------------------------------------------- drivers */

static void test_drivers_database(void **state)
{
#define PACKAGE "DriverDatabase\\DriverPackages\\vdisk-viostor.inf_tmp"
	struct windows w;
	const struct change *c;
	hive_h *h;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	host_write(&w.g, "/Windows/System32/DRIVERS/VIOSTOR.SYS", "old", 3, 0600);
	host_write(&w.g, "/Windows/System32/catroot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}/x.cat", "x", 1, 0644);
	drivers_make(&w, "2k19", "amd64", 0x8664, true, true);
	drivers_make(&w, "w7", "x86", 0x14c, true, true);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	c = plan_find(&w.g.plan, "/Windows/System32/DRIVERS/VIOSTOR.SYS"); /* as the guest spells it */
	assert_non_null(c);
	assert_int_equal(c->content.len, 1024);
	assert_non_null(plan_find(&w.g.plan, "/Windows/System32/DRIVERS/vioscsi.sys"));
	assert_null(plan_find(&w.g.plan, "/Windows/System32/DRIVERS/netkvm.sys"));
	assert_non_null(plan_find(&w.g.plan, "/Windows/Drivers/VirtIO/netkvm.inf"));
	assert_non_null(plan_find(&w.g.plan, "/Windows/Drivers/VirtIO/netkvm.sys"));
	assert_non_null(plan_find(&w.g.plan, "/Windows/System32/catroot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}/vdisk-viostor.cat"));
	h = hive_after(&w.g, SYSTEM);
	for (unsigned set = 1; set <= 2; set++) {
		const char *key = set == 1 ? CS1 "Services\\viostor" : CS2 "Services\\viostor";

		expect_reg(h, key, "Type", "1");
		expect_reg(h, key, "Start", "0");
		expect_reg(h, key, "ErrorControl", "1");
		expect_reg(h, key, "Group", "SCSI miniport");
		expect_reg(h, key, "ImagePath", "system32\\drivers\\viostor.sys");
		/* 70 is in the group's list, 64 a service's; one driver comes after the other */
		expect_reg(h, key, "Tag", set == 1 ? "72" : "2");
		expect_reg(h, set == 1 ? CS1 "Services\\viostor\\Parameters\\PnpInterface" : CS2 "Services\\viostor\\Parameters\\PnpInterface", "5", "1");
	}
	expect_reg(h, CS1 "Services\\vioscsi", "Tag", "71");
	expect_reg(h, CS1 "Services\\vioscsi\\Parameters", "BusType", "10");
	expect_reg(h, CS1 "Control\\GroupOrderList", "SCSI miniport", "020000000200000046000000");
	expect_reg(h, "DriverDatabase\\DeviceIds\\PCI\\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00", "vdisk-viostor.inf", "01ff0000");
	expect_reg(h, "DriverDatabase\\DeviceIds\\PCI\\VEN_1AF4&DEV_1001", "vdisk-viostor.inf", "02ff0000");
	expect_reg(h, "DriverDatabase\\DriverInfFiles\\vdisk-viostor.inf", "", "vdisk-viostor.inf_tmp");
	expect_reg(h, "DriverDatabase\\DriverInfFiles\\vdisk-viostor.inf", "Active", "vdisk-viostor.inf_tmp");
	expect_reg(h, "DriverDatabase\\DriverInfFiles\\vdisk-viostor.inf", "Configurations", "scsi_inst");
	expect_reg(h, PACKAGE, "Version", "00ff0900000000007be9364d25e3ce11bfc108002be10318000000000000000000000000000000000000000000000000");
	expect_reg(h, PACKAGE "\\Configurations\\scsi_inst", "Service", "viostor");
	expect_reg(h, PACKAGE "\\Configurations\\scsi_inst", "ConfigFlags", "0");
	expect_reg(h, PACKAGE "\\Descriptors\\PCI\\VEN_1AF4&DEV_1001", "Configuration", "scsi_inst");
	expect_reg(h, CS1 "Control\\CriticalDeviceDatabase\\PCI#VEN_1AF4&DEV_1001", "Service", "(none)");
	expect_reg(h, CS1 "Services\\netkvm", "Start", "(none)"); /* Windows installs that itself */
	hivex_close(h);
	h = hive_after(&w.g, SOFTWARE);
	expect_reg(h, "Microsoft\\Windows\\CurrentVersion", "DevicePath", "%SystemRoot%\\inf;%SystemRoot%\\Drivers\\VirtIO");
	hivex_close(h);
	guest_apply(&w.g);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	guest_idle(&w.g);
	windows_destroy(&w);
}

static void test_drivers_critical(void **state)
{
	struct windows w;
	hive_h *h;

	(void)state;
	windows_make(&w, system_2008, software_2008);
	drivers_make(&w, "2k8R2", "amd64", 0x8664, true, false);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	h = hive_after(&w.g, SYSTEM);
	expect_reg(h, CS1 "Control\\CriticalDeviceDatabase\\PCI#VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00", "Service", "viostor");
	expect_reg(h, CS1 "Control\\CriticalDeviceDatabase\\PCI#VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00", "ClassGUID",
		"{4D36E97B-E325-11CE-BFC1-08002BE10318}");
	expect_reg(h, CS1 "Control\\CriticalDeviceDatabase\\PCI#VEN_1AF4&DEV_1004", "Service", "vioscsi");
	expect_reg(h, CS1 "Control\\CriticalDeviceDatabase\\PCI#CC_010601", "Service", "msahci");
	expect_reg(h, CS1 "Control\\CriticalDeviceDatabase\\primary_ide_channel", "Service", "own");
	expect_reg(h, CS1 "Control\\CriticalDeviceDatabase\\secondary_ide_channel", "Service", "atapi");
	expect_reg(h, CS1 "Services\\msahci", "Start", "0");
	assert_int_equal(reg_key(h, "DriverDatabase", false), 0);
	hivex_close(h);
	guest_remarks(&w.g, "names viostor.cat, which is not in its folder");
	windows_destroy(&w);
}

static void test_drivers_refused(void **state)
{
	struct windows w;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	driver_put(&w, "readme.txt", "x", 1);
	expect_refusal(&w, VDISK_INVALID, "holds no driver package");
	drivers_make(&w, "2k19", "x86", 0x14c, true, true);
	expect_refusal(&w, VDISK_REFUSED, "for x86 alone, and Windows is one for amd64");
	drivers_make(&w, "w7", "amd64", 0x8664, true, true);
	expect_refusal(&w, VDISK_REFUSED, "for x86 alone"); /* and none for 2k19 */
	windows_destroy(&w);

	windows_make(&w, system_2019, software_2019);
	drivers_make(&w, "w7", "amd64", 0x8664, true, true);
	expect_refusal(&w, VDISK_UNSUPPORTED, "but for w7");
	windows_destroy(&w);

	windows_make(&w, system_2019, software_2019);
	drivers_make(&w, "2k19", "amd64", 0x14c, true, true); /* the folder lies */
	expect_refusal(&w, VDISK_REFUSED, "is a driver for x86, and Windows is one for amd64");
	windows_destroy(&w);

	windows_make(&w, system_2019, software_2019);
	drivers_make(&w, "2k19", "amd64", 0x8664, false, false);
	expect_refusal(&w, VDISK_REFUSED, "is not signed");
	((struct windows_facts *)w.f.windows)->test_signing = true;
	guest_step(&w.g, step_windows, &w.f, &w.o);
	windows_destroy(&w);

	windows_make(&w, system_2019, software_2019);
	drivers_make(&w, "2k19", "amd64", 0x8664, true, true);
	w.o.targets = TARGET_VMWARE; /* virtio is not what it shows */
	expect_refusal(&w, VDISK_UNSUPPORTED, "holds no drivers for Windows Server 2019 Standard");
	driver_put(&w, "viostor/2k19/amd64/viostor.sys", "MZ", 2);
	w.o.targets = TARGET_KVM;
	expect_refusal(&w, VDISK_CORRUPT, "viostor.sys: is no Windows driver");
	windows_destroy(&w);
}

/* The next best Windows' drivers, a folder that names nothing, the layout of the RPM. */
static void test_drivers_layouts(void **state)
{
	static const char inf[] = STORAGE_INF("viostor", "1001", "0002", ".10.0"), later[] = STORAGE_INF("viostor", "1001", "0002", ".10.0...20000");
	unsigned char b[1024];
	struct windows w;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	drivers_make(&w, "w10", "amd64", 0x8664, true, true);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	guest_remarks(&w.g, "/viostor/w10/amd64/viostor.inf is the one for w10: there is none for 2k19");
	drivers_make(&w, "drivers/AMD64/Win2019", "x", 0x8664, true, true);
	plan_destroy(&w.g.plan);
	plan_init(&w.g.plan, w.g.tree);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	assert_null(strstr(w.g.plan.remarks.at, "there is none for 2k19"));
	windows_destroy(&w);

	windows_make(&w, system_2019, software_2019);
	driver_put(&w, "viostor.sys", b, driver_make(b, 0x8664, true));
	driver_put(&w, "viostor.inf", later, sizeof(later) - 1); /* for a build to come */
	expect_refusal(&w, VDISK_INVALID, "holds no driver package");
	driver_put(&w, "viostor.inf", inf, sizeof(inf) - 1);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	assert_non_null(plan_find(&w.g.plan, "/Windows/System32/drivers/viostor.sys"));
	windows_destroy(&w);
}

/* The same from an ISO; what is named for others is not even read. */
static void test_drivers_iso(void **state)
{
	struct windows w;
	char iso[120], command[400];

	(void)state;
	windows_make(&w, system_2019, software_2019);
	drivers_make(&w, "w7", "amd64", 0x8664, true, true);
	snprintf(iso, sizeof(iso), "%s/../%s.iso", w.drivers, strrchr(w.drivers, '/') + 1);
	snprintf(command, sizeof(command), "genisoimage -quiet -R -J -cache-inodes -o %s %s 2>/dev/null", iso, w.drivers);
	if (system(command)) {
		windows_destroy(&w);
		print_message("no genisoimage\n");
		skip();
	}
	w.o.drivers = iso;
	expect_refusal(&w, VDISK_UNSUPPORTED, "but for w7");
	drivers_make(&w, "2k19", "amd64", 0x8664, true, true);
	assert_int_equal(system(command), 0);
	w.o.drivers = iso;
	guest_step(&w.g, step_windows, &w.f, &w.o);
	assert_int_equal(plan_find(&w.g.plan, "/Windows/System32/drivers/viostor.sys")->content.len, 1024);
	assert_non_null(plan_find(&w.g.plan, "/Windows/Drivers/VirtIO/netkvm.cat"));
	assert_int_equal(unlink(iso), 0);
	windows_destroy(&w);
}

/* Bytes of both hives changed: it is read, refused or adapted, and ends. */
static void test_any_hive(void **state)
{
	const char *given = getenv("VDISK_SEED"), *rounds_given = getenv("VDISK_ITERATIONS");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : 20210104, rounds = rounds_given ? (unsigned)strtoul(rounds_given, NULL, 0) : 300;
	struct windows w;
	static unsigned char whole[2][1 << 20], b[1 << 20];
	size_t len[2];

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	windows_make(&w, system_2019, software_2019);
	drivers_make(&w, "2k19", "amd64", 0x8664, true, true);
	for (unsigned k = 0; k < 2; k++) {
		char at[4096];
		FILE *f;

		host_path(&w.g, k ? SOFTWARE : SYSTEM, at);
		f = fopen(at, "r");
		assert_non_null(f);
		len[k] = fread(whole[k], 1, sizeof(whole[k]), f);
		fclose(f);
	}
	for (unsigned round = 0; round < rounds; round++) {
		unsigned k = (unsigned)rand() % 4 == 0;
		vdisk_error err = { 0 };

		memcpy(b, whole[k], len[k]);
		for (unsigned n = 1 + (unsigned)rand() % 6; n; n--)
			b[4096 + (size_t)rand() % (len[k] - 4096)] = (unsigned char)(rand() % 3 ? rand() : 0xff);
		host_write(&w.g, SYSTEM, (const char *)(k ? whole[0] : b), len[0], 0644);
		host_write(&w.g, SOFTWARE, (const char *)(k ? b : whole[1]), len[1], 0644);
		windows_facts_free(w.f.windows);
		w.f.windows = NULL;
		if (windows_facts_read((struct windows_facts **)&w.f.windows, w.g.tree, &err) == 1 && step_windows(&w.g.plan, &w.f, &w.o, &err) && !*err.message)
			fail_msg("round %u: refused without a word", round);
		plan_destroy(&w.g.plan);
		plan_init(&w.g.plan, w.g.tree);
	}
	windows_destroy(&w);
}

static void test_loader(void **state)
{
	struct windows w;

	(void)state;
	windows_make(&w, system_2019, software_2019);
	host_write(&w.g, "/esp/EFI/MICROSOFT/boot/bootmgfw.efi", "loader", 6, 0644);
	w.f.esp = (char *)(uintptr_t)"/esp";
	guest_step(&w.g, step_windows, &w.f, &w.o);
	guest_expect(&w.g, "/esp/EFI/Boot/bootx64.efi", "loader");
	host_write(&w.g, "/esp/EFI/BOOT/BOOTX64.EFI", "own", 3, 0644);
	plan_destroy(&w.g.plan);
	plan_init(&w.g.plan, w.g.tree);
	guest_step(&w.g, step_windows, &w.f, &w.o);
	guest_expect(&w.g, "/esp/EFI/BOOT/BOOTX64.EFI", "own");
	windows_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts), cmocka_unit_test(test_releases), cmocka_unit_test(test_no_windows), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_sleep), cmocka_unit_test(test_start_types), cmocka_unit_test(test_stays_vmware), cmocka_unit_test(test_firstboot),
		cmocka_unit_test(test_service_tool), cmocka_unit_test(test_drivers_database), cmocka_unit_test(test_drivers_critical),
		cmocka_unit_test(test_drivers_refused), cmocka_unit_test(test_drivers_layouts), cmocka_unit_test(test_drivers_iso),
		cmocka_unit_test(test_loader), cmocka_unit_test(test_any_hive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drivers put into a Windows: from a folder in each of the layouts that virtio-win had, and from an ISO; into the registry of
   systems with and without a driver database; what is refused; and any hive at all. */
#include "adapt_windows_server.h"

/* The INFs are the shape of virtio-win's, with the words of their own. */
#define STORAGE_INF(service, device, subsys, version) \
	"; a comment\r\n[Version]\r\nSignature=\"$Windows NT$\"\r\nClass=SCSIAdapter\r\nClassGUID={4D36E97B-E325-11CE-BFC1-08002BE10318}\r\n" \
	"Provider=%V%\r\nDriverVer=01/02/2021,100.85.104.20700\r\nCatalogFile=" service ".cat\r\n" \
	"[SourceDisksFiles]\r\n" service ".sys = 1,,\r\n[Manufacturer]\r\n%V% = Models,NTamd64" version "\r\n" \
	"[Models.NTamd64" version "]\r\n%D% = scsi_inst, PCI\\VEN_1AF4&DEV_" device "&SUBSYS_" subsys \
	"1af4&REV_00, PCI\\VEN_1AF4&DEV_" device "\r\n" \
	"[scsi_inst]\r\nCopyFiles=Files\r\n[Files]\r\n" service ".sys,,,2\r\n[scsi_inst.Services]\r\n" \
	"AddService = " service \
	", 0x00000002 , Service_Inst, Log\r\n[Service_Inst]\r\nServiceType=%ONE%\r\nStartType=%ZERO% ; boot\r\nErrorControl=%ONE%\r\n" \
	"ServiceBinary=%12%\\" service ".sys\r\nLoadOrderGroup=SCSI miniport\r\nAddReg=Params\r\n" \
	"[Params]\r\nHKR, \"Parameters\\PnpInterface\", \"5\", 0x00010001, 1\r\nHKR, \"Parameters\", \"BusType\", 0x00010001, 0x0000000A\r\n" \
	"[Strings]\r\nV=\"Somebody, \"\"Inc.\"\"\"\r\nD=\"A controller\"\r\nONE=1\r\nZERO=0\r\n"

#define NET_INF \
	"[version]\r\nClass=Net\r\nClassGUID={4d36e972-e325-11ce-bfc1-08002be10318}\r\nCatalogFile=netkvm.cat\r\n[Manufacturer]\r\nV=N, NTamd64\r\n" \
	"[N.NTamd64]\r\nD = k.ndi, PCI\\VEN_1AF4&DEV_1000\r\n[k.ndi]\r\nCopyFiles=k.Copy\r\n[k.Copy]\r\nnetkvm.sys,,,2\r\n[k.ndi.Services]\r\n" \
	"AddService=netkvm, 2, k.S\r\n[k.S]\r\nServiceType=1\r\nStartType=3\r\nErrorControl=1\r\nServiceBinary=%12%\\netkvm.sys\r\nLoadOrderGroup=NDIS\r\n"

static void drivers_make(struct windows *w, const char *system_name, const char *arch, unsigned machine, bool sealed, bool catalog)
{
	static const char blk[] = STORAGE_INF("viostor", "1001", "0002", ""), scsi[] = STORAGE_INF("vioscsi", "1004", "0008", ""),
			  net[] = NET_INF;
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
		expect_reg(h,
		           set == 1 ? CS1 "Services\\viostor\\Parameters\\PnpInterface"
		                    : CS2 "Services\\viostor\\Parameters\\PnpInterface",
		           "5", "1");
	}
	expect_reg(h, CS1 "Services\\vioscsi", "Tag", "71");
	expect_reg(h, CS1 "Services\\vioscsi\\Parameters", "BusType", "10");
	expect_reg(h, CS1 "Control\\GroupOrderList", "SCSI miniport", "020000000200000046000000");
	expect_reg(h, "DriverDatabase\\DeviceIds\\PCI\\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00", "vdisk-viostor.inf", "01ff0000");
	expect_reg(h, "DriverDatabase\\DeviceIds\\PCI\\VEN_1AF4&DEV_1001", "vdisk-viostor.inf", "02ff0000");
	expect_reg(h, "DriverDatabase\\DriverInfFiles\\vdisk-viostor.inf", "", "vdisk-viostor.inf_tmp");
	expect_reg(h, "DriverDatabase\\DriverInfFiles\\vdisk-viostor.inf", "Active", "vdisk-viostor.inf_tmp");
	expect_reg(h, "DriverDatabase\\DriverInfFiles\\vdisk-viostor.inf", "Configurations", "scsi_inst");
	expect_reg(h, PACKAGE, "Version",
	           "00ff0900000000007be9364d25e3ce11bfc108002be10318000000000000000000000000000000000000000000000000");
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
	static const char inf[] = STORAGE_INF("viostor", "1001", "0002", ".10.0"),
			  later[] = STORAGE_INF("viostor", "1001", "0002", ".10.0...20000");
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
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : 20210104,
		 rounds = rounds_given ? (unsigned)strtoul(rounds_given, NULL, 0) : 300;
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
		if (windows_facts_read((struct windows_facts **)&w.f.windows, w.g.tree, &err) == 1 &&
		    step_windows(&w.g.plan, &w.f, &w.o, &err) && !*err.message)
			fail_msg("round %u: refused without a word", round);
		plan_destroy(&w.g.plan);
		plan_init(&w.g.plan, w.g.tree);
	}
	windows_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drivers_database), cmocka_unit_test(test_drivers_critical),
		cmocka_unit_test(test_drivers_refused),  cmocka_unit_test(test_drivers_layouts),
		cmocka_unit_test(test_drivers_iso),      cmocka_unit_test(test_any_hive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

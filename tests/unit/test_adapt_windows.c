/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows of several releases, as far as anybody looks: what is known of them, what is refused, and what their registry holds
   afterwards. */
#include "adapt_windows_server.h"

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
	assert_string_equal(f->nics[0].addresses, "192.0.2.5/24 192.0.2.6/32 2001:db8::5/64"); /* what is none is left out */
	assert_string_equal(f->nics[0].gateways, "192.0.2.1");
	assert_string_equal(f->nics[0].dns, "192.0.2.53 198.51.100.53 2001:db8::53");
	assert_int_equal(f->nics[0].metric, 7);
	windows_destroy(&w);
}

static void test_releases(void **state)
{
	static const struct { const char *version, *build, *type, *product, *name, *says; unsigned major;
	} all[] = {
		{ "6.1", "7601", "Client", "Windows 7 Professional", "w7", NULL, 0 },
		{ "6.1", "7601", "Server", "x", "2k8R2", NULL, 0 },
		{ "6.2", "9200", "Server Core", "x", "2k12", NULL, 0 },
		{ "6.3", "9600", "Client", "x", "w8.1", NULL, 0 },
		{ "6.3", "14393", "Server", "x", "2k16", NULL, 10 },
		{ "6.3", "19045", "Client", "Windows 10 Pro", "w10", NULL, 10 },
		{ "6.3", "22631", "Client", "Windows 10 Pro", "w11", "Windows 11 Pro", 10 },
		{ "6.3", "20348", "Server", "x", "2k22", NULL, 10 },
		{ "6.3", "26100", "Server", "x", "2k25", NULL, 10 },
		{ "6.0", "6002", "Server", "x", "", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		struct reg software[] = {
			R_SZ(NT, "CurrentVersion", all[i].version),   R_SZ(NT, "CurrentBuildNumber", all[i].build),
			R_SZ(NT, "InstallationType", all[i].type),    R_SZ(NT, "ProductName", all[i].product),
			R_DWORD(NT, "CurrentMajorVersionNumber", 10), REG_LAST
		};
		const struct windows_facts *f;
		struct windows w;

		if (!all[i].major)
			software[4].type = REG_END;
		windows_make(&w, system_2008, software);
		f = w.f.windows;
		if (strcmp(f->name, all[i].name) || strcmp(f->product, all[i].says ? all[i].says : all[i].product))
			fail_msg("%s.%s: due %s, %s; it is %s, %s", all[i].version, all[i].build, all[i].name, all[i].product,
			         f->name, f->product);
		if (!*all[i].name)
			expect_refusal(&w, VDISK_UNSUPPORTED, "6.0.6002");
		windows_destroy(&w);
	}
}

static void test_no_windows(void **state)
{
	static const struct edit files[] = { { "/Windows/System32/config/SYSTEM", "no hive", NULL },
		                             { "/etc/fstab", "", NULL },
		                             { NULL, NULL, NULL } };
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
	assert_non_null(strstr(plan_find(&w.g.plan, SYSTEM)->notes.at,
	                       "HKLM\\SYSTEM\\ControlSet001\\Services\\storahci: Start = 0, was 3\n"));
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
	if (!strstr(text.at,
	            "@{ Guid = '" NIC "'; Mac = '00:0c:29:aa:bb:cc'; To = $null; Address = @('192.0.2.5', '192.0.2.6'); "
	            "Mask = @('255.255.255.0', '255.255.255.255'); Gateway = @('192.0.2.1'); Metric = 7; "
	            "Dns = @('192.0.2.53', '198.51.100.53'); Address6 = @('2001:db8::5/64'); Dns6 = @('2001:db8::53') }\r\n)"))
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
	expect_reg(h, CS1 "Services\\vdisk-firstboot\\Parameters", "CommandLine",
	           "cmd.exe /c \"%SystemRoot%\\vdisk\\firstboot.cmd\"");
	hivex_close(h);
	guest_expect(&w.g, "/Windows/vdisk/rhsrvany.exe", "MZ....");
	*strrchr(w.drivers, '/') = '\0';
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
		cmocka_unit_test(test_facts),        cmocka_unit_test(test_releases),  cmocka_unit_test(test_no_windows),
		cmocka_unit_test(test_refusals),     cmocka_unit_test(test_sleep),     cmocka_unit_test(test_start_types),
		cmocka_unit_test(test_stays_vmware), cmocka_unit_test(test_firstboot), cmocka_unit_test(test_service_tool),
		cmocka_unit_test(test_loader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

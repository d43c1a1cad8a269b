/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drivers' setup files: the text, what it means for one Windows, and that no damage of one does more than be refused. */
#include "inf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void parse(struct inf *f, const char *text)
{
	vdisk_error err = { 0 };

	if (inf_parse(f, "x.inf", text, strlen(text), &err))
		fail_msg("%s", err.message);
}

static void expect_text(const char *due, const char *now)
{
	if (!now || strcmp(due, now))
		fail_msg("due \"%s\", and it is \"%s\"", due, now ? now : "(none)");
}

static void test_text(void **state)
{
	struct inf f;
	const struct inf_section *s;

	(void)state;
	parse(&f,
	      "junk before = 1\n; [no]\n[ One ]\n[one]\r\nA = 1 , \"two, ; \"\"2\"\"\" ;c\r\n  B=%x%%%%12%\\f,  %nobody%\r\nplain, , last  \r\n"
	      "long = a, \\\r\n  b, \\ ; comment\r\n c\r\n[STRINGS]\nx = \" sp ace \" \n[One]\nagain=%X%\n");
	s = inf_section(&f, "ONE");
	assert_non_null(s);
	assert_int_equal(s->n, 5);
	expect_text("A", s->lines[0].key);
	assert_int_equal(s->lines[0].n, 2);
	expect_text("1", s->lines[0].values[0]);
	expect_text("two, ; \"2\"", s->lines[0].values[1]);
	expect_text(" sp ace %%12%\\f", s->lines[1].values[0]);
	expect_text("%nobody%", s->lines[1].values[1]);
	expect_text("", s->lines[2].key);
	assert_int_equal(s->lines[2].n, 3);
	expect_text("", s->lines[2].values[1]);
	expect_text("last", s->lines[2].values[2]);
	assert_int_equal(s->lines[3].n, 3);
	expect_text("c", s->lines[3].values[2]);
	expect_text(" sp ace ", inf_value(&f, "one", "AGAIN"));
	inf_destroy(&f);
}

/* Which section and which string is found, among many that are nearly it; and how many sections there may be. */
static void test_many(void **state)
{
	static const char *const names[] = { "One", "onetwo", "on", "", "Strings.0407", "strings", "x", "ON-E", "o" };
	struct bytes text = { 0 };
	vdisk_error err = { 0 };
	struct inf f;

	(void)state;
	for (int turn = 0; turn < 2; turn++)
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			bytes_format(&text, "[%s]\nk%d=%zu\n", names[i], turn, i);
	bytes_text(&text, "[Strings]\nab=first\na=1\nAB=second\nabc=3\n[use]\nv=%Ab%,%a%,%abc%,%b%,%%\n");
	parse(&f, text.at);
	assert_int_equal(f.n, sizeof(names) / sizeof(names[0]) + 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char due[4] = { (char)('0' + i) };

		expect_text(due, inf_value(&f, names[i], "k0"));
		expect_text(due, inf_value(&f, names[i], "k1"));
	}
	assert_null(inf_section(&f, "onet"));
	assert_null(inf_section(&f, "onetwothree"));
	assert_int_equal(inf_section(&f, "use")->lines[0].n, 5);
	expect_text("first", inf_section(&f, "use")->lines[0].values[0]);
	expect_text("1", inf_section(&f, "use")->lines[0].values[1]);
	expect_text("3", inf_section(&f, "use")->lines[0].values[2]);
	expect_text("%b%", inf_section(&f, "use")->lines[0].values[3]);
	inf_destroy(&f);
	bytes_clear(&text);
	for (int i = 0; i <= 10000; i++)
		bytes_format(&text, "[s%d]\n", i * 7919 % 10007);
	assert_int_equal(inf_parse(&f, "x.inf", text.at, text.len, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_string_equal(err.message, "x.inf: has more than 10000 sections");
	text.len = (size_t)(strrchr(text.at, '[') - text.at);
	parse(&f, (text.at[text.len] = '\0', text.at));
	assert_int_equal(f.n, 10000);
	assert_ptr_equal(inf_section(&f, "s7919"), &f.sections[1]);
	inf_destroy(&f);
	bytes_destroy(&text);
}

static void test_encodings(void **state)
{
	static const char wide[] = "\xff\xfe[\0V\0]\0\n\0k\0=\0\xe9\0\n\0", big[] = "\xfe\xff\0[\0V\0]\0\n\0k\0=\0\xe9\0\n",
		marked[] = "\xef\xbb\xbf[V]\nk=\xc3\xa9\n", zero[] = "[V]\nk\0=1\n", half[] = "\xff\xfe\0\xd8[\0";
	struct inf f;
	vdisk_error err;

	(void)state;
	assert_int_equal(inf_parse(&f, "x", wide, sizeof(wide) - 1, &err), 0);
	expect_text("\xc3\xa9", inf_value(&f, "v", "K"));
	inf_destroy(&f);
	assert_int_equal(inf_parse(&f, "x", big, sizeof(big) - 1, &err), 0);
	expect_text("\xc3\xa9", inf_value(&f, "v", "K"));
	inf_destroy(&f);
	assert_int_equal(inf_parse(&f, "x", marked, sizeof(marked) - 1, &err), 0);
	expect_text("\xc3\xa9", inf_value(&f, "v", "K"));
	inf_destroy(&f);
	assert_int_equal(inf_parse(&f, "x.inf", zero, sizeof(zero) - 1, &err), -1);
	expect_text("x.inf: is no text (it has zero bytes)", err.message);
	assert_int_equal(inf_parse(&f, "x.inf", half, sizeof(half) - 1, &err), -1);
	expect_text("x.inf: is no UTF-16, as its mark says", err.message);
	assert_int_equal(inf_parse(&f, "x.inf", "[a\n", 3, &err), -1);
	expect_text("x.inf: line 1 opens a section and does not close its name", err.message);
}

static const char storage[] =
	"[Version]\nClass=SCSIAdapter\nClassGuid={4d36e97b-e325-11ce-bfc1-08002be10318}\nDriverVer=05/06/2019,1.2.3.4\nCatalogFile.NTamd64=a64.cat\n"
	"CatalogFile=any.cat\n[SourceDisksFiles.amd64]\nd.sys=1\nhelp.dll=1,sub\n[SourceDisksFiles.x86]\nx86only.sys=1\n"
	"[Manufacturer]\nV=M,NTamd64,NTamd64.6.2,NTamd64.10.0.1,NTamd64.10.0...20348,NTx86\nW=Other,NTamd64\n"
	"[M.NTamd64]\nD=old,PCI\\VEN_1\n[M.NTamd64.6.2]\nD=eight,PCI\\VEN_2,PCI\\cc_01\n[M.NTamd64.10.0.1]\nD=client,PCI\\VEN_3\n"
	"[M.NTamd64.10.0...20348]\nD=eight,PCI\\VEN_4\n[M.NTx86]\nD=x,PCI\\VEN_5\n[M]\nD=plain,PCI\\VEN_6\n[Other.NTamd64]\nD=eight,PCI\\VEN_7,PCI\\VEN_2\n"
	"[eight]\nCopyFiles=wrong\n[eight.NT]\nCopyFiles=@one.bin,list\n[eight.NT.Services]\nAddService=d,%F%,svc\nAddService=,2\nAddService=h,0,helper\n"
	"[list]\nd.sys,,,2\nrenamed.dll,src.dll\n..\\evil,..\\evil\n[wrong]\nwrong.sys\n"
	"[svc]\nServiceType=1\nStartType=0x0\nErrorControl=1\nServiceBinary=%13%\\d.sys\nLoadOrderGroup=G\nDisplayName=%N%\nAddReg=r1,r2\n"
	"[helper]\nServiceType=1\nStartType=3\nErrorControl=0\nServiceBinary=%12%\\h.sys\nAddReg=bad\n"
	"[r1]\nHKR,Parameters,N,0x00010001,0x10\nHKR,,S,,text\nHKR,P,E,0x00020000,%%SystemRoot%%\\x\nHKR,P,M,0x00010000,a,b\nHKR,P,B,1,01,ff\nHKLM,a,b,,c\n"
	"[r2]\nHKR,P,D4,0x00010001,78,56,34,12\nHKR,Key,,0x10\n[bad]\nHKR,P,X,0x00010001,nonsense\n[Strings]\nF=0x3\nN=The Driver\n";

static void expect_devices(unsigned major, unsigned minor, unsigned build, bool server, const char *arch, const char *due)
{
	const struct inf_target t = { arch, major, minor, build, server };
	struct inf_driver d;
	struct inf f;
	char now[512] = "";
	vdisk_error err = { 0 };
	int rc;

	parse(&f, storage);
	rc = inf_driver_read(&d, &f, "x.inf", &t, &err);
	if (rc < 0)
		fail_msg("%s", err.message);
	for (size_t i = 0; i < d.devices_n; i++)
		snprintf(now + strlen(now), sizeof(now) - strlen(now), "%s%s%s", i ? " " : "", d.devices[i].id,
		         d.devices[i].hardware ? "" : "?");
	if (rc != (*due != '\0') || strcmp(now, due))
		fail_msg("%u.%u.%u %s %s: due \"%s\", and it is %d \"%s\"", major, minor, build, server ? "server" : "client", arch,
		         due, rc, now);
	inf_driver_destroy(&d);
	inf_destroy(&f);
}

static void test_decorations(void **state)
{
	(void)state;
	expect_devices(6, 1, 7601, true, "amd64", "PCI\\VEN_1 PCI\\VEN_7 PCI\\VEN_2?");
	expect_devices(6, 2, 9200, true, "amd64", "PCI\\VEN_2 PCI\\CC_01? PCI\\VEN_7");
	expect_devices(10, 0, 17763, true, "amd64", "PCI\\VEN_2 PCI\\CC_01? PCI\\VEN_7");
	expect_devices(10, 0, 19045, false, "amd64", "PCI\\VEN_3 PCI\\VEN_7 PCI\\VEN_2?");
	expect_devices(10, 0, 20348, true, "amd64", "PCI\\VEN_4 PCI\\VEN_7 PCI\\VEN_2?");
	expect_devices(10, 0, 19045, false, "x86", "PCI\\VEN_5");
	expect_devices(10, 0, 22000, false, "arm64", "");
}

static void expect_setting(const struct inf_service *s, const char *key, const char *name, uint32_t type, const char *value,
                           size_t len)
{
	for (size_t i = 0; i < s->settings_n; i++) {
		const struct inf_setting *one = &s->settings[i];

		if (strcmp(one->key, key) || strcmp(one->name, name))
			continue;
		assert_int_equal(one->type, type);
		assert_int_equal(one->value.len, len);
		assert_memory_equal(one->value.at, value, len);
		return;
	}
	fail_msg("no setting %s\\%s", key, name);
}

static void test_driver(void **state)
{
	const struct inf_target t = { "amd64", 10, 0, 17763, true };
	const struct inf_service *s;
	struct inf_driver d;
	struct inf f;
	struct bytes files = { 0 };

	(void)state;
	parse(&f, storage);
	assert_int_equal(inf_driver_read(&d, &f, "x.inf", &t, NULL), 1);
	inf_destroy(&f);
	expect_text("{4D36E97B-E325-11CE-BFC1-08002BE10318}", d.class_guid);
	expect_text("a64.cat", d.catalog);
	expect_text("1.2.3.4", d.version);
	assert_int_equal(d.services_n, 2);
	s = &d.services[0];
	expect_text("d", s->name);
	expect_text("d.sys", s->binary);
	expect_text("G", s->group);
	expect_text("The Driver", s->display);
	assert_true(s->front && s->function);
	assert_false(d.services[1].function);
	assert_int_equal(s->start, 0);
	assert_int_equal(s->settings_n, 6);
	expect_setting(s, "Parameters", "N", 4, "\x10\0\0\0", 4);
	expect_setting(s, "", "S", 1, "t\0e\0x\0t\0\0\0", 10);
	expect_setting(s, "P", "M", 7, "a\0\0\0b\0\0\0\0\0", 10);
	expect_setting(s, "P", "B", 3, "\x01\xff", 2);
	expect_setting(s, "P", "D4", 4, "\x78\x56\x34\x12", 4);
	expect_setting(s, "P", "E", 2, "%\0S\0y\0s\0t\0e\0m\0R\0o\0o\0t\0%\0\\\0x\0\0\0", 30);
	for (size_t i = 0; i < d.files.len; i += strlen(d.files.at + i) + 1)
		bytes_format(&files, "%s ", d.files.at + i);
	expect_text("one.bin d.sys src.dll help.dll a64.cat ", files.at);
	bytes_destroy(&files);
	inf_driver_destroy(&d);
}

static void expect_failure(const char *text, const char *part)
{
	const struct inf_target t = { "amd64", 10, 0, 17763, true };
	vdisk_error err = { 0 };
	struct inf_driver d;
	struct inf f;

	parse(&f, text);
	assert_int_equal(inf_driver_read(&d, &f, "x.inf", &t, &err), -1);
	inf_destroy(&f);
	if (!strstr(err.message, part))
		fail_msg("due: %s; it is: %s", part, err.message);
}

#define HEAD "[Version]\nClassGuid={4d36e97b-e325-11ce-bfc1-08002be10318}\n[Manufacturer]\nV=M,NTamd64\n[M.NTamd64]\nD=i,PCI\\VEN_1\n[i]\n[i.Services]\n"

static void test_damage(void **state)
{
	(void)state;
	expect_failure("[Version]\nClassGuid=x\n[Manufacturer]\nV=M,NTamd64\n[M.NTamd64]\nD=i,PCI\\V\n",
	               "its class is x, which is no GUID");
	expect_failure(HEAD "AddService=a,2,nowhere\n", "the service a has no section");
	expect_failure(HEAD "AddService=a,two,s\n[s]\n", "the service a has the flags two");
	expect_failure(HEAD "AddService=a,2,s\n[s]\nServiceType=1\nStartType=9999999999\nErrorControl=1\n",
	               "lacks its type, start or error control");
	expect_failure(HEAD "AddService=a,2,s\n[s]\nServiceType=1\nStartType=0\nErrorControl=1\n", "lacks its file");
	expect_failure(HEAD "AddService=a,2,s\n[s]\nServiceType=1\nStartType=0\nErrorControl=1\nServiceBinary=a/../b.sys\n",
	               "the service a runs a/../b.sys");
	expect_failure(
		HEAD
		"AddService=a,2,s\n[s]\nServiceType=1\nStartType=0\nErrorControl=1\nServiceBinary=a.sys\nAddReg=r\n[r]\nHKR,P,N,0x00010001,q\n",
		"the setting P\\N of a service cannot be read");
}

/* Bytes of a good one changed, cut out and doubled: it is read or refused, and the sanitizers have nothing to say. */
static void test_any_bytes(void **state)
{
	const struct inf_target t = { "amd64", 10, 0, 17763, true };
	const char *given = getenv("VDISK_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : 20210102;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (unsigned round = 0; round < 3000; round++) {
		char text[sizeof(storage) + 64];
		size_t len = sizeof(storage) - 1;
		struct inf f;

		memcpy(text, storage, len);
		for (unsigned n = 1 + (unsigned)rand() % 8; n; n--) {
			size_t at = (size_t)rand() % len;

			if (rand() % 3 == 0)
				text[at] = "[]%\",=;\\\n.\0"[rand() % 11];
			else if (rand() % 2 == 0)
				memmove(text + at, text + at + (len - at) / 9, len - at - (len - at) / 9), len -= (len - at) / 9;
			else
				text[at] = (char)rand();
		}
		if (!inf_parse(&f, "x.inf", text, len, NULL)) {
			struct inf_driver d;

			if (inf_driver_read(&d, &f, "x.inf", &t, NULL) > 0)
				inf_driver_destroy(&d);
			inf_destroy(&f);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),   cmocka_unit_test(test_encodings), cmocka_unit_test(test_decorations),
		cmocka_unit_test(test_driver), cmocka_unit_test(test_damage),    cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

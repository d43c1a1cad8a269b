/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The model, its JSON, and what hostile descriptions get: limits, document types, entities, depth. */
#include "machine_sample.h"

static struct machine *json_back(const struct machine *m)
{
	char *text = machine_json_write(m);
	struct machine *back = NULL;
	vdisk_error err;

	assert_non_null(text);
	if (machine_json_read(text, strlen(text), &back, &err))
		fail_msg("%s\n%s", err.message, text);
	free(text);
	return back;
}

/* Everything that a capture says comes back, and is written again to the same bytes. */
static void json_keeps_all(void **state)
{
	struct machine *m = sample_uefi(), *back;
	struct machine_disk *d = &m->disks[0];
	struct machine_nic *n = machine_nic_add(m);
	struct machine_partition *p = machine_partition_add(m);
	struct machine_volume *v = machine_volume_add(m);
	struct machine_array *a = machine_array_add(m);
	struct machine_crypt *c = machine_crypt_add(m);
	char *first, *second;

	(void)state;
	d->logical_sector = 4096;
	d->physical_sector = 4096;
	d->serial = machine_text(m, "S3R \"1\" \\ é");
	d->wwn = machine_text(m, "0x5000c500a0b1c2d3");
	d->rotational = true;
	n->name = machine_text(m, "eno1");
	n->driver = machine_text(m, "e1000e");
	machine_list_add(m, &n->addresses, &n->addresses_n, "192.0.2.7/24");
	machine_list_add(m, &n->addresses, &n->addresses_n, "2001:db8::7/64");
	machine_list_add(m, &n->addresses, &n->addresses_n, "192.0.2.8/24");
	machine_list_add(m, &n->gateways, &n->gateways_n, "192.0.2.1");
	machine_list_add(m, &n->dns, &n->dns_n, "192.0.2.53");
	p->disk = machine_text(m, "sda");
	p->number = 1;
	p->start = 1 << 20;
	p->size = (uint64_t)3 << 40;
	v->group = machine_text(m, "vg0");
	a->level = machine_text(m, "raid1");
	c->version = 2;
	m->host.hostname = machine_text(m, "rack7-web");
	m->host.vendor = machine_text_clean(m, "  Bad\x01Vendor\xff\n ");
	machine_lost_add(&m->lost, "es1371", "there is none", "sound card %d", 1);
	back = json_back(m);
	assert_text("Bad?Vendor?", back->host.vendor);
	assert_int_equal(3, back->nics[0].addresses_n);
	assert_text("192.0.2.8/24", back->nics[0].addresses[2]);
	assert_text("S3R \"1\" \\ é", back->disks[0].serial);
	assert_int_equal((uint64_t)3 << 40, back->partitions[0].size);
	assert_lost(&back->lost, "sound card 1");
	first = machine_json_write(m);
	second = machine_json_write(back);
	assert_string_equal(first, second);
	free(first);
	free(second);
	machine_free(back);
	machine_free(m);
}

static void json_refuses(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "", "is empty" },
		{ "{\"schema-version\":1", "ends in its midst" },
		{ "[]", "no \"schema-version\"" },
		{ "{}", "no \"schema-version\"" },
		{ "{\"schema-version\":2}", "schema-version 2 is not known" },
		{ "{\"schema-version\":1,\"type\":\"cake\"}", "\"type\"" },
		{ "{\"schema-version\":1} x", "at byte" },
		{ "{\"schema-version\":1,\"cpus\":-1}", "\"cpus\"" },
		{ "{\"schema-version\":1,\"cpus\":1.5}", "\"cpus\"" },
		{ "{\"schema-version\":1,\"cpus\":70000}", "70000 CPUs" },
		{ "{\"schema-version\":1,\"memory\":99999999999999999999}", "\"memory\"" },
		{ "{\"schema-version\":1,\"name\":7}", "\"name\"" },
		{ "{\"schema-version\":1,\"name\":\"a\\u0000b\"}", "control character" },
		{ "{\"schema-version\":1,\"name\":\"a\\nb\"}", "control character" },
		{ "{\"schema-version\":1,\"uuid\":\"not one\"}", "\"uuid\"" },
		{ "{\"schema-version\":1,\"firmware\":\"coreboot\"}", "coreboot" },
		{ "{\"schema-version\":1,\"disks\":{}}", "\"disks\"" },
		{ "{\"schema-version\":1,\"disks\":[7]}", "\"disks\"" },
		{ "{\"schema-version\":1,\"disks\":[{\"name\":\"a\"},{\"name\":\"a\"}]}", "two disks have the name" },
		{ "{\"schema-version\":1,\"disks\":[{\"bus\":\"ide\",\"unit\":1},{\"bus\":\"ide\",\"unit\":1}]}", "at one place" },
		{ "{\"schema-version\":1,\"nics\":[{\"mac\":\"00:11\"}]}", "\"mac\"" },
		{ "{\"schema-version\":1,\"nics\":[{\"dns\":[1]}]}", "\"dns\"" },
		{ "{\"schema-version\":1,\"host\":[]}", "\"host\"" },
		{ "{\"schema-version\":1,\"lost\":[{}]}", "\"lost\"" },
		{ "{\"schema-version\":1,\"x\":[[[[[[[[[[[]]]]]]]]]]]}", "nesting" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		refused(cases[i].text, DESCRIBE_JSON, cases[i].words);
}

static void json_lists_the_unknown(void **state)
{
	struct machine *m = described(
		"{\"schema-version\":1,\"name\":\"x\",\"colour\":\"red\",\"disks\":[{\"name\":\"a\",\"taste\":1}]}", DESCRIBE_JSON);

	(void)state;
	assert_lost(&m->lost, "colour");
	assert_lost(&m->lost, "taste");
	machine_free(m);
}

/* What only grows by one more is cut off somewhere, and says where. */
static void lists_are_bounded(void **state)
{
	struct machine *m = machine_new();
	vdisk_error err;
	char *text;

	(void)state;
	for (unsigned i = 0; i < MACHINE_LIST_MAX; i++)
		assert_non_null(machine_disk_add(m));
	assert_int_equal(0, machine_judge(m, &err));
	assert_null(machine_disk_add(m));
	assert_int_equal(-1, machine_judge(m, &err));
	assert_non_null(strstr(err.message, "1024 disks"));
	machine_free(m);
	m = machine_new();
	text = malloc(MACHINE_TEXT_MAX + 2);
	memset(text, 'a', MACHINE_TEXT_MAX + 1);
	text[MACHINE_TEXT_MAX + 1] = '\0';
	assert_null(machine_text(m, text));
	assert_int_equal(-1, machine_judge(m, &err));
	assert_non_null(strstr(err.message, "4097 bytes"));
	free(text);
	machine_free(m);
	m = machine_new();
	for (unsigned i = 0; i < MACHINE_LIST_MAX + 5; i++)
		machine_lost_add(&m->lost, "v", "w", "entry %u", i);
	assert_int_equal(MACHINE_LIST_MAX, m->lost.n);
	assert_true(m->lost.more);
	machine_free(m);
}

static void paths_are_told(void **state)
{
	static const struct {
		const char *path;
		unsigned flags;
	} cases[] = {
		{ "disk.vmdk", 0 },
		{ "a/b..c/d", 0 },
		{ "..", MACHINE_PATH_UP },
		{ "a/../b", MACHINE_PATH_UP },
		{ "a\\..\\b", MACHINE_PATH_UP },
		{ "/etc/passwd", MACHINE_PATH_ABSOLUTE },
		{ "C:\\x", MACHINE_PATH_ABSOLUTE },
		{ "\\\\server\\x", MACHINE_PATH_ABSOLUTE },
		{ "http://x/y", MACHINE_PATH_REMOTE },
		{ "json:{}", MACHINE_PATH_REMOTE },
		{ "[ds] a/b.vmdk", MACHINE_PATH_REMOTE },
		{ "nbd+unix:///x", MACHINE_PATH_REMOTE },
		{ "/a/../b", MACHINE_PATH_ABSOLUTE | MACHINE_PATH_UP },
		{ "./a:b", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (machine_path_flags(cases[i].path) != cases[i].flags)
			fail_msg("%s: flags %u, due are %u", cases[i].path, machine_path_flags(cases[i].path), cases[i].flags);
}

/* ---------------------------------------------------------------- XML that is an attack */

static const enum describe_kind xml_kinds[] = { DESCRIBE_LIBVIRT, DESCRIBE_OVF, DESCRIBE_VBOX,
	                                        DESCRIBE_HYPERV,  DESCRIBE_VMC, DESCRIBE_XVA };

#define U(n) "\"1111111" #n "-2222-4333-8444-555555555555\""
#define SNAPSHOTS(list)      "{\"schema-version\":1,\"snapshots\":[" list "]}"
#define IMAGES(list)         "{\"schema-version\":1,\"images\":[" list "]}"

/* Trees, in whatever order they are told; what is none is refused. */
static void trees_are_judged(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ SNAPSHOTS("{\"id\":" U(1) ",\"parent\":0}"), "its own ancestor" },
		{ SNAPSHOTS("{\"id\":" U(1) ",\"parent\":1},{\"id\":" U(2) ",\"parent\":0}"), "its own ancestor" },
		{ SNAPSHOTS("{\"id\":" U(1) "},{\"id\":" U(2) ",\"parent\":3},{\"id\":" U(3) ",\"parent\":3},{\"id\":" U(
			  4) ",\"parent\":2}"),
		  "its own ancestor" },
		{ SNAPSHOTS("{\"id\":" U(1) ",\"parent\":7}"), "which is none" },
		{ SNAPSHOTS("{\"id\":" U(1) "},{\"id\":" U(1) "}"), "two snapshots" },
		{ SNAPSHOTS("{\"name\":\"x\"}"), "no UUID" },
		{ IMAGES("{\"uuid\":" U(1) ",\"parent\":0}"), "its own ancestor" },
		{ IMAGES("{\"parent\":1},{\"parent\":2},{\"parent\":1}"), "circle" },
		{ IMAGES("{\"path\":\"a\",\"parent\":4}"), "which is none" },
		{ IMAGES("{\"uuid\":" U(1) "},{\"uuid\":" U(1) "}"), "two images" },
		{ "{\"schema-version\":1,\"snapshot-disks\":[{\"snapshot\":0,\"image\":0,\"disk\":\"a\"}]}", "which are none" },
	};
	struct machine *m = described("{\"schema-version\":1,\"images\":[{\"path\":\"b\",\"parent\":1},{\"path\":\"a\"}],"
	                              "\"snapshots\":[{\"id\":" U(2) ",\"parent\":1,\"current\":true},{\"id\":" U(
					      1) ",\"name\":\"first\",\"date\":5}],"
	                                         "\"snapshot-disks\":[{\"snapshot\":1,\"image\":1,\"disk\":\"sda\"}]}",
	                              DESCRIBE_JSON);

	(void)state;
	assert_int_equal(1, m->snapshots[0].parent);
	assert_int_equal(-1, m->snapshots[1].parent);
	assert_int_equal(1, machine_state_find(m, 1, "sda"));
	assert_int_equal(-1, machine_state_find(m, 0, "sda"));
	assert_int_equal(0, machine_image_find(m, NULL, "b"));
	machine_free(m);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		refused(cases[i].text, DESCRIBE_JSON, cases[i].words);
}

static void all_refuse(const char *text, const char *words)
{
	for (size_t i = 0; i < sizeof(xml_kinds) / sizeof(*xml_kinds); i++)
		refused(text, xml_kinds[i], words);
}

static void xml_entities_are_refused(void **state)
{
	(void)state;
	all_refuse(
		"<?xml version='1.0'?><!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
		"<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;'>]><domain><name>&d;</name></domain>",
		"document type");
	all_refuse("<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>", "document type");
	all_refuse("<!DOCTYPE d SYSTEM 'http://127.0.0.1:1/d.dtd'><domain><name>x</name></domain>", "document type");
	all_refuse("<!DOCTYPE d [<!ENTITY % p SYSTEM 'file:///etc/passwd'>%p;]><domain/>", "document type");
	all_refuse("<domain><name>&unknown;</name></domain>", "no XML");
	all_refuse("<domain><name>x</name>", "no XML");
}

static void xml_is_bounded(void **state)
{
	size_t n = 250, room = 700000;
	char *deep = calloc(1, 1000), *wide = malloc(room + 64), *at = wide;

	(void)state;
	for (size_t i = 0; i < n; i++)
		strcat(deep, "<a>");
	all_refuse(deep, "240 deep");
	at += sprintf(at, "<domain>");
	for (size_t i = 0; i < 170000; i++)
		at += sprintf(at, "<a/>");
	strcpy(at, "</domain>");
	{ /* fewer than that are fine */
		struct machine *m = described(wide, DESCRIBE_LIBVIRT);

		assert_true(m->lost.more);
		machine_free(m);
	}
	free(deep);
	free(wide);
	wide = malloc(8 * 310000);
	at = wide + sprintf(wide, "<domain>");
	for (size_t i = 0; i < 300001; i++)
		at += sprintf(at, "<a/>");
	strcpy(at, "</domain>");
	all_refuse(wide, "300,000");
	free(wide);
}

/* An element's attributes are compared each with each; an encoding of another kind would hide them from being counted. */
static void xml_tags_are_bounded(void **state)
{
	char *wide = malloc(20 * 3000 + 64), *at = wide + sprintf(wide, "<domain ");

	(void)state;
	for (size_t i = 0; i < 2001; i++)
		at += sprintf(at, "a%zu= '' ", i);
	strcpy(at, "/>");
	all_refuse(wide, "more than 2000 attributes");
	free(wide);
	all_refuse("<?xml version='1.0' encoding='UTF-7'?><domain><name>x</name></domain>", "encoding");
	all_refuse("\x4c\x6f\xa7\x94\x93", "EBCDIC");
	machine_free(
		described("<?xml version='1.0' encoding='windows-1252'?><domain><name>Caf\xe9</name></domain>", DESCRIBE_LIBVIRT));
}

static void descriptions_are_bounded(void **state)
{
	size_t n = DESCRIBE_MAX + 1;
	char *text = malloc(n);

	(void)state;
	memset(text, ' ', n);
	refused_as(text, n, DESCRIBE_LIBVIRT, "is larger than");
	free(text);
	refused_as("\x00\x01\x02", 3, DESCRIBE_UNKNOWN, "no description of a machine that is known");
	refused_as("", 0, DESCRIBE_UNKNOWN, "is empty");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_keeps_all),         cmocka_unit_test(json_refuses),
		cmocka_unit_test(json_lists_the_unknown), cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(paths_are_told),         cmocka_unit_test(xml_entities_are_refused),
		cmocka_unit_test(xml_is_bounded),         cmocka_unit_test(descriptions_are_bounded),
		cmocka_unit_test(xml_tags_are_bounded),   cmocka_unit_test(trees_are_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMDK descriptors: reading, refusing, changing, writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "formats/vmdk/descriptor.h"
#include "base/alloc.h"

#define HEAD "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"custom\"\n"

static int parse(const char *text, struct vmdk_desc *d, vd_error *err)
{
	return vmdk_desc_parse(text, strlen(text), d, err);
}

static void refused(const char *text, const char *mentions)
{
	struct vmdk_desc d;
	vd_error err;
	vd_error_clear(&err);
	assert_int_equal(parse(text, &d, &err), -1);
	if (!strstr(err.message, mentions))
		fail_msg("\"%s\" does not mention \"%s\"", err.message, mentions);
}

static void reads_what_vmware_writes(void **state)
{
	struct vmdk_desc d;
	vd_error err;
	(void)state;
	assert_int_equal(
	    parse(
		"# Disk DescriptorFile\r\nversion=1 \r\nencoding=\"windows-1252\"\r\nCID=0FAEC72e \r\nparentCID=deadbeef\r\n"
		"isNativeSnapshot=\"no\"\r\nCreateType=\"partitionedDevice\"\r\nparentFileNameHint=\"C:\\VMs\\gr\xfc\xdf.vmdk\"\r\n"
		"RW 63 FLAT \"a b \"c\".vmdk\" 0\r\nRDONLY 100 FLAT \"\\\\.\\PhysicalDrive0\" 63 partitionUUID 1\r\n"
		"NOACCESS 5 ZERO\r\n\tRW 4096 VMFS \"x-flat.vmdk\"\r\n",
		&d, &err),
	    0);
	assert_int_equal(d.cid, 0x0faec72e);
	assert_int_equal(d.parent_cid, 0xdeadbeef);
	assert_string_equal(d.create_type, "partitionedDevice");
	assert_string_equal(d.parent_hint, "C:\\VMs\\gr\xc3\xbc\xc3\x9f.vmdk");
	assert_int_equal(d.n_lines, 4);
	assert_string_equal(d.lines[0].name, "a b \"c\".vmdk");
	assert_int_equal(d.lines[1].access, VMDK_RDONLY);
	assert_int_equal(d.lines[1].offset, 63);
	assert_int_equal(d.lines[2].type, VMDK_LINE_ZERO);
	assert_null(d.lines[2].name);
	assert_int_equal(d.lines[3].sectors, 4096);
	vmdk_desc_clear(&d);
}

static void stops_at_the_first_nul(void **state)
{
	static const char text[] = HEAD "RW 1 ZERO\n\0rubbish";
	struct vmdk_desc d;
	vd_error err;
	(void)state;
	assert_int_equal(vmdk_desc_parse(text, sizeof(text), &d, &err), 0);
	assert_int_equal(d.n_lines, 1);
	vmdk_desc_clear(&d);
}

static void refuses_by_name(void **state)
{
	(void)state;
	refused("", "no version");
	refused("version=1\ncreateType=\"x\"\nRW 1 ZERO\n", "no CID");
	refused("version=1\nCID=1\nRW 1 ZERO\n", "no createType");
	refused(HEAD, "no extent");
	refused(HEAD "CID=1\nRW 1 ZERO\n", "there before");
	refused(HEAD "RW 0 ZERO\n", "number of sectors");
	refused(HEAD "RW -1 ZERO\n", "number of sectors");
	refused(HEAD "RW 99999999999999999999 ZERO\n", "number of sectors");
	refused(HEAD "RW 1 NEWKIND \"x\"\n", "type is unknown");
	refused(HEAD "RW 1 FLAT\n", "names no file");
	refused(HEAD "RW 1 FLAT \"x\n", "closing quote");
	refused(HEAD "RW 1 FLAT \"x\" zero\n", "offset");
	refused(HEAD "rubbish\nRW 1 ZERO\n", "neither");
	refused("version=4\nCID=1\ncreateType=\"x\"\nRW 1 ZERO\n", "not version");
	refused("version=1\nCID=123456789\ncreateType=\"x\"\nRW 1 ZERO\n", "hexadecimal");
	refused("version=1\nencoding=\"KLINGON\"\nCID=1\ncreateType=\"x\"\nRW 1 FLAT \"a\"\n", "KLINGON");
}

static void counts_extents_to_the_end(void **state)
{
	size_t n = VMDK_LINES_MAX + 1, len = strlen(HEAD);
	char *text = vd_malloc(len + n * 10 + 1), *p = text + len;
	(void)state;
	memcpy(text, HEAD, len);
	for (size_t i = 0; i < n; i++, p += 10)
		memcpy(p, "RW 1 ZERO\n", 10);
	*p = 0;
	refused(text, "4096 extents");
	vd_free(text);
}

static void changes_only_what_is_meant(void **state)
{
	(void)state;
	char *a = vmdk_desc_set("CID=1\nparentCID=2\n# CID=3\n", "CID", "abc", false);
	assert_string_equal(a, "CID=abc\nparentCID=2\n# CID=3\n");
	char *b = vmdk_desc_set(a, "ddb.x", "y", true);
	assert_string_equal(b, "CID=abc\nparentCID=2\n# CID=3\nddb.x = \"y\"\n");
	char *c = vmdk_desc_set(b, "DDB.X", "longer", true);
	assert_string_equal(c, "CID=abc\nparentCID=2\n# CID=3\nddb.x = \"longer\"\n");
	char *d = vmdk_desc_set_sectors("RW 12 ZERO\n# RW 5\nRW 34 FLAT \"RW 34\" 0\n", 1, 567);
	assert_string_equal(d, "RW 12 ZERO\n# RW 5\nRW 567 FLAT \"RW 34\" 0\n");
	assert_null(vmdk_desc_set_sectors("RW 12 ZERO\n", 1, 5));
	vd_free(a);
	vd_free(b);
	vd_free(c);
	vd_free(d);
}

static void a_parent_is_named_where_others_look(void **state)
{
	(void)state;
	char *a = vmdk_desc_set("CID=1\ncreateType=\"monolithicSparse\"\nRW 1 SPARSE \"x\"\nddb.y = \"1\"\n", "parentFileNameHint",
	                        "p.vmdk", true);
	assert_string_equal(
		a, "CID=1\ncreateType=\"monolithicSparse\"\nparentFileNameHint=\"p.vmdk\"\nRW 1 SPARSE \"x\"\nddb.y = \"1\"\n");
	char *b = vmdk_desc_set("createType=\"custom\"", "parentFileNameHint", "p.vmdk", true);
	assert_string_equal(b, "createType=\"custom\"\nparentFileNameHint=\"p.vmdk\"\n");
	vd_free(a);
	vd_free(b);
}

static void reads_what_it_writes(void **state)
{
	struct vmdk_line lines[2] = {{.type = VMDK_LINE_FLAT, .sectors = 63, .offset = 7, .name = "x-f001.vmdk"},
				     {.access = VMDK_RDONLY, .type = VMDK_LINE_SPARSE, .sectors = 99, .name = "x.vmdk"}};
	struct vmdk_desc_new n = {.cid = 0xabc,
				  .parent_cid = 5,
				  .create_type = "custom",
				  .parent_hint = "p.vmdk",
				  .lines = lines,
				  .n_lines = 2,
				  .sectors = 162,
				  .adapter_type = "ide",
				  .hwversion = "4",
				  .toolsversion = "1",
				  .thin = true};
	struct vmdk_desc d;
	vd_error err;
	char value[64];
	(void)state;
	char *text = vmdk_desc_write(&n);
	assert_int_equal(parse(text, &d, &err), 0);
	assert_int_equal(d.cid, 0xabc);
	assert_int_equal(d.parent_cid, 5);
	assert_string_equal(d.parent_hint, "p.vmdk");
	assert_int_equal(d.lines[0].offset, 7);
	assert_int_equal(d.lines[1].access, VMDK_RDONLY);
	assert_true(vmdk_desc_value(text, "ddb.longContentID", value, sizeof(value)));
	assert_string_equal(value, "00000000000000000000000000000abc");
	assert_true(vmdk_desc_value(text, "ddb.geometry.cylinders", value, sizeof(value)));
	assert_string_equal(value, "1");
	assert_true(vmdk_desc_probe((const uint8_t *)text, strlen(text)));
	vmdk_desc_clear(&d);
	vd_free(text);
}

static void geometry_is_vmwares(void **state)
{
	struct vmdk_geometry g;
	(void)state;
	vmdk_geometry(&g, 4096, "lsilogic"); /* an ESXi disk of 2 MiB */
	assert_int_equal(g.cylinders, 2);
	assert_int_equal(g.heads, 64);
	assert_int_equal(g.sectors, 32);
	vmdk_geometry(&g, 125829120, "lsilogic"); /* 60 GiB */
	assert_int_equal(g.cylinders, 7832);
	assert_int_equal(g.heads, 255);
	vmdk_geometry(&g, 1048576, "ide");
	assert_int_equal(g.cylinders, 1040);
	vmdk_geometry(&g, UINT64_C(1) << 33, "ide");
	assert_int_equal(g.cylinders, 16383);
}

static void probe_knows_text(void **state)
{
	static const char yes[] = "\n# a comment\n  version=1\n", no[] = "# a script\necho version=1\n";
	(void)state;
	assert_true(vmdk_desc_probe((const uint8_t *)yes, strlen(yes)));
	assert_false(vmdk_desc_probe((const uint8_t *)no, strlen(no)));
	assert_false(vmdk_desc_probe((const uint8_t *)"", 0));
	assert_false(vmdk_desc_probe((const uint8_t *)"\0version=1", 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_what_vmware_writes),
	    cmocka_unit_test(stops_at_the_first_nul),
	    cmocka_unit_test(refuses_by_name),
	    cmocka_unit_test(counts_extents_to_the_end),
	    cmocka_unit_test(changes_only_what_is_meant),
	    cmocka_unit_test(a_parent_is_named_where_others_look),
	    cmocka_unit_test(reads_what_it_writes),
	    cmocka_unit_test(geometry_is_vmwares),
	    cmocka_unit_test(probe_knows_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

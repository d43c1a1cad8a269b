/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LVM2's metadata: its language, its labels, and where volumes lie, against a slow model. (tests/e2e has what lvm2's own tools
   make.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "common/lvm_disk.h"
#include "ops/lvm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)
#define PV_BYTES (2u * MIB)
#define EXTENT (64u * KIB)

#define UUID0 "000000-1111-2222-3333-4444-5555-666666"
#define UUID1 "777777-1111-2222-3333-4444-5555-666666"
#define RAW0 "00000011112222333344445555666666"
#define RAW1 "77777711112222333344445555666666"

static uint8_t disk[2 * PV_BYTES];

static int disk_read(void *ctx, void *buf, size_t len, uint64_t off, vd_error *err)
{
	(void)ctx, (void)err;
	assert_true(off <= sizeof(disk) && len <= sizeof(disk) - off);
	memcpy(buf, disk + off, len);
	return 0;
}

/* ---------------------------------------------------------------- the language */

static void parse_ok(const char *text, struct vd_lvm_text *t)
{
	vd_error err;

	if (vd_lvm_text_parse(text, strlen(text), t, &err))
		fail_msg("%s: %s", text, err.message);
}

static void test_language(void **state)
{
	const struct vd_lvm_node *x;
	struct vd_lvm_text t;

	(void)state;
	parse_ok(
		"# a comment\nname = \"a \\\"b\\\" \\\\\"\nnum=42 neg = -1\nsub {\n\tlist = [ \"x\", 7,\n \"y\" ] # and one more\n\tempty = []\n"
		"\tdeep.er-1+_ { v = 18446744073709551615 }\n}\n",
		&t);
	assert_string_equal(vd_lvm_str(&t, &t.v[0], "name"), "a \"b\" \\");
	assert_int_equal(vd_lvm_num(&t, &t.v[0], "num", 0), 42);
	assert_true(vd_lvm_num(&t, &t.v[0], "neg", 0) == UINT64_MAX);
	assert_int_equal(vd_lvm_num(&t, &t.v[0], "name", 5), 5);
	x = vd_lvm_get(&t, &t.v[0], "sub", VD_LVM_SECTION);
	assert_non_null(x);
	assert_true(vd_lvm_has_word(&t, x, "list", "y"));
	assert_false(vd_lvm_has_word(&t, x, "list", "z"));
	assert_false(vd_lvm_has_word(&t, x, "empty", "x"));
	x = vd_lvm_get(&t, x, "deep.er-1+_", VD_LVM_SECTION);
	assert_true(vd_lvm_num(&t, x, "v", 0) == UINT64_MAX);
	vd_lvm_text_free(&t);
}

static void test_language_wrong(void **state)
{
	static const struct { const char *text, *says;
	} v[] = {
		{ "a", "line 1: ends after a name" },
		{ "a {", "ends inside" },
		{ "a = \n\n[1", "line 3" },
		{ "}", "closes nothing" },
		{ "a = \"x", "no end" },
		{ "a = x", "a value is expected" },
		{ "a 5", "'=' or '{'" },
		{ "= 5", "a name is expected" },
		{ "a = 18446744073709551616", "too large" },
		{ "a = 5x", "ends in something else" },
		{ "a = [ 1 2 ]", "',' or ']'" },
		{ "a = [ [ 1 ] ]", "an array in an array" },
		{ "a = [ 1", "',' or ']'" },
		{ "a { b { c { d { e { f { g { h { i { j { k { l { m { n { o { p {", "nested too deeply" },
		{ "a\n=\n-", "line 3" },
		{ "a = 1 ]", "a name is expected" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct vd_lvm_text t;
		vd_error err;

		assert_int_equal(vd_lvm_text_parse(v[i].text, strlen(v[i].text), &t, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		if (!strstr(err.message, v[i].says))
			fail_msg("\"%s\" gives \"%s\", not \"%s\"", v[i].text, err.message, v[i].says);
	}
}

/* ---------------------------------------------------------------- volumes */

#define GROUP(seqno, volumes) \
	"vg {\nid = \"the-group\"\nseqno = " #seqno "\nextent_size = 128\nphysical_volumes {\n" \
	"pv0 {\nid = \"" UUID0 "\"\npe_start = 128\npe_count = 31\n}\npv1 {\nid = \"" UUID1 \
	"\"\npe_start = 256\npe_count = 30\n}\n}\n" \
	"logical_volumes {\n" volumes "}\n}\n"
#define VOLUME(name, body) name " {\nid = \"x\"\nstatus = [\"READ\", \"WRITE\", \"VISIBLE\"]\n" body "}\n"
#define SEGMENT(n, start, count, stripes, list) \
	"segment" #n " {\nstart_extent = " #start "\nextent_count = " #count "\ntype = \"striped\"\nstripe_count = " #stripes \
	"\nstripe_size = 32\nstripes = [" list "]\n}\n"

static void put_text(unsigned pv, const char *text, uint32_t at)
{
	lvm_disk_make(disk + pv * PV_BYTES, PV_BYTES, pv ? RAW1 : RAW0, text, strlen(text), at);
}

static vdisk_volumes *volumes_read(void)
{
	const struct vdisk_partition part = { .number = 2, .off = PV_BYTES, .len = PV_BYTES };
	struct vd_disk d = { .size = sizeof(disk), .read = disk_read };
	vdisk_volumes *v;
	vd_error err;

	/* One physical volume where the disk begins, one in a partition. */
	if (vd_volumes_read(&d, &part, 1, &v, &err))
		fail_msg("%s", err.message);
	return v;
}

/* Byte by byte what the description says, by hand. */
static void test_where_volumes_lie(void **state)
{
	static const char text[] =
		GROUP(1, VOLUME("both", SEGMENT(1, 0, 2, 1, "\"pv0\", 3") SEGMENT(2, 2, 1, 1, "\"pv1\", 29")) VOLUME(
				 "striped", SEGMENT(1, 0, 4, 2, "\"pv0\", 10, \"pv1\", 0") SEGMENT(2, 4, 1, 1, "\"pv0\", 0")));
	const struct vdisk_volume *both, *striped;
	const struct vdisk_physical_volume *pv;
	struct vdisk_range r[64];
	vdisk_volumes *v;

	(void)state;
	put_text(0, text, 512);
	put_text(1, "", 512);
	v = volumes_read();
	pv = vdisk_volumes_physical(v, 1);
	assert_string_equal(pv->uuid, UUID1);
	assert_string_equal(pv->group, "vg");
	assert_int_equal(pv->data_off, PV_BYTES + 128 * KIB);
	assert_int_equal(pv->data_len, 30 * EXTENT);
	assert_null(vdisk_volumes_physical(v, 2));
	both = vdisk_volumes_get(v, 0);
	striped = vdisk_volumes_get(v, 1);
	assert_null(vdisk_volumes_get(v, 2));
	assert_string_equal(both->name, "both");
	assert_null(both->problem);
	assert_true(both->writable && !both->hidden);
	assert_int_equal(both->len, 3 * EXTENT);
	assert_int_equal(vdisk_volume_map(both, EXTENT, 2 * EXTENT, r, 64), 2);
	assert_int_equal(r[0].off, 64 * KIB + 4 * EXTENT);
	assert_int_equal(r[0].len, EXTENT);
	assert_int_equal(r[1].off, PV_BYTES + 128 * KIB + 29 * EXTENT);
	assert_int_equal(r[1].len, EXTENT);
	assert_int_equal(vdisk_volume_map(both, 0, 3 * EXTENT + 1, r, 64), 0);
	assert_int_equal(vdisk_volume_map(both, 3 * EXTENT, 0, r, 64), 0);
	for (uint64_t off = 0; off < striped->len; off += 1000) {
		uint64_t chunk = off / (16 * KIB), in = off % (16 * KIB), want;

		if (off < 4 * EXTENT)
			want = (chunk % 2 ? PV_BYTES + 128 * KIB : 64 * KIB + 10 * EXTENT) + chunk / 2 * 16 * KIB + in;
		else
			want = 64 * KIB + off - 4 * EXTENT;
		assert_int_equal(vdisk_volume_map(striped, off, 1, r, 1), 1);
		assert_int_equal(r[0].off, want);
	}
	assert_int_equal(vdisk_volume_map(striped, 100, 4 * EXTENT, r, 64), 17);
	assert_int_equal(r[0].len, 16 * KIB - 100);
	vdisk_volumes_free(v);
}

static void problem_is(const char *text, const char *name, const char *says)
{
	const struct vdisk_volume *x;
	vdisk_volumes *v;

	put_text(0, text, 512);
	put_text(1, "", 512);
	v = volumes_read();
	for (size_t i = 0; (x = vdisk_volumes_get(v, i)); i++)
		if (!strcmp(x->name, name))
			break;
	assert_non_null(x);
	if (!x->problem || !strstr(x->problem, says))
		fail_msg("%s: the problem is \"%s\", not \"%s\"", name, x->problem ? x->problem : "(none)", says);
	vdisk_volumes_free(v);
}

static void test_problems(void **state)
{
	(void)state;
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 2, 1, "\"pv0\", 30"))), "a", "outside its physical volume");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 1, 1, "\"pv0\", 18446744073709551615"))), "a", "outside its physical volume");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 1, 1, "\"pv7\", 0"))), "a", "does not have");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 1, 1, "\"b\", 0")) VOLUME("b", SEGMENT(1, 0, 1, 1, "\"pv0\", 0"))), "a",
	           "another logical volume");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 3, 2, "\"pv0\", 0, \"pv1\", 0"))), "a", "makes no sense");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 2, 2, "\"pv0\", 0"))), "a", "list of stripes");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 0, 1, "\"pv0\", 0"))), "a", "makes no sense");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 18446744073709551615, 1, "\"pv0\", 0"))), "a", "do not join");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 1, 1, 1, "\"pv0\", 0"))), "a", "do not join");
	problem_is(GROUP(1, VOLUME("a", SEGMENT(1, 0, 1, 1, "\"pv0\", 0") SEGMENT(2, 2, 1, 1, "\"pv0\", 5"))), "a", "do not join");
	problem_is(GROUP(1, VOLUME("a", "")), "a", "no segments");
	problem_is(GROUP(1, VOLUME("a", "segment1 {\nstart_extent = 0\nextent_count = 1\ntype = \"thin-pool\"\n}\n")), "a",
	           "type thin-pool");
	problem_is(GROUP(1, VOLUME("a", "segment1 {\nstart_extent = 0\nextent_count = 1\ntype = \"x\\ny\"\n}\n")), "a", "type x");
	memset(disk + PV_BYTES, 0, 4096);
	put_text(0, GROUP(1, VOLUME("a", SEGMENT(1, 0, 1, 1, "\"pv1\", 0")) VOLUME("b", SEGMENT(1, 0, 1, 1, "\"pv0\", 0"))), 512);
	vdisk_volumes *v = volumes_read();
	assert_non_null(strstr(vdisk_volumes_get(v, 0)->problem, "not on this disk"));
	assert_null(vdisk_volumes_get(v, 1)->problem);
	vdisk_volumes_free(v);
}

/* A group of which this disk has the first of two physical volumes. */
static void test_spread(void **state)
{
#define OTHER(type, says) "segment1 {\nstart_extent = 0\nextent_count = 1\ntype = \"" type "\"\n" says "\n}\n"
	static const struct { const char *name; bool here; uint64_t head_off, head_len; } due[] = {
		{ "whole", true, PV_BYTES / 32 + 3 * EXTENT, 2 * EXTENT },
		{ "begins", true, PV_BYTES / 32 + 5 * EXTENT, EXTENT },
		{ "ends", true, 0, 0 },
		{ "elsewhere", false, 0, 0 },
		{ "raid", true, 0, 0 },
		{ "thin", true, 0, 0 },
		{ "far", false, 0, 0 },
		{ "ring", false, 0, 0 },
	};
	const struct vdisk_volume *x;
	vdisk_volumes *v;

	(void)state;
	memset(disk + PV_BYTES, 0, 4096);
	put_text(0, GROUP(1, VOLUME("whole", SEGMENT(1, 0, 2, 1, "\"pv0\", 3"))
	                  VOLUME("begins", SEGMENT(1, 0, 1, 1, "\"pv0\", 5") SEGMENT(2, 1, 1, 1, "\"pv1\", 5"))
	                  VOLUME("ends", SEGMENT(1, 0, 1, 1, "\"pv1\", 7") SEGMENT(2, 1, 1, 1, "\"pv0\", 7"))
	                  VOLUME("elsewhere", SEGMENT(1, 0, 1, 1, "\"pv1\", 9"))
	                  VOLUME("raid", OTHER("raid1", "raids = [\"m0\", \"elsewhere\", \"m1\", \"whole\"]"))
	                  VOLUME("thin", OTHER("thin", "thin_pool = \"raid\"")) VOLUME("far", OTHER("thin", "thin_pool = \"elsewhere\""))
	                  VOLUME("ring", OTHER("thin", "thin_pool = \"ring\"\norigin = \"ring\""))), 512);
	v = volumes_read();
	for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++) {
		x = vdisk_volumes_get(v, i);
		assert_non_null(x);
		assert_string_equal(x->name, due[i].name);
		if (x->here != due[i].here || x->head.off != due[i].head_off || x->head.len != due[i].head_len)
			fail_msg("%s: here %d, head at %llu of %llu", x->name, x->here, (unsigned long long)x->head.off,
			         (unsigned long long)x->head.len);
	}
	vdisk_volumes_free(v);
}

/* A large volume that another one names again and again is not looked through each time. */
static void test_spread_bounded(void **state)
{
	enum { SEGMENTS = 20000, NAMES = 2000, BYTES = 1 << 20 };
	unsigned lookups = 16384;
	const struct vd_lvm_node *group, *lv;
	char *text = malloc(BYTES), *p = text;
	vdisk_volumes none = { 0 };
	struct vd_lvm_text t;

	(void)state;
	assert_non_null(text);
	p += sprintf(p, "vg {\nphysical_volumes {\n}\nlogical_volumes {\na {\ns {\nraids = [\"b\"");
	for (int i = 1; i < NAMES; i++)
		p += sprintf(p, ",\"b\"");
	p += sprintf(p, "]\n}\n}\nb {\n");
	for (int i = 0; i < SEGMENTS; i++)
		p += sprintf(p, "s%d {\n}\n", i);
	p += sprintf(p, "}\n}\n}\n");
	parse_ok(text, &t);
	group = vd_lvm_group(&t);
	lv = vd_lvm_get(&t, vd_lvm_get(&t, group, "logical_volumes", VD_LVM_SECTION), "a", VD_LVM_SECTION);
	assert_non_null(lv);
	assert_false(vd_lvm_is_here(&t, group, &none, lv, &lookups));
	assert_int_equal(lookups, 0);
	vd_lvm_text_free(&t);
	free(text);
}

static void test_snapshot(void **state)
{
	static const char tie[] =
		"segment1 {\nstart_extent = 0\nextent_count = 1\ntype = \"snapshot\"\nchunk_size = 8\norigin = \"o\"\ncow_store = \"s\"\n}\n";
	char text[4096];
	vdisk_volumes *v;

	(void)state;
	snprintf(text, sizeof(text), GROUP(1, "%s"), VOLUME("o", SEGMENT(1, 0, 1, 1, "\"pv0\", 0")) "s {\nstatus = [\"WRITE\"]\n"
	         SEGMENT(1, 0, 1, 1, "\"pv0\", 1") "}\n" "snapshot0 {\nstatus = [\"VISIBLE\"]\n");
	snprintf(text + strlen(text) - 4, 1000, "%s}\n}\n}\n", tie); /* into the group again, before its ends */
	put_text(0, text, 512);
	put_text(1, "", 512);
	v = volumes_read();
	assert_false(vdisk_volumes_get(v, 0)->writable);
	assert_null(vdisk_volumes_get(v, 0)->problem);
	assert_non_null(strstr(vdisk_volumes_get(v, 1)->problem, "snapshot"));
	assert_false(vdisk_volumes_get(v, 1)->hidden);
	assert_true(vdisk_volumes_get(v, 2)->hidden);
	vdisk_volumes_free(v);
}

static void test_newest_text_counts(void **state)
{
	static const char old[] = GROUP(7, VOLUME("old", SEGMENT(1, 0, 1, 1, "\"pv0\", 0")));
	static const char new[] = GROUP(12, VOLUME("new", SEGMENT(1, 0, 1, 1, "\"pv0\", 0")));
	vdisk_volumes *v;

	(void)state;
	for (int turn = 0; turn < 2; turn++) {
		put_text(turn, old, 512);
		put_text(!turn, new, LVM_RING_LEN - 100); /* which wraps around */
		v = volumes_read();
		assert_string_equal(vdisk_volumes_get(v, 0)->name, "new");
		assert_null(vdisk_volumes_get(v, 1));
		vdisk_volumes_free(v);
	}
	disk[LVM_RING_AT + LVM_RING_LEN - 50] ^= 1; /* the new one's checksum no longer holds */
	v = volumes_read();
	assert_string_equal(vdisk_volumes_get(v, 0)->name, "old");
	assert_non_null(strstr(vdisk_volumes_physical(v, 0)->problem, "checksum"));
	vdisk_volumes_free(v);
}

static void test_damage(void **state)
{
	static const char text[] = GROUP(1, VOLUME("a", SEGMENT(1, 0, 1, 1, "\"pv0\", 0")));
	static const struct { uint32_t at; uint64_t value; const char *says; } v[] = {
		{ 512 + 8, 2, "says sector 2" },                   { 512 + 104, 1u << 30, "outside its device" },
		{ 512 + 112, 512, "outside its device" },          { 512 + 112, UINT64_MAX, "outside its device" },
		{ LVM_RING_AT + 40, LVM_RING_LEN, "outside its area" }, { LVM_RING_AT + 40, 8, "outside its area" },
		{ LVM_RING_AT + 48, LVM_RING_LEN, "outside its area" }, { LVM_RING_AT + 48, 10, "checksum" },
		{ LVM_RING_AT + 24, 0, "says it is at 0" },
	};

	(void)state;
	put_text(1, "", 512);
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		const struct vdisk_physical_volume *pv;
		vdisk_volumes *found;

		put_text(0, text, 512);
		le64_put(disk + v[i].at, v[i].value);
		lvm_disk_sums(disk);
		found = volumes_read();
		pv = vdisk_volumes_physical(found, 0);
		if (!pv->problem || !strstr(pv->problem, v[i].says))
			fail_msg("%zu: the problem is \"%s\", not \"%s\"", i, pv->problem ? pv->problem : "(none)", v[i].says);
		assert_null(vdisk_volumes_get(found, 0));
		vdisk_volumes_free(found);
	}
	put_text(0, text, 512);
	disk[512 + 40] ^= 1;
	vdisk_volumes *found = volumes_read();
	assert_non_null(strstr(vdisk_volumes_physical(found, 0)->problem, "label's checksum"));
	vdisk_volumes_free(found);
}

static void test_out_of_memory(void **state)
{
	static const char text[] = GROUP(1, VOLUME("a", SEGMENT(1, 0, 4, 2, "\"pv0\", 10, \"pv1\", 0")) VOLUME("b", ""));
	struct vd_disk d = { .size = sizeof(disk), .read = disk_read };
	const struct vdisk_partition part = { .number = 2, .off = PV_BYTES, .len = PV_BYTES };
	vdisk_volumes *v;
	vd_error err;
	long n;

	(void)state;
	put_text(0, text, 512);
	put_text(1, "", 512);
	for (n = 0;; n++) {
		alloc_fail_at(n);
		int rc = vd_volumes_read(&d, &part, 1, &v, &err);

		alloc_fail_at(-1);
		if (!rc)
			break;
		assert_int_equal(err.kind, VDISK_NOMEM);
	}
	assert_true(n > 15);
	assert_null(vdisk_volumes_get(v, 0)->problem);
	vdisk_volumes_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_language), cmocka_unit_test(test_language_wrong), cmocka_unit_test(test_where_volumes_lie),
		cmocka_unit_test(test_problems),
		cmocka_unit_test(test_spread), cmocka_unit_test(test_spread_bounded), cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_newest_text_counts),
		cmocka_unit_test(test_damage),   cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

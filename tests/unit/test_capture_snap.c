/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots of mounted volumes: what is planned, from made-up texts of LVM's programs; and what is read while there are some, with
 * programs that only pretend: files stand for disks and snapshots.
 */
#include "capture/find_text.h"
#include "capture/host_run.h"
#include "capture/snap.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB  ((size_t)1 << 20)
#define KIB  1024u
#define SIZE (16 * MIB)
#define G    "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG"
#define G_   "AAAAAABBBBCCCCDDDDEEEEFFFFGGGGGG"

static char root[] = "/tmp/vdisk-snap-XXXXXX";

static void path_of(char path[PATH_MAX], const char *name)
{
	assert_true(find_path(path, root, "%s", name));
	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(path, 0700) && errno != EEXIST)
			fail_msg("%s", path);
		*p = '/';
	}
}

static void file(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	path_of(path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(0, fclose(f));
}

static void program(const char *name, const char *text)
{
	char path[PATH_MAX], in[64], whole[4096];

	snprintf(in, sizeof(in), "/bin/%s", name);
	snprintf(whole, sizeof(whole), "#!/bin/sh\nR=%s\necho \"%s $*\" >>$R/log\n%s", root, name, text);
	file(in, whole);
	path_of(path, in);
	assert_int_equal(0, chmod(path, 0700));
}

static void linked(const char *name, const char *target)
{
	char path[PATH_MAX];

	path_of(path, name);
	unlink(path);
	assert_int_equal(0, symlink(target, path));
}

static void folder(const char *name)
{
	char in[256], path[PATH_MAX];

	snprintf(in, sizeof(in), "%s/x", name);
	path_of(path, in);
}

static bool logged(const char *text)
{
	char log[8192];

	find_text(log, sizeof(log), root, "/log");
	return strstr(log, text) != NULL;
}

/* ---- the machine: sda with /boot and a volume group's part, sdb whole in the group; root linear, data striped over both, thin on
   neither */

static void mapping(unsigned n, const char *name, const char *volume)
{
	char in[128], text[128];

	snprintf(in, sizeof(in), "/sys/block/dm-%u/dm/name", n);
	file(in, name);
	snprintf(in, sizeof(in), "/sys/block/dm-%u/dm/uuid", n);
	snprintf(text, sizeof(text), "LVM-" G_ "%s\n", volume);
	file(in, text);
	snprintf(in, sizeof(in), "/sys/class/block/dm-%u", n);
	snprintf(text, sizeof(text), "../../block/dm-%u", n);
	linked(in, text);
	snprintf(in, sizeof(in), "/sys/dev/block/253:%u", n);
	linked(in, text);
	snprintf(in, sizeof(in), "/sys/block/dm-%u/slaves/sda2", n);
	folder(in);
}

static void machine_make(void)
{
	file("/sys/block/sda/sda1/partition", "1\n");
	file("/sys/block/sda/sda2/partition", "2\n");
	file("/sys/block/sda/sda2/start", "2048\n");
	file("/sys/block/sdb/size", "32768\n");
	linked("/sys/class/block/sda", "../../block/sda");
	linked("/sys/class/block/sda1", "../../block/sda/sda1");
	linked("/sys/class/block/sda2", "../../block/sda/sda2");
	linked("/sys/class/block/sdb", "../../block/sdb");
	linked("/sys/dev/block/8:1", "../../block/sda/sda1");
	linked("/sys/dev/block/8:2", "../../block/sda/sda2");
	linked("/sys/dev/block/8:16", "../../block/sdb");
	file("/dev/sda2", "");
	file("/dev/sdb", "");
	mapping(0, "vg-root\n", "root0000000000000000000000000000");
	mapping(1, "vg-my--data\n", "data0000000000000000000000000000");
	mapping(2, "vg-thin\n", "thin0000000000000000000000000000");
	file("/proc/self/mountinfo", "1 0 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n"
	                             "2 1 253:1 / /data rw - xfs /dev/mapper/vg-my--data rw\n"
	                             "3 1 253:2 / /thin rw - ext4 /dev/mapper/vg-thin rw\n"
	                             "4 1 8:1 / /boot rw - ext4 /dev/sda1 rw\n");
	file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
	file("/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
}

/* 4 MiB of root; 2 MiB of data, in pieces of 64 KiB. */
static const char lvs[] = "  vg|root|" G "|root00-0000-0000-0000-0000-0000-000000|-wi-ao----|wz--n-|4194304|1048576|%s|\n"
                          "  vg|my-data|" G "|data00-0000-0000-0000-0000-0000-000000|-wi-ao----|wz--n-|2097152|1048576|%s|a,b\n"
                          "  vg|thin|" G "|thin00-0000-0000-0000-0000-0000-000000|Vwi-aotz--|wz--n-|2097152|1048576|%s|\n";
static const char pvs[] =
	"  /dev/sda2|vg|15728640|1048576|14|1048576\n  /dev/sdb|vg|16777216|1048576|15|1048576\n  /dev/sdc||1000|0|0|0\n  /dev/sdd||1000|||\n";
static const char table[] =
	"vg-root: 0 6144 linear 8:2 2048\nvg-root: 6144 2048 linear 8:16 2048\n"
	"vg-my--data: 0 4096 striped 2 128 8:2 10240 8:16 6144\nvg-thin: 0 4096 thin 253:9 1\ncrypt: 0 10 crypt aes-xts 0 8:3 0\n";

static struct lvm_facts facts_of(const char *left, const char *pvs_text, const char *table_text)
{
	struct lvm_facts f;
	vdisk_error err = { 0 };
	char text[2048];

	snprintf(text, sizeof(text), lvs, left, left, left);
	if (lvm_facts_read(&f, text, pvs_text, table_text, &err))
		fail_msg("%s", err.message);
	return f;
}

static struct live_mount *mount_of(struct live *l, const char *folder_)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->mounts[i].folder, folder_))
			return &l->mounts[i];
	fail_msg("%s is not mounted", folder_);
	return NULL;
}

static const char *const names[] = { "sda", "sdb" };

static void planned(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	struct lvm_facts f = facts_of("104857600", pvs, table);
	struct snaps s;
	struct live l;

	(void)state;
	assert_int_equal(0, live_find(&l, names, 2, root, NULL));
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(2, s.n);
	assert_string_equal("root", s.v[0].volume);
	assert_int_equal(20 * MIB, s.v[0].room); /* all of it, and LVM's own lists */
	assert_int_equal(2, s.v[0].n_pieces);
	assert_int_equal(2 * MIB, s.v[0].pieces[0].off); /* the partition's MiB and the head's */
	assert_int_equal(3 * MIB, s.v[0].pieces[0].len);
	assert_int_equal(1, s.v[0].pieces[1].disk);
	assert_int_equal(MIB, s.v[0].pieces[1].off);
	assert_int_equal(3 * MIB, s.v[0].pieces[1].at);
	assert_int_equal(2, s.v[1].n_pieces);
	assert_int_equal(64 * KIB, s.v[1].pieces[1].at);
	assert_int_equal(128 * KIB, s.v[1].pieces[1].stride);
	assert_int_equal(3 * MIB, s.v[1].pieces[1].off);
	/* Heads: before the first extents; nothing is behind the last ones. */
	assert_int_equal(2, s.n_heads);
	assert_int_equal(MIB, s.heads[0].off);
	assert_int_equal(MIB, s.heads[0].len);
	assert_int_equal(0, s.heads[1].off);
	assert_non_null(strstr(mount_of(&l, "/thin")->why_not, "plain volume"));
	assert_string_equal("", mount_of(&l, "/boot")->why_not);
	snap_drop(&s, NULL);
	/* Of a disk that is not captured nothing is planned. */
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 1, root));
	assert_int_equal(1, s.v[0].n_pieces);
	assert_int_equal(1, s.n_heads);
	snap_drop(&s, NULL);
	lvm_facts_free(&f);
	live_free(&l);
}

static void not_enough_room(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	struct lvm_facts f = facts_of("26214400", pvs, table); /* 25 MiB, of 20 and 18 that are wanted */
	struct snaps s;
	struct live l;

	(void)state;
	assert_int_equal(0, live_find(&l, names, 2, root, NULL));
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(1, s.n);
	assert_string_equal("root", s.v[0].volume); /* others can be frozen for longer */
	assert_int_equal(20 * MIB, s.v[0].room);
	assert_string_equal("its volume group vg has only 25 MiB free", mount_of(&l, "/data")->why_not);
	snap_drop(&s, NULL);
	lvm_facts_free(&f);
	f = facts_of("0", pvs, table);
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(0, s.n);
	assert_string_equal("its volume group vg has only 0 MiB free", mount_of(&l, "/")->why_not);
	snap_drop(&s, NULL);
	lvm_facts_free(&f);
	live_free(&l);
}

static void in_between(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	static const struct { const char *pvs, *table, *why;
	} cases[] = {
		{ "  /dev/sda2|vg|15728640|1048576|14|1048576\n  /dev/gone|vg|16777216|1048576|15|1048576\n", table,
		  "is missing: /dev/gone" },
		{ "  /dev/mapper/crypt|vg|15728640|1048576|14|1048576\n", table, "lies on dm-7, which is no disk" },
		{ "  /dev/sda2|vg|99928640|1048576|14|1048576\n", table, "larger than its disk" },
		{ pvs, "vg-root: 0 8192 linear 253:7 2048\n", "it lies on dm-7, which is no disk" },
		{ pvs, "vg-root: 0 8192 raid raid1 3 0 region_size 4096 2 253:1 253:2\n", "of the kind \"raid\"" },
		{ pvs, "vg-root: 0 4096 linear 8:2 2048\n", "is not known" },
	};

	(void)state;
	mapping(7, "crypt\n", "");
	file("/sys/block/dm-7/dm/uuid", "CRYPT-LUKS2-x\n");
	linked("/dev/mapper/crypt", "../dm-7");
	file("/dev/dm-7", "");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct lvm_facts f = facts_of("104857600", cases[i].pvs, cases[i].table);
		struct snaps s;
		struct live l;

		assert_int_equal(0, live_find(&l, names, 2, root, NULL));
		assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
		assert_int_equal(0, s.n);
		if (!strstr(mount_of(&l, "/")->why_not, cases[i].why))
			fail_msg("case %zu: \"%s\" is due to say \"%s\"", i, mount_of(&l, "/")->why_not, cases[i].why);
		snap_drop(&s, NULL);
		live_free(&l);
		lvm_facts_free(&f);
	}
}

/* The kernel finds a btrfs by what its devices hold, and a snapshot holds the same. */
static void btrfs_is_frozen(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	struct lvm_facts f = facts_of("104857600", pvs, table);
	struct snaps s;
	struct live l;

	(void)state;
	assert_int_equal(0, live_find(&l, names, 2, root, NULL));
	strcpy(mount_of(&l, "/")->fs, "btrfs");
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(1, s.n);
	assert_string_equal("my-data", s.v[0].volume);
	assert_non_null(strstr(mount_of(&l, "/")->why_not, "btrfs"));
	snap_drop(&s, NULL);
	live_free(&l);
	lvm_facts_free(&f);
}

/* A volume that has snapshots already lies where its hidden part does. */
static void snapped_by_others(void **state)
{
	struct disk disks[2] = { { .kernel = "sda", .size = SIZE }, { .kernel = "sdb", .size = SIZE } };
	struct lvm_facts f =
		facts_of("104857600", pvs, "vg-root: 0 8192 snapshot-origin 253:8\nvg-root-real: 0 8192 linear 8:2 2048\n");
	struct snaps s;
	struct live l;

	(void)state;
	mapping(8, "vg-root-real\n", "root0000000000000000000000000000-real");
	assert_int_equal(0, live_find(&l, names, 2, root, NULL));
	assert_int_equal(0, snap_plan(&s, &l, &f, disks, 2, root));
	assert_int_equal(1, s.n);
	assert_int_equal(2 * MIB, s.v[0].pieces[0].off);
	assert_int_equal(4 * MIB, s.v[0].pieces[0].len);
	snap_drop(&s, NULL);
	live_free(&l);
	lvm_facts_free(&f);
}

static void texts_that_are_not_understood(void **state)
{
	static const struct { const char *lvs, *pvs, *table;
	} cases[] = {
		{ "vg|root\n", "", "" },
		{ "vg|root|a|b|-|w|x|1|1|\n", "", "" },
		{ "vg|root|a|b|-|w|1|0|1|\n", "", "" },
		{ "vg|root|a|b|-|w|1|1|1||\n", "", "" },
		{ "", "/dev/sda|vg|10|20|1|1\n", "" },
		{ "", "/dev/sda|vg|100|20|18446744073709551615|1\n", "" },
		{ "", "", "vg-root\n" },
		{ "", "", "a: 0 x linear 8:2 0\n" },
		{ "", "", "a: 0 99 striped 2 128 8:1 0 8:2 0\n" },
		{ "", "", "a: 0 36028797018963969 linear 8:1 0\n" },
		{ "", "", "a: 0 256 striped 0 128\n" },
	};
	struct lvm_facts f;
	vdisk_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		err = (vdisk_error){ 0 };
		if (!lvm_facts_read(&f, cases[i].lvs, cases[i].pvs, cases[i].table, &err) || !strstr(err.message, "not understood"))
			fail_msg("case %zu: %s", i, err.message);
		assert_int_equal(0, f.n_volumes + f.n_pvs + f.n_targets);
	}
	assert_int_equal(0, lvm_facts_read(&f, "", "", "No devices found\n", &err));
	lvm_facts_free(&f);
	assert_true(lvm_snapshot_good("0 204800 snapshot 16/20480 16\n"));
	assert_false(lvm_snapshot_good("0 204800 snapshot 20480/20480 96\n"));
	assert_false(lvm_snapshot_good("0 204800 snapshot Invalid\n"));
	assert_false(lvm_snapshot_good("0 204800 snapshot Overflow\n"));
	assert_false(lvm_snapshot_good("0 204800 linear\n"));
	assert_false(lvm_snapshot_good(""));
}

/* ---- made */

static unsigned notes;
static char note_last[1024];

static void note_take(const char *message)
{
	notes++;
	snprintf(note_last, sizeof(note_last), "%s", message);
}

/* lvcreate changes LVM's metadata, and copies what the volume holds at that moment: root, or data. */
static void programs_make(void)
{
	char text[2048];

	snprintf(text, sizeof(text), lvs, "104857600", "104857600", "104857600");
	file("/lvs", text);
	file("/pvs", pvs);
	file("/table", table);
	file("/status", "0 204800 snapshot 16/20480 16\n");
	program("lvs", "cat $R/lvs $R/lvs.more 2>/dev/null\nexit 0\n");
	program("pvs", "cat $R/pvs\n");
	program("dmsetup", "case $1 in table) cat $R/table $R/table.more 2>/dev/null; exit 0 ;; status) cat $R/status ;; esac\n");
	program("lvcreate",
	        "[ ! -e $R/refuse ] || { echo '  WARNING: x' >&2; echo '  Insufficient free space' >&2; exit 5; }\n"
	        "name=$3 volume=${12}\ncase $volume in vg/root) n=20 ;; vg/my-data) n=21 ;; *) exit 3 ;; esac\n"
	        "mkdir -p $R/sys/block/dm-$n/dm\necho vg-$(echo $name | sed s/-/--/g) >$R/sys/block/dm-$n/dm/name\n"
	        "cp $R/now-$n $R/dev/dm-$n\nprintf changed | dd of=$R/disk-0 bs=1 seek=1049000 conv=notrunc 2>/dev/null\n"
	        "printf changed | dd of=$R/disk-1 bs=1 seek=900 conv=notrunc 2>/dev/null\n"
	        "echo \"vg-$(echo $name | sed s/-/--/g)-cow: 0 2048 linear 8:16 20480\" >>$R/table.more\n");
	program("lvremove",
	        "[ ! -e $R/busy ] || { rm $R/busy; echo 'in use' >&2; exit 5; }\nrm -rf $R/sys/block/dm-2[01]\nrm -f $R/table.more\n");
}

static void bytes_fill(uint8_t *p, size_t n, uint32_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		p[i] = (uint8_t)(seed >> 24);
	}
}

static void bytes_put(const char *name, const uint8_t *p, size_t n)
{
	char path[PATH_MAX];
	FILE *f;

	path_of(path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(n, fwrite(p, 1, n, f));
	assert_int_equal(0, fclose(f));
}

/* root: 3 MiB of the first disk from 2 MiB on, 1 MiB of the second from 1 MiB on; data: pieces of both. */
static void volumes_put(const uint8_t *a, const uint8_t *b)
{
	uint8_t *root_bytes = malloc(4 * MIB), *data = malloc(2 * MIB);

	assert_true(root_bytes && data);
	memcpy(root_bytes, a + 2 * MIB, 3 * MIB);
	memcpy(root_bytes + 3 * MIB, b + MIB, MIB);
	for (size_t i = 0; i < 16; i++) {
		memcpy(data + i * 128 * KIB, a + 6 * MIB + i * 64 * KIB, 64 * KIB);
		memcpy(data + i * 128 * KIB + 64 * KIB, b + 3 * MIB + i * 64 * KIB, 64 * KIB);
	}
	bytes_put("/now-20", root_bytes, 4 * MIB);
	bytes_put("/now-21", data, 2 * MIB);
	free(root_bytes);
	free(data);
}

struct world {
	uint8_t *was[2], *now[2];
	struct disk disks[2];
	struct live live;
};

static void world_make(struct world *w)
{
	char path[PATH_MAX], name[16];

	programs_make();
	for (unsigned i = 0; i < 2; i++) {
		w->was[i] = malloc(SIZE);
		w->now[i] = malloc(SIZE);
		assert_true(w->was[i] && w->now[i]);
		bytes_fill(w->was[i], SIZE, i + 1);
		bytes_fill(w->now[i], SIZE, i + 11);
		snprintf(name, sizeof(name), "/disk-%u", i);
		bytes_put(name, w->was[i], SIZE);
		path_of(path, name);
		assert_int_equal(0, disk_open(&w->disks[i], path, NULL));
		strcpy(w->disks[i].kernel, i ? "sdb" : "sda");
	}
	volumes_put(w->was[0], w->was[1]);
	assert_int_equal(0, live_find(&w->live, names, 2, root, NULL));
}

static void world_free(struct world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		free(w->was[i]);
		free(w->now[i]);
		disk_close(&w->disks[i]);
	}
	live_free(&w->live);
}

static void read_from_snapshots(void **state)
{
	struct snaps s;
	struct world w;
	uint8_t *buf = aligned_alloc(DISK_ALIGN, TRANSFER_CHUNK), *due = malloc(SIZE);
	struct vdisk_range x;
	char name[128], tag[LVM_NAME];

	(void)state;
	world_make(&w);
	snap_take(&s, &w.live, w.disks, 2, root, note_take);
	assert_true(snap_any(&s));
	assert_false(snap_broken(&s));
	assert_true(mount_of(&w.live, "/")->snapped && mount_of(&w.live, "/data")->snapped);
	assert_false(mount_of(&w.live, "/boot")->snapped || mount_of(&w.live, "/thin")->snapped);
	snap_tag(tag, root);
	snprintf(name, sizeof(name), "--name " SNAP_PREFIX "%ld-1 --extents 20 --permission r --monitor n --addtag",
	         (long)getpid());
	assert_true(logged(name) && logged(tag) && logged(" vg/my-data"));
	/* The machine goes on. */
	bytes_put("/disk-0", w.now[0], SIZE);
	bytes_put("/disk-1", w.now[1], SIZE);
	for (unsigned i = 0; i < 2; i++) {
		struct content c = { .disk = &w.disks[i], .layers = s.layers[i], .n_layers = s.n_layers[i] };

		memcpy(due, w.now[i], SIZE);
		memcpy(due + (i ? 0 : MIB), w.was[i] + (i ? 0 : MIB), MIB);
		memcpy(due + (i ? MIB : 2 * MIB), w.was[i] + (i ? MIB : 2 * MIB), i ? MIB : 3 * MIB);
		memcpy(due + (i ? 3 : 6) * MIB, w.was[i] + (i ? 3 : 6) * MIB, MIB);
		for (size_t k = 0; k < SIZE / MIB; k++) {
			assert_int_equal(0, content_read(&c, k, buf, NULL));
			if (memcmp(buf, due + k * MIB, MIB))
				fail_msg("disk %u, chunk %zu", i, k);
		}
	}
	/* The snapshots' own space: two of 1 MiB at the same place here. */
	assert_int_equal(0, s.own[0].n);
	assert_int_equal(1, s.own[1].n);
	assert_int_equal(10 * MIB, s.own[1].v[0].off);
	/* Where bytes of the striped one lie: from 200 KiB on, 100 KiB: none of the first disk's third row, and so on. */
	assert_true(content_layer_find(&s.layers[0][2], 200 * KIB, 100 * KIB, &x));
	assert_int_equal(6 * MIB + 128 * KIB, x.off);
	assert_int_equal(44 * KIB, x.len);
	assert_true(content_layer_find(&s.layers[1][2], 200 * KIB, 100 * KIB, &x));
	assert_int_equal(3 * MIB + 72 * KIB, x.off);
	assert_int_equal(56 * KIB, x.len);
	assert_false(content_layer_find(&s.layers[0][0], 0, MIB, &x)); /* LVM's own */
	file("/status", "0 204800 snapshot Invalid\n");
	assert_true(snap_broken(&s));
	file("/busy", "");
	snap_drop(&s, note_take);
	assert_true(logged("lvremove -f vg/" SNAP_PREFIX));
	assert_false(snap_any(&s));
	live_thaw(&w.live);
	assert_false(mount_of(&w.live, "/")->snapped);
	world_free(&w);
	free(buf);
	free(due);
}

static void refused_by_lvm(void **state)
{
	struct snaps s;
	struct world w;
	char path[PATH_MAX];

	(void)state;
	world_make(&w);
	path_of(path, "/log");
	unlink(path);
	file("/refuse", "");
	snap_take(&s, &w.live, w.disks, 2, root, note_take);
	assert_false(snap_any(&s));
	assert_false(mount_of(&w.live, "/")->snapped);
	assert_string_equal("lvcreate: Insufficient free space", mount_of(&w.live, "/")->why_not);
	assert_int_equal(0, s.n_layers[0] + s.n_layers[1]);
	snap_drop(&s, note_take);
	assert_false(logged("lvremove")); /* nothing of ours is there */
	path_of(path, "/refuse");
	unlink(path);
	path_of(path, "/bin/pvs");
	unlink(path);
	setenv("PATH", path, 1);
	notes = 0;
	snap_take(&s, &w.live, w.disks, 2, root, note_take);
	assert_int_equal(1, notes);
	assert_false(snap_any(&s));
	snap_drop(&s, note_take);
	world_free(&w);
}

/* ---- left behind */

static void left_behind(void **state)
{
	char text[4096], stat[64], gone[64];
	struct lvm_facts f;
	vdisk_error err = { 0 };
	char tag[LVM_NAME];

	(void)state;
	snprintf(stat, sizeof(stat), "/proc/%ld/stat", (long)getpid());
	file(stat, "1 (a ) b) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 1\n");
	file("/proc/77/stat", "77 (other) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1 1\n");
	snap_tag(tag, root);
	snprintf(gone, sizeof(gone), ":%ld:4711", (long)getpid());
	assert_non_null(strstr(tag, gone));
#define M "vdisk-capture:0123456789abcdef0123456789abcdef:"
#define B "11111111222233334444555555555555"
	assert_false(snap_tag_stale(tag, root));
	assert_false(snap_tag_stale(M B ":77:99", root));
	assert_true(snap_tag_stale(M B ":77:98", root)); /* its number is another process' now */
	assert_true(snap_tag_stale(M B ":78:99", root));
	assert_true(snap_tag_stale(M "22222222222233334444555555555555:77:99", root)); /* before a boot */
	assert_false(snap_tag_stale("vdisk-capture:another:" B ":78:99", root)); /* another machine's */
	assert_false(snap_tag_stale(M B ":78", root));
	assert_false(snap_tag_stale("backup", root));
	snprintf(text, sizeof(text), "vg|root|" G "|r|owi-aos---|wz--n-|1|1|0|\n"
	         "vg|vdisk-capture-78-1|" G "|a|swi-a-s---|wz--n-|1|1|0|x," M B ":78:99\n"
	         "vg|vdisk-capture-79-1|" G "|b|Swi-I-s---|wz--n-|1|1|0|" M B ":79:99\n"
	         "vg|vdisk-capture-77-1|" G "|c|swi-a-s---|wz--n-|1|1|0|" M B ":77:99\n"      /* runs */
	         "vg|vdisk-capture-80-1|" G "|d|-wi-a-----|wz--n-|1|1|0|" M B ":80:99\n"      /* no snapshot */
	         "vg|vdisk-capture-81-1|" G "|e|swi-a-s---|wz--n-|1|1|0|mine\n"               /* no tag */
	         "vg|nightly|" G "|f|swi-a-s---|wz--n-|1|1|0|" M B ":82:99\n");              /* another name */
	if (lvm_facts_read(&f, text, "", "", &err))
		fail_msg("%s", err.message);
	programs_make();
	file("/log", "");
	notes = 0;
	snap_stale(&f, root, note_take);
	assert_int_equal(2, notes);
	assert_non_null(strstr(note_last, "vg/vdisk-capture-79-1, which an earlier capture left, was removed"));
	find_text(text, sizeof(text), root, "/log");
	assert_string_equal("lvremove -f vg/vdisk-capture-78-1\nlvremove -f vg/vdisk-capture-79-1", text);
	lvm_facts_free(&f);
}

static void programs_of_the_host(void **state)
{
	static const char *const none[] = { "no-such-program", NULL }, *const talks[] = { "talks", NULL },
				 *const fails[] = { "fails", NULL };
	vdisk_error err = { 0 };
	char *text;

	(void)state;
	program("talks", "echo noise >&2\nhead -c 300000 /dev/zero | tr '\\0' x\nhead -c 300000 /dev/zero >&2\n");
	program("fails", "echo half\necho first >&2\necho '  the reason  ' >&2\necho >&2\nexit 5\n");
	assert_int_equal(-1, host_run(none, &text, &err));
	assert_string_equal("the program no-such-program is not there", err.message);
	if (host_run(talks, &text, &err))
		fail_msg("%s", err.message);
	assert_int_equal(300000, strlen(text));
	free(text);
	assert_int_equal(-1, host_run(fails, &text, &err));
	assert_string_equal("fails: the reason", err.message);
}

static int path_set(void **state)
{
	char text[PATH_MAX + 32];

	(void)state;
	snprintf(text, sizeof(text), "%s/bin:/usr/bin:/bin", root);
	return setenv("PATH", text, 1);
}

static int root_make(void **state)
{
	if (!mkdtemp(root))
		return -1;
	machine_make();
	return path_set(state);
}

static int root_remove(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "/bin/rm -rf %s", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(planned), cmocka_unit_test(not_enough_room), cmocka_unit_test(in_between),
		cmocka_unit_test(btrfs_is_frozen), cmocka_unit_test(snapped_by_others),
		cmocka_unit_test(texts_that_are_not_understood),
		cmocka_unit_test_setup(read_from_snapshots, path_set),
		cmocka_unit_test_setup(refused_by_lvm, path_set),
		cmocka_unit_test_setup(left_behind, path_set),
		cmocka_unit_test_setup(programs_of_the_host, path_set),
	};

	return cmocka_run_group_tests(tests, root_make, root_remove);
}

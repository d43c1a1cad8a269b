/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots of mounted volumes: what is read while there are some, and what a run left behind, with programs that only pretend:
 * files stand for disks and snapshots.
 */
#include "capture/host_run.h"
#include "capture_lvm.h"

/* ---- made */

static unsigned notes;
static char note_last[1024];

static void note_take(const char *message)
{
	notes++;
	snprintf(note_last, sizeof(note_last), "%s", message);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(read_from_snapshots, path_set),
		cmocka_unit_test_setup(refused_by_lvm, path_set),
		cmocka_unit_test_setup(left_behind, path_set),
		cmocka_unit_test_setup(programs_of_the_host, path_set),
	};

	return cmocka_run_group_tests(tests, root_make, root_remove);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of adapting a Windows looks outside of its tree: the state of an NTFS (made by mkntfs, marked by ntfsfix), an ISO of
   drivers. */
#include "adapt_windows.h"
#include "common/ntfs.h"
#include "iso_tree.h"

#include <fcntl.h>

/* ---------------------------------------------------------------- NTFS */

struct disk {
	int fd;
	const unsigned char *log; /* shown in the place of the log's first bytes; NULL: what is there */
	size_t log_len;
	uint64_t reads;
};

static int disk_read(void *to, uint64_t off, void *buf, size_t len, vdisk_error *err)
{
	struct disk *d = to;
	ssize_t n = pread(d->fd, buf, len, (off_t)off);

	(void)err;
	d->reads += len;
	if (n < 0)
		return -1;
	memset((char *)buf + n, 0, len - (size_t)n);
	if (d->log && len > 4096) /* nothing else of it is read in one piece */
		memcpy(buf, d->log, d->log_len < len ? d->log_len : len);
	return 0;
}

static void expect_state(struct disk *d, int due, const char *part)
{
	vdisk_error err = { 0 };
	const char *why = "";
	int now = ntfs_state(disk_read, d, &why, &err);

	if (now != due || !strstr(due < 0 ? err.message : why, part))
		fail_msg("due %d, %s; it is %d, %s%s", due, part, now, why, err.message);
}

static void page_put(unsigned char *b, uint64_t lsn, unsigned client, unsigned flags)
{
	memset(b, 0, 4096);
	memcpy(b, "RSTR", 4);
	put32(b, 16, 4096);
	put32(b, 20, 4096);
	b[24] = 0x30;
	put32(b, 0x30, (uint32_t)lsn);
	put32(b, 0x30 + 12, client | flags << 16);
}

static void ntfs_states(unsigned sector)
{
	char path[] = "/tmp/vdisk-ntfs-XXXXXX", command[200];
	struct disk d = { .fd = mkstemp(path) };
	unsigned char log[8192];

	assert_true(d.fd >= 0);
	assert_int_equal(ftruncate(d.fd, 8 << 20), 0);
	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin; mkntfs -F -Q -q -s %u -p 0 -H 0 -S 0 %s >/dev/null 2>&1",
	         sector, path);
	if (system(command)) {
		print_message("no mkntfs\n");
		unlink(path);
		skip();
	}
	expect_state(&d, 1, "");
	assert_true(d.reads < 65536);
	page_put(log, 5, 0xffff, 0);
	page_put(log + 4096, 6, 0, 0);
	d.log = log;
	d.log_len = sizeof(log);
	expect_state(&d, 0, "its log holds changes"); /* the second page is the newer one */
	page_put(log, 7, 0xffff, 0);
	expect_state(&d, 1, "");
	page_put(log, 8, 0, 2); /* a client, and marked clean */
	expect_state(&d, 1, "");
	page_put(log, 9, 0, 0);
	expect_state(&d, 0, "its log holds changes");
	memset(log, 0, sizeof(log));
	expect_state(&d, 0, "its log holds changes");
	d.log = NULL;
	/* which asks Windows for a check */
	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin; ntfsfix %s >/dev/null 2>&1", path);
	assert_int_equal(system(command), 0);
	expect_state(&d, 0, "chkdsk");
	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin; ntfsfix -d %s >/dev/null 2>&1", path);
	assert_int_equal(system(command), 0);
	expect_state(&d, 1, "");
	close(d.fd);
	unlink(path);
}

static void test_ntfs(void **state)
{
	(void)state;
	ntfs_states(512);
}

static void test_ntfs_4k(void **state)
{
	(void)state;
	ntfs_states(4096);
}

/* Random bytes in its head and its first records: an answer, or a refusal that says NTFS. */
static void test_ntfs_damage(void **state)
{
	char path[] = "/tmp/vdisk-ntfs-XXXXXX", command[200];
	struct disk d = { .fd = mkstemp(path) };
	unsigned char head[512], records[4096];
	uint64_t mft;
	const char *given = getenv("VDISK_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : 20210103;

	(void)state;
	assert_true(d.fd >= 0);
	assert_int_equal(ftruncate(d.fd, 8 << 20), 0);
	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin; mkntfs -F -Q -q -s 512 -p 0 -H 0 -S 0 %s >/dev/null 2>&1",
	         path);
	if (system(command)) {
		unlink(path);
		skip();
	}
	print_message("seed %u\n", seed);
	srand(seed);
	assert_int_equal(pread(d.fd, head, sizeof(head), 0), sizeof(head));
	mft = (uint64_t)head[48] * head[13] * 512;
	assert_int_equal(pread(d.fd, records, sizeof(records), (off_t)mft), sizeof(records));
	for (unsigned round = 0; round < 2000; round++) {
		unsigned char h[512], r[4096];
		vdisk_error err = { 0 };
		const char *why;

		memcpy(h, head, sizeof(h));
		memcpy(r, records, sizeof(r));
		if (rand() % 3 == 0)
			h[11 + rand() % 54] = (unsigned char)rand();
		for (unsigned n = 1 + (unsigned)rand() % 4; n; n--)
			r[2048 + rand() % 2048] = (unsigned char)rand();
		assert_int_equal(pwrite(d.fd, h, sizeof(h), 0), sizeof(h));
		assert_int_equal(pwrite(d.fd, r, sizeof(r), (off_t)mft), sizeof(r));
		if (ntfs_state(disk_read, &d, &why, &err) < 0 && strncmp(err.message, "NTFS: ", 6))
			fail_msg("round %u: %s", round, err.message);
	}
	close(d.fd);
	unlink(path);
}

/* ---------------------------------------------------------------- ISO */

static bool is_wanted(void *to, const char *path)
{
	return !strcmp(path, to) || strstr(path, ".inf");
}

static void expect_file(struct tree *t, const char *path, const char *due)
{
	struct bytes now = { 0 };
	struct tree_stat st;
	int rc = t->ops->read(t, path, 100, &now, NULL);

	if (rc != (due != NULL) || (due && strcmp(now.at, due)))
		fail_msg("%s: due %s, and it is %d %s", path, due ? due : "(none)", rc, now.at ? now.at : "");
	assert_int_equal(t->ops->stat(t, path, true, &st, NULL), due != NULL);
	bytes_destroy(&now);
}

static void test_iso(void **state)
{
	char folder[] = "/tmp/vdisk-iso-XXXXXX", iso[100], command[1000];
	static const char *const twins[] = { "/amd64/2k19/viostor.sys", "/viostor/2k19/amd64/viostor.sys" };
	struct bytes names = { 0 };
	vdisk_error err = { 0 };
	struct tree *t;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(iso, sizeof(iso), "%s/drivers.iso", folder);
	snprintf(
		command, sizeof(command),
		"cd %s && mkdir -p in/viostor/2k19/amd64 in/amd64/2k19 in/guest-agent && cd in && printf '[Version]' >viostor/2k19/amd64/viostor.inf && "
		"printf MZ >viostor/2k19/amd64/viostor.sys && ln viostor/2k19/amd64/viostor.sys amd64/2k19/ && printf MZ >guest-agent/setup.exe && "
		"ln -s /etc/passwd evil.inf && genisoimage -quiet -R -J -cache-inodes -o ../drivers.iso .",
		folder);
	if (system(command)) {
		snprintf(command, sizeof(command), "rm -rf '%s'", folder);
		assert_int_equal(system(command), 0);
		print_message("no genisoimage\n");
		skip();
	}
	for (unsigned i = 0; i < 2; i++) { /* one of them has the content, the other one is told as a link to it */
		t = iso_tree_open(iso, is_wanted, (void *)(uintptr_t)twins[!i], &err);
		if (!t)
			fail_msg("%s", err.message);
		expect_file(t, twins[!i], "MZ");
		expect_file(t, twins[i], NULL);
		expect_file(t, "/viostor/2k19/amd64/viostor.inf", "[Version]");
		expect_file(t, "/guest-agent/setup.exe", NULL);
		expect_file(t, "/evil.inf", NULL);
		expect_file(t, "/../../etc/passwd", NULL);
		if (!i)
			tree_close(t);
	}
	assert_int_equal(t->ops->list(t, "/", &names, &err), 1);
	assert_int_equal(names.len, 14);
	assert_memory_equal(names.at, "amd64\0viostor", 14);
	bytes_clear(&names);
	assert_int_equal(t->ops->list(t, "/viostor/2k19", &names, &err), 1);
	assert_string_equal(names.at, "amd64");
	assert_int_equal(t->ops->list(t, "/vio", &names, &err), 0);
	bytes_destroy(&names);
	tree_close(t);
	assert_null(iso_tree_open("/dev/null", is_wanted, (void *)(uintptr_t)twins[0], &err));
	assert_int_equal(truncate(iso, 40960), 0);
	assert_null(iso_tree_open(iso, is_wanted, (void *)(uintptr_t)twins[0], &err));
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ntfs), cmocka_unit_test(test_ntfs_4k),
		                            cmocka_unit_test(test_ntfs_damage), cmocka_unit_test(test_iso) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Settings inside an initramfs that belong to the old machine. */
#include "adapt_guest.h"

#include "generator.h"
#include "initrd_config.h"

#define ROOT "11111111-1111-4111-8111-111111111111"
#define SWAP "22222222-2222-4222-8222-222222222222"

static const struct fact_fs disk[] = { FS(1, "ext4", ROOT, "/"), FS(2, "swap", SWAP, "") };
static const struct adapt_options kvm = { .targets = TARGET_KVM };

/* cpio's newc: a header in hexadecimal digits, name and content, each filled up to 4 bytes. */
static void member(struct bytes *b, const char *path, unsigned mode, const char *content)
{
	size_t name = strlen(path) + 1, len = strlen(content);

	bytes_format(b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, mode, 0, 0, 1, 0, (unsigned)len, 0, 0, 0,
	             0, (unsigned)name, 0);
	bytes_add(b, path, name);
	while (b->len & 3)
		bytes_add(b, "", 1);
	bytes_add(b, content, len);
	while (b->len & 3)
		bytes_add(b, "", 1);
}

static const struct edit old[] = {
	{ "usr/etc/x", "", SAME },
	{ "etc/lvm/lvm.conf", "devices {\n\tfilter = [ \"a|/dev/sda|\", \"r|.*|\" ]\n}\n",
	  "devices {\n# vdisk: \tfilter = [ \"a|/dev/sda|\", \"r|.*|\" ]\n}\n" },
	{ "etc/lvm/devices/system.devices", "IDTYPE=sys_wwid IDNAME=naa.1\n", SAME },
	{ "etc/lvm/lvmlocal.conf", "# own",
	  "# own\n# vdisk: the physical volumes listed in system.devices have other identities on the new machine\ndevices {\n\tuse_devicesfile = 0\n}\n" },
	{ "etc/modprobe.d/b.conf", "blacklist virtio_blk\nblacklist floppy\n",
	  "# vdisk: blacklist virtio_blk\nblacklist floppy\n" },
	{ "etc/modprobe.d/c.conf", "blacklist floppy\n", SAME },
	{ "conf/conf.d/resume", "RESUME=/dev/sda2\n", "RESUME=UUID=" SWAP "\n" },
	{ "cryptroot/crypttab", "swap_crypt /dev/sda2 /dev/urandom swap\n", "swap_crypt PARTUUID=aabbccdd-02 /dev/urandom swap\n" },
	{ "etc/cmdline.d/95resume.conf", " resume=/dev/sda2 ", " resume=UUID=" SWAP " " },
	{ 0 },
};

static const char *const folders[] = { "bin",           "conf",    "cryptroot",       "conf/conf.d",    "etc",
	                               "etc/cmdline.d", "etc/lvm", "etc/lvm/devices", "etc/modprobe.d", "usr",
	                               "usr/etc",       NULL };

static void check(const struct edit *members, size_t due)
{
	const struct edit none[] = { { 0 } };
	const struct facts f = FACTS(disk);
	struct bytes image = { 0 };
	struct initrd_files files;
	vdisk_error err = { 0 };
	struct initrd i = { 0 };
	struct guest g;

	for (const char *const *d = folders; *d; d++)
		member(&image, *d, 040755, "");
	for (const struct edit *e = members; e->path; e++)
		member(&image, e->path, 0100644, e->before);
	member(&image, "TRAILER!!!", 0, "");
	if (initrd_read(&i, image.at, image.len, &err))
		fail_msg("%s", err.message);
	guest_make(&g, none);
	if (initrd_config(&g.plan, &f, &kvm, &i, &files, &err))
		fail_msg("%s", err.message);
	guest_idle(&g);
	for (size_t n = 0; n < files.n; n++) {
		const struct edit *e = members;

		while (e->path && strcmp(e->path, files.v[n].path))
			e++;
		if (!e->path || !e->after)
			fail_msg("%s: is to stay, and becomes\n%s", files.v[n].path, files.v[n].content.at);
		if (strcmp(e->after, files.v[n].content.at))
			fail_msg("%s: due\n%s\nand it is\n%s", e->path, e->after, files.v[n].content.at);
	}
	if (files.n != due)
		fail_msg("%zu files are due, and there are %zu", due, files.n);
	initrd_files_destroy(&files);
	initrd_destroy(&i);
	bytes_destroy(&image);
	guest_destroy(&g);
}

static void test_changed(void **state)
{
	(void)state;
	check(old, 6);
}

static void test_nothing(void **state)
{
	static const struct edit members[] = { { "etc/lvm/lvm.conf", "devices {\n}\n", SAME }, { "bin/sh", "x", SAME }, { 0 } };

	(void)state;
	check(members, 0);
}

/* ---------------------------------------------------------------- the guest's own maker of such images */

static int registered(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	static const char *const load[] = { "virtio_blk" };
	const struct generator_want want = { .for_whom = "kvm", .load = load, .load_n = 1 };

	(void)f, (void)o;
	return generator_register(p, INITRD_INITRAMFS_TOOLS, &want, err);
}

/* Our lines among an administrator's: those of before go, and nobody else's. */
static void test_our_lines(void **state)
{
#define BEGIN "# vdisk adapt: begin (drivers of x)"
#define END   "# vdisk adapt: end"
#define OURS  "# vdisk adapt: begin (drivers of kvm)\nvirtio_blk\n# vdisk adapt: end\n"
	static const struct {
		const char *before, *after;
	} v[] = {
		{ NULL, OURS },
		{ "", OURS },
		{ "dm_mod", "dm_mod\n" OURS },
		{ "dm_mod\n" BEGIN "\nvmw_pvscsi\n" END "\nmy_raid\n", "dm_mod\nmy_raid\n" OURS },
		{ BEGIN "\na\n" END "\nb\n" BEGIN "\nc\n" END "\nd\n", "b\nd\n" OURS },
		{ "dm_mod\r\n" BEGIN "\r\nvmw_pvscsi\r\n" END "\r\nmy_raid\r\n", "dm_mod\r\nmy_raid\r\n" OURS },
		/* Without an end, any of them may be the administrator's. */
		{ "dm_mod\n" BEGIN "\nvmw_pvscsi\nmy_raid\nmy_fs", "dm_mod\nvmw_pvscsi\nmy_raid\nmy_fs\n" OURS },
		{ BEGIN "\na\n" BEGIN "\nb\n" END "\nc\n", "a\nc\n" OURS },
		{ "a\n" END "\nb\n" BEGIN, "a\n" END "\nb\n" OURS },
	};
	const struct facts f = FACTS(disk);

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		const struct edit edits[] = { { "/etc/initramfs-tools/modules", v[i].before, v[i].after }, { 0 } };

		guest_check(registered, &f, &kvm, edits, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_changed), cmocka_unit_test(test_nothing),
		                            cmocka_unit_test(test_our_lines) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An initramfs from bytes: each packing, pieces one behind the other, links, whose it is; and bytes that are none. */
#include "initrd_append.h"
#include "initrd_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static unsigned inode;

/* One newc member; `content` NULL: a folder, unless `mode` says otherwise. */
static void newc(struct bytes *b, const char *path, uint32_t mode, const char *content)
{
	size_t name = strlen(path) + 1, len = content ? strlen(content) : 0;

	bytes_format(b, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ++inode, mode, 0, 0, 1, 0, len, 0, 0, 0, 0,
	             name, 0);
	bytes_add(b, path, name);
	while (b->len & 3)
		bytes_add(b, "", 1);
	bytes_add(b, content ? content : "", len);
	while (b->len & 3)
		bytes_add(b, "", 1);
}

static void folder(struct bytes *b, const char *path) { newc(b, path, S_IFDIR | 0755, NULL); }
static void file(struct bytes *b, const char *path, const char *content) { newc(b, path, S_IFREG | 0644, content); }
static void symlink_(struct bytes *b, const char *path, const char *to) { newc(b, path, S_IFLNK | 0777, to); }
static void trailer(struct bytes *b) { newc(b, "TRAILER!!!", 0, NULL); }

static void pack(struct bytes *out, enum initrd_packing packing, const struct bytes *cpio)
{
	vdisk_error err;

	if (stream_pack(packing, cpio->at, cpio->len, out, &err))
		fail_msg("%s: %s", initrd_packing_name(packing), err.message);
}

static void debian(struct bytes *b)
{
	folder(b, ".");
	folder(b, "usr");
	folder(b, "usr/lib");
	symlink_(b, "lib", "usr/lib");
	file(b, "conf/initramfs.conf", "MODULES=list\n");
	file(b, "conf/modules", "ahci\n");
	file(b, "usr/lib/modules/6.1.0/kernel/drivers/ata/ahci.ko", "x");
	file(b, "usr/lib/modules/6.1.0/kernel/drivers/net/virtio-net.ko.xz", "x");
	file(b, "usr/lib/modules/6.1.0/modules.dep", "kernel/drivers/ata/ahci.ko:\n");
	trailer(b);
}

static void reads(struct initrd *i, const struct bytes *b)
{
	vdisk_error err;

	if (initrd_read(i, b->at, b->len, &err))
		fail_msg("%s", err.message);
}

static void each_packing(void **state)
{
	static const enum initrd_packing all[] = { INITRD_PLAIN, INITRD_GZIP, INITRD_ZSTD, INITRD_LZ4, INITRD_LZMA, INITRD_BZIP2 };

	(void)state;
	for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
		struct bytes cpio = { 0 }, image = { 0 };
		struct initrd i;

		file(&cpio, "kernel/x86/microcode/AuthenticAMD.bin", "microcode");
		trailer(&cpio);
		bytes_add(&image, cpio.at, cpio.len);
		while (image.len & 511)
			bytes_add(&image, "", 1);
		bytes_clear(&cpio);
		debian(&cpio);
		pack(&image, all[n], &cpio);
		reads(&i, &image);
		assert_int_equal(i.parts_n, 2);
		assert_true(i.parts[0].early);
		assert_false(i.parts[1].early);
		assert_int_equal(i.parts[1].packing, all[n]);
		assert_int_equal(i.parts[1].off, 512);
		assert_int_equal(i.parts[1].off + i.parts[1].len, image.len);
		assert_int_equal(i.tool, INITRD_INITRAMFS_TOOLS);
		assert_false(i.systemd);
		assert_int_equal(i.modules_n, 2);
		assert_string_equal(initrd_module(&i, "6.1.0", "virtio_net")->path, "kernel/drivers/net/virtio-net.ko.xz");
		assert_null(initrd_module(&i, "6.1.1", "virtio_net"));
		assert_non_null(initrd_module(&i, NULL, "ahci"));
		assert_null(initrd_module(&i, NULL, "virtio_blk"));
		assert_string_equal(initrd_find(&i, "/lib/modules/6.1.0/modules.dep")->content.at, "kernel/drivers/ata/ahci.ko:\n");
		initrd_destroy(&i);
		bytes_destroy(&cpio);
		bytes_destroy(&image);
	}
}

/* Behind each kind of stream, zeros and another archive; of one path the last counts. */
static void one_behind_the_other(void **state)
{
	static const enum initrd_packing all[] = { INITRD_PLAIN, INITRD_GZIP, INITRD_ZSTD, INITRD_LZ4, INITRD_LZMA, INITRD_BZIP2 };

	(void)state;
	for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
		for (size_t m = 0; m < sizeof(all) / sizeof(all[0]); m++) {
			struct bytes cpio = { 0 }, more = { 0 }, image = { 0 };
			struct initrd i;
			size_t first;

			debian(&cpio);
			pack(&image, all[n], &cpio);
			first = image.len;
			bytes_add(&image, "\0\0\0\0", 4);
			while (image.len & 3)
				bytes_add(&image, "", 1);
			file(&more, INITRD_MARK, "ours");
			file(&more, "conf/modules", "virtio_blk\n");
			trailer(&more);
			pack(&image, all[m], &more);
			reads(&i, &image);
			assert_int_equal(i.parts_n, 2);
			assert_int_equal(i.parts[0].len, all[n] == INITRD_PLAIN ? cpio.len : first);
			assert_true(i.parts[1].ours);
			assert_false(i.parts[0].ours);
			assert_string_equal(initrd_find(&i, "conf/modules")->content.at, "virtio_blk\n");
			initrd_destroy(&i);
			bytes_destroy(&cpio);
			bytes_destroy(&more);
			bytes_destroy(&image);
		}
	}
}

static void links_stay_inside(void **state)
{
	struct bytes cpio = { 0 };
	struct initrd i;
	char out[64];

	(void)state;
	symlink_(&cpio, "a", "b");
	symlink_(&cpio, "b", "a");
	symlink_(&cpio, "up", "../../../etc");
	file(&cpio, "etc/modules", "loop\n");
	symlink_(&cpio, "usr/sbin", "/bin");
	file(&cpio, "bin/nash", "");
	trailer(&cpio);
	reads(&i, &cpio);
	assert_null(initrd_find(&i, "a/x"));
	assert_string_equal(initrd_find(&i, "up/modules")->content.at, "loop\n");
	assert_non_null(initrd_find(&i, "usr/sbin/nash"));
	assert_int_equal(i.tool, INITRD_MKINITRD);
	assert_true(initrd_resolve(&i, "usr/sbin/../sbin/new", out, sizeof(out)));
	assert_string_equal(out, "sbin/new"); /* .. is of where the link leads */
	assert_false(initrd_resolve(&i, "a", out, sizeof(out)));
	assert_false(
		initrd_resolve(&i, "0123456789012345678901234567890123456789012345678901234567890123456789", out, sizeof(out)));
	initrd_destroy(&i);
	bytes_destroy(&cpio);
}

static void whose_it_is(void **state)
{
	static const struct { const char *path; enum initrd_tool tool; bool systemd;
	} v[] = {
		{ "usr/lib/dracut/build-parameter.txt", INITRD_DRACUT, false },
		{ "init_functions", INITRD_MKINITCPIO, false },
		{ "sbin/nlplug-findfs", INITRD_MKINITFS, false },
		{ "run_all.sh", INITRD_MKINITRD, false },
		{ "init", INITRD_UNKNOWN, false },
		{ "usr/lib/systemd/systemd", INITRD_UNKNOWN, true },
	};

	(void)state;
	for (size_t n = 0; n < sizeof(v) / sizeof(v[0]); n++) {
		struct bytes cpio = { 0 };
		struct initrd i;
		char above[64];

		snprintf(above, sizeof(above), "%s", v[n].path);
		for (char *slash = strchr(above, '/'); slash; slash = strchr(slash + 1, '/')) {
			*slash = '\0';
			folder(&cpio, above);
			*slash = '/';
		}
		file(&cpio, v[n].path, "x");
		trailer(&cpio);
		reads(&i, &cpio);
		assert_int_equal(i.tool, v[n].tool);
		assert_int_equal(i.systemd, v[n].systemd);
		initrd_destroy(&i);
		bytes_destroy(&cpio);
	}
}

static void refuses(const void *at, size_t len, enum vdisk_error_kind kind, const char *says)
{
	struct initrd i;
	vdisk_error err = { 0 };

	assert_int_equal(initrd_read(&i, at, len, &err), -1);
	if (err.kind != kind || !strstr(err.message, says))
		fail_msg("due: %s, …%s…; came: %s, %s", vdisk_error_kind_name(kind), says, vdisk_error_kind_name(err.kind),
		         err.message);
}

static void what_is_none(void **state)
{
	struct bytes cpio = { 0 }, image = { 0 }, bomb = { 0 };

	(void)state;
	debian(&cpio);
	refuses("MZ\0\0", 4, VDISK_CORRUPT, "byte 0: what begins there");
	refuses("\x89LZO", 4, VDISK_UNSUPPORTED, "lzo");
	bytes_add(&image, cpio.at, cpio.len);
	bytes_add(&image, "junk", 4);
	refuses(image.at, image.len, VDISK_CORRUPT, "what begins there");
	for (int p = INITRD_GZIP; p <= INITRD_BZIP2; p++) {
		if (p == INITRD_XZ)
			continue;
		bytes_clear(&image);
		pack(&image, (enum initrd_packing)p, &cpio);
		refuses(image.at, image.len - image.len / 3, VDISK_CORRUPT, initrd_packing_name((enum initrd_packing)p));
	}
	for (int i = 0; i < 4096; i++)
		bytes_add(&bomb, "07070107070107070107070107070107", 32);
	bytes_clear(&image);
	pack(&image, INITRD_ZSTD, &bomb);
	refuses(image.at, image.len, VDISK_CORRUPT, "cpio");
	bytes_destroy(&cpio);
	bytes_destroy(&image);
	bytes_destroy(&bomb);
}

/* What is kept of a file, and what its streams hold, is bounded over all of them. */
static void what_is_held_is_bounded(void **state)
{
	struct bytes cpio = { 0 }, image = { 0 };
	char *much = malloc(15u << 20);
	struct initrd i;

	(void)state;
	assert_non_null(much);
	memset(much, 'x', (15u << 20) - 1);
	much[(15u << 20) - 1] = '\0';
	file(&cpio, "etc/modprobe.d/a", much);
	trailer(&cpio);
	for (int n = 0; n < 4; n++)
		bytes_add(&image, cpio.at, cpio.len);
	reads(&i, &image);
	assert_int_equal(i.kept, 4 * ((15u << 20) - 1));
	assert_int_equal(i.unpacked, 0);
	initrd_destroy(&i);
	bytes_add(&image, cpio.at, cpio.len);
	refuses(image.at, image.len, VDISK_UNSUPPORTED, "with etc/modprobe.d/a, it has more than 67108864 bytes of settings");

	bytes_clear(&image);
	pack(&image, INITRD_ZSTD, &cpio);
	reads(&i, &image);
	assert_int_equal(i.unpacked, cpio.len);
	initrd_destroy(&i);
	pack(&image, INITRD_ZSTD, &cpio);
	refuses(image.at, image.len, VDISK_UNSUPPORTED, "a zstd stream unpacks to more than");
	bytes_destroy(&cpio);
	bytes_destroy(&image);
	free(much);
}

/* Changed bytes are read or refused, and nothing else; under the sanitizers this is where a wild read shows. */
static void changed_bytes(void **state)
{
	unsigned seed = getenv("VDISK_SEED") ? (unsigned)strtoul(getenv("VDISK_SEED"), NULL, 10) : 20240607u;
	struct bytes cpio = { 0 }, whole = { 0 }, copy = { 0 };

	(void)state;
	print_message("VDISK_SEED=%u\n", seed);
	debian(&cpio);
	for (int p = INITRD_PLAIN; p <= INITRD_BZIP2; p++) {
		if (p != INITRD_XZ)
			pack(&whole, (enum initrd_packing)p, &cpio);
		while (whole.len & 3)
			bytes_add(&whole, "", 1);
	}
	for (int round = 0; round < 3000; round++) {
		struct initrd i;
		vdisk_error err = { 0 };

		bytes_clear(&copy);
		bytes_add(&copy, whole.at, whole.len);
		for (int n = rand_r(&seed) % 6; n >= 0; n--)
			copy.at[(unsigned)rand_r(&seed) % copy.len] = (char)rand_r(&seed);
		if (rand_r(&seed) % 4 == 0)
			copy.len = (unsigned)rand_r(&seed) % copy.len;
		if (!initrd_read(&i, copy.at, copy.len, &err))
			initrd_destroy(&i);
		else
			assert_true(err.kind == VDISK_CORRUPT || err.kind == VDISK_UNSUPPORTED);
	}
	bytes_destroy(&cpio);
	bytes_destroy(&whole);
	bytes_destroy(&copy);
}

static void loads(enum initrd_tool tool, const char *file_path, const char *content, const char *path, const char *due)
{
	static const char *const load[] = { "virtio_pci", "virtio_blk" };
	struct bytes cpio = { 0 }, out = { 0 };
	struct initrd i;
	const char *where = "";

	if (file_path)
		file(&cpio, file_path, content);
	trailer(&cpio);
	reads(&i, &cpio);
	i.tool = tool;
	assert_true(load_list(&i, load, 2, &where, &out));
	assert_string_equal(where, path);
	assert_string_equal(out.at, due);
	initrd_destroy(&i);
	bytes_destroy(&cpio);
	bytes_destroy(&out);
}

static void lists_of_what_to_load(void **state)
{
	(void)state;
	loads(INITRD_INITRAMFS_TOOLS, "conf/modules", "ahci \nvirtio_blk  x=1", "conf/modules",
	      "ahci \nvirtio_blk  x=1\nvirtio_pci\n");
	loads(INITRD_MKINITFS, NULL, NULL, "etc/modules", "virtio_pci\nvirtio_blk\n");
	loads(INITRD_DRACUT, NULL, NULL, "etc/cmdline.d/90-vdisk-adapt.conf", " rd.driver.pre=virtio_pci,virtio_blk\n");
	loads(INITRD_DRACUT, "usr/lib/systemd/systemd-modules-load", "", "etc/modules-load.d/90-vdisk-adapt.conf",
	      "virtio_pci\nvirtio_blk\n");
	loads(INITRD_MKINITCPIO, "config", "MODULES=\"ahci\"\n", "config",
	      "MODULES=\"ahci\"\nMODULES=\"$MODULES virtio_pci virtio_blk\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_packing),          cmocka_unit_test(one_behind_the_other),
		cmocka_unit_test(links_stay_inside),     cmocka_unit_test(whose_it_is),
		cmocka_unit_test(what_is_none),          cmocka_unit_test(changed_bytes),
		cmocka_unit_test(lists_of_what_to_load), cmocka_unit_test(what_is_held_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kernel's modules: names, what needs what, kmod's index, and which of them the targets want. */
#include "initrd_stream.h"
#include "kmod_index.h"
#include "wanted.h"

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

struct fixture {
	char root[64];
	struct tree *guest;
};

static void file_put(const struct fixture *f, const char *name, const char *text)
{
	char path[300];
	FILE *out;

	snprintf(path, sizeof(path), "%s/m/%s", f->root, name);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fputs(text, out) < 0, 0);
	assert_int_equal(fclose(out), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	vdisk_error err;
	char path[80];

	snprintf(f->root, sizeof(f->root), "/tmp/test_adapt_modules.XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(path, sizeof(path), "%s/m", f->root);
	assert_int_equal(mkdir(path, 0755), 0);
	f->guest = tree_folder_open(f->root, true, &err);
	assert_non_null(f->guest);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char line[128];

	tree_close(f->guest);
	snprintf(line, sizeof(line), "rm -rf %s", f->root);
	assert_int_equal(system(line), 0);
	free(f);
	return 0;
}

static void opened(const struct fixture *f, struct kmod *k)
{
	vdisk_error err;

	if (kmod_open(k, f->guest, "/m", "1.0", &err) != 1)
		fail_msg("%s", err.message);
}

static const char deps[] =
	"kernel/a/virtio_ring.ko.xz: kernel/a/virtio.ko.xz\n"
	"kernel/a/virtio.ko.xz:\n"
	"kernel/b/virtio-blk.ko.xz: kernel/a/virtio_ring.ko.xz kernel/a/virtio.ko.xz\n"
	"kernel/c/soft.ko:\nkernel/c/before.ko:\nkernel/c/after.ko: kernel/c/soft.ko kernel/c/gone.ko\nkernel/c/crc32c_generic.ko:\n"
	"kernel/c/loop1.ko: kernel/c/loop2.ko\nkernel/c/loop2.ko: kernel/c/loop1.ko\n"
	"no module\n: x\nkernel/c/.ko:\n";

static void needs(struct kmod *k, const char *name, const char *due)
{
	struct kmod_module **list = calloc(k->n + 1, sizeof(struct kmod_module *));
	struct bytes got = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++)
		k->modules[i].taken = false;
	kmod_closure(k, name, list, &n);
	bytes_text(&got, "");
	for (size_t i = 0; i < n; i++)
		bytes_format(&got, "%s%s", i ? " " : "", list[i]->name);
	assert_string_equal(got.at, due);
	bytes_destroy(&got);
	free(list);
}

static void what_needs_what(void **state)
{
	struct fixture *f = *state;
	struct kmod k;

	file_put(f, "modules.dep", deps);
	file_put(f, "modules.softdep",
	         "# Soft\nsoftdep soft pre: before crypto-crc32c post: after nowhere\nsoftdep after pre: soft\n");
	file_put(f, "modules.alias", "alias crypto-crc32c crc32c_generic\nalias pci:* virtio_blk\n");
	file_put(f, "modules.builtin", "kernel/x/xen-blkfront.ko\nkernel/x/sd_mod.ko\n\nodd\n");
	opened(f, &k);
	assert_int_equal(k.n, 9);
	needs(&k, "virtio_blk", "virtio virtio_ring virtio_blk");
	needs(&k, "soft", "before crc32c_generic soft after");
	needs(&k, "after", "before crc32c_generic soft after");
	needs(&k, "loop1", "loop2 loop1");
	needs(&k, "nowhere", "");
	assert_true(kmod_is_builtin(&k, "xen_blkfront"));
	assert_false(kmod_is_builtin(&k, "odd"));
	assert_int_equal(module_where(&k, "virtio_blk"), MODULE_FILE);
	assert_int_equal(module_where(&k, "sd_mod"), MODULE_BUILTIN);
	assert_int_equal(module_where(&k, "ahci"), MODULE_NOWHERE);
	kmod_close(&k);
}

/* Several lines about one module, in the order of the file, among lines about others; what is wanted weakly comes last. */
static void soft_lines(void **state)
{
	struct fixture *f = *state;
	struct kmod k;

	file_put(f, "modules.dep", "z.ko:\nd.ko:\nc.ko:\nb.ko:\na.ko: d.ko\ne.ko:\nf.ko:\ng.ko:\n");
	file_put(f, "modules.softdep",
	         "softdep nobody pre: z\nsoftdep a post: g\nsoftdep g pre: z\nsoftdep a pre: c\nsoftdep b pre: z\nsoftdep a pre: b\n");
	file_put(f, "modules.weakdep", "weakdep b e\n#weakdep a z\nweakdep a f\nweakdep a e");
	opened(f, &k);
	needs(&k, "a", "c z b e d a g f");
	needs(&k, "g", "z g");
	needs(&k, "c", "c");
	kmod_close(&k);
}

static void no_modules(void **state)
{
	struct fixture *f = *state;
	struct kmod k;
	vdisk_error err;

	file_put(f, "modules.builtin", "kernel/drivers/block/virtio_blk.ko\n");
	assert_int_equal(kmod_open(&k, f->guest, "/m", "1.0", &err), 0);
	assert_true(target_reached(&k, &target_infos[0], false));
	assert_false(target_reached(&k, &target_infos[2], true));
	kmod_close(&k);
}

static void names_of_modules(void **state)
{
	char out[8];

	(void)state;
	assert_true(module_name("kernel/drivers/ata/a-b.ko.zst", out, sizeof(out)));
	assert_string_equal(out, "a_b");
	assert_true(module_name("x.ko", out, sizeof(out)));
	assert_false(module_name("kernel/a.ko.lzo", out, sizeof(out)));
	assert_false(module_name("kernel/.ko", out, sizeof(out)));
	assert_false(module_name("kernel.ko/a", out, sizeof(out)));
	assert_false(module_name("kernel/12345678.ko", out, sizeof(out)));
	assert_int_equal(module_class("kernel/drivers/ata/ahci.ko"), MODULE_STORAGE);
	assert_int_equal(module_class("kernel/drivers/block/loop.ko"), MODULE_OTHER);
	assert_int_equal(module_class("kernel/drivers/net/virtio_net.ko"), MODULE_NETWORK);
	assert_int_equal(module_class("kernel/drivers/net/phy/realtek.ko"), MODULE_OTHER);
	assert_int_equal(module_class("kernel/net/core/failover.ko"), MODULE_OTHER);
}

/* Looked up as kmod does: node by node, from the root. */
static uint32_t be32(const struct bytes *b, size_t at)
{
	const uint8_t *p = (const uint8_t *)b->at + at;

	assert_true(at + 4 <= b->len);
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const char *looked_up(const struct bytes *b, const char *key)
{
	uint32_t node = be32(b, 8);

	for (;;) {
		size_t at = node & 0x0fffffff;

		if (node & 0x80000000) {
			size_t len = strlen(b->at + at);

			if (strncmp(key, b->at + at, len))
				return NULL;
			key += len;
			at += len + 1;
		}
		if (node & 0x20000000) {
			int first = b->at[at], last = b->at[at + 1];

			if (*key && *key >= first && *key <= last) {
				node = be32(b, at + 2 + 4 * (size_t)(*key++ - first));
				if (!node)
					return NULL;
				continue;
			}
			at += 2 + 4 * (size_t)(last - first + 1);
		}
		if (*key || !(node & 0x40000000))
			return NULL;
		assert_true(be32(b, at) > 0);
		return b->at + at + 8;
	}
}

static void index_is_found(void **state)
{
	struct bytes dep = { 0 }, alias = { 0 }, out = { 0 };
	vdisk_error err;

	(void)state;
	bytes_text(&dep, deps);
	bytes_text(
		&alias,
		"# c\nalias pci:v00001AF4d-x[a-z]* virtio-blk\nalias pci:v00001AF4 soft\nalias virtio:d1 before\nalias odd\nalias \xc3\xa4 soft\n");
	assert_int_equal(kmod_index(KMOD_DEP, &dep, &dep, &out, &err), 0);
	assert_int_equal(be32(&out, 0), 0xb007f457);
	assert_string_equal(looked_up(&out, "virtio_blk"),
	                    "kernel/b/virtio-blk.ko.xz: kernel/a/virtio_ring.ko.xz kernel/a/virtio.ko.xz");
	assert_string_equal(looked_up(&out, "virtio"), "kernel/a/virtio.ko.xz:");
	assert_string_equal(looked_up(&out, "soft"), "kernel/c/soft.ko:");
	assert_null(looked_up(&out, "virtio_"));
	assert_null(looked_up(&out, "w"));
	assert_int_equal(kmod_index(KMOD_ALIAS, &alias, &dep, &out, &err), 0);
	assert_string_equal(looked_up(&out, "pci:v00001AF4d_x[a-z]*"), "virtio_blk");
	assert_string_equal(looked_up(&out, "pci:v00001AF4"), "soft");
	assert_string_equal(looked_up(&out, "virtio:d1"), "before");
	bytes_clear(&alias);
	assert_int_equal(kmod_index(KMOD_ALIAS, &alias, &dep, &out, &err), 0);
	assert_int_equal(out.len, 12);
	bytes_destroy(&dep);
	bytes_destroy(&alias);
	bytes_destroy(&out);
}

static void listed(const struct wanted *w, const char *due)
{
	struct bytes got = { 0 };

	bytes_text(&got, "");
	for (size_t i = 0; i < w->n; i++)
		bytes_format(&got, "%s%s", i ? " " : "", w->names[i]);
	assert_string_equal(got.at, due);
	bytes_destroy(&got);
}

static void what_targets_want(void **state)
{
	struct fixture *f = *state;
	struct wanted load = { 0 }, extra = { 0 };
	struct bytes lacks = { 0 };
	struct kmod k;
	const char *bad;

	assert_int_equal(target_parse("kvm,hyperv", &bad), TARGET_KVM | TARGET_HYPERV);
	assert_int_equal(target_parse("kvm,qemu", &bad), 0);
	assert_string_equal(bad, "qemu");
	assert_int_equal(target_parse("kvm,", &bad), 0);
	assert_int_equal(target_parse("", &bad), 0);
	file_put(
		f, "modules.dep",
		"k/virtio_blk.ko:\nk/virtio_pci.ko:\nk/virtio_net.ko:\nk/hv_storvsc.ko:\nk/hv_vmbus.ko:\nk/sd_mod.ko:\nk/hv_netvsc.ko:\n");
	file_put(f, "modules.builtin", "k/virtio.ko\nk/virtio_ring.ko\n");
	opened(f, &k);
	wanted_of(&k, TARGET_HYPERV, &load, &extra);
	listed(&load, "hv_vmbus hv_storvsc sd_mod");
	listed(&extra, "hv_netvsc");
	load.n = extra.n = 0;
	wanted_of(&k, TARGET_KVM | TARGET_HYPERV, &load, &extra);
	listed(&load, "virtio_pci virtio_blk sd_mod");
	listed(&extra, "hv_vmbus hv_storvsc virtio_net hv_netvsc");
	assert_true(target_reached(&k, &target_infos[0], true));
	assert_false(target_reached(&k, &target_infos[0], false));
	assert_false(target_reached(&k, &target_infos[1], true)); /* sd_mod alone sees no disk */
	target_lacks(&k, &target_infos[0], &lacks);
	assert_string_equal(lacks.at, "virtio_scsi");
	bytes_destroy(&lacks);
	kmod_close(&k);
}

static void packed_modules(void **state)
{
	static const enum initrd_packing all[] = { INITRD_GZIP, INITRD_ZSTD, INITRD_LZMA };
	struct bytes elf = { 0 }, packed = { 0 }, out = { 0 };
	vdisk_error err = { 0 };

	(void)state;
	bytes_add(&elf, "\177ELF, and so on", 15);
	assert_int_equal(module_unpack("a.ko", &elf, &out, &err), 0);
	assert_int_equal(out.len, 15);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		bytes_clear(&packed);
		assert_int_equal(stream_pack(all[i], elf.at, elf.len, &packed, &err), 0);
		assert_int_equal(module_unpack("a.ko.x", &packed, &out, &err), 0);
		assert_int_equal(out.len, 15);
		assert_memory_equal(out.at, elf.at, 15);
		packed.len -= 4;
		assert_int_equal(module_unpack("a.ko.x", &packed, &out, &err), -1);
	}
	bytes_clear(&elf);
	bytes_text(&elf, "#!/bin/sh");
	assert_int_equal(module_unpack("a.ko", &elf, &out, &err), -1);
	assert_string_equal(err.message, "a.ko: is no kernel module");
	bytes_destroy(&elf);
	bytes_destroy(&packed);
	bytes_destroy(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_needs_what, set_up, tear_down),
		cmocka_unit_test_setup_teardown(soft_lines, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_modules, set_up, tear_down),
		cmocka_unit_test(names_of_modules),
		cmocka_unit_test(index_is_found),
		cmocka_unit_test_setup_teardown(what_targets_want, set_up, tear_down),
		cmocka_unit_test(packed_modules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

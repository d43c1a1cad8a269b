/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Raw views of the disks (the file itself, vdisk-mount's, or a temporary copy), GRUB's readers over them, the configuration that
 * is found first, and what it names as files of our own.  Views are gone before the guest runs.
 */
#include "bootdisk.h"
#include "boot.h"
#include "fstest.h"
#include "program.h"
#include "uki.h"
#include "common/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KERNEL_MAX (UINT64_C(512) << 20)
#define INITRD_MAX (UINT64_C(2) << 30)

struct views {
	struct fstest files;
	char mounted[FSTEST_DISKS_MAX][ENGINE_PATH_MAX]; /* "": it is not */
	char copied[FSTEST_DISKS_MAX][ENGINE_PATH_MAX];
};

static bool view_mount(struct setup *s, struct views *v, unsigned i)
{
	const struct source_options *o = &s->options->source;
	char program[4096], *argv[2 * SOURCE_ALLOW_MAX + 8];
	vdisk_error err;
	unsigned n = 0;

	program_own("vdisk-mount", program);
	snprintf(v->mounted[i], sizeof(v->mounted[i]), "%s/disk%u", s->folder, i);
	if (access("/dev/fuse", R_OK | W_OK) || mkdir(v->mounted[i], 0700)) {
		v->mounted[i][0] = '\0';
		return false;
	}
	argv[n++] = program;
	if (o->format) {
		argv[n++] = (char *)"--format";
		argv[n++] = (char *)o->format;
	}
	for (size_t a = 0; a < o->n_allow; a++) {
		argv[n++] = (char *)"--allow-parent";
		argv[n++] = (char *)o->allow[a];
	}
	argv[n++] = (char *)"--";
	argv[n++] = (char *)s->options->images[i];
	argv[n++] = v->mounted[i];
	argv[n] = NULL;
	char *said = program_read(argv, 4096, 60);
	snprintf(v->files.disks[i], sizeof(v->files.disks[i]), "%s/disk%u/disk", s->folder, i);
	if (said && !access(v->files.disks[i], R_OK)) {
		free(said);
		return true;
	}
	free(said);
	if (rmdir(v->mounted[i]))
		fail_errno(&err, "%s", v->mounted[i]); /* nothing to be done about it */
	v->mounted[i][0] = '\0';
	return false;
}

static int view_make(struct setup *s, struct views *v, unsigned i, vdisk_error *err)
{
	vdisk_image *img = s->config.disks[i];
	struct vdisk_layer_info info;

	/* The image itself lies below its overlay, or is what was opened. */
	unsigned base = s->options->source.rw ? 0 : 1;
	if (vdisk_depth(img) == base + 1 && !vdisk_layer_get(img, base, &info, err) && !strcmp(info.format, "raw")) {
		char *path = realpath(s->options->images[i], NULL);

		if (path && strlen(path) < sizeof(v->files.disks[i])) {
			strcpy(v->files.disks[i], path);
			free(path);
			return 0;
		}
		free(path);
	}
	if (view_mount(s, v, i))
		return 0;
	struct vdisk_convert_options convert = { .format = "raw" };
	snprintf(v->copied[i], sizeof(v->copied[i]), "%s/disk%u.raw", s->folder, i);
	snprintf(v->files.disks[i], sizeof(v->files.disks[i]), "%s/disk%u.raw", s->folder, i);
	return vdisk_convert(img, v->copied[i], &convert, NULL, err);
}

static void views_end(struct views *v)
{
	char program[4096];

	program_own("vdisk-unmount", program);
	for (unsigned i = 0; i < FSTEST_DISKS_MAX; i++) {
		if (v->copied[i][0])
			unlink(v->copied[i]);
		if (!v->mounted[i][0])
			continue;
		char *argv[] = { program, v->mounted[i], NULL };
		free(program_read(argv, 4096, 60));
		rmdir(v->mounted[i]);
	}
}

static const char *const grub_paths[] = { "/boot/grub/grub.cfg", "/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub2/grub.cfg" };
static const char *const extlinux_paths[] = { "/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/extlinux.conf",
	"/boot/syslinux/syslinux.cfg", "/syslinux/syslinux.cfg", "/syslinux.cfg", "/boot/extlinux.conf" };

/* Tries the paths on each device.  1: a choice; 0: none of them is there; -1: it is, and is no good. */
static int paths_try(const struct fstest *t, const struct boot_source *src, const char *const *paths, size_t n, bool grub, bool efi,
                     struct boot_choice *out, vdisk_error *err)
{
	char path[BOOT_PATH_MAX];

	for (unsigned d = 0; d < t->n_devices; d++)
		for (size_t i = 0; i < n; i++)
			if (boot_path(path, t->devices[d].name, paths[i]) && src->exists(src->ctx, path))
				return (grub ? grub_choose(src, path, efi, out, err) : extlinux_choose(src, path, out, err)) ? -1
				                                                                                             : 1;
	return 0;
}

/* Configurations of GRUB on an EFI system partition, which lead to the real ones. */
static int stubs_try(const struct fstest *t, const struct boot_source *src, struct boot_choice *out, vdisk_error *err)
{
	char folder[BOOT_PATH_MAX], path[BOOT_PATH_MAX];

	for (unsigned d = 0; d < t->n_devices; d++) {
		char *list = boot_path(folder, t->devices[d].name, "/EFI/") ? src->list(src->ctx, folder) : NULL;

		for (char *name = list ? strtok(list, "\n") : NULL; name; name = strtok(NULL, "\n"))
			if (snprintf(path, sizeof(path), "%s%sgrub.cfg", folder, name) < (int)sizeof(path) &&
			    src->exists(src->ctx, path)) {
				free(list);
				return grub_choose(src, path, true, out, err) ? -1 : 1;
			}
		free(list);
	}
	return 0;
}

static int loaders_try(const struct fstest *t, const struct boot_source *src, struct boot_choice *out, vdisk_error *err)
{
	char path[BOOT_PATH_MAX];

	for (unsigned d = 0; d < t->n_devices; d++) {
		static const char *const signs[] = { "/loader/entries/", "/EFI/Linux/" };

		for (unsigned i = 0; i < 2; i++) {
			char *list = boot_path(path, t->devices[d].name, signs[i]) ? src->list(src->ctx, path) : NULL;
			bool is = list && strspn(list, " \n") < strlen(list);

			free(list);
			if (is)
				return bls_choose(src, t->devices[d].name, out, err) ? -1 : 1;
		}
	}
	return 0;
}

static int choice_find(struct fstest *t, bool efi, struct boot_choice *out, vdisk_error *err)
{
	struct boot_source src = fstest_source(t);
	int r = paths_try(t, &src, grub_paths, 4, true, efi, out, err);

	if (!r)
		r = loaders_try(t, &src, out, err);
	if (!r)
		r = paths_try(t, &src, extlinux_paths, sizeof(extlinux_paths) / sizeof(*extlinux_paths), false, efi, out, err);
	if (!r)
		r = stubs_try(t, &src, out, err);
	if (r)
		return r < 0 ? -1 : 0;
	return fail(err, VDISK_UNSUPPORTED, "--firmware none: no boot loader's configuration (grub.cfg, loader/entries, EFI/Linux, "
	            "extlinux.conf) on %u devices", t->n_devices);
}

static int file_make(const char *path, vdisk_error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return fd < 0 ? fail_errno(err, "%s", path) : fd;
}

static int bytes_put(const char *path, const uint8_t *bytes, size_t n, vdisk_error *err)
{
	int fd = file_make(path, err);

	if (fd < 0)
		return -1;
	if (write_all(fd, bytes, n)) {
		fail_errno(err, "%s", path);
		close(fd);
		return -1;
	}
	return close(fd) ? fail_errno(err, "%s", path) : 0;
}

/* The parts of the unified image, which lies in s->kernel, as files; its kernel last, as it replaces it. */
static int unified_split(struct setup *s, struct boot_choice *c, vdisk_error *err)
{
	struct uki uki;
	struct stat st;
	int fd = open(s->kernel, O_RDONLY | O_CLOEXEC);
	void *p = fd >= 0 && !fstat(fd, &st) && st.st_size > 0
	              ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	char linux_path[ENGINE_PATH_MAX + 8];
	int r = -1;

	if (fd >= 0)
		close(fd);
	if (p == MAP_FAILED)
		return fail(err, VDISK_IO, "%s: cannot be read", c->kernel);
	if (uki_parse(p, (size_t)st.st_size, &uki, err)) {
		char why[256];

		snprintf(why, sizeof(why), "%.255s", err->message);
		fail(err, err->kind, "%.400s: %s", c->kernel, why);
		goto out;
	}
	const uint8_t *bytes = p;
	if (!*c->append) {
		char words[BOOT_APPEND_MAX];
		size_t n = uki.cmdline.len < sizeof(words) - 1 ? uki.cmdline.len : sizeof(words) - 1;

		memcpy(words, bytes + uki.cmdline.off, n);
		words[n] = '\0';
		words[strcspn(words, "\n")] = '\0';
		boot_append(c, words);
	}
	snprintf(linux_path, sizeof(linux_path), "%s.linux", s->kernel);
	r = bytes_put(linux_path, bytes + uki.linux_.off, uki.linux_.len, err);
	if (!r && uki.initrd.len)
		r = bytes_put(s->initrd, bytes + uki.initrd.off, uki.initrd.len, err);
	if (!r && rename(linux_path, s->kernel))
		r = fail_errno(err, "%s", s->kernel);
	if (!r && uki.initrd.len)
		s->config.initrd = s->initrd;
	if (r)
		unlink(linux_path);
out:
	munmap(p, (size_t)st.st_size);
	return r;
}

/* All initial RAM disks, one behind the other, each from a multiple of 4 on. */
static int initrds_copy(struct setup *s, struct fstest *t, const struct boot_choice *c, vdisk_error *err)
{
	int fd = file_make(s->initrd, err), r = 0;

	for (unsigned i = 0; fd >= 0 && i < c->n_initrds && !r; i++) {
		r = fstest_copy(t, c->initrds[i], fd, INITRD_MAX, err);
		off_t end = lseek(fd, 0, SEEK_END);
		if (!r && end & 3 && ftruncate(fd, (end + 3) & ~(off_t)3))
			r = fail_errno(err, "%s", s->initrd);
		lseek(fd, 0, SEEK_END);
	}
	if (fd >= 0)
		close(fd);
	s->config.initrd = s->initrd;
	return fd < 0 ? -1 : r;
}

static int choice_take(struct setup *s, struct fstest *t, struct boot_choice *c, vdisk_error *err)
{
	int fd = file_make(s->kernel, err);
	int r = fd < 0 ? -1 : fstest_copy(t, c->kernel, fd, KERNEL_MAX, err);

	if (fd >= 0)
		close(fd);
	s->config.kernel = s->kernel;
	if (!r && c->unified)
		r = unified_split(s, c, err);
	else if (!r && c->n_initrds)
		r = initrds_copy(s, t, c, err);
	if (r)
		return -1;
	/* Without firmware there may be no screen: a kernel that would write to nothing else gets the serial line. */
	if ((!strstr(c->append, "console=ttyS0") && !boot_append(c, "console=ttyS0")) ||
	    (s->options->append && !boot_append(c, s->options->append)))
		return fail(err, VDISK_INVALID, "the kernel's command line is too long");
	snprintf(s->append, sizeof(s->append), "%s", c->append);
	s->config.append = s->append;
	return 0;
}

int bootdisk_choose(struct setup *s, vdisk_error *err)
{
	struct views *v = calloc(1, sizeof(*v));
	struct boot_choice choice = { 0 };
	int r = 0;

	if (!v)
		return fail(err, VDISK_NOMEM, "out of memory");
	snprintf(s->kernel, sizeof(s->kernel), "%s/kernel", s->folder);
	snprintf(s->initrd, sizeof(s->initrd), "%s/initrd", s->folder);
	for (unsigned i = 0; i < s->config.n_disks && !r; i++) {
		r = view_make(s, v, i, err);
		v->files.n_disks++;
	}
	if (!r)
		r = fstest_begin(&v->files, err);
	if (!r)
		r = choice_find(&v->files, boot_has_esp(s->config.disks[0]), &choice, err);
	if (!r)
		r = choice_take(s, &v->files, &choice, err);
	views_end(v);
	free(v);
	return r;
}

void bootdisk_release(struct setup *s)
{
	if (*s->kernel)
		unlink(s->kernel);
	if (*s->initrd)
		unlink(s->initrd);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the readers of boot loaders' configurations ask of the disk, and what they find.  Paths are GRUB's: "(DEVICE)/path". */
#ifndef RUNNER_BOOTSOURCE_H
#define RUNNER_BOOTSOURCE_H

#include "common/fail.h"

#define BOOT_PATH_MAX    1024
#define BOOT_DEVICE_MAX  128
#define BOOT_APPEND_MAX  4096
#define BOOT_INITRDS_MAX 8
#define BOOT_TEXT_MAX    (1u << 20) /* of a configuration */

enum boot_find { BOOT_FIND_UUID, BOOT_FIND_LABEL, BOOT_FIND_FILE };

struct boot_source {
	void *ctx;
	/* A text file, NUL-terminated, owned by the caller: free().  NULL: there is none, or it is longer than BOOT_TEXT_MAX. */
	char *(*read)(void *ctx, const char *path);
	bool (*exists)(void *ctx, const char *path);
	/* The names in a folder, one a line, folders with a slash behind; owned by the caller.  NULL: no folder. */
	char *(*list)(void *ctx, const char *path);
	/* The device whose file system has this UUID or label, or on which that file ("/path") is. */
	bool (*find)(void *ctx, enum boot_find what, const char *value, char device[BOOT_DEVICE_MAX]);
};

struct boot_choice {
	char kernel[BOOT_PATH_MAX];
	char initrds[BOOT_INITRDS_MAX][BOOT_PATH_MAX];
	unsigned n_initrds;
	char append[BOOT_APPEND_MAX];
	bool unified; /* the kernel is a unified kernel image, which holds the rest */
};

/* "(DEVICE)/path" from a path that may name its device itself; false: too long. */
bool boot_path(char out[BOOT_PATH_MAX], const char *device, const char *path);
/* Adds words behind a blank; false: no room. */
bool boot_append(struct boot_choice *c, const char *words);

/* The default entry of a grub.cfg.  `path`: the file; `efi`: what $grub_platform says. */
int grub_choose(const struct boot_source *src, const char *path, bool efi, struct boot_choice *out, vdisk_error *err);
/* Entries of the Boot Loader Specification below (DEVICE)/loader, as systemd-boot chooses. */
int bls_choose(const struct boot_source *src, const char *device, struct boot_choice *out, vdisk_error *err);
/* The default of an extlinux.conf or syslinux.cfg. */
int extlinux_choose(const struct boot_source *src, const char *path, struct boot_choice *out, vdisk_error *err);

/* One entry of the Boot Loader Specification; paths in it are of `device`. */
int bls_entry_read(const struct boot_source *src, const char *device, const char *path, struct boot_choice *out, vdisk_error *err);
/* The names of entries, sorted as the specification wants: the one to prefer first.  Returns how many; names point into `list`. */
size_t bls_names_sort(char *list, const char *suffix, char **names, size_t room);

#endif

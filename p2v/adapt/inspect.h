/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking into the disks of a guest without starting anything: what lies on them, and which systems.  Read-only; needs no root and
   no VM. */
#ifndef ADAPT_INSPECT_H
#define ADAPT_INSPECT_H

#include "common/source.h"
#include "facts.h"
#include "shown.h"
#include "inspect_grub.h"

#define INSPECT_DISKS_MAX 32
#define INSPECT_KEYS_MAX 16
#define INSPECT_PIECES_MAX 512
#define INSPECT_PARTITIONS_MAX 256

struct inspect_options {
	struct source_options source;      /* of every disk; `image` is set by inspect_open() */
	const char *images[INSPECT_DISKS_MAX];
	size_t images_n;
	const char *key_files[INSPECT_KEYS_MAX];
	size_t keys_n;
	const char *root; /* only the system whose root file system is that: /dev/sda2, partitions/2, UUID=…; NULL: each */
	bool no_mount;                     /* grub-fstest alone, as where there is no FUSE */
};

struct disk {
	const char *image;
	struct source source;              /* in this process: tables, boot code */
	struct shown shown;                /* with FUSE */
	char *raw;                         /* without: a file with the disk's bytes; the image itself, or a copy in `scratch` */
	char scratch[4096];
	struct vdisk_partition_table table;
	struct vdisk_partition parts[INSPECT_PARTITIONS_MAX];
	size_t parts_n;
	char *boot_code; /* what is in the place where a BIOS looks: "GRUB", "Windows", "Syslinux", "LILO", "unknown"; "" nothing */
};

/* A piece of the disks, what it holds and how it is read. */
struct piece {
	struct fact_fs fs;
	struct grub_source grub;
	char *grub_device;                 /* NULL: GRUB is not asked */
	char *file;                        /* the bytes, for libblkid: of a file from `off` on; NULL: only GRUB has them */
	uint64_t off;
	char *doubt; /* it was not closed cleanly: what is seen may be older than what the guest wrote; NULL: none */
	char *closed;                      /* why it cannot be looked into; NULL: it can, or there is nothing to see */
	bool wants_key;                    /* LUKS, and keys were given that open it, or may */
	struct tree *tree;                 /* NULL: not opened */
};

struct system {
	size_t piece;                      /* the root file system */
	char *below;                       /* its subvolume's folder: "/@"; "/" the whole */
	struct tree *tree;                 /* all its file systems */
	struct facts facts;
	struct bytes remarks;              /* a line each */
};

struct guest_mount;

struct inspection {
	const struct inspect_options *options;
	char folder[4096];                 /* ours, for mounts */
	bool fuse;
	char *keys[INSPECT_KEYS_MAX];
	struct disk *disks; size_t disks_n;
	struct piece *pieces; size_t pieces_n;
	struct guest_mount *guest;         /* where what is encrypted is read by libguestfs */
	struct system *systems; size_t systems_n;
	struct bytes remarks;
};

/* 0, or -1 with *err; inspect_close() is due in either case. */
int inspect_open(struct inspection *in, const struct inspect_options *o, vdisk_error *err);
void inspect_close(struct inspection *in);

/* As a text for people, and as JSON (schema: vdisk-inspect(1)).  0, or -1: standard output fails. */
int inspect_print(const struct inspection *in);
int inspect_print_json(const struct inspection *in);

#endif

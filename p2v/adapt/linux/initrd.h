/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An initramfs as the kernel unpacks it: archives one behind the other, each packed in its own way, where a later member takes the
   place of an earlier one of its name. */
#ifndef ADAPT_INITRD_H
#define ADAPT_INITRD_H

#include "facts.h"

#define INITRD_MAX (1u << 30) /* bytes of an initramfs that is looked at */

#define INITRD_MARK ".vdisk-adapt" /* the first member of the archive that is appended */

enum initrd_packing { INITRD_PLAIN, INITRD_GZIP, INITRD_XZ, INITRD_ZSTD, INITRD_LZ4, INITRD_LZMA, INITRD_BZIP2 };

/* A piece that the kernel unpacks in one go: a cpio archive, or a packed stream of one or more of them. */
struct initrd_part {
	size_t off, len;     /* in the file, without the zeros behind */
	enum initrd_packing packing;
	uint64_t unpacked;   /* bytes; `len` of a plain one */
	bool early;          /* microcode and ACPI tables only: nothing that the system in it uses */
	bool ours;           /* begins with INITRD_MARK: initrd_append() made it, and may replace it */
};

struct initrd_member {
	char *path;          /* as it stands there, without "./" or "/" before: usr/lib/modules/… */
	uint32_t mode;       /* S_IFMT and permissions */
	uint64_t size;
	char *link;          /* a symbolic link: what it says; else NULL */
	struct bytes content; /* of the few small files that tell something; else empty */
	size_t part;
};

struct initrd_module {
	char *name;          /* canonical: virtio_blk */
	char *path;          /* below modules/RELEASE/: kernel/drivers/block/virtio_blk.ko.xz */
	char *release;
};

struct initrd {
	struct initrd_part *parts; size_t parts_n;
	struct initrd_member *members; size_t members_n; /* of all parts, in the order of the file */
	struct initrd_module *modules; size_t modules_n; /* sorted by name, each once for each release */
	enum initrd_tool tool;   /* what made it */
	bool systemd;            /* systemd is its init (dracut, mkinitcpio) */
	size_t *sorted;          /* members by path, of one path in the order of the file */
	uint64_t unpacked, kept; /* bytes that all streams hold; of members' content */
};

/* Bounded whatever the bytes are.  0, or -1 with *err: VDISK_CORRUPT (what, at which byte), VDISK_UNSUPPORTED, VDISK_NOMEM. */
int initrd_read(struct initrd *i, const void *bytes, size_t len, vdisk_error *err);
void initrd_destroy(struct initrd *i);

/* The last member of the path, links in the initramfs followed; NULL: none. */
const struct initrd_member *initrd_find(const struct initrd *i, const char *path);
/* Where a path leads, links followed, whether the last part of it is there or not; false: too many links, or too long. */
bool initrd_resolve(const struct initrd *i, const char *path, char *out, size_t room);
/* The module, by its canonical name, of that release (NULL: any). */
const struct initrd_module *initrd_module(const struct initrd *i, const char *release, const char *name);
const char *initrd_tool_name(enum initrd_tool tool);
const char *initrd_packing_name(enum initrd_packing packing);

enum module_class { MODULE_OTHER, MODULE_STORAGE, MODULE_NETWORK };

/* What kind of driver a module's path is of (kernel/drivers/ata/ahci.ko). */
enum module_class module_class(const char *path);
/* Canonical: the file's name without its suffixes, - become _.  false: no module's path, or longer than `room`. */
bool module_name(const char *path, char *out, size_t room);
/* The length of a module's path without .ko and what follows that. */
size_t module_stem(const char *path);

/* For `vdisk inspect`: fills k->storage and k->network from its initramfs and modules.builtin, and says what made it.  An initramfs
   that is not there or not to be read is no error: 0, with the reason in *why (left empty otherwise).  -1 with *err: no memory, or
   the tree's trouble. */
int initrd_facts(struct tree *t, struct fact_kernel *k, enum initrd_tool *tool, struct bytes *why, vdisk_error *err);

#endif

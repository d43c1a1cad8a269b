/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a piece holds, by libblkid; of what only GRUB can read (an array, the inside of LUKS), by its first bytes in a file without
   a name. */
#include "inspect_probe.h"

#include "common/fail.h"
#include "common/write_all.h"
#include "stale.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD_BYTES (1u << 20) /* all superblocks that matter here lie in it */

/* What GRUB's readers of Debian read, and the journal of which we can judge or do not have to. */
static const char *const readable[] = { "ext2", "ext3",    "ext4",     "xfs",  "btrfs",    "vfat", "exfat", "ntfs",       "iso9660",
					"udf",  "hfsplus", "squashfs", "f2fs", "reiserfs", "jfs",  "minix", "zfs_member", NULL };
static const char *const containers[] = {
	"swap", "LVM2_member", "linux_raid_member", "crypto_LUKS", "BitLocker", "zfs_member", NULL
};

static bool is_one(const char *type, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(type, *list))
			return true;
	return false;
}

bool type_is_readable(const char *type) { return is_one(type, readable); }
bool type_is_container(const char *type) { return is_one(type, containers); }

static const char *value(blkid_probe pr, const char *name)
{
	const char *v;

	return blkid_probe_lookup_value(pr, name, &v, NULL) ? "" : v;
}

static int texts_take(struct piece *p, blkid_probe pr, int fd, uint64_t off, vdisk_error *err)
{
	const char *type = value(pr, "TYPE"), *why;
	bool ok = true;

	p->fs.type = inspect_dup(type, &ok);
	p->fs.uuid = inspect_dup(value(pr, "UUID"), &ok);
	p->fs.label = inspect_dup(value(pr, "LABEL"), &ok);
	if (!strcmp(type, "crypto_LUKS") || !strcmp(type, "BitLocker")) {
		p->closed = inspect_dup(locked_why_at(fd, off, type, value(pr, "VERSION")), &ok);
	} else if (is_one(type, readable)) {
		why = stale_why_at(fd, off, type);
		p->doubt = why ? inspect_dup(why, &ok) : NULL;
	} else if (*type && !is_one(type, containers)) {
		p->closed = inspect_dup("GRUB's readers do not know its type", &ok);
	}
	return ok ? 0 : fail_nomem(err);
}

static int probe(struct piece *p, int fd, uint64_t off, uint64_t size, vdisk_error *err)
{
	blkid_probe pr = blkid_new_probe();
	int rc = 0;

	if (!pr || blkid_probe_set_device(pr, fd, (blkid_loff_t)off, (blkid_loff_t)size)) {
		rc = pr ? fail(err, VDISK_IO, "%s: cannot be looked at", p->fs.where) : fail_nomem(err);
	} else {
		blkid_probe_enable_superblocks(pr, 1);
		blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_VERSION | BLKID_SUBLKS_UUID |
							  BLKID_SUBLKS_LABEL);
		blkid_do_safeprobe(pr); /* nothing, or signatures of two kinds: then it is none */
		rc = texts_take(p, pr, fd, off, err);
	}
	if (pr)
		blkid_free_probe(pr);
	return rc;
}

int piece_probe(struct piece *p, vdisk_error *err)
{
	struct bytes head = { 0 };
	int fd, rc;

	if (p->file) {
		fd = open(p->file, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return fail_errno(err, "%s", p->fs.where);
		rc = probe(p, fd, p->off, p->fs.size, err);
		close(fd);
		return rc;
	}
	if (!p->grub_device)
		return 0;
	rc = grub_head(&p->grub, p->grub_device, HEAD_BYTES, &head, err);
	fd = rc >= 0 && head.len ? memfd_create("vdisk-inspect", MFD_CLOEXEC) : -1;
	if (rc >= 0 && fd >= 0) {
		if (write_all(fd, head.at, head.len) ||
		    (p->fs.size > head.len && ftruncate(fd, (off_t)p->fs.size)))
			rc = fail_errno(err, "%s", p->fs.where);
		else
			rc = probe(p, fd, 0, p->fs.size > head.len ? p->fs.size : head.len, err);
	}
	if (fd >= 0)
		close(fd);
	bytes_destroy(&head);
	return rc < 0 ? -1 : 0;
}

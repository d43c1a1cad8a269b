/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of formats, and finding out which one a file is. */
#include "core/probe.h"
#include "base/bytes.h"
#include "base/path.h"

#include <strings.h>

const char *vd_suffix(const char *path)
{
	const char *base = vd_base_name(path), *dot = strrchr(base, '.');

	return dot && dot != base ? dot + 1 : "";
}

static bool name_is(const struct vdisk_format_info *f, const char *name)
{
	if (!strcasecmp(f->name, name))
		return true;
	for (const char *const *a = f->aliases; a && *a; a++)
		if (!strcasecmp(*a, name))
			return true;
	return false;
}

const struct vd_driver *vd_driver_find(const char *name)
{
	for (size_t i = 0; vd_drivers[i]; i++)
		if (name_is(&vd_drivers[i]->info, name))
			return vd_drivers[i];
	return NULL;
}

const struct vdisk_format_info *vdisk_format_get(size_t i)
{
	for (size_t k = 0; vd_drivers[k]; k++)
		if (k == i)
			return &vd_drivers[k]->info;
	return NULL;
}

const struct vdisk_format_info *vdisk_format_find(const char *name)
{
	const struct vd_driver *d = vd_driver_find(name);

	return d ? &d->info : NULL;
}

/* Formats without a driver here, and what is no disk at all: named, never taken for raw. */
static const struct foreign {
	uint16_t off, len;
	const char *magic;
	const char *name;
	bool packed;  /* what is inside may well be an image */
	bool no_disk;
} foreign[] = {
	{ 0, 8, "\x89PNG\r\n\x1a\n", "a picture (PNG)", .no_disk = true },
	{ 0, 3, "\xff\xd8\xff", "a picture (JPEG)", .no_disk = true },
	{ 0, 4, "\x7f" "ELF", "a program (ELF)", .no_disk = true },
	{ 0, 5, "%PDF-", "a document (PDF)", .no_disk = true },
	{ 0, 4, "PK\x03\x04", "a ZIP archive (zip)", .packed = true },
	{ 0, 6, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive (7z)", .packed = true },
	{ 0, 22, "Bochs Virtual HD Image", "Bochs (bochs)" },
	{ 0, 8, "EVF\x09\x0d\x0a\xff\0", "Expert Witness (ewf)" },
	{ 0, 3, "\x1f\x8b\x08", "gzip-compressed data (gzip)", true },
	{ 0, 6, "\xfd" "7zXZ\0", "xz-compressed data (xz)", true },
	{ 0, 4, "\x28\xb5\x2f\xfd", "zstd-compressed data (zstd)", true },
	{ 0, 3, "BZh", "bzip2-compressed data (bzip2)", true },
	{ 257, 5, "ustar", "a tar archive (OVA, XVA: vdisk migrate takes those)", true },
};

static const struct foreign *foreign_find(const struct vd_peek *p)
{
	static const struct foreign dmg = { .name = "Apple disk image (dmg)" };

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		const struct foreign *f = &foreign[i];

		if (p->head_len >= (size_t)f->off + f->len && !memcmp(p->head + f->off, f->magic, f->len))
			return f;
	}
	if (p->tail_len >= 512 && !memcmp(p->tail + p->tail_len - 512, "koly", 4))
		return &dmg;
	return NULL;
}

static bool suffix_is(const struct vdisk_format_info *f, const char *suffix)
{
	for (const char *const *s = f->suffixes; s && *s; s++)
		if (!strcasecmp(*s, suffix))
			return true;
	return false;
}

/* Whole machines and descriptions of them (a file in an archive has the archive's name, and is none). */
static bool is_machine(const struct vd_file *f, const char *path)
{
	static const char *const suffixes[] = { "ova", "ovf", "vmx", "vbox", "vmc", "xva", "vma", "xml" };

	for (size_t i = 0; (f->fd >= 0 || f->flags & VD_FILE_REMOTE) && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (!strcasecmp(vd_suffix(path), suffixes[i]))
			return true;
	return false;
}

/* A fixed VHD that lost its footer, say, would pass for a raw disk of another length: its name knows better. */
static int raw_judge(const struct vd_file *f, const char *path, const struct vd_driver *found, vd_error *err)
{
	if (is_machine(f, path))
		return vd_fail(
			err, VDISK_REFUSED, VDISK_NO_OFFSET,
			"%s: its name says that it is a machine, or describes one: vdisk migrate takes such (-f raw takes its bytes as the disk)",
			path);
	for (size_t i = 0; vd_drivers[i]; i++)
		if (vd_drivers[i] != found && suffix_is(&vd_drivers[i]->info, vd_suffix(path)))
			return vd_fail(
				err, VDISK_REFUSED, VDISK_NO_OFFSET,
				"%s: its name says %s, its bytes do not: damaged or cut short? (-f raw takes them as the disk)",
				path, vd_drivers[i]->info.name);
	return 0;
}

int vd_probe(struct vd_file *f, const char *path, const struct vd_driver **out, vd_error *err)
{
	uint8_t head[VD_PEEK_HEAD], tail[VD_PEEK_TAIL];
	struct vd_peek p = { .head = head, .tail = tail, .size = vd_file_size(f), .suffix = vd_suffix(path) };
	int best = 0;

	if (vd_file_pread_some(f, head, sizeof(head), 0, &p.head_len, err))
		return -1;
	if (!p.head_len)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: is empty: no disk image", path);
	if ((f->flags & VD_FILE_SEEKABLE) && p.size != UINT64_MAX) {
		uint64_t at = p.size > sizeof(tail) ? p.size - sizeof(tail) : 0;

		if (vd_file_pread_some(f, tail, vd_min(sizeof(tail), p.size), at, &p.tail_len, err))
			return -1;
	}
	*out = NULL;
	for (size_t i = 0; vd_drivers[i]; i++) {
		int score = vd_drivers[i]->probe(&p);

		if (score > best) {
			best = score;
			*out = vd_drivers[i];
		}
	}
	if (best < 50) { /* nothing better than raw's last resort */
		const struct foreign *alien = foreign_find(&p);

		if (alien)
			return vd_fail(err, VDISK_UNSUPPORTED, 0, "%s: is %s, %s%s (-f raw takes its bytes as the disk)", path,
			               alien->name, alien->no_disk ? "no disk" : "for which there is no driver",
			               alien->packed ? ": unpack it first" : "");
	}
	if (!*out)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no known format", path);
	return best < 50 ? raw_judge(f, path, *out, err) : 0;
}

int vd_driver_choose(struct vd_file *f, const char *path, const char *format, const struct vd_driver **out, bool *said,
                     vd_error *err)
{
	if (format) {
		*out = vd_driver_find(format);
		*said = true;
		if (!*out)
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: unknown format '%s'", path, format);
		return 0;
	}
	if (vd_probe(f, path, out, err))
		return -1;
	*said = suffix_is(&(*out)->info, vd_suffix(path));
	return 0;
}

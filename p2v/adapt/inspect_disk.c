/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The images: opened in this process for their tables and boot code, and as files for programs that read such.  Where there is no
   FUSE, that is a copy of the disk (a raw image serves as it is). */
#include "inspect_parts.h"

#include "common/child.h"
#include "common/fail.h"
#include "common/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_MAX 1024u /* what GRUB reads of a line */

char *inspect_dup(const char *text, bool *ok)
{
	char *copy = strdup(text);

	if (!copy)
		*ok = false;
	return copy;
}

/* ---------------------------------------------------------------- keys */

/* What the file holds, without a newline at its end.  Returns owned; NULL with *err. */
static char *key_read(const char *path, vdisk_error *err)
{
	char *key = calloc(1, KEY_MAX + 2);
	FILE *f = key ? fopen(path, "re") : NULL;
	size_t n;

	if (!f) {
		key ? fail_errno(err, "%s", path) : fail_nomem(err);
		free(key);
		return NULL;
	}
	n = fread(key, 1, KEY_MAX + 1, f);
	if (n && key[n - 1] == '\n')
		key[--n] = '\0';
	if (ferror(f)) {
		fail_errno(err, "%s", path);
	} else if (n > KEY_MAX - 2) {
		fail(err, VDISK_INVALID, "%s: is longer than a passphrase that GRUB takes (%u bytes)", path, KEY_MAX - 2);
	} else if (!n || memchr(key, 0, n) || memchr(key, '\n', n)) {
		fail(err, VDISK_UNSUPPORTED, "%s: is empty, or holds a NUL byte or several lines, and GRUB reads a line", path);
	} else {
		fclose(f);
		return key;
	}
	fclose(f);
	explicit_bzero(key, KEY_MAX + 2);
	free(key);
	return NULL;
}

int inspect_keys(struct inspection *in, vdisk_error *err)
{
	for (size_t i = 0; i < in->options->keys_n; i++) {
		in->keys[i] = key_read(in->options->key_files[i], err);
		if (!in->keys[i])
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- boot code */

static bool holds(const uint8_t *b, size_t len, const char *what) { return memmem(b, len, what, strlen(what)) != NULL; }

/* Of a first sector: by the words that each has in its messages. */
static const char *code_name(const uint8_t *b)
{
	if (holds(b, 440, "GRUB"))
		return "GRUB";
	if (holds(b, 512, "LILO"))
		return "LILO";
	if (holds(b, 512, "SYSLINUX") || holds(b, 512, "EXTLINUX") || holds(b, 440, "Operating system load error"))
		return "Syslinux";
	if (holds(b, 512, "BOOTMGR") || holds(b, 512, "NTLDR") || holds(b, 440, "Invalid partition table"))
		return "Windows";
	for (size_t i = 0; i < 440; i++)
		if (b[i])
			return "unknown";
	return "";
}

static int boot_read(struct disk *d, vdisk_error *err)
{
	uint8_t b[512];
	bool ok = true;

	if (d->source.len < sizeof(b) || vdisk_pread(d->source.img, b, sizeof(b), 0, err))
		return d->source.len < sizeof(b) ? 0 : -1;
	d->boot_code = inspect_dup(code_name(b), &ok);
	return ok ? 0 : fail_nomem(err);
}

/* ---------------------------------------------------------------- as files */

/* vdisk convert, into a sparse file of ours. */
static int copy_make(struct disk *d, const struct source_options *o, vdisk_error *err)
{
	const char *argv[2 * SOURCE_ALLOW_MAX + 16];
	char path[4096];
	size_t n = 0;
	pid_t pid;

	if (!child_find("vdisk", true, path))
		return fail(err, VDISK_UNSUPPORTED,
			    "the program vdisk, which copies the disk where there is no FUSE, is not installed");
	if (folder_make("vdisk-inspect", FOLDER_LARGE, d->scratch, sizeof(d->scratch), err))
		return -1;
	if (asprintf(&d->raw, "%s/disk", d->scratch) < 0) {
		d->raw = NULL;
		return fail_nomem(err);
	}
	argv[n++] = "vdisk";
	argv[n++] = "convert";
	argv[n++] = "-q";
	if (o->format) {
		argv[n++] = "-f";
		argv[n++] = o->format;
	}
	for (size_t i = 0; i < o->n_allow; i++) {
		argv[n++] = "--allow-parent";
		argv[n++] = o->allow[i];
	}
	if (o->force_share)
		argv[n++] = "-U";
	argv[n++] = "-O";
	argv[n++] = "raw";
	argv[n++] = "--";
	argv[n++] = d->image;
	argv[n++] = d->raw;
	argv[n] = NULL;
	pid = child_start(path, (char *const *)argv, false, -1);
	if (pid < 0)
		return fail_errno(err, "vdisk convert");
	return child_wait(pid) ? fail(err, VDISK_IO, "%s: cannot be copied to %s (vdisk convert fails)", d->image, d->raw) : 0;
}

static int raw_make(struct disk *d, const struct source_options *o, vdisk_error *err)
{
	if (strcmp(vdisk_format_name(d->source.img), "raw") || vdisk_depth(d->source.img) > 1 || vdisk_path_judge(d->image, NULL))
		return copy_make(d, o, err);
	d->raw = realpath(d->image, NULL);
	return d->raw ? 0 : fail_errno(err, "%s", d->image);
}

static int disk_open(struct inspection *in, struct disk *d, const char *image, vdisk_error *err)
{
	struct source_options o = in->options->source;

	d->image = o.image = image;
	if (source_sound(&o, err) || source_open(&d->source, &o, err))
		return -1;
	if (vdisk_partitions(d->source.img, &d->table, d->parts, INSPECT_PARTITIONS_MAX, &d->parts_n, err) || boot_read(d, err))
		return -1;
	if (d->parts_n > INSPECT_PARTITIONS_MAX)
		return fail(err, VDISK_UNSUPPORTED, "%s: has %zu partitions, more than are looked at (%d)", image, d->parts_n,
			    INSPECT_PARTITIONS_MAX);
	if (in->fuse && !shown_open(&d->shown, &o, "vdisk inspect", err))
		return 0;
	if (in->fuse && d != in->disks) /* it was no trouble for the first */
		return -1;
	if (in->fuse) { /* the image can be opened, so it is FUSE that does not work here */
		bytes_text(&in->remarks,
			   "vdisk-mount does not work here: looked at without it, over a raw file, which takes longer\n");
		in->fuse = false;
	}
	return raw_make(d, &o, err);
}

int inspect_disks(struct inspection *in, vdisk_error *err)
{
	in->disks = calloc(in->options->images_n, sizeof(*in->disks));
	if (!in->disks)
		return fail_nomem(err);
	for (size_t i = 0; i < in->options->images_n; i++) {
		in->disks_n++;
		if (disk_open(in, &in->disks[i], in->options->images[i], err))
			return -1;
	}
	return 0;
}

void disk_close(struct disk *d)
{
	shown_close(&d->shown);
	if (d->scratch[0]) {
		if (d->raw)
			unlink(d->raw);
		rmdir(d->scratch);
	}
	free(d->raw);
	free(d->boot_code);
	if (d->source.img)
		source_close(&d->source, NULL);
}

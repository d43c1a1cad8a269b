/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The journal of an in-place conversion, and recovery by it.  Lines "key value", the tail in hexadecimal, and last a CRC-32 of all
 * that stands before: a journal that is not whole was never acted upon.
 */
#include "ops/inplace.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "core/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC       "vdisk in-place 1\n"
#define JOURNAL_MAX (256u << 10)

void vd_inplace_clear(struct vd_inplace *p)
{
	vd_free(p->journal);
	vd_free(p->data);
	vd_free(p->new_data);
	vd_free(p->tail);
	vd_free(p->image);
	vd_free(p->old_image);
	*p = (struct vd_inplace){ 0 };
}

/* ---- writing */

int vd_inplace_write(const struct vd_inplace *p, vd_error *err)
{
	size_t tail = (size_t)(p->size - p->disk);
	VD_AUTO_FREE char *hex = vd_calloc(1, tail * 2 + 1);
	VD_AUTO_FREE char *text = NULL;
	struct vd_file *f;
	char sum[16];
	int rc;

	if (!hex)
		return vd_fail_nomem(err, tail);
	for (size_t i = 0; i < tail; i++)
		snprintf(hex + 2 * i, 3, "%02x", p->tail[i]);
	text = vd_asprintf(MAGIC "data %s\nnew-data %s\nidentity %" PRIu64 " %" PRIu64 "\nsizes %" PRIu64 " %" PRIu64
				 "\ntail %s\nimage %s\n"
				 "image-identity %" PRIu64 " %" PRIu64 "\ncut %u\nold-image %s\n",
			   p->data, p->new_data, p->dev, p->ino, p->disk, p->size, hex, p->image ? p->image : "", p->image_dev,
			   p->image_ino, p->cut, p->old_image ? p->old_image : "");
	if (!text)
		return vd_fail_nomem(err, tail);
	snprintf(sum, sizeof(sum), "%08x\n", (unsigned)crc32_z(0, (const uint8_t *)text, strlen(text)));
	(void)unlink(p->journal);
	if (vd_file_posix(AT_FDCWD, p->journal, p->journal, VD_POSIX_CREATE, &f, err))
		return -1;
	rc = vd_file_pwrite(f, text, strlen(text), 0, err) || vd_file_pwrite(f, sum, strlen(sum), strlen(text), err) ||
	     vd_file_flush(f, err);
	vd_file_close(f);
	if (!rc && !vd_folder_sync(p->journal, err))
		return 0;
	(void)unlink(p->journal);
	return -1;
}

/* ---- reading */

static bool line_take(char **at, const char *key, char **value)
{
	size_t n = strlen(key);
	char *end = strchr(*at, '\n');

	if (!end || strncmp(*at, key, n) || (*at)[n] != ' ')
		return false;
	*end = '\0';
	*value = *at + n + 1;
	*at = end + 1;
	return true;
}

static bool pair_take(char **at, const char *key, uint64_t *a, uint64_t *b)
{
	char *text;

	return line_take(at, key, &text) && sscanf(text, "%" SCNu64 " %" SCNu64, a, b) == 2;
}

static bool tail_take(char **at, struct vd_inplace *p)
{
	char *text;
	size_t n;

	if (p->size < p->disk || p->size - p->disk > VD_INPLACE_TAIL || !line_take(at, "tail", &text))
		return false;
	n = (size_t)(p->size - p->disk);
	p->tail = vd_calloc(1, n + 1);
	if (!p->tail || strlen(text) != 2 * n || strspn(text, "0123456789abcdef") != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char byte[3] = { text[2 * i], text[2 * i + 1], '\0' };

		p->tail[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}

static bool journal_parse(char *text, struct vd_inplace *p)
{
	char *at = text + strlen(MAGIC), *data, *new_data, *image, *cut, *old_image;

	if (!line_take(&at, "data", &data) || !line_take(&at, "new-data", &new_data) ||
	    !pair_take(&at, "identity", &p->dev, &p->ino) || !pair_take(&at, "sizes", &p->disk, &p->size) || !tail_take(&at, p) ||
	    !line_take(&at, "image", &image) || !pair_take(&at, "image-identity", &p->image_dev, &p->image_ino) ||
	    !line_take(&at, "cut", &cut) || !line_take(&at, "old-image", &old_image))
		return false;
	p->data = vd_strdup(data);
	p->new_data = vd_strdup(new_data);
	p->image = *image ? vd_strdup(image) : NULL;
	p->cut = *cut == '1';
	p->old_image = *old_image ? vd_strdup(old_image) : NULL;
	return p->data && p->new_data && (p->image || !*image) && (p->old_image || !*old_image) && data[0] == '/' &&
	       new_data[0] == '/';
}

int vd_inplace_read(const char *journal, struct vd_inplace *p, bool *found, vd_error *err)
{
	VD_AUTO_FREE char *text = vd_calloc(1, JOURNAL_MAX + 1);
	struct vd_file *f;
	struct stat st;
	char sum[16];
	size_t got = 0;
	int rc;

	*p = (struct vd_inplace){ 0 };
	*found = false;
	if (!text)
		return vd_fail_nomem(err, JOURNAL_MAX);
	if (lstat(journal, &st) && errno == ENOENT)
		return 0;
	/* It says what to rename, cut and remove: nobody else's word is taken for that. */
	if (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: a journal that is no file of this user's", journal);
	if (vd_file_posix(AT_FDCWD, journal, journal, 0, &f, err))
		return -1;
	rc = vd_file_pread_some(f, text, JOURNAL_MAX, 0, &got, err);
	vd_file_close(f);
	if (rc)
		return -1;
	/* Not whole: nothing was done after it. */
	if (got < strlen(MAGIC) + 9 || memcmp(text, MAGIC, strlen(MAGIC)))
		return 0;
	snprintf(sum, sizeof(sum), "%08x\n", (unsigned)crc32_z(0, (const uint8_t *)text, got - 9));
	if (memcmp(text + got - 9, sum, 9))
		return 0;
	text[got - 9] = '\0';
	*found = true;
	p->journal = vd_strdup(journal);
	if (journal_parse(text, p) && p->journal)
		return 0;
	vd_inplace_clear(p);
	return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: is no journal of an in-place conversion", journal);
}

/* ---- recovery */

static bool file_is(const char *path, uint64_t dev, uint64_t ino)
{
	struct stat st;

	return path && !lstat(path, &st) && (uint64_t)st.st_dev == dev && (uint64_t)st.st_ino == ino;
}

static int journal_remove(const struct vd_inplace *p, vd_error *err)
{
	return unlink(p->journal) ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", p->journal) : 0;
}

int vd_inplace_finish(struct vd_inplace *p, vd_error *err)
{
	struct vd_file *f;
	int rc = 0;

	if (p->cut && p->size > p->disk) {
		if (vd_file_posix(AT_FDCWD, p->new_data, p->new_data, VD_POSIX_RDWR, &f, err))
			return -1;
		rc = vd_file_truncate(f, p->disk, err) || vd_file_flush(f, err);
		vd_file_close(f);
	}
	if (rc)
		return -1;
	if (vd_folder_sync(p->new_data, err))
		return -1;
	if (p->old_image && unlink(p->old_image) && errno != ENOENT)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot be removed", p->old_image);
	return journal_remove(p, err);
}

static int undo(struct vd_inplace *p, vd_error *err)
{
	struct vd_file *f;
	int rc;

	if (!file_is(p->data, p->dev, p->ino) && file_is(p->new_data, p->dev, p->ino) &&
	    renameat2(AT_FDCWD, p->new_data, AT_FDCWD, p->data, RENAME_NOREPLACE))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot get its name back", p->data);
	if (!file_is(p->data, p->dev, p->ino))
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: is not there any more", p->data);
	if (!p->image) {
		if (vd_file_posix(AT_FDCWD, p->data, p->data, VD_POSIX_RDWR, &f, err))
			return -1;
		rc = (p->size > p->disk && vd_file_pwrite(f, p->tail, (size_t)(p->size - p->disk), p->disk, err)) ||
		     vd_file_truncate(f, p->size, err) || vd_file_flush(f, err);
		vd_file_close(f);
		return rc ? -1 : vd_folder_sync(p->data, err);
	}
	if (file_is(p->image, p->image_dev, p->image_ino) && unlink(p->image))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot be removed", p->image);
	return vd_folder_sync(p->image, err);
}

/* Somebody went on with the image and left the journal: then its lengths say nothing about what is there. */
static int unchanged(const struct vd_inplace *p, vd_error *err)
{
	const char *path = file_is(p->new_data, p->dev, p->ino) ? p->new_data : p->data;
	struct stat st;

	if (lstat(path, &st) || (uint64_t)st.st_size < p->disk || (uint64_t)st.st_size > p->disk + VD_INPLACE_TAIL)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			       "%s: is not as the in-place conversion left it that was broken off; if it is in order, "
			       "remove %s",
			       path, p->journal);
	return 0;
}

int vd_inplace_recover(struct vd_inplace *p, bool *done, vd_error *err)
{
	*done = false;
	if (unchanged(p, err))
		return -1;
	*done = file_is(p->new_data, p->dev, p->ino) &&
	        (p->image ? file_is(p->image, p->image_dev, p->image_ino) : strcmp(p->data, p->new_data) != 0);
	if (*done)
		return vd_inplace_finish(p, err);
	return undo(p, err) || journal_remove(p, err) ? -1 : 0;
}

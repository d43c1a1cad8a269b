/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a disk that may be failing.  A read that fails for the medium's sake is done again in halves, down to single sectors; a
 * sector gets some more tries and is then zeros.  One that was given up before gets one try.
 */
#include "disk.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define RETRIES 3u

static int device_measure(struct disk *d, const struct stat *st, vdisk_error *err)
{
	char path[PATH_MAX], *slash;
	int sector = 512, direct;

	if (ioctl(d->fd, BLKGETSIZE64, &d->size))
		return fail_errno(err, "%s: its size", d->path);
	if (!ioctl(d->fd, BLKSSZGET, &sector) && sector >= 512 && sector <= (int)DISK_ALIGN)
		d->sector = (unsigned)sector;
	d->device = true;
	snprintf(d->sys, sizeof(d->sys), "/sys/dev/block/%u:%u", major(st->st_rdev), minor(st->st_rdev));
	if (access(d->sys, F_OK))
		d->sys[0] = '\0';
	else if (realpath(d->sys, path) && (slash = strrchr(path, '/')))
		snprintf(d->kernel, sizeof(d->kernel), "%.63s", slash + 1);
	direct = open(d->path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	if (direct >= 0) {
		close(d->fd);
		d->fd = direct;
	}
	return 0;
}

int disk_open(struct disk *d, const char *path, vdisk_error *err)
{
	struct stat st;

	*d = (struct disk){ .sector = 512, .retries = RETRIES, .lock = PTHREAD_MUTEX_INITIALIZER };
	if ((size_t)snprintf(d->path, sizeof(d->path), "%s", path) >= sizeof(d->path))
		return fail(err, VDISK_INVALID, "%.64s…: the name is too long", path);
	d->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (d->fd < 0)
		return fail_errno(err, "%s", path);
	if (fstat(d->fd, &st)) {
		fail_errno(err, "%s", path);
	} else if (S_ISBLK(st.st_mode)) {
		if (!device_measure(d, &st, err) && d->size)
			return 0;
		if (!d->size)
			fail(err, VDISK_INVALID, "%s: there is no medium in it", path);
	} else if (!S_ISREG(st.st_mode)) {
		fail(err, VDISK_INVALID, "%s: is neither a disk nor a file", path);
	} else if (!st.st_size) {
		fail(err, VDISK_INVALID, "%s: is empty", path);
	} else {
		d->size = (uint64_t)st.st_size;
		return 0;
	}
	close(d->fd);
	return -1;
}

void disk_close(struct disk *d)
{
	close(d->fd);
	ranges_free(&d->bad);
	pthread_mutex_destroy(&d->lock);
}

void disk_forget(struct disk *d)
{
	if (d->device)
		ioctl(d->fd, BLKFLSBUF, 0); /* wants a privilege; without it nobody mounted the disk for us either */
}

/* By the primary descriptor of ISO 9660: its volume's name, filled up with blanks. */
bool disk_is_iso(const struct disk *d)
{
	static const char label[] = "VDISK_CAPTURE ";
	uint8_t *sector = aligned_alloc(DISK_ALIGN, DISK_ALIGN);
	bool is = sector && pread(d->fd, sector, DISK_ALIGN, 32768) == (ssize_t)DISK_ALIGN && sector[0] == 1 &&
	          !memcmp(sector + 1, "CD001", 5) && !memcmp(sector + 40, label, sizeof(label) - 1);

	free(sector);
	return is;
}

int disk_bad(struct disk *d, struct ranges *out)
{
	int rc = 0;

	*out = (struct ranges){ 0 };
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; !rc && i < d->bad.n; i++)
		rc = ranges_add(out, d->bad.v[i].off, d->bad.v[i].off + d->bad.v[i].len);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

/* -1 with *err: it is no longer what it was. */
static int disk_judge(const struct disk *d, vdisk_error *err)
{
	struct stat st;
	uint64_t size = 0;
	bool gone;

	if (d->device)
		gone = ioctl(d->fd, BLKGETSIZE64, &size) || !size || (d->sys[0] && access(d->sys, F_OK));
	else
		gone = fstat(d->fd, &st) != 0;
	if (gone)
		return fail(err, VDISK_IO, "%s: the disk has vanished", d->path);
	if (!d->device)
		size = (uint64_t)st.st_size;
	if (size >= d->size && d->judge)
		return d->judge(d, d->judge_ctx, err);
	if (size < d->size)
		return fail(err, VDISK_IO, "%s: the disk has shrunk from %" PRIu64 " to %" PRIu64 " bytes", d->path, d->size, size);
	return 0;
}

static bool of_the_medium(int e) { return e == EIO || e == ENODATA || e == EREMOTEIO || e == EILSEQ || e == ETIMEDOUT; }

static bool bad_before(struct disk *d, uint64_t off)
{
	size_t i;
	bool found;

	pthread_mutex_lock(&d->lock);
	i = ranges_find(&d->bad, off);
	found = i < d->bad.n && d->bad.v[i].off <= off;
	pthread_mutex_unlock(&d->lock);
	return found;
}

static int bad_set(struct disk *d, uint64_t off, size_t len, bool bad, vdisk_error *err)
{
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = bad ? ranges_add(&d->bad, off, off + len) : ranges_cut(&d->bad, off, off + len);
	if (!rc && bad)
		ranges_sort(&d->bad);
	pthread_mutex_unlock(&d->lock);
	return rc ? fail_nomem(err) : 0;
}

/* One read, or as much of it as comes at once.  *bad: what follows cannot be read. */
static int piece_try(struct disk *d, uint8_t *buf, size_t len, uint64_t off, size_t *got, bool *bad, vdisk_error *err)
{
	*got = 0;
	*bad = false;
	while (*got < len) {
		ssize_t n = pread(d->fd, buf + *got, len - *got, (off_t)(off + *got));

		if (n > 0) {
			*got += (size_t)n;
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else if (n < 0 && of_the_medium(errno)) {
			*bad = true;
			return disk_judge(d, err);
		} else if (n < 0) {
			int e = errno;

			if (disk_judge(d, err))
				return -1;
			errno = e;
			return fail_errno(err, "%s: at %" PRIu64, d->path, off + *got);
		} else {
			if (disk_judge(d, err))
				return -1;
			return fail(err, VDISK_IO, "%s: ends at %" PRIu64 ", %" PRIu64 " bytes are due", d->path, off + *got,
			            d->size);
		}
	}
	return 0;
}

static int sector_read(struct disk *d, uint8_t *buf, size_t len, uint64_t off, vdisk_error *err)
{
	bool known = bad_before(d, off), bad = true;
	size_t got;

	for (unsigned i = 0; bad && i < (known ? 1 : d->retries); i++)
		if (piece_try(d, buf, len, off, &got, &bad, err))
			return -1;
	if (bad)
		memset(buf, 0, len);
	if (bad && !known && d->said)
		d->said(d->path, off, len);
	return bad == known ? 0 : bad_set(d, off, len, bad, err);
}

/* The range could not be read at once. */
static int piece_halve(struct disk *d, uint8_t *buf, size_t len, uint64_t off, vdisk_error *err)
{
	size_t half, got;
	bool bad;

	if (len <= d->sector)
		return sector_read(d, buf, len, off, err);
	half = (len / 2 + d->sector - 1) / d->sector * d->sector;
	for (unsigned i = 0; i < 2; i++) {
		size_t at = i ? half : 0, n = i ? len - half : half;

		if (n > d->sector && piece_try(d, buf + at, n, off + at, &got, &bad, err))
			return -1;
		if ((n <= d->sector || bad) && piece_halve(d, buf + at, n, off + at, err))
			return -1;
	}
	return 0;
}

int disk_read(struct disk *d, void *buf, size_t len, uint64_t off, vdisk_error *err)
{
	size_t got;
	bool bad;

	if (piece_try(d, buf, len, off, &got, &bad, err))
		return -1;
	if (bad) {
		size_t from = got / d->sector * d->sector;

		return piece_halve(d, (uint8_t *)buf + from, len - from, off + from, err);
	}
	return bad_set(d, off, len, false, err);
}

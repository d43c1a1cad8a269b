/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Image locking as qemu does it ("Disk image file locking" in its manual; the bytes are those of its block/file-posix.c): for
 * permission i, a shared lock on byte 100+i says "I use it", one on byte 200+i says "I do not let others use it".  Whoever has put
 * down its own then looks for foreign locks that contradict.  The locks belong to the open file description, so they work between
 * two images of one process, and go with the last close.
 */
#include "io/posix.h"

#include <errno.h>
#include <fcntl.h>

#define PERM_READ   1u /* consistent read */
#define PERM_WRITE  2u
#define PERM_MEND   4u /* write unchanged */
#define PERM_RESIZE 8u
#define PERM_ALL   15u
#define PERMS       4

#define BYTE_USED   100
#define BYTE_DENIED 200

static int byte_lock(int fd, int cmd, short type, off_t at, bool *taken)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
	int r;

	do
		r = fcntl(fd, cmd, &fl);
	while (r && errno == EINTR);
	if (taken)
		*taken = !r && fl.l_type != F_UNLCK;
	return r;
}

static void bytes_unlock(int fd)
{
	for (int i = 0; i < PERMS; i++) {
		byte_lock(fd, F_OFD_SETLK, F_UNLCK, BYTE_USED + i, NULL);
		byte_lock(fd, F_OFD_SETLK, F_UNLCK, BYTE_DENIED + i, NULL);
	}
}

/* 0, or -1 with errno. */
static int bytes_lock(int fd, unsigned used, unsigned denied)
{
	for (int i = 0; i < PERMS; i++) {
		if ((used >> i & 1) && byte_lock(fd, F_OFD_SETLK, F_RDLCK, BYTE_USED + i, NULL))
			return -1;
		if ((denied >> i & 1) && byte_lock(fd, F_OFD_SETLK, F_RDLCK, BYTE_DENIED + i, NULL))
			return -1;
	}
	return 0;
}

/* 1: a foreign lock contradicts; 0: none does; -1 with errno. */
static int bytes_conflict(int fd, unsigned used, unsigned denied)
{
	bool taken;

	for (int i = 0; i < PERMS; i++) {
		if (used >> i & 1) {
			if (byte_lock(fd, F_OFD_GETLK, F_WRLCK, BYTE_DENIED + i, &taken))
				return -1;
			if (taken)
				return 1;
		}
		if (denied >> i & 1) {
			if (byte_lock(fd, F_OFD_GETLK, F_WRLCK, BYTE_USED + i, &taken))
				return -1;
			if (taken)
				return 1;
		}
	}
	return 0;
}

static bool no_locks_here(int e)
{
	return e == ENOLCK || e == EOPNOTSUPP || e == ENOSYS || e == EINVAL;
}

int vd_posix_lock(struct vd_file *f, bool write, vd_error *err)
{
	unsigned used = write ? PERM_READ | PERM_WRITE | PERM_RESIZE : PERM_READ;
	unsigned denied = write ? PERM_ALL : PERM_WRITE | PERM_RESIZE;
	int r, e;

	r = bytes_lock(f->fd, used, denied);
	if (!r)
		r = bytes_conflict(f->fd, used, denied);
	if (!r)
		return 0;
	e = errno;
	bytes_unlock(f->fd);
	if (r > 0 || e == EAGAIN || e == EACCES) {
		if (write)
			return vd_fail(
				err, VDISK_BUSY, VDISK_NO_OFFSET,
				"%s: another program has it open (by its lock); writing needs it alone: close the other one first",
				f->name);
		return vd_fail(
			err, VDISK_BUSY, VDISK_NO_OFFSET,
			"%s: another program has it open for writing (by its lock); close that one first, or read what may be an "
			"inconsistent state with --force-share (VDISK_OPEN_NO_LOCK)",
			f->name);
	}
	if (no_locks_here(e))
		return 0;
	return vd_fail_errno(err, e, VDISK_NO_OFFSET, "%s: cannot lock", f->name);
}

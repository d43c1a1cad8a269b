/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a file system is at rest.  One whose journal is not empty has blocks in use that its maps call free: the journal's replay
 * will say so.  partclone looks for that in some of them only, so that it is looked for here in all.
 */
#include "fskind.h"
#include "run.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define BTRFS_SUPER (UINT64_C(64) << 10)

static uint64_t le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;
	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

static bool read_at(const char *file, void *buf, size_t len, uint64_t off)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t r = fd < 0 ? -1 : pread(fd, buf, len, (off_t)off);
	if (fd >= 0)
		close(fd);
	return r == (ssize_t)len;
}

/* Linux, Documentation/filesystems/ext4: the superblock at 1,024. */
enum fs_answer fs_ext_at_rest(struct fs_scan *s)
{
	uint8_t sb[1024];
	if (!read_at(s->file, sb, sizeof(sb), 1024))
		return fs_say(s, FS_WHOLE, "its superblock cannot be read");
	unsigned state = (unsigned)le(sb + 0x3a, 2), incompat = (unsigned)le(sb + 0x60, 4);
	if (incompat & 0x4)
		return fs_say(s, FS_REFUSED, "its journal holds changes that are not in place yet");
	if (!(state & 1))
		return fs_say(s, FS_REFUSED, "it was not unmounted");
	if (state & 2)
		return fs_say(s, FS_REFUSED, "it is marked as having errors");
	if (le(sb + 0x64, 4) & 0x200)
		return fs_say(s, FS_WHOLE, "which of its clusters are free is not known (bigalloc)");
	if (incompat & 0x8)
		return fs_say(s, FS_WHOLE, "it is another file system's journal");
	return FS_KNOWN;
}

enum fs_answer fs_xfs_at_rest(struct fs_scan *s)
{
	char text[4096];
	int status = run_capture((const char *const[]){ "xfs_logprint", "-t", s->file, NULL }, text, sizeof(text), NULL, s->cancel);
	if (strstr(text, "state: <DIRTY>"))
		return fs_say(s, FS_REFUSED, "its log holds changes that are not in place yet");
	if (status || !strstr(text, "state: <CLEAN>"))
		return fs_no_help(s, "xfs_logprint", status ? status : 1);
	return FS_KNOWN;
}

/* As in ntfs-3g's layout.h: two restart pages at the head of $LogFile, of which the one with the higher sequence number holds. */
static bool ntfs_log_at_rest(const uint8_t *log, size_t len, bool *known)
{
	uint64_t best = 0;
	bool rest = false;
	*known = len >= 4 && !memcmp(log, "\xff\xff\xff\xff", 4);
	if (*known)
		return true; /* empty */
	for (size_t at = 0, n = 0; n < 2 && at + 4096 <= len && !memcmp(log + at, "RSTR", 4); n++) {
		size_t area = (size_t)le(log + at + 24, 2), page = (size_t)le(log + at + 16, 4);
		if (area > 480 || area < 30)
			break;
		const uint8_t *ra = log + at + area;
		uint64_t lsn = le(ra, 8);
		if (!*known || lsn > best) {
			best = lsn;
			rest = le(ra + 12, 2) == 0xffff || le(ra + 14, 2) & 2;
		}
		*known = true;
		if (page < 512 || page > 4096 * 4)
			break;
		at += page;
	}
	return rest;
}

enum fs_answer fs_ntfs_at_rest(struct fs_scan *s)
{
	char text[32768];
	bool known;
	size_t len;
	int status =
		run_capture((const char *const[]){ "ntfscat", "-f", s->file, "hiberfil.sys", NULL }, text, 4096, &len, s->cancel);
	if (status == RUN_MISSING || status == RUN_STOPPED)
		return fs_no_help(s, "ntfscat", status);
	if (!status && len >= 4 && (!memcmp(text, "hibr", 4) || !memcmp(text, "HIBR", 4)))
		return fs_say(s, FS_REFUSED, "Windows is hibernated in it");
	status = run_capture((const char *const[]){ "ntfscat", "-f", s->file, "$LogFile", NULL }, text, sizeof(text), &len,
	                     s->cancel);
	if (status)
		return fs_no_help(s, "ntfscat", status);
	bool rest = ntfs_log_at_rest((const uint8_t *)text, len, &known);
	if (!known)
		return fs_say(s, FS_WHOLE, "its log is not understood");
	return rest ? FS_KNOWN : fs_say(s, FS_REFUSED, "its log holds changes that are not in place yet");
}

/* Linux, Documentation/filesystems/btrfs: the superblock at 64 KiB.  The trees are consistent at any time; the log is what fsync()
   left. */
enum fs_answer fs_btrfs_at_rest(struct fs_scan *s)
{
	uint8_t sb[4096];
	if (!read_at(s->file, sb, sizeof(sb), BTRFS_SUPER))
		return fs_say(s, FS_WHOLE, "its superblock cannot be read");
	if (le(sb + 0x60, 8))
		return fs_say(s, FS_REFUSED, "its log holds changes that are not in place yet");
	if (le(sb + 0x88, 8) != 1)
		return fs_say(s, FS_WHOLE, "it lies on several devices");
	return FS_KNOWN;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each looks at the few bytes where its format says "not clean": ext's recovery flag, btrfs's log root, NTFS's volume flags and
 * restart pages (common/ntfs.h), and for XFS the last record of the log, which is an unmount record or not.  (Offsets: Linux's
 * fs/ext4/ext4.h, btrfs and XFS on-disk formats.)
 */
#include "stale.h"

#include "common/fail.h"
#include "common/ntfs.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XFS_BLOCK 512u           /* "basic block", the log's unit */
#define XFS_RECORD_MAX 1032u     /* blocks: 256 KiB and its headers */
#define XLOG_MAGIC UINT32_C(0xfeedbabe)
#define XLOG_UNMOUNT 0x20u

struct part { /* of a file, from `base` on */
	int fd;
	uint64_t base;
};

static bool read_at(const struct part *p, void *buf, size_t len, uint64_t off)
{
	return pread(p->fd, buf, len, (off_t)(p->base + off)) == (ssize_t)len;
}

static uint16_t le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t le32(const uint8_t *p) { return le16(p) | (uint32_t)le16(p + 2) << 16; }
static uint64_t le64(const uint8_t *p) { return le32(p) | (uint64_t)le32(p + 4) << 32; }
static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static uint64_t be64(const uint8_t *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }

static const char *ext_why(const struct part *p)
{
	uint8_t b[256];

	if (!read_at(p, b, sizeof(b), 1024) || le16(b + 0x38) != 0xef53)
		return "its superblock cannot be read";
	return le32(b + 0x60) & 4 ? "its journal is dirty" : NULL;
}

static const char *btrfs_why(const struct part *p)
{
	uint8_t b[256];

	if (!read_at(p, b, sizeof(b), 65536) || memcmp(b + 0x40, "_BHRfS_M", 8))
		return "its superblock cannot be read";
	if (le64(b + 0x60))
		return "its log tree is to be replayed";
	return le64(b + 0x88) > 1 ? "it lies on several devices" : NULL;
}

static int ntfs_read(void *to, uint64_t off, void *buf, size_t len, vdisk_error *err)
{
	return read_at(to, buf, len, off) ? 0 : fail(err, VDISK_IO, "NTFS: byte %llu cannot be read", (unsigned long long)off);
}

static const char *ntfs_why(struct part *p)
{
	vdisk_error err;
	const char *why;
	int clean = ntfs_state(ntfs_read, p, &why, &err);

	return clean < 0 ? "its $Volume or its log cannot be read" : clean ? NULL : why;
}

/* ---------------------------------------------------------------- XFS */

struct xfs_log {
	const struct part *part;
	uint64_t at, blocks;
};

/* Each block of the log begins with its cycle, but for a record's first, where the magic number comes before. */
static bool xlog_cycle(const struct xfs_log *l, uint64_t block, uint32_t *cycle)
{
	uint8_t b[8];

	if (!read_at(l->part, b, sizeof(b), l->at + block * XFS_BLOCK))
		return false;
	*cycle = be32(b) == XLOG_MAGIC ? be32(b + 4) : be32(b);
	return true;
}

/* Where the next record would go: the first block whose cycle is lower than the first block's. */
static bool xlog_head(const struct xfs_log *l, uint64_t *head)
{
	uint64_t low = 0, high = l->blocks;
	uint32_t first, cycle;

	if (!xlog_cycle(l, 0, &first))
		return false;
	while (low + 1 < high) { /* block low is of the first cycle, high (or the end) is not */
		uint64_t mid = low + (high - low) / 2;

		if (!xlog_cycle(l, mid, &cycle))
			return false;
		if (cycle == first)
			low = mid;
		else
			high = mid;
	}
	*head = high;
	return true;
}

static const char *xlog_why(const struct xfs_log *l)
{
	static const char unknown[] = "its log cannot be judged", dirty[] = "its log is dirty";
	uint8_t b[XFS_BLOCK], next[XFS_BLOCK];
	uint64_t head;

	if (!xlog_head(l, &head))
		return unknown;
	for (uint64_t back = 1; back <= XFS_RECORD_MAX && back <= l->blocks; back++) {
		uint64_t block = (head + l->blocks - back) % l->blocks;
		uint32_t len, headers;

		if (!read_at(l->part, b, sizeof(b), l->at + block * XFS_BLOCK))
			return unknown;
		if (be32(b) != XLOG_MAGIC)
			continue;
		/* A version 2 record has a header block for each 32 KiB of its size. */
		len = be32(b + 12);
		headers = be32(b + 8) & 2 && be32(b + 320) > 32768 ? (be32(b + 320) + 32767) / 32768 : 1;
		if (headers + (len + XFS_BLOCK - 1) / XFS_BLOCK != back) /* it does not reach to the head: torn */
			return dirty;
		if (be32(b + 40) != 1)
			return dirty;
		if (!read_at(l->part, next, sizeof(next), l->at + (block + headers) % l->blocks * XFS_BLOCK))
			return unknown;
		return next[9] & XLOG_UNMOUNT ? NULL : dirty; /* the first operation's flags */
	}
	return unknown;
}

static const char *xfs_why(const struct part *p)
{
	struct xfs_log l = { .part = p };
	uint8_t b[264];
	uint64_t start;
	uint32_t block;
	unsigned ag_log;

	if (!read_at(p, b, sizeof(b), 0) || memcmp(b, "XFSB", 4))
		return "its superblock cannot be read";
	block = be32(b + 4);
	start = be64(b + 48);
	ag_log = b[124];
	if (!start)
		return "its log lies on another device";
	if (block < 512 || block > 65536 || ag_log > 31)
		return "its superblock cannot be read";
	/* An address is the allocation group's number above ag_log bits, and the block in it. */
	l.at = ((start >> ag_log) * be32(b + 84) + (start & ((UINT64_C(1) << ag_log) - 1))) * block;
	l.blocks = (uint64_t)be32(b + 96) * block / XFS_BLOCK;
	return l.blocks ? xlog_why(&l) : "its superblock cannot be read";
}

const char *stale_why_at(int fd, uint64_t off, const char *type)
{
	struct part p = { fd, off };

	if (!strncmp(type, "ext", 3))
		return ext_why(&p);
	if (!strcmp(type, "btrfs"))
		return btrfs_why(&p);
	if (!strcmp(type, "ntfs"))
		return ntfs_why(&p);
	return strcmp(type, "xfs") ? NULL : xfs_why(&p);
}

const char *stale_why(int fd, const char *type) { return stale_why_at(fd, 0, type); }

const char *locked_why_at(int fd, uint64_t off, const char *type, const char *version)
{
	enum { AREA = 16384 };
	const char *why = "it is encrypted (LUKS2)";
	char *json;

	if (strcmp(type, "crypto_LUKS"))
		return "it is encrypted";
	if (!version || strcmp(version, "2"))
		return "it is encrypted (LUKS1)";
	json = calloc(1, AREA + 1);
	if (json && pread(fd, json, AREA, (off_t)(off + 4096)) > 0) {
		if (strstr(json, "\"argon2id\""))
			why = "it is encrypted (LUKS2 with argon2id, which GRUB cannot open)";
		else if (strstr(json, "\"argon2i\""))
			why = "it is encrypted (LUKS2 with argon2i, which GRUB cannot open)";
	}
	free(json);
	return why;
}

const char *locked_why(int fd, const char *type, const char *version) { return locked_why_at(fd, 0, type, version); }

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Was an NTFS closed cleanly?  Two places say: the flags of its volume ($Volume, record 3 of the MFT) and the newest restart page
 * of its log ($LogFile, record 2).  Those records are among the sixteen that every NTFS keeps at the MFT's start, so nothing else
 * of the file system is looked at.  Everything read is a stranger's: each offset is compared with what was read before it is used.
 */
#include "common/ntfs.h"

#include "common/fail.h"

#include <inttypes.h>
#include <string.h>

#define RECORD_MAX 4096
#define PAGES_MAX 16384 /* bytes of the log that are read: its two restart pages */

#define RECORD_LOG 2
#define RECORD_VOLUME 3
#define ATTR_VOLUME_INFORMATION 0x70
#define ATTR_DATA 0x80
#define VOLUME_DIRTY 0x0001
#define RESTART_CLEAN 0x0002
#define NO_CLIENT 0xffff

struct ntfs {
	ntfs_read_fn read;
	void *to;
	uint32_t cluster, record; /* bytes */
	uint64_t mft;             /* bytes from the start */
};

static uint16_t le16(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t le32(const unsigned char *p) { return le16(p) | (uint32_t)le16(p + 2) << 16; }
static uint64_t le64(const unsigned char *p) { return le32(p) | (uint64_t)le32(p + 4) << 32; }

static int boot_read(struct ntfs *n, vdisk_error *err)
{
	unsigned char b[512];
	uint32_t sector, per;

	if (n->read(n->to, 0, b, sizeof(b), err))
		return -1;
	if (memcmp(b + 3, "NTFS    ", 8))
		return fail(err, VDISK_CORRUPT, "NTFS: its boot sector does not say so");
	sector = le16(b + 11);
	per = b[13] <= 0x80 ? b[13] : b[13] > 0xe0 ? 1u << (256 - b[13]) : 0;
	n->cluster = sector * per;
	n->record = b[64] < 0x80 ? b[64] * n->cluster : b[64] >= 0xe8 ? 1u << (256 - b[64]) : 0;
	if (sector < 256 || sector > 4096 || (sector & (sector - 1)) || !n->cluster || n->cluster > 2u << 20 ||
	    (n->cluster & (n->cluster - 1)))
		return fail(err, VDISK_CORRUPT, "NTFS: clusters of %u sectors of %u bytes", per, sector);
	if (n->record < 1024 || n->record > RECORD_MAX || (n->record & (n->record - 1)))
		return fail(err, VDISK_CORRUPT, "NTFS: MFT records of %u bytes", n->record);
	if (le64(b + 48) > (UINT64_MAX >> 1) / n->cluster)
		return fail(err, VDISK_CORRUPT, "NTFS: the MFT is said to be at cluster %" PRIu64, le64(b + 48));
	n->mft = le64(b + 48) * n->cluster;
	return 0;
}

/* The last two bytes of each 512 stand in the record's head; a record that was written in part does not match. */
static int fixups_apply(unsigned char *b, uint32_t len)
{
	uint32_t off = le16(b + 4), count = le16(b + 6);

	if (count != len / 512 + 1 || off < 8 || off + 2 * count > 510)
		return -1;
	for (uint32_t i = 1; i < count; i++) {
		if (memcmp(b + i * 512 - 2, b + off, 2))
			return -1;
		memcpy(b + i * 512 - 2, b + off + 2 * i, 2);
	}
	return 0;
}

/* The first attribute of the type in record `number`; *len is what may be read from there.  NULL with *err. */
static const unsigned char *attr_read(struct ntfs *n, unsigned number, uint32_t type, unsigned char *b, uint32_t *len,
                                      vdisk_error *err)
{
	if (n->read(n->to, n->mft + (uint64_t)number * n->record, b, n->record, err))
		return NULL;
	if (memcmp(b, "FILE", 4) || fixups_apply(b, n->record)) {
		fail(err, VDISK_CORRUPT, "NTFS: MFT record %u is damaged", number);
		return NULL;
	}
	for (uint32_t at = le16(b + 20); at + 24 <= n->record && le32(b + at) != UINT32_MAX;) {
		*len = le32(b + at + 4);
		if (*len < 24 || *len > n->record - at)
			break;
		if (le32(b + at) == type && (le32(b + at + 8) & 0xff00) == 0)
			return b + at;
		at += *len;
	}
	fail(err, VDISK_CORRUPT, "NTFS: MFT record %u has no attribute %#x", number, type);
	return NULL;
}

static int volume_flags(struct ntfs *n, unsigned *flags, vdisk_error *err)
{
	unsigned char b[RECORD_MAX];
	uint32_t len;
	const unsigned char *a = attr_read(n, RECORD_VOLUME, ATTR_VOLUME_INFORMATION, b, &len, err);

	if (!a)
		return -1;
	if (a[8] || le16(a + 20) > len - 12 || le32(a + 16) < 12)
		return fail(err, VDISK_CORRUPT, "NTFS: the volume's information is damaged");
	*flags = le16(a + le16(a + 20) + 10);
	return 0;
}

/* Where the log begins, and how much of it lies there in one piece. */
static int log_find(struct ntfs *n, uint64_t *off, uint64_t *length, vdisk_error *err)
{
	unsigned char b[RECORD_MAX];
	uint32_t len, pairs;
	const unsigned char *a = attr_read(n, RECORD_LOG, ATTR_DATA, b, &len, err);
	unsigned sizes[2];
	uint64_t v[2] = { 0, 0 };

	if (!a)
		return -1;
	pairs = len < 64 || !a[8] ? 0 : le16(a + 32);
	if (pairs < 64 || pairs > len - 1)
		return fail(err, VDISK_CORRUPT, "NTFS: the log's place is damaged");
	sizes[0] = a[pairs] & 15u;
	sizes[1] = a[pairs] >> 4;
	if (!sizes[0] || !sizes[1] || sizes[0] > 8 || sizes[1] > 8 || sizes[0] + sizes[1] > len - 1 - pairs)
		return fail(err, VDISK_CORRUPT, "NTFS: the log's place is damaged");
	for (unsigned k = 0, at = pairs + 1; k < 2; k++) {
		for (unsigned i = 0; i < sizes[k]; i++)
			v[k] |= (uint64_t)a[at++] << 8 * i;
	}
	if (!v[0] || v[0] > (UINT64_MAX >> 1) / n->cluster || v[1] > (UINT64_MAX >> 1) / n->cluster)
		return fail(err, VDISK_CORRUPT, "NTFS: the log is said to be at cluster %" PRIu64, v[1]);
	*length = v[0] * n->cluster;
	*off = v[1] * n->cluster;
	return 0;
}

/* A restart page: its age into *lsn.  1 clean, 0 not, -1 it is none. */
static int page_judge(const unsigned char *b, uint64_t *lsn)
{
	unsigned area = le16(b + 24);

	if ((memcmp(b, "RSTR", 4) && memcmp(b, "CHKD", 4)) || area < 30 || area > 510 - 16)
		return -1;
	*lsn = le64(b + area);
	return le16(b + area + 12) == NO_CLIENT || (le16(b + area + 14) & RESTART_CLEAN);
}

/* 1 clean, 0 not, -1 with *err. */
static int log_judge(struct ntfs *n, vdisk_error *err)
{
	unsigned char b[PAGES_MAX];
	uint64_t off = 0, length = 0, lsn[2] = { 0, 0 };
	size_t have, second;
	int first, other = -1;
	bool empty = true;

	if (log_find(n, &off, &length, err))
		return -1;
	have = length < sizeof(b) ? (size_t)length : sizeof(b);
	if (have < 512 || n->read(n->to, off, b, have, err))
		return have < 512 ? fail(err, VDISK_CORRUPT, "NTFS: a log of %zu bytes", have) : -1;
	for (size_t i = 0; i < have && empty; i++)
		empty = b[i] == 0xff;
	if (empty)
		return 1;
	first = page_judge(b, &lsn[0]);
	second = first < 0 ? 4096 : le32(b + 16);
	if (second >= 512 && second <= have - 512 && second % 512 == 0)
		other = page_judge(b + second, &lsn[1]);
	if (first < 0 && other < 0)
		return 0; /* neither empty nor a log that anybody closed */
	return other < 0 || (first >= 0 && lsn[0] >= lsn[1]) ? first : other;
}

int ntfs_state(ntfs_read_fn read, void *to, const char **why, vdisk_error *err)
{
	struct ntfs n = { .read = read, .to = to };
	unsigned flags;
	int clean;

	*why = "";
	if (boot_read(&n, err) || volume_flags(&n, &flags, err))
		return -1;
	if (flags & VOLUME_DIRTY) {
		*why = "it is marked dirty, for a check by chkdsk";
		return 0;
	}
	clean = log_judge(&n, err);
	if (!clean)
		*why = "its log holds changes that were not finished";
	return clean;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 48-bit addresses, native command queueing, TRIM.  What IDENTIFY DEVICE does not offer is aborted.  Settings are changed by
 * commands that are not queued, and those run alone.
 */
#include "ata.h"
#include "iov.h"
#include "common/numbers.h"

#include <stdio.h>

enum {
	CMD_DATA_SET_MANAGEMENT = 0x06,
	CMD_RECALIBRATE = 0x10,
	CMD_READ = 0x20,
	CMD_READ_EXT = 0x24,
	CMD_READ_DMA_EXT = 0x25,
	CMD_READ_MULTIPLE_EXT = 0x29,
	CMD_READ_LOG_EXT = 0x2f,
	CMD_WRITE = 0x30,
	CMD_WRITE_EXT = 0x34,
	CMD_WRITE_DMA_EXT = 0x35,
	CMD_WRITE_MULTIPLE_EXT = 0x39,
	CMD_WRITE_DMA_FUA_EXT = 0x3d,
	CMD_VERIFY = 0x40,
	CMD_VERIFY_EXT = 0x42,
	CMD_READ_QUEUED = 0x60,
	CMD_WRITE_QUEUED = 0x61,
	CMD_SEEK = 0x70,
	CMD_DIAGNOSTIC = 0x90,
	CMD_INIT_PARAMETERS = 0x91,
	CMD_READ_MULTIPLE = 0xc4,
	CMD_WRITE_MULTIPLE = 0xc5,
	CMD_SET_MULTIPLE = 0xc6,
	CMD_READ_DMA = 0xc8,
	CMD_WRITE_DMA = 0xca,
	CMD_WRITE_MULTIPLE_FUA_EXT = 0xce,
	CMD_STANDBY_NOW = 0xe0,
	CMD_IDLE_NOW = 0xe1,
	CMD_STANDBY = 0xe2,
	CMD_IDLE = 0xe3,
	CMD_CHECK_POWER = 0xe5,
	CMD_SLEEP = 0xe6,
	CMD_FLUSH = 0xe7,
	CMD_FLUSH_EXT = 0xea,
	CMD_IDENTIFY = 0xec,
	CMD_SET_FEATURES = 0xef,
};

#define MULTIPLE_MAX   16
#define TRIM_PAGES_MAX 8
#define LBA28_MAX      0x0fffffffu

void ata_init(struct ata_disk *d, unsigned index, vdisk_image *img)
{
	*d = (struct ata_disk){ .img = img, .sectors = vdisk_size(img) / ATA_SECTOR, .index = index };
	ata_reset(d);
}

void ata_reset(struct ata_disk *d)
{
	d->multiple = MULTIPLE_MAX;
	d->cache_off = false;
	d->failed_tag = d->failed_status = 0;
}

/* ---- what a command's code says */

/* ATA_NO_DATA: not a transfer of sectors. */
static enum ata_transfer sectors_transfer(uint8_t code, bool *ext)
{
	*ext = true;
	switch (code) {
	case CMD_READ_EXT: case CMD_READ_MULTIPLE_EXT: return ATA_PIO_IN;
	case CMD_WRITE_EXT: case CMD_WRITE_MULTIPLE_EXT: case CMD_WRITE_MULTIPLE_FUA_EXT: return ATA_PIO_OUT;
	case CMD_READ_DMA_EXT: return ATA_DMA_IN;
	case CMD_WRITE_DMA_EXT: case CMD_WRITE_DMA_FUA_EXT: return ATA_DMA_OUT;
	}
	*ext = false;
	switch (code) {
	case CMD_READ: case CMD_READ + 1: case CMD_READ_MULTIPLE: return ATA_PIO_IN;
	case CMD_WRITE: case CMD_WRITE + 1: case CMD_WRITE_MULTIPLE: return ATA_PIO_OUT;
	case CMD_READ_DMA: case CMD_READ_DMA + 1: return ATA_DMA_IN;
	case CMD_WRITE_DMA: case CMD_WRITE_DMA + 1: return ATA_DMA_OUT;
	default: return ATA_NO_DATA;
	}
}

static uint32_t sectors_count(uint16_t count, bool ext)
{
	if (ext)
		return count ? count : 65536;
	return count & 0xff ? count & 0xff : 256;
}

/* A short command has its address in 28 bits, and the rest of the registers means nothing. */
static void address_shorten(struct ata_command *c)
{
	c->lba = (c->lba & 0xffffff) | (uint64_t)(c->device & 15) << 24;
}

void ata_decode(struct ata_command *c, const uint8_t *fis)
{
	bool ext;

	*c = (struct ata_command){ .code = fis[2], .device = fis[7], .feature = (uint16_t)(fis[3] | fis[11] << 8),
		.count = le16_get(fis + 12) };
	c->lba = fis[4] | (uint64_t)fis[5] << 8 | (uint64_t)fis[6] << 16 | (uint64_t)fis[8] << 24 | (uint64_t)fis[9] << 32 |
	         (uint64_t)fis[10] << 40;
	c->transfer = sectors_transfer(c->code, &ext);
	if (c->transfer) {
		c->bytes = sectors_count(c->count, ext) * ATA_SECTOR;
		if (!ext)
			address_shorten(c);
		return;
	}
	switch (c->code) {
	case CMD_READ_QUEUED:
	case CMD_WRITE_QUEUED: /* the count stands in the feature, the tag in the count */
		c->queued = true;
		c->transfer = c->code == CMD_READ_QUEUED ? ATA_DMA_IN : ATA_DMA_OUT;
		c->bytes = sectors_count(c->feature, true) * ATA_SECTOR;
		c->tag = (uint8_t)c->count >> 3;
		break;
	case CMD_IDENTIFY:
		c->transfer = ATA_PIO_IN;
		c->bytes = ATA_SECTOR;
		break;
	case CMD_READ_LOG_EXT:
		c->transfer = ATA_PIO_IN;
		c->bytes = sectors_count(c->count, true) * ATA_SECTOR;
		break;
	case CMD_DATA_SET_MANAGEMENT:
		c->transfer = ATA_DMA_OUT;
		c->bytes = sectors_count(c->count, true) * ATA_SECTOR;
		break;
	case CMD_VERIFY:
	case CMD_VERIFY + 1:
		address_shorten(c);
		break;
	}
}

/* ---- IDENTIFY DEVICE and the logs */

/* Two characters a word, the first one in the upper half; padded with blanks. */
static void text_put(uint8_t *p, unsigned bytes, const char *text)
{
	memset(p, ' ', bytes);
	for (unsigned i = 0; i < bytes && text[i]; i++)
		p[i ^ 1] = (uint8_t)text[i];
}

static void word(uint8_t *page, unsigned i, unsigned v)
{
	le16_put(page + 2 * i, (uint16_t)v);
}

static void geometry_put(uint8_t *page, uint64_t sectors)
{
	uint64_t cylinders = sectors / (16 * 63);

	word(page, 1, cylinders < 16383 ? (unsigned)cylinders : 16383);
	word(page, 3, 16);
	word(page, 6, 63);
	le32_put(page + 2 * 60, sectors < LBA28_MAX ? (uint32_t)sectors : LBA28_MAX);
	le64_put(page + 2 * 100, sectors);
}

static void identify(const struct ata_disk *d, uint8_t page[ATA_SECTOR])
{
	char serial[21];
	uint8_t sum = 0;

	memset(page, 0, ATA_SECTOR);
	snprintf(serial, sizeof(serial), "vdisk%u", d->index);
	word(page, 0, 0x0040);
	geometry_put(page, d->sectors);
	text_put(page + 2 * 10, 20, serial);
	text_put(page + 2 * 23, 8, "1.0");
	text_put(page + 2 * 27, 40, "vdisk");
	word(page, 47, 0x8000 | MULTIPLE_MAX);
	word(page, 49, 0x0f00);                   /* DMA, LBA, IORDY */
	word(page, 50, 0x4000);
	word(page, 53, 0x0006);
	word(page, 59, d->multiple ? 0x0100u | d->multiple : 0);
	word(page, 63, 0x0007);                   /* multiword DMA 0 to 2 */
	word(page, 64, 0x0003);                   /* PIO 3 and 4 */
	for (unsigned i = 65; i <= 68; i++)
		word(page, i, 120);
	word(page, 69, 0x4000);                   /* what was trimmed reads as before or as zeros, but the same each time */
	word(page, 75, ATA_QUEUE_DEPTH - 1);
	word(page, 76, 0x010e);                   /* queueing; SATA generations 1 to 3 */
	word(page, 80, 0x01f0);                   /* ATA-4 to ACS */
	word(page, 82, 0x4020);                   /* NOP, write cache */
	word(page, 83, 0x7400);                   /* flush, flush ext, 48 bits */
	word(page, 84, 0x4060);                   /* WRITE FUA, logs */
	word(page, 85, d->cache_off ? 0x4000 : 0x4020);
	word(page, 86, 0x3400);
	word(page, 87, 0x4060);
	word(page, 88, 0x207f);                   /* Ultra DMA 0 to 6, 5 chosen */
	word(page, 105, TRIM_PAGES_MAX);
	word(page, 106, 0x4000);
	word(page, 169, 1);                       /* TRIM */
	word(page, 217, 1);                       /* does not rotate */
	word(page, 222, 0x103f);                  /* a serial transport */
	page[510] = 0xa5;
	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + page[i]);
	page[511] = (uint8_t)-sum;
}

#define LOG_DIRECTORY 0x00
#define LOG_QUEUE     0x10

static void queue_log(const struct ata_disk *d, uint8_t page[ATA_SECTOR])
{
	uint8_t sum = 0;

	memset(page, 0, ATA_SECTOR);
	page[0] = d->failed_status ? d->failed_tag : 0x80; /* bit 7: it was no queued command */
	page[2] = d->failed_status;
	page[3] = d->failed_error;
	for (unsigned i = 0; i < 3; i++) {
		page[4 + i] = (uint8_t)(d->failed_lba >> 8 * i);
		page[8 + i] = (uint8_t)(d->failed_lba >> (24 + 8 * i));
	}
	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + page[i]);
	page[511] = (uint8_t)-sum;
}

/* ---- doing */

static int perform_log(struct ata_disk *d, const struct ata_command *c, const struct iovec *v, unsigned n, uint32_t *moved)
{
	uint8_t page[ATA_SECTOR] = { 0 };

	if (c->bytes != ATA_SECTOR || (c->lba >> 8 & 0xff) || (c->lba >> 32 & 0xff)) /* both have one page */
		return -1;
	switch (c->lba & 0xff) {
	case LOG_DIRECTORY:
		word(page, 0, 1);
		word(page, LOG_QUEUE, 1);
		break;
	case LOG_QUEUE:
		queue_log(d, page);
		d->failed_status = 0;
		break;
	default:
		return -1;
	}
	*moved = (uint32_t)iov_fill(v, n, page, sizeof(page));
	return 0;
}

static bool range_valid(const struct ata_disk *d, uint64_t lba, uint64_t sectors)
{
	return lba <= d->sectors && sectors <= d->sectors - lba;
}

static int perform_sectors(struct ata_disk *d, const struct ata_command *c, const struct iovec *v, unsigned n, uint32_t *moved)
{
	bool in = c->transfer == ATA_PIO_IN || c->transfer == ATA_DMA_IN;
	bool fua = c->code == CMD_WRITE_DMA_FUA_EXT || c->code == CMD_WRITE_MULTIPLE_FUA_EXT || (c->queued && c->device & 0x80);

	if (!range_valid(d, c->lba, c->bytes / ATA_SECTOR) || iov_bytes(v, n) != c->bytes)
		return -1;
	uint64_t off = c->lba * ATA_SECTOR;
	if (in ? vdisk_preadv(d->img, v, (int)n, off, NULL) : vdisk_pwritev(d->img, v, (int)n, off, NULL))
		return -1;
	*moved = c->bytes;
	return !in && (fua || d->cache_off) ? vdisk_flush(d->img, NULL) : 0;
}

/* Pages of 64 ranges: 48 bits of address, 16 of length. */
static int perform_trim(struct ata_disk *d, const struct ata_command *c, struct iovec *v, unsigned n, uint32_t *moved)
{
	uint8_t range[8];

	if (c->feature != 1 || c->bytes > TRIM_PAGES_MAX * ATA_SECTOR || iov_bytes(v, n) != c->bytes)
		return -1;
	*moved = c->bytes;
	while (!iov_take(&v, &n, range, sizeof(range))) {
		uint64_t lba = le64_get(range) & 0xffffffffffff;
		uint16_t sectors = le16_get(range + 6);

		if (!sectors)
			continue;
		if (!range_valid(d, lba, sectors) || vdisk_discard(d->img, lba * ATA_SECTOR, (uint64_t)sectors * ATA_SECTOR, NULL))
			return -1;
	}
	return 0;
}

static int perform_features(struct ata_disk *d, const struct ata_command *c)
{
	switch (c->feature & 0xff) {
	case 0x02: d->cache_off = false; return 0;
	case 0x82: d->cache_off = true; return vdisk_flush(d->img, NULL);
	case 0x03: /* transfer mode: all are the same to us */
	case 0x55:
	case 0xaa: /* read ahead */
		return 0;
	default: return -1;
	}
}

static int perform_identify(const struct ata_disk *d, const struct iovec *v, unsigned n, uint32_t *moved)
{
	uint8_t page[ATA_SECTOR];

	identify(d, page);
	*moved = (uint32_t)iov_fill(v, n, page, sizeof(page));
	return 0;
}

static int perform_verify(struct ata_disk *d, uint64_t lba, uint32_t sectors)
{
	uint8_t bytes[32 * ATA_SECTOR];

	if (!range_valid(d, lba, sectors))
		return -1;
	while (sectors) {
		uint32_t n = sectors < 32 ? sectors : 32;

		if (vdisk_pread(d->img, bytes, n * ATA_SECTOR, lba * ATA_SECTOR, NULL))
			return -1;
		lba += n;
		sectors -= n;
	}
	return 0;
}

static int perform_multiple(struct ata_disk *d, uint8_t sectors)
{
	if (sectors > MULTIPLE_MAX || sectors & (sectors - 1))
		return -1;
	d->multiple = sectors;
	return 0;
}

static int perform(struct ata_disk *d, const struct ata_command *c, struct iovec *v, unsigned n, struct ata_result *r)
{
	switch (c->code) {
	case CMD_IDENTIFY: return perform_identify(d, v, n, &r->moved);
	case CMD_READ_LOG_EXT: return perform_log(d, c, v, n, &r->moved);
	case CMD_DATA_SET_MANAGEMENT: return perform_trim(d, c, v, n, &r->moved);
	case CMD_SET_FEATURES: return perform_features(d, c);
	case CMD_SET_MULTIPLE: return perform_multiple(d, (uint8_t)c->count);
	case CMD_FLUSH:
	case CMD_FLUSH_EXT: return vdisk_flush(d->img, NULL);
	case CMD_VERIFY:
	case CMD_VERIFY + 1: return perform_verify(d, c->lba, sectors_count(c->count, false));
	case CMD_VERIFY_EXT: return perform_verify(d, c->lba, sectors_count(c->count, true));
	case CMD_DIAGNOSTIC:
		r->error = 1; /* passed */
		return 0;
	case CMD_CHECK_POWER:
		r->count = 0xff; /* active */
		return 0;
	case CMD_RECALIBRATE:
	case CMD_SEEK:
	case CMD_INIT_PARAMETERS:
	case CMD_STANDBY_NOW:
	case CMD_IDLE_NOW:
	case CMD_STANDBY:
	case CMD_IDLE:
	case CMD_SLEEP: return 0;
	default: return c->transfer ? perform_sectors(d, c, v, n, &r->moved) : -1;
	}
}

void ata_perform(struct ata_disk *d, const struct ata_command *c, struct iovec *v, unsigned n, struct ata_result *r)
{
	*r = (struct ata_result){ .status = ATA_STATUS_READY, .lba = c->lba };
	if (!perform(d, c, v, n, r))
		return;
	r->status = ATA_STATUS_READY | ATA_STATUS_ERR;
	r->error = ATA_ERROR_ABORT;
	r->count = c->count;
}

void ata_queue_failed(struct ata_disk *d, const struct ata_command *c, const struct ata_result *r)
{
	d->failed_tag = c->tag;
	d->failed_status = r->status;
	d->failed_error = r->error;
	d->failed_lba = c->lba;
}

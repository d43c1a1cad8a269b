/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An ATA disk (ACS-3), whichever controller it hangs on: commands in, data and registers out. */
#ifndef RUNNER_ATA_H
#define RUNNER_ATA_H

#include "common/fail.h"

#include <sys/uio.h>

#define ATA_SECTOR       512u
#define ATA_QUEUE_DEPTH  32

#define ATA_STATUS_ERR   0x01
#define ATA_STATUS_DRQ   0x08
#define ATA_STATUS_READY 0x50
#define ATA_ERROR_ABORT  0x04

struct ata_disk {
	vdisk_image *img; /* borrowed */
	uint64_t sectors;
	unsigned index;
	uint8_t multiple; /* sectors, as SET MULTIPLE MODE said; 0: off */
	bool cache_off;   /* as SET FEATURES said; then each write is flushed */
	/* Of the queued command that failed last: its log page. */
	uint8_t failed_tag, failed_status, failed_error;
	uint64_t failed_lba;
};

enum ata_transfer { ATA_NO_DATA, ATA_PIO_IN, ATA_PIO_OUT, ATA_DMA_IN, ATA_DMA_OUT };

/* The registers of a command, and what of them follows from its code. */
struct ata_command {
	uint8_t code, device;
	uint16_t feature, count;
	uint64_t lba;
	enum ata_transfer transfer;
	bool queued;
	uint8_t tag;
	uint32_t bytes; /* that it moves; up to 32 MiB */
};

struct ata_result {
	uint8_t status, error;
	uint16_t count;
	uint64_t lba;
	uint32_t moved; /* bytes */
};

void ata_init(struct ata_disk *d, unsigned index, vdisk_image *img);
/* As after power-on. */
void ata_reset(struct ata_disk *d);
/* From a register FIS, host to device, of 20 bytes. */
void ata_decode(struct ata_command *c, const uint8_t *fis);
/* Does it, with the guest's buffers.  Queued commands of one disk may be performed by several threads at once, others not. */
void ata_perform(struct ata_disk *d, const struct ata_command *c, struct iovec *v, unsigned n, struct ata_result *r);
/* Keeps what the log page of failed queued commands tells. */
void ata_queue_failed(struct ata_disk *d, const struct ata_command *c, const struct ata_result *r);

#endif

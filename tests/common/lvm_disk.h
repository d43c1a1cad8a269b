/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A physical volume of LVM2 in memory, for tests: label, one metadata area, a text; all checksums right. */
#ifndef TESTS_COMMON_LVM_DISK_H
#define TESTS_COMMON_LVM_DISK_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LVM_RING_AT  4096u
#define LVM_RING_LEN (60u << 10) /* so data may begin at 64 KiB */

/* Bit by bit, so that a mistake in a table is not made twice. */
static inline uint32_t lvm_disk_crc(const uint8_t *p, size_t len)
{
	uint32_t crc = 0xf597a6cf;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

static inline void lvm_disk_sums(uint8_t *pv)
{
	uint8_t *label = pv + 512, *ring = pv + LVM_RING_AT;

	le32_put(label + 16, lvm_disk_crc(label + 20, 492));
	le32_put(ring, lvm_disk_crc(ring + 4, 508));
}

/* `uuid`: 32 characters.  The text begins at `at` of the ring (512 or more) and goes on at its beginning where it is cut. */
static inline void lvm_disk_make(uint8_t *pv, uint64_t pv_bytes, const char *uuid, const char *text, size_t len, uint32_t at)
{
	uint8_t *label = pv + 512, *ring = pv + LVM_RING_AT;
	uint32_t sum = lvm_disk_crc((const uint8_t *)text, len);

	memset(label, 0, 512);
	memcpy(label, "LABELONE", 8);
	le64_put(label + 8, 1);
	le32_put(label + 20, 32);
	memcpy(label + 24, "LVM2 001", 8);
	memcpy(label + 32, uuid, 32);
	le64_put(label + 64, pv_bytes);
	le64_put(label + 72, 64u << 10);  /* data: to the end */
	le64_put(label + 104, LVM_RING_AT); /* after the list's end */
	le64_put(label + 112, LVM_RING_LEN);
	memset(ring, 0, 512);
	memcpy(ring + 4, " LVM2 x[5A%r0N*>", 16);
	le32_put(ring + 20, 1);
	le64_put(ring + 24, LVM_RING_AT);
	le64_put(ring + 32, LVM_RING_LEN);
	le64_put(ring + 40, at);
	le64_put(ring + 48, len);
	le32_put(ring + 56, sum);
	for (size_t i = 0; i < len; i++, at++) {
		if (at == LVM_RING_LEN)
			at = 512;
		ring[at] = (uint8_t)text[i];
	}
	lvm_disk_sums(pv);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VD_BASE_CRC32C_H
#define VD_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, reflected, as iSCSI and VHDX use it) of `len` more bytes; `crc` is 0 at first, then what the last call
   returned. */
uint32_t vd_crc32c(uint32_t crc, const void *buf, size_t len);

#endif

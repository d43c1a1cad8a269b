/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine without KVM, threads, files and network, for fuzz_devices.c: the linker puts these in the place of the real
   ones (--wrap). */
#ifndef FUZZ_DEVICES_FAKE_H
#define FUZZ_DEVICES_FAKE_H

#include "machine.h"

#define FAKE_RAM_BYTES  (2u << 20)
#define FAKE_DISK_BYTES (256u << 10)
#define FAKE_FLASH_BYTES 0x10000u

/* A machine of the given kind on zeroed memory.  Borrowed, until fake_end(). */
struct machine *fake_begin(enum bus_kind bus, bool firmware);
void fake_end(void);
/* Loads a kernel from these bytes, which double as its initial RAM disk; it may be refused. */
void fake_kernel(const uint8_t *bytes, size_t n);
/* Host memory that the guest has in this slot now and may write, and how much; NULL or 0 bytes: none. */
uint8_t *fake_slot(enum vm_slot slot, uint64_t *len);
/* Lets the I/O threads' work be done, up to a limit. */
void fake_pump(void);

#endif

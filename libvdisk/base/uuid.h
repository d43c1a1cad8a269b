/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VD_BASE_UUID_H
#define VD_BASE_UUID_H

#include "base/error.h"

#define VD_UUID_TEXT 37

/* Random (version 4), from getrandom(). */
int vd_uuid_random(uint8_t uuid[16], vd_error *err);
/* For what has to come out the same each time (version 4 by its form): from a seed, and from what it names, of which 16 bytes
   count.  seed 0: random. */
int vd_uuid_seeded(uint8_t uuid[16], uint64_t seed, const char *what, vd_error *err);
int vd_random_bytes(void *buf, size_t len, vd_error *err);
/* "01234567-89ab-…" in the order of the bytes. */
void vd_uuid_format(char text[VD_UUID_TEXT], const uint8_t uuid[16]);
bool vd_uuid_parse(uint8_t uuid[16], const char *text);

#endif

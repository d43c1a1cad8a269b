/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is told of an image, key by key. */
#ifndef VD_BASE_SAY_H
#define VD_BASE_SAY_H

#include "base/error.h"

struct vd_ear {
	vdisk_value_fn fn;
	void *ctx;
};

void vd_say_text(const struct vd_ear *e, const char *key, const char *text);
/* Text of the image's, as vd_printable() has it; at most 255 bytes of that. */
void vd_say_foreign(const struct vd_ear *e, const char *key, const char *text);
void vd_say_number(const struct vd_ear *e, const char *key, uint64_t n);
void vd_say_bool(const struct vd_ear *e, const char *key, bool b);
void vd_say_uuid(const struct vd_ear *e, const char *key, const uint8_t uuid[16]);

#endif

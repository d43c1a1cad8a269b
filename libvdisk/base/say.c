/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/say.h"
#include "base/uuid.h"

#include <string.h>

void vd_say_text(const struct vd_ear *e, const char *key, const char *text)
{
	e->fn(e->ctx, &(struct vdisk_value){ .key = key, .type = VDISK_VALUE_STRING, .str = text });
}

void vd_say_foreign(const struct vd_ear *e, const char *key, const char *text)
{
	char clean[256];

	vd_say_text(e, key, vd_printable(clean, sizeof(clean), text, strlen(text)));
}

void vd_say_number(const struct vd_ear *e, const char *key, uint64_t n)
{
	e->fn(e->ctx, &(struct vdisk_value){ .key = key, .type = VDISK_VALUE_U64, .u64 = n });
}

void vd_say_bool(const struct vd_ear *e, const char *key, bool b)
{
	e->fn(e->ctx, &(struct vdisk_value){ .key = key, .type = VDISK_VALUE_BOOL, .u64 = b });
}

void vd_say_uuid(const struct vd_ear *e, const char *key, const uint8_t uuid[16])
{
	char text[VD_UUID_TEXT];

	vd_uuid_format(text, uuid);
	vd_say_text(e, key, text);
}

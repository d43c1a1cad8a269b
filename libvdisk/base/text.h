/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text in images: UTF-16, legacy code pages. */
#ifndef VD_BASE_TEXT_H
#define VD_BASE_TEXT_H

#include "base/error.h"

/* From `charset` (an iconv name such as "UTF-16LE", "GBK", "windows-1252") to UTF-8; returns owned, NUL-terminated, in *out.
   NULs at the end are dropped.  VDISK_CORRUPT where bytes are no text of that charset or a NUL stands inside, VDISK_UNSUPPORTED
   where the charset is unknown. */
int vd_text_to_utf8(const char *charset, const void *in, size_t len, char **out, vd_error *err);
/* UTF-8 to `charset`; returns owned bytes in *out, *len of them.  VDISK_INVALID where the charset cannot say it. */
int vd_text_from_utf8(const char *charset, const char *in, void **out, size_t *len, vd_error *err);

#endif

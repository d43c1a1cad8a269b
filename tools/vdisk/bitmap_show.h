/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listing an image's bitmaps. */
#ifndef VDISK_TOOL_BITMAP_SHOW_H
#define VDISK_TOOL_BITMAP_SHOW_H

#include <json-c/json.h>
#include <vdisk/vdisk.h>

/* What "vdisk bitmap list" prints; the exit status. */
int bitmaps_show(vdisk_image *img, bool json);
/* As a member "bitmaps" of an answer, and as a paragraph, for "vdisk info": without how much each one records.  A directory that
   cannot be read is told there, and no failure. */
void bitmaps_put(vdisk_image *img, struct json_object *o);
void bitmaps_say(vdisk_image *img);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which bytes of a disk the guest's file systems call free, for what leaves them out: convert --used-only and compact. */
#ifndef VDISK_TOOL_USED_H
#define VDISK_TOOL_USED_H

#include "common/ranges.h"
#include "source.h"

#include <json-c/json.h>

/* A partition, a logical volume, or the whole disk. */
struct used_region {
	char name[300]; /* "partition 2" */
	char type[32];  /* of what is in it, as libblkid calls it; "": unknown */
	char note[256]; /* why nothing is left out of it; "": there is no more to say */
	uint64_t size, free;
};

struct used {
	struct ranges free; /* bytes of the disk; ascending, none touching another */
	struct used_region *regions;
	size_t n;
};

/* What becomes of a file system that is not at rest: */
enum used_rest {
	USED_REFUSE, /* all is refused */
	USED_WHOLE,  /* nothing of it is free */
	USED_LIVE,   /* what it calls free now is, as it may not be a moment later */
};

/* `img` is open for reading; s and content (may be NULL) are what it was opened with.  What no file system covers is not free.  0,
   or EXIT_TROUBLE after a message. */
int used_find(vdisk_image *img, const struct source_args *s, const struct content_args *content, enum used_rest rest,
              const volatile int *cancel, struct used *out);
void used_free(struct used *u);

/* Warns of regions that are taken whole although one may have expected otherwise. */
void used_warn(const struct used *u);
/* A line for each region, on standard error. */
void used_tell(const struct used *u);
struct json_object *used_json(const struct used *u);

#endif

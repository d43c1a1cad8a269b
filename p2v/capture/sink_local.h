/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A capture into a folder or an image here: the folder that a receiver would have made. */
#ifndef CAPTURE_SINK_LOCAL_H
#define CAPTURE_SINK_LOCAL_H

#include "sink.h"

struct local_options {
	const char *to;        /* a folder that is there: captures lie below it; otherwise the image of the one disk */
	const char *format;    /* of the images; NULL: by the image's ending, qcow2 in a folder */
	const char *host, *uuid; /* of the machine */
	bool overwrite;        /* an image that has the name already */
};

/* The options and what they point to are borrowed.  NULL with *err. */
struct sink *local_open(const struct local_options *o, vdisk_error *err);

#endif

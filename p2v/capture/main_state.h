/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small file that lets a later run go on with a capture without its token: the receiver's URL, the capture's ID and secret. */
#ifndef CAPTURE_MAIN_STATE_H
#define CAPTURE_MAIN_STATE_H

#include "main_options.h"
#include "sink_http.h"

struct state {
	char path[4096];
	char secret[HTTP_SECRET_MAX];
	bool has_fingerprint;
	uint8_t fingerprint[32];
};

/* Sets the path, and takes what the file holds about this receiver, if there is one.  -1 where one was named and cannot be read. */
int state_load(struct state *s, const struct options *o, vdisk_error *err);
/* -1: it could not be written. */
int state_save(const struct state *s, const struct options *o, const char *id, const char *secret, vdisk_error *err);
void state_drop(const struct state *s);

#endif

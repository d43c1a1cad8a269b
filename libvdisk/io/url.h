/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* http and https URLs as names of images.  Pure. */
#ifndef VD_IO_URL_H
#define VD_IO_URL_H

#include "base/error.h"

/* "http://…" or "https://…", whatever the case. */
bool vd_url_is(const char *path);
/* Fit to be asked for: a host, no user information (credentials do not go on a command line), no spaces or control characters. */
int vd_url_judge(const char *url, vd_error *err);
/* What messages call it, and what its suffix is taken from: without the query, which may hold a signature, and without a user's name
   and password.  Returns owned. */
char *vd_url_shown(const char *url);
/* The URL of what the image at `url` calls `name`: in the same folder of the same server or below, with the same query.  A name
   that is absolute, or that has ".." in it, is VDISK_REFUSED.  Returns owned. */
int vd_url_beside(const char *url, const char *name, char **out, vd_error *err);
/* Same scheme, host and port, as written. */
bool vd_url_same_origin(const char *a, const char *b);
bool vd_url_is_secure(const char *url);

#endif

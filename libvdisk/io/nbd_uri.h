/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of NBD servers' exports, as doc/uri.md of the NBD project has them.  Taken apart here and not by libnbd, so that what is
 * judged is what is used: it passes over parameters that it does not know, and what it does for TLS depends on them.  Pure.
 */
#ifndef VD_IO_NBD_URI_H
#define VD_IO_NBD_URI_H

#include "base/error.h"

/* Strings are owned; NULL: not there. */
struct vd_nbd_uri {
	char *host, *port; /* by TCP */
	char *socket;      /* or by a Unix socket */
	char *name;        /* of the export; "": the server's default one */
	char *user;        /* of TLS by a shared key */
	char *certificates, *psk_file; /* one of them with TLS, none without */
	bool tls;
};

/* Refuses, besides what is malformed, TLS by which libnbd would not know who the server is. */
int vd_nbd_uri_parse(const char *text, struct vd_nbd_uri *out, vd_error *err);
void vd_nbd_uri_free(struct vd_nbd_uri *u);

#endif

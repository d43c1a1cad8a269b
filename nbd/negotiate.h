/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first phase of a connection: fixed newstyle haggling, up to the export that is served. */
#ifndef VDISK_NBD_NEGOTIATE_H
#define VDISK_NBD_NEGOTIATE_H

#include "export.h"
#include "stream.h"
#include "tls.h"

struct session { /* what was agreed on */
	bool structured;
	bool contexts[EXPORT_CONTEXTS]; /* the context's number is its place here */
};

/* 0: goes on with requests.  -1: this was all; *polite: the client left as it should.  `tls` NULL: plain text only; otherwise
   nothing is told before TLS.  Takes not longer than the stream's limit allows. */
int negotiate(struct stream *s, const struct export *x, const struct tls *tls, struct session *out, bool *polite);

#endif

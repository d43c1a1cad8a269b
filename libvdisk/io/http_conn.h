/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection to a server, with the request that is under way on it; a source has VD_HTTP_CONNECTIONS of them at most, which are kept
   and used again.  For io/http*.c alone. */
#ifndef VD_IO_HTTP_CONN_H
#define VD_IO_HTTP_CONN_H

#include "io/http_source.h"

struct vd_http_conn {
	struct vd_http_conn *next;
	struct vd_http_source *s;
	CURL *h;
	char why[CURL_ERROR_SIZE];
	/* the request under way */
	const struct iovec *iov;
	int n;
	uint64_t off;
	size_t want, got, discarded; /* got: judged and in place */
	size_t most;                 /* got, once all that the present answer holds is there */
	struct vd_http_answer answer;
	bool judged, failed;
	vd_error err;                /* if failed */
	char *target;                /* the URL that was asked */
};

/* Alone, for a request; waits where all are in use.  NULL: no memory. */
struct vd_http_conn *vd_http_conn_take(struct vd_http_source *s);
void vd_http_conn_give(struct vd_http_conn *c);
void vd_http_conn_free(struct vd_http_conn *c);
/* Judges the present answer, a 206, against what was asked for; c->failed and c->err if it does not fit. */
bool vd_http_conn_answer_fits(struct vd_http_conn *c);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One file on a web server, and the connections to it: exact ranges of one and the same version.  For io/http*.c alone. */
#ifndef VD_IO_HTTP_SOURCE_H
#define VD_IO_HTTP_SOURCE_H

#include "base/error.h"

#include <curl/curl.h>
#include <pthread.h>
#include <sys/uio.h>

#define VD_HTTP_CONNECTIONS 16u
#define VD_HTTP_VALIDATOR   256u

/* libcurl's functions, taken at run time: programs that open no URL start without it and the thirty libraries that it brings. */
struct vd_curl {
	CURLcode (*global_init)(long);
	curl_version_info_data *(*version_info)(CURLversion);
	CURL *(*easy_init)(void);
	CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
	CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
	CURLcode (*easy_perform)(CURL *);
	void (*easy_cleanup)(CURL *);
	const char *(*easy_strerror)(CURLcode);
	struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
	void (*slist_free_all)(struct curl_slist *);
};
int vd_curl_load(struct vd_curl *c, vd_error *err);

/* How a server is asked; strings NULL: none. */
struct vd_http_access {
	char **headers; /* "Name: value", NULL-terminated */
	size_t n_headers;
	char *netrc, *cacert;
};
int vd_http_access_read(const struct vdisk_remote *remote, struct vd_http_access *out, vd_error *err);
int vd_http_access_copy(const struct vd_http_access *from, struct vd_http_access *out, vd_error *err);
void vd_http_access_free(struct vd_http_access *a);

/* Which version of the file, by the server's word: what the first answer said, and each one after it has to. */
struct vd_http_version {
	uint64_t size;
	char etag[VD_HTTP_VALIDATOR], modified[VD_HTTP_VALIDATOR]; /* "": not told */
};

struct vd_http_conn;
/* Fixed once it is open, but for what `lock` guards. */
struct vd_http_source {
	struct vd_curl curl;
	struct vd_http_access access;
	const volatile int *cancel;        /* set before it is opened; NULL: never */
	char *url, *shown;
	struct vd_http_version version;
	bool pinned;                       /* `version` is known */
	struct curl_slist *plain, *secret; /* headers of a request: to others, where a redirection led to; to the server that was
	                                      named */
	pthread_mutex_t lock;
	pthread_cond_t freed;
	char *target;                      /* where redirections led to, or the URL itself */
	struct vd_http_conn *idle;
	unsigned n_conns;
};

/* The first `len` bytes at most, *got of them; with them the version is pinned.  Once, at the start. */
int vd_http_source_open(struct vd_http_source *s, const char *url, void *head, size_t len, size_t *got, vd_error *err);
/* Exactly [off, off+len), inside the file, into the vectors, which hold that much.  From any thread. */
int vd_http_source_read(struct vd_http_source *s, const struct iovec *iov, int n, size_t len, uint64_t off, vd_error *err);
void vd_http_source_close(struct vd_http_source *s);

/* ---- one answer's headers: pure (http_answer.c) */

struct vd_http_answer {
	int status;
	bool has_range, no_range, has_length, encoded; /* no_range: of a 416, "bytes", a star, the length */
	uint64_t from, to, total; /* Content-Range: bytes from-to/total; of status 416: total alone */
	uint64_t length;          /* Content-Length */
	unsigned retry_after;     /* seconds; 0: not told */
	char etag[VD_HTTP_VALIDATOR], modified[VD_HTTP_VALIDATOR];
};
/* One line as it came, with or without its end; a status line begins the answer anew. */
void vd_http_answer_line(struct vd_http_answer *a, const char *line, size_t len);
/* Whether a 206 holds what was asked for, [off, off+len) at most, from `off` on, of version `v` (NULL: the first one). */
int vd_http_answer_judge(const struct vd_http_answer *a, const char *name, uint64_t off, uint64_t len,
                         const struct vd_http_version *v, vd_error *err);
/* Whether it is of another version, as far as it tells. */
bool vd_http_answer_changed(const struct vd_http_answer *a, const struct vd_http_version *v);
int vd_http_fail_changed(const struct vd_http_answer *a, const char *name, const struct vd_http_version *v, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What others say that lead us to images elsewhere.  The input's first byte chooses: the headers of a web server's answer, line
 * by line, with the version that the answer before had; a URL, and a name in the image that lies there; an NBD URI.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "io/http_source.h"
#include "io/nbd.h"
#include "io/nbd_uri.h"
#include "io/url.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void told(const vd_error *err)
{
	assert(err->kind != VDISK_OK && err->message[0] && !strchr(err->message, '\n'));
}

/* ---------------------------------------------------------------- answers */

static void answer_hold(const struct vd_http_answer *a)
{
	assert(a->status == 0 || (a->status >= 100 && a->status < 600));
	assert(memchr(a->etag, 0, sizeof(a->etag)) && memchr(a->modified, 0, sizeof(a->modified)) && a->retry_after <= 3600);
	if (a->has_range)
		assert(a->total <= INT64_MAX && (a->no_range || (a->from <= a->to && a->to < a->total)));
}

/* What is taken has the bytes that were asked for, of that version, and no more. */
static void answer_judge(const struct vd_http_answer *a, uint64_t off, uint64_t len, const struct vd_http_version *v)
{
	vd_error err = { 0 };

	if (vd_http_answer_judge(a, "name", off, len, v, &err)) {
		told(&err);
		return;
	}
	assert(a->has_range && !a->no_range && !a->encoded && a->from == off && a->to - a->from < len && a->to < a->total);
	assert(!a->has_length || a->length == a->to - a->from + 1);
	if (v)
		assert(a->total == v->size && !vd_http_answer_changed(a, v) &&
		       (!v->etag[0] || !a->etag[0] || !strcmp(v->etag, a->etag)));
}

/* A line's end is "\n"; an empty line begins the next answer, to the same question as the first. */
static void answers(const uint8_t *data, size_t size)
{
	struct vd_http_answer a = { 0 };
	struct vd_http_version v = { 0 };
	uint64_t off, len;
	bool pinned = false;

	if (size < 16)
		return;
	off = le64_get(data) >> 1;
	len = vd_max(le64_get(data + 8) >> 2, 1);
	for (size_t at = 16; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t n = end ? (size_t)(end - (data + at)) + 1 : size - at;

		vd_http_answer_line(&a, (const char *)data + at, n);
		answer_hold(&a);
		at += n;
		if (n > 1 && at < size)
			continue;
		answer_judge(&a, off, len, pinned ? &v : NULL);
		if (!pinned && a.has_range && !a.no_range) {
			v.size = a.total;
			memcpy(v.etag, a.etag, sizeof(v.etag));
			memcpy(v.modified, a.modified, sizeof(v.modified));
			pinned = true;
			answer_judge(&a, off, len, &v);
		} else if (pinned) {
			vd_error err = { 0 };

			vd_http_fail_changed(&a, "name", &v, &err);
			told(&err);
		}
	}
}

/* ---------------------------------------------------------------- names */

static char *text_of(const uint8_t *data, size_t size)
{
	return vd_strndup((const char *)data, vd_min(size, 3 * LINE_MOST));
}

/* A name in an image leads beneath the image's folder, on its own server. */
static void url(const uint8_t *data, size_t size)
{
	const uint8_t *zero = memchr(data, 0, size);
	VD_AUTO_FREE char *image = text_of(data, size), *name = zero ? text_of(zero + 1, size - (size_t)(zero - data) - 1) : NULL;
	VD_AUTO_FREE char *shown = NULL, *beside = NULL;
	vd_error err = { 0 };
	size_t folder;

	if (!image || !vd_url_is(image))
		return;
	if (vd_url_judge(image, &err)) {
		told(&err);
		return;
	}
	shown = vd_url_shown(image);
	assert(shown && !strpbrk(shown, "?#") && !strncmp(image, shown, strlen(shown)));
	if (!name)
		return;
	if (vd_url_beside(image, name, &beside, &err)) {
		told(&err);
		return;
	}
	assert(vd_url_same_origin(image, beside) && !strchr(beside, '#'));
	folder = strcspn(image, "?#");
	while (folder > strlen("https://") && image[folder - 1] != '/')
		folder--;
	if (folder <= strlen("https://")) /* no folder, only a server */
		return;
	assert(!strncmp(image, beside, folder));
	beside[folder + strcspn(beside + folder, "?")] = '\0';
	assert(beside[folder] && beside[folder] != '/' && strncmp(beside + folder, "../", 3) && !strstr(beside + folder, "/../"));
}

static void export(const uint8_t *data, size_t size)
{
	VD_AUTO_FREE char *text = text_of(data, size);
	struct vd_nbd_uri u;
	vd_error err = { 0 };

	if (!text)
		return;
	if (vd_nbd_uri_parse(text, &u, &err)) {
		told(&err);
		return;
	}
	assert(vd_nbd_uri_is(text) && u.name && (u.socket != NULL) != (u.host != NULL));
	assert(u.tls == (u.certificates || u.psk_file) && !(u.certificates && u.psk_file) && !(u.socket && u.certificates));
	if (u.host) {
		long port = strtol(u.port, NULL, 10);

		assert(u.host[0] && !strpbrk(u.host, "/?#@[] ") && port > 0 && port < 65536);
	}
	vd_nbd_uri_free(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const ways[])(const uint8_t *, size_t) = { answers, url, export };

	if (size)
		ways[data[0] % (sizeof(ways) / sizeof(ways[0]))](data + 1, size - 1);
	return 0;
}

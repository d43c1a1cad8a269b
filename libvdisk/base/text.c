/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text in other character sets, through iconv(3).  The charset's name may come from an image, so it is judged before iconv sees
   it. */
#include "base/text.h"
#include "base/alloc.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

#define TEXT_MAX (16u << 20)

/* Nothing that iconv gives a meaning of its own ("//TRANSLIT"), nor anything that looks like a path. */
static bool charset_ok(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:+");

	return n && n < 64 && !name[n];
}

static int charset_open(const char *to, const char *from, const char *foreign, iconv_t *cd, vd_error *err)
{
	char shown[80];

	*cd = charset_ok(foreign) ? iconv_open(to, from) : (iconv_t)-1;
	if (*cd != (iconv_t)-1)
		return 0;
	if (charset_ok(foreign) && errno == ENOMEM)
		return vd_fail_nomem(err, 0);
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "no such character set: '%s'",
	               vd_printable(shown, sizeof(shown), foreign, strlen(foreign)));
}

/* All of in; returns owned in *out with four zero bytes behind it.  *bad: offset of what is no text, where errno is EILSEQ or
   EINVAL. */
static int convert(iconv_t cd, const char *in, size_t len, char **out, size_t *out_len, size_t *bad)
{
	size_t cap = len * 2 + 16, done = 0, left = len;
	char *buf = vd_malloc(cap + 4), *bigger, *src = (char *)(uintptr_t)in;
	bool ending = false;

	while (buf) {
		char *dst = buf + done;
		size_t room = cap - done, r;

		r = ending ? iconv(cd, NULL, NULL, &dst, &room) : iconv(cd, &src, &left, &dst, &room);
		done = cap - room;
		if (r != (size_t)-1) {
			if (ending) {
				memset(buf + done, 0, 4);
				*out = buf;
				*out_len = done;
				return 0;
			}
			ending = true; /* now what a charset with shifts wants behind the text */
			continue;
		}
		if (errno != E2BIG) {
			int e = errno;

			*bad = len - left;
			vd_free(buf);
			errno = e;
			return -1;
		}
		bigger = vd_realloc(buf, cap * 2 + 4, 1);
		if (!bigger)
			vd_free(buf);
		buf = bigger;
		cap *= 2;
	}
	errno = ENOMEM;
	return -1;
}

int vd_text_to_utf8(const char *charset, const void *in, size_t len, char **out, vd_error *err)
{
	size_t n, bad = 0;
	iconv_t cd;
	int r, e;

	if (len > TEXT_MAX)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "a text of %zu bytes is longer than %u", len, TEXT_MAX);
	if (charset_open("UTF-8", charset, charset, &cd, err))
		return -1;
	r = convert(cd, in, len, out, &n, &bad);
	e = errno;
	iconv_close(cd);
	if (r && e == ENOMEM)
		return vd_fail_nomem(err, len * 2);
	if (r)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "no %s text: byte %zu of %zu", charset, bad, len);
	while (n && !(*out)[n - 1])
		n--;
	if (memchr(*out, 0, n)) {
		vd_free(*out);
		*out = NULL;
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "a NUL inside a text of %zu bytes (%s)", len, charset);
	}
	return 0;
}

int vd_text_from_utf8(const char *charset, const char *in, void **out, size_t *len, vd_error *err)
{
	size_t n = strlen(in), bad = 0;
	char shown[160], *buf;
	iconv_t cd;
	int r, e;

	if (n > TEXT_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a text of %zu bytes is longer than %u", n, TEXT_MAX);
	if (charset_open(charset, "UTF-8", charset, &cd, err))
		return -1;
	r = convert(cd, in, n, &buf, len, &bad);
	e = errno;
	iconv_close(cd);
	if (r && e == ENOMEM)
		return vd_fail_nomem(err, n * 2);
	if (r)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "'%s' cannot be written in %s (from its byte %zu on)",
		               vd_printable(shown, sizeof(shown), in, n), charset, bad);
	*out = buf;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filling in errors.  Messages stay one line of at most VDISK_ERROR_MESSAGE_MAX - 1 bytes, whatever goes into them. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *vdisk_error_kind_name(enum vdisk_error_kind kind)
{
	switch (kind) {
	case VDISK_OK:
		return "ok";
	case VDISK_IO:
		return "io";
	case VDISK_NOMEM:
		return "nomem";
	case VDISK_CORRUPT:
		return "corrupt";
	case VDISK_UNSUPPORTED:
		return "unsupported";
	case VDISK_INVALID:
		return "invalid";
	case VDISK_BUSY:
		return "busy";
	case VDISK_CANCELLED:
		return "cancelled";
	case VDISK_REFUSED:
		return "refused";
	}
	return "unknown";
}

/* Control bytes become '?'; a message that was cut ends in "...", and in no half of a UTF-8 character. */
static void message_clean(char *m, size_t cap, int wanted)
{
	size_t n = strlen(m);

	if (wanted >= 0 && (size_t)wanted >= cap && n > 4) {
		n -= 3;
		while (n && ((unsigned char)m[n] & 0xc0) == 0x80)
			n--;
		memcpy(m + n, "...", 4);
		n += 3;
	}
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)m[i] < 0x20 || m[i] == 0x7f)
			m[i] = '?';
}

/* Formats into a buffer of its own first: an argument may be err->message itself. */
__attribute__((format(printf, 3, 0))) static void message_format(char *m, size_t cap, const char *fmt, va_list ap)
{
	int wanted = vsnprintf(m, cap, fmt, ap);

	if (wanted < 0)
		m[0] = 0;
	message_clean(m, cap, wanted);
}

static void error_set(vd_error *err, enum vdisk_error_kind kind, int sys_errno, uint64_t offset, const char *message)
{
	err->kind = kind;
	err->sys_errno = sys_errno;
	err->offset = offset;
	memcpy(err->message, message, strlen(message) + 1);
}

int vd_fail(vd_error *err, enum vdisk_error_kind kind, uint64_t offset, const char *fmt, ...)
{
	char m[VDISK_ERROR_MESSAGE_MAX];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	message_format(m, sizeof(m), fmt, ap);
	va_end(ap);
	error_set(err, kind, 0, offset, m);
	return -1;
}

int vd_fail_errno(vd_error *err, int sys_errno, uint64_t offset, const char *fmt, ...)
{
	char m[VDISK_ERROR_MESSAGE_MAX], buf[128];
	const char *why;
	size_t room;
	va_list ap;

	if (!err)
		return -1;
	why = strerror_r(sys_errno, buf, sizeof(buf));
	room = strlen(why) + 2 < sizeof(m) / 2 ? sizeof(m) - strlen(why) - 2 : sizeof(m) / 2;
	va_start(ap, fmt);
	message_format(m, room, fmt, ap);
	va_end(ap);
	snprintf(m + strlen(m), sizeof(m) - strlen(m), ": %s", why);
	error_set(err, sys_errno == ENOMEM ? VDISK_NOMEM : VDISK_IO, sys_errno, offset, m);
	return -1;
}

int vd_fail_nomem(vd_error *err, size_t bytes)
{
	return vd_fail(err, VDISK_NOMEM, VDISK_NO_OFFSET, "out of memory (%zu bytes wanted)", bytes);
}

int vd_fail_in(vd_error *err, const char *fmt, ...)
{
	char m[VDISK_ERROR_MESSAGE_MAX];
	size_t n, rest;
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	message_format(m, sizeof(m) / 2, fmt, ap);
	va_end(ap);
	n = strlen(m);
	if (!strncmp(err->message, m, n) && err->message[n] == ':')
		return -1;
	memcpy(m + n, ": ", 3);
	n += 2;
	rest = strlen(err->message);
	if (rest < sizeof(m) - n) {
		memcpy(m + n, err->message, rest + 1);
	} else {
		memcpy(m + n, err->message, sizeof(m) - n - 1);
		m[sizeof(m) - 1] = 0;
		message_clean(m, sizeof(m), sizeof(m));
	}
	memcpy(err->message, m, strlen(m) + 1);
	return -1;
}

void vd_error_clear(vd_error *err)
{
	if (err)
		error_set(err, VDISK_OK, 0, VDISK_NO_OFFSET, "");
}

/* Bytes of the UTF-8 character at p that may be shown as it is; 0: none.  Shown are no controls, no marks that turn the direction
   of text or break lines, no surrogates, and nothing in more bytes than it takes (Unicode 15, table 3-7). */
static size_t utf8_plain(const unsigned char *p, size_t len)
{
	size_t n = p[0] < 0x80                   ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : (p[0] & 0xf0) == 0xe0       ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;
	uint32_t c;

	if (!n || n > len)
		return 0;
	if (n == 1)
		return p[0] >= 0x20 && p[0] < 0x7f;
	c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < (n == 2 ? 0xa0u : n == 3 ? 0x800u : 0x10000u) || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	if ((c >= 0x200b && c < 0x2010) || (c >= 0x2028 && c < 0x202f) || (c >= 0x2060 && c < 0x2070) || c == 0xfeff ||
	    (c & 0xfffe) == 0xfffe)
		return 0;
	return n;
}

const char *vd_printable(char *buf, size_t cap, const void *text, size_t len)
{
	const unsigned char *p = text;
	size_t n = 0, fit = 0, k; /* fit: what may stay if "..." must follow */

	if (!cap)
		return "";
	for (size_t i = 0; i < len; i += k ? k : 1) {
		k = utf8_plain(p + i, len - i);
		if (n + (k ? k : 4) > cap - 1) {
			snprintf(buf + fit, cap - fit, "...");
			return buf;
		}
		if (k)
			memcpy(buf + n, p + i, k);
		else
			snprintf(buf + n, cap - n, "\\x%02x", p[i]);
		n += k ? k : 4;
		if (n + 4 <= cap)
			fit = n;
	}
	buf[n] = 0;
	return buf;
}

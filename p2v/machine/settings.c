/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys and values. */
#include "settings.h"

#include "common/fail.h"
#include "text.h"

#include <errno.h>
#include <iconv.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of the sorted places: the first whose key's first `n` bytes are not before `key`, or, `behind`, are behind it. */
static size_t place_find(const struct settings *s, const char *key, size_t n, bool behind)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strncasecmp(s->at[s->sorted[mid]].key, key, n);

		if (order < 0 || (behind && !order))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int settings_add(struct settings *s, const char *key, size_t key_len, const char *value, size_t value_len, unsigned line,
                 vdisk_error *err)
{
	struct setting one = { strndup(key, key_len), strndup(value, value_len), line, false }, *grown = s->at;
	uint32_t *places = s->sorted;
	size_t at;

	if (s->n == SETTINGS_MAX) {
		free(one.key);
		free(one.value);
		return fail(err, VDISK_UNSUPPORTED, "line %u: there are more than %d settings", line, SETTINGS_MAX);
	}
	if (!(s->n & (s->n - 1))) {
		grown = realloc(s->at, (s->n ? s->n * 2 : 1) * sizeof(*grown));
		s->at = grown ? grown : s->at;
		places = realloc(s->sorted, (s->n ? s->n * 2 : 1) * sizeof(*places));
		s->sorted = places ? places : s->sorted;
	}
	if (!grown || !places || !one.key || !one.value) {
		free(one.key);
		free(one.value);
		return fail_nomem(err);
	}
	at = place_find(s, one.key, SIZE_MAX, true);
	memmove(places + at + 1, places + at, (s->n - at) * sizeof(*places));
	places[at] = (uint32_t)s->n;
	s->at[s->n++] = one;
	return 0;
}

void settings_free(struct settings *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->at[i].key);
		free(s->at[i].value);
	}
	free(s->at);
	free(s->sorted);
	*s = (struct settings){ 0 };
}

const char *settings_get(struct settings *s, const char *format, ...)
{
	struct setting *last;
	char key[128];
	size_t end;
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof(key), format, args);
	va_end(args);
	end = place_find(s, key, SIZE_MAX, true);
	last = end ? &s->at[s->sorted[end - 1]] : NULL;
	if (!last || strcasecmp(last->key, key))
		return NULL;
	for (bool marked = last->used; !marked && end && !strcasecmp(s->at[s->sorted[end - 1]].key, key); end--)
		s->at[s->sorted[end - 1]].used = true;
	return last->value;
}

bool settings_have(const struct settings *s, const char *format, ...)
{
	char key[128];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof(key), format, args);
	va_end(args);
	size_t at = place_find(s, key, strlen(key), false);
	return at < s->n && !strncasecmp(s->at[s->sorted[at]].key, key, strlen(key));
}

static bool is_harmless(const char *key, const char *const *harmless)
{
	for (; *harmless; harmless++) {
		size_t n = strlen(*harmless);

		if ((*harmless)[n - 1] == '*' ? !strncasecmp(key, *harmless, n - 1) : !strcasecmp(key, *harmless))
			return true;
	}
	return false;
}

void settings_unused(const struct settings *s, const char *const *harmless, struct machine_lost_list *lost)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->at[i].used && *s->at[i].value && !is_harmless(s->at[i].key, harmless))
			machine_lost_add(lost, s->at[i].value, NULL, "%s, line %u", s->at[i].key, s->at[i].line);
}

static bool is_utf8(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = text_utf8_len(text + i, len - i);

		if (!n)
			return false;
		i += n;
	}
	return true;
}

/* What is behind a NUL (where a power cut left zeros, say) would be missing without a word. */
static int nul_judge(const char *text, size_t len, vdisk_error *err)
{
	const char *nul = memchr(text, 0, len);

	return nul ? fail(err, VDISK_CORRUPT, "this is no text: byte %zu is a NUL", (size_t)(nul - text)) : 0;
}

static char *convert(const char *bytes, size_t len, const char *encoding, vdisk_error *err)
{
	iconv_t way = iconv_open("UTF-8", encoding);
	size_t room = len * 4 + 4, in_left = len, out_left = room;
	char *out, *in_at = (char *)bytes, *out_at;

	if (way == (iconv_t)-1) {
		fail(err, VDISK_UNSUPPORTED, "the encoding \"%.64s\" is not known", encoding);
		return NULL;
	}
	out = out_at = malloc(room + 1);
	if (!out) {
		iconv_close(way);
		fail_nomem(err);
		return NULL;
	}
	if (iconv(way, &in_at, &in_left, &out_at, &out_left) == (size_t)-1) {
		fail(err, VDISK_CORRUPT, "byte %zu is no %.64s", len - in_left, encoding);
		free(out);
		out = NULL;
	} else if (nul_judge(out, (size_t)(out_at - out), err)) {
		free(out);
		out = NULL;
	} else {
		*out_at = '\0';
	}
	iconv_close(way);
	return out;
}

char *settings_utf8(const void *bytes, size_t len, const char *encoding, vdisk_error *err)
{
	const char *text = bytes;
	char *copy;

	if (len >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2)))
		return convert(text, len, "UTF-16", err);
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	if (!is_utf8(text, len))
		return convert(text, len, encoding && strcasecmp(encoding, "UTF-8") ? encoding : "ISO-8859-1", err);
	if (nul_judge(text, len, err))
		return NULL;
	copy = malloc(len + 1);
	if (!copy) {
		fail_nomem(err);
		return NULL;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

int text_begin(struct text *t)
{
	*t = (struct text){ 0 };
	t->file = open_memstream(&t->at, &t->len);
	return t->file ? 0 : -1;
}

char *text_end(struct text *t, size_t *len)
{
	bool failed = ferror(t->file);

	if (fclose(t->file) || failed) {
		free(t->at);
		return NULL;
	}
	*len = t->len;
	return t->at;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Texts from the kernel's command line and from people: taken whole or refused, never cut. */
#include "settings.h"

#include "common/fail.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT "8443" /* as vdisk-transfer(5) says */

/* No blanks, no control characters, nothing beyond ASCII: it goes into a URL, a header or a command's words. */
static int plain(const char *what, const char *text, size_t max, vdisk_error *err)
{
	size_t len = strlen(text);

	if (!len)
		return fail(err, VDISK_INVALID, "the %s is empty", what);
	if (len > max)
		return fail(err, VDISK_INVALID, "the %s is longer than %zu characters", what, max);
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '"')
			return fail(err, VDISK_INVALID, "the %s has a character that it cannot have, at place %zu", what, i + 1);
	return 0;
}

/* Is [from, to) a host's name or address, or one of IPv6 in brackets?  *rest: behind it. */
static bool host_good(const char *from, const char **rest)
{
	const char *p = from;

	if (*p == '[') {
		p++;
		while (isxdigit((unsigned char)*p) || *p == ':' || *p == '.' || *p == '%' || isalnum((unsigned char)*p))
			p++;
		if (*p != ']' || p == from + 1)
			return false;
		*rest = p + 1;
		return p - from < 250;
	}
	while (isalnum((unsigned char)*p) || *p == '.' || *p == '-' || *p == '_')
		p++;
	*rest = p;
	return p > from && p - from < 250;
}

int settings_server(struct settings *s, const char *text, vdisk_error *err)
{
	const char *p = text, *rest;
	unsigned long port = 0;

	if (plain("server", text, sizeof(s->server) - 32, err))
		return -1;
	if (!strncasecmp(p, "http://", 7))
		return fail(err, VDISK_INVALID, "the server is reached by https only: %s", text);
	if (!strncasecmp(p, "https://", 8))
		p += 8;
	if (!host_good(p, &rest))
		return fail(err, VDISK_INVALID, "no server's name or address: %s", text);
	if (*rest == ':') {
		char *end;

		port = isdigit((unsigned char)rest[1]) ? strtoul(rest + 1, &end, 10) : 0;
		if (!port || port > 65535)
			return fail(err, VDISK_INVALID, "the server's port is a number from 1 to 65535: %s", text);
		snprintf(s->server, sizeof(s->server), "https://%.*s:%lu/", (int)(rest - p), p, port);
		rest = end;
	} else {
		snprintf(s->server, sizeof(s->server), "https://%.*s:" DEFAULT_PORT "/", (int)(rest - p), p);
	}
	if (*rest && strcmp(rest, "/")) {
		s->server[0] = '\0';
		return fail(err, VDISK_INVALID, "there is something behind the server's name and port: %s", text);
	}
	return 0;
}

void settings_host(const struct settings *s, char host[256], char port[8])
{
	const char *p = s->server + strlen("https://"), *colon = strrchr(p, ':'), *end = colon;

	if (*p == '[') {
		p++;
		end--;
	}
	snprintf(host, 256, "%.*s", (int)(end - p), p);
	snprintf(port, 8, "%.*s", (int)strcspn(colon + 1, "/"), colon + 1);
}

int settings_token(struct settings *s, const char *text, vdisk_error *err)
{
	if (plain("token", text, sizeof(s->token) - 1, err))
		return -1;
	strcpy(s->token, text);
	return 0;
}

/* Digits with whatever people put between them. */
int settings_fingerprint(struct settings *s, const char *text, vdisk_error *err)
{
	char digits[65];
	size_t n = 0;

	if (!strncasecmp(text, "sha256:", 7))
		text += 7;
	for (const char *p = text; *p; p++) {
		if (*p == ':' || *p == ' ' || *p == '-')
			continue;
		if (!isxdigit((unsigned char)*p) || n == 64)
			return fail(err, VDISK_INVALID, "a fingerprint is 64 digits from 0 to f: %.100s", text);
		digits[n++] = (char)tolower((unsigned char)*p);
	}
	if (n && n != 64)
		return fail(err, VDISK_INVALID, "a fingerprint is 64 digits from 0 to f, not %zu", n);
	digits[n] = '\0';
	strcpy(s->fingerprint, digits);
	return 0;
}

int settings_disks(struct settings *s, const char *text, vdisk_error *err)
{
	if (!strcmp(text, "all")) {
		s->disks[0] = '\0';
		return 0;
	}
	if (plain("list of disks", text, sizeof(s->disks) - 1, err))
		return -1;
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(",/_.-!:", *p))
			return fail(err, VDISK_INVALID, "no list of disks with commas between: %.200s", text);
	strcpy(s->disks, text);
	return 0;
}

bool settings_want(const struct settings *s, const char *disk)
{
	size_t len = strlen(disk);

	if (!s->disks[0])
		return true;
	for (const char *p = s->disks; *p;) {
		size_t n = strcspn(p, ",");

		if (n > 5 && !strncmp(p, "/dev/", 5) && n - 5 == len && !memcmp(p + 5, disk, len))
			return true;
		if (n == len && !memcmp(p, disk, len))
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

int settings_after(struct settings *s, const char *text, vdisk_error *err)
{
	if (!strcmp(text, "poweroff"))
		s->after = AFTER_POWEROFF;
	else if (!strcmp(text, "reboot"))
		s->after = AFTER_REBOOT;
	else
		return fail(err, VDISK_INVALID, "after the capture comes poweroff or reboot, not %.64s", text);
	return 0;
}

/* ---------------------------------------------------------------- the kernel's command line */

static const struct {
	const char *name;
	int (*take)(struct settings *, const char *, vdisk_error *);
} words[] = {
	{ "vdisk.server=", settings_server }, { "vdisk.token=", settings_token }, { "vdisk.fingerprint=", settings_fingerprint },
	{ "vdisk.disks=", settings_disks },   { "vdisk.after=", settings_after },
};

static int word_take(struct settings *s, const char *word, vdisk_error *err)
{
	if (strncmp(word, "vdisk.", 6))
		return 0;
	if (!strcmp(word, "vdisk.auto") || !strcmp(word, "vdisk.auto=1")) {
		s->auto_start = true;
		return 0;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strncmp(word, words[i].name, strlen(words[i].name)))
			return words[i].take(s, word + strlen(words[i].name), err);
	return fail(err, VDISK_INVALID, "not known on the kernel's command line: %.100s", word);
}

int settings_from_kernel(struct settings *s, const char *line, vdisk_error *err)
{
	char word[2048];
	size_t n = 0;
	bool quoted = false, cut = false;

	for (const char *p = line;; p++) {
		if (*p == '"') {
			quoted = !quoted;
		} else if (*p && (quoted || !isspace((unsigned char)*p))) {
			if (n < sizeof(word) - 1)
				word[n++] = *p;
			else
				cut = true;
		} else {
			word[n] = '\0';
			if (cut && !strncmp(word, "vdisk.", 6))
				return fail(err, VDISK_INVALID, "a word of the kernel's command line is too long: %.32s...", word);
			if (word_take(s, word, err))
				return -1;
			n = 0;
			cut = false;
		}
		if (!*p)
			return 0;
	}
}

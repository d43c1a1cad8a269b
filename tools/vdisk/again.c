/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From /proc, so that what was typed is told and not what was understood. */
#include "again.h"
#include "output.h"

#include <stdlib.h>
#include <string.h>

static bool is_plain(const char *word)
{
	return *word && word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-")] == '\0';
}

static void word_put(FILE *to, const char *word)
{
	if (is_plain(word)) {
		fputs(word, to);
		return;
	}
	fputc('\'', to);
	for (; *word; word++)
		if (*word == '\'')
			fputs("'\\''", to);
		else
			fputc(*word, to);
	fputc('\'', to);
}

char *command_again(const char *option)
{
	FILE *from = fopen("/proc/self/cmdline", "re");
	char *word = NULL, *text = NULL;
	size_t cap = 0, len = 0;
	FILE *to = from ? open_memstream(&text, &len) : NULL;
	bool there = false, more = true;
	for (size_t i = 0; to && getdelim(&word, &cap, '\0', from) > 0; i++) {
		more = more && strcmp(word, "--");
		there |= more && !strcmp(word, option);
		if (i)
			fputc(' ', to);
		word_put(to, word);
	}
	free(word);
	if (from)
		fclose(from);
	if (!to || fclose(to) || !len)
		return free(text), NULL;
	if (there)
		return text;
	/* Behind "vdisk convert": before any "--". */
	char *second = strchr(text, ' '), *third = second ? strchr(second + 1, ' ') : NULL, *whole = NULL;
	if (third && asprintf(&whole, "%.*s %s%s", (int)(third - text), text, option, third) < 0)
		whole = NULL;
	free(text);
	return whole;
}

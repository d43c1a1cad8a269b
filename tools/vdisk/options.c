/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parses a command's words by its option groups.  Options and operands may be mixed; "--" ends the options; "-5G" is an operand. */
#include "options.h"
#include "output.h"
#include "sizes.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct opt common_options[] = {
	{ .name = "json", .kind = OPT_FLAG, .field = offsetof(struct common_args, json),
	  .help = "print one JSON document instead of text" },
	{ .letter = 'q', .name = "quiet", .kind = OPT_FLAG, .field = offsetof(struct common_args, quiet),
	  .help = "no warnings, no remarks, and no progress unless it is asked for" },
	{ .letter = 'v', .name = "verbose", .kind = OPT_COUNT, .field = offsetof(struct common_args, verbose),
	  .help = "say on standard error what is done; twice: traces" },
	{ .letter = 'h', .name = "help", .kind = OPT_FLAG, .field = offsetof(struct common_args, help),
	  .help = "print this and exit" },
	{ 0 },
};

bool opt_takes_arg(const struct opt *o) { return o->kind != OPT_FLAG && o->kind != OPT_COUNT; }

void opt_list_add(struct opt_list *l, const char *text, size_t len)
{
	l->v = tool_realloc(l->v, (l->n + 2) * sizeof(*l->v));
	char *copy = tool_realloc(NULL, len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	l->v[l->n++] = copy;
	l->v[l->n] = NULL;
}

void opt_list_add_pair(struct opt_list *l, const char *key, const char *value)
{
	size_t k = strlen(key), v = strlen(value);
	char *text = tool_realloc(NULL, k + v + 2);
	memcpy(text, key, k);
	text[k] = '=';
	memcpy(text + k + 1, value, v + 1);
	opt_list_add(l, text, k + 1 + v);
	free(text);
}

void opt_list_copy(struct opt_list *to, const struct opt_list *from)
{
	for (size_t i = 0; i < from->n; i++)
		opt_list_add(to, from->v[i], strlen(from->v[i]));
}

void opt_list_free(struct opt_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((void *)l->v[i]);
	free(l->v);
	l->v = NULL;
	l->n = 0;
}

/* "a=1,b=x,,y" to "a=1" and "b=x,y". */
static int pairs_add(struct opt_list *l, const char *name, const char *text)
{
	char *one = tool_realloc(NULL, strlen(text) + 1);
	for (const char *p = text;; p++) {
		size_t n = 0;
		for (; *p && (*p != ',' || p[1] == ','); p++) {
			one[n++] = *p;
			if (*p == ',')
				p++;
		}
		if (!n) {
			free(one);
			return fail_usage("%s: \"%s\" has an empty entry", name, text);
		}
		opt_list_add(l, one, n);
		if (!*p)
			break;
	}
	free(one);
	return 0;
}

bool choice_has(const char *choices, const char *text)
{
	size_t len = strlen(text);
	for (const char *p = choices; len && p; p = strchr(p, '|')) {
		p += *p == '|';
		if (!strncmp(p, text, len) && (p[len] == '|' || !p[len]))
			return true;
	}
	return false;
}

static int number_set(const struct opt *o, struct opt_number *number, const char *name, const char *text)
{
	char least[32], most[32];
	if (o->kind == OPT_SIZE) {
		if (!size_parse(text, &number->value))
			return fail_usage("%s: \"%s\" is no size (a number, with K M G T P E for powers of 1,024)", name, text);
		size_human(least, o->min);
		size_human(most, o->max);
	} else {
		char *end;
		errno = 0;
		number->value = strtoull(text, &end, 10);
		if (!isdigit((unsigned char)*text) || *end || errno)
			return fail_usage("%s: \"%s\" is no number", name, text);
		snprintf(least, sizeof(least), "%llu", (unsigned long long)o->min);
		snprintf(most, sizeof(most), "%llu", (unsigned long long)o->max);
	}
	if (number->value < o->min)
		return fail_usage("%s: %s is too small, the least is %s", name, text, least);
	if (o->max && number->value > o->max)
		return fail_usage("%s: %s is too large, the most is %s", name, text, most);
	number->given = true;
	return 0;
}

/* `name` as the user wrote it, with dashes; `text` NULL where the option takes none, or came bare. */
static int option_set(const struct opt *o, char *base, const char *name, const char *text)
{
	void *field = base + o->field;
	vdisk_error err = { 0 };
	if ((o->domain == DOMAIN_FILE || o->domain == DOMAIN_FOLDER) && text && vdisk_path_judge(text, &err))
		return fail("%s: %s", name, err.message);
	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)field = true;
		return 0;
	case OPT_COUNT:
		++*(unsigned *)field;
		return 0;
	case OPT_TEXT:
		if (!*text)
			return fail_usage("%s: the argument is empty", name);
		*(const char **)field = text;
		return 0;
	case OPT_CHOICE:
		if (!text)
			text = o->bare;
		if (!choice_has(o->choices, text))
			return fail_usage("%s: \"%s\" is none of %s", name, text, o->choices);
		*(const char **)field = text;
		return 0;
	case OPT_SIZE:
	case OPT_UINT:
		return number_set(o, field, name, text);
	case OPT_LIST:
		if (!*text)
			return fail_usage("%s: the argument is empty", name);
		opt_list_add(field, text, strlen(text));
		return 0;
	case OPT_PAIRS:
		return pairs_add(field, name, text);
	}
	return 0;
}

/* Finds by letter, or by name of `len` bytes; *base: the struct that its field lies in. */
static const struct opt *option_find(const struct command *cmd, char *args, char letter, const char *name, size_t len, char **base)
{
	for (const struct opt_group *g = cmd->groups; g->table; g++)
		for (const struct opt *o = g->table; !opt_is_end(o); o++)
			if (name ? o->name && !strncmp(o->name, name, len) && !o->name[len] : o->letter == letter) {
				*base = args + g->base;
				return o;
			}
	return NULL;
}

/* "--name", "--name=value" or "--name value"; *used: words taken beyond the first. */
static int long_parse(const struct command *cmd, char *args, char **argv, unsigned left, unsigned *used)
{
	const char *word = argv[0] + 2, *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	char *base, shown[64];
	const struct opt *o = option_find(cmd, args, 0, word, len, &base);
	if (!o)
		return fail_usage("there is no option --%.*s", (int)len, word);
	snprintf(shown, sizeof(shown), "--%s", o->name);
	if (!opt_takes_arg(o))
		return equals ? fail_usage("%s takes no argument", shown) : option_set(o, base, shown, NULL);
	if (equals)
		return option_set(o, base, shown, equals + 1);
	if (o->bare)
		return option_set(o, base, shown, NULL);
	if (left < 2)
		return fail_usage("%s wants an argument: %s", shown, o->arg);
	*used = 1;
	return option_set(o, base, shown, argv[1]);
}

/* "-abc", "-j4", "-j 4". */
static int letters_parse(const struct command *cmd, char *args, char **argv, unsigned left, unsigned *used)
{
	for (const char *p = argv[0] + 1; *p; p++) {
		char *base, shown[3] = { '-', *p, '\0' };
		const struct opt *o = option_find(cmd, args, *p, NULL, 0, &base);
		if (!o)
			return fail_usage("there is no option %s", shown);
		if (!opt_takes_arg(o)) {
			option_set(o, base, shown, NULL);
			continue;
		}
		if (p[1])
			return option_set(o, base, shown, p + 1);
		if (left < 2)
			return fail_usage("%s wants an argument: %s", shown, o->arg);
		*used = 1;
		return option_set(o, base, shown, argv[1]);
	}
	return 0;
}

int options_parse(const struct command *cmd, void *args, char **argv, unsigned argc, unsigned *n)
{
	bool only_operands = false;
	*n = 0;
	for (unsigned i = 0; i < argc; i++) {
		char *word = argv[i];
		unsigned used = 0;
		if (only_operands || word[0] != '-' || !word[1] || isdigit((unsigned char)word[1]))
			argv[(*n)++] = word;
		else if (!strcmp(word, "--"))
			only_operands = true;
		else if (word[1] == '-' ? long_parse(cmd, args, argv + i, argc - i, &used)
		         : letters_parse(cmd, args, argv + i, argc - i, &used))
			return 2;
		i += used;
	}
	if (((const struct common_args *)args)->help)
		return 0;
	if (*n < cmd->min)
		return fail_usage("%s missing, %s wanted", *n ? "an operand is" : "operands are", cmd->operands);
	if (*n > cmd->max)
		return fail_usage("\"%s\" is one operand too many, %s wanted", argv[cmd->max], cmd->operands);
	for (unsigned i = 0; i < *n; i++)
		if (!argv[i][0])
			return fail_usage("an operand is empty");
	argv[*n] = NULL;
	return 0;
}

void options_free(const struct command *cmd, void *args)
{
	for (const struct opt_group *g = cmd->groups; g->table; g++)
		for (const struct opt *o = g->table; !opt_is_end(o); o++)
			if (o->kind == OPT_LIST || o->kind == OPT_PAIRS)
				opt_list_free((struct opt_list *)((char *)args + g->base + o->field));
}

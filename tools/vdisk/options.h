/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one option table: what each command takes, from which parsing, help, completion and the manual's option sections all come.
 * A command lists groups; a group is a table whose entries name fields of the group's struct, which lies in the command's args.
 */
#ifndef VDISK_TOOL_OPTIONS_H
#define VDISK_TOOL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_kind {
	OPT_FLAG,   /* bool */
	OPT_COUNT,  /* unsigned: how often it was given */
	OPT_TEXT,   /* const char * */
	OPT_CHOICE, /* const char *: one of `choices` */
	OPT_SIZE,   /* struct opt_number, bytes, K M G T suffixes */
	OPT_UINT,   /* struct opt_number */
	OPT_LIST,   /* struct opt_list, repeatable, each argument as it is */
	OPT_PAIRS,  /* struct opt_list, repeatable, "K=V,K=V" taken apart at commas (",," is a comma) */
};

/* What an argument is, for completion; an option's that is a FILE or a FOLDER is refused if it names something on a server. */
enum opt_domain { DOMAIN_NONE, DOMAIN_FILE, DOMAIN_FOLDER, DOMAIN_FORMAT, DOMAIN_IMAGE };

struct opt_number {
	bool given;
	uint64_t value;
};

struct opt_list {
	const char **v; /* NULL-terminated once there is an entry; NULL: none */
	size_t n;
};

struct opt {
	char letter;          /* 0: none */
	const char *name;     /* without the dashes; NULL: none */
	enum opt_kind kind;
	size_t field;         /* offset in the group's struct */
	const char *arg;      /* what help calls the argument; NULL: none */
	const char *choices;  /* OPT_CHOICE: "a|b|c" */
	const char *bare;     /* OPT_CHOICE: what --name without =VALUE means; NULL: the argument is required */
	uint64_t min, max;    /* OPT_UINT, OPT_SIZE; max 0: no bound */
	enum opt_domain domain;
	const char *help;     /* one line, no full stop */
};

struct opt_group {
	const struct opt *table; /* ends with neither letter nor name */
	size_t base;             /* offset of the group's struct in the command's args */
};

#define OPT_GROUPS 8
struct command {
	const char *name;
	const char *operands;    /* "SRC DST" */
	unsigned min, max;       /* operands */
	const char *summary;     /* one line, lower case, no full stop */
	const char *notes;       /* further lines of help; NULL: none */
	enum opt_domain domain;  /* of the operands */
	size_t args_bytes;       /* begins with struct common_args */
	struct opt_group groups[OPT_GROUPS]; /* ends with table == NULL */
	int (*run)(const void *args, char **operands, unsigned n); /* exit status; operands[n] == NULL */
};

/* Every command takes these. */
struct common_args {
	bool help, quiet, json;
	unsigned verbose;
};
extern const struct opt common_options[];

extern const struct command *const commands[]; /* NULL-terminated */
const struct command *command_find(const char *name);

static inline bool opt_is_end(const struct opt *o) { return !o->letter && !o->name; }
bool opt_takes_arg(const struct opt *o);

/* Fills *args (args_bytes zeroed bytes) from the words behind the command's name; *n operands are moved to the front of argv.
   0, or 2 after a message.  What was parsed lives until options_free(). */
int options_parse(const struct command *cmd, void *args, char **argv, unsigned argc, unsigned *n);
void options_free(const struct command *cmd, void *args);

/* `choices`: "a|b|c". */
bool choice_has(const char *choices, const char *text);

/* Appends a copy of `text`. */
void opt_list_add(struct opt_list *l, const char *text, size_t len);
void opt_list_add_pair(struct opt_list *l, const char *key, const char *value);
void opt_list_copy(struct opt_list *to, const struct opt_list *from);
void opt_list_free(struct opt_list *l);

#endif

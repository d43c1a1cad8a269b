/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB's script interpreter, without a machine: what a configuration sets, offers and would boot. */
#ifndef RUNNER_GRUBRUN_H
#define RUNNER_GRUBRUN_H

#include "bootsource.h"
#include "grubwords.h"

#define GRUB_WORK_MAX      (16u << 20) /* characters that are read or put in, and what the others are worth: */
#define GRUB_WORK_COMMAND  500u
#define GRUB_WORK_LOOK     (32u << 10) /* into the disks, each of which starts a program */
#define GRUB_DEPTH_MAX     32u     /* of what contains what */
#define GRUB_FUNCTIONS_MAX 64
#define GRUB_ENTRIES_MAX   1024
#define GRUB_FILES_MAX     64      /* that are read in */

struct grub_block {
	char *name, *id, *body; /* owned; id: "" where it has none */
	char *title_args[8];    /* owned: "$1" and on in the body */
	size_t n_args;
	bool submenu, bls;      /* bls: the body is the path of an entry of the Boot Loader Specification */
};

struct grub_menu {
	struct grub_block *entries;
	size_t n;
};

struct grub {
	const struct boot_source *src;
	struct grub_vars vars;
	struct grub_block functions[GRUB_FUNCTIONS_MAX];
	size_t n_functions;
	struct grub_menu *menu;      /* where entries go now */
	struct grub_args args;
	struct grub_command pending; /* what came behind a keyword on its line */
	bool has_pending;
	size_t work;                 /* that is done: up to GRUB_WORK_MAX */
	unsigned depth, files;
	int status;                  /* of the last command: 0 is true */
	bool stop;                   /* "boot", or an error */
	bool failed;
	vdisk_error *err;
	struct boot_choice choice;   /* "linux" and "initrd" so far */
	char other[256];             /* a command that starts something else than Linux */
};

void grub_destroy(struct grub *g);
void grub_menu_destroy(struct grub_menu *menu);
/* Runs a script; what goes wrong stands in *g. */
void grub_run(struct grub *g, const char *text);
/* Fails, once. */
void grub_fail(struct grub *g, enum vdisk_error_kind kind, const char *what, const char *value);
/* Work is to be done; false, and failed, where it was too much. */
bool grub_work(struct grub *g, size_t work);
/* A path as a command was given it, with its device, which is $root where it names none. */
bool grub_path(struct grub *g, char out[BOOT_PATH_MAX], const char *path);

/* A command that is no keyword.  The words are there; words[0] is its name. */
int grub_builtin(struct grub *g, char **words, size_t n);
/* "test" and "[": 0 is true. */
int grub_test(struct grub *g, char **words, size_t n);
/* "blscfg". */
int grub_bls(struct grub *g);
bool grub_entry_add(struct grub *g, const char *name, const char *id, const char *body, bool submenu, bool bls);

#endif

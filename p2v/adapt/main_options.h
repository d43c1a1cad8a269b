/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user asked of vdisk-adapt. */
#ifndef ADAPT_MAIN_OPTIONS_H
#define ADAPT_MAIN_OPTIONS_H

#include "common/source.h"
#include "steps.h"

#define DISKS_MAX 16
#define KEYS_MAX  16

enum adapt_mode { MODE_ADAPT, MODE_PLAN, MODE_RESUME, MODE_UNDO };

struct adapt_args {
	enum adapt_mode mode;
	struct adapt_options steps;
	const char *disks[DISKS_MAX];
	size_t n_disks;
	const char *format;
	const char *allow[SOURCE_ALLOW_MAX + 1]; /* NULL-terminated */
	size_t n_allow;
	const char *overlay, *keep_undo;
	const char *root;
	const char *key_files[KEYS_MAX];
	size_t n_keys;
	bool json, verbose, force;
	char service_tool[4200]; /* what steps.service_tool names */
};

/* 0: go on; 1: done (help was asked for); -1: bad usage, said on standard error. */
int adapt_args_parse(struct adapt_args *a, int argc, char **argv);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int option_next(const char *program, int argc, char **argv, const char *shorts, const struct option *longs)
{
	char *name = argv[0];
	int c;

	argv[0] = (char *)(uintptr_t)program;
	c = getopt_long(argc, argv, shorts, longs, NULL);
	argv[0] = name;
	return c;
}

int option_help(const char *program, const char *usage, const char *more)
{
	if (fputs(usage, stdout) >= 0 && (!more || fputs(more, stdout) >= 0) && !fflush(stdout))
		return 1;
	return option_bad(program, "standard output", strerror(errno));
}

int option_bad(const char *program, const char *what, const char *value)
{
	fprintf(stderr, "%s: %s%s%s\n", program, what, value ? ": " : "", value ? value : "");
	return -1;
}

int option_text(const char *program, const char *name, const char *value, const char **out)
{
	if (!*value)
		return option_bad(program, "the argument is empty", name);
	*out = value;
	return 0;
}

int option_path(const char *program, const char *name, const char *value, const char **out)
{
	vdisk_error err = { 0 };

	if (vdisk_path_judge(value, &err))
		return option_bad(program, name, err.message);
	return option_text(program, name, value, out);
}

int option_number(const char *program, const char *name, const char *value, unsigned long max, unsigned *out)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(value, &end, 10);
	if (errno || *end || *value < '0' || *value > '9' || !v || v > max) {
		fprintf(stderr, "%s: %s wants a number from 1 to %lu: %s\n", program, name, max, value);
		return -1;
	}
	*out = (unsigned)v;
	return 0;
}

int option_output(const char *program, const char *name, const char *value, const char *const *images, size_t n)
{
	struct stat to, st;

	if (!value || stat(value, &to))
		return 0;
	if (S_ISBLK(to.st_mode)) {
		fprintf(stderr, "%s: %s %s: is a block device, and would be overwritten\n", program, name, value);
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		if (images[i] && !stat(images[i], &st) && st.st_dev == to.st_dev && st.st_ino == to.st_ino) {
			fprintf(stderr, "%s: %s %s: is the image, and would be overwritten\n", program, name, value);
			return -1;
		}
	return 0;
}

int option_source(const char *program, int c, const char *value, struct source_options *o)
{
	switch (c) {
	case OPTION_RW: o->rw = true; return 0;
	case OPTION_FORCE: o->force = true; return 0;
	case 'U': o->force_share = true; return 0;
	case OPTION_FORMAT: return option_text(program, "--format", value, &o->format);
	case OPTION_OVERLAY: return option_path(program, "--overlay", value, &o->overlay);
	case OPTION_ALLOW_PARENT:
		if (o->n_allow == SOURCE_ALLOW_MAX)
			return option_bad(program, "more than 64 folders are allowed by --allow-parent", value);
		return option_path(program, "--allow-parent", value, &o->allow[o->n_allow++]);
	default: return 1;
	}
}

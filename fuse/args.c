/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "args.h"

#include "common/option.h"
#include "common/say.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "vdisk mount"
#define IDLE_MAX 31536000u /* a year */

static const char usage[] =
	"usage: vdisk mount [-f] [--rw | --overlay FILE] [--format FMT] [--allow-other] [--allow-parent DIR]\n"
	"                   [--idle-timeout SECONDS] [--force] [-U] IMG DIR\n"
	"\n"
	"Shows the disk of IMG below DIR: disk, partitions/N (by-label, by-uuid, by-type), volumes/VG/LV, snapshots/NAME,\n"
	"info.json.\n"
	"\n"
	"      --rw                what is written to these files goes into IMG; otherwise they are read-only\n"
	"      --overlay FILE      it goes into FILE, a qcow2 layer over IMG, made if it is not there; IMG stays as it is\n"
	"      --overlay tmp       the same with a scratch layer that nobody keeps\n"
	"      --files[=quick]     show the guest's own files instead: vdisk mount --files --help tells more\n"
	"  -f, --foreground        stay in the foreground\n"
	"      --format FMT        the image's format; the default is what its bytes say\n"
	"      --allow-other       let other users look, too\n"
	"      --allow-parent DIR  parents and extents may lie below DIR\n"
	"      --idle-timeout SECONDS  unmount when nothing was used for so long\n"
	"      --force             with --rw: write to a protected image (a linked clone's parent, one marked corrupt)\n"
	"  -U, --force-share       read although another program writes to the image\n"
	"  -h, --help              this text\n";

enum { OPT_ALLOW_OTHER = 256, OPT_IDLE };

static const struct option longopts[] = {
	OPTION_SOURCE_ROWS,
	{ "foreground", no_argument, NULL, 'f' },
	{ "allow-other", no_argument, NULL, OPT_ALLOW_OTHER },
	{ "idle-timeout", required_argument, NULL, OPT_IDLE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int bad(const char *what, const char *value) { return option_bad(PROGRAM, what, value); }

static int idle_parse(struct args *a, const char *text)
{
	return option_number(PROGRAM, "--idle-timeout", text, IDLE_MAX, &a->idle_seconds);
}

static int option_take(struct args *a, int c)
{
	switch (c) {
	case 'f': a->foreground = true; return 0;
	case OPT_ALLOW_OTHER: a->allow_other = true; return 0;
	case OPT_IDLE: return idle_parse(a, optarg);
	case 'h': return option_help(PROGRAM, usage, NULL);
	default: return option_source(PROGRAM, c, optarg, &a->source) ? -1 : 0;
	}
}

static int args_judge(struct args *a)
{
	const char *wrong = source_judge(&a->source);

	a->source.log = say_log;
	return wrong ? bad(wrong, NULL) : 0;
}

int args_parse(struct args *a, int argc, char **argv)
{
	int c, rc;

	while ((c = option_next(PROGRAM, argc, argv, "fUh", longopts)) != -1) {
		rc = option_take(a, c);
		if (rc)
			return rc;
	}
	if (argc - optind != 2)
		return bad("expects IMG and DIR; --help tells more", NULL);
	a->source.image = argv[optind];
	a->dir = argv[optind + 1];
	return args_judge(a);
}

/* ---------------------------------------------------------------- mount.fuse.vdisk */

/* What mount(8) passes on and means itself, or what is so for every mount of ours. */
static bool is_mount_word(const char *word)
{
	static const char *const words[] = {
		"ro", "rw", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev",
		"nosuid", "nodev", "noexec", "exec", "suid", "dev", "async", "relatime", "noatime", "nodiratime", "lazytime",
		"nolazytime", NULL,
	};

	for (size_t i = 0; words[i]; i++)
		if (!strcmp(word, words[i]))
			return true;
	return !strncmp(word, "x-", 2) || !strncmp(word, "comment=", 8) || !strncmp(word, "uhelper=", 8) ||
	       !strncmp(word, "helper=", 7);
}

/* "rw" is no more than mount's default, which it passes to every helper: writing into the image wants the word "writable". */
static int word_take(struct args *a, char *word)
{
	char *value = strchr(word, '=');

	if (!*word || is_mount_word(word))
		return 0;
	if (!strcmp(word, "writable")) {
		a->source.rw = true;
		return 0;
	}
	if (!strcmp(word, "allow_other")) {
		a->allow_other = true;
		return 0;
	}
	if (!strcmp(word, "force_share")) {
		a->source.force_share = true;
		return 0;
	}
	if (!value)
		return bad("unknown mount option", word);
	*value++ = '\0';
	if (!strcmp(word, "overlay"))
		return option_source(PROGRAM, OPTION_OVERLAY, value, &a->source);
	if (!strcmp(word, "idle_timeout"))
		return idle_parse(a, value);
	if (!strcmp(word, "allow_parent"))
		return option_source(PROGRAM, OPTION_ALLOW_PARENT, value, &a->source);
	if (strcmp(word, "format"))
		return bad("unknown mount option", word);
	return option_source(PROGRAM, OPTION_FORMAT, value, &a->source);
}

int args_parse_helper(struct args *a, int argc, char **argv)
{
	bool fake = false;
	int n = 0;

	for (int i = 1; i < argc; i++) {
		char *word, *rest;

		if (!strcmp(argv[i], "-o") && i + 1 < argc) {
			rest = argv[++i];
			while ((word = strsep(&rest, ",")))
				if (word_take(a, word))
					return -1;
		} else if ((!strcmp(argv[i], "-t") || !strcmp(argv[i], "-N")) && i + 1 < argc) {
			i++;
		} else if (argv[i][0] == '-' && argv[i][1] && strspn(argv[i] + 1, "snvf") == strlen(argv[i] + 1)) {
			fake = fake || strchr(argv[i], 'f'); /* the others (sloppy, no mtab, verbose) mean nothing here */
		} else if (n < 2 && argv[i][0] != '-') {
			*(n++ ? &a->dir : &a->source.image) = argv[i];
		} else {
			return bad("mount.fuse.vdisk does not take", argv[i]);
		}
	}
	if (n != 2)
		return bad("mount.fuse.vdisk expects IMG and DIR", NULL);
	return args_judge(a) ? -1 : fake;
}

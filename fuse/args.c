/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "args.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	"      --files[=quick]     show the guest's own files instead; --files --help tells more\n"
	"      --files[=quick]     show the guest's own files instead: vdisk mount --files --help tells more\n"
	"  -f, --foreground        stay in the foreground\n"
	"      --format FMT        the image's format; the default is what its bytes say\n"
	"      --allow-other       let other users look, too\n"
	"      --allow-parent DIR  parents and extents may lie below DIR\n"
	"      --idle-timeout SECONDS  unmount when nothing was used for so long\n"
	"      --force             with --rw: write to a protected image (a linked clone's parent, one marked corrupt)\n"
	"  -U, --force-share       read although another program writes to the image\n"
	"  -h, --help              this text\n";

enum { OPT_FORMAT = 256, OPT_ALLOW_OTHER, OPT_ALLOW_PARENT, OPT_RW, OPT_OVERLAY, OPT_IDLE, OPT_FORCE };

static const struct option longopts[] = {
	{ "foreground", no_argument, NULL, 'f' },
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ "allow-other", no_argument, NULL, OPT_ALLOW_OTHER },
	{ "allow-parent", required_argument, NULL, OPT_ALLOW_PARENT },
	{ "rw", no_argument, NULL, OPT_RW },
	{ "overlay", required_argument, NULL, OPT_OVERLAY },
	{ "idle-timeout", required_argument, NULL, OPT_IDLE },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "force-share", no_argument, NULL, 'U' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int bad(const char *what, const char *value)
{
	fprintf(stderr, "vdisk mount: %s%s%s\n", what, value ? ": " : "", value ? value : "");
	return -1;
}

static int idle_parse(struct args *a, const char *text)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || !v || v > IDLE_MAX)
		return bad("--idle-timeout wants seconds, from 1 to 31536000", text);
	a->idle_seconds = (unsigned)v;
	return 0;
}

static int allow_add(struct args *a, const char *dir)
{
	if (a->n_allow == ARGS_ALLOW_MAX)
		return bad("more than 64 folders are allowed by --allow-parent", dir);
	a->allow[a->n_allow++] = dir;
	return 0;
}

static int overlay_set(struct args *a, const char *file)
{
	if (!*file)
		return bad("--overlay wants a file's name, or tmp", NULL);
	a->overlay = file;
	return 0;
}

static int option_take(struct args *a, int c)
{
	switch (c) {
	case 'f': a->foreground = true; return 0;
	case 'U': a->force_share = true; return 0;
	case OPT_FORMAT: a->format = optarg; return 0;
	case OPT_ALLOW_OTHER: a->allow_other = true; return 0;
	case OPT_ALLOW_PARENT: return allow_add(a, optarg);
	case OPT_RW: a->rw = true; return 0;
	case OPT_OVERLAY: return overlay_set(a, optarg);
	case OPT_IDLE: return idle_parse(a, optarg);
	case OPT_FORCE: a->force = true; return 0;
	case 'h': return fputs(usage, stdout) < 0 || fflush(stdout) ? -1 : 1;
	default: return -1;
	}
}

static int args_judge(const struct args *a)
{
	if (a->rw && a->overlay)
		return bad("--rw and --overlay exclude each other", NULL);
	if (a->force_share && (a->rw || a->overlay))
		return bad("--force-share is for reading only", NULL);
	if (a->force && !a->rw)
		return bad("--force goes with --rw", NULL);
	return 0;
}

int args_parse(struct args *a, int argc, char **argv)
{
	int c, rc;

	while ((c = getopt_long(argc, argv, "fUh", longopts, NULL)) != -1) {
		rc = option_take(a, c);
		if (rc)
			return rc;
	}
	if (argc - optind != 2)
		return bad("expects IMG and DIR; --help tells more", NULL);
	a->image = argv[optind];
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
		a->rw = true;
		return 0;
	}
	if (!strcmp(word, "allow_other")) {
		a->allow_other = true;
		return 0;
	}
	if (!strcmp(word, "force_share")) {
		a->force_share = true;
		return 0;
	}
	if (!value)
		return bad("unknown mount option", word);
	*value++ = '\0';
	if (!strcmp(word, "overlay"))
		return overlay_set(a, value);
	if (!strcmp(word, "idle_timeout"))
		return idle_parse(a, value);
	if (!strcmp(word, "allow_parent"))
		return allow_add(a, value);
	if (strcmp(word, "format"))
		return bad("unknown mount option", word);
	a->format = value;
	return 0;
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
			*(n++ ? &a->dir : &a->image) = argv[i];
		} else {
			return bad("mount.fuse.vdisk does not take", argv[i]);
		}
	}
	if (n != 2)
		return bad("mount.fuse.vdisk expects IMG and DIR", NULL);
	return args_judge(a) ? -1 : fake;
}

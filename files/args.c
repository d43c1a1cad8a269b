/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "args.h"

#include "common/option.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "vdisk mount"
#define IDLE_MAX 31536000u /* a year */

static const char usage[] =
	"usage: vdisk mount --files[=quick] [--rw | --overlay FILE] [--key-file FILE] [--root DEVICE] [OPTIONS] IMG DIR\n"
	"\n"
	"Shows the guest's own files below DIR, mounted as the guest would.\n"
	"\n"
	"      --files=quick       at once, by GRUB's readers: names and contents of the root file system alone, read-only\n"
	"      --rw                what is written to these files goes into IMG; otherwise they are read-only\n"
	"      --overlay FILE      it goes into FILE, a qcow2 layer over IMG, made if it is not there; IMG stays as it is\n"
	"      --overlay tmp       the same with a scratch layer that nobody keeps\n"
	"      --key-file FILE     a passphrase for encrypted partitions is what FILE holds; may be given several times\n"
	"      --root DEVICE       of several systems, take the one with this root (/dev/sda2, /dev/VG/LV)\n"
	"  -f, --foreground        stay in the foreground\n"
	"      --format FMT        the image's format; the default is what its bytes say\n"
	"      --allow-other       let other users look, too\n"
	"      --idle-timeout SECONDS  unmount when nothing was looked at for so long\n"
	"      --allow-parent DIR  parents and extents may lie below DIR\n"
	"      --force             with --rw: write to a protected image (a linked clone's parent, one marked corrupt)\n"
	"  -U, --force-share       read although another program writes to the image\n"
	"  -h, --help              this text\n";

enum { OPT_FILES = 256, OPT_KEY, OPT_ROOT, OPT_ALLOW_OTHER, OPT_IDLE };

static const struct option longopts[] = {
	{ "files", optional_argument, NULL, OPT_FILES },
	OPTION_SOURCE_ROWS,
	{ "key-file", required_argument, NULL, OPT_KEY },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "foreground", no_argument, NULL, 'f' },
	{ "allow-other", no_argument, NULL, OPT_ALLOW_OTHER },
	{ "idle-timeout", required_argument, NULL, OPT_IDLE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int bad(const char *what, const char *value) { return option_bad(PROGRAM, what, value); }

static int files_take(struct args *a)
{
	if (!optarg)
		return 0;
	a->quick = !strcmp(optarg, "quick");
	return a->quick ? 0 : bad("--files is that, or --files=quick", optarg);
}

static int option_take(struct args *a, int c)
{
	switch (c) {
	case OPT_FILES: return files_take(a);
	case OPT_ROOT: return option_text(PROGRAM, "--root", optarg, &a->root);
	case OPT_ALLOW_OTHER: a->allow_other = true; return 0;
	case OPT_IDLE: return option_number(PROGRAM, "--idle-timeout", optarg, IDLE_MAX, &a->idle_seconds);
	case 'f': a->foreground = true; return 0;
	case OPT_KEY:
		if (a->n_keys == ARGS_KEYS_MAX)
			return bad("more than 16 key files", optarg);
		return option_path(PROGRAM, "--key-file", optarg, &a->key_files[a->n_keys++]);
	case 'h': return option_help(PROGRAM, usage, NULL);
	default: return option_source(PROGRAM, c, optarg, &a->source) ? -1 : 0;
	}
}

int args_parse(struct args *a, int argc, char **argv)
{
	const char *wrong;
	int c;

	while ((c = option_next(PROGRAM, argc, argv, "fUh", longopts)) != -1) {
		int rc = option_take(a, c);

		if (rc)
			return rc;
	}
	if (argc - optind != 2)
		return bad("expects IMG and DIR; --help tells more", NULL);
	a->source.image = argv[optind];
	a->dir = argv[optind + 1];
	wrong = source_judge(&a->source);
	if (wrong)
		return bad(wrong, NULL);
	if (a->quick && (a->source.rw || a->source.overlay))
		return bad("--files=quick is for reading only: --files alone takes --rw and --overlay", NULL);
	return 0;
}

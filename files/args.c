/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "args.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

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
	"      --allow-parent DIR  parents and extents may lie below DIR\n"
	"      --force             with --rw: write to a protected image (a linked clone's parent, one marked corrupt)\n"
	"  -U, --force-share       read although another program writes to the image\n"
	"  -h, --help              this text\n";

enum { OPT_FILES = 256, OPT_RW, OPT_OVERLAY, OPT_KEY, OPT_ROOT, OPT_FORMAT, OPT_ALLOW_OTHER, OPT_ALLOW_PARENT, OPT_FORCE };

static const struct option longopts[] = {
	{ "files", optional_argument, NULL, OPT_FILES },
	{ "rw", no_argument, NULL, OPT_RW },
	{ "overlay", required_argument, NULL, OPT_OVERLAY },
	{ "key-file", required_argument, NULL, OPT_KEY },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "foreground", no_argument, NULL, 'f' },
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ "allow-other", no_argument, NULL, OPT_ALLOW_OTHER },
	{ "allow-parent", required_argument, NULL, OPT_ALLOW_PARENT },
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

static int files_take(struct args *a)
{
	if (!optarg)
		return 0;
	a->quick = !strcmp(optarg, "quick");
	return a->quick ? 0 : bad("--files is that, or --files=quick", optarg);
}

static int option_take(struct args *a, int c)
{
	if (optarg && !*optarg)
		return bad("an argument is empty; --help tells more", NULL);
	switch (c) {
	case OPT_FILES: return files_take(a);
	case OPT_RW: a->source.rw = true; return 0;
	case OPT_OVERLAY: a->source.overlay = optarg; return 0;
	case OPT_ROOT: a->root = optarg; return 0;
	case OPT_FORMAT: a->source.format = optarg; return 0;
	case OPT_ALLOW_OTHER: a->allow_other = true; return 0;
	case OPT_FORCE: a->source.force = true; return 0;
	case 'f': a->foreground = true; return 0;
	case 'U': a->source.force_share = true; return 0;
	case OPT_KEY:
		if (a->n_keys == ARGS_KEYS_MAX)
			return bad("more than 16 key files", optarg);
		a->key_files[a->n_keys++] = optarg;
		return 0;
	case OPT_ALLOW_PARENT:
		if (a->source.n_allow == SOURCE_ALLOW_MAX)
			return bad("more than 64 folders are allowed by --allow-parent", optarg);
		a->source.allow[a->source.n_allow++] = optarg;
		return 0;
	case 'h': return fputs(usage, stdout) < 0 || fflush(stdout) ? -1 : 1;
	default: return -1;
	}
}

int args_parse(struct args *a, int argc, char **argv)
{
	const char *wrong;
	int c;

	while ((c = getopt_long(argc, argv, "fUh", longopts, NULL)) != -1) {
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include "common/option.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"usage: vdisk capture-ui [OPTION]...\n"
	"\n"
	"A text interface for vdisk capture: the server, the disks, go.\n"
	"\n"
	"      --server HOST[:PORT]    where the captures are received, as vdisk receive says it\n"
	"      --token-file FILE       the token that vdisk receive printed\n"
	"      --fingerprint HEX       the receiver's, that it printed, too\n"
	"      --disks NAME,...        these disks and no others; \"all\"\n"
	"      --after ACTION          poweroff or reboot when the capture is complete\n"
	"      --auto                  no screens: capture at once, lines on standard output\n"
	"      --tries N               with --auto, times that a capture is tried (1); 0 is until it is done\n"
	"      --iso                   this is the capture ISO: the settings stand on the kernel's command line, too, networks are set up\n"
	"                              and the power is switched from here\n"
	"      --cmdline FILE          read settings as from the kernel's command line (/proc/cmdline with --iso)\n"
	"      --net-program FILE      what sets up network cards (/usr/lib/vdisk/net with --iso)\n"
	"      --power-program FILE    what is run with \"poweroff\" or \"reboot\" (systemctl with --iso)\n"
	"      --capture-program FILE  instead of vdisk-capture\n"
	"  -h, --help                  this text\n";

enum {
	OPT_SERVER = 256, OPT_TOKEN, OPT_FINGERPRINT, OPT_DISKS, OPT_AFTER, OPT_AUTO, OPT_TRIES, OPT_ISO, OPT_CMDLINE, OPT_NET,
	OPT_POWER, OPT_CAPTURE
};

static const struct option longopts[] = {
	{ "server", required_argument, NULL, OPT_SERVER },
	{ "token-file", required_argument, NULL, OPT_TOKEN },
	{ "fingerprint", required_argument, NULL, OPT_FINGERPRINT },
	{ "disks", required_argument, NULL, OPT_DISKS },
	{ "after", required_argument, NULL, OPT_AFTER },
	{ "auto", no_argument, NULL, OPT_AUTO },
	{ "tries", required_argument, NULL, OPT_TRIES },
	{ "iso", no_argument, NULL, OPT_ISO },
	{ "cmdline", required_argument, NULL, OPT_CMDLINE },
	{ "net-program", required_argument, NULL, OPT_NET },
	{ "power-program", required_argument, NULL, OPT_POWER },
	{ "capture-program", required_argument, NULL, OPT_CAPTURE },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* A short file, its last end of line cut. */
static int file_read(const char *path, char *out, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, room);
	int failed = errno;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return option_bad(PROGRAM, path, strerror(failed));
	if ((size_t)n == room)
		return option_bad(PROGRAM, "the file is too long", path);
	while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r'))
		n--;
	out[n] = '\0';
	return 0;
}

static int token_read(struct settings *s, const char *path, vdisk_error *err)
{
	char text[1024];

	if (file_read(path, text, sizeof(text)))
		return 1;
	return settings_token(s, text, err);
}

static int kernel_read(struct options *o)
{
	char text[8192];
	vdisk_error err;

	if (file_read(o->kernel_file, text, sizeof(text)))
		return -1;
	return settings_from_kernel(&o->settings, text, &err) ? option_bad(PROGRAM, err.message, NULL) : 0;
}

static int tries_take(struct options *o)
{
	o->tries = 0;
	return strcmp(optarg, "0") ? option_number(PROGRAM, "--tries", optarg, 1000000, &o->tries) : 0;
}

static int option_take(struct options *o, int c)
{
	struct settings *s = &o->settings;
	vdisk_error err;
	int rc = 0;

	switch (c) {
	case OPT_SERVER: rc = settings_server(s, optarg, &err); break;
	case OPT_TOKEN: rc = token_read(s, optarg, &err); break;
	case OPT_FINGERPRINT: rc = settings_fingerprint(s, optarg, &err); break;
	case OPT_DISKS: rc = settings_disks(s, optarg, &err); break;
	case OPT_AFTER: rc = settings_after(s, optarg, &err); break;
	case OPT_AUTO: o->automatic = true; break;
	case OPT_TRIES: return tries_take(o);
	case OPT_CMDLINE: return option_text(PROGRAM, "--cmdline", optarg, &o->kernel_file);
	case OPT_NET: return option_text(PROGRAM, "--net-program", optarg, &o->net_program);
	case OPT_POWER: return option_text(PROGRAM, "--power-program", optarg, &o->power_program);
	case OPT_CAPTURE: return option_text(PROGRAM, "--capture-program", optarg, &o->capture);
	case 'h': return option_help(PROGRAM, usage, NULL);
	case OPT_ISO: break; /* taken before */
	default: return -1;
	}
	if (rc < 0)
		option_bad(PROGRAM, err.message, NULL);
	return rc ? -1 : 0;
}

/* What --iso stands for has to be known before the other words, which go over it. */
static void iso_take(struct options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		o->iso = o->iso || !strcmp(argv[i], "--iso");
	if (!o->iso)
		return;
	o->tries = 0;
	o->kernel_file = "/proc/cmdline";
	o->net_program = "/usr/lib/vdisk/net";
	o->power_program = "/usr/bin/systemctl";
}

int options_parse(struct options *o, int argc, char **argv)
{
	int c, rc;

	*o = (struct options){ .tries = 1 };
	iso_take(o, argc, argv);
	for (int pass = 0; pass < 2; pass++) { /* the file's name first, then what goes over what stands in it */
		if (pass && o->kernel_file && kernel_read(o))
			return -1;
		optind = 1;
		opterr = !pass;
		while ((c = option_next(PROGRAM, argc, argv, "h", longopts)) != -1) {
			if (!pass && c != '?' && c != 'h' && c != OPT_CMDLINE)
				continue;
			rc = option_take(o, c);
			if (rc)
				return rc;
		}
	}
	if (argc > optind)
		return option_bad(PROGRAM, "is not known here", argv[optind]);
	return 0;
}

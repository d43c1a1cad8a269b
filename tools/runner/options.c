/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is not implemented is refused here, by its name. */
#include "options.h"
#include "machine.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"usage: vdisk boot [OPTIONS] IMG...\n"
	"       vdisk boot [OPTIONS] --kernel FILE [--initrd FILE] [--append TEXT] [IMG...]\n"
	"\n"
	"Boots a machine on KVM, with the images as its disks.  Its serial line is this terminal; Ctrl-A X leaves.\n"
	"\n"
	"      --firmware KIND      bios, uefi, or auto: uefi if the first disk has an EFI system partition (default)\n"
	"      --firmware-log FILE  what the firmware says of itself is appended to FILE\n"
	"      --kernel FILE        boot this Linux kernel (a bzImage) directly\n"
	"      --initrd FILE        with this initial RAM disk\n"
	"      --append TEXT        and this command line\n"
	"  -m, --mem SIZE           memory, MiB if no suffix says otherwise (default: 1024)\n"
	"  -c, --cpus N             processors, 1 to 16 (default: 1)\n"
	"      --serial FILE        the serial line is written to FILE\n"
	"      --timeout SECONDS    give up after that time\n"
	"  -f, --format FMT         the images' format; the default is what their bytes say\n"
	"      --allow-parent DIR   parents and extents may lie below DIR\n"
	"      --rw                 the guest's writes go into the images, not into throwaway overlays\n"
	"      --no-reboot          a reset ends the run, too\n"
	"  -h, --help               this text\n"
	"\n"
	"Exit status: 0 the guest switched itself off, 1 it crashed, was reset (--no-reboot) or timed out, 2 trouble.\n";

enum {
	OPT_KERNEL = 256,
	OPT_INITRD,
	OPT_APPEND,
	OPT_SERIAL,
	OPT_TIMEOUT,
	OPT_NO_REBOOT,
	OPT_RW,
	OPT_ALLOW_PARENT,
	OPT_FIRMWARE,
	OPT_FIRMWARE_LOG,
};

static const struct option longopts[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "mem", required_argument, NULL, 'm' },
	{ "cpus", required_argument, NULL, 'c' },
	{ "serial", required_argument, NULL, OPT_SERIAL },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "firmware-log", required_argument, NULL, OPT_FIRMWARE_LOG },
	{ "format", required_argument, NULL, 'f' },
	{ "allow-parent", required_argument, NULL, OPT_ALLOW_PARENT },
	{ "rw", no_argument, NULL, OPT_RW },
	{ "no-reboot", no_argument, NULL, OPT_NO_REBOOT },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int refuse(const char *what, const char *value)
{
	fprintf(stderr, "vdisk boot: %s: %s\n", value, what);
	return -1;
}

static int number_parse(const char *text, unsigned long long *v, char **end)
{
	errno = 0;
	*v = strtoull(text, end, 10);
	return text[0] < '0' || text[0] > '9' || errno ? -1 : 0;
}

static int memory_parse(const char *text, uint64_t *bytes)
{
	unsigned long long v;
	unsigned shift = 20;
	char *end;

	if (number_parse(text, &v, &end))
		return refuse("not a size of memory", text);
	if (*end && strchr("KMG", *end)) {
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
		end++;
	}
	if (*end || v > UINT64_C(1) << 40 >> shift)
		return refuse("not a size of memory", text);
	*bytes = (uint64_t)v << shift;
	if (*bytes & 0xfffff || *bytes < 16 << 20)
		return refuse("memory comes in whole MiB, at least 16", text);
	return 0;
}

static int count_parse(const char *text, unsigned min, unsigned max, const char *what, unsigned *out)
{
	unsigned long long v;
	char *end;

	if (number_parse(text, &v, &end) || *end || v < min || v > max)
		return refuse(what, text);
	*out = (unsigned)v;
	return 0;
}

static int firmware_parse(struct options *o, const char *text)
{
	static const char *const kinds[] = { [FIRMWARE_AUTO] = "auto", [FIRMWARE_BIOS] = "bios", [FIRMWARE_UEFI] = "uefi" };

	if (!strcmp(text, "none"))
		return refuse("this firmware is not implemented yet", text);
	o->firmware_said = true;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(text, kinds[i])) {
			o->firmware = (enum firmware_kind)i;
			return 0;
		}
	return refuse("not a kind of firmware: auto, bios or uefi", text);
}

static int option_apply(struct options *o, int c)
{
	switch (c) {
	case OPT_KERNEL: o->kernel = optarg; return 0;
	case OPT_INITRD: o->initrd = optarg; return 0;
	case OPT_APPEND: o->append = optarg; return 0;
	case OPT_SERIAL: o->serial = optarg; return 0;
	case OPT_RW: o->rw = true; return 0;
	case OPT_ALLOW_PARENT:
		if (o->n_allow == OPTIONS_ALLOW_MAX)
			return refuse("one folder too many", optarg);
		o->allow[o->n_allow++] = optarg;
		return 0;
	case 'f': o->format = optarg; return 0;
	case OPT_FIRMWARE: return firmware_parse(o, optarg);
	case OPT_FIRMWARE_LOG: o->firmware_log = optarg; return 0;
	case OPT_NO_REBOOT: o->no_reboot = true; return 0;
	case 'm': return memory_parse(optarg, &o->mem_bytes);
	case 'c': return count_parse(optarg, 1, MACHINE_CPUS_MAX, "not a number of processors from 1 to 16", &o->n_cpus);
	case OPT_TIMEOUT: return count_parse(optarg, 1, 1000000, "not a number of seconds", &o->timeout);
	case 'h': return fputs(usage, stdout) < 0 ? -1 : 1;
	default: return -1;
	}
}

int options_parse(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){ .mem_bytes = UINT64_C(1) << 30, .n_cpus = 1 };
	while ((c = getopt_long(argc, argv, "m:c:f:h", longopts, NULL)) != -1) {
		int r = option_apply(o, c);

		if (r)
			return r;
	}
	for (; optind < argc; optind++) {
		if (o->n_images == OPTIONS_IMAGES_MAX)
			return refuse("one disk too many", argv[optind]);
		o->images[o->n_images++] = argv[optind];
	}
	if (o->kernel && o->firmware_said) {
		fprintf(stderr, "vdisk boot: --kernel boots without firmware\n");
		return -1;
	}
	if (!o->kernel && (o->initrd || o->append)) {
		fprintf(stderr, "vdisk boot: --initrd and --append go with --kernel\n");
		return -1;
	}
	if (!o->kernel && !o->n_images) {
		fprintf(stderr, "vdisk boot: expects IMG or --kernel FILE; --help tells more\n");
		return -1;
	}
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One table for both commands; what an engine cannot do is refused by the engine, by its name. */
#include "options.h"
#include "common/option.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERIFY_TIMEOUT 300

enum {
	OPT_KERNEL = 256,
	OPT_INITRD,
	OPT_APPEND,
	OPT_SERIAL,
	OPT_TIMEOUT,
	OPT_NO_REBOOT,
	OPT_FIRMWARE,
	OPT_FIRMWARE_LOG,
	OPT_ENGINE,
	OPT_BUS,
	OPT_NIC,
	OPT_EXPECT,
	OPT_REFERENCE,
	OPT_JSON,
	OPT_JUNIT,
	OPT_SCREENSHOT,
};

#define MACHINE_LONGOPTS \
	{ "kernel", required_argument, NULL, OPT_KERNEL }, \
	{ "initrd", required_argument, NULL, OPT_INITRD }, \
	{ "append", required_argument, NULL, OPT_APPEND }, \
	{ "mem", required_argument, NULL, 'm' }, \
	{ "cpus", required_argument, NULL, 'c' }, \
	{ "serial", required_argument, NULL, OPT_SERIAL }, \
	{ "timeout", required_argument, NULL, OPT_TIMEOUT }, \
	{ "firmware", required_argument, NULL, OPT_FIRMWARE }, \
	{ "firmware-log", required_argument, NULL, OPT_FIRMWARE_LOG }, \
	{ "engine", required_argument, NULL, OPT_ENGINE }, \
	{ "bus", required_argument, NULL, OPT_BUS }, \
	{ "nic", required_argument, NULL, OPT_NIC }, \
	{ "format", required_argument, NULL, 'f' }, \
	{ "allow-parent", required_argument, NULL, OPTION_ALLOW_PARENT }, \
	{ "no-reboot", no_argument, NULL, OPT_NO_REBOOT }, \
	{ "verbose", no_argument, NULL, 'v' }, \
	{ "help", no_argument, NULL, 'h' }

static const struct option boot_longopts[] = {
	MACHINE_LONGOPTS,
	{ "rw", no_argument, NULL, OPTION_RW },
	{ 0 },
};

static const struct option verify_longopts[] = {
	MACHINE_LONGOPTS,
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "reference", required_argument, NULL, OPT_REFERENCE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "junit", required_argument, NULL, OPT_JUNIT },
	{ "screenshot", required_argument, NULL, OPT_SCREENSHOT },
	{ 0 },
};

static int refuse(const struct options *o, const char *what, const char *value)
{
	fprintf(stderr, "vdisk %s: %s: %s\n", o->command, value, what);
	return -1;
}

static int number_parse(const char *text, unsigned long long *v, char **end)
{
	errno = 0;
	*v = strtoull(text, end, 10);
	return text[0] < '0' || text[0] > '9' || errno ? -1 : 0;
}

static int memory_parse(struct options *o, const char *text)
{
	unsigned long long v;
	unsigned shift = 20;
	char *end;

	if (number_parse(text, &v, &end))
		return refuse(o, "not a size of memory", text);
	if (*end && strchr("KMG", *end)) {
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
		end++;
	}
	if (*end || v > UINT64_C(1) << 40 >> shift)
		return refuse(o, "not a size of memory", text);
	o->mem_bytes = (uint64_t)v << shift;
	if (o->mem_bytes & 0xfffff || o->mem_bytes < 16 << 20)
		return refuse(o, "memory comes in whole MiB, at least 16", text);
	return 0;
}

static int count_parse(const struct options *o, const char *text, unsigned min, unsigned max, const char *what, unsigned *out)
{
	unsigned long long v;
	char *end;

	if (number_parse(text, &v, &end) || *end || v < min || v > max)
		return refuse(o, what, text);
	*out = (unsigned)v;
	return 0;
}

/* The index of `text` among the words, which end with NULL; -1: none. */
static int word_find(const char *const *words, const char *text)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], text))
			return i;
	return -1;
}

static int firmware_parse(struct options *o, const char *text)
{
	static const char *const kinds[] = { "auto", "bios", "uefi", "none", NULL };
	int i = word_find(kinds, text);

	if (i < 0)
		return refuse(o, "not a kind of firmware: auto, bios, uefi or none", text);
	o->firmware = (enum firmware_kind)i;
	o->firmware_said = true;
	return 0;
}

static int engine_parse(struct options *o, const char *text)
{
	static const char *const kinds[] = { "auto", "kvm", "qemu", NULL };
	int i = word_find(kinds, text);

	if (i < 0)
		return refuse(o, "not an engine: auto, kvm or qemu", text);
	o->engine = (enum engine_kind)i;
	return 0;
}

static int bus_parse(struct options *o, const char *text)
{
	static const char *const kinds[] = {
		[BUS_VIRTIO_BLK] = "virtio-blk", [BUS_AHCI] = "ahci", [BUS_VIRTIO_SCSI] = "virtio-scsi", [BUS_IDE] = "ide", NULL
	};
	int i = word_find(kinds, text);

	if (i < 0)
		return refuse(o, "not a bus: virtio-blk, ahci, virtio-scsi or ide", text);
	o->bus = (enum bus_kind)i;
	return 0;
}

static bool mac_valid(const char *text, size_t len)
{
	for (size_t i = 0; i < 17 && len == 17; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	return len == 17 && !(strtoul((char[]){ text[0], text[1], 0 }, NULL, 16) & 1); /* a card's own address is no group's */
}

static bool model_valid(const char *text)
{
	return *text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(text);
}

static int nic_parse(struct options *o, const char *text)
{
	size_t kind = strcspn(text, ",");

	o->nic = (struct nic_config){ 0 };
	if (!strcmp(text, "none"))
		return 0;
	if (kind != 4 || strncmp(text, "user", 4))
		return refuse(o, "not a network card: none or user[,mac=MAC][,model=MODEL]", text);
	o->nic.user = true;
	for (const char *p = text + kind; *p;) {
		size_t len = strcspn(++p, ",");

		if (!strncmp(p, "mac=", 4) && mac_valid(p + 4, len - 4))
			snprintf(o->nic.mac, sizeof(o->nic.mac), "%.17s", p + 4);
		else if (!strncmp(p, "model=", 6) && !p[len] && model_valid(p + 6)) /* the last one: it is the rest of the word */
			o->nic.model = p + 6;
		else
			return refuse(o, "not a property of a network card: mac=MAC, or model=MODEL as the last", p);
		p += len;
	}
	return 0;
}

static int option_apply(struct options *o, const char *program, int c)
{
	switch (c) {
	case OPT_KERNEL: return option_path(program, "--kernel", optarg, &o->kernel);
	case OPT_INITRD: return option_path(program, "--initrd", optarg, &o->initrd);
	case OPT_APPEND: o->append = optarg; return 0;
	case OPT_SERIAL: return option_path(program, "--serial", optarg, &o->serial);
	case OPT_FIRMWARE: return firmware_parse(o, optarg);
	case OPT_FIRMWARE_LOG: return option_path(program, "--firmware-log", optarg, &o->firmware_log);
	case OPT_ENGINE: return engine_parse(o, optarg);
	case OPT_BUS: return bus_parse(o, optarg);
	case OPT_NIC: return nic_parse(o, optarg);
	case OPT_NO_REBOOT: o->no_reboot = true; return 0;
	case OPT_EXPECT: o->expect = optarg; return 0;
	case OPT_REFERENCE: return option_path(program, "--reference", optarg, &o->reference);
	case OPT_JSON: o->json = true; return 0;
	case OPT_JUNIT: return option_path(program, "--junit", optarg, &o->junit);
	case OPT_SCREENSHOT: return option_path(program, "--screenshot", optarg, &o->screenshot);
	case 'v': o->verbose = true; return 0;
	case 'm': return memory_parse(o, optarg);
	case 'c': return count_parse(o, optarg, 1, MACHINE_CPUS_MAX, "not a number of processors from 1 to 16", &o->n_cpus);
	case OPT_TIMEOUT: return count_parse(o, optarg, 1, 1000000, "not a number of seconds", &o->timeout);
	case 'h': return option_help(program, options_usage(o->command), NULL);
	default: return option_source(program, c == 'f' ? OPTION_FORMAT : c, optarg, &o->source) ? -1 : 0;
	}
}

static int options_check(const struct options *o)
{
	const char *wrong = NULL;

	if (o->kernel && o->firmware_said)
		wrong = "--kernel boots without firmware";
	else if (!o->kernel && (o->initrd || (o->append && o->firmware != FIRMWARE_NONE)))
		wrong = "--initrd goes with --kernel, --append with --kernel or --firmware none";
	else if (!o->kernel && !o->n_images)
		wrong = "expects IMG or --kernel FILE; --help tells more";
	if (wrong)
		fprintf(stderr, "vdisk %s: %s\n", o->command, wrong);
	return wrong ? -1 : 0;
}

static int outputs_check(const struct options *o, const char *program)
{
	const struct { const char *name, *value; } outputs[] = {
		{ "--serial", o->serial }, { "--firmware-log", o->firmware_log }, { "--junit", o->junit }, { "--screenshot", o->screenshot },
	};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(outputs) / sizeof(*outputs); i++) {
		rc = option_output(program, outputs[i].name, outputs[i].value, o->images, o->n_images);
		if (!rc)
			rc = option_output(program, outputs[i].name, outputs[i].value, &o->source.overlay, 1);
	}
	return rc;
}

int options_parse(struct options *o, const char *command, int argc, char **argv)
{
	bool verify = !strcmp(command, "verify");
	char name[32]; /* what getopt's own messages begin with */
	int c;

	*o = (struct options){
		.command = command, .mem_bytes = UINT64_C(1) << 30, .n_cpus = 1, .timeout = verify ? VERIFY_TIMEOUT : 0
	};
	snprintf(name, sizeof(name), "vdisk %s", command);
	argv[0] = name;
	while ((c = getopt_long(argc, argv, "m:c:f:vh", verify ? verify_longopts : boot_longopts, NULL)) != -1) {
		int r = option_apply(o, name, c);

		if (r)
			return r;
	}
	argv[0] = (char *)command;
	for (; optind < argc; optind++) {
		if (o->n_images == MACHINE_DISKS_MAX)
			return refuse(o, "one disk too many", argv[optind]);
		o->images[o->n_images++] = argv[optind];
	}
	return options_check(o) || outputs_check(o, name) ? -1 : 0;
}

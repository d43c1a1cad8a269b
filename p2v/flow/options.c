/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow/flow.h"

#include "common/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char migrate_usage[] =
	"usage: vdisk migrate --target|--for SYSTEM --out DIR [OPTIONS] SRC\n"
	"\n"
	"Takes a whole machine to another hypervisor: SRC is an OVA, XVA or VMA archive, a description (OVF, VMX, .vbox, libvirt's XML, xl.cfg, .vmc,\n"
	"exported XML of Hyper-V) with its disks beside it, or the folder of a capture.  SRC is only read.  DIR gets the disks, the description and a report.\n";

static const char p2v_usage[] =
	"usage: vdisk p2v --target|--for SYSTEM --out DIR [OPTIONS] CAPTURE\n"
	"\n"
	"Makes a virtual machine of what vdisk capture or vdisk receive left in the folder CAPTURE, which is only read.  DIR gets the disks, the description\n"
	"and a report.\n";

static const char options_usage[] =
	"\n"
	"  -t, --target SYSTEM     kvm, vmware, hyperv, xen or virtualbox\n"
	"      --for SYSTEM        as the importer of that one takes it, instead of --target or with it: esxi, workstation, hyperv-gen1, hyperv-gen2,\n"
	"                          azure, xcp-ng, virtualbox, openstack, proxmox or kvm\n"
	"      --out DIR           the folder to make; while it is not whole it is called DIR.partial\n"
	"      --name NAME         what the machine is called from now on\n"
	"  -O, --format FMT        the disks' format; the default is the target's\n"
	"  -o, --option K=V,...    options of that format, as for vdisk convert; may be given several times\n"
	"  -c, --compress          compress the disks\n"
	"      --level N           how hard, as for vdisk convert\n"
	"      --ova               make one OVA; for vmware and virtualbox\n"
	"      --snapshots HOW     flatten (the default): the disks as they are now; keep: with their snapshots\n"
	"      --sector-size N     512 or 4096, for disks with logical sectors of the other length: count their GPT anew\n"
	"      --system N          of several machines in SRC, the Nth\n"
	"      --no-check          do not compare an archive's checksums\n"
	"      --no-adapt          leave the guest as it is\n"
	"      --drivers PATH      Windows' drivers: virtio-win's ISO, or a folder with what it holds\n"
	"      --key-file FILE     a passphrase for encrypted partitions is what FILE holds; may be given several times\n"
	"      --serial            give the guest a console on the serial line, too\n"
	"      --verify            boot the result, over a layer that is thrown away, and tell whether it comes up\n"
	"      --expect RE         it has come up when a line matches this, as for vdisk verify\n"
	"      --timeout SECONDS   how long it may take; the default is 300\n"
	"      --engine KIND       auto, kvm or qemu, as for vdisk verify\n"
	"      --allow-parent DIR  disks, their parents and extents may lie below DIR; may be given several times\n"
	"  -j, --threads N         the default is one for each processor\n"
	"  -n, --dry-run           read and judge everything, write nothing\n"
	"      --findings          with --for, of an archive: tell what vdisk lint tells, as JSON, and do nothing\n"
	"      --json              print the report as JSON\n"
	"      --progress MODE     auto (the default), bar, json or none: on standard error\n"
	"  -h, --help              this text\n";

enum {
	OPT_OUT = 256, OPT_NAME, OPT_LEVEL, OPT_OVA, OPT_SNAPSHOTS, OPT_SYSTEM, OPT_NO_CHECK, OPT_NO_ADAPT, OPT_DRIVERS, OPT_KEY,
	OPT_SERIAL, OPT_VERIFY, OPT_EXPECT, OPT_TIMEOUT, OPT_ENGINE, OPT_ALLOW, OPT_JSON, OPT_PROGRESS, OPT_SECTORS, OPT_FOR,
	OPT_FINDINGS,
};

static const struct option longopts[] = {
	{ "target", required_argument, NULL, 't' },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "findings", no_argument, NULL, OPT_FINDINGS },
	{ "out", required_argument, NULL, OPT_OUT },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "format", required_argument, NULL, 'O' },
	{ "option", required_argument, NULL, 'o' },
	{ "compress", no_argument, NULL, 'c' },
	{ "level", required_argument, NULL, OPT_LEVEL },
	{ "ova", no_argument, NULL, OPT_OVA },
	{ "snapshots", required_argument, NULL, OPT_SNAPSHOTS },
	{ "sector-size", required_argument, NULL, OPT_SECTORS },
	{ "system", required_argument, NULL, OPT_SYSTEM },
	{ "no-check", no_argument, NULL, OPT_NO_CHECK },
	{ "no-adapt", no_argument, NULL, OPT_NO_ADAPT },
	{ "drivers", required_argument, NULL, OPT_DRIVERS },
	{ "key-file", required_argument, NULL, OPT_KEY },
	{ "serial", no_argument, NULL, OPT_SERIAL },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "engine", required_argument, NULL, OPT_ENGINE },
	{ "allow-parent", required_argument, NULL, OPT_ALLOW },
	{ "threads", required_argument, NULL, 'j' },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "progress", required_argument, NULL, OPT_PROGRESS },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int list_take(const struct flow_args *a, const char *name, const char **v, size_t *n, size_t most)
{
	return *n == most ? option_bad(a->program, "is given too many times", name)
	                  : option_path(a->program, name, optarg, &v[(*n)++]);
}

/* "K=V,K=V" */
static int pairs_take(struct flow_args *a)
{
	char *copy = a->n_pairs < OPTIONS_MAX ? strdup(optarg) : NULL, *next;

	if (!copy)
		return option_bad(a->program, "is given too many times", "-o");
	a->pairs[a->n_pairs++] = copy;
	for (char *p = copy; p; p = next) {
		next = strchr(p, ',');
		if (next)
			*next++ = '\0';
		if (!strchr(p, '=') || a->n_options == OPTIONS_MAX)
			return option_bad(a->program, "-o takes K=V, with commas between", optarg);
		a->options[a->n_options++] = p;
	}
	return 0;
}

void flow_args_free(struct flow_args *a)
{
	for (size_t i = 0; i < a->n_pairs; i++)
		free(a->pairs[i]);
}

static int snapshots_take(struct flow_args *a)
{
	a->keep_snapshots = !strcmp(optarg, "keep");
	return a->keep_snapshots || !strcmp(optarg, "flatten")
	               ? 0
	               : option_bad(a->program, "--snapshots takes flatten or keep", optarg);
}

static int target_take(struct flow_args *a)
{
	a->target = flow_target_parse(optarg);
	if (!a->target && vdisk_profile_find(optarg))
		return option_bad(a->program, "--target takes kvm, vmware, hyperv, xen or virtualbox, and --for takes this", optarg);
	return a->target ? 0 : option_bad(a->program, "--target takes kvm, vmware, hyperv, xen or virtualbox", optarg);
}

static int profile_take(struct flow_args *a)
{
	a->profile = vdisk_profile_find(optarg);
	return a->profile && flow_profile_target(a->profile)
	               ? 0
	               : option_bad(a->program, "--for knows no such system; --help tells which, vdisk-formats(7) more", optarg);
}

static int level_take(struct flow_args *a)
{
	unsigned n;

	if (option_number(a->program, "--level", optarg, 22, &n))
		return -1;
	a->level = (int)n;
	return 0;
}

static int sectors_take(struct flow_args *a)
{
	a->sector_size = !strcmp(optarg, "512") ? 512 : !strcmp(optarg, "4096") ? 4096 : 0;
	return a->sector_size ? 0 : option_bad(a->program, "--sector-size takes 512 or 4096", optarg);
}

static int option_take(struct flow_args *a, int c)
{
	switch (c) {
	case 't': return target_take(a);
	case OPT_FOR: return profile_take(a);
	case OPT_FINDINGS: a->findings = true; return 0;
	case OPT_OUT: return option_path(a->program, "--out", optarg, &a->out);
	case OPT_NAME: return option_text(a->program, "--name", optarg, &a->name);
	case 'O': return option_text(a->program, "--format", optarg, &a->format);
	case 'o': return pairs_take(a);
	case 'c': a->compress = true; return 0;
	case OPT_LEVEL: return level_take(a);
	case OPT_OVA: a->ova = true; return 0;
	case OPT_SNAPSHOTS: return snapshots_take(a);
	case OPT_SECTORS: return sectors_take(a);
	case OPT_SYSTEM: return option_number(a->program, "--system", optarg, 1024, &a->system);
	case OPT_NO_CHECK: a->no_check = true; return 0;
	case OPT_NO_ADAPT: a->no_adapt = true; return 0;
	case OPT_DRIVERS: return option_path(a->program, "--drivers", optarg, &a->drivers);
	case OPT_KEY: return list_take(a, "--key-file", a->keys, &a->n_keys, KEYS_MAX);
	case OPT_SERIAL: a->serial = true; return 0;
	case OPT_VERIFY: a->verify = true; return 0;
	case OPT_EXPECT: return option_text(a->program, "--expect", optarg, &a->expect);
	case OPT_TIMEOUT: return option_number(a->program, "--timeout", optarg, 86400, &a->timeout);
	case OPT_ENGINE: return option_text(a->program, "--engine", optarg, &a->engine);
	case OPT_ALLOW: return list_take(a, "--allow-parent", a->allow, &a->n_allow, ALLOW_MAX);
	case 'j': return option_number(a->program, "--threads", optarg, 256, &a->threads);
	case 'n': a->dry_run = true; return 0;
	case OPT_JSON: a->json = true; return 0;
	case OPT_PROGRESS:
		return progress_mode_parse(optarg, &a->progress)
		               ? option_bad(a->program, "--progress takes auto, bar, json or none", optarg)
		               : 0;
	case 'h': return option_help(a->program, a->kind == FLOW_P2V ? p2v_usage : migrate_usage, options_usage);
	default: return -1; /* it was said */
	}
}

static const char *judge(const struct flow_args *a)
{
	if (!a->target)
		return "--target or --for says for which hypervisor; --help tells more";
	if (a->profile && flow_profile_target(a->profile) != a->target)
		return "--for is of another hypervisor than --target";
	if (a->profile && a->keep_snapshots)
		return "--for does not go with --snapshots keep: importers take whole disks";
	if (a->findings && (!a->profile || a->out || a->kind != FLOW_MIGRATE))
		return "--findings goes with --for and an archive, and makes nothing";
	if (!a->out && !a->findings)
		return "--out says where to; --help tells more";
	if (a->ova && a->target != TARGET_VMWARE && a->target != TARGET_VIRTUALBOX)
		return "--ova is for vmware and virtualbox";
	if (a->ova && (a->format || a->n_options || a->compress || a->keep_snapshots))
		return "--ova's disks are streamOptimized VMDKs, packed and without snapshots: -O, -o, -c and --snapshots keep do not go with it";
	if (a->level && !a->compress && !a->ova)
		return "--level goes with -c or --ova";
	if (a->keep_snapshots && a->compress)
		return "--snapshots keep does not go with -c: what is written to later is not compressed";
	if (a->keep_snapshots && a->sector_size)
		return "--sector-size does not go with --snapshots keep";
	if (a->no_adapt && (a->drivers || a->n_keys || a->serial))
		return "--drivers, --key-file and --serial are for adapting, which --no-adapt leaves out";
	if (!a->verify && (a->expect || a->timeout || a->engine))
		return "--expect, --timeout and --engine go with --verify";
	return NULL;
}

int flow_args_parse(struct flow_args *a, enum flow_kind kind, int argc, char **argv)
{
	const char *wrong;
	int c;

	*a = (struct flow_args){ .kind = kind, .program = kind == FLOW_P2V ? "vdisk p2v" : "vdisk migrate" };
	while ((c = option_next(a->program, argc, argv, "t:O:o:cj:nh", longopts)) != -1) {
		int rc = option_take(a, c);

		if (rc)
			return rc;
	}
	if (argc - optind != 1)
		return option_bad(a->program,
		                  argc > optind ? "takes one machine at a time" : "expects a machine; --help tells more", NULL);
	a->source = argv[optind];
	if (!*a->source)
		return option_bad(a->program, "expects a machine; --help tells more", NULL);
	if (!a->target && a->profile)
		a->target = flow_profile_target(a->profile);
	wrong = judge(a);
	if (!a->timeout)
		a->timeout = 300;
	return wrong ? option_bad(a->program, wrong, NULL) : 0;
}

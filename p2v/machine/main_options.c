/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "main_options.h"

#include "common/option.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "vdisk machine"

static const char usage[] =
	"usage: vdisk machine [--json] [--from KIND] [--system NUMBER] DESCRIPTION\n"
	"       vdisk machine --snapshots [--json] [--allow-parent DIR] DESCRIPTION\n"
	"       vdisk machine --to KIND [-o FILE] [OPTIONS] DESCRIPTION\n"
	"\n"
	"Shows the description of a virtual machine (or the machine.json of a captured one), or writes it for another system.  \"-\" is standard input.\n"
	"No image is converted: vdisk migrate does the whole.\n"
	"\n"
	"      --json              print all of it as JSON\n"
	"      --snapshots         list the machine's snapshots (VirtualBox, Hyper-V) with their images\n"
	"      --allow-parent DIR  with --snapshots: images may lie below DIR, too; may be said again\n"
	"      --to KIND           write it as libvirt, vmx, ovf, vbox, xl, hyperv (a PowerShell script) or json\n"
	"  -o, --output FILE       to FILE; the default is standard output\n"
	"      --force             replace a FILE that exists\n"
	"      --from KIND         what DESCRIPTION is, besides those: vmc, xva (its ova.xml), proxmox; hyperv is exported XML;\n"
	"                          the default is what its bytes say\n"
	"      --system NUMBER     of several machines in one description this one, from 1\n"
	"      --name NAME         call the machine NAME\n"
	"      --disk-bus BUS      put the disks on ide, sata, scsi, virtio, nvme, usb or xen; an adapter may follow: scsi:pvscsi\n"
	"      --nic-model MODEL   make the NICs virtio, e1000, e1000e, vmxnet3, rtl8139, pcnet, xen, hyperv, …\n"
	"      --network NET       connect the NICs to bridge:NAME, network:NAME, nat, host-only:NAME, internal:NAME or none\n"
	"      --domain TYPE       libvirt's: kvm (the default) or qemu\n"
	"      --ovf-version N     1 (the default) or 2\n"
	"  -q, --quiet             do not list what was not taken from DESCRIPTION, nor what the new one cannot say\n"
	"  -h, --help              this text\n";

enum { OPT_JSON = 256, OPT_TO, OPT_FORCE, OPT_FROM, OPT_SYSTEM, OPT_NAME, OPT_BUS, OPT_NIC, OPT_NET, OPT_DOMAIN, OPT_OVF,
	OPT_SNAPSHOTS, OPT_ALLOW };

static const struct option longopts[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "to", required_argument, NULL, OPT_TO },
	{ "output", required_argument, NULL, 'o' },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "system", required_argument, NULL, OPT_SYSTEM },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "disk-bus", required_argument, NULL, OPT_BUS },
	{ "nic-model", required_argument, NULL, OPT_NIC },
	{ "network", required_argument, NULL, OPT_NET },
	{ "domain", required_argument, NULL, OPT_DOMAIN },
	{ "ovf-version", required_argument, NULL, OPT_OVF },
	{ "snapshots", no_argument, NULL, OPT_SNAPSHOTS },
	{ "allow-parent", required_argument, NULL, OPT_ALLOW },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int bad(const char *what, const char *value) { return option_bad(PROGRAM, what, value); }

static int kind_take(const char *value, bool writing, enum describe_kind *out)
{
	*out = describe_kind_parse(value);
	if (!*out)
		return bad("no such kind of description", value);
	return writing && !describe_kind_written(*out) ? bad("descriptions of this kind are read only", value) : 0;
}

/* BUS, or BUS:ADAPTER. */
static int bus_take(struct machine_args *a, const char *value)
{
	const char *colon = strchr(value, ':');
	char name[32];
	int bus, scsi;

	snprintf(name, sizeof(name), "%.*s", colon ? (int)(colon - value) : 31, value);
	bus = machine_bus_parse(name);
	scsi = colon ? machine_scsi_parse(colon + 1) : 0;
	if (bus <= 0 || bus == MACHINE_BUS_FLOPPY || scsi < 0 || (colon && bus != MACHINE_BUS_SCSI))
		return bad("--disk-bus takes ide, sata, scsi, scsi:ADAPTER, virtio, nvme, usb or xen", value);
	a->write.disk_bus = (enum machine_bus)bus;
	a->write.scsi = (enum machine_scsi)scsi;
	return 0;
}

static int nic_take(struct machine_args *a, const char *value)
{
	int model = machine_nic_model_parse(value);

	if (model <= 0)
		return bad("--nic-model knows no such NIC", value);
	a->write.nic_model = (enum machine_nic_model)model;
	return 0;
}

static int net_take(struct machine_args *a, const char *value)
{
	const char *colon = strchr(value, ':');
	char name[32];
	int net;

	snprintf(name, sizeof(name), "%.*s", colon ? (int)(colon - value) : 31, value);
	net = machine_net_parse(name);
	if (net <= 0 || (colon && !colon[1]) || ((net == MACHINE_NET_BRIDGE || net == MACHINE_NET_NETWORK) && !colon))
		return bad("--network takes bridge:NAME, network:NAME, nat, host-only[:NAME], internal[:NAME] or none", value);
	a->write.net = (enum machine_net)net;
	a->write.network = colon ? colon + 1 : NULL;
	return 0;
}

static int domain_take(struct machine_args *a, const char *value)
{
	if (strcmp(value, "kvm") && strcmp(value, "qemu"))
		return bad("--domain takes kvm or qemu", value);
	a->write.domain = value;
	return 0;
}

static int allow_take(struct machine_args *a, const char *value)
{
	if (a->n_allow == MACHINE_ALLOW_MAX)
		return bad("--allow-parent is said too often", NULL);
	return option_path(PROGRAM, "--allow-parent", value, &a->allow[a->n_allow++]);
}

static int option_take(struct machine_args *a, int c)
{
	switch (c) {
	case OPT_JSON: a->json = true; return 0;
	case OPT_TO: return kind_take(optarg, true, &a->to);
	case 'o': return option_path(PROGRAM, "--output", optarg, &a->out);
	case OPT_FORCE: a->force = true; return 0;
	case OPT_FROM: return kind_take(optarg, false, &a->from);
	case OPT_SYSTEM: return option_number(PROGRAM, "--system", optarg, MACHINE_LIST_MAX, &a->system);
	case OPT_NAME: return option_text(PROGRAM, "--name", optarg, &a->name);
	case OPT_BUS: return bus_take(a, optarg);
	case OPT_NIC: return nic_take(a, optarg);
	case OPT_NET: return net_take(a, optarg);
	case OPT_DOMAIN: return domain_take(a, optarg);
	case OPT_OVF: return option_number(PROGRAM, "--ovf-version", optarg, 2, &a->write.ovf_version);
	case OPT_SNAPSHOTS: a->snapshots = true; return 0;
	case OPT_ALLOW: return allow_take(a, optarg);
	case 'q': a->quiet = true; return 0;
	case 'h': return option_help(PROGRAM, usage, NULL);
	default: return -1; /* it was said */
	}
}

static const char *judge(const struct machine_args *a)
{
	const struct describe_write *w = &a->write;
	bool shapes = w->disk_bus || w->nic_model || w->net || w->domain || w->ovf_version;

	if (!a->file)
		return "expects one description; --help tells more";
	if (a->snapshots && (a->to || a->out || a->name || shapes || a->force || a->quiet))
		return "--snapshots shows: it goes with --json, --from, --system and --allow-parent";
	if (a->snapshots && !strcmp(a->file, "-"))
		return "--snapshots looks at the images beside DESCRIPTION, which standard input has not";
	if (a->n_allow && !a->snapshots)
		return "--allow-parent is for --snapshots";
	if (!a->to && (a->out || a->name || shapes || a->force))
		return "--to says what to write";
	if (a->to && a->json)
		return "--json shows, --to json writes";
	if (a->force && !a->out)
		return "--force goes with --output";
	if (w->domain && a->to != DESCRIBE_LIBVIRT)
		return "--domain is for --to libvirt";
	if (w->ovf_version && a->to != DESCRIBE_OVF)
		return "--ovf-version is for --to ovf";
	if (a->to == DESCRIBE_JSON && shapes)
		return "JSON holds the machine as it is: it goes with none of --disk-bus, --nic-model and --network";
	return NULL;
}

int machine_args_parse(struct machine_args *a, int argc, char **argv)
{
	vdisk_error err = { 0 };
	const char *wrong;
	int c;

	*a = (struct machine_args){ 0 };
	while ((c = option_next(PROGRAM, argc, argv, "o:qh", longopts)) != -1) {
		int rc = option_take(a, c);

		if (rc)
			return rc;
	}
	if (argc - optind == 1)
		a->file = argv[optind];
	wrong = judge(a);
	if (!wrong && vdisk_path_judge(a->file, &err))
		wrong = err.message;
	return wrong ? bad(wrong, NULL) : 0;
}

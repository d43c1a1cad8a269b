/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "main_options.h"

#include "common/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "vdisk adapt"

static const char usage[] =
	"usage: vdisk adapt --target LIST [--plan] [OPTIONS] IMG ...\n"
	"       vdisk adapt --resume IMG ...\n"
	"       vdisk adapt --undo [--keep-undo FILE] IMG ...\n"
	"\n"
	"Makes the guest on the disk IMG (or on several of them, the first one first) boot on another hypervisor: its drivers, boot loader,\n"
	"device names and network.  Nothing of IMG changes before all of it has succeeded in a layer over it.\n"
	"\n"
	"  -t, --target LIST       for kvm, vmware, hyperv, xen, virtualbox: one or several, with commas between\n"
	"  -n, --plan              show what would be changed, and why; change nothing\n"
	"      --json              print the report as JSON\n"
	"      --overlay FILE      leave the changes in FILE, a new qcow2 layer over IMG, which stays as it is\n"
	"      --keep-undo FILE    keep the way back in FILE; with --undo: go it\n"
	"      --resume            finish a change that was broken off\n"
	"      --undo              take it back: IMG becomes what it was, to the byte\n"
	"      --root DEVICE       of several systems, the one with this root (/dev/sda2, /dev/VG/LV); the default is each of them\n"
	"      --key-file FILE     a passphrase for encrypted partitions is what FILE holds; may be given several times\n"
	"      --drivers PATH      Windows' drivers: virtio-win's ISO, or a folder with what it holds\n"
	"      --regenerate        run the guest's own program to make its initramfs, instead of adding to it\n"
	"      --serial            a console on the serial line, too\n"
	"  -f, --format FMT        the images' format; the default is what their bytes say\n"
	"      --allow-parent DIR  parents and extents may lie below DIR\n"
	"      --force             write to a protected image (a linked clone's parent, one that others lie over)\n"
	"  -v, --verbose           say what is being done, and show each difference\n"
	"  -h, --help              this text\n";

enum {
	OPT_JSON = 256, OPT_OVERLAY, OPT_KEEP, OPT_RESUME, OPT_UNDO, OPT_ROOT, OPT_KEY, OPT_DRIVERS, OPT_REGENERATE, OPT_SERIAL,
	OPT_ALLOW, OPT_FORCE
};

static const struct option longopts[] = {
	{ "target", required_argument, NULL, 't' },
	{ "plan", no_argument, NULL, 'n' },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "overlay", required_argument, NULL, OPT_OVERLAY },
	{ "keep-undo", required_argument, NULL, OPT_KEEP },
	{ "resume", no_argument, NULL, OPT_RESUME },
	{ "undo", no_argument, NULL, OPT_UNDO },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "key-file", required_argument, NULL, OPT_KEY },
	{ "drivers", required_argument, NULL, OPT_DRIVERS },
	{ "regenerate", no_argument, NULL, OPT_REGENERATE },
	{ "serial", no_argument, NULL, OPT_SERIAL },
	{ "format", required_argument, NULL, 'f' },
	{ "allow-parent", required_argument, NULL, OPT_ALLOW },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int bad(const char *what, const char *value) { return option_bad(PROGRAM, what, value); }

static int targets_take(struct adapt_args *a)
{
	const char *wrong = NULL;

	a->steps.targets = target_parse(optarg, &wrong);
	return a->steps.targets ? 0
	                        : bad("--target takes kvm, vmware, hyperv, xen and virtualbox, with commas between",
	                              wrong && *wrong ? wrong : optarg);
}

static int mode_take(struct adapt_args *a, enum adapt_mode mode)
{
	if (a->mode != MODE_ADAPT && a->mode != mode)
		return bad("--plan, --resume and --undo exclude each other", NULL);
	a->mode = mode;
	return 0;
}

static int list_take(const char *name, const char **v, size_t *n, size_t most)
{
	return *n == most ? bad("is given too many times", name) : option_path(PROGRAM, name, optarg, &v[(*n)++]);
}

static int option_take(struct adapt_args *a, int c)
{
	switch (c) {
	case 't': return targets_take(a);
	case 'n': return mode_take(a, MODE_PLAN);
	case OPT_RESUME: return mode_take(a, MODE_RESUME);
	case OPT_UNDO: return mode_take(a, MODE_UNDO);
	case OPT_JSON: a->json = true; return 0;
	case OPT_OVERLAY: return option_path(PROGRAM, "--overlay", optarg, &a->overlay);
	case OPT_KEEP: return option_path(PROGRAM, "--keep-undo", optarg, &a->keep_undo);
	case OPT_ROOT: return option_text(PROGRAM, "--root", optarg, &a->root);
	case OPT_KEY: return list_take("--key-file", a->key_files, &a->n_keys, KEYS_MAX);
	case OPT_DRIVERS: return option_path(PROGRAM, "--drivers", optarg, &a->steps.drivers);
	case OPT_REGENERATE: a->steps.regenerate = true; return 0;
	case OPT_SERIAL: a->steps.serial = true; return 0;
	case 'f': return option_text(PROGRAM, "--format", optarg, &a->format);
	case OPT_ALLOW: return list_take("--allow-parent", a->allow, &a->n_allow, SOURCE_ALLOW_MAX);
	case OPT_FORCE: a->force = true; return 0;
	case 'v': a->verbose = true; return 0;
	case 'h': return option_help(PROGRAM, usage, NULL);
	default: return -1; /* it was said */
	}
}

static const char *judge(const struct adapt_args *a)
{
	bool makes = a->mode == MODE_ADAPT || a->mode == MODE_PLAN;
	bool step_options = a->steps.targets || a->steps.drivers || a->steps.regenerate || a->steps.serial || a->root || a->n_keys;

	if (!a->n_disks)
		return "expects the image of a disk; --help tells more";
	if (makes && !a->steps.targets)
		return "--target says for which hypervisor; --help tells more";
	if (!makes && (step_options || a->overlay || a->json || a->format || (a->force && a->mode == MODE_UNDO)))
		return "--resume and --undo go on with what was asked for then: --resume takes --allow-parent and --force, --undo --allow-parent and --keep-undo";
	if (a->keep_undo && (a->mode == MODE_PLAN || a->mode == MODE_RESUME))
		return "--keep-undo does not go with --plan or --resume";
	if (a->overlay && (a->keep_undo || a->mode != MODE_ADAPT))
		return "--overlay leaves the image as it is: there is nothing to undo, or to plan";
	if (a->n_disks > 1 && (a->overlay || a->keep_undo))
		return "--overlay and --keep-undo are for one disk";
	return NULL;
}

/* Where virt-v2v has it as well. */
static void service_tool_find(struct adapt_args *a)
{
	const char *folder = getenv("VIRT_TOOLS_DATA_DIR");
	int n = snprintf(a->service_tool, sizeof(a->service_tool), "%s/rhsrvany.exe",
	                 folder && *folder ? folder : "/usr/share/virt-tools");

	if (n > 0 && (size_t)n < sizeof(a->service_tool) && !access(a->service_tool, R_OK))
		a->steps.service_tool = a->service_tool;
}

int adapt_args_parse(struct adapt_args *a, int argc, char **argv)
{
	const char *wrong;
	int c;

	*a = (struct adapt_args){ 0 };
	while ((c = option_next(PROGRAM, argc, argv, "t:nf:vh", longopts)) != -1) {
		int rc = option_take(a, c);

		if (rc)
			return rc;
	}
	if (argc - optind > DISKS_MAX)
		return bad("takes 16 disks at most", NULL);
	for (; optind < argc; optind++)
		a->disks[a->n_disks++] = argv[optind];
	service_tool_find(a);
	wrong = judge(a);
	return wrong ? bad(wrong, NULL) : 0;
}

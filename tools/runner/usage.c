/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What --help says. */
#include "options.h"

#include <string.h>

#define MACHINE_OPTIONS \
	"      --firmware KIND      bios, uefi, none: the kernel that the disk's own boot loader would start, without firmware; or auto:\n" \
	"                           uefi if the first disk has an EFI system partition, else bios (default)\n" \
	"      --firmware-log FILE  what the firmware says of itself is appended to FILE\n" \
	"      --kernel FILE        boot this Linux kernel (a bzImage or a PVH ELF) directly\n" \
	"      --initrd FILE        with this initial RAM disk\n" \
	"      --append TEXT        and this command line; with --firmware none, behind the disk's own\n" \
	"      --engine KIND        kvm, qemu, or auto: qemu where /dev/kvm does not serve (default)\n" \
	"      --bus KIND           virtio-blk (default), ahci; with QEMU also virtio-scsi, ide\n" \
	"      --nic KIND           none (default), or user[,mac=MAC][,model=MODEL]: a network card that reaches out through this host;\n" \
	"                           models other than virtio-net with QEMU only\n" \
	"  -m, --mem SIZE           memory, MiB if no suffix says otherwise (default: 1024)\n" \
	"  -c, --cpus N             processors, 1 to 16 (default: 1)\n"

#define IMAGE_OPTIONS \
	"  -f, --format FMT         the images' format; the default is what their bytes say\n" \
	"      --allow-parent DIR   parents and extents may lie below DIR\n"

static const char boot_usage[] =
	"usage: vdisk boot [OPTIONS] IMG...\n"
	"       vdisk boot [OPTIONS] --kernel FILE [--initrd FILE] [--append TEXT] [IMG...]\n"
	"\n"
	"Boots a machine with the images as its disks.  Its serial line is this terminal; Ctrl-A X leaves.\n"
	"\n"
	MACHINE_OPTIONS
	"      --serial FILE        the serial line is written to FILE\n"
	"      --timeout SECONDS    give up after that time\n"
	IMAGE_OPTIONS
	"      --rw                 the guest's writes go into the images, not into throwaway overlays\n"
	"      --no-reboot          a reset ends the run, too\n"
	"  -v, --verbose            show the processor and its last exits when the guest dies (own engine)\n"
	"  -h, --help               this text\n"
	"\n"
	"Exit status: 0 the guest switched itself off, 1 it crashed, was reset (--no-reboot) or timed out, 2 trouble.\n";

static const char verify_usage[] =
	"usage: vdisk verify [OPTIONS] IMG...\n"
	"       vdisk verify [OPTIONS] --kernel FILE [--initrd FILE] [--append TEXT] [IMG...]\n"
	"\n"
	"Boots a machine with the images as its disks, over throwaway overlays, and tells whether it came up.\n"
	"\n"
	"      --expect RE          it came up when this extended regular expression matches a line of the serial line or of the text\n"
	"                           screen (default: a login prompt, or systemd's boot targets)\n"
	"      --reference PNG      or when the graphical screen looks like this picture\n"
	"      --timeout SECONDS    how long that may take (default: 300)\n"
	"      --json               the answer as JSON\n"
	"      --junit FILE         the answer as a JUnit report, too\n"
	"      --serial FILE        the serial line is written to FILE\n"
	"      --screenshot PNG     the screen at the end\n" MACHINE_OPTIONS IMAGE_OPTIONS
	"      --no-reboot          a reset is a failure (default: three are)\n"
	"  -v, --verbose            show the processor and its last exits when the guest dies (own engine)\n"
	"  -h, --help               this text\n"
	"\n"
	"Exit status: 0 it came up, 1 it failed or did not come up in time, 2 trouble.\n";

const char *options_usage(const char *command)
{
	return strcmp(command, "verify") ? boot_usage : verify_usage;
}

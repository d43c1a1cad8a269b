/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A PowerShell script that makes the machine in Hyper-V.  Generation 2 is UEFI, with SCSI alone; generation 1 is BIOS, which boots
 * from IDE alone.  Relative paths are taken from the script's own folder.  Where anything fails the half machine is removed.
 *
 * The script begins with a byte order mark: without one Windows PowerShell reads it in the system's code page, where some bytes of
 * UTF-8 are quotes.
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "os.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#define WHAT "Hyper-V"

struct script {
	struct text t;
	const struct machine *m;
	struct machine_lost_list *lost;
	struct fitted f;
	bool second; /* generation 2 */
};

static const struct fit_rules rules_first = {
	.what = WHAT,
	.bus = {
		[MACHINE_BUS_IDE] = { 1, 4, -1 },
		[MACHINE_BUS_SCSI] = { 4, 64, -1 },
		[MACHINE_BUS_FLOPPY] = { 1, 1, -1 },
	},
	.disk = MACHINE_BUS_IDE,
	.cdrom = MACHINE_BUS_IDE,
	.spill = MACHINE_BUS_SCSI,
	.scsi_models = FIT_SCSI(HYPERV),
	.scsi = MACHINE_SCSI_HYPERV,
	.nic_models = FIT_NIC(HYPERV) | FIT_NIC(TULIP),
	.nic = MACHINE_NIC_HYPERV,
	.floppy = true,
};

static const struct fit_rules rules_second = {
	.what = "Hyper-V, generation 2",
	.bus = { [MACHINE_BUS_SCSI] = { 4, 64, -1 } },
	.disk = MACHINE_BUS_SCSI,
	.cdrom = MACHINE_BUS_SCSI,
	.scsi_models = FIT_SCSI(HYPERV),
	.scsi = MACHINE_SCSI_HYPERV,
	.nic_models = FIT_NIC(HYPERV),
	.nic = MACHINE_NIC_HYPERV,
};

/* In single quotes, where nothing means anything but the quote, of which PowerShell knows five. */
static void quote(struct script *s, const char *text)
{
	text_add(&s->t, "'");
	for (; *text; text++) {
		if (*text == '\'')
			text_add(&s->t, "'");
		else if (!strncmp(text, "\xe2\x80", 2) && (unsigned char)text[2] >= 0x98 && (unsigned char)text[2] <= 0x9b)
			text_add(&s->t, "%.3s", text);
		text_add(&s->t, "%c", *text);
	}
	text_add(&s->t, "'");
}

static void path_put(struct script *s, const struct machine_disk *d)
{
	bool whole = d->path_flags & (MACHINE_PATH_ABSOLUTE | MACHINE_PATH_REMOTE);

	text_add(&s->t, " -Path %s", whole ? "" : "(Join-Path $PSScriptRoot ");
	quote(s, d->path);
	text_add(&s->t, "%s", whole ? "" : ")");
}

/* The disk that a BIOS boots from must be on IDE. */
static void boot_disk_move(struct script *s, const struct machine *m, struct machine_disk *disks)
{
	const struct machine_disk *best = NULL;

	for (size_t i = 0; i < m->disks_n; i++) {
		const struct machine_disk *d = &m->disks[i];

		if (d->medium == MACHINE_DISK && (!best || (d->boot && (!best->boot || d->boot < best->boot))))
			best = d;
	}
	if (m->disks_n)
		memcpy(disks, m->disks, m->disks_n * sizeof(*disks));
	if (!best || best->bus == MACHINE_BUS_IDE || s->second)
		return;
	disks[best - m->disks].bus = MACHINE_BUS_UNKNOWN;
	disks[best - m->disks].unit = -1;
	if (best->bus)
		machine_lost_add(s->lost, machine_bus_name(best->bus), "a machine of generation 1 boots from IDE alone",
		                 "disk %s: its bus becomes ide", best->name ? best->name : "1");
}

static void machine_put(struct script *s)
{
	const struct machine *m = s->m;
	uint64_t megabytes = (m->memory + (2 << 20) - 1) >> 21 << 1; /* a multiple of 2 MiB */

	text_add(&s->t, "\xef\xbb\xbf#requires -Modules Hyper-V\n$ErrorActionPreference = 'Stop'\n$vm = New-VM -Name ");
	quote(s, m->name);
	if (megabytes << 20 != m->memory)
		machine_lost_add(s->lost, NULL, "Hyper-V has multiples of 2 MiB", "memory: %llu bytes become %llu MiB",
		                 (unsigned long long)m->memory, (unsigned long long)megabytes);
	text_add(&s->t, " -Generation %d -MemoryStartupBytes %lluMB -NoVHD\ntry {\n", s->second ? 2 : 1,
	         (unsigned long long)megabytes);
	text_add(&s->t, "\tSet-VMMemory -VM $vm -DynamicMemoryEnabled $false\n\tSet-VMProcessor -VM $vm -Count %u\n", m->cpus);
	text_add(&s->t, "\tGet-VMNetworkAdapter -VM $vm | Remove-VMNetworkAdapter\n\tGet-VMDvdDrive -VM $vm | Remove-VMDvdDrive\n");
	if (m->description) {
		text_add(&s->t, "\tSet-VM -VM $vm -Notes ");
		quote(s, m->description);
		text_add(&s->t, "\n");
	}
	if (s->second && m->secure_boot)
		text_add(&s->t, "\tSet-VMFirmware -VM $vm -EnableSecureBoot On -SecureBootTemplate '%s'\n",
			 os_is_windows(m->os) ? "MicrosoftWindows" : "MicrosoftUEFICertificateAuthority");
	else if (s->second)
		text_add(&s->t, "\tSet-VMFirmware -VM $vm -EnableSecureBoot Off\n");
	if (m->tpm == MACHINE_TPM_2_0 && s->second)
		text_add(&s->t, "\tSet-VMKeyProtector -VM $vm -NewLocalKeyProtector\n\tEnable-VMTPM -VM $vm\n");
	else if (m->tpm)
		machine_lost_add(s->lost, machine_tpm_name(m->tpm), "Hyper-V has one of version 2.0, in generation 2", "TPM");
}

static void disk_put(struct script *s, const struct machine_disk *d, size_t at)
{
	bool ide = d->bus == MACHINE_BUS_IDE;
	unsigned controller = ide ? (unsigned)d->unit / 2 : d->controller, unit = ide ? (unsigned)d->unit % 2 : (unsigned)d->unit;

	if (d->medium == MACHINE_FLOPPY) {
		if (!d->path)
			return; /* every machine of generation 1 has an empty drive */
		text_add(&s->t, "\tSet-VMFloppyDiskDrive -VM $vm");
		path_put(s, d);
		text_add(&s->t, "\n");
		return;
	}
	text_add(&s->t, "\t$disk%zu = %s -VM $vm%s -ControllerNumber %u -ControllerLocation %u -Passthru", at,
		 d->medium == MACHINE_CDROM ? "Add-VMDvdDrive" : "Add-VMHardDiskDrive",
		 d->medium == MACHINE_CDROM ? "" : ide ? " -ControllerType IDE" : " -ControllerType SCSI", controller, unit);
	if (d->path)
		path_put(s, d);
	else if (d->medium == MACHINE_DISK)
		machine_lost_add(s->lost, NULL, "it is not known; the script fails without", "disk %zu: its file", at + 1);
	text_add(&s->t, "\n");
	if (d->medium == MACHINE_DISK && d->logical_sector && d->logical_sector != 512 && (!d->format || strcmp(d->format, "vhdx")))
		machine_lost_add(s->lost, NULL, FIT_SECTORS "; of a VHDX it can be 4096", "disk %zu: sectors of %u bytes", at + 1,
		                 d->logical_sector);
	if (d->format && strcmp(d->format, "vhd") && strcmp(d->format, "vhdx"))
		machine_lost_add(s->lost, d->format, "Hyper-V reads VHD and VHDX: it must be converted", "disk %zu: its format",
		                 at + 1);
}

/* Generation 1 has one SCSI controller at first only where one is added. */
static void controllers_put(struct script *s)
{
	unsigned n = fit_controllers(&s->f, MACHINE_BUS_SCSI);

	text_add(&s->t, "\twhile (@(Get-VMScsiController -VM $vm).Count -lt %u) { Add-VMScsiController -VM $vm }\n", n);
}

static void nic_put(struct script *s, const struct machine_nic *n, size_t at)
{
	text_add(&s->t, "\t$nic%zu = Add-VMNetworkAdapter -VM $vm -Name 'Network Adapter %zu' -Passthru", at, at + 1);
	if (!s->second)
		text_add(&s->t, " -IsLegacy $%s", n->model == MACHINE_NIC_TULIP ? "true" : "false");
	if (n->mac)
		text_add(&s->t, " -StaticMacAddress '%.2s%.2s%.2s%.2s%.2s%.2s'", n->mac, n->mac + 3, n->mac + 6, n->mac + 9,
		         n->mac + 12, n->mac + 15);
	if (n->network && !n->disconnected && n->net != MACHINE_NET_NONE) {
		text_add(&s->t, " -SwitchName ");
		quote(s, n->network);
	} else if (n->network) {
		machine_lost_add(s->lost, n->network, "it is not connected", "NIC %zu: its network", at + 1);
	}
	text_add(&s->t, "\n");
	if (n->vlan)
		text_add(&s->t, "\tSet-VMNetworkAdapterVlan -VMNetworkAdapter $nic%zu -Access -VlanId %u\n", at, n->vlan);
}

static void serials_put(struct script *s)
{
	for (size_t i = 0; i < s->m->serials_n; i++) {
		const struct machine_serial *p = &s->m->serials[i];

		if (i < 2 && p->kind == MACHINE_SERIAL_PIPE && p->path && !strncmp(p->path, "\\\\", 2)) {
			text_add(&s->t, "\tSet-VMComPort -VM $vm -Number %zu -Path ", i + 1);
			quote(s, p->path);
			text_add(&s->t, "\n");
		} else if (i < 2) {
			text_add(&s->t, "\tSet-VMComPort -VM $vm -Number %zu -Path ('\\\\.\\pipe\\' + $vm.Id + '-com%zu')\n", i + 1,
			         i + 1);
			machine_lost_add(s->lost, p->path, "it becomes a named pipe", "serial port %zu: where it leads", i + 1);
		} else {
			machine_lost_add(s->lost, p->path, "Hyper-V has two", "serial port %zu", i + 1);
		}
	}
}

static void boot_put(struct script *s)
{
	struct fit_boot list[32];
	size_t n = fit_boot_list(&s->f, list, 32), named = 0;
	const char *names[4];

	if (!n)
		return;
	if (s->second) {
		text_add(&s->t, "\tSet-VMFirmware -VM $vm -BootOrder ");
		for (size_t i = 0; i < n; i++)
			text_add(&s->t, "%s$%s%zu", i ? ", " : "", list[i].nic ? "nic" : "disk", list[i].at);
		text_add(&s->t, "\n");
		return;
	}
	for (size_t i = 0; i < n + 4 && named < 4; i++) {
		static const char *const rest[] = { "IDE", "CD", "LegacyNetworkAdapter", "Floppy" };
		enum machine_medium medium = i < n && !list[i].nic ? s->f.disks[list[i].at].medium : MACHINE_DISK;
		const char *name = i >= n                     ? rest[i - n]
		                   : list[i].nic              ? rest[2]
		                   : medium == MACHINE_CDROM  ? rest[1]
		                   : medium == MACHINE_FLOPPY ? rest[3]
		                                              : rest[0];
		bool again = false;

		for (size_t k = 0; k < named; k++)
			again |= !strcmp(names[k], name);
		if (!again)
			names[named++] = name;
	}
	text_add(&s->t, "\tSet-VMBios -VM $vm -StartupOrder @('%s', '%s', '%s', '%s')\n", names[0], names[1], names[2], names[3]);
}

static void script_put(struct script *s)
{
	machine_put(s);
	controllers_put(s);
	for (size_t i = 0; i < s->f.disks_n; i++)
		disk_put(s, &s->f.disks[i], i);
	for (size_t i = 0; i < s->f.nics_n; i++)
		nic_put(s, &s->f.nics[i], i);
	serials_put(s);
	boot_put(s);
	text_add(&s->t, "} catch {\n\tRemove-VM -VM $vm -Force\n\tthrow\n}\n$vm\n");
}

char *hyperv_write(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost,
                   vdisk_error *err)
{
	struct script s = { .m = m, .lost = lost, .second = m->firmware == MACHINE_FIRMWARE_UEFI };
	struct machine_disk *disks = calloc(m->disks_n + 1, sizeof(*disks));
	struct machine moved = *m;
	char *text = NULL;

	if (!disks) {
		fail_nomem(err);
		return NULL;
	}
	boot_disk_move(&s, m, disks);
	moved.disks = disks;
	if (fit(&s.f, &moved, s.second ? &rules_second : &rules_first, how, lost, err))
		goto out;
	if (text_begin(&s.t)) {
		fail_nomem(err);
		goto out;
	}
	script_put(&s);
	fit_lost(m,
	         FIT_NO_UUID | FIT_NO_OS | FIT_NO_ARCH | FIT_NO_TOPOLOGY | FIT_NO_THREADS | FIT_NO_CHIPSET | FIT_NO_DISK_SERIAL |
	                 FIT_NO_NIC_KIND | FIT_NO_MTU | FIT_NO_VIDEO | FIT_NO_VIDEO_MEMORY | FIT_NO_READ_ONLY | FIT_NO_HOST_DEVICE,
	         WHAT, lost);
	text = text_end(&s.t, len);
	if (!text)
		fail_nomem(err);
out:
	fit_free(&s.f);
	free(disks);
	return text;
}

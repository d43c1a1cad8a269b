/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's domain XML, for QEMU.  UEFI is asked for by <os firmware='efi'>, so that the host's own firmware files are taken, and
 * secure boot by its features.  q35 has no IDE: such disks go to SATA there.  PCI addresses are libvirt's to choose.
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "xml.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WHAT "libvirt"

struct domain {
	struct writer w;
	const struct machine *m;
	const struct describe_write *how;
	struct machine_lost_list *lost;
	struct fitted f;
	bool q35, x86;
	unsigned named[3]; /* disks called vd*, sd*, hd* so far */
};

static const struct fit_rules rules_pc = {
	.what = WHAT,
	.bus = {
		[MACHINE_BUS_IDE] = { 1, 4, -1 },
		[MACHINE_BUS_SATA] = { 8, 6, -1 },
		[MACHINE_BUS_SCSI] = { 16, 256, -1 },
		[MACHINE_BUS_VIRTIO] = { 1, MACHINE_LIST_MAX, -1 },
		[MACHINE_BUS_USB] = { 1, MACHINE_LIST_MAX, -1 },
		[MACHINE_BUS_FLOPPY] = { 1, 2, -1 },
	},
	.disk = MACHINE_BUS_VIRTIO,
	.cdrom = MACHINE_BUS_IDE,
	.spill = MACHINE_BUS_VIRTIO,
	.scsi_models = FIT_SCSI(LSI) | FIT_SCSI(LSI_SAS) | FIT_SCSI(PVSCSI) | FIT_SCSI(VIRTIO) | FIT_SCSI(MEGASAS),
	.scsi = MACHINE_SCSI_VIRTIO,
	.nic_models = FIT_NIC(NE2000) | FIT_NIC(PCNET) | FIT_NIC(RTL8139) | FIT_NIC(TULIP) | FIT_NIC(E1000) | FIT_NIC(E1000E) |
		FIT_NIC(VMXNET3) | FIT_NIC(VIRTIO),
	.nic = MACHINE_NIC_VIRTIO,
	.floppy = true,
};

static void rules_choose(struct domain *d, struct fit_rules *r)
{
	const struct machine *m = d->m;
	bool uefi = m->firmware == MACHINE_FIRMWARE_UEFI;

	*r = rules_pc;
	d->x86 = !m->arch || !strcmp(m->arch, "x86_64") || !strcmp(m->arch, "i686");
	d->q35 = d->x86 && (m->chipset == MACHINE_CHIPSET_Q35 || m->secure_boot || (uefi && m->chipset != MACHINE_CHIPSET_PC));
	if (d->q35 && m->chipset == MACHINE_CHIPSET_PC)
		machine_lost_add(d->lost, "pc", "secure boot takes a q35", "chipset");
	if (!d->q35 && d->x86)
		return;
	r->bus[MACHINE_BUS_IDE].controllers = 0;
	r->cdrom = d->x86 ? MACHINE_BUS_SATA : MACHINE_BUS_SCSI;
	if (!d->x86) {
		r->bus[MACHINE_BUS_SATA].controllers = r->bus[MACHINE_BUS_FLOPPY].controllers = 0;
		r->floppy = false;
	}
}

/* ---------------------------------------------------------------- the machine itself */

static void os_write(struct domain *d)
{
	const struct machine *m = d->m;
	bool uefi = m->firmware == MACHINE_FIRMWARE_UEFI;

	writer_open(&d->w, "os");
	if (uefi)
		writer_attr(&d->w, "firmware", "efi");
	writer_open(&d->w, "type");
	writer_attr(&d->w, "arch", m->arch ? m->arch : "x86_64");
	writer_attr(&d->w, "machine", d->q35 ? "q35" : d->x86 ? "pc" : m->arch && !strcmp(m->arch, "aarch64") ? "virt" : NULL);
	d->w.failed |= xmlTextWriterWriteString(d->w.w, (const xmlChar *)"hvm") < 0;
	writer_close(&d->w);
	if (uefi) {
		const char *secure = m->secure_boot ? "yes" : "no";

		writer_open(&d->w, "firmware");
		writer_empty(&d->w, "feature", "enabled", secure, "name", "enrolled-keys", NULL);
		writer_empty(&d->w, "feature", "enabled", secure, "name", "secure-boot", NULL);
		writer_close(&d->w);
	}
	writer_close(&d->w);
}

static void cpu_write(struct domain *d)
{
	const struct machine *m = d->m;
	unsigned threads = m->threads ? m->threads : 1;
	bool fits = m->sockets && m->cores && (uint64_t)m->sockets * m->cores * threads == m->cpus;

	if (m->cores && !fits)
		machine_lost_add(d->lost, NULL, "sockets, cores and threads do not make up the CPUs", "CPU topology");
	if (!fits && d->how->domain && !strcmp(d->how->domain, "qemu"))
		return;
	writer_open(&d->w, "cpu");
	if (!d->how->domain || strcmp(d->how->domain, "qemu"))
		writer_attr(&d->w, "mode", d->x86 ? "host-model" : "host-passthrough");
	if (fits) {
		writer_open(&d->w, "topology");
		writer_attrf(&d->w, "sockets", "%u", m->sockets);
		writer_attrf(&d->w, "cores", "%u", m->cores);
		writer_attrf(&d->w, "threads", "%u", threads);
		writer_close(&d->w);
	}
	writer_close(&d->w);
}

/* The guest keeps its clock in local time if it is a Windows. */
static const char *clock_offset(const struct machine *m)
{
	return m->os && strcasestr(m->os, "win") && !strcasestr(m->os, "darwin") ? "localtime" : "utc";
}

static void machine_write(struct domain *d)
{
	const struct machine *m = d->m;

	writer_text(&d->w, "name", m->name);
	writer_text(&d->w, "uuid", m->uuid);
	writer_text(&d->w, "description", m->description);
	writer_open(&d->w, "memory");
	writer_attr(&d->w, "unit", "KiB");
	d->w.failed |= xmlTextWriterWriteFormatString(d->w.w, "%llu", (unsigned long long)((m->memory + 1023) / 1024)) < 0;
	writer_close(&d->w);
	writer_textf(&d->w, "vcpu", "%u", m->cpus ? m->cpus : 1);
	os_write(d);
	writer_open(&d->w, "features");
	writer_empty(&d->w, "acpi", NULL);
	if (d->x86)
		writer_empty(&d->w, "apic", NULL);
	if (m->secure_boot)
		writer_empty(&d->w, "smm", "state", "on", NULL);
	writer_close(&d->w);
	cpu_write(d);
	writer_empty(&d->w, "clock", "offset", clock_offset(m), NULL);
}

/* ---------------------------------------------------------------- disks */

/* vda … vdz, vdaa …: bijective base 26. */
static void disk_name(struct domain *d, const struct machine_disk *disk, char out[16])
{
	static const char *const prefix[] = { "vd", "sd", "hd" };
	unsigned kind = disk->bus == MACHINE_BUS_VIRTIO ? 0 : disk->bus == MACHINE_BUS_IDE ? 2 : 1, n;
	char letters[8];
	size_t at = sizeof(letters) - 1;

	if (disk->bus == MACHINE_BUS_FLOPPY) {
		snprintf(out, 16, "fd%c", disk->unit ? 'b' : 'a');
		return;
	}
	n = disk->bus == MACHINE_BUS_IDE ? (unsigned)disk->unit : d->named[kind]++;
	letters[at] = '\0';
	for (n++; n; n = (n - 1) / 26)
		letters[--at] = (char)('a' + (n - 1) % 26);
	snprintf(out, 16, "%s%s", prefix[kind], letters + at);
}

/* What the schema takes as a serial number. */
static bool serial_fits(const char *text)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("_.+- ", *text))
			return false;
	return true;
}

static bool wwn_fits(const char *text) { return strlen(text) == 16 && strspn(text, "0123456789abcdefABCDEF") == 16; }

static void disk_identity(struct domain *d, const struct machine_disk *disk, const char *name)
{
	const char *wwn = disk->wwn && !strncasecmp(disk->wwn, "0x", 2) ? disk->wwn + 2 : disk->wwn;

	if (disk->serial && serial_fits(disk->serial))
		writer_text(&d->w, "serial", disk->serial);
	else if (disk->serial)
		machine_lost_add(d->lost, disk->serial, "libvirt takes letters, digits and _.+- only", "disk %s: serial number",
		                 name);
	if (wwn && wwn_fits(wwn) &&
	    (disk->bus == MACHINE_BUS_SCSI || disk->bus == MACHINE_BUS_IDE || disk->bus == MACHINE_BUS_SATA))
		writer_text(&d->w, "wwn", wwn);
}

static void disk_address(struct domain *d, const struct machine_disk *disk)
{
	unsigned unit = (unsigned)disk->unit, bus = 0;

	if (disk->bus == MACHINE_BUS_VIRTIO || disk->bus == MACHINE_BUS_USB)
		return;
	if (disk->bus == MACHINE_BUS_IDE) {
		bus = unit / 2;
		unit %= 2;
	}
	writer_open(&d->w, "address");
	writer_attr(&d->w, "type", "drive");
	writer_attrf(&d->w, "controller", "%u", disk->controller);
	writer_attrf(&d->w, "bus", "%u", bus);
	writer_attr(&d->w, "target", "0");
	writer_attrf(&d->w, "unit", "%u", unit);
	writer_close(&d->w);
}

static const char *driver_type(const char *format)
{
	return !format || !*format ? "raw" : !strcmp(format, "vhd") ? "vpc" : format;
}

static int disk_write(struct domain *d, const struct machine_disk *disk, vdisk_error *err)
{
	static const char *const device[] = { "disk", "cdrom", "floppy" };
	static const char *const bus[] = { [MACHINE_BUS_IDE] = "ide", [MACHINE_BUS_SATA] = "sata", [MACHINE_BUS_SCSI] = "scsi",
		[MACHINE_BUS_VIRTIO] = "virtio", [MACHINE_BUS_USB] = "usb", [MACHINE_BUS_FLOPPY] = "fdc" };
	char name[16], *path = fit_path(disk, d->how);

	if (disk->path && !path)
		return fail_nomem(err);
	disk_name(d, disk, name);
	if (path && *path != '/' && disk->path_flags & (MACHINE_PATH_REMOTE | MACHINE_PATH_ABSOLUTE)) { /* a server's, or Windows' */
		machine_lost_add(d->lost, disk->path, "it is no file here", "disk %s: its image", name);
		free(path);
		path = NULL;
	}
	writer_open(&d->w, "disk");
	writer_attr(&d->w, "type", disk->host ? "block" : "file");
	writer_attr(&d->w, "device", device[disk->medium]);
	writer_empty(&d->w, "driver", "name", "qemu", "type", disk->medium == MACHINE_DISK ? driver_type(disk->format) : "raw",
	             NULL);
	if (path)
		writer_empty(&d->w, "source", disk->host ? "dev" : "file", path, NULL);
	free(path);
	writer_empty(&d->w, "target", "dev", name, "bus", bus[disk->bus], NULL);
	if (disk->logical_sector && disk->logical_sector != 512 && disk->medium == MACHINE_DISK) {
		writer_open(&d->w, "blockio");
		writer_attrf(&d->w, "logical_block_size", "%u", disk->logical_sector);
		writer_attrf(&d->w, "physical_block_size", "%u",
			     disk->physical_sector > disk->logical_sector ? disk->physical_sector : disk->logical_sector);
		writer_close(&d->w);
	}
	if (disk->read_only || disk->medium == MACHINE_CDROM)
		writer_empty(&d->w, "readonly", NULL);
	if (disk->boot) {
		writer_open(&d->w, "boot");
		writer_attrf(&d->w, "order", "%u", disk->boot);
		writer_close(&d->w);
	}
	disk_identity(d, disk, name);
	disk_address(d, disk);
	writer_close(&d->w);
	return 0;
}

static void controllers_write(struct domain *d)
{
	static const char *const models[] = { [MACHINE_SCSI_LSI] = "lsilogic", [MACHINE_SCSI_LSI_SAS] = "lsisas1068",
		[MACHINE_SCSI_PVSCSI] = "vmpvscsi", [MACHINE_SCSI_VIRTIO] = "virtio-scsi", [MACHINE_SCSI_MEGASAS] = "lsisas1078" };
	unsigned n = fit_controllers(&d->f, MACHINE_BUS_SCSI);

	for (unsigned i = 0; i < n; i++) {
		enum machine_scsi model = fit_adapter(&d->f, i);

		writer_open(&d->w, "controller");
		writer_attr(&d->w, "type", "scsi");
		writer_attrf(&d->w, "index", "%u", i);
		writer_attr(&d->w, "model", models[model ? model : MACHINE_SCSI_VIRTIO]);
		writer_close(&d->w);
	}
}

/* ---------------------------------------------------------------- NICs and the rest */

static void nic_source(struct domain *d, const struct machine_nic *n, size_t at)
{
	bool bridge = n->net == MACHINE_NET_BRIDGE && n->network;
	const char *network = n->net == MACHINE_NET_NETWORK && n->network ? n->network : "default";

	writer_attr(&d->w, "type", bridge ? "bridge" : "network");
	if (n->mac)
		writer_empty(&d->w, "mac", "address", n->mac, NULL);
	writer_empty(&d->w, "source", bridge ? "bridge" : "network", bridge ? n->network : network, NULL);
	if (!bridge && n->net != MACHINE_NET_NETWORK && n->net != MACHINE_NET_NAT && (n->net || n->network))
		machine_lost_add(d->lost, n->network ? n->network : machine_net_name(n->net),
		                 "libvirt's own network \"default\" is taken", "NIC %zu: its network", at + 1);
}

static void nic_write(struct domain *d, const struct machine_nic *n, size_t at)
{
	static const char *const models[] = { [MACHINE_NIC_NE2000] = "ne2k_pci", [MACHINE_NIC_PCNET] = "pcnet",
		[MACHINE_NIC_RTL8139] = "rtl8139", [MACHINE_NIC_TULIP] = "tulip", [MACHINE_NIC_E1000] = "e1000",
		[MACHINE_NIC_E1000E] = "e1000e", [MACHINE_NIC_VMXNET3] = "vmxnet3", [MACHINE_NIC_VIRTIO] = "virtio" };

	writer_open(&d->w, "interface");
	nic_source(d, n, at);
	writer_empty(&d->w, "model", "type", models[n->model], NULL);
	if (n->disconnected || n->net == MACHINE_NET_NONE)
		writer_empty(&d->w, "link", "state", "down", NULL);
	if (n->mtu) {
		writer_open(&d->w, "mtu");
		writer_attrf(&d->w, "size", "%u", n->mtu);
		writer_close(&d->w);
	}
	if (n->vlan) {
		writer_open(&d->w, "vlan");
		writer_open(&d->w, "tag");
		writer_attrf(&d->w, "id", "%u", n->vlan);
		writer_close(&d->w);
		writer_close(&d->w);
	}
	if (n->boot) {
		writer_open(&d->w, "boot");
		writer_attrf(&d->w, "order", "%u", n->boot);
		writer_close(&d->w);
	}
	writer_close(&d->w);
}

static void serial_write(struct domain *d, const struct machine_serial *s, size_t at)
{
	static const char *const types[] = { "pty", "file", "pipe", "tcp", "dev", "null" };
	const char *colon = s->kind == MACHINE_SERIAL_TCP && s->path ? strrchr(s->path, ':') : NULL;
	bool named = s->kind == MACHINE_SERIAL_FILE || s->kind == MACHINE_SERIAL_PIPE || s->kind == MACHINE_SERIAL_DEVICE;
	enum machine_serial_kind kind = (named && (!s->path || *s->path != '/')) || (s->kind == MACHINE_SERIAL_TCP && !colon) ?
		MACHINE_SERIAL_PTY : s->kind; /* a Windows pipe or a relative name means nothing here */

	if (kind != s->kind)
		machine_lost_add(d->lost, s->path, "it becomes a pseudo-terminal", "serial port %zu: where it leads", at + 1);
	writer_open(&d->w, "serial");
	writer_attr(&d->w, "type", types[kind]);
	if (kind == MACHINE_SERIAL_TCP) {
		writer_open(&d->w, "source");
		writer_attr(&d->w, "mode", "bind");
		writer_attrf(&d->w, "host", "%.*s", (int)(colon - s->path), s->path);
		writer_attr(&d->w, "service", colon + 1);
		writer_close(&d->w);
		writer_empty(&d->w, "protocol", "type", "raw", NULL);
	} else if (kind != MACHINE_SERIAL_PTY && kind != MACHINE_SERIAL_NONE) {
		writer_empty(&d->w, "source", "path", s->path, NULL);
	}
	writer_open(&d->w, "target");
	writer_attrf(&d->w, "port", "%zu", at);
	writer_close(&d->w);
	writer_close(&d->w);
}

static void video_write(struct domain *d)
{
	static const char *const models[] = { "vga", NULL, "vga", "cirrus", "vmvga", "qxl", "virtio" };
	const struct machine *m = d->m;
	bool own = m->video != MACHINE_VIDEO_VIRTIO && m->video_memory;

	if (m->video == MACHINE_VIDEO_NONE) {
		writer_open(&d->w, "video");
		writer_empty(&d->w, "model", "type", "none", NULL);
		writer_close(&d->w);
		return;
	}
	writer_empty(&d->w, "input", "type", "tablet", "bus", "usb", NULL);
	writer_empty(&d->w, "graphics", "type", "vnc", "port", "-1", "autoport", "yes", NULL);
	writer_open(&d->w, "video");
	writer_open(&d->w, "model");
	writer_attr(&d->w, "type", d->x86 ? models[m->video] : "virtio");
	if (own)
		writer_attrf(&d->w, "vram", "%llu", (unsigned long long)(m->video_memory / 1024));
	writer_close(&d->w);
	writer_close(&d->w);
	if (m->video_memory && !own)
		machine_lost_add(d->lost, NULL, "virtio's has no such setting", "graphics memory");
}

static void tpm_write(struct domain *d)
{
	if (!d->m->tpm)
		return;
	writer_open(&d->w, "tpm");
	writer_attr(&d->w, "model", d->m->tpm == MACHINE_TPM_2_0 ? "tpm-crb" : "tpm-tis");
	writer_empty(&d->w, "backend", "type", "emulator", "version", machine_tpm_name(d->m->tpm), NULL);
	writer_close(&d->w);
}

static int devices_write(struct domain *d, vdisk_error *err)
{
	size_t serials = d->m->serials_n < 4 ? d->m->serials_n : 4;

	writer_open(&d->w, "devices");
	for (size_t i = 0; i < d->f.disks_n; i++)
		if (disk_write(d, &d->f.disks[i], err))
			return -1;
	controllers_write(d);
	for (size_t i = 0; i < d->f.nics_n; i++)
		nic_write(d, &d->f.nics[i], i);
	for (size_t i = 0; i < serials; i++)
		serial_write(d, &d->m->serials[i], i);
	for (size_t i = serials; i < d->m->serials_n; i++)
		machine_lost_add(d->lost, d->m->serials[i].path, "four are the most", "serial port %zu", i + 1);
	video_write(d);
	tpm_write(d);
	writer_close(&d->w);
	return 0;
}

char *libvirt_write(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost,
                    vdisk_error *err)
{
	struct domain d = { .m = m, .how = how, .lost = lost };
	struct fit_rules rules;
	char *text;
	int rc;

	if (strchr(m->name, '/')) {
		fail(err, VDISK_INVALID, "libvirt takes no '/' in a name: \"%.128s\"; --name gives another", m->name);
		return NULL;
	}
	rules_choose(&d, &rules);
	if (fit(&d.f, m, &rules, how, lost, err))
		return NULL;
	if (writer_begin(&d.w)) {
		fit_free(&d.f);
		fail_nomem(err);
		return NULL;
	}
	writer_open(&d.w, "domain");
	writer_attr(&d.w, "type", how->domain ? how->domain : "kvm");
	machine_write(&d);
	rc = devices_write(&d, err);
	writer_close(&d.w);
	fit_lost(m, FIT_NO_OS, WHAT, lost);
	fit_free(&d.f);
	text = writer_end(&d.w, len);
	if (rc) {
		free(text);
		return NULL;
	}
	if (!text)
		fail_nomem(err);
	return text;
}

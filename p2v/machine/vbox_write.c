/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A .vbox of version 1.16, which VirtualBox 5.1 and all later ones read; 1.19 (VirtualBox 7) where there is a TPM.  VirtualBox
 * knows images by UUIDs that stand in them: where an image's is not known, one is made up from the name and the machine's, and must
 * be written into the image.
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "os.h"
#include "xml.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHAT "VirtualBox"

struct vbox {
	struct writer w;
	const struct machine *m;
	struct machine_lost_list *lost;
	struct fitted f;
	char (*uuids)[40]; /* of each disk's image, in braces; "": it has none */
};

static const struct fit_rules rules = {
	.what = WHAT,
	.bus = {
		[MACHINE_BUS_IDE] = { 1, 4, -1 },
		[MACHINE_BUS_SATA] = { 1, 30, -1 },
		[MACHINE_BUS_SCSI] = { 4, 16, -1 },
		[MACHINE_BUS_NVME] = { 1, 255, -1 },
		[MACHINE_BUS_USB] = { 1, 8, -1 },
		[MACHINE_BUS_FLOPPY] = { 1, 2, -1 },
	},
	.disk = MACHINE_BUS_SATA,
	.cdrom = MACHINE_BUS_SATA,
	.spill = MACHINE_BUS_SATA,
	.scsi_models = FIT_SCSI(BUSLOGIC) | FIT_SCSI(LSI) | FIT_SCSI(LSI_SAS) | FIT_SCSI(VIRTIO),
	.scsi = MACHINE_SCSI_LSI,
	.nic_models = FIT_NIC(PCNET) | FIT_NIC(E1000) | FIT_NIC(VIRTIO),
	.nic = MACHINE_NIC_E1000,
	.floppy = true,
};

/* Made up, but the same for the same name: 128 bits of FNV-1a with two beginnings, as a UUID of version 8. */
static void uuid_make(const char *a, const char *b, char out[37])
{
	uint64_t h[2] = { 0xcbf29ce484222325, 0x84222325cbf29ce4 };

	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 0; k < 2; k++)
			for (const char *c = k ? b : a; c && *c; c++)
				h[i] = (h[i] ^ (unsigned char)*c) * 0x100000001b3;
	h[0] = (h[0] & ~(uint64_t)0xf000) | 0x8000;
	h[1] = (h[1] & ~((uint64_t)3 << 62)) | (uint64_t)1 << 63;
	snprintf(out, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(h[0] >> 32), (unsigned)(h[0] >> 16) & 0xffff,
	         (unsigned)h[0] & 0xffff, (unsigned)(h[1] >> 48), (unsigned long long)(h[1] & 0xffffffffffff));
}

void describe_image_uuid(const struct machine *m, const char *path, char out[37])
{
	uuid_make(path, m->uuid ? m->uuid : m->name, out);
}

/* VirtualBox compares where the format has a place for it. */
static bool has_uuid(const struct machine_disk *d)
{
	return d->medium == MACHINE_DISK && d->format && strcmp(d->format, "raw") && strcmp(d->format, "qcow2");
}

static void uuids_choose(struct vbox *v)
{
	for (size_t i = 0; i < v->f.disks_n; i++) {
		const struct machine_disk *d = &v->f.disks[i];
		char made[37];

		if (!d->path)
			continue;
		describe_image_uuid(v->m, d->path, made);
		snprintf(v->uuids[i], sizeof(*v->uuids), "{%.36s}", d->image_uuid ? d->image_uuid : made);
		if (!d->image_uuid && has_uuid(d))
			machine_lost_add(v->lost, made,
			                 "VirtualBox wants it in the image: VBoxManage internalcommands sethduuid FILE UUID",
			                 "disk %zu: UUID of its image", i + 1);
	}
}

/* ---------------------------------------------------------------- media */

static const char *format_of(const char *format)
{
	static const char *const names[][2] = {
		{ "vdi", "VDI" }, { "vmdk", "VMDK" }, { "vhd", "VHD" }, { "vhdx", "VHDX" }, { "qcow2", "QCOW" }
	};

	for (size_t i = 0; format && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(names[i][0], format))
			return names[i][1];
	return "RAW";
}

static void hard_disk_open(struct vbox *v, const char *uuid, const char *path, const char *format, bool root)
{
	writer_open(&v->w, "HardDisk");
	writer_attr(&v->w, "uuid", uuid);
	writer_attr(&v->w, "location", path);
	writer_attr(&v->w, "format", format_of(format));
	if (root)
		writer_attr(&v->w, "type", "Normal");
}

/* VirtualBox opens an image over another one only where the registry says so; they are trees, as machine_judge() has seen. */
static void images_write(struct vbox *v, size_t at)
{
	const struct machine_image *x = &v->m->images[at];
	char uuid[40];

	snprintf(uuid, sizeof(uuid), "{%.36s}", x->uuid);
	hard_disk_open(v, uuid, x->path, x->format, x->parent < 0);
	for (size_t i = 0; i < v->m->images_n; i++)
		if (v->m->images[i].parent == (int)at && v->m->images[i].uuid && v->m->images[i].path)
			images_write(v, i);
	writer_close(&v->w);
}

/* The image below all others of the disk's chain, which its registry begins with; -1: the description keeps no account of it. */
static int root_of(const struct vbox *v, const struct machine_disk *d)
{
	int at = d->image_uuid ? machine_image_find(v->m, d->image_uuid, NULL) : -1;

	for (; at >= 0 && v->m->images[at].parent >= 0; at = v->m->images[at].parent)
		;
	return at >= 0 && v->m->images[at].uuid && v->m->images[at].path ? at : -1;
}

static void hard_disks_write(struct vbox *v)
{
	writer_open(&v->w, "HardDisks");
	for (size_t i = 0; i < v->f.disks_n; i++) {
		const struct machine_disk *d = &v->f.disks[i];
		int root = root_of(v, d);
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= !strcmp(v->uuids[k], v->uuids[i]) || (root >= 0 && root_of(v, &v->f.disks[k]) == root);
		if (d->medium != MACHINE_DISK || !d->path || again)
			continue;
		if (root >= 0) {
			images_write(v, (size_t)root);
		} else {
			hard_disk_open(v, v->uuids[i], d->path, d->format, true);
			writer_close(&v->w);
		}
		if (d->format && (!strcmp(d->format, "raw") || !strcmp(d->format, "qcow2")))
			machine_lost_add(v->lost, d->format, "VirtualBox writes VDI, VMDK and VHD: it must be converted",
			                 "disk %zu: its format", i + 1);
	}
	writer_close(&v->w);
}

static void media_write(struct vbox *v, const char *list, enum machine_medium medium)
{
	writer_open(&v->w, list);
	for (size_t i = 0; i < v->f.disks_n; i++) {
		const struct machine_disk *d = &v->f.disks[i];
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= !strcmp(v->uuids[k], v->uuids[i]);
		if (d->medium != medium || !d->path || again)
			continue;
		writer_open(&v->w, "Image");
		writer_attr(&v->w, "uuid", v->uuids[i]);
		writer_attr(&v->w, "location", d->path);
		writer_close(&v->w);
	}
	writer_close(&v->w);
}

/* ---------------------------------------------------------------- hardware */

static void boot_write(struct vbox *v)
{
	struct fit_boot list[32];
	size_t n = fit_boot_list(&v->f, list, 32), named = 0;
	const char *names[4];

	writer_open(&v->w, "Boot");
	for (size_t i = 0; i < n; i++) {
		enum machine_medium medium = list[i].nic ? MACHINE_DISK : v->f.disks[list[i].at].medium;
		const char *name = list[i].nic                ? "Network"
		                   : medium == MACHINE_CDROM  ? "DVD"
		                   : medium == MACHINE_FLOPPY ? "Floppy"
		                                              : "HardDisk";
		bool again = false;

		for (size_t k = 0; k < named; k++)
			again |= !strcmp(names[k], name);
		if (again)
			machine_lost_add(v->lost, NULL, "VirtualBox orders kinds of devices", "boot order: number %u",
			                 list[i].order);
		else
			names[named++] = name;
	}
	if (!n)
		names[named++] = "HardDisk";
	for (size_t i = 0; i < 4; i++) {
		writer_open(&v->w, "Order");
		writer_attrf(&v->w, "position", "%zu", i + 1);
		writer_attr(&v->w, "device", i < named ? names[i] : "None");
		writer_close(&v->w);
	}
	writer_close(&v->w);
}

static void network_write(struct vbox *v, const struct machine_nic *n, size_t at)
{
	static const char *const elements[] = { [MACHINE_NET_UNKNOWN] = "NAT", [MACHINE_NET_BRIDGE] = "BridgedInterface",
		[MACHINE_NET_NETWORK] = "NATNetwork", [MACHINE_NET_NAT] = "NAT", [MACHINE_NET_HOST_ONLY] = "HostOnlyInterface",
		[MACHINE_NET_INTERNAL] = "InternalNetwork", [MACHINE_NET_NONE] = NULL };
	bool named = n->net != MACHINE_NET_UNKNOWN && n->net != MACHINE_NET_NAT;

	if (elements[n->net])
		writer_empty(&v->w, elements[n->net], "name", named ? n->network : NULL, NULL);
	if (n->network && (!named || !elements[n->net]))
		machine_lost_add(v->lost, n->network, WHAT " has no place for it", "NIC %zu: name of its network", at + 1);
}

static void nic_write(struct vbox *v, const struct machine_nic *n, size_t at)
{
	char mac[16] = "";
	size_t len = 0;

	for (const char *c = n->mac; c && *c && len < 12; c++)
		if (*c != ':')
			mac[len++] = (char)toupper((unsigned char)*c);
	mac[len] = '\0';
	writer_open(&v->w, "Adapter");
	writer_attrf(&v->w, "slot", "%zu", at);
	writer_attr(&v->w, "enabled", "true");
	writer_attr(&v->w, "MACAddress", *mac ? mac : NULL);
	writer_attr(&v->w, "cable", n->disconnected ? "false" : "true");
	writer_attr(&v->w, "type",
	            n->model == MACHINE_NIC_PCNET    ? "Am79C973"
	            : n->model == MACHINE_NIC_VIRTIO ? "virtio"
	                                             : "82540EM");
	network_write(v, n, at);
	writer_close(&v->w);
}

static void serials_write(struct vbox *v)
{
	static const char *const modes[] = { "Disconnected", "RawFile", "HostPipe", "TCP", "HostDevice", "Disconnected" };
	static const char *const places[][2] = { { "0x3f8", "4" }, { "0x2f8", "3" }, { "0x3e8", "4" }, { "0x2e8", "3" } };
	const struct machine *m = v->m;

	writer_open(&v->w, "UART");
	for (size_t i = 0; i < m->serials_n && i < 4; i++) {
		const struct machine_serial *s = &m->serials[i];

		if (s->kind == MACHINE_SERIAL_PTY)
			machine_lost_add(v->lost, NULL, "it becomes one that is not connected",
			                 "serial port %zu: a pseudo-terminal", i + 1);
		writer_open(&v->w, "Port");
		writer_attrf(&v->w, "slot", "%zu", i);
		writer_attr(&v->w, "enabled", "true");
		writer_attr(&v->w, "IOBase", places[i][0]);
		writer_attr(&v->w, "IRQ", places[i][1]);
		writer_attr(&v->w, "hostMode", modes[s->kind]);
		if (s->kind != MACHINE_SERIAL_PTY && s->kind != MACHINE_SERIAL_NONE)
			writer_attr(&v->w, "path", s->path);
		if (s->kind == MACHINE_SERIAL_PIPE || s->kind == MACHINE_SERIAL_TCP)
			writer_attr(&v->w, "server", "true");
		writer_close(&v->w);
	}
	writer_close(&v->w);
	for (size_t i = 4; i < m->serials_n; i++)
		machine_lost_add(v->lost, m->serials[i].path, "four are the most", "serial port %zu", i + 1);
}

static void controller_write(struct vbox *v, enum machine_bus bus, unsigned index, const char *name, const char *type,
                             unsigned ports)
{
	static const char *const types[] = { "HardDisk", "DVD", "Floppy" };

	writer_open(&v->w, "StorageController");
	if (index)
		writer_attrf(&v->w, "name", "%s %u", name, index + 1);
	else
		writer_attr(&v->w, "name", name);
	writer_attr(&v->w, "type", type);
	writer_attrf(&v->w, "PortCount", "%u", ports);
	writer_attr(&v->w, "useHostIOCache", bus == MACHINE_BUS_IDE || bus == MACHINE_BUS_FLOPPY ? "true" : "false");
	writer_attr(&v->w, "Bootable", "true");
	for (size_t i = 0; i < v->f.disks_n; i++) {
		const struct machine_disk *d = &v->f.disks[i];
		bool pairs = bus == MACHINE_BUS_IDE;

		if (d->bus != bus || d->controller != index)
			continue;
		writer_open(&v->w, "AttachedDevice");
		writer_attr(&v->w, "type", types[d->medium]);
		writer_attr(&v->w, "hotpluggable", "false");
		writer_attrf(&v->w, "port", "%d", pairs ? d->unit / 2 : bus == MACHINE_BUS_FLOPPY ? 0 : d->unit);
		writer_attrf(&v->w, "device", "%d", pairs ? d->unit % 2 : bus == MACHINE_BUS_FLOPPY ? d->unit : 0);
		if (*v->uuids[i])
			writer_empty(&v->w, "Image", "uuid", v->uuids[i], NULL);
		writer_close(&v->w);
	}
	writer_close(&v->w);
}

static unsigned ports_of(const struct vbox *v, enum machine_bus bus)
{
	unsigned n = 1;

	for (size_t i = 0; i < v->f.disks_n; i++)
		if (v->f.disks[i].bus == bus && (unsigned)v->f.disks[i].unit >= n)
			n = (unsigned)v->f.disks[i].unit + 1;
	return n;
}

static void controllers_write(struct vbox *v)
{
	static const char *const models[] = { [MACHINE_SCSI_BUSLOGIC] = "BusLogic", [MACHINE_SCSI_LSI] = "LsiLogic",
		[MACHINE_SCSI_LSI_SAS] = "LsiLogicSas", [MACHINE_SCSI_VIRTIO] = "VirtioSCSI" };
	unsigned n = fit_controllers(&v->f, MACHINE_BUS_SCSI);

	writer_open(&v->w, "StorageControllers");
	if (fit_controllers(&v->f, MACHINE_BUS_IDE))
		controller_write(v, MACHINE_BUS_IDE, 0, "IDE", "PIIX4", 2);
	if (fit_controllers(&v->f, MACHINE_BUS_SATA))
		controller_write(v, MACHINE_BUS_SATA, 0, "SATA", "AHCI", ports_of(v, MACHINE_BUS_SATA));
	for (unsigned i = 0; i < n; i++) {
		enum machine_scsi model = fit_adapter(&v->f, i);

		controller_write(v, MACHINE_BUS_SCSI, i, "SCSI", models[model ? model : MACHINE_SCSI_LSI],
		                 model == MACHINE_SCSI_LSI_SAS ? 8 : 16);
	}
	if (fit_controllers(&v->f, MACHINE_BUS_NVME))
		controller_write(v, MACHINE_BUS_NVME, 0, "NVMe", "NVMe", ports_of(v, MACHINE_BUS_NVME));
	if (fit_controllers(&v->f, MACHINE_BUS_USB))
		controller_write(v, MACHINE_BUS_USB, 0, "USB", "USB", 8);
	if (fit_controllers(&v->f, MACHINE_BUS_FLOPPY))
		controller_write(v, MACHINE_BUS_FLOPPY, 0, "Floppy", "I82078", 1);
	writer_close(&v->w);
}

static void display_write(struct vbox *v)
{
	static const char *const names[] = { "VMSVGA", "None", "VBoxVGA", "VBoxVGA", "VMSVGA", "VMSVGA", "VMSVGA" };
	const struct machine *m = v->m;
	uint64_t megabytes = m->video_memory >> 20;

	writer_open(&v->w, "Display");
	writer_attr(&v->w, "controller", names[m->video]);
	writer_attrf(&v->w, "VRAMSize", "%llu", (unsigned long long)(megabytes ? megabytes < 256 ? megabytes : 256 : 16));
	writer_close(&v->w);
	if (m->video == MACHINE_VIDEO_CIRRUS || m->video >= MACHINE_VIDEO_QXL)
		machine_lost_add(v->lost, machine_video_name(m->video), "it becomes VirtualBox's own", "graphics");
}

static void firmware_write(struct vbox *v, bool modern)
{
	const struct machine *m = v->m;

	writer_empty(&v->w, "Firmware", "type", m->firmware == MACHINE_FIRMWARE_UEFI ? "EFI" : "BIOS", NULL);
	writer_open(&v->w, "BIOS");
	writer_empty(&v->w, "IOAPIC", "enabled", "true", NULL);
	writer_close(&v->w);
	if (m->secure_boot)
		machine_lost_add(
			v->lost, NULL,
			"it stands in the firmware's variables: VBoxManage modifynvram NAME inituefivarstore, enrollmssignatures, "
			"secureboot --enable",
			"secure boot");
	if (modern && m->tpm)
		writer_empty(&v->w, "TrustedPlatformModule", "type", m->tpm == MACHINE_TPM_2_0 ? "v2_0" : "v1_2", "location", "",
		             NULL);
}

static void hardware_write(struct vbox *v, bool modern)
{
	const struct machine *m = v->m;
	size_t nics = v->f.nics_n < 8 ? v->f.nics_n : 8;
	uint64_t megabytes = (m->memory + (1 << 20) - 1) >> 20;

	writer_open(&v->w, "Hardware");
	writer_open(&v->w, "CPU");
	writer_attrf(&v->w, "count", "%u", m->cpus);
	writer_empty(&v->w, "PAE", "enabled", "true", NULL);
	writer_empty(&v->w, "LongMode", "enabled", m->arch && !strcmp(m->arch, "i686") ? "false" : "true", NULL);
	writer_close(&v->w);
	if (megabytes << 20 != m->memory)
		machine_lost_add(v->lost, NULL, "VirtualBox has whole MiB", "memory: %llu bytes become %llu MiB",
		                 (unsigned long long)m->memory, (unsigned long long)megabytes);
	writer_open(&v->w, "Memory");
	writer_attrf(&v->w, "RAMSize", "%llu", (unsigned long long)megabytes);
	writer_close(&v->w);
	writer_empty(&v->w, "HID", "Pointing", "USBTablet", NULL);
	writer_empty(&v->w, "Chipset", "type", m->chipset == MACHINE_CHIPSET_Q35 ? "ICH9" : "PIIX3", NULL);
	boot_write(v);
	display_write(v);
	firmware_write(v, modern);
	writer_open(&v->w, "USB");
	writer_open(&v->w, "Controllers");
	writer_empty(&v->w, "Controller", "name", "OHCI", "type", "OHCI", NULL);
	writer_close(&v->w);
	writer_close(&v->w);
	writer_open(&v->w, "Network");
	for (size_t i = 0; i < nics; i++)
		nic_write(v, &v->f.nics[i], i);
	for (size_t i = nics; i < v->f.nics_n; i++)
		machine_lost_add(v->lost, v->f.nics[i].mac, "eight are the most", "NIC %zu", i + 1);
	writer_close(&v->w);
	serials_write(v);
	if (modern)
		controllers_write(v);
	writer_close(&v->w);
	if (!modern)
		controllers_write(v);
}

static void vbox_fill(struct vbox *v)
{
	const struct machine *m = v->m;
	bool modern = m->tpm;
	char made[37];

	if (!m->uuid)
		uuid_make(m->name, "machine", made);
	v->w.failed |= xmlTextWriterStartDocument(v->w.w, NULL, NULL, NULL) < 0;
	writer_open(&v->w, "VirtualBox");
	writer_attr(&v->w, "xmlns", "http://www.virtualbox.org/");
	writer_attr(&v->w, "version", modern ? "1.19-linux" : "1.16-linux");
	writer_open(&v->w, "Machine");
	writer_attrf(&v->w, "uuid", "{%s}", m->uuid ? m->uuid : made);
	writer_attr(&v->w, "name", m->name);
	writer_attr(&v->w, "OSType", os_name(m->os, m->arch, DESCRIBE_VBOX, v->lost));
	writer_attr(&v->w, "snapshotFolder", "Snapshots");
	writer_text(&v->w, "Description", m->description);
	writer_open(&v->w, "MediaRegistry");
	hard_disks_write(v);
	media_write(v, "DVDImages", MACHINE_CDROM);
	media_write(v, "FloppyImages", MACHINE_FLOPPY);
	writer_close(&v->w);
	hardware_write(v, modern);
	writer_close(&v->w);
	writer_close(&v->w);
}

char *vbox_write(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost,
                 vdisk_error *err)
{
	struct vbox v = { .m = m, .lost = lost };
	char *text = NULL;

	if (fit(&v.f, m, &rules, how, lost, err))
		return NULL;
	v.uuids = calloc(v.f.disks_n + 1, sizeof(*v.uuids));
	if (!v.uuids || writer_begin(&v.w)) {
		fail_nomem(err);
		goto out;
	}
	uuids_choose(&v);
	vbox_fill(&v);
	fit_lost(m,
	         FIT_NO_TOPOLOGY | FIT_NO_THREADS | FIT_NO_DISK_SERIAL | FIT_NO_VLAN | FIT_NO_MTU | FIT_NO_SECTOR |
	                 FIT_NO_READ_ONLY | FIT_NO_HOST_DEVICE,
	         WHAT, lost);
	text = writer_end(&v.w, len);
	if (!text)
		fail_nomem(err);
out:
	fit_free(&v.f);
	free(v.uuids);
	return text;
}

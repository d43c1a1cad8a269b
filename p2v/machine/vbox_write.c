/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A .vbox of version 1.16, which VirtualBox 5.1 and all later ones read; 1.19 (VirtualBox 7) where there is a TPM. */
#include "common/fail.h"
#include "formats.h"
#include "os.h"
#include "vbox_write.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WHAT "VirtualBox"

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

/* ---------------------------------------------------------------- snapshots */

/* A snapshot's drives hold the images that were kept then; the hardware around them is what the machine has. */
static void snapshot_write(struct vbox *v, size_t at, bool modern)
{
	const struct machine_snapshot *s = &v->m->snapshots[at];
	struct machine_lost_list *lost = v->lost;
	time_t t = (time_t)s->date;
	char date[40];
	struct tm tm;

	writer_open(&v->w, "Snapshot");
	writer_attrf(&v->w, "uuid", "{%s}", s->id);
	writer_attr(&v->w, "name", s->name ? s->name : s->id);
	if (gmtime_r(&t, &tm) && strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm))
		writer_attr(&v->w, "timeStamp", date);
	writer_text(&v->w, "Description", s->description);
	for (size_t i = 0; i < v->f.disks_n; i++) {
		int image = machine_state_find(v->m, at, v->f.disks[i].name);

		if (v->f.disks[i].medium == MACHINE_DISK)
			*v->uuids[i] = '\0';
		if (image >= 0 && v->m->images[image].uuid)
			snprintf(v->uuids[i], sizeof(*v->uuids), "{%.36s}", v->m->images[image].uuid);
	}
	v->lost = NULL; /* told with the machine */
	hardware_write(v, modern);
	v->lost = lost;
	writer_open(&v->w, "Snapshots");
	for (size_t i = 0; i < v->m->snapshots_n; i++)
		if (v->m->snapshots[i].parent == (int)at)
			snapshot_write(v, i, modern);
	writer_close(&v->w);
	writer_close(&v->w);
}

static void snapshots_write(struct vbox *v, bool modern)
{
	size_t bytes = (v->f.disks_n + 1) * sizeof(*v->uuids);
	char (*now)[40] = malloc(bytes);

	if (!now) {
		v->w.failed = true;
		return;
	}
	memcpy(now, v->uuids, bytes);
	for (size_t i = 0; i < v->m->snapshots_n; i++)
		if (v->m->snapshots[i].parent < 0)
			snapshot_write(v, i, modern);
	memcpy(v->uuids, now, bytes);
	free(now);
}

static void vbox_fill(struct vbox *v)
{
	const struct machine *m = v->m;
	bool modern = m->tpm;
	char made[37];

	if (!m->uuid)
		vbox_uuid_make(m->name, "machine", made);
	v->w.failed |= xmlTextWriterStartDocument(v->w.w, NULL, NULL, NULL) < 0;
	writer_open(&v->w, "VirtualBox");
	writer_attr(&v->w, "xmlns", "http://www.virtualbox.org/");
	writer_attr(&v->w, "version", modern ? "1.19-linux" : "1.16-linux");
	writer_open(&v->w, "Machine");
	writer_attrf(&v->w, "uuid", "{%s}", m->uuid ? m->uuid : made);
	writer_attr(&v->w, "name", m->name);
	writer_attr(&v->w, "OSType", os_name(m->os, m->arch, DESCRIBE_VBOX, v->lost));
	for (size_t i = 0; v->snapshots && i < m->snapshots_n; i++)
		if (m->snapshots[i].current)
			writer_attrf(&v->w, "currentSnapshot", "{%s}", m->snapshots[i].id);
	writer_attr(&v->w, "snapshotFolder", "Snapshots");
	writer_text(&v->w, "Description", m->description);
	vbox_registry_write(v);
	if (v->snapshots)
		snapshots_write(v, modern);
	hardware_write(v, modern);
	writer_close(&v->w);
	writer_close(&v->w);
}

char *vbox_write(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost,
                 vdisk_error *err)
{
	/* Who told of the snapshots' fate himself has brought them along. */
	struct vbox v = { .m = m, .lost = lost, .snapshots = how && how->snapshots_told && m->snapshots_n };
	char *text = NULL;

	if (fit(&v.f, m, &rules, how, lost, err))
		return NULL;
	v.uuids = calloc(v.f.disks_n + 1, sizeof(*v.uuids));
	if (!v.uuids || writer_begin(&v.w)) {
		fail_nomem(err);
		goto out;
	}
	vbox_uuids_choose(&v);
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

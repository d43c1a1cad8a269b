/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An OVF envelope, 1.x as everybody reads it (or 2.0 where that is asked for), with VMware's words for what the standard has none:
 * firmware, cores, the boot order; each says that it need not be understood.  A file's size is told where it is known.
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "os.h"
#include "xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHAT   "OVF"
#define RASD   "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
#define VSSD   "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
#define ORDER_N 64

struct envelope {
	struct writer w;
	const struct machine *m;
	struct machine_lost_list *lost;
	struct fitted f;
	unsigned next;                       /* InstanceID of the next item */
	unsigned controllers[4][4];          /* InstanceIDs: IDE's channels, SATA's, SCSI's, NVMe's */
	unsigned *disks, *nics;              /* InstanceIDs */
};

static const struct fit_rules rules = {
	.what = WHAT,
	.bus = {
		[MACHINE_BUS_IDE] = { 1, 4, -1 },
		[MACHINE_BUS_SATA] = { 4, 30, -1 },
		[MACHINE_BUS_SCSI] = { 4, 16, 7 },
		[MACHINE_BUS_NVME] = { 4, 15, -1 },
		[MACHINE_BUS_FLOPPY] = { 1, 2, -1 },
	},
	.disk = MACHINE_BUS_SATA,
	.cdrom = MACHINE_BUS_SATA,
	.spill = MACHINE_BUS_SCSI,
	.scsi_models = FIT_SCSI(BUSLOGIC) | FIT_SCSI(LSI) | FIT_SCSI(LSI_SAS) | FIT_SCSI(PVSCSI) | FIT_SCSI(VIRTIO),
	.scsi = MACHINE_SCSI_LSI,
	.nic_models = FIT_NIC(PCNET) | FIT_NIC(RTL8139) | FIT_NIC(E1000) | FIT_NIC(E1000E) | FIT_NIC(VMXNET) |
	              FIT_NIC(VMXNET3) | FIT_NIC(VIRTIO),
	.nic = MACHINE_NIC_E1000,
	.floppy = true,
};

static void references_write(struct envelope *e)
{
	writer_open(&e->w, "References");
	for (size_t i = 0; i < e->f.disks_n; i++) {
		const struct machine_disk *d = &e->f.disks[i];

		if (!d->path)
			continue;
		writer_open(&e->w, "File");
		if (d->chunk_size)
			writer_attrf(&e->w, "ovf:chunkSize", "%llu", (unsigned long long)d->chunk_size);
		writer_attr(&e->w, "ovf:compression", d->compression);
		writer_attr(&e->w, "ovf:href", d->path);
		writer_attrf(&e->w, "ovf:id", "file%zu", i + 1);
		if (d->file_size)
			writer_attrf(&e->w, "ovf:size", "%llu", (unsigned long long)d->file_size);
		writer_close(&e->w);
	}
	writer_close(&e->w);
}

/* There is no list of such names; these are what importers read. */
static const char *format_uri(const char *format)
{
	static const char *const uris[][2] = {
		{ "vmdk", "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" },
		{ "vhd", "http://technet.microsoft.com/en-us/virtualserver/bb676673.aspx" },
		{ "vhdx", "http://technet.microsoft.com/en-us/library/hh831446.aspx" },
		{ "vdi", "http://www.virtualbox.org/ovf/vdi" },
		{ "qcow2", "http://www.gnome.org/~markmc/qcow-image-format.html" },
	};

	for (size_t i = 0; format && i < sizeof(uris) / sizeof(*uris); i++)
		if (!strcmp(uris[i][0], format))
			return uris[i][1];
	return format ? "http://www.vmware.com/specifications/vmdk.html#flat" : uris[0][1];
}

static int disks_write(struct envelope *e, vdisk_error *err)
{
	writer_open(&e->w, "DiskSection");
	writer_text(&e->w, "Info", "The disks");
	for (size_t i = 0; i < e->f.disks_n; i++) {
		const struct machine_disk *d = &e->f.disks[i];

		if (d->medium != MACHINE_DISK)
			continue;
		if (!d->size)
			return fail(err, VDISK_INVALID, "the size of disk %zu (%.128s) is not known, which OVF must say", i + 1,
				    d->path ? d->path : "without a file");
		writer_open(&e->w, "Disk");
		writer_attrf(&e->w, "ovf:capacity", "%llu", (unsigned long long)d->size);
		writer_attr(&e->w, "ovf:capacityAllocationUnits", "byte");
		writer_attrf(&e->w, "ovf:diskId", "vmdisk%zu", i + 1);
		if (d->path)
			writer_attrf(&e->w, "ovf:fileRef", "file%zu", i + 1);
		writer_attr(&e->w, "ovf:format", format_uri(d->format));
		writer_close(&e->w);
	}
	writer_close(&e->w);
	return 0;
}

static const char *network_of(const struct machine_nic *n)
{
	static const char *const names[] = { "VM Network", "bridged", "VM Network", "nat", "hostonly", "internal", "none" };

	return n->network ? n->network : names[n->net];
}

static void networks_write(struct envelope *e)
{
	if (!e->f.nics_n)
		return;
	writer_open(&e->w, "NetworkSection");
	writer_text(&e->w, "Info", "The networks");
	for (size_t i = 0; i < e->f.nics_n; i++) {
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= !strcmp(network_of(&e->f.nics[k]), network_of(&e->f.nics[i]));
		if (again)
			continue;
		writer_open(&e->w, "Network");
		writer_attr(&e->w, "ovf:name", network_of(&e->f.nics[i]));
		writer_text(&e->w, "Description", network_of(&e->f.nics[i]));
		writer_close(&e->w);
	}
	writer_close(&e->w);
}

/* ---------------------------------------------------------------- items; their members come in the order of the alphabet */

static void number(struct envelope *e, const char *name, unsigned long long n) { writer_textf(&e->w, name, "%llu", n); }

static void cpu_write(struct envelope *e)
{
	const struct machine *m = e->m;

	writer_open(&e->w, "Item");
	writer_text(&e->w, "rasd:AllocationUnits", "hertz * 10^6");
	writer_text(&e->w, "rasd:Description", "Number of virtual CPUs");
	writer_textf(&e->w, "rasd:ElementName", "%u virtual CPUs", m->cpus);
	number(e, "rasd:InstanceID", e->next++);
	writer_text(&e->w, "rasd:ResourceType", "3");
	number(e, "rasd:VirtualQuantity", m->cpus);
	if (m->cores && m->cpus % m->cores == 0) {
		writer_open(&e->w, "vmw:CoresPerSocket");
		writer_attr(&e->w, "ovf:required", "false");
		e->w.failed |= xmlTextWriterWriteFormatString(e->w.w, "%u", m->cores) < 0;
		writer_close(&e->w);
	} else if (m->cores) {
		machine_lost_add(e->lost, NULL, "the CPUs are no multiple of them", "%u cores a socket", m->cores);
	}
	writer_close(&e->w);
}

static void memory_write(struct envelope *e)
{
	uint64_t bytes = e->m->memory, megabytes = (bytes + (1 << 20) - 1) >> 20;

	if (megabytes << 20 != bytes)
		machine_lost_add(e->lost, NULL, "OVF has whole MiB", "memory: %llu bytes become %llu MiB",
		                 (unsigned long long)bytes, (unsigned long long)megabytes);
	writer_open(&e->w, "Item");
	writer_text(&e->w, "rasd:AllocationUnits", "byte * 2^20");
	writer_text(&e->w, "rasd:Description", "Memory Size");
	writer_textf(&e->w, "rasd:ElementName", "%llu MiB of memory", (unsigned long long)megabytes);
	number(e, "rasd:InstanceID", e->next++);
	writer_text(&e->w, "rasd:ResourceType", "4");
	number(e, "rasd:VirtualQuantity", megabytes);
	writer_close(&e->w);
}

static unsigned controller_write(struct envelope *e, unsigned address, const char *type, const char *subtype, const char *name)
{
	writer_open(&e->w, "Item");
	number(e, "rasd:Address", address);
	writer_textf(&e->w, "rasd:Description", "%s controller", name);
	writer_textf(&e->w, "rasd:ElementName", "%s controller %u", name, address);
	number(e, "rasd:InstanceID", e->next);
	writer_text(&e->w, "rasd:ResourceSubType", subtype);
	writer_text(&e->w, "rasd:ResourceType", type);
	writer_close(&e->w);
	return e->next++;
}

static void controllers_write(struct envelope *e)
{
	static const char *const models[] = { [MACHINE_SCSI_BUSLOGIC] = "buslogic",
		                              [MACHINE_SCSI_LSI] = "lsilogic",
		                              [MACHINE_SCSI_LSI_SAS] = "lsilogicsas",
		                              [MACHINE_SCSI_PVSCSI] = "VirtualSCSI",
		                              [MACHINE_SCSI_VIRTIO] = "virtio-scsi" };
	unsigned n = fit_controllers(&e->f, MACHINE_BUS_IDE) ? 2 : 0;

	for (unsigned i = 0; i < n; i++)
		e->controllers[0][i] = controller_write(e, i, "5", NULL, "IDE");
	n = fit_controllers(&e->f, MACHINE_BUS_SATA);
	for (unsigned i = 0; i < n; i++)
		e->controllers[1][i] = controller_write(e, i, "20", "vmware.sata.ahci", "SATA");
	n = fit_controllers(&e->f, MACHINE_BUS_SCSI);
	for (unsigned i = 0; i < n; i++) {
		enum machine_scsi model = fit_adapter(&e->f, i);

		e->controllers[2][i] = controller_write(e, i, "6", models[model ? model : MACHINE_SCSI_LSI], "SCSI");
	}
	n = fit_controllers(&e->f, MACHINE_BUS_NVME);
	for (unsigned i = 0; i < n; i++)
		e->controllers[3][i] = controller_write(e, i, "20", "vmware.nvme.controller", "NVMe");
}

static unsigned parent_of(const struct envelope *e, const struct machine_disk *d, unsigned *unit)
{
	*unit = (unsigned)d->unit;
	if (d->bus == MACHINE_BUS_IDE) {
		*unit %= 2;
		return e->controllers[0][d->unit / 2];
	}
	return e->controllers[d->bus == MACHINE_BUS_SATA ? 1 : d->bus == MACHINE_BUS_SCSI ? 2 : 3][d->controller];
}

static void disk_write(struct envelope *e, size_t at)
{
	static const char *const names[] = { "Hard disk", "CD/DVD drive", "Floppy drive" };
	const struct machine_disk *d = &e->f.disks[at];
	bool floppy = d->medium == MACHINE_FLOPPY;
	unsigned unit, parent = floppy ? 0 : parent_of(e, d, &unit);

	if (floppy)
		unit = (unsigned)d->unit;
	writer_open(&e->w, "Item");
	if (d->medium != MACHINE_DISK)
		writer_attr(&e->w, "ovf:required", "false");
	number(e, "rasd:AddressOnParent", unit);
	if (d->medium != MACHINE_DISK)
		writer_text(&e->w, "rasd:AutomaticAllocation", d->path ? "true" : "false");
	writer_textf(&e->w, "rasd:ElementName", "%s %zu", names[d->medium], at + 1);
	if (d->medium == MACHINE_DISK)
		writer_textf(&e->w, "rasd:HostResource", "ovf:/disk/vmdisk%zu", at + 1);
	else if (d->path)
		writer_textf(&e->w, "rasd:HostResource", "ovf:/file/file%zu", at + 1);
	e->disks[at] = e->next;
	number(e, "rasd:InstanceID", e->next++);
	if (!floppy)
		number(e, "rasd:Parent", parent);
	writer_text(&e->w, "rasd:ResourceType", floppy ? "14" : d->medium == MACHINE_CDROM ? "15" : "17");
	writer_close(&e->w);
}

static void nic_write(struct envelope *e, size_t at)
{
	static const char *const models[] = {
		[MACHINE_NIC_PCNET] = "PCNet32", [MACHINE_NIC_RTL8139] = "rtl8139", [MACHINE_NIC_E1000] = "E1000",
		[MACHINE_NIC_E1000E] = "E1000e", [MACHINE_NIC_VMXNET] = "VmxNet2",  [MACHINE_NIC_VMXNET3] = "VmxNet3",
		[MACHINE_NIC_VIRTIO] = "virtio"
	};
	const struct machine_nic *n = &e->f.nics[at];

	writer_open(&e->w, "Item");
	writer_text(&e->w, "rasd:Address", n->mac);
	number(e, "rasd:AddressOnParent", at);
	writer_text(&e->w, "rasd:AutomaticAllocation", n->disconnected || n->net == MACHINE_NET_NONE ? "false" : "true");
	writer_text(&e->w, "rasd:Connection", network_of(n));
	writer_textf(&e->w, "rasd:ElementName", "Network adapter %zu", at + 1);
	e->nics[at] = e->next;
	number(e, "rasd:InstanceID", e->next++);
	writer_text(&e->w, "rasd:ResourceSubType", models[n->model]);
	writer_text(&e->w, "rasd:ResourceType", "10");
	writer_close(&e->w);
}

static void other_write(struct envelope *e, const char *type, const char *subtype, const char *name)
{
	writer_open(&e->w, "Item");
	writer_attr(&e->w, "ovf:required", "false");
	writer_text(&e->w, "rasd:ElementName", name);
	number(e, "rasd:InstanceID", e->next++);
	writer_text(&e->w, "rasd:ResourceSubType", subtype);
	writer_text(&e->w, "rasd:ResourceType", type);
	writer_close(&e->w);
}

static void config_write(struct envelope *e, const char *key, const char *value)
{
	writer_empty(&e->w, "vmw:Config", "ovf:required", "false", "vmw:key", key, "vmw:value", value, NULL);
}

static void hardware_write(struct envelope *e)
{
	const struct machine *m = e->m;

	writer_open(&e->w, "VirtualHardwareSection");
	writer_text(&e->w, "Info", "The hardware");
	writer_open(&e->w, "System");
	writer_text(&e->w, "vssd:ElementName", "Virtual Hardware Family");
	writer_text(&e->w, "vssd:InstanceID", "0");
	writer_text(&e->w, "vssd:VirtualSystemIdentifier", m->name);
	writer_text(&e->w, "vssd:VirtualSystemType", m->tpm ? "vmx-14" : "vmx-13");
	writer_close(&e->w);
	cpu_write(e);
	memory_write(e);
	controllers_write(e);
	for (size_t i = 0; i < e->f.disks_n; i++)
		disk_write(e, i);
	for (size_t i = 0; i < e->f.nics_n; i++)
		nic_write(e, i);
	for (size_t i = 0; i < m->serials_n; i++) {
		other_write(e, "21", NULL, "Serial port");
		if (m->serials[i].path)
			machine_lost_add(e->lost, m->serials[i].path, WHAT " has no place for it", "serial port %zu: where it leads", i + 1);
	}
	if (m->tpm == MACHINE_TPM_1_2)
		machine_lost_add(e->lost, "1.2", "it becomes one of version 2.0", "TPM");
	if (m->tpm)
		other_write(e, "1", "vmware.vtpm", "Virtual TPM");
	if (m->firmware)
		config_write(e, "firmware", m->firmware == MACHINE_FIRMWARE_UEFI ? "efi" : "bios");
	if (m->secure_boot)
		config_write(e, "bootOptions.efiSecureBootEnabled", "true");
	writer_close(&e->w);
}

static void boot_write(struct envelope *e)
{
	struct fit_boot list[ORDER_N];
	size_t n = fit_boot_list(&e->f, list, ORDER_N);

	for (size_t i = 0; i < n; i++) {
		const struct fit_boot *b = &list[i];
		enum machine_medium medium = b->nic ? MACHINE_DISK : e->f.disks[b->at].medium;

		writer_open(&e->w, "vmw:BootOrderSection");
		writer_attr(&e->w, "ovf:required", "false");
		writer_attrf(&e->w, "vmw:instanceId", "%u", b->nic ? e->nics[b->at] : e->disks[b->at]);
		writer_attr(&e->w, "vmw:type",
		            b->nic                    ? "net"
		            : medium == MACHINE_DISK  ? "disk"
		            : medium == MACHINE_CDROM ? "cdrom"
		                                      : "floppy");
		writer_text(&e->w, "Info", "Virtual hardware device boot order");
		writer_close(&e->w);
	}
}

static void system_write(struct envelope *e)
{
	const struct machine *m = e->m;
	const char *id = os_name(m->os, m->arch, DESCRIBE_OVF, e->lost), *word = os_name(m->os, m->arch, DESCRIBE_VMX, NULL);

	writer_open(&e->w, "VirtualSystem");
	writer_attr(&e->w, "ovf:id", m->name);
	writer_text(&e->w, "Info", "A virtual machine");
	writer_text(&e->w, "Name", m->name);
	if (m->description) {
		writer_open(&e->w, "AnnotationSection");
		writer_text(&e->w, "Info", "A description");
		writer_text(&e->w, "Annotation", m->description);
		writer_close(&e->w);
	}
	writer_open(&e->w, "OperatingSystemSection");
	writer_attr(&e->w, "ovf:id", id);
	writer_attr(&e->w, "vmw:osType", word);
	writer_text(&e->w, "Info", "The kind of operating system");
	writer_text(&e->w, "Description", m->os);
	writer_close(&e->w);
	hardware_write(e);
	boot_write(e);
	writer_close(&e->w);
}

static int envelope_write(struct envelope *e, unsigned version, vdisk_error *err)
{
	const char *uri = version == 2 ? "http://schemas.dmtf.org/ovf/envelope/2" : "http://schemas.dmtf.org/ovf/envelope/1";
	int rc;

	e->w.failed |= xmlTextWriterStartDocument(e->w.w, NULL, "UTF-8", NULL) < 0;
	writer_open(&e->w, "Envelope");
	writer_attr(&e->w, "xmlns", uri);
	writer_attr(&e->w, "xmlns:ovf", uri);
	writer_attr(&e->w, "xmlns:rasd", RASD);
	writer_attr(&e->w, "xmlns:vssd", VSSD);
	writer_attr(&e->w, "xmlns:vmw", "http://www.vmware.com/schema/ovf");
	writer_attr(&e->w, "ovf:version", version == 2 ? "2.0" : NULL);
	references_write(e);
	rc = disks_write(e, err);
	if (!rc) {
		networks_write(e);
		system_write(e);
	}
	writer_close(&e->w);
	return rc;
}

char *ovf_write(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost,
                vdisk_error *err)
{
	struct envelope e = { .m = m, .lost = lost, .next = 1 };
	char *text = NULL;
	int rc = 0;

	if (how->ovf_version > 2) {
		fail(err, VDISK_UNSUPPORTED, "there is no OVF %u", how->ovf_version);
		return NULL;
	}
	if (fit(&e.f, m, &rules, how, lost, err))
		return NULL;
	e.disks = calloc(e.f.disks_n + 1, sizeof(*e.disks));
	e.nics = calloc(e.f.nics_n + 1, sizeof(*e.nics));
	if (!e.disks || !e.nics || writer_begin(&e.w)) {
		fail_nomem(err);
		goto out;
	}
	rc = envelope_write(&e, how->ovf_version, err);
	fit_lost(m,
	         FIT_NO_UUID | FIT_NO_CHIPSET | FIT_NO_THREADS | FIT_NO_DISK_SERIAL | FIT_NO_NIC_KIND | FIT_NO_VLAN | FIT_NO_MTU |
	                 FIT_NO_SECTOR | FIT_NO_VIDEO | FIT_NO_VIDEO_MEMORY | FIT_NO_READ_ONLY | FIT_NO_HOST_DEVICE,
	         WHAT, lost);
	text = writer_end(&e.w, len);
	if (!text && !rc)
		fail_nomem(err);
	if (rc) {
		free(text);
		text = NULL;
	}
out:
	fit_free(&e.f);
	free(e.disks);
	free(e.nics);
	return text;
}

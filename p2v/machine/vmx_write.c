/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VMX for Workstation and ESXi.  The virtual hardware is version 13 (ESXi 6.5, Workstation 12), the oldest that has NVMe and
 * secure boot, or 14 with a TPM.  A MAC address outside of VMware's own range is accepted since checkMACAddress says so.
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "os.h"
#include "settings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WHAT    "VMware"
#define ORDER_N 32

struct vmx {
	struct text t;
	const struct machine *m;
	const struct describe_write *how;
	struct machine_lost_list *lost;
	struct fitted f;
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
	.disk = MACHINE_BUS_SCSI,
	.cdrom = MACHINE_BUS_SATA,
	.spill = MACHINE_BUS_SCSI,
	.scsi_models = FIT_SCSI(BUSLOGIC) | FIT_SCSI(LSI) | FIT_SCSI(LSI_SAS) | FIT_SCSI(PVSCSI),
	.scsi = MACHINE_SCSI_PVSCSI,
	.nic_models = FIT_NIC(PCNET) | FIT_NIC(E1000) | FIT_NIC(E1000E) | FIT_NIC(VMXNET) | FIT_NIC(VMXNET3),
	.nic = MACHINE_NIC_VMXNET3,
	.floppy = true,
};

/* `key` is a format for `at`, if it has a place for it. */
__attribute__((format(printf, 3, 4))) static void put(struct vmx *v, const char *value, const char *key, ...)
{
	va_list args;

	if (!value)
		return;
	va_start(args, key);
	vfprintf(v->t.file, key, args);
	va_end(args);
	text_add(&v->t, " = \"");
	for (; *value; value++)
		if (strchr("\"|#", *value) || (unsigned char)*value < 0x20)
			text_add(&v->t, "|%02X", (unsigned char)*value);
		else
			text_add(&v->t, "%c", *value);
	text_add(&v->t, "\"\n");
}

static const char *truth(bool yes) { return yes ? "TRUE" : "FALSE"; }

static void number_put(struct vmx *v, const char *key, unsigned long long n)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", n);
	put(v, text, "%s", key);
}

static void bridges_put(struct vmx *v)
{
	put(v, "TRUE", "pciBridge0.present");
	for (unsigned i = 4; i < 8; i++) {
		put(v, "TRUE", "pciBridge%u.present", i);
		put(v, "pcieRootPort", "pciBridge%u.virtualDev", i);
		put(v, "8", "pciBridge%u.functions", i);
	}
	put(v, "TRUE", "vmci0.present");
	put(v, "TRUE", "hpet0.present");
}

/* 56 4d … ae 42-d4 …: pairs of digits, blanks between, a hyphen in the middle. */
static void uuid_put(struct vmx *v)
{
	char text[64];
	size_t n = 0, pairs = 0;

	if (!v->m->uuid)
		return;
	for (const char *c = v->m->uuid; *c; c++) {
		if (*c == '-')
			continue;
		text[n++] = *c;
		text[n++] = *++c;
		if (++pairs < 16)
			text[n++] = pairs == 8 ? '-' : ' ';
	}
	text[n] = '\0';
	put(v, text, "uuid.bios");
}

static void machine_put(struct vmx *v)
{
	const struct machine *m = v->m;
	uint64_t megabytes = (m->memory + (1 << 20) - 1) >> 20;

	put(v, "UTF-8", ".encoding");
	put(v, "8", "config.version");
	put(v, m->tpm ? "14" : "13", "virtualHW.version");
	bridges_put(v);
	put(v, m->name, "displayName");
	put(v, m->description, "annotation");
	put(v, os_name(m->os, m->arch, DESCRIBE_VMX, v->lost), "guestOS");
	uuid_put(v);
	put(v, m->firmware == MACHINE_FIRMWARE_UEFI ? "efi" : NULL, "firmware"); /* a BIOS is what there is without */
	if (m->secure_boot)
		put(v, "TRUE", "uefi.secureBoot.enabled");
	if (m->tpm == MACHINE_TPM_1_2)
		machine_lost_add(v->lost, "1.2", "it becomes one of version 2.0", "TPM");
	if (m->tpm)
		put(v, "software", "managedVM.autoAddVTPM");
	megabytes = (megabytes + 3) & ~(uint64_t)3; /* VMware wants a multiple of four */
	if (megabytes << 20 != m->memory)
		machine_lost_add(v->lost, NULL, "VMware has multiples of 4 MiB", "memory: %llu bytes become %llu MiB",
				 (unsigned long long)m->memory, (unsigned long long)megabytes);
	number_put(v, "memsize", megabytes);
	number_put(v, "numvcpus", m->cpus);
	if (m->cores && m->cpus % m->cores == 0)
		number_put(v, "cpuid.coresPerSocket", m->cores);
	else if (m->cores)
		machine_lost_add(v->lost, NULL, "the CPUs are no multiple of them", "%u cores a socket", m->cores);
	if (m->video == MACHINE_VIDEO_NONE)
		put(v, "FALSE", "svga.present");
	else if (m->video && m->video != MACHINE_VIDEO_VMWARE)
		machine_lost_add(v->lost, machine_video_name(m->video), "VMware has its own", "graphics");
	if (m->video_memory) {
		put(v, "FALSE", "svga.autodetect");
		number_put(v, "svga.vramSize", m->video_memory);
	}
}

static const char *bus_name(enum machine_bus bus)
{
	return bus == MACHINE_BUS_IDE ? "ide" : bus == MACHINE_BUS_SATA ? "sata" : bus == MACHINE_BUS_NVME ? "nvme" : "scsi";
}

/* scsi0:1, and where it is the controller's part alone. */
static void disk_key(const struct machine_disk *d, char out[32])
{
	if (d->bus == MACHINE_BUS_FLOPPY)
		snprintf(out, 32, "floppy%d", d->unit);
	else if (d->bus == MACHINE_BUS_IDE)
		snprintf(out, 32, "ide%d:%d", d->unit / 2, d->unit % 2);
	else
		snprintf(out, 32, "%s%u:%d", bus_name(d->bus), d->controller, d->unit);
}

static void controllers_put(struct vmx *v)
{
	static const char *const models[] = { [MACHINE_SCSI_BUSLOGIC] = "buslogic", [MACHINE_SCSI_LSI] = "lsilogic",
		[MACHINE_SCSI_LSI_SAS] = "lsisas1068", [MACHINE_SCSI_PVSCSI] = "pvscsi" };
	static const enum machine_bus buses[] = { MACHINE_BUS_SCSI, MACHINE_BUS_SATA, MACHINE_BUS_NVME };

	for (size_t b = 0; b < sizeof(buses) / sizeof(*buses); b++)
		for (unsigned c = 0, n = fit_controllers(&v->f, buses[b]); c < n; c++) {
			put(v, "TRUE", "%s%u.present", bus_name(buses[b]), c);
			if (buses[b] == MACHINE_BUS_SCSI) {
				enum machine_scsi model = fit_adapter(&v->f, c);

				put(v, models[model ? model : MACHINE_SCSI_PVSCSI], "scsi%u.virtualDev", c);
			}
		}
}

static void disk_put(struct vmx *v, const struct machine_disk *d)
{
	char key[32];

	disk_key(d, key);
	put(v, "TRUE", "%s.present", key);
	if (d->medium == MACHINE_FLOPPY) {
		put(v, d->path ? "file" : "device", "%s.fileType", key);
		put(v, d->path ? d->path : "", "%s.fileName", key);
		put(v, truth(d->path), "%s.startConnected", key);
		return;
	}
	if (d->medium == MACHINE_CDROM) {
		put(v, d->path ? "cdrom-image" : "atapi-cdrom", "%s.deviceType", key);
		put(v, d->path ? d->path : "auto detect", "%s.fileName", key);
		put(v, truth(d->path), "%s.startConnected", key);
		return;
	}
	put(v,
	    d->bus == MACHINE_BUS_IDE    ? "ata-hardDisk"
	    : d->bus == MACHINE_BUS_SCSI ? "scsi-hardDisk"
	                                 : "disk",
	    "%s.deviceType", key);
	put(v, d->path ? d->path : "", "%s.fileName", key);
	if (!d->path)
		machine_lost_add(v->lost, NULL, "it is not known; VMware will not start without", "disk %s: its file", key);
	if (d->format && strcmp(d->format, "vmdk"))
		machine_lost_add(v->lost, d->format, "VMware reads VMDK alone: it must be converted", "disk %s: its format", key);
}

static void nic_put(struct vmx *v, const struct machine_nic *n, unsigned at)
{
	static const char *const models[] = { [MACHINE_NIC_PCNET] = "vlance",
		                              [MACHINE_NIC_E1000] = "e1000",
		                              [MACHINE_NIC_E1000E] = "e1000e",
		                              [MACHINE_NIC_VMXNET] = "vmxnet",
		                              [MACHINE_NIC_VMXNET3] = "vmxnet3" };
	static const char *const kinds[] = {
		[MACHINE_NET_UNKNOWN] = "nat", [MACHINE_NET_BRIDGE] = "bridged",     [MACHINE_NET_NETWORK] = "bridged",
		[MACHINE_NET_NAT] = "nat",     [MACHINE_NET_HOST_ONLY] = "hostonly", [MACHINE_NET_INTERNAL] = "custom",
		[MACHINE_NET_NONE] = "nat"
	};

	put(v, "TRUE", "ethernet%u.present", at);
	put(v, models[n->model], "ethernet%u.virtualDev", at);
	put(v, kinds[n->net], "ethernet%u.connectionType", at);
	if (n->net == MACHINE_NET_NETWORK)
		put(v, n->network, "ethernet%u.networkName", at);
	else if (n->net == MACHINE_NET_INTERNAL)
		put(v, n->network, "ethernet%u.vnet", at);
	else if (n->network)
		machine_lost_add(v->lost, n->network, WHAT " has no place for it", "NIC %u: name of its network", at + 1);
	put(v, n->mac ? "static" : "generated", "ethernet%u.addressType", at);
	if (n->mac) {
		put(v, n->mac, "ethernet%u.address", at);
		put(v, "FALSE", "ethernet%u.checkMACAddress", at);
	}
	put(v, truth(!n->disconnected && n->net != MACHINE_NET_NONE), "ethernet%u.startConnected", at);
}

static void serial_put(struct vmx *v, const struct machine_serial *s, unsigned at)
{
	static const char *const types[] = { "pipe", "file", "pipe", "network", "device", "none" };
	char uri[MACHINE_TEXT_MAX + 16], pty[48];
	const char *path = s->path;

	if (s->kind == MACHINE_SERIAL_NONE)
		path = NULL;
	if (s->kind == MACHINE_SERIAL_PTY) {
		snprintf(pty, sizeof(pty), "serial%u.pipe", at);
		path = pty;
		machine_lost_add(v->lost, NULL, "it becomes a named pipe", "serial port %u: a pseudo-terminal", at + 1);
	} else if (s->kind == MACHINE_SERIAL_TCP && path) {
		snprintf(uri, sizeof(uri), "tcp://%s", path);
		path = uri;
	}
	put(v, "TRUE", "serial%u.present", at);
	put(v, types[s->kind], "serial%u.fileType", at);
	put(v, path, "serial%u.fileName", at);
	if (s->kind == MACHINE_SERIAL_PTY || s->kind == MACHINE_SERIAL_PIPE)
		put(v, "server", "serial%u.pipe.endPoint", at);
	else if (s->kind == MACHINE_SERIAL_TCP)
		put(v, "server", "serial%u.network.endPoint", at);
}

static void word_add(char *list, size_t room, const char *word)
{
	size_t n = strlen(list);

	if (!strstr(list, word) || !strncmp(word, "scsi", 4))
		snprintf(list + n, room - n, "%s%s", n ? "," : "", word);
}

/* Kinds of devices in bios.bootOrder; which disk, in bios.hddOrder. */
static void boot_put(struct vmx *v)
{
	char order[512] = "", disks[1024] = "", key[32];
	struct fit_boot list[ORDER_N];
	size_t n = fit_boot_list(&v->f, list, ORDER_N);

	for (size_t i = 0; i < n; i++) {
		const struct machine_disk *d = &v->f.disks[list[i].at];

		if (list[i].nic) {
			snprintf(key, sizeof(key), "ethernet%zu", list[i].at);
			word_add(order, sizeof(order), key);
		} else if (d->medium == MACHINE_DISK) {
			word_add(order, sizeof(order), "hdd");
			disk_key(d, key);
			snprintf(disks + strlen(disks), sizeof(disks) - strlen(disks), "%s%s", *disks ? "," : "", key);
		} else {
			word_add(order, sizeof(order), d->medium == MACHINE_CDROM ? "cdrom" : "floppy");
		}
	}
	if (*order)
		put(v, order, "bios.bootOrder");
	if (*disks)
		put(v, disks, "bios.hddOrder");
}

char *vmx_write(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost,
                vdisk_error *err)
{
	struct vmx v = { .m = m, .how = how, .lost = lost };
	bool floppy = false;
	char *text;

	if (fit(&v.f, m, &rules, how, lost, err))
		return NULL;
	if (text_begin(&v.t)) {
		fit_free(&v.f);
		fail_nomem(err);
		return NULL;
	}
	machine_put(&v);
	controllers_put(&v);
	for (size_t i = 0; i < v.f.disks_n; i++) {
		disk_put(&v, &v.f.disks[i]);
		floppy |= v.f.disks[i].medium == MACHINE_FLOPPY;
	}
	if (!floppy)
		put(&v, "FALSE", "floppy0.present");
	for (unsigned i = 0; i < v.f.nics_n; i++)
		if (i < 10)
			nic_put(&v, &v.f.nics[i], i);
		else
			machine_lost_add(lost, v.f.nics[i].mac, "ten are the most", "NIC %u", i + 1);
	for (unsigned i = 0; i < m->serials_n; i++)
		if (i < 32)
			serial_put(&v, &m->serials[i], i);
		else
			machine_lost_add(lost, m->serials[i].path, "32 are the most", "serial port %u", i + 1);
	boot_put(&v);
	fit_lost(m,
	         FIT_NO_CHIPSET | FIT_NO_THREADS | FIT_NO_DISK_SERIAL | FIT_NO_VLAN | FIT_NO_MTU | FIT_NO_SECTOR |
	                 FIT_NO_READ_ONLY | FIT_NO_HOST_DEVICE,
	         WHAT, lost);
	fit_free(&v.f);
	text = text_end(&v.t, len);
	if (!text)
		fail_nomem(err);
	return text;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMware's VMX: lines key = "value", where |22 is a quote and |0A a line's end.  Keys are the same in small and capital letters. */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "settings.h"
#include "xml.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct vmx {
	struct machine *m;
	struct settings s;
	const char *disks_order; /* bios.hddOrder; NULL: none */
	bool disks_ordered;      /* "hd" came: once more says nothing new */
	vdisk_error *err;
};

static const char *const harmless[] = {
	".encoding", "config.version", "virtualHW.*", "pciBridge*", "vmci0.*", "hpet0.*", "cleanShutdown", "nvram", "uuid.location",
	"uuid.action", "extendedConfigFile", "vmotion.*", "replay.*", "roamingVM.*", "softPowerOff", "powerType.*", "monitor.*",
	"tools.*", "toolScripts.*", "usb.*", "usb_xhci*", "ehci*", "ehci.*", "numa.autosize.*", "sched.swap.derivedName",
	"migrate.*", "vc.uuid", "checkpoint.*", "snapshot.*", "sched.cpu.*", "sched.mem.*", "disk.EnableUUID", "vm.genid*",
	"messageBus.*", "gui.*", "cpuid.numSMT", "numa.vcpu.*", "maxvcpus", "vvtd.*", "svga.guestBackedPrimaryAware",
	"svga.autodetect", "guestInfo.detailed.data", "vmxstats.filename", "evcCompatibilityMode", "bios440.*", "policy.*",
	"isolation.*", "answer.*", "hgfs.*", "unity.*", "mks.*", "floppy0.startConnected", "floppy0.fileType",
	"floppy0.clientDevice", "floppy0.autodetect", NULL
};

/* ---------------------------------------------------------------- lines */

static int hex(char c) { return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1; }

/* In place: what stands in quotes, its |XX resolved.  Returns the length. */
static size_t unquote(char *value, size_t n)
{
	size_t out = 0;

	if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
		value++;
		n -= 2;
		memmove(value - 1, value, n);
		value--;
	}
	for (size_t i = 0; i < n; i++) {
		if (value[i] == '|' && n - i >= 3 && hex(value[i + 1]) >= 0 && hex(value[i + 2]) >= 0) {
			char c = (char)(hex(value[i + 1]) * 16 + hex(value[i + 2]));

			if (c)
				value[out++] = c;
			i += 2;
		} else {
			value[out++] = value[i];
		}
	}
	return out;
}

static int line_take(struct vmx *v, char *line, size_t n, unsigned number)
{
	char *equals, *value;
	size_t key, len;

	while (n && isspace((unsigned char)line[n - 1]))
		n--;
	while (n && isspace((unsigned char)*line)) {
		line++;
		n--;
	}
	if (!n || *line == '#')
		return 0;
	equals = memchr(line, '=', n);
	if (!equals)
		return fail(v->err, VDISK_CORRUPT, "line %u is no setting: \"%.*s\"", number, (int)(n < 64 ? n : 64), line);
	key = (size_t)(equals - line);
	while (key && isspace((unsigned char)line[key - 1]))
		key--;
	value = equals + 1;
	while (value < line + n && isspace((unsigned char)*value))
		value++;
	len = unquote(value, (size_t)(line + n - value));
	return settings_add(&v->s, line, key, value, len, number, v->err);
}

/* What the file itself says of its encoding, which is ASCII in all that matter. */
static void encoding_find(const char *bytes, size_t len, char out[64])
{
	static const char key[] = ".encoding";
	const char *at = memmem(bytes, len, key, sizeof(key) - 1), *end = bytes + len, *quote;
	size_t n;

	*out = '\0';
	quote = at ? memchr(at, '"', (size_t)(end - at)) : NULL;
	if (!quote)
		return;
	for (n = 0; n < 63 && quote + 1 + n < end && quote[1 + n] != '"' && quote[1 + n] != '\n'; n++)
		out[n] = quote[1 + n];
	out[n] = '\0';
}

static int lines_take(struct vmx *v, const void *bytes, size_t len)
{
	char encoding[64], *text, *line;
	unsigned number = 0;
	int rc = 0;

	encoding_find(bytes, len, encoding);
	text = settings_utf8(bytes, len, *encoding ? encoding : NULL, v->err);
	if (!text)
		return -1;
	for (line = text; !rc && *line;) {
		size_t n = strcspn(line, "\n");
		bool more = line[n];

		rc = line_take(v, line, n, ++number);
		line += n + more;
	}
	free(text);
	return rc;
}

/* ---------------------------------------------------------------- disks */

static bool yes(const char *text) { return xml_yes(text); }

static enum machine_medium medium_of(const char *type)
{
	return type && (!strncasecmp(type, "cdrom", 5) || !strncasecmp(type, "atapi-cdrom", 11)) ? MACHINE_CDROM : MACHINE_DISK;
}

static void disk_take(struct vmx *v, enum machine_bus bus, const char *bus_name, unsigned controller, unsigned unit)
{
	struct settings *s = &v->s;
	const char *present = settings_get(s, "%s%u:%u.present", bus_name, controller, unit), *file, *type, *mode;
	struct machine_disk *d;

	file = settings_get(s, "%s%u:%u.fileName", bus_name, controller, unit);
	type = settings_get(s, "%s%u:%u.deviceType", bus_name, controller, unit);
	mode = settings_get(s, "%s%u:%u.mode", bus_name, controller, unit);
	settings_get(s, "%s%u:%u.startConnected", bus_name, controller, unit);
	settings_get(s, "%s%u:%u.autodetect", bus_name, controller, unit);
	settings_get(s, "%s%u:%u.clientDevice", bus_name, controller, unit);
	settings_get(s, "%s%u:%u.redo", bus_name, controller, unit);
	settings_get(s, "%s%u:%u.allowGuestConnectionControl", bus_name, controller, unit);
	if (!yes(present) || !(d = machine_disk_add(v->m)))
		return;
	d->name = machine_text_format(v->m, "%s%u:%u", bus_name, controller, unit);
	d->medium = medium_of(type);
	d->bus = bus;
	d->controller = bus == MACHINE_BUS_IDE ? 0 : controller;
	d->unit = (int)(bus == MACHINE_BUS_IDE ? controller * 2 + unit : unit);
	if (d->medium == MACHINE_CDROM && type && (strcasestr(type, "raw") || !strncasecmp(type, "atapi", 5)))
		file = NULL; /* the host's drive */
	if (file && strcasecmp(file, "auto detect") && *file)
		machine_disk_path(v->m, d, file);
	if (type && !strcasecmp(type, "rawDisk"))
		machine_lost_add(&v->m->lost, file, "it is a device of the host's (raw device mapping)", "disk %s",
		                 d->name ? d->name : "");
	if (mode && strcasecmp(mode, "persistent"))
		machine_lost_add(&v->m->lost, mode, NULL, "disk %s: mode", d->name ? d->name : "");
}

static void bus_take(struct vmx *v, enum machine_bus bus, const char *name, unsigned controllers, unsigned units)
{
	static const struct {
		const char *name;
		enum machine_scsi scsi;
	} models[] = { { "buslogic", MACHINE_SCSI_BUSLOGIC },
		       { "lsilogic", MACHINE_SCSI_LSI },
		       { "lsisas1068", MACHINE_SCSI_LSI_SAS },
		       { "pvscsi", MACHINE_SCSI_PVSCSI } };

	for (unsigned c = 0; c < controllers; c++) {
		size_t before = v->m->disks_n;
		const char *present = settings_get(&v->s, "%s%u.present", name, c), *model;
		enum machine_scsi scsi = MACHINE_SCSI_LSI;

		settings_get(&v->s, "%s%u.pciSlotNumber", name, c);
		settings_get(&v->s, "%s%u.sasWWID", name, c);
		model = settings_get(&v->s, "%s%u.virtualDev", name, c);
		if (bus != MACHINE_BUS_IDE && !yes(present))
			continue;
		for (unsigned u = 0; u < units; u++)
			disk_take(v, bus, name, c, u);
		if (bus != MACHINE_BUS_SCSI)
			continue;
		for (size_t i = 0; model && i < sizeof(models) / sizeof(*models); i++)
			if (!strcasecmp(models[i].name, model))
				scsi = models[i].scsi;
		for (size_t i = before; i < v->m->disks_n; i++)
			v->m->disks[i].scsi = scsi;
	}
}

static void floppies_take(struct vmx *v)
{
	for (unsigned i = 0; i < 2; i++) {
		const char *present = settings_get(&v->s, "floppy%u.present", i),
			   *file = settings_get(&v->s, "floppy%u.fileName", i);
		struct machine_disk *d = yes(present) ? machine_disk_add(v->m) : NULL;

		if (!d)
			continue;
		d->name = machine_text_format(v->m, "floppy%u", i);
		d->medium = MACHINE_FLOPPY;
		d->bus = MACHINE_BUS_FLOPPY;
		d->unit = (int)i;
		machine_disk_path(v->m, d, file && !strncmp(file, "/dev/", 5) ? NULL : file);
	}
}

/* ---------------------------------------------------------------- NICs and ports */

static void network_take(struct vmx *v, struct machine_nic *n, unsigned at)
{
	const char *kind = settings_get(&v->s, "ethernet%u.connectionType", at),
		   *name = settings_get(&v->s, "ethernet%u.networkName", at), *vnet = settings_get(&v->s, "ethernet%u.vnet", at);

	if (name && *name) {
		n->net = MACHINE_NET_NETWORK;
		n->network = machine_text(v->m, name);
	} else if (kind && !strcasecmp(kind, "custom")) {
		n->net = MACHINE_NET_INTERNAL;
		n->network = machine_text(v->m, vnet);
	} else if (kind && !strcasecmp(kind, "nat")) {
		n->net = MACHINE_NET_NAT;
	} else if (kind && !strcasecmp(kind, "hostonly")) {
		n->net = MACHINE_NET_HOST_ONLY;
	} else if (!kind || !strcasecmp(kind, "bridged")) {
		n->net = MACHINE_NET_BRIDGE;
	} else {
		machine_lost_add(&v->m->lost, kind, NULL, "NIC %u: kind of its network", at + 1);
	}
}

static void nic_take(struct vmx *v, unsigned at)
{
	static const struct {
		const char *name;
		enum machine_nic_model model;
	} models[] = { { "vlance", MACHINE_NIC_PCNET }, { "vmxnet", MACHINE_NIC_VMXNET }, { "vmxnet2", MACHINE_NIC_VMXNET },
		{ "vmxnet3", MACHINE_NIC_VMXNET3 }, { "e1000", MACHINE_NIC_E1000 }, { "e1000e", MACHINE_NIC_E1000E } };
	const char *model = settings_get(&v->s, "ethernet%u.virtualDev", at),
		   *type = settings_get(&v->s, "ethernet%u.addressType", at),
		   *fixed = settings_get(&v->s, "ethernet%u.address", at),
		   *made = settings_get(&v->s, "ethernet%u.generatedAddress", at),
		   *connected = settings_get(&v->s, "ethernet%u.startConnected", at), *mac;
	struct machine_nic *n = yes(settings_get(&v->s, "ethernet%u.present", at)) ? machine_nic_add(v->m) : NULL;

	settings_get(&v->s, "ethernet%u.generatedAddressOffset", at);
	settings_get(&v->s, "ethernet%u.checkMACAddress", at);
	settings_get(&v->s, "ethernet%u.pciSlotNumber", at);
	settings_get(&v->s, "ethernet%u.uptCompatibility", at);
	settings_get(&v->s, "ethernet%u.linkStatePropagation.enable", at);
	if (!n)
		return;
	network_take(v, n, at);
	n->model = model ? MACHINE_NIC_UNKNOWN : MACHINE_NIC_PCNET;
	for (size_t i = 0; model && i < sizeof(models) / sizeof(*models); i++)
		if (!strcasecmp(models[i].name, model))
			n->model = models[i].model;
	if (!n->model)
		machine_lost_add(&v->m->lost, model, NULL, "NIC %u: model", at + 1);
	mac = type && !strcasecmp(type, "static") ? fixed : made ? made : fixed;
	n->mac = machine_mac(v->m, mac);
	if (mac && *mac && !n->mac)
		machine_lost_add(&v->m->lost, mac, "it is no MAC address", "NIC %u", at + 1);
	n->disconnected = connected && !yes(connected);
}

static void serial_take(struct vmx *v, unsigned at)
{
	const char *type = settings_get(&v->s, "serial%u.fileType", at), *file = settings_get(&v->s, "serial%u.fileName", at),
		   *host;
	struct machine_serial *s = yes(settings_get(&v->s, "serial%u.present", at)) ? machine_serial_add(v->m) : NULL;

	settings_get(&v->s, "serial%u.pipe.endPoint", at);
	settings_get(&v->s, "serial%u.tryNoRxLoss", at);
	settings_get(&v->s, "serial%u.yieldOnMsrRead", at);
	settings_get(&v->s, "serial%u.startConnected", at);
	settings_get(&v->s, "serial%u.autodetect", at);
	settings_get(&v->s, "serial%u.network.endPoint", at);
	if (!s)
		return;
	s->kind = MACHINE_SERIAL_NONE;
	if (type && !strcasecmp(type, "file"))
		s->kind = MACHINE_SERIAL_FILE;
	else if (type && !strcasecmp(type, "pipe"))
		s->kind = MACHINE_SERIAL_PIPE;
	else if (type && !strcasecmp(type, "device"))
		s->kind = MACHINE_SERIAL_DEVICE;
	else if (type && !strcasecmp(type, "network"))
		s->kind = MACHINE_SERIAL_TCP;
	else if (type && strcasecmp(type, "none"))
		machine_lost_add(&v->m->lost, type, NULL, "serial port %u: kind", at + 1);
	host = file && s->kind == MACHINE_SERIAL_TCP ? strstr(file, "://") : NULL;
	s->path = s->kind == MACHINE_SERIAL_NONE ? NULL : machine_text(v->m, host ? host + 3 : file);
}

/* ---------------------------------------------------------------- the boot order */

/* One word of bios.hddOrder: scsi0:1, ide0:0. */
static void hdd_take(struct vmx *v, const char *word, unsigned *next)
{
	struct machine_disk *d = machine_disk_find(v->m, word);

	if (d && !d->boot)
		d->boot = (*next)++;
}

static void words_take(struct vmx *v, const char *list, void (*take)(struct vmx *, const char *, unsigned *), unsigned *next)
{
	char word[64];

	while (list && *list) {
		size_t n = strcspn(list, ", ");

		if (n && n < sizeof(word)) {
			memcpy(word, list, n);
			word[n] = '\0';
			take(v, word, next);
		}
		list += n + (list[n] != '\0');
	}
}

static void order_take(struct vmx *v, const char *word, unsigned *next)
{
	uint64_t nic;

	if (!strcasecmp(word, "hdd") || !strcasecmp(word, "hd")) {
		bool first = !v->disks_ordered;

		v->disks_ordered = true;
		if (first && v->disks_order && *v->disks_order)
			words_take(v, v->disks_order, hdd_take, next);
		else if (first)
			boot_medium(v->m, MACHINE_DISK, next);
	} else if (!strcasecmp(word, "cdrom") || !strcasecmp(word, "cd")) {
		boot_medium(v->m, MACHINE_CDROM, next);
	} else if (!strcasecmp(word, "floppy") || !strcasecmp(word, "fd")) {
		boot_medium(v->m, MACHINE_FLOPPY, next);
	} else if (!strncasecmp(word, "ethernet", 8) && xml_number(word + 8, 9, &nic) && nic < v->m->nics_n) {
		if (!v->m->nics[nic].boot)
			v->m->nics[nic].boot = (*next)++;
	} else if (!strcasecmp(word, "ethernet") || !strcasecmp(word, "net")) {
		boot_nic(v->m, next);
	}
}

static void boot_take(struct vmx *v)
{
	const char *order = settings_get(&v->s, "bios.bootOrder");
	unsigned next = 1;

	v->disks_order = settings_get(&v->s, "bios.hddOrder");
	if (order && !strncasecmp(order, "allow:", 6))
		order += 6;
	if (order)
		words_take(v, order, order_take, &next);
	else
		words_take(v, v->disks_order, hdd_take, &next);
}

/* ---------------------------------------------------------------- the machine itself */

static int number_take(struct vmx *v, const char *key, uint64_t max, uint64_t *out)
{
	const char *text = settings_get(&v->s, "%s", key);

	*out = 0;
	if (!text || !*text)
		return 0;
	if (!xml_number(text, max, out))
		return fail(v->err, VDISK_CORRUPT, "%s is no number up to %llu: \"%.64s\"", key, (unsigned long long)max, text);
	return 0;
}

static int machine_take(struct vmx *v)
{
	struct machine *m = v->m;
	const char *uuid = settings_get(&v->s, "uuid.bios"), *os = settings_get(&v->s, "guestOS"),
		   *firmware = settings_get(&v->s, "firmware"), *vtpm;
	uint64_t memory, cpus, cores, vram;

	if (number_take(v, "memsize", MACHINE_MEMORY_MAX >> 20, &memory) || number_take(v, "numvcpus", MACHINE_CPUS_MAX, &cpus) ||
	    number_take(v, "cpuid.coresPerSocket", MACHINE_CPUS_MAX, &cores) || number_take(v, "svga.vramSize", UINT32_MAX, &vram))
		return -1;
	m->name = machine_text(m, settings_get(&v->s, "displayName"));
	m->description = machine_text_clean(m, settings_get(&v->s, "annotation"));
	m->uuid = machine_uuid(m, uuid);
	if (uuid && !m->uuid)
		machine_lost_add(&m->lost, uuid, "it is no UUID", "uuid.bios");
	m->os = machine_text(m, os);
	m->arch = os ? machine_text(m, strcasestr(os, "arm") ? "aarch64" : strstr(os, "64") ? "x86_64" : "i686") : NULL;
	m->memory = memory << 20;
	m->cpus = cpus ? (unsigned)cpus : 1;
	if (cores && m->cpus % cores == 0) {
		m->cores = (unsigned)cores;
		m->sockets = m->cpus / m->cores;
	}
	m->firmware = firmware && !strcasecmp(firmware, "efi") ? MACHINE_FIRMWARE_UEFI : MACHINE_FIRMWARE_BIOS;
	m->secure_boot = yes(settings_get(&v->s, "uefi.secureBoot.enabled"));
	vtpm = settings_get(&v->s, "managedVM.autoAddVTPM"); /* "software", where it is not encrypted */
	m->tpm = yes(settings_get(&v->s, "vtpm.present")) || (vtpm && *vtpm && strcasecmp(vtpm, "FALSE")) ? MACHINE_TPM_2_0
	                                                                                                  : MACHINE_TPM_NONE;
	m->video = settings_get(&v->s, "svga.present") && !yes(settings_get(&v->s, "svga.present")) ? MACHINE_VIDEO_NONE
	                                                                                            : MACHINE_VIDEO_VMWARE;
	m->video_memory = vram;
	return 0;
}

static int vmx_take(struct vmx *v)
{
	if (machine_take(v))
		return -1;
	if (yes(settings_get(&v->s, "encryption.required")) || settings_have(&v->s, "encryption.keySafe"))
		return fail(v->err, VDISK_UNSUPPORTED, "the virtual machine is encrypted: VMware must decrypt it first");
	bus_take(v, MACHINE_BUS_SCSI, "scsi", 4, 65);
	bus_take(v, MACHINE_BUS_SATA, "sata", 4, 30);
	bus_take(v, MACHINE_BUS_NVME, "nvme", 4, 64);
	bus_take(v, MACHINE_BUS_IDE, "ide", 2, 2);
	floppies_take(v);
	for (unsigned i = 0; i < 10; i++)
		nic_take(v, i);
	for (unsigned i = 0; i < 32; i++)
		serial_take(v, i);
	boot_take(v);
	settings_unused(&v->s, harmless, &v->m->lost);
	return 0;
}

int vmx_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	struct vmx v = { .m = m, .err = err };
	int rc;

	(void)how;
	rc = lines_take(&v, bytes, len);
	if (!rc)
		rc = vmx_take(&v);
	settings_free(&v.s);
	return rc;
}

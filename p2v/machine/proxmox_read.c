/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proxmox's qemu-server configuration, as it lies on the host and in a VMA archive: lines `key: value`, a description in comments
 * at the top, snapshots in sections behind.  In an archive a disk's data are called drive-KEY, which is what `ref` tells; lines
 * "#qmdump#map:" say the same.
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "settings.h"
#include "xml.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct proxmox {
	struct machine *m;
	struct settings s;
	vdisk_error *err;
	char description[MACHINE_TEXT_MAX + 1];
	size_t description_n;
};

static const char *const harmless[] = { "agent",          "balloon",    "cpulimit",       "cpuunits",  "digest",    "hotplug",
	                                "keyboard",       "lock",       "meta",           "migrate_*", "onboot",    "parent",
	                                "protection",     "shares",     "snaptime",       "startup",   "startdate", "tablet",
	                                "template",       "vmgenid",    "vmstatestorage", "acpi",      "kvm",       "localtime",
	                                "numa",           "tags",       "unused*",        "freeze",    "reboot",    "vmstate",
	                                "runningmachine", "runningcpu", "allow-ksm",      NULL };

/* ---------------------------------------------------------------- lines */

static int hex(char c) { return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1; }

/* A line of the description, its %XX resolved. */
static void comment_take(struct proxmox *p, const char *line, size_t n)
{
	for (size_t i = 1; i < n && p->description_n < MACHINE_TEXT_MAX - 1; i++) {
		char c = line[i];

		if (c == '%' && n - i >= 3 && hex(line[i + 1]) >= 0 && hex(line[i + 2]) >= 0) {
			c = (char)(hex(line[i + 1]) * 16 + hex(line[i + 2]));
			i += 2;
		}
		if (c)
			p->description[p->description_n++] = c;
	}
	if (p->description_n < MACHINE_TEXT_MAX)
		p->description[p->description_n++] = '\n';
}

static int line_take(struct proxmox *p, const char *line, size_t n, unsigned number)
{
	const char *colon;
	size_t key;

	while (n && isspace((unsigned char)line[n - 1]))
		n--;
	if (!n)
		return 0;
	if (n > 12 && !strncmp(line, "#qmdump#map:", 12)) {
		line += 12;
		n -= 12;
		colon = memchr(line, ':', n);
		key = colon ? (size_t)(colon - line) : 0;
		if (key && key < 32) {
			char name[64];
			size_t rest = n - key - 1, len = strcspn(colon + 1, ":\r\n");

			snprintf(name, sizeof(name), "#map %.*s", (int)key, line);
			return settings_add(&p->s, name, strlen(name), colon + 1, len < rest ? len : rest, number, p->err);
		}
		return 0;
	}
	if (*line == '#') {
		comment_take(p, line, n);
		return 0;
	}
	colon = memchr(line, ':', n);
	if (!colon)
		return fail(p->err, VDISK_CORRUPT, "line %u is no setting: \"%.*s\"", number, (int)(n < 64 ? n : 64), line);
	key = (size_t)(colon - line);
	colon++;
	while (colon < line + n && isspace((unsigned char)*colon))
		colon++;
	return settings_add(&p->s, line, key, colon, (size_t)(line + n - colon), number, p->err);
}

static int lines_take(struct proxmox *p, const void *bytes, size_t len)
{
	char *text = settings_utf8(bytes, len, NULL, p->err);
	unsigned number = 0, snapshots = 0;
	int rc = 0;

	if (!text)
		return -1;
	for (const char *line = text; !rc && *line;) {
		size_t n = strcspn(line, "\n");

		number++;
		if (*line == '[') {
			machine_lost_add(&p->m->lost, NULL, NULL, "snapshot, line %u: %.*s", number, (int)(n < 64 ? n : 64), line);
			snapshots++;
		} else if (!snapshots) {
			rc = line_take(p, line, n, number);
		}
		line += n + (line[n] != '\0');
	}
	free(text);
	return rc;
}

/* ---------------------------------------------------------------- values: a,b=c,d=e */

/* The part `name=…`; NULL name: the first part, with or without a name.  false: there is none, or it is too long. */
static bool part(const char *value, const char *name, char *out, size_t room)
{
	for (const char *at = value; *at;) {
		size_t n = strcspn(at, ","), skip = name ? strlen(name) : 0;

		if (!name || (n > skip && !strncmp(at, name, skip) && at[skip] == '=')) {
			const char *from = name ? at + skip + 1 : at;
			size_t len = n - (size_t)(from - at);

			if (len >= room)
				return false;
			memcpy(out, from, len);
			out[len] = '\0';
			return true;
		}
		at += n + (at[n] != '\0');
	}
	return false;
}

static uint64_t size_of(const char *text)
{
	static const char suffixes[] = "KMGT";
	char *end;
	unsigned long long n = strtoull(text, &end, 10);
	const char *suffix = *end ? strchr(suffixes, *end) : NULL;
	uint64_t bytes;

	if (!isdigit((unsigned char)*text) || (*end && (!suffix || end[1])))
		return 0;
	if (__builtin_mul_overflow((uint64_t)n, suffix ? (uint64_t)1 << (10 * (suffix - suffixes + 1)) : 1, &bytes) ||
	    bytes > INT64_MAX)
		return 0;
	return bytes;
}

static const char *format_of(const char *volume)
{
	static const char *const names[] = { "qcow2", "vmdk", "raw" };
	size_t n = strlen(volume);

	for (size_t i = 0; i < 3; i++) {
		size_t len = strlen(names[i]);

		if (n > len && volume[n - len - 1] == '.' && !strcmp(volume + n - len, names[i]))
			return names[i];
	}
	return NULL;
}

static enum machine_scsi scsi_of(const char *hw)
{
	return !hw || !strncmp(hw, "lsi", 3) ? MACHINE_SCSI_LSI
	       : !strncmp(hw, "virtio", 6)   ? MACHINE_SCSI_VIRTIO
	       : !strcmp(hw, "pvscsi")       ? MACHINE_SCSI_PVSCSI
	       : !strcmp(hw, "megasas")      ? MACHINE_SCSI_MEGASAS
	                                     : MACHINE_SCSI_UNKNOWN;
}

static void disk_take(struct proxmox *p, enum machine_bus bus, const char *bus_name, unsigned unit)
{
	char volume[MACHINE_TEXT_MAX], text[256];
	const char *value = settings_get(&p->s, "%s%u", bus_name, unit), *ref = settings_get(&p->s, "#map %s%u", bus_name, unit);
	struct machine_disk *d;

	/* An archive's map names the disks that are in it. */
	if (value && !ref && settings_have(&p->s, "#map ") && part(value, "backup", text, sizeof(text)) && !xml_yes(text)) {
		machine_lost_add(&p->m->lost, value, "it is kept out of backups", "disk %s%u", bus_name, unit);
		return;
	}
	d = value ? machine_disk_add(p->m) : NULL;
	if (!d)
		return;
	d->name = machine_text_format(p->m, "%s%u", bus_name, unit);
	d->bus = bus;
	if (bus == MACHINE_BUS_SCSI)
		d->scsi = scsi_of(settings_get(&p->s, "scsihw"));
	place_set(p->m, d, 0, (int)unit);
	if (part(value, "media", text, sizeof(text)) && !strcmp(text, "cdrom"))
		d->medium = MACHINE_CDROM;
	if (part(value, "size", text, sizeof(text)))
		d->size = size_of(text);
	if (part(value, "serial", text, sizeof(text)))
		d->serial = machine_text(p->m, text);
	if (part(value, "format", text, sizeof(text)))
		d->format = machine_text(p->m, text);
	if (part(value, "ssd", text, sizeof(text)) && !strcmp(text, "0"))
		d->rotational = true;
	d->read_only = part(value, "ro", text, sizeof(text)) && xml_yes(text);
	d->ref = ref                         ? machine_text(p->m, ref)
	         : d->medium == MACHINE_DISK ? machine_text_format(p->m, "drive-%s%u", bus_name, unit)
	                                     : NULL;
	if (!(part(value, "file", volume, sizeof(volume)) || part(value, NULL, volume, sizeof(volume))) ||
	    !strcmp(volume, "none") || !strcmp(volume, "cdrom"))
		return;
	if (!d->format && d->medium == MACHINE_DISK)
		d->format = format_of(volume);
	machine_disk_path(p->m, d, volume); /* STORAGE:NAME, which has the form of a scheme */
}

static void nic_take(struct proxmox *p, unsigned at)
{
	const char *value = settings_get(&p->s, "net%u", at), *equals;
	struct machine_nic *n = value ? machine_nic_add(p->m) : NULL;
	char text[256], model[32];
	uint64_t v;
	int known;

	if (!n)
		return;
	if (part(value, NULL, text, sizeof(text))) {
		equals = strchr(text, '=');
		snprintf(model, sizeof(model), "%.*s", equals ? (int)(equals - text) : 31, text);
		known = machine_nic_model_parse(!strcmp(model, "ne2k_pci")     ? "ne2000"
		                                : !strncmp(model, "e1000-", 6) ? "e1000"
		                                                               : model);
		n->model = known > 0 ? (enum machine_nic_model)known : MACHINE_NIC_UNKNOWN;
		if (!n->model)
			machine_lost_add(&p->m->lost, model, NULL, "NIC %u: model", at + 1);
		n->mac = equals ? machine_mac(p->m, equals + 1) : NULL;
	}
	if (part(value, "model", text, sizeof(text)) && (known = machine_nic_model_parse(text)) > 0)
		n->model = (enum machine_nic_model)known;
	if (part(value, "macaddr", text, sizeof(text)))
		n->mac = machine_mac(p->m, text);
	n->net = MACHINE_NET_NAT;
	if (part(value, "bridge", text, sizeof(text))) {
		n->net = MACHINE_NET_BRIDGE;
		n->network = machine_text(p->m, text);
	}
	if (part(value, "tag", text, sizeof(text)) && xml_number(text, 4094, &v))
		n->vlan = (unsigned)v;
	if (part(value, "mtu", text, sizeof(text)) && xml_number(text, 65535, &v))
		n->mtu = (unsigned)v;
	n->disconnected = part(value, "link_down", text, sizeof(text)) && xml_yes(text);
}

/* ---------------------------------------------------------------- the machine itself */

static void boot_one(struct proxmox *p, const char *name, unsigned *next)
{
	struct machine_disk *d = machine_disk_find(p->m, name);
	uint64_t nic, seen = 0;

	if (d && !d->boot)
		d->boot = (*next)++;
	if (strncmp(name, "net", 3) || !xml_number(name + 3, 31, &nic))
		return;
	for (unsigned i = 0; i < nic; i++)
		seen += settings_have(&p->s, "net%u", i) ? 1 : 0;
	if (seen < p->m->nics_n && !p->m->nics[seen].boot)
		p->m->nics[seen].boot = (*next)++;
}

static void boot_take(struct proxmox *p)
{
	const char *boot = settings_get(&p->s, "boot"), *disk = settings_get(&p->s, "bootdisk");
	unsigned next = 1;
	char list[512], name[32];

	if (boot && part(boot, "order", list, sizeof(list))) {
		for (const char *at = list; *at;) {
			size_t n = strcspn(at, ";");

			snprintf(name, sizeof(name), "%.*s", (int)(n < 31 ? n : 31), at);
			boot_one(p, name, &next);
			at += n + (at[n] != '\0');
		}
		return;
	}
	for (const char *c = boot && *boot ? boot : disk ? "c" : ""; *c && !strchr(c, '='); c++)
		if (*c == 'c' && disk)
			boot_one(p, disk, &next);
		else if (*c == 'c')
			boot_medium(p->m, MACHINE_DISK, &next);
		else if (*c == 'd')
			boot_medium(p->m, MACHINE_CDROM, &next);
		else if (*c == 'n')
			boot_nic(p->m, &next);
}

static int number(struct proxmox *p, const char *key, uint64_t max, uint64_t *out)
{
	const char *value = settings_get(&p->s, "%s", key);
	char text[64];

	if (!value)
		return 0;
	if ((part(value, "current", text, sizeof(text)) || part(value, NULL, text, sizeof(text))) && xml_number(text, max, out))
		return 0;
	return fail(p->err, VDISK_CORRUPT, "%s is \"%.64s\"", key, value);
}

static void serials_take(struct proxmox *p)
{
	for (unsigned i = 0; i < 4; i++) {
		const char *value = settings_get(&p->s, "serial%u", i);
		struct machine_serial *s = value ? machine_serial_add(p->m) : NULL;

		if (!s)
			continue;
		s->kind = *value == '/' ? MACHINE_SERIAL_DEVICE : MACHINE_SERIAL_PTY;
		s->path = *value == '/' ? machine_text(p->m, value) : NULL;
	}
}

static void video_take(struct proxmox *p)
{
	static const char *const names[] = { "", "none", "std", "cirrus", "vmware", "qxl", "virtio" };
	const char *value = settings_get(&p->s, "vga");
	char text[64];
	uint64_t n;

	if (!value)
		return;
	if (!part(value, "type", text, sizeof(text)) && !part(value, NULL, text, sizeof(text)))
		return;
	for (size_t i = 1; i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(text, names[i], strlen(names[i])))
			p->m->video = (enum machine_video)i;
	if (!strncmp(text, "serial", 6))
		p->m->video = MACHINE_VIDEO_NONE;
	if (part(value, "memory", text, sizeof(text)) && xml_number(text, 512, &n))
		p->m->video_memory = n << 20;
}

static int machine_take(struct proxmox *p)
{
	struct machine *m = p->m;
	const char *bios = settings_get(&p->s, "bios"), *type = settings_get(&p->s, "machine"),
		   *smbios = settings_get(&p->s, "smbios1"), *tpm = settings_get(&p->s, "tpmstate0"),
		   *efi = settings_get(&p->s, "efidisk0"), *os = settings_get(&p->s, "ostype"), *arch = settings_get(&p->s, "arch");
	uint64_t memory = 512, sockets = 1, cores = 1, cpus = 0;
	char text[128];

	if (number(p, "memory", MACHINE_MEMORY_MAX >> 20, &memory) || number(p, "sockets", 1024, &sockets) ||
	    number(p, "cores", 1024, &cores) || number(p, "vcpus", MACHINE_CPUS_MAX, &cpus))
		return -1;
	if (!sockets || !cores)
		return fail(p->err, VDISK_CORRUPT, "the machine has no CPU");
	m->name = machine_text(m, settings_get(&p->s, "name"));
	p->description[p->description_n] = '\0';
	m->description = machine_text_clean(m, p->description_n ? p->description : settings_get(&p->s, "description"));
	m->memory = memory << 20;
	m->sockets = (unsigned)sockets;
	m->cores = (unsigned)cores;
	m->cpus = m->sockets * m->cores;
	if (cpus && cpus != m->cpus)
		machine_lost_add(&m->lost, NULL, "it gets all of them", "vcpus: %u of %u at the start", (unsigned)cpus, m->cpus);
	m->firmware = bios && !strcmp(bios, "ovmf") ? MACHINE_FIRMWARE_UEFI : MACHINE_FIRMWARE_BIOS;
	m->chipset = type && strstr(type, "q35") ? MACHINE_CHIPSET_Q35 : MACHINE_CHIPSET_PC;
	m->secure_boot = efi && part(efi, "pre-enrolled-keys", text, sizeof(text)) && xml_yes(text);
	if (efi)
		machine_lost_add(&m->lost, efi, "UEFI's variables are made anew", "efidisk0");
	if (tpm) {
		m->tpm = part(tpm, "version", text, sizeof(text)) && !strcmp(text, "v2.0") ? MACHINE_TPM_2_0 : MACHINE_TPM_1_2;
		machine_lost_add(&m->lost, tpm, "the TPM is a new one, without the keys of the old", "tpmstate0");
	}
	if (smbios && part(smbios, "uuid", text, sizeof(text)))
		m->uuid = machine_uuid(m, text);
	m->os = machine_text(m, os);
	m->arch = machine_text(m, arch);
	return 0;
}

int proxmox_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	static const struct {
		const char *name;
		enum machine_bus bus;
		unsigned n;
	} buses[] = { { "ide", MACHINE_BUS_IDE, 4 }, { "sata", MACHINE_BUS_SATA, 6 }, { "scsi", MACHINE_BUS_SCSI, 31 },
		{ "virtio", MACHINE_BUS_VIRTIO, 16 } };
	struct proxmox *p = calloc(1, sizeof(*p));
	int rc;

	(void)how;
	if (!p)
		return fail_nomem(err);
	p->m = m;
	p->err = err;
	rc = lines_take(p, bytes, len);
	if (!rc)
		rc = machine_take(p);
	if (!rc) {
		for (size_t b = 0; b < sizeof(buses) / sizeof(*buses); b++)
			for (unsigned i = 0; i < buses[b].n; i++)
				disk_take(p, buses[b].bus, buses[b].name, i);
		for (unsigned i = 0; i < 32; i++)
			nic_take(p, i);
		serials_take(p);
		video_take(p);
		boot_take(p);
		settings_get(&p->s, "scsihw");
		settings_unused(&p->s, harmless, &m->lost);
	}
	settings_free(&p->s);
	free(p);
	return rc;
}

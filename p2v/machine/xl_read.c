/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Xen's xl.cfg(5): assignments of strings, numbers and lists of them.  Disks as xl-disk-configuration(5) has them: positional or by
 * name, with the old prefixes; NICs by xl-network-configuration(5).
 */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "settings.h"
#include "xml.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LISTS_MAX 8

struct xl {
	struct machine *m;
	struct settings s;
	vdisk_error *err;
	const char *at;  /* in the text */
	unsigned line;
	bool ahci;
};

static const char *const harmless[] = {
	"builder", "type", "on_poweroff", "on_reboot", "on_crash", "on_watchdog", "on_soft_reset", "vnc*", "spice*", "sdl*",
	"keymap", "acpi", "apic", "pae", "nx", "hap", "usb", "usbdevice", "device_model_version", "device_model_override",
	"xen_platform_pci", "viridian", "localtime", "cpu_weight", "cap", "pool", "nographic", "soundhw", "opengl", "shadow_memory",
	"timer_mode", "hpet", "maxvcpus", "tsc_mode", "kernel_*", NULL
};

/* ---------------------------------------------------------------- the language */

static void blanks_skip(struct xl *x, bool lines)
{
	for (;; x->at++) {
		if (*x->at == '#')
			x->at += strcspn(x->at, "\n");
		if (*x->at == '\n')
			x->line++;
		if (!*x->at || !isspace((unsigned char)*x->at) || (*x->at == '\n' && !lines)) {
			if (*x->at == '\n' && !lines)
				x->line--;
			return;
		}
	}
}

static int hex(char c) { return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1; }

/* What stands behind a backslash; '\0': nothing that is known. */
static char escape_take(struct xl *x)
{
	static const char names[] = "abfnrtv\"'\\", values[] = "\a\b\f\n\r\t\v\"'\\";
	const char *known = *x->at ? strchr(names, *x->at) : NULL;
	unsigned c = 0, n = 0;

	if (known) {
		x->at++;
		return values[known - names];
	}
	if (*x->at == 'x' && hex(x->at[1]) >= 0 && hex(x->at[2]) >= 0) {
		c = (unsigned)(hex(x->at[1]) * 16 + hex(x->at[2]));
		x->at += 3;
		return (char)c;
	}
	for (; n < 3 && x->at[n] >= '0' && x->at[n] <= '7'; n++)
		c = c * 8 + (unsigned)(x->at[n] - '0');
	x->at += n;
	return c <= 0xff ? (char)c : '\0';
}

static int syntax(struct xl *x, const char *what)
{
	return fail(x->err, VDISK_CORRUPT, "line %u: %s at \"%.*s\"", x->line, what,
	            (int)strcspn(x->at, "\n") < 48 ? (int)strcspn(x->at, "\n") : 48, x->at);
}

/* One string or number, added under the key. */
static int value_take(struct xl *x, const char *key, size_t key_len)
{
	char text[MACHINE_TEXT_MAX + 1], quote = *x->at;
	size_t n = 0;

	if (quote == '"' || quote == '\'') {
		x->at++;
		while (*x->at && *x->at != quote && *x->at != '\n') {
			char c = *x->at++;

			if (c == '\\' && !(c = escape_take(x)))
				return syntax(x, "a string has an unknown escape");
			if (n == MACHINE_TEXT_MAX)
				return syntax(x, "a string is too long");
			text[n++] = c;
		}
		if (*x->at != quote)
			return syntax(x, "a string does not end");
		x->at++;
	} else {
		while (isdigit((unsigned char)*x->at) && isalnum((unsigned char)x->at[n]))
			n++;
		if (!n || n > MACHINE_TEXT_MAX)
			return syntax(x, "there is neither a string nor a number");
		memcpy(text, x->at, n);
		x->at += n;
	}
	return settings_add(&x->s, key, key_len, text, n, x->line, x->err);
}

/* What lists within it hold (vnuma's) stands under the same key. */
static int list_take(struct xl *x, const char *key, size_t key_len, unsigned depth)
{
	x->at++;
	for (;;) {
		blanks_skip(x, true);
		if (*x->at == ']') {
			x->at++;
			return 0;
		}
		if (*x->at == '[' && depth == LISTS_MAX)
			return syntax(x, "too many lists in lists");
		if (*x->at == '[' ? list_take(x, key, key_len, depth + 1) : value_take(x, key, key_len))
			return -1;
		blanks_skip(x, true);
		if (*x->at == ',')
			x->at++;
		else if (*x->at != ']')
			return syntax(x, "a list goes wrong");
	}
}

static int text_take(struct xl *x)
{
	for (;;) {
		const char *key;
		size_t n = 0;

		blanks_skip(x, true);
		if (*x->at == ';') {
			x->at++;
			continue;
		}
		if (!*x->at)
			return 0;
		key = x->at;
		while (isalnum((unsigned char)key[n]) || key[n] == '_')
			n++;
		if (!n)
			return syntax(x, "there is no setting");
		x->at += n;
		blanks_skip(x, false);
		if (*x->at == '+')
			x->at++;
		if (*x->at != '=')
			return syntax(x, "there is no \"=\"");
		x->at++;
		blanks_skip(x, false);
		if (*x->at == '[' ? list_take(x, key, n, 1) : value_take(x, key, n))
			return -1;
		blanks_skip(x, false);
		if (*x->at && *x->at != '\n' && *x->at != ';')
			return syntax(x, "there is more behind a value");
	}
}

/* ---------------------------------------------------------------- disks and NICs */

struct disk_words {
	char target[MACHINE_TEXT_MAX + 1], format[32], vdev[32], access[8];
	bool cdrom, host;
};

static bool is_format(const char *text)
{
	static const char *const names[] = { "raw", "qcow", "qcow2", "vhd", "vhdx", "qed", "empty" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(names[i], text))
			return true;
	return false;
}

static bool is_vdev(const char *text)
{
	return (!strncmp(text, "hd", 2) || !strncmp(text, "sd", 2) || !strncmp(text, "xvd", 3) || !strncmp(text, "fd", 2)) &&
	       !strchr(text, '/');
}

static void set(char *out, size_t room, const char *text) { snprintf(out, room, "%s", text); }

/* phy:/dev/x, file:/x, tap:aio:/x, qcow2:/x. */
static const char *prefix_skip(const char *text, struct disk_words *w)
{
	static const char *const prefixes[] = { "phy:", "file:", "tap2:", "tap:", "aio:", "raw:", "qcow2:", "qcow:", "vhd:" };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		size_t n = strlen(prefixes[i]);

		if (strncmp(text, prefixes[i], n))
			continue;
		w->host |= i == 0;
		if (i == 1)
			set(w->format, sizeof(w->format), "raw");
		if (i > 4)
			snprintf(w->format, sizeof(w->format), "%.*s", (int)n - 1, prefixes[i]);
		return prefix_skip(text + n, w);
	}
	return text;
}

static void word_take(struct xl *x, struct disk_words *w, const char *word, unsigned at)
{
	const char *equals = strchr(word, '=');

	if (equals && !strncmp(word, "format", 6))
		set(w->format, sizeof(w->format), equals + 1);
	else if (equals && !strncmp(word, "vdev", 4))
		set(w->vdev, sizeof(w->vdev), equals + 1);
	else if (equals && !strncmp(word, "access", 6))
		set(w->access, sizeof(w->access), equals + 1);
	else if (equals && !strncmp(word, "devtype", 7))
		w->cdrom = !strcmp(equals + 1, "cdrom");
	else if (!strcmp(word, "cdrom"))
		w->cdrom = true;
	else if (equals && !strncmp(word, "backendtype", 11))
		w->host |= !strcmp(equals + 1, "phy");
	else if (!at && !equals)
		set(w->target, sizeof(w->target), prefix_skip(word, w));
	else if (is_format(word))
		set(w->format, sizeof(w->format), word);
	else if (is_vdev(word))
		set(w->vdev, sizeof(w->vdev), word);
	else if (!strcmp(word, "r") || !strcmp(word, "ro") || !strcmp(word, "w") || !strcmp(word, "rw"))
		set(w->access, sizeof(w->access), word);
	else if (*word)
		machine_lost_add(&x->m->lost, word, NULL, "disk %zu", x->m->disks_n);
}

static void words_take(struct xl *x, const char *spec, struct disk_words *w)
{
	char word[MACHINE_TEXT_MAX + 1];
	size_t n;

	for (unsigned i = 0; *spec; i++) {
		while (isspace((unsigned char)*spec))
			spec++;
		if (!strncmp(spec, "target=", 7)) { /* the last one, whatever comes in it */
			set(w->target, sizeof(w->target), prefix_skip(spec + 7, w));
			return;
		}
		n = strcspn(spec, ",");
		snprintf(word, sizeof(word), "%.*s", (int)n, spec);
		while (n && isspace((unsigned char)word[n - 1]))
			word[--n] = '\0';
		word_take(x, w, word, i);
		spec += strcspn(spec, ",");
		spec += *spec == ',';
	}
}

/* hda, sdb, xvdaa: the bus, and the number of the letters; -1: none. */
static int vdev_number(struct xl *x, const char *vdev, enum machine_bus *bus)
{
	unsigned n = 0;

	if (!strncmp(vdev, "xvd", 3)) {
		*bus = MACHINE_BUS_XEN;
		vdev += 3;
	} else {
		*bus = *vdev == 's'   ? MACHINE_BUS_SCSI
		       : *vdev == 'f' ? MACHINE_BUS_FLOPPY
		       : x->ahci      ? MACHINE_BUS_SATA
		                      : MACHINE_BUS_IDE;
		vdev += 2;
	}
	if (!*vdev || strlen(vdev) > 2)
		return -1;
	for (; islower((unsigned char)*vdev); vdev++)
		n = n * 26 + (unsigned)(*vdev - 'a' + 1);
	return *vdev || !n ? -1 : (int)n - 1;
}

static void disk_take(struct xl *x, const char *spec)
{
	struct machine_disk *d = machine_disk_add(x->m);
	struct disk_words w = { 0 };
	char *colon;
	int unit;

	if (!d)
		return;
	words_take(x, spec, &w);
	colon = strchr(w.vdev, ':');
	if (colon) {
		w.cdrom |= !strcmp(colon, ":cdrom");
		*colon = '\0';
	}
	d->name = machine_text(x->m, w.vdev);
	d->medium = w.cdrom ? MACHINE_CDROM : !strncmp(w.vdev, "fd", 2) ? MACHINE_FLOPPY : MACHINE_DISK;
	unit = is_vdev(w.vdev) ? vdev_number(x, w.vdev, &d->bus) : -1;
	if (d->bus == MACHINE_BUS_SCSI)
		d->scsi = MACHINE_SCSI_LSI;
	if (unit >= 0)
		place_set(x->m, d, 0, unit);
	if (d->medium == MACHINE_DISK)
		d->format = *w.format && strcmp(w.format, "empty") ? machine_text(x->m, w.format) : "raw";
	d->read_only = *w.access == 'r' && w.access[1] != 'w' && d->medium == MACHINE_DISK;
	d->host = w.host || !strncmp(w.target, "/dev/", 5);
	if (*w.target)
		machine_disk_path(x->m, d, w.target);
}

static bool pair(const char *spec, const char *name, char *out, size_t room)
{
	size_t len = strlen(name);

	for (const char *at = spec; *at;) {
		size_t n;

		while (isspace((unsigned char)*at))
			at++;
		n = strcspn(at, ",");
		if (n > len && !strncmp(at, name, len) && at[len] == '=' && n - len - 1 < room) {
			snprintf(out, room, "%.*s", (int)(n - len - 1), at + len + 1);
			return true;
		}
		at += n + (at[n] != '\0');
	}
	return false;
}

static void nic_take(struct xl *x, const char *spec)
{
	struct machine_nic *n = machine_nic_add(x->m);
	char text[256];
	int known;

	if (!n)
		return;
	n->net = MACHINE_NET_BRIDGE;
	if (pair(spec, "mac", text, sizeof(text)))
		n->mac = machine_mac(x->m, text);
	if (pair(spec, "bridge", text, sizeof(text)))
		n->network = machine_text(x->m, text);
	n->model = MACHINE_NIC_XEN;
	if (pair(spec, "model", text, sizeof(text))) {
		known = machine_nic_model_parse(!strcmp(text, "ne2k_pci")     ? "ne2000"
		                                : !strcmp(text, "virtio-net") ? "virtio"
		                                                              : text);
		n->model = known > 0 ? (enum machine_nic_model)known : MACHINE_NIC_UNKNOWN;
		if (!n->model)
			machine_lost_add(&x->m->lost, text, NULL, "NIC %zu: model", x->m->nics_n);
	} else if (pair(spec, "type", text, sizeof(text)) && strcmp(text, "vif")) {
		n->model = MACHINE_NIC_RTL8139; /* xl's own choice */
	}
	if (pair(spec, "script", text, sizeof(text)))
		machine_lost_add(&x->m->lost, text, NULL, "NIC %zu: script", x->m->nics_n);
}

/* ---------------------------------------------------------------- the machine itself */

/* Octal with a zero before it, hexadecimal with 0x: as xl takes it. */
static int number(struct xl *x, const char *key, uint64_t max, uint64_t *out)
{
	const char *text = settings_get(&x->s, "%s", key);
	unsigned long long v;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	v = strtoull(text, &end, 0);
	if (!isdigit((unsigned char)*text) || *end || errno || v > max)
		return fail(x->err, VDISK_CORRUPT, "%s is \"%.64s\"", key, text);
	*out = v;
	return 0;
}

static void lists_take(struct xl *x)
{
	for (size_t i = 0; i < x->s.n; i++) {
		struct setting *s = &x->s.at[i];

		if (!strcmp(s->key, "disk"))
			disk_take(x, s->value);
		else if (!strcmp(s->key, "vif"))
			nic_take(x, s->value);
		else
			continue;
		s->used = true;
	}
	for (unsigned i = 0; i < 2; i++) {
		const char *file = settings_get(&x->s, "fd%c", 'a' + i);
		struct machine_disk *d = file ? machine_disk_add(x->m) : NULL;

		if (!d)
			continue;
		d->name = machine_text_format(x->m, "fd%c", 'a' + i);
		d->medium = MACHINE_FLOPPY;
		d->bus = MACHINE_BUS_FLOPPY;
		place_set(x->m, d, 0, (int)i);
		machine_disk_path(x->m, d, file);
	}
}

static void serials_take(struct xl *x)
{
	for (size_t i = 0; i < x->s.n; i++) {
		const char *value = x->s.at[i].value;
		struct machine_serial *s;

		if (strcmp(x->s.at[i].key, "serial"))
			continue;
		x->s.at[i].used = true;
		s = machine_serial_add(x->m);
		if (!s)
			return;
		s->kind = !strcmp(value, "pty")         ? MACHINE_SERIAL_PTY
		          : !strncmp(value, "file:", 5) ? MACHINE_SERIAL_FILE
		          : !strncmp(value, "pipe:", 5) ? MACHINE_SERIAL_PIPE
		          : !strncmp(value, "tcp:", 4)  ? MACHINE_SERIAL_TCP
		          : *value == '/'               ? MACHINE_SERIAL_DEVICE
		                                        : MACHINE_SERIAL_NONE;
		if (s->kind == MACHINE_SERIAL_NONE && strcmp(value, "none") && strcmp(value, "null"))
			machine_lost_add(&x->m->lost, value, NULL, "serial port %zu", x->m->serials_n);
		else if (s->kind == MACHINE_SERIAL_DEVICE)
			s->path = machine_text(x->m, value);
		else if (strchr(value, ':'))
			s->path = machine_text_n(x->m, strchr(value, ':') + 1, strcspn(strchr(value, ':') + 1, ","));
	}
}

static void boot_take(struct xl *x)
{
	unsigned next = 1;

	for (const char *c = settings_get(&x->s, "boot"); c && *c; c++)
		if (*c == 'a')
			boot_medium(x->m, MACHINE_FLOPPY, &next);
		else if (*c == 'c')
			boot_medium(x->m, MACHINE_DISK, &next);
		else if (*c == 'd')
			boot_medium(x->m, MACHINE_CDROM, &next);
		else if (*c == 'n')
			boot_nic(x->m, &next);
}

static int machine_take(struct xl *x)
{
	struct machine *m = x->m;
	const char *bios = settings_get(&x->s, "bios"), *firmware = settings_get(&x->s, "firmware"),
		   *type = settings_get(&x->s, "type"), *builder = settings_get(&x->s, "builder"),
		   *vga = settings_get(&x->s, "vga"), *hdtype = settings_get(&x->s, "hdtype");
	uint64_t memory = 0, memory_most = 0, cpus = 1, most = 0, vram = 0;
	bool hvm = (type && !strcmp(type, "hvm")) || (builder && !strncmp(builder, "hvm", 3));

	if (number(x, "memory", MACHINE_MEMORY_MAX >> 20, &memory) ||
	    number(x, "maxmem", MACHINE_MEMORY_MAX >> 20, &memory_most) || number(x, "vcpus", MACHINE_CPUS_MAX, &cpus) ||
	    number(x, "maxvcpus", MACHINE_CPUS_MAX, &most) || number(x, "videoram", 1024, &vram))
		return -1;
	m->name = machine_text(m, settings_get(&x->s, "name"));
	m->uuid = machine_uuid(m, settings_get(&x->s, "uuid"));
	m->memory = (memory ? memory : memory_most) << 20;
	m->cpus = cpus ? (unsigned)cpus : 1;
	if (memory && memory_most > memory)
		machine_lost_add(&m->lost, NULL, NULL, "maxmem: %llu MiB", (unsigned long long)memory_most);
	if (most > cpus)
		machine_lost_add(&m->lost, NULL, NULL, "maxvcpus: %u", (unsigned)most);
	m->chipset = MACHINE_CHIPSET_PC;
	m->firmware = MACHINE_FIRMWARE_BIOS;
	if ((bios && !strcmp(bios, "ovmf")) || (firmware && (!strcmp(firmware, "uefi") || !strcmp(firmware, "ovmf"))))
		m->firmware = MACHINE_FIRMWARE_UEFI;
	if (!hvm) {
		m->firmware = MACHINE_FIRMWARE_UNKNOWN;
		machine_lost_add(&m->lost, type ? type : "pv", "a paravirtual guest, which no firmware boots", "type");
	}
	m->video = !vga                     ? (xml_yes(settings_get(&x->s, "stdvga")) ? MACHINE_VIDEO_VGA : MACHINE_VIDEO_UNKNOWN)
	           : !strcmp(vga, "none")   ? MACHINE_VIDEO_NONE
	           : !strcmp(vga, "qxl")    ? MACHINE_VIDEO_QXL
	           : !strcmp(vga, "cirrus") ? MACHINE_VIDEO_CIRRUS
	                                    : MACHINE_VIDEO_VGA;
	m->video_memory = vram << 20;
	x->ahci = hdtype && !strcmp(hdtype, "ahci");
	return 0;
}

int xl_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	struct xl x = { .m = m, .err = err, .line = 1 };
	char *text = settings_utf8(bytes, len, NULL, err);
	int rc;

	(void)how;
	if (!text)
		return -1;
	x.at = text;
	rc = text_take(&x);
	if (!rc)
		rc = machine_take(&x);
	if (!rc) {
		lists_take(&x);
		serials_take(&x);
		boot_take(&x);
		settings_unused(&x.s, harmless, &m->lost);
	}
	settings_free(&x.s);
	free(text);
	return rc;
}

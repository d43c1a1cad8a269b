/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "find.h"
#include "find_text.h"
#include "transfer/transfer.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>
#include <time.h>

#define DMI "/sys/class/dmi/id/"
#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

/* What boards' makers leave standing where a value should be. */
static bool is_filler(const char *text)
{
	static const char *const fillers[] = {
		"To be filled by O.E.M.", "To Be Filled By O.E.M.", "Default string", "System Product Name", "System manufacturer",
		"System Serial Number", "Not Specified", "Not Applicable", "None", "0123456789", "OEM", "O.E.M.", "INVALID",
		"unknown",
	};

	for (size_t i = 0; i < sizeof(fillers) / sizeof(*fillers); i++)
		if (!strcasecmp(text, fillers[i]))
			return true;
	return strspn(text, "0 .-") == strlen(text);
}

static const char *dmi(struct machine *m, const char *root, const char *name)
{
	char text[256];

	return find_text(text, sizeof(text), root, DMI "%s", name) && !is_filler(text) ? machine_text_clean(m, text) : NULL;
}

/* A UUID that is the same at the next time: of bytes that are. */
static const char *uuid_of(struct machine *m, const char *seed)
{
	uint8_t h[32];

	if (transfer_sha256(seed, strlen(seed), h, NULL))
		return NULL;
	h[6] = (uint8_t)((h[6] & 0x0f) | 0x80); /* RFC 9562, version 8 */
	h[8] = (uint8_t)((h[8] & 0x3f) | 0x80);
	return machine_text_format(m, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", h[0], h[1], h[2],
	                           h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]);
}

/* What some makers gave to all of their boards: machines that go by these would be taken for one. */
static bool is_everybodys(const char *uuid)
{
	static const char *const known[] = {
		"03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009",
		"12345678-1234-5678-90ab-cddeefaabbcc", "fefefefe-fefe-fefe-fefe-fefefefefefe",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcasecmp(uuid, known[i]))
			return true;
	return strspn(uuid, "0-") == strlen(uuid) || strspn(uuid, "fF-") == strlen(uuid);
}

/* The firmware's; else one that its cards make, which are the same from whichever system it is asked; else one of this
   installation's. */
static void uuid_find(struct machine *m, const char *root)
{
	char text[256], seed[4096] = "";
	size_t n, len = 0;
	char **names;

	if (find_text(text, sizeof(text), root, DMI "product_uuid") && !is_everybodys(text))
		m->uuid = machine_uuid(m, text);
	if (m->uuid)
		return;
	names = find_names(root, &n, "/sys/class/net");
	for (size_t i = 0; i < n; i++)
		if (find_there(root, "/sys/class/net/%s/device", names[i]) &&
		    find_text(text, sizeof(text), root, "/sys/class/net/%s/address", names[i]) &&
		    len + strlen(text) + 2 < sizeof(seed))
			len += (size_t)snprintf(seed + len, sizeof(seed) - len, "%s\n", text);
	find_names_free(names, n);
	if (!len)
		find_text(seed, sizeof(seed), root, "/etc/machine-id");
	if (!*seed)
		find_text(seed, sizeof(seed), root, "/proc/sys/kernel/hostname");
	m->uuid = uuid_of(m, seed);
}

static void firmware_find(struct machine *m, const char *root)
{
	char value[16];

	m->firmware = find_there(root, "/sys/firmware/efi") ? MACHINE_FIRMWARE_UEFI : MACHINE_FIRMWARE_BIOS;
	/* Four bytes of attributes, then the variable; read as text, its zeros stay where they are. */
	memset(value, 0, sizeof(value));
	find_text(value, sizeof(value), root, SECURE_BOOT);
	m->secure_boot = m->firmware == MACHINE_FIRMWARE_UEFI && value[4] == 1;
	if (find_there(root, "/sys/class/tpm/tpm0"))
		m->tpm = find_number(2, root, "/sys/class/tpm/tpm0/tpm_version_major") == 1 ? MACHINE_TPM_1_2 : MACHINE_TPM_2_0;
}

struct core {
	unsigned package, core;
};

static int by_core(const void *a, const void *b)
{
	const struct core *x = a, *y = b;

	return x->package != y->package ? (x->package > y->package) - (x->package < y->package)
	                                : (x->core > y->core) - (x->core < y->core);
}

/* Sockets, cores and threads only where they multiply to what there is. */
static void topology_find(struct machine *m, struct core *v, unsigned n)
{
	unsigned sockets = 0, cores = 0;

	qsort(v, n, sizeof(*v), by_core);
	for (unsigned i = 0; i < n; i++) {
		bool package = !i || v[i].package != v[i - 1].package;

		sockets += package;
		cores += package || v[i].core != v[i - 1].core;
	}
	if (cores % sockets || n % cores)
		return;
	m->sockets = sockets;
	m->cores = cores / sockets;
	m->threads = n / cores;
}

static void cpus_find(struct machine *m, const char *root)
{
	static char text[65536];
	struct core *v = NULL;
	unsigned found = 0;
	char **names, model[256];
	size_t n;

	names = find_names(root, &n, "/sys/devices/system/cpu");
	if (n)
		v = calloc(n, sizeof(*v));
	for (size_t i = 0; v && i < n; i++) {
		const char *name = names[i];

		if (strncmp(name, "cpu", 3) || !isdigit((unsigned char)name[3]) ||
		    strspn(name + 3, "0123456789") != strlen(name + 3) ||
		    !find_number(1, root, "/sys/devices/system/cpu/%s/online", name) ||
		    !find_there(root, "/sys/devices/system/cpu/%s/topology", name))
			continue;
		v[found].package = (unsigned)find_number(0, root, "/sys/devices/system/cpu/%s/topology/physical_package_id", name);
		v[found].core = (unsigned)find_number(found, root, "/sys/devices/system/cpu/%s/topology/core_id", name);
		found++;
	}
	find_names_free(names, n);
	find_text(text, sizeof(text), root, "/proc/cpuinfo");
	if (found) {
		m->cpus = found;
		topology_find(m, v, found);
	} else {
		for (const char *p = text; (p = strstr(p, "processor")); p++)
			if (p == text || p[-1] == '\n')
				m->cpus++;
	}
	free(v);
	if (find_value(text, "model name", ':', model, sizeof(model)))
		m->host.cpu = machine_text_clean(m, model);
}

/* What is built in: the kernel's blocks of memory, which count what firmware took of them, too; else what the kernel has, rounded
   up. */
static void memory_find(struct machine *m, const char *root)
{
	char text[4096], value[64];
	uint64_t block = 0, blocks = 0;
	char **names;
	size_t n;

	if (find_text(text, sizeof(text), root, "/sys/devices/system/memory/block_size_bytes"))
		block = strtoull(text, NULL, 16);
	names = find_names(root, &n, "/sys/devices/system/memory");
	for (size_t i = 0; i < n; i++)
		if (!strncmp(names[i], "memory", 6) && isdigit((unsigned char)names[i][6]))
			blocks += find_number(1, root, "/sys/devices/system/memory/%s/online", names[i]) != 0;
	find_names_free(names, n);
	if (block && blocks && blocks <= MACHINE_MEMORY_MAX / block) {
		m->memory = block * blocks;
		return;
	}
	find_text(text, sizeof(text), root, "/proc/meminfo");
	if (find_value(text, "MemTotal", ':', value, sizeof(value))) {
		uint64_t kib = strtoull(value, NULL, 10), step = UINT64_C(128) << 10;

		if (kib <= MACHINE_MEMORY_MAX >> 10)
			m->memory = (kib + step - 1) / step * step << 10;
	}
}

static void host_find(struct machine *m, const char *root)
{
	char text[8192], value[256];
	struct utsname u;
	time_t now = time(NULL);
	struct tm tm;

	if (find_text(text, sizeof(text), root, "/proc/sys/kernel/hostname") ||
	    find_text(text, sizeof(text), root, "/etc/hostname"))
		m->host.hostname = machine_text_clean(m, text);
	m->host.vendor = dmi(m, root, "sys_vendor");
	m->host.product = dmi(m, root, "product_name");
	m->host.serial = dmi(m, root, "product_serial");
	m->host.board = dmi(m, root, "board_name");
	m->host.bios = dmi(m, root, "bios_version");
	if (find_text(text, sizeof(text), root, "/etc/os-release") && find_value(text, "PRETTY_NAME", '=', value, sizeof(value))) {
		size_t len = strlen(value);
		bool quoted = len >= 2 && *value == '"' && value[len - 1] == '"';

		m->host.os = machine_text_n(m, value + quoted, len - 2 * quoted);
	}
	if (find_text(text, sizeof(text), root, "/proc/sys/kernel/osrelease"))
		m->host.kernel = machine_text_clean(m, text);
	if (!uname(&u))
		m->arch = machine_text_clean(m, u.machine);
	if (gmtime_r(&now, &tm) && strftime(value, sizeof(value), "%Y-%m-%dT%H:%M:%SZ", &tm))
		m->host.captured = machine_text(m, value);
}

static void serials_find(struct machine *m, const char *root)
{
	size_t n;
	char **names = find_names(root, &n, "/sys/class/tty");

	for (size_t i = 0; i < n; i++)
		if (!strncmp(names[i], "ttyS", 4) && find_number(0, root, "/sys/class/tty/%s/type", names[i])) {
			struct machine_serial *s = machine_serial_add(m);

			if (s) {
				s->kind = MACHINE_SERIAL_DEVICE;
				s->path = machine_text_format(m, "/dev/%s", names[i]);
			}
		}
	find_names_free(names, n);
}

void find_board(struct machine *m, const char *root)
{
	host_find(m, root);
	m->name = m->host.hostname ? m->host.hostname : m->host.product ? m->host.product : machine_text(m, "machine");
	uuid_find(m, root);
	firmware_find(m, root);
	cpus_find(m, root);
	memory_find(m, root);
	serials_find(m, root);
	m->video = MACHINE_VIDEO_VGA;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of descriptions: which it is, and who reads and writes it. */
#include "describe.h"

#include "common/fail.h"
#include "formats.h"
#include "json.h"
#include "snapshots.h"
#include "xml.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MEMORY_DEFAULT ((uint64_t)1 << 30)

static const struct kind {
	const char *name, *suffix;
	int (*read)(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err);
	char *(*write)(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost,
	               vdisk_error *err);
} kinds[] = {
	[DESCRIBE_JSON] = { "json", ".json", NULL, NULL },
	[DESCRIBE_LIBVIRT] = { "libvirt", NULL, libvirt_read, libvirt_write },
	[DESCRIBE_VMX] = { "vmx", ".vmx", vmx_read, vmx_write },
	[DESCRIBE_OVF] = { "ovf", ".ovf", ovf_read, ovf_write },
	[DESCRIBE_VBOX] = { "vbox", ".vbox", vbox_read, vbox_write },
	[DESCRIBE_XL] = { "xl", ".cfg", xl_read, xl_write },
	[DESCRIBE_HYPERV] = { "hyperv", NULL, hyperv_read, hyperv_write },
	[DESCRIBE_VMC] = { "vmc", ".vmc", vmc_read, NULL },
	[DESCRIBE_XVA] = { "xva", NULL, xva_read, NULL },
	[DESCRIBE_PROXMOX] = { "proxmox", ".conf", proxmox_read, NULL },
};

#define KINDS_N (sizeof(kinds) / sizeof(*kinds))

const char *describe_kind_name(enum describe_kind kind) { return (size_t)kind < KINDS_N ? kinds[kind].name : NULL; }

enum describe_kind describe_kind_parse(const char *name)
{
	for (size_t i = 1; name && i < KINDS_N; i++)
		if (!strcmp(kinds[i].name, name))
			return (enum describe_kind)i;
	return DESCRIBE_UNKNOWN;
}

bool describe_kind_written(enum describe_kind kind)
{
	return kind == DESCRIBE_JSON || ((size_t)kind < KINDS_N && kinds[kind].write);
}

/* ---------------------------------------------------------------- probing */

static const struct {
	const char *element;
	enum describe_kind kind;
} roots[] = {
	{ "domain", DESCRIBE_LIBVIRT },       { "Envelope", DESCRIBE_OVF },    { "VirtualBox", DESCRIBE_VBOX },
	{ "configuration", DESCRIBE_HYPERV }, { "preferences", DESCRIBE_VMC }, { "value", DESCRIBE_XVA },
	{ "struct", DESCRIBE_XVA },
};

static enum describe_kind xml_probe(const void *bytes, size_t len)
{
	enum describe_kind kind = DESCRIBE_UNKNOWN;
	struct xml x;

	if (xml_parse(&x, bytes, len, NULL))
		return kind;
	for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++)
		if (xml_is(x.root, roots[i].element))
			kind = roots[i].kind;
	xml_free(&x);
	return kind;
}

static enum describe_kind name_probe(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	for (size_t i = 1; i < KINDS_N; i++) {
		size_t len = kinds[i].suffix ? strlen(kinds[i].suffix) : 0;

		if (len && n > len && !strcasecmp(name + n - len, kinds[i].suffix))
			return (enum describe_kind)i;
	}
	return DESCRIBE_UNKNOWN;
}

enum describe_kind describe_probe(const void *bytes, size_t len, const char *name)
{
	const unsigned char *p = bytes;
	size_t i = len >= 3 && !memcmp(p, "\xef\xbb\xbf", 3) ? 3 : 0;
	enum describe_kind kind;

	while (i < len && strchr(" \t\r\n", p[i]) && p[i])
		i++;
	if (i < len && p[i] == '{')
		return DESCRIBE_JSON;
	if (i < len && (p[i] == '<' || (len - i >= 2 && (!memcmp(p + i, "\xff\xfe", 2) || !memcmp(p + i, "\xfe\xff", 2))))) {
		kind = xml_probe(bytes, len);
		return kind ? kind : name_probe(name);
	}
	kind = lines_probe(bytes, len);
	return kind ? kind : name_probe(name);
}

/* ---------------------------------------------------------------- reading, writing */

static const char vmcx[] = "this is Hyper-V's binary configuration (.vmcx), which only Windows can read: there, Export-VM and "
			   "`Get-VM NAME | ConvertTo-Json` tell what is in it; the disks (.vhdx) can be converted by themselves";

static int refuse_binary(const void *bytes, size_t len, const char *name, vdisk_error *err)
{
	size_t n = name ? strlen(name) : 0;

	if (!len)
		return fail(err, VDISK_INVALID, "the description is empty");
	if (n > 5 && !strcasecmp(name + n - 5, ".vmcx"))
		return fail(err, VDISK_UNSUPPORTED, "%s", vmcx);
	if (len >= 262 && !memcmp((const char *)bytes + 257, "ustar", 5))
		return fail(err, VDISK_UNSUPPORTED, "this is an archive (OVA, XVA), not a description: `vdisk migrate` takes it");
	if (len >= 4 && !memcmp(bytes, "VMA", 4))
		return fail(err, VDISK_UNSUPPORTED,
		            "this is an archive of Proxmox (VMA), not a description: `vdisk migrate` takes it");
	return 0;
}

/* The file's name without folders and its end. */
static void name_default(struct machine *m, const char *name)
{
	const char *base, *dot;

	if (m->name || !name)
		return;
	base = strrchr(name, '/');
	base = base ? base + 1 : name;
	dot = strrchr(base, '.');
	m->name = machine_text_n(m, base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

int describe_read(const void *bytes, size_t len, const struct describe_read *how, struct machine **out, vdisk_error *err)
{
	struct describe_read h = how ? *how : (struct describe_read){ 0 };
	struct machine *m;

	if (len > DESCRIBE_MAX)
		return fail(err, VDISK_UNSUPPORTED, "a description of %zu bytes is larger than %zu", len, DESCRIBE_MAX);
	if (refuse_binary(bytes, len, h.name, err))
		return -1;
	if (!h.kind)
		h.kind = describe_probe(bytes, len, h.name);
	if (!h.kind || (size_t)h.kind >= KINDS_N) {
		struct xml x;

		if (len && *(const char *)bytes == '<' && xml_parse(&x, bytes, len, err))
			return -1; /* which says why */
		return fail(err, VDISK_UNSUPPORTED,
		            "this is no description of a machine that is known (libvirt, VMX, OVF, VirtualBox, xl.cfg, "
		            "Hyper-V's exported XML, Virtual PC, XenServer, Proxmox, vdisk's JSON)");
	}
	if (h.kind == DESCRIBE_JSON)
		return machine_json_read(bytes, len, out, err);
	m = machine_new();
	if (!m)
		return fail_nomem(err);
	m->systems = 1;
	if (kinds[h.kind].read(m, bytes, len, &h, err)) {
		machine_free(m);
		return -1;
	}
	name_default(m, h.name);
	if (machine_judge(m, err)) {
		machine_free(m);
		return -1;
	}
	*out = m;
	return 0;
}

char *describe_write(const struct machine *m, enum describe_kind kind, const struct describe_write *how, size_t *len,
		     struct machine_lost_list *lost, vdisk_error *err)
{
	static const struct describe_write none;
	size_t ignored;
	char *text;

	if (!describe_kind_written(kind)) {
		fail(err, VDISK_UNSUPPORTED, "%s descriptions are read, not written",
		     describe_kind_name(kind) ? describe_kind_name(kind) : "such");
		return NULL;
	}
	if (machine_judge(m, err))
		return NULL;
	if (!m->name && kind != DESCRIBE_JSON) {
		fail(err, VDISK_INVALID, "the machine has no name, which a description needs");
		return NULL;
	}
	if (kind != DESCRIBE_JSON) {
		struct machine whole = *m; /* borrows everything */

		if (!whole.memory) {
			whole.memory = MEMORY_DEFAULT;
			machine_lost_add(lost, NULL, "it is not known; 1 GiB is taken", "memory");
		}
		if (!whole.cpus)
			whole.cpus = 1;
		if (!how || !how->snapshots_told)
			snapshots_lost(m, false, lost);
		return kinds[kind].write(&whole, how ? how : &none, len ? len : &ignored, lost, err);
	}
	text = machine_json_write(m);
	if (!text)
		fail_nomem(err);
	else if (len)
		*len = strlen(text);
	return text;
}

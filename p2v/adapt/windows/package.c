/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The folder is walked through a tree, so that no link leads out of it.  Names of folders say for which Windows and processor a
   package is (the INFs of virtio-win do not tell Windows 8 from 10); where they say nothing the INF alone decides. */
#include "package.h"

#include "common/fail.h"
#include "iso_tree.h"
#include "target.h"
#include "winpath.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DEPTH_MAX 10
#define ENTRIES_MAX 100000
#define PACKAGES_MAX 256
#define FILE_MAX_BYTES (64u << 20)
#define RANK_UNNAMED 50

/* ---------------------------------------------------------------- names of folders */

/* Names for one Windows, each as virtio-win's ISO and its packages say. */
static const char *const system_names[][3] = {
	{ "2k8R2", "win2008r2", NULL }, { "w7", "win7", NULL },       { "2k12", "win2012", NULL }, { "w8", "win8", NULL },
	{ "2k12R2", "win2012r2", NULL }, { "w8.1", "win8.1", NULL },  { "2k16", "win2016", NULL }, { "w10", "win10", NULL },
	{ "2k19", "win2019", NULL },    { "2k22", "win2022", NULL },  { "w11", "win11", NULL },    { "2k25", "win2025", NULL },
	{ "xp", "winxp", NULL },        { "2k3", "win2003", NULL },   { "2k8", "win2008", NULL },  { "vista", "winvista", NULL },
};

/* For a Windows whose own folder is not there: the next older ones, whose drivers are the same or run as well. */
static const char *const fallbacks[][7] = {
	{ "2k8R2", "w7", NULL },
	{ "w7", "2k8R2", NULL },
	{ "2k12", "w8", NULL },
	{ "w8", "2k12", NULL },
	{ "2k12R2", "w8.1", NULL },
	{ "w8.1", "2k12R2", NULL },
	{ "2k16", "w10", NULL },
	{ "w10", "2k16", NULL },
	{ "2k19", "2k16", "w10", NULL },
	{ "2k22", "2k19", "2k16", "w10", NULL },
	{ "w11", "w10", "2k22", "2k19", NULL },
	{ "2k25", "2k22", "2k19", "2k16", "w11", "w10", NULL },
};

static const char *const arch_names[][3] = { { "x86", "x86", "i386" },
	                                     { "amd64", "amd64", "x64" },
	                                     { "arm64", "arm64", "aarch64" } };

static const char *system_named(const char *part)
{
	for (size_t i = 0; i < sizeof(system_names) / sizeof(*system_names); i++) {
		for (unsigned k = 0; system_names[i][k]; k++) {
			if (!strcasecmp(part, system_names[i][k]))
				return system_names[i][0];
		}
	}
	return NULL;
}

static const char *arch_named(const char *part)
{
	for (size_t i = 0; i < sizeof(arch_names) / sizeof(*arch_names); i++) {
		for (unsigned k = 0; k < 3; k++) {
			if (!strcasecmp(part, arch_names[i][k]))
				return arch_names[i][0];
		}
	}
	return NULL;
}

const char *package_arch(const struct windows_facts *w)
{
	return !strcmp(w->arch, "x86_64") ? "amd64" : !strcmp(w->arch, "aarch64") ? "arm64" : !strcmp(w->arch, "i686") ? "x86" : "";
}

/* How well the folder's name fits: 0 best; -1 not at all. */
static int system_rank(const char *name, const char *guest)
{
	if (!strcmp(name, guest))
		return 0;
	for (size_t i = 0; i < sizeof(fallbacks) / sizeof(*fallbacks); i++) {
		for (int k = 1; !strcmp(fallbacks[i][0], guest) && k < 7 && fallbacks[i][k]; k++) {
			if (!strcmp(fallbacks[i][k], name))
				return k;
		}
	}
	return -1;
}

static void name_note(struct bytes *to, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = to->at; s && (s = strstr(s, name)); s++) {
		if ((s == to->at || s[-1] == ' ') && (!s[n] || s[n] == ' '))
			return;
	}
	bytes_format(to, to->len ? " %s" : "%s", name);
}

/* ---------------------------------------------------------------- devices */

static const struct { const char *in; unsigned targets;
} makers[] = {
	{ "VEN_1AF4", TARGET_KVM | TARGET_VIRTUALBOX },
	{ "VEN_1B36", TARGET_KVM },
	{ "QEMU", TARGET_KVM },
	{ "VEN_15AD", TARGET_VMWARE },
	{ "VMW0", TARGET_VMWARE },
	{ "VEN_5853", TARGET_XEN },
	{ "XENBUS", TARGET_XEN },
	{ "XENVIF", TARGET_XEN },
	{ "XEN\\", TARGET_XEN },
	{ "VMBUS", TARGET_HYPERV },
	{ "VEN_80EE", TARGET_VIRTUALBOX },
};

static unsigned driver_targets(const struct inf_driver *d)
{
	unsigned targets = 0;

	for (size_t i = 0; i < d->devices_n; i++) {
		for (size_t k = 0; k < sizeof(makers) / sizeof(*makers); k++) {
			if (strstr(d->devices[i].id, makers[k].in))
				targets |= makers[k].targets;
		}
	}
	return targets;
}

/* ---------------------------------------------------------------- one package */

static void package_destroy(struct package *k)
{
	free(k->inf);
	free(k->folder);
	free(k->name);
	free(k->for_name);
	inf_driver_destroy(&k->driver);
	*k = (struct package){ 0 };
}

int package_read(const struct packages *p, const struct package *k, const char *file, struct bytes *out, vdisk_error *err)
{
	struct bytes path = { 0 };
	char *spelled = NULL;
	int rc;

	bytes_format(&path, "%s/%s", k->folder, file);
	rc = path.failed ? fail_nomem(err) : win_path(p->tree, path.at, &spelled, err);
	if (rc > 0)
		rc = p->tree->ops->read(p->tree, spelled, FILE_MAX_BYTES, out, err);
	if (rc > 0 && out->failed)
		rc = fail_nomem(err);
	free(spelled);
	bytes_destroy(&path);
	return rc;
}

/* Reads the INF.  1, 0 where it is not for this Windows or these hypervisors, -1. */
static int package_fill(struct packages *p, struct package *k, const struct windows_facts *w, unsigned targets, vdisk_error *err)
{
	const struct inf_target target = { package_arch(w), w->major, w->minor, w->build, w->server };
	struct bytes raw = { 0 };
	struct inf inf;
	int rc = p->tree->ops->read(p->tree, k->inf, INF_MAX, &raw, err);

	if (rc > 0 && !inf_parse(&inf, k->inf, raw.at, raw.len, err)) {
		rc = inf_driver_read(&k->driver, &inf, k->inf, &target, err);
		inf_destroy(&inf);
	} else if (rc > 0) {
		rc = -1;
	}
	bytes_destroy(&raw);
	if (rc <= 0)
		return rc;
	k->targets = driver_targets(&k->driver);
	/* Buses and filters that start at boot (Xen's) are nothing without what their installation adds: that waits for the first
	   boot. */
	for (size_t i = 0; i < k->driver.services_n; i++)
		k->boot |= k->driver.services[i].start == 0 &&
		           (!strcasecmp(k->driver.class_name, "SCSIAdapter") || !strcasecmp(k->driver.class_name, "HDC"));
	return !k->targets || (k->targets & targets);
}

/* Keeps the better of two packages of one name. */
static int package_keep(struct packages *p, struct package *k, vdisk_error *err)
{
	struct package *more;

	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->all[i].name, k->name))
			continue;
		if (k->rank < p->all[i].rank) {
			package_destroy(&p->all[i]);
			p->all[i] = *k;
		} else {
			package_destroy(k);
		}
		return 0;
	}
	more = p->n < PACKAGES_MAX ? realloc(p->all, (p->n + 1) * sizeof(*more)) : NULL;
	if (!more) {
		package_destroy(k);
		return p->n < PACKAGES_MAX
		               ? fail_nomem(err)
		               : fail(err, VDISK_UNSUPPORTED, "the drivers' folder has more than %u packages", PACKAGES_MAX);
	}
	p->all = more;
	p->all[p->n++] = *k;
	return 0;
}

/* What its folders' names say: the rank, or -1 where it is for somebody else.  `p` (may be NULL) notes what they are for. */
static int path_rank(struct packages *p, const char *path, const struct windows_facts *w, const char **for_name)
{
	const char *system = NULL, *arch = NULL;
	char part[256];
	int rank = RANK_UNNAMED;

	*for_name = "";
	for (const char *s = path; *s;) {
		size_t n;

		s += strspn(s, "/");
		n = strcspn(s, "/");
		if (n && n < sizeof(part) && s[n] == '/') {
			memcpy(part, s, n);
			part[n] = '\0';
			system = system ? system : system_named(part);
			arch = arch ? arch : arch_named(part);
		}
		s += n;
	}
	if (system)
		rank = system_rank(system, w->name);
	if (p && system)
		name_note(&p->systems, system);
	if (p && arch && (!system || rank >= 0))
		name_note(&p->archs, arch);
	if (system && rank > 0)
		*for_name = system;
	return arch && strcmp(arch, package_arch(w)) ? -1 : rank;
}

static int inf_found(struct packages *p, const char *path, const struct windows_facts *w, unsigned targets, vdisk_error *err)
{
	struct package k = { 0 };
	vdisk_error said = { 0 };
	const char *for_name, *base = strrchr(path, '/');
	int rc, rank = path_rank(p, path, w, &for_name);

	if (rank < 0)
		return 0;
	k.rank = (unsigned)rank;
	k.inf = strdup(path);
	k.folder = strndup(path, (size_t)(base - path));
	k.name = strdup(base + 1);
	k.for_name = strdup(for_name);
	if (!k.inf || !k.folder || !k.name || !k.for_name) {
		package_destroy(&k);
		return fail_nomem(err);
	}
	for (char *s = k.name; *s; s++)
		*s = (char)tolower((unsigned char)*s);
	rc = package_fill(p, &k, w, targets, &said);
	if (rc > 0)
		return package_keep(p, &k, err);
	if (rc < 0)
		bytes_format(&p->remarks, "%s is left out: %s\n", k.inf, said.message);
	package_destroy(&k);
	return 0;
}

/* ---------------------------------------------------------------- the folder */

struct walk {
	struct packages *p;
	const struct windows_facts *w;
	unsigned targets, entries;
};

static int folder_walk(struct walk *k, const char *path, unsigned depth, vdisk_error *err)
{
	struct tree *t = k->p->tree;
	struct bytes names = { 0 }, at = { 0 };
	int rc = t->ops->list(t, path, &names, err);

	for (size_t i = 0; rc > 0 && i < names.len; i += strlen(names.at + i) + 1) {
		const char *name = names.at + i;
		struct tree_stat st;
		size_t n = strlen(name);

		bytes_clear(&at);
		bytes_format(&at, "%s/%s", strcmp(path, "/") ? path : "", name);
		if (at.failed || ++k->entries > ENTRIES_MAX)
			rc = at.failed ? fail_nomem(err)
			               : fail(err, VDISK_UNSUPPORTED, "the drivers' folder has more than %u files", ENTRIES_MAX);
		else if (t->ops->stat(t, at.at, true, &st, err) < 0)
			rc = -1;
		else if (st.kind == TREE_FOLDER && depth < DEPTH_MAX)
			rc = folder_walk(k, at.at, depth + 1, err) ? -1 : 1;
		else if (st.kind == TREE_FILE && n > 4 && !strcasecmp(name + n - 4, ".inf"))
			rc = inf_found(k->p, at.at, k->w, k->targets, err) ? -1 : 1;
	}
	bytes_destroy(&names);
	bytes_destroy(&at);
	return rc < 0 ? -1 : 0;
}

/* Of an ISO, what may belong to a package for this Windows; what else there is is noted for a message. */
static bool file_is_wanted(void *to, const char *path)
{
	static const char *const suffixes[] = { ".inf", ".sys", ".cat", ".dll", ".exe", ".bin" };
	struct walk *k = to;
	const char *for_name, *base = strrchr(path, '/');
	size_t n = strlen(base);

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		if (n > 5 && !strcasecmp(base + n - 4, suffixes[i]))
			return strchr(path + 1, '/') && path_rank(i ? NULL : k->p, path, k->w, &for_name) >= 0;
	}
	return false;
}

/* Both drive QEMU's fw_cfg device; the second only names it. */
static void stub_drop(struct packages *p)
{
	struct package *stub = NULL;
	bool full = false;

	for (size_t i = 0; i < p->n; i++) {
		full |= !strcmp(p->all[i].name, "fwcfg.inf");
		if (!strcmp(p->all[i].name, "qemufwcfg.inf"))
			stub = &p->all[i];
	}
	if (!stub || !full)
		return;
	package_destroy(stub);
	memmove(stub, stub + 1, (size_t)(p->all + p->n - stub - 1) * sizeof(*stub));
	p->n--;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct package *)a)->name, ((const struct package *)b)->name);
}

int packages_find(struct packages *p, const char *folder, const struct windows_facts *w, unsigned targets, vdisk_error *err)
{
	struct walk k = { .p = p, .w = w, .targets = targets };

	struct stat st;

	*p = (struct packages){ 0 };
	if (stat(folder, &st))
		return fail_errno(err, "%s", folder);
	p->tree = S_ISDIR(st.st_mode) ? tree_folder_open(folder, true, err) : iso_tree_open(folder, file_is_wanted, &k, err);
	if (!p->tree) {
		packages_destroy(p);
		return -1;
	}
	if (folder_walk(&k, "/", 0, err)) {
		packages_destroy(p);
		return -1;
	}
	stub_drop(p);
	if (p->n)
		qsort(p->all, p->n, sizeof(*p->all), by_name);
	return 0;
}

void packages_destroy(struct packages *p)
{
	for (size_t i = 0; i < p->n; i++)
		package_destroy(&p->all[i]);
	free(p->all);
	bytes_destroy(&p->systems);
	bytes_destroy(&p->archs);
	bytes_destroy(&p->remarks);
	if (p->tree)
		tree_close(p->tree);
	*p = (struct packages){ 0 };
}

/* ---------------------------------------------------------------- drivers */

static uint32_t le(const char *p, unsigned n)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint32_t)(unsigned char)p[i] << 8 * i;
	return v;
}

/* PE/COFF: the machine of the file header, the fifth data directory (certificates) of the optional one. */
int driver_head(const struct bytes *file, const char *name, const char **machine, bool *sealed, vdisk_error *err)
{
	size_t len = file->len, at = len >= 64 && !memcmp(file->at, "MZ", 2) ? le(file->at + 60, 4) : 0;
	const char *pe = file->at + at;
	uint32_t magic, dirs;

	*machine = "";
	*sealed = false;
	if (at < 4 || at > len || len - at < 24 + 160 || memcmp(pe, "PE\0\0", 4))
		return fail(err, VDISK_CORRUPT, "%s: is no Windows driver (%zu bytes, no PE header)", name, len);
	switch (le(pe + 4, 2)) {
	case 0x14c: *machine = "x86"; break;
	case 0x8664: *machine = "amd64"; break;
	case 0xaa64: *machine = "arm64"; break;
	}
	magic = le(pe + 24, 2);
	dirs = magic == 0x20b ? 112 : magic == 0x10b ? 96 : 0;
	if (dirs && le(pe + 24 + dirs - 4, 4) > 4) {
		uint32_t off = le(pe + 24 + dirs + 32, 4), size = le(pe + 24 + dirs + 36, 4);

		*sealed = off && size > 8 && off <= len && size <= len - off;
	}
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * --drivers.  Each package that fits is laid into Drivers\VirtIO, which DevicePath names and from which the first boot installs it.
 * That is enough for whatever is not needed to get there.  What drives the boot disk has to be known before: its file goes to
 * System32\drivers and its service into the registry (register.c).  A driver that this Windows would not load is refused here, not
 * found out by a blue screen.
 */
#include "edit.h"
#include "common/fail.h"
#include "winpath.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CATALOGS "System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}"

/* ---------------------------------------------------------------- what Windows would load */

static int arch_judge(const struct windows_edit *e, const struct package *k, const char *file, const char *machine,
                      vdisk_error *err)
{
	if (!strcmp(machine, package_arch(e->w)))
		return 0;
	return fail(err, VDISK_REFUSED, "%s/%s is a driver for %s, and Windows is one for %s: --drivers needs %s ones", k->folder,
	            file, *machine ? machine : "an unknown processor", package_arch(e->w), package_arch(e->w));
}

/* 64-bit Windows loads signed drivers alone: by a signature in the file, or by a catalog that lists it. */
static int seal_judge(struct windows_edit *e, const struct packages *p, const struct package *k, const char *file, bool sealed,
                      vdisk_error *err)
{
	struct bytes catalog = { 0 };
	int rc;

	if (sealed || e->w->test_signing || !strcmp(package_arch(e->w), "x86"))
		return 0;
	rc = *k->driver.catalog ? package_read(p, k, k->driver.catalog, &catalog, err) : 0;
	bytes_destroy(&catalog);
	if (rc < 0)
		return -1;
	if (!rc)
		return fail(
			err, VDISK_REFUSED,
			"%s/%s is not signed (no signature in it, no catalog beside it), and 64-bit Windows does not load it: take "
			"signed drivers, or run \"bcdedit /set testsigning on\" in Windows first",
			k->folder, file);
	plan_remark(e->plan,
	            "%s has its signature in a catalog alone: if Windows does not start with it, start it once from a SATA disk",
	            file);
	return 0;
}

/* Looks at every driver file of the package that its services run.  Boot-start ones must be there. */
static int services_judge(struct windows_edit *e, const struct packages *p, const struct package *k, vdisk_error *err)
{
	for (size_t i = 0; i < k->driver.services_n; i++) {
		const struct inf_service *s = &k->driver.services[i];
		struct bytes file = { 0 };
		const char *machine;
		bool sealed;
		int rc = package_read(p, k, s->binary, &file, err);

		if (!rc && s->start == 0)
			rc = fail(err, VDISK_INVALID, "%s: its driver %s is not beside it", k->inf, s->binary);
		else if (rc > 0 && (s->type & 1))
			rc = driver_head(&file, s->binary, &machine, &sealed, err) || arch_judge(e, k, s->binary, machine, err) ||
			     (s->start == 0 && seal_judge(e, p, k, s->binary, sealed, err)) ? -1 : 0;
		bytes_destroy(&file);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- files */

/* One file of the package to `below` the system's folder.  1, 0 where the package has no such file, -1. */
static int file_copy(struct windows_edit *e, const struct packages *p, const struct package *k, const char *file, const char *below,
	const char *why, vdisk_error *err)
{
	struct bytes content = { 0 };
	int rc = package_read(p, k, file, &content, err);
	char *path = rc > 0 ? windows_path(e, below, err) : NULL;

	if (rc > 0)
		rc = path && !plan_write_binary(e->plan, path, content.at, content.len, 0644, NULL, err, "%s", why) ? 1 : -1;
	free(path);
	bytes_destroy(&content);
	return rc;
}

static int staged_note(struct windows_edit *e, const char *below, vdisk_error *err)
{
	size_t from = e->staged.len;

	bytes_format(&e->staged, "%%SystemRoot%%\\%s", below);
	bytes_add(&e->staged, "", 1);
	for (size_t i = from; i < e->staged.len && !e->staged.failed; i++) {
		if (e->staged.at[i] == '/')
			e->staged.at[i] = '\\';
	}
	return e->staged.failed ? fail_nomem(err) : 0;
}

/* Two packages may bring the same file (a co-installer); if they differ, one of them would not install. */
static int stage_one(struct windows_edit *e, const struct packages *p, const struct package *k, const char *file, vdisk_error *err)
{
	struct bytes below = { 0 }, content = { 0 };
	const struct change *there;
	char *path = NULL;
	int rc;

	bytes_format(&below, WINDOWS_STAGE "/%s", file);
	for (size_t i = sizeof(WINDOWS_STAGE); i < below.len && !below.failed; i++)
		below.at[i] = (char)tolower((unsigned char)below.at[i]);
	rc = below.failed ? fail_nomem(err) : package_read(p, k, file, &content, err);
	if (rc > 0 && !(path = windows_path(e, below.at, err)))
		rc = -1;
	there = rc > 0 ? plan_find(e->plan, path) : NULL;
	if (there && (there->content.len != content.len || memcmp(there->content.at, content.at, content.len)))
		plan_remark(e->plan, "%s of %s is another file than one of that name of another package, which stays", file,
		            k->inf);
	else if (rc > 0 && plan_write_binary(e->plan, path, content.at, content.len, 0644, NULL, err,
	                                     "a driver package for the first boot to install"))
		rc = -1;
	else if (!rc)
		plan_remark(e->plan, "%s names %s, which is not in its folder", k->inf, file);
	free(path);
	bytes_destroy(&below);
	bytes_destroy(&content);
	return rc < 0 ? -1 : 0;
}

static int package_stage(struct windows_edit *e, const struct packages *p, const struct package *k, vdisk_error *err)
{
	const struct bytes *files = &k->driver.files;

	if (stage_one(e, p, k, k->name, err))
		return -1;
	for (size_t i = 0; i < files->len; i += strlen(files->at + i) + 1) {
		if (stage_one(e, p, k, files->at + i, err))
			return -1;
	}
	e->packages = true;
	return 0;
}

/* What Windows needs before it can install anything: the drivers' files, their catalog, their services. */
static int package_boot(struct windows_edit *e, const struct packages *p, const struct package *k, vdisk_error *err)
{
	struct bytes below = { 0 };
	struct tree_stat st;
	char *catalogs;
	int rc = 0;

	for (size_t i = 0; i < k->driver.services_n && !rc; i++) {
		const struct inf_service *s = &k->driver.services[i];

		if (s->start != 0)
			continue;
		bytes_clear(&below);
		bytes_format(&below, "System32/drivers/%s", s->binary);
		rc = below.failed ? fail_nomem(err)
		                  : file_copy(e, p, k, s->binary, below.at, "a storage driver that starts at boot", err);
		rc = rc < 0 || staged_note(e, below.at, err) ? -1 : 0;
	}
	catalogs = rc ? NULL : windows_path(e, CATALOGS, err);
	if (!rc && !catalogs)
		rc = -1;
	if (!rc && *k->driver.catalog && e->plan->view.ops->stat(&e->plan->view, catalogs, true, &st, NULL) > 0) {
		bytes_clear(&below);
		bytes_format(&below, CATALOGS "/vdisk-%s", k->driver.catalog);
		rc = below.failed ? fail_nomem(err)
		                  : file_copy(e, p, k, k->driver.catalog, below.at,
		                              "the signatures of a driver that starts at boot", err);
		if (rc > 0)
			rc = staged_note(e, below.at, err);
		rc = rc < 0 ? -1 : 0;
	}
	free(catalogs);
	bytes_destroy(&below);
	return rc ? rc : windows_register(e, k, err);
}

/* ---------------------------------------------------------------- DevicePath */

static int device_path_add(struct windows_edit *e, vdisk_error *err)
{
	static const char key[] = "Microsoft\\Windows\\CurrentVersion";
	char *old = hive_text(&e->software, hive_find(&e->software, 0, key), "DevicePath");
	struct bytes now = { 0 };
	int rc = 0;

	if (!old || !strcasestr(old, WINDOWS_STAGE_SAYS)) {
		bytes_format(&now, "%s;%s", old && *old ? old : "%SystemRoot%\\inf", WINDOWS_STAGE_SAYS);
		rc = now.failed ? fail_nomem(err) : hive_set_text(&e->software, key, "DevicePath", HIVE_EXPAND_SZ, now.at, err);
	}
	free(old);
	bytes_destroy(&now);
	return rc;
}

/* ---------------------------------------------------------------- the whole */

static int none_fits(const struct windows_edit *e, const struct packages *p, vdisk_error *err)
{
	if (!p->archs.len && !p->systems.len)
		return fail(err, VDISK_INVALID, "%s holds no driver package (INF file) for %s %s and the wanted hypervisors",
		            e->o->drivers, e->w->name, package_arch(e->w));
	if (p->archs.len && !strstr(p->archs.at, package_arch(e->w)))
		return fail(err, VDISK_REFUSED, "%s holds drivers for %s alone, and Windows is one for %s", e->o->drivers,
		            p->archs.at, package_arch(e->w));
	return fail(err, VDISK_UNSUPPORTED, "%s holds no drivers for %s (%s, %s) and the wanted hypervisors, but for %s",
	            e->o->drivers, e->w->product, e->w->name, package_arch(e->w), p->systems.len ? p->systems.at : p->archs.at);
}

static int packages_inject(struct windows_edit *e, const struct packages *p, vdisk_error *err)
{
	bool boot = false;

	for (size_t i = 0; i < p->n; i++) {
		const struct package *k = &p->all[i];

		if (services_judge(e, p, k, err) || package_stage(e, p, k, err) || (k->boot && package_boot(e, p, k, err)))
			return -1;
		boot |= k->boot;
		if (*k->for_name)
			plan_remark(e->plan, "%s is the one for %s: there is none for %s", k->inf, k->for_name, e->w->name);
	}
	if (!boot)
		plan_remark(e->plan, "%s holds no storage driver that starts at boot: give the machine a SATA or IDE disk",
		            e->o->drivers);
	return device_path_add(e, err);
}

int windows_inject(struct windows_edit *e, vdisk_error *err)
{
	struct packages p;
	int rc;

	if (packages_find(&p, e->o->drivers, e->w, e->o->targets, err))
		return -1;
	rc = p.n ? packages_inject(e, &p, err) : none_fits(e, &p, err);
	for (const char *s = p.remarks.at; !rc && s && *s;) {
		size_t n = strcspn(s, "\n");

		plan_remark(e->plan, "%.*s", (int)n, s);
		s += n + (s[n] == '\n');
	}
	packages_destroy(&p);
	return rc;
}

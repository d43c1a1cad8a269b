/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adapting a Windows: what stands in the way is refused first, with the command that clears it; then the registry and the drivers.
   Whatever needs a running Windows is left to a script of its first boot. */
#include "edit.h"
#include "common/fail.h"
#include "windows_read.h"
#include "winpath.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void windows_key(char path[WINDOWS_KEY_MAX], unsigned set, const char *below, const char *name)
{
	snprintf(path, WINDOWS_KEY_MAX, "ControlSet%03u\\%s%s%s", set, below, *name ? "\\" : "", name);
}

char *windows_path(struct windows_edit *e, const char *below, vdisk_error *err)
{
	struct bytes path = { 0 };
	char *out = NULL;

	bytes_format(&path, "%s/%s", e->w->folder, below);
	if (path.failed)
		fail_nomem(err);
	else if (win_path(&e->plan->view, path.at, &out, err) < 0)
		out = NULL;
	bytes_destroy(&path);
	return out;
}

/* ---------------------------------------------------------------- refusals */

static int release_judge(const struct windows_facts *w, vdisk_error *err)
{
	const char *product = *w->product ? w->product : "Windows";

	if (!w->major)
		return fail(err, VDISK_UNSUPPORTED, "%s does not say which release it is (no CurrentVersion in its registry)",
		            product);
	if (!*w->name)
		return fail(err, VDISK_UNSUPPORTED,
		            "%s (%s) is not adapted: Windows 7 and Server 2008 R2 (6.1) to 11 and Server 2025 (10.0) are", product,
		            w->version);
	if (!*w->arch)
		return fail(err, VDISK_UNSUPPORTED,
		            "%s (%s) runs on a processor that is not known (no PROCESSOR_ARCHITECTURE in its registry)", product,
		            w->version);
	if (!windows_set(w))
		return fail(err, VDISK_CORRUPT, "%s: the SYSTEM hive has no control set", product);
	return 0;
}

int windows_sleeps(vdisk_error *err)
{
	return fail(
		err, VDISK_REFUSED,
		"Windows is hibernated: on other hardware it cannot wake, and its files must not change meanwhile.  Start it on the "
		"old machine, run \"powercfg /h off\" as administrator, and shut it down");
}

int windows_encrypted(const char *image, const char *where, vdisk_error *err)
{
	return fail(
		err, VDISK_REFUSED,
		"%s%sBitLocker protects %s: its key is bound to the old machine.  Start Windows there, run \"manage-bde -off C:\" as "
		"administrator, wait until \"manage-bde -status\" says Fully Decrypted, and shut it down",
		image ? image : "", image ? ": " : "", where);
}

int windows_dynamic(const char *image, const char *where, vdisk_error *err)
{
	return fail(
		err, VDISK_REFUSED,
		"%s%s%s is a dynamic disk: what is changed there might not be what Windows sees.  Make it a basic disk first (a copy "
		"of its volumes on a basic disk, or \"diskpart\" with \"convert basic\" for one without volumes)",
		image ? image : "", image ? ": " : "", where);
}

static int state_judge(const struct windows_facts *w, vdisk_error *err)
{
	if (*w->encrypted || w->bitlocker)
		return windows_encrypted(NULL, *w->encrypted ? w->encrypted : "the system volume", err);
	if (*w->dynamic)
		return windows_dynamic(NULL, w->dynamic, err);
	if (w->hibernated)
		return windows_sleeps(err);
	if (w->fast_startup && w->hiberfil)
		return fail(err, VDISK_REFUSED,
		            "Fast Startup is on: a shutdown leaves half of Windows hibernated.  Start it on the old machine, run "
		            "\"powercfg /h off\" as administrator, and shut it down");
	if (*w->unclean)
		return fail(
			err, VDISK_REFUSED,
			"%s: NTFS was not closed cleanly.  Start Windows on the old machine, run \"chkdsk /f\" if it asks for it, and "
			"shut it down; a copy of a running system needs \"chkdsk /f\" too",
			w->unclean);
	if (!w->closed)
		return fail(
			err, VDISK_REFUSED,
			"the registry was not closed cleanly: changes wait in its log, and would undo what is written now.  Start "
			"Windows once more on the old machine and shut it down with \"shutdown /s /t 0\"");
	return 0;
}

/* ---------------------------------------------------------------- the end */

static int hive_put(struct windows_edit *e, struct hive *h, const char *why, vdisk_error *err)
{
	struct bytes now = { 0 };
	int rc;

	if (!h->changed)
		return 0;
	rc = h->notes.failed ? fail_nomem(err) : hive_save(h, &now, err);
	if (!rc)
		rc = plan_write_binary(e->plan, h->path, now.at, now.len, 0644, &h->notes, err, "%s", why);
	bytes_destroy(&now);
	return rc;
}

static void remarks_add(const struct windows_edit *e)
{
	plan_remark(
		e->plan,
		"no Windows was started to test this: keep the old machine or the way back (--keep-undo) until this one has run");
	if (e->w->secure_boot && e->o->drivers)
		plan_remark(
			e->plan,
			"Secure Boot was on when Windows ran last: drivers that Microsoft has not signed will not load with it");
	if (e->packages && hive_find(&e->software, 0, "Policies\\Microsoft\\Windows\\DeviceInstall\\Restrictions"))
		plan_remark(
			e->plan,
			"a policy restricts which devices may be installed: if it forbids the new ones, Windows stops at its start (0x7B)");
	if ((e->o->targets & TARGET_KVM) && !e->o->drivers)
		plan_remark(e->plan,
		            "without --drivers (virtio-win) Windows boots from a SATA disk with an e1000 adapter, not from virtio");
	if ((e->o->targets & TARGET_HYPERV) && e->w->major == 6 && e->w->minor == 1)
		plan_remark(e->plan, "on Hyper-V this Windows boots in a generation 1 machine (IDE), not in a generation 2 one");
}

int step_windows(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	struct windows_edit e = { .plan = p, .facts = f, .w = f->windows, .o = o };
	int rc;

	if (f->kind != GUEST_WINDOWS || !e.w)
		return fail(err, VDISK_INVALID, "the guest is no Windows");
	if (release_judge(e.w, err) || state_judge(e.w, err) ||
	    windows_hives_open(&e.system, &e.software, &p->view, e.w->folder, true, err))
		return -1;
	rc = windows_boot_starts(&e, err) || windows_leave(&e, err) || (o->drivers && windows_inject(&e, err)) ||
	     windows_firstboot(&e, err) || windows_loader(&e, err) ||
	     hive_put(&e, &e.system, "which drivers start at boot, which services start at all", err) ||
	     hive_put(&e, &e.software, "where Windows looks for drivers", err);
	if (!rc)
		remarks_add(&e);
	hive_close(&e.system);
	hive_close(&e.software);
	bytes_destroy(&e.staged);
	return rc ? -1 : 0;
}

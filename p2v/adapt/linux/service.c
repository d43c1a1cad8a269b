/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service switched off so that it can be switched on again: systemd's units are masked (`systemctl unmask`), System V's start
 * links become kill links, upstart's jobs get an override, OpenRC's leave their runlevels.  Packages stay: removing them would run
 * the guest's own programs.
 */
#include "agents.h"

#include "common/fail.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE_PATH_MAX 256

static bool has_suffix(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && (!strcmp(dot, ".service") || !strcmp(dot, ".mount") || !strcmp(dot, ".socket") || !strcmp(dot, ".timer"));
}

static int systemd_off(struct plan *p, const char *name, vdisk_error *err, const char *why)
{
	static const char *const folders[] = { "/usr/lib/systemd/system", "/lib/systemd/system", NULL };
	char unit[SERVICE_PATH_MAX], own[SERVICE_PATH_MAX], aside[SERVICE_PATH_MAX + 16];
	struct tree_stat st;
	int there = 0, rc;

	for (const char *const *f = folders; !there && *f; f++) {
		snprintf(unit, sizeof(unit), "%s/%s%s", *f, name, has_suffix(name) ? "" : ".service");
		there = tree_exists(&p->view, unit, err);
	}
	if (there < 0)
		return -1;
	snprintf(own, sizeof(own), "/etc/systemd/system/%s%s", name, has_suffix(name) ? "" : ".service");
	rc = p->view.ops->stat(&p->view, own, false, &st, err);
	if (rc < 0 || (!rc && !there))
		return rc;
	if (rc > 0 && st.kind == TREE_FILE && st.size) { /* an installer's, not a package's: the only copy */
		snprintf(aside, sizeof(aside), "%s.vdisk-off", own);
		rc = tree_exists(&p->view, aside, err);
		if (rc || plan_move(p, own, aside, err, "%s", why))
			return rc > 0 ? 0 : -1;
	}
	return plan_link(p, own, "/dev/null", err, "%s", why);
}

struct sysv {
	struct plan *plan;
	const char *name, *why;
};

/* …/S20name becomes …/K80name. */
static int start_link(void *to, const char *path, vdisk_error *err)
{
	const struct sysv *s = to;
	const char *base = strrchr(path, '/') + 1;
	char kill[SERVICE_PATH_MAX];
	int number, rc;

	if (strlen(base) < 4 || !isdigit((unsigned char)base[1]) || !isdigit((unsigned char)base[2]) || strcmp(base + 3, s->name))
		return 0;
	number = 100 - ((base[1] - '0') * 10 + base[2] - '0');
	if (snprintf(kill, sizeof(kill), "%.*sK%02d%s", (int)(base - path), path, number > 99 ? 99 : number, s->name) >=
	    (int)sizeof(kill))
		return 0;
	rc = s->plan->view.ops->stat(&s->plan->view, kill, false, &(struct tree_stat){ 0 }, err);
	if (rc < 0)
		return -1;
	return rc ? plan_remove(s->plan, path, err, "%s", s->why) : plan_move(s->plan, path, kill, err, "%s", s->why);
}

static int sysv_off(struct plan *p, const char *name, vdisk_error *err, const char *why)
{
	static const char *const scripts[] = { "/etc/init.d", "/etc/rc.d/init.d", NULL };
	static const char *const levels[] = { "/etc/rc2.d",         "/etc/rc3.d",
		                              "/etc/rc4.d",         "/etc/rc5.d",
		                              "/etc/rcS.d",         "/etc/rc.d/rc2.d",
		                              "/etc/rc.d/rc3.d",    "/etc/rc.d/rc4.d",
		                              "/etc/rc.d/rc5.d",    "/etc/init.d/rc2.d",
		                              "/etc/init.d/rc3.d",  "/etc/init.d/rc5.d",
		                              "/etc/init.d/boot.d", NULL };
	struct sysv s = { p, name, why };
	char path[SERVICE_PATH_MAX];
	int there = 0;

	for (const char *const *d = scripts; !there && *d; d++) {
		snprintf(path, sizeof(path), "%s/%s", *d, name);
		there = tree_exists(&p->view, path, err);
	}
	if (there <= 0)
		return there;
	for (const char *const *d = levels; *d; d++)
		if (files_each(p, *d, "S[0-9][0-9]*", start_link, &s, err))
			return -1;
	return 0;
}

static int upstart_off(struct plan *p, const char *name, vdisk_error *err, const char *why)
{
	char path[SERVICE_PATH_MAX];
	struct text t;
	bool has = false;
	int rc;

	snprintf(path, sizeof(path), "/etc/init/%s.conf", name);
	rc = tree_exists(&p->view, path, err);
	if (rc <= 0)
		return rc;
	snprintf(path, sizeof(path), "/etc/init/%s.override", name);
	rc = text_open(&t, p, path, err);
	if (!rc) {
		rc = tree_exists(&p->view, path, err);
		if (rc) /* it is no text, and left as it is */
			return rc < 0 ? -1 : 0;
		rc = text_new(&t, p, path, err);
	}
	if (rc < 0)
		return -1;
	while (text_next(&t)) {
		has = has || span_is(span_trim(t.line), "manual");
		text_keep(&t);
	}
	if (!has)
		text_add(&t, "manual");
	return text_write(&t, err, "%s", why);
}

static int runlevel_off(void *to, const char *path, vdisk_error *err)
{
	const struct sysv *s = to;
	char at[SERVICE_PATH_MAX];

	if (snprintf(at, sizeof(at), "%s/%s", path, s->name) >= (int)sizeof(at))
		return 0;
	return plan_remove(s->plan, at, err, "%s", s->why);
}

int service_off(struct plan *p, const char *name, vdisk_error *err, const char *why)
{
	struct sysv s = { p, name, why };

	if (systemd_off(p, name, err, why))
		return -1;
	if (has_suffix(name))
		return 0;
	if (sysv_off(p, name, err, why) || upstart_off(p, name, err, why))
		return -1;
	return files_each(p, "/etc/runlevels", "*", runlevel_off, &s, err);
}

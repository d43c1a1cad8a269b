/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What modprobe is told: aliases by which older systems choose their drivers (eth0, scsi_hostadapter: Red Hat's mkinitrd takes the
 * latter into the initramfs), and lists of drivers not to load, if ours are among them.
 */
#include "agents.h"

#include "cmdline.h"
#include "common/fail.h"
#include "kmod.h"

#include <stdio.h>
#include <string.h>

struct modprobe {
	struct plan *plan;
	const struct facts *facts;
	const struct adapt_options *options;
	struct kmod kernel; /* the default one, once it was asked for */
	bool opened, has;
	unsigned adapters;  /* scsi_hostadapter lines that were written */
};

static int kernel_open(struct modprobe *m, vdisk_error *err)
{
	const struct fact_kernel *k = NULL;
	int rc = 0;

	if (m->opened)
		return 0;
	m->opened = true;
	for (size_t i = 0; i < m->facts->kernels_n; i++)
		if (m->facts->kernels[i].installed && (!k || m->facts->kernels[i].is_default))
			k = &m->facts->kernels[i];
	if (k && *k->modules)
		rc = kmod_open(&m->kernel, &m->plan->view, k->modules, k->release, err);
	m->has = rc > 0;
	return rc < 0 ? -1 : 0;
}

static bool kernel_has(const struct modprobe *m, const char *name)
{
	return m->has && (kmod_find(&m->kernel, name) || kmod_is_builtin(&m->kernel, name));
}

/* Of a target's list the first that the kernel has; NULL: none. */
static const char *first_of(const struct modprobe *m, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(*list, "sd_mod") && strcmp(*list, "sr_mod") && kernel_has(m, *list))
			return *list;
	return NULL;
}

/* In the place of the first that goes, under its name; what is more, behind the numbers that are taken. */
static void adapters_add(struct modprobe *m, struct text *t, struct span name)
{
	const char *done[TARGET_N];
	unsigned number = 0;

	for (const char *s = t->in.at; (s = strstr(s, "alias scsi_hostadapter")); s++)
		number++;

	for (size_t i = 0; i < TARGET_N; i++) {
		const char *driver = m->options->targets & target_infos[i].target ? first_of(m, target_infos[i].storage) : NULL;
		bool again = !driver;

		for (unsigned k = 0; k < m->adapters && !again; k++)
			again = !strcmp(done[k], driver);
		if (again)
			continue;
		done[m->adapters] = driver;
		if (m->adapters++)
			text_add(t, "alias scsi_hostadapter%u %s", number++, driver);
		else
			text_add(t, "alias %.*s %s", (int)name.len, name.at, driver);
	}
}

static bool is_card(struct span alias)
{
	return alias.len >= 4 && span_starts(alias, "eth") && strspn(alias.at + 3, "0123456789") >= alias.len - 3;
}

/* alias NAME DRIVER.  False: it stays. */
static bool alias_line(struct modprobe *m, struct text *t, struct span name, struct span driver)
{
	bool card = is_card(name), adapter = span_starts(name, "scsi_hostadapter");
	const char *ours = NULL;

	if ((!card && !adapter) || module_wanted(m->options->targets, driver) || !m->has)
		return false;
	for (size_t i = 0; !ours && i < TARGET_N; i++)
		if (m->options->targets & target_infos[i].target)
			ours = first_of(m, card ? target_infos[i].network : target_infos[i].storage);
	if (!ours) /* nothing would take its place */
		return false;
	text_add(t, "# vdisk: %.*s", (int)t->line.len, t->line.at);
	if (card)
		text_add(t, "alias %.*s %s", (int)name.len, name.at, ours);
	else if (!m->adapters)
		adapters_add(m, t, name);
	return true;
}

/* blacklist NAME, and install NAME with a command that does nothing. */
static bool refusing_line(struct modprobe *m, struct text *t, struct span command, struct span name, const char *at,
                          const char *end)
{
	struct span what;

	if (!span_is(command, "blacklist") &&
	    !(span_is(command, "install") && word_next(&at, end, &what) &&
	      (memmem(what.at, what.len, "/true", 5) || memmem(what.at, what.len, "/false", 6) || span_is(what, ":"))))
		return false;
	if (!module_wanted(m->options->targets, name))
		return false;
	text_add(t, "# vdisk: %.*s", (int)t->line.len, t->line.at);
	return true;
}

static bool speaks_of_alias(const struct text *t)
{
	return t->in.len && (strstr(t->in.at, "scsi_hostadapter") || strstr(t->in.at, "alias eth"));
}

static int modprobe_file(void *to, const char *path, vdisk_error *err)
{
	struct modprobe *m = to;
	struct text t;
	int rc = text_open(&t, m->plan, path, err);

	if (rc <= 0 || (speaks_of_alias(&t) && kernel_open(m, err))) {
		text_close(&t);
		return rc > 0 ? -1 : rc;
	}
	m->adapters = 0;
	while (text_next(&t)) {
		const char *at = t.line.at, *end = at + t.line.len, *rest;
		struct span command, name, driver;

		if (!word_next(&at, end, &command) || *command.at == '#' || !word_next(&at, end, &name)) {
			text_keep(&t);
			continue;
		}
		rest = at;
		if (span_is(command, "alias") && word_next(&at, end, &driver) ? alias_line(m, &t, name, driver)
		                                                              : refusing_line(m, &t, command, name, rest, end))
			continue;
		text_keep(&t);
	}
	return text_write(&t, err, "drivers of the new machine are loaded, not those of the old one");
}

int modprobe_adapt(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	struct modprobe m = { .plan = p, .facts = f, .options = o };
	int rc = modprobe_file(&m, "/etc/modprobe.conf", err);

	if (!rc)
		rc = files_each(p, "/etc/modprobe.d", "*", modprobe_file, &m, err);
	kmod_close(&m.kernel);
	return rc;
}

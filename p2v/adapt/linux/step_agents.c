/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last step: what served the old machine is switched off, what the new one needs is allowed, and what the administrator should
 * know is said. */
#include "agents.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

/* SELinux's labels stand beside the files that were there before; one that is new has none, and a confined udev may not read it. So
   the guest labels itself at its next start, once, if there are such. */
int relabel_adapt(struct plan *p, const struct facts *f, vdisk_error *err)
{
	const char *first = NULL;
	struct tree_stat st;
	size_t n = 0;

	if (!f->selinux)
		return 0;
	for (size_t i = 0; i < p->n; i++) {
		const struct change *c = &p->changes[i];
		bool esp = *f->esp && strcmp(f->esp, "/boot") && !strncmp(c->path, f->esp, strlen(f->esp));
		int rc;

		if ((c->kind != CHANGE_WRITE && c->kind != CHANGE_LINK) || esp || !strcmp(c->path, "/.autorelabel"))
			continue;
		rc = p->guest->ops->stat(p->guest, c->path, false, &st, err);
		if (rc < 0)
			return -1;
		if (rc)
			continue;
		n++;
		first = first ? first : c->path;
	}
	if (!n)
		return 0;
	remark_once(p,
	            "SELinux labels the whole guest anew at its first start, which takes a while and ends in another start: %zu "
	            "new file%s no label yet (%s%s)",
	            n, n > 1 ? "s have" : " has", first, n > 1 ? ", …" : "");
	return plan_write(p, "/.autorelabel", "", 0, 0644, err,
	                  "new files have no SELinux label, which this machine's kernel cannot give them");
}

/* The clock of the new machine is UTC for all but Windows guests. */
static int clock_remark(struct plan *p, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, p, "/etc/adjtime", err);

	while (rc > 0 && text_next(&t))
		if (span_is(span_trim(t.line), "LOCAL"))
			remark_once(p, "/etc/adjtime: the guest takes its hardware clock for local time: give the virtual machine "
			               "a clock in local time, or run timedatectl set-local-rtc 0");
	text_close(&t);
	return rc < 0 ? -1 : 0;
}

static int identity_remark(struct plan *p, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, p, "/etc/machine-id", err);

	if (rc > 0 && t.in.len >= 32)
		remark_once(p, "/etc/machine-id and the SSH host keys stay: the guest goes on as the machine that it was, and the "
		               "two should not run at once");
	text_close(&t);
	return rc < 0 ? -1 : 0;
}

int step_agents(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	if (agents_off(p, o, err) || modprobe_adapt(p, f, o, err) || xorg_adapt(p, o, err) || clock_remark(p, err) ||
	    identity_remark(p, err))
		return -1;
	return relabel_adapt(p, f, err);
}

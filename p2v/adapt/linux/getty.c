/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A login on the serial line where the init does not give one by itself: systemd and RHEL 6's upstart go by console=, the others
 * are told. */
#include "loader.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

static int first_that_is(struct loader *l, const char *const *names, const char **found, vdisk_error *err)
{
	*found = NULL;
	for (; *names && !*found; names++) {
		int rc = tree_exists(&l->plan->view, *names, err);

		if (rc < 0)
			return -1;
		if (rc)
			*found = *names;
	}
	return 0;
}

static int inittab(struct loader *l, vdisk_error *err)
{
	static const char *const gettys[] = { "/sbin/agetty", "/sbin/getty", "/bin/busybox", NULL };
	const char *port = serial_port(l->facts), *getty;
	bool has = false;
	struct text t;
	int rc = text_open(&t, l->plan, "/etc/inittab", err);

	if (rc <= 0 || first_that_is(l, gettys, &getty, err)) {
		text_close(&t);
		return rc > 0 ? -1 : rc;
	}
	while (text_next(&t)) {
		struct span line = span_trim(t.line);

		has = has || (line.len && *line.at != '#' && memmem(line.at, line.len, port, strlen(port)));
		text_keep(&t);
	}
	if (!has && !strcmp(l->facts->os, "alpine"))
		text_add(&t, "%s::respawn:/sbin/getty -L %s 115200 vt100", port, port);
	else if (!has && getty && !strcmp(getty, "/sbin/agetty"))
		text_add(&t, "S0:2345:respawn:/sbin/agetty -L 115200 %s vt100", port);
	else if (!has && getty)
		text_add(&t, "S0:2345:respawn:/sbin/getty -L %s 115200 vt100", port);
	return text_write(&t, err, "a login on the serial line");
}

/* Ubuntu's upstart starts what /etc/init names; RHEL 6 has serial.conf, which goes by console=. */
static int upstart(struct loader *l, vdisk_error *err)
{
	const char *port = serial_port(l->facts);
	char path[64], text[256];
	int n, rc = tree_exists(&l->plan->view, "/etc/init/serial.conf", err);

	if (rc)
		return rc < 0 ? -1 : 0;
	snprintf(path, sizeof(path), "/etc/init/%s.conf", port);
	n = snprintf(text, sizeof(text),
	             "start on stopped rc RUNLEVEL=[12345]\nstop on runlevel [!12345]\nrespawn\nexec /sbin/getty -L 115200 %s "
	             "vt102\n",
	             port);
	rc = tree_exists(&l->plan->view, path, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	return plan_write(l->plan, path, text, (size_t)n, 0644, err, "a login on the serial line");
}

/* Where root may log in. */
static int securetty(struct loader *l, vdisk_error *err)
{
	const char *port = serial_port(l->facts);
	bool has = false;
	struct text t;
	int rc = text_open(&t, l->plan, "/etc/securetty", err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		has = has || span_is(span_trim(t.line), port);
		text_keep(&t);
	}
	if (!has)
		text_add(&t, "%s", port);
	return text_write(&t, err, "root may log in on the serial line");
}

int getty_adapt(struct loader *l, vdisk_error *err)
{
	if (strcmp(l->facts->init, "systemd") && inittab(l, err))
		return -1;
	if (!strcmp(l->facts->init, "upstart") && upstart(l, err))
		return -1;
	return securetty(l, err);
}

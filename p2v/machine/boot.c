/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Orders and places: what readers and writers do alike about them. */
#include "fit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t boot_insert(struct fit_boot *list, size_t n, size_t max, struct fit_boot one)
{
	size_t at = n;

	while (at && list[at - 1].order > one.order)
		at--;
	if (at == max)
		return n;
	n = n < max ? n + 1 : max;
	memmove(&list[at + 1], &list[at], (n - at - 1) * sizeof(*list));
	list[at] = one;
	return n;
}

size_t fit_boot_list(const struct fitted *f, struct fit_boot *list, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < f->disks_n; i++)
		if (f->disks[i].boot)
			n = boot_insert(list, n, max, (struct fit_boot){ f->disks[i].boot, false, i });
	for (size_t i = 0; i < f->nics_n; i++)
		if (f->nics[i].boot)
			n = boot_insert(list, n, max, (struct fit_boot){ f->nics[i].boot, true, i });
	return n;
}

void boot_medium(struct machine *m, enum machine_medium medium, unsigned *next)
{
	for (size_t i = 0; i < m->disks_n; i++)
		if (m->disks[i].medium == medium) {
			if (!m->disks[i].boot)
				m->disks[i].boot = (*next)++;
			return;
		}
}

void boot_nic(struct machine *m, unsigned *next)
{
	if (m->nics_n && !m->nics[0].boot)
		m->nics[0].boot = (*next)++;
}

char *fit_path(const struct machine_disk *d, const struct describe_write *how)
{
	char *path;

	if (!d->path)
		return NULL;
	if (!how || !how->folder || d->path_flags & (MACHINE_PATH_ABSOLUTE | MACHINE_PATH_REMOTE))
		return strdup(d->path);
	return asprintf(&path, "%s/%s", strcmp(how->folder, "/") ? how->folder : "", d->path) < 0 ? NULL : path;
}

void place_set(struct machine *m, struct machine_disk *d, unsigned controller, int unit)
{
	for (size_t i = 0; i < m->disks_n; i++) {
		const struct machine_disk *o = &m->disks[i];

		if (o != d && o->bus == d->bus && o->controller == controller && o->unit == unit) {
			machine_lost_add(&m->lost, NULL, "another disk has it", "disk %s: its place %s %u:%d",
			                 d->name ? d->name : "without a name", machine_bus_name(d->bus), controller, unit);
			d->controller = controller;
			d->unit = -1;
			return;
		}
	}
	d->controller = controller;
	d->unit = unit;
}

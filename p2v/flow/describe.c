/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The description for the target.  From here on the machine's disks are the result's, no more the source's. */
#include "flow/flow.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names beside the description where its kind finds them there; libvirt and Xen want whole paths. */
int flow_disks_rename(struct flow *f, bool whole, vdisk_error *err)
{
	for (size_t i = 0; i < f->n_disks; i++) {
		struct flow_disk *x = &f->disks[i];
		char path[4400];

		snprintf(path, sizeof(path), "%s%s%s", whole ? f->out : "", whole ? "/" : "", x->file);
		x->d->format = NULL;
		machine_disk_path(f->m, x->d, path);
		x->d->format = machine_text(f->m, f->a->ova ? "vmdk" : f->format);
		x->d->size = x->size;
		x->d->file_size = x->file_bytes;
		x->d->chunk_size = 0;
		x->d->compression = NULL;
		x->d->host = false;
	}
	return f->m->failed.kind ? fail(err, f->m->failed.kind, "%s", f->m->failed.message) : 0;
}

int flow_describe(struct flow *f, vdisk_error *err)
{
	enum describe_kind kind;
	struct describe_write how;
	const char *suffix;
	char name[300], *text;
	size_t len;
	int rc;

	if (f->a->ova)
		return 0; /* it goes into the OVA */
	kind = flow_target_description(f->a->target, &suffix);
	if (flow_disks_rename(f, kind == DESCRIBE_LIBVIRT || kind == DESCRIBE_XL, err))
		return -1;
	flow_target_fit(f, &how);
	text = describe_write(f->m, kind, &how, &len, &f->lost, err);
	if (!text)
		return -1;
	snprintf(name, sizeof(name), "%.200s%s", f->name, suffix);
	f->target_file = strdup(name);
	rc = f->target_file ? flow_write(f, name, text, len, err) : fail_nomem(err);
	free(text);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The description for the target.  From here on the machine's disks are the result's, no more the source's. */
#include "flow/flow.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names beside the description where its kind finds them there; libvirt and Xen want whole paths. */
static bool is_whole(enum describe_kind kind) { return kind == DESCRIBE_LIBVIRT || kind == DESCRIBE_XL; }

static void disk_rename(struct flow *f, const struct flow_disk *x, struct machine_disk *d, bool whole)
{
	char path[4400];

	snprintf(path, sizeof(path), "%s%s%s", whole ? f->out : "", whole ? "/" : "", x->file);
	d->format = NULL;
	machine_disk_path(f->m, d, path);
	d->format = machine_text(f->m, f->a->ova ? "vmdk" : f->format);
	d->size = x->size;
	d->file_size = x->file_bytes;
	d->image_uuid = machine_text(f->m, x->uuid);
	d->chunk_size = 0;
	d->compression = NULL;
	d->host = false;
}

int flow_disks_rename(struct flow *f, bool whole, vdisk_error *err)
{
	for (size_t i = 0; i < f->n_disks; i++)
		disk_rename(f, &f->disks[i], f->disks[i].d, whole);
	return f->m->failed.kind ? fail(err, f->m->failed.kind, "%s", f->m->failed.message) : 0;
}

int flow_describe_judge(struct flow *f, vdisk_error *err)
{
	const struct describe_write how = { 0 };
	struct machine rehearsed = *f->m; /* all but the disks is borrowed */
	enum describe_kind kind;
	const char *suffix;
	char *text = NULL;
	size_t len;
	int rc;

	kind = f->a->ova ? DESCRIBE_OVF : flow_target_description(f->a->target, &suffix);
	rehearsed.disks = calloc(f->m->disks_n + 1, sizeof(*rehearsed.disks));
	if (!rehearsed.disks)
		return fail_nomem(err);
	memcpy(rehearsed.disks, f->m->disks, f->m->disks_n * sizeof(*rehearsed.disks));
	for (size_t i = 0; i < f->n_disks; i++)
		disk_rename(f, &f->disks[i], &rehearsed.disks[f->disks[i].d - f->m->disks], is_whole(kind));
	if (f->m->failed.kind)
		fail(err, f->m->failed.kind, "%s", f->m->failed.message);
	else
		text = describe_write(&rehearsed, kind, &how, &len, NULL, err);
	free(rehearsed.disks);
	rc = text ? 0 : -1;
	free(text);
	return rc;
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
	progress_step(&f->progress, "describing", "");
	kind = flow_target_description(f->a->target, &suffix);
	if (flow_disks_rename(f, is_whole(kind), err) || flow_registry(f, kind, err))
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

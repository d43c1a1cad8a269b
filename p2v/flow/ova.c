/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The result as one OVA: the envelope is written twice, the first time to know how much room it takes. */
#include "flow/flow.h"

#include "archive/ova_write.h"
#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MORE 4096u /* for numbers that get longer */

static char *envelope_make(struct flow *f, size_t *len, struct machine_lost_list *lost, vdisk_error *err)
{
	struct describe_write how;

	if (flow_disks_rename(f, false, err))
		return NULL;
	flow_target_fit(f, &how);
	return describe_write(f->m, DESCRIBE_OVF, &how, len, lost, err);
}

static int ova_disk(struct flow *f, struct ova_writer *w, struct flow_disk *d, vdisk_error *err)
{
	struct vdisk_convert_options how = {
		.flags = VDISK_CONVERT_DIGEST | VDISK_CONVERT_ROUND_UP,
		.level = f->a->level,
		.threads = f->a->threads,
		.progress = progress_tick,
		.progress_ctx = &f->progress,
		.cancel = f->cancel,
	};
	const struct vdisk_open_options qcow2 = { .format = "qcow2" };
	struct vdisk_convert_report r;
	struct package_image i = { 0 };
	double start = flow_now();
	int rc;

	progress_step(&f->progress, "packing", d->d->name ? d->d->name : d->file);
	rc = flow_size(f, d->file, d->source_size, &how.size, err);
	if (rc)
		return -1;
	rc = flow_works(f) ? vdisk_open(d->work, &qcow2, &i.img, err) : flow_disk_open(f, d, &i, err);
	if (rc)
		return -1;
	rc = ova_writer_disk(w, d->file, i.img, &how, &d->file_bytes, &r, err);
	if (package_disk_close(&i, !rc, err))
		rc = -1;
	if (rc)
		return -1;
	if (r.size != d->size)
		flow_note(f, "%s has %llu bytes now, instead of %llu: VMDK cannot say that size", d->file,
		          (unsigned long long)r.size, (unsigned long long)d->size);
	d->size = r.size;
	if (!flow_works(f)) {
		d->data = r.data;
		d->zero = r.zero;
	}
	for (size_t k = 0; k < 32; k++)
		sprintf(d->digest + 2 * k, "%02x", r.digest[k]);
	flow_time(f, "pack", flow_now() - start);
	return 0;
}

int flow_ova(struct flow *f, vdisk_error *err)
{
	struct ova_writer *w = NULL;
	char name[300], *path, *text;
	size_t len;
	int rc = 0;

	if (!f->a->ova)
		return 0;
	for (size_t i = 0; i < f->n_disks; i++)
		f->disks[i].file_bytes = INT64_MAX; /* the longest number that may stand there */
	snprintf(name, sizeof(name), "%.200s.ova", f->name);
	f->target_file = strdup(name);
	path = flow_file(f, name);
	if (!path || !f->target_file) {
		free(path);
		return fail_nomem(err);
	}
	/* What reading a disk needs of the machine must not be lost by naming it anew: the archive keeps its own. */
	text = envelope_make(f, &len, NULL, err);
	rc = text ? ova_writer_new(path, f->name, len + ROOM_MORE, &w, err) : -1;
	free(text);
	for (size_t i = 0; !rc && i < f->n_disks; i++)
		rc = ova_disk(f, w, &f->disks[i], err);
	text = rc ? NULL : envelope_make(f, &len, &f->lost, err);
	if (text) {
		rc = ova_writer_finish(w, text, len, err);
		w = NULL;
	} else {
		rc = -1;
	}
	free(text);
	free(path);
	ova_writer_abort(w);
	return rc;
}

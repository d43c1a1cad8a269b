/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One of the source's disks, open for reading: a file, part of an archive, or nothing but a size; with the sectors that were asked
   for. */
#include "flow/flow.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void disk_log(void *ctx, enum vdisk_log_level level, const char *message)
{
	if (level == VDISK_LOG_WARNING)
		flow_note(ctx, "%s", message);
}

/* Its file goes at once; the image stays as long as it is open. */
static int empty_open(struct flow *f, const struct flow_disk *d, vdisk_image **img, vdisk_error *err)
{
	const struct vdisk_create_options c = { .format = "qcow2", .size = d->d->size };
	const struct vdisk_open_options o = { .format = "qcow2" };
	char name[32], *path;
	int rc;

	snprintf(name, sizeof(name), "empty-%zu.qcow2", d->index);
	path = flow_file(f, name);
	if (!path)
		return fail_nomem(err);
	rc = vdisk_create(path, &c, NULL, err) || vdisk_open(path, &o, img, err) ? -1 : 0;
	unlink(path);
	free(path);
	return rc;
}

static int archived_open(struct flow *f, const struct flow_disk *d, struct package_image *out, vdisk_error *err)
{
	char why[sizeof(err->message)];

	if (!package_disk_open(f->package, d->member, disk_log, f, out, err))
		return 0;
	if (err && !strstr(err->message, d->source)) {
		snprintf(why, sizeof(why), "%s", err->message);
		fail(err, err->kind, "%.600s (in %.100s)", why, d->source);
	}
	return -1;
}

/* ---------------------------------------------------------------- sectors */

static void sector_see(void *ctx, const struct vdisk_value *v)
{
	if (v->type == VDISK_VALUE_U64 && !strcmp(v->key, "logical-sector-size"))
		*(unsigned *)ctx = (unsigned)v->u64;
}

/* By the image, where its format says it, else by its partition table; 0: nothing tells. */
static unsigned sectors_of(vdisk_image *img)
{
	struct vdisk_partition_table table = { 0 };
	unsigned bytes = 0;
	size_t n;

	if (vdisk_layer_values(img, 0, sector_see, &bytes, NULL))
		return 0;
	if (!bytes && !vdisk_partitions(img, &table, NULL, 0, &n, NULL) && table.kind == VDISK_TABLE_GPT)
		bytes = table.sector_bytes;
	return bytes;
}

/* The machine's disk has the sectors that it will be shown with from then on. */
static int sectors_take(struct flow *f, struct flow_disk *d, struct package_image *i, vdisk_error *err)
{
	unsigned want = f->a->sector_size;

	if (!d->d->logical_sector && !i->unpack)
		d->d->logical_sector = sectors_of(i->img);
	if (!want)
		return 0;
	if (i->unpack)
		return fail(err, VDISK_UNSUPPORTED,
		            "the disk %s comes from front to back only: --sector-size wants to look at it before",
		            flow_disk_label(d));
	if (vdisk_sector_view(i->img, want, true, &i->img, err)) {
		i->img = NULL; /* it was taken */
		return -1;
	}
	d->d->logical_sector = want;
	if (d->d->physical_sector && d->d->physical_sector < want)
		d->d->physical_sector = want;
	return 0;
}

int flow_disk_open(struct flow *f, struct flow_disk *d, struct package_image *out, vdisk_error *err)
{
	struct vdisk_open_options o = { .format = d->source_format, .allow_dirs = f->a->allow, .log = disk_log, .log_ctx = f,
		.ancestors = (const char *const *)d->chain.ancestors };

	*out = (struct package_image){ 0 };
	if (d->is_empty)
		return empty_open(f, d, &out->img, err);
	if (d->in_archive ? archived_open(f, d, out, err) : vdisk_open(d->source, &o, &out->img, err))
		return -1;
	if (!sectors_take(f, d, out, err))
		return 0;
	package_disk_close(out, false, NULL);
	return -1;
}

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

/* ---------------------------------------------------------------- images */

/* VirtualBox reads a VHD's identity as a GUID, whose first fields are in the other byte order than those of the others' UUIDs. */
static void uuid_see(void *ctx, const struct vdisk_value *v)
{
	if (v->type == VDISK_VALUE_STRING && !strcmp(v->key, "uuid"))
		snprintf(ctx, 37, "%.36s", v->str);
}

/* One layer of the result, over the image `parent`; its place among the images in *at. */
static int image_take(struct flow *f, vdisk_image *img, unsigned depth, int parent, int *at, vdisk_error *err)
{
	struct vdisk_layer_info info;
	struct machine_image *x;
	char text[37] = "", uuid[37];
	const char *slash, *known;

	if (vdisk_layer_get(img, depth, &info, err) || vdisk_layer_values(img, depth, uuid_see, text, err))
		return -1;
	flow_uuid_swap(f->format, text, uuid);
	known = machine_uuid(f->m, uuid);
	*at = known ? machine_image_find(f->m, known, NULL) : -1;
	if (*at >= 0)
		return 0;
	x = machine_image_add(f->m);
	if (!x)
		return machine_judge(f->m, err);
	slash = strrchr(info.path, '/');
	x->uuid = known;
	x->path = machine_text(f->m, slash ? slash + 1 : info.path);
	x->format = machine_text(f->m, f->format);
	x->parent = parent;
	*at = (int)f->m->images_n - 1;
	return 0;
}

static int chain_take(struct flow *f, const char *path, vdisk_error *err)
{
	const struct vdisk_open_options o = { .format = f->format, .flags = VDISK_OPEN_INFO | VDISK_OPEN_CHAIN };
	vdisk_image *img;
	int at = -1, rc = 0;

	if (vdisk_open(path, &o, &img, err))
		return -1;
	for (unsigned d = vdisk_depth(img); !rc && d-- > 0;)
		rc = image_take(f, img, d, at, &at, err);
	vdisk_close(img, NULL);
	return rc;
}

/* From here on the description's account is of the result's images: those that snapshots were kept in, and what lies over them. */
static int images_take(struct flow *f, enum describe_kind kind, vdisk_error *err)
{
	int rc = 0;

	f->m->images_n = f->m->snapshots_n = f->m->states_n = 0;
	for (size_t i = 0; i < f->n_disks && kind == DESCRIBE_VBOX; i++) {
		struct flow_disk *d = &f->disks[i];

		for (size_t k = 0; !rc && d->snapshots && k < json_object_array_length(d->kept); k++) {
			struct json_object *file = json_object_object_get(json_object_array_get_idx(d->kept, k), "file");
			char *path = flow_file(f, json_object_get_string(file));

			rc = path ? chain_take(f, path, err) : fail_nomem(err);
			free(path);
		}
		rc = rc || (d->snapshots && chain_take(f, d->work, err)) ? -1 : 0;
	}
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
	if (flow_disks_rename(f, is_whole(kind), err) || images_take(f, kind, err))
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disk's free bytes, gathered from its partitions and logical volumes.
 *
 * U1. What no file system covers is never free: the table, gaps, boot loaders, what is unknown.
 * U2. What two partitions cover is not free, whatever the one says.
 * U3. A volume is looked at only where all of it is mapped to this disk and no snapshot shares its blocks.
 */
#include "used.h"
#include "fsfree.h"
#include "output.h"
#include "sizes.h"
#include "view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONS 1024
#define ALIGN      4096u
#define SMALLEST   65536u /* a shorter gap costs more in metadata and seeks than it saves */

struct finder {
	vdisk_image *img;
	struct view view;
	const volatile int *cancel;
	enum used_rest rest;
	struct used *out;
};

static struct used_region *region_add(struct finder *f, uint64_t size, const char *fmt, ...) PRINTF(3, 4);
static struct used_region *region_add(struct finder *f, uint64_t size, const char *fmt, ...)
{
	va_list ap;
	f->out->regions = tool_realloc(f->out->regions, (f->out->n + 1) * sizeof(*f->out->regions));
	struct used_region *r = &f->out->regions[f->out->n++];
	*r = (struct used_region){ .size = size };
	va_start(ap, fmt);
	vsnprintf(r->name, sizeof(r->name), fmt, ap);
	va_end(ap);
	return r;
}

/* Looks at one of the view's files.  0, or EXIT_TROUBLE after a message; *known: free holds what is free in it. */
static int region_scan(struct finder *f, struct used_region *r, const char *file, bool *known, struct ranges *free)
{
	char path[sizeof(f->view.disk) + 600];
	snprintf(path, sizeof(path), "%s/%s", f->view.disk, file);
	struct fs_scan s = {
		.file = path, .folder = f->view.folder, .size = r->size, .live = f->rest == USED_LIVE, .cancel = f->cancel
	};
	enum fs_answer a = fs_scan(&s);
	snprintf(r->type, sizeof(r->type), "%s", s.type);
	snprintf(r->note, sizeof(r->note), "%s", s.note);
	*known = a == FS_KNOWN;
	*free = s.free;
	if (a == FS_STOPPED)
		return fail("interrupted");
	if (a == FS_REFUSED && f->rest == USED_REFUSE)
		return fail("%s: %s (%s): %s: which of its blocks are free cannot be trusted", shown(vdisk_path(f->img)),
		            shown(r->name), shown(r->type), shown(r->note));
	return 0;
}

static int partition_look(struct finder *f, const char *name, const char *file, uint64_t off, uint64_t len)
{
	struct used_region *r = region_add(f, len, "%s", name);
	struct ranges free;
	bool known;
	if (region_scan(f, r, file, &known, &free))
		return EXIT_TROUBLE;
	bool lacks = false;
	for (size_t i = 0; known && i < free.n; i++)
		lacks |= ranges_add(&f->out->free, off + free.v[i].off, off + free.v[i].off + free.v[i].len) != 0;
	r->free = known ? ranges_total(&free) : 0;
	if (!strcmp(r->type, "LVM2_member"))
		r->note[0] = '\0'; /* its volumes have regions of their own */
	ranges_free(&free);
	return lacks ? fail("out of memory") : 0;
}

/* ---- partitions */

static int partitions_look(struct finder *f, const struct vdisk_partition *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char name[40], file[40];
		snprintf(name, sizeof(name), "partition %u", p[i].number);
		snprintf(file, sizeof(file), "partitions/%u", p[i].number);
		if (partition_look(f, name, file, p[i].off, p[i].len))
			return EXIT_TROUBLE;
	}
	return 0;
}

static int overlaps_cut(struct finder *f, const struct vdisk_partition *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++) {
			uint64_t from = p[i].off > p[k].off ? p[i].off : p[k].off;
			uint64_t end_i = p[i].off + p[i].len, end_k = p[k].off + p[k].len, to = end_i < end_k ? end_i : end_k;
			if (from < to && ranges_cut(&f->out->free, from, to))
				return fail("out of memory");
		}
	return 0;
}

/* ---- volumes */

static int volume_add(struct finder *f, const struct vdisk_volume *v, const struct vdisk_range *range)
{
	struct vdisk_range x[64];
	uint64_t off = range->off, end = off + range->len;
	while (off < end) {
		size_t n = vdisk_volume_map(v, off, end - off, x, sizeof(x) / sizeof(*x));
		if (!n)
			break;
		for (size_t i = 0; i < n; i++) {
			if (ranges_add(&f->out->free, x[i].off, x[i].off + x[i].len))
				return -1;
			off += x[i].len;
		}
	}
	return 0;
}

static int volume_look(struct finder *f, const struct vdisk_volume *v)
{
	struct used_region *r = region_add(f, v->len, "volume %s/%s", v->group, v->name);
	struct ranges free;
	char file[600];
	bool known;
	if (v->problem || !v->writable) {
		snprintf(r->note, sizeof(r->note), "%s",
		         v->problem ? v->problem : "it is read-only, or a snapshot shares its blocks");
		return 0;
	}
	snprintf(file, sizeof(file), "volumes/%s/%s", v->group, v->name);
	if (region_scan(f, r, file, &known, &free))
		return EXIT_TROUBLE;
	bool lacks = false;
	for (size_t i = 0; known && i < free.n; i++)
		lacks |= volume_add(f, v, &free.v[i]) != 0;
	r->free = known ? ranges_total(&free) : 0;
	ranges_free(&free);
	return lacks ? fail("out of memory") : 0;
}

static int volumes_look(struct finder *f, const vdisk_volumes *volumes)
{
	const struct vdisk_volume *v;
	for (size_t i = 0; (v = vdisk_volumes_get(volumes, i)); i++)
		if (!v->hidden && volume_look(f, v))
			return EXIT_TROUBLE;
	return 0;
}

/* ---- all of it */

static int disk_look(struct finder *f, struct vdisk_partition *parts, const vdisk_volumes *volumes)
{
	struct vdisk_partition_table table;
	vdisk_error err = { 0 };
	size_t n;
	if (vdisk_partitions(f->img, &table, parts, PARTITIONS, &n, &err)) {
		if (err.kind != VDISK_CORRUPT)
			return fail_vdisk(&err);
		struct used_region *r = region_add(f, vdisk_size(f->img), "the disk");
		snprintf(r->note, sizeof(r->note), "its partition table is damaged");
		return 0;
	}
	if (n > PARTITIONS) /* U2 could not be kept */
		return fail("%s: has %zu partitions; only %d are looked at", shown(vdisk_path(f->img)), n, PARTITIONS);
	if (!n && table.kind == VDISK_TABLE_NONE && partition_look(f, "the disk", "disk", 0, vdisk_size(f->img)))
		return EXIT_TROUBLE;
	if (partitions_look(f, parts, n) || volumes_look(f, volumes))
		return EXIT_TROUBLE;
	ranges_sort(&f->out->free);
	if (overlaps_cut(f, parts, n))
		return EXIT_TROUBLE;
	ranges_round(&f->out->free, ALIGN, SMALLEST);
	return 0;
}

int used_find(vdisk_image *img, const struct source_args *s, const struct content_args *content, enum used_rest rest,
              const volatile int *cancel, struct used *out)
{
	struct finder f = { .img = img, .cancel = cancel, .rest = rest, .out = out };
	vdisk_volumes *volumes;
	vdisk_error err = { 0 };
	*out = (struct used){ 0 };
	if (vdisk_volumes_read(img, &volumes, &err))
		return fail_vdisk(&err);
	int status = view_open(&f.view, vdisk_path(img), s, content, cancel);
	if (!status) {
		struct vdisk_partition *parts = tool_realloc(NULL, PARTITIONS * sizeof(*parts));
		status = disk_look(&f, parts, volumes);
		free(parts);
		view_close(&f.view);
	}
	vdisk_volumes_free(volumes);
	if (status)
		used_free(out);
	return status;
}

void used_free(struct used *u)
{
	ranges_free(&u->free);
	free(u->regions);
	*u = (struct used){ 0 };
}

void used_warn(const struct used *u)
{
	for (size_t i = 0; i < u->n; i++) {
		const struct used_region *r = &u->regions[i];
		if (r->note[0])
			warn("%s%s%s%s is taken whole: %s", shown(r->name), r->type[0] ? " (" : "", shown(r->type),
			     r->type[0] ? ")" : "", shown(r->note));
	}
}

void used_tell(const struct used *u)
{
	for (size_t i = 0; i < u->n; i++) {
		const struct used_region *r = &u->regions[i];
		char size[SIZE_TEXT], left[SIZE_TEXT];
		fprintf(stderr, "%s: %s, %s, %s of it free\n", shown(r->name), r->type[0] ? shown(r->type) : "unknown",
		        size_human(size, r->size), size_human(left, r->free));
	}
}

struct json_object *used_json(const struct used *u)
{
	struct json_object *a = json_must(json_object_new_array());
	for (size_t i = 0; i < u->n; i++) {
		const struct used_region *r = &u->regions[i];
		struct json_object *o = json_must(json_object_new_object());
		json_put_text(o, "name", r->name);
		json_put_text(o, "type", r->type[0] ? r->type : NULL);
		json_put_u64(o, "length", r->size);
		json_put_u64(o, "free", r->free);
		json_put_text(o, "note", r->note[0] ? r->note : NULL);
		json_object_array_add(a, o);
	}
	return a;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disks: converted, and told apart afterwards by their manifests. */
#include "flow/flow.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE ((size_t)64 << 10)

static void digest_text(const uint8_t digest[32], char out[65])
{
	for (size_t i = 0; i < 32; i++)
		sprintf(out + 2 * i, "%02x", digest[i]);
}

/* ---------------------------------------------------------------- from front to back */

struct feed {
	struct flow *f;
	vdisk_image *images[DISKS_MAX];
};

static bool is_zero(const uint8_t *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

/* The images are new, and each byte comes once: zeros are there already. */
static int feed_take(void *ctx, size_t disk, uint64_t off, const void *buf, size_t len, vdisk_error *err)
{
	struct feed *w = ctx;
	struct flow_disk *d = &w->f->disks[disk];

	for (size_t at = 0; at < len;) {
		size_t n = PIECE - (off + at) % PIECE;
		const uint8_t *p = (const uint8_t *)buf + at;

		n = n < len - at ? n : len - at;
		if (!is_zero(p, n)) {
			if (vdisk_pwrite(w->images[disk], p, n, off + at, err))
				return -1;
			d->data += n;
		}
		at += n;
	}
	return 0;
}

static int feed_open(struct feed *w, struct flow_disk *d, vdisk_error *err)
{
	struct flow *f = w->f;
	const char *options[FLOW_OPTIONS_MAX];
	uint64_t made = d->source_size;
	bool fits = !flow_size(f, flow_disk_label(d), made, &made, err);
	const struct vdisk_create_options c = {
		.format = flow_work_format(f),
		.size = made,
		.options = flow_disk_options(f, d, options),
		.flags = VDISK_CREATE_ROUND_UP,
		.allow_dirs = f->a->allow,
	};
	const struct vdisk_open_options o = { .format = flow_work_format(f), .flags = VDISK_OPEN_RW };

	return !fits || vdisk_create(d->work, &c, &d->size, err) || vdisk_open(d->work, &o, &w->images[d->index], err) ? -1 : 0;
}

static int disks_feed(struct flow *f, vdisk_error *err)
{
	const struct package_job job = {
		.progress = progress_tick, .progress_ctx = &f->progress, .cancel = f->cancel, .no_check = f->a->no_check
	};
	struct feed w = { .f = f };
	double start = flow_now();
	int rc = 0;

	progress_step(&f->progress, "converting", "");
	for (size_t i = 0; !rc && i < f->n_disks; i++)
		rc = feed_open(&w, &f->disks[i], err);
	if (!rc)
		rc = package_feed(f->package, &job, feed_take, &w, err);
	for (size_t i = 0; i < f->n_disks; i++) {
		f->disks[i].zero = f->disks[i].size - f->disks[i].data;
		if (w.images[i] && !rc && vdisk_flush(w.images[i], err))
			rc = -1;
		if (vdisk_close(w.images[i], rc ? NULL : err))
			rc = -1;
	}
	flow_time(f, "convert", flow_now() - start);
	return rc;
}

/* ---------------------------------------------------------------- disk by disk */

/* What is told of the new images calls them by their names: they do not stay where they are made. */
static void keep_log(void *ctx, enum vdisk_log_level level, const char *message)
{
	const struct flow *f = ctx;
	size_t n = strlen(f->partial);

	if (!strncmp(message, f->partial, n) && message[n] == '/')
		message += n + 1;
	if (level == VDISK_LOG_WARNING)
		flow_note(ctx, "%s", message);
}

struct kept {
	struct json_object *rows;
	const struct flow_disk *d;
};

static void kept_add(void *ctx, const struct vdisk_snapshot_node *s)
{
	struct kept *k = ctx;
	struct json_object *o = json_object_new_object();
	const char *slash = s->files[0] ? strrchr(s->files[0], '/') : NULL;
	time_t t = (time_t)s->date_sec;
	char date[40];
	struct tm tm;

	json_object_object_add(o, "name", json_object_new_string(s->name ? s->name : s->id));
	json_object_object_add(o, "id", json_object_new_string(s->id));
	json_object_object_add(o, "parent", s->parent_id ? json_object_new_string(s->parent_id) : NULL);
	json_object_object_add(o, "description", s->description ? json_object_new_string(s->description) : NULL);
	json_object_object_add(o, "current", json_object_new_boolean(s->current));
	json_object_object_add(o, "file", json_object_new_string(slash ? slash + 1 : s->files[0] ? s->files[0] : k->d->file));
	if (s->date_sec && gmtime_r(&t, &tm) && strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm))
		json_object_object_add(o, "date", json_object_new_string(date));
	else
		json_object_object_add(o, "date", NULL);
	json_object_array_add(k->rows, o);
}

/* What of the snapshots the new disk has, as it tells itself. */
static int kept_list(struct flow *f, struct flow_disk *d, vdisk_error *err)
{
	const struct vdisk_open_options o = { .format = flow_work_format(f) };
	struct kept k = { .rows = json_object_new_array(), .d = d };

	d->kept = k.rows;
	return d->kept ? vdisk_snapshot_tree(d->work, &o, kept_add, &k, err) : fail_nomem(err);
}

static int disk_keep(struct flow *f, struct flow_disk *d, const struct vdisk_convert_options *how, vdisk_error *err)
{
	const struct vdisk_open_options open = { .format = d->source_format,
		                                 .allow_dirs = f->a->allow,
		                                 .log = keep_log,
		                                 .log_ctx = f,
		                                 .ancestors = (const char *const *)d->chain.ancestors };
	const struct vdisk_keep_options o = {
		.open = &open, .as = VDISK_KEEP_AUTO, .convert = how, .names = d->names, .n_names = d->n_names
	};
	struct vdisk_keep_report r;

	if (vdisk_convert_snapshots(d->source, d->work, &o, &r, err))
		return -1;
	d->snapshots = r.snapshots;
	d->layers = r.snapshots && r.as == VDISK_KEEP_LAYERS;
	d->size = r.size;
	d->data = r.data;
	return kept_list(f, d, err);
}

static int disk_convert(struct flow *f, struct flow_disk *d, vdisk_error *err)
{
	bool last = f->a->no_adapt; /* nobody changes it any more */
	char *manifest = flow_file(f, d->manifest);
	const char *options[FLOW_OPTIONS_MAX];
	struct vdisk_convert_options o = {
		.format = flow_work_format(f),
		.options = flow_disk_options(f, d, options),
		.level = f->a->level,
		.threads = f->a->threads,
		.allow_dirs = f->a->allow,
		.flags = VDISK_CONVERT_ROUND_UP | (f->a->compress && !f->a->ova ? VDISK_CONVERT_COMPRESS : 0),
		.manifest = last ? manifest : NULL,
		.progress = progress_tick,
		.progress_ctx = &f->progress,
		.cancel = f->cancel,
		.log = keep_log,
		.log_ctx = f,
	};
	struct vdisk_convert_report r = { 0 };
	struct package_image i;
	int rc;

	if (!manifest)
		return fail_nomem(err);
	if (f->a->keep_snapshots) {
		o.manifest = NULL;
		rc = disk_keep(f, d, &o, err);
		free(manifest);
		return rc;
	}
	rc = flow_size(f, flow_disk_label(d), d->source_size, &o.size, err) || flow_disk_open(f, d, &i, err) ? -1 : 0;
	if (!rc) {
		rc = vdisk_convert(i.img, d->work, &o, &r, err);
		if (package_disk_close(&i, !rc, err))
			rc = -1;
	}
	free(manifest);
	d->size = r.size;
	d->data = r.data;
	d->zero = r.zero;
	if (!rc && last)
		digest_text(r.digest, d->digest);
	return rc;
}

void flow_layers_note(struct flow *f)
{
	flow_note(f,
	          "the snapshots are images that the disks lie over, and have to stay beside them: vdisk snapshot lists and applies "
	          "them, %s's own list has none of them",
	          flow_target_title(f->a->target));
}

int flow_convert(struct flow *f, vdisk_error *err)
{
	size_t kept = 0;
	bool layers = false;

	if (f->package && package_streamed(f->package))
		return disks_feed(f, err);
	for (size_t i = 0; flow_works(f) && i < f->n_disks; i++) {
		struct flow_disk *d = &f->disks[i];
		double start = flow_now();

		progress_step(&f->progress, "converting", flow_disk_label(d));
		if (disk_convert(f, d, err))
			return -1;
		d->seconds = flow_now() - start;
		flow_time(f, "convert", d->seconds);
		if (d->size != d->source_size)
			flow_note(f, "%s has %llu bytes now, instead of %llu: %s %s", flow_disk_label(d),
			          (unsigned long long)d->size, (unsigned long long)d->source_size,
			          f->form ? f->a->profile->long_name : flow_work_format(f),
			          f->form ? "wants that" : "cannot say that size");
		kept += d->snapshots;
		layers |= d->layers;
	}
	if (layers && f->a->target != TARGET_VIRTUALBOX) /* whose description has them */
		flow_layers_note(f);
	if (kept && !f->a->no_adapt)
		flow_note(f, "the guest is adapted as it is now: what its snapshots hold is as it was, for the system that it comes from");
	return 0;
}

int flow_manifests(struct flow *f, vdisk_error *err)
{
	for (size_t i = 0; flow_works(f) && i < f->n_disks; i++) {
		const struct vdisk_job_options job = {
			.threads = f->a->threads, .progress = progress_tick, .progress_ctx = &f->progress, .cancel = f->cancel
		};
		const struct vdisk_open_options o = { .format = flow_work_format(f) };
		struct flow_disk *d = &f->disks[i];
		vdisk_image *img;
		uint8_t digest[32];
		char *path;
		double start = flow_now();
		int rc;

		if (*d->digest)
			continue;
		progress_step(&f->progress, "digesting", flow_disk_label(d));
		path = flow_file(f, d->manifest);
		if (!path)
			return fail_nomem(err);
		rc = vdisk_open(d->work, &o, &img, err);
		if (!rc) {
			rc = vdisk_manifest_make(img, path, true, &job, digest, err);
			vdisk_close(img, NULL);
		}
		free(path);
		if (rc)
			return -1;
		digest_text(digest, d->digest);
		flow_time(f, "digest", flow_now() - start);
	}
	return 0;
}

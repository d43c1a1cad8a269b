/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conversions that keep snapshots: each state of the source becomes a snapshot inside the new image, or an image of its own below it.
 *
 * State after state, oldest first; of each only what differs from the one before is read and stored.  Layers appear under their names one by
 * one, each whole, the leaf last; an image with snapshots inside is made under a hidden name and renamed.  On failure what was made goes.
 */
#include "ops/states.h"
#include "ops/snapshot_tree.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "base/zero.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_BUFFER (1u << 20)

struct keep {
	const struct vdisk_convert_options *c;
	const struct vdisk_format_info *format;
	struct vd_states states;
	const char *path;
	struct vd_paths made;    /* layers that are there, oldest first */
	size_t first;            /* number of the first layer, less one */
	uint64_t done, total;    /* guest bytes of the states gone through, and of all */
	struct vdisk_keep_report report;
	uint8_t *buf;
};

/* ---------------------------------------------------------------- progress over all states */

static void progress_pass(void *ctx, const struct vdisk_progress *p)
{
	struct keep *k = ctx;
	struct vdisk_progress all = *p;

	all.done = vd_min(k->done + p->done, k->total);
	all.total = k->total;
	k->c->progress(k->c->progress_ctx, &all);
}

static struct vdisk_job_options job_of(struct keep *k)
{
	return (struct vdisk_job_options){ .threads = k->c->threads, .memory_bytes = k->c->memory_bytes, .cancel = k->c->cancel,
		                           .progress = k->c->progress ? progress_pass : NULL, .progress_ctx = k };
}

/* The caller's options for one state's image. */
static struct vdisk_convert_options options_of(struct keep *k)
{
	struct vdisk_convert_options o = *k->c;

	o.progress = k->c->progress ? progress_pass : NULL;
	o.progress_ctx = k;
	return o;
}

/* ---------------------------------------------------------------- what differs */

/* The ranges that a state has from where the one before has them.  The rest is compared as it is converted. */
struct same {
	struct vdisk_range *v;
	size_t n, cap;
	uint64_t at;
	vd_error *err;
	bool failed;
};

static void same_add(struct same *s, uint64_t to)
{
	if (s->failed || to <= s->at)
		return;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct vdisk_range *v = vd_realloc(s->v, cap, sizeof(*v));

		if (!v) {
			s->failed = true;
			vd_fail_nomem(s->err, cap * sizeof(*v));
			return;
		}
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = (struct vdisk_range){ s->at, to - s->at };
}

static bool same_see(void *ctx, uint64_t off, uint64_t len)
{
	struct same *s = ctx;

	same_add(s, off);
	s->at = off + len;
	return !s->failed;
}

static int same_find(vdisk_image *before, vdisk_image *now, const struct vdisk_job_options *job, struct same *s, vd_error *err)
{
	uint64_t size = vd_min(before->top->size, now->top->size);
	struct vdisk_job_options quiet = *job;

	quiet.progress = NULL;
	s->err = err;
	if (vdisk_diff_places(before, now, &quiet, same_see, s, err) || s->failed)
		return -1;
	same_add(s, size);
	while (s->n && s->v[s->n - 1].off >= size)
		s->n--;
	if (s->n && s->v[s->n - 1].off + s->v[s->n - 1].len > size)
		s->v[s->n - 1].len = size - s->v[s->n - 1].off;
	return s->failed ? -1 : 0;
}

/* ---------------------------------------------------------------- as layers */

/* "disk.vhd": "disk-s1.vhd", and so on; the last state has the name that was given.  A disk that is replaced keeps its layers until the new one
   is there, whose numbers are higher therefore. */
static char *layer_name(const struct keep *k, size_t i)
{
	const char *base = k->path + vd_folder_length(k->path), *dot = strrchr(base, '.');
	int stem = dot && dot != base ? (int)(dot - k->path) : (int)strlen(k->path);

	if (i + 1 == k->states.n)
		return vd_strdup(k->path);
	return vd_asprintf("%.*s-s%zu%s", stem, k->path, k->first + i + 1, k->path + stem);
}

/* All files of an image that was made here. */
static void image_remove(const char *path, const char *format)
{
	struct vdisk_open_options o = { .format = format, .flags = VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT };
	vdisk_image *img;

	if (!vdisk_open(path, &o, &img, NULL)) {
		for (unsigned i = 1; vdisk_layer_file(img, 0, i); i++)
			unlink(vdisk_layer_file(img, 0, i));
		vdisk_close(img, NULL);
	}
	unlink(path);
}

/* An identity that the caller says is the leaf's: two images that have one are one to whoever goes by it.  Returns owned. */
static const char **options_below(const char *const *options)
{
	size_t n = 0, kept = 0;
	const char **out;

	while (options && options[n])
		n++;
	out = vd_calloc(n + 1, sizeof(*out));
	for (size_t i = 0; out && i < n; i++)
		if (strncmp(options[i], "uuid=", 5))
			out[kept++] = options[i];
	return out;
}

static int layer_make(struct keep *k, size_t i, vdisk_image *before, vdisk_image *now, vd_error *err)
{
	struct vdisk_convert_options o = options_of(k);
	struct vdisk_convert_report r = { 0 };
	struct vdisk_job_options job = job_of(k);
	VD_AUTO_FREE char *path = layer_name(k, i);
	VD_AUTO_FREE const char **own = NULL;
	struct same same = { 0 };
	int rc = -1;

	if (!path)
		return vd_fail_nomem(err, strlen(k->path));
	if (i + 1 < k->states.n) {
		own = options_below(k->c->options);
		if (!own)
			return vd_fail_nomem(err, sizeof(*own));
		o.options = own;
	}
	if (before) {
		o.backing = k->made.v[i - 1] + vd_folder_length(k->made.v[i - 1]);
		o.backing_format = k->format->name;
		/* What is read back for its digest is read whole. */
		if (!(o.flags & VDISK_CONVERT_VERIFY) && same_find(before, now, &job, &same, err))
			goto out;
		o.same = same.v;
		o.n_same = same.n;
	}
	if (vdisk_convert(now, path, &o, &r, err))
		goto out;
	k->report.data += r.data;
	k->report.size = r.size;
	rc = vd_paths_add(&k->made, path, err);
	if (rc)
		image_remove(path, k->format->name);
out:
	vd_free(same.v);
	return rc;
}

/* Names and dates into the record of the new disk's snapshots; then their images are protected. */
static int record_make(struct keep *k, vd_error *err)
{
	struct vd_snap_tree t = { 0 };
	VD_AUTO_FREE char *real = NULL;
	size_t n = k->made.n - 1;
	int rc = -1;

	if (vd_path_real(k->made.v[0], &real, err))
		return -1;
	t.record = vd_asprintf("%s.snapshots", real);
	if (!t.record)
		return vd_fail_nomem(err, strlen(real));
	for (size_t i = 0; i < n; i++) {
		const struct vd_state *x = &k->states.v[i];
		struct vd_snap *s = vd_snap_tree_add(&t, err);
		VD_AUTO_FREE char *file = NULL;
		struct stat st;

		if (!s || vd_path_real(k->made.v[i], &file, err) || vd_paths_add(&s->files, file, err))
			goto out;
		s->kind = VDISK_SNAPSHOT_EXTERNAL;
		s->uid = ++t.last_uid;
		s->mode = stat(file, &st) ? 0600 : st.st_mode & 07777;
		s->date_sec = x->date_sec;
		s->date_nsec = x->date_nsec;
		s->name = vd_strdup(x->name);
		s->description = x->description ? vd_strdup(x->description) : NULL;
		s->format = vd_strdup(k->format->name);
		if (!s->name || !s->format || (x->description && !s->description)) {
			vd_fail_nomem(err, strlen(x->name));
			goto out;
		}
	}
	vd_free(real);
	real = NULL;
	if (vd_path_real(k->path, &real, err) || vd_paths_add(&t.leaves, real, err) || vd_snap_record_save(&t, err))
		goto out;
	for (size_t i = 0; i < n; i++) {
		struct vdisk_open_options o = { .format = k->format->name, .flags = VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT };
		vdisk_image *img;
		int failed;

		if (vdisk_open(t.v[i].files.v[0], &o, &img, err))
			goto out;
		failed = vd_children_protect(img, t.record, err) ||
		         vd_children_add(t.v[i].files.v[0], i + 1 < n ? t.v[i + 1].files.v[0] : real, err);
		vdisk_close(img, NULL);
		if (failed)
			goto out;
	}
	rc = 0;
out:
	if (rc)
		unlink(t.record);
	vd_snap_tree_free(&t);
	return rc;
}

static int keep_layers(struct keep *k, vd_error *err)
{
	vdisk_image *before = NULL, *now = NULL;
	int rc = 0;

	for (size_t i = 0; i < k->states.n && !rc; i++) {
		rc = vd_state_open(&k->states, i, &now, err);
		if (rc)
			break;
		rc = layer_make(k, i, before, now, err);
		k->done += now->top->size;
		vdisk_close(before, NULL);
		before = now;
	}
	vdisk_close(before, NULL);
	if (!rc)
		rc = record_make(k, err);
	while (rc && k->made.n) {
		image_remove(k->made.v[k->made.n - 1], k->format->name);
		vd_paths_drop(&k->made, k->made.v[k->made.n - 1]);
	}
	return rc;
}

/* ---------------------------------------------------------------- inside */

static int range_copy(struct keep *k, vdisk_image *to, vdisk_image *from, uint64_t off, uint64_t len, vd_error *err)
{
	uint64_t inside = from->top->size;

	for (uint64_t end = off + len; off < end;) {
		size_t n = vd_min(KEEP_BUFFER - off % KEEP_BUFFER, end - off);
		size_t have = off < inside ? vd_min(n, inside - off) : 0;

		memset(k->buf + have, 0, n - have);
		if (vdisk_pread(from, k->buf, have, off, err))
			return -1;
		if (vd_is_zero(k->buf, n) ? vdisk_zero(to, off, n, err) : vdisk_pwrite(to, k->buf, n, off, err))
			return -1;
		k->report.data += n;
		off += n;
	}
	return 0;
}

struct update {
	struct keep *k;
	vdisk_image *to, *from;
	uint64_t size;
	vd_error *err;
	bool failed;
};

static bool update_piece(void *ctx, uint64_t off, uint64_t len)
{
	struct update *u = ctx;

	if (off < u->size)
		u->failed = range_copy(u->k, u->to, u->from, off, vd_min(len, u->size - off), u->err) != 0;
	return !u->failed;
}

/* `to` holds the state `before`: its snapshot, and then what `now` has different. */
static int state_follow(struct keep *k, vdisk_image *to, size_t i, vdisk_image *before, vdisk_image *now, vd_error *err)
{
	const struct vd_state *x = &k->states.v[i - 1];
	struct vdisk_snapshot_create_options c = {
		.name = x->name, .date_sec = x->date_sec, .date_nsec = x->date_nsec, .vm_clock_nsec = x->vm_clock, .flags = VDISK_SNAPSHOT_SAME_NAME,
	};
	struct vdisk_job_options job = job_of(k);
	struct update u = { .k = k, .to = to, .from = now, .size = now->top->size, .err = err };

	if (vdisk_snapshot_create(to, &c, NULL, err))
		return -1;
	if (now->top->size != to->top->size && vdisk_resize(to, now->top->size, VDISK_RESIZE_SHRINK, err))
		return -1;
	return vdisk_diff(before, now, &job, update_piece, &u, err) || u.failed ? -1 : 0;
}

static int inside_fill(struct keep *k, const char *path, vdisk_image *first, vd_error *err)
{
	struct vdisk_open_options o = { .format = k->format->name, .flags = VDISK_OPEN_RW, .log = k->c->log, .log_ctx = k->c->log_ctx };
	vdisk_image *to, *before = first, *now = NULL;
	int rc;

	if (vdisk_open(path, &o, &to, err))
		return -1;
	for (size_t i = 1; i < k->states.n; i++) {
		rc = vd_state_open(&k->states, i, &now, err);
		if (!rc) {
			rc = state_follow(k, to, i, before, now, err);
			k->done += now->top->size;
		}
		if (before != first)
			vdisk_close(before, NULL);
		before = rc ? first : now;
		if (rc) {
			vdisk_close(now, NULL);
			vdisk_close(to, NULL);
			return -1;
		}
	}
	if (before != first)
		vdisk_close(before, NULL);
	k->report.size = to->top->size;
	return vdisk_close(to, err);
}

/* Each snapshot of the new image against its source. */
static int inside_verify(struct keep *k, const char *path, vd_error *err)
{
	struct vdisk_job_options job = job_of(k);
	int rc = 0;

	job.progress = NULL;
	for (size_t i = 0; i < k->states.n && !rc; i++) {
		char id[40];
		const char *options[] = { id, NULL };
		struct vdisk_open_options o = { .format = k->format->name, .options = i + 1 < k->states.n ? options : NULL };
		struct vdisk_compare_result r = { 0 };
		vdisk_image *a = NULL, *b = NULL;

		snprintf(id, sizeof(id), "snapshot=%zu", i + 1); /* qcow2 counts them from 1 */
		rc = vd_state_open(&k->states, i, &a, err) || vdisk_open(path, &o, &b, err) || vdisk_compare(a, b, false, &job, &r, err) ? -1 : 0;
		if (!rc && !r.equal)
			rc = vd_fail(err, VDISK_CORRUPT, r.offset, "%s: what was read back of state %zu differs from its source at offset %" PRIu64, k->path,
			             i + 1, r.offset);
		vdisk_close(a, NULL);
		vdisk_close(b, NULL);
	}
	return rc;
}

static int name_take(struct keep *k, const char *temp, vd_error *err)
{
	unsigned flags = k->c->flags & VDISK_CONVERT_OVERWRITE ? 0 : RENAME_NOREPLACE;
	VD_AUTO_FREE char *dir = vd_asprintf("%.*s.", vd_folder_length(k->path), k->path);
	int fd;

	if (renameat2(AT_FDCWD, temp, AT_FDCWD, k->path, flags))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot get its name", k->path);
	fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		(void)fsync(fd); /* the name is there; a power cut may take it back, the file is whole */
		close(fd);
	}
	return 0;
}

static int keep_inside(struct keep *k, vd_error *err)
{
	struct vdisk_convert_options o = options_of(k);
	struct vdisk_convert_report r = { 0 };
	int folder = vd_folder_length(k->path), rc;
	VD_AUTO_FREE char *temp = vd_asprintf("%.*s.%s.vdisk-states", folder, k->path, k->path + folder);
	vdisk_image *first;

	if (!temp)
		return vd_fail_nomem(err, strlen(k->path));
	o.flags = (o.flags | VDISK_CONVERT_OVERWRITE) & ~VDISK_CONVERT_VERIFY; /* of an earlier run that was killed */
	if (vd_state_open(&k->states, 0, &first, err))
		return -1;
	rc = vdisk_convert(first, temp, &o, &r, err);
	if (rc) {
		vdisk_close(first, NULL);
		return -1;
	}
	k->report.data += r.data;
	k->done += first->top->size;
	rc = inside_fill(k, temp, first, err);
	vdisk_close(first, NULL);
	if (!rc && k->c->flags & VDISK_CONVERT_VERIFY)
		rc = inside_verify(k, temp, err);
	if (!rc)
		rc = name_take(k, temp, err);
	if (rc)
		unlink(temp);
	return rc;
}

/* ---------------------------------------------------------------- the whole */

#define LAYER_NUMBER_MAX 1000000u

/* The first name of the new disk's that is taken in *taken, owned; NULL: none is. */
static int names_look(const struct keep *k, size_t from, char **taken, vd_error *err)
{
	*taken = NULL;
	for (size_t i = from; i < k->states.n; i++) {
		VD_AUTO_FREE char *name = layer_name(k, i);

		if (!name)
			return vd_fail_nomem(err, strlen(k->path));
		if (access(name, F_OK))
			continue;
		*taken = name;
		name = NULL;
		return 0;
	}
	return 0;
}

static int names_judge(struct keep *k, enum vdisk_keep as, vd_error *err)
{
	size_t leaf = k->states.n - 1;
	VD_AUTO_FREE char *taken = NULL;

	for (size_t s = 0; s < k->states.n; s++)
		if (vd_same_path(k->states.v[s].path, k->path))
			return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: is an image of the source", k->path);
	if (k->c->flags & VDISK_CONVERT_OVERWRITE && as == VDISK_KEEP_INSIDE)
		return 0;
	if (names_look(k, as == VDISK_KEEP_LAYERS ? 0 : leaf, &taken, err))
		return -1;
	if (taken && !(k->c->flags & VDISK_CONVERT_OVERWRITE))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: exists; --force replaces %s", taken, k->path);
	while (taken && leaf && strcmp(taken, k->path)) {
		vd_free(taken);
		taken = NULL;
		if (++k->first > LAYER_NUMBER_MAX)
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: there are layers numbered up to %u already", k->path, LAYER_NUMBER_MAX);
		if (names_look(k, 0, &taken, err))
			return -1;
	}
	return 0;
}

static int keep_judge(struct keep *k, enum vdisk_keep *as, vd_error *err)
{
	const struct vdisk_convert_options *c = k->c;
	bool inside = k->format->caps & VDISK_FORMAT_SNAPSHOTS, layers = k->format->caps & VDISK_FORMAT_BACKING;

	if (*as == VDISK_KEEP_AUTO)
		*as = inside ? VDISK_KEEP_INSIDE : VDISK_KEEP_LAYERS;
	if (*as == VDISK_KEEP_INSIDE ? !inside : !layers)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s images have no snapshots%s", k->format->name,
		               *as == VDISK_KEEP_INSIDE && layers ? " inside" : "");
	if (c->backing || c->manifest || c->n_skip || c->flags & (VDISK_CONVERT_DIGEST | VDISK_CONVERT_CHECKPOINT | VDISK_CONVERT_RESUME |
	                                                          VDISK_CONVERT_PUNCH_SOURCE | VDISK_CONVERT_DRY_RUN))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "snapshots are kept in a conversion from front to back, without backing image, manifest, digest or record");
	if (*as == VDISK_KEEP_INSIDE && c->flags & VDISK_CONVERT_COMPRESS)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "states after the first are written plainly: without compression, or as layers");
	return 0;
}

int vdisk_convert_snapshots(const char *src, const char *path, const struct vdisk_keep_options *o, struct vdisk_keep_report *report,
                            vdisk_error *err)
{
	static const struct vdisk_open_options plain;
	const struct vdisk_open_options *open = o->open ? o->open : &plain;
	VD_AUTO_FREE uint8_t *buf = vd_malloc(KEEP_BUFFER);
	struct vdisk_keep_options how = *o;
	struct keep k = { .c = o->convert, .format = vdisk_format_find(o->convert->format), .path = path, .buf = buf };
	enum vdisk_keep as = o->as;
	vdisk_image *leaf;
	int rc;

	if (!buf)
		return vd_fail_nomem(err, KEEP_BUFFER);
	if (!k.format)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "there is no format '%s'", o->convert->format);
	if (keep_judge(&k, &as, err) || vdisk_open(src, open, &leaf, err))
		return -1;
	how.open = open;
	rc = vd_states_load(leaf, &how, &k.states, err);
	vdisk_close(leaf, NULL);
	if (rc)
		return -1;
	for (size_t i = 0; i < k.states.n; i++)
		k.total += k.states.v[i].size;
	rc = names_judge(&k, as, err);
	if (!rc)
		rc = as == VDISK_KEEP_INSIDE ? keep_inside(&k, err) : keep_layers(&k, err);
	k.report.snapshots = k.states.n - 1;
	k.report.as = as;
	if (!rc && report)
		*report = k.report;
	vd_states_free(&k.states);
	vd_paths_free(&k.made);
	return rc;
}

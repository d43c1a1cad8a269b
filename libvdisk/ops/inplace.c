/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_convert_in_place(): finds the file that holds the disk as it is, has the target's driver make an image around it, and gives
 * the files their names.  inplace.h says in which order, and why.  No format is known here: whether one holds plain bytes is tried
 * on a small disk in memory, and seen from its map.
 */
#include "ops/inplace.h"
#include "ops/children.h"
#include "ops/walk.h"
#include "core/staging.h"
#include "core/trust.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "io/local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRY_SIZE (UINT64_C(1) << 20)

struct inplace {
	const struct vdisk_convert_options *opts;
	const char *path;          /* of the destination, as given */
	struct vd_inplace state;
	vdisk_image *src;
	uint16_t file;             /* of src: the one with the bytes */
	const char **options;      /* of the target, with what follows from the rest; ends with NULL */
	char *extra[3];            /* those of them that are owned */
	bool beside;               /* the image is a file of its own, beside the bytes */
	char *data_name;           /* what it calls the file with the bytes */
	char folder[PATH_MAX];     /* of the destination */
	struct vd_host host;
	bool trying;
	unsigned n_files;          /* asked for by the driver */
};

/* ---- the source */

/* All guest bytes lie in one file, each at its own offset. */
static int layer_is_plain(struct vd_layer *l, uint16_t *file, bool *plain, vd_error *err)
{
	struct vd_extent v[16];
	uint64_t at = 0;
	bool first = true;

	for (*plain = l->size > 0; *plain && at < l->size;) {
		struct vd_extents e;

		vd_extents_init(&e, v, 16, at, l->size - at);
		if (vd_layer_map(l, at, l->size - at, 0, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++) {
			*file = first ? v[i].file : *file;
			first = false;
			*plain &= v[i].flags & VD_EXT_MAPPED && !(v[i].flags & VD_EXT_CIPHERED) && v[i].kind == VD_DATA &&
				  v[i].host == v[i].off && v[i].file == *file;
			at = v[i].off + v[i].len;
		}
	}
	return 0;
}

static int absolute(const char *path, char **out, vd_error *err)
{
	char real[PATH_MAX];

	if (vd_local_judge(path, err))
		return -1;
	if (!realpath(path, real))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", path);
	if (strpbrk(real, "\n\r"))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: its path has a line break, which the journal has no way to say", path);
	*out = vd_strdup(real);
	return *out ? 0 : vd_fail_nomem(err, strlen(real));
}

static void count_one(void *ctx, const struct vdisk_snapshot_info *s)
{
	(void)s;
	(*(unsigned *)ctx)++;
}

static int source_find(struct inplace *p, vd_error *err)
{
	struct vd_layer *l = p->src->top;
	struct vd_inplace *s = &p->state;
	unsigned snapshots = 0;
	struct stat st;
	bool plain;

	if (l->drv->snapshots && l->drv->snapshots->list && vdisk_snapshots(p->src, count_one, &snapshots, err))
		return -1;
	if (snapshots)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: has %u internal snapshots, which would be lost", l->path,
			       snapshots);
	if (p->src->n_layers > 1)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: is a layer over %s, and no disk by itself", l->path,
			       p->src->chain[1]->path);
	if (layer_is_plain(l, &p->file, &plain, err))
		return -1;
	if (!plain || fstat(l->files[p->file]->fd, &st) || !S_ISREG(st.st_mode))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: does not hold its disk byte by byte in one regular file, as raw, fixed VHD and flat "
			       "VMDK do",
			       l->path);
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	s->disk = l->size;
	s->size = vd_file_size(l->files[p->file]);
	if (s->size < s->disk || s->size - s->disk > VD_INPLACE_TAIL)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: has %" PRIu64 " bytes for a disk of %" PRIu64,
			       l->files[p->file]->name, s->size, s->disk);
	if (absolute(l->files[p->file]->name, &s->data, err) || (p->file && absolute(l->path, &s->old_image, err)))
		return -1;
	if (lstat(s->data, &st) || (uint64_t)st.st_ino != s->ino || st.st_nlink > 1)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: has further names (hard links), which would change with it", s->data);
	if (s->size > s->disk && (p->file || (p->src->open_options && *p->src->open_options)))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: has %" PRIu64 " bytes behind the disk, which would be lost", s->data, s->size - s->disk);
	s->tail = vd_calloc(1, s->size - s->disk + 1);
	if (!s->tail)
		return vd_fail_nomem(err, s->size - s->disk);
	return s->size > s->disk ? vd_file_pread(l->files[p->file], s->tail, s->size - s->disk, s->disk, err) : 0;
}

/* ---- the target */

static int host_open_file(struct vd_host *h, struct vd_layer *l, const char *name, bool write, uint16_t *file, vd_error *err)
{
	(void)h, (void)write, (void)file;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no existing file ('%s') becomes part of a new image", l->path,
		       name);
}

static void host_log(struct vd_host *h, enum vdisk_log_level level, const char *fmt, ...)
{
	(void)h, (void)level, (void)fmt;
}

/* The file with the bytes, every one of `keep` of them protected. */
static int data_again(struct inplace *p, uint64_t keep, struct vd_file **out, vd_error *err)
{
	struct vd_file *from = p->src->top->files[p->file], *f;
	int fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", from->name);
	if (vd_file_posix_fd(fd, from->name, true, &f, err))
		return -1;
	return vd_file_kept(f, &(struct vd_range){ 0, keep }, 1, out, err);
}

/* The driver wants a file beside the image: that is where the bytes are to be. */
static int host_create_file(struct vd_host *h, struct vd_layer *l, const char *name, uint16_t *file, vd_error *err)
{
	struct inplace *p = h->ctx;
	struct vd_file **files, *f;

	if (p->n_files++)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: the disk would lie in several files", l->path);
	vd_free(p->data_name);
	p->data_name = vd_strdup(name);
	if (!p->data_name)
		return vd_fail_nomem(err, strlen(name));
	if (p->trying ? vd_file_memory(name, NULL, 0, &f, err) : data_again(p, p->state.size, &f, err))
		return -1;
	files = vd_realloc(l->files, l->n_files + 1u, sizeof(struct vd_file *));
	if (!files) {
		vd_file_close(f);
		return vd_fail_nomem(err, sizeof(struct vd_file *));
	}
	l->files = files;
	files[l->n_files] = f;
	*file = l->n_files++;
	return 0;
}

static int target_make(struct inplace *p, struct vd_file *f, uint64_t size, vdisk_image **img, vd_error *err)
{
	p->n_files = 0;
	p->host = (struct vd_host){ .ctx = p, .open_file = host_open_file, .create_file = host_create_file,
		                    .base_name = vd_base_name(p->path), .log = host_log };
	return vd_image_create_file(f, p->opts->format, size, p->options, VD_CREATE_ORDERED | VD_CREATE_UNFINISHED, NULL, &p->host,
				    img, err);
}

/* Whether an image of that format with these options has the disk's bytes as they are; *beside: in a file of their own. */
static int target_try(struct inplace *p, bool *plain, vd_error *err)
{
	struct vd_file *f;
	vdisk_image *img;
	uint16_t file = 0;
	int rc;

	p->trying = true;
	if (vd_file_memory(p->path, NULL, 0, &f, err))
		return -1;
	rc = target_make(p, f, TRY_SIZE, &img, err);
	p->trying = false;
	if (rc)
		return -1;
	rc = layer_is_plain(img->top, &file, plain, err);
	p->beside = file > 0;
	*plain &= p->n_files == (p->beside ? 1 : 0);
	vdisk_close(img, NULL);
	return rc;
}

static bool option_is(const char *kv, const char *name)
{
	return !strncmp(kv, name, strlen(name)) && kv[strlen(name)] == '=';
}

static bool options_have(const struct inplace *p, const char *name)
{
	for (const char **kv = p->options; *kv; kv++)
		if (option_is(*kv, name))
			return true;
	return false;
}

static int option_add(struct inplace *p, unsigned slot, char *kv, vd_error *err)
{
	size_t n = 0;

	if (!kv)
		return vd_fail_nomem(err, 64);
	while (p->options[n] && p->options[n] != p->extra[slot])
		n++;
	vd_free(p->extra[slot]);
	p->extra[slot] = kv;
	p->options[n] = kv;
	return 0;
}

/* What was not said and can be one way only. */
static int options_complete(struct inplace *p, const struct vdisk_format_info *info, bool *plain, vd_error *err)
{
	const struct vdisk_option_info *sub = NULL;
	const char *slash = strrchr(p->state.data, '/');

	*plain = false;
	for (const struct vdisk_option_info *o = info->options; o && o->name; o++) {
		bool open_to = o->use & VDISK_OPT_FOR_CREATE && !options_have(p, o->name);

		if (open_to && !strcmp(o->name, "data_file") && option_add(p, 0, vd_asprintf("data_file=%s", slash + 1), err))
			return -1;
		if (open_to && !strcmp(o->name, "data_file_raw") && option_add(p, 1, vd_strdup("data_file_raw=on"), err))
			return -1;
		if (open_to && !strcmp(o->name, "subformat"))
			sub = o;
	}
	for (const char *v = sub ? sub->values : NULL; v && *v; v += strcspn(v, "|"), v += *v == '|') {
		if (option_add(p, 2, vd_asprintf("subformat=%.*s", (int)strcspn(v, "|"), v), err))
			return -1;
		if (!target_try(p, plain, NULL) && *plain)
			return 0;
	}
	return sub ? 0 : target_try(p, plain, err);
}

static int target_find(struct inplace *p, vd_error *err)
{
	const struct vdisk_convert_options *o = p->opts;
	const struct vdisk_format_info *info = vdisk_format_find(o->format ? o->format : "");
	size_t n = 0, k = 0;
	bool plain;

	if (!info)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "unknown format '%s'", o->format ? o->format : "");
	while (o->options && o->options[n])
		n++;
	p->options = vd_calloc(n + 4, sizeof(*p->options));
	if (!p->options)
		return vd_fail_nomem(err, n * sizeof(*p->options));
	for (; k < n; k++)
		p->options[k] = o->options[k];
	if (options_complete(p, info, &plain, err))
		return -1;
	if (!plain)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: a %s image with these options does not hold its disk byte by byte in one file: it is "
			       "not made in place",
			       p->path, info->name);
	return 0;
}

/* Where everything will be. */
static int names_find(struct inplace *p, vd_error *err)
{
	struct vd_inplace *s = &p->state;
	VD_AUTO_FREE char *side = vd_staging_side(p->path, VD_STAGING_RECORD);
	VD_AUTO_FREE char *dir = vd_folder_of(p->path);
	const char *base = vd_base_name(p->path), *name = p->beside ? p->data_name : base;
	char *image;
	struct stat st;

	if (!side || !dir)
		return vd_fail_nomem(err, strlen(p->path));
	if (vd_local_judge(p->path, err))
		return -1;
	if (!realpath(dir, p->folder))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", dir);
	if (!*base || strpbrk(p->path, "\n\r"))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "'%s' is no name for it", p->path);
	image = vd_asprintf("%s/%s", strcmp(p->folder, "/") ? p->folder : "", base);
	s->new_data = vd_asprintf("%s/%s", strcmp(p->folder, "/") ? p->folder : "", name);
	if (!image || !s->new_data) {
		vd_free(image);
		return vd_fail_nomem(err, strlen(p->path));
	}
	if (p->beside)
		s->image = image;
	else
		vd_free(image);
	s->cut = p->beside && s->size > s->disk;
	if (!access(side, F_OK))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			       "%s: an unfinished conversion to it is there; resume it, or remove %s", p->path, side);
	if (strcmp(s->data, s->new_data) && !lstat(s->new_data, &st))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: exists, and nothing is replaced in place", s->new_data);
	if (s->image && !lstat(s->image, &st))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: exists, and nothing is replaced in place", s->image);
	if (!p->beside && !strcmp(s->data, s->new_data) && !strcmp(p->src->top->drv->info.name, p->opts->format))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: is a %s image already", p->path, p->opts->format);
	return 0;
}

/* ---- doing it */

/* What the driver made is what it is to be; a doubt here costs nothing yet. */
static int made_check(struct inplace *p, vdisk_image *img, vd_error *err)
{
	uint16_t file = 0;
	bool plain;

	if (layer_is_plain(img->top, &file, &plain, err))
		return -1;
	if (plain && file == (p->beside ? 1 : 0) && img->top->size == p->state.disk)
		return 0;
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: the new image would not hold the disk byte by byte", p->path);
}

static int image_make(struct inplace *p, struct vd_file *f, vd_error *err)
{
	vdisk_image *img;

	if (target_make(p, f, p->state.disk, &img, err))
		return -1;
	if (made_check(p, img, err)) {
		vd_image_abort(img);
		return -1;
	}
	return vdisk_close(img, err);
}

static int data_rename(const struct vd_inplace *s, vd_error *err)
{
	if (!strcmp(s->data, s->new_data))
		return 0;
	if (renameat2(AT_FDCWD, s->data, AT_FDCWD, s->new_data, RENAME_NOREPLACE))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot be named %s", s->data, s->new_data);
	return 0;
}

/* The new image file lies beside the bytes: it comes first, since nobody minds it. */
static int make_beside(struct inplace *p, vd_error *err)
{
	struct vd_inplace *s = &p->state;
	struct vd_staging *staging;
	struct vd_file *f;
	struct stat st;

	if (vd_staging_new(p->path, false, &staging, &f, err))
		return -1;
	if (fstat(f->fd, &st)) {
		vd_file_close(f);
		vd_staging_abort(staging);
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", p->path);
	}
	s->image_dev = st.st_dev;
	s->image_ino = st.st_ino;
	if (image_make(p, f, err) || vd_inplace_write(s, err)) {
		vd_staging_abort(staging);
		return -1;
	}
	return vd_staging_commit(staging, err) || data_rename(s, err) ? -1 : 0;
}

/* The file with the bytes is the image: only what is behind them changes. */
static int make_around(struct inplace *p, vd_error *err)
{
	struct vd_file *f;

	if (vd_inplace_write(&p->state, err))
		return -1;
	if (data_again(p, p->state.disk, &f, err) || image_make(p, f, err))
		return -1;
	return data_rename(&p->state, err);
}

static int journal_name(const char *path, char **out, vd_error *err)
{
	*out = vd_staging_side(path, "inplace");
	return *out ? 0 : vd_fail_nomem(err, strlen(path));
}

static int convert_it(struct inplace *p, bool dry_run, vd_error *err)
{
	vd_error undoing = { 0 };
	bool done = false;
	int rc;

	if (source_find(p, err) || target_find(p, err) || names_find(p, err))
		return -1;
	if (dry_run)
		return 0;
	if (journal_name(p->path, &p->state.journal, err))
		return -1;
	rc = p->beside ? make_beside(p, err) : make_around(p, err);
	if (!rc)
		return vd_inplace_finish(&p->state, err);
	if (!access(p->state.journal, F_OK) && vd_inplace_recover(&p->state, &done, &undoing)) {
		vd_fail_in(err, "%s: could not be undone (%.200s), the same command tries again; ", p->path, undoing.message);
		return -1;
	}
	return done ? 0 : -1;
}

static void inplace_free(struct inplace *p)
{
	vd_inplace_clear(&p->state);
	for (size_t i = 0; i < sizeof(p->extra) / sizeof(*p->extra); i++)
		vd_free(p->extra[i]);
	vd_free(p->options);
	vd_free(p->data_name);
	vdisk_close(p->src, NULL);
}

/* Whether `src` is, or was, what a journal tells of: it may have another name by now, and be reached by this one no more. */
static bool source_is(const struct vd_inplace *s, const char *src)
{
	VD_AUTO_FREE char *real = NULL;

	return !vd_path_real(src, &real, NULL) &&
	       (!strcmp(real, s->data) || !strcmp(real, s->new_data) || (s->old_image && !strcmp(real, s->old_image)));
}

/* *finished: an earlier run had done it but for cleaning up. */
static int recover(const char *src, const char *path, bool dry_run, bool *finished, vd_error *err)
{
	VD_AUTO_FREE char *journal = NULL;
	struct vd_inplace s;
	bool found;
	int rc;

	*finished = false;
	if (journal_name(path, &journal, err) || vd_inplace_read(journal, &s, &found, err))
		return -1;
	if (!found) {
		if (!dry_run)
			(void)unlink(journal);
		return 0;
	}
	rc = !source_is(&s, src) ?
		     vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			     "%s: an in-place conversion of %s was broken off; give that one first, and it is undone or finished",
			     path, s.old_image ? s.old_image : s.data) :
	     dry_run ? vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			       "%s: an in-place conversion was broken off; without --dry-run it is undone or "
			       "finished first",
			       path)
		     : vd_inplace_recover(&s, finished, err);
	vd_inplace_clear(&s);
	return rc;
}

int vdisk_convert_in_place(const char *src, const struct vdisk_open_options *open, const char *path,
			   const struct vdisk_convert_options *opts, uint64_t *size, vdisk_error *err)
{
	const uint32_t allowed = VDISK_CONVERT_DRY_RUN | VDISK_CONVERT_CHECKPOINT;
	struct vdisk_open_options o = open ? *open : (struct vdisk_open_options){ 0 };
	struct inplace p = { .opts = opts, .path = path };
	bool finished;
	int rc;

	if (size)
		*size = 0;
	if (opts->flags & ~allowed || opts->backing || !strcmp(path, "-") || !strcmp(src, "-"))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "%s: in place, nothing is read, compressed, left out or replaced", path);
	if (recover(src, path, opts->flags & VDISK_CONVERT_DRY_RUN, &finished, err))
		return -1;
	if (finished)
		return 0;
	o.flags |= VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID;
	if (vdisk_open(src, &o, &p.src, err))
		return -1;
	if (size)
		*size = p.src->top->size;
	rc = convert_it(&p, opts->flags & VDISK_CONVERT_DRY_RUN, err);
	inplace_free(&p);
	return rc;
}

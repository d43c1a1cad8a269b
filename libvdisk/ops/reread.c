/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading back what was just made.  The files still have their temporary names, so that the new layer gets duplicates of the open
 * descriptors: the named file first, then the extents in the order in which the format made them, which is the order in which it
 * names them.  Cached pages are given up before, so that the bytes come from the disk where the host obliges.
 */
#include "ops/reread.h"
#include "base/alloc.h"
#include "base/options.h"
#include "io/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct reread_host {
	struct vd_host host;
	struct vd_layer *made;
	uint16_t next;
};

static int file_again(struct vd_file *f, struct vd_file **out, vd_error *err)
{
	int fd;

	if (f->flags & VD_FILE_EXPORT)
		return vd_file_nbd_again(f, out, err);
	if (f->fd < 0)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: cannot be read back", f->name);
	fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", f->name);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return vd_file_posix_fd(fd, f->name, false, out, err);
}

static int host_open_file(struct vd_host *h, struct vd_layer *l, const char *name, bool write, uint16_t *file, vd_error *err)
{
	struct reread_host *rh = h->ctx;
	struct vd_file **files, *f;

	(void)write;
	if (rh->next >= rh->made->n_files)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: names '%s', which was not made", l->path, name);
	if (file_again(rh->made->files[rh->next], &f, err))
		return -1;
	files = vd_realloc(l->files, l->n_files + 1u, sizeof(struct vd_file *));
	if (!files) {
		vd_file_close(f);
		return vd_fail_nomem(err, sizeof(struct vd_file *));
	}
	rh->next++;
	l->files = files;
	files[l->n_files] = f;
	*file = l->n_files++;
	return 0;
}

static int host_create_file(struct vd_host *h, struct vd_layer *l, const char *name, uint16_t *file, vd_error *err)
{
	(void)h, (void)file;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: '%s' cannot be made while reading", l->path, name);
}

static void host_log(struct vd_host *h, enum vdisk_log_level level, const char *fmt, ...)
{
	(void)h, (void)level, (void)fmt;
}

static bool option_opens(const struct vdisk_option_info *table, const char *kv)
{
	size_t n = strcspn(kv, "=");

	for (; table && table->name; table++)
		if (table->use & VDISK_OPT_FOR_OPEN && strlen(table->name) == n && !strncmp(table->name, kv, n))
			return true;
	return false;
}

/* The option of opening that says what this one of creating said; NULL: none.  A key file is "encrypt.key-file" there, "key-file"
   here. */
static const char *option_again(const struct vdisk_option_info *table, const char *kv)
{
	static const char prefix[] = "encrypt.";

	if (option_opens(table, kv))
		return kv;
	if (strncmp(kv, prefix, sizeof(prefix) - 1))
		return NULL;
	kv += sizeof(prefix) - 1;
	return option_opens(table, kv) ? kv : NULL;
}

static int parent_again(vdisk_image *dst, vdisk_image **out, vd_error *err)
{
	struct vdisk_open_options o = { 0 };

	*out = NULL;
	if (dst->n_layers < 2)
		return 0;
	o.format = dst->chain[1]->drv->info.name;
	return vdisk_open(dst->chain[1]->path, &o, out, err);
}

/* A block device may be longer than the disk on it. */
static int size_option(const vdisk_image *dst, char **text, vd_error *err)
{
	const struct vd_layer *l = dst->top;

	*text = NULL;
	if (!(l->files[0]->flags & VD_FILE_BLOCKDEV) || !option_opens(l->drv->info.options, "size"))
		return 0;
	*text = vd_asprintf("size=%" PRIu64, l->size);
	return *text ? 0 : vd_fail_nomem(err, 32);
}

int vd_reread(vdisk_image *dst, const char *const *create_options, vdisk_image **out, vd_error *err)
{
	const struct vd_driver *drv = dst->top->drv;
	struct reread_host rh = { .made = dst->top, .next = 1 };
	VD_AUTO_FREE const char **options = NULL;
	VD_AUTO_FREE char *size = NULL;
	vdisk_image *parent;
	struct vd_file *f;
	size_t n = 0, k = 0;

	while (create_options && create_options[n])
		n++;
	options = vd_calloc(n + 2, sizeof(*options));
	if (!options)
		return vd_fail_nomem(err, n * sizeof(*options));
	if (size_option(dst, &size, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		if ((options[k] = option_again(drv->info.options, create_options[i])))
			k++;
	if (size)
		options[k++] = size;
	rh.host = (struct vd_host){
		.ctx = &rh, .open_file = host_open_file, .create_file = host_create_file, .base_name = dst->path, .log = host_log
	};
	if (file_again(dst->top->files[0], &f, err))
		return -1;
	if (parent_again(dst, &parent, err)) {
		vd_file_close(f);
		return -1;
	}
	return vd_image_open_file(f, drv->info.name, 0, options, parent, &rh.host, out, err);
}

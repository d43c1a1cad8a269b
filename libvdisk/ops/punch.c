/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving a disk on a full file system: the source's space is given back piece by piece, and its files are removed when the target
 * has its name.
 *
 *  P1. Host space of the source is given back only when the target's bytes for all guest offsets that it serves are durable, and
 * the record (checkpoint.h) that says so.  So a run that dies anywhere is resumed, and never begun anew by mistake: its unfinished
 *      files stay whatever happens.
 *      Before the first piece goes, both sides say so: the source in the attribute "user.vdisk.moved", where the file system has
 * such (core/open.c refuses it then), the target in a file beside it (core/staging.h). P2. The first bytes of each file, which tell
 * the source from another one, stay to the end.
 */
#include "ops/convert.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "core/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HEAD_BYTES 65536u                     /* what fingerprint.c looks at */
#define STEP_MAX   (UINT64_C(256) << 20)      /* of the disk, between two flushes */
#define STEP_MIN   (UINT64_C(4) << 20)

struct vd_punch {
	struct vd_walk walk;  /* what lies below was given back */
	uint64_t step;
	char *side;           /* says so beside the target */
	bool said;
};

static void count_one(void *ctx, const struct vdisk_snapshot_info *s)
{
	(void)s;
	(*(unsigned *)ctx)++;
}

static int judge(const struct vd_conv *c, vd_error *err)
{
	const struct vd_layer *l = c->src->top;
	unsigned snapshots = 0;
	struct stat st;

	if (!c->resume)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: its space cannot be given back where nothing records how far that got", c->src->path);
	if (c->src->n_layers > 1)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			       "%s: is a layer over %s, which other layers may need: flatten it first, or leave out "
			       "--punch-source",
			       c->src->path, c->src->chain[1]->path);
	if (!c->src->claims)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: is not open for writing", c->src->path);
	if (l->drv->snapshots && l->drv->snapshots->list && vdisk_snapshots(c->src, count_one, &snapshots, err))
		return -1;
	if (snapshots)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			       "%s: has %u internal snapshots, which would be lost; leave out --punch-source", c->src->path,
			       snapshots);
	for (unsigned i = 0; i < l->n_files; i++)
		if (fstat(l->files[i]->fd, &st) || !S_ISREG(st.st_mode))
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
				       "%s: is no regular file whose space could be given back", l->files[i]->name);
	return 0;
}

int vd_punch_new(struct vd_conv *c, vd_error *err)
{
	struct vd_punch *p;

	if (judge(c, err))
		return -1;
	p = vd_calloc(1, sizeof(*p));
	if (!p)
		return vd_fail_nomem(err, sizeof(*p));
	vd_walk_init(&p->walk, c->src, vd_min(c->size, c->src->top->size), 0);
	p->step = STEP_MIN;
	c->punch = p;
	p->side = vd_staging_side(c->dst->path, VD_STAGING_MOVING);
	return p->side ? 0 : vd_fail_nomem(err, strlen(c->dst->path));
}

static int say_so(struct vd_conv *c, vd_error *err)
{
	struct vd_punch *p = c->punch;
	const char *to = c->dst->path;
	int fd;

	if (p->said)
		return 0;
	if (fsetxattr(c->src->top->files[0]->fd, "user.vdisk.moved", to, strnlen(to, 299), 0) && errno != ENOTSUP)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: attribute user.vdisk.moved", c->src->path);
	fd = open(p->side, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0 || fsync(fd) || fsync(c->src->top->files[0]->fd)) {
		vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", p->side);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	p->said = true;
	return vd_folder_sync(p->side, err);
}

static int extent_punch(struct vd_conv *c, const struct vd_extent *x, vd_error *err)
{
	uint64_t from = vd_max(x->host, HEAD_BYTES), end = x->host + x->host_len;

	if (x->kind != VD_DATA || !(x->flags & (VD_EXT_MAPPED | VD_EXT_COMPRESSED)) || from >= end)
		return 0;
	return vd_file_punch(vd_extent_file(c->src, x), from, end - from, err);
}

/* The less is free, the smaller the steps. */
static uint64_t step_choose(const struct vd_conv *c)
{
	struct statvfs vfs;
	uint64_t room;

	if (fstatvfs(c->to->files[0]->fd, &vfs) || vd_mul64(vfs.f_bavail, vfs.f_frsize, &room))
		return STEP_MIN;
	return vd_max(STEP_MIN, vd_min(STEP_MAX, room / 4));
}

int vd_punch_tick(struct vd_conv *c, vd_error *err)
{
	struct vd_punch *p = c->punch;
	uint64_t pos;

	if (c->progress.done < p->walk.pos + p->step)
		return 0;
	if (vd_resume_save(c, &pos, err) || say_so(c, err))
		return -1;
	/* A packed unit that reaches beyond is still wanted. */
	pos = vd_min(vd_down(pos, c->src->top->alloc_grain), p->walk.size);
	while (p->walk.pos < pos) {
		struct vd_extent x;

		if (vd_walk_next(&p->walk, pos, &x, err) || extent_punch(c, &x, err))
			return -1;
	}
	p->step = step_choose(c);
	return 0;
}

void vd_punch_finish(struct vd_conv *c)
{
	const struct vd_layer *l = c->src->top;

	(void)unlink(c->punch->side);

	for (unsigned i = l->n_files; i-- > 0;) {
		const char *name = l->files[i]->name;
		struct stat there, st;

		if (!fstat(l->files[i]->fd, &st) && !lstat(name, &there) && there.st_dev == st.st_dev &&
		    there.st_ino == st.st_ino && !unlink(name))
			continue;
		if (c->opts->log) {
			char text[VDISK_ERROR_MESSAGE_MAX];

			snprintf(text, sizeof(text), "%.600s: could not be removed; what is left of it is no disk any more", name);
			c->opts->log(c->opts->log_ctx, VDISK_LOG_WARNING, text);
		}
	}
}

void vd_punch_free(struct vd_conv *c)
{
	if (c->punch)
		vd_free(c->punch->side);
	vd_free(c->punch);
	c->punch = NULL;
}

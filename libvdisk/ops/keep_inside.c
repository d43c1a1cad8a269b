/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States as snapshots inside one image: the first one is converted, the image's snapshot keeps it, and what the next has different
 * is written, after going back to the snapshot that it goes on from.  The image is made under a hidden name and renamed.
 */
#include "ops/keep.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "base/zero.h"
#include "core/open.h"
#include "core/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int range_copy(struct vd_keep *k, vdisk_image *to, vdisk_image *from, uint64_t off, uint64_t len, vd_error *err)
{
	uint64_t inside = from->top->size;

	for (uint64_t end = off + len; off < end;) {
		size_t n = vd_min(VD_KEEP_BUFFER - off % VD_KEEP_BUFFER, end - off);
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
	struct vd_keep *k;
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

/* The new image holds the state i - 1: its snapshot. */
static int state_keep(struct vd_keep *k, size_t i, vd_error *err)
{
	const struct vd_state *x = &k->states.v[i - 1];
	struct vdisk_snapshot_create_options c = {
		.name = x->name,
		.date_sec = x->date_sec,
		.date_nsec = x->date_nsec,
		.vm_clock_nsec = x->vm_clock,
		.flags = VDISK_SNAPSHOT_SAME_NAME,
	};

	return vdisk_snapshot_create(k->to, &c, NULL, err);
}

/* QEMU's list says of no snapshot which one it goes on from. */
static void branch_tell(const struct vd_keep *k, size_t i)
{
	const struct vd_state *x = &k->states.v[i];

	if (i + 1 < k->states.n && i >= k->states.line)
		vd_log(k->to, VDISK_LOG_WARNING,
		       "%s: the snapshot '%s' is kept, but not that it goes on from %s%s%s on a branch of its own: layers tell that",
		       k->path, x->name, x->parent >= 0 ? "'" : "", x->parent >= 0 ? k->states.v[x->parent].name : "nothing",
		       x->parent >= 0 ? "'" : "");
}

/* What the snapshots hold, the first but one of which the image is now, or goes back to. */
static int state_follow(struct vd_keep *k, size_t i, vdisk_image *before, vdisk_image *now, vd_error *err)
{
	int parent = k->states.v[i].parent;
	struct vdisk_job_options job = vd_keep_job(k);
	struct update u = { .k = k, .to = k->to, .from = now, .size = now->top->size, .err = err };
	vdisk_image *nothing = NULL;
	int rc;

	if (i && state_keep(k, i, err))
		return -1;
	branch_tell(k, i);
	if (!i)
		return 0;
	if ((size_t)parent + 1 != i && vd_snapshot_apply_at(k->to, parent < 0 ? 0 : (uint32_t)parent, err))
		return -1;
	if (!before) {
		if (vd_state_open(&k->states, 0, &nothing, err))
			return -1;
		before = nothing;
	}
	rc = now->top->size != k->to->top->size ? vdisk_resize(k->to, now->top->size, VDISK_RESIZE_SHRINK, err) : 0;
	rc = rc || vdisk_diff(before, now, &job, update_piece, &u, err) || u.failed ? -1 : 0;
	vdisk_close(nothing, NULL);
	return rc;
}

static int inside_fill(struct vd_keep *k, const char *path, vd_error *err)
{
	struct vdisk_open_options o = {
		.format = k->format->name, .flags = VDISK_OPEN_RW, .log = k->how->open->log, .log_ctx = k->how->open->log_ctx
	};
	int rc;

	if (vdisk_open(path, &o, &k->to, err))
		return -1;
	rc = vd_keep_states(k, state_follow, err);
	k->report.size = k->to->top->size;
	return vdisk_close(k->to, rc ? NULL : err) || rc ? -1 : 0;
}

/* Each snapshot of the new image against its source. */
static int inside_verify(struct vd_keep *k, const char *path, vd_error *err)
{
	struct vdisk_job_options job = vd_keep_job(k);
	int rc = 0;

	job.progress = NULL;
	for (size_t i = 0; i < k->states.n && !rc; i++) {
		char id[40];
		const char *options[] = { id, NULL };
		struct vdisk_open_options o = { .format = k->format->name, .options = i + 1 < k->states.n ? options : NULL };
		struct vdisk_compare_result r = { 0 };
		vdisk_image *a = NULL, *b = NULL;

		snprintf(id, sizeof(id), "snapshot=%zu", i + 1); /* qcow2 counts them from 1 */
		rc = vd_state_open(&k->states, i, &a, err) || vdisk_open(path, &o, &b, err) ||
		                     vdisk_compare(a, b, false, &job, &r, err)
		             ? -1
		             : 0;
		if (!rc && !r.equal)
			rc = vd_fail(err, VDISK_CORRUPT, r.offset,
			             "%s: what was read back of state %zu differs from its source at offset %" PRIu64, k->path,
			             i + 1, r.offset);
		vdisk_close(a, NULL);
		vdisk_close(b, NULL);
	}
	return rc;
}

static int name_take(struct vd_keep *k, const char *temp, vd_error *err)
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

int vd_keep_inside(struct vd_keep *k, vd_error *err)
{
	struct vdisk_convert_options o = vd_keep_options(k);
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
	vdisk_close(first, NULL);
	if (rc)
		return -1;
	k->report.data += r.data;
	rc = inside_fill(k, temp, err);
	if (!rc && k->c->flags & VDISK_CONVERT_VERIFY)
		rc = inside_verify(k, temp, err);
	if (!rc)
		rc = name_take(k, temp, err);
	if (rc)
		unlink(temp);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ops/surgery.h"
#include "base/bytes.h"

#define SWEEP_PIECE (UINT64_C(64) << 20) /* bounds how long a claim is held, and how late a cancel flag is seen */

int vd_sweep_run(struct vd_sweep *s, vd_error *err)
{
	static const struct vdisk_job_options none;
	const struct vdisk_job_options *o = s->opts ? s->opts : &none;
	struct vdisk_progress p = { .total = s->size };
	uint64_t step = vd_max(vd_down(SWEEP_PIECE, s->grain), s->grain);

	struct vd_pacer pacer = { .fn = o->progress, .ctx = o->progress_ctx };
	for (uint64_t off = 0; off < s->size; off += step) {
		uint64_t len = vd_min(step, s->size - off);

		if (o->cancel && *o->cancel)
			return vd_fail(err, VDISK_CANCELLED, VDISK_NO_OFFSET,
			               "stopped on request: what was done so far stays, and the content is the same");
		if (s->piece(s->ctx, off, len, &s->copied, err))
			return -1;
		p.done = off + len;
		p.copied = s->copied;
		vd_pacer_show(&pacer, &p, false);
	}
	vd_pacer_show(&pacer, &p, true);
	return 0;
}

static void snapshot_count(void *ctx, const struct vdisk_snapshot_info *s)
{
	(void)s;
	++*(unsigned *)ctx;
}

int vd_surgery_judge(vdisk_image *img, const char *what, vd_error *err)
{
	if (!img->claims)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing", img->path);
	if (!img->top->drv->set_parent)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images have no parents", img->path,
		               img->top->drv->info.name);
	return vd_snapshots_judge(img, what, err);
}

int vd_snapshots_judge(vdisk_image *img, const char *what, vd_error *err)
{
	unsigned snapshots = 0;

	if (vdisk_snapshots(img, snapshot_count, &snapshots, err))
		return -1;
	if (snapshots)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: its %u internal snapshots rely on the parent, too: %s",
		               img->path, snapshots, what);
	return 0;
}

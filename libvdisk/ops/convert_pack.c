/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A window's units packed, each by itself, one behind the other.  On the pool. */
#include "ops/convert.h"
#include "base/bytes.h"

static int pack_unit(struct vd_conv *c, struct vd_window *w, struct vd_place *p, uint8_t *out, size_t *len, vd_error *err)
{
	size_t at = p->r.off - w->off;

	vd_runs_fill(w, at, at + p->r.len);
	if (c->to->drv->codec->pack(c->to, p->r.off, w->buf + at, p->r.len, out, len, err))
		return vd_fail_in(err, "%s: at guest offset %" PRIu64, c->to->path, p->r.off);
	return 0;
}

int vd_conv_pack(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	uint8_t *out = w->packed;

	for (size_t i = 0; i < w->n_places; i++) {
		struct vd_place *p = &w->places[i];
		size_t len = 0;

		if (p->r.kind != VD_DATA)
			continue;
		if (pack_unit(c, w, p, out, &len, err))
			return -1;
		w->packed_in += p->r.len;
		w->packed_out += len ? len : p->r.len;
		if (!len) /* incompressible: stored plainly */
			continue;
		p->r.flags |= VD_RESV_PACKED;
		p->r.packed_len = (uint32_t)len;
		p->packed = out;
		out += len;
	}
	return 0;
}

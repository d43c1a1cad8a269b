/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which folders may hold parents is found when the image is opened, and kept for all its other states: for as long as the process
   lives. */
#include "overlay.h"

#include <unistd.h>

struct state *overlay_open(const struct args *a, vdisk_error *err)
{
	const struct source_options *o = &a->source;
	static struct source source;
	struct state *s;

	if (source_open(&source, o, err))
		return NULL;
	s = state_new(o->overlay ? o->overlay : o->image, o->overlay ? "qcow2" : o->format, NULL, source.allow,
	              o->force_share ? VDISK_OPEN_NO_LOCK : 0);
	if (s) {
		s->cancel = o->cancel;
		s->fresh = source.made;
		state_take(s, source.img);
		return s;
	}
	fail_nomem(err);
	source_close(&source, NULL);
	if (source.made)
		unlink(o->overlay);
	return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files in memory that outlive the images which are opened on them: their bytes between two opens, and what a power cut leaves of
   them. */
#ifndef TESTS_UNIT_KEPT_H
#define TESTS_UNIT_KEPT_H

#include "ops_help.h"

struct kept {
	struct vd_crash *clock;
	unsigned id;
};

static inline struct vd_file *kept_empty(const char *name)
{
	struct vd_file *f;

	must(vd_file_memory(name, NULL, 0, &f, err));
	return f;
}

/* A file whose bytes stay on *k; takes `inner`. */
static inline struct vd_file *kept_new(struct kept *k, struct vd_file *inner)
{
	struct vd_file *f;

	k->clock = vd_crash_new();
	assert_non_null(k->clock);
	must(vd_file_crash(k->clock, inner, &f, &k->id, err));
	return f;
}

/* A copy of what a cut after `at` operations leaves of it. */
static inline struct vd_file *kept_cut(const struct kept *k, unsigned long at, int mode, uint64_t seed)
{
	struct vd_file *f;

	must(vd_crash_image(k->clock, k->id, at, (enum vd_crash_mode)mode, seed, &f, err));
	return f;
}

/* A copy of it. */
static inline struct vd_file *kept_file(const struct kept *k) { return kept_cut(k, vd_crash_ops(k->clock), VD_CRASH_KEEP, 0); }

static inline void kept_free(struct kept *k) { vd_crash_free(k->clock); }

/* `option` and `parent` may be NULL; takes f and the parent. */
static inline vdisk_image *kept_open(struct vd_file *f, const char *format, uint32_t flags, const char *option, vdisk_image *parent)
{
	const char *options[] = { option, NULL };
	vdisk_image *img;

	must(vd_image_open_file(f, format, flags, option ? options : NULL, parent, NULL, &img, err));
	return img;
}

static inline vdisk_image *kept_create(struct vd_file *f, const char *format, uint64_t size, const char *option, uint32_t flags,
                                       vdisk_image *parent)
{
	const char *options[] = { option, NULL };
	vdisk_image *img;

	must(vd_image_create_file(f, format, size, option ? options : NULL, flags, parent, NULL, &img, err));
	return img;
}

#endif

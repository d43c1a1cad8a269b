/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of extents: ascending, without gaps, from guest offset 0 to the disk's end. */
#include "vmdk.h"

#include "base/alloc.h"

struct vmdk_extent *vmdk_extent_at(const struct vmdk *s, uint64_t off)
{
	size_t low = 0, high = s->n - 1;
	while (low < high) {
		size_t mid = (low + high + 1) / 2;
		if (s->v[mid].off <= off)
			low = mid;
		else
			high = mid - 1;
	}
	return &s->v[low];
}

struct vmdk_extent *vmdk_extent_add(struct vmdk *s)
{
	struct vmdk_extent *v = vd_realloc(s->v, s->n + 1, sizeof(*v));
	if (!v)
		return NULL;
	s->v = v;
	struct vmdk_extent *x = &v[s->n++];
	*x = (struct vmdk_extent){.file = VMDK_NO_FILE};
	return x;
}

static void extent_clear(struct vmdk_extent *x)
{
	if (x->tables)
		vd_cache_free(x->tables);
	vd_free(x->gd);
	vd_free(x->rgd);
	vd_free(x->se_gd);
	vd_free(x->gd_dirty);
	vmdk_space_clear(&x->space);
}

void vmdk_extents_clear(struct vmdk *s)
{
	for (size_t i = 0; i < s->n; i++)
		extent_clear(&s->v[i]);
	vd_free(s->v);
	s->v = NULL;
	s->n = 0;
}

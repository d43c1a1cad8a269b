/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a differencing disk says of its parent: the parent's UUID and that of its last change, and, since that is no name, a name in
 * the comment, "parent: base.vdi", whose first line it is; what the comment held before stays behind it.
 *
 * All of it lies in the header's first sector, whose write is what gives the disk another parent, or none.  Of a disk without one,
 * blocks that have no place are zeros: the caller has seen to it that the parent has nothing else there.
 */
#include "vdi.h"

#include "base/alloc.h"

#include <stdio.h>

size_t vdi_parent_name(const struct vdi_header *h, const char **name)
{
	const size_t n = sizeof(VDI_COMMENT_PARENT) - 1;

	*name = h->comment + n;
	return strncmp(h->comment, VDI_COMMENT_PARENT, n) ? 0 : strcspn(*name, "\n");
}

/* What the comment says besides. */
static const char *comment_rest(const struct vdi_header *h)
{
	const char *name, *end;
	size_t n = vdi_parent_name(h, &name);

	end = n ? strchr(name, '\n') : NULL;
	return !n ? h->comment : end ? end + 1 : "";
}

int vdi_parent_fill(struct vdi_header *h, const struct vd_layer *parent, const char *name, uint64_t size, vd_error *err)
{
	char comment[VDI_COMMENT + 1] = "";
	const char *rest = comment_rest(h);
	const struct vdi *p;

	if (!parent || strcmp(parent->drv->info.name, "vdi"))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a differencing VDI needs a VDI as its parent; %s is %s",
		               name, parent ? parent->drv->info.name : "none");
	p = parent->priv;
	if (parent->size != size)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a differencing VDI has its parent's size, %" PRIu64 " bytes; %" PRIu64 " were asked for",
		               parent->size, size);
	if (strchr(name, '\n'))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a VDI cannot name a parent with a line end in its name");
	if (snprintf(comment, sizeof(comment), VDI_COMMENT_PARENT "%s%s%s", name, *rest ? "\n" : "", rest) >= (int)VDI_COMMENT)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the parent's name %s is too long for a VDI's comment%s", name,
		               *rest ? ", which holds other words, too" : "");
	memcpy(h->comment, comment, sizeof(comment));
	memcpy(h->link, p->h.uuid, 16);
	memcpy(h->parent_modified, p->h.modified, 16);
	return 0;
}

int vdi_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err)
{
	struct vdi *v = l->priv;
	struct vdi_header h = v->h;
	vd_error why = { 0 };

	if (!vdi_is_diff(v))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a %s VDI cannot be given a parent; a differencing one can be given another", l->variant);
	if (p) {
		/* Whatever it does not like is said before anything is written. */
		if (vdi_parent_fill(&h, p->layer, p->name, l->size, &why))
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s", why.message);
		return vdi_header_change(l, v, &h, err);
	}
	h.type = VDI_DYNAMIC;
	memset(h.link, 0, sizeof(h.link));
	memset(h.parent_modified, 0, sizeof(h.parent_modified));
	memset(h.comment, 0, sizeof(h.comment));
	memcpy(h.comment, comment_rest(&v->h), strlen(comment_rest(&v->h)));
	if (vdi_header_change(l, v, &h, err))
		return -1;
	memcpy(l->variant, "dynamic", sizeof("dynamic"));
	return 0;
}

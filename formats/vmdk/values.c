/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What info shows of a VMDK. */
#include "vmdk.h"

#include "base/say.h"

#include <stdio.h>
#include <string.h>

static void say_descriptor(const struct vd_ear *e, const struct vmdk_desc *d)
{
	static const char *const keys[][2] = {
	    {"long-content-id", "ddb.longContentID"},
	    {"adapter-type", "ddb.adapterType"},
	    {"hardware-version", "ddb.virtualHWVersion"},
	    {"tools-version", "ddb.toolsVersion"},
	    {"uuid", "ddb.uuid"},
	    {"geometry-cylinders", "ddb.geometry.cylinders"},
	    {"geometry-heads", "ddb.geometry.heads"},
	    {"geometry-sectors", "ddb.geometry.sectors"},
	    {"thin-provisioned", "ddb.thinProvisioned"},
	    {"change-tracking", "changeTrackPath"},
	};
	char text[256];
	vd_say_foreign(e, "create-type", d->create_type);
	snprintf(text, sizeof(text), "%08x", d->cid);
	vd_say_foreign(e, "cid", text);
	snprintf(text, sizeof(text), "%08x", d->parent_cid);
	vd_say_foreign(e, "parent-cid", text);
	if (d->encoding)
		vd_say_foreign(e, "encoding", d->encoding);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (vmdk_desc_value(d->text, keys[i][1], text, sizeof(text)))
			vd_say_foreign(e, keys[i][0], text);
}

static const char *kind_name(const struct vmdk_extent *x)
{
	static const char *const names[] = {"FLAT", "ZERO", "SPARSE", "COWD", "SESPARSE"};
	return names[x->kind];
}

#define LISTED 32u /* extents shown one by one */

static void say_extents(const struct vd_ear *e, const struct vd_layer *l)
{
	const struct vmdk *s = vmdk_of(l);
	vd_say_number(e, "extents", s->n);
	for (size_t i = 0; i < s->n && i < LISTED; i++) {
		const struct vmdk_extent *x = &s->v[i];
		const char *name = i < s->desc.n_lines && s->desc.lines[i].name ? s->desc.lines[i].name : "";
		char key[32], text[256], clean[160];
		snprintf(key, sizeof(key), "extent-%zu", i + 1);
		vd_printable(clean, sizeof(clean), name, strlen(name));
		snprintf(text, sizeof(text), "%s %s %" PRIu64 " bytes%s%s%s", vmdk_access_name(x->access), kind_name(x), x->len,
			 *clean ? " " : "", clean, x->file == VMDK_NO_FILE && x->kind != VMDK_ZERO ? " (not opened)" : "");
		vd_say_foreign(e, key, text);
	}
}

int vmdk_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct vmdk *s = vmdk_of(l);
	const struct vd_ear e = {fn, ctx};
	(void)err;
	if (s->desc_room != VMDK_NO_DESC)
		say_descriptor(&e, &s->desc);
	say_extents(&e, l);
	for (size_t i = 0; i < s->n; i++) {
		const struct vmdk_extent *x = &s->v[i];
		if (!vmdk_is_sparse(x) || !x->grain)
			continue;
		vd_say_number(&e, "grain-size", x->grain);
		vd_say_number(&e, "grain-table-entries", x->gtes);
		if (x->kind == VMDK_SPARSE) {
			vd_say_number(&e, "sparse-version", x->h.version);
			vd_say_bool(&e, "compressed", x->packed);
			vd_say_bool(&e, "zeroed-grains", x->zero_gte);
		}
		break;
	}
	vd_say_bool(&e, "unclean-shutdown", s->unclean);
	return 0;
}

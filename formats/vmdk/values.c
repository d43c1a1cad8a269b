/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What info shows of a VMDK. */
#include "vmdk.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

struct sink {
	vdisk_value_fn fn;
	void *ctx;
};

static void say_text(const struct sink *k, const char *key, const char *text)
{
	char clean[256];
	vd_printable(clean, sizeof(clean), text, strlen(text));
	struct vdisk_value v = {.key = key, .type = VDISK_VALUE_STRING, .str = clean};
	k->fn(k->ctx, &v);
}

static void say_u64(const struct sink *k, const char *key, uint64_t n, enum vdisk_value_type type)
{
	struct vdisk_value v = {.key = key, .type = type, .u64 = n};
	k->fn(k->ctx, &v);
}

static void say_descriptor(const struct sink *k, const struct vmdk_desc *d)
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
	say_text(k, "create-type", d->create_type);
	snprintf(text, sizeof(text), "%08x", d->cid);
	say_text(k, "cid", text);
	snprintf(text, sizeof(text), "%08x", d->parent_cid);
	say_text(k, "parent-cid", text);
	if (d->encoding)
		say_text(k, "encoding", d->encoding);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (vmdk_desc_value(d->text, keys[i][1], text, sizeof(text)))
			say_text(k, keys[i][0], text);
}

static const char *kind_name(const struct vmdk_extent *x)
{
	static const char *const names[] = {"FLAT", "ZERO", "SPARSE", "COWD", "SESPARSE"};
	return names[x->kind];
}

#define LISTED 32u /* extents shown one by one */

static void say_extents(const struct sink *k, const struct vd_layer *l)
{
	const struct vmdk *s = vmdk_of(l);
	say_u64(k, "extents", s->n, VDISK_VALUE_U64);
	for (size_t i = 0; i < s->n && i < LISTED; i++) {
		const struct vmdk_extent *x = &s->v[i];
		const char *name = i < s->desc.n_lines && s->desc.lines[i].name ? s->desc.lines[i].name : "";
		char key[32], text[256], clean[160];
		snprintf(key, sizeof(key), "extent-%zu", i + 1);
		vd_printable(clean, sizeof(clean), name, strlen(name));
		snprintf(text, sizeof(text), "%s %s %" PRIu64 " bytes%s%s%s", vmdk_access_name(x->access), kind_name(x), x->len,
			 *clean ? " " : "", clean, x->file == VMDK_NO_FILE && x->kind != VMDK_ZERO ? " (not opened)" : "");
		say_text(k, key, text);
	}
}

int vmdk_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct vmdk *s = vmdk_of(l);
	const struct sink k = {fn, ctx};
	(void)err;
	if (s->desc_room != VMDK_NO_DESC)
		say_descriptor(&k, &s->desc);
	say_extents(&k, l);
	for (size_t i = 0; i < s->n; i++) {
		const struct vmdk_extent *x = &s->v[i];
		if (!vmdk_is_sparse(x) || !x->grain)
			continue;
		say_u64(&k, "grain-size", x->grain, VDISK_VALUE_U64);
		say_u64(&k, "grain-table-entries", x->gtes, VDISK_VALUE_U64);
		if (x->kind == VMDK_SPARSE) {
			say_u64(&k, "sparse-version", x->h.version, VDISK_VALUE_U64);
			say_u64(&k, "compressed", x->packed, VDISK_VALUE_BOOL);
			say_u64(&k, "zeroed-grains", x->zero_gte, VDISK_VALUE_BOOL);
		}
		break;
	}
	say_u64(&k, "unclean-shutdown", s->unclean, VDISK_VALUE_BOOL);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening, and what a differencing disk says of its parent: the UUID of its last modification, and its own UUID, but no name.
 * VirtualBox calls snapshots by their UUIDs, so "{UUID}.vdi" beside the image is looked for; the name that stands in the comment is
 * looked for first, if it is ours (reparent.c).
 */
#include "vdi.h"

#include "base/alloc.h"
#include "base/text.h"
#include "base/uuid.h"

int vdi_probe(const struct vd_peek *peek)
{
	return vdi_magic_ok(peek->head, peek->head_len) ? 100 : 0;
}

static int parent_read(struct vd_layer *l, const struct vdi *v, vd_error *err)
{
	struct vd_parent_ref *ref = &l->parent_ref;
	char uuid[VD_UUID_TEXT];
	static const uint8_t none[16];
	const char *said;
	size_t n = vdi_parent_name(&v->h, &said);

	if (n) {
		/* As UTF-8 only. */
		char *name = NULL;

		if (vd_text_to_utf8("UTF-8", said, n, &name, err))
			return vd_fail_in(err, "VDI comment");
		ref->names[ref->n_names++] = name;
	}
	vd_uuid_format(uuid, v->h.link);
	ref->names[ref->n_names] = vd_asprintf("{%s}.vdi", uuid);
	if (!ref->names[ref->n_names])
		return vd_fail_nomem(err, 44);
	ref->n_names++;
	ref->format = vd_strdup("vdi");
	if (!ref->format)
		return vd_fail_nomem(err, 4);
	if (!memcmp(v->h.parent_modified, none, 16))
		return vd_fail(err, VDISK_UNSUPPORTED, 440,
		               "differencing VDI does not say which state of its parent it belongs to");
	ref->id.kind = VD_ID_UUID;
	memcpy(ref->id.uuid, v->h.parent_modified, 16);
	return 0;
}

int vdi_setup(struct vd_layer *l, struct vdi *v, uint64_t cache_bytes, vd_error *err)
{
	static const char *const names[] = {
		[VDI_DYNAMIC] = "dynamic", [VDI_FIXED] = "fixed", [VDI_UNDO] = "undo", [VDI_DIFFERENCING] = "differencing"
	};

	memcpy(l->variant, names[v->h.type], strlen(names[v->h.type]) + 1);
	l->size = v->h.size;
	l->alloc_grain = l->presence_grain = v->h.block_bytes;
	l->id.kind = VD_ID_UUID;
	memcpy(l->id.uuid, v->h.modified, 16);
	return vd_cache_new(l->files[0], NULL, VDI_TABLE_BYTES, cache_bytes, &v->cache, err);
}

static void refuse_writing(struct vd_layer *l, const struct vdi *v)
{
	if (!v->salvage || v->checking)
		return;
	l->flags &= ~VD_LAYER_WRITABLE;
	l->ro_reason = "it is being salvaged";
}

int vdi_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	uint8_t b[VDI_HEADER_BYTES] = { 0 };
	struct vdi *v;
	size_t got;

	if (!(l->files[0]->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a VDI cannot be read from a pipe: its blocks lie in any order");
	v = vd_calloc(1, sizeof(*v));
	if (!v)
		return vd_fail_nomem(err, sizeof(*v));
	l->priv = v;
	v->salvage = o->flags & VD_OPEN_SALVAGE;
	v->checking = o->flags & VD_OPEN_CHECK;
	v->keep_id = o->flags & VD_OPEN_KEEP_ID;
	if (vd_file_pread_some(l->files[0], b, sizeof(b), 0, &got, err))
		return -1;
	if (!vdi_magic_ok(b, got))
		return vd_fail(err, VDISK_CORRUPT, 64, "no VDI magic at the file's beginning");
	vdi_header_decode(&v->h, b);
	if (vdi_header_validate(&v->h, vd_file_size(l->files[0]), err) || vdi_setup(l, v, o->cache_bytes, err))
		return -1;
	if (vdi_is_diff(v) && parent_read(l, v, err))
		return -1;
	refuse_writing(l, v);
	return 0;
}

void vdi_close(struct vd_layer *l)
{
	struct vdi *v = l->priv;

	if (!v)
		return;
	vd_cache_free(v->cache);
	vd_free(v->spare);
	vd_promises_clear(&v->promises);
	vd_free(v);
	l->priv = NULL;
}

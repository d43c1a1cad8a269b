/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another parent, or none: parentCID and parentFileNameHint of the descriptor, which must change together or not at all.
 *
 *  - Where the new text differs from the old one in a single sector, that sector is written.
 *  - Else an embedded descriptor is switched (D2 of desc_file.c).
 *  - In a descriptor file the old line is overwritten at its own length, if it is long enough; else it is refused.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

#include <stdio.h>
#include <strings.h>

/* ---------------------------------------------------------------- the new text */

static int judge_name(const struct vmdk *s, const char *name, vd_error *err)
{
	bool plain = true;
	for (const char *c = name; *c; c++) {
		if (*c == '"' || (unsigned char)*c < ' ')
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			               "a VMDK's descriptor has no way to write a name with quotes or control characters");
		plain = plain && (unsigned char)*c < 128;
	}
	if (!plain && s->desc.encoding && strcasecmp(s->desc.encoding, "UTF-8"))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a name outside ASCII in a descriptor of the encoding %s",
		               s->desc.encoding);
	return 0;
}

/* `keep`: every line stays where it is; NULL then where that cannot be. */
static char *text_make(const struct vmdk *s, uint32_t cid, const char *name, bool keep)
{
	char value[16];
	snprintf(value, sizeof(value), "%08x", cid);
	VD_AUTO_FREE char *with_cid = vmdk_desc_set(s->desc.text, "parentCID", value, false);
	if (!with_cid || (keep && strlen(with_cid) != strlen(s->desc.text)))
		return NULL;
	if (keep || !name)
		return vmdk_desc_overwrite(with_cid, "parentFileNameHint", name, keep);
	return vmdk_desc_set(with_cid, "parentFileNameHint", name, true);
}

/* ---------------------------------------------------------------- a file of its own */

/* The text grows by line ends, which say nothing, before the rest changes at its full length. */
static int file_grow(struct vd_layer *l, size_t len, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	size_t old = strlen(s->desc.text);
	if (old >= len)
		return 0;
	char *longer = vd_calloc(1, len + 1);
	if (longer) {
		memset(longer, '\n', len);
		memcpy(longer, s->desc.text, old);
	}
	return vmdk_desc_put(l, longer, err) || vd_file_flush(l->files[0], err) ? -1 : 0;
}

/* ---------------------------------------------------------------- both */

/* Takes text, which differs in one sector only. */
static int store_at_once(struct vd_layer *l, char *text, vd_error *err)
{
	if (vmdk_of(l)->desc_room == 0 && file_grow(l, strlen(text), err)) {
		vd_free(text);
		return -1;
	}
	return vmdk_desc_store(l, text, err) || vd_file_flush(l->files[0], err) ? -1 : 0;
}

static int descriptor_change(struct vd_layer *l, uint32_t cid, const char *name, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	char *text = text_make(s, cid, name, false);
	if (s->desc_room == 0)
		text = vmdk_desc_pad(s, text);
	if (!text)
		return vd_fail_nomem(err, strlen(s->desc.text));
	if (vmdk_desc_sectors_changed(s->desc.text, text) <= 1)
		return store_at_once(l, text, err);
	if (s->desc_room) {
		int rc = vmdk_desc_switch(l, text, err);
		vd_free(rc ? text : s->desc.text);
		if (!rc)
			s->desc.text = text;
		return rc;
	}
	vd_free(text);
	text = text_make(s, cid, name, true);
	if (text && vmdk_desc_sectors_changed(s->desc.text, text) <= 1)
		return store_at_once(l, text, err);
	vd_free(text);
	return vd_fail(
		err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		"the descriptor is a file of its own, and this change is more than one sector of it: it cannot be done at one stroke");
}

int vmdk_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	uint32_t cid = p ? p->layer->id.cid : VMDK_CID_NONE;
	char *hint = p ? vd_strdup(p->name) : NULL;
	if (s->desc_room == VMDK_NO_DESC) {
		vd_free(hint);
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "there is no descriptor to name a parent in");
	}
	if (p && p->layer->id.kind != VD_ID_CID) {
		vd_free(hint);
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "the parent \"%s\" has no CID that a child could name",
		               p->name);
	}
	if (p && !hint)
		return vd_fail_nomem(err, strlen(p->name));
	if ((p && judge_name(s, p->name, err)) || descriptor_change(l, cid, p ? p->name : NULL, err)) {
		vd_free(hint);
		return -1;
	}
	vd_free(s->desc.parent_hint);
	s->desc.parent_hint = hint;
	s->desc.parent_cid = cid;
	s->has_parent = p != NULL;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a VMDK can be changed in place: entries of the disk data base. */
#include "vmdk.h"

#include "base/alloc.h"

/* Takes text (NULL: out of memory). */
static char *amend_one(char *text, const struct vd_options *o, const char *option, const char *key)
{
	VD_AUTO_FREE char *before = text;
	if (!before || !vd_options_given(o, option)) {
		before = NULL;
		return text;
	}
	return vmdk_desc_set(before, key, vd_options_str(o, option), true);
}

int vmdk_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	if (s->desc_room == VMDK_NO_DESC)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "there is no descriptor to amend");
	char *text = amend_one(vd_strdup(s->desc.text), o, "adapter_type", "ddb.adapterType");
	text = amend_one(text, o, "hwversion", "ddb.virtualHWVersion");
	text = amend_one(text, o, "toolsversion", "ddb.toolsVersion");
	if (vmdk_desc_store(l, text, err))
		return -1;
	return vd_file_flush(l->files[0], err);
}

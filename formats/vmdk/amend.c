/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a VMDK can be changed in place: entries of the disk data base. */
#include "vmdk.h"

#include "base/alloc.h"

static int amend_one(struct vd_layer *l, const struct vd_options *o, const char *option, const char *key, vd_error *err)
{
	if (!vd_options_given(o, option))
		return 0;
	return vmdk_desc_store(l, vmdk_desc_set(vmdk_of(l)->desc.text, key, vd_options_str(o, option), true), err);
}

int vmdk_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	if (s->desc_room == VMDK_NO_DESC)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "there is no descriptor to amend");
	if (amend_one(l, o, "adapter_type", "ddb.adapterType", err) || amend_one(l, o, "hwversion", "ddb.virtualHWVersion", err) ||
	    amend_one(l, o, "toolsversion", "ddb.toolsVersion", err))
		return -1;
	return vd_file_flush(l->files[0], err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's table, probing, and the few calls that are answered at once. */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

#include <strings.h>

static int vmdk_probe(const struct vd_peek *p)
{
	bool suffix = !strcasecmp(p->suffix, "vmdk");
	if (p->head_len < 4)
		return 0;
	if (!memcmp(p->head, VMDK_SPARSE_MAGIC, 4))
		return 100;
	if (!memcmp(p->head, VMDK_COWD_MAGIC, 4) && p->head_len >= 8 && le32_get(p->head + 4) == 1)
		return 95;
	if (p->head_len >= 16 && le64_get(p->head) == VMDK_SE_MAGIC && le64_get(p->head + 8) == VMDK_SE_VERSION)
		return 100;
	if (!memcmp(p->head, VMDK_UNFINISHED_MAGIC, 4) || !memcmp(p->head, VMDK_COWD_UNFINISHED, 4))
		return suffix ? 90 : 60;
	size_t n = strlen(VMDK_UNFINISHED_TEXT);
	if (p->head_len >= n && !memcmp(p->head, VMDK_UNFINISHED_TEXT, n))
		return 60;
	return vmdk_desc_probe(p->head, p->head_len) ? 95 : 0;
}

static void vmdk_close(struct vd_layer *l)
{
	struct vmdk *s = vmdk_of(l);
	vmdk_stream_in_free(s->in);
	vmdk_stream_out_free(s->out);
	vmdk_extents_clear(s);
	vmdk_desc_clear(&s->desc);
	vd_packer_free(s->packer);
	vd_unpacker_free(s->unpacker);
	vd_free(s);
	l->priv = NULL;
}

/* Without a parent, an absent grain is as good as a zero one. */
static uint32_t vmdk_layer_caps(const struct vd_layer *l)
{
	const struct vmdk *s = vmdk_of(l);
	if (s->out)
		return VD_CAP_PACKED_ONLY;
	for (size_t i = 0; i < s->n; i++)
		if (!vmdk_is_sparse(&s->v[i]) || (s->has_parent && !s->v[i].zero_gte))
			return 0;
	return VD_CAP_ZERO;
}

const struct vd_driver vd_driver_vmdk = {
    .info =
	{
	    .name = "vmdk",
	    .long_name = "VMware virtual disk",
	    .aliases = (const char *const[]){NULL},
	    .suffixes = (const char *const[]){"vmdk", NULL},
	    .caps = VDISK_FORMAT_READ | VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE | VDISK_FORMAT_COMPRESS | VDISK_FORMAT_BACKING |
		    VDISK_FORMAT_STREAM_OUT | VDISK_FORMAT_STREAM_IN | VDISK_FORMAT_CHECK | VDISK_FORMAT_RESIZE,
	    .options = vmdk_options,
	},
    .probe = vmdk_probe,
    .open = vmdk_open,
    .create = vmdk_create,
    .measure = vmdk_measure,
    .round_size = vmdk_round_size,
    .finish = vmdk_finish,
    .close = vmdk_close,
    .map = vmdk_map,
    .begin_write = vmdk_begin_write,
    .reserve = vmdk_reserve,
    .publish = vmdk_publish,
    .abandon = vmdk_abandon,
    .unmap = vmdk_unmap,
    .flush = vmdk_flush,
    .resize = vmdk_resize,
    .resize_judge = vmdk_resize_judge,
    .amend = vmdk_amend,
    .set_parent = vmdk_set_parent,
    .check = vmdk_check,
    .values = vmdk_values,
    .codec = &vmdk_codec,
    .layer_caps = vmdk_layer_caps,
};

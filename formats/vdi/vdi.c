/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver: which function does what.  Read vdi.h for the format, write.c for the crash order. */
#include "vdi.h"

static uint32_t layer_caps(const struct vd_layer *l)
{
	(void)l;
	return VD_CAP_ZERO;
}

const struct vd_driver vd_driver_vdi = {
	.info = {
		.name = "vdi",
		.long_name = "VirtualBox disk image",
		.aliases = (const char *const[]){NULL},
		.suffixes = (const char *const[]){"vdi", NULL},
		.caps = VDISK_FORMAT_READ | VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE | VDISK_FORMAT_BACKING | VDISK_FORMAT_CHECK |
		        VDISK_FORMAT_RESIZE,
		.options = vdi_options,
	},
	.probe = vdi_probe,
	.open = vdi_open,
	.create = vdi_create,
	.measure = vdi_measure,
	.round_size = vdi_round_size,
	.finish = vdi_finish,
	.close = vdi_close,
	.map = vdi_map,
	.begin_write = vdi_begin_write,
	.reserve = vdi_reserve,
	.publish = vdi_publish,
	.abandon = vdi_abandon,
	.unmap = vdi_unmap,
	.flush = vdi_flush,
	.resize = vdi_resize,
	.resize_judge = vdi_resize_judge,
	.set_parent = vdi_set_parent,
	.check = vdi_check,
	.values = vdi_values,
	.layer_caps = layer_caps,
};

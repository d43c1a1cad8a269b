/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver: which function does what.  Read vhdx.h for the format, log_write.c for the crash order. */
#include "vhdx.h"

static uint32_t layer_caps(const struct vd_layer *l)
{
	(void)l;
	return VD_CAP_ZERO;
}

const struct vd_driver vd_driver_vhdx = {
	.info = {
		.name = "vhdx",
		.long_name = "Microsoft Virtual Hard Disk, version 2",
		.aliases = (const char *const[]){NULL},
		.suffixes = (const char *const[]){"vhdx", "avhdx", NULL},
		.caps = VDISK_FORMAT_READ | VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE | VDISK_FORMAT_BACKING | VDISK_FORMAT_CHECK |
		        VDISK_FORMAT_RESIZE,
		.options = vhdx_options,
	},
	.probe = vhdx_probe,
	.open = vhdx_open,
	.create = vhdx_create,
	.measure = vhdx_measure,
	.round_size = vhdx_round_size,
	.finish = vhdx_finish,
	.close = vhdx_close,
	.map = vhdx_map,
	.begin_write = vhdx_begin_write,
	.reserve = vhdx_reserve,
	.publish = vhdx_publish,
	.abandon = vhdx_abandon,
	.unmap = vhdx_unmap,
	.flush = vhdx_flush,
	.resize = vhdx_resize,
	.resize_judge = vhdx_resize_judge,
	.amend = vhdx_amend,
	.set_parent = vhdx_set_parent,
	.check = vhdx_check,
	.values = vhdx_values,
	.layer_caps = layer_caps,
};

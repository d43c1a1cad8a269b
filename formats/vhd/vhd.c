/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver: which function does what.  Read vhd.h for the format, write.c for the crash order. */
#include "vhd.h"

static int map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	const struct vhd *v = l->priv;

	return v->type == VHD_FIXED ? vhd_fixed_map(l, off, len, flags, e, err) : vhd_map(l, off, len, flags, e, err);
}

static uint32_t layer_caps(const struct vd_layer *l)
{
	const struct vhd *v = l->priv;

	/* A block that is absent is zeros only where no parent answers for it. */
	return v->type == VHD_DIFFERENCING ? 0 : VD_CAP_ZERO;
}

const struct vd_driver vd_driver_vhd = {
	.info = {
		.name = "vhd",
		.long_name = "Microsoft Virtual Hard Disk, version 1",
		.aliases = (const char *const[]){"vpc", NULL},
		.suffixes = (const char *const[]){"vhd", "avhd", "vpc", NULL},
		.caps = VDISK_FORMAT_READ | VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE | VDISK_FORMAT_BACKING |
		        VDISK_FORMAT_STREAM_OUT | VDISK_FORMAT_CHECK | VDISK_FORMAT_RESIZE,
		.options = vhd_options,
	},
	.probe = vhd_probe,
	.open = vhd_open,
	.create = vhd_create,
	.measure = vhd_measure,
	.round_size = vhd_round_size,
	.finish = vhd_finish,
	.close = vhd_close,
	.map = map,
	.begin_write = vhd_begin_write,
	.reserve = vhd_reserve,
	.publish = vhd_publish,
	.abandon = vhd_abandon,
	.unmap = vhd_unmap,
	.flush = vhd_flush,
	.resize = vhd_resize,
	.amend = vhd_amend,
	.set_parent = vhd_set_parent,
	.check = vhd_check,
	.values = vhd_values,
	.layer_caps = layer_caps,
};

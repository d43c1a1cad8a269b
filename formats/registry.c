/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/driver.h"

extern const struct vd_driver vd_driver_qcow2, vd_driver_vmdk, vd_driver_vhd, vd_driver_raw;

const struct vd_driver *const vd_drivers[] = {
	&vd_driver_qcow2,
	&vd_driver_vmdk,
	&vd_driver_vhd,
	&vd_driver_raw,
	NULL,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Of a build without libnbd. */
#include "io/nbd.h"

int vd_file_nbd(const char *uri, bool write, const volatile int *cancel, struct vd_file **out, vd_error *err)
{
	(void)uri, (void)write, (void)cancel, (void)out;
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
	               "this build knows no exports of NBD servers (it was made without libnbd)");
}

int vd_file_nbd_again(struct vd_file *f, struct vd_file **out, vd_error *err)
{
	(void)f;
	return vd_file_nbd("", false, NULL, out, err);
}

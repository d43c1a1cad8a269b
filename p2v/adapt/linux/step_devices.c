/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The step that gives file systems names which last: fstab, crypttab, the swap space to wake from, LVM's and MD's own settings. */
#include "devices.h"
#include "steps.h"

int step_devices(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	struct devices d;

	(void)o;
	if (devices_read(&d, p, f, err))
		return -1;
	return fstab_adapt(p, &d, err) || crypttab_adapt(p, &d, err) || resume_adapt(p, &d, err) || storage_adapt(p, &d, err)
	               ? -1 : 0;
}

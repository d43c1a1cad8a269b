/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/undone.h"
#include "base/alloc.h"
#include "core/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

char *vd_undo_path(const char *image) { return vd_staging_side(image, "undo"); }

int vd_undone_judge(const char *image, uint32_t flags, vd_error *err)
{
	VD_AUTO_FREE char *path = flags & VDISK_OPEN_UNDONE ? NULL : vd_undo_path(image);
	enum vd_undo_state state;
	struct vd_file *f;
	struct stat st;
	int rc;

	if (flags & VDISK_OPEN_UNDONE)
		return 0;
	if (!path)
		return vd_fail_nomem(err, strlen(image));
	if (lstat(path, &st))
		return 0;
	if (vd_file_posix(AT_FDCWD, path, path, 0, &f, err))
		return -1;
	rc = vd_undo_peek(f, &state, err);
	vd_file_close(f);
	if (rc)
		return -1;
	if (state == VD_UNDO_ACTIVE)
		return vd_fail(
			err, VDISK_REFUSED, VDISK_NO_OFFSET,
			"%s: a change of it was broken off half-way: 'vdisk adapt --resume %s' finishes it, --undo instead takes it back",
			image, image);
	if (state == VD_UNDO_UNDOING)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		               "%s: was being brought back to what it was: 'vdisk adapt --undo %s' goes on with that", image,
		               image);
	return 0;
}

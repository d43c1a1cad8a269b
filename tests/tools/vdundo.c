/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits under an undo journal, through <vdisk/vdisk.h> alone, for tests; the layers are qcow2:
 *
 *   vdundo commit LAYER [KEEP]   vdisk_commit() with VDISK_COMMIT_UNDO
 *   vdundo hold LAYER            with VDISK_COMMIT_HOLD
 *   vdundo end IMAGE             vdisk_undo_end()
 *   vdundo resume IMAGE          vdisk_commit_resume()
 *   vdundo undo IMAGE [KEPT]     vdisk_undo()
 *   vdundo find IMAGE            prints "none", or "active LAYER" or "stuck" (not to be resumed)
 *
 * Exit status 0, or 2 after "KIND: MESSAGE".
 */
#include <vdisk/vdisk.h>

#include <stdio.h>
#include <string.h>

static int tell(const char *path, vdisk_error *err)
{
	struct vdisk_undo_info info;

	if (vdisk_undo_find(path, &info, err))
		return -1;
	if (!info.active)
		puts("none");
	else if (info.resumable)
		printf("active %s\n", info.leaf);
	else
		puts("stuck");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "", *file = argc > 3 ? argv[3] : NULL;
	const struct vdisk_open_options open = { .format = "qcow2" };
	struct vdisk_commit_options c = { .open = &open, .flags = VDISK_COMMIT_KEEP | VDISK_COMMIT_UNDO, .keep_undo = file };
	struct vdisk_undo_options u = { .file = file };
	vdisk_error err = { 0 };
	int rc;

	if (!strcmp(what, "hold"))
		c.flags |= VDISK_COMMIT_HOLD;
	if (!strcmp(what, "commit") || !strcmp(what, "hold"))
		rc = vdisk_commit(argv[2], &c, NULL, &err);
	else if (!strcmp(what, "resume"))
		rc = vdisk_commit_resume(argv[2], &c, NULL, &err);
	else if (!strcmp(what, "end"))
		rc = vdisk_undo_end(argv[2], &err);
	else if (!strcmp(what, "undo"))
		rc = vdisk_undo(argv[2], &u, &err);
	else if (!strcmp(what, "find"))
		rc = tell(argv[2], &err);
	else
		return fputs("vdundo: commit, hold, end, resume, undo or find, and a file\n", stderr), 2;
	if (rc)
		fprintf(stderr, "%s: %s\n", vdisk_error_kind_name(err.kind), err.message);
	return rc ? 2 : 0;
}

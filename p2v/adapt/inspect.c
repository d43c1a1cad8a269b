/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking from the beginning to the end: each stage is in a file of its own. */
#include "inspect_parts.h"

#include "common/fail.h"
#include "common/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int inspect_open(struct inspection *in, const struct inspect_options *o, vdisk_error *err)
{
	*in = (struct inspection){ .options = o };
	in->fuse = !o->no_mount && !access("/dev/fuse", R_OK | W_OK);
	if (!in->fuse)
		bytes_text(&in->remarks,
			   o->no_mount
			       ? "looked at without FUSE (--no-mount), which takes longer\n"
			       : "/dev/fuse cannot be used here: looked at without it, over a raw file, which takes longer\n");
	if (grub_check(in->fuse, err) || (in->fuse && folder_make("vdisk-inspect", 0, in->folder, sizeof(in->folder), err)) ||
	    inspect_keys(in, err) || inspect_disks(in, err) || inspect_pieces(in, err) || inspect_systems(in, err))
		return -1;
	return in->remarks.failed ? fail_nomem(err) : 0;
}

void inspect_close(struct inspection *in)
{
	for (size_t i = 0; i < in->systems_n; i++)
		system_destroy(&in->systems[i]);
	guest_mount_close(in->guest);
	for (size_t i = 0; i < in->pieces_n; i++) {
		char folder[4200];

		piece_destroy(&in->pieces[i]);
		snprintf(folder, sizeof(folder), "%s/%zu", in->folder, i);
		if (in->folder[0])
			rmdir(folder);
	}
	for (size_t i = 0; i < in->disks_n; i++)
		disk_close(&in->disks[i]);
	if (in->folder[0])
		rmdir(in->folder);
	for (size_t i = 0; i < INSPECT_KEYS_MAX; i++) {
		if (in->keys[i])
			explicit_bzero(in->keys[i], strlen(in->keys[i]));
		free(in->keys[i]);
	}
	free(in->systems);
	free(in->pieces);
	free(in->disks);
	bytes_destroy(&in->remarks);
}

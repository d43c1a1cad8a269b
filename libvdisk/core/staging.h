/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A destination's files under temporary names, until all of them are whole: ".NAME.vdisk-partial" beside NAME, locked for writing.
 * One that a killed run left behind is not locked and is replaced.
 */
#ifndef VD_CORE_STAGING_H
#define VD_CORE_STAGING_H

#include "io/file.h"
#include "io/identity.h"

struct vd_staging;

/* A file of a run that was broken off, by its identity, and what of it is done. */
struct vd_kept_file {
	struct vd_identity id;
	struct vd_range *v; /* ascending, apart */
	size_t n;
};

/* `path` is the destination; symbolic links are followed to what they name.  A block device, or an NBD server's export (its URI),
   is written in place.  An existing file without `overwrite` is VDISK_REFUSED, and so is an export, whatever it holds.  Returns
   owned in *out; the image's own file in *f (returned owned). */
int vd_staging_new(const char *path, bool overwrite, struct vd_staging **out, struct vd_file **f, vd_error *err);
/* Goes on where a run was broken off: the files that it left behind, under their temporary names or, where it died while renaming,
   under their own, as vd_file_kept() shows them.  kept[0] is the image's own file, then come those of vd_staging_add() in their
   order; borrowed for the life of s.  Nothing is removed on failure, by vd_staging_abort() neither.  Without any it is
   vd_staging_new().  `cancel`: as vd_file_nbd() has it; outlives *f. */
int vd_staging_resume(const char *path, bool overwrite, const struct vd_kept_file *kept, size_t n, const volatile int *cancel,
                      struct vd_staging **out, struct vd_file **f, vd_error *err);
/* From now on vd_staging_abort(), and a commit that fails, leave the files where they are. */
void vd_staging_keep(struct vd_staging *s);
/* What an unfinished conversion is gone on with (ops/checkpoint.h).  vd_staging_new() removes an old one, which is about other
 * files. */
#define VD_STAGING_RECORD "resume"
/* Says that the unfinished files hold what their source has given up: vd_staging_new() refuses to replace them, whoever asks. */
#define VD_STAGING_MOVING "moving"
/* The name of a further file for that destination, beside it: "FOLDER/.NAME.vdisk-WORD".  Returns owned; NULL: out of memory. */
char *vd_staging_side(const char *path, const char *word);
/* Judges what vd_staging_new() would, and makes nothing. */
int vd_staging_judge(const char *path, bool overwrite, vd_error *err);
/* What of that only an NBD server knows: whether its export may be written to, and holds `bytes`.  Nothing of other
   destinations. */
int vd_staging_rehearse(const char *path, uint64_t bytes, const volatile int *cancel, vd_error *err);
/* One more file, that will appear as `name` in the same folder; a name with a slash is VDISK_INVALID. */
int vd_staging_add(struct vd_staging *s, const char *name, struct vd_file **f, vd_error *err);
/* The destination's folder holds at least `bytes` free; VDISK_IO with ENOSPC otherwise. */
int vd_staging_room(const char *path, uint64_t bytes, vd_error *err);
/* Everything gets its final name, the named file last, durably.  The files must be flushed.  On failure what was renamed is removed
   again.  Frees s in every case. */
int vd_staging_commit(struct vd_staging *s, vd_error *err);
/* Removes the temporary files; frees s.  NULL is a no-op. */
void vd_staging_abort(struct vd_staging *s);
const char *vd_staging_base_name(const struct vd_staging *s);

#endif

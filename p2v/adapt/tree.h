/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's files, as they are read: the one way in which inspection and every step of adapting look at a guest.  Behind it stands
   a folder of this machine (tests, GRUB's readers), libguestfs, or another tree with a plan's changes over it (plan.h), so that a
   step sees what the steps before it want.  Paths are the guest's own, absolute, from its root, with all its file systems mounted;
   symbolic links are followed inside the guest, never out of it, 40 at most.  Not thread-safe. */
#ifndef ADAPT_TREE_H
#define ADAPT_TREE_H

#include "bytes.h"

#include <vdisk/vdisk.h>

enum tree_kind { TREE_FILE, TREE_FOLDER, TREE_LINK, TREE_OTHER };

struct tree_stat {
	enum tree_kind kind;
	uint64_t size;      /* bytes, of a file */
	uint32_t mode;      /* permission bits, as in 07777 */
	uint32_t uid, gid;
	bool sure;          /* false: the reader tells content and names only (GRUB's); mode and owner are guesses */
};

struct tree;

/* Each answers 1 (there), 0 (not there: also where a part of the path is no folder) or -1 with *err.  `follow`: of the last part;
   those before it are followed always. */
struct tree_ops {
	int (*stat)(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err);
	/* The whole of a file, which may have `max` bytes at most (else -1, VDISK_UNSUPPORTED, naming the file and its size).  For an
	   empty one out->at may stay NULL. */
	int (*read)(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err);
	/* The names in a folder, sorted bytewise, each ended by a NUL, without . and .. */
	int (*list)(struct tree *t, const char *path, struct bytes *names, vdisk_error *err);
	int (*link)(struct tree *t, const char *path, struct bytes *target, vdisk_error *err); /* 0 as well where it is no symbolic
	                                                                                          link */
	void (*close)(struct tree *t);
	/* The first bytes of a file, `len` at most.  May be NULL: such a tree reads whole files alone. */
	int (*head)(struct tree *t, const char *path, size_t len, struct bytes *out, vdisk_error *err);
};

struct tree {
	const struct tree_ops *ops;
};

/* A folder of this machine as a guest's root; `sure`: as tree_stat says.  NULL with *err. */
struct tree *tree_folder_open(const char *path, bool sure, vdisk_error *err);

/* Short ways, over any tree. */
int tree_exists(struct tree *t, const char *path, vdisk_error *err);
/* A text file of at most 4 MiB.  A file with a NUL byte in it is no text: -1, VDISK_CORRUPT.  Where it says 1, out->at is there, for
   an empty file, too. */
int tree_text(struct tree *t, const char *path, struct bytes *out, vdisk_error *err);
/* Calls `each` with every name in the folder that matches the shell pattern (fnmatch(3), as for file names), sorted, as whole path.
   A folder that is not there has no names.  Stops at the first that is not 0, which is returned; -1 with *err. */
int tree_match(struct tree *t, const char *folder, const char *pattern, int (*each)(void *to, const char *path), void *to,
               vdisk_error *err);
void tree_close(struct tree *t);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A shelf of named memory files that outlive the images opened on them: what a folder is to paths.  Handles taken from it forward
 * to the file on the shelf, so closing an image leaves the bytes for the next opener.  Optionally each handle passes through a
 * fault file, and each file is a crash file.
 */
#ifndef T_SHELF_H
#define T_SHELF_H

#include "core/driver.h"
#include "io/testfile.h"

#define T_SHELF_FILES 8

/* Called around the shelf's own allocations (enter, then leave), which no test makes fail; NULL: nothing to tell. */
extern void (*t_shelf_busy)(bool enter);

struct t_shelf {
	struct {
		char name[64];
		struct vd_file *file;
		unsigned crash_id;
	} slot[T_SHELF_FILES];
	unsigned n;
	struct vd_fault *fault; /* new handles pass through it; NULL: none */
	struct vd_crash *crash; /* new files are wrapped by it; NULL: none */
	bool jitter;            /* new handles dawdle now and then, before and after an operation, so that threads meet in
	                           between */
	struct vd_host host;
};

void t_shelf_init(struct t_shelf *s, const char *base_name);
void t_shelf_free(struct t_shelf *s); /* closes the files */
/* A handle on the file `name`, made empty if it is not there and `create`; NULL if it is not there. */
struct vd_file *t_shelf_open(struct t_shelf *s, const char *name, bool create, bool write);
/* The services for a driver that opens or makes further files on this shelf. */
struct vd_host *t_shelf_host(struct t_shelf *s);
/* Puts a copy of each file of `from` on the empty shelf `to`. */
void t_shelf_copy(struct t_shelf *to, const struct t_shelf *from);
/* From now on each file is a crash file of `c` whose present content is durable. */
void t_shelf_crashable(struct t_shelf *s, struct vd_crash *c);
/* Puts on the empty shelf `to` what a crash may leave of `from`. */
void t_shelf_after_crash(struct t_shelf *to, const struct t_shelf *from, unsigned long upto, enum vd_crash_mode mode,
                         uint64_t seed);
/* Writes each file into a folder (for a human to look at), named prefix-name. */
void t_shelf_dump(const struct t_shelf *s, const char *folder, const char *prefix);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files for tests: fault makes the nth operation fail; crash keeps, drops or tears what was not flushed. */
#ifndef VD_IO_TESTFILE_H
#define VD_IO_TESTFILE_H

#include "io/file.h"

#define VD_FAULT_READ 1u
#define VD_FAULT_WRITE 2u
#define VD_FAULT_FLUSH 4u
#define VD_FAULT_OTHER 8u /* truncate, zero, punch, extent */

struct vd_fault {          /* shared by all files of one image; the test's */
	_Atomic long countdown; /* the operation that brings it to 0 fails; negative from the start: never */
	uint32_t ops;          /* VD_FAULT_* that count */
	bool persistent;       /* all later ones fail too */
	int sys_errno;         /* EIO, ENOSPC, … */
	_Atomic long hits;     /* how many failed */
};
/* Takes `inner`. */
int vd_file_fault(struct vd_file *inner, struct vd_fault *fault, struct vd_file **out, vd_error *err);

/*
 * crash: a memory file with a journal of what was written since the last flush (writes split at 512-byte sectors; truncations,
 * zeros and punches too).  vd_crash_image() builds what a disk may hold after a power cut at operation `upto`: everything before
 * the last flush completed at or before that, and of the later ones a subset chosen by `seed` (VD_CRASH_KEEP all, DROP none, RANDOM
 * some, whole sectors; TEAR: some, and one sector half).
 * Several files share one clock, so that the order between an image's files holds.
 */
struct vd_crash; /* the clock and the journals of up to 16 files */
enum vd_crash_mode { VD_CRASH_KEEP, VD_CRASH_DROP, VD_CRASH_RANDOM, VD_CRASH_TEAR };
struct vd_crash *vd_crash_new(void);
void vd_crash_free(struct vd_crash *c);
/* Takes `inner` (a memory file) whose present content counts as durable.  *id: index of this file. */
int vd_file_crash(struct vd_crash *c, struct vd_file *inner, struct vd_file **out, unsigned *id, vd_error *err);
/* Number of operations so far; a crash point is any number from 0 to it. */
unsigned long vd_crash_ops(const struct vd_crash *c);
/* Returns owned in *out: a memory file with what file `id` may hold after a crash just after operation `upto`. */
int vd_crash_image(struct vd_crash *c, unsigned id, unsigned long upto, enum vd_crash_mode mode, uint64_t seed,
                   struct vd_file **out, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The nth I/O, or the nth allocation, fails: one countdown for either. */
#ifndef T_FAULT_H
#define T_FAULT_H

#include "common/image.h"

struct fault_class {
	const char *name;
	uint32_t ops;                /* VD_FAULT_*; 0: allocations */
	int sys_errno;
	enum vdisk_error_kind kind;  /* of the error that is due */
};

extern const struct fault_class fault_classes[]; /* ends with name == NULL */

/* The nth from now fails, and if `persistent` all after it.  For I/O the images must be opened with shelf.fault = fault_io(). */
void fault_arm(const struct fault_class *c, long n, bool persistent);
void fault_disarm(void);
long fault_hits(void); /* since it was armed */
struct vd_fault *fault_io(void);

#endif

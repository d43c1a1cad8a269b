/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is to run a machine with. */
#ifndef RUNNER_PROBE_H
#define RUNNER_PROBE_H

#include <stdbool.h>

enum kvm_state {
	KVM_GOOD,
	KVM_MISSING,   /* no /dev/kvm */
	KVM_FORBIDDEN, /* no permission */
	KVM_BROKEN,    /* it lacks something, or gives errors */
	KVM_SLOW,      /* emulated instruction by instruction: whole systems take hours */
};

/* Opens /dev/kvm and times a short guest on it: some ms where it is good, a tenth of a second at most.  why: what is wrong, as the
   beginning of a sentence; "" where it is good. */
enum kvm_state kvm_probe(char why[256]);

/* QEMU's path; false: it is not installed. */
bool qemu_find(char path[4096]);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hypervisors that a guest is made to boot on, and the hardware that each shows it. */
#ifndef ADAPT_TARGET_H
#define ADAPT_TARGET_H

#include <stdbool.h>

/* a set is their sum */
enum target { TARGET_KVM = 1, TARGET_VMWARE = 2, TARGET_HYPERV = 4, TARGET_XEN = 8, TARGET_VIRTUALBOX = 16 };

#define TARGET_N 5

struct target_info {
	enum target target;
	const char *name;         /* on the command line: kvm … */
	const char *const *storage; /* Linux modules, by their canonical names (underscores), the preferred first; NULL ends */
	const char *const *network;
	const char *const *bus;     /* what those stand on (virtio_pci, hv_vmbus, xen platform …) */
	const char *const *console; /* graphics and input that are wanted early; may be empty */
};

extern const struct target_info target_infos[TARGET_N];

/* The set of a comma-separated list, or 0 where a name is unknown (*bad points at it then). */
unsigned target_parse(const char *list, const char **bad);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What processors say of themselves. */
#ifndef RUNNER_CPUID_H
#define RUNNER_CPUID_H

#include "vm.h"

/* What KVM supports, with the processor's own number where a leaf carries it. */
int cpuid_set(const struct vm *vm, int vcpu_fd, unsigned index, unsigned n_cpus, vdisk_error *err);

#endif

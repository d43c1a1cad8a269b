/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A virtual processor and its thread. */
#ifndef RUNNER_VCPU_H
#define RUNNER_VCPU_H

#include "machine.h"

struct vcpu;

/* Returns owned in *out.  Registers stand as after a reset. */
int vcpu_create(struct machine *m, unsigned index, struct vcpu **out, vdisk_error *err);
/* Long mode with paging on, as the 64-bit boot protocol of Linux wants it: GDT, page tables, entry and %rsi are guest addresses. */
int vcpu_set_long_mode(struct vcpu *cpu, uint64_t gdt, uint64_t cr3, uint64_t rip, uint64_t rsi, vdisk_error *err);
/* Flat 32-bit protected mode with paging off, as PVH wants it. */
int vcpu_set_protected_mode(struct vcpu *cpu, uint64_t gdt, uint32_t eip, uint32_t ebx, vdisk_error *err);
int vcpu_start(struct vcpu *cpu, vdisk_error *err);
/* Ends the thread, if there is one, and frees. */
void vcpu_destroy(struct vcpu *cpu);

#endif

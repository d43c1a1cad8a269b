/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a processor did last, for --verbose: to be shown when its guest dies.  One thread's alone. */
#ifndef RUNNER_VCPU_TRACE_H
#define RUNNER_VCPU_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define VCPU_TRACE_EXITS 8u

struct kvm_run;

struct vcpu_trace {
	struct vcpu_trace_exit {
		uint64_t rip, addr;
		uint32_t reason;
		bool write;
	} exits[VCPU_TRACE_EXITS];
	uint64_t n; /* so far; the last ones are kept */
	bool has_rip;
};

/* Before the first KVM_RUN: asks KVM to tell the registers with each exit, where it can. */
void vcpu_trace_begin(struct vcpu_trace *t, int kvm, struct kvm_run *run);
/* After an exit. */
void vcpu_trace_add(struct vcpu_trace *t, const struct kvm_run *run);
/* To standard error: the registers as they stand now, and the last exits. */
void vcpu_trace_print(const struct vcpu_trace *t, unsigned index, int vcpu_fd);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* After a triple fault on AMD's processors KVM has reset the registers already, so that the last exits are all there is to go
   by. */
#include "vcpu_trace.h"

#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>

void vcpu_trace_begin(struct vcpu_trace *t, int kvm, struct kvm_run *run)
{
	t->has_rip = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & KVM_SYNC_X86_REGS;
	if (t->has_rip)
		run->kvm_valid_regs = KVM_SYNC_X86_REGS;
}

void vcpu_trace_add(struct vcpu_trace *t, const struct kvm_run *run)
{
	struct vcpu_trace_exit *e = &t->exits[t->n++ % VCPU_TRACE_EXITS];

	*e = (struct vcpu_trace_exit){ .reason = run->exit_reason, .rip = t->has_rip ? run->s.regs.regs.rip : 0 };
	if (run->exit_reason == KVM_EXIT_IO) {
		e->addr = run->io.port;
		e->write = run->io.direction == KVM_EXIT_IO_OUT;
	} else if (run->exit_reason == KVM_EXIT_MMIO) {
		e->addr = run->mmio.phys_addr;
		e->write = run->mmio.is_write;
	}
}

static void exit_print(const struct vcpu_trace_exit *e, unsigned index)
{
	fprintf(stderr, "processor %u:   at %#" PRIx64 ": ", index, e->rip);
	if (e->reason == KVM_EXIT_IO)
		fprintf(stderr, "%s port %#" PRIx64 "\n", e->write ? "writes" : "reads", e->addr);
	else if (e->reason == KVM_EXIT_MMIO)
		fprintf(stderr, "%s device memory at %#" PRIx64 "\n", e->write ? "writes" : "reads", e->addr);
	else
		fprintf(stderr, "exit %u\n", e->reason);
}

void vcpu_trace_print(const struct vcpu_trace *t, unsigned index, int vcpu_fd)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	uint64_t first = t->n > VCPU_TRACE_EXITS ? t->n - VCPU_TRACE_EXITS : 0;

	if (!ioctl(vcpu_fd, KVM_GET_REGS, &r) && !ioctl(vcpu_fd, KVM_GET_SREGS, &s)) {
		fprintf(stderr, "processor %u: rip %#llx rsp %#llx rflags %#llx\n", index, r.rip, r.rsp, r.rflags);
		fprintf(stderr, "processor %u: cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx efer %#llx\n", index, s.cr0, s.cr2, s.cr3,
		        s.cr4, s.efer);
		fprintf(stderr, "processor %u: cs %#x:%#llx idt %#llx+%#x gdt %#llx+%#x\n", index, s.cs.selector, s.cs.base,
		        s.idt.base, s.idt.limit, s.gdt.base, s.gdt.limit);
	}
	fprintf(stderr, "processor %u: its last exits, of %" PRIu64 ":\n", index, t->n);
	for (uint64_t i = first; i < t->n; i++)
		exit_print(&t->exits[i % VCPU_TRACE_EXITS], index);
}

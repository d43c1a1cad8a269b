/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPUID: KVM's list, adjusted.  No leaf is required to be there: an emulated KVM may lack any. */
#include "cpuid.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define CPUID_ENTRIES 256

static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

static void entry_adjust(const struct vm *vm, struct kvm_cpuid_entry2 *e, unsigned index, unsigned n_cpus)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0x0000ffff) | n_cpus << 16 | index << 24;
		e->ecx |= 1u << 31; /* there is a hypervisor */
		if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
			e->ecx |= 1u << 24;
		e->edx &= ~(1u << 28);
		if (n_cpus > 1)
			e->edx |= 1u << 28;
		break;
	case 4: /* one core for each processor: caches are shared with nobody */
		e->eax = (e->eax & 0x00003fff) | (n_cpus - 1) << 26;
		break;
	case 0xb:
	case 0x1f: /* level 0: threads, one for each core; level 1: cores */
		e->eax = e->index == 1 ? bits_for(n_cpus) : 0;
		e->ebx = e->index == 0 ? 1 : e->index == 1 ? n_cpus : 0;
		e->ecx = (e->index & 0xff) | (e->index < 2 ? (e->index + 1) << 8 : 0);
		e->edx = index;
		break;
	case 0x80000008:
		e->ecx = (e->ecx & ~0xf0ffu) | bits_for(n_cpus) << 12 | (n_cpus - 1);
		break;
	case 0x8000001e:
		e->eax = index;
		e->ebx = index; /* one thread */
		e->ecx = 0;
		break;
	}
}

int cpuid_set(const struct vm *vm, int vcpu_fd, unsigned index, unsigned n_cpus, vdisk_error *err)
{
	struct kvm_cpuid2 *table = calloc(1, sizeof(*table) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));
	int r = 0;

	if (!table)
		return fail(err, VDISK_NOMEM, "out of memory");
	table->nent = CPUID_ENTRIES;
	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, table)) {
		r = fail_errno(err, "KVM_GET_SUPPORTED_CPUID");
		goto out;
	}
	for (uint32_t i = 0; i < table->nent; i++)
		entry_adjust(vm, &table->entries[i], index, n_cpus);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, table))
		r = fail_errno(err, "KVM_SET_CPUID2");
out:
	free(table);
	return r;
}

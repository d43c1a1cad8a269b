/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vCPU's thread: KVM_RUN, and what its exits ask of the buses.
 *
 * Ending: `quit` is set, then `immediate_exit` in the shared page, then the signal is sent.  Whichever instruction of the
 * thread the signal hits, either KVM_RUN ends by it or the next one returns at once; the thread then reads `quit`.
 */
#include "vcpu.h"
#include "cpuid.h"
#include "common/numbers.h"
#include "thread.h"
#include "vcpu_trace.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct vcpu {
	struct machine *m;
	unsigned index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	atomic_bool quit;
	struct vcpu_trace trace; /* with --verbose */
};

#define VCPU_SIGNAL SIGUSR1

static void vcpu_signal(int number)
{
	(void)number;
}

/* Sets an MSR where KVM takes it: under emulation any may be refused. */
static void vcpu_msr_try(struct vcpu *cpu, uint32_t index, uint64_t value)
{
	_Alignas(struct kvm_msrs) uint8_t bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = { 0 };
	struct kvm_msrs *msrs = (struct kvm_msrs *)bytes;

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	msrs->entries[0].data = value;
	ioctl(cpu->fd, KVM_SET_MSRS, msrs);
}

int vcpu_create(struct machine *m, unsigned index, struct vcpu **out, vdisk_error *err)
{
	struct vcpu *cpu = calloc(1, sizeof(*cpu));

	if (!cpu)
		return fail(err, VDISK_NOMEM, "out of memory");
	cpu->m = m;
	cpu->index = index;
	cpu->fd = ioctl(m->vm.fd, KVM_CREATE_VCPU, index);
	if (cpu->fd < 0) {
		fail_errno(err, "KVM_CREATE_VCPU %u", index);
		free(cpu);
		return -1;
	}
	void *run = mmap(NULL, m->vm.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (run == MAP_FAILED)
		fail_errno(err, "processor %u's shared page", index);
	else
		cpu->run = run;
	if (!cpu->run || cpuid_set(&m->vm, cpu->fd, index, m->config->n_cpus, err)) {
		vcpu_destroy(cpu);
		return -1;
	}
	*out = cpu;
	return 0;
}

static void segment_set(struct kvm_segment *seg, uint16_t selector, uint8_t type, bool code)
{
	*seg = (struct kvm_segment){ .base = 0,
		                     .limit = 0xffffffff,
		                     .selector = selector,
		                     .type = type,
		                     .present = 1,
		                     .s = 1,
		                     .g = 1,
		                     .l = code,
		                     .db = !code };
}

/* Flat segments, the control registers of *mode, the registers. */
static int state_set(struct vcpu *cpu, const struct kvm_sregs *mode, uint64_t gdt, bool code64, const struct kvm_regs *regs,
                     vdisk_error *err)
{
	struct kvm_sregs sregs;

	if (ioctl(cpu->fd, KVM_GET_SREGS, &sregs))
		return fail_errno(err, "KVM_GET_SREGS");
	segment_set(&sregs.cs, 0x10, 11, code64);
	segment_set(&sregs.ds, 0x18, 3, false);
	sregs.es = sregs.ss = sregs.fs = sregs.gs = sregs.ds;
	sregs.tr = (struct kvm_segment){ .selector = 0x20, .type = 11, .present = 1, .limit = 0x67 };
	sregs.gdt.base = gdt;
	sregs.gdt.limit = 5 * 8 - 1;
	sregs.idt.base = sregs.idt.limit = 0;
	sregs.cr0 = mode->cr0;
	sregs.cr3 = mode->cr3;
	sregs.cr4 = mode->cr4;
	sregs.efer = mode->efer;
	if (ioctl(cpu->fd, KVM_SET_SREGS, &sregs))
		return fail_errno(err, "KVM_SET_SREGS");
	return ioctl(cpu->fd, KVM_SET_REGS, regs) ? fail_errno(err, "KVM_SET_REGS") : 0;
}

int vcpu_set_long_mode(struct vcpu *cpu, uint64_t gdt, uint64_t cr3, uint64_t rip, uint64_t rsi, vdisk_error *err)
{
	const struct kvm_sregs mode = { .cr0 = 0x80000033 /* PG NE ET MP PE */,
		                        .cr3 = cr3,
		                        .cr4 = 0x20 /* PAE */,
		                        .efer = 0x500 /* LME LMA */ };
	const struct kvm_regs regs = { .rip = rip, .rsi = rsi, .rflags = 2 };

	if (state_set(cpu, &mode, gdt, true, &regs, err))
		return -1;
	vcpu_msr_try(cpu, 0x2ff, 0x806); /* MTRR_DEF_TYPE: on, write-back; firmware would have done so */
	return 0;
}

int vcpu_set_protected_mode(struct vcpu *cpu, uint64_t gdt, uint32_t eip, uint32_t ebx, vdisk_error *err)
{
	const struct kvm_sregs mode = { .cr0 = 0x11 /* ET PE */ };
	const struct kvm_regs regs = { .rip = eip, .rbx = ebx, .rflags = 2 };

	return state_set(cpu, &mode, gdt, false, &regs, err);
}

static void vcpu_pio(struct vcpu *cpu)
{
	struct kvm_run *run = cpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;

	pthread_mutex_lock(&cpu->m->lock);
	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(&cpu->m->pio, run->io.port, size, le_get(data, size));
		else
			le_put(data, size, bus_read(&cpu->m->pio, run->io.port, size));
	}
	pthread_mutex_unlock(&cpu->m->lock);
}

static void vcpu_mmio(struct vcpu *cpu)
{
	struct kvm_run *run = cpu->run;
	unsigned size = run->mmio.len <= 8 ? run->mmio.len : 8;

	pthread_mutex_lock(&cpu->m->lock);
	if (run->mmio.is_write)
		bus_write(&cpu->m->mmio, run->mmio.phys_addr, size, le_get(run->mmio.data, size));
	else
		le_put(run->mmio.data, size, bus_read(&cpu->m->mmio, run->mmio.phys_addr, size));
	pthread_mutex_unlock(&cpu->m->lock);
}

static uint64_t vcpu_rip(struct vcpu *cpu)
{
	struct kvm_regs regs;

	return ioctl(cpu->fd, KVM_GET_REGS, &regs) ? 0 : regs.rip;
}

static void vcpu_exit(struct vcpu *cpu)
{
	struct kvm_run *run = cpu->run;
	bool verbose = cpu->m->config->verbose;

	if (verbose)
		vcpu_trace_add(&cpu->trace, run);
	if (verbose && (run->exit_reason == KVM_EXIT_SHUTDOWN || run->exit_reason == KVM_EXIT_INTERNAL_ERROR ||
	                run->exit_reason == KVM_EXIT_FAIL_ENTRY))
		vcpu_trace_print(&cpu->trace, cpu->index, cpu->fd);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		vcpu_pio(cpu);
		break;
	case KVM_EXIT_MMIO:
		vcpu_mmio(cpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		machine_stop(cpu->m, MACHINE_CRASH, "triple fault on processor %u", cpu->index);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		machine_stop(cpu->m, run->system_event.type == KVM_SYSTEM_EVENT_RESET ? MACHINE_RESET : MACHINE_POWEROFF,
		             "system event %u", run->system_event.type);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		machine_stop(cpu->m, MACHINE_CRASH, "KVM cannot enter processor %u: hardware reason %#" PRIx64, cpu->index,
		             (uint64_t)run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		machine_stop(cpu->m, MACHINE_CRASH, "KVM cannot go on with processor %u at %#" PRIx64 ": internal error %u",
		             cpu->index, vcpu_rip(cpu), run->internal.suberror);
		break;
	default:
		machine_stop(cpu->m, MACHINE_CRASH, "processor %u at %#" PRIx64 ": unexpected exit %u", cpu->index, vcpu_rip(cpu),
		             run->exit_reason);
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *cpu = arg;

	if (cpu->m->config->verbose)
		vcpu_trace_begin(&cpu->trace, cpu->m->vm.kvm, cpu->run);
	while (!atomic_load(&cpu->quit)) {
		if (ioctl(cpu->fd, KVM_RUN, 0)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			machine_stop(cpu->m, MACHINE_CRASH, "KVM_RUN of processor %u at %#" PRIx64 ": errno %d", cpu->index,
			             vcpu_rip(cpu), errno);
			break;
		}
		vcpu_exit(cpu);
		if (machine_stopped(cpu->m, NULL))
			break;
	}
	return NULL;
}

int vcpu_start(struct vcpu *cpu, vdisk_error *err)
{
	struct sigaction action = { .sa_handler = vcpu_signal }; /* no SA_RESTART: KVM_RUN shall end */

	sigaction(VCPU_SIGNAL, &action, NULL);
	if (thread_start(&cpu->thread, vcpu_thread, cpu, "a processor's thread", err))
		return -1;
	cpu->started = true;
	return 0;
}

void vcpu_destroy(struct vcpu *cpu)
{
	if (!cpu)
		return;
	if (cpu->started) {
		atomic_store(&cpu->quit, true);
		__atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(cpu->thread, VCPU_SIGNAL);
		pthread_join(cpu->thread, NULL);
	}
	if (cpu->run)
		munmap(cpu->run, cpu->m->vm.run_bytes);
	close(cpu->fd);
	free(cpu);
}

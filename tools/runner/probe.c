/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A KVM may exist, open, create machines and still emulate each instruction (where the host is itself a guest, under PVM for one).
 * So a guest counts: on hardware, a slice of LOOPS takes some 0.02 ms; in QEMU's emulation of hardware, below 1 ms; emulated by
 * KVM, 20.
 */
#include "probe.h"
#include "common/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LOOPS      20000u
#define SLICES     10
#define SLICES_MIN 4                   /* however long they take: a busy machine is not a slow one */
#define GOOD_NS    UINT64_C(2000000)   /* no slice of an emulated one is so quick */
#define BUDGET_NS  UINT64_C(100000000)

/* 32-bit code at 0: counts LOOPS down, tells by a port, again. */
static const uint8_t code[] = {
	0xb9, LOOPS & 0xff, LOOPS >> 8, 0, 0, /* mov $LOOPS, %ecx */
	0x49,                                 /* 1: dec %ecx */
	0x75, 0xfd,                           /* jnz 1b */
	0xe6, 0x80,                           /* out %al, $0x80 */
	0xeb, 0xf4,                           /* jmp 0 */
};

struct trial {
	int kvm, vm, cpu;
	uint8_t *ram;
	struct kvm_run *run;
	size_t run_bytes;
};

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int protected_mode(struct trial *t)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_segment flat = { .limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .s = 1, .g = 1, .db = 1 };

	if (ioctl(t->cpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	flat.selector = 8;
	flat.type = 11;
	sregs.cs = flat;
	sregs.cr0 |= 1;
	return ioctl(t->cpu, KVM_SET_SREGS, &sregs) || ioctl(t->cpu, KVM_SET_REGS, &regs) ? -1 : 0;
}

static int trial_begin(struct trial *t)
{
	t->vm = ioctl(t->kvm, KVM_CREATE_VM, 0);
	if (t->vm < 0)
		return -1;
	void *ram = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return -1;
	t->ram = ram;
	memcpy(ram, code, sizeof(code));
	ioctl(t->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul); /* for Intel's; others may refuse */
	struct kvm_userspace_memory_region region = { .memory_size = 0x1000, .userspace_addr = (uintptr_t)ram };
	if (ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &region))
		return -1;
	t->cpu = ioctl(t->vm, KVM_CREATE_VCPU, 0);
	int bytes = ioctl(t->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (t->cpu < 0 || bytes < (int)sizeof(struct kvm_run))
		return -1;
	void *run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t->cpu, 0);
	if (run == MAP_FAILED)
		return -1;
	t->run = run;
	t->run_bytes = (size_t)bytes;
	return protected_mode(t);
}

/* The quickest slice, or the first that is quick enough; 0: an error. */
static uint64_t trial_time(struct trial *t)
{
	uint64_t best = UINT64_MAX, first = clock_ns();

	for (unsigned i = 0; i < SLICES && best > GOOD_NS && (i < SLICES_MIN || clock_ns() - first < BUDGET_NS); i++) {
		uint64_t begin = clock_ns();

		if (ioctl(t->cpu, KVM_RUN, 0)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return 0;
		}
		if (t->run->exit_reason != KVM_EXIT_IO)
			return 0;
		uint64_t took = clock_ns() - begin;
		best = took < best ? took : best;
	}
	return best;
}

static void trial_end(struct trial *t)
{
	if (t->run)
		munmap(t->run, t->run_bytes);
	if (t->cpu >= 0)
		close(t->cpu);
	if (t->vm >= 0)
		close(t->vm);
	if (t->ram)
		munmap(t->ram, 0x1000);
	close(t->kvm);
}

enum kvm_state kvm_probe(char why[256])
{
	struct trial t = { .kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), .vm = -1, .cpu = -1 };
	enum kvm_state state = KVM_GOOD;

	why[0] = '\0';
	if (t.kvm < 0) {
		state = errno == ENOENT ? KVM_MISSING : errno == EACCES || errno == EPERM ? KVM_FORBIDDEN : KVM_BROKEN;
		if (state == KVM_MISSING)
			snprintf(why, 256, "there is no /dev/kvm here");
		else
			snprintf(why, 256, "/dev/kvm: %s%s", strerror(errno), state == KVM_FORBIDDEN ? " (its group is kvm)" : "");
		return state;
	}
	errno = 0;
	uint64_t ns = trial_begin(&t) ? 0 : trial_time(&t);
	if (!ns) {
		snprintf(why, 256, "/dev/kvm runs no guest%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
		state = KVM_BROKEN;
	} else if (ns > GOOD_NS) {
		snprintf(why, 256, "/dev/kvm emulates its guests (%u instructions took %.1f ms)", 2 * LOOPS, (double)ns / 1e6);
		state = KVM_SLOW;
	}
	trial_end(&t);
	return state;
}

bool qemu_find(char path[4096])
{
	if (child_find("qemu-system-x86_64", false, path))
		return true;
	snprintf(path, 4096, "/usr/libexec/qemu-kvm"); /* Red Hat's */
	return !access(path, X_OK);
}

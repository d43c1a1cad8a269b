/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The KVM virtual machine: its memory, its interrupt controllers. */
#ifndef RUNNER_VM_H
#define RUNNER_VM_H

#include "common/fail.h"

/* Guest physical addresses, as on any i440FX board: memory below 3 GiB, the PCI hole, the rest of memory from 4 GiB on. */
#define VM_LOW_MAX   0xc0000000ull
#define VM_HIGH_BASE 0x100000000ull

/* Memory slots of KVM.  Segments of [768 KiB, 1 MiB) come and go with the host bridge's PAM registers. */
enum vm_slot {
	VM_SLOT_BASE,   /* [0, 640 KiB) */
	VM_SLOT_LOW,    /* [1 MiB, end of low memory) */
	VM_SLOT_HIGH,   /* from 4 GiB */
	VM_SLOT_SHADOW, /* 13 segments */
	VM_SLOT_FIRMWARE = VM_SLOT_SHADOW + 13,
	VM_SLOT_FLASH,
	VM_SLOT_VIDEO_BIOS,
	VM_SLOT_TEXT,
	VM_SLOT_FRAMEBUFFER,
};

struct vm {
	int kvm, fd;
	size_t run_bytes;         /* of a vCPU's shared page */
	uint8_t *ram;
	uint64_t ram_bytes;
	uint64_t low_bytes;       /* of it below VM_LOW_MAX, from 0 on */
	bool has_ioeventfd, has_readonly;
};

/* `kvm`: /dev/kvm, borrowed.  `ram_bytes`: whole MiB, at least 1. */
int vm_init(struct vm *vm, int kvm, uint64_t ram_bytes, vdisk_error *err);
void vm_destroy(struct vm *vm);

/* Host memory of [addr, addr + len) if the whole of it is guest memory, otherwise NULL: what devices and loaders may touch. */
void *vm_ptr(const struct vm *vm, uint64_t addr, uint64_t len);
int vm_read(const struct vm *vm, uint64_t addr, void *buf, size_t len);
int vm_write(const struct vm *vm, uint64_t addr, const void *buf, size_t len);

/* Maps host memory into the guest; len 0 takes the slot's mapping away.  Read-only: the guest's writes become exits. */
int vm_slot_set(struct vm *vm, enum vm_slot slot, uint64_t addr, void *host, uint64_t len, bool readonly, vdisk_error *err);

/* From any thread.  Lines of the IOAPIC; those below 16 also of the 8259s. */
void vm_irq(struct vm *vm, unsigned gsi, bool level);
/* One system call by the thread that did the work, as a write to an irqfd would be, and no routing table to keep. */
void vm_msi(struct vm *vm, uint64_t addr, uint32_t data);
/* A guest write to `addr` signals `fd` instead of an exit.  false: KVM will not; the exit must serve. */
bool vm_ioeventfd(struct vm *vm, uint64_t addr, int fd, bool on);

#endif

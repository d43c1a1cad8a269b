/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /dev/kvm, the VM on it, guest memory.  The memory map below 1 MiB is the host bridge's business (chipset.c). */
#include "vm.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_PAGE ((size_t)2 << 20)

static int vm_probe(struct vm *vm, vdisk_error *err)
{
	int version = ioctl(vm->kvm, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return fail(err, VDISK_UNSUPPORTED, "/dev/kvm speaks version %d of its interface, not %d", version,
		            KVM_API_VERSION);
	static const struct {
		int cap;
		const char *what;
	} needed[] = {
		{ KVM_CAP_USER_MEMORY, "memory slots" },
		{ KVM_CAP_IRQCHIP, "interrupt controllers" },
		{ KVM_CAP_PIT2, "the interval timer" },
		{ KVM_CAP_EXT_CPUID, "CPUID tables" },
		{ KVM_CAP_IMMEDIATE_EXIT, "immediate exits" },
		{ KVM_CAP_SIGNAL_MSI, "message-signalled interrupts" },
	};
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return fail(err, VDISK_UNSUPPORTED, "/dev/kvm lacks %s", needed[i].what);
	int bytes = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (bytes < (int)sizeof(struct kvm_run))
		return fail(err, VDISK_UNSUPPORTED, "/dev/kvm gives %d bytes for a processor's state", bytes);
	vm->run_bytes = (size_t)bytes;
	vm->has_ioeventfd = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD) > 0;
	vm->has_readonly = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) > 0;
	return 0;
}

static int vm_create(struct vm *vm, vdisk_error *err)
{
	do {
		vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return fail_errno(err, "KVM_CREATE_VM");
	/* Three pages and one that Intel's virtualization wants for itself; below the firmware, above everything else. */
	uint64_t identity_map = 0xfeffc000;
	if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0 &&
	    ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map))
		return fail_errno(err, "KVM_SET_IDENTITY_MAP_ADDR");
	if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0 && ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfeffd000ul))
		return fail_errno(err, "KVM_SET_TSS_ADDR");
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		return fail_errno(err, "KVM_CREATE_IRQCHIP");
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit))
		return fail_errno(err, "KVM_CREATE_PIT2");
	/* Ticks that a slow guest misses are lost: given later, one hard upon the other, they would keep it in its handler. */
	struct kvm_reinject_control reinject = { .pit_reinject = 0 };
	ioctl(vm->fd, KVM_REINJECT_CONTROL, &reinject);
	return 0;
}

/* At an address where the guest's large pages are the host's: KVM maps 2 MiB at once only where both lie alike. */
static void *ram_map(size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return MAP_FAILED;
	size_t before = -(uintptr_t)p % LARGE_PAGE;
	if (before)
		munmap(p, before);
	munmap(p + before + bytes, LARGE_PAGE - before);
	return p + before;
}

int vm_init(struct vm *vm, int kvm, uint64_t ram_bytes, vdisk_error *err)
{
	*vm = (struct vm){ .kvm = kvm, .fd = -1, .ram_bytes = ram_bytes };
	vm->low_bytes = ram_bytes < VM_LOW_MAX ? ram_bytes : VM_LOW_MAX;
	if (vm_probe(vm, err) || vm_create(vm, err))
		goto fail;
	void *ram = ram_map(ram_bytes);
	if (ram == MAP_FAILED) {
		fail_errno(err, "%" PRIu64 " bytes of guest memory", ram_bytes);
		goto fail;
	}
	vm->ram = ram;
	madvise(ram, ram_bytes, MADV_HUGEPAGE); /* faster where it works */
	madvise(ram, ram_bytes, MADV_DONTDUMP);
	if (vm_slot_set(vm, VM_SLOT_BASE, 0, ram, 0xa0000, false, err))
		goto fail;
	if (vm->low_bytes > 0x100000 &&
	    vm_slot_set(vm, VM_SLOT_LOW, 0x100000, vm->ram + 0x100000, vm->low_bytes - 0x100000, false, err))
		goto fail;
	if (ram_bytes > vm->low_bytes &&
	    vm_slot_set(vm, VM_SLOT_HIGH, VM_HIGH_BASE, vm->ram + vm->low_bytes, ram_bytes - vm->low_bytes, false, err))
		goto fail;
	return 0;
fail:
	vm_destroy(vm);
	return -1;
}

void vm_destroy(struct vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->ram)
		munmap(vm->ram, vm->ram_bytes);
	*vm = (struct vm){ .kvm = -1, .fd = -1 };
}

void *vm_ptr(const struct vm *vm, uint64_t addr, uint64_t len)
{
	if (addr < vm->low_bytes)
		return len <= vm->low_bytes - addr ? vm->ram + addr : NULL;
	if (addr < VM_HIGH_BASE)
		return NULL;
	uint64_t high = vm->ram_bytes - vm->low_bytes;
	addr -= VM_HIGH_BASE;
	return addr < high && len <= high - addr ? vm->ram + vm->low_bytes + addr : NULL;
}

int vm_read(const struct vm *vm, uint64_t addr, void *buf, size_t len)
{
	const void *p = vm_ptr(vm, addr, len);

	if (!p)
		return -1;
	memcpy(buf, p, len);
	return 0;
}

int vm_write(const struct vm *vm, uint64_t addr, const void *buf, size_t len)
{
	void *p = vm_ptr(vm, addr, len);

	if (!p)
		return -1;
	memcpy(p, buf, len);
	return 0;
}

int vm_slot_set(struct vm *vm, enum vm_slot slot, uint64_t addr, void *host, uint64_t len, bool readonly, vdisk_error *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = addr,
		.memory_size = len,
		.userspace_addr = (uintptr_t)host,
	};

	if (readonly && !vm->has_readonly)
		return fail(err, VDISK_UNSUPPORTED, "/dev/kvm lacks read-only memory, which firmware needs");
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return fail_errno(err, "memory slot %u at %#" PRIx64 ", %" PRIu64 " bytes", slot, addr, len);
	return 0;
}

void vm_irq(struct vm *vm, unsigned gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

void vm_msi(struct vm *vm, uint64_t addr, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = (uint32_t)addr, .address_hi = (uint32_t)(addr >> 32), .data = data };

	ioctl(vm->fd, KVM_SIGNAL_MSI, &msi); /* a vector that nobody takes is the guest's own affair */
}

bool vm_ioeventfd(struct vm *vm, uint64_t addr, int fd, bool on)
{
	struct kvm_ioeventfd io = { .addr = addr, .len = 2, .fd = fd, .flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN };

	return vm->has_ioeventfd && !ioctl(vm->fd, KVM_IOEVENTFD, &io);
}

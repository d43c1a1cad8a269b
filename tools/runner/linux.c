/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The 64-bit boot protocol: Documentation/arch/x86/boot.rst of Linux.
 *
 * Memory below 1 MiB, all of it the kernel's to reuse: descriptors at 0x500, page tables (4 GiB, one to one, 2 MiB pages) from
 * 0x1000, boot parameters at 0x8000, the command line at 0x10000; ACPI tables at 0xe0000.  The kernel goes to 1 MiB, the
 * initial RAM disk as high as it may.
 */
#include "linux.h"
#include "acpi.h"
#include "kernelfile.h"
#include "common/numbers.h"
#include "pvh.h"
#include "vcpu.h"

#include <inttypes.h>

#define GDT_AT     0x500
#define PML4_AT    0x1000
#define PDPT_AT    0x2000
#define PD_AT      0x3000
#define PARAMS_AT  0x8000
#define CMDLINE_AT 0x10000
#define ACPI_AT    0xe0000
#define KERNEL_AT  0x100000

static int header_check(const uint8_t *head, const char *path, vdisk_error *err)
{
	if (memcmp(head + 0x202, "HdrS", 4) || le16_get(head + 0x1fe) != 0xaa55)
		return fail(err, VDISK_UNSUPPORTED, "%s: neither a bzImage nor an ELF file; nothing else is booted directly", path);
	unsigned version = le16_get(head + 0x206);
	if (version < 0x20c || !(le16_get(head + 0x236) & 1))
		return fail(err, VDISK_UNSUPPORTED, "%s: boot protocol %u.%02u without a 64-bit entry is not booted directly", path,
		            version >> 8, version & 0xff);
	return 0;
}

static int initrd_load(struct machine *m, uint8_t *params, uint64_t kernel_end, vdisk_error *err)
{
	uint64_t at, size;

	if (kernelfile_initrd(m, kernel_end, (uint64_t)le32_get(params + 0x22c) + 1, &at, &size, err))
		return -1;
	le32_put(params + 0x218, (uint32_t)at);
	le32_put(params + 0x21c, (uint32_t)size);
	return 0;
}

static void e820_add(uint8_t *params, uint64_t addr, uint64_t len, uint32_t type)
{
	uint8_t *e = params + 0x2d0 + 20 * params[0x1e8]++;

	le64_put(e, addr);
	le64_put(e + 8, len);
	le32_put(e + 16, type);
}

static void memory_map(const struct machine *m, uint8_t *params)
{
	e820_add(params, 0, 0x9fc00, 1);
	e820_add(params, 0x9fc00, 0x400, 2);
	e820_add(params, ACPI_AT, 0x100000 - ACPI_AT, 2);
	e820_add(params, 0x100000, m->vm.low_bytes - 0x100000, 1);
	if (m->vm.ram_bytes > m->vm.low_bytes)
		e820_add(params, VM_HIGH_BASE, m->vm.ram_bytes - m->vm.low_bytes, 1);
}

static void tables_write(struct vm *vm)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x008f8b000000ffff };

	for (unsigned i = 0; i < 5; i++)
		le64_put(vm->ram + GDT_AT + 8 * i, gdt[i]);
	le64_put(vm->ram + PML4_AT, PDPT_AT | 3);
	for (uint64_t i = 0; i < 4; i++)
		le64_put(vm->ram + PDPT_AT + 8 * i, (PD_AT + i * 0x1000) | 3);
	for (uint64_t i = 0; i < 2048; i++)
		le64_put(vm->ram + PD_AT + 8 * i, i << 21 | 0x83);
}

static int kernel_load(struct machine *m, const struct kernelfile *f, uint8_t *params, vdisk_error *err)
{
	uint8_t head[0x268];
	const char *append = m->config->append ? m->config->append : "";

	if (f->size < sizeof(head))
		return fail(err, VDISK_UNSUPPORTED, "%s: neither a bzImage nor an ELF file; nothing else is booted directly",
		            f->path);
	if (kernelfile_read(f, 0, head, sizeof(head), err) || header_check(head, f->path, err))
		return -1;
	uint64_t setup = ((head[0x1f1] ? head[0x1f1] : 4u) + 1) * 512ull;
	uint64_t at = le64_get(head + 0x258), end = at + le32_get(head + 0x260);
	if (setup >= f->size)
		return fail(err, VDISK_CORRUPT, "%s: %" PRIu64 " bytes of setup in a file of %" PRIu64, f->path, setup, f->size);
	if (end < at)
		return fail(err, VDISK_INVALID, "%s: the kernel wants %" PRIu32 " bytes of memory at %#" PRIx64, f->path,
		            le32_get(head + 0x260), at);
	if (end > m->vm.low_bytes)
		return fail(err, VDISK_INVALID, "%s: the kernel needs %" PRIu64 " MiB of memory", f->path, (end >> 20) + 1);
	if (strlen(append) > le32_get(head + 0x238) || strlen(append) > 0xffff)
		return fail(err, VDISK_INVALID, "%s: takes command lines of up to %" PRIu32 " bytes, not %zu", f->path,
		            le32_get(head + 0x238), strlen(append));
	if (kernelfile_load(f, setup, &m->vm, KERNEL_AT, err))
		return -1;
	memcpy(params + 0x1f1, head + 0x1f1, sizeof(head) - 0x1f1);
	params[0x210] = 0xff;  /* a loader without a number */
	params[0x211] |= 0x80; /* the heap's end is said */
	le16_put(params + 0x224, 0xde00);
	le32_put(params + 0x228, CMDLINE_AT);
	vm_write(&m->vm, CMDLINE_AT, append, strlen(append) + 1);
	uint64_t loaded = KERNEL_AT + (f->size - setup); /* which may be more than it says */
	return m->config->initrd ? initrd_load(m, params, end > loaded ? end : loaded, err) : 0;
}

int linux_load(struct machine *m, vdisk_error *err)
{
	struct kernelfile f;
	uint8_t *params = vm_ptr(&m->vm, PARAMS_AT, 0x1000);
	struct acpi acpi = { 0 };
	uint8_t magic[4];

	if (kernelfile_open(&f, m->config->kernel, m->config->fds[FILE_KERNEL], err))
		return -1;
	if (f.size >= sizeof(magic) && kernelfile_read(&f, 0, magic, sizeof(magic), err))
		return -1;
	if (f.size >= sizeof(magic) && pvh_is_elf(magic, sizeof(magic)))
		return pvh_load(m, &f, err);
	if (kernel_load(m, &f, params, err))
		return -1;
	memory_map(m, params);
	tables_write(&m->vm);
	int r = acpi_build(&acpi, m, err) || acpi_place(&acpi, &m->vm, ACPI_AT, 0x20000, err) ? -1 : 0;
	acpi_destroy(&acpi);
	if (r)
		return -1;
	le64_put(params + 0x70, ACPI_AT);
	return vcpu_set_long_mode(m->vcpus[0], GDT_AT, PML4_AT, KERNEL_AT + 0x200, PARAMS_AT, err);
}

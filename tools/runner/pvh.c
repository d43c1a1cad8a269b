/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The x86/HVM direct boot ABI: docs/misc/pvh.pandoc of Xen.  The entry stands in an ELF note; the processor begins in 32-bit
 * protected mode without paging, and finds in %ebx where it is told about modules, command line and memory.
 *
 * Below 1 MiB, all of it the kernel's to reuse: descriptors at 0x500, the start information at 0x8000, the command line at 0x10000;
 * ACPI tables at 0xe0000.
 */
#include "pvh.h"
#include "acpi.h"
#include "common/numbers.h"
#include "vcpu.h"

#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>

#define GDT_AT     0x500
#define INFO_AT    0x8000
#define MODULE_AT  0x8100
#define MEMORY_AT  0x8200
#define CMDLINE_AT 0x10000
#define ACPI_AT    0xe0000
#define KERNEL_MIN 0x100000
#define COMMAND_MAX 0xffff

#define INFO_MAGIC  0x336ec578u
#define NOTE_ENTRY  18u
#define HEADERS_MAX 128u
#define NOTES_MAX   0x10000u

struct image {
	const struct kernelfile *f;
	uint64_t entry, end; /* of the memory that it takes */
};

bool pvh_is_elf(const uint8_t *bytes, size_t n)
{
	return n >= SELFMAG && !memcmp(bytes, ELFMAG, SELFMAG);
}

static int segment_load(struct image *im, const struct vm *vm, const Elf64_Phdr *p, vdisk_error *err)
{
	if (p->p_filesz > p->p_memsz || p->p_offset > im->f->size || p->p_filesz > im->f->size - p->p_offset)
		return fail(err, VDISK_CORRUPT, "%s: a segment of %" PRIu64 " bytes at %" PRIu64 " is outside the file",
		            im->f->path, (uint64_t)p->p_filesz, (uint64_t)p->p_offset);
	if (p->p_paddr < KERNEL_MIN || p->p_paddr >= vm->low_bytes || p->p_memsz > vm->low_bytes - p->p_paddr)
		return fail(err, VDISK_INVALID, "%s: a segment of %" PRIu64 " bytes does not fit into memory at %#" PRIx64,
		            im->f->path, (uint64_t)p->p_memsz, (uint64_t)p->p_paddr);
	if (p->p_paddr + p->p_memsz > im->end)
		im->end = p->p_paddr + p->p_memsz;
	/* the rest is zero from the start */
	return kernelfile_read(im->f, p->p_offset, vm_ptr(vm, p->p_paddr, p->p_filesz), p->p_filesz, err);
}

/* Looks for the entry among the notes. */
static int notes_read(struct image *im, const Elf64_Phdr *p, vdisk_error *err)
{
	if (p->p_filesz > NOTES_MAX)
		return 0; /* of a size that is none of ours */
	uint8_t *notes = malloc(p->p_filesz ? p->p_filesz : 1);
	if (!notes)
		return fail(err, VDISK_NOMEM, "out of memory");
	int r = kernelfile_read(im->f, p->p_offset, notes, p->p_filesz, err);
	for (uint64_t at = 0; !r && p->p_filesz - at >= 12;) {
		uint64_t name = (le32_get(notes + at) + 3ull) & ~3ull, desc = (le32_get(notes + at + 4) + 3ull) & ~3ull;

		if (name > p->p_filesz - at - 12 || desc > p->p_filesz - at - 12 - name)
			break;
		const uint8_t *d = notes + at + 12;
		if (le32_get(notes + at + 8) == NOTE_ENTRY && name == 4 && !memcmp(d, "Xen", 4) && desc >= 4)
			im->entry = desc >= 8 ? le64_get(d + 4) : le32_get(d + 4);
		at += 12 + name + desc;
	}
	free(notes);
	return r;
}

static int image_load(struct image *im, const struct vm *vm, vdisk_error *err)
{
	Elf64_Phdr headers[HEADERS_MAX];
	Elf64_Ehdr e;

	if (kernelfile_read(im->f, 0, &e, sizeof(e), err))
		return -1;
	if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != ELFDATA2LSB || e.e_machine != EM_X86_64 ||
	    e.e_phentsize != sizeof(Elf64_Phdr))
		return fail(err, VDISK_UNSUPPORTED, "%s: an ELF file, but none of 64-bit x86", im->f->path);
	if (!e.e_phnum || e.e_phnum > HEADERS_MAX)
		return fail(err, VDISK_CORRUPT, "%s: %u segments", im->f->path, e.e_phnum);
	if (kernelfile_read(im->f, e.e_phoff, headers, e.e_phnum * sizeof(*headers), err))
		return -1;
	for (unsigned i = 0; i < e.e_phnum; i++) {
		if (headers[i].p_type == PT_LOAD && headers[i].p_memsz && segment_load(im, vm, &headers[i], err))
			return -1;
		if (headers[i].p_type == PT_NOTE && notes_read(im, &headers[i], err))
			return -1;
	}
	if (!im->entry)
		return fail(err, VDISK_UNSUPPORTED, "%s: an ELF file without a PVH entry is not booted directly", im->f->path);
	if (im->entry < KERNEL_MIN || im->entry >= im->end)
		return fail(err, VDISK_CORRUPT, "%s: its entry at %#" PRIx64 " is outside of it", im->f->path, im->entry);
	return 0;
}

static void memory_add(struct vm *vm, unsigned *n, uint64_t addr, uint64_t len, uint32_t type)
{
	uint8_t *e = vm->ram + MEMORY_AT + 24 * (*n)++;

	le64_put(e, addr);
	le64_put(e + 8, len);
	le32_put(e + 16, type);
}

static void info_put(struct vm *vm, uint64_t rsdp, uint64_t initrd, uint64_t initrd_bytes)
{
	uint8_t *info = vm->ram + INFO_AT;
	unsigned n = 0;

	memory_add(vm, &n, 0, 0x9fc00, 1);
	memory_add(vm, &n, 0x9fc00, 0x400, 2);
	memory_add(vm, &n, rsdp, 0x100000 - rsdp, 2);
	memory_add(vm, &n, 0x100000, vm->low_bytes - 0x100000, 1);
	if (vm->ram_bytes > vm->low_bytes)
		memory_add(vm, &n, VM_HIGH_BASE, vm->ram_bytes - vm->low_bytes, 1);
	le32_put(info, INFO_MAGIC);
	le32_put(info + 4, 1); /* version */
	if (initrd_bytes) {
		le64_put(vm->ram + MODULE_AT, initrd);
		le64_put(vm->ram + MODULE_AT + 8, initrd_bytes);
		le32_put(info + 12, 1);
		le64_put(info + 16, MODULE_AT);
	}
	le64_put(info + 24, CMDLINE_AT);
	le64_put(info + 32, rsdp);
	le64_put(info + 40, MEMORY_AT);
	le32_put(info + 48, n);
}

int pvh_load(struct machine *m, const struct kernelfile *f, vdisk_error *err)
{
	static const uint64_t gdt[] = { 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067 };
	const char *append = m->config->append ? m->config->append : "";
	struct image im = { .f = f };
	uint64_t initrd_at = 0, initrd_bytes = 0;
	struct acpi acpi = { 0 };

	if (strlen(append) > COMMAND_MAX)
		return fail(err, VDISK_INVALID, "a command line of %zu bytes; %u are taken", strlen(append), COMMAND_MAX);
	if (image_load(&im, &m->vm, err))
		return -1;
	if (m->config->initrd && kernelfile_initrd(m, im.end, UINT32_MAX, &initrd_at, &initrd_bytes, err))
		return -1;
	int r = acpi_build(&acpi, m, err) || acpi_place(&acpi, &m->vm, ACPI_AT, 0x20000, err) ? -1 : 0;
	acpi_destroy(&acpi);
	if (r)
		return -1;
	vm_write(&m->vm, CMDLINE_AT, append, strlen(append) + 1);
	for (unsigned i = 0; i < 5; i++)
		le64_put(m->vm.ram + GDT_AT + 8 * i, gdt[i]);
	info_put(&m->vm, ACPI_AT, initrd_at, initrd_bytes);
	return vcpu_set_protected_mode(m->vcpus[0], GDT_AT, (uint32_t)im.entry, INFO_AT, err);
}

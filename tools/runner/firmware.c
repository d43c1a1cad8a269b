/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reset vector lies 16 bytes below 4 GiB, so the image ends there. */
#include "firmware.h"
#include "acpi.h"
#include "fwcfg.h"
#include "common/numbers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRMWARE_MIN 0x20000u
#define FIRMWARE_MAX 0x1000000u

struct firmware {
	void *bytes;
	uint64_t len;
};

int firmware_create(struct machine *m, struct firmware **out, vdisk_error *err)
{
	const char *path = m->config->bios;
	struct firmware *fw = calloc(1, sizeof(*fw));
	struct stat st;

	if (!fw)
		return fail(err, VDISK_NOMEM, "out of memory");
	*out = fw;
	int fd = m->config->fds[FILE_BIOS];
	if (fstat(fd, &st))
		return fail_errno(err, "firmware %s", path);
	fw->len = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) || fw->len < FIRMWARE_MIN || fw->len > FIRMWARE_MAX || fw->len & 0xfff)
		return fail(err, VDISK_INVALID, "firmware %s: %" PRIu64 " bytes: not a firmware's image", path, fw->len);
	void *p = mmap(NULL, fw->len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return fail_errno(err, "firmware %s", path);
	fw->bytes = p;
	return vm_slot_set(&m->vm, VM_SLOT_FIRMWARE, VM_HIGH_BASE - fw->len, p, fw->len, true, err);
}

void firmware_destroy(struct firmware *fw)
{
	if (!fw)
		return;
	if (fw->bytes)
		munmap(fw->bytes, fw->len);
	free(fw);
}

void *firmware_bytes(struct firmware *fw, uint64_t *len)
{
	*len = fw ? fw->len : 0;
	return fw ? fw->bytes : NULL;
}

static void e820_add(struct buf *b, uint64_t addr, uint64_t len)
{
	buf_le(b, 8, addr);
	buf_le(b, 8, len);
	buf_le(b, 4, 1);
}

static void name_add(struct buf *b, const char *name)
{
	char field[56] = { 0 };

	snprintf(field, sizeof(field), "%s", name);
	buf_add(b, field, sizeof(field));
}

#define FILE_RSDP   "etc/acpi/rsdp"
#define FILE_TABLES "etc/acpi/tables"

static void loader_allocate(struct buf *b, const char *file, uint32_t align, uint8_t zone)
{
	buf_le(b, 4, 1);
	name_add(b, file);
	buf_le(b, 4, align);
	buf_u8(b, zone);
	buf_align(b, 128);
}

static void loader_pointer(struct buf *b, const char *file, uint32_t off)
{
	buf_le(b, 4, 2);
	name_add(b, file);
	name_add(b, FILE_TABLES);
	buf_le(b, 4, off);
	buf_u8(b, 4);
	buf_align(b, 128);
}

static void loader_checksum(struct buf *b, const char *file, uint32_t at, uint32_t start, uint32_t len)
{
	buf_le(b, 4, 3);
	name_add(b, file);
	buf_le(b, 4, at);
	buf_le(b, 4, start);
	buf_le(b, 4, len);
	buf_align(b, 128);
}

/* The commands by which firmware places the tables: bios-linker-loader of QEMU. */
static void loader_script(struct buf *b, const struct acpi *a)
{
	loader_allocate(b, FILE_RSDP, 16, 2);
	loader_allocate(b, FILE_TABLES, 64, 1);
	for (unsigned i = 0; i < a->n_fixups; i++)
		loader_pointer(b, FILE_TABLES, a->fixups[i]);
	for (unsigned i = 0; i < a->n_sums; i++)
		loader_checksum(b, FILE_TABLES, a->sums[i].off + 9, a->sums[i].off, a->sums[i].len);
	loader_pointer(b, FILE_RSDP, ACPI_RSDP_RSDT);
	loader_checksum(b, FILE_RSDP, 8, 0, ACPI_RSDP_BYTES);
}

static int acpi_tell(struct machine *m, vdisk_error *err)
{
	struct acpi a;
	struct buf script = { 0 };
	int r = acpi_build(&a, m, err);

	loader_script(&script, &a);
	if (!r && script.failed)
		r = fail(err, VDISK_NOMEM, "out of memory");
	if (!r)
		r = fwcfg_file(m->fwcfg, FILE_RSDP, a.rsdp, ACPI_RSDP_BYTES, err) ||
		    fwcfg_file(m->fwcfg, FILE_TABLES, a.tables.bytes, a.tables.len, err) ||
		    fwcfg_file(m->fwcfg, "etc/table-loader", script.bytes, script.len, err) ? -1 : 0;
	buf_destroy(&script);
	acpi_destroy(&a);
	return r;
}

int firmware_tell(struct machine *m, vdisk_error *err)
{
	uint8_t cpus[2];
	struct buf map = { 0 };

	le16_put(cpus, (uint16_t)m->config->n_cpus);
	if (fwcfg_item(m->fwcfg, FWCFG_CPUS, cpus, 2, err) || fwcfg_item(m->fwcfg, FWCFG_MAX_CPUS, cpus, 2, err))
		return -1;
	e820_add(&map, 0, m->vm.low_bytes);
	if (m->vm.ram_bytes > m->vm.low_bytes)
		e820_add(&map, VM_HIGH_BASE, m->vm.ram_bytes - m->vm.low_bytes);
	int r = map.failed ? fail(err, VDISK_NOMEM, "out of memory") : fwcfg_file(m->fwcfg, "etc/e820", map.bytes, map.len, err);
	buf_destroy(&map);
	return r ? -1 : acpi_tell(m, err);
}

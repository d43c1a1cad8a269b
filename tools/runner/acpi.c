/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RSDT, FADT, FACS, MADT and a DSDT: ACPI 6.4 chapter 5.  The version 1 and 2 forms, which every system knows. */
#include "acpi.h"
#include "aml.h"
#include "common/numbers.h"
#include "pci.h"
#include "pm.h"

#include <stdlib.h>

#define SCI_LINE 9

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s += *p++;
	return s;
}

static uint32_t table_begin(struct acpi *a, const char *signature, uint8_t revision)
{
	struct buf *b = &a->tables;

	buf_align(b, 16);
	uint32_t at = (uint32_t)b->len;
	buf_add(b, signature, 4);
	buf_le(b, 4, 0);
	buf_u8(b, revision);
	buf_u8(b, 0);
	buf_add(b, "VDISK ", 6);
	buf_add(b, "VDISKPC ", 8);
	buf_le(b, 4, 1);
	buf_add(b, "VDSK", 4);
	buf_le(b, 4, 1);
	return at;
}

static void table_end(struct acpi *a, uint32_t at)
{
	uint32_t len = (uint32_t)a->tables.len - at;

	if (a->tables.failed)
		return;
	le32_put(a->tables.bytes + at + 4, len);
	a->sums[a->n_sums].off = at;
	a->sums[a->n_sums++].len = len;
}

/* A pointer to the table at `target`. */
static void pointer_add(struct acpi *a, uint32_t target)
{
	a->fixups[a->n_fixups++] = (uint32_t)a->tables.len;
	buf_le(&a->tables, 4, target);
}

static void routing_add(struct buf *b)
{
	aml_def_name(b, "_PRT");
	size_t all = aml_package_begin(b, 31 * 4);
	for (unsigned slot = 1; slot < 32; slot++)
		for (unsigned pin = 0; pin < 4; pin++) {
			size_t one = aml_package_begin(b, 4);
			aml_int(b, slot << 16 | 0xffff);
			aml_int(b, pin);
			aml_int(b, 0);
			aml_int(b, PCI_GSI_BASE + (slot - 1 + pin) % PCI_LINES);
			aml_end(b, one);
		}
	aml_end(b, all);
}

static void isa_device(struct buf *b, const char *name, const char *id, uint16_t port, uint8_t ports, uint16_t port2, unsigned line)
{
	struct buf res = { 0 };
	size_t dev = aml_device_begin(b, name);

	aml_def_name(b, "_HID");
	aml_eisa_id(b, id);
	aml_def_name(b, "_UID");
	aml_int(b, 1);
	aml_res_io(&res, port, ports);
	if (port2)
		aml_res_io(&res, port2, ports);
	aml_res_irq(&res, line);
	aml_def_resources(b, "_CRS", &res);
	buf_destroy(&res);
	aml_end(b, dev);
}

static void dsdt_add(struct acpi *a, const struct machine *m)
{
	struct buf *b = &a->tables, res = { 0 };
	size_t scope = aml_scope_begin(b, "\\_SB");
	size_t pci = aml_device_begin(b, "PCI0");

	aml_def_name(b, "_HID");
	aml_eisa_id(b, "PNP0A03");
	aml_def_name(b, "_ADR");
	aml_int(b, 0);
	aml_def_name(b, "_UID");
	aml_int(b, 0);
	aml_res_bus(&res, 0, 255);
	aml_res_io(&res, 0xcf8, 8);
	aml_res_io_window(&res, 0, 0xcf7);
	aml_res_io_window(&res, 0xd00, 0xffff);
	aml_res_mem_window(&res, 0xa0000, 0xbffff);
	aml_res_mem_window(&res, m->vm.low_bytes <= 0x80000000 ? 0x80000000 : (uint32_t)VM_LOW_MAX, 0xfebfffff);
	aml_def_resources(b, "_CRS", &res);
	buf_destroy(&res);
	routing_add(b);
	isa_device(b, "COM1", "PNP0501", 0x3f8, 8, 0, 4);
	isa_device(b, "RTC_", "PNP0B00", 0x70, 2, 0, 8);
	isa_device(b, "KBD_", "PNP0303", 0x60, 1, 0x64, 1);
	aml_end(b, pci);
	aml_end(b, scope);
	aml_def_name(b, "\\_S5_");
	size_t s5 = aml_package_begin(b, 4);
	for (unsigned i = 0; i < 4; i++)
		aml_int(b, 0);
	aml_end(b, s5);
}

static void fadt_add(struct acpi *a, uint32_t facs, uint32_t dsdt)
{
	struct buf *b = &a->tables;

	pointer_add(a, facs);
	pointer_add(a, dsdt);
	buf_le(b, 2, 0);
	buf_le(b, 2, SCI_LINE);
	buf_le(b, 8, 0);             /* no SMI command: always in ACPI mode */
	buf_le(b, 4, PM_BASE);       /* PM1a events, PM1b */
	buf_le(b, 4, 0);
	buf_le(b, 4, PM_BASE + 4);   /* PM1a control, PM1b, PM2 */
	buf_le(b, 8, 0);
	buf_le(b, 4, PM_BASE + 8);   /* timer */
	buf_le(b, 4, PM_BASE + 0xc); /* GPE0, GPE1 */
	buf_le(b, 4, 0);
	buf_le(b, 8, 0x0000000404000204); /* lengths: PM1 event 4, control 2, PM2 0, timer 4, GPE0 4, GPE1 0 */
	buf_le(b, 2, 0xffff);        /* no C2, no C3 */
	buf_le(b, 2, 0xffff);
	buf_zeros(b, 8);
	buf_u8(b, 0x32);             /* century */
	buf_le(b, 2, 0x0003);        /* ISA devices, 8042 */
	buf_u8(b, 0);
	buf_le(b, 4, 0x00000475);    /* WBINVD, C1, no fixed buttons, no RTC wake, reset register */
	buf_le(b, 4, 0x01000801);    /* reset register: I/O port, 8 bits, byte access */
	buf_le(b, 8, 0xcf9);
	buf_u8(b, 6);
	buf_zeros(b, 244 - 129);
}

static void madt_add(struct acpi *a, unsigned n_cpus)
{
	static const uint8_t level[] = { 5, SCI_LINE, 10, 11 };
	struct buf *b = &a->tables;

	buf_le(b, 4, 0xfee00000);
	buf_le(b, 4, 1); /* 8259s are there, too */
	for (unsigned i = 0; i < n_cpus; i++) {
		buf_le(b, 2, 0x0800);
		buf_u8(b, (uint8_t)i);
		buf_u8(b, (uint8_t)i);
		buf_le(b, 4, 1);
	}
	buf_le(b, 4, 0x00000c01 | n_cpus << 16);
	buf_le(b, 4, 0xfec00000);
	buf_le(b, 4, 0);
	for (unsigned i = 0; i < sizeof(level); i++) { /* level-triggered, active high */
		buf_le(b, 4, 0x00000a02 | (uint32_t)level[i] << 24);
		buf_le(b, 4, level[i]);
		buf_le(b, 2, 0x0d);
	}
	buf_le(b, 2, 0x0604); /* NMI on LINT1 of all */
	buf_u8(b, 0xff);
	buf_le(b, 2, 0);
	buf_u8(b, 1);
}

int acpi_build(struct acpi *a, const struct machine *m, vdisk_error *err)
{
	struct buf *b = &a->tables;
	uint32_t facs, dsdt, fadt, madt, rsdt;

	*a = (struct acpi){ 0 };
	facs = 0;
	buf_add(b, "FACS", 4);
	buf_le(b, 4, 64);
	buf_zeros(b, 24);
	buf_u8(b, 1);
	buf_zeros(b, 31);
	dsdt = table_begin(a, "DSDT", 1);
	dsdt_add(a, m);
	table_end(a, dsdt);
	fadt = table_begin(a, "FACP", 3);
	fadt_add(a, facs, dsdt);
	table_end(a, fadt);
	madt = table_begin(a, "APIC", 1);
	madt_add(a, m->config->n_cpus);
	table_end(a, madt);
	rsdt = table_begin(a, "RSDT", 1);
	pointer_add(a, fadt);
	pointer_add(a, madt);
	table_end(a, rsdt);
	memcpy(a->rsdp, "RSD PTR ", 8);
	memcpy(a->rsdp + 9, "VDISK ", 6);
	le32_put(a->rsdp + ACPI_RSDP_RSDT, rsdt);
	return b->failed ? fail(err, VDISK_NOMEM, "out of memory") : 0;
}

void acpi_destroy(struct acpi *a)
{
	buf_destroy(&a->tables);
}

int acpi_place(struct acpi *a, struct vm *vm, uint64_t addr, uint64_t room, vdisk_error *err)
{
	uint64_t tables = addr + 64;
	uint8_t *p = a->tables.bytes;

	if (room < 64 || a->tables.len > room - 64)
		return fail(err, VDISK_INVALID, "%zu bytes of ACPI tables do not fit in %llu", a->tables.len,
		            (unsigned long long)room);
	for (unsigned i = 0; i < a->n_fixups; i++)
		le32_put(p + a->fixups[i], le32_get(p + a->fixups[i]) + (uint32_t)tables);
	for (unsigned i = 0; i < a->n_sums; i++)
		p[a->sums[i].off + 9] -= sum(p + a->sums[i].off, a->sums[i].len);
	le32_put(a->rsdp + ACPI_RSDP_RSDT, le32_get(a->rsdp + ACPI_RSDP_RSDT) + (uint32_t)tables);
	a->rsdp[8] -= sum(a->rsdp, ACPI_RSDP_BYTES);
	if (vm_write(vm, addr, a->rsdp, ACPI_RSDP_BYTES) || vm_write(vm, tables, p, a->tables.len))
		return fail(err, VDISK_INVALID, "no memory for ACPI tables at %#llx", (unsigned long long)addr);
	return 0;
}

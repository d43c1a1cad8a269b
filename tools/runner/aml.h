/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ACPI machine language: ACPI 6.4 chapter 20. */
#ifndef RUNNER_AML_H
#define RUNNER_AML_H

#include "buf.h"

/* Names are four characters, padded with '_'; "\\" before the first is the root. */
void aml_name(struct buf *b, const char *name);
void aml_int(struct buf *b, uint64_t v);
/* "PNP0A03" as the compressed number. */
void aml_eisa_id(struct buf *b, const char *id);

/* What has a length: between begin and end stand its contents.  Begin returns the mark that end takes. */
size_t aml_scope_begin(struct buf *b, const char *name);
size_t aml_device_begin(struct buf *b, const char *name);
size_t aml_package_begin(struct buf *b, uint8_t elements);
void aml_end(struct buf *b, size_t mark);

/* Name (NAME, …): what follows is its value. */
void aml_def_name(struct buf *b, const char *name);
/* Name (NAME, Buffer): the descriptors, ended and measured. */
void aml_def_resources(struct buf *b, const char *name, const struct buf *descriptors);

/* Resource descriptors, ACPI 6.4 section 6.4. */
void aml_res_io(struct buf *b, uint16_t base, uint8_t len);
void aml_res_irq(struct buf *b, unsigned line);
void aml_res_bus(struct buf *b, uint16_t first, uint16_t last);
void aml_res_io_window(struct buf *b, uint16_t first, uint16_t last);
void aml_res_mem_window(struct buf *b, uint32_t first, uint32_t last);

#endif

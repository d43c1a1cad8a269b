/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Package lengths always take their three-byte form, so that they can be filled in afterwards without moving anything. */
#include "aml.h"

#include <string.h>

void aml_name(struct buf *b, const char *name)
{
	size_t n;

	if (*name == '\\') {
		buf_u8(b, '\\');
		name++;
	}
	n = strlen(name);
	for (size_t i = 0; i < 4; i++)
		buf_u8(b, i < n ? (uint8_t)name[i] : '_');
}

void aml_int(struct buf *b, uint64_t v)
{
	if (v <= 1) {
		buf_u8(b, (uint8_t)v);
	} else if (v <= 0xff) {
		buf_u8(b, 0x0a);
		buf_le(b, 1, v);
	} else if (v <= 0xffff) {
		buf_u8(b, 0x0b);
		buf_le(b, 2, v);
	} else if (v <= 0xffffffff) {
		buf_u8(b, 0x0c);
		buf_le(b, 4, v);
	} else {
		buf_u8(b, 0x0e);
		buf_le(b, 8, v);
	}
}

static unsigned hex(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

void aml_eisa_id(struct buf *b, const char *id)
{
	unsigned letters = (unsigned)(id[0] - '@') << 10 | (unsigned)(id[1] - '@') << 5 | (unsigned)(id[2] - '@');

	buf_u8(b, 0x0c);
	buf_u8(b, (uint8_t)(letters >> 8));
	buf_u8(b, (uint8_t)letters);
	buf_u8(b, (uint8_t)(hex(id[3]) << 4 | hex(id[4])));
	buf_u8(b, (uint8_t)(hex(id[5]) << 4 | hex(id[6])));
}

static size_t aml_begin(struct buf *b)
{
	buf_zeros(b, 3);
	return b->len - 3;
}

void aml_end(struct buf *b, size_t mark)
{
	size_t len = b->len - mark; /* the length counts itself */

	if (b->failed)
		return;
	b->bytes[mark] = (uint8_t)(0x80 | (len & 15));
	b->bytes[mark + 1] = (uint8_t)(len >> 4);
	b->bytes[mark + 2] = (uint8_t)(len >> 12);
}

size_t aml_scope_begin(struct buf *b, const char *name)
{
	buf_u8(b, 0x10);
	size_t mark = aml_begin(b);
	aml_name(b, name);
	return mark;
}

size_t aml_device_begin(struct buf *b, const char *name)
{
	buf_u8(b, 0x5b);
	buf_u8(b, 0x82);
	size_t mark = aml_begin(b);
	aml_name(b, name);
	return mark;
}

size_t aml_package_begin(struct buf *b, uint8_t elements)
{
	buf_u8(b, 0x12);
	size_t mark = aml_begin(b);
	buf_u8(b, elements);
	return mark;
}

void aml_def_name(struct buf *b, const char *name)
{
	buf_u8(b, 0x08);
	aml_name(b, name);
}

void aml_def_resources(struct buf *b, const char *name, const struct buf *descriptors)
{
	aml_def_name(b, name);
	buf_u8(b, 0x11);
	size_t mark = aml_begin(b);
	aml_int(b, descriptors->len + 2);
	buf_add(b, descriptors->bytes, descriptors->len);
	buf_u8(b, 0x79); /* end tag; checksum 0: not used */
	buf_u8(b, 0);
	aml_end(b, mark);
	b->failed |= descriptors->failed;
}

void aml_res_io(struct buf *b, uint16_t base, uint8_t len)
{
	buf_u8(b, 0x47);
	buf_u8(b, 1); /* decodes 16 bits */
	buf_le(b, 2, base);
	buf_le(b, 2, base);
	buf_u8(b, 1);
	buf_u8(b, len);
}

void aml_res_irq(struct buf *b, unsigned line)
{
	buf_u8(b, 0x22);
	buf_le(b, 2, 1u << line);
}

static void word_window(struct buf *b, uint8_t type, uint8_t type_flags, uint16_t first, uint16_t last)
{
	buf_u8(b, 0x88);
	buf_le(b, 2, 13);
	buf_u8(b, type);
	buf_u8(b, 0x0c); /* minimum and maximum are fixed; producer, positive decode */
	buf_u8(b, type_flags);
	buf_le(b, 2, 0);
	buf_le(b, 2, first);
	buf_le(b, 2, last);
	buf_le(b, 2, 0);
	buf_le(b, 2, (uint16_t)(last - first + 1));
}

void aml_res_bus(struct buf *b, uint16_t first, uint16_t last)
{
	word_window(b, 2, 0, first, last);
}

void aml_res_io_window(struct buf *b, uint16_t first, uint16_t last)
{
	word_window(b, 1, 3, first, last);
}

void aml_res_mem_window(struct buf *b, uint32_t first, uint32_t last)
{
	buf_u8(b, 0x87);
	buf_le(b, 2, 23);
	buf_u8(b, 0);
	buf_u8(b, 0x0c);
	buf_u8(b, 1); /* read and write, not cached */
	buf_le(b, 4, 0);
	buf_le(b, 4, first);
	buf_le(b, 4, last);
	buf_le(b, 4, 0);
	buf_le(b, 4, last - first + 1);
}

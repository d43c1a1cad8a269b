/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports 0x510 (selector), 0x511 (data), 0x514 to 0x51b (address of a DMA request, big-endian).  Read-only: writing requests end
 * with the error bit.  Guarded by the machine's lock.
 */
#include "fwcfg.h"
#include "buf.h"
#include "common/numbers.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_SIGNATURE 0x00
#define KEY_ID        0x01
#define KEY_DIRECTORY 0x19
#define KEY_FILES     0x20
#define ITEMS_MAX     64

#define DMA_ERROR  1u
#define DMA_READ   2u
#define DMA_SKIP   4u
#define DMA_SELECT 8u
#define DMA_WRITE  16u

struct item {
	uint16_t key;
	char name[56]; /* "": no file */
	uint8_t *bytes;
	size_t len;
};

struct fwcfg {
	struct machine *m;
	struct item items[ITEMS_MAX];
	unsigned n, n_files;
	uint8_t *directory;
	uint16_t key;
	size_t at;        /* in the selected item */
	uint64_t request;
};

static int item_add(struct fwcfg *f, uint16_t key, const char *name, const void *bytes, size_t len, vdisk_error *err)
{
	struct item *it = &f->items[f->n];

	if (f->n == ITEMS_MAX || strlen(name) >= sizeof(it->name))
		return fail(err, VDISK_INVALID, "firmware configuration %s: no room", name);
	it->bytes = malloc(len ? len : 1);
	if (!it->bytes)
		return fail(err, VDISK_NOMEM, "out of memory");
	if (len)
		memcpy(it->bytes, bytes, len);
	it->len = len;
	it->key = key;
	snprintf(it->name, sizeof(it->name), "%s", name);
	f->n++;
	return 0;
}

int fwcfg_item(struct fwcfg *f, uint16_t key, const void *bytes, size_t len, vdisk_error *err)
{
	return item_add(f, key, "", bytes, len, err);
}

int fwcfg_file(struct fwcfg *f, const char *name, const void *bytes, size_t len, vdisk_error *err)
{
	return item_add(f, (uint16_t)(KEY_FILES + f->n_files++), name, bytes, len, err);
}

/* The directory is made when it is selected, from the files that are there then. */
static void directory_make(struct fwcfg *f, struct buf *b)
{
	uint32_t be = htobe32(f->n_files);

	buf_add(b, &be, 4);
	for (unsigned i = 0; i < f->n; i++) {
		const struct item *it = &f->items[i];
		uint16_t key = htobe16(it->key);

		if (!it->name[0])
			continue;
		be = htobe32((uint32_t)it->len);
		buf_add(b, &be, 4);
		buf_add(b, &key, 2);
		buf_zeros(b, 2);
		buf_add(b, it->name, sizeof(it->name));
	}
}

/* What is selected; *len 0 where there is no such thing. */
static const uint8_t *selected(struct fwcfg *f, size_t *len)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->items[i].key == f->key) {
			*len = f->items[i].len;
			return f->items[i].bytes;
		}
	*len = f->key == KEY_DIRECTORY && f->directory ? 4 + 64 * (size_t)f->n_files : 0;
	return f->directory;
}

static void select_key(struct fwcfg *f, uint16_t key)
{
	f->key = key & 0xbfff; /* bit 14 is the old write channel */
	f->at = 0;
	if (f->key == KEY_DIRECTORY) {
		struct buf b = { 0 };

		directory_make(f, &b);
		free(f->directory);
		f->directory = b.failed ? NULL : b.bytes;
		if (b.failed)
			buf_destroy(&b);
	}
}

static void take(struct fwcfg *f, uint8_t *to, size_t n)
{
	size_t len;
	const uint8_t *p = selected(f, &len);
	size_t part = f->at < len ? len - f->at : 0;

	if (part > n)
		part = n;
	if (to) {
		if (part)
			memcpy(to, p + f->at, part);
		memset(to + part, 0, n - part);
	}
	f->at += part;
}

static void dma(struct fwcfg *f)
{
	struct vm *vm = &f->m->vm;
	uint8_t *request = vm_ptr(vm, f->request, 16);

	if (!request)
		return;
	uint32_t control = be32toh(le32_get(request)), len = be32toh(le32_get(request + 4)), result = 0;
	uint64_t addr = be64toh(le64_get(request + 8));
	if (control & DMA_SELECT)
		select_key(f, (uint16_t)(control >> 16));
	if (control & DMA_READ) {
		uint8_t *to = vm_ptr(vm, addr, len);

		if (to || !len)
			take(f, to, len);
		else
			result = DMA_ERROR;
	} else if (control & DMA_SKIP) {
		take(f, NULL, len);
	} else if (control & DMA_WRITE) {
		result = DMA_ERROR;
	}
	le32_put(request, htobe32(result));
}

static void select_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	if (off == 0 && size == 2)
		select_key(opaque, (uint16_t)value);
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
	uint8_t bytes[8] = { 0 };

	if (off == 0 || size > sizeof(bytes))
		return UINT64_MAX; /* the selector cannot be read */
	take(opaque, bytes, size);
	return le_get(bytes, size);
}

static uint64_t dma_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	return off + size <= 8 ? le_get((const uint8_t *)"QEMU CFG" + off, size) : 0;
}

static void dma_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct fwcfg *f = opaque;

	if (off == 0 && size == 4)
		f->request = (uint64_t)be32toh((uint32_t)value) << 32;
	else if (off == 4 && size == 4)
		f->request |= be32toh((uint32_t)value);
	else if (off == 0 && size == 8)
		f->request = be64toh(value);
	if (off + size == 8) {
		dma(f);
		f->request = 0;
	}
}

int fwcfg_create(struct machine *m, struct fwcfg **out, vdisk_error *err)
{
	static const uint8_t id[4] = { 3 }; /* by port, and by DMA */
	struct fwcfg *f = calloc(1, sizeof(*f));

	if (!f)
		return fail(err, VDISK_NOMEM, "out of memory");
	f->m = m;
	*out = f;
	if (fwcfg_item(f, KEY_SIGNATURE, "QEMU", 4, err) || fwcfg_item(f, KEY_ID, id, sizeof(id), err))
		return -1;
	struct bus_range data = { 0x510, 2, "fw_cfg", f, data_read, select_write };
	struct bus_range request = { 0x514, 8, "fw_cfg DMA", f, dma_read, dma_write };
	return bus_add(&m->pio, &data, err) || bus_add(&m->pio, &request, err) ? -1 : 0;
}

void fwcfg_destroy(struct fwcfg *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->n; i++)
		free(f->items[i].bytes);
	free(f->directory);
	free(f);
}

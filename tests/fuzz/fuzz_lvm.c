/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LVM2's metadata from nowhere.  An input that begins with a byte of 1 brings a label sector and a ring's header along (checksums
 * are made right); any other one is a text below sound ones.  What is found must lie where it may.
 */
#include "common/lvm_disk.h"
#include "ops/lvm.h"

#include <assert.h>
#include <stdlib.h>

#define PV_BYTES (256u << 10)
#define TEXT_MAX (LVM_RING_LEN - 512)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int disk_read(void *ctx, void *buf, size_t len, uint64_t off, vd_error *err)
{
	(void)err;
	assert(off <= PV_BYTES && len <= PV_BYTES - off);
	memcpy(buf, (const uint8_t *)ctx + off, len);
	return 0;
}

static void volume_judge(const struct vdisk_volume *v)
{
	uint64_t off = 0;

	for (size_t i = 0; i < v->n_segments; i++) {
		assert(v->segments[i].off == off && v->segments[i].n_stripes);
		off += v->segments[i].len;
	}
	assert(v->problem ? !v->n_segments : off == v->len);
	for (off = 0; !v->problem && off < v->len;) {
		struct vdisk_range r;

		assert(vdisk_volume_map(v, off, v->len - off, &r, 1) == 1);
		assert(r.len && vd_within(r.off, r.len, PV_BYTES));
		off += r.len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *disk = calloc(1, PV_BYTES);
	struct vd_disk d = { .ctx = disk, .size = PV_BYTES, .read = disk_read };
	const struct vdisk_volume *v;
	const uint8_t *headers = NULL;
	vdisk_volumes *found;
	vd_error err;

	if (!disk)
		return 0;
	if (size > 1025 && data[0] == 1) {
		headers = data + 1;
		data += 1025;
		size -= 1025;
	}
	lvm_disk_make(disk, PV_BYTES, "00000011112222333344445555666666", (const char *)data, vd_min(size, TEXT_MAX), 512);
	if (headers) {
		memcpy(disk + 512, headers, 512);
		memcpy(disk + LVM_RING_AT, headers + 512, 512);
		lvm_disk_sums(disk);
	}
	if (!vd_volumes_read(&d, NULL, 0, &found, &err)) {
		for (size_t i = 0; (v = vdisk_volumes_get(found, i)); i++)
			volume_judge(v);
		vdisk_volumes_free(found);
	}
	free(disk);
	return 0;
}

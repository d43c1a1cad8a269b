/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptor where it lies: rewritten in place, only the sectors that differ; and the identities in it. */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/uuid.h"

#include <stdio.h>

static int write_changed(struct vd_file *f, uint64_t at, const char *old, const char *now, size_t len, vd_error *err)
{
	for (size_t off = 0; off < len; off += VMDK_SECTOR) {
		size_t n = vd_min(VMDK_SECTOR, len - off);
		if (memcmp(old + off, now + off, n) && vd_file_pwrite(f, now + off, n, at + off, err))
			return -1;
	}
	return 0;
}

static int store(struct vd_layer *l, const char *text, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vd_file *f = l->files[0];
	size_t old_len = strlen(s->desc.text), len = strlen(text);
	size_t room = s->desc_room ? s->desc_room : vd_max(old_len, len);
	if (len > room)
		return vd_fail(err, VDISK_UNSUPPORTED, s->desc_off, "the descriptor would take %zu bytes; there is room for %zu",
			       len, room);
	VD_AUTO_FREE char *old = vd_calloc(1, room), *now = vd_calloc(1, room);
	if (!old || !now)
		return vd_fail_nomem(err, room);
	memcpy(old, s->desc.text, old_len);
	memcpy(now, text, len);
	if (s->desc_room)
		return write_changed(f, s->desc_off, old, now, room, err);
	if (write_changed(f, 0, old, now, len, err))
		return -1;
	return len == old_len ? 0 : vd_file_truncate(f, len, err);
}

int vmdk_desc_store(struct vd_layer *l, char *text, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	if (!text)
		return vd_fail_nomem(err, strlen(s->desc.text));
	if (store(l, text, err)) {
		vd_free(text);
		return -1;
	}
	vd_free(s->desc.text);
	s->desc.text = text;
	return 0;
}

int vmdk_random(uint64_t *seed, void *buf, size_t len, vd_error *err)
{
	uint8_t *p = buf;
	if (!*seed)
		return vd_random_bytes(buf, len, err);
	for (size_t i = 0; i < len; i++) {
		/* splitmix64: the same seed gives the same ids on every host */
		uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		p[i] = (uint8_t)(z ^ z >> 31);
	}
	if (!*seed)
		*seed = 1;
	return 0;
}

/* All ones means "no parent", the number below it "see the long content ID"; 0 is what an unset field holds. */
uint32_t vmdk_cid_from(uint32_t random)
{
	return random == VMDK_CID_NONE || random == VMDK_CID_LONG || random == 0 ? 0x5eed1d00u : random;
}

int vmdk_desc_renew(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	uint8_t r[16];
	char value[40];
	if (vmdk_random(&s->seed, r, sizeof(r), err))
		return -1;
	uint32_t cid = vmdk_cid_from(le32_get(r));
	if (cid == s->desc.cid)
		cid = vmdk_cid_from(cid + 1);
	snprintf(value, sizeof(value), "%08x", cid);
	char *text = vmdk_desc_set(s->desc.text, "CID", value, false);
	if (text && vmdk_desc_value(text, "ddb.longContentID", value, sizeof(value))) {
		VD_AUTO_FREE char *before = text;
		snprintf(value, sizeof(value), "%08x%08x%08x%08x", le32_get(r + 4), le32_get(r + 8), le32_get(r + 12), cid);
		text = vmdk_desc_set(before, "ddb.longContentID", value, true);
	}
	if (vmdk_desc_store(l, text, err))
		return -1;
	s->desc.cid = l->id.cid = cid;
	return 0;
}

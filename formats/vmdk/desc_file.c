/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The descriptor where it lies, and the identities in it.  How it is changed:
 *
 *  D1. A change within one sector, and one that leaves every line its place (a new CID), is written over the old text: each sector
 *      is the old one or the new one after a crash, and either is a line's old value or its new one.
 *  D2. Any other change of an embedded descriptor is made anew in the upper half of its room, the header (one sector) is switched
 *      to it, and the same is done back to the lower half: a text in use is never written to.  Where the room is too small for two,
 *      as in D3.  QEMU does not ask the header, and reads the old text until the new one is back: what a crash left in the upper
 *      half goes back before anything else is written.
 *  D3. Any other change of a descriptor in a file of its own is one write of the sectors from the first to the last that differ;
 *      the file never becomes shorter (line ends fill it up, which say nothing), so the write is all there is to it, and a process
 *      that is killed leaves the old text or the new one.  They lie within the file's first block of 4 KiB, which the host writes
 *      back as one.
 *
 * A new file that is renamed over the old one would do without D3's last sentence, but not be the same file: programs lock the file
 * that they opened, and one that comes later would find the new file free while another still writes through the old one; hard
 * links, the mark on the parent of linked clones, owner and access lists would be the old file's; and the folder must be writable.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/uuid.h"

#include <stdio.h>

/* The sectors that differ, from the first to the last one, in one write. */
static int write_changed(struct vd_file *f, uint64_t at, const char *old, const char *now, size_t len, vd_error *err)
{
	size_t from = 0, to = len;
	while (from < len && old[from] == now[from])
		from++;
	if (from == len)
		return 0;
	while (old[to - 1] == now[to - 1])
		to--;
	from = vd_down(from, VMDK_SECTOR);
	to = vd_min(vd_up(to, VMDK_SECTOR), len);
	return vd_file_pwrite(f, now + from, to - from, at + from, err);
}

char *vmdk_desc_pad(const struct vmdk *s, char *text)
{
	VD_AUTO_FREE char *old = text;
	size_t len = old ? strlen(old) : 0, room = strlen(s->desc.text);
	while (len > 1 && old[len - 1] == '\n' && old[len - 2] == '\n')
		len--;
	room = vd_max(len, room);
	char *padded = old ? vd_calloc(1, room + 1) : NULL;
	if (!padded)
		return NULL;
	memset(padded, '\n', room);
	memcpy(padded, old, len);
	return padded;
}

unsigned vmdk_desc_sectors_changed(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned n = 0;
	for (size_t off = 0; off < vd_max(la, lb); off += VMDK_SECTOR) {
		size_t na = off < la ? vd_min(la - off, VMDK_SECTOR) : 0, nb = off < lb ? vd_min(lb - off, VMDK_SECTOR) : 0;
		n += na != nb || memcmp(a + off, b + off, na);
	}
	return n;
}

/* ---------------------------------------------------------------- embedded, to another place in its room */

/* text at sector `at`, zeros up to sector `end`; then the header names [at, at + len). */
static int text_switch(struct vd_layer *l, const char *text, uint64_t at, uint64_t end, uint64_t len, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vd_file *f = l->files[0];
	uint8_t head[VMDK_SPARSE_BYTES];
	size_t room = (size_t)(end - at) * VMDK_SECTOR;
	VD_AUTO_FREE char *padded = vd_calloc(1, room);
	if (!padded)
		return vd_fail_nomem(err, room);
	memcpy(padded, text, strlen(text));
	if (vd_file_pwrite(f, padded, room, at * VMDK_SECTOR, err) || vd_file_flush(f, err) ||
	    vd_file_pread(f, head, sizeof(head), 0, err))
		return -1;
	le64_put(head + 28, at);
	le64_put(head + 36, len);
	if (vd_file_pwrite(f, head, sizeof(head), 0, err) || vd_file_flush(f, err))
		return -1;
	s->v[0].h.desc_off = at;
	s->v[0].h.desc_len = len;
	s->desc_off = at * VMDK_SECTOR;
	s->desc_room = len * VMDK_SECTOR;
	return 0;
}

/* Where the room begins: a crash between the switches left the text in the upper half; below it there is nothing. */
static uint64_t room_begin(const struct vmdk *s)
{
	uint64_t at = s->desc_off / VMDK_SECTOR, end = at + s->desc_room / VMDK_SECTOR;
	const struct vmdk_extent *x = &s->v[0];
	return s->n == 1 && x->gd_off >= end * VMDK_SECTOR && (!x->rgd_off || x->rgd_off >= end * VMDK_SECTOR) ? 1 : at;
}

bool vmdk_desc_astray(const struct vmdk *s)
{
	uint64_t at = s->desc_off / VMDK_SECTOR, end = at + s->desc_room / VMDK_SECTOR;
	return s->desc_room && s->desc_room != VMDK_NO_DESC && s->n == 1 && s->v[0].kind == VMDK_SPARSE && at > 1 &&
	       room_begin(s) == 1 && at == 1 + (end - 1) / 2;
}

int vmdk_desc_home(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	uint64_t at = s->desc_off / VMDK_SECTOR, len = at - 1 + s->desc_room / VMDK_SECTOR;
	if (!vmdk_desc_astray(s) || strlen(s->desc.text) >= (at - 1) * VMDK_SECTOR)
		return 0;
	return text_switch(l, s->desc.text, 1, at, len, err);
}

int vmdk_desc_switch(struct vd_layer *l, const char *text, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	uint64_t at = s->desc_off / VMDK_SECTOR, end = at + s->desc_room / VMDK_SECTOR, low = room_begin(s);
	const struct vmdk_extent *x = &s->v[0];
	uint64_t half = low < at ? at : low + (end - low) / 2;
	if (s->n != 1 || x->kind != VMDK_SPARSE || strlen(text) >= vd_min(half - low, end - half) * VMDK_SECTOR)
		return vd_fail(err, VDISK_UNSUPPORTED, s->desc_off,
		               "the descriptor's room (%" PRIu64 " bytes) is too small for a second one", s->desc_room);
	if (low == at && text_switch(l, text, half, end, end - half, err))
		return -1;
	return text_switch(l, text, low, half, end - low, err);
}

/* ---------------------------------------------------------------- storing */

static int store(struct vd_layer *l, const char *text, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	size_t old_len = strlen(s->desc.text), len = strlen(text);
	size_t room = s->desc_room ? s->desc_room : len;
	vd_error why;
	if (len > room)
		return vd_fail(err, VDISK_UNSUPPORTED, s->desc_off, "the descriptor would take %zu bytes; there is room for %zu",
			       len, room);
	if (s->desc_room && len != old_len && vmdk_desc_sectors_changed(s->desc.text, text) > 1) {
		vd_error_clear(&why);
		if (!vmdk_desc_switch(l, text, &why))
			return 0;
		if (why.kind != VDISK_UNSUPPORTED) {
			if (err)
				*err = why;
			return -1;
		}
	}
	VD_AUTO_FREE char *old = vd_calloc(1, room), *now = vd_calloc(1, room);
	if (!old || !now)
		return vd_fail_nomem(err, room);
	memcpy(old, s->desc.text, old_len);
	memcpy(now, text, len);
	return write_changed(l->files[0], s->desc_room ? s->desc_off : 0, old, now, room, err);
}

int vmdk_desc_put(struct vd_layer *l, char *text, vd_error *err)
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

int vmdk_desc_store(struct vd_layer *l, char *text, vd_error *err)
{
	return vmdk_desc_put(l, vmdk_of(l)->desc_room ? text : vmdk_desc_pad(vmdk_of(l), text), err);
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

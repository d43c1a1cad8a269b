/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening: which of footer and copy counts, what they and the dynamic header mean.
 *
 * The footer is the file's last 512 bytes (511 of old Virtual PC's); dynamic and differencing disks have a copy at 0.  A checksum
 * that is wrong means damage.  Where one of the two is damaged or missing (a crash while the file grew) and the other is whole, the
 * whole one is used, with a warning, and writing or check mends the other.  The footer is asked first: a guest can write what it
 * likes to the first bytes of a fixed disk, but not behind its end.
 */
#include "vhd.h"

#include "base/alloc.h"

static void warn(const struct vd_open *o, const char *what)
{
	if (o->host && o->host->log)
		o->host->log(o->host, VDISK_LOG_WARNING, "%s", what);
}

/* ---------------------------------------------------------------- footers */

/* The last footer in `b`, the file's end: where it begins, or -1. */
static ptrdiff_t tail_find(const uint8_t *b, size_t len)
{
	for (size_t n = VHD_FOOTER_BYTES; n >= VHD_FOOTER_BYTES - 1; n--) {
		if (len >= n && vhd_footer_has_cookie(b + len - n))
			return (ptrdiff_t)(len - n);
	}
	return -1;
}

/* A footer of 511 bytes lacks the last reserved one. */
static void footer_copy(uint8_t to[VHD_FOOTER_BYTES], const uint8_t *from, size_t len)
{
	memset(to, 0, VHD_FOOTER_BYTES);
	memcpy(to, from, vd_min(len, VHD_FOOTER_BYTES));
}

int vhd_probe(const struct vd_peek *peek)
{
	uint8_t footer[VHD_FOOTER_BYTES];
	ptrdiff_t at = tail_find(peek->tail, peek->tail_len);

	if (at >= 0) {
		footer_copy(footer, peek->tail + at, peek->tail_len - (size_t)at);
		return vhd_footer_sum_ok(footer) ? 100 : 60;
	}
	if (peek->head_len < VHD_FOOTER_BYTES || !vhd_footer_has_cookie(peek->head))
		return 0;
	return vhd_footer_sum_ok(peek->head) ? 95 : 60;
}

struct footers {
	uint8_t tail[VHD_FOOTER_BYTES], copy[VHD_FOOTER_BYTES];
	bool tail_there, tail_ok, copy_there, copy_ok;
	uint64_t tail_off;
};

static int footers_read(struct vd_file *f, struct footers *k, vd_error *err)
{
	uint64_t size = vd_file_size(f), from = size < VHD_FOOTER_BYTES ? 0 : size - VHD_FOOTER_BYTES;
	uint8_t b[VHD_FOOTER_BYTES];
	ptrdiff_t at;

	memset(k, 0, sizeof(*k));
	if (vd_file_pread(f, b, size - from, from, err))
		return -1;
	at = tail_find(b, size - from);
	if (at >= 0) {
		footer_copy(k->tail, b + at, size - from - (size_t)at);
		k->tail_there = true;
		k->tail_ok = vhd_footer_sum_ok(k->tail);
		k->tail_off = from + (uint64_t)at;
	}
	if (size < VHD_FOOTER_BYTES)
		return 0;
	if (vd_file_pread(f, k->copy, VHD_FOOTER_BYTES, 0, err))
		return -1;
	k->copy_there = vhd_footer_has_cookie(k->copy);
	k->copy_ok = k->copy_there && vhd_footer_sum_ok(k->copy);
	return 0;
}

static int checksum_refuse(const struct footers *k, vd_error *err)
{
	const uint8_t *b = k->tail_there ? k->tail : k->copy;

	return vd_fail(err, VDISK_CORRUPT, (k->tail_there ? k->tail_off : 0) + 64,
		       "VHD footer at %#" PRIx64 " has the checksum %#" PRIx32 ", should be %#" PRIx32
		       ", and there is no whole copy",
		       k->tail_there ? k->tail_off : 0, be32_get(b + 64), vhd_checksum(b, VHD_FOOTER_BYTES, 64));
}

/* Chooses the footer, into v->footer_raw. */
static int footer_choose(struct vd_layer *l, struct vhd *v, const struct vd_open *o, vd_error *err)
{
	bool lenient = o->flags & (VD_OPEN_SALVAGE | VD_OPEN_CHECK);
	uint64_t size = vd_file_size(l->files[0]);
	struct footers k;
	bool use_tail;

	if (footers_read(l->files[0], &k, err))
		return -1;
	if (!k.tail_there && !k.copy_there)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			       "no VHD footer in the last 512 bytes nor a copy in the first ones");
	/* Where a damaged footer says "fixed", what looks like its copy is what the guest wrote. */
	use_tail = k.tail_ok || (k.tail_there && (!k.copy_ok || be32_get(k.tail + 60) == VHD_FIXED));
	if (!k.tail_ok && (use_tail || !k.copy_ok) && !lenient)
		return checksum_refuse(&k, err);
	memcpy(v->footer_raw, use_tail ? k.tail : k.copy, VHD_FOOTER_BYTES);
	vhd_footer_decode(&v->footer, v->footer_raw);
	if (vhd_footer_validate(&v->footer, use_tail ? k.tail_off : 0, size, err))
		return -1;
	v->tail_bad = !k.tail_ok;
	v->footer_off = k.tail_there ? k.tail_off : vd_up(size, VHD_SECTOR);
	if (v->footer.type == VHD_FIXED) {
		/* A fixed disk has no copy: what looks like one is the guest's. */
		if (!use_tail)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
				       "VHD footer of a fixed disk at 0 and none at the end: the file is cut short");
		if (v->tail_bad)
			warn(o, "the VHD footer's checksum is wrong");
		return 0;
	}
	v->copy_bad = !k.copy_ok;
	v->copy_differs = k.copy_ok && k.tail_ok && memcmp(k.tail, k.copy, VHD_FOOTER_BYTES);
	if (v->copy_differs && be64_get(k.tail + 16) != be64_get(k.copy + 16)) /* two headers: reparent.c was interrupted */
		l->flags |= VD_LAYER_UNSETTLED;
	if (!k.tail_ok && !k.copy_ok)
		warn(o, "the checksums of the VHD footer and of its copy are wrong");
	else if (v->tail_bad)
		warn(o, "the VHD footer at the end is missing or damaged: its copy is used (check --repair writes it anew)");
	else if (v->copy_bad)
		warn(o, "the copy of the VHD footer at 0 is missing or damaged (check --repair writes it anew)");
	else if (v->copy_differs)
		warn(o, "the VHD footer and its copy at 0 differ: the footer is used (check --repair makes them equal)");
	return 0;
}

/* ---------------------------------------------------------------- header, size */

static int size_choose(struct vd_layer *l, struct vhd *v, const struct vd_open *o, vd_error *err)
{
	uint64_t chs = vhd_geometry_bytes(v->footer.geometry);

	l->size = v->footer.current_size;
	v->by_chs = !strcmp(vd_options_str(o->options, "vhd-size"), "chs");
	if (!v->by_chs)
		return 0;
	if (!chs)
		return vd_fail(err, VDISK_INVALID, v->footer_off + 56, "option vhd-size=chs: the VHD footer has no geometry");
	l->size = chs;
	return 0;
}

static int fixed_check(struct vd_layer *l, struct vhd *v, const struct vd_open *o, vd_error *err)
{
	if (l->size <= v->footer_off || o->flags & (VD_OPEN_SALVAGE | VD_OPEN_CHECK))
		return 0;
	return vd_fail(err, VDISK_CORRUPT, v->footer_off,
		       "fixed VHD of %" PRIu64 " bytes has only %" PRIu64 " before its footer: the file is cut short", l->size,
		       v->footer_off);
}

static int header_read(struct vd_layer *l, struct vhd *v, const struct vd_open *o, vd_error *err)
{
	uint64_t at = v->footer.data_offset;

	if (vd_file_pread(l->files[0], v->header_raw, VHD_HEADER_BYTES, at, err))
		return -1;
	if (!vhd_header_has_cookie(v->header_raw))
		return vd_fail(err, VDISK_CORRUPT, at, "no VHD dynamic header at %#" PRIx64, at);
	vhd_header_decode(&v->header, v->header_raw);
	v->header_bad = !vhd_header_sum_ok(v->header_raw);
	if (v->header_bad) {
		if (!(o->flags & (VD_OPEN_SALVAGE | VD_OPEN_CHECK)))
			return vd_fail(err, VDISK_CORRUPT, at + 36,
				       "VHD dynamic header at %#" PRIx64 " has the checksum %#" PRIx32 ", should be %#" PRIx32, at,
				       v->header.checksum, vhd_checksum(v->header_raw, VHD_HEADER_BYTES, 36));
		warn(o, "the VHD dynamic header's checksum is wrong");
	}
	return vhd_header_validate(&v->header, at, l->size, vd_file_size(l->files[0]), err);
}

int vhd_setup(struct vd_layer *l, struct vhd *v, uint64_t cache_bytes, vd_error *err)
{
	static const char *const names[] = {[VHD_FIXED] = "fixed", [VHD_DYNAMIC] = "dynamic", [VHD_DIFFERENCING] = "differencing"};

	v->type = (enum vhd_type)v->footer.type;
	memcpy(l->variant, names[v->type], strlen(names[v->type]) + 1);
	l->id.kind = VD_ID_UUID;
	memcpy(l->id.uuid, v->footer.uuid, 16);
	if (v->type == VHD_FIXED) {
		l->alloc_grain = l->presence_grain = 1;
		l->flags |= VD_LAYER_FIXED;
		return 0;
	}
	v->block_bytes = v->header.block_bytes;
	v->bitmap_bytes = vhd_bitmap_bytes(v->block_bytes);
	v->n_blocks = vd_div_up(l->size, v->block_bytes);
	l->alloc_grain = v->block_bytes;
	l->presence_grain = v->type == VHD_DIFFERENCING ? VHD_SECTOR : v->block_bytes;
	return vd_cache_new(l->files[0], NULL, VHD_TABLE_BYTES, cache_bytes, &v->cache, err);
}

static void refuse_writing(struct vd_layer *l, const struct vhd *v, const struct vd_open *o)
{
	const char *why = NULL;

	if (v->salvage)
		why = "it is being salvaged";
	else if (v->header_bad)
		why = "its dynamic header is damaged";
	else if (v->tail_bad && (v->type == VHD_FIXED || v->copy_bad))
		why = "its footer is damaged";
	else if (v->footer.saved_state && !(o->flags & VD_OPEN_FORCE))
		why = "it belongs to the saved state of a virtual machine (--force writes all the same)";
	if (!why || o->flags & VD_OPEN_CHECK)
		return;
	l->flags &= ~VD_LAYER_WRITABLE;
	l->ro_reason = why;
}

int vhd_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	struct vhd *v;

	if (!(l->files[0]->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "a VHD cannot be read from a pipe: its footer is at the end");
	v = vd_calloc(1, sizeof(*v));
	if (!v)
		return vd_fail_nomem(err, sizeof(*v));
	l->priv = v;
	v->salvage = o->flags & VD_OPEN_SALVAGE;
	v->checking = o->flags & VD_OPEN_CHECK;
	if (footer_choose(l, v, o, err) || size_choose(l, v, o, err))
		return -1;
	if (v->footer.type == VHD_FIXED ? fixed_check(l, v, o, err) : header_read(l, v, o, err))
		return -1;
	if (vhd_setup(l, v, o->cache_bytes, err))
		return -1;
	if (v->type == VHD_DIFFERENCING && vhd_parent_read(l, v, o, err))
		return -1;
	refuse_writing(l, v, o);
	return 0;
}

void vhd_close(struct vd_layer *l)
{
	struct vhd *v = l->priv;

	if (!v)
		return;
	vd_cache_free(v->cache);
	vhd_space_clear(v);
	vd_free(v);
	l->priv = NULL;
}

/* ---------------------------------------------------------------- writing them */

int vhd_write_tail(struct vd_layer *l, struct vhd *v, uint64_t at, vd_error *err)
{
	if (vd_file_pwrite(l->files[0], v->footer_raw, VHD_FOOTER_BYTES, at, err))
		return -1;
	v->footer_off = at;
	return 0;
}

int vhd_write_copy(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	return vd_file_pwrite(l->files[0], v->footer_raw, VHD_FOOTER_BYTES, 0, err);
}

int vhd_write_header(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	return vd_file_pwrite(l->files[0], v->header_raw, VHD_HEADER_BYTES, v->footer.data_offset, err);
}

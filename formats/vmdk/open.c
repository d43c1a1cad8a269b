/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening: what the named file is (a descriptor, a sparse extent with one inside, an extent alone), the extents that it lists, and
 * whether all of it can be written to.  Names go through vd_host.open_file, which holds the trust policy.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

#include <stdio.h>

#define CACHE_DEFAULT (4u << 20)

/* ---------------------------------------------------------------- the descriptor */

static int read_descriptor(struct vd_layer *l, uint64_t off, uint64_t len, vd_error *err)
{
	struct vd_file *f = l->files[0];
	struct vmdk *s = vmdk_of(l);
	if (len > VMDK_DESC_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, off, "descriptor of %" PRIu64 " bytes; at most %u are read", len,
			       VMDK_DESC_MAX);
	if (!vd_within(off, len, vd_file_size(f)))
		return vd_fail(err, VDISK_CORRUPT, off,
			       "the descriptor at %#" PRIx64 " (%" PRIu64 " bytes) is outside the file (%" PRIu64 " bytes)", off,
			       len, vd_file_size(f));
	VD_AUTO_FREE char *text = vd_calloc(1, len + 1);
	if (!text)
		return vd_fail_nomem(err, len);
	if (vd_file_pread(f, text, len, off, err) || (*text && vmdk_desc_parse(text, len, &s->desc, err)))
		return -1;
	s->desc_off = off;
	return 0;
}

/* Parents: by the hint as it stands, then by its last part, since hints come from other machines. */
static int set_parent(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vd_parent_ref *p = &l->parent_ref;
	s->has_parent = s->desc.parent_cid != VMDK_CID_NONE;
	if (!s->has_parent)
		return 0;
	const char *hint = s->desc.parent_hint;
	if (!hint || !*hint) {
		if (s->open_flags & (VD_OPEN_CHECK | VD_OPEN_INFO))
			return 0;
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "the descriptor has parentCID=%08x and no parentFileNameHint",
			       s->desc.parent_cid);
	}
	p->id = (struct vd_id){.kind = VD_ID_CID, .cid = s->desc.parent_cid};
	p->format = vd_strdup("vmdk");
	p->names[0] = vd_strdup(hint);
	p->n_names = 1; /* what is counted is freed */
	if (!p->format || !p->names[0])
		return vd_fail_nomem(err, strlen(hint));
	const char *last = hint;
	for (const char *c = hint; *c; c++)
		if ((*c == '/' || *c == '\\') && c[1])
			last = c + 1;
	if (last != hint) {
		p->names[1] = vd_strdup(last);
		p->n_names = 2;
		if (!p->names[1])
			return vd_fail_nomem(err, strlen(last));
	}
	return 0;
}

/* ---------------------------------------------------------------- extents */

static enum vmdk_kind line_kind(enum vmdk_line_type t)
{
	switch (t) {
	case VMDK_LINE_ZERO:
		return VMDK_ZERO;
	case VMDK_LINE_SPARSE:
	case VMDK_LINE_VMFSSPARSE:
		return VMDK_SPARSE;
	case VMDK_LINE_SESPARSE:
		return VMDK_SE;
	default:
		return VMDK_FLAT;
	}
}

static bool names_itself(const char *name, const char *base_name)
{
	while (!strncmp(name, "./", 2))
		name += 2;
	return base_name && !strcmp(name, base_name);
}

static int open_flat(struct vd_layer *l, struct vmdk_extent *x, uint64_t sectors, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	x->flat_off = sectors * VMDK_SECTOR;
	if (vd_within(x->flat_off, x->len, vd_file_size(f)) || (vmdk_of(l)->open_flags & VD_OPEN_SALVAGE))
		return 0;
	return vd_fail(err, VDISK_CORRUPT, vd_file_size(f),
		       "%s: is cut short: the descriptor puts %" PRIu64 " bytes at %" PRIu64 ", the file has %" PRIu64, f->name,
		       x->len, x->flat_off, vd_file_size(f));
}

/* Devices are listed once for each partition; one handle serves them all.  Tables in one file have one owner only. */
static int reuse_file(const struct vmdk *s, const struct vmdk_extent *x, const struct vmdk_line *line, uint16_t *file,
		      vd_error *err)
{
	size_t i = (size_t)(x - s->v);
	while (i-- > 0) {
		const struct vmdk_extent *y = &s->v[i];
		if (y->file == VMDK_NO_FILE || strcmp(s->desc.lines[i].name, line->name))
			continue;
		if (y->kind != VMDK_FLAT || x->kind != VMDK_FLAT || y->access != x->access)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
				       "it is listed twice, not as flat extents of one access");
		*file = y->file;
		return 0;
	}
	return 0;
}

/* x->file stays VMDK_NO_FILE where the file is not to be had and that may be. */
static int open_extent_file(struct vd_layer *l, struct vmdk_extent *x, const struct vmdk_line *line, struct vd_host *host,
			    vd_error *err)
{
	const struct vmdk *s = vmdk_of(l);
	bool write = (l->flags & VD_LAYER_WRITABLE) && x->access == VMDK_RW;
	vd_error why;
	vd_error_clear(&why);
	if (reuse_file(s, x, line, &x->file, err))
		return vd_fail_in(err, "extent \"%s\"", line->name);
	if (x->file != VMDK_NO_FILE || !host->open_file(host, l, line->name, write, &x->file, &why))
		return 0;
	x->file = VMDK_NO_FILE;
	if (s->open_flags & (VD_OPEN_INFO | VD_OPEN_SALVAGE)) {
		host->log(host, VDISK_LOG_WARNING, "extent \"%s\" is left out: %s", line->name, why.message);
		return 0;
	}
	if (err)
		*err = why;
	return vd_fail_in(err, "extent \"%s\"", line->name);
}

static int open_line(struct vd_layer *l, struct vmdk_extent *x, const struct vmdk_line *line, struct vd_host *host, vd_error *err)
{
	x->access = line->access;
	x->kind = line_kind(line->type);
	x->len = line->sectors * VMDK_SECTOR;
	if (x->kind == VMDK_ZERO || x->access == VMDK_NOACCESS)
		return 0;
	if (names_itself(line->name, host->base_name))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "the descriptor names itself (%s) as an extent", line->name);
	if (open_extent_file(l, x, line, host, err))
		return -1;
	if (x->file == VMDK_NO_FILE)
		return 0;
	if (x->kind == VMDK_FLAT)
		return open_flat(l, x, line->offset, err);
	enum vmdk_kind want = x->kind;
	if (vmdk_extent_read_header(l, x, host, err))
		return -1;
	if ((want == VMDK_SE) != (x->kind == VMDK_SE))
		return vd_fail(err, VDISK_CORRUPT, 0, "extent \"%s\" is not of the type %s", line->name,
			       vmdk_line_type_name(line->type));
	return 0;
}

static int open_lines(struct vd_layer *l, struct vd_host *host, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	uint64_t off = 0;
	for (size_t i = 0; i < s->desc.n_lines; i++) {
		struct vmdk_extent *x = vmdk_extent_add(s);
		if (!x)
			return vd_fail_nomem(err, sizeof(*x));
		x->off = off;
		if (open_line(l, x, &s->desc.lines[i], host, err))
			return -1;
		if (vd_add64(off, x->len, &off) || off > INT64_MAX)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "the extents add up to more than 2^63 bytes");
	}
	return 0;
}

/* An extent that was named itself, without a descriptor. */
static int open_bare(struct vd_layer *l, struct vd_host *host, bool flat, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_extent *x = vmdk_extent_add(s);
	if (!x)
		return vd_fail_nomem(err, sizeof(*x));
	s->desc_room = VMDK_NO_DESC;
	x->file = 0;
	if (flat) {
		x->kind = VMDK_FLAT;
		x->len = vd_down(vd_file_size(l->files[0]), VMDK_SECTOR);
	} else if (vmdk_extent_read_header(l, x, host, err)) {
		return -1;
	}
	static const char *const kinds[] = {"flat extent", "", "sparse extent", "COWD extent", "seSparse extent"};
	snprintf(l->variant, sizeof(l->variant), "%s", kinds[x->kind]);
	host->log(host, VDISK_LOG_WARNING, "a %s without its descriptor: a parent, and other extents, are not known", l->variant);
	return 0;
}

static int open_embedded(struct vd_layer *l, const uint8_t *head, struct vd_host *host, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_sparse h;
	if (vmdk_sparse_decode(head, 0, &h, err))
		return -1;
	if (!h.desc_off || !h.desc_len)
		return open_bare(l, host, false, err);
	uint64_t off, len;
	if (vd_mul64(h.desc_off, VMDK_SECTOR, &off) || vd_mul64(h.desc_len, VMDK_SECTOR, &len))
		return vd_fail(err, VDISK_CORRUPT, 28, "descriptor of %" PRIu64 " sectors at sector %" PRIu64, h.desc_len,
			       h.desc_off);
	if (read_descriptor(l, off, len, err)) {
		if (!(s->open_flags & VD_OPEN_SALVAGE) || !h.capacity)
			return -1;
		vd_error_clear(err);
		return open_bare(l, host, false, err);
	}
	if (!s->desc.n_lines) /* room for a descriptor, with nothing in it: an extent of a set */
		return open_bare(l, host, false, err);
	s->desc_room = len;
	if (!h.capacity) /* a descriptor in the dress of an extent: ESX 2 wrote such */
		return open_lines(l, host, err);
	if (s->desc.n_lines != 1 || line_kind(s->desc.lines[0].type) != VMDK_SPARSE)
		return vd_fail(err, VDISK_UNSUPPORTED, off,
			       "the embedded descriptor lists %zu extents, the first %s; one SPARSE extent is expected",
			       s->desc.n_lines, vmdk_line_type_name(s->desc.lines[0].type));
	/* Whatever name it goes by in there, the extent is this file. */
	struct vmdk_extent *x = vmdk_extent_add(s);
	if (!x)
		return vd_fail_nomem(err, sizeof(*x));
	x->file = 0;
	x->access = s->desc.lines[0].access;
	x->len = s->desc.lines[0].sectors * VMDK_SECTOR;
	return vmdk_extent_read_header(l, x, host, err);
}

static bool name_is_flat(const char *path)
{
	size_t n = strlen(path);
	return n >= 10 && !strcmp(path + n - 10, "-flat.vmdk");
}

static int open_file(struct vd_layer *l, struct vd_host *host, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint8_t head[VMDK_COWD_BYTES] = {0};
	size_t got;
	if (vd_file_pread_some(f, head, sizeof(head), 0, &got, err))
		return -1;
	if (got >= VMDK_SECTOR && (!memcmp(head, VMDK_SPARSE_MAGIC, 4) || !memcmp(head, VMDK_UNFINISHED_MAGIC, 4)))
		return open_embedded(l, head, host, err);
	if (!(f->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, 0, "only a streamOptimized VMDK can be read from a pipe");
	if (!memcmp(head, VMDK_COWD_MAGIC, 4) || !memcmp(head, VMDK_COWD_UNFINISHED, 4) || le64_get(head) == VMDK_SE_MAGIC)
		return open_bare(l, host, false, err);
	if (vmdk_desc_probe(head, got)) {
		vmdk_of(l)->desc_room = 0;
		return read_descriptor(l, 0, vd_file_size(f), err) ? -1 : open_lines(l, host, err);
	}
	if (got >= strlen(VMDK_UNFINISHED_TEXT) && !memcmp(head, VMDK_UNFINISHED_TEXT, strlen(VMDK_UNFINISHED_TEXT)))
		return vd_fail(err, VDISK_CORRUPT, 0, "marked unfinished: whatever wrote it did not complete");
	if (name_is_flat(l->path))
		return open_bare(l, host, true, err);
	return vd_fail(err, VDISK_CORRUPT, 0, "neither a VMDK descriptor nor a sparse extent");
}

/* ---------------------------------------------------------------- the layer */

/* One grid of grains must fit the whole disk for the core to write to it. */
static const char *ro_reason(const struct vd_layer *l)
{
	const struct vmdk *s = vmdk_of(l);
	for (size_t i = 0; i < s->n; i++) {
		const struct vmdk_extent *x = &s->v[i];
		const char *why = vmdk_extent_ro_reason(x);
		if (why)
			return why;
		if (x->file == VMDK_NO_FILE || (l->files[x->file]->flags & VD_FILE_RDONLY))
			return "an extent's file cannot be written to";
		if (x->off % l->alloc_grain || (vmdk_is_sparse(x) ? x->grain != l->alloc_grain : x->len % l->alloc_grain))
			return "extents of different grain sizes, or off the grain's grid";
	}
	return NULL;
}

static void set_grains(struct vd_layer *l)
{
	struct vmdk *s = vmdk_of(l);
	uint32_t grain = 1;
	l->size = s->v[s->n - 1].off + s->v[s->n - 1].len;
	for (size_t i = 0; i < s->n; i++) {
		if (vmdk_is_sparse(&s->v[i]) && s->v[i].grain > grain)
			grain = s->v[i].grain;
		s->unclean |=
		    (s->v[i].kind == VMDK_SPARSE && s->v[i].h.unclean) || (s->v[i].kind == VMDK_COWD && s->v[i].cowd.unclean);
	}
	l->alloc_grain = l->presence_grain = grain;
	if (grain == 1)
		l->flags |= VD_LAYER_FIXED;
}

static int load_extents(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	size_t n_sparse = 0;
	for (size_t i = 0; i < s->n; i++)
		n_sparse += vmdk_is_sparse(&s->v[i]) && s->v[i].file != VMDK_NO_FILE;
	for (size_t i = 0; i < s->n; i++) {
		struct vmdk_extent *x = &s->v[i];
		if (!vmdk_is_sparse(x) || x->file == VMDK_NO_FILE)
			continue;
		if (x->packed && !s->unpacker && vd_unpacker_new(VD_PACK_ZLIB, &s->unpacker, err))
			return -1;
		if (!(l->files[x->file]->flags & VD_FILE_SEEKABLE) ||
		    (s->n == 1 && x->kind == VMDK_SPARSE && x->h.gd_off == VMDK_GD_AT_END))
			return vmdk_stream_in_open(l, x, err);
		if (vmdk_extent_load(l, x, s->cache_bytes / n_sparse, err))
			return -1;
		if ((l->flags & VD_LAYER_WRITABLE) && vmdk_extent_prepare_write(l, x, err))
			return -1;
	}
	return 0;
}

int vmdk_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	struct vmdk *s = vd_calloc(1, sizeof(*s));
	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	l->priv = s;
	s->open_flags = o->flags;
	s->cache_bytes = o->cache_bytes ? o->cache_bytes : CACHE_DEFAULT;
	if (open_file(l, o->host, err))
		return -1;
	if (s->desc_room != VMDK_NO_DESC) {
		vd_printable(l->variant, sizeof(l->variant), s->desc.create_type, strlen(s->desc.create_type));
		l->id = (struct vd_id){.kind = VD_ID_CID, .cid = s->desc.cid};
		if (set_parent(l, err))
			return -1;
	}
	set_grains(l);
	if (l->flags & VD_LAYER_WRITABLE) {
		l->ro_reason = ro_reason(l);
		if (l->ro_reason)
			l->flags &= ~VD_LAYER_WRITABLE;
	}
	l->flags |= vmdk_desc_astray(s) ? VD_LAYER_UNSETTLED : 0;
	if (s->unclean)
		o->host->log(o->host, VDISK_LOG_WARNING, "was not closed cleanly");
	return load_extents(l, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * raw: the guest's bytes and nothing else, in a regular file, a block device or a pipe.  The smallest whole driver: start here to
 * see what core/driver.h asks of a format.
 *
 * Owns: a window [base, base + size) of files[0].  Guest byte n lies at host byte base + n for ever, so that
 *  - map() never changes but for holes (VD_LAYER_FIXED), and needs no state beyond `base`;
 *  - reserve() finds nothing and publish() records nothing: every byte has its place already (VD_RESV_INPLACE);
 *  - there is no metadata, so the crash invariants C1 to C5 hold by themselves: a flushed byte is a flushed byte of the file.
 *
 * Lock: none of its own; `base` and `append` are fixed by open() and create().
 *
 * Pipes.  From one (VD_LAYER_FORWARD) the size cannot be known beforehand, so the open option `size` must say it; an input that
 * ends earlier is an error where it is read.  To one (VD_CREATE_APPEND) bytes can only be appended: whoever writes hands over every
 * byte, zeros too, as the layer is not VD_LAYER_NEW_ZERO; vd_file_pipe_out() puts writes of several threads in order; finish()
 * here adds the zeros that a disk's end may still want.
 */
#include "core/driver.h"

#include "base/alloc.h"
#include "base/bytes.h"

struct raw {
	uint64_t base;  /* host offset of guest byte 0 */
	bool windowed;  /* `offset` or `size` was given: the file holds more than this disk */
	bool append;    /* the file is a pipe that we write to */
};

static const struct vdisk_option_info raw_options[] = {
	{ "preallocation", VDISK_OPT_ENUM, "off|falloc|full", "off",
	  "off: a sparse file; falloc: reserve its space; full: write zeros", VDISK_OPT_FOR_CREATE },
	{ "offset", VDISK_OPT_SIZE, NULL, NULL, "where in the file the disk begins", VDISK_OPT_FOR_OPEN },
	{ "size", VDISK_OPT_SIZE, NULL, NULL, "size of the disk, where the file goes on after it or is a pipe",
	  VDISK_OPT_FOR_OPEN },
	{ NULL },
};

/* Any file may be a raw disk, so that everybody else's claim is better. */
static int raw_probe(const struct vd_peek *peek)
{
	(void)peek;
	return 1;
}

static struct raw *raw_new(struct vd_layer *l, vd_error *err)
{
	struct raw *r = vd_calloc(1, sizeof(*r));

	if (!r) {
		vd_fail_nomem(err, sizeof(*r));
		return NULL;
	}
	l->priv = r;
	l->alloc_grain = l->presence_grain = 1;
	l->flags |= VD_LAYER_FIXED;
	return r;
}

static int raw_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint64_t base = vd_options_u64(o->options, "offset");
	bool sized = vd_options_given(o->options, "size");
	uint64_t file_size = vd_file_size(f);
	struct raw *r;

	if (!(f->flags & VD_FILE_SEEKABLE)) {
		if (!sized)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			               "a raw disk from a pipe has no size of its own: --open-opt size=BYTES says it");
		l->flags |= VD_LAYER_FORWARD;
		file_size = UINT64_MAX;
	}
	if (base > file_size)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "option offset=%" PRIu64 " lies past the end of the file (%" PRIu64 " bytes)", base, file_size);
	l->size = sized ? vd_options_u64(o->options, "size") : file_size - base;
	if (!vd_within(base, l->size, file_size) || l->size > INT64_MAX - base)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "option size=%" PRIu64 " at offset %" PRIu64 " goes past the end of the file (%" PRIu64 " bytes)",
			       l->size, base, file_size);
	r = raw_new(l, err);
	if (!r)
		return -1;
	r->base = base;
	r->windowed = base || sized;
	if (l->flags & VD_LAYER_FORWARD)
		vd_file_release(f, 0, base);
	return 0;
}

static int raw_create(struct vd_layer *l, const struct vd_create *c, vd_error *err)
{
	struct vd_file *f = l->files[0];
	const char *prealloc = vd_options_str(c->options, "preallocation");
	bool off = !strcmp(prealloc, "off");
	struct raw *r;

	if (c->backing)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "raw has no place for a backing file's name (%s)",
			       c->backing);
	r = raw_new(l, err);
	if (!r)
		return -1;
	l->size = c->size;
	if (c->flags & VD_CREATE_APPEND) {
		r->append = true;
		if (!off)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
				       "option preallocation=%s: a pipe has no space to reserve", prealloc);
		return 0;
	}
	if (f->flags & VD_FILE_BLOCKDEV) {
		/* The device keeps its size and what was on it. */
		if (vd_file_size(f) < c->size)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
				       "the device holds %" PRIu64 " bytes, the disk has %" PRIu64, vd_file_size(f), c->size);
		l->flags |= f->flags & VD_FILE_BLANK ? VD_LAYER_NEW_ZERO : 0;
		return off ? 0 : vd_file_zero(f, 0, c->size, false, err);
	}
	if (vd_file_truncate(f, c->size, err))
		return -1;
	l->flags |= VD_LAYER_NEW_ZERO;
	return off ? 0 : vd_file_preallocate(f, c->size, !strcmp(prealloc, "full"), err);
}

static int raw_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err)
{
	(void)units; /* of one byte */
	(void)err;
	*required = strcmp(vd_options_str(c->options, "preallocation"), "off") ? c->size : data;
	*full = c->size;
	return 0;
}

static int raw_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err)
{
	(void)c;
	if (size > INT64_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a raw disk cannot have %" PRIu64 " bytes", size);
	*rounded = size;
	return 0;
}

static int raw_flush(struct vd_layer *l, vd_error *err)
{
	return vd_file_flush(l->files[0], err);
}

static int raw_finish(struct vd_layer *l, vd_error *err)
{
	const struct raw *r = l->priv;
	uint64_t end = vd_file_size(l->files[0]);

	if (r->append && end < l->size && vd_file_zero(l->files[0], end, l->size - end, false, err))
		return -1;
	return raw_flush(l, err);
}

static void raw_close(struct vd_layer *l)
{
	vd_free(l->priv);
	l->priv = NULL;
}

static int raw_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	const struct raw *r = l->priv;
	struct vd_extent x = { .off = off, .len = len, .flags = VD_EXT_MAPPED, .host = r->base + off };
	bool more;

	/* A hole belongs to the disk as much as data does: written in place, it becomes data. */
	x.flags |= l->flags & VD_LAYER_WRITABLE ? VD_EXT_WRITABLE : 0;
	return vd_extents_add_plain(e, l->files[0], x, flags, &more, err);
}

static int raw_begin_write(struct vd_layer *l, vd_error *err)
{
	(void)l;
	(void)err;
	return 0;
}

static int raw_reserve(struct vd_layer *l, struct vd_resv *v, vd_error *err)
{
	const struct raw *r = l->priv;

	if (v->flags & VD_RESV_PACKED)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "raw has no compressed units");
	v->len = vd_min(v->len, l->size - v->off);
	v->file = 0;
	v->host = r->base + v->off;
	if (v->kind == VD_DATA)
		v->flags |= VD_RESV_INPLACE;
	return 0;
}

/* Zeros are said by making them: as a hole where the host can, which takes no space, else by writing them. */
static int raw_publish(struct vd_layer *l, const struct vd_resv *v, size_t n, vd_error *err)
{
	const struct raw *r = l->priv;

	for (size_t i = 0; i < n; i++) {
		if (v[i].kind == VD_ZERO && vd_file_zero(l->files[0], r->base + v[i].off, v[i].len, !r->append, err))
			return -1;
	}
	return 0;
}

static void raw_abandon(struct vd_layer *l, struct vd_resv *v)
{
	(void)l;
	(void)v;
}

/* A hole reads as zeros.  What a block device gives for discarded space is its own affair, so there nothing is done. */
static int raw_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err)
{
	const struct raw *r = l->priv;

	(void)to;
	if (r->append || l->files[0]->flags & VD_FILE_BLOCKDEV)
		return 0;
	return vd_file_punch(l->files[0], r->base + off, len, err);
}

static int raw_resize(struct vd_layer *l, uint64_t size, vd_error *err)
{
	const struct raw *r = l->priv;

	if (r->windowed)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a raw disk opened with the option offset or size is part of a file and cannot be resized");
	if (vd_file_truncate(l->files[0], size, err))
		return -1;
	l->size = size;
	return 0;
}

static int raw_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	(void)l;
	(void)fn;
	(void)ctx;
	(void)err;
	return 0;
}

static uint32_t raw_layer_caps(const struct vd_layer *l)
{
	(void)l;
	return VD_CAP_ZERO;
}

const struct vd_driver vd_driver_raw = {
	.info = {
		.name = "raw",
		.long_name = "Raw disk",
		.aliases = (const char *const[]){NULL},
		.suffixes = (const char *const[]){"raw", "img", "dd", NULL},
		.caps = VDISK_FORMAT_READ | VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE | VDISK_FORMAT_STREAM_OUT |
			VDISK_FORMAT_STREAM_IN | VDISK_FORMAT_RESIZE,
		.options = raw_options,
	},
	.probe = raw_probe,
	.open = raw_open,
	.create = raw_create,
	.measure = raw_measure,
	.round_size = raw_round_size,
	.finish = raw_finish,
	.close = raw_close,
	.map = raw_map,
	.begin_write = raw_begin_write,
	.reserve = raw_reserve,
	.publish = raw_publish,
	.abandon = raw_abandon,
	.unmap = raw_unmap,
	.flush = raw_flush,
	.resize = raw_resize,
	.values = raw_values,
	.layer_caps = raw_layer_caps,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an XVA's chunks lie, without reading it through.
 *
 * A disk's whole chunks, each with its checksum behind it, take the same room in the file, and their numbers rise: so a few headers
 * at equal distances tell how long such a run is, and which chunk is in its middle.  What breaks the distance (a chunk without
 * bytes, the disk's last one, the next disk) ends a run, and another one may begin behind it.  Every header that is gone by is
 * judged: that it is one, of that disk, of a whole chunk, with a number that can be there.
 */
#include "package_own.h"

#include "common/fail.h"
#include "tar.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
	uint64_t at, stride, count; /* of headers in the file */
	uint64_t first, last;       /* numbers */
	uint64_t empties;           /* chunks without bytes before it, which took a number and no space */
	uint64_t len;               /* of each chunk */
};

struct header {
	char name[TAR_NAME_BYTES];
	uint64_t size;
	bool chunk;
	size_t ref_len;
	uint64_t number;
};

struct walk {
	struct package *p;
	uint64_t at;
	char ref[TAR_NAME_BYTES]; /* of the last chunk */
	struct slot *slot;        /* its disk; NULL: nobody wants it */
	uint64_t next, empties;   /* of that disk */
	bool extended;            /* a header of PAX or GNU was met, which says more of the next member than is read here */
};

#define TYPE_AT 156
#define MAGIC_AT 257

static bool is_extended(const uint8_t block[TAR_HEADER_BYTES])
{
	return block[TYPE_AT] && strchr("xgLK", block[TYPE_AT]) && !memcmp(block + MAGIC_AT, "ustar", 5);
}

static uint64_t padded(uint64_t n)
{
	return (n + TAR_HEADER_BYTES - 1) / TAR_HEADER_BYTES * TAR_HEADER_BYTES;
}

/* 1: it is one; 0: it is none, or past the end; -1. */
static int header_read(struct package *p, uint64_t at, struct header *h, vdisk_error *err)
{
	uint8_t block[TAR_HEADER_BYTES];
	struct tar_entry e;
	int rc;

	if (at > p->file_size || p->file_size - at < sizeof(block))
		return 0;
	p->reads++;
	if (file_read(p->fd, p->path, block, sizeof(block), at, err))
		return -1;
	rc = tar_header_read(block, h->name, &e);
	if (rc <= 0)
		return rc ? fail_nomem(err) : 0;
	h->size = e.size;
	h->chunk = xva_chunk_name(h->name, &h->ref_len, &h->number);
	return 1;
}

/* The run's chunk `i`, which may not be there.  1: it is, with a number that it can have. */
static int run_look(struct walk *w, const struct run *r, uint64_t i, uint64_t *number, vdisk_error *err)
{
	struct header h;
	int rc;

	if (i > (w->p->file_size - r->at) / r->stride)
		return 0;
	rc = header_read(w->p, r->at + i * r->stride, &h, err);
	if (rc <= 0)
		return rc;
	*number = h.number;
	return h.chunk && h.size == XVA_CHUNK && h.ref_len == strlen(w->ref) && !memcmp(h.name, w->ref, h.ref_len) &&
	       h.number >= r->first + i;
}

/* How far a run goes: further and further, until it is past; and then nearer and nearer. */
static int run_measure(struct walk *w, struct run *r, vdisk_error *err)
{
	uint64_t in = 0, out = 1, number;
	int rc;

	r->last = r->first;
	while ((rc = run_look(w, r, out, &number, err)) > 0) {
		in = out;
		out *= 2;
		r->last = number;
	}
	while (!rc && out - in > 1) {
		uint64_t middle = in + (out - in) / 2;

		rc = run_look(w, r, middle, &number, err);
		if (rc > 0) {
			in = middle;
			r->last = number;
			rc = 0;
		} else if (!rc) {
			out = middle;
		}
	}
	r->count = in + 1;
	return rc;
}

/* Which disk it is of; its number and its place have to be possible. */
static int chunk_judge(struct walk *w, const struct header *h, vdisk_error *err)
{
	char name[200];
	uint64_t off;

	if (strlen(w->ref) != h->ref_len || memcmp(w->ref, h->name, h->ref_len)) {
		memcpy(w->ref, h->name, h->ref_len);
		w->ref[h->ref_len] = '\0';
		w->slot = slot_find(w->p, w->ref, h->ref_len);
		w->next = w->empties = 0;
		if (w->slot && w->slot->n_runs)
			return fail(err, VDISK_CORRUPT, "%s: '%s' comes again, or too late", w->p->path, shown(h->name, name));
	}
	if (h->number < w->next)
		return fail(err, VDISK_CORRUPT, "%s: '%s' comes again, or too late", w->p->path, shown(h->name, name));
	if (h->size > XVA_CHUNK)
		return fail(err, VDISK_CORRUPT, "%s: '%s' has %llu bytes; a chunk has at most %zu", w->p->path,
			    shown(h->name, name), (unsigned long long)h->size, XVA_CHUNK);
	off = (h->number - w->empties) * XVA_CHUNK; /* both have at most 18 digits */
	if (w->slot && ((h->number - w->empties) > w->slot->size / XVA_CHUNK || h->size > w->slot->size - off ||
			(h->size && h->size < XVA_CHUNK && off + h->size != w->slot->size)))
		return fail(err, VDISK_CORRUPT, "%s: '%s' lies outside its disk (%llu bytes)", w->p->path, shown(h->name, name),
			    (unsigned long long)w->slot->size);
	return 0;
}

static int run_keep(struct walk *w, const struct run *r, vdisk_error *err)
{
	struct slot *s = w->slot;
	struct run *more;

	if (!s)
		return 0;
	if (r->last - w->empties > s->size / XVA_CHUNK || (r->last - w->empties) * XVA_CHUNK + r->len > s->size)
		return fail(err, VDISK_CORRUPT, "%s: the chunk %llu of %s lies outside its disk (%llu bytes)", w->p->path,
			    (unsigned long long)r->last, s->ref, (unsigned long long)s->size);
	more = realloc(s->runs, (s->n_runs + 1) * sizeof(*more));
	if (!more)
		return fail_nomem(err);
	s->runs = more;
	s->runs[s->n_runs++] = *r;
	s->end = (r->last - w->empties) * XVA_CHUNK + r->len;
	return 0;
}

/* A chunk, and those that follow it at the same distance. */
static int run_take(struct walk *w, const struct header *h, vdisk_error *err)
{
	struct run r = {.at = w->at, .count = 1, .first = h->number, .last = h->number, .empties = w->empties, .len = h->size};
	uint64_t step = TAR_HEADER_BYTES + padded(h->size);
	struct header sum;
	int rc;

	if (!h->size) {
		w->empties++;
		w->next = h->number + 1;
		w->at += step;
		return 0;
	}
	rc = header_read(w->p, w->at + step, &sum, err);
	if (rc < 0)
		return -1;
	if (rc && !strncmp(sum.name, h->name, strlen(h->name)) && sum.name[strlen(h->name)] == '.' && sum.size < TAR_HEADER_BYTES)
		step += TAR_HEADER_BYTES + padded(sum.size);
	r.stride = step;
	if (h->size == XVA_CHUNK && run_measure(w, &r, err))
		return -1;
	w->next = r.last + 1;
	w->at += r.count * step;
	return run_keep(w, &r, err);
}

/* 1: goes on; 0: the end of the archive. */
static int member_take(struct walk *w, vdisk_error *err)
{
	char name[200];
	struct header h;
	int rc = header_read(w->p, w->at, &h, err);

	if (rc < 0)
		return -1;
	if (!rc) {
		uint8_t end[TAR_HEADER_BYTES] = {0};

		if (w->at > w->p->file_size || w->p->file_size - w->at < sizeof(end))
			return 0;
		if (file_read(w->p->fd, w->p->path, end, sizeof(end), w->at, err))
			return -1;
		w->extended = is_extended(end);
		for (size_t i = 0; !w->extended && i < sizeof(end); i++)
			if (end[i])
				return fail(err, VDISK_CORRUPT, "%s: there is no member at offset %llu, where one is due",
					    w->p->path, (unsigned long long)w->at);
		return 0;
	}
	if (h.chunk)
		return chunk_judge(w, &h, err) || run_take(w, &h, err) ? -1 : 1;
	if (h.size > w->p->file_size)
		return fail(err, VDISK_CORRUPT, "%s: is cut short: the member '%s' has %llu bytes", w->p->path, shown(h.name, name),
			    (unsigned long long)h.size);
	w->at += TAR_HEADER_BYTES + padded(h.size);
	return 1;
}

int package_places(struct package *p, unsigned most, bool *found, vdisk_error *err)
{
	struct walk w = {.p = p, .at = p->data_at};
	int rc = 1;

	*found = false;
	if (p->kind != PACKAGE_XVA || p->streamed)
		return fail(err, VDISK_INVALID, "%s: its chunks do not tell where they are", p->path);
	if (p->fd < 0 && (p->fd = open(p->path, O_RDONLY | O_CLOEXEC)) < 0)
		return fail_errno(err, "%s", p->path);
	p->reads = 0;
	while (p->reads <= most && (rc = member_take(&w, err)) > 0)
		;
	*found = !rc && !w.extended;
	for (size_t i = 0; *found && i < p->n_slots; i++)
		if (p->slots[i].end != p->slots[i].size)
			rc = fail(err, VDISK_CORRUPT, "%s: is cut short: the last chunk of %s is not there", p->path,
				  p->slots[i].ref);
	return rc < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- one chunk */

/* The run's chunk with this number, by its header in the file; *at 0: it was left out, being zeros. */
static int run_find(struct package *p, const struct run *r, uint64_t number, uint64_t *at, vdisk_error *err)
{
	uint64_t low = 0, high = r->count - 1;

	*at = 0;
	/* Numbers rise by one at least, seen from either end. */
	if (number - r->first < high)
		high = number - r->first;
	if (r->last - number < r->count - 1)
		low = r->count - 1 - (r->last - number);
	while (low <= high) {
		uint64_t middle = low + (high - low) / 2;
		struct header h;
		int rc = header_read(p, r->at + middle * r->stride, &h, err);

		if (rc < 0)
			return -1;
		if (!rc || !h.chunk || h.number < r->first + middle || h.size != r->len)
			return fail(err, VDISK_CORRUPT, "%s: there is no whole chunk at offset %llu, where one is due", p->path,
				    (unsigned long long)(r->at + middle * r->stride));
		if (h.number == number) {
			*at = r->at + middle * r->stride;
			return 0;
		}
		if (h.number < number)
			low = middle + 1;
		else if (!middle)
			return 0;
		else
			high = middle - 1;
	}
	return 0;
}

static int parts_compare(const void *a, const void *b)
{
	uint64_t x = ((const struct vdisk_part *)a)->off, y = ((const struct vdisk_part *)b)->off;

	return x < y ? -1 : x > y;
}

int package_place(struct package *p, size_t disk, uint64_t off, bool *fresh, vdisk_error *err)
{
	struct slot *s = &p->slots[disk];
	uint64_t chunk = off / XVA_CHUNK, at;

	if (fresh)
		*fresh = false;
	for (size_t i = 0; i < s->n; i++)
		if (off >= s->parts[i].off && off - s->parts[i].off < s->parts[i].len)
			return 0;
	for (size_t i = 0; i < s->n_runs; i++) {
		const struct run *r = &s->runs[i];

		if (chunk + r->empties < r->first || chunk + r->empties > r->last)
			continue;
		if (run_find(p, r, chunk + r->empties, &at, err))
			return -1;
		if (!at)
			return 0;
		if (slot_part_add(p, s, chunk * XVA_CHUNK, r->len, at + TAR_HEADER_BYTES, err))
			return -1;
		qsort(s->parts, s->n, sizeof(*s->parts), parts_compare);
		if (fresh)
			*fresh = true;
		return 0;
	}
	return 0;
}

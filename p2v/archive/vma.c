/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading VMA, Proxmox' backup: a header with the configuration and up to 255 devices, then extents: a header of 512 bytes that
 * says which 59 clusters of 64 KiB come, each as a mask of its blocks of 4 KiB that are not zeros, and then those blocks.  All
 * numbers are big-endian; both kinds of headers carry an MD5 of themselves.  Every cluster of every device comes, if only to say
 * that it is zeros: so a file that lost its end is seen.
 */
#include "vma.h"

#include "common/fail.h"
#include "common/numbers.h"
#include "tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXTENT_BYTES 512u
#define INFOS        59u
#define BLOCK        4096u
#define WANTED_MAX   ((uint64_t)64 << 40) /* bytes of all disks together: whose clusters came is noted in 128 MiB then */

static int wanted_judge(const struct package *p, size_t index, uint64_t size, vdisk_error *err)
{
	for (size_t i = 0; i < index; i++)
		size += p->slots[i].size; /* each at most WANTED_MAX, and they are few */
	if (size <= WANTED_MAX)
		return 0;
	return fail(err, VDISK_UNSUPPORTED, "%s: has disks of %llu bytes; of a VMA at most %llu are read", p->path,
	            (unsigned long long)size, (unsigned long long)WANTED_MAX);
}

int vma_want(struct package *p, struct slot *s, size_t index, vdisk_error *err)
{
	char text[200];

	for (unsigned i = 1; i < 256; i++) {
		struct device *d = &p->devices[i];

		if (!d->name || strcmp(d->name, s->ref))
			continue;
		if (wanted_judge(p, index, d->size, err))
			return -1;
		d->slot = (int)index;
		s->size = s->len = d->size;
		s->seen = calloc(1, (size_t)(d->size / VMA_CLUSTER / 8) + 1);
		return s->seen ? 0 : fail_nomem(err);
	}
	return fail(err, VDISK_CORRUPT, "%s: the configuration names the disk '%s', which is not there", p->path,
	            shown(s->ref, text));
}

/* ---------------------------------------------------------------- extents */

struct extent {
	uint64_t data;       /* where its blocks begin, in the file */
	unsigned blocks;
	struct { uint8_t dev; uint16_t mask; uint32_t cluster; } info[INFOS];
};

/* Pure.  NULL: fine, else what is wrong. */
static const char *extent_decode(uint8_t *head, const uint8_t uuid[16], struct extent *x)
{
	unsigned blocks = 0;

	if (memcmp(head, "VMAE", 4))
		return "does not begin like one";
	if (!vma_md5_holds(head, EXTENT_BYTES, 24))
		return "does not have the MD5 that it carries";
	if (memcmp(head + 8, uuid, 16))
		return "is of another backup";
	x->blocks = be16_get(head + 6);
	for (unsigned i = 0; i < INFOS; i++) {
		uint64_t v = be64_get(head + 40 + 8 * i);

		x->info[i].mask = (uint16_t)(v >> 48);
		x->info[i].dev = (uint8_t)(v >> 32);
		x->info[i].cluster = (uint32_t)v;
		blocks += (unsigned)__builtin_popcount(x->info[i].mask);
	}
	return blocks == x->blocks ? NULL : "counts its blocks in two ways";
}

/* A run of blocks that are there, side by side: as a part, or handed out. */
static int run_take(struct package *p, struct slot *s, uint64_t off, uint64_t len, uint64_t host, const uint8_t *bytes,
                    package_sink sink, void *ctx, vdisk_error *err)
{
	if (off >= s->size)
		return fail(err, VDISK_CORRUPT, "%s: has a block of %s at %llu, behind its end (%llu bytes)", p->path, s->ref,
		            (unsigned long long)off, (unsigned long long)s->size);
	if (len > s->size - off)
		len = s->size - off;
	return sink ? sink(ctx, (size_t)(s - p->slots), off, bytes, (size_t)len, err) : slot_part_add(p, s, off, len, host, err);
}

static int cluster_take(struct package *p, const struct extent *x, unsigned i, unsigned before, const uint8_t *data,
                        package_sink sink, void *ctx, vdisk_error *err)
{
	const struct device *d = &p->devices[x->info[i].dev];
	uint32_t cluster = x->info[i].cluster;
	struct slot *s;

	if (!d->name)
		return fail(err, VDISK_CORRUPT, "%s: an extent tells of device %u, which the header does not", p->path,
		            x->info[i].dev);
	if (d->slot < 0)
		return 0;
	s = &p->slots[d->slot];
	if ((uint64_t)cluster * VMA_CLUSTER >= s->size)
		return fail(err, VDISK_CORRUPT, "%s: has cluster %u of %s, behind its end (%llu bytes)", p->path, cluster, s->ref,
		            (unsigned long long)s->size);
	if (s->seen[cluster / 8] & 1u << cluster % 8)
		return fail(err, VDISK_CORRUPT, "%s: has cluster %u of %s twice", p->path, cluster, s->ref);
	s->seen[cluster / 8] |= (uint8_t)(1u << cluster % 8);
	s->clusters++;
	for (unsigned b = 0; b < 16;) {
		unsigned n = 0;

		while (b + n < 16 && x->info[i].mask >> (b + n) & 1)
			n++;
		if (n && run_take(p, s, (uint64_t)cluster * VMA_CLUSTER + b * BLOCK, (uint64_t)n * BLOCK,
		                  x->data + (uint64_t)before * BLOCK, data ? data + (size_t)before * BLOCK : NULL, sink, ctx, err))
			return -1;
		before += n;
		b += n ? n : 1;
	}
	return 0;
}

static int extent_take(struct package *p, const struct extent *x, const uint8_t *data, package_sink sink, void *ctx,
                       vdisk_error *err)
{
	unsigned before = 0;

	for (unsigned i = 0; i < INFOS; i++) {
		if (x->info[i].dev && cluster_take(p, x, i, before, data, sink, ctx, err))
			return -1;
		if (!x->info[i].dev && x->info[i].mask)
			return fail(err, VDISK_CORRUPT, "%s: the extent before offset %llu holds blocks of no device", p->path,
			            (unsigned long long)x->data);
		before += (unsigned)__builtin_popcount(x->info[i].mask);
	}
	return 0;
}

static int extents_take(struct package *p, struct vma_source *src, uint8_t *data, const struct package_job *job, package_sink sink,
                        void *ctx, vdisk_error *err)
{
	uint8_t head[EXTENT_BYTES];
	struct extent x;
	size_t got;

	for (;;) {
		uint64_t at = src->at;
		const char *why;

		if (vma_source_read(src, head, sizeof(head), &got, err))
			return -1;
		if (!got)
			return 0;
		why = got < sizeof(head) ? "is cut short" : extent_decode(head, p->uuid, &x);
		if (why)
			return fail(err, VDISK_CORRUPT, "%s: the extent at %llu %s", p->path, (unsigned long long)at, why);
		x.data = src->at;
		if (sink) {
			if (vma_source_read(src, data, (size_t)x.blocks * BLOCK, &got, err))
				return -1;
		} else {
			got = p->file_size - src->at < (uint64_t)x.blocks * BLOCK ? 0 : (size_t)x.blocks * BLOCK;
			src->at += got;
		}
		if (got < (size_t)x.blocks * BLOCK)
			return fail(err, VDISK_CORRUPT,
			            "%s: is cut short: the extent at %llu has %u blocks, which are not all there", p->path,
			            (unsigned long long)at, x.blocks);
		if (extent_take(p, &x, sink ? data : NULL, sink, ctx, err) ||
		    job_tick(p, job, src->s ? stream_used(src->s) : src->at, err))
			return -1;
	}
}

static int header_skip(struct package *p, struct vma_source *x, vdisk_error *err)
{
	uint8_t buf[BLOCK];
	size_t got;

	if (!x->s) {
		x->at = p->data_at;
		return 0;
	}
	while (x->at < p->data_at) {
		size_t n = p->data_at - x->at < sizeof(buf) ? (size_t)(p->data_at - x->at) : sizeof(buf);

		if (vma_source_read(x, buf, n, &got, err))
			return -1;
		if (got < n)
			return fail(err, VDISK_CORRUPT, "%s: has changed", p->path);
	}
	return 0;
}

int vma_scan(struct package *p, const struct package_job *job, package_sink sink, void *ctx, vdisk_error *err)
{
	uint8_t *data = sink ? malloc((size_t)INFOS * VMA_CLUSTER) : NULL;
	struct vma_source x;
	int rc = vma_source_open(&x, p, err);

	if (!rc && sink && !data)
		rc = fail_nomem(err);
	if (!rc)
		rc = header_skip(p, &x, err) || extents_take(p, &x, data, job, sink, ctx, err) ? -1 : 0;
	for (size_t i = 0; !rc && i < p->n_slots; i++) {
		const struct slot *s = &p->slots[i];
		uint64_t due = s->size / VMA_CLUSTER + (s->size % VMA_CLUSTER != 0);

		if (s->clusters != due)
			rc = fail(err, VDISK_CORRUPT, "%s: is cut short: %llu of the %llu clusters of %s are there", p->path,
			          (unsigned long long)s->clusters, (unsigned long long)due, s->ref);
	}
	for (unsigned i = 1; !rc && i < 256; i++)
		if (p->devices[i].name && p->devices[i].slot < 0)
			package_note(p, "the device %s is left out", p->devices[i].name);
	vma_source_close(&x);
	free(data);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading VMA, Proxmox' backup: a header with the configuration and up to 255 devices, then extents: a header of 512 bytes that says which 59
 * clusters of 64 KiB come, each as a mask of its blocks of 4 KiB that are not zeros, and then those blocks.  All numbers are big-endian; both kinds of
 * headers carry an MD5 of themselves.  Every cluster of every device comes, if only to say that it is zeros: so a file that lost its end is seen.
 */
#include "package_own.h"

#include "common/fail.h"
#include "common/numbers.h"
#include "tar.h"

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER_BYTES 12288u
#define HEADER_MAX   ((size_t)16 << 20)
#define EXTENT_BYTES 512u
#define INFOS        59u
#define CLUSTER      65536u
#define BLOCK        4096u

/* Where the header's fields lie. */
#define AT_VERSION   4u
#define AT_UUID      8u
#define AT_MD5       32u
#define AT_BLOBS     48u
#define AT_BLOBS_LEN 52u
#define AT_LENGTH    56u
#define AT_NAMES     2044u
#define AT_DATA      3068u
#define AT_DEVICES   4096u

/* Bytes from front to back: out of the file itself, or out of what it is packed in. */
struct source {
	const struct package *p;
	struct stream *s; /* NULL: the file */
	int fd;
	uint64_t at;
};

static int source_open(struct source *x, const struct package *p, vdisk_error *err)
{
	*x = (struct source){ .p = p, .fd = -1 };
	if (p->streamed)
		return stream_open(p->path, &x->s, err);
	x->fd = open(p->path, O_RDONLY | O_CLOEXEC);
	return x->fd < 0 ? fail_errno(err, "%s", p->path) : 0;
}

static void source_close(struct source *x)
{
	stream_close(x->s);
	if (x->fd >= 0)
		close(x->fd);
}

/* *got less than len: the end. */
static int source_read(struct source *x, void *buf, size_t len, size_t *got, vdisk_error *err)
{
	uint64_t left = x->p->file_size > x->at ? x->p->file_size - x->at : 0;

	if (x->s) {
		if (stream_read(x->s, buf, len, got, err))
			return -1;
	} else {
		*got = len < left ? len : (size_t)left;
		if (file_read(x->fd, x->p->path, buf, *got, x->at, err))
			return -1;
	}
	x->at += *got;
	return 0;
}

static bool md5_holds(uint8_t *head, size_t len, size_t at)
{
	uint8_t said[16], is[16];

	memcpy(said, head + at, 16);
	memset(head + at, 0, 16);
	if (gnutls_hash_fast(GNUTLS_DIG_MD5, head, len, is) < 0)
		return false;
	memcpy(head + at, said, 16);
	return !memcmp(said, is, 16);
}

/* ---------------------------------------------------------------- the header */

/* A blob: its length as 16 bits, little-endian for once, and its bytes.  false: it lies outside. */
static bool blob_get(const uint8_t *head, size_t len, uint32_t at, const char **out, size_t *out_len)
{
	uint64_t begin = be32_get(head + AT_BLOBS), room = be32_get(head + AT_BLOBS_LEN);

	if (begin > len || room > len - begin || !at || at > room || room - at < 2)
		return false;
	*out_len = le16_get(head + begin + at);
	*out = (const char *)head + begin + at + 2;
	return *out_len <= room - at - 2;
}

static int devices_take(struct package *p, const uint8_t *head, size_t len, vdisk_error *err)
{
	char text[200];

	for (unsigned i = 1; i < 256; i++) {
		const uint8_t *d = head + AT_DEVICES + 32u * i;
		uint32_t name_at = be32_get(d);
		const char *name;
		size_t n;

		p->devices[i].slot = -1;
		if (!name_at)
			continue;
		if (!blob_get(head, len, name_at, &name, &n) || !n || !(p->devices[i].name = strndup(name, n)))
			return fail(err, VDISK_CORRUPT, "%s: the name of device %u is not where the header says", p->path, i);
		p->devices[i].size = be64_get(d + 8);
		if (name_judge(p->devices[i].name) || !p->devices[i].size || p->devices[i].size > (uint64_t)CLUSTER << 32)
			return fail(err, VDISK_CORRUPT, "%s: device %u, '%s', has %llu bytes, or a name that is none", p->path, i, shown(p->devices[i].name, text),
			            (unsigned long long)p->devices[i].size);
		for (unsigned k = 1; k < i; k++)
			if (p->devices[k].name && !strcmp(p->devices[k].name, p->devices[i].name))
				return fail(err, VDISK_CORRUPT, "%s: has two devices named '%s'", p->path, shown(p->devices[i].name, text));
	}
	return 0;
}

static int config_take(struct package *p, const uint8_t *head, size_t len, vdisk_error *err)
{
	char text[200];

	for (unsigned i = 0; i < 256; i++) {
		uint32_t name_at = be32_get(head + AT_NAMES + 4u * i), data_at = be32_get(head + AT_DATA + 4u * i);
		const char *name, *data;
		size_t n, k;

		if (!name_at || !data_at)
			continue;
		if (!blob_get(head, len, name_at, &name, &n) || !blob_get(head, len, data_at, &data, &k))
			return fail(err, VDISK_CORRUPT, "%s: configuration %u is not where the header says", p->path, i);
		while (n && !name[n - 1])
			n--;
		if (n == strlen("qemu-server.conf") && !memcmp(name, "qemu-server.conf", n)) {
			free(p->desc);
			p->desc = calloc(1, k + 1);
			free(p->desc_name);
			p->desc_name = strdup("qemu-server.conf");
			if (!p->desc || !p->desc_name)
				return fail_nomem(err);
			memcpy(p->desc, data, k);
			p->desc_len = k;
		} else {
			char copy[64];

			snprintf(copy, sizeof(copy), "%.*s", (int)n, name);
			package_note(p, "the configuration %s is left out", shown(copy, text));
		}
	}
	return p->desc ? 0 : fail(err, VDISK_UNSUPPORTED, "%s: has no qemu-server.conf", p->path);
}

int vma_open(struct package *p, vdisk_error *err)
{
	struct source x;
	uint8_t *head = malloc(HEADER_BYTES), *more;
	size_t got = 0, len = 0;
	int rc = source_open(&x, p, err);

	if (!rc)
		rc = head ? source_read(&x, head, HEADER_BYTES, &got, err) : fail_nomem(err);
	if (!rc && got < HEADER_BYTES)
		rc = fail(err, VDISK_CORRUPT, "%s: is cut short: %zu bytes of the header are there", p->path, got);
	if (!rc && be32_get(head + AT_VERSION) != 1)
		rc = fail(err, VDISK_UNSUPPORTED, "%s: is VMA of version %u; 1 is read", p->path, be32_get(head + AT_VERSION));
	if (!rc) {
		len = be32_get(head + AT_LENGTH);
		if (len < HEADER_BYTES || len > HEADER_MAX)
			rc = fail(err, VDISK_CORRUPT, "%s: the header says that it has %zu bytes", p->path, len);
	}
	if (!rc) {
		more = realloc(head, len);
		head = more ? more : head;
		rc = more ? source_read(&x, head + HEADER_BYTES, len - HEADER_BYTES, &got, err) : fail_nomem(err);
	}
	if (!rc && got < len - HEADER_BYTES)
		rc = fail(err, VDISK_CORRUPT, "%s: is cut short: the header has %zu bytes, of which %zu are there", p->path, len, HEADER_BYTES + got);
	if (!rc && !md5_holds(head, len, AT_MD5))
		rc = fail(err, VDISK_CORRUPT, "%s: the header does not have the MD5 that it carries", p->path);
	if (!rc)
		rc = devices_take(p, head, len, err) || config_take(p, head, len, err) ? -1 : 0;
	if (!rc) {
		memcpy(p->uuid, head + AT_UUID, 16);
		p->data_at = len;
	}
	source_close(&x);
	free(head);
	return rc;
}

int vma_want(struct package *p, struct slot *s, size_t index, vdisk_error *err)
{
	char text[200];

	for (unsigned i = 1; i < 256; i++) {
		struct device *d = &p->devices[i];

		if (!d->name || strcmp(d->name, s->ref))
			continue;
		d->slot = (int)index;
		s->size = s->len = d->size;
		s->seen = calloc(1, (size_t)(d->size / CLUSTER / 8) + 1);
		return s->seen ? 0 : fail_nomem(err);
	}
	return fail(err, VDISK_CORRUPT, "%s: the configuration names the disk '%s', which is not there", p->path, shown(s->ref, text));
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
	if (!md5_holds(head, EXTENT_BYTES, 24))
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
static int run_take(struct package *p, struct slot *s, uint64_t off, uint64_t len, uint64_t host, const uint8_t *bytes, package_sink sink, void *ctx,
                    vdisk_error *err)
{
	if (off >= s->size)
		return fail(err, VDISK_CORRUPT, "%s: has a block of %s at %llu, behind its end (%llu bytes)", p->path, s->ref, (unsigned long long)off,
		            (unsigned long long)s->size);
	if (len > s->size - off)
		len = s->size - off;
	return sink ? sink(ctx, (size_t)(s - p->slots), off, bytes, (size_t)len, err) : slot_part_add(p, s, off, len, host, err);
}

static int cluster_take(struct package *p, const struct extent *x, unsigned i, unsigned before, const uint8_t *data, package_sink sink, void *ctx,
                        vdisk_error *err)
{
	const struct device *d = &p->devices[x->info[i].dev];
	uint32_t cluster = x->info[i].cluster;
	struct slot *s;

	if (!d->name)
		return fail(err, VDISK_CORRUPT, "%s: an extent tells of device %u, which the header does not", p->path, x->info[i].dev);
	if (d->slot < 0)
		return 0;
	s = &p->slots[d->slot];
	if ((uint64_t)cluster * CLUSTER >= s->size)
		return fail(err, VDISK_CORRUPT, "%s: has cluster %u of %s, behind its end (%llu bytes)", p->path, cluster, s->ref, (unsigned long long)s->size);
	if (s->seen[cluster / 8] & 1u << cluster % 8)
		return fail(err, VDISK_CORRUPT, "%s: has cluster %u of %s twice", p->path, cluster, s->ref);
	s->seen[cluster / 8] |= (uint8_t)(1u << cluster % 8);
	s->clusters++;
	for (unsigned b = 0; b < 16;) {
		unsigned n = 0;

		while (b + n < 16 && x->info[i].mask >> (b + n) & 1)
			n++;
		if (n && run_take(p, s, (uint64_t)cluster * CLUSTER + b * BLOCK, (uint64_t)n * BLOCK, x->data + (uint64_t)before * BLOCK,
		                  data ? data + (size_t)before * BLOCK : NULL, sink, ctx, err))
			return -1;
		before += n;
		b += n ? n : 1;
	}
	return 0;
}

static int extent_take(struct package *p, const struct extent *x, const uint8_t *data, package_sink sink, void *ctx, vdisk_error *err)
{
	unsigned before = 0;

	for (unsigned i = 0; i < INFOS; i++) {
		if (x->info[i].dev && cluster_take(p, x, i, before, data, sink, ctx, err))
			return -1;
		if (!x->info[i].dev && x->info[i].mask)
			return fail(err, VDISK_CORRUPT, "%s: the extent before offset %llu holds blocks of no device", p->path, (unsigned long long)x->data);
		before += (unsigned)__builtin_popcount(x->info[i].mask);
	}
	return 0;
}

static int extents_take(struct package *p, struct source *src, uint8_t *data, const struct package_job *job, package_sink sink, void *ctx,
                        vdisk_error *err)
{
	uint8_t head[EXTENT_BYTES];
	struct extent x;
	size_t got;

	for (;;) {
		uint64_t at = src->at;
		const char *why;

		if (source_read(src, head, sizeof(head), &got, err))
			return -1;
		if (!got)
			return 0;
		why = got < sizeof(head) ? "is cut short" : extent_decode(head, p->uuid, &x);
		if (why)
			return fail(err, VDISK_CORRUPT, "%s: the extent at %llu %s", p->path, (unsigned long long)at, why);
		x.data = src->at;
		if (sink) {
			if (source_read(src, data, (size_t)x.blocks * BLOCK, &got, err))
				return -1;
		} else {
			got = p->file_size - src->at < (uint64_t)x.blocks * BLOCK ? 0 : (size_t)x.blocks * BLOCK;
			src->at += got;
		}
		if (got < (size_t)x.blocks * BLOCK)
			return fail(err, VDISK_CORRUPT, "%s: is cut short: the extent at %llu has %u blocks, which are not all there", p->path,
			            (unsigned long long)at, x.blocks);
		if (extent_take(p, &x, sink ? data : NULL, sink, ctx, err) || job_tick(p, job, src->s ? stream_used(src->s) : src->at, err))
			return -1;
	}
}

static int header_skip(struct package *p, struct source *x, vdisk_error *err)
{
	uint8_t buf[BLOCK];
	size_t got;

	if (!x->s) {
		x->at = p->data_at;
		return 0;
	}
	while (x->at < p->data_at) {
		size_t n = p->data_at - x->at < sizeof(buf) ? (size_t)(p->data_at - x->at) : sizeof(buf);

		if (source_read(x, buf, n, &got, err))
			return -1;
		if (got < n)
			return fail(err, VDISK_CORRUPT, "%s: has changed", p->path);
	}
	return 0;
}

int vma_scan(struct package *p, const struct package_job *job, package_sink sink, void *ctx, vdisk_error *err)
{
	uint8_t *data = sink ? malloc((size_t)INFOS * CLUSTER) : NULL;
	struct source x;
	int rc = source_open(&x, p, err);

	if (!rc && sink && !data)
		rc = fail_nomem(err);
	if (!rc)
		rc = header_skip(p, &x, err) || extents_take(p, &x, data, job, sink, ctx, err) ? -1 : 0;
	for (size_t i = 0; !rc && i < p->n_slots; i++) {
		const struct slot *s = &p->slots[i];
		uint64_t due = s->size / CLUSTER + (s->size % CLUSTER != 0);

		if (s->clusters != due)
			rc = fail(err, VDISK_CORRUPT, "%s: is cut short: %llu of the %llu clusters of %s are there", p->path, (unsigned long long)s->clusters,
			          (unsigned long long)due, s->ref);
	}
	for (unsigned i = 1; !rc && i < 256; i++)
		if (p->devices[i].name && p->devices[i].slot < 0)
			package_note(p, "the device %s is left out", p->devices[i].name);
	source_close(&x);
	free(data);
	return rc;
}

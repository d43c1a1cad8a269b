/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes NAME.partial as state.h and leaves.h of the transfer library tell: a digest is noted when its bytes are durable (L1), and
 * forgotten before they change (L2).  An image's own capture lies in "IMAGE.partial" and leaves it when it is whole.
 *
 * Workers write at once; each chunk belongs to one of them at a time.
 */
#include "sink_local.h"

#include "common/fail.h"
#include "local_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 65536u /* what is zeros is looked for in such pieces of a chunk */

struct noted {
	uint64_t index;
	uint32_t count;
	bool zeros;
	uint8_t sha256[32];
};

struct local_sink {
	struct sink s;
	struct local_folder f;
	const struct local_options *o;
	char *machine;
	struct sink_disk *disks;
	size_t n;
};

static struct local_sink *of(struct sink *s) { return (struct local_sink *)s; }

static int local_begin(struct sink *s, const char *machine, struct sink_disk *disks, size_t n, vdisk_error *err)
{
	struct local_sink *l = of(s);

	l->disks = disks;
	l->n = n;
	l->machine = strdup(machine);
	if (!l->machine)
		return fail_nomem(err);
	if (local_folder_open(&l->f, l->o, machine, disks, n, &s->found, err))
		return -1;
	s->where = l->f.path;
	s->whole = l->f.state.whole;
	return 0;
}

static int local_digests(struct sink *s, unsigned worker, size_t disk, uint64_t from, uint64_t n, uint8_t (*out)[32],
                         vdisk_error *err)
{
	(void)worker;
	return transfer_leaves_read(&of(s)->f.disks[disk].leaves, from, n, out, err);
}

/* Only what does not read as zeros is changed. */
static int zeros_put(vdisk_image *img, uint64_t off, uint64_t end, vdisk_error *err)
{
	struct vdisk_extent x[64];
	size_t n;

	while (off < end) {
		if (vdisk_map(img, off, end - off, x, sizeof(x) / sizeof(*x), &n, err))
			return -1;
		for (size_t i = 0; i < n; i++) {
			if (x[i].kind == VDISK_DATA && vdisk_zero(img, x[i].off, x[i].len, err))
				return -1;
			off = x[i].off + x[i].len;
		}
	}
	return 0;
}

static int chunk_put(vdisk_image *img, uint64_t off, const uint8_t *bytes, size_t len, vdisk_error *err)
{
	for (size_t at = 0, end; at < len; at = end) {
		bool zero = transfer_is_zero(bytes + at, len - at < PIECE ? len - at : PIECE);

		end = at;
		do
			end += len - end < PIECE ? len - end : PIECE;
		while (end < len && zero == transfer_is_zero(bytes + end, len - end < PIECE ? len - end : PIECE));
		if (zero ? zeros_put(img, off + at, off + end, err) : vdisk_pwrite(img, bytes + at, end - at, off + at, err))
			return -1;
	}
	return 0;
}

static int item_put(struct local_disk *d, const struct sink_item *item, vdisk_error *err)
{
	uint64_t off = item->index * TRANSFER_CHUNK, end = (item->index + item->count) * TRANSFER_CHUNK;
	uint8_t had[64][32];
	static const uint8_t none[32];

	for (uint64_t at = item->index, left = item->count, n; left; at += n, left -= n) {
		n = left < 64 ? left : 64;
		if (transfer_leaves_read(&d->leaves, at, n, had, err))
			return -1;
		for (uint64_t i = 0; i < n; i++)
			if (memcmp(had[i], none, 32)) {
				if (transfer_leaves_forget(&d->leaves, at + i, n - i, err)) /* L2 */
					return -1;
				break;
			}
	}
	if (item->bytes)
		return chunk_put(d->img, off, item->bytes, item->len, err);
	return zeros_put(d->img, off, end < d->leaves.size ? end : d->leaves.size, err);
}

static int note(struct local_disk *d, const struct noted *v, size_t n, vdisk_error *err)
{
	if (vdisk_flush(d->img, err)) /* L1 */
		return -1;
	for (size_t i = 0; i < n; i++) {
		uint8_t leaf[32];

		for (uint32_t k = 0; k < v[i].count; k++) {
			if (v[i].zeros ? transfer_zero_leaf(d->leaves.size, v[i].index + k, leaf, err)
			               : (memcpy(leaf, v[i].sha256, 32), 0))
				return -1;
			if (transfer_leaves_note(&d->leaves, v[i].index + k, 1, (const uint8_t (*)[32])&leaf, err))
				return -1;
		}
	}
	return 0;
}

static int local_send(struct sink *s, unsigned worker, size_t disk, sink_next_fn next, void *ctx, vdisk_error *err)
{
	struct local_disk *d = &of(s)->f.disks[disk];
	struct noted *v = NULL;
	struct sink_item item;
	size_t n = 0, cap = 0;
	int rc;

	(void)worker;
	while ((rc = next(ctx, &item, err)) > 0) {
		if (n == cap) {
			struct noted *more = realloc(v, (cap + 64) * 2 * sizeof(*v));

			if (!more) {
				rc = fail_nomem(err);
				break;
			}
			v = more;
			cap = (cap + 64) * 2;
		}
		v[n] = (struct noted){ .index = item.index, .count = item.count, .zeros = !item.bytes };
		memcpy(v[n++].sha256, item.sha256, 32);
		if ((rc = item_put(d, &item, err)) < 0)
			break;
	}
	if (!rc)
		rc = note(d, v, n, err);
	free(v);
	return rc < 0 ? -1 : 0;
}

static int local_pass(struct sink *s, size_t disk, const struct transfer_pass *p, struct ranges *differ, vdisk_error *err)
{
	struct local_sink *l = of(s);
	uint8_t digest[32];
	uint64_t missing;

	(void)differ;
	if (transfer_leaves_digest(&l->f.disks[disk].leaves, digest, &missing, err))
		return -1;
	if (missing || memcmp(digest, p->digest, 32))
		return fail(err, VDISK_CORRUPT, "%s/%s.leaves: is not the list of what was written", l->f.path,
		            l->disks[disk].name);
	return transfer_pass_save(l->f.dir, l->disks[disk].name, p, err);
}

static int local_complete(struct sink *s, vdisk_error *err)
{
	struct local_sink *l = of(s);
	int rc = s->whole ? local_folder_settle(&l->f, err) : local_folder_finish(&l->f, l->machine, err);

	s->where = l->f.path;
	return rc;
}

static void local_close(struct sink *s)
{
	struct local_sink *l = of(s);

	local_folder_close(&l->f);
	free(l->machine);
	free(l);
}

static const struct sink_ops ops = { local_begin, local_digests, local_send, local_pass, local_complete, local_close };

struct sink *local_open(const struct local_options *o, vdisk_error *err)
{
	struct local_sink *l = calloc(1, sizeof(*l));

	if (!l) {
		fail_nomem(err);
		return NULL;
	}
	l->s.ops = &ops;
	l->o = o;
	l->f.dir = -1;
	return &l->s;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the sender says of a disk that it has been through, held against what is there. */
#include "disk_parts.h"

#include "common/fail.h"

#include <stdlib.h>
#include <string.h>

static void missing_add(struct disk_differ *out, size_t *n, uint64_t from, uint64_t count)
{
	if (*n && out[*n - 1].from + out[*n - 1].count == from)
		out[*n - 1].count += count;
	else
		out[(*n)++] = (struct disk_differ){ from, count };
}

static int missing_list(struct disk *d, struct disk_differ *out, size_t *n, vdisk_error *err)
{
	static const uint8_t none[32];
	uint8_t (*leaves)[32] = malloc(ZEROS_MAX * 32);
	int rc = leaves ? 0 : fail_nomem(err);

	*n = 0;
	for (uint64_t at = 0; !rc && at < d->chunks && *n < DISK_DIFFER_MAX;) {
		uint64_t next = transfer_leaves_skip(&d->leaves, at),
			 k = d->chunks - next < ZEROS_MAX ? d->chunks - next : ZEROS_MAX;

		if (next > at)
			missing_add(out, n, at, next - at);
		rc = transfer_leaves_read(&d->leaves, next, k, leaves, err);
		for (uint64_t i = 0; !rc && i < k && *n < DISK_DIFFER_MAX; i++)
			if (!memcmp(leaves[i], none, 32))
				missing_add(out, n, next + i, 1);
		at = next + k;
	}
	free(leaves);
	return rc;
}

int disk_pass(struct disk *d, const struct transfer_pass *p, struct disk_differ *differ, size_t *n, vdisk_error *err)
{
	uint64_t there, missing;
	uint8_t digest[32];

	*n = 0;
	if (disk_flush(d, err) || transfer_leaves_count(&d->leaves, &there, err))
		return -1;
	if (there < d->chunks)
		return missing_list(d, differ, n, err) ? -1 : 0;
	if (transfer_leaves_digest(&d->leaves, digest, &missing, err))
		return -1;
	if (missing || memcmp(digest, p->digest, 32))
		return 0;
	if (transfer_pass_save(d->at->dir, d->name, p, err))
		return -1;
	pthread_mutex_lock(&d->lock);
	transfer_pass_free(&d->pass);
	d->pass = *p;
	d->pass.bad = calloc(p->n_bad + 1, sizeof(*p->bad));
	if (d->pass.bad)
		memcpy(d->pass.bad, p->bad, p->n_bad * sizeof(*p->bad));
	else
		d->pass = (struct transfer_pass){ 0 };
	pthread_mutex_unlock(&d->lock);
	return 1;
}

int disk_whole(struct disk *d, vdisk_error *err)
{
	uint8_t digest[32], said[32];
	uint64_t missing;
	unsigned pass;

	if (disk_flush(d, err) || transfer_leaves_digest(&d->leaves, digest, &missing, err))
		return -1;
	pthread_mutex_lock(&d->lock);
	pass = d->pass.pass;
	memcpy(said, d->pass.digest, 32);
	pthread_mutex_unlock(&d->lock);
	return pass && !missing && !memcmp(digest, said, 32);
}

int disk_seal(struct disk *d, vdisk_error *err)
{
	char file[TRANSFER_FILE_MAX];
	int rc;

	pthread_mutex_lock(&d->lock);
	while (d->users)
		pthread_cond_wait(&d->changed, &d->lock);
	rc = disk_flush_locked(d, err) || disk_image_close(d, err) ? -1 : 0;
	d->sealed = !rc;
	pthread_mutex_unlock(&d->lock);
	transfer_file(d->name, "manifest", file);
	return rc ? -1 : transfer_leaves_manifest(&d->leaves, d->at->dir, file, err);
}

void disk_facts(struct disk *d, struct disk_facts *out)
{
	pthread_mutex_lock(&d->lock);
	*out = (struct disk_facts){ .chunks = d->chunks,
		                    .have = d->have,
		                    .pass = d->pass.pass,
		                    .frozen = d->pass.frozen,
		                    .bad = d->pass.n_bad,
		                    .skipped = d->pass.skipped };
	memcpy(out->digest, d->pass.digest, 32);
	for (size_t i = 0; i < d->pass.n_bad; i++)
		out->bad_bytes += d->pass.bad[i].len;
	pthread_mutex_unlock(&d->lock);
}

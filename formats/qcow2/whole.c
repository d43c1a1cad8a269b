/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the file is as long as the image says, asked before the first change: writing to a file that was cut short would make it
 * longer over what it lost, so that the clusters that are gone would read as zeros or, worse, as what others wrote there.
 *
 * The counts tell it cheaply: a file that ends on a cluster's boundary behind the last cluster that is counted has lost nothing.
 * Only where it does not (a crash leaves counts past the end; QEMU leaves the last cluster short), or where the counts are not to
 * be believed (a dirty image), every reference is followed.
 */
#include "qcow2.h"

#include <stdio.h>

struct qcow2_whole {
	struct qcow2_walk w; /* first */
	uint64_t where;
	char text[256];      /* the first fault; "": none */
};

static void qcow2_whole_fault(struct qcow2_walk *w, uint64_t where, const char *text)
{
	struct qcow2_whole *k = (struct qcow2_whole *)w;

	if (k->text[0])
		return;
	k->where = where;
	snprintf(k->text, sizeof(k->text), "%s", text);
}

/* Of the last cluster of guest data as much as the disk needs must be there (the entry's judge sees to that), of any other its
   beginning. */
static int qcow2_whole_ref(struct qcow2_walk *w, enum qcow2_ref kind, uint64_t off, uint64_t len, const char *what, vd_error *err)
{
	char text[200];
	uint64_t last = vd_down(off + len - 1, w->q->cluster), size = vd_file_size(w->q->file);

	(void)kind, (void)err;
	if (last < size)
		return 0;
	snprintf(text, sizeof(text), "%s at %#" PRIx64 " reaches past the end of the file (%" PRIu64 " bytes)", what, off, size);
	qcow2_whole_fault(w, off, text);
	return 1;
}

static int qcow2_whole_walk(struct qcow2 *q, bool dirty, vd_error *err)
{
	struct qcow2_meta walked = {0};
	struct qcow2_whole k = {.w = {.q = q, .ref = qcow2_whole_ref, .fault = qcow2_whole_fault, .to_sector = true,
	                              .walked = &walked}};
	int rc;

	q->lenient = dirty; /* refcount blocks are for the mending to judge */
	rc = qcow2_walk_all(&k.w, err);
	vd_free(walked.slot);
	q->lenient = false;
	if (rc < 0 || !k.text[0])
		return rc;
	return vd_fail(err, VDISK_CORRUPT, k.where, "the file is cut short or damaged, and not written to: %s", k.text);
}

/* Behind the last cluster that the block counts; 0: it counts none. */
static int qcow2_block_end(struct qcow2 *q, uint64_t block, uint64_t *end, vd_error *err)
{
	uint64_t stop = (block + 1) << q->block_bits, run;
	bool zero;

	*end = 0;
	for (uint64_t at = block << q->block_bits; at < stop; at += run) {
		if (qcow2_refcount_scan(q, at, stop - at, &zero, &run, err) < 0)
			return -1;
		if (!zero)
			*end = at + run;
	}
	return 0;
}

/* The number behind the last cluster that is counted.  Refuses refcount blocks that are not in the file. */
static int qcow2_counted_end(struct qcow2 *q, uint64_t *end, vd_error *err)
{
	struct qcow2_meta empty = {0}; /* blocks without a count, which other entries may name, too */
	uint64_t off, last = 0;
	int rc = 0;

	for (uint64_t i = 0; i < qcow2_reftable_entries(q); i++) {
		if (qcow2_block_next(q, &i, &off, err) < 0)
			return -1;
		if (off)
			last = i + 1;
	}
	for (*end = 0; !rc && last && !*end; last--) {
		rc = qcow2_block_at(q, last - 1, &off, err);
		if (rc || !off || qcow2_meta_has(&empty, qcow2_cluster_of(q, off)))
			continue;
		rc = qcow2_block_end(q, last - 1, end, err);
		if (!rc && !*end)
			rc = qcow2_meta_add(&empty, qcow2_cluster_of(q, off), err);
	}
	vd_free(empty.slot);
	return rc;
}

int qcow2_whole_judge(struct qcow2 *q, vd_error *err)
{
	uint64_t size = vd_file_size(q->file), end;
	bool dirty = q->h.incompat & QCOW2_INCOMPAT_DIRTY;
	bool sure = !dirty && !(size & (q->cluster - 1)) && !(q->external && vd_file_size(q->data) < q->layer->size);

	if (sure && qcow2_counted_end(q, &end, err) < 0)
		return -1;
	return sure && end <= size >> q->bits ? 0 : qcow2_whole_walk(q, dirty, err);
}

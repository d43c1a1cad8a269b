/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "main_run.h"

#include "main_show.h"
#include "main_still.h"

#include "common/fail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_MAX 8u /* times that the other side may ask for more */
#define BAD_MERGE (UINT64_C(1) << 20)

static unsigned workers_of(const struct options *o)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return o->jobs ? o->jobs : cpus < 1 ? 2 : cpus > 4 ? 8 : (unsigned)cpus * 2;
}

/* A live machine is gone through twice, unless all of it is there already. */
static unsigned passes_of(const struct run *r)
{
	bool whole = true;

	if (r->o->passes)
		return r->o->passes;
	for (size_t i = 0; i < r->chosen->n; i++)
		whole = whole && r->sinks[i].have == transfer_chunks(r->sinks[i].size);
	return r->live.n && !r->o->resync && !whole ? 2 : 1;
}

int run_open(struct run *r, vdisk_error *err)
{
	size_t n = r->chosen->n;
	const char **names = calloc(n, sizeof(*names));
	int rc = 0;

	r->disks = calloc(n, sizeof(*r->disks));
	r->pass = (struct pass){ .disks = calloc(n, sizeof(*r->pass.disks)),
		                 .n = n,
		                 .sink = r->sink,
		                 .workers = workers_of(r->o),
		                 .cancel = r->cancel,
		                 .tick = show_tick,
		                 .note = show_note };
	if (!names || !r->disks || !r->pass.disks) {
		free(names);
		return fail_nomem(err);
	}
	for (size_t i = 0; !rc && i < n; i++) {
		struct pass_disk *d = &r->pass.disks[i];

		names[i] = r->chosen->disks[i].device ? r->chosen->disks[i].name : ""; /* a file may be called sda */
		r->disks[i].content.disk = &r->chosen->disks[i];
		d->content = &r->disks[i].content;
		d->chunks = transfer_chunks(r->chosen->disks[i].size);
		d->have = calloc(d->chunks, 32);
		if (!d->have)
			rc = fail_nomem(err);
		else if (r->sinks[i].have)
			rc = pass_list(&r->pass, i, err);
	}
	if (!rc)
		rc = live_find(&r->live, names, n, "", err);
	free(names);
	if (!rc)
		r->passes = passes_of(r);
	return rc;
}

int run_found(struct run *r, vdisk_error *err)
{
	size_t n = r->chosen->n;

	r->disks = calloc(n, sizeof(*r->disks));
	r->pass = (struct pass){ .disks = calloc(n, sizeof(*r->pass.disks)), .n = n };
	if (!r->disks || !r->pass.disks)
		return fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		r->disks[i].content.disk = &r->chosen->disks[i];
		r->disks[i].last = r->sinks[i].last;
		r->sinks[i].last = (struct transfer_pass){ 0 };
	}
	return 0;
}

void run_free(struct run *r)
{
	if (r->disks && r->pass.disks)
		still_end(r);
	live_free(&r->live);
	for (size_t i = 0; r->disks && i < r->chosen->n; i++) {
		ranges_free(&r->disks[i].content.free);
		transfer_pass_free(&r->disks[i].last);
	}
	for (size_t i = 0; r->pass.disks && i < r->pass.n; i++) {
		free(r->pass.disks[i].have);
		ranges_free(&r->pass.disks[i].again);
	}
	free(r->disks);
	free(r->pass.disks);
}

/* ---- after it */

/* What could not be read of snapshots. */
static int bad_snapped(const struct content *c, struct ranges *out)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < c->n_layers; i++) {
		struct ranges bad = { 0 };
		struct vdisk_range x;

		rc = c->layers[i].from ? disk_bad(c->layers[i].from, &bad) : 0;
		for (size_t k = 0; !rc && k < bad.n; k++)
			if (content_layer_find(&c->layers[i], bad.v[k].off, bad.v[k].len, &x))
				rc = ranges_add(out, x.off, x.off + x.len);
		ranges_free(&bad);
	}
	return rc;
}

/* The list of what is bad, joined where it is too long. */
static int bad_take(const struct content *c, struct transfer_pass *p, vdisk_error *err)
{
	struct disk *d = c->disk;
	struct ranges bad;

	if (disk_bad(d, &bad) || bad_snapped(c, &bad)) {
		ranges_free(&bad);
		return fail_nomem(err);
	}
	ranges_sort(&bad);
	for (uint64_t step = BAD_MERGE; bad.n > TRANSFER_BAD_MAX; step *= 2) {
		for (size_t i = 0; i < bad.n; i++) {
			uint64_t end = (bad.v[i].off + bad.v[i].len + step - 1) / step * step;

			bad.v[i].off = bad.v[i].off / step * step;
			bad.v[i].len = (end < d->size ? end : d->size) - bad.v[i].off;
		}
		ranges_sort(&bad);
	}
	p->bad = bad.v;
	p->n_bad = bad.n;
	return 0;
}

/* What the other side lacks is read and sent again; where it cannot say what, all is compared with its list. */
static int pass_repeat(struct run *r, size_t i, const struct ranges *differ, vdisk_error *err)
{
	struct pass_disk *d = &r->pass.disks[i];

	if (!differ->n) {
		if (pass_list(&r->pass, i, err))
			return -1;
		return pass_again(&r->pass, i, true, err);
	}
	for (size_t k = 0; k < differ->n; k++) {
		uint64_t from = differ->v[k].off, n = differ->v[k].len;

		memset(d->have[from], 0, n * 32);
		if (ranges_add(&d->again, from, from + n))
			return fail_nomem(err);
		d->done -= n * TRANSFER_CHUNK < d->done ? n * TRANSFER_CHUNK : d->done;
	}
	return pass_again(&r->pass, i, false, err);
}

static int disk_end(struct run *r, size_t i, vdisk_error *err)
{
	struct run_disk *d = &r->disks[i];
	struct ranges differ = { 0 };
	int rc = SINK_AGAIN;

	for (unsigned times = 0; rc == SINK_AGAIN; times++) {
		transfer_pass_free(&d->last);
		d->last = (struct transfer_pass){ .pass = r->done + 1, .skipped = ranges_total(&d->content.free) };
		if (bad_take(&d->content, &d->last, err) || pass_digest(&r->pass.disks[i], d->last.digest, err))
			return -1;
		d->last.frozen = live_still(&r->live, d->content.disk->name, "");
		rc = r->sink->ops->pass(r->sink, i, &d->last, &differ, err);
		if (rc == SINK_AGAIN && times == AGAIN_MAX)
			rc = fail(err, VDISK_IO, "%s: the other side still has something else after %u times",
			          d->content.disk->name, times);
		if (rc == SINK_AGAIN) {
			show_note("the other side lost something that it had not made durable: it is sent again");
			if (pass_repeat(r, i, &differ, err))
				rc = -1;
		}
		ranges_free(&differ);
	}
	d->sent += r->pass.disks[i].sent;
	d->zero += r->pass.disks[i].zero;
	return rc;
}

static void unfrozen_warn(const struct run *r, size_t i)
{
	char line[512];

	snprintf(line, sizeof(line),
	         "%s: it was written to while it was read, and could not be frozen: what was sent is no state that it ever had. "
	         "Capture it once more when it is quiet, or from the ISO",
	         r->disks[i].content.disk->name);
	show_warning(line);
}

/* Which volumes were read from snapshots is for the report, since they are gone by then. */
static void snapped_note(struct run *r)
{
	for (size_t i = 0; i < r->snaps.n; i++)
		for (size_t k = 0; r->snaps.v[i].open && k < r->snaps.v[i].n_pieces; k++) {
			struct run_disk *d = &r->disks[r->snaps.v[i].pieces[k].disk];
			bool seen = false;

			for (size_t j = 0; j < d->n_snapped; j++)
				seen = seen || d->snapped[j].snap == i;
			if (seen || d->n_snapped == sizeof(d->snapped) / sizeof(*d->snapped))
				continue;
			d->snapped[d->n_snapped].snap = i;
			snprintf(d->snapped[d->n_snapped++].name, sizeof(d->snapped->name), "%s/%s", r->snaps.v[i].group,
			         r->snaps.v[i].volume);
		}
}

static int pass_try(struct run *r, bool last, vdisk_error *err)
{
	int rc = still_begin(r, last, err);

	show_pass(r->done + 1, r->passes,
	          last && (snap_any(&r->snaps) || freeze_holds(&r->live.freeze)) ? "reading, frozen"
	          : r->done                                                      ? "comparing"
	                                                                         : "reading");
	if (!rc)
		rc = pass_run(&r->pass, err);
	for (size_t i = 0; !rc && i < r->pass.n; i++)
		rc = disk_end(r, i, err);
	return rc;
}

static int pass_once(struct run *r, bool last, vdisk_error *err)
{
	int rc = pass_try(r, last, err);

	/* A full snapshot cannot be read; what was read before it was full is good, but nobody knows what of it has arrived. */
	if (rc && !*r->cancel && snap_broken(&r->snaps)) {
		show_warning(err->message);
		show_warning("the pass is done once more, without snapshots");
		still_end(r);
		r->snaps_failed = true;
		rc = 0;
		for (size_t i = 0; !rc && i < r->pass.n; i++)
			rc = pass_list(&r->pass, i, err);
		if (!rc)
			rc = pass_try(r, last, err);
	}
	snapped_note(r);
	still_end(r);
	show_end();
	for (size_t i = 0; !rc && last && i < r->pass.n; i++)
		if (!r->disks[i].last.frozen)
			unfrozen_warn(r, i);
	return rc;
}

int run_passes(struct run *r, vdisk_error *err)
{
	still_prepare(r);
	for (r->done = 0; r->done < r->passes; r->done++)
		if (pass_once(r, r->done + 1 == r->passes && !r->o->resync, err))
			return -1;
	return 0;
}

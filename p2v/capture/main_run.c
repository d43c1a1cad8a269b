/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What file systems call free is asked before each pass, and believed where they are at rest, or frozen: what is mounted has part of its metadata in
 * memory and journal.  Before a pass that is not the last they are thawed as soon as that is known.  It may be wrong a moment later, and the next
 * pass sees what was missed, since it compares by digests.
 */
#include "main_run.h"

#include "free.h"
#include "main_show.h"

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
	r->pass = (struct pass){ .disks = calloc(n, sizeof(*r->pass.disks)), .n = n, .sink = r->sink, .workers = workers_of(r->o), .cancel = r->cancel,
		.tick = show_tick, .note = show_note };
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

void run_free(struct run *r)
{
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

/* ---- before a pass */

static int free_look(struct run *r, size_t i, bool last, vdisk_error *err)
{
	struct content *c = &r->disks[i].content;
	struct free_map map;
	bool live = live_on(&r->live, c->disk->name) && live_frozen(&r->live, c->disk->name);

	ranges_free(&c->free);
	if (r->o->everything)
		return 0;
	if (free_find(c->disk, live, &map, err)) {
		char line[VDISK_ERROR_MESSAGE_MAX + 32];

		if (r->cancel && *r->cancel)
			return fail(err, VDISK_CANCELLED, "interrupted");
		snprintf(line, sizeof(line), "%s; all of it is read", err->message);
		show_warning(line);
		return 0;
	}
	for (size_t k = 0; k < map.n_notes; k++) {
		char line[sizeof(map.notes->text) + 128];

		snprintf(line, sizeof(line), "%s, %s", c->disk->name, map.notes[k].text);
		if (last)
			show_warning(line);
		else
			show_note(line);
	}
	c->free = map.free;
	map.free = (struct ranges){ 0 };
	free_map_free(&map);
	return 0;
}

/* ---- after it */

/* The list of what is bad, joined where it is too long. */
static int bad_take(struct disk *d, struct transfer_pass *p, vdisk_error *err)
{
	struct ranges bad;

	if (disk_bad(d, &bad))
		return fail_nomem(err);
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
		return pass_run(&r->pass, true, err);
	}
	for (size_t k = 0; k < differ->n; k++) {
		uint64_t from = differ->v[k].off, n = differ->v[k].len;

		memset(d->have[from], 0, n * 32);
		if (ranges_add(&d->again, from, from + n))
			return fail_nomem(err);
		d->done -= n * TRANSFER_CHUNK < d->done ? n * TRANSFER_CHUNK : d->done;
	}
	return pass_run(&r->pass, false, err);
}

static int disk_end(struct run *r, size_t i, vdisk_error *err)
{
	struct run_disk *d = &r->disks[i];
	struct ranges differ = { 0 };
	int rc = SINK_AGAIN;

	for (unsigned times = 0; rc == SINK_AGAIN; times++) {
		transfer_pass_free(&d->last);
		d->last = (struct transfer_pass){ .pass = r->done + 1, .skipped = ranges_total(&d->content.free) };
		if (bad_take(d->content.disk, &d->last, err) || pass_digest(&r->pass.disks[i], d->last.digest, err))
			return -1;
		d->last.frozen = live_still(&r->live, d->content.disk->name, "");
		rc = r->sink->ops->pass(r->sink, i, &d->last, &differ, err);
		if (rc == SINK_AGAIN && times == AGAIN_MAX)
			rc = fail(err, VDISK_IO, "%s: the other side still has something else after %u times", d->content.disk->name, times);
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

	snprintf(line, sizeof(line), "%s: it was written to while it was read, and could not be frozen: what was sent is no state that it ever had. "
	         "Capture it once more when it is quiet, or from the ISO", r->disks[i].content.disk->name);
	show_warning(line);
}

static int pass_once(struct run *r, bool last, vdisk_error *err)
{
	bool freeze = r->live.n && r->o->freeze != FREEZE_NONE && (last || !r->o->everything);
	int rc = 0;

	show_pass(r->done + 1, r->passes, freeze && last ? "reading, frozen" : r->done ? "comparing" : "reading");
	if (freeze)
		live_freeze(&r->live, r->o->freeze == FREEZE_ALL, r->o->freeze_seconds, last ? show_warning : show_note);
	live_watch(&r->live, "");
	for (size_t i = 0; !rc && i < r->pass.n; i++)
		rc = free_look(r, i, last, err);
	if (!last)
		live_thaw(&r->live);
	if (!rc)
		rc = pass_run(&r->pass, true, err);
	for (size_t i = 0; !rc && i < r->pass.n; i++)
		rc = disk_end(r, i, err);
	live_thaw(&r->live);
	show_end();
	for (size_t i = 0; !rc && last && i < r->pass.n; i++)
		if (!r->disks[i].last.frozen)
			unfrozen_warn(r, i);
	return rc;
}

int run_passes(struct run *r, vdisk_error *err)
{
	for (r->done = 0; r->done < r->passes; r->done++)
		if (pass_once(r, r->done + 1 == r->passes && !r->o->resync, err))
			return -1;
	return 0;
}

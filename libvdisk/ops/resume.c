/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Going on with a conversion that was broken off, and leaving one so that it can be gone on with.  checkpoint.h says how.
 *
 * What a run leaves: by SIGKILL and power cut, whatever its record says.  Cancelled: everything up to the last window.  By an
 * error: nothing, unless it was resumed itself, or was asked to resume and the error is the host's.
 */
#include "ops/checkpoint.h"
#include "io/http.h"
#include "io/nbd.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct vd_resume {
	char *path, *side, *fingerprint;
	uint64_t now, seed;
	struct vd_saved *saved; /* NULL: from the beginning */
	struct vd_ckpt *ckpt;
	bool ours; /* the unfinished files, and so the record, are this run's */
	bool left;
};

/* ---- whether at all */

static const char *cannot(const struct vd_conv *c, const char *path)
{
	const struct vdisk_convert_options *o = c->opts;
	struct stat st;

	if (!strcmp(path, "-") || vd_image_is_forward(c->src))
		return "what goes through a pipe cannot be gone on with";
	if (vd_nbd_uri_is(path))
		return "there is no place beside an NBD server's export to record how far a conversion got";
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return "there is no place beside a device to record how far a conversion got";
	for (const char *const *kv = o->options; kv && *kv; kv++)
		if (!strncmp(*kv, "encrypt.", 8))
			return "an encrypted image gets another key each time it is made";
	for (unsigned d = 0; d < c->src->n_layers; d++)
		for (unsigned i = 0; i < c->src->chain[d]->n_files; i++)
			if (c->src->chain[d]->files[i]->flags & VD_FILE_REMOTE) {
				if (!vd_file_http_version(c->src->chain[d]->files[i])[0])
					return "the server does not say which version of the source it has (no ETag, no Last-Modified)";
			} else if (c->src->chain[d]->files[i]->fd < 0)
				return "the source is no file whose identity can be seen";
	return NULL;
}

/* Says that somebody's work lies there. */
static int refuse_waiting(const char *path, const struct vd_saved *s, uint64_t size, vd_error *err)
{
	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		       "%s: an unfinished conversion to it is there, %u %% done: --resume goes on with it, --force starts anew",
		       path, size ? (unsigned)(s->at.pos * 100.0 / size) : 0);
}

static int saved_find(struct vd_conv *c, struct vd_resume *r, vd_error *err)
{
	const uint32_t flags = c->opts->flags;
	struct vd_saved *s;
	enum vd_saved_state state;

	if (vd_saved_load(r->side, &s, err))
		return -1;
	if (!s)
		return 0;
	state = vd_saved_judge(s, r->path);
	if (state == VD_SAVED_WAITS && !(flags & (VDISK_CONVERT_RESUME | VDISK_CONVERT_OVERWRITE)))
		refuse_waiting(r->path, s, c->src->top->size, err);
	else if (state == VD_SAVED_GONE || !(flags & VDISK_CONVERT_RESUME))
		state = VD_SAVED_GONE;
	else if (!vd_fingerprint_compare(r->path, s->fingerprint, r->fingerprint, err)) {
		r->saved = s;
		return 0;
	}
	vd_saved_free(s);
	return state == VD_SAVED_GONE ? 0 : -1;
}

static int resume_new(struct vd_conv *c, const char *path, vd_error *err)
{
	struct vd_resume *r = vd_calloc(1, sizeof(*r));

	c->resume = r;
	if (!r)
		return vd_fail_nomem(err, sizeof(*r));
	r->path = vd_strdup(path);
	r->side = vd_staging_side(path, VD_STAGING_RECORD);
	if (!r->path || !r->side)
		return vd_fail_nomem(err, strlen(path));
	return vd_fingerprint_make(c, path, &r->fingerprint, err);
}

int vd_resume_begin(struct vd_conv *c, const char *path, struct vd_new_image *n, vd_error *err)
{
	const uint32_t flags = c->opts->flags;
	const char *why = cannot(c, path);
	struct vd_resume *r;
	uint8_t random[16];

	if (!(flags & VDISK_CONVERT_CHECKPOINT) || flags & VDISK_CONVERT_DRY_RUN)
		return 0;
	if (why && flags & (VDISK_CONVERT_RESUME | VDISK_CONVERT_PUNCH_SOURCE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: cannot be resumed: %s", path, why);
	if (why)
		return 0;
	if (resume_new(c, path, err) || saved_find(c, c->resume, err))
		return -1;
	r = c->resume;
	if (r->saved) {
		r->now = r->saved->now;
		r->seed = r->saved->seed;
		n->kept = r->saved->files;
		n->n_kept = r->saved->n_files;
	} else if (!getenv("SOURCE_DATE_EPOCH") || !*getenv("SOURCE_DATE_EPOCH")) {
		if (vd_uuid_random(random, err))
			return -1;
		r->now = (uint64_t)time(NULL);
		r->seed = vd_max(le64_get(random), 1);
	}
	n->now = r->now;
	n->seed = r->seed;
	if (r->saved || flags & VDISK_CONVERT_PUNCH_SOURCE)
		n->need_bytes = 0; /* a part of it is there; or it will be, as the source goes */
	return 0;
}

/* ---- doing it again */

static int window_again(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	for (size_t i = 0; i < w->n_places; i++) {
		struct vd_resv *r = &w->places[i].r, was = *r;

		r->host = 0;
		r->file = 0;
		if (vd_layer_reserve(c->to, r, err))
			return -1;
		w->n_reserved = i + 1;
		if (r->len != was.len || (was.kind == VD_DATA && (r->host != was.host || r->file != was.file)))
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
				       "%s: guest offset %" PRIu64 " was at %" PRIu64
				       " of the unfinished file and would now be at %" PRIu64
				       "; --force without --resume starts anew",
				       c->to->path, was.off, was.host, r->host);
	}
	return vd_conv_publish(c, w, err) || vd_conv_count(c, w, err) ? -1 : 0;
}

/* Stands where a walk stood that had asked the map at `from` last, so that it goes on as that one did: what the map says at once
   depends on where it was asked. */
static int walk_again(struct vd_walk *w, uint64_t from, uint64_t pos, uint64_t lost, vd_error *err)
{
	struct vd_extent x;

	w->pos = from;
	if (from < w->size && vd_walk_next(w, from + 1, &x, err))
		return -1;
	w->pos = pos;
	w->lost = lost;
	return 0;
}

static int replay(struct vd_conv *c, struct vd_saved *s, vd_error *err)
{
	VD_AUTO_FREE struct vd_window *w = vd_calloc(1, sizeof(*w));
	bool more = true;
	int rc;

	if (!w)
		return vd_fail_nomem(err, sizeof(*w));
	if (s->at.pos > c->size)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: goes past the end of the disk", s->path);
	rc = vd_window_init(c, w, err);
	while (!rc && more) {
		w->n_places = w->n_reserved = 0;
		rc = vd_saved_next(s, c, w, &more, err);
		if (!rc && more)
			rc = window_again(c, w, err);
		if (!rc && c->opts->cancel && *c->opts->cancel)
			rc = vd_fail(err, VDISK_CANCELLED, VDISK_NO_OFFSET, "stopped on request");
	}
	vd_window_free(w);
	if (rc)
		return -1;
	c->report.resumed = s->at.pos;
	if (walk_again(&c->walk, s->at.from, s->at.pos, s->at.lost, err))
		return -1;
	return c->backed && walk_again(&c->back_walk, s->at.back_from, s->at.pos, 0, err) ? -1 : 0;
}

int vd_resume_start(struct vd_conv *c, vd_error *err)
{
	struct vd_resume *r = c->resume;

	if (!r)
		return 0;
	r->ours = true;
	if (r->saved && replay(c, r->saved, err))
		return -1;
	return vd_ckpt_new(c, r->side, r->fingerprint, r->now, r->seed, r->saved, &r->ckpt, err);
}

/* ---- on the way */

void vd_resume_window(struct vd_conv *c, const struct vd_window *w)
{
	if (c->resume)
		vd_ckpt_add(c->resume->ckpt, w);
}

void vd_resume_tick(struct vd_conv *c)
{
	if (c->resume && c->resume->ckpt)
		vd_ckpt_tick(c->resume->ckpt);
}

int vd_resume_save(struct vd_conv *c, uint64_t *pos, vd_error *err)
{
	if (vd_ckpt_save(c->resume->ckpt, err))
		return -1;
	*pos = vd_ckpt_durable(c->resume->ckpt);
	return 0;
}

void vd_resume_settle(struct vd_conv *c)
{
	struct vd_resume *r = c->resume;

	if (!r || !r->ckpt)
		return;
	vd_ckpt_settle(r->ckpt);
	vd_ckpt_free(r->ckpt);
	r->ckpt = NULL;
}

int vd_resume_commit(struct vd_conv *c, vd_error *err)
{
	struct vd_resume *r = c->resume;
	bool keep = r && (r->saved || c->punch);

	if (keep)
		vd_image_keep(c->dst);
	if (!vd_image_commit(c->dst, err))
		return 0;
	if (keep)
		c->report.resumable = r->left = access(r->side, F_OK) == 0;
	return -1;
}

/* ---- the end */

void vd_resume_leave(struct vd_conv *c, const vd_error *why)
{
	struct vd_resume *r = c->resume;
	bool asked = why->kind == VDISK_CANCELLED || c->punch || (r && r->saved) ||
	             (c->opts->flags & VDISK_CONVERT_RESUME && (why->kind == VDISK_IO || why->kind == VDISK_NOMEM));

	if (!r || !asked)
		return;
	if (r->ckpt) {
		(void)vd_ckpt_save(r->ckpt, NULL); /* what was recorded before counts in any case */
		vd_ckpt_free(r->ckpt);
		r->ckpt = NULL;
	}
	r->left = access(r->side, F_OK) == 0;
	if (r->left)
		vd_image_keep(c->dst);
	c->report.resumable = r->left;
}

void vd_resume_end(struct vd_conv *c)
{
	struct vd_resume *r = c->resume;

	if (!r)
		return;
	vd_ckpt_free(r->ckpt);
	if (r->ours && !r->left)
		(void)unlink(r->side);
	vd_saved_free(r->saved);
	vd_free(r->path);
	vd_free(r->side);
	vd_free(r->fingerprint);
	vd_free(r);
	c->resume = NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of a capture's work stands in its capture.json: "waiting", "running" (of a receiver that was ended: it is done anew),
 * "done", "failed".  The work itself is another program's: vdisk-p2v makes NAME/result from the capture, which stays as it was
 * received; where nothing but a verdict is wanted, vdisk-verify gives it on the images themselves, without changing them.
 *
 * The store's lock guards waiting for captures; one thread does all the rest.
 */
#include "work.h"

#include "clock.h"
#include "run.h"
#include "store_folder.h"
#include "view.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX (TRANSFER_DISKS_MAX + 32)
#define RESULT   "result"
#define PICTURE  "screenshot.png"

struct work {
	struct store *store;
	struct work_options o;
	work_done_fn done;
	void *ctx;
	pthread_t thread;
	volatile bool stop;
};

struct args {
	char *v[ARGS_MAX + 1];
	size_t n;
};

bool work_wanted(const struct work_options *o) { return o->adapt || o->convert || o->verify; }

static const char *program_of(const struct work_options *o) { return o->adapt || o->convert ? "vdisk-p2v" : "vdisk-verify"; }

int work_judge(const struct work_options *o, vdisk_error *err)
{
	char path[4096];

	if (!work_wanted(o) || run_find(program_of(o), path))
		return 0;
	return fail(err, VDISK_UNSUPPORTED, "%s is not there, which %s takes", program_of(o),
	            o->adapt     ? "--adapt"
	            : o->convert ? "--convert"
	                         : "--verify");
}

static void add(json_object *o, const char *key, json_object *v) /* takes v */
{
	if (json_object_object_add(o, key, v))
		json_object_put(v);
}

static json_object *state(const char *name, const char *step)
{
	json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	add(o, "state", json_object_new_string(name));
	add(o, "step", step ? json_object_new_string(step) : NULL);
	return o;
}

static void arg(struct args *a, const char *option, const char *value)
{
	if (value && a->n + 1 < ARGS_MAX) {
		if (option)
			a->v[a->n++] = (char *)(uintptr_t)option;
		a->v[a->n++] = (char *)(uintptr_t)value;
	}
	a->v[a->n] = NULL;
}

static bool line_heard(void *ctx, const char *text)
{
	struct capture *c = ctx;
	bool progress;

	pthread_mutex_lock(&c->lock);
	progress = steps_hear(&c->steps, text);
	pthread_mutex_unlock(&c->lock);
	if (!progress)
		capture_log(c, "%s", text);
	return !progress;
}

static void args_p2v(const struct work_options *o, struct args *a, const char *folder, const char *result)
{
	arg(a, "--target", o->adapt ? o->adapt : "kvm");
	arg(a, "--out", result);
	arg(a, "-O", o->convert);
	arg(a, NULL, o->adapt ? NULL : "--no-adapt");
	arg(a, NULL, o->verify ? "--verify" : NULL);
	arg(a, NULL, "--json");
	arg(a, "--progress", "json");
	arg(a, "--drivers", o->drivers);
	arg(a, "--expect", o->verify ? o->expect : NULL);
	arg(a, "--timeout", o->verify ? o->timeout : NULL);
	arg(a, "--engine", o->verify ? o->engine : NULL);
	arg(a, NULL, folder);
}

static void args_verify(const struct work_options *o, struct args *a, const char *picture, const struct transfer_state *st,
                        char (*paths)[PATH_MAX], size_t n)
{
	arg(a, NULL, "--json");
	arg(a, "--screenshot", picture);
	arg(a, "--expect", o->expect);
	arg(a, "--timeout", o->timeout);
	arg(a, "--engine", o->engine);
	arg(a, "--format", st->format);
	for (size_t i = 0; i < n; i++)
		arg(a, NULL, paths[i]);
}

/* What the program said and how it ended, as the capture's work. */
static json_object *judge(const struct work *w, const struct run *r, const char *program)
{
	json_object *said = r->len ? json_tokener_parse(r->out) : NULL, *o;
	const char *verdict = w->o.verify ? transfer_json_find(said, "verdict") : NULL, *why = transfer_json_find(said, "cause");
	bool good = r->status == 0 || (r->status == 1 && verdict);

	o = state(good ? "done" : "failed", NULL);
	if (o) {
		add(o, "verdict", verdict ? json_object_new_string(verdict) : NULL);
		if (!good && r->status >= 128) {
			char text[64];

			snprintf(text, sizeof(text), "%s was ended by signal %d", program, r->status - 128);
			add(o, "message", json_object_new_string(text));
		} else {
			add(o, "message",
			    !good ? json_object_new_string(r->last[0] ? r->last : "it failed without a word")
			    : why ? json_object_new_string(why)
			          : NULL);
		}
	}
	json_object_put(said);
	return o;
}

/* The picture of the screen, where the page looks for it. */
static bool picture_take(struct capture *c)
{
	if (!faccessat(c->dir, PICTURE, F_OK, 0))
		return true;
	return !linkat(c->dir, RESULT "/" PICTURE, c->dir, PICTURE, 0);
}

static void result_log(struct capture *c, const char *program, json_object *o)
{
	const char *verdict = transfer_json_find(o, "verdict"), *how = transfer_json_find(o, "state"),
		   *message = transfer_json_find(o, "message");

	capture_log(c, "%s: %s%s%s", program, verdict ? verdict : how ? how : "", message ? ": " : "", message ? message : "");
}

static void work_run(struct work *w, struct capture *c)
{
	const char *program = program_of(&w->o);
	char path[4096], folder[PATH_MAX], (*paths)[PATH_MAX] = NULL, result[PATH_MAX + 16], picture[PATH_MAX + 32];
	struct args a = { 0 };
	json_object *o = NULL;
	struct run r = { 0 };
	vdisk_error err = { 0 };
	size_t n = c->st.n_disks;
	bool p2v = w->o.adapt || w->o.convert;

	pthread_mutex_lock(&c->lock);
	memcpy(folder, c->folder, sizeof(folder));
	c->steps = (struct steps){ 0 };
	if (!p2v)
		steps_single(&c->steps, "verifying");
	pthread_mutex_unlock(&c->lock);
	snprintf(result, sizeof(result), "%s/" RESULT, folder);
	snprintf(picture, sizeof(picture), "%s/" PICTURE, folder);
	if (capture_work_set(c, state("running", p2v ? w->o.adapt ? "adapting" : "converting" : "verifying"), &err))
		capture_log(c, "%s", err.message);
	paths = calloc(n, sizeof(*paths));
	if (!paths || !run_find(program, path) || folder_remove(c->dir, RESULT, &err) ||
	    (unlinkat(c->dir, PICTURE, 0) && errno != ENOENT)) {
		snprintf(r.last, sizeof(r.last), "%s", err.kind ? err.message : "it cannot be begun");
		r.status = 2;
	} else {
		for (size_t i = 0; i < n; i++) {
			char file[TRANSFER_FILE_MAX];

			transfer_file(c->st.disks[i].name, c->st.format, file);
			snprintf(paths[i], PATH_MAX, "%.*s/%s", (int)(PATH_MAX - TRANSFER_FILE_MAX - 2), folder, file);
		}
		arg(&a, NULL, path);
		if (p2v)
			args_p2v(&w->o, &a, folder, result);
		else
			args_verify(&w->o, &a, picture, &c->st, paths, n);
		capture_log(c, "%s begins", program);
		if (run_program(a.v, line_heard, c, &w->stop, &r, &err)) {
			snprintf(r.last, sizeof(r.last), "%s", err.message);
			r.status = 2;
		}
	}
	free(paths);
	if (!w->stop) {
		o = judge(w, &r, program);
		if (o) {
			if (picture_take(c))
				add(o, "screenshot", json_object_new_string(PICTURE));
			if (p2v && r.status <= 1)
				add(o, "output", json_object_new_string(RESULT));
			result_log(c, program, o);
		}
		if (capture_work_set(c, o, &err))
			capture_log(c, "%s", err.message);
	}
	free(r.out);
}

static void work_do(struct work *w, struct capture *c)
{
	vdisk_error err;

	if (work_wanted(&w->o))
		work_run(w, c);
	else if (capture_work_set(c, state("done", NULL), &err))
		capture_log(c, "%s", err.message);
}

int work_verdict(struct capture *c)
{
	const char *verdict, *how;
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	verdict = transfer_json_find(c->st.work, "verdict");
	how = transfer_json_find(c->st.work, "state");
	if (how && strcmp(how, "done"))
		rc = 2;
	else if (verdict && !strcmp(verdict, "not-verified"))
		rc = 2;
	else if (verdict && strcmp(verdict, "booted"))
		rc = 1;
	pthread_mutex_unlock(&c->lock);
	return rc;
}

/* One that waits for its work, held; NULL: none. */
static struct capture *next(struct store *s)
{
	struct capture *found = NULL;

	for (struct capture *c = s->list; c; c = c->next) {
		const char *name;

		pthread_mutex_lock(&c->lock);
		name = c->state == CAPTURE_WHOLE ? transfer_json_find(c->st.work, "state") : NULL;
		if (name && (!strcmp(name, "waiting") || !strcmp(name, "running")))
			found = c; /* the last of the list waits for the longest time */
		pthread_mutex_unlock(&c->lock);
	}
	if (found)
		found->refs++;
	return found;
}

static void *work_thread(void *arg_)
{
	struct work *w = arg_;
	struct store *s = w->store;

	for (;;) {
		struct capture *c = NULL;

		pthread_mutex_lock(&s->lock);
		while (!w->stop && !(c = next(s)))
			pthread_cond_wait(&s->whole, &s->lock);
		pthread_mutex_unlock(&s->lock);
		if (w->stop || !c) {
			if (c)
				store_put(s, c);
			return NULL;
		}
		work_do(w, c);
		if (!w->stop && w->done)
			w->done(w->ctx, c, view_capture(c));
		store_put(s, c);
	}
}

int work_start(struct store *s, const struct work_options *o, work_done_fn done, void *ctx, struct work **out, vdisk_error *err)
{
	struct work *w = calloc(1, sizeof(*w));

	if (!w)
		return fail_nomem(err);
	*w = (struct work){ .store = s, .o = *o, .done = done, .ctx = ctx };
	errno = pthread_create(&w->thread, NULL, work_thread, w);
	if (!errno) {
		*out = w;
		return 0;
	}
	free(w);
	return fail_errno(err, "a thread");
}

void work_stop(struct work *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->store->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->store->whole);
	pthread_mutex_unlock(&w->store->lock);
	pthread_join(w->thread, NULL);
	free(w);
}

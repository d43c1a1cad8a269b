/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view.h"

#include "clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SCHEMA 1

static void add(json_object *o, const char *key, json_object *v) /* takes v; what memory lacks for is left out */
{
	if (json_object_object_add(o, key, v))
		json_object_put(v);
}

static void add_text(json_object *o, const char *key, const char *text) { add(o, key, text ? json_object_new_string(text) : NULL); }
static void add_u64(json_object *o, const char *key, uint64_t v) { add(o, key, json_object_new_uint64(v)); }
static void add_bool(json_object *o, const char *key, bool v) { add(o, key, json_object_new_boolean(v)); }

static uint64_t bytes_of(const struct disk_facts *f, uint64_t size)
{
	uint64_t n = f->have * TRANSFER_CHUNK; /* the last chunk may be short */

	return f->have == f->chunks || n > size ? size : n;
}

static json_object *view_disk(const struct transfer_state_disk *d, const struct disk_facts *f)
{
	json_object *o = json_object_new_object();
	char hex[65];

	if (!o)
		return NULL;
	transfer_hex(f->digest, 32, hex);
	add_text(o, "name", d->name);
	add_u64(o, "size", d->size);
	add_u64(o, "done", bytes_of(f, d->size));
	add_u64(o, "pass", f->pass);
	add_bool(o, "frozen", f->frozen);
	add_text(o, "digest", f->pass ? hex : NULL);
	add_u64(o, "skipped", f->skipped);
	add_u64(o, "bad-ranges", f->bad);
	add_u64(o, "bad-bytes", f->bad_bytes);
	return o;
}

/* With the capture's lock.  Returns "receiving", "waiting" (nobody is sending), or what became of one that is whole. */
static const char *state_of(struct capture *c, int64_t now)
{
	const char *work = transfer_json_find(c->st.work, "state");

	if (c->state == CAPTURE_GONE)
		return "abandoned";
	if (c->state == CAPTURE_RECEIVING)
		return c->heard_ms && now - c->heard_ms < CAPTURE_BUSY_MS ? "receiving" : "waiting";
	return !work ? "complete" : !strcmp(work, "waiting") ? "queued" : work;
}

static bool is_running(json_object *work)
{
	const char *state = transfer_json_find(work, "state");

	return state && !strcmp(state, "running");
}

static void add_work(json_object *o, const struct capture *c)
{
	static const char *const keys[] = { "verdict", "message", "output" };
	json_object *work = c->st.work;
	bool runs = c->state == CAPTURE_WHOLE && is_running(work);
	const char *now = runs ? steps_now(&c->steps) : NULL;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		add_text(o, keys[i], transfer_json_find(work, keys[i]));
	if (runs && !now)
		now = transfer_json_find(work, "step");
	add_text(o, "step", now);
	add(o, "steps", runs ? steps_json(&c->steps) : NULL);
	add_bool(o, "screenshot", transfer_json_find(work, "screenshot"));
}

static void add_progress(struct capture *c, json_object *o, uint64_t done, uint64_t size, int64_t now)
{
	uint64_t rate = c->state == CAPTURE_RECEIVING ? rate_get(&c->progress, now) : 0;

	add_u64(o, "size", size);
	add_u64(o, "done", done);
	add_u64(o, "bytes-per-second", rate);
	add_u64(o, "wire-bytes-per-second", c->state == CAPTURE_RECEIVING ? rate_get(&c->wire, now) : 0);
	add_u64(o, "wire-bytes", c->received);
	add(o, "seconds-left", rate ? json_object_new_uint64((size - done) / rate) : NULL);
}

json_object *view_capture(struct capture *c)
{
	json_object *o = json_object_new_object(), *disks = json_object_new_array();
	uint64_t done = 0, size = 0;
	int64_t now = clock_ms();

	if (!o || !disks) {
		json_object_put(o);
		json_object_put(disks);
		return NULL;
	}
	pthread_mutex_lock(&c->lock);
	add_u64(o, "schema-version", SCHEMA);
	add_text(o, "id", c->st.id);
	add_text(o, "name", c->st.host);
	add_text(o, "machine", c->st.machine);
	add_text(o, "folder", c->st.folder);
	add_text(o, "format", c->st.format);
	add_bool(o, "complete", c->state == CAPTURE_WHOLE);
	add_text(o, "state", state_of(c, now));
	add_u64(o, "begun", c->st.begun);
	add(o, "ended", c->st.ended ? json_object_new_uint64(c->st.ended) : NULL);
	for (size_t i = 0; i < c->st.n_disks; i++) {
		struct disk_facts f = c->facts[i];
		json_object *d;

		if (c->disks[i])
			disk_facts(c->disks[i], &f);
		done += bytes_of(&f, c->st.disks[i].size);
		size += c->st.disks[i].size;
		d = view_disk(&c->st.disks[i], &f);
		if (d && json_object_array_add(disks, d))
			json_object_put(d);
	}
	add_progress(c, o, done, size, now);
	add_work(o, c);
	pthread_mutex_unlock(&c->lock);
	add(o, "disks", disks);
	return o;
}

json_object *view_all(struct receiver *r)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct statvfs v;
	char host[65] = "";
	size_t n;
	struct capture **all = store_all(&r->store, &n);

	if (!o || !list || !all) {
		json_object_put(o);
		json_object_put(list);
		store_put_all(&r->store, all, n);
		return NULL;
	}
	gethostname(host, sizeof(host) - 1);
	for (size_t i = 0; i < n; i++) {
		json_object *c = view_capture(all[i]);

		if (c && json_object_array_add(list, c))
			json_object_put(c);
	}
	store_put_all(&r->store, all, n);
	add_u64(o, "schema-version", SCHEMA);
	add_text(o, "host", host);
	add_text(o, "version", vdisk_version());
	add_u64(o, "time", (uint64_t)time(NULL));
	add_u64(o, "free-bytes", fstatvfs(r->store.dir, &v) ? 0 : (uint64_t)v.f_bavail * v.f_frsize);
	add(o, "captures", list);
	return o;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "request_parts.h"

#include <stdlib.h>
#include <string.h>

static void add(json_object *o, const char *key, json_object *v)
{
	if (json_object_object_add(o, key, v))
		json_object_put(v);
}

static void do_begin(struct request *q, unsigned *status, json_object **result)
{
	json_object *o = json_object_new_object(), *disks = json_object_new_array();
	struct store_begun begun;
	vdisk_error err = { 0 };
	unsigned retry;

	pthread_mutex_lock(&q->r->parsing);
	*status = store_begin(&q->r->store, &q->r->token, q->secret, q->body ? q->body : "", q->len, &begun, &retry, &err);
	pthread_mutex_unlock(&q->r->parsing);
	if (*status >= 400 || !o || !disks) {
		request_refuse(q, *status >= 400 ? *status : 503, "%s", *status >= 400 ? err.message : "out of memory");
		q->retry = retry;
		json_object_put(o);
		json_object_put(disks);
	} else {
		add(o, "version", json_object_new_int(TRANSFER_VERSION));
		add(o, "id", json_object_new_string(begun.capture->st.id));
		add(o, "secret", json_object_new_string(begun.secret));
		add(o, "chunk", json_object_new_int(TRANSFER_CHUNK));
		for (size_t i = 0; i < begun.capture->st.n_disks; i++) {
			const struct transfer_state_disk *d = &begun.capture->st.disks[i];
			json_object *v = json_object_new_object();
			struct disk_facts f = { 0 };

			if (!v)
				continue;
			pthread_mutex_lock(&begun.capture->lock);
			if (begun.capture->disks[i])
				disk_facts(begun.capture->disks[i], &f);
			pthread_mutex_unlock(&begun.capture->lock);
			add(v, "name", json_object_new_string(d->name));
			add(v, "size", json_object_new_uint64(d->size));
			add(v, "have", json_object_new_uint64(f.have));
			if (json_object_array_add(disks, v))
				json_object_put(v);
		}
		add(o, "disks", disks);
		*result = o;
	}
	if (begun.capture)
		store_put(&q->r->store, begun.capture);
}

static json_object *differ_json(const struct disk_differ *d, size_t n)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < n; i++) {
		json_object *pair = json_object_new_array_ext(2);

		if (!pair || json_object_array_add(pair, json_object_new_uint64(d[i].from)) ||
		    json_object_array_add(pair, json_object_new_uint64(d[i].count)) || json_object_array_add(list, pair)) {
			json_object_put(pair);
			break;
		}
	}
	return list;
}

static void pass_judge(struct request *q, const struct transfer_pass *p, struct disk_differ *differ)
{
	vdisk_error err = { 0 };
	uint64_t bad = 0;
	size_t n;
	int rc = disk_pass(q->disk, p, differ, &n, &err);

	for (size_t i = 0; i < p->n_bad; i++)
		bad += p->bad[i].len;
	if (rc < 0) {
		request_refuse(q, status_of(&err), "%s", err.message);
	} else if (!rc) {
		q->differ = differ_json(differ, n);
		if (n)
			request_refuse(q, 409, "disk %s is not all there: %zu%s range%s of chunks missing, the first at %llu",
			               q->disk_at->name, n, n == DISK_DIFFER_MAX ? " or more" : "", n == 1 ? " is" : "s are",
			               (unsigned long long)differ[0].from);
		else
			request_refuse(q, 409,
			               "disk %s is all there, and its digest is another one: some chunks are not the sender's",
			               q->disk_at->name);
	}
	capture_log(q->c, "disk %s, pass %u%s: %s; %llu bytes unreadable, %llu left out as free", q->disk_at->name, p->pass,
	            p->frozen ? ", frozen" : "", q->status ? q->message : "good", (unsigned long long)bad,
	            (unsigned long long)p->skipped);
}

static void do_pass(struct request *q)
{
	struct disk_differ *differ = calloc(DISK_DIFFER_MAX, sizeof(*differ));
	struct transfer_pass p = { 0 };
	vdisk_error err = { 0 };
	json_object *o;
	int rc;

	pthread_mutex_lock(&q->r->parsing);
	o = transfer_json(q->body ? q->body : "", q->len, &err);
	rc = o ? transfer_pass_read(o, q->disk_at->size, &p, &err) : -1;
	json_object_put(o);
	pthread_mutex_unlock(&q->r->parsing);
	if (rc || !differ)
		request_refuse(q, rc && err.kind != VDISK_NOMEM ? 400 : 503, "%s", rc ? err.message : "out of memory");
	else
		pass_judge(q, &p, differ);
	transfer_pass_free(&p);
	free(differ);
}

void request_do(struct request *q, unsigned *status, json_object **result)
{
	vdisk_error err = { 0 };
	unsigned rc = 200;

	*status = 200;
	if (q->done) {
		rc = 200;
	} else if (q->route.kind == ROUTE_ALL) {
		do_begin(q, status, result);
	} else if (q->route.kind == ROUTE_CHUNKS) {
		intake_end(&q->in);
		if (q->in.status)
			request_refuse(q, q->in.status, "%s", q->in.err.message);
	} else if (q->route.kind == ROUTE_PASS) {
		do_pass(q);
	} else {
		rc = q->removes ? capture_abandon(q->c, &err) : capture_complete(q->c, &err);
	}
	if (rc != 200)
		request_refuse(q, rc, "%s", err.message);
	if (!q->status && !*result)
		*result = json_object_new_object();
	if (!q->status && *result && q->route.kind == ROUTE_CHUNKS)
		add(*result, "taken", json_object_new_uint64(q->in.taken));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-adapt.  Each image gets a layer, which our NBD server shows libguestfs as a raw disk; the plan is made and carried out
 * there; when all of it has succeeded, the appliance is gone and the layers are closed, they are committed under an undo journal.
 * Until then the images are untouched, and a signal just clears the layers away; from then on it has the commit stopped, which
 * brings the image back.
 */
#include "common/fail.h"
#include "common/say.h"
#include "common/stop.h"
#include "common/streams.h"
#include "disk.h"
#include "guestfs_windows.h"
#include "main_layer.h"
#include "main_system.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEGINNING ((size_t)1 << 20)

struct work {
	const struct adapt_args *a;
	struct layer layers[DISKS_MAX];
	struct nbd_disk disks[DISKS_MAX];
	size_t opened;
	struct guest guest;
	struct outcome out;
};

/* ---------------------------------------------------------------- signals */

static struct work *volatile cleared; /* the one run of this process, while its layers may just be thrown away */
static volatile int cancel;

static void on_signal(int sig)
{
	cancel = 1;
	if (!cleared)
		return;
	for (size_t i = 0; i < DISKS_MAX; i++)
		if (cleared->layers[i].path[0])
			unlink(cleared->layers[i].path);
	for (size_t i = 0; i < cleared->opened; i++) {
		unlink(nbd_disk_socket(&cleared->disks[i]));
		rmdir(cleared->disks[i].folder);
	}
	_exit(128 + sig);
}

static void signals_take(void)
{
	signal(SIGPIPE, SIG_IGN);
	stop_signals(on_signal);
}

/* ---------------------------------------------------------------- the disks */

static int disk_add(struct work *w, size_t i, vdisk_error *err)
{
	const struct adapt_args *a = w->a;
	struct source_options o = { .image = a->disks[i], .format = a->format, .n_allow = a->n_allow, .log = say_log };

	memcpy(o.allow, a->allow, sizeof(o.allow));
	if (a->mode != MODE_PLAN) {
		if (layer_name(&w->layers[i], a, a->disks[i], err))
			return -1;
		o.overlay = w->layers[i].path;
	}
	sigset_t before;
	int rc;

	stop_hold(&before); /* a layer that is half made has another name */
	rc = source_sound(&o, err) || nbd_disk_open(&w->disks[i], &o, err) ? -1 : 0;
	w->opened = i + !rc;
	stop_release(&before);
	return rc;
}

/* Whether there may be anything at all on it: a table, or whatever file systems, volumes and arrays begin with. */
static int disk_holds(const struct adapt_args *a, const char *path, bool *some, vdisk_error *err)
{
	const struct vdisk_open_options o = { .format = a->format, .allow_dirs = a->allow };
	struct vdisk_partition_table t = { 0 };
	struct vdisk_partition v[4];
	size_t n = 0, len = BEGINNING;
	uint8_t *b = malloc(BEGINNING);
	vdisk_image *img;

	if (!b || vdisk_open(path, &o, &img, err)) {
		free(b);
		return b ? -1 : fail_nomem(err);
	}
	if (vdisk_size(img) < len)
		len = vdisk_size(img);
	*some = vdisk_partitions(img, &t, v, 4, &n, NULL) || t.kind != VDISK_TABLE_NONE || vdisk_pread(img, b, len, 0, NULL);
	for (size_t i = 0; !*some && i < len; i++)
		*some = b[i] != 0;
	vdisk_close(img, NULL);
	free(b);
	return 0;
}

/* Before the appliance, which takes seconds or a minute. */
static int disks_judge(const struct adapt_args *a, vdisk_error *err)
{
	bool some = false;

	for (size_t i = 0; !some && i < a->n_disks; i++)
		if (disk_holds(a, a->disks[i], &some, err))
			return -1;
	return some ? 0 : fail(err, VDISK_INVALID, "%s: is blank: no system was found", a->disks[0]);
}

static int disks_close(struct work *w, int rc, vdisk_error *err)
{
	size_t n = w->opened;

	w->opened = 0;
	for (size_t i = 0; i < n; i++)
		if (nbd_disk_close(&w->disks[i], rc ? NULL : err))
			rc = -1;
	return rc;
}

/* ---------------------------------------------------------------- the guest */

static int roots_adapt(struct work *w, const struct guest_roots *roots, vdisk_error *err)
{
	struct bytes names = { 0 };
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < roots->n; i++) {
		char name[300];

		guest_name(&w->guest, roots->v[i].device, name, sizeof(name));
		bytes_format(&names, "%s%s", names.len ? ", " : "", name);
		if (w->a->root && strcmp(w->a->root, name))
			continue;
		n++;
		rc = system_adapt(&w->guest, roots, &roots->v[i], w->a, &w->out, err);
	}
	if (!rc && !n && !names.len)
		rc = guestfs_hidden(&w->guest, w->a->disks[0], err);
	if (!rc && !n && w->guest.locked[0])
		rc = fail(err, VDISK_INVALID,
		          "%s: is encrypted, and no system was found beside it; --key-file FILE gives its passphrase",
		          w->guest.locked);
	else if (!rc && !n)
		rc = names.len ? fail(err, VDISK_INVALID, "%s: has no system on %s; there is %.400s", w->a->disks[0], w->a->root,
		                      names.at)
		               : fail(err, VDISK_INVALID, "%s: no system was found", w->a->disks[0]);
	bytes_destroy(&names);
	return rc;
}

static int guest_adapt(struct work *w, vdisk_error *err)
{
	const char *sockets[DISKS_MAX];
	struct guest_options o = {
		.program = "vdisk-adapt",
		.image = w->a->disks[0],
		.sockets = sockets,
		.n_sockets = w->opened,
		.key_files = w->a->key_files,
		.n_keys = w->a->n_keys,
		.rw = w->a->mode != MODE_PLAN,
	};
	struct guest_roots roots;
	int rc;

	for (size_t i = 0; i < w->opened; i++)
		sockets[i] = nbd_disk_socket(&w->disks[i]);
	if (w->a->verbose)
		say(LOG_INFO, "starting libguestfs");
	if (guest_start(&w->guest, &o, err))
		return -1;
	if (w->a->verbose)
		say(LOG_INFO, "looking for systems");
	rc = guest_roots_find(&w->guest, &roots, err) || roots_adapt(w, &roots, err) ? -1 : 0;
	guest_roots_free(&roots);
	return guest_close(&w->guest, rc ? NULL : err) || rc ? -1 : 0;
}

/* ---------------------------------------------------------------- the whole */

static int print(const struct work *w, vdisk_error *err)
{
	struct json_object *o;
	int rc;

	if (!w->a->json)
		return fwrite(w->out.text.at ? w->out.text.at : "", 1, w->out.text.len, stdout) != w->out.text.len || fflush(stdout)
		               ? fail_errno(err, "standard output")
		               : 0;
	o = json_object_new_object();
	json_object_object_add(o, "schema-version", json_object_new_int(1));
	json_object_object_add(o, "command", json_object_new_string("adapt"));
	json_object_object_add(o, "planned-only", json_object_new_boolean(w->a->mode == MODE_PLAN));
	if (w->a->overlay)
		json_object_object_add(o, "overlay", json_object_new_string(w->a->overlay));
	if (w->a->keep_undo)
		json_object_object_add(o, "undo", json_object_new_string(w->a->keep_undo));
	json_object_object_add(o, "systems", json_object_get(w->out.systems));
	rc = puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY)) < 0 || fflush(stdout)
	             ? fail_errno(err, "standard output")
	             : 0;
	json_object_put(o);
	return rc;
}

static int adapt(const struct adapt_args *a, vdisk_error *err)
{
	static struct work w;
	bool writes = a->mode != MODE_PLAN;
	int rc = 0;

	w.a = a;
	w.out.systems = json_object_new_array();
	cleared = &w;
	for (size_t i = 0; !rc && i < a->n_disks; i++)
		rc = disk_add(&w, i, err);
	if (!rc)
		rc = disks_judge(a, err);
	if (!rc)
		rc = guest_adapt(&w, err);
	rc = disks_close(&w, rc, err);
	if (!rc && writes && !a->overlay && w.out.changes) {
		if (a->verbose)
			say(LOG_INFO, "committing");
		cleared = NULL;
		rc = layers_commit(w.layers, a, &cancel, err);
	}
	if (rc && a->overlay && w.layers[0].path[0])
		unlink(a->overlay);
	cleared = NULL;
	for (size_t i = 0; i < a->n_disks; i++)
		layer_drop(&w.layers[i]);
	if (!rc)
		rc = print(&w, err);
	bytes_destroy(&w.out.text);
	json_object_put(w.out.systems);
	return rc;
}

int main(int argc, char **argv)
{
	struct adapt_args a;
	vdisk_error err = { 0 };
	int rc = adapt_args_parse(&a, argc, argv);

	streams_secure();
	if (rc)
		return rc < 0 ? 2 : 0;
	say_open("vdisk adapt", false);
	signals_take();
	rc = a.mode == MODE_RESUME ? layers_resume(&a, &cancel, &err)
	     : a.mode == MODE_UNDO ? layers_undo(&a, &err)
	                           : adapt(&a, &err);
	if (rc)
		say(LOG_ERR, "%s", err.message);
	return rc ? 2 : 0;
}

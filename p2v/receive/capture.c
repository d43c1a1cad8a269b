/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How one becomes whole, so that at every moment a crash leaves one that is, or one that can be gone on with: manifests and the
 * description are made durable, then capture.json says "whole", then the folder gets its name, then the lists of digests go.
 * capture_settle() does the last two for a store that is opened.
 */
#include "capture.h"

#include "clock.h"
#include "intake.h"
#include "machine/json.h"
#include "store.h"

#include "common/fail.h"
#include "common/rename.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS 30000      /* for requests that are still under way when one is to end */
#define LOG_MAX  (1u << 20)

void capture_log(struct capture *c, const char *format, ...)
{
	char text[1200], when[32];
	time_t now = time(NULL);
	struct stat st;
	struct tm tm;
	va_list ap;
	size_t n;
	int fd;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	n = (size_t)snprintf(text, sizeof(text), "%s  ", when);
	va_start(ap, format);
	vsnprintf(text + n, sizeof(text) - n - 1, format, ap);
	va_end(ap);
	strcat(text, "\n");
	fd = c->dir < 0 ? -1 : openat(c->dir, "capture.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_size < LOG_MAX)
		(void)!write(fd, text, strlen(text)); /* a log that cannot be written is no reason to stop */
	close(fd);
}

struct capture *capture_new(struct store *store)
{
	struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->store = store;
	c->dir = -1;
	c->place.dir = -1;
	c->place.folder = c->folder;
	c->place.format = c->st.format;
	pthread_mutex_init(&c->lock, NULL);
	clock_cond_init(&c->quiet);
	return c;
}

static void disks_close(struct capture *c)
{
	for (size_t i = 0; i < c->st.n_disks; i++) {
		disk_free(c->disks[i]);
		c->disks[i] = NULL;
	}
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	disks_close(c);
	if (c->dir >= 0)
		close(c->dir);
	transfer_state_free(&c->st);
	pthread_cond_destroy(&c->quiet);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int capture_disks_open(struct capture *c, vdisk_error *err)
{
	c->place.dir = c->dir;
	for (size_t i = 0; i < c->st.n_disks; i++)
		if (disk_open(&c->place, &c->st.disks[i], &c->disks[i], err)) {
			disks_close(c);
			return -1;
		}
	return 0;
}

int capture_facts_load(struct capture *c, vdisk_error *err)
{
	for (size_t i = 0; i < c->st.n_disks; i++) {
		struct disk_facts *f = &c->facts[i];
		uint64_t chunks = transfer_chunks(c->st.disks[i].size);
		struct transfer_pass p;

		if (transfer_pass_load(c->dir, c->st.disks[i].name, c->st.disks[i].size, &p, err))
			return -1;
		*f = (struct disk_facts){
			.chunks = chunks, .have = chunks, .pass = p.pass, .frozen = p.frozen, .skipped = p.skipped, .bad = p.n_bad
		};
		memcpy(f->digest, p.digest, 32);
		for (size_t k = 0; k < p.n_bad; k++)
			f->bad_bytes += p.bad[k].len;
		transfer_pass_free(&p);
	}
	return 0;
}

/* ---------------------------------------------------------------- requests */

bool capture_secret_is(struct capture *c, const uint8_t secret[32])
{
	bool same;

	pthread_mutex_lock(&c->lock);
	same = secret_same(c->st.secret, secret);
	pthread_mutex_unlock(&c->lock);
	return same;
}

bool capture_whole(struct capture *c, const uint8_t secret[32])
{
	bool whole;

	pthread_mutex_lock(&c->lock);
	whole = c->state == CAPTURE_WHOLE && secret_same(c->st.secret, secret);
	pthread_mutex_unlock(&c->lock);
	return whole;
}

unsigned capture_enter(struct capture *c, const uint8_t secret[32], vdisk_error *err)
{
	unsigned status = 200;

	pthread_mutex_lock(&c->lock);
	if (!secret_same(c->st.secret, secret)) {
		fail(err, VDISK_INVALID,
		     "the secret is not this capture's, or no longer: its machine has gone on with another one");
		status = 401;
	} else if (c->state == CAPTURE_GONE) {
		fail(err, VDISK_INVALID, "the capture was abandoned");
		status = 404;
	} else if (c->state == CAPTURE_WHOLE) {
		fail(err, VDISK_INVALID, "the capture is complete");
		status = 409;
	} else if (c->closing) { /* as when the connection broke over which that was asked: it is worth another try */
		fail(err, VDISK_BUSY, "the capture is being completed or abandoned");
		status = 503;
	} else {
		c->requests++;
		c->heard_ms = clock_ms();
	}
	pthread_mutex_unlock(&c->lock);
	return status;
}

void capture_leave(struct capture *c)
{
	pthread_mutex_lock(&c->lock);
	c->requests--;
	pthread_cond_broadcast(&c->quiet);
	pthread_mutex_unlock(&c->lock);
}

void capture_heard(struct capture *c, size_t bytes)
{
	int64_t now = clock_ms();

	pthread_mutex_lock(&c->lock);
	c->heard_ms = now;
	c->received += bytes;
	rate_add(&c->wire, now, bytes);
	pthread_mutex_unlock(&c->lock);
}

struct disk *capture_disk(struct capture *c, const char *name, size_t len)
{
	for (size_t i = 0; i < c->st.n_disks; i++)
		if (strlen(c->st.disks[i].name) == len && !memcmp(c->st.disks[i].name, name, len))
			return c->disks[i];
	return NULL;
}

/* No further requests from now on, and none but the caller's are under way; false: they do not end. */
static bool quiet(struct capture *c)
{
	struct timespec end = clock_after(QUIET_MS);
	bool mine;

	pthread_mutex_lock(&c->lock);
	mine = !c->closing;
	c->closing = true;
	while (mine && c->requests > 1)
		if (pthread_cond_timedwait(&c->quiet, &c->lock, &end)) {
			mine = c->closing = false;
			break;
		}
	pthread_mutex_unlock(&c->lock);
	return mine;
}

static unsigned unquiet(struct capture *c, unsigned status)
{
	pthread_mutex_lock(&c->lock);
	c->closing = false;
	pthread_mutex_unlock(&c->lock);
	return status;
}

/* ---------------------------------------------------------------- the end */

/* machine.json says where the disks are from now on. */
static int description_finish(struct capture *c, vdisk_error *err)
{
	char file[TRANSFER_FILE_MAX], *text;
	struct machine *m;
	size_t len;
	int rc;

	text = transfer_file_read(c->dir, TRANSFER_MACHINE_FILE, &len, err);
	rc = text ? machine_json_read(text, len, &m, err) : -1;
	free(text);
	if (rc)
		return -1;
	for (size_t i = 0; i < c->st.n_disks; i++) {
		struct machine_disk *d = machine_disk_find(m, c->st.disks[i].name);

		if (!d)
			continue;
		transfer_file(c->st.disks[i].name, c->st.format, file);
		machine_disk_path(m, d, file);
		d->format = machine_text(m, c->st.format);
		d->host = false;
	}
	rc = machine_judge(m, err);
	text = rc ? NULL : machine_json_write(m);
	if (!rc)
		rc = text ? transfer_file_write(c->dir, TRANSFER_MACHINE_FILE, text, strlen(text), err) : fail_nomem(err);
	free(text);
	machine_free(m);
	return rc;
}

int capture_settle(struct capture *c, vdisk_error *err)
{
	char partial[TRANSFER_FOLDER_MAX + 16], path[PATH_MAX], file[TRANSFER_FILE_MAX];
	int n;

	snprintf(partial, sizeof(partial), "%s" TRANSFER_PARTIAL, c->st.folder);
	n = snprintf(path, sizeof(path), "%s/%s", c->store->path, c->st.folder);
	if (n < 0 || (size_t)n >= sizeof(path))
		return fail(err, VDISK_INVALID, "%s: the path is too long", c->store->path);
	if (rename_new(c->store->dir, partial, c->store->dir, c->st.folder) && errno != ENOENT)
		return fail_errno(err, "%s", path);
	if (fsync(c->store->dir))
		return fail_errno(err, "%s", c->store->path);
	pthread_mutex_lock(&c->lock);
	memcpy(c->folder, path, sizeof(path));
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < c->st.n_disks; i++) {
		transfer_file(c->st.disks[i].name, "leaves", file);
		if (unlinkat(c->dir, file, 0) && errno != ENOENT)
			return fail_errno(err, "%s", file);
	}
	return 0;
}

static unsigned disks_judge(struct capture *c, vdisk_error *err)
{
	for (size_t i = 0; i < c->st.n_disks; i++) {
		int whole = disk_whole(c->disks[i], err);

		if (whole < 0)
			return 500;
		if (!whole) {
			fail(err, VDISK_INVALID, "disk %s is not complete: it has no pass, or has changed since its last",
			     c->st.disks[i].name);
			return 409;
		}
	}
	return 200;
}

static int finish(struct capture *c, vdisk_error *err)
{
	struct transfer_state fresh;
	int rc;

	for (size_t i = 0; i < c->st.n_disks; i++)
		if (disk_seal(c->disks[i], err))
			return -1;
	if (description_finish(c, err))
		return -1;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->st.n_disks; i++)
		disk_facts(c->disks[i], &c->facts[i]);
	fresh = c->st;
	fresh.whole = true;
	fresh.ended = (uint64_t)time(NULL);
	fresh.work = json_object_new_object();
	if (fresh.work)
		json_object_object_add(fresh.work, "state", json_object_new_string("waiting"));
	rc = transfer_state_write(c->dir, &fresh, err);
	if (!rc) { /* the rest is read without the lock */
		c->st.whole = true;
		c->st.ended = fresh.ended;
		json_object_put(c->st.work); /* of a time before, when it got no name */
		c->st.work = fresh.work;
	} else {
		json_object_put(fresh.work);
	}
	pthread_mutex_unlock(&c->lock);
	return rc || capture_settle(c, err) ? -1 : 0;
}

unsigned capture_complete(struct capture *c, vdisk_error *err)
{
	unsigned status;

	if (!quiet(c)) {
		fail(err, VDISK_BUSY, "other requests of this capture are still under way");
		return 503;
	}
	status = disks_judge(c, err);
	if (status == 200 && finish(c, err))
		status = status_of(err);
	if (status != 200)
		return unquiet(c, status);
	capture_log(c, "complete");
	pthread_mutex_lock(&c->lock);
	c->state = CAPTURE_WHOLE;
	disks_close(c);
	pthread_mutex_unlock(&c->lock);
	store_tell_whole(c->store);
	return unquiet(c, 200);
}

unsigned capture_abandon(struct capture *c, vdisk_error *err)
{
	if (!quiet(c)) {
		fail(err, VDISK_BUSY, "other requests of this capture are still under way");
		return 503;
	}
	pthread_mutex_lock(&c->lock);
	c->state = CAPTURE_GONE;
	disks_close(c);
	pthread_mutex_unlock(&c->lock);
	return unquiet(c, store_remove(c->store, c, err) ? 500 : 200);
}

int capture_work_set(struct capture *c, json_object *work, vdisk_error *err)
{
	int rc;

	pthread_mutex_lock(&c->lock);
	json_object_put(c->st.work);
	c->st.work = work;
	rc = transfer_state_write(c->dir, &c->st, err);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

void capture_tend(struct capture *c)
{
	uint64_t have = 0;

	pthread_mutex_lock(&c->lock);
	if (c->state == CAPTURE_RECEIVING && !c->closing) {
		c->requests++; /* so that the disks stay */
		pthread_mutex_unlock(&c->lock);
		for (size_t i = 0; i < c->st.n_disks; i++) {
			struct disk_facts f;

			disk_tend(c->disks[i]);
			disk_facts(c->disks[i], &f);
			have += f.have;
		}
		pthread_mutex_lock(&c->lock);
		if (have > c->noted)
			rate_add(&c->progress, clock_ms(), (have - c->noted) * TRANSFER_CHUNK);
		c->noted = have;
		c->requests--;
		pthread_cond_broadcast(&c->quiet);
	}
	pthread_mutex_unlock(&c->lock);
}

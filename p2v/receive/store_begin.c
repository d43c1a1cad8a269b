/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * POST /v1/captures: who may, which machine it is, and whether it goes on or begins.  A new capture is made in a folder that no
 * name leads to, and gets its own when all of it is durable.
 */
#include "clock.h"
#include "machine/json.h"
#include "store.h"
#include "store_folder.h"

#include "common/fail.h"
#include "common/rename.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SPACE_BEGIN (64ull << 20)
#define SECTOR      512u
#define RETRY_BUSY  5
#define RETRY_FULL  30

static unsigned refuse(unsigned status, unsigned *retry, unsigned seconds)
{
	*retry = seconds;
	return status;
}

bool store_knows(struct store *s, const struct token *t, const uint8_t secret[32])
{
	bool known = secret_same(t->sha256, secret);

	pthread_mutex_lock(&s->lock);
	for (struct capture *c = s->list; c; c = c->next) {
		pthread_mutex_lock(&c->lock);
		known |= c->state == CAPTURE_RECEIVING && (secret_same(c->st.secret, secret) || secret_same(c->st.token, secret));
		pthread_mutex_unlock(&c->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return known;
}

/* ---------------------------------------------------------------- the machine */

static int disk_take(struct transfer_state *st, const struct machine_disk *d, vdisk_error *err)
{
	struct transfer_state_disk *out = &st->disks[st->n_disks];

	if (d->medium != MACHINE_DISK)
		return 0;
	if (st->n_disks == TRANSFER_DISKS_MAX)
		return fail(err, VDISK_INVALID, "more than %u disks", TRANSFER_DISKS_MAX);
	if (!d->name || !transfer_name_good(d->name, strlen(d->name)))
		return fail(err, VDISK_INVALID,
		            "a disk's name must be 1 to %u of A-Z a-z 0-9 . _ - and not begin with a dot or hyphen: \"%s\"",
		            TRANSFER_NAME_MAX, d->name ? d->name : "");
	if (!d->size || d->size > TRANSFER_SIZE_MAX || d->size % SECTOR)
		return fail(err, VDISK_INVALID, "disk %s has %" PRIu64 " bytes, not whole sectors of %u bytes and at most %" PRIu64,
		            d->name, d->size, SECTOR, TRANSFER_SIZE_MAX);
	for (size_t i = 0; i < st->n_disks; i++)
		if (!strcasecmp(st->disks[i].name, d->name))
			return fail(err, VDISK_INVALID, "two disks are called \"%s\"", d->name);
	snprintf(out->name, sizeof(out->name), "%s", d->name);
	out->size = d->size;
	st->n_disks++;
	return 0;
}

static int machine_take(struct transfer_state *st, const struct machine *m, vdisk_error *err)
{
	const char *host = m->host.hostname ? m->host.hostname : m->name;

	if (!m->uuid || !transfer_name_good(m->uuid, strlen(m->uuid)))
		return fail(err, VDISK_INVALID, "the machine has no \"uuid\", by which it is told from others");
	snprintf(st->machine, sizeof(st->machine), "%s", m->uuid);
	transfer_name_make(host, st->host);
	for (size_t i = 0; i < m->disks_n; i++)
		if (disk_take(st, &m->disks[i], err))
			return -1;
	return st->n_disks ? 0 : fail(err, VDISK_INVALID, "the machine has no disks that are to be sent");
}

/* ---------------------------------------------------------------- going on */

static struct capture *machine_find(struct store *s, const char *machine)
{
	struct capture *c, *found = NULL;

	pthread_mutex_lock(&s->lock);
	for (c = s->list; c && !found; c = c->next) {
		pthread_mutex_lock(&c->lock);
		if (c->state == CAPTURE_RECEIVING && !strcmp(c->st.machine, machine)) {
			c->refs++;
			found = c;
		}
		pthread_mutex_unlock(&c->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

static const struct transfer_state_disk *disk_find(const struct transfer_state *st, const char *name)
{
	for (size_t i = 0; i < st->n_disks; i++)
		if (!strcmp(st->disks[i].name, name))
			return &st->disks[i];
	return NULL;
}

static int disks_compare(const struct transfer_state *had, const struct transfer_state *has, vdisk_error *err)
{
	for (size_t i = 0; i < has->n_disks; i++) {
		const struct transfer_state_disk *d = &has->disks[i], *old = disk_find(had, d->name);

		if (!old)
			return fail(err, VDISK_INVALID,
			            "the machine's incomplete capture has no disk %s: go on with its disks, or abandon it",
			            d->name);
		if (old->size != d->size)
			return fail(err, VDISK_INVALID,
			            "disk %s has %" PRIu64 " bytes, and had %" PRIu64
			            " when the machine's incomplete capture began: abandon it",
			            d->name, d->size, old->size);
	}
	for (size_t i = 0; i < had->n_disks; i++)
		if (!disk_find(has, had->disks[i].name))
			return fail(err, VDISK_INVALID,
			            "the machine's incomplete capture also has disk %s: go on with it, too, or abandon the capture",
			            had->disks[i].name);
	return 0;
}

/* With the capture's lock. */
static unsigned go_on_judge(struct capture *c, const struct token *t, const uint8_t secret[32], const struct transfer_state *st,
                            unsigned *retry, vdisk_error *err)
{
	bool own = secret_same(c->st.secret, secret);

	if (!own && !secret_same(c->st.token, secret) && !secret_same(t->sha256, secret)) {
		fail(err, VDISK_INVALID, "the token is another one than this machine's capture began with");
		return 401;
	}
	if (c->closing || (!own && c->requests && c->heard_ms && clock_ms() - c->heard_ms < CAPTURE_BUSY_MS)) {
		fail(err, VDISK_BUSY, "another client is sending this machine (%s) at this moment", c->st.machine);
		return refuse(409, retry, RETRY_BUSY);
	}
	return disks_compare(&c->st, st, err) ? 409 : 200;
}

static unsigned go_on(struct capture *c, const struct token *t, const uint8_t secret[32], const struct transfer_state *st,
                      struct store_begun *out, unsigned *retry, vdisk_error *err)
{
	struct transfer_state fresh;
	unsigned status;

	pthread_mutex_lock(&c->lock);
	status = go_on_judge(c, t, secret, st, retry, err);
	if (status == 200) {
		fresh = c->st;
		if (secret_make(32, out->secret, err) || secret_hash(out->secret, 64, fresh.secret, err) ||
		    transfer_state_write(c->dir, &fresh, err))
			status = err->sys_errno == ENOSPC || err->sys_errno == EDQUOT ? 507 : 500;
		else
			memcpy(c->st.secret, fresh.secret, 32);
	}
	pthread_mutex_unlock(&c->lock);
	return status;
}

/* ---------------------------------------------------------------- beginning */

static unsigned begin_judge(struct store *s, const struct token *t, const uint8_t secret[32], const struct transfer_state *st,
                            unsigned *retry, vdisk_error *err)
{
	unsigned used = 0, open = 0;
	struct statvfs v;

	if (!secret_same(t->sha256, secret)) {
		fail(err, VDISK_INVALID, "the token is not known here, or not good for another capture");
		return 401;
	}
	pthread_mutex_lock(&s->lock);
	for (struct capture *c = s->list; c; c = c->next) {
		pthread_mutex_lock(&c->lock);
		used += secret_same(c->st.token, secret);
		open += c->state == CAPTURE_RECEIVING;
		pthread_mutex_unlock(&c->lock);
	}
	pthread_mutex_unlock(&s->lock);
	if (t->uses && used >= t->uses) {
		fail(err, VDISK_REFUSED,
		     "the token has begun %u capture%s already, and is good for no more: machine %s needs another one (--token-uses)",
		     used, used == 1 ? "" : "s", st->machine);
		return 403;
	}
	if (open >= s->o.captures_max) {
		fail(err, VDISK_BUSY, "%u captures are incomplete, and no more are taken at once (--max-captures)", open);
		return refuse(503, retry, RETRY_FULL);
	}
	if (!fstatvfs(s->dir, &v) && (uint64_t)v.f_bavail * v.f_frsize < SPACE_BEGIN) {
		fail(err, VDISK_IO, "the receiver's store is full: %" PRIu64 " bytes are left", (uint64_t)v.f_bavail * v.f_frsize);
		return refuse(507, retry, RETRY_FULL);
	}
	return 200;
}

/* The folder, with everything in it; c->folder is its path. */
static int folder_fill(struct capture *c, const struct machine *m, vdisk_error *err)
{
	char *text = machine_json_write(m);
	int rc;

	if (!text)
		return fail_nomem(err);
	rc = transfer_file_write(c->dir, TRANSFER_MACHINE_FILE, text, strlen(text), err);
	free(text);
	c->place.dir = c->dir;
	for (size_t i = 0; !rc && i < c->st.n_disks; i++)
		rc = disk_make(&c->place, &c->st.disks[i], err);
	return rc ? rc : transfer_state_write(c->dir, &c->st, err);
}

/* The first name that is free, NAME, NAME-2, … */
static int folder_name(struct store *s, struct capture *c, const char *begun, vdisk_error *err)
{
	char base[TRANSFER_FOLDER_MAX], partial[TRANSFER_FOLDER_MAX + 16];

	snprintf(base, sizeof(base), "%s", c->st.folder);
	for (unsigned i = 2; i < 10000; i++) {
		snprintf(partial, sizeof(partial), "%s" TRANSFER_PARTIAL, c->st.folder);
		if (faccessat(s->dir, c->st.folder, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT) {
			if (transfer_state_write(c->dir, &c->st, err))
				return -1;
			if (!rename_new(s->dir, begun, s->dir, partial)) {
				int n = snprintf(c->folder, sizeof(c->folder), "%s/%s", s->path, partial);

				if (n < 0 || (size_t)n >= sizeof(c->folder)) /* folder_make() saw to it */
					return fail(err, VDISK_INVALID, "%s: the path is too long", s->path);
				return fsync(s->dir) ? fail_errno(err, "%s", s->path) : 0;
			}
			if (errno != EEXIST)
				return fail_errno(err, "%s", partial);
		}
		snprintf(c->st.folder, sizeof(c->st.folder), "%.*s-%u", (int)(sizeof(c->st.folder) - 8), base, i);
	}
	return fail(err, VDISK_INVALID, "%s: there are too many of this name", base);
}

static int folder_make(struct store *s, struct capture *c, const struct machine *m, vdisk_error *err)
{
	char begun[64];
	int n, rc;

	snprintf(begun, sizeof(begun), FOLDER_BEGIN "%s", c->st.id);
	n = snprintf(c->folder, sizeof(c->folder), "%s/%s", s->path, begun);
	if (n < 0 || (size_t)n + 2 * TRANSFER_FOLDER_MAX >= sizeof(c->folder))
		return fail(err, VDISK_INVALID, "%s: the path is too long", s->path);
	if (mkdirat(s->dir, begun, 0700))
		return fail_errno(err, "%s", begun);
	c->dir = openat(s->dir, begun, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = c->dir < 0 ? fail_errno(err, "%s", begun) : folder_fill(c, m, err);
	if (!rc && !folder_name(s, c, begun, err) && !capture_disks_open(c, err))
		return 0;
	renameat(s->dir, strrchr(c->folder, '/') + 1, s->dir, begun); /* if it has its name already, nobody is to find it by that */
	folder_remove(s->dir, begun, NULL);
	return -1;
}

static unsigned begin(struct store *s, const uint8_t token[32], const struct machine *m, struct transfer_state *st,
                      struct store_begun *out, unsigned *retry, vdisk_error *err)
{
	struct capture *c = capture_new(s);
	bool full;

	if (!c) {
		fail_nomem(err);
		return refuse(503, retry, RETRY_FULL);
	}
	c->st = *st;
	c->st.received = true;
	c->st.begun = (uint64_t)time(NULL);
	memcpy(c->st.token, token, 32);
	snprintf(c->st.format, sizeof(c->st.format), "%s", s->o.format);
	transfer_folder_make(c->st.host, c->st.machine, (time_t)c->st.begun, c->st.folder);
	if (!secret_make(16, c->st.id, err) && !secret_make(32, out->secret, err) &&
	    !secret_hash(out->secret, 64, c->st.secret, err) && !folder_make(s, c, m, err)) {
		c->refs = 1;
		pthread_mutex_lock(&s->lock);
		c->next = s->list;
		s->list = c;
		s->n++;
		pthread_mutex_unlock(&s->lock);
		out->capture = c;
		return 201;
	}
	full = err->sys_errno == ENOSPC || err->sys_errno == EDQUOT || err->sys_errno == EFBIG;
	capture_free(c);
	return full ? refuse(507, retry, RETRY_FULL) : err->kind == VDISK_UNSUPPORTED || err->kind == VDISK_INVALID ? 400 : 500;
}

unsigned store_begin(struct store *s, const struct token *t, const uint8_t secret[32], const void *body, size_t len,
                     struct store_begun *out, unsigned *retry, vdisk_error *err)
{
	struct transfer_state st = { 0 };
	struct machine *m;
	unsigned status = 400;
	struct capture *c;

	*out = (struct store_begun){ 0 };
	*retry = 0;
	if (machine_json_read(body, len, &m, err))
		return err->kind == VDISK_NOMEM ? 503 : 400;
	if (machine_take(&st, m, err))
		goto out;
	pthread_mutex_lock(&s->begin);
	c = machine_find(s, st.machine);
	if (c) {
		status = go_on(c, t, secret, &st, out, retry, err);
		if (status == 200)
			out->capture = c;
		else
			store_put(s, c);
	} else {
		status = begin_judge(s, t, secret, &st, retry, err);
		if (status == 200)
			status = begin(s, secret, m, &st, out, retry, err);
	}
	pthread_mutex_unlock(&s->begin);
	if (out->capture)
		capture_log(out->capture, status == 201 ? "begun by %s" : "%s goes on", st.host);
out:
	machine_free(m);
	return status;
}

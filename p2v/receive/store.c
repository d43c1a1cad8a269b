/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Folders in the store: NAME.partial and NAME (vdisk-transfer(5)); ".begin-ID" and ".gone-ID", which a crash leaves behind and the
 * next start removes; ".vdisk-receive" with what is the receiver's own.
 *
 * A capture is freed by who holds it last after it was taken out of the list.
 */
#include "store.h"

#include "clock.h"
#include "store_folder.h"

#include "common/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void list_add(struct store *s, struct capture *c)
{
	pthread_mutex_lock(&s->lock);
	c->next = s->list;
	s->list = c;
	s->n++;
	pthread_mutex_unlock(&s->lock);
}

static void captures_free(struct store *s)
{
	while (s->list) {
		struct capture *c = s->list;

		s->list = c->next;
		capture_free(c);
	}
}

/* ---------------------------------------------------------------- reading what is there */

/* 1: it is one, 0: it is none of ours, -1: it is and cannot be read. */
static int folder_read(struct store *s, const char *name, struct capture **out, vdisk_error *err)
{
	struct capture *c = capture_new(s);
	int n;

	*out = c;
	if (!c)
		return fail_nomem(err);
	n = snprintf(c->folder, sizeof(c->folder), "%s/%s", s->path, name);
	if (n < 0 || (size_t)n >= sizeof(c->folder))
		return fail(err, VDISK_INVALID, "the path is too long");
	c->dir = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dir < 0)
		return errno == ENOTDIR || errno == ELOOP ? 0 : fail_errno(err, "it cannot be opened");
	if (faccessat(c->dir, TRANSFER_STATE_FILE, F_OK, 0))
		return 0;
	if (transfer_state_read(c->dir, &c->st, err))
		return -1;
	if (!c->st.received) /* made by vdisk capture --to DIR: it goes on by itself */
		return 0;
	if (!c->st.whole)
		return capture_disks_open(c, err) ? -1 : 1;
	c->state = CAPTURE_WHOLE;
	return capture_settle(c, err) || capture_facts_load(c, err) ? -1 : 1;
}

static void store_read(struct store *s, vdisk_log_fn log, void *ctx)
{
	struct dirent **names;
	int n = scandir(s->path, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		char text[VDISK_ERROR_MESSAGE_MAX + 300];
		vdisk_error err = { 0 };
		struct capture *c;

		if (!strncmp(name, FOLDER_BEGIN, strlen(FOLDER_BEGIN)) || !strncmp(name, FOLDER_GONE, strlen(FOLDER_GONE))) {
			folder_remove(s->dir, name, NULL);
		} else if (*name != '.') {
			int rc = folder_read(s, name, &c, &err);

			if (rc > 0) {
				list_add(s, c);
			} else {
				capture_free(c);
				snprintf(text, sizeof(text), "%s: left alone: %s", name, err.message);
				if (rc < 0 && log)
					log(ctx, VDISK_LOG_WARNING, text);
			}
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static int lock_take(struct store *s, vdisk_error *err)
{
	if (mkdirat(s->dir, FOLDER_OWN, 0700) && errno != EEXIST)
		return fail_errno(err, "%s/" FOLDER_OWN, s->path);
	s->own = openat(s->dir, FOLDER_OWN, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->own < 0)
		return fail_errno(err, "%s/" FOLDER_OWN, s->path);
	s->lock_fd = openat(s->own, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return fail_errno(err, "%s/" FOLDER_OWN "/lock", s->path);
	if (!flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return fail(err, VDISK_BUSY, "%s: another receiver uses this store", s->path);
	return fail_errno(err, "%s", s->path);
}

int store_open(struct store *s, const struct store_options *o, vdisk_log_fn log, void *ctx, vdisk_error *err)
{
	*s = (struct store){ .o = *o, .dir = -1, .own = -1, .lock_fd = -1 };
	pthread_mutex_init(&s->begin, NULL);
	pthread_mutex_init(&s->lock, NULL);
	clock_cond_init(&s->whole);
	if (mkdir(o->folder, 0700) && errno != EEXIST)
		return fail_errno(err, "%s", o->folder);
	if (!realpath(o->folder, s->path))
		return fail_errno(err, "%s", o->folder);
	s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return fail_errno(err, "%s", o->folder);
	if (lock_take(s, err))
		return -1;
	store_read(s, log, ctx);
	return 0;
}

void store_close(struct store *s)
{
	captures_free(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->own >= 0)
		close(s->own);
	if (s->dir >= 0)
		close(s->dir);
	pthread_cond_destroy(&s->whole);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->begin);
}

/* ---------------------------------------------------------------- the list */

struct capture *store_find(struct store *s, const char *id, size_t len)
{
	struct capture *c;

	pthread_mutex_lock(&s->lock);
	for (c = s->list; c; c = c->next)
		if (strlen(c->st.id) == len && !memcmp(c->st.id, id, len)) {
			c->refs++;
			break;
		}
	pthread_mutex_unlock(&s->lock);
	return c;
}

void store_put(struct store *s, struct capture *c)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = !--c->refs && c->removed;
	pthread_mutex_unlock(&s->lock);
	if (last)
		capture_free(c);
}

struct capture **store_all(struct store *s, size_t *n)
{
	struct capture **all;

	*n = 0;
	pthread_mutex_lock(&s->lock);
	all = calloc(s->n + 1, sizeof(*all));
	for (struct capture *c = all ? s->list : NULL; c; c = c->next) {
		c->refs++;
		all[(*n)++] = c;
	}
	pthread_mutex_unlock(&s->lock);
	return all;
}

void store_put_all(struct store *s, struct capture **all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		store_put(s, all[i]);
	free(all);
}

int store_remove(struct store *s, struct capture *c, vdisk_error *err)
{
	char gone[64], now[TRANSFER_FOLDER_MAX + 16];

	pthread_mutex_lock(&s->lock);
	for (struct capture **p = &s->list; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			s->n--;
			c->removed = true;
			break;
		}
	pthread_mutex_unlock(&s->lock);
	snprintf(now, sizeof(now), "%s" TRANSFER_PARTIAL, c->st.folder);
	snprintf(gone, sizeof(gone), FOLDER_GONE "%s", c->st.id);
	if (renameat(s->dir, now, s->dir, gone))
		return fail_errno(err, "%s", now);
	return folder_remove(s->dir, gone, err);
}

void store_tell_whole(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->whole);
	pthread_mutex_unlock(&s->lock);
}

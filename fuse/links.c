/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The thread opens windows by their inode numbers below the hidden folder, whose look-ups never wait, so that no lock of a folder
 * that somebody waits in can stop it.
 *
 * `lock` guards the queue of folders, the waiting requests and `stop`.
 */
#include "links.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct waiter {
	struct waiter *next;
	fuse_req_t req;
	struct node *folder;
	size_t size; /* readdir's */
	off_t off;
	char name[]; /* lookup's; "": readdir */
};

struct job {
	struct job *next;
	struct node *folder;
};

struct links {
	struct fs *fs;
	char *mountpoint;
	void (*ready)(void *ctx);
	void *ready_ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job *jobs;
	struct waiter *waiters;
	bool stop;
};

/* ---------------------------------------------------------------- one folder */

static void link_add(struct fs *fs, struct node *part, const char *by, const char *name)
{
	struct node *partitions = part->parent, *folder = tree_folder_get(fs->tree, partitions, by, partitions->src);
	char target[32];

	snprintf(target, sizeof(target), "../%s", part->name);
	if (folder)
		tree_link(fs->tree, folder, name, target, partitions->src);
}

static void links_of(struct fs *fs, struct node *part, blkid_probe pr)
{
	const char *v;

	if (!blkid_probe_lookup_value(pr, "LABEL", &v, NULL))
		link_add(fs, part, "by-label", v);
	if (!blkid_probe_lookup_value(pr, "UUID", &v, NULL))
		link_add(fs, part, "by-uuid", v);
	if (!blkid_probe_lookup_value(pr, "TYPE", &v, NULL)) {
		char name[64];

		snprintf(name, sizeof(name), "%s-%s", v, part->name); /* several partitions may hold the same */
		link_add(fs, part, "by-type", name);
	}
}

static void partition_probe(struct links *l, struct node *part)
{
	blkid_probe pr = blkid_new_probe();
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s/" FS_HIDDEN "/%llu", l->mountpoint, (unsigned long long)part->ino);
	fd = pr ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		blkid_probe_enable_superblocks(pr, 1);
		blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE);
		if (!blkid_probe_set_device(pr, fd, 0, 0) && !blkid_do_safeprobe(pr))
			links_of(l->fs, part, pr);
		close(fd);
	}
	blkid_free_probe(pr);
}

static void folder_probe(struct links *l, struct node *partitions)
{
	struct node *part;

	for (size_t i = 0; tree_child(l->fs->tree, partitions, i, &part); i++)
		if (part->kind == NODE_WINDOW)
			partition_probe(l, part);
}

/* ---------------------------------------------------------------- those that wait */

static void waiters_answer(struct waiter *w)
{
	while (w) {
		struct waiter *next = w->next;

		if (*w->name)
			fs_lookup_now(w->req, w->folder, w->name);
		else
			fs_readdir_now(w->req, w->folder, w->size, w->off);
		free(w);
		w = next;
	}
}

/* The folder has its links: takes its waiters off the list, the lock being held. */
static struct waiter *waiters_take(struct links *l, const struct node *folder)
{
	struct waiter *taken = NULL;

	for (struct waiter **p = &l->waiters; *p;) {
		struct waiter *w = *p;

		if (w->folder == folder) {
			*p = w->next;
			w->next = taken;
			taken = w;
		} else {
			p = &w->next;
		}
	}
	return taken;
}

static bool wait_for(struct links *l, fuse_req_t req, struct node *folder, const char *name, size_t size, off_t off)
{
	struct waiter *w = malloc(sizeof(*w) + strlen(name) + 1);
	bool waits;

	if (!w)
		return false;
	*w = (struct waiter){ .req = req, .folder = folder, .size = size, .off = off };
	strcpy(w->name, name);
	pthread_mutex_lock(&l->lock);
	waits = folder->unlinked;
	if (waits) {
		w->next = l->waiters;
		l->waiters = w;
	}
	pthread_mutex_unlock(&l->lock);
	if (!waits)
		free(w);
	return waits;
}

bool links_wait_lookup(struct links *l, fuse_req_t req, struct node *folder, const char *name)
{
	if (strncmp(name, "by-", 3) && tree_find(l->fs->tree, folder, name))
		return false; /* a partition: it is there, whatever is in it */
	return wait_for(l, req, folder, name, 0, 0);
}

bool links_wait_readdir(struct links *l, fuse_req_t req, struct node *folder, size_t size, off_t off)
{
	return wait_for(l, req, folder, "", size, off);
}

/* ---------------------------------------------------------------- the thread */

static void job_done(struct links *l, struct node *folder)
{
	struct waiter *w;

	pthread_mutex_lock(&l->lock);
	folder->unlinked = false;
	w = waiters_take(l, folder);
	pthread_mutex_unlock(&l->lock);
	waiters_answer(w);
}

static struct node *job_next(struct links *l, bool *stop)
{
	struct node *folder = NULL;
	struct job *job;

	pthread_mutex_lock(&l->lock);
	while (!l->jobs && !l->stop) {
		void (*ready)(void *) = l->ready;

		l->ready = NULL;
		if (ready) {
			pthread_mutex_unlock(&l->lock);
			ready(l->ready_ctx);
			pthread_mutex_lock(&l->lock);
		} else {
			pthread_cond_wait(&l->wake, &l->lock);
		}
	}
	*stop = l->stop;
	job = l->jobs;
	if (job) {
		l->jobs = job->next;
		folder = job->folder;
		free(job);
	}
	pthread_mutex_unlock(&l->lock);
	return folder;
}

static void *links_run(void *arg)
{
	struct links *l = arg;
	struct node *folder;
	bool stop;

	for (;;) {
		folder = job_next(l, &stop);
		if (!folder)
			return NULL; /* stopped, and nobody waits any more */
		if (!stop)
			folder_probe(l, folder);
		job_done(l, folder);
	}
}

void links_ask(struct links *l, struct node *partitions)
{
	struct job *job = calloc(1, sizeof(*job)), **last;

	if (!job)
		return; /* without links, then */
	job->folder = partitions;
	pthread_mutex_lock(&l->lock);
	partitions->unlinked = true;
	for (last = &l->jobs; *last; last = &(*last)->next)
		;
	*last = job;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

struct links *links_new(struct fs *fs, const char *mountpoint, void (*ready)(void *ctx), void *ctx)
{
	struct links *l = calloc(1, sizeof(*l));
	struct node *partitions = tree_find(fs->tree, tree_root(fs->tree), "partitions");

	if (!l)
		return NULL;
	l->fs = fs;
	l->mountpoint = strdup(mountpoint);
	l->ready = ready;
	l->ready_ctx = ctx;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->wake, NULL);
	if (partitions)
		links_ask(l, partitions);
	if (l->mountpoint && !pthread_create(&l->thread, NULL, links_run, l)) {
		fs->links = l;
		return l;
	}
	free(l->jobs);
	free(l->mountpoint);
	free(l);
	return NULL;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	free(l->mountpoint);
	free(l);
}
